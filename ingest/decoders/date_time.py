"""Date Time (0x2A08): a wearable's clock as it stands in other frames, without a time zone."""

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

from store.errors import DataError, FrameError

REFERENCE = "Bluetooth GATT Specification Supplement 3.70, Date Time"

SIZE_BYTES = 7
_LAYOUT = struct.Struct("<HBBBBB")
_FIRST_YEAR, _LAST_YEAR = 1582, 9999


@dataclass(frozen=True, slots=True)
class DateTime:
    """What a wearable's clock shows; year, month and day are 0 where it does not know them."""

    year: int
    month: int
    day: int
    hour: int
    minute: int
    second: int

    def text(self) -> str:
        """Return it as ISO 8601 without a zone."""
        return (
            f"{self.year:04d}-{self.month:02d}-{self.day:02d}"
            f"T{self.hour:02d}:{self.minute:02d}:{self.second:02d}"
        )

    def as_if_utc(self) -> datetime | None:
        """Return the moment if the clock showed UTC; None for a date that is unknown or in no calendar."""
        try:
            return datetime(self.year, self.month, self.day, self.hour, self.minute, self.second, tzinfo=UTC)
        except ValueError:
            return None


def decode_date_time(frame: bytes, start: int = 0) -> DateTime:
    """Return the clock in seven bytes of a frame.

    Parameters
    ----------
    frame : bytes
        All of it, for the error.
    start : int
        Where in it; the caller has seen that seven bytes are there.

    Raises
    ------
    FrameError
        If a part is out of its range.
    """
    parts = _LAYOUT.unpack_from(frame, start)
    wrong = _out_of_range(*parts)
    if wrong:
        raise FrameError(f"A date and time says {wrong}", frame)
    return DateTime(*parts)


def encode_date_time(value: DateTime) -> bytes:
    """Return the seven bytes; a part out of its range raises `DataError`."""
    parts = (value.year, value.month, value.day, value.hour, value.minute, value.second)
    wrong = _out_of_range(*parts)
    if wrong:
        raise DataError(f"A date and time cannot say {wrong}")
    return _LAYOUT.pack(*parts)


def _out_of_range(year: int, month: int, day: int, hour: int, minute: int, second: int) -> str:
    if year and not _FIRST_YEAR <= year <= _LAST_YEAR:
        return f"year {year}; needed is 0 or {_FIRST_YEAR}-{_LAST_YEAR}"
    for name, value, last in (("month", month, 12), ("day", day, 31), ("hour", hour, 23)):
        if not 0 <= value <= last:
            return f"{name} {value}; needed is 0-{last}"
    for name, value in (("minute", minute), ("second", second)):
        if not 0 <= value <= 59:
            return f"{name} {value}; needed is 0-59"
    return ""
