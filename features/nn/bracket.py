"""The default rule: leave out what an early, missed, extra or displaced beat explains, and nothing else.

In a dozen lines:

1. The bracket of an interval reaches from the median of the three intervals before it to the median of the
   three after it; a trend or a step of heart rate stays inside.
2. Too short: below the bracket by 6 times the median absolute successive difference of the 151 intervals
   around, which is what breathing does to this person now.
3. A displaced beat makes one interval longer and the next one shorter, or the other way round. By how much it
   is off follows by least squares over four intervals. Both are out if that is 5 times the median of the same
   number around: the question is how unusual a pair is for this heart on this grid, not how large.
4. Too long: above the bracket by as much as in 2, and either longer by half the level, as a missed beat makes
   it, or beside something that is out, as the pause after an early beat. A single longer interval that is
   neither is the sinus node's own doing and stays.
5. Runs: three quarters of the median of the seven intervals before and of the seven after is too short, one
   and a half times is too long; so a few early or missed beats do not become a bracket of their own.
6. No threshold is below what grids and noise of sensors make (6 %, displaced beats 5 % of the local level) or
   above 20 %.
7. All this twice, the second time with the scales of what the first time left: artefacts must not hide
   others.
8. Where a fifth of the 61 intervals around is out, all are: bigeminy has no normal beats to compare with.
9. Intervals outside 300-2000 ms are out.
"""

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.nn.artefact import Artefact, FloatArray, Verdicts, is_out_of_range
from features.nn.rolling import rolling_quantiles

SCALE_HALF_BEATS = 75
INTERVAL_SCALES, INTERVAL_FLOOR_FRAC = 6.0, 0.06
BEAT_SCALES, BEAT_FLOOR_FRAC = 5.0, 0.05
CEILING_FRAC = 0.20
MISSED_FRAC = 0.5
PAUSE_BEATS = 2
RUN_HALF_BEATS, RUN_FRAC = 3, 0.75
PAIR_FRAC = 0.15
ECHO = 0.8
"""A displaced beat moves the line its neighbours are judged by: by two thirds of what it is off itself."""
UNSTEADY_HALF_BEATS = 30
UNSTEADY_FRAC = 0.20
REACH_BEATS = 2 * (SCALE_HALF_BEATS + 8) + UNSTEADY_HALF_BEATS
"""An interval's verdict does not depend on what is farther away."""

BoolArray = NDArray[np.bool_]

_MEDIAN = np.array([0.5])
_DEVIATING, _DISPLACED = int(Artefact.DEVIATING), int(Artefact.DISPLACED)


def bracket(rr_ms: FloatArray) -> Verdicts:
    """Leave out intervals that have the shape of an artefact, on the scale of local variability.

    Chosen on one half of the annotated recordings and reported on the other: docs/artefacts.md.

    Parameters
    ----------
    rr_ms : (n,) float64
        Finite and positive.

    Returns
    -------
    (n,) uint8
        `DEVIATING`, `DISPLACED`, `UNSTEADY` or `OUT_OF_RANGE` (300-2000 ms) where left out.
    """
    rr_ms = np.ascontiguousarray(rr_ms, np.float64)
    if not len(rr_ms):
        return np.zeros(0, np.uint8)
    in_run = _is_in_run(rr_ms)
    difference_ms, offset_ms = np.abs(np.diff(rr_ms, prepend=np.nan)), _offset(rr_ms)
    scale_ms, beat_scale_ms = _local_scale(difference_ms), _local_scale(offset_ms)
    is_out = _judge(rr_ms, in_run, scale_ms, offset_ms, beat_scale_ms) > 0
    scale_ms = np.fmin(scale_ms, _local_scale(_made_of_kept(difference_ms, is_out, -1, 0)))
    beat_scale_ms = np.fmin(beat_scale_ms, _local_scale(_made_of_kept(offset_ms, is_out, -1, 2)))
    verdicts = _judge(rr_ms, in_run, scale_ms, offset_ms, beat_scale_ms)
    verdicts[is_out_of_range(rr_ms)] = Artefact.OUT_OF_RANGE
    verdicts[(verdicts == 0) & _is_unsteady(verdicts > 0)] = Artefact.UNSTEADY
    return verdicts


def _local_scale(values: FloatArray) -> FloatArray:
    return rolling_quantiles(values, SCALE_HALF_BEATS, _MEDIAN)[0]


def _made_of_kept(values: FloatArray, is_out: BoolArray, first: int, last: int) -> FloatArray:
    """Blank each value i for which one of the intervals i + `first` to i + `last` is out."""
    padded = np.pad(is_out, (-first, last))
    touched = [padded[k : k + len(values)] for k in range(last - first + 1)]
    return np.where(np.any(touched, axis=0), np.nan, values)


def _is_in_run(rr_ms: FloatArray) -> BoolArray:
    """Say of each interval whether it is far from the median of the seven before and of the seven after."""
    apart = RUN_HALF_BEATS + 1
    median_ms = np.pad(rolling_quantiles(rr_ms, RUN_HALF_BEATS, _MEDIAN)[0], apart, constant_values=np.nan)
    before_ms, after_ms = median_ms[: -2 * apart], median_ms[2 * apart :]
    is_fast = rr_ms < RUN_FRAC * np.minimum(before_ms, after_ms)
    return is_fast | (rr_ms > (1 + MISSED_FRAC) * np.maximum(before_ms, after_ms))


