"""Detrended fluctuation analysis of NN intervals, in boxes that never cross a removed interval.

References
----------
Peng et al. (1995). Chaos 5, 82-87. doi:10.1063/1.166141
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled, compiled_sums
from features.hrv.segments import FloatArray, Segments
from store.types import NnSeries

SHORT_SCALES = (4, 16)
LONG_SCALES = (16, 64)
MIN_BEATS_LONG = 128
"""Two boxes of the longest scale; below, the long exponent is undefined."""
_FEWEST_SCALES = 3


@dataclass(frozen=True, slots=True)
class Scaling:
    """Exponents of m spans; NaN where undefined.

    Attributes
    ----------
    dfa_a1, dfa_a2 : (m,) float64
        Slopes over all scales of 4-16 and 16-64 beats.
    """

    dfa_a1: FloatArray
    dfa_a2: FloatArray


def scaling(nn: NnSeries, segments: Segments) -> Scaling:
    """Compute both exponents of every span: non-overlapping boxes, remainder dropped, linear detrending."""
    table = np.empty((2, len(segments)))
    _scaling_kernel(nn.nn_ms, nn.follows_previous, segments.first, segments.last, table)
    return Scaling(*table)


@compiled
def _scaling_kernel(
    nn_ms: FloatArray,
    follows: NDArray[np.bool_],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: FloatArray,
) -> None:
    smallest, largest = SHORT_SCALES[0], LONG_SCALES[1]
    log_fluctuation, from_centre = np.empty(largest + 1), np.empty(largest)
    log_scale = np.log10(np.arange(largest + 1))
    for k in range(len(first)):
        x = nn_ms[first[k] : last[k]]
        n = len(x)
        out[:, k] = np.nan
        if n < 2 * smallest:
            continue
        profile = np.cumsum(x - x.mean())
        breaks = np.flatnonzero(~follows[first[k] + 1 : last[k]]) + 1
        edges = np.empty(len(breaks) + 2, np.int64)
        edges[0], edges[-1] = 0, n
        edges[1:-1] = breaks
        for scale in range(smallest, largest + 1):
            log_fluctuation[scale] = np.nan
            if 2 * scale <= n:
                log_fluctuation[scale] = _log_fluctuation(profile, edges, scale, from_centre[:scale])
        out[0, k] = _slope(log_scale, log_fluctuation, SHORT_SCALES[0], min(SHORT_SCALES[1], n // 2))
        if n >= MIN_BEATS_LONG:
            out[1, k] = _slope(log_scale, log_fluctuation, LONG_SCALES[0], LONG_SCALES[1])


@compiled
def _log_fluctuation(
    profile: FloatArray, edges: NDArray[np.int64], scale: int, from_centre: FloatArray
) -> float:
    """Return the common logarithm of the root mean square distance from the line fitted in each box."""
    for i in range(scale):
        from_centre[i] = i - (scale - 1) / 2
    spread = scale * (scale * scale - 1) / 12
    total, boxes = 0.0, 0
    for run in range(len(edges) - 1):
        for start in range(edges[run], edges[run + 1] - scale + 1, scale):
            level, tilt, squares = _sums(profile[start : start + scale], from_centre)
            total += max(squares - level * level / scale - tilt * tilt / spread, 0.0)
            boxes += 1
    return 0.5 * np.log10(total / (boxes * scale)) if boxes and total > 0 else np.nan


@compiled_sums
def _sums(box: FloatArray, from_centre: FloatArray) -> tuple[float, float, float]:
    """Return what a line through a box is fitted from: sum y, sum y x, sum y^2."""
    # Relative to its first point, or the squares would drown what is left of them.
    origin = box[0]
    level, tilt, squares = 0.0, 0.0, 0.0
    for i in range(len(box)):
        y = box[i] - origin
        level += y
        tilt += y * from_centre[i]
        squares += y * y
    return level, tilt, squares


@compiled
def _slope(log_scale: FloatArray, log_fluctuation: FloatArray, lowest: int, highest: int) -> float:
    n = highest - lowest + 1
    if n < _FEWEST_SCALES:
        return np.nan
    mean_x, mean_y = 0.0, 0.0
    for scale in range(lowest, highest + 1):
        mean_x += log_scale[scale] / n
        mean_y += log_fluctuation[scale] / n
    along, across = 0.0, 0.0
    for scale in range(lowest, highest + 1):
        dx = log_scale[scale] - mean_x
        along += dx * dx
        across += dx * (log_fluctuation[scale] - mean_y)
    return across / along
