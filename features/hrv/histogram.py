"""Geometric values: triangular index, TINN and Baevsky's stress index, from the histogram of NN intervals.

References
----------
Task Force of the ESC and NASPE (1996). Circulation 93, 1043-1065. doi:10.1161/01.CIR.93.5.1043
Baevsky & Chernikova (2017). Cardiometry 10, 66-76. doi:10.12710/cardiometry.2017.10.6676
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from store.types import NnSeries

BIN_MS = 1000 / 128
"""Task Force: bins of 1/128 s; edges at whole multiples."""
_STRESS_BIN_MS = 50.0
_DUST = 1e9
_WIDEST_MS = 64_000.0
"""No longer interval can be sent; one that is would make the histogram as large as it likes."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """Values of m spans; NaN without intervals.

    Attributes
    ----------
    hti : (m,) float64
        NN intervals over the height of their histogram.
    tinn_ms : (m,) float64
        Base of the triangle that fits the histogram best, over all bases (least squares).
    stress_index : (m,) float64
        Baevsky's: AMo / (2 Mo MxDMn), percent per s^2, bins of 50 ms, Mo the median.
    """

    hti: FloatArray
    tinn_ms: FloatArray
    stress_index: FloatArray


def geometry(nn: NnSeries, segments: Segments) -> Geometry:
    """Compute the geometric values of every span."""
    table = np.empty((3, len(segments)))
    _geometry_kernel(nn.nn_ms, segments.first, segments.last, table)
    return Geometry(*table)


@compiled
def _geometry_kernel(
    nn_ms: FloatArray, first: NDArray[np.int64], last: NDArray[np.int64], out: FloatArray
) -> None:
    for k in range(len(first)):
        nn = nn_ms[first[k] : last[k]]
        out[:, k] = np.nan
        if len(nn) == 0 or nn.max() > _WIDEST_MS:
            continue
        bins = np.floor(np.round(nn / BIN_MS * _DUST) / _DUST).astype(np.int64)
        heights = np.zeros(bins.max() - bins.min() + 3)  # an empty bin on each side
        for at in bins - bins.min() + 1:
            heights[at] += 1
        out[0, k] = len(nn) / heights.max()
        out[1, k] = _tinn_bins(heights) * BIN_MS
        out[2, k] = _stress(nn)


@compiled
def _tinn_bins(heights: FloatArray) -> float:
    # The error of a triangle is that of its left flank plus that of its right one, for the apex is fixed.
    apex = int(np.argmax(heights))
    left, right = 0, apex + 1
    best = np.inf
    outside = 0.0
    for n in range(apex):
        error = outside
        slope = heights[apex] / (apex - n)
        for x in range(n, apex):
            error += (heights[x] - slope * (x - n)) ** 2
        if error < best - 1e-9:
            best, left = error, n
        outside += heights[n] ** 2
    best = np.inf
    beyond = 0.0
    for x in range(apex + 1, len(heights)):
        beyond += heights[x] ** 2
    for m in range(apex + 1, len(heights)):
        beyond -= heights[m] ** 2
        error = beyond
        slope = heights[apex] / (m - apex)
        for x in range(apex + 1, m + 1):
            error += (heights[x] - slope * (m - x)) ** 2
        if error < best - 1e-9:
            best, right = error, m
    return float(right - left)


@compiled
def _stress(nn: FloatArray) -> float:
    span_s = (nn.max() - nn.min()) / 1000
    if span_s <= 0:
        return np.nan
    bins = np.floor(nn / _STRESS_BIN_MS).astype(np.int64)
    heights = np.bincount(bins - bins.min())
    return 100 * heights.max() / len(nn) / (2 * np.median(nn) / 1000 * span_s)
