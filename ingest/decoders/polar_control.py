"""The control point of Polar Measurement Data (C81): what a device offers; starting and stopping streams."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

from store.errors import DataError, FrameError

REFERENCE = "Polar Measurement Data over Bluetooth LE: polar-ble-sdk, online_measurement.pdf (August 2024)"
SERVICE_UUID = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"
CONTROL_UUID = "fb005c81-02e7-f387-1cad-8acd2d8df0c8"

_FEATURES = 0x0F
_FEATURE_BYTES = 17
_RESPONSE = 0xF0
_STOPPED = 0x01

MEASUREMENT_MASK = 0x3F
"""The upper two bits of a measurement tell online from offline recording."""


class Measurement(IntEnum):
    """What a stream measures; the value is its number on the wire and its bit among the features."""

    ECG = 0
    PPG = 1
    ACCELERATION = 2
    PPI = 3
    GYROSCOPE = 5
    MAGNETOMETER = 6
    SKIN_TEMPERATURE = 7


class Command(IntEnum):
    """What a central writes to the control point."""

    GET_SETTINGS = 1
    START = 2
    STOP = 3


class Status(IntEnum):
    """How the device answers."""

    SUCCESS = 0
    INVALID_OP_CODE = 1
    INVALID_MEASUREMENT_TYPE = 2
    NOT_SUPPORTED = 3
    INVALID_LENGTH = 4
    INVALID_PARAMETER = 5
    ALREADY_IN_STATE = 6
    INVALID_RESOLUTION = 7
    INVALID_SAMPLE_RATE = 8
    INVALID_RANGE = 9
    INVALID_MTU = 10
    INVALID_NUMBER_OF_CHANNELS = 11
    INVALID_STATE = 12
    DEVICE_IN_CHARGER = 13
    DISK_FULL = 14


class Setting(IntEnum):
    """What can be chosen, or is told, when a stream starts."""

    SAMPLE_RATE_HZ = 0
    RESOLUTION_BITS = 1
    RANGE_G = 2
    RANGE_MILLIUNIT = 3
    CHANNELS = 4
    FACTOR = 5


_SETTING_BYTES = {
    Setting.SAMPLE_RATE_HZ: 2,
    Setting.RESOLUTION_BITS: 2,
    Setting.RANGE_G: 2,
    Setting.RANGE_MILLIUNIT: 4,
    Setting.CHANNELS: 1,
    Setting.FACTOR: 4,
}

Settings = Mapping[Setting, tuple[int, ...]]
"""All values offered or told for each setting; a factor as the bits of its 32-bit float."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a command.

    Attributes
    ----------
    command : Command
    measurement : Measurement
    status : Status
    has_more : bool
        The parameters go on in another response.
    parameters : bytes
        Empty unless the status is SUCCESS.
    """

    command: Command
    measurement: Measurement
    status: Status
    has_more: bool = False
    parameters: bytes = b""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The device ended streams by itself, as when it is put on its charger."""

    measurements: tuple[Measurement, ...]


def decode_features(frame: bytes) -> frozenset[Measurement]:
    """Return what the device can stream, from the value of the control point as read.

    Raises
    ------
    FrameError
        If it is not that.
    """
    if len(frame) < 2 or frame[0] != _FEATURES:
        raise FrameError("Polar features do not begin with 0f and a byte of measurements", frame)
    return frozenset(measurement for measurement in Measurement if frame[1] >> measurement & 1)


def encode_features(features: frozenset[Measurement]) -> bytes:
    """Return the value of the control point that offers these measurements."""
    return bytes([_FEATURES, sum(1 << measurement for measurement in features)]).ljust(_FEATURE_BYTES, b"\0")


def encode_request(command: Command, measurement: Measurement, chosen: Mapping[Setting, int] = {}) -> bytes:
    """Return a command.

    Parameters
    ----------
    command : Command
    measurement : Measurement
    chosen : mapping of Setting to value
        For START. An H10 takes none but all of what it offers.

    Raises
    ------
    DataError
        If a value does not fit its field.
    """
    told: Settings = {setting: (value,) for setting, value in chosen.items()}
    return bytes([command, measurement]) + encode_settings(told)


def decode_request(frame: bytes) -> tuple[Command, Measurement, dict[Setting, int]]:
    """Return (command, measurement, chosen settings), the inverse of `encode_request`.

    Raises
    ------
    FrameError
        If it is no command that we know.
    """
    try:
        command, measurement = Command(frame[0]), Measurement(frame[1] & MEASUREMENT_MASK)
    except (IndexError, ValueError):
        raise FrameError("A Polar command does not name a command and a measurement", frame) from None
    told = _settings(frame, 2)
    return command, measurement, {setting: values[0] for setting, values in told.items() if values}


