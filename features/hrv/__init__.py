"""Heart rate variability of NN intervals: for one stretch, or for many windows at once.

Differences are taken only between intervals that share a beat and lie in the same stretch; templates and
boxes never cross a removed interval; no series is joined across a gap. `hrv_table` computes every value of
many stretches and withholds what too little data would make up; the functions here are for one stretch and
withhold nothing but the undefined.
"""

from features.hrv.beats import Beats, Fragmentation, beats, fragmentation
from features.hrv.entropy import Entropy, entropy, multiscale_entropy
from features.hrv.gates import GATES, Completeness, Gate
from features.hrv.histogram import Geometry, geometry
from features.hrv.lomb import lomb
from features.hrv.scaling import Scaling, scaling
from features.hrv.segments import FloatArray, Segments, clock_windows, segments_between, whole
from features.hrv.specs import HRV_SPECS, QUICK_SPECS, RECORD_SPECS, HrvSpec
from features.hrv.spectrum import BANDS_HZ, Spectrum, welch, welch_density
from features.hrv.table import UNDEFINED, HrvTable, hrv_table, record_values, sdann_sdnni_ms
from store.types import NnSeries

__all__ = [
    "BANDS_HZ",
    "GATES",
    "HRV_SPECS",
    "QUICK_SPECS",
    "RECORD_SPECS",
    "UNDEFINED",
    "Beats",
    "Completeness",
    "Entropy",
    "FloatArray",
    "Fragmentation",
    "Gate",
    "Geometry",
    "HrvSpec",
    "HrvTable",
    "Scaling",
    "Segments",
    "Spectrum",
    "beats",
    "clock_windows",
    "entropy",
    "fragmentation",
    "geometry",
    "hrv_table",
    "lomb",
    "mean_nn_ms",
    "multiscale_entropy",
    "pnn50_pct",
    "record_values",
    "rmssd_ms",
    "scaling",
    "sdann_sdnni_ms",
    "sdnn_ms",
    "segments_between",
    "welch",
    "welch_density",
    "whole",
]


def mean_nn_ms(nn: NnSeries) -> float:
    """Return the mean NN interval in ms; NaN without intervals."""
    return float(beats(nn, whole(nn)).mean_nn_ms[0])


def sdnn_ms(nn: NnSeries) -> float:
    """Return the standard deviation (n - 1) of NN intervals in ms; NaN with fewer than two.

    Examples
    --------
    >>> from store.types import NnSeries
    >>> round(sdnn_ms(NnSeries([0, 810_000_000], [800.0, 810.0], [False, True])), 3)
    7.071
    """
    return float(beats(nn, whole(nn)).sdnn_ms[0])


def rmssd_ms(nn: NnSeries) -> float:
    """Return the root mean square of successive differences in ms; NaN where no two intervals share a beat.

    Examples
    --------
    >>> from store.types import NnSeries
    >>> rmssd_ms(NnSeries([0, 810_000_000, 1_600_000_000], [800.0, 810.0, 790.0], [False, True, True]))
    15.811388300841896
    """
    return float(beats(nn, whole(nn)).rmssd_ms[0])


def pnn50_pct(nn: NnSeries) -> float:
    """Return the share of successive differences above 50 ms, 0-100; NaN where no two share a beat."""
    return float(beats(nn, whole(nn)).pnn50_pct[0])
