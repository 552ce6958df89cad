"""Polar Measurement Data (PMD): frames of ECG, acceleration and pulse-to-pulse intervals.

How counts become g is agreed when a stream starts (`ingest.decoders.polar_control`) and is not in the frames,
so a record of kind `polar_pmd` is a frame behind `StreamSettings`: `pack_record` and `unpack_record`.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.decoders.polar_control import MEASUREMENT_MASK, Measurement
from ingest.decoders.polar_delta import decode_delta, encode_delta
from store.errors import DataError, FrameError
from store.types import read_only

DATA_UUID = "fb005c82-02e7-f387-1cad-8acd2d8df0c8"

EPOCH_NS = 946_684_800_000_000_000
"""2000-01-01T00:00:00Z, from which the device counts, in nanoseconds since 1970."""

_COMPRESSED = 0x80
_HEADER = struct.Struct("<BQB")
_LATEST_NS = 2**63 - 1
_AXES = 3
_ECG_BYTES = 3
_PULSE = struct.Struct("<BHHB")
_BLOCKED, _CONTACT, _CONTACT_SUPPORTED = 0x01, 0x02, 0x04


@dataclass(frozen=True, eq=False)
class EcgFrame:
    """Electrocardiogram.

    Attributes
    ----------
    device_ns : int
        Time of the last sample on the device's clock, nanoseconds since 1970.
    ecg_uv : (n,) int32
        Microvolts, oldest first.
    """

    device_ns: int
    ecg_uv: NDArray[np.int32]

    def __post_init__(self) -> None:
        object.__setattr__(self, "ecg_uv", read_only(np.asarray(self.ecg_uv, np.int32)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, EcgFrame) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, bytes]:
        return self.device_ns, self.ecg_uv.tobytes()


@dataclass(frozen=True, eq=False)
class AccelerationFrame:
    """Acceleration in the device's own counts.

    Attributes
    ----------
    device_ns : int
        Time of the last sample on the device's clock, nanoseconds since 1970.
    counts : (n, 3) int32
        Device axes, oldest first.
    frame_type : int
        0-2: the size of a value, in a raw frame 1-3 bytes.
    is_compressed : bool
    """

    device_ns: int
    counts: NDArray[np.int32]
    frame_type: int = 1
    is_compressed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "counts", read_only(np.asarray(self.counts, np.int32)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AccelerationFrame) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[int, int, bool, bytes]:
        return self.device_ns, self.frame_type, self.is_compressed, self.counts.tobytes()

    def acc_g(self, factor: float) -> NDArray[np.float32]:
        """Return the acceleration in g, (n, 3) float32; nothing is rounded to whole mg, as the SDK does.

        Parameters
        ----------
        factor : float
            Told at the start of the stream; NaN where it was not.

        Raises
        ------
        DataError
            If these counts mean nothing without the factor.
        """
        if not self.is_compressed:
            scale_g = 0.001
        elif self.frame_type == 1:
            scale_g = 0.001 if np.isnan(factor) else factor / 1000
        else:
            scale_g = factor
        if not np.isfinite(scale_g):
            raise DataError(
                "Compressed acceleration has no conversion factor; needed is the one that the device told "
                "when the stream was started"
            )
        return (self.counts * scale_g).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Pulse:
    """One pulse-to-pulse interval.

    Attributes
    ----------
    heart_rate_bpm : int
        0 while the device has none.
    pp_ms : int
    error_ms : int
        As the device estimates it.
    is_blocked : bool
        Movement spoilt the interval.
    skin_contact : bool or None
        None where the device cannot tell.
    """

    heart_rate_bpm: int
    pp_ms: int
    error_ms: int
    is_blocked: bool = False
    skin_contact: bool | None = None


@dataclass(frozen=True, slots=True)
class PpiFrame:
    """Pulse-to-pulse intervals, oldest first.

    Attributes
    ----------
    device_ns : int or None
        Time of the last one on the device's clock, nanoseconds since 1970; None where it was not sent.
    pulses : tuple of Pulse
    """

    device_ns: int | None
    pulses: tuple[Pulse, ...]


Frame = EcgFrame | AccelerationFrame | PpiFrame


def decode_frame(frame: bytes) -> Frame:
    """Return what a data notification says.

    Raises
    ------
    FrameError
        If it is cut off, or of a measurement or frame type that is not understood here.
    """
    if len(frame) <= _HEADER.size:
        raise FrameError(
            f"A Polar frame has {len(frame)} bytes; needed are {_HEADER.size} and samples", frame
        )
    kind, since_2000_ns, form = _HEADER.unpack_from(frame)
    device_ns = since_2000_ns + EPOCH_NS
    if device_ns > _LATEST_NS:
        raise FrameError(f"A Polar frame says {since_2000_ns} ns since 2000; needed is a time to 2262", frame)
    match kind & MEASUREMENT_MASK, form:
        case Measurement.ECG, 0:
            return EcgFrame(device_ns, _integers(frame, _ECG_BYTES)[:, 0])
        case Measurement.ACCELERATION, 0 | 1 | 2:
            return AccelerationFrame(device_ns, _integers(frame, form + 1, _AXES), form)
        case Measurement.ACCELERATION, 0x80 | 0x81:
            counts = decode_delta(frame, _HEADER.size, _AXES, 2)
            return AccelerationFrame(device_ns, counts, form - _COMPRESSED, is_compressed=True)
        case Measurement.PPI, 0:
            return PpiFrame(device_ns if since_2000_ns else None, _pulses(frame))
        case _:
            raise FrameError(
                f"A Polar frame has measurement {kind} in form 0x{form:02x}, unknown here", frame
            )


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame.

    Raises
    ------
    DataError
        If a value does not fit its field.
    """
    match frame:
        case EcgFrame():
            head = _header(Measurement.ECG, frame.device_ns, 0)
            return head + _encode_integers(frame.ecg_uv, _ECG_BYTES)
        case AccelerationFrame(is_compressed=True):
            head = _header(Measurement.ACCELERATION, frame.device_ns, _COMPRESSED | frame.frame_type)
            return head + encode_delta(frame.counts, 2)
        case AccelerationFrame():
            head = _header(Measurement.ACCELERATION, frame.device_ns, frame.frame_type)
            return head + _encode_integers(frame.counts, frame.frame_type + 1)
        case PpiFrame():
            head = _header(Measurement.PPI, EPOCH_NS if frame.device_ns is None else frame.device_ns, 0)
            return head + b"".join(map(_encode_pulse, frame.pulses))


