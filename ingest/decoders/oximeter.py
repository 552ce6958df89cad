"""Pulse Oximeter: continuous (0x2A5F) and spot-check (0x2A5E) measurements of SpO2 and pulse rate."""

from dataclasses import dataclass
from enum import IntEnum

from ingest.decoders import date_time
from ingest.decoders.date_time import DateTime, decode_date_time, encode_date_time
from ingest.decoders.frame import check_flags, check_size, unsigned
from ingest.decoders.ieee11073 import NoNumber, Number, decode_sfloat, encode_sfloat

REFERENCE = "Bluetooth Pulse Oximeter Service 1.0.1, 3.1 and 3.2; GATT Specification Supplement"
SERVICE_UUID = "00001822-0000-1000-8000-00805f9b34fb"
SPOT_CHECK_UUID = "00002a5e-0000-1000-8000-00805f9b34fb"
CONTINUOUS_UUID = "00002a5f-0000-1000-8000-00805f9b34fb"

_PAIR_BYTES = 4
_STATUS_BYTES = 2
_DEVICE_STATUS_BYTES = 3
_AMPLITUDE_BYTES = 2
_FIXED_BYTES = 1 + _PAIR_BYTES


class MeasurementStatus(IntEnum):
    """Bits of what the oximeter thinks of a measurement; further ones are reserved."""

    ONGOING = 0x0020
    EARLY_ESTIMATE = 0x0040
    VALIDATED = 0x0080
    FULLY_QUALIFIED = 0x0100
    FROM_STORAGE = 0x0200
    DEMONSTRATION = 0x0400
    TESTING = 0x0800
    CALIBRATING = 0x1000
    UNAVAILABLE = 0x2000
    QUESTIONABLE = 0x4000
    INVALID = 0x8000


class DeviceStatus(IntEnum):
    """Bits of how oximeter and probe are; further ones are reserved."""

    EXTENDED_DISPLAY_UPDATE = 0x000001
    EQUIPMENT_MALFUNCTION = 0x000002
    PROCESSING_IRREGULARITY = 0x000004
    INADEQUATE_SIGNAL = 0x000008
    POOR_SIGNAL = 0x000010
    LOW_PERFUSION = 0x000020
    ERRATIC_SIGNAL = 0x000040
    NON_PULSATILE_SIGNAL = 0x000080
    QUESTIONABLE_PULSE = 0x000100
    ANALYSIS_ONGOING = 0x000200
    SENSOR_INTERFERENCE = 0x000400
    SENSOR_UNCONNECTED_TO_USER = 0x000800
    UNKNOWN_SENSOR = 0x001000
    SENSOR_DISPLACED = 0x002000
    SENSOR_MALFUNCTION = 0x004000
    SENSOR_DISCONNECTED = 0x008000


@dataclass(frozen=True, slots=True)
class Oximetry:
    """Saturation and pulse rate, as they are sent together.

    Attributes
    ----------
    spo2_pct : float or NoNumber
    pulse_rate_bpm : float or NoNumber
    """

    spo2_pct: Number
    pulse_rate_bpm: Number


@dataclass(frozen=True, slots=True)
class ContinuousMeasurement:
    """One PLX Continuous Measurement.

    Attributes
    ----------
    normal : Oximetry
    fast, slow : Oximetry or None
        With shorter and longer averaging.
    status : int or None
        Bits of `MeasurementStatus`.
    device_status : int or None
        Bits of `DeviceStatus`.
    pulse_amplitude_pct : float, NoNumber or None
        Pulse amplitude index.
    """

    normal: Oximetry
    fast: Oximetry | None = None
    slow: Oximetry | None = None
    status: int | None = None
    device_status: int | None = None
    pulse_amplitude_pct: Number | None = None


@dataclass(frozen=True, slots=True)
class SpotCheckMeasurement:
    """One PLX Spot-Check Measurement.

    Attributes
    ----------
    normal : Oximetry
    measured_at : DateTime or None
        By the oximeter's clock.
    status : int or None
        Bits of `MeasurementStatus`.
    device_status : int or None
        Bits of `DeviceStatus`.
    pulse_amplitude_pct : float, NoNumber or None
    is_clock_unset : bool
        The oximeter's clock was never set, so that `measured_at` says little.
    """

    normal: Oximetry
    measured_at: DateTime | None = None
    status: int | None = None
    device_status: int | None = None
    pulse_amplitude_pct: Number | None = None
    is_clock_unset: bool = False


