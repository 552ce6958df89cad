"""Sleep against polysomnography: the shipped model and the classic scorers, beside calling everything sleep.

Cross-validation is over people, and nested: what a fold is tested on has not chosen anything that is tested.
`--score DIR` scores a directory with the shipped model and fits nothing; `--full` also writes the model.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any, cast

import numpy as np
from sklearn.linear_model import LogisticRegression

from benchmarks.table import Row
from benchmarks.walch import NREM, UNLABELLED, WAKE, Agreement, PsgNight, agreement, kappa, read_walch
from features.sleep import SCORERS, score_counts
from features.sleep.hypnogram import BoolArray
from features.sleep.scorers import paper_scale
from features.sleep.stages import FloatArray, StageModel, model_text, shipped_model

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "walch2019"
MODEL = Path(__file__).resolve().parents[1] / "features" / "sleep" / "model" / "stages.json"
SENSITIVITY = 0.93
OUTER, INNER = 10, 5
STRENGTHS, EVIDENCE, PRIOR_POWERS = (0.001, 0.01, 0.1), (0.2, 0.4, 0.8), (0.25, 0.5, 0.75)

Nights = Sequence[PsgNight]


def run(*, is_full: bool = False, score: Path | None = None) -> list[Row]:
    """Make the table."""
    if score is not None:
        nights = read_walch(score)
        model = shipped_model()
        return [*classic_rows(nights), *_model_rows("shipped model", nights, [model] * len(nights))]
    if not DATA.is_dir():
        raise SystemExit(f"no recordings: {DATA} is not there")
    nights = read_walch(DATA)
    models = cross_validated(nights)
    rows = _model_rows("cross-validated model", nights, models)
    if is_full:
        MODEL.write_text(model_text(replace(chosen_model(nights), card=_card(nights, rows))))
    return [*classic_rows(nights), *rows]


def folds(count: int, parts: int, seed: int) -> list[list[int]]:
    """Return people in parts of nearly equal size."""
    mixed = [int(i) for i in np.random.default_rng(seed).permutation(count)]
    return [mixed[k::parts] for k in range(parts)]


def cross_validated(nights: Nights) -> list[StageModel]:
    """Return, for each night, the model that was chosen and fitted without its person."""
    models: dict[int, StageModel] = {}
    for k, held_out in enumerate(folds(len(nights), OUTER, 0)):
        rest = [nights[i] for i in range(len(nights)) if i not in held_out]
        model = chosen_model(rest, seed=k + 1)
        models |= dict.fromkeys(held_out, model)
    return [models[i] for i in range(len(nights))]


def chosen_model(nights: Nights, seed: int = 1) -> StageModel:
    """Choose shrinkage, smoothing and threshold by cross-validation over people, and fit on all."""
    best: tuple[float, float, float, float] | None = None
    best_epochs: list[FloatArray] = []
    for strength in STRENGTHS:
        epochs = _held_out_probabilities(nights, strength, seed)
        for evidence, power in product(EVIDENCE, PRIOR_POWERS):
            model = replace(fitted(nights, strength), evidence=evidence, prior_power=power)
            quality = float(
                np.mean([_three_kappa(n, model.smoothed(p)) for n, p in zip(nights, epochs, strict=True)])
            )
            if best is None or quality > best[0]:
                best, best_epochs = (quality, strength, evidence, power), epochs
    assert best is not None  # noqa: S101 - the grid is not empty
    awake = np.concatenate([p[n.label > WAKE, 0] for n, p in zip(nights, best_epochs, strict=True)])
    return replace(
        fitted(nights, best[1]),
        evidence=best[2],
        prior_power=best[3],
        wake_threshold=float(np.quantile(awake, SENSITIVITY)),
    )


def _held_out_probabilities(nights: Nights, strength: float, seed: int) -> list[FloatArray]:
    held: dict[int, FloatArray] = {}
    for part in folds(len(nights), INNER, seed):
        model = fitted([nights[i] for i in range(len(nights)) if i not in part], strength)
        held |= {i: model.probabilities(nights[i].features) for i in part}
    return [held[i] for i in range(len(nights))]


def fitted(nights: Nights, strength: float) -> StageModel:
    """Fit the regression and count the transitions of some nights."""
    x: FloatArray = np.vstack([night.features[night.label != UNLABELLED] for night in nights])
    y = np.concatenate([night.label[night.label != UNLABELLED] for night in nights])
    mean, scale = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    scale[scale == 0] = 1.0
    regression = cast("Any", LogisticRegression(C=strength, max_iter=1000, tol=1e-6))
    regression.fit(np.nan_to_num((x - mean) / scale), y)
    moves = np.full((3, 3), 0.5)
    for night in nights:
        now, then = night.label[:-1], night.label[1:]
        is_pair = (now >= 0) & (then >= 0)
        np.add.at(moves, (now[is_pair], then[is_pair]), 1)
    return StageModel(
        nights[0].names,
        mean,
        scale,
        regression.coef_.T,
        regression.intercept_,
        moves / moves.sum(axis=1, keepdims=True),
        np.bincount(y, minlength=3) / len(y),
        evidence=0.4,
        prior_power=0.5,
        wake_threshold=0.2,
        card={"C": strength},
    )


def _three_kappa(night: PsgNight, smoothed: FloatArray) -> float:
    known = night.label != UNLABELLED
    return kappa(night.label[known], smoothed.argmax(axis=1)[known])


def classic_rows(nights: Nights) -> list[Row]:
    """Score minutes with each classic scorer; a minute is asleep if either of its labels is."""
    scorers: dict[str, Callable[[FloatArray], BoolArray]] = {
        "all sleep": lambda counts: np.ones(len(counts), np.bool_),
        **{
            name: lambda counts, held=scorer: score_counts(counts, held, paper_scale(held)) > 0
            for name, scorer in SCORERS.items()
            if scorer.scale is None
        },
    }
    return [
        row
        for name, scorer in scorers.items()
        for row in _sleep_rows(name, [_minutes(n, scorer) for n in nights])
    ]


def _minutes(night: PsgNight, scorer: Callable[[FloatArray], BoolArray]) -> Agreement:
    # Whole minutes around the night, on a grid that begins with its first epoch.
    skipped = night.first % 2
    whole = (len(night.counts) - skipped) // 2 * 2
    said = scorer(night.counts[skipped : skipped + whole].reshape(-1, 2).sum(axis=1))
    at = (night.first - skipped) // 2
    pairs = night.label[: len(night.label) // 2 * 2].reshape(-1, 2)
    known = pairs.min(axis=1) != UNLABELLED
    return agreement(pairs.max(axis=1)[known] > WAKE, said[at : at + len(pairs)][known], 60.0)


def _sleep_rows(name: str, found: Sequence[Agreement]) -> list[Row]:
    def mean(value: str) -> float:
        return float(np.mean([getattr(night, value) for night in found]))

    return [
        Row(f"{name}: accuracy", mean("accuracy"), ""),
        Row(f"{name}: sensitivity (sleep)", mean("sensitivity"), ""),
        Row(f"{name}: specificity (wake)", mean("specificity"), ""),
        Row(f"{name}: kappa", mean("kappa"), ""),
        Row(f"{name}: TST bias", mean("tst_bias_min"), "min"),
        Row(f"{name}: TST error", float(np.mean([abs(night.tst_bias_min) for night in found])), "min"),
    ]


def _model_rows(name: str, nights: Nights, models: Sequence[StageModel]) -> list[Row]:
    """Return what a model says of epochs of 30 s: means over people."""
    known: list[BoolArray] = [np.asarray(night.label != UNLABELLED, np.bool_) for night in nights]
    each = [m.probabilities(n.features) for n, m in zip(nights, models, strict=True)]
    wake = [p[k, 0] for p, k in zip(each, known, strict=True)]
    label = [night.label[k] for night, k in zip(nights, known, strict=True)]
    as_shipped = [
        agreement(y > WAKE, p <= model.wake_threshold, 30.0)
        for y, p, model in zip(label, wake, models, strict=True)
    ]
    at_93 = float(
        np.quantile(np.concatenate([p[y > WAKE] for p, y in zip(wake, label, strict=True)]), SENSITIVITY)
    )
    at_sensitivity = [agreement(y > WAKE, p <= at_93, 30.0) for y, p in zip(label, wake, strict=True)]
    staged = [m.smoothed(p)[k].argmax(axis=1) for m, p, k in zip(models, each, known, strict=True)]
    three = [kappa(y, s) for y, s in zip(label, staged, strict=True)]
    accuracy = [float((y == s).mean()) for y, s in zip(label, staged, strict=True)]
    return [
        *_sleep_rows(f"{name}, its own threshold", as_shipped),
        Row(
            f"{name}: specificity at sensitivity 0.93",
            _mean(at_sensitivity, "specificity"),
            "",
            0.68,
            "higher",
        ),
        Row(f"{name}: kappa at sensitivity 0.93", _mean(at_sensitivity, "kappa"), "", 0.51, "higher"),
        Row(f"{name}: standard error of that kappa", _standard_error([a.kappa for a in at_sensitivity]), ""),
        Row(f"{name}: 3-class accuracy", float(np.mean(accuracy)), "", 0.76, "higher"),
        Row(f"{name}: 3-class kappa", float(np.mean(three)), "", 0.44, "higher"),
        Row(f"{name}: standard error of that kappa, 3 classes", _standard_error(three), ""),
        Row("all NREM: 3-class accuracy", float(np.mean([(y == NREM).mean() for y in label])), ""),
        Row("people", len(nights), ""),
    ]


def _mean(found: Sequence[Agreement], value: str) -> float:
    return float(np.mean([getattr(night, value) for night in found]))


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def _card(nights: Nights, rows: Sequence[Row]) -> dict[str, Any]:
    return {
        "name": "evenkeel stages 1",
        "what": "wake, NREM and REM of epochs of 30 s from wrist movement and the variation of heart rate",
        "how": "multinomial logistic regression, L2; hidden Markov smoothing over the night",
        "data": f"{len(nights)} nights of {len(nights)} healthy adults, Apple Watch beside polysomnography "
        "(Walch 2019, doi:10.13026/hmhs-py35, ODC-By 1.0)",
        "inputs": "activity counts of 30 s on the scale of that data set; heart rate variation as defined "
        "there. No time of night, no time since lights off",
        "chosen_by": f"kappa of 3 classes in cross-validation over people, {INNER} folds",
        "measured_by": f"nested cross-validation over people, {OUTER} outer folds; means over people",
        "measured": {row.name: round(row.value, 4) for row in rows},
        "limits": "Healthy sleepers of one laboratory; in patients of sleep clinics such models do worse. "
        "Counts of other devices need their own scale. Light and deep sleep are one. Not for diagnosis",
        "licence": "weights: Apache-2.0, as the code; training data: ODC-By 1.0",
    }


os.environ.setdefault("OMP_NUM_THREADS", "1")