def _header(measurement: Measurement, device_ns: int, form: int) -> bytes:
    if not EPOCH_NS <= device_ns <= _LATEST_NS:
        raise DataError(f"device_ns {device_ns} cannot be sent; needed is a time from 2000 to 2262")
    return _HEADER.pack(measurement, device_ns - EPOCH_NS, form)


def _integers(frame: bytes, value_bytes: int, channels: int = 1) -> NDArray[np.int32]:
    """Return the samples of a raw frame, (n, channels)."""
    row_bytes = value_bytes * channels
    size = len(frame) - _HEADER.size
    if size % row_bytes:
        raise FrameError(
            f"A Polar frame has {size} bytes of samples; needed is a multiple of {row_bytes}", frame
        )
    values = np.frombuffer(frame, np.uint8, size, _HEADER.size).reshape(-1, value_bytes)
    wide = np.zeros((len(values), 4), np.uint8)
    wide[:, 4 - value_bytes :] = values
    # The value sits in the upper bytes; shifting it down again copies its sign.
    shifted = wide.view("<i4")[:, 0].astype(np.int32) >> 8 * (4 - value_bytes)
    return shifted.reshape(-1, channels)


def _encode_integers(samples: NDArray[np.int32], value_bytes: int) -> bytes:
    limit = 1 << 8 * value_bytes - 1
    if not samples.size or samples.min() < -limit or samples.max() >= limit:
        raise DataError(f"Samples cannot be sent; needed are some, of {-limit} to {limit - 1}")
    return np.ascontiguousarray(samples, "<i4").reshape(-1, 1).view(np.uint8)[:, :value_bytes].tobytes()


