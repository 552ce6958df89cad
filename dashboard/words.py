"""How values, ages, dates and levels are said and drawn; a level is always shape, word and fill together."""

import math
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from zoneinfo import ZoneInfo

from models.standing import State
from store.units import NS_PER_S

MISSING = "\N{EN DASH}"
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_DAYS = 4096
"""Kept: a page says each of its days a dozen times, and the library takes its time to write one."""


@dataclass(frozen=True, slots=True)
class Level:
    """How a state looks: a shape beside its word, a class that fills, a rank (0 needs a look first)."""

    rank: int
    shape: str
    class_name: str


LEVELS: dict[State, Level] = {
    State.CHANGED: Level(0, "◆", "changed"),
    State.DATA_LOST: Level(1, "▣", "lost"),
    State.NO_RECENT_DATA: Level(2, "□", "absent"),
    State.NOT_ENOUGH_DATA: Level(3, "◐", "partial"),
    State.WATCH: Level(4, "◇", "watch"),
    State.LEARNING: Level(5, "○", "learning"),
    State.IN_RANGE: Level(6, "●", "in-range"),
}


def flag_shape(kind: str) -> str:
    """Return the shape of a flag: that of the level it leads to."""
    return LEVELS[State.DATA_LOST if kind == "contact" else State.CHANGED].shape


def sentence_case(text: str) -> str:
    """Return the text with its first letter large."""
    return text[:1].upper() + text[1:]


def age_text(age_ns: int) -> str:
    """Say how long ago something was; a minute or more in the future is said, for clocks that differ.

    >>> age_text(150 * 10**9)
    '2 min ago'
    """
    age_s = age_ns // NS_PER_S
    if age_s <= -_MINUTE_S:
        return age_text(-age_ns).replace(" ago", " ahead of this clock")
    age_s = max(0, age_s)
    if age_s < _MINUTE_S:
        return f"{age_s} s ago"
    if age_s < _HOUR_S:
        return f"{age_s // _MINUTE_S} min ago"
    if age_s < 2 * _DAY_S:
        return f"{age_s // _HOUR_S} h ago"
    return f"{age_s // _DAY_S} d ago"


def number_text(value: float, digits: int = 0) -> str:
    """Return a number for reading; a dash where there is none."""
    return f"{value:.{digits}f}" if math.isfinite(value) else MISSING


def percent_text(frac: float) -> str:
    """Return a share (0-1) as a percentage; a dash where there is none."""
    return f"{100 * frac:.0f} %" if math.isfinite(frac) else MISSING


@lru_cache(maxsize=_DAYS)
def date_text(day: date) -> str:
    """Return a date as `3 Mar 2026`."""
    return f"{day.day} {day:%b %Y}"


def morning_text(day: date) -> str:
    """Return a date with weekday and year, as `Tue 3 Mar 2026`."""
    return f"{day:%a} {date_text(day)}"


@lru_cache(maxsize=_DAYS)
def day_text(day: date) -> str:
    """Return a date with its weekday, as `Tue 3 Mar`."""
    return f"{day:%a} {day.day} {day:%b}"


def local_time(t_ns: int, zone: str) -> datetime:
    """Return a time as the wall clock of a zone shows it."""
    return datetime.fromtimestamp(t_ns / NS_PER_S, ZoneInfo(zone))


def span_text(low: float, high: float, digits: int = 0) -> str:
    """Return a range as `31 to 57`."""
    return f"{number_text(low, digits)} to {number_text(high, digits)}"


def digits_apart(value: float, low: float, high: float) -> int:
    """Return how many digits keep a value outside a range from reading as its edge: 0, or 1 where needed.

    >>> digits_apart(68.2, 60.0, 67.9)
    1
    """
    is_outside = value < low or value > high
    return int(is_outside and number_text(value) in (number_text(low), number_text(high)))


def clock_text(hours: float) -> str:
    """Return hours from midnight, before it negative, as a time of day.

    >>> clock_text(-0.5)
    '23:30'
    """
    minutes = round(hours * 60) % (24 * 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}"


def duration_text(hours: float) -> str:
    """Return a length of time as `7 h 05`.

    >>> duration_text(7.08)
    '7 h 05'
    """
    minutes = round(hours * 60)
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes >= 60 else f"{minutes} min"


def grouped_text(value: float) -> str:
    """Return a large number with thin spaces between thousands."""
    return f"{value:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}") if math.isfinite(value) else MISSING
