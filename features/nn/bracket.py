"""The default rule: an interval belongs into the bracket that its neighbours on both sides span.

In ten lines:

1. The bracket of an interval reaches from the median of the three intervals before it to the median of the
   three after it; a trend or a step of heart rate stays inside.
2. The local scale is the median absolute successive difference of the 91 intervals around: what breathing
   does to this person now. Half of them may be wrong before it is.
3. An interval is out if it lies outside its bracket by 6 scales: missed, extra and early beats.
4. A beat is displaced if the interval before it lies outside the bracket on one side, the one after it on the
   other, and the displacement (least squares over four intervals) is 2.75 scales; both intervals are out.
5. Neither threshold is below what grids and noise of sensors make (6 % and 3 % of the local level) nor above
   20 %.
6. All this twice, the second time with the scale of what the first time left: artefacts must not hide others.
7. Where a fifth of the 61 intervals around is out, all are: bigeminy has no normal beats to compare with.
"""

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.nn.artefact import Artefact, FloatArray, Verdicts, is_out_of_range
from features.nn.rolling import rolling_quantiles

SCALE_HALF_BEATS = 45
INTERVAL_SCALES, INTERVAL_FLOOR_FRAC = 6.0, 0.06
BEAT_SCALES, BEAT_FLOOR_FRAC = 2.75, 0.03
"""A displaced beat leaves so clear a trace (long-short or short-long) that far less of it is needed."""
CEILING_FRAC = 0.20
UNSTEADY_HALF_BEATS = 30
UNSTEADY_FRAC = 0.20
REACH_BEATS = 2 * (SCALE_HALF_BEATS + 4) + UNSTEADY_HALF_BEATS
"""An interval's verdict does not depend on what is farther away."""

_MEDIAN = np.array([0.5])
_DEVIATING, _DISPLACED = int(Artefact.DEVIATING), int(Artefact.DISPLACED)


def bracket(rr_ms: FloatArray) -> Verdicts:
    """Leave out intervals that fit neither what precedes nor what follows, on the scale of local variability.

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
    verdicts = np.zeros(len(rr_ms), np.uint8)
    if not len(rr_ms):
        return verdicts
    difference_ms = np.abs(np.diff(rr_ms, prepend=np.nan))
    scale_ms = _local_scale(difference_ms)
    _judge(rr_ms, scale_ms, verdicts)
    is_out = verdicts > 0
    difference_ms[is_out] = difference_ms[1:][is_out[:-1]] = np.nan
    verdicts[:] = 0
    _judge(rr_ms, np.fmin(scale_ms, _local_scale(difference_ms)), verdicts)
    verdicts[is_out_of_range(rr_ms)] = Artefact.OUT_OF_RANGE
    verdicts[(verdicts == 0) & _is_unsteady(verdicts > 0)] = Artefact.UNSTEADY
    return verdicts


def _local_scale(difference_ms: FloatArray) -> FloatArray:
    return rolling_quantiles(difference_ms, SCALE_HALF_BEATS, _MEDIAN)[0]


def _is_unsteady(
    is_out: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    n = len(is_out)
    count = np.concatenate([[0], np.cumsum(is_out)])
    at = np.arange(n)
    first, last = np.maximum(at - UNSTEADY_HALF_BEATS, 0), np.minimum(at + UNSTEADY_HALF_BEATS + 1, n)
    return count[last] - count[first] > UNSTEADY_FRAC * (last - first)


@compiled
def _middle(a: float, b: float, c: float) -> float:
    return max(min(a, b), min(max(a, b), c))


@compiled
def _allowed_ms(scale_ms: float, level_ms: float, scales: float, floor_frac: float) -> float:
    wanted = scales * scale_ms if scale_ms > 0 else 0.0
    return min(max(wanted, floor_frac * level_ms), CEILING_FRAC * level_ms)


@compiled
def _judge(rr_ms: FloatArray, scale_ms: FloatArray, verdicts: Verdicts) -> None:
    n = len(rr_ms)
    for i in range(n):
        if i < 3 and i + 3 >= n:
            continue
        after = _middle(rr_ms[i + 1], rr_ms[i + 2], rr_ms[i + 3]) if i + 3 < n else np.nan
        before = _middle(rr_ms[i - 1], rr_ms[i - 2], rr_ms[i - 3]) if i >= 3 else after
        after = before if np.isnan(after) else after
        outside_ms = max(rr_ms[i] - max(before, after), min(before, after) - rr_ms[i])
        level_ms = (before + after) / 2
        if outside_ms > _allowed_ms(scale_ms[i], level_ms, INTERVAL_SCALES, INTERVAL_FLOOR_FRAC):
            verdicts[i] = _DEVIATING
    for i in range(3, n - 4):
        before = _middle(rr_ms[i - 1], rr_ms[i - 2], rr_ms[i - 3])
        after = _middle(rr_ms[i + 2], rr_ms[i + 3], rr_ms[i + 4])
        low, high = min(before, after), max(before, after)
        if max(min(rr_ms[i] - high, low - rr_ms[i + 1]), min(low - rr_ms[i], rr_ms[i + 1] - high)) <= 0:
            continue
        # A beat later by d makes its intervals +d and -d; least squares against a trend give d back.
        moved_ms = abs(3 * (rr_ms[i] - rr_ms[i + 1]) - rr_ms[i - 1] + rr_ms[i + 2]) / 6
        if moved_ms > _allowed_ms(scale_ms[i], (before + after) / 2, BEAT_SCALES, BEAT_FLOOR_FRAC):
            verdicts[i] = verdicts[i + 1] = _DISPLACED
