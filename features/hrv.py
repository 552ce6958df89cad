"""Time-domain heart rate variability of NN intervals: for one stretch, or for many windows at once.

Differences are taken only between intervals that share a beat and lie in the same window; nothing is
interpolated, and no series is joined across a gap.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.types import NnSeries

FloatArray = NDArray[np.float64]

_DUST_MS_DECIMALS = 6
"""Differences are rounded to 1e-6 ms, so that a difference of exactly 50 ms is not counted as more."""


@dataclass(frozen=True, slots=True)
class TimeDomain:
    """Time-domain values of m windows; NaN where a window has too few intervals to define one.

    Attributes
    ----------
    n_beats, n_differences : (m,) int
        NN intervals, and successive differences between intervals that share a beat.
    nn_total_ms : (m,) float64
        Time covered by NN intervals.
    mean_nn_ms, sdnn_ms, rmssd_ms, pnn50_pct : (m,) float64
    """

    n_beats: NDArray[np.intp]
    n_differences: NDArray[np.intp]
    nn_total_ms: FloatArray
    mean_nn_ms: FloatArray
    sdnn_ms: FloatArray
    rmssd_ms: FloatArray
    pnn50_pct: FloatArray

    @property
    def mean_hr_bpm(self) -> FloatArray:
        """Mean heart rate, beats per minute: 60000 / mean NN."""
        return 60_000 / self.mean_nn_ms


def time_domain(nn: NnSeries, window: NDArray[np.intp], n_windows: int) -> TimeDomain:
    """Compute the time-domain values of every window in one pass.

    Parameters
    ----------
    nn : NnSeries, n intervals
    window : (n,) int
        Window of each interval, 0 to `n_windows` - 1; -1 leaves it out.
    n_windows : int

    Returns
    -------
    TimeDomain

    References
    ----------
    Task Force of the ESC and NASPE (1996). Circulation 93, 1043-1065. doi:10.1161/01.CIR.93.5.1043
    """
    inside = window >= 0
    index, nn_ms = window[inside], nn.nn_ms[inside]
    n_beats = np.bincount(index, minlength=n_windows)
    nn_total_ms = _sums(index, nn_ms, n_windows)
    mean_nn_ms = _ratio(nn_total_ms, n_beats)
    squares = _sums(index, (nn_ms - mean_nn_ms[index]) ** 2, n_windows)

    pair = np.flatnonzero(nn.follows_previous)
    pair = pair[(pair > 0) & (window[pair] >= 0) & (window[pair] == window[pair - 1])]
    difference_ms = np.round(nn.nn_ms[pair] - nn.nn_ms[pair - 1], _DUST_MS_DECIMALS)
    at = window[pair]
    n_differences = np.bincount(at, minlength=n_windows)
    difference_squares = _sums(at, difference_ms**2, n_windows)
    above_50 = _sums(at, (np.abs(difference_ms) > 50).astype(np.float64), n_windows)
    return TimeDomain(
        n_beats=n_beats,
        n_differences=n_differences,
        nn_total_ms=nn_total_ms,
        mean_nn_ms=mean_nn_ms,
        sdnn_ms=np.sqrt(_ratio(squares, n_beats - 1)),
        rmssd_ms=np.sqrt(_ratio(difference_squares, n_differences)),
        pnn50_pct=100 * _ratio(above_50, n_differences),
    )


def mean_nn_ms(nn: NnSeries) -> float:
    """Return the mean NN interval in ms; NaN without intervals."""
    return float(_whole(nn).mean_nn_ms[0])


def sdnn_ms(nn: NnSeries) -> float:
    """Return the standard deviation (n - 1) of NN intervals in ms; NaN with fewer than two.

    Examples
    --------
    >>> from store.types import NnSeries
    >>> round(sdnn_ms(NnSeries([0, 810_000_000], [800.0, 810.0], [False, True])), 3)
    7.071
    """
    return float(_whole(nn).sdnn_ms[0])


def rmssd_ms(nn: NnSeries) -> float:
    """Return the root mean square of successive differences in ms; NaN where no two intervals share a beat.

    Examples
    --------
    >>> from store.types import NnSeries
    >>> rmssd_ms(NnSeries([0, 810_000_000, 1_600_000_000], [800.0, 810.0, 790.0], [False, True, True]))
    15.811388300841896
    """
    return float(_whole(nn).rmssd_ms[0])


def pnn50_pct(nn: NnSeries) -> float:
    """Return the share of successive differences above 50 ms, 0-100; NaN where no two share a beat."""
    return float(_whole(nn).pnn50_pct[0])


def _whole(nn: NnSeries) -> TimeDomain:
    return time_domain(nn, np.zeros(len(nn), np.intp), 1)


def _sums(index: NDArray[np.intp], values: FloatArray, n_windows: int) -> FloatArray:
    return np.asarray(np.bincount(index, values, n_windows), np.float64)


def _ratio(numerator: FloatArray, count: NDArray[np.intp]) -> FloatArray:
    quotient = np.full(len(numerator), np.nan)
    np.divide(numerator, count, out=quotient, where=count > 0)
    return quotient
