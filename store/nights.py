"""Nights: the local noon-to-noon span, named by the date on which it ends (the morning)."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from store.units import NS_PER_S


def local_ns(day: date, hour: int, zone: str) -> int:
    """Return the UTC nanoseconds of a local wall-clock hour (24 is the next midnight).

    Where the hour does not exist or exists twice (a change of clocks), the earlier offset holds.
    """
    carried = day + timedelta(days=hour // 24)
    moment = datetime.combine(carried, time(hour % 24), ZoneInfo(zone))
    return round(moment.timestamp()) * NS_PER_S


def night_bounds_ns(night: date, zone: str) -> tuple[int, int]:
    """Return the half-open span of a night: noon of the day before to noon, 23 to 25 hours."""
    return local_ns(night - timedelta(days=1), 12, zone), local_ns(night, 12, zone)


def night_of(t_ns: int, zone: str) -> date:
    """Return the night that a time belongs to."""
    moment = datetime.fromtimestamp(t_ns // NS_PER_S, ZoneInfo(zone))
    return (moment + timedelta(days=1)).date() if moment.hour >= 12 else moment.date()


def nights_between(start_ns: int, end_ns: int, zone: str) -> list[date]:
    """Return every night that touches `[start_ns, end_ns)`."""
    if end_ns <= start_ns:
        return []
    first, last = night_of(start_ns, zone), night_of(end_ns - 1, zone)
    return [first + timedelta(days=k) for k in range((last - first).days + 1)]


def night_index(t_ns: NDArray[np.int64], nights: list[date], zone: str) -> NDArray[np.intp]:
    """Return for each time the position in `nights` (consecutive) of its night, -1 outside."""
    edges = np.array(
        [night_bounds_ns(night, zone)[0] for night in nights] + [night_bounds_ns(nights[-1], zone)[1]]
    )
    index = np.searchsorted(edges, t_ns, side="right") - 1
    return np.where(index < len(nights), index, -1)
