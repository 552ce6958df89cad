"""Where a person stands today, in one word and one sentence; missing data is a word of its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

import numpy as np

from configs.settings import FlagSettings
from features.nights import Nights
from models.rule import JUDGED_FEATURES
from store.registry.flags import StoredFlag

RECENT_NIGHTS = 2
"""Data up to the night before last is recent: a phone or gateway is often a day late."""
SHOWN_DAYS = 28
"""An open flag stands in the list for four weeks after it was raised."""


class State(StrEnum):
    """Where a person stands; only `IN_RANGE` says that nothing stands out."""

    CHANGED = "changed"
    NO_RECENT_DATA = "no recent data"
    NOT_ENOUGH_DATA = "not enough data"
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


def standing(nights: Nights, flags: Sequence[StoredFlag], today: date, settings: FlagSettings) -> Standing:
    """Say where a person stands.

    Parameters
    ----------
    nights : Nights
    flags : sequence of StoredFlag
        Of the same person.
    today : date
        In the person's zone.
    settings : FlagSettings
    """
    has_values = np.all([np.isfinite(nights.values[name]) for name in JUDGED_FEATURES], axis=0)
    valid = [night for night, is_valid in zip(nights.nights, has_values, strict=True) if is_valid]
    newest = valid[-1] if valid else None
    recent = [night for night in valid if 0 <= (today - night).days < settings.judged_nights]
    shown = [s for s in flags if s.state == "open" and (today - s.flag.night).days <= SHOWN_DAYS]
    if shown:
        latest = max(shown, key=lambda stored: stored.flag.night).flag
        return Standing(State.CHANGED, latest.reason, latest.since, newest)
    if newest is None:
        return Standing(State.NO_RECENT_DATA, "No night with enough data yet", None, None)
    if (today - newest).days > RECENT_NIGHTS:
        missing_since = newest + timedelta(days=1)
        reason = f"No night with enough data since {newest:%d %b}"
        return Standing(State.NO_RECENT_DATA, reason, missing_since, newest)
    if len(valid) < settings.min_valid_nights + settings.nights_outside:
        needed = settings.min_valid_nights + settings.nights_outside
        reason = f"{len(valid)} of {needed} nights for a first own band"
        return Standing(State.LEARNING, reason, valid[0], newest)
    if len(recent) < settings.nights_outside:
        reason = (
            f"{len(recent)} of the last {settings.judged_nights} nights had enough data, "
            f"{settings.nights_outside} needed to judge"
        )
        return Standing(State.NOT_ENOUGH_DATA, reason, None, newest)
    return Standing(State.IN_RANGE, "RMSSD and heart rate keep to the own band", None, newest)
