"""Times as people write them."""

from datetime import UTC, date, datetime

from store.errors import ConfigError
from store.units import NS_PER_S

_FIRST_YEAR, _LAST_YEAR = 1678, 2261
"""What nanoseconds since 1970 can hold in 64 bits."""


def parse_time_ns(text: str, what: str) -> int:
    """Return the UTC nanoseconds of an ISO 8601 time; without an offset it is UTC.

    Raises
    ------
    ConfigError
        If it is no such time; `what` names where it came from.

    Examples
    --------
    >>> parse_time_ns("2026-01-05T20:00:00Z", "--start")
    1767643200000000000
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{what} is {text!r}; needed is a time such as 2026-01-05T20:00:00Z") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ConfigError(f"{what} is {text!r}; needed is a year from {_FIRST_YEAR} to {_LAST_YEAR}")
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    whole_s = round(moment.replace(microsecond=0).timestamp())
    return whole_s * NS_PER_S + moment.microsecond * 1000


def parse_day(text: str, what: str) -> date:
    """Return a day written as YYYY-MM-DD.

    Raises
    ------
    ConfigError
        If it is no such day; `what` names where it came from.

    Examples
    --------
    >>> parse_day("2026-01-05", "--from")
    datetime.date(2026, 1, 5)
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{what} is {text!r}; needed is a day such as 2026-01-05") from None


def iso_time(t_ns: int) -> str:
    """Return a time as ISO 8601 in UTC, to the second.

    Examples
    --------
    >>> iso_time(1767643200000000000)
    '2026-01-05T20:00:00Z'
    """
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def exact_time(t_ns: int) -> str:
    """Return a time as ISO 8601 in UTC, to the nanosecond.

    Examples
    --------
    >>> exact_time(1767643200000000001)
    '2026-01-05T20:00:00.000000001Z'
    """
    return f"{iso_time(t_ns)[:-1]}.{t_ns % NS_PER_S:09d}Z"
