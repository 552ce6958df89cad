"""Temperature Measurement (0x2A1C) of the Health Thermometer service."""

from dataclasses import dataclass
from enum import IntEnum

from ingest.decoders import date_time
from ingest.decoders.date_time import DateTime, decode_date_time, encode_date_time
from ingest.decoders.frame import check_flags, check_size
from ingest.decoders.ieee11073 import NoNumber, Number, decode_float, encode_float
from store.errors import FrameError

REFERENCE = (
    "Bluetooth Health Thermometer Service 1.0, 3.1; GATT Specification Supplement, Temperature Measurement"
)
SERVICE_UUID = "00001809-0000-1000-8000-00805f9b34fb"
MEASUREMENT_UUID = "00002a1c-0000-1000-8000-00805f9b34fb"

_WHAT = "A temperature measurement"
_IS_FAHRENHEIT = 0x01
_HAS_TIME = 0x02
_HAS_SITE = 0x04
_RESERVED = 0xF8
_FIXED_BYTES = 5
_OPTIONAL = ((_HAS_TIME, date_time.SIZE_BYTES), (_HAS_SITE, 1))


class TemperatureSite(IntEnum):
    """Where on the body; Temperature Type (0x2A1D)."""

    ARMPIT = 1
    BODY = 2
    EAR = 3
    FINGER = 4
    GUT = 5
    MOUTH = 6
    RECTUM = 7
    TOE = 8
    EARDRUM = 9


@dataclass(frozen=True, slots=True)
class TemperatureMeasurement:
    """One temperature, in the unit in which it was sent.

    Attributes
    ----------
    temperature : float or NoNumber
    is_fahrenheit : bool
    measured_at : DateTime or None
        By the thermometer's clock.
    site : TemperatureSite or None
    """

    temperature: Number
    is_fahrenheit: bool = False
    measured_at: DateTime | None = None
    site: TemperatureSite | None = None

    @property
    def temperature_c(self) -> float | None:
        """Degrees Celsius; None where the thermometer sent no number."""
        if isinstance(self.temperature, NoNumber):
            return None
        return (self.temperature - 32) / 1.8 if self.is_fahrenheit else self.temperature


def decode_temperature(frame: bytes) -> TemperatureMeasurement:
    """Return what a Temperature Measurement indication says.

    Raises
    ------
    FrameError
        If the frame is not as long as its flags say, sets a reserved flag, or names a site or a time that
        does not exist.

    Examples
    --------
    >>> decode_temperature(bytes.fromhex("006c0100ff")).temperature_c
    36.4
    """
    flags = check_flags(_WHAT, frame, _RESERVED)
    check_size(_WHAT, frame, _FIXED_BYTES, _OPTIONAL)
    if flags & _HAS_SITE and not 1 <= frame[-1] <= len(TemperatureSite):
        raise FrameError(f"{_WHAT} names the site {frame[-1]}; needed is 1-{len(TemperatureSite)}", frame)
    return TemperatureMeasurement(
        temperature=decode_float(int.from_bytes(frame[1:5], "little")),
        is_fahrenheit=bool(flags & _IS_FAHRENHEIT),
        measured_at=decode_date_time(frame, _FIXED_BYTES) if flags & _HAS_TIME else None,
        site=TemperatureSite(frame[-1]) if flags & _HAS_SITE else None,
    )


def encode_temperature(measurement: TemperatureMeasurement) -> bytes:
    """Return the frame that says this, the temperature rounded to seven digits.

    Raises
    ------
    DataError
        If the temperature or the time does not fit.
    """
    flags = _IS_FAHRENHEIT if measurement.is_fahrenheit else 0
    frame = encode_float(measurement.temperature).to_bytes(4, "little")
    if measurement.measured_at is not None:
        flags |= _HAS_TIME
        frame += encode_date_time(measurement.measured_at)
    if measurement.site is not None:
        flags |= _HAS_SITE
        frame += bytes([measurement.site])
    return bytes([flags]) + frame


VECTORS = (
    # 36.4 degC is the example of the Bluetooth white paper "Personal Health Devices Transcoding".
    (bytes.fromhex("006c0100ff"), TemperatureMeasurement(36.4)),
    (bytes.fromhex("01da0300ff"), TemperatureMeasurement(98.6, is_fahrenheit=True)),
    (bytes.fromhex("049b0e00fe06"), TemperatureMeasurement(37.39, site=TemperatureSite.MOUTH)),
    (
        bytes.fromhex("06d40e00fedc070c050b0a0604"),
        TemperatureMeasurement(
            37.96, measured_at=DateTime(2012, 12, 5, 11, 10, 6), site=TemperatureSite.FINGER
        ),
    ),
    (bytes.fromhex("00ffff7f00"), TemperatureMeasurement(NoNumber.NAN)),
    (bytes.fromhex("0000008000"), TemperatureMeasurement(NoNumber.NRES)),
    (bytes.fromhex("00feff7f00"), TemperatureMeasurement(NoNumber.POSITIVE_INFINITY)),
    (bytes.fromhex("0002008000"), TemperatureMeasurement(NoNumber.NEGATIVE_INFINITY)),
    (bytes.fromhex("0001008000"), TemperatureMeasurement(NoNumber.RESERVED)),
)
