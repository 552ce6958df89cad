"""The common exclusion rule: an interval more than 20 % from its local median is no normal one."""

import numpy as np

from features.nn.artefact import Artefact, FloatArray, Verdicts, is_out_of_range

MAX_DEVIATION_FRAC = 0.20
MEDIAN_BEATS = 5


def median20(rr_ms: FloatArray) -> Verdicts:
    """Leave out what is 20 % or more from the median of the five intervals centred on it, or not 300-2000 ms.

    At the ends the median is of those there are.

    Notes
    -----
    A simple rule with known weak sides: it removes real variability where neighbouring beats truly differ by
    more than 20 %, and keeps ectopic beats that come early by less. The Task Force (1996,
    doi:10.1161/01.CIR.93.5.1043) warns that automatic filters of this kind do not replace looking.
    """
    reference_ms = _centred_median(rr_ms)
    verdicts = np.zeros(len(rr_ms), np.uint8)
    verdicts[np.abs(rr_ms - reference_ms) >= MAX_DEVIATION_FRAC * reference_ms] = Artefact.DEVIATING
    verdicts[is_out_of_range(rr_ms)] = Artefact.OUT_OF_RANGE
    return verdicts


def _centred_median(rr_ms: FloatArray) -> FloatArray:
    if not len(rr_ms):
        return rr_ms
    half = MEDIAN_BEATS // 2
    padded = np.pad(rr_ms, half, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_BEATS)
    median_ms = np.median(windows, axis=1)
    for k in {*range(min(half, len(rr_ms))), *range(max(0, len(rr_ms) - half), len(rr_ms))}:
        median_ms[k] = np.nanmedian(windows[k])
    return median_ms
