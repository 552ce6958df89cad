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
_BINS_PER_MS = 128 / 1000
_DUST_BINS = 0.5e-9
"""An interval this close below an edge lies on it: what grids of sensors leave when they become ms."""
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
    longest = 0
    for k in range(len(first)):
        longest = max(longest, last[k] - first[k])
    buffer = np.empty(longest, np.int64)
    for k in range(len(first)):
        nn = nn_ms[first[k] : last[k]]
        out[:, k] = np.nan
        shortest_ms, longest_ms = _ends(nn)
        if len(nn) == 0 or longest_ms > _WIDEST_MS:
            continue
        bins = buffer[: len(nn)]
        lowest = _bin(shortest_ms) - 1  # an empty bin on each side
        heights = np.zeros(_bin(longest_ms) - lowest + 2, np.int64)
        for i in range(len(nn)):
            bins[i] = _bin(nn[i]) - lowest
            heights[bins[i]] += 1
        out[0, k] = len(nn) / heights.max()
        out[1, k] = _tinn_bins(heights) * BIN_MS
        if longest_ms > shortest_ms:
            spread = 2 * _median(nn, bins, heights) / 1000 * ((longest_ms - shortest_ms) / 1000)
            out[2, k] = 100 * _mode(nn, shortest_ms, longest_ms) / len(nn) / spread


@compiled
def _ends(nn: FloatArray) -> tuple[float, float]:
    shortest, longest = np.inf, -np.inf
    for value in nn:
        shortest, longest = min(shortest, value), max(longest, value)
    return shortest, longest


@compiled
def _bin(value_ms: float) -> int:
    return int(value_ms * _BINS_PER_MS + _DUST_BINS)


@compiled
def _tinn_bins(heights: NDArray[np.int64]) -> int:
    # The error of a triangle is that of its left flank plus that of its right one, for the apex is fixed.
    apex = int(np.argmax(heights))
    left = _flank(heights[: apex + 1][::-1], 1)
    return left + _flank(heights[apex:], -1)


@compiled
def _flank(heights: NDArray[np.int64], of_equals: int) -> int:
    """Return how many bins from the apex, `heights[0]`, the flank that fits best comes down to 0.

    With a flank of L bins the squared error, less the sum of h^2 that all share, is
    H / (6 L) (H (L - 1) (2 L - 1) - 12 sum h[x] (L - x)): one pass over the bins, in whole numbers, so that
    two flanks are equal or they are not. Of equal ones the longer (`of_equals` 1) or shorter (-1) is taken.
    """
    best, best_length = 0, 0
    inside, moment = 0, 0
    for length in range(1, len(heights)):
        moment += inside
        inside += heights[length]
        error = heights[0] * (length - 1) * (2 * length - 1) - 12 * moment
        ahead = error * best_length - best * length
        if best_length == 0 or ahead < 0 or (ahead == 0 and of_equals > 0):
            best, best_length = error, length
    return best_length


@compiled
def _mode(nn: FloatArray, shortest_ms: float, longest_ms: float) -> int:
    """Return the height of the stress index's histogram."""
    lowest = int(shortest_ms / _STRESS_BIN_MS)
    heights = np.zeros(int(longest_ms / _STRESS_BIN_MS) - lowest + 1, np.int64)
    for value in nn:
        heights[int(value / _STRESS_BIN_MS) - lowest] += 1
    return heights.max()


@compiled
def _median(nn: FloatArray, bins: NDArray[np.int64], heights: NDArray[np.int64]) -> float:
    """Return the median; the histogram says in which bin to look for it."""
    rank, at = len(nn) // 2, 0
    while rank >= heights[at]:
        rank -= heights[at]
        at += 1
    there = np.partition(_in_bin(nn, bins, at, heights[at]), rank)
    if len(nn) % 2:
        return there[rank]
    if rank == 0:
        # The last of an earlier bin precedes.
        earlier = at - 1
        while heights[earlier] == 0:
            earlier -= 1
        return (_in_bin(nn, bins, earlier, heights[earlier]).max() + there[0]) / 2
    return (there[:rank].max() + there[rank]) / 2


@compiled
def _in_bin(nn: FloatArray, bins: NDArray[np.int64], at: int, height: int) -> FloatArray:
    found = np.empty(height + 1)
    n = 0
    for i in range(len(nn)):
        # Written first and counted afterwards: no branch to guess.
        found[n] = nn[i]
        n += bins[i] == at
    return found[:height]
