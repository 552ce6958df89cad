"""Sleep and oxygen saturation in the memory of a Colmi ring: one long answer with a length and a CRC.

An answer covers all days that the ring still holds, each counted back from its today.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from store.errors import DataError, FrameError

REFERENCE = (
    "Colmi R02 big data over Bluetooth LE: Puxtril/colmi-docs, docs/bigdata.md; tahnok/colmi_r02_client, "
    "tests/test_big_data.py; Gadgetbridge, ColmiR0xPacketHandler"
)
SERVICE_UUID = "de5bf728-d711-4e47-af26-65e3012a5dc7"
NOTIFY_UUID = "de5bf729-d711-4e47-af26-65e3012a5dc7"
WRITE_UUID = "de5bf72a-d711-4e47-af26-65e3012a5dc7"

_MAGIC = 0xBC
_HEADER_BYTES = 6
_ALL_DAYS = b"\xff"
_CRC_POLYNOMIAL = 0xA001
_HOURS = 24
_SPO2_DAY_BYTES = 1 + 2 * _HOURS
_BOUNDS_BYTES = 4
_MIN_PER_DAY = 1440


class Topic(IntEnum):
    """What an answer is about."""

    SLEEP = 0x27
    SPO2 = 0x2A


class Stage(IntEnum):
    """Sleep as the ring scores it."""

    NO_DATA = 0
    ERROR = 1
    LIGHT = 2
    DEEP = 3
    REM = 4
    AWAKE = 5


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of the night in one stage.

    Attributes
    ----------
    stage : int
        See `Stage`; other numbers are unknown.
    minutes : int
        0-255.
    """

    stage: int
    minutes: int


@dataclass(frozen=True, slots=True)
class SleepDay:
    """The sleep that ended on a day.

    Attributes
    ----------
    days_ago : int
        Counted from the ring's today.
    start_min, end_min : int
        Minutes after midnight of that day; a start before it is negative.
    stretches : tuple of Stretch
        One after the other from the start.
    """

    days_ago: int
    start_min: int
    end_min: int
    stretches: tuple[Stretch, ...]


@dataclass(frozen=True, slots=True)
class Spo2Day:
    """Oxygen saturation of a day.

    Attributes
    ----------
    days_ago : int
        Counted from the ring's today.
    low_high_pct : tuple of (int, int)
        Lowest and highest of each hour from midnight on, 0 where nothing was measured.
    """

    days_ago: int
    low_high_pct: tuple[tuple[int, int], ...]


def big_data_request(topic: Topic) -> bytes:
    """Return the request for all days of a topic."""
    return _framed(topic, _ALL_DAYS)


def topic_of_request(frame: bytes) -> Topic:
    """Return what is asked for; no such request raises `FrameError`."""
    try:
        topic = Topic(frame[1])
    except (IndexError, ValueError):
        raise FrameError("A ring is asked for big data unknown here", frame) from None
    _payload(frame, topic)
    return topic


def bytes_in_answer(head: bytes) -> int:
    """Return how many bytes an answer has that begins so.

    Raises
    ------
    FrameError
        If no answer begins so.
    """
    if len(head) < _HEADER_BYTES or head[0] != _MAGIC:
        raise FrameError("A ring's long answer does not begin with bc and a header of six bytes", head)
    return _HEADER_BYTES + int.from_bytes(head[2:4], "little")


def decode_sleep(frame: bytes) -> tuple[SleepDay, ...]:
    """Return the sleep of all days that the ring holds; none if it holds none.

    Raises
    ------
    FrameError
        If the answer is cut off, damaged or not about sleep.
    """
    payload = _payload(frame, Topic.SLEEP)
    days: list[SleepDay] = []
    position = 1
    while position < len(payload):
        size = payload[position + 1] if position + 1 < len(payload) else 0
        end = position + 2 + size
        if size < _BOUNDS_BYTES or size % 2 or end > len(payload):
            raise FrameError(f"A day of sleep has {size} bytes, which does not fit the answer", frame)
        days.append(_sleep_day(payload[position], payload[position + 2 : end], frame))
        position = end
    if payload and len(days) != payload[0]:
        raise FrameError(f"An answer has {len(days)} days of sleep; needed are {payload[0]}", frame)
    return tuple(days)


def _sleep_day(days_ago: int, body: bytes, frame: bytes) -> SleepDay:
    start_min, end_min = (int.from_bytes(body[at : at + 2], "little", signed=True) for at in (0, 2))
    if start_min > end_min:
        start_min -= _MIN_PER_DAY
    if not (end_min - _MIN_PER_DAY < start_min <= end_min <= _MIN_PER_DAY):
        raise FrameError(f"Sleep from minute {start_min} to {end_min} of a day cannot be", frame)
    stretches = tuple(Stretch(*body[at : at + 2]) for at in range(_BOUNDS_BYTES, len(body), 2))
    return SleepDay(days_ago, start_min, end_min, stretches)


