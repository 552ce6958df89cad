"""Power of NN intervals by frequency, by Welch's method: the primary estimate.

Densities are one-sided, in ms^2/Hz; the power of a band is the exact integral of the density joined by
straight lines. A sine of amplitude A adds A^2 / 2 (checked with the patterns of ANSI/AAMI EC57).

References
----------
Task Force of the ESC and NASPE (1996). Circulation 93, 1043-1065. doi:10.1161/01.CIR.93.5.1043
Welch (1967). IEEE Trans Audio 15, 70-73. doi:10.1109/TAU.1967.1161901
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments, whole
from store.types import NnSeries
from store.units import NS_PER_S

BANDS_HZ = {"vlf": (0.0033, 0.04), "lf": (0.04, 0.15), "hf": (0.15, 0.40)}
EDGES_HZ = np.array([0.0033, 0.04, 0.15, 0.40])

RESAMPLED_HZ = 4.0
SEGMENT_S = 300.0
"""Longer stretches are cut in segments of this, half overlapping."""

FEWEST_BEATS = 4
"""A cubic needs four points."""

SLOWEST_BEAT_S = 10.0
"""Intervals longer than this on average are no heart's, and would make the spectrum as long as they like."""

_BATCH_SAMPLES = 1 << 15
"""Samples worked on at once: few enough to stay in the cache, enough to forget Python."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Band powers of m spans; NaN with fewer than four intervals.

    Attributes
    ----------
    vlf_ms2, lf_ms2, hf_ms2 : (m,) float64
        Power in 0.0033-0.04, 0.04-0.15 and 0.15-0.40 Hz.
    lf_peak_hz, hf_peak_hz : (m,) float64
        Frequency of the highest density in the band; NaN where there is no power.
    """

    vlf_ms2: FloatArray
    lf_ms2: FloatArray
    hf_ms2: FloatArray
    lf_peak_hz: FloatArray
    hf_peak_hz: FloatArray

    @property
    def total_ms2(self) -> FloatArray:
        """Power of the three bands."""
        return self.vlf_ms2 + self.lf_ms2 + self.hf_ms2

    @property
    def lf_hf(self) -> FloatArray:
        """LF over HF; NaN where HF is 0."""
        return self.lf_ms2 / np.where(self.hf_ms2 > 0, self.hf_ms2, np.nan)

    @property
    def lf_nu_pct(self) -> FloatArray:
        """LF in percent of LF + HF."""
        return 100 * self.lf_ms2 / self._both()

    @property
    def hf_nu_pct(self) -> FloatArray:
        """HF in percent of LF + HF."""
        return 100 * self.hf_ms2 / self._both()

    def _both(self) -> FloatArray:
        both = self.lf_ms2 + self.hf_ms2
        return np.where(both > 0, both, np.nan)


def welch(nn: NnSeries, segments: Segments) -> Spectrum:
    """Compute band powers by Welch's method.

    Not-a-knot cubic spline through the NN intervals at their times, sampled at 4 Hz; mean removed; periodic
    Hann window; one segment up to 300 s, half overlapping ones beyond. The spline bridges removed beats, so
    that a stretch with long gaps has to be withheld (`features.hrv.gates`).
    """
    out = np.full((len(segments), 5), np.nan)
    rows, span_s = rows_with_a_spectrum(nn.t_ns, segments)
    n_samples = np.zeros(len(segments), np.int64)
    n_samples[rows] = np.floor(span_s * RESAMPLED_HZ + 1e-9).astype(np.int64) + 1
    for group in of_equal_length(rows, n_samples):
        first, last = segments.first[group], segments.last[group]
        series = np.empty((len(group), int(n_samples[group[0]])))
        _spline_kernel(nn.t_ns, nn.nn_ms, first, last, series)
        step_hz, density = _welch_density(series)
        band_kernel(np.full(len(group), step_hz), density, EDGES_HZ, out, group)
    return Spectrum(*np.ascontiguousarray(out.T))


def welch_density(nn: NnSeries) -> tuple[FloatArray, FloatArray]:
    """Return the frequencies in Hz, (k,), and Welch's density in ms^2/Hz, (k,), of a series as one stretch.

    Both are empty where there is no spectrum: fewer than four intervals.
    """
    segment = whole(nn)
    rows, span_s = rows_with_a_spectrum(nn.t_ns, segment)
    if not len(rows):
        return np.zeros(0), np.zeros(0)
    series = np.empty((1, int(np.floor(span_s[0] * RESAMPLED_HZ + 1e-9)) + 1))
    _spline_kernel(nn.t_ns, nn.nn_ms, segment.first[rows], segment.last[rows], series)
    step_hz, density = _welch_density(series)
    frequency_hz = np.arange(density.shape[1], dtype=np.float64) * step_hz
    return frequency_hz, density.reshape(-1)


def rows_with_a_spectrum(t_ns: NDArray[np.int64], segments: Segments) -> tuple[NDArray[np.intp], FloatArray]:
    """Return which spans have beats enough, and seconds from the end of their first interval to the last."""
    rows = np.flatnonzero(segments.n_beats >= FEWEST_BEATS)
    span_s = (t_ns[segments.last[rows] - 1] - t_ns[segments.first[rows]]) / NS_PER_S
    kept = span_s <= SLOWEST_BEAT_S * segments.n_beats[rows]
    return rows[kept], span_s[kept]


