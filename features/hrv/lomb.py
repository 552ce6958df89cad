"""Lomb-Scargle power of NN intervals: no resampling, but another estimate than Welch's; the two never mix.

On clean stretches it is higher in LF and HF, for it has no taper against leakage from below. It is no remedy
for missing beats: with one in five missing, HF is wrong by 100 %.

References
----------
Scargle (1982). Astrophys J 263, 835-853. doi:10.1086/160554
Barnett et al. (2019). SIAM J Sci Comput 41, C479-C504. doi:10.1137/18M120885X (the fast sums)
"""

from functools import cache
from typing import Any, cast

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from features.hrv.spectrum import EDGES_HZ, FEWEST_BEATS, Spectrum, band_kernel, of_equal_length
from store.types import NnSeries
from store.units import NS_PER_S

OVERSAMPLING = 4
"""Frequencies are 1 / (4 T) apart, up to 0.4 Hz."""

_WIDTH = 10
_SHAPE = 2.30 * _WIDTH
"""A spreading kernel of ten points at twofold oversampling: sums right to 1e-9 (Barnett 2019, 3.2)."""


def lomb(nn: NnSeries, segments: Segments) -> Spectrum:
    """Compute band powers by the Lomb-Scargle periodogram, scaled to a one-sided density: 2 P T / N."""
    out = np.full((len(segments), 5), np.nan)
    rows = np.flatnonzero(segments.n_beats >= FEWEST_BEATS)
    t_s = (nn.t_ns - nn.t_ns[0]) / NS_PER_S if len(nn) else np.zeros(0)
    n = segments.n_beats[rows]
    span_s = (t_s[segments.last[rows] - 1] - t_s[segments.first[rows]]) * n / (n - 1)
    step_hz = np.zeros(len(segments))
    step_hz[rows] = 1 / (OVERSAMPLING * span_s)
    highest = np.zeros(len(segments), np.int64)
    highest[rows] = np.ceil(EDGES_HZ[-1] / step_hz[rows]).astype(np.int64) + 1
    n_grid = np.zeros(len(segments), np.int64)
    n_grid[rows] = [_grid_size(int(k)) for k in highest[rows]]
    for group in of_equal_length(rows, n_grid):
        first, last = segments.first[group], segments.last[group]
        k_highest = int(highest[group].max())
        grids = np.zeros((len(group), 2, int(n_grid[group[0]])))
        _spread_kernel(t_s, nn.nn_ms, first, last, step_hz[group], grids)
        sums = cast("NDArray[np.complex128]", cast("Any", scipy.fft).rfft(grids, axis=2))
        kernel = _kernel_transform(grids.shape[2], 2 * k_highest)
        density = np.empty((len(group), k_highest + 1))
        _density_kernel(sums, kernel, last - first, step_hz[group], density)
        band_kernel(step_hz[group], density, EDGES_HZ, out, group)
    return Spectrum(*np.ascontiguousarray(out.T))


@cache
def _grid_size(highest: int) -> int:
    # The sums of ones are needed up to twice the highest frequency, and the grid twice as fine as that.
    return int(cast("Any", scipy.fft).next_fast_len(8 * highest + 8, real=True))


@cache
def _kernel_transform(n_grid: int, highest: int) -> FloatArray:
    """Fourier transform of the spreading kernel at 0 ... `highest` cycles per grid."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    values = weights * np.exp(_SHAPE * (np.sqrt(1 - nodes**2) - 1))
    half = np.pi * _WIDTH / n_grid
    return _WIDTH / 2 * (np.cos(half * np.outer(np.arange(highest + 1), nodes)) @ values)


@compiled
def _spread_kernel(
    t_s: FloatArray,
    nn_ms: FloatArray,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    step_hz: FloatArray,
    grids: FloatArray,
) -> None:
    n_grid = grids.shape[2]
    for k in range(len(first)):
        mean = nn_ms[first[k] : last[k]].mean()
        for i in range(first[k], last[k]):
            at = (t_s[i] - t_s[first[k]]) * step_hz[k] * n_grid
            start = int(np.ceil(at - _WIDTH / 2))
            for point in range(start, start + _WIDTH):
                z = (point - at) / (_WIDTH / 2)
                weight = np.exp(_SHAPE * (np.sqrt(max(1 - z * z, 0.0)) - 1))
                grids[k, 0, point % n_grid] += weight * (nn_ms[i] - mean)
                grids[k, 1, point % n_grid] += weight


@compiled
def _density_kernel(
    sums: NDArray[np.complex128],
    kernel: FloatArray,
    n_beats: NDArray[np.int64],
    step_hz: FloatArray,
    density: FloatArray,
) -> None:
    for k in range(len(n_beats)):
        n = n_beats[k]
        scale = 2 / (OVERSAMPLING * step_hz[k]) / n
        for m in range(1, density.shape[1]):
            values = np.conj(sums[k, 0, m]) / kernel[m]
            ones = np.conj(sums[k, 1, 2 * m]) / kernel[2 * m]
            # Scargle's tau makes the sums of cosine and sine products vanish; its half angle:
            length = abs(ones)
            cos_2 = ones.real / length if length > 0 else 1.0
            cos_1 = np.sqrt(max(0.5 * (1 + cos_2), 0.0))
            sin_1 = np.copysign(np.sqrt(max(0.5 * (1 - cos_2), 0.0)), ones.imag)
            along = values.real * cos_1 + values.imag * sin_1
            across = values.imag * cos_1 - values.real * sin_1
            power = along * along / (n + length)
            if n - length > 0:
                power += across * across / (n - length)
            density[k, m] = scale * power
        density[k, 0] = density[k, 1]
