"""Wake, NREM and REM from movement and the variation of heart rate.

Logistic regression on each epoch of 30 s, then a hidden Markov model over the night. The model is shipped as
numbers in JSON with its card; predicting needs numpy alone. Nothing in it knows how long ago the lights went
out: all features are movement and heart rate around the epoch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.sleep.hypnogram import Hypnogram, SleepStage
from store.errors import DataError
from store.types import read_only

FloatArray = NDArray[np.float64]

EPOCH_S = 30.0
CLASSES = (SleepStage.WAKE, SleepStage.NREM, SleepStage.REM)
"""In the order of every probability here."""

_AROUND = (1, 2, 5, 10, 20, 40, 80)
_BESIDE = (2, 6, 20, 60)
_HEART_AROUND = (0, 5, 10, 20, 40, 80)
_HEART_BESIDE = (10, 30)
_CAP = 60
_LOWEST_VARIATION = 0.02


@dataclass(frozen=True)
class StageModel:
    """What was learned; p features, 3 classes.

    Attributes
    ----------
    names : tuple of str
        Of the features, in order.
    mean, scale : (p,) float64
    weights : (p, 3) float64
    bias : (3,) float64
    transition : (3, 3) float64
        Probability from one epoch to the next, rows sum to 1.
    prior : (3,) float64
        Shares of the classes in training.
    evidence, prior_power : float
        Observations count `evidence` times their logarithm less `prior_power` times that of the prior:
        neighbouring epochs see the same movement, and are far from independent.
    wake_threshold : float
        Wake where its probability, before the Markov model, is above.
    card : mapping
        Data, use, limits and measured accuracy.
    """

    names: tuple[str, ...]
    mean: FloatArray
    scale: FloatArray
    weights: FloatArray
    bias: FloatArray
    transition: FloatArray
    prior: FloatArray
    evidence: float
    prior_power: float
    wake_threshold: float
    card: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name in _ARRAYS:
            object.__setattr__(self, name, read_only(np.asarray(getattr(self, name), np.float64)))
        p = len(self.names)
        if self.weights.shape != (p, 3) or self.mean.shape != (p,) or self.transition.shape != (3, 3):
            raise DataError(f"Stage model: weights {self.weights.shape} for {p} features; needed is ({p}, 3)")

    def probabilities(self, features: FloatArray) -> FloatArray:
        """Return the probability of each class, (n, 3), of features (n, p), each epoch for itself."""
        standard = np.nan_to_num((features - self.mean) / self.scale)  # unknown: as if it were usual
        score = standard @ self.weights + self.bias
        score = np.exp(score - score.max(axis=1, keepdims=True))
        return score / score.sum(axis=1, keepdims=True)

    def smoothed(self, probabilities: FloatArray) -> FloatArray:
        """Return the probability of each class given the whole night, (n, 3); NaN is not observed."""
        log_p = np.log(np.maximum(probabilities, 1e-9)) - self.prior_power * np.log(self.prior)
        emission = np.exp(np.nan_to_num(self.evidence * log_p))
        return _forward_backward(emission, self.transition.copy(), self.prior.copy())


_ARRAYS = ("mean", "scale", "weights", "bias", "transition", "prior")


def stage_features(
    counts: FloatArray, variation: FloatArray, first: int = 0
) -> tuple[tuple[str, ...], FloatArray]:
    """Return the features of a night.

    Parameters
    ----------
    counts : (m,) float64
        Activity counts of 30 s on the scale of the training data (see the card); movement before and after
        the night may be among them. NaN where unknown.
    variation : (n,) float64
        Variation of heart rate of the epochs of the night, see `heart_rate_variation`; NaN where unknown.
    first : int
        Index in `counts` of the first epoch of the night.

    Returns
    -------
    names : tuple of str
    features : (n, p) float64
        NaN where nothing is known.
    """
    night = slice(first, first + len(variation))
    log_counts = np.log1p(counts)
    held = {"now": log_counts}
    held |= {f"around_{h}": mean_within(log_counts, -h, h + 1) for h in _AROUND}
    for h in _BESIDE:
        held |= {
            f"before_{h}": mean_within(log_counts, -h, 0),
            f"after_{h}": mean_within(log_counts, 1, h + 1),
        }
    held |= {f"most_{h}": _most_within(log_counts, h) for h in (5, 20)}
    for level in (5, 40):
        is_moving = np.nan_to_num(counts) > level
        held |= {f"since_{level}": _since(is_moving), f"until_{level}": _since(is_moving[::-1])[::-1]}
    is_still = np.where(np.isfinite(counts), (counts < 1).astype(np.float64), np.nan)
    held |= {f"still_{h}": mean_within(is_still, -h, h + 1) for h in (20, 60)}
    columns = {name: values[night] for name, values in held.items()} | _heart_features(variation)
    return tuple(columns), np.column_stack(list(columns.values()))


def _heart_features(variation: FloatArray) -> dict[str, FloatArray]:
    log_v = np.log(np.maximum(variation, _LOWEST_VARIATION))
    own = log_v - (np.nanmedian(log_v) if np.isfinite(log_v).any() else 0.0)
    held = {"heart": log_v}
    held |= {f"heart_around_{h}": mean_within(own, -h, h + 1) for h in _HEART_AROUND}
    for h in _HEART_BESIDE:
        held[f"heart_before_{h}"] = mean_within(own, -h, 0)
        held[f"heart_after_{h}"] = mean_within(own, 1, h + 1)
        mean, squares = mean_within(own, -h, h + 1), mean_within(own**2, -h, h + 1)
        held[f"heart_spread_{h}"] = np.sqrt(np.maximum(squares - mean**2, 0))
    return held


def mean_within(values: FloatArray, low: int, high: int) -> FloatArray:
    """Return the mean of the known values of epochs i + low to below i + high, (n,); NaN of none."""
    is_known = np.isfinite(values)
    total = np.concatenate(([0.0], np.cumsum(np.where(is_known, values, 0.0))))
    known = np.concatenate(([0], np.cumsum(is_known)))
    at, n = np.arange(len(values)), len(values)
    end = np.clip(at + high, 0, n)
    start = np.minimum(np.clip(at + low, 0, n), end)
    number = known[end] - known[start]
    return np.where(number > 0, (total[end] - total[start]) / np.maximum(number, 1), np.nan)


def _most_within(values: FloatArray, h: int) -> FloatArray:
    padded = np.pad(np.nan_to_num(values), h)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * h + 1).max(axis=1)


def _since(holds: NDArray[np.bool_]) -> FloatArray:
    """Return ln(1 + epochs since it last held), (n,), at most `_CAP` epochs."""
    at = np.arange(len(holds))
    last = np.maximum.accumulate(np.where(holds, at, -_CAP))
    return np.log1p(np.minimum(at - last, _CAP).astype(np.float64))


@compiled
def _forward_backward(emission: FloatArray, transition: FloatArray, start: FloatArray) -> FloatArray:
    n, k = emission.shape
    forward = np.empty((n, k))
    after = np.ones((n, k))
    for i in range(n):
        before = start if i == 0 else forward[i - 1] @ transition
        forward[i] = before * emission[i]
        forward[i] /= forward[i].sum()
    for i in range(n - 2, -1, -1):
        after[i] = transition @ (emission[i + 1] * after[i + 1])
        after[i] /= after[i].sum()
    both = forward * after
    for i in range(n):
        both[i] /= both[i].sum()
    return both


def predict_stages(model: StageModel, features: FloatArray, start_ns: int) -> Hypnogram:
    """Return the likeliest stage of each epoch given the whole night."""
    best = model.smoothed(model.probabilities(features)).argmax(axis=1)
    return Hypnogram(start_ns, EPOCH_S, np.array(CLASSES, np.int8)[best], "evenkeel_stages")


def heart_rate_variation(t_s: FloatArray, heart_rate_bpm: FloatArray, at_s: FloatArray) -> FloatArray:
    """Return how much heart rate varies around epochs, as the training data have it, (n,).

    Heart rate on a grid of 1 s through a difference of Gaussians (120 s, and 0.75 of 600 s, over 285 s), by
    the 90th percentile of its size; of that the standard deviation over the 10 minutes around an epoch.
    doi:10.1093/sleep/zsz180

    Parameters
    ----------
    t_s, heart_rate_bpm : (m,) float64
        Samples in order of time.
    at_s : (n,) float64
        Starts of epochs of 30 s. NaN is returned where less than half of the time around is covered.
    """
    if len(t_s) < 2 or t_s[-1] - t_s[0] < 600:
        return np.full(len(at_s), np.nan)
    grid = np.arange(float(np.floor(t_s[0])), float(t_s[-1]), dtype=np.float64)
    beat = np.interp(grid, t_s, heart_rate_bpm)
    at = np.arange(285) - 142
    kernel = np.exp(-0.5 * (at / 120) ** 2) - 0.75 * np.exp(-0.5 * (at / 600) ** 2)
    wave = np.convolve(np.pad(beat - beat.mean(), 142, mode="reflect"), kernel, mode="valid")
    wave = wave / max(float(np.percentile(np.abs(wave), 90)), 1e-12)
    low, high = np.searchsorted(grid, at_s - 285), np.searchsorted(grid, at_s + 30 + 285)
    sums = np.concatenate(([0.0], np.cumsum(wave)))
    squares = np.concatenate(([0.0], np.cumsum(wave**2)))
    number = np.maximum(high - low, 1)
    variance = (squares[high] - squares[low]) / number - ((sums[high] - sums[low]) / number) ** 2
    return np.where(high - low >= 300, np.sqrt(np.maximum(variance, 0)), np.nan)


def model_text(model: StageModel) -> str:
    """Return a model as JSON; floats are exact."""
    numbers = {name: getattr(model, name).tolist() for name in _ARRAYS}
    single = {name: getattr(model, name) for name in ("evidence", "prior_power", "wake_threshold")}
    held: dict[str, Any] = {"card": dict(model.card), "names": list(model.names)}
    held["classes"] = [stage.name for stage in CLASSES]
    return json.dumps(held | single | numbers, indent=1) + "\n"


@cache
def shipped_model() -> StageModel:
    """Return the model that comes with evenkeel."""
    held = json.loads(files("features.sleep").joinpath("model/stages.json").read_text())
    held.pop("classes")
    return StageModel(**held | {"names": tuple(held["names"])})
