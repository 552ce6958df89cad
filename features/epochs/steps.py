"""Steps of raw acceleration: swings of its magnitude that are strong, regular and many in a row.

A plain method of our own, for orientation and not validated against video: the magnitude is smoothed over
0.2 s, freed of its mean over a second, and each rise through 0 that follows a fall below -`SWING_G` is a
candidate. Candidates 0.25-1.5 s apart form a walk; fewer than `LEAST_STEPS` are none. Where a wearable counts
steps itself, take its own.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import FloatArray
from features.hrv.compiled import compiled
from store.errors import DataError

SWING_G = 0.05
LEAST_STEPS = 6
_SMOOTH_S, _LEVEL_S = 0.2, 1.0
_SHORTEST_S, _LONGEST_S = 0.25, 1.5


def steps_of(acc_g: NDArray[np.floating[Any]], rate_hz: float, epoch_s: float = 60.0) -> NDArray[np.int64]:
    """Return the steps of each epoch, (k,); an incomplete last epoch is left out.

    Parameters
    ----------
    acc_g : (n, 3) float
        Evenly sampled at 10 Hz or more, g. What is not finite ends a walk.
    rate_hz : float
    epoch_s : float

    Raises
    ------
    DataError
        If the shape or the rate is another.
    """
    if acc_g.ndim != 2 or acc_g.shape[1] != 3 or not rate_hz >= 10:
        raise DataError(
            f"Steps of acceleration {acc_g.shape} at {rate_hz:g} Hz; "
            "needed are three columns at 10 Hz or more"
        )
    norm = np.sqrt((np.asarray(acc_g, np.float64) ** 2).sum(axis=1))
    swing = _smoothed(norm, rate_hz * _SMOOTH_S) - _smoothed(norm, rate_hz * _LEVEL_S)
    is_step = np.zeros(len(norm), np.bool_)
    _step_kernel(np.nan_to_num(swing), round(rate_hz * _SHORTEST_S), round(rate_hz * _LONGEST_S), is_step)
    per_epoch = rate_hz * epoch_s
    count = int(len(norm) / per_epoch)
    epoch = (np.flatnonzero(is_step) / per_epoch).astype(np.int64)
    return np.bincount(epoch[epoch < count], minlength=count)


def _smoothed(x: FloatArray, width: float) -> FloatArray:
    """Return centred moving means over about `width` samples, odd in number; NaN beside NaN."""
    half = max(int(width / 2), 1)
    known = np.isfinite(x)
    padded = np.pad(np.where(known, x, 0.0), (half + 1, half), mode="edge")
    running = np.cumsum(padded)
    mean = (running[2 * half + 1 :] - running[: -2 * half - 1]) / (2 * half + 1)
    return np.where(known, mean, np.nan)


@compiled
def _step_kernel(swing: FloatArray, shortest: int, longest: int, out: NDArray[np.bool_]) -> None:
    walk = np.empty(len(swing), np.int64)
    size = 0
    is_low = False
    for i in range(len(swing)):
        is_low = is_low or swing[i] < -SWING_G
        if size and i - walk[size - 1] > longest:
            if size >= LEAST_STEPS:
                out[walk[:size]] = True
            size = 0
        if is_low and swing[i] > 0.0:
            is_low = False
            if not size or i - walk[size - 1] >= shortest:
                walk[size] = i
                size += 1
    if size >= LEAST_STEPS:
        out[walk[:size]] = True