def _pulses(frame: bytes) -> tuple[Pulse, ...]:
    if (len(frame) - _HEADER.size) % _PULSE.size:
        raise FrameError(
            f"Polar intervals have {len(frame) - _HEADER.size} bytes; needed are {_PULSE.size} for each",
            frame,
        )
    return tuple(
        Pulse(
            bpm,
            pp_ms,
            error_ms,
            bool(flags & _BLOCKED),
            bool(flags & _CONTACT) if flags & _CONTACT_SUPPORTED else None,
        )
        for bpm, pp_ms, error_ms, flags in _PULSE.iter_unpack(frame[_HEADER.size :])
    )


def _encode_pulse(pulse: Pulse) -> bytes:
    flags = _BLOCKED * pulse.is_blocked
    if pulse.skin_contact is not None:
        flags |= _CONTACT_SUPPORTED | _CONTACT * pulse.skin_contact
    try:
        return _PULSE.pack(pulse.heart_rate_bpm, pulse.pp_ms, pulse.error_ms, flags)
    except struct.error:
        raise DataError(f"{pulse} cannot be sent; needed are 0-255 bpm and 0-65535 ms") from None


@dataclass(frozen=True, slots=True)
class StreamSettings:
    """What was agreed when a stream was started.

    Attributes
    ----------
    rate_hz : int
        0 for intervals, which have none.
    resolution_bits, range_g : int
        0 where not told.
    factor : float
        Of compressed frames; NaN where not told.
    """

    rate_hz: int = 0
    resolution_bits: int = 0
    range_g: int = 0
    factor: float = float("nan")


_RECORD_VERSION = 1
_RECORD = struct.Struct("<BHHHf")


def pack_record(settings: StreamSettings, frame: bytes) -> bytes:
    """Return the payload of a `polar_pmd` record.

    Eleven bytes come first, least significant byte first: version (1), resolution in bits, rate in Hz and
    range in g (2 bytes each), factor (32-bit float, NaN where not told); then the frame as received.
    """
    head = (settings.resolution_bits, settings.rate_hz, settings.range_g, settings.factor)
    return _RECORD.pack(_RECORD_VERSION, *head) + frame


def unpack_record(payload: bytes) -> tuple[StreamSettings, bytes]:
    """Return (settings, frame) of a `polar_pmd` record; another form raises `FrameError`."""
    if len(payload) < _RECORD.size or payload[0] != _RECORD_VERSION:
        raise FrameError(f"A Polar record does not begin with version {_RECORD_VERSION}", payload)
    _, resolution_bits, rate_hz, range_g, factor = _RECORD.unpack_from(payload)
    return StreamSettings(rate_hz, resolution_bits, range_g, factor), payload[_RECORD.size :]


VECTORS = (
    # polar-ble-sdk, EcgDataTest.kt, AccDataTest.kt (the first two samples), PpiDataTest.kt.
    (
        bytes.fromhex("000094357700000000 00 0280ff 028000"),
        EcgFrame(EPOCH_NS + 2_000_000_000, np.array([-32766, 32770], np.int32)),
    ),
    (
        bytes.fromhex("020094357700000000 01 f7ffffffe703 f8fffeffe503"),
        AccelerationFrame(EPOCH_NS + 2_000_000_000, np.array([[-9, -1, 999], [-8, -2, 997]], np.int32)),
    ),
    (
        bytes.fromhex("030000000000000000 00 808080808007 000100010000"),
        PpiFrame(None, (Pulse(128, 32896, 32896, is_blocked=True, skin_contact=True), Pulse(0, 1, 1))),
    ),
)
