"""Nights: the local noon-to-noon span, named by the date on which it ends (the morning)."""

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

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
