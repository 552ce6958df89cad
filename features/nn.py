"""RR intervals to NN intervals: leave out what is no normal beat, and remember where beats are shared."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from store.errors import UnknownError
from store.types import NnSeries, RrSeries
from store.units import NS_PER_MS

MIN_NN_MS, MAX_NN_MS = 300.0, 2000.0
"""200 and 30 beats/min: outside, a chest strap has missed or doubled a beat far more often than not."""
MAX_DEVIATION_FRAC = 0.20
MEDIAN_BEATS = 5
SHARED_BEAT_MS = 5.0
"""Two intervals share a beat if the second began where the first ended, within clock and grid error."""


def nn_from_rr(rr: RrSeries) -> NnSeries:
    """Return the NN intervals of a series: RR within 300-2000 ms and less than 20 % from their local median.

    The local median is that of the five intervals centred on each (at the ends: of those there are). Nothing
    is interpolated or joined; a removed interval only breaks the chain of successive differences.

    Parameters
    ----------
    rr : RrSeries of one sensor

    Returns
    -------
    NnSeries

    Notes
    -----
    A simple rule with known weak sides: it removes real variability where neighbouring beats truly differ by
    more than 20 %, and keeps ectopic beats that come early by less. The Task Force (1996,
    doi:10.1161/01.CIR.93.5.1043) warns that automatic filters of this kind do not replace looking.
    """
    is_nn = is_normal(rr.rr_ms)
    kept = np.flatnonzero(is_nn)
    shares = shares_beat(rr.t_ns, rr.rr_ms)
    was_kept = np.concatenate([[False], is_nn[:-1]]) if len(rr) else np.zeros(0, np.bool_)
    return NnSeries(rr.t_ns[kept], rr.rr_ms[kept], (shares & was_kept)[kept], len(rr) - len(kept))


def is_normal(rr_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say for each interval (n,) whether the rule of `nn_from_rr` keeps it."""
    reference_ms = _centred_median(rr_ms)
    is_near = np.abs(rr_ms - reference_ms) < MAX_DEVIATION_FRAC * reference_ms
    return is_near & (rr_ms >= MIN_NN_MS) & (rr_ms <= MAX_NN_MS)


def shares_beat(t_ns: NDArray[np.int64], rr_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say for each interval (n,) whether it begins with the beat that ended the one before it."""
    shares = np.zeros(len(t_ns), np.bool_)
    shares[1:] = np.abs(np.diff(t_ns) / NS_PER_MS - rr_ms[1:]) < SHARED_BEAT_MS
    return shares


def _centred_median(rr_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    if not len(rr_ms):
        return rr_ms
    half = MEDIAN_BEATS // 2
    padded = np.pad(rr_ms, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_BEATS)
    median_ms = np.median(windows, axis=1)
    for k in {*range(min(half, len(rr_ms))), *range(max(0, len(rr_ms) - half), len(rr_ms))}:
        median_ms[k] = np.nanmedian(windows[k])
    return median_ms


def keep_all(rr: RrSeries) -> NnSeries:
    """Return every interval as NN; for series that were cleaned elsewhere."""
    return NnSeries(rr.t_ns, rr.rr_ms, shares_beat(rr.t_ns, rr.rr_ms), 0)


CLEANING_RULES: Mapping[str, Callable[[RrSeries], NnSeries]] = {"none": keep_all, "median20": nn_from_rr}
"""How RR intervals become NN intervals, by name."""

DEFAULT_RULE = "median20"


def cleaning_rule(name: str) -> Callable[[RrSeries], NnSeries]:
    """Return the rule of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    if name not in CLEANING_RULES:
        raise UnknownError(f"No rule is called {name!r}; there are: {', '.join(CLEANING_RULES)}")
    return CLEANING_RULES[name]
