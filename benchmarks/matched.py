"""The likelihood of a change of known course in daily values, whenever it set in.

Noise is normal, with covariances over days and channels as other people have them; what each value adds to
what earlier ones foretold is judged by Student's t. A score of day t is made of days up to t.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.advance import Track
from models.channels import POPULATION_SD, FloatArray
from models.kernel import CLIP_SD
from models.noise import LAGS, deviations, noise_of, spread_of_days

_KEEPS = np.array([0.0, 0.5, 0.8, 0.93, 0.98])
"""Of each part of the noise the share that is left a day later; one more part goes by weeks."""
_WEEK_KEEP = 0.99
_LEVEL_VARIANCE = 25.0
"""Where a person's values lie is as good as unknown."""
_FREEDOM = 5.0
"""Of Student's t: days are wilder than normal ones."""
_FIRST_ONSET = 21


@dataclass(frozen=True)
class Whitened:
    """Values there are, as what each adds to earlier ones in SD; `matrix` does it to a change, too."""

    day: NDArray[np.intp]
    channel: NDArray[np.intp]
    spread: FloatArray
    matrix: FloatArray
    added: FloatArray
    is_monitored: NDArray[np.bool_]


def clipped(track: Track) -> FloatArray:
    """Return the distance from the middle of all days in SD; where that lies is left open by the noise."""
    return np.clip(deviations(track), -1.5 * CLIP_SD, 1.5 * CLIP_SD)


def _kernels(n: int) -> FloatArray:
    """Return how alike two days are, parts x days between them."""
    lag = np.arange(n)
    weekly = np.cos(2 * np.pi * lag / 7) * _WEEK_KEEP**lag
    return np.vstack([_KEEPS[:, None] ** lag, weekly]).astype(np.float64)


def noise_of_days(people: Sequence[FloatArray]) -> FloatArray:
    """Return the covariance of channels in each part of the noise of `_kernels`."""
    return noise_of(people, _kernels(LAGS))


def whitened(track: Track, parts: FloatArray) -> Whitened:
    """Return each value as what it adds to those of earlier days, and of the same day before it."""
    far = clipped(track)
    day, channel = np.nonzero(np.isfinite(far))
    spread = spread_of_days(track)[day, channel]
    lag = np.abs(day[:, None] - day)
    level = POPULATION_SD[channel] / spread
    is_same = channel[:, None] == channel
    covariance = np.asarray(_LEVEL_VARIANCE * is_same * np.outer(level, level), np.float64)
    for kernel, part in zip(_kernels(len(far)), parts, strict=True):
        covariance += kernel[lag] * part[np.ix_(channel, channel)]
    matrix = np.asarray(np.linalg.inv(np.linalg.cholesky(covariance)), np.float64)
    return Whitened(day, channel, spread, matrix, matrix @ far[day, channel], track.is_monitored)


def evidence(seen: Whitened, shape: FloatArray) -> FloatArray:
    """Return the logarithm of the summed likelihood ratios of all onsets, day by day."""
    n = len(seen.is_monitored)
    onset = np.arange(_FIRST_ONSET, n)
    if not len(onset) or not len(seen.day):
        return np.full(n, np.nan)
    lag = seen.day[:, None] - onset
    is_in = (lag >= 0) & (lag < len(shape))
    shift = np.where(is_in, shape[np.where(is_in, lag, 0), seen.channel[:, None]], 0) / seen.spread[:, None]
    off, left = seen.added[:, None], seen.added[:, None] - seen.matrix @ shift
    ratio = (_FREEDOM + 1) / 2 * np.log((_FREEDOM + off * off) / (_FREEDOM + left * left))
    total = np.concatenate([np.zeros((1, len(onset))), np.cumsum(ratio, axis=0)])
    until = total[np.searchsorted(seen.day, np.arange(n), side="right")]
    since = np.arange(n)[:, None] - onset
    joined = np.logaddexp.reduce(np.where((since >= 0) & (since < len(shape)), until, -np.inf), axis=1)
    return np.where(seen.is_monitored & np.isfinite(joined), joined, np.nan)