def of_equal_length(rows: NDArray[np.intp], length: NDArray[np.int64]) -> list[NDArray[np.intp]]:
    """Return the rows in groups of one length, small enough to be worked on at once."""
    if not len(rows):
        return []
    ordered = rows[np.argsort(length[rows], kind="stable")]
    edges = np.flatnonzero(np.diff(length[ordered])) + 1
    groups: list[NDArray[np.intp]] = []
    for group in np.split(ordered, edges):
        batch = max(1, _BATCH_SAMPLES // int(length[group[0]]))
        groups += [group[k : k + batch] for k in range(0, len(group), batch)]
    return groups


def _welch_density(series: FloatArray) -> tuple[float, FloatArray]:
    """Return the step of the frequencies in Hz and the densities (m, frequencies) of (m, samples)."""
    n = min(round(SEGMENT_S * RESAMPLED_HZ), series.shape[1])
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n) / n)
    scale = 1.0 / (RESAMPLED_HZ * np.sum(hann * hann))
    starts = range(0, series.shape[1] - n + 1, n - n // 2)
    density = np.zeros((len(series), n // 2 + 1))
    for start in starts:
        part = series[:, start : start + n]
        part = (part - part.mean(axis=1, keepdims=True)) * hann
        transformed = cast("NDArray[np.complex128]", cast("Any", scipy.fft).rfft(part, axis=1))
        density += transformed.real**2 + transformed.imag**2
    density *= scale / len(starts)
    density[:, 1:] *= 2
    if n % 2 == 0:
        density[:, -1] /= 2
    return RESAMPLED_HZ / n, density


@compiled
def _spline_kernel(
    t_ns: NDArray[np.int64],
    nn_ms: FloatArray,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: FloatArray,
) -> None:
    """Sample the not-a-knot cubic spline of each stretch; slopes from a tridiagonal system (de Boor)."""
    for k in range(len(first)):
        # From its own first beat, so that the values of a stretch depend on nothing before it.
        x = (t_ns[first[k] : last[k]] - t_ns[first[k]]) / NS_PER_S
        y = nn_ms[first[k] : last[k]]
        n = len(x)
        h = x[1:] - x[:-1]
        secant = (y[1:] - y[:-1]) / h
        diagonal, upper, slope = np.empty(n), np.empty(n), np.empty(n)
        # Rows of the ends: the third derivative does not jump at the second and last but one point.
        diagonal[0], upper[0] = h[1], h[0] + h[1]
        slope[0] = ((h[0] + 2 * upper[0]) * h[1] * secant[0] + h[0] ** 2 * secant[1]) / upper[0]
        for i in range(1, n - 1):
            weight = h[i] / diagonal[i - 1]
            diagonal[i] = 2 * (h[i - 1] + h[i]) - weight * upper[i - 1]
            upper[i] = h[i - 1]
            slope[i] = 3 * (h[i] * secant[i - 1] + h[i - 1] * secant[i]) - weight * slope[i - 1]
        reach = h[n - 2] + h[n - 3]
        weight = reach / diagonal[n - 2]
        diagonal[n - 1] = h[n - 3] - weight * upper[n - 2]
        ending = (h[n - 2] ** 2 * secant[n - 3] + (2 * reach + h[n - 2]) * h[n - 3] * secant[n - 2]) / reach
        slope[n - 1] = (ending - weight * slope[n - 2]) / diagonal[n - 1]
        for i in range(n - 2, -1, -1):
            slope[i] = (slope[i] - upper[i] * slope[i + 1]) / diagonal[i]
        i = 0
        for sample in range(out.shape[1]):
            at = x[0] + sample / RESAMPLED_HZ
            while i < n - 2 and at >= x[i + 1]:
                i += 1
            d = at - x[i]
            bend = (slope[i] + slope[i + 1] - 2 * secant[i]) / h[i]
            out[k, sample] = y[i] + d * (
                slope[i] + d * ((secant[i] - slope[i]) / h[i] - bend + d * bend / h[i])
            )


@compiled
def band_kernel(
    step_hz: FloatArray,
    density: FloatArray,
    edges_hz: FloatArray,
    out: FloatArray,
    rows: NDArray[np.int64],
) -> None:
    """Integrate densities at multiples of a step between the edges, and find the peaks of LF and HF."""
    n = density.shape[1]
    for k in range(len(step_hz)):
        df = step_hz[k]
        for band in range(3):
            low, high = edges_hz[band], edges_hz[band + 1]
            i, j = int(np.floor(low / df)) + 1, int(np.ceil(high / df)) - 1
            total, before, value_before = 0.0, low, _between(density[k], low / df)
            peak, peak_hz = 0.0, np.nan
            for at in range(i, min(j, n - 1) + 1):
                value = density[k, at]
                total += (at * df - before) * (value + value_before) / 2
                before, value_before = at * df, value
                if value > peak:
                    peak, peak_hz = value, at * df
            total += (high - before) * (_between(density[k], high / df) + value_before) / 2
            out[rows[k], band] = total
            if band:
                out[rows[k], 2 + band] = peak_hz


@compiled
def _between(density: FloatArray, at: float) -> float:
    """Density between two frequencies; that of the nearest one outside all."""
    i = int(np.floor(at))
    if i >= len(density) - 1:
        return density[-1]
    return density[i] + (at - i) * (density[i + 1] - density[i])