def encode_sleep(days: Sequence[SleepDay]) -> bytes:
    """Return the answer that says this sleep; a value that does not fit raises `DataError`."""
    try:
        payload = bytes([len(days)])
        for day in days:
            start_min = day.start_min + _MIN_PER_DAY if day.start_min < 0 else day.start_min
            body = b"".join(value.to_bytes(2, "little", signed=True) for value in (start_min, day.end_min))
            body += b"".join(bytes([stretch.stage, stretch.minutes]) for stretch in day.stretches)
            payload += bytes([day.days_ago, len(body)]) + body
    except (OverflowError, ValueError):
        raise DataError(f"{days} cannot be sent; needed are bytes and minutes of a day") from None
    return _framed(Topic.SLEEP, payload)


def decode_spo2(frame: bytes) -> tuple[Spo2Day, ...]:
    """Return the oxygen saturation of all days that the ring holds; none if it holds none.

    Raises
    ------
    FrameError
        If the answer is cut off, damaged or not about oxygen, or a value is beyond 100 %.
    """
    payload = _payload(frame, Topic.SPO2)
    if len(payload) % _SPO2_DAY_BYTES:
        raise FrameError(
            f"An answer about oxygen has {len(payload)} bytes; needed are {_SPO2_DAY_BYTES} for each day",
            frame,
        )
    if any(value > 100 for at, value in enumerate(payload) if at % _SPO2_DAY_BYTES):
        raise FrameError("An answer about oxygen has more than 100 %", frame)
    return tuple(
        Spo2Day(payload[at], _pairs(payload[at + 1 : at + _SPO2_DAY_BYTES]))
        for at in range(0, len(payload), _SPO2_DAY_BYTES)
    )


def _pairs(values: bytes) -> tuple[tuple[int, int], ...]:
    # Sources disagree on which of the two comes first.
    return tuple((min(pair), max(pair)) for pair in zip(values[::2], values[1::2], strict=True))


def encode_spo2(days: Sequence[Spo2Day]) -> bytes:
    """Return the answer that says this saturation; a value that does not fit raises `DataError`."""
    try:
        payload = b"".join(
            bytes([day.days_ago, *(value for pair in day.low_high_pct for value in pair)]) for day in days
        )
    except ValueError:
        raise DataError(f"{days} cannot be sent; needed are 0-100 %") from None
    if len(payload) != _SPO2_DAY_BYTES * len(days):
        raise DataError(f"A day of oxygen cannot be sent; needed are {_HOURS} hours")
    return _framed(Topic.SPO2, payload)


def _payload(frame: bytes, topic: Topic) -> bytes:
    needed = bytes_in_answer(frame)
    if len(frame) != needed or frame[1] != topic:
        raise FrameError(
            f"A ring's long answer about 0x{frame[1]:02x} has {len(frame)} bytes; needed are {needed} about "
            f"0x{topic:02x}",
            frame,
        )
    payload = frame[_HEADER_BYTES:]
    told, found = int.from_bytes(frame[4:6], "little"), crc16(payload)
    if told != found:
        raise FrameError(f"A ring's long answer has the CRC 0x{told:04x}; needed is 0x{found:04x}", frame)
    return payload


def _framed(topic: Topic, payload: bytes) -> bytes:
    sizes = (len(payload), crc16(payload))
    return bytes([_MAGIC, topic]) + b"".join(value.to_bytes(2, "little") for value in sizes) + payload


def crc16(payload: bytes) -> int:
    """Return CRC-16/MODBUS: polynomial 0x8005 reflected, beginning with 0xffff.

    Examples
    --------
    >>> hex(crc16(b"123456789"))
    '0x4b37'
    """
    crc = 0xFFFF
    for value in payload:
        crc ^= value
        for _ in range(8):
            crc = crc >> 1 ^ (_CRC_POLYNOMIAL if crc & 1 else 0)
    return crc


SLEEP_VECTORS = (
    (bytes.fromhex("bc270100bf4000"), ()),
    (
        # Captured: tahnok/colmi_r02_client, tests/test_big_data.py.
        bytes.fromhex(
            "bc273300d489 01 0030 3f051e02 0236 0311 0511 0230 0310 0220 0420 0320 0220 0410 0320 0220 0410"
            "0220 0320 0240 0320 0230 0310 0202 050c 0219"
        ),
        (
            SleepDay(
                0,
                1343 - 1440,
                542,
                tuple(
                    Stretch(stage, minutes)
                    for stage, minutes in (
                        *((2, 54), (3, 17), (5, 17), (2, 48), (3, 16), (2, 32), (4, 32), (3, 32), (2, 32)),
                        *((4, 16), (3, 32), (2, 32), (4, 16), (2, 32), (3, 32), (2, 64), (3, 32), (2, 48)),
                        *((3, 16), (2, 2), (5, 12), (2, 25)),
                    )
                ),
            ),
        ),
    ),
)
SPO2_VECTORS = (
    (bytes.fromhex("bc2a0000ffff"), ()),
    (
        # Captured from a Colmi R09.
        bytes.fromhex("bc2a3100711d" + "00" * 45 + "61610000"),
        (Spo2Day(0, ((0, 0),) * 22 + ((97, 97), (0, 0))),),
    ),
    (
        # Captured from another ring of the family.
        bytes.fromhex("bc2a310053fa 00 6060 6363 6161 6262 6161 6363 6363" + "00" * 34),
        (
            Spo2Day(
                0,
                ((96, 96), (99, 99), (97, 97), (98, 98), (97, 97), (99, 99), (99, 99)) + ((0, 0),) * 17,
            ),
        ),
    ),
)
