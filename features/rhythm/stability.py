"""IS and IV: how alike days are, and how broken up they are.

Witting et al. (1990). Biol Psychiatry 27, 563-572. doi:10.1016/0006-3223(90)90523-5. Variances are of the
population, as published. pyActigraphy divides by one less on both sides: its IS is ours * p/(p-1) * (N-1)/N
with p bins a day and N bins, 4 % more at 60 min; its IV is ours * (N-1)/N.

IS grows as days become fewer and as bins become longer: compare only like with like.
"""

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import FloatArray
from features.hrv.compiled import compiled
from features.rhythm.clock_profile import DAY_S, ClockedValues, binned

HOUR_S = 3600.0
_DUST = 1e-9
"""Spread of this share of the largest value is rounding, not rhythm."""

MINUTES = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 15, 16, 18, 20, 24, 30, 32, 36, 40, 45, 48, 60)
"""Bins up to an hour that divide a day, of which ISm and IVm are the means (Gonçalves 2014)."""


def is_iv(values: ClockedValues, bin_s: float = HOUR_S) -> tuple[float, float]:
    """Return interdaily stability, 0 (no rhythm) to 1, and intradaily variability, 0 (smooth) to 2 (noise).

    Gaps take part in neither: IS is of the bins that are there, IV of pairs of neighbours that both are. With
    gaps IS can exceed 1 slightly. NaN without variance, or where part of the day was never seen.
    """
    mean, of_day = binned(values, bin_s)
    spread = _variance(mean)
    if not spread > (_DUST * _largest(mean)) ** 2:
        return np.nan, np.nan
    day = _mean_day(mean, of_day, round(DAY_S / bin_s))
    return float(_variance(day)) / spread if not np.isnan(day).any() else np.nan, _mean_square_step(
        mean
    ) / spread


@compiled
def _largest(x: FloatArray) -> float:
    largest = 0.0
    for i in range(len(x)):
        if abs(x[i]) > largest:  # noqa: PLR1730 - a gap is larger than nothing
            largest = abs(x[i])
    return largest


@compiled
def _variance(x: FloatArray) -> float:
    """Return the population variance of what is there; NaN of nothing."""
    n, total, squares = 0, 0.0, 0.0
    for i in range(len(x)):
        if not np.isnan(x[i]):
            n += 1
            total += x[i]
    mean = total / n
    for i in range(len(x)):
        if not np.isnan(x[i]):
            squares += (x[i] - mean) ** 2
    return squares / n


@compiled
def _mean_day(x: FloatArray, of_day: NDArray[np.int64], per_day: int) -> FloatArray:
    total, count = np.zeros(per_day), np.zeros(per_day)
    for i in range(len(x)):
        if not np.isnan(x[i]):
            total[of_day[i]] += x[i]
            count[of_day[i]] += 1
    return total / count


@compiled
def _mean_square_step(x: FloatArray) -> float:
    """Return the mean squared difference of neighbours that are both there; NaN without any."""
    pairs, squares = 0, 0.0
    for i in range(1, len(x)):
        step = x[i] - x[i - 1]
        if not np.isnan(step):
            squares += step * step
            pairs += 1
    return squares / pairs


def ism_ivm(values: ClockedValues) -> tuple[float, float]:
    """Return the means of IS and IV over all bins of `MINUTES` that epochs make up."""
    found = [
        is_iv(values, 60.0 * minutes) for minutes in MINUTES if (60 * minutes / values.epoch_s).is_integer()
    ]
    if not found:
        return np.nan, np.nan
    return float(np.mean([each[0] for each in found])), float(np.mean([each[1] for each in found]))
