"""Where a flag belongs among those that a person has: one change is one flag."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from models.policy import REFRACTORY_DAYS
from store.registry.flags import StoredFlag
from store.types import Flag

EXPIRES_DAYS = 28
"""A flag that nobody resolved takes what follows within so many days; after that a new one is raised."""
REST_DAYS = 7
"""After a flag was resolved nothing is raised for a week."""


@dataclass(frozen=True, slots=True)
class Place:
    """New, a worsening of a flag by number, resting until a night, or none of these: known already."""

    is_new: bool = False
    worsens: int | None = None
    rests_until: date | None = None


KNOWN, NEW = Place(), Place(is_new=True)


def placed(flag: Flag, stored: Sequence[StoredFlag], resolved: Mapping[int, date]) -> Place:
    """Say where a flag belongs.

    Parameters
    ----------
    flag : Flag
    stored : sequence of StoredFlag
        Of the same person.
    resolved : mapping of flag number to date
        When each flag was resolved that somebody resolved; after one of the past nobody needs a rest.
    """
    same = sorted(
        (one for one in stored if one.flag.kind == flag.kind), key=lambda one: (one.newest_night, one.flag_id)
    )
    rest = timedelta(days=REFRACTORY_DAYS)
    if any(one.flag.night - rest < flag.night < one.newest_night + rest for one in same):
        return KNOWN
    before = [one for one in same if one.newest_night < flag.night]
    if not before:
        return NEW
    latest = before[-1]
    if latest.state == "resolved":
        until = resolved.get(latest.flag_id, latest.newest_night) + timedelta(days=REST_DAYS)
        return Place(rests_until=until) if flag.night < until else NEW
    is_expired = (flag.night - latest.newest_night).days > EXPIRES_DAYS
    return NEW if is_expired else Place(worsens=latest.flag_id)