def decode_control_point(frame: bytes) -> Response | Stopped:
    """Return what the control point indicated.

    Raises
    ------
    FrameError
        If it is neither a response nor the news that streams were stopped.
    """
    try:
        if frame[0] == _STOPPED:
            return Stopped(tuple(Measurement(kind & MEASUREMENT_MASK) for kind in frame[1:]))
        if frame[0] != _RESPONSE:
            raise FrameError(f"A Polar response begins with 0x{frame[0]:02x}; needed is 0xf0 or 0x01", frame)
        command, measurement = Command(frame[1]), Measurement(frame[2] & MEASUREMENT_MASK)
        status = Status(frame[3])
    except (IndexError, ValueError):
        raise FrameError(
            "A Polar response has a command, measurement or status unknown here", frame
        ) from None
    if status is not Status.SUCCESS:
        return Response(command, measurement, status)
    return Response(command, measurement, status, frame[4:5] > b"\0", frame[5:])


def encode_control_point(indication: Response | Stopped) -> bytes:
    """Return the bytes that a device indicates."""
    if isinstance(indication, Stopped):
        return bytes([_STOPPED, *indication.measurements])
    head = bytes([_RESPONSE, indication.command, indication.measurement, indication.status])
    return head + bytes([indication.has_more]) + indication.parameters


def decode_settings(parameters: bytes) -> dict[Setting, tuple[int, ...]]:
    """Return the settings in a response's parameters; all of them, if it came in several parts.

    Raises
    ------
    FrameError
        If they are cut off or name an unknown setting.
    """
    return _settings(parameters, 0)


def _settings(frame: bytes, position: int) -> dict[Setting, tuple[int, ...]]:
    told: dict[Setting, tuple[int, ...]] = {}
    while position + 2 <= len(frame):
        try:
            setting = Setting(frame[position])
        except ValueError:
            raise FrameError(f"Polar settings hold the unknown type {frame[position]}", frame) from None
        size, start = _SETTING_BYTES[setting], position + 2
        position = start + frame[position + 1] * size
        told[setting] = tuple(
            int.from_bytes(frame[at : at + size], "little") for at in range(start, position, size)
        )
    # A single byte is how some firmware says "none".
    if position > len(frame) or (position < len(frame) and told):
        raise FrameError(f"Polar settings of {len(frame)} bytes end within a setting", frame)
    return told


def encode_settings(told: Settings) -> bytes:
    """Return the parameters that say these settings; a value that does not fit raises `DataError`."""
    parts: list[bytes] = []
    for setting, values in told.items():
        parts.append(bytes([setting, len(values)]))
        try:
            parts += [value.to_bytes(_SETTING_BYTES[setting], "little") for value in values]
        except OverflowError:
            raise DataError(f"{setting.name} {values} does not fit {_SETTING_BYTES[setting]} bytes") from None
    return b"".join(parts)


FEATURE_VECTORS = (
    # As H10 and OH1 answer: polar-ble-sdk, issues 281 and 213.
    (bytes.fromhex("0f05") + bytes(15), frozenset({Measurement.ECG, Measurement.ACCELERATION})),
    (
        bytes.fromhex("0f0e") + bytes(15),
        frozenset({Measurement.PPG, Measurement.ACCELERATION, Measurement.PPI}),
    ),
)
CONTROL_VECTORS = (
    # polar-ble-sdk, BlePmdClientControlPointResponseTest.kt, BlePmdClientTest.kt.
    (
        bytes.fromhex("f001020000ffffff"),
        Response(Command.GET_SETTINGS, Measurement.ACCELERATION, Status.SUCCESS, parameters=b"\xff\xff\xff"),
    ),
    (
        bytes.fromhex("f001060700"),
        Response(Command.GET_SETTINGS, Measurement.MAGNETOMETER, Status.INVALID_RESOLUTION),
    ),
    (bytes.fromhex("010102"), Stopped((Measurement.PPG, Measurement.ACCELERATION))),
    (bytes.fromhex("01"), Stopped(())),
)
SETTINGS_VECTORS = (
    # polar-ble-sdk, PmdSettingTest.kt.
    (
        bytes.fromhex("00013400010110000204f500f401e803d007040103"),
        {
            Setting.SAMPLE_RATE_HZ: (52,),
            Setting.RESOLUTION_BITS: (16,),
            Setting.RANGE_G: (245, 500, 1000, 2000),
            Setting.CHANNELS: (3,),
        },
    ),
    (
        bytes.fromhex("0302ffffffffff00000001010e00"),
        {Setting.RANGE_MILLIUNIT: (0xFFFFFFFF, 0xFF), Setting.RESOLUTION_BITS: (14,)},
    ),
)
