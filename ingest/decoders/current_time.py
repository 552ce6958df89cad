"""Current Time (0x2A2B) and Local Time Information (0x2A0F): what a wearable's own clock shows."""

from dataclasses import dataclass

from ingest.decoders import date_time
from ingest.decoders.date_time import DateTime, decode_date_time, encode_date_time
from ingest.decoders.frame import unsigned
from store.errors import DataError, FrameError

REFERENCE = "Bluetooth Current Time Service 1.1, 3.1 and 3.2; GATT Specification Supplement"
SERVICE_UUID = "00001805-0000-1000-8000-00805f9b34fb"
CURRENT_TIME_UUID = "00002a2b-0000-1000-8000-00805f9b34fb"
LOCAL_TIME_UUID = "00002a0f-0000-1000-8000-00805f9b34fb"

CURRENT_TIME_BYTES = 10
INFINITIME_BYTES = 9
"""InfiniTime leaves the day of the week out, sends 0 for the fraction and does not set the last byte
(src/components/ble/CurrentTimeService.h)."""

LOCAL_TIME_BYTES = 2

FRACTIONS_PER_S = 256
_KNOWN_REASONS = 0x0F
_UNKNOWN_ZONE = -128
_UNKNOWN_DST = 255
_DST_QUARTERS = (0, 2, 4, 8)
_QUARTER_S = 900


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """What the clock shows, in its own time zone.

    Attributes
    ----------
    shown : DateTime
    day_of_week : int
        1 Monday to 7 Sunday, 0 not known.
    fraction_256 : int
        Of the second, in 1/256.
    adjust_reasons : int
        Why the clock was last set: bit 0 by hand, 1 by another clock, 2 change of zone, 3 of summer time.
    """

    shown: DateTime
    day_of_week: int = 0
    fraction_256: int = 0
    adjust_reasons: int = 0


@dataclass(frozen=True, slots=True)
class LocalTime:
    """How the clock's time zone stands to UTC.

    Attributes
    ----------
    zone_quarters : int or None
        Quarters of an hour ahead of UTC without summer time, -48 to 56; None if not known.
    dst_quarters : int or None
        Further quarters for summer time: 0, 2, 4 or 8; None if not known.
    """

    zone_quarters: int | None
    dst_quarters: int | None

    @property
    def offset_s(self) -> int | None:
        """Seconds ahead of UTC, or None if not known."""
        if self.zone_quarters is None or self.dst_quarters is None:
            return None
        return (self.zone_quarters + self.dst_quarters) * _QUARTER_S


def decode_current_time(frame: bytes) -> CurrentTime:
    """Return what the clock shows; also of InfiniTime's nine bytes.

    Raises
    ------
    FrameError
        If the frame has another size, a part is out of its range, or a reserved reason is given.
    """
    if len(frame) not in (CURRENT_TIME_BYTES, INFINITIME_BYTES):
        raise FrameError(
            f"A current time has {len(frame)} bytes; needed are {CURRENT_TIME_BYTES}, "
            f"or {INFINITIME_BYTES} of InfiniTime",
            frame,
        )
    shown = decode_date_time(frame)
    if len(frame) == INFINITIME_BYTES:
        return CurrentTime(shown)
    day_of_week, fraction_256, reasons = frame[date_time.SIZE_BYTES :]
    if day_of_week > 7:
        raise FrameError(f"A current time says day of the week {day_of_week}; needed is 0-7", frame)
    if reasons & ~_KNOWN_REASONS:
        raise FrameError(
            f"A current time sets the reserved reasons 0x{reasons & ~_KNOWN_REASONS:02x}; needed is 0", frame
        )
    return CurrentTime(shown, day_of_week, fraction_256, reasons)


def encode_current_time(value: CurrentTime) -> bytes:
    """Return the ten bytes that say this.

    Raises
    ------
    DataError
        If a part is out of its range.
    """
    if not 0 <= value.day_of_week <= 7 or not 0 <= value.adjust_reasons <= _KNOWN_REASONS:
        raise DataError(
            f"A current time cannot say day of the week {value.day_of_week}, "
            f"reasons {value.adjust_reasons}; needed are 0-7 and 0-{_KNOWN_REASONS}"
        )
    fraction = unsigned(value.fraction_256, 1, "fraction_256")
    return (
        encode_date_time(value.shown) + bytes([value.day_of_week]) + fraction + bytes([value.adjust_reasons])
    )


def decode_local_time(frame: bytes) -> LocalTime:
    """Return how the clock's zone stands to UTC.

    Raises
    ------
    FrameError
        If the frame is not two bytes, or one of them is out of its range.
    """
    if len(frame) != LOCAL_TIME_BYTES:
        raise FrameError(f"A local time has {len(frame)} bytes; needed are {LOCAL_TIME_BYTES}", frame)
    zone, dst = int.from_bytes(frame[:1], signed=True), frame[1]
    if zone != _UNKNOWN_ZONE and not -48 <= zone <= 56:
        raise FrameError(f"A local time says zone {zone}; needed is -48 to 56, or -128", frame)
    if dst != _UNKNOWN_DST and dst not in _DST_QUARTERS:
        raise FrameError(f"A local time says summer time {dst}; needed is 0, 2, 4, 8 or 255", frame)
    return LocalTime(None if zone == _UNKNOWN_ZONE else zone, None if dst == _UNKNOWN_DST else dst)


def encode_local_time(value: LocalTime) -> bytes:
    """Return the two bytes that say this.

    Raises
    ------
    DataError
        If a part is out of its range.
    """
    zone = _UNKNOWN_ZONE if value.zone_quarters is None else value.zone_quarters
    dst = _UNKNOWN_DST if value.dst_quarters is None else value.dst_quarters
    if not (zone == _UNKNOWN_ZONE or -48 <= zone <= 56) or dst not in (*_DST_QUARTERS, _UNKNOWN_DST):
        raise DataError(f"A local time cannot say zone {zone}, summer time {dst}")
    return bytes([zone & 0xFF, dst])


CURRENT_TIME_VECTORS = (
    (bytes.fromhex("00000000000000000000"), CurrentTime(DateTime(0, 0, 0, 0, 0, 0))),
    (
        bytes.fromhex("dc070c050b0a06038001"),
        CurrentTime(DateTime(2012, 12, 5, 11, 10, 6), day_of_week=3, fraction_256=128, adjust_reasons=1),
    ),
)
LOCAL_TIME_VECTORS = (
    (bytes.fromhex("0404"), LocalTime(4, 4)),
    (bytes.fromhex("ec00"), LocalTime(-20, 0)),
    (bytes.fromhex("80ff"), LocalTime(None, None)),
)
