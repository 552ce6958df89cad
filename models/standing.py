"""Where a person stands today, in one word and one sentence; missing data is a word of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from models.channels import CHANNELS, NAMES
from models.flagging import is_still_lost, night_at
from models.kernel import GAP_DAYS, MIN_VALID, baseline_end
from models.placing import EXPIRES_DAYS
from models.reasons import in_words, reasons_for
from models.verdict import LOOKED_DAYS, Verdict
from store.registry.flags import StoredFlag

RECENT_NIGHTS = 2
"""Data up to the night before last is recent: a phone or gateway is often a day late."""
NEEDED_NIGHTS = 4
"""Of the last seven, to say that somebody is in range; a flag can be raised from fewer."""


class State(StrEnum):
    """Where a person stands; only `IN_RANGE` says that nothing stands out."""

    CHANGED = "changed"
    DATA_LOST = "data lost"
    NO_RECENT_DATA = "no recent data"
    NOT_ENOUGH_DATA = "not enough data"
    WATCH = "watch"
    LEARNING = "learning"
    IN_RANGE = "in range"


@dataclass(frozen=True, slots=True)
class Standing:
    """A state and why.

    Attributes
    ----------
    state : State
    reason : str
        One sentence for the clinician.
    since : date or None
        Since when the state holds, where that is known.
    night : date or None
        The newest night with enough data.
    """

    state: State
    reason: str
    since: date | None
    night: date | None

    @property
    def is_flagged(self) -> bool:
        """Whether the reason is that of a flag."""
        return self.state in {State.CHANGED, State.DATA_LOST}


def standing(
    verdict: Verdict | None, flags: Sequence[StoredFlag], today: date, sources: Sequence[str] = ()
) -> Standing:
    """Say where a person stands.

    Parameters
    ----------
    verdict : Verdict or None
        Of all nights; None without any.
    flags : sequence of StoredFlag
        Of the same person.
    today : date
        In the person's zone.
    sources : sequence of str
        What recorded each night, to name a changed sensor.
    """
    valid = np.flatnonzero(verdict.is_present) if verdict is not None else np.empty(0, np.intp)
    newest = night_at(verdict, int(valid[-1])) if verdict is not None and len(valid) else None
    shown = [s for s in flags if s.state == "open" and (today - s.newest_night).days <= EXPIRES_DAYS]
    for kind, state in (("change", State.CHANGED), ("contact", State.DATA_LOST)):
        of_kind = [s for s in shown if s.flag.kind == kind and _is_current(verdict, s)]
        if of_kind:
            latest = max(of_kind, key=lambda stored: stored.newest_night).flag
            return Standing(state, latest.reason, latest.since, newest)
    if verdict is None or newest is None:
        return Standing(State.NO_RECENT_DATA, "No night with enough data yet", None, None)
    if (today - newest).days > RECENT_NIGHTS:
        missing_since = newest + timedelta(days=1)
        reason = f"No night with enough data since {newest:%d %b}"
        return Standing(State.NO_RECENT_DATA, reason, missing_since, newest)
    state, reason = _judged(verdict, valid, today, sources)
    is_learning = state == State.LEARNING
    begin = max(int(valid[0]), int(verdict.track.segment[valid[-1]]))
    return Standing(state, reason, night_at(verdict, begin) if is_learning else None, newest)


def _is_current(verdict: Verdict | None, stored: StoredFlag) -> bool:
    """Say whether a flag is about today: one of contact no longer is when data are back."""
    is_change = stored.flag.kind == "change"
    return is_change or verdict is None or is_still_lost(verdict, stored.flag.night)


def _judged(
    verdict: Verdict, valid: NDArray[np.intp], today: date, sources: Sequence[str]
) -> tuple[State, str]:
    """Say what the recent nights tell, if they can be judged at all."""
    ages = np.array([(today - night_at(verdict, int(at))).days for at in valid])
    is_recent, is_other = (ages >= 0) & (ages < LOOKED_DAYS), verdict.track.is_other[valid]
    recent, others = valid[is_recent & ~is_other], valid[is_recent & is_other]
    left_out = _left_out(others, sources)
    if left_out and len(recent) < NEEDED_NIGHTS:
        return State.NOT_ENOUGH_DATA, (
            f"{len(recent)} of the last {LOOKED_DAYS} nights by the usual sensor, {NEEDED_NIGHTS} needed to "
            f"judge{left_out}"
        )
    t = int(valid[~is_other][-1])
    if not verdict.is_monitored[t]:
        return State.LEARNING, _learning(verdict, t, sources)
    if len(recent) < NEEDED_NIGHTS:
        return State.NOT_ENOUGH_DATA, (
            f"{len(recent)} of the last {LOOKED_DAYS} nights had enough data, {NEEDED_NIGHTS} needed to judge"
        )
    if (judged := int(verdict.is_monitored[recent].sum())) < NEEDED_NIGHTS:
        return State.LEARNING, f"{judged} nights with a first own normal, {NEEDED_NIGHTS} needed to judge"
    if verdict.score[t] >= verdict.watch[t]:
        return State.WATCH, _watched(verdict, t) + left_out
    said = f"As usual on {judged} of the last {LOOKED_DAYS} nights: {_judged_by(verdict, t)}"
    return State.IN_RANGE, said + left_out


def _left_out(others: NDArray[np.intp], sources: Sequence[str]) -> str:
    """Say which of the recent nights do not count, as another sensor recorded them; nothing without any."""
    if not len(others):
        return ""
    at: list[int] = others.tolist()
    names = dict.fromkeys(sources[t] for t in at if t < len(sources))
    said = f" ({'; '.join(names)})" if names else ""
    return f"; not judged: {len(others)} by another sensor{said}"


def _learning(verdict: Verdict, t: int, sources: Sequence[str]) -> str:
    track, end = verdict.track, baseline_end(t, GAP_DAYS)
    is_same = end > 0 and track.segment[end - 1] == track.segment[t]
    counts = track.counted[end, np.isfinite(track.scaled[t])] if is_same else np.zeros(1)
    held = int(np.sort(counts)[::-1][min(2, len(counts) - 1)])
    said = f"{held} of {MIN_VALID} nights for an own normal; the last {GAP_DAYS} do not count yet"
    begin = int(track.segment[t])
    if not begin or not sources:
        return said
    return f"Other sensor since {night_at(verdict, begin):%d %b} ({sources[begin]}): {said}"


def _watched(verdict: Verdict, t: int) -> str:
    """Say what stands out, and that it is no flag, or no new one."""
    said = in_words(reasons_for(verdict.track, t, verdict.model.weights))
    is_review = verdict.score[t] >= verdict.review[t]
    return f"{'Flagged before, and not over' if is_review else 'Below what raises a flag'}: {said}"


def _judged_by(verdict: Verdict, t: int) -> str:
    """Name what the person is judged by, so that nobody takes silence for more than it is."""
    shown = ("mean_hr_bpm", "rmssd_ms", "tst_min", "steps")
    held = verdict.track.valid[t, -1] > 0
    said = [CHANNELS[NAMES.index(name)].label for name in shown if held[NAMES.index(name)]]
    return ", ".join(each if each.isupper() else each.lower() for each in said) or "what was recorded"
