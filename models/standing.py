"""Where a person stands today, in one word and one sentence; missing data is a word of its own."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from configs.settings import FlagSettings
from features.nights import Nights
from models.baseline import Band
from models.rule import JUDGED_FEATURES, Direction, is_outside, judged_bands
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
    valid = np.flatnonzero(has_values)
    newest = nights.nights[int(valid[-1])] if len(valid) else None
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
    state, reason = _judged(nights, valid, today, settings)
    since = nights.nights[int(valid[0])] if state == State.LEARNING else None
    return Standing(state, reason, since, newest)


def _judged(
    nights: Nights, valid: NDArray[np.intp], today: date, settings: FlagSettings
) -> tuple[State, str]:
    """Say what the recent nights tell, if they can be judged at all."""
    bands = judged_bands(nights, settings)
    ages = np.array([(today - nights.nights[int(at)]).days for at in valid])
    recent = valid[(ages >= 0) & (ages < settings.judged_nights)]
    has_band = np.all([np.isfinite(band.usual) for band in bands.values()], axis=0)
    if not has_band[valid[-1]]:
        held = min(int(band.valid_nights[valid[-1]]) for band in bands.values())
        return State.LEARNING, (
            f"{held} of {settings.min_valid_nights} nights for an own band; "
            f"the last {settings.gap_days} do not count yet"
        )
    if len(recent) < settings.nights_outside:
        return State.NOT_ENOUGH_DATA, (
            f"{len(recent)} of the last {settings.judged_nights} nights had enough data, "
            f"{settings.nights_outside} needed to judge"
        )
    if (judged := int(has_band[recent].sum())) < settings.nights_outside:
        needed = settings.nights_outside
        return State.LEARNING, f"{judged} nights with a first own band, {needed} needed to judge"
    return State.IN_RANGE, _kept(bands, recent, settings)


def _kept(bands: Mapping[str, Band], recent: NDArray[np.intp], settings: FlagSettings) -> str:
    """Say how nearly everything keeps to the own band."""
    outside = max(
        int(is_outside(band, side, settings)[recent].sum())
        for band in bands.values()
        for side in get_args(Direction)
    )
    if not outside:
        return "RMSSD and heart rate keep to the own band"
    said = f"Outside the own band on {outside} of the last {len(recent)} nights"
    if outside >= settings.nights_outside:
        return f"{said}, flagged before"
    return f"{said}; {settings.nights_outside} raise a flag"