def _is_unsteady(is_out: BoolArray) -> BoolArray:
    n = len(is_out)
    count = np.concatenate([[0], np.cumsum(is_out)])
    at = np.arange(n)
    first, last = np.maximum(at - UNSTEADY_HALF_BEATS, 0), np.minimum(at + UNSTEADY_HALF_BEATS + 1, n)
    return count[last] - count[first] > UNSTEADY_FRAC * (last - first)


@compiled
def _offset(rr_ms: FloatArray) -> FloatArray:
    """Return by how many ms the beat that ends each interval is early or late, (n,).

    A beat later by d makes its intervals d longer and d shorter; least squares against a trend give d back.
    """
    found = np.full(len(rr_ms), np.nan)
    for i in range(1, len(rr_ms) - 2):
        found[i] = abs(3 * (rr_ms[i] - rr_ms[i + 1]) - rr_ms[i - 1] + rr_ms[i + 2]) / 6
    return found


@compiled
def _judge(
    rr_ms: FloatArray,
    in_run: BoolArray,
    scale_ms: FloatArray,
    offset_ms: FloatArray,
    beat_scale_ms: FloatArray,
) -> Verdicts:
    n = len(rr_ms)
    verdicts = in_run.astype(np.uint8) * np.uint8(_DEVIATING)
    for i in range(n):
        low, high = _bracket(rr_ms, i)
        if low - rr_ms[i] > _interval_ms(scale_ms[i], low, high):
            verdicts[i] = _DEVIATING
    for i in range(3, n - 4):
        if _is_displaced(rr_ms, offset_ms, beat_scale_ms, i):
            verdicts[i] = verdicts[i + 1] = _DISPLACED
    is_out = verdicts > 0
    for i in range(n):
        low, high = _bracket(rr_ms, i)
        longer_ms = rr_ms[i] - high
        if longer_ms > _interval_ms(scale_ms[i], low, high) and (
            longer_ms > MISSED_FRAC * (low + high) / 2
            or is_out[max(i - PAUSE_BEATS, 0) : i + PAUSE_BEATS + 1].any()
        ):
            verdicts[i] = _DEVIATING
    return verdicts


@compiled
def _is_displaced(rr_ms: FloatArray, offset_ms: FloatArray, beat_scale_ms: FloatArray, i: int) -> bool:
    """Say whether the beat between two intervals is early or late."""
    before, after = _before(rr_ms, i), _after(rr_ms, i + 1)
    if offset_ms[i] <= _allowed_ms(beat_scale_ms[i], (before + after) / 2, BEAT_SCALES, BEAT_FLOOR_FRAC):
        return False
    if ECHO * max(offset_ms[i - 1], offset_ms[i + 1]) > offset_ms[i]:
        return False
    low, high = min(before, after), max(before, after)
    here, following = rr_ms[i], rr_ms[i + 1]
    is_late = here > before and following < after and (here > high or following < low)
    is_early = here < before and following > after and (here < low or following > high)
    # On opposite sides of the line from the interval before to the interval after, neither nearly on it.
    aside = 3 * here - 2 * rr_ms[i - 1] - rr_ms[i + 2]
    following_aside = 3 * following - rr_ms[i - 1] - 2 * rr_ms[i + 2]
    smaller, larger = min(abs(aside), abs(following_aside)), max(abs(aside), abs(following_aside))
    return (is_late or is_early) and aside * following_aside < 0 and smaller > PAIR_FRAC * larger


@compiled
def _bracket(rr_ms: FloatArray, i: int) -> tuple[float, float]:
    """Return the ends of an interval's bracket; where there is none, nan: nothing is beyond it."""
    before, after = _before(rr_ms, i), _after(rr_ms, i)
    before = after if np.isnan(before) else before
    after = before if np.isnan(after) else after
    return min(before, after), max(before, after)


@compiled
def _before(rr_ms: FloatArray, i: int) -> float:
    return _middle(rr_ms[i - 1], rr_ms[i - 2], rr_ms[i - 3]) if i >= 3 else np.nan


@compiled
def _after(rr_ms: FloatArray, i: int) -> float:
    return _middle(rr_ms[i + 1], rr_ms[i + 2], rr_ms[i + 3]) if i + 3 < len(rr_ms) else np.nan


@compiled
def _middle(a: float, b: float, c: float) -> float:
    return max(min(a, b), min(max(a, b), c))


@compiled
def _interval_ms(scale_ms: float, low_ms: float, high_ms: float) -> float:
    return _allowed_ms(scale_ms, (low_ms + high_ms) / 2, INTERVAL_SCALES, INTERVAL_FLOOR_FRAC)


@compiled
def _allowed_ms(scale_ms: float, level_ms: float, scales: float, floor_frac: float) -> float:
    wanted = scales * scale_ms if scale_ms > 0 else 0.0
    return min(max(wanted, floor_frac * level_ms), CEILING_FRAC * level_ms)
