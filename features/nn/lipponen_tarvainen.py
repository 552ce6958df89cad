"""The classification of Lipponen and Tarvainen (2019), as Kubios and neurokit2 use it.

Differences and deviations from the median, each in units of a threshold that follows the quartiles of the 91
values around, are sorted into ectopic, missed, extra and long-or-short beats. One pass; what is found is left
out, never corrected.

References
----------
Lipponen, Tarvainen (2019). J Med Eng Technol 43, 173-181. doi:10.1080/03091902.2019.1640306
"""

import numpy as np

from features.hrv.compiled import compiled
from features.nn.artefact import Artefact, FloatArray, Verdicts
from features.nn.rolling import rolling_quantiles

C1, C2 = 0.13, 0.17
ALPHA = 5.2
WINDOW_HALF_BEATS = 45
MEDIAN_HALF_BEATS = 5
_QUARTILES = np.array([0.25, 0.75])
_MEDIAN = np.array([0.5])

_ECTOPIC, _MISSED = int(Artefact.ECTOPIC), int(Artefact.MISSED)
_EXTRA, _LONG_SHORT = int(Artefact.EXTRA), int(Artefact.LONG_SHORT)


def lipponen_tarvainen(rr_ms: FloatArray) -> Verdicts:
    """Leave out the interval before a beat found wrong and, unless it is a missed one, the one after it.

    Parameters
    ----------
    rr_ms : (n,) float64

    Returns
    -------
    (n,) uint8
    """
    beats = beat_artefacts(rr_ms)
    ends, begins = beats[1:], beats[:-1]
    return np.where(ends > 0, ends, np.where(begins == _MISSED, 0, begins)).astype(np.uint8)


def beat_artefacts(rr_ms: FloatArray) -> Verdicts:
    """Return the class of each of the n + 1 beats that bound n intervals, equal to neurokit2's.

    Intervals are taken to the nanosecond. As there, the interval before the first beat is the mean of all,
    and the last two beats are never judged.
    """
    if not len(rr_ms):
        return np.zeros(1, np.uint8)
    rr_s = np.round(np.concatenate([[0.0], rr_ms]) * 1e6) / 1e9
    rr_s[0] = np.mean(rr_s[1:])
    differences = np.diff(rr_s, prepend=rr_s[0])
    differences[0] = np.mean(differences[1:])
    differences = _in_units_of(_threshold(differences), differences)
    median_s = rolling_quantiles(rr_s, MEDIAN_HALF_BEATS, _MEDIAN)[0]
    deviations = rr_s - median_s
    deviations += np.minimum(deviations, 0.0)
    allowed_s = _threshold(deviations)
    return _classes(rr_s, median_s, differences, _in_units_of(allowed_s, deviations), allowed_s)


def _threshold(values: FloatArray) -> FloatArray:
    lower, upper = rolling_quantiles(np.abs(values), WINDOW_HALF_BEATS, _QUARTILES)
    return ALPHA * ((upper - lower) / 2)


def _in_units_of(threshold: FloatArray, values: FloatArray) -> FloatArray:
    scaled = np.full(len(values), np.nan)
    np.divide(values, threshold, out=scaled, where=threshold != 0)
    return scaled


@compiled
def _is_ectopic(differences: FloatArray, i: int) -> bool:
    """Say whether a difference is answered by an opposite one beside it (subspace S1 of the paper)."""
    n = len(differences)
    here = differences[i]
    # Beyond the ends the series is mirrored.
    before, after = differences[abs(i - 1)], differences[i + 1 if i + 1 < n else n - 2]
    if here > 1:
        return np.maximum(before, after) < -C1 * here - C2
    return here < -1 and np.minimum(before, after) > -C1 * here + C2


@compiled
def _opposite(differences: FloatArray, i: int) -> float:
    """Return the nearer to zero of the two differences that follow (subspace S2), signed against this one."""
    n = len(differences)
    after = differences[i + 1 if i + 1 < n else 2 * n - 3 - i]
    second = differences[i + 2 if i + 2 < n else 2 * n - 4 - i]
    return np.minimum(after, second) if differences[i] >= 0 else np.maximum(after, second)


@compiled
def _class_of_beat(
    j: int,
    rr_s: FloatArray,
    median_s: FloatArray,
    differences: FloatArray,
    deviations: FloatArray,
    allowed_s: FloatArray,
) -> int:
    is_long = differences[j] > 1 and _opposite(differences, j) < -1
    is_short = differences[j] < -1 and _opposite(differences, j) > 1
    if not (is_long or is_short or abs(deviations[j]) > 3):
        return 0
    if is_short and abs(rr_s[j] + rr_s[j + 1] - median_s[j]) < allowed_s[j]:
        return _EXTRA
    if is_long and abs(rr_s[j] / 2 - median_s[j]) < allowed_s[j]:
        return _MISSED
    return _LONG_SHORT


@compiled
def _classes(
    rr_s: FloatArray,
    median_s: FloatArray,
    differences: FloatArray,
    deviations: FloatArray,
    allowed_s: FloatArray,
) -> Verdicts:
    """Walk along the beats as in figure 1 of the paper; differences and deviations come scaled."""
    n = len(rr_s)
    found = np.zeros(n, np.uint8)
    i = 0
    while i < n - 2:
        # Where the threshold is 0 the difference is not a number and every comparison fails, as in neurokit2.
        if abs(differences[i]) <= 1:
            i += 1
        elif _is_ectopic(differences, i):
            found[i] = _ECTOPIC
            i += 1
        elif not (abs(differences[i]) > 1 or abs(deviations[i]) > 3):
            i += 1
        else:
            last = i + 1 if abs(differences[i + 1]) < abs(differences[i + 2]) else i
            for j in range(i, last + 1):
                found[j] = _class_of_beat(j, rr_s, median_s, differences, deviations, allowed_s)
            i = last + 1
    return found