_CONTINUOUS = "A continuous oximetry"
_HAS_FAST, _HAS_SLOW, _C_STATUS, _C_DEVICE, _C_AMPLITUDE = 0x01, 0x02, 0x04, 0x08, 0x10
_C_RESERVED = 0xE0
_C_OPTIONAL = (
    (_HAS_FAST, _PAIR_BYTES),
    (_HAS_SLOW, _PAIR_BYTES),
    (_C_STATUS, _STATUS_BYTES),
    (_C_DEVICE, _DEVICE_STATUS_BYTES),
    (_C_AMPLITUDE, _AMPLITUDE_BYTES),
)
_SPOT_CHECK = "A spot-check oximetry"
_S_TIME, _S_STATUS, _S_DEVICE, _S_AMPLITUDE, _S_CLOCK_UNSET = 0x01, 0x02, 0x04, 0x08, 0x10
_S_RESERVED = 0xE0
_S_OPTIONAL = (
    (_S_TIME, date_time.SIZE_BYTES),
    (_S_STATUS, _STATUS_BYTES),
    (_S_DEVICE, _DEVICE_STATUS_BYTES),
    (_S_AMPLITUDE, _AMPLITUDE_BYTES),
)


class _Fields:
    """The fields of a frame of the right size, one after the other."""

    def __init__(self, frame: bytes, flags: int) -> None:
        self._frame = frame
        self._flags = flags
        self._at = 1

    def _next(self, size_bytes: int) -> int:
        start, self._at = self._at, self._at + size_bytes
        return int.from_bytes(self._frame[start : self._at], "little")

    def pair(self) -> Oximetry:
        return Oximetry(decode_sfloat(self._next(2)), decode_sfloat(self._next(2)))

    def pair_if(self, flag: int) -> Oximetry | None:
        return self.pair() if self._flags & flag else None

    def time_if(self, flag: int) -> DateTime | None:
        if not self._flags & flag:
            return None
        start, self._at = self._at, self._at + date_time.SIZE_BYTES
        return decode_date_time(self._frame, start)

    def unsigned_if(self, flag: int, size_bytes: int) -> int | None:
        return self._next(size_bytes) if self._flags & flag else None

    def amplitude_if(self, flag: int) -> Number | None:
        return decode_sfloat(self._next(_AMPLITUDE_BYTES)) if self._flags & flag else None


def decode_continuous(frame: bytes) -> ContinuousMeasurement:
    """Return what a PLX Continuous Measurement notification says.

    Raises
    ------
    FrameError
        If the frame is not as long as its flags say, or sets a reserved flag.

    Examples
    --------
    >>> decode_continuous(bytes.fromhex("0061004800")).normal
    Oximetry(spo2_pct=97.0, pulse_rate_bpm=72.0)
    """
    fields = _Fields(frame, check_flags(_CONTINUOUS, frame, _C_RESERVED))
    check_size(_CONTINUOUS, frame, _FIXED_BYTES, _C_OPTIONAL)
    return ContinuousMeasurement(
        normal=fields.pair(),
        fast=fields.pair_if(_HAS_FAST),
        slow=fields.pair_if(_HAS_SLOW),
        status=fields.unsigned_if(_C_STATUS, _STATUS_BYTES),
        device_status=fields.unsigned_if(_C_DEVICE, _DEVICE_STATUS_BYTES),
        pulse_amplitude_pct=fields.amplitude_if(_C_AMPLITUDE),
    )


def encode_continuous(measurement: ContinuousMeasurement) -> bytes:
    """Return the frame that says this; a number that no SFLOAT can hold raises `DataError`."""
    return _frame(
        0,
        measurement.normal,
        (_HAS_FAST, _pair_bytes(measurement.fast)),
        (_HAS_SLOW, _pair_bytes(measurement.slow)),
        (_C_STATUS, _status_bytes(measurement.status, _STATUS_BYTES)),
        (_C_DEVICE, _status_bytes(measurement.device_status, _DEVICE_STATUS_BYTES)),
        (_C_AMPLITUDE, _number_bytes(measurement.pulse_amplitude_pct)),
    )


