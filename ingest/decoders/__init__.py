"""Codecs of Bluetooth characteristics: bytes in, frozen values out; no I/O.

`DECODERS` lists every one with its specification and frames known from it, so that one suite tests all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.decoders import battery, device_information, heart_rate
from store.types import HeartRateMeasurement


@dataclass(frozen=True, slots=True)
class Decoder:
    """A characteristic and how to read it.

    Attributes
    ----------
    characteristic_uuids : tuple of str
        All whose values have this form.
    reference : str
        The specification.
    decode : callable
        bytes -> value; raises `FrameError` for bytes that the specification does not allow.
    encode : callable
        value -> bytes, the inverse of `decode`; raises `DataError` for a value that no frame can hold.
    vectors : tuple of (bytes, value)
        Frames and what they mean, each the canonical encoding of its value.
    """

    characteristic_uuids: tuple[str, ...]
    reference: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    vectors: tuple[tuple[bytes, Any], ...]


DECODERS: Mapping[str, Decoder] = {
    "heart_rate_measurement": Decoder(
        (heart_rate.MEASUREMENT_UUID,),
        heart_rate.REFERENCE,
        heart_rate.decode_heart_rate,
        heart_rate.encode_heart_rate,
        (
            (bytes.fromhex("0048"), HeartRateMeasurement(72)),
            (bytes.fromhex("012c01"), HeartRateMeasurement(300)),
            (bytes.fromhex("0448"), HeartRateMeasurement(72, skin_contact=False)),
            (bytes.fromhex("0648"), HeartRateMeasurement(72, skin_contact=True)),
            (bytes.fromhex("08480a00"), HeartRateMeasurement(72, energy_kj=10)),
            (bytes.fromhex("103c0004"), HeartRateMeasurement(60, rr_ms=(1000.0,))),
            (
                bytes.fromhex("163c00040002"),
                HeartRateMeasurement(60, skin_contact=True, rr_ms=(1000.0, 500.0)),
            ),
            (
                bytes.fromhex("1f2c01ffff01002003"),
                HeartRateMeasurement(300, skin_contact=True, energy_kj=65535, rr_ms=(0.9765625, 781.25)),
            ),
        ),
    ),
    "battery_level": Decoder(
        (battery.LEVEL_UUID,),
        battery.REFERENCE,
        battery.decode_battery,
        battery.encode_battery,
        ((b"\x00", 0), (b"\x55", 85), (b"\x64", 100)),
    ),
    "device_information_string": Decoder(
        tuple(device_information.FIELDS),
        device_information.REFERENCE,
        device_information.decode_string,
        device_information.encode_string,
        ((b"", ""), (b"Polar H10", "Polar H10"), (b"\xc2\xb5-Strap", "µ-Strap")),
    ),
}
