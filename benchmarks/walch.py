"""Nights with an Apple Watch and polysomnography (Walch 2019, doi:10.13026/hmhs-py35), and agreement."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.sleep.stages import EPOCH_S, FloatArray, stage_features
from store.errors import RecordingError

IntArray = NDArray[np.int64]

UNLABELLED, WAKE, NREM, REM = -1, 0, 1, 2


@dataclass(frozen=True)
class PsgNight:
    """One person's night.

    Attributes
    ----------
    subject : int
    counts : (m,) float64
        Of 30 s, from before the first epoch scored to after the last.
    first : int
        Index in `counts` of the first epoch scored.
    variation : (n,) float64
    label : (n,) int64
        WAKE, NREM or REM by polysomnography, UNLABELLED in its gaps.
    names, features : the features of the shipped model's form
    """

    subject: int
    counts: FloatArray
    first: int
    variation: FloatArray
    label: IntArray
    names: tuple[str, ...]
    features: FloatArray


def read_walch(folder: Path) -> tuple[PsgNight, ...]:
    """Read a directory of the form of walch2019: counts of 15 s, features and labels of 30 s, alignment.

    Raises
    ------
    RecordingError
        If one of the files is not there.
    """
    frames: list[pd.DataFrame] = []
    for what in ("features_epochs30s.csv", "activity_counts_15s.csv"):
        found = sorted(folder.glob(f"*{what}*"))
        if not found:
            raise RecordingError(
                f"{folder} holds no *{what}*; needed is a directory of the form of walch2019"
            )
        frames.append(pd.concat([pd.read_csv(path) for path in found]))
    labels, movement = frames
    offset_s = json.loads((folder / "alignment.json").read_text())["offset_s"]
    return tuple(
        _night(
            int(cast("Any", subject)),
            part.sort_values("time_feature"),
            movement[movement["subject"] == subject],
            offset_s,
        )
        for subject, part in labels.groupby("subject")
    )


def _night(subject: int, part: pd.DataFrame, moved: pd.DataFrame, offset_s: dict[str, float]) -> PsgNight:
    slot = np.rint(part["time_feature"].to_numpy(float) * 3600 / EPOCH_S).astype(np.int64)
    n = int(slot[-1]) + 1
    t_s, held = moved["t_s"].to_numpy(float), moved["counts"].to_numpy(float)
    edges_s = np.append(t_s, t_s[-1] + float(np.median(np.diff(t_s))))
    begin_s = float(offset_s[str(subject)])
    before = int(begin_s // EPOCH_S)
    after = int(max(0.0, (edges_s[-1] - begin_s - EPOCH_S * n) // EPOCH_S))
    bounds_s = begin_s + EPOCH_S * np.arange(-before, n + after + 1)
    counts = np.diff(np.interp(bounds_s, edges_s, np.append(0.0, np.cumsum(held))))
    psg = part["psg_labels"].to_numpy(float)
    label = np.full(n, UNLABELLED, np.int64)
    label[slot] = np.select([psg == 0, psg == 5, psg > 0], [WAKE, REM, NREM], UNLABELLED)
    variation = np.full(n, np.nan)
    variation[slot] = part["hr_feature"].to_numpy(float)
    names, features = stage_features(counts, variation, before)
    return PsgNight(subject, counts, before, variation, label, names, features)


def kappa(truth: IntArray, said: IntArray) -> float:
    """Return Cohen's kappa; 0 where both are constant."""
    classes = np.union1d(truth, said)
    agreed = float((truth == said).mean())
    chance = sum(float((truth == c).mean()) * float((said == c).mean()) for c in classes)
    return (agreed - chance) / (1 - chance) if chance < 1 else 0.0


@dataclass(frozen=True, slots=True)
class Agreement:
    """Sleep against wake, of one night: fractions 0-1, kappa, minutes."""

    accuracy: float
    sensitivity: float
    specificity: float
    kappa: float
    tst_bias_min: float


def agreement(is_sleep: NDArray[np.bool_], said_sleep: NDArray[np.bool_], epoch_s: float) -> Agreement:
    """Compare epochs scored by both."""
    return Agreement(
        float((is_sleep == said_sleep).mean()),
        float(said_sleep[is_sleep].mean()),
        float((~said_sleep[~is_sleep]).mean()),
        kappa(is_sleep.astype(np.int64), said_sleep.astype(np.int64)),
        float(said_sleep.sum() - is_sleep.sum()) * epoch_s / 60,
    )
