"""Lomb-Scargle power of NN intervals: no resampling, but another estimate than Welch's; the two never mix.

On clean stretches it is higher in LF and HF, for it has no taper against leakage from below. It is no remedy
for missing beats: with one in five missing, HF is wrong by 100 %.

References
----------
Scargle (1982). Astrophys J 263, 835-853. doi:10.1086/160554
Barnett et al. (2019). SIAM J Sci Comput 41, C479-C504. doi:10.1137/18M120885X (the fast sums)
"""

from functools import lru_cache
from typing import Any, cast

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from features.hrv.spectrum import EDGES_HZ, Spectrum, band_kernel, of_equal_length, rows_with_a_spectrum
from store.types import NnSeries
from store.units import NS_PER_S

OVERSAMPLING = 4
"""Frequencies are 1 / (4 T) apart, up to 0.4 Hz."""

_WIDTH = 10
_SHAPE = 2.30 * _WIDTH
"""A spreading kernel of ten points at twofold oversampling: sums right to 1e-9 (Barnett 2019, 3.2)."""
_DEGREE = 9
"""Of the polynomials that stand for the kernel from one grid point to the next."""
_AT_ONCE = 4096


def lomb(nn: NnSeries, segments: Segments) -> Spectrum:
    """Compute band powers by the Lomb-Scargle periodogram, scaled to a one-sided density: 2 P T / N."""
    out = np.full((len(segments), 5), np.nan)
    rows, span_s = rows_with_a_spectrum(nn.t_ns, segments)
    n = segments.n_beats[rows]
    step_hz = np.zeros(len(segments))
    step_hz[rows] = 1 / (OVERSAMPLING * span_s * n / (n - 1))
    highest = np.zeros(len(segments), np.int64)
    highest[rows] = np.ceil(EDGES_HZ[-1] / step_hz[rows]).astype(np.int64) + 1
    n_grid = np.zeros(len(segments), np.int64)
    n_grid[rows] = [_grid_size(k) for k in highest[rows].tolist()]
    weights = _weight_polynomials()
    for group in of_equal_length(rows, n_grid):
        first, last = segments.first[group], segments.last[group]
        k_highest = int(highest[group].max())
        grids = np.zeros((len(group), 2, int(n_grid[group[0]])))
        _spread_kernel(nn.t_ns, nn.nn_ms, first, last, step_hz[group], weights, grids)
        sums = cast("NDArray[np.complex128]", cast("Any", scipy.fft).rfft(grids, axis=2))
        kernel = _kernel_transform(grids.shape[2])
        density = np.empty((len(group), k_highest + 1))
        _density_kernel(sums, kernel, last - first, step_hz[group], density)
        band_kernel(step_hz[group], density, EDGES_HZ, out, group)
    return Spectrum(*np.ascontiguousarray(out.T))


@lru_cache(maxsize=1024)
def _grid_size(highest: int) -> int:
    # Few different sizes, so that windows share one and the transform of the kernel.
    needed = 4 * highest + 8
    step = 1 << max(needed.bit_length() - 5, 0)
    return int(cast("Any", scipy.fft).next_fast_len(-(-needed // step) * step, real=True))


@lru_cache(maxsize=32)
def _kernel_transform(n_grid: int) -> FloatArray:
    """Fourier transform of the spreading kernel at 0, 1, ... cycles per grid, as far as sums are used."""
    highest = n_grid // 4
    nodes, weights = np.polynomial.legendre.leggauss(60)
    values = weights * np.exp(_SHAPE * (np.sqrt(1 - nodes**2) - 1))
    phases = np.pi * _WIDTH / n_grid * nodes
    parts = [
        np.cos(np.outer(np.arange(start, min(start + _AT_ONCE, highest + 1)), phases)) @ values
        for start in range(0, highest + 1, _AT_ONCE)
    ]
    return _WIDTH / 2 * np.concatenate(parts)


@lru_cache(maxsize=1)
def _weight_polynomials() -> FloatArray:
    """Return the kernel at its ten points as polynomials of the first one's place, (degree + 1, points)."""
    u = 0.5 + 0.5 * np.cos(np.pi * (np.arange(_DEGREE + 1) + 0.5) / (_DEGREE + 1))
    z = (u[:, None] + np.arange(_WIDTH)) / (_WIDTH / 2) - 1
    heights = np.exp(_SHAPE * (np.sqrt(1 - z**2) - 1))
    # In powers of the distance from the middle, where the system is well conditioned.
    return np.linalg.solve(np.vander(2 * u - 1), heights).astype(np.float64)


@compiled
def _spread_kernel(  # noqa: PLR0913, PLR0917 - one loop over its arrays
    t_ns: NDArray[np.int64],
    nn_ms: FloatArray,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    step_hz: FloatArray,
    polynomials: FloatArray,
    grids: FloatArray,
) -> None:
    """Spread values, and ones at twice their phases: Scargle's tau asks for the sums of doubled angles."""
    for k in range(len(first)):
        nn = nn_ms[first[k] : last[k]]
        at = (t_ns[first[k] : last[k]] - t_ns[first[k]]) / NS_PER_S * (step_hz[k] * grids.shape[2])
        _spread(at, nn - nn.mean(), polynomials, grids[k, 0])
        _spread(2 * at, np.ones(len(nn)), polynomials, grids[k, 1])


@compiled
def _spread(at: FloatArray, values: FloatArray, polynomials: FloatArray, grid: FloatArray) -> None:
    """Add values at places in units of the grid, ascending from 0, to the ten points around each."""
    n, n_grid = len(at), len(grid)
    start, u, weight = np.empty(n, np.int64), np.empty(n), np.empty(n)
    n_wrapped = 0
    for i in range(n):
        start[i] = int(np.ceil(at[i] - _WIDTH / 2))
        u[i] = 2 * (start[i] - (at[i] - _WIDTH / 2)) - 1
        n_wrapped += start[i] < 0
    for point in range(_WIDTH):
        weight[:] = polynomials[0, point]
        for power in range(1, _DEGREE + 1):
            # Neighbouring beats are independent, so that several are worked on at once.
            for i in range(n):
                weight[i] = weight[i] * u[i] + polynomials[power, point]
        for i in range(n_wrapped):
            grid[(start[i] + point) % n_grid] += weight[i] * values[i]
        for i in range(n_wrapped, n):
            grid[start[i] + point] += weight[i] * values[i]


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
            ones = np.conj(sums[k, 1, m]) / kernel[m]
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
