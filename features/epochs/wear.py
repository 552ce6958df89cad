"""Wear: whether a device was on its wearer, not on, charging, or recorded nothing that tells.

Rules
-----
choi
    Counts: 90 min or more without counts, in which 1-2 min of counts are forgiven if the 30 min before and
    after them hold none. Choi et al. (2011), doi:10.1249/MSS.0b013e3181ed61a3. Made for ActiGraph counts.
accelerometer
    Raw acceleration, or epochs with SD and angle: two of three axes with a standard deviation below 13 mg and
    a range below 50 mg in 60-min windows every 15 min. van Hees et al. (2013),
    doi:10.1371/journal.pone.0061691.
heart_rate
    A heart rate was seen, or had been within `PULSE_LAPSE_MIN`.
zero_run
    Counts of devices for which Choi's rule was not made: 5 h or more without a count.
recorded
    Steps and bare ENMO: nothing in them tells rest from a table; what is recorded counts as worn, but step
    counts that stay 0 for longer than people rest are unknown.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import Epochs, FloatArray
from features.hrv.compiled import compiled
from store.errors import ConfigError

_Mask = NDArray[np.bool_]

CHOI_WINDOW_MIN, CHOI_ALLOWED_MIN, CHOI_STREAM_MIN = 90, 2, 30
ZERO_RUN_H = 5.0
"""Nobody lies without a single count for so long: such a run is never sleep."""

STILL_STEPS_H = 16.0
"""Nights without a step are usual; runs of this length are a tracker in a drawer, or a lost day."""

PULSE_LAPSE_MIN = 10.0
"""Optical sensors lose the pulse of a worn wrist for minutes, seldom for longer."""

STILL_SD_MG, STILL_RANGE_MG = 13.0, 50.0
STILL_ANGLE_DEG = float(np.degrees(np.arcsin(STILL_RANGE_MG / 1000)))
"""What a range of 50 mg is on an axis across gravity: 2.87 degrees."""

_WINDOW_MIN, _WINDOW_STEP_MIN = 60, 15


class WearState(IntEnum):
    """State of an epoch."""

    NOT_WORN = 0
    WORN = 1
    CHARGING = 2
    UNKNOWN = 3


@dataclass(frozen=True)
class Wear:
    """State of every epoch, and the rule that said so.

    Attributes
    ----------
    state : (n,) int8
        `WearState`; UNKNOWN where nothing was recorded.
    rule : str
    """

    state: NDArray[np.int8]
    rule: str

    @property
    def is_worn(self) -> _Mask:
        """Where the device was worn, (n,)."""
        return self.state == WearState.WORN


RULES = ("choi", "accelerometer", "heart_rate", "zero_run", "recorded")


def usual_rule(epochs: Epochs) -> str:
    """Return the rule for what the recording holds."""
    if "heart_rate_bpm" in epochs.columns:
        return "heart_rate"
    if {"sd_mg", "z_angle_deg"} <= epochs.columns.keys():
        return "accelerometer"
    if epochs.device == "actigraph" and epochs.epoch_s <= 60:
        return "choi"
    return "recorded" if epochs.column in ("steps", "enmo_mg") else "zero_run"


def wear(epochs: Epochs, rule: str = "") -> Wear:
    """Return the wear state of every epoch.

    Parameters
    ----------
    epochs : Epochs
        A column `is_charging` (1 on the charger) is heeded under every rule.
    rule : str
        Of `RULES`; `usual_rule` if empty.

    Raises
    ------
    ConfigError
        If there is no such rule, or the recording lacks what it needs.
    """
    rule = rule or usual_rule(epochs)
    if rule not in _BY_RULE:
        raise ConfigError(f"No rule of wear is called {rule!r}; there are: {', '.join(RULES)}")
    is_recorded = epochs.is_recorded
    is_off = _BY_RULE[rule](epochs)
    state = np.where(is_off, WearState.NOT_WORN, WearState.WORN).astype(np.int8)
    if rule != "heart_rate":
        state[~is_recorded] = WearState.UNKNOWN
    elif not is_recorded.all():
        state[~is_recorded & ~np.isfinite(epochs.columns["heart_rate_bpm"])] = WearState.UNKNOWN
    if rule == "recorded":
        state[is_off & is_recorded] = WearState.UNKNOWN
    if "is_charging" in epochs.columns:
        state[epochs.columns["is_charging"] == 1] = WearState.CHARGING
    return Wear(state, rule)


def long_zero_runs(counts: FloatArray, epoch_s: float, least_h: float = ZERO_RUN_H) -> _Mask:
    """Mark runs of exact zeros of a length or more, (n,): never sleep, whatever a scorer says.

    Examples
    --------
    >>> int(long_zero_runs(np.r_[1.0, np.zeros(300), 1.0], 60.0).sum())
    300
    """
    return _runs_of(np.asarray(counts == 0), _count(least_h * 60, epoch_s))


def choi_not_worn(counts: FloatArray, epoch_s: float) -> _Mask:
    """Mark epochs that were not worn by Choi's rule, (n,); a gap ends a run.

    Parameters
    ----------
    counts : (n,) float64
        NaN where nothing was recorded.
    epoch_s : float
        Up to 60 s.
    """
    is_zero = np.asarray(counts == 0)
    forgiven = is_zero.copy()
    _forgive(
        is_zero,
        np.isnan(counts),
        _count(CHOI_ALLOWED_MIN, epoch_s),
        _count(CHOI_STREAM_MIN, epoch_s),
        forgiven,
    )
    return _runs_of(forgiven, _count(CHOI_WINDOW_MIN, epoch_s))


@compiled
def _forgive(is_zero: _Mask, is_gap: _Mask, allowed: int, stream: int, out: _Mask) -> None:
    n = len(is_zero)
    i = 0
    while i < n:
        if is_zero[i] or is_gap[i]:
            i += 1
            continue
        end = i
        while end < n and not is_zero[end] and not is_gap[end]:
            end += 1
        if end - i <= allowed:
            is_still = True
            for k in range(max(i - stream, 0), i):
                is_still = is_still and is_zero[k]
            for k in range(end, min(end + stream, n)):
                is_still = is_still and is_zero[k]
            if is_still:
                out[i:end] = True
        i = end


def windows_not_worn(count: int, epoch_s: float, is_still: Callable[[slice], bool]) -> _Mask:
    """Mark quarters of an hour around which an hour was still, (n,).

    Parameters
    ----------
    count : int
        Epochs of the recording.
    epoch_s : float
    is_still : function of a slice of epochs
    """
    half, step = _count(_WINDOW_MIN, epoch_s) // 2, _count(_WINDOW_STEP_MIN, epoch_s)
    not_worn = np.zeros(count, np.bool_)
    for first in range(0, count, step):
        middle = first + step // 2
        not_worn[first : first + step] = is_still(slice(max(middle - half, 0), min(middle + half, count)))
    return not_worn


def _runs_of(holds: _Mask, least: int) -> _Mask:
    """Keep the runs of True that are long enough."""
    edges = np.flatnonzero(np.diff(holds, prepend=False, append=False))
    kept = np.zeros(len(holds), np.bool_)
    for first, end in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        kept[first:end] = end - first >= least
    return kept


def _count(minutes: float, epoch_s: float) -> int:
    return max(1, round(minutes * 60 / epoch_s))


def _choi(epochs: Epochs) -> _Mask:
    if epochs.epoch_s > 60:
        raise ConfigError(
            f"Choi's rule is for epochs up to 60 s; these last {epochs.epoch_s:g} s: take zero_run"
        )
    return choi_not_worn(epochs.values, epochs.epoch_s)


def _zero_run(epochs: Epochs) -> _Mask:
    return long_zero_runs(epochs.values, epochs.epoch_s)


def _recorded(epochs: Epochs) -> _Mask:
    if epochs.column != "steps":
        return np.zeros(len(epochs), np.bool_)
    return long_zero_runs(epochs.values, epochs.epoch_s, STILL_STEPS_H)


def _heart_rate(epochs: Epochs) -> _Mask:
    if "heart_rate_bpm" not in epochs.columns:
        raise ConfigError(
            f"Wear by heart rate needs a column heart_rate_bpm; there are: {', '.join(epochs.columns)}"
        )
    is_absent = ~(epochs.columns["heart_rate_bpm"] > 0)
    return _runs_of(is_absent, _count(PULSE_LAPSE_MIN, epochs.epoch_s) + 1)


def _accelerometer(epochs: Epochs) -> _Mask:
    """Decide by the epochs' own SD and angle, where the three axes are no longer there."""
    if not {"sd_mg", "z_angle_deg"} <= epochs.columns.keys():
        raise ConfigError(
            f"Wear by accelerometer needs sd_mg and z_angle_deg; there are: {', '.join(epochs.columns)}"
        )
    sd_mg, angle = epochs.columns["sd_mg"], epochs.columns["z_angle_deg"]

    def is_still(part: slice) -> bool:
        held = np.isfinite(sd_mg[part])
        if held.sum() < held.size / 2:
            return False
        return bool(np.nanmedian(sd_mg[part]) < STILL_SD_MG and np.ptp(angle[part][held]) < STILL_ANGLE_DEG)

    return windows_not_worn(len(epochs), epochs.epoch_s, is_still)


_BY_RULE = {
    "choi": _choi,
    "accelerometer": _accelerometer,
    "heart_rate": _heart_rate,
    "zero_run": _zero_run,
    "recorded": _recorded,
}
