"""Time domain, Poincaré plot, asymmetry and fragmentation: what follows from beats and their differences.

Differences are taken only between intervals that share a beat and lie in the same span.

References
----------
Task Force of the ESC and NASPE (1996). Circulation 93, 1043-1065. doi:10.1161/01.CIR.93.5.1043
Brennan et al. (2001). IEEE Trans Biomed Eng 48, 1342-1347. doi:10.1109/10.959330 (Poincaré)
Guzik et al. (2006). Biomed Tech 51, 272-275. doi:10.1515/BMT.2006.054 (asymmetry)
Porta et al. (2008). Am J Physiol 295, R550-R557. doi:10.1152/ajpregu.00129.2008 (asymmetry)
Costa et al. (2017). Front Physiol 8, 255. doi:10.3389/fphys.2017.00255 (fragmentation)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from store.types import NnSeries

_TICKS_PER_MS = 1e6
"""Differences are rounded to 1e-6 ms, so that one of exactly 50 ms is not counted as more."""

SLOW_HEART_BPM = 48.0
"""0.4 Hz, the upper edge of HF, is half of 48 beats a minute: a slower heart does not sample that fast."""

_LONG_RUN = 3
_LONG_ALTERNATION = 4
"""Costa (2017): segments of at least 3 intervals in one direction; at least 4 that alternate."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Values of m spans; NaN where a span has too few intervals to define one.

    Attributes
    ----------
    n_nn, n_differences : (m,) int64
        NN intervals, and successive differences between intervals that share a beat.
    nn_total_ms : (m,) float64
        Time covered by NN intervals.
    mean_nn_ms, sdnn_ms, rmssd_ms, sdsd_ms, pnn50_pct, pnn20_pct : (m,) float64
    guzik_pct : (m,) float64
        Share of squared decelerations in all squared differences (Guzik's index with squares, C1d).
    porta_pct : (m,) float64
        Share of accelerations in all differences but zeros.
    """

    n_nn: NDArray[np.int64]
    n_differences: NDArray[np.int64]
    nn_total_ms: FloatArray
    mean_nn_ms: FloatArray
    sdnn_ms: FloatArray
    rmssd_ms: FloatArray
    sdsd_ms: FloatArray
    pnn50_pct: FloatArray
    pnn20_pct: FloatArray
    guzik_pct: FloatArray
    porta_pct: FloatArray

    @property
    def mean_hr_bpm(self) -> FloatArray:
        """Heart rate at the mean interval, 60000 / mean NN."""
        return 60_000 / self.mean_nn_ms

    @property
    def hf_is_limited(self) -> FloatArray:
        """1 where the heart is too slow for the upper edge of HF, 0 elsewhere."""
        return (self.mean_hr_bpm < SLOW_HEART_BPM).astype(np.float64)

    @property
    def cvnn(self) -> FloatArray:
        """SDNN in units of the mean NN."""
        return self.sdnn_ms / self.mean_nn_ms

    @property
    def ln_rmssd(self) -> FloatArray:
        """Natural logarithm of RMSSD in ms; NaN where that is 0."""
        return np.log(np.where(self.rmssd_ms > 0, self.rmssd_ms, np.nan))

    @property
    def sd1_ms(self) -> FloatArray:
        """Spread across the identity line of the Poincaré plot, SDSD / sqrt 2."""
        return self.sdsd_ms / np.sqrt(2)

    @property
    def sd2_ms(self) -> FloatArray:
        """Spread along the identity line, sqrt(2 SDNN^2 - SDSD^2 / 2)."""
        return np.sqrt(np.maximum(2 * self.sdnn_ms**2 - self.sdsd_ms**2 / 2, 0.0))

    @property
    def ellipse_ms2(self) -> FloatArray:
        """Area of the Poincaré ellipse, pi SD1 SD2."""
        return np.pi * self.sd1_ms * self.sd2_ms


def beats(nn: NnSeries, segments: Segments) -> Beats:
    """Compute the time-domain, Poincaré and asymmetry values of every span."""
    table = np.empty((11, len(segments)))
    _beats_kernel(nn.nn_ms, nn.follows_previous, segments.first, segments.last, table)
    counts = table[:2].astype(np.int64)
    return Beats(counts[0], counts[1], *table[2:])


@compiled
def _difference(nn_ms: FloatArray, i: int) -> float:
    """Return a successive difference in whole ticks: dividing every one would cost most of the time."""
    return np.rint((nn_ms[i] - nn_ms[i - 1]) * _TICKS_PER_MS)


@compiled
def _beats_kernel(
    nn_ms: FloatArray,
    follows: NDArray[np.bool_],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: FloatArray,
) -> None:
    for k in range(len(first)):
        a, b = first[k], last[k]
        n = b - a
        total = 0.0
        for i in range(a, b):
            total += nn_ms[i]
        mean = total / n if n else np.nan
        squares = 0.0
        differences, squared, above_50, above_20, signed = 0, 0.0, 0, 0, 0.0
        up, down, up_squared = 0, 0, 0.0
        for i in range(a, b):
            squares += (nn_ms[i] - mean) ** 2
            if i == a or not follows[i]:
                continue
            d = _difference(nn_ms, i)
            differences += 1
            signed += d
            squared += d * d
            above_50 += abs(d) > 50 * _TICKS_PER_MS
            above_20 += abs(d) > 20 * _TICKS_PER_MS
            up += d > 0
            down += d < 0
            up_squared += d * d if d > 0 else 0.0
        mean_difference = signed / differences if differences else np.nan
        spread = 0.0
        for i in range(a + 1, b):
            if follows[i]:
                d = _difference(nn_ms, i)
                spread += (d - mean_difference) ** 2
        out[0, k], out[1, k], out[2, k], out[3, k] = n, differences, total, mean
        out[4, k] = np.sqrt(squares / (n - 1)) if n > 1 else np.nan
        out[5, k] = np.sqrt(squared / differences) / _TICKS_PER_MS if differences else np.nan
        out[6, k] = np.sqrt(spread / (differences - 1)) / _TICKS_PER_MS if differences > 1 else np.nan
        out[7, k] = 100.0 * above_50 / differences if differences else np.nan
        out[8, k] = 100.0 * above_20 / differences if differences else np.nan
        out[9, k] = 100.0 * up_squared / squared if squared > 0 else np.nan
        out[10, k] = 100.0 * down / (up + down) if up + down else np.nan


@dataclass(frozen=True, slots=True)
class Fragmentation:
    """Heart rate fragmentation of m spans (Costa 2017); NaN without differences.

    Attributes
    ----------
    pip_pct : (m,) float64
        Inflection points, percent of NN intervals.
    ials : (m,) float64
        Inverse mean length of runs of acceleration or deceleration.
    pss_pct : (m,) float64
        NN intervals in short runs (under 3), percent.
    pas_pct : (m,) float64
        NN intervals in alternating stretches (4 or more), percent.
    """

    pip_pct: FloatArray
    ials: FloatArray
    pss_pct: FloatArray
    pas_pct: FloatArray


def fragmentation(nn: NnSeries, segments: Segments) -> Fragmentation:
    """Compute fragmentation of every span; a removed interval ends a run, as the end of the span does."""
    table = np.empty((4, len(segments)))
    _fragmentation_kernel(nn.nn_ms, nn.follows_previous, segments.first, segments.last, table)
    return Fragmentation(*table)


@compiled
def _fragmentation_kernel(
    nn_ms: FloatArray,
    follows: NDArray[np.bool_],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    out: FloatArray,
) -> None:
    for k in range(len(first)):
        a, b = first[k], last[k]
        inflections, runs, in_runs, in_long_runs, in_alternations = 0, 0, 0, 0, 0
        previous, run, alternation, n_differences = 0.0, 0, 0, 0
        has_previous = False
        for i in range(a + 1, b + 1):
            # One step beyond the last difference closes what is open, as a removed interval does.
            is_difference = i < b and follows[i]
            d = _difference(nn_ms, i) if is_difference else 0.0
            n_differences += is_difference
            flips = is_difference and has_previous and previous * d < 0
            inflections += is_difference and has_previous and previous * d <= 0 and previous != d
            continues = is_difference and has_previous and previous * d > 0
            if not continues:
                if run:
                    runs += 1
                    in_runs += run
                    in_long_runs += run if run >= _LONG_RUN else 0
                run = 0
            if is_difference and d != 0:
                run += 1
            if flips:
                alternation = alternation + 1 if alternation else 2
            else:
                in_alternations += alternation if alternation >= _LONG_ALTERNATION else 0
                alternation = 0
            previous = d
            has_previous = is_difference
        n = b - a
        has_any = n_differences > 0
        out[0, k] = 100.0 * inflections / n if has_any else np.nan
        out[1, k] = runs / in_runs if in_runs else np.nan
        out[2, k] = 100.0 * (1 - in_long_runs / n) if has_any else np.nan
        out[3, k] = 100.0 * in_alternations / n if has_any else np.nan
