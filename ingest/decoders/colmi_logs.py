"""Logs in the memory of a Colmi ring: a day of heart rate, steps or HRV, each in several packets.

A log counts only when every packet of it is there, once and in order: half a log that passed for a whole one
would make the missing hours look like hours without data.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from ingest.decoders.colmi_packets import (
    Command,
    Packet,
    decode_packet,
    decode_packets,
    encode_packet,
    from_bcd,
    to_bcd,
)
from store.errors import DataError, FrameError

MIN_PER_DAY = 1440
STEP_SLOT_MIN = 15
_NO_DATA = 0xFF
_STEPS_HEADER = 0xF0
_FIRST_RATES, _FURTHER_VALUES = 9, 13
_HRV_PACKETS = 5
_HRV_VALUES = 48
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class HeartRateLog:
    """A day of heart rate.

    Attributes
    ----------
    day : date
        On the ring's clock.
    interval_min : int
        Between two values; 5 in all rings known.
    heart_rate_bpm : tuple of int
        One per interval from midnight on, 0 where nothing was measured. A day that is not over has zeros to
        its end.
    """

    day: date
    interval_min: int
    heart_rate_bpm: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class StepSlot:
    """Steps in a quarter of an hour.

    Attributes
    ----------
    slot : int
        0-95 from midnight.
    steps, distance_m, energy : int
        Energy as sent; its unit differs between firmwares.
    """

    slot: int
    steps: int
    distance_m: int
    energy: int


@dataclass(frozen=True, slots=True)
class StepsLog:
    """The quarters of an hour of a day in which the ring counted anything, earliest first."""

    day: date
    slots: tuple[StepSlot, ...]


@dataclass(frozen=True, slots=True)
class HrvLog:
    """A day of the vendor's HRV.

    Attributes
    ----------
    days_ago : int
        Counted from the ring's today.
    interval_min : int
        30 in all rings known.
    hrv_ms : tuple of int
        One per interval from midnight on, 0 where nothing was measured.
    """

    days_ago: int
    interval_min: int
    hrv_ms: tuple[int, ...]


def packets_in_log(first: bytes) -> int:
    """Return how many packets an answer has that begins with this one.

    Raises
    ------
    FrameError
        If no answer begins so.
    """
    return _promised(decode_packet(first), first)


def _promised(packet: Packet, answer: bytes) -> int:
    marker, count = packet.data[0], packet.data[1]
    if packet.is_error:
        raise FrameError("The ring answers that it cannot do this", answer)
    if marker == _NO_DATA:
        return 1
    match packet.command, marker:
        case Command.HEART_RATE_LOG, 0 if count > 1:
            return count
        case Command.STEPS_LOG, 0xF0:
            return 1 + count
        case Command.HRV_LOG, 0 if count == _HRV_PACKETS:
            return count
        case _:
            raise FrameError("A ring's log does not begin with a header", answer)


def decode_heart_rate_log(answer: bytes) -> HeartRateLog | None:
    """Return a day's heart rate, or None if the ring holds none.

    Raises
    ------
    FrameError
        If a packet is missing, repeated, out of order or damaged; it holds all of them.
    """
    parts = _whole(answer, Command.HEART_RATE_LOG)
    if len(parts) == 1:
        return None
    _check_order(parts, answer)
    interval_min = parts[0].data[2]
    if not 1 <= interval_min <= 60 or MIN_PER_DAY % interval_min:
        raise FrameError(
            f"A heart rate log has a value each {interval_min} min; needed is a part of a day", answer
        )
    midnight_s = int.from_bytes(parts[1].data[1:5], "little")
    if midnight_s % _DAY_S:
        raise FrameError(
            f"A heart rate log begins {midnight_s % _DAY_S} s after midnight; needed is 0", answer
        )
    rates = parts[1].data[5:] + b"".join(part.data[1:] for part in parts[2:])
    slots = MIN_PER_DAY // interval_min
    if len(rates) < slots:
        raise FrameError(f"A heart rate log has {len(rates)} values; needed are {slots}", answer)
    return HeartRateLog(datetime.fromtimestamp(midnight_s, UTC).date(), interval_min, tuple(rates[:slots]))


def encode_heart_rate_log(log: HeartRateLog | None) -> bytes:
    """Return the packets that say this log; anything but a day of 0-255 bpm raises `DataError`."""
    if log is None:
        return _no_data(Command.HEART_RATE_LOG)
    rates = _bytes_of(log.heart_rate_bpm, MIN_PER_DAY // log.interval_min)
    midnight_s = round(datetime(log.day.year, log.day.month, log.day.day, tzinfo=UTC).timestamp())
    chunks = [midnight_s.to_bytes(4, "little") + rates[:_FIRST_RATES], *_chunks(rates[_FIRST_RATES:])]
    return _numbered(Command.HEART_RATE_LOG, log.interval_min, chunks)


def decode_steps_log(answer: bytes) -> StepsLog | None:
    """Return a day's steps, or None if the ring counted none.

    Raises
    ------
    FrameError
        If a packet is missing, repeated, out of order, damaged or of another day; it holds all of them.
    """
    parts = _whole(answer, Command.STEPS_LOG)[1:]
    if not parts:
        return None
    days = {_day(part.data, answer) for part in parts}
    if len(days) != 1:
        raise FrameError(f"A steps log has {len(days)} days; needed is one", answer)
    if [part.data[4] for part in parts] != list(range(len(parts))) or any(
        part.data[5] != len(parts) for part in parts
    ):
        raise FrameError("A packet of a steps log is missing, repeated or out of order", answer)
    slots = tuple(
        StepSlot(
            slot=part.data[3],
            energy=int.from_bytes(part.data[6:8], "little"),
            steps=int.from_bytes(part.data[8:10], "little"),
            distance_m=int.from_bytes(part.data[10:12], "little"),
        )
        for part in parts
    )
    if (
        any(one.slot >= other.slot for one, other in pairwise(slots))
        or slots[-1].slot >= MIN_PER_DAY // STEP_SLOT_MIN
    ):
        raise FrameError("The quarters of an hour in a steps log do not go up from 0 to 95", answer)
    return StepsLog(days.pop(), slots)


def encode_steps_log(log: StepsLog | None) -> bytes:
    """Return the packets that say this log; a value that does not fit raises `DataError`."""
    if log is None or not log.slots:
        return _no_data(Command.STEPS_LOG)
    date_bcd = bytes(map(to_bcd, (log.day.year % 100, log.day.month, log.day.day)))
    count = len(log.slots)
    try:
        packets = [encode_packet(Packet(Command.STEPS_LOG, bytes([_STEPS_HEADER, count, 1])))]
        for index, slot in enumerate(log.slots):
            values = (slot.energy, slot.steps, slot.distance_m)
            data = date_bcd + bytes([slot.slot, index, count])
            data += b"".join(value.to_bytes(2, "little") for value in values)
            packets.append(encode_packet(Packet(Command.STEPS_LOG, data)))
    except (OverflowError, ValueError):
        raise DataError(f"{log} cannot be sent; needed are slots of 0-95 and values to 65535") from None
    return b"".join(packets)


def decode_hrv_log(answer: bytes) -> HrvLog | None:
    """Return a day's HRV, or None if the ring holds none.

    Raises
    ------
    FrameError
        If a packet is missing, repeated, out of order or damaged; it holds all of them.
    """
    parts = _whole(answer, Command.HRV_LOG)
    if len(parts) == 1:
        return None
    _check_order(parts, answer)
    values = b"".join(part.data[1:] for part in parts[1:])
    interval_min = parts[0].data[2]
    if interval_min * _HRV_VALUES != MIN_PER_DAY:
        raise FrameError(f"An HRV log has a value each {interval_min} min; needed is 30", answer)
    return HrvLog(values[0], interval_min, tuple(values[1 : 1 + _HRV_VALUES]))


def encode_hrv_log(log: HrvLog | None) -> bytes:
    """Return the packets that say this log; anything but a day of 0-255 ms raises `DataError`."""
    if log is None:
        return _no_data(Command.HRV_LOG)
    values = bytes([log.days_ago]) + _bytes_of(log.hrv_ms, _HRV_VALUES)
    return _numbered(Command.HRV_LOG, log.interval_min, _chunks(values))


def _whole(answer: bytes, command: Command) -> tuple[Packet, ...]:
    """Return the packets of an answer, all of this command and as many as the first one promises."""
    packets = decode_packets(answer)
    needed = _promised(packets[0], answer)
    if len(packets) != needed:
        raise FrameError(f"A ring's log has {len(packets)} packets; needed are {needed}", answer)
    if any(packet.command != command or packet.is_error for packet in packets):
        raise FrameError(f"A packet does not belong to the log of command 0x{command:02x}", answer)
    return packets


def _check_order(parts: Sequence[Packet], answer: bytes) -> None:
    numbers = [part.data[0] for part in parts]
    if numbers != list(range(len(parts))):
        raise FrameError(
            f"The packets of a log are {numbers}; needed are 0 to {len(parts) - 1} in order", answer
        )


def _day(data: bytes, answer: bytes) -> date:
    year, month, day = (from_bcd(value, answer) for value in data[:3])
    try:
        return date(2000 + year, month, day)
    except ValueError:
        raise FrameError(
            f"A steps log is of {year:02d}-{month:02d}-{day:02d}, which does not exist", answer
        ) from None


def _no_data(command: Command) -> bytes:
    return encode_packet(Packet(command, bytes([_NO_DATA])))


def _numbered(command: Command, interval_min: int, chunks: Sequence[bytes]) -> bytes:
    head = bytes([0, 1 + len(chunks), interval_min])
    bodies = [head, *(bytes([number]) + chunk for number, chunk in enumerate(chunks, 1))]
    return b"".join(encode_packet(Packet(command, body)) for body in bodies)


def _chunks(values: bytes) -> list[bytes]:
    return [values[at : at + _FURTHER_VALUES] for at in range(0, len(values), _FURTHER_VALUES)]


def _bytes_of(values: Sequence[int], count: int) -> bytes:
    if len(values) != count:
        raise DataError(f"A log of {len(values)} values cannot be sent; needed are {count}")
    try:
        return bytes(values)
    except ValueError:
        raise DataError("A log's value cannot be sent; needed are 0-255") from None


# Records


@dataclass(frozen=True, slots=True)
class LogHeader:
    """What a log does not say itself, at the beginning of its record.

    Attributes
    ----------
    day : date
        Asked for; for answers that cover several days, the ring's today.
    clock_offset_s : int
        The ring's clock minus UTC. The profile sets that clock to UTC, so 0.
    worn_since_s : int
        Seconds UTC; what the log holds from before is someone else's, and not read.
    """

    day: date
    clock_offset_s: int = 0
    worn_since_s: int = 0


_VERSION = 1
_HEADER_BYTES = 17
_UNIX_EPOCH = date(1970, 1, 1)


def pack_log(header: LogHeader, answer: bytes) -> bytes:
    """Return the payload of a `colmi_..._log` record.

    17 bytes come first, least significant byte first: version (1), day (days since 1970, 4 bytes),
    clock offset in s (4), worn since in s (8), all signed; then the ring's answer as received.
    """
    day = (header.day - _UNIX_EPOCH).days
    fields = ((_VERSION, 1), (day, 4), (header.clock_offset_s, 4), (header.worn_since_s, 8))
    return b"".join(value.to_bytes(size, "little", signed=True) for value, size in fields) + answer


def unpack_log(payload: bytes) -> tuple[LogHeader, bytes]:
    """Return (header, answer) of a `colmi_..._log` record; another form raises `FrameError`."""
    if len(payload) <= _HEADER_BYTES or payload[0] != _VERSION:
        raise FrameError(f"A ring's log record does not begin with version {_VERSION} and a header", payload)
    day, offset_s, since_s = (
        int.from_bytes(payload[start:end], "little", signed=True) for start, end in ((1, 5), (5, 9), (9, 17))
    )
    try:
        return LogHeader(_UNIX_EPOCH + timedelta(days=day), offset_s, since_s), payload[_HEADER_BYTES:]
    except OverflowError:
        raise FrameError(
            f"A ring's log record is of day {day} since 1970, which does not exist", payload
        ) from None


HEART_RATE_VECTORS = ((bytes.fromhex("15ff0000000000000000000000000014"), None),)
STEPS_VECTORS = (
    (bytes.fromhex("43ff0000000000000000000000000042"), None),
    (
        # Captured: tahnok/colmi_r02_client, tests/test_steps.py.
        bytes.fromhex(
            "43f00501000000000000000000000039"
            "432308131000 05c8003000 1b0000 00a9"
            "432308131401 05b618aa04 690300 0083"
            "432308131802 053804e100 950000 0052"
            "432308131c03 0505026c00 480000 0060"
            "432308134c04 05ef016300 440000 006d"
        ),
        StepsLog(
            date(2023, 8, 13),
            (
                StepSlot(16, steps=48, distance_m=27, energy=200),
                StepSlot(20, steps=1194, distance_m=873, energy=6326),
                StepSlot(24, steps=225, distance_m=149, energy=1080),
                StepSlot(28, steps=108, distance_m=72, energy=517),
                StepSlot(76, steps=99, distance_m=68, energy=495),
            ),
        ),
    ),
)
HRV_VECTORS = (
    (bytes.fromhex("39ff0000000000000000000000000038"), None),
    (
        # Captured from an M7083 ring, second of its days.
        bytes.fromhex(
            "3900051e00000000000000000000005c"
            "3901010000000000000000000000003b"
            "390200000000000000002d00270024b3"
            "39030030002600210022003000300035"
            "390420002e002e002800250000000006"
        ),
        HrvLog(
            1,
            30,
            (0,) * 20
            + (45, 0, 39, 0, 36)
            + (0, 48, 0, 38, 0, 33, 0, 34, 0, 48, 0, 48, 0)
            + (32, 0, 46, 0, 46, 0, 40, 0, 37, 0),
        ),
    ),
)
