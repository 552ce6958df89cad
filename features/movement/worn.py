"""Wear, minute by minute: worn, not worn, charging, or unknown, for four different things are to be done.

What a sensor reports of itself (off the body, a charge that rises, a pulse) goes before what its movement
suggests. Without a pulse, hours without a turn (van Hees 2013, doi:10.1371/journal.pone.0061691; here 75 min
at least, and whole, for sleepers lie still for one) or five hours without a count are not worn; of steps or
bare ENMO what is recorded counts as worn, but for steps that stay 0 for 16 h: unknown. Who has steps alone
wore it between steps less than an hour apart, and in sleep that the wearable scored.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.epochs.wear import STILL_ANGLE_DEG, STILL_SD_MG, STILL_STEPS_H, WearState, long_zero_runs
from features.movement.minutes import MINUTE_NS, FloatArray, Minutes, Times
from features.sleep.scorers import zero_runs

_Mask = NDArray[np.bool_]

_QUARTER, _HOUR = 15, 60
PULSE_LAPSE_MIN = 10
"""Optical sensors lose the pulse of a worn wrist for minutes; one logged by the half hour is held longer."""
LONGEST_LAPSE_MIN = 60


@dataclass(frozen=True)
class Witness:
    """What a sensor reports of itself.

    Attributes
    ----------
    pulse_ns : (k,) int64
        Ascending times at which a heart was seen.
    off_body, charging : (k, 2) int64
        Half-open spans.
    """

    pulse_ns: Times
    off_body: NDArray[np.int64]
    charging: NDArray[np.int64]


def wear_states(minutes: Minutes, seen: Witness) -> NDArray[np.int8]:
    """Return the `WearState` of each minute, (n,)."""
    has_pulse = _near_pulse(minutes, seen.pulse_ns)
    is_recorded = minutes.is_recorded
    state = np.where(is_recorded | has_pulse, WearState.WORN, WearState.UNKNOWN).astype(np.int8)
    state[is_recorded & ~has_pulse & _is_still(minutes)] = WearState.NOT_WORN
    state[~has_pulse & long_zero_runs(minutes.steps, 60.0, STILL_STEPS_H)] = WearState.UNKNOWN
    state[_within(minutes, seen.off_body)] = WearState.NOT_WORN
    state[_within(minutes, seen.charging)] = WearState.CHARGING
    return state


def _near_pulse(minutes: Minutes, pulse_ns: Times) -> _Mask:
    at = np.unique((pulse_ns - minutes.start_ns) // MINUTE_NS)
    at = at[(at >= 0) & (at < len(minutes))]
    has = np.zeros(len(minutes), np.bool_)
    if not len(at):
        return has
    usual = 1.5 * float(np.median(np.diff(at))) if len(at) > 1 else 0.0
    lapse = min(max(PULSE_LAPSE_MIN, usual), LONGEST_LAPSE_MIN)
    # Between two pulses that are close enough it was worn, too.
    step = np.diff(at)
    begins, ends = at[np.append(True, step > lapse)], at[np.append(step > lapse, True)]
    for first, last in zip(begins.tolist(), ends.tolist(), strict=True):
        has[first : last + 1] = True
    return has


def _is_still(minutes: Minutes) -> _Mask:
    still = zero_runs(minutes.counts, 60.0)
    if np.isfinite(minutes.angle_low_deg).any():
        still |= _without_a_turn(minutes)
    return still


def _without_a_turn(minutes: Minutes) -> _Mask:
    """Mark quarters of an hour of UTC around which an hour was still."""
    lead = minutes.start_ns // MINUTE_NS % _QUARTER
    before = (_HOUR - _QUARTER) // 2  # 22 minutes before a quarter, 23 after it: an hour around its middle
    count = -(-(lead + len(minutes)) // _QUARTER)
    around = np.full(before + count * _QUARTER + _HOUR, np.nan)

    def hours(values: FloatArray) -> FloatArray:
        held = around.copy()
        held[before + lead : before + lead + len(values)] = values
        return np.lib.stride_tricks.sliding_window_view(held, _HOUR)[: count * _QUARTER : _QUARTER]

    sd_mg = np.sort(hours(minutes.sd_mg), axis=1)  # NaN last
    known = np.isfinite(sd_mg).sum(axis=1)
    middle = sd_mg[np.arange(count), np.maximum(known - 1, 0) // 2]
    low, high = hours(minutes.angle_low_deg), hours(minutes.angle_high_deg)
    with np.errstate(invalid="ignore"):
        turn = np.where(np.isnan(high), -np.inf, high).max(axis=1) - np.where(np.isnan(low), np.inf, low).min(
            axis=1
        )
        is_still = (known >= _HOUR // 2) & (middle < STILL_SD_MG) & (turn < STILL_ANGLE_DEG)
    is_still &= np.append(is_still[1:], False) | np.append(False, is_still[:-1])
    whole = np.zeros(count * _QUARTER + _HOUR, np.bool_)
    for at in np.flatnonzero(is_still).tolist():
        whole[at * _QUARTER : at * _QUARTER + _HOUR] = True  # all of an hour in which nothing turned
    return whole[before + lead : before + lead + len(minutes)]


def _within(minutes: Minutes, spans: NDArray[np.int64]) -> _Mask:
    """Mark minutes that begin in any of some spans."""
    held = np.zeros(len(minutes), np.bool_)
    for start_ns, end_ns in spans.tolist():
        low, high = (max(-((minutes.start_ns - at_ns) // MINUTE_NS), 0) for at_ns in (start_ns, end_ns))
        held[low:high] = True
    return held
