"""Heart Rate Measurement (0x2A37): heart rate, skin contact, energy and RR intervals."""

import struct
from functools import lru_cache

from store.errors import DataError, FrameError
from store.types import HeartRateMeasurement

REFERENCE = "Bluetooth Heart Rate Service 1.0, 3.1; GATT Specification Supplement, Heart Rate Measurement"
SERVICE_UUID = "0000180d-0000-1000-8000-00805f9b34fb"
MEASUREMENT_UUID = "00002a37-0000-1000-8000-00805f9b34fb"

RR_TICKS_PER_S = 1024

_RATE_IS_16_BIT = 0x01
_CONTACT_DETECTED = 0x02
_CONTACT_SUPPORTED = 0x04
_HAS_ENERGY = 0x08
_HAS_RR = 0x10
_RESERVED = 0xE0


@lru_cache(256)  # the same frame is judged for wear, counted and stored within a second
def decode_heart_rate(frame: bytes) -> HeartRateMeasurement:
    """Return what a Heart Rate Measurement notification says.

    RR slots of 0 ticks are left out: no interval has no length, and some wearables send a fixed number of
    slots and fill those they do not need with zeros.

    Raises
    ------
    FrameError
        If the frame is empty, cut off, longer than its flags say, or sets a reserved flag.

    Examples
    --------
    >>> decode_heart_rate(bytes.fromhex("163c00040002"))
    HeartRateMeasurement(heart_rate_bpm=60, skin_contact=True, energy_kj=None, rr_ms=(1000.0, 500.0))
    """
    if not frame:
        raise FrameError("A heart rate measurement has 0 bytes; needed are flags and a rate", frame)
    flags = frame[0]
    if flags & _RESERVED:
        raise FrameError(
            f"A heart rate measurement sets the reserved flags 0x{flags & _RESERVED:02x}; needed is 0", frame
        )
    rate_bytes = 2 if flags & _RATE_IS_16_BIT else 1
    energy_bytes = 2 if flags & _HAS_ENERGY else 0
    rr_start = 1 + rate_bytes + energy_bytes
    rr_bytes = len(frame) - rr_start
    if rr_bytes < 0 or (rr_bytes and not flags & _HAS_RR) or rr_bytes % 2:
        wanted = f"{rr_start} and 2 for each RR interval" if flags & _HAS_RR else f"{rr_start}"
        raise FrameError(
            f"A heart rate measurement with flags 0x{flags:02x} has {len(frame)} bytes; needed are {wanted}",
            frame,
        )
    energy = frame[1 + rate_bytes : rr_start]
    ticks = struct.unpack_from(f"<{rr_bytes // 2}H", frame, rr_start)
    return HeartRateMeasurement(
        heart_rate_bpm=int.from_bytes(frame[1 : 1 + rate_bytes], "little"),
        skin_contact=bool(flags & _CONTACT_DETECTED) if flags & _CONTACT_SUPPORTED else None,
        energy_kj=int.from_bytes(energy, "little") if energy else None,
        rr_ms=tuple(count * 1000 / RR_TICKS_PER_S for count in ticks if count),
    )


def encode_heart_rate(measurement: HeartRateMeasurement) -> bytes:
    """Return the shortest frame that says this; each RR interval is rounded to 1/1024 s on its own.

    Raises
    ------
    DataError
        If the heart rate or energy is not 0-65535, or an RR interval is not 1-65535 in 1/1024 s.
    """
    flags = 0
    rate_bytes = 1
    if measurement.heart_rate_bpm > 0xFF:
        flags |= _RATE_IS_16_BIT
        rate_bytes = 2
    frame = _unsigned(measurement.heart_rate_bpm, rate_bytes, "heart_rate_bpm")
    if measurement.skin_contact is not None:
        flags |= _CONTACT_SUPPORTED | (_CONTACT_DETECTED if measurement.skin_contact else 0)
    if measurement.energy_kj is not None:
        flags |= _HAS_ENERGY
        frame += _unsigned(measurement.energy_kj, 2, "energy_kj")
    if measurement.rr_ms:
        flags |= _HAS_RR
        frame += b"".join(map(_rr_ticks, measurement.rr_ms))
    return bytes([flags]) + frame


def _unsigned(value: int, size_bytes: int, name: str) -> bytes:
    if not 0 <= value <= 0xFFFF:
        raise DataError(f"{name} {value} does not fit a heart rate measurement; needed is 0-65535")
    return value.to_bytes(size_bytes, "little")


def _rr_ticks(rr_ms: float) -> bytes:
    # The comparison also refuses NaN and infinity, which cannot be rounded.
    if not 0.5 < rr_ms * RR_TICKS_PER_S / 1000 < 0xFFFF + 0.5:
        raise DataError(
            f"RR interval {rr_ms} ms does not fit a heart rate measurement; needed is 0.98-63999 ms"
        )
    return round(rr_ms * RR_TICKS_PER_S / 1000).to_bytes(2, "little")


VECTORS = (
    (bytes.fromhex("0048"), HeartRateMeasurement(72)),
    (bytes.fromhex("012c01"), HeartRateMeasurement(300)),
    (bytes.fromhex("0448"), HeartRateMeasurement(72, skin_contact=False)),
    (bytes.fromhex("0648"), HeartRateMeasurement(72, skin_contact=True)),
    (bytes.fromhex("08480a00"), HeartRateMeasurement(72, energy_kj=10)),
    (bytes.fromhex("103c0004"), HeartRateMeasurement(60, rr_ms=(1000.0,))),
    (bytes.fromhex("163c00040002"), HeartRateMeasurement(60, skin_contact=True, rr_ms=(1000.0, 500.0))),
    (
        bytes.fromhex("1f2c01ffff01002003"),
        HeartRateMeasurement(300, skin_contact=True, energy_kj=65535, rr_ms=(0.9765625, 781.25)),
    ),
)
