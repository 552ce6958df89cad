"""Packets of the Colmi R02 family of rings (QRing): 16 bytes with a checksum, over a service like a UART.

Nothing here is specified by the vendor; references are what others found out and captured.

The ring has a clock and no notion of zones. Apps set it to local time, which repeats and skips hours; here it
is set to UTC, so that its days are UTC days.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import IntEnum

from store.errors import DataError, FrameError
from store.units import NS_PER_S

REFERENCE = (
    "Colmi R02 commands over Bluetooth LE: Puxtril/colmi-docs, docs/commands.md; tahnok/colmi_r02_client, "
    "tests; Gadgetbridge, ColmiR0xConstants"
)
SERVICE_UUID = "6e40fff0-b5a3-f393-e0a9-e50e24dcca9e"
WRITE_UUID = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
NOTIFY_UUID = "6e400003-b5a3-f393-e0a9-e50e24dcca9e"

PACKET_BYTES = 16
DATA_BYTES = 14
_IS_ERROR = 0x80
_ENGLISH = 1


class Command(IntEnum):
    """The first byte of a request and of its answer."""

    SET_TIME = 0x01
    BATTERY = 0x03
    HEART_RATE_LOG = 0x15
    HRV_LOG = 0x39
    STEPS_LOG = 0x43


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet, either way.

    Attributes
    ----------
    command : int
        0-127; see `Command`.
    data : bytes
        14 bytes.
    is_error : bool
        The ring does not know the command or could not do it.
    """

    command: int
    data: bytes
    is_error: bool = False


@dataclass(frozen=True, slots=True)
class Charge:
    """What the ring says about its battery.

    Attributes
    ----------
    level_pct : int
        0-100.
    is_charging : bool
    """

    level_pct: int
    is_charging: bool = False


def decode_packet(frame: bytes) -> Packet:
    """Return a packet's parts; a wrong size or checksum raises `FrameError`."""
    return _packet(frame, frame)


def decode_packets(answer: bytes) -> tuple[Packet, ...]:
    """Return the packets of an answer, one after the other in `answer`.

    Raises
    ------
    FrameError
        If one has a wrong size or checksum, or there is none; it holds the whole answer.
    """
    if not answer:
        raise FrameError("A ring's answer has no packets", answer)
    starts = range(0, len(answer), PACKET_BYTES)
    return tuple(_packet(answer[at : at + PACKET_BYTES], answer) for at in starts)


def answers(frame: bytes, request: bytes) -> bool:
    """Say whether a packet answers a request, and was not sent unasked."""
    return bool(frame) and frame[0] & ~_IS_ERROR == request[0]


def _packet(frame: bytes, answer: bytes) -> Packet:
    if len(frame) != PACKET_BYTES:
        raise FrameError(f"A ring's packet has {len(frame)} bytes; needed are {PACKET_BYTES}", answer)
    if (told := frame[-1]) != (found := _checksum(frame[:-1])):
        raise FrameError(f"A ring's packet has the checksum 0x{told:02x}; needed is 0x{found:02x}", answer)
    return Packet(frame[0] & ~_IS_ERROR, frame[1:-1], bool(frame[0] & _IS_ERROR))


def encode_packet(packet: Packet) -> bytes:
    """Return a packet's bytes, shorter data filled with zeros; longer data raises `DataError`."""
    if len(packet.data) > DATA_BYTES or not 0 <= packet.command < _IS_ERROR:
        raise DataError(f"{packet} cannot be sent; needed are up to {DATA_BYTES} bytes and a command to 127")
    first = packet.command | _IS_ERROR * packet.is_error
    body = bytes([first]) + packet.data.ljust(DATA_BYTES, b"\0")
    return body + bytes([_checksum(body)])


def _checksum(body: bytes) -> int:
    return sum(body) & 0xFF


def set_time_request(now_ns: int) -> bytes:
    """Return the request that sets the ring's clock to a time, in UTC."""
    now = datetime.fromtimestamp(now_ns // NS_PER_S, UTC)
    fields = (now.year % 100, now.month, now.day, now.hour, now.minute, now.second)
    data = bytes([*map(to_bcd, fields), _ENGLISH])
    return encode_packet(Packet(Command.SET_TIME, data))


def decode_set_time(frame: bytes) -> datetime:
    """Return the time in a request, for rings that are not real; no such time raises `FrameError`."""
    year, month, day, hour, minute, second = (
        from_bcd(value, frame) for value in decode_packet(frame).data[:6]
    )
    try:
        return datetime(2000 + year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        raise FrameError("A ring is told a time that does not exist", frame) from None


def battery_request() -> bytes:
    """Return the request for the battery level."""
    return encode_packet(Packet(Command.BATTERY, b""))


def decode_charge(frame: bytes) -> Charge:
    """Return what the answer to `battery_request` says; anything else raises `FrameError`."""
    packet = decode_packet(frame)
    if packet.command != Command.BATTERY or packet.is_error or packet.data[0] > 100:
        raise FrameError("A ring's battery answer is not 03 with 0-100 %", frame)
    return Charge(packet.data[0], bool(packet.data[1]))


def encode_charge(charge: Charge) -> bytes:
    """Return the answer that says this charge; a level beyond 0-100 % raises `DataError`."""
    if not 0 <= charge.level_pct <= 100:
        raise DataError(f"A ring's charge of {charge.level_pct} % cannot be sent; needed is 0-100 %")
    return encode_packet(Packet(Command.BATTERY, bytes([charge.level_pct, charge.is_charging])))


def heart_rate_log_request(day: date) -> bytes:
    """Return the request for a day's heart rate log; the ring counts its days from its own midnight."""
    midnight_s = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    return encode_packet(Packet(Command.HEART_RATE_LOG, midnight_s.to_bytes(4, "little")))


def steps_log_request(days_ago: int) -> bytes:
    """Return the request for the steps of a whole day, 0 being today.

    The constants are those that the vendor's app sends; 0 to 0x5f is the range of quarters of an hour.
    """
    return encode_packet(Packet(Command.STEPS_LOG, bytes([days_ago, 0x0F, 0x00, 0x5F, 0x01])))


def hrv_log_request(days_ago: int) -> bytes:
    """Return the request for a day's HRV log, 0 being today."""
    return encode_packet(Packet(Command.HRV_LOG, bytes([days_ago])))


def to_bcd(value: int) -> int:
    """Return 0-99 as two decimal digits in one byte."""
    return value // 10 << 4 | value % 10


def from_bcd(value: int, frame: bytes) -> int:
    """Return the number that two decimal digits say; others raise `FrameError` with the frame."""
    tens, ones = value >> 4, value & 0x0F
    if tens > 9 or ones > 9:
        raise FrameError(f"A ring's date holds 0x{value:02x}; needed are two decimal digits", frame)
    return tens * 10 + ones


PACKET_VECTORS = (
    # Captured: tahnok/colmi_r02_client, MYSTERIES.md and a request of its documentation.
    (bytes.fromhex("2ff10000000000000000000000000020"), Packet(0x2F, bytes.fromhex("f1") + bytes(13))),
    (bytes.fromhex("730c2b010000000000000000000000ab"), Packet(0x73, bytes.fromhex("0c2b01") + bytes(11))),
)
CHARGE_VECTORS = (
    # Captured: tahnok/colmi_r02_client, tests/test_battery.py, and two other rings.
    (bytes.fromhex("03400000000000000000000000000043"), Charge(64)),
    (bytes.fromhex("0357000000000000000000000000005a"), Charge(87)),
    (bytes.fromhex("03100000000000000000000000000013"), Charge(16)),
)