def decode_spot_check(frame: bytes) -> SpotCheckMeasurement:
    """Return what a PLX Spot-Check Measurement indication says.

    Raises
    ------
    FrameError
        If the frame is not as long as its flags say, sets a reserved flag, or names a time that does not
        exist.
    """
    flags = check_flags(_SPOT_CHECK, frame, _S_RESERVED)
    check_size(_SPOT_CHECK, frame, _FIXED_BYTES, _S_OPTIONAL)
    fields = _Fields(frame, flags)
    return SpotCheckMeasurement(
        normal=fields.pair(),
        measured_at=fields.time_if(_S_TIME),
        status=fields.unsigned_if(_S_STATUS, _STATUS_BYTES),
        device_status=fields.unsigned_if(_S_DEVICE, _DEVICE_STATUS_BYTES),
        pulse_amplitude_pct=fields.amplitude_if(_S_AMPLITUDE),
        is_clock_unset=bool(flags & _S_CLOCK_UNSET),
    )


def encode_spot_check(measurement: SpotCheckMeasurement) -> bytes:
    """Return the frame that says this; a number or a time that does not fit raises `DataError`."""
    time = b"" if measurement.measured_at is None else encode_date_time(measurement.measured_at)
    return _frame(
        _S_CLOCK_UNSET if measurement.is_clock_unset else 0,
        measurement.normal,
        (_S_TIME, time),
        (_S_STATUS, _status_bytes(measurement.status, _STATUS_BYTES)),
        (_S_DEVICE, _status_bytes(measurement.device_status, _DEVICE_STATUS_BYTES)),
        (_S_AMPLITUDE, _number_bytes(measurement.pulse_amplitude_pct)),
    )


def _frame(flags: int, normal: Oximetry, *optional: tuple[int, bytes]) -> bytes:
    present = [(flag, field) for flag, field in optional if field]
    flags |= sum(flag for flag, _ in present)
    return bytes([flags]) + _pair_bytes(normal) + b"".join(field for _, field in present)


def _pair_bytes(pair: Oximetry | None) -> bytes:
    if pair is None:
        return b""
    return _number_bytes(pair.spo2_pct) + _number_bytes(pair.pulse_rate_bpm)


def _number_bytes(number: Number | None) -> bytes:
    return b"" if number is None else encode_sfloat(number).to_bytes(2, "little")


def _status_bytes(status: int | None, size_bytes: int) -> bytes:
    return b"" if status is None else unsigned(status, size_bytes, "status")


CONTINUOUS_VECTORS = (
    (bytes.fromhex("0061004800"), ContinuousMeasurement(Oximetry(97.0, 72.0))),
    (bytes.fromhex("00cff34800"), ContinuousMeasurement(Oximetry(97.5, 72.0))),
    (bytes.fromhex("00ff07ff07"), ContinuousMeasurement(Oximetry(NoNumber.NAN, NoNumber.NAN))),
    (bytes.fromhex("0000084800"), ContinuousMeasurement(Oximetry(NoNumber.NRES, 72.0))),
    (
        bytes.fromhex("00fe070208"),
        ContinuousMeasurement(Oximetry(NoNumber.POSITIVE_INFINITY, NoNumber.NEGATIVE_INFINITY)),
    ),
    (bytes.fromhex("0001084800"), ContinuousMeasurement(Oximetry(NoNumber.RESERVED, 72.0))),
    (
        bytes.fromhex("1fcff348006200490060004700a0003000000cf0"),
        ContinuousMeasurement(
            Oximetry(97.5, 72.0),
            fast=Oximetry(98.0, 73.0),
            slow=Oximetry(96.0, 71.0),
            status=MeasurementStatus.ONGOING | MeasurementStatus.VALIDATED,
            device_status=DeviceStatus.POOR_SIGNAL | DeviceStatus.LOW_PERFUSION,
            pulse_amplitude_pct=1.2,
        ),
    ),
)
SPOT_CHECK_VECTORS = (
    (bytes.fromhex("0061004800"), SpotCheckMeasurement(Oximetry(97.0, 72.0))),
    (bytes.fromhex("1061004800"), SpotCheckMeasurement(Oximetry(97.0, 72.0), is_clock_unset=True)),
    (
        bytes.fromhex("0161004800dc070c050b0a06"),
        SpotCheckMeasurement(Oximetry(97.0, 72.0), DateTime(2012, 12, 5, 11, 10, 6)),
    ),
    (
        bytes.fromhex("0fcff34800dc070c050b0a0600020008000cf0"),
        SpotCheckMeasurement(
            Oximetry(97.5, 72.0),
            DateTime(2012, 12, 5, 11, 10, 6),
            status=int(MeasurementStatus.FROM_STORAGE),
            device_status=int(DeviceStatus.SENSOR_UNCONNECTED_TO_USER),
            pulse_amplitude_pct=1.2,
        ),
    ),
)
