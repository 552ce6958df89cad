"""Running Speed and Cadence: the measurement (0x2A53) and what the sensor can do (0x2A54)."""

from dataclasses import dataclass

from ingest.decoders.frame import check_flags, check_size, unsigned
from store.errors import DataError, FrameError

REFERENCE = "Bluetooth Running Speed and Cadence Service 1.0, 3.1 and 3.2; GATT Specification Supplement"
SERVICE_UUID = "00001814-0000-1000-8000-00805f9b34fb"
MEASUREMENT_UUID = "00002a53-0000-1000-8000-00805f9b34fb"
FEATURE_UUID = "00002a54-0000-1000-8000-00805f9b34fb"

_WHAT = "A running measurement"
_HAS_STRIDE = 0x01
_HAS_DISTANCE = 0x02
_IS_RUNNING = 0x04
_RESERVED = 0xF8
_OPTIONAL = ((_HAS_STRIDE, 2), (_HAS_DISTANCE, 4))
_FIXED_BYTES = 4

_SPEED_PER_M_S = 256
_STRIDE_PER_M = 100
_DISTANCE_PER_M = 10


@dataclass(frozen=True, slots=True)
class RunningMeasurement:
    """One Running Speed and Cadence measurement.

    Attributes
    ----------
    speed_m_s : float
        0-255.996, in 1/256.
    cadence_per_min : int
        0-255.
    is_running : bool
        False while walking, and where the sensor cannot tell.
    stride_m : float or None
        0-655.35.
    distance_m : float or None
        Since the last reset, 0-429496729.5.
    """

    speed_m_s: float
    cadence_per_min: int
    is_running: bool = False
    stride_m: float | None = None
    distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class RunningFeature:
    """What a Running Speed and Cadence sensor can do."""

    measures_stride: bool = False
    measures_distance: bool = False
    tells_running: bool = False
    calibrates: bool = False
    has_locations: bool = False


def decode_running(frame: bytes) -> RunningMeasurement:
    """Return what a Running Speed and Cadence notification says.

    Raises
    ------
    FrameError
        If the frame is not as long as its flags say, or sets a reserved flag.

    Examples
    --------
    >>> decode_running(bytes.fromhex("04000390"))
    RunningMeasurement(speed_m_s=3.0, cadence_per_min=144, is_running=True, stride_m=None, distance_m=None)
    """
    flags = check_flags(_WHAT, frame, _RESERVED)
    check_size(_WHAT, frame, _FIXED_BYTES, _OPTIONAL)
    stride = frame[4:6] if flags & _HAS_STRIDE else b""
    distance = frame[-4:] if flags & _HAS_DISTANCE else b""
    return RunningMeasurement(
        speed_m_s=int.from_bytes(frame[1:3], "little") / _SPEED_PER_M_S,
        cadence_per_min=frame[3],
        is_running=bool(flags & _IS_RUNNING),
        stride_m=int.from_bytes(stride, "little") / _STRIDE_PER_M if stride else None,
        distance_m=int.from_bytes(distance, "little") / _DISTANCE_PER_M if distance else None,
    )


def encode_running(measurement: RunningMeasurement) -> bytes:
    """Return the frame that says this, each value rounded to its resolution.

    Raises
    ------
    DataError
        If a value is out of its range.
    """
    flags = _IS_RUNNING if measurement.is_running else 0
    frame = _scaled(measurement.speed_m_s, _SPEED_PER_M_S, 2, "speed_m_s")
    frame += unsigned(measurement.cadence_per_min, 1, "cadence_per_min")
    if measurement.stride_m is not None:
        flags |= _HAS_STRIDE
        frame += _scaled(measurement.stride_m, _STRIDE_PER_M, 2, "stride_m")
    if measurement.distance_m is not None:
        flags |= _HAS_DISTANCE
        frame += _scaled(measurement.distance_m, _DISTANCE_PER_M, 4, "distance_m")
    return bytes([flags]) + frame


def _scaled(value: float, per_unit: int, size_bytes: int, name: str) -> bytes:
    # The comparison also refuses NaN and infinity, which cannot be rounded.
    if not -0.5 <= value * per_unit < (1 << 8 * size_bytes) - 0.5:
        most = ((1 << 8 * size_bytes) - 1) / per_unit
        raise DataError(f"{name} {value} does not fit a running measurement; needed is 0-{most:.9g}")
    return round(value * per_unit).to_bytes(size_bytes, "little")


def decode_running_feature(frame: bytes) -> RunningFeature:
    """Return what the sensor can do; its two bytes may set no reserved bit, else `FrameError`."""
    if len(frame) != 2:
        raise FrameError(f"A running feature has {len(frame)} bytes; needed are 2", frame)
    bits = int.from_bytes(frame, "little")
    if bits >> 5:
        raise FrameError(f"A running feature sets the reserved bits 0x{bits & ~31:04x}; needed is 0", frame)
    return RunningFeature(*(bool(bits >> place & 1) for place in range(5)))


def encode_running_feature(feature: RunningFeature) -> bytes:
    """Return the two bytes that say this."""
    can = (
        feature.measures_stride,
        feature.measures_distance,
        feature.tells_running,
        feature.calibrates,
        feature.has_locations,
    )
    return sum(1 << place for place, able in enumerate(can) if able).to_bytes(2, "little")


VECTORS = (
    (bytes.fromhex("00000000"), RunningMeasurement(0.0, 0)),
    (bytes.fromhex("00800150"), RunningMeasurement(1.5, 80)),
    (bytes.fromhex("04000390"), RunningMeasurement(3.0, 144, is_running=True)),
    (bytes.fromhex("010003907d00"), RunningMeasurement(3.0, 144, stride_m=1.25)),
    (bytes.fromhex("02000390d2040000"), RunningMeasurement(3.0, 144, distance_m=123.4)),
    (
        bytes.fromhex("07ffffffffffffffffff"),
        RunningMeasurement(255.99609375, 255, is_running=True, stride_m=655.35, distance_m=429496729.5),
    ),
)
FEATURE_VECTORS = (
    (bytes.fromhex("0000"), RunningFeature()),
    (bytes.fromhex("0500"), RunningFeature(measures_stride=True, tells_running=True)),
    (bytes.fromhex("1a00"), RunningFeature(measures_distance=True, calibrates=True, has_locations=True)),
)
