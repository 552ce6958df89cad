"""Every decoder keeps the same promises: known frames, round trip, and no surprise from any bytes."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import DECODERS, Decoder
from ingest.decoders.battery import decode_battery, encode_battery
from ingest.decoders.device_information import (
    MANUFACTURER_NAME_UUID,
    MODEL_NUMBER_UUID,
    DeviceInformation,
    decode_device_information,
    encode_string,
)
from ingest.decoders.heart_rate import decode_heart_rate, encode_heart_rate
from store.errors import DataError, FrameError
from store.types import HeartRateMeasurement

LAW = settings(deadline=None, derandomize=True)
VECTORS = [
    pytest.param(decoder, frame, value, id=f"{name}-{frame.hex()}")
    for name, decoder in DECODERS.items()
    for frame, value in decoder.vectors
]
MEASUREMENTS = st.builds(
    HeartRateMeasurement,
    heart_rate_bpm=st.integers(0, 0xFFFF),
    skin_contact=st.none() | st.booleans(),
    energy_kj=st.none() | st.integers(0, 0xFFFF),
    rr_ms=st.lists(st.integers(1, 0xFFFF).map(lambda ticks: ticks * 1000 / 1024), max_size=9).map(tuple),
)


@pytest.mark.parametrize(("decoder", "frame", "value"), VECTORS)
def test_known_frame_means_its_value_both_ways(decoder: Decoder, frame: bytes, value: object):
    assert decoder.decode(frame) == value
    assert decoder.encode(value) == frame


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
def test_decoder_names_its_specification(decoder: Decoder):
    assert "Bluetooth" in decoder.reference
    assert all(len(uuid) == 36 and uuid == uuid.lower() for uuid in decoder.characteristic_uuids)
    assert decoder.vectors


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@LAW
@given(frame=st.binary(max_size=30))
def test_any_bytes_decode_or_are_refused_with_the_frame(decoder: Decoder, frame: bytes):
    try:
        value = decoder.decode(frame)
    except FrameError as error:
        refused = error
    else:
        assert decoder.decode(decoder.encode(value)) == value
        return
    assert refused.frame == frame
    assert frame.hex() in str(refused)


@LAW
@given(MEASUREMENTS)
def test_every_measurement_survives_the_round_trip(measurement: HeartRateMeasurement):
    assert decode_heart_rate(encode_heart_rate(measurement)) == measurement


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("", "0 bytes"),
        ("00", "1 bytes; needed are 2"),
        ("0148", "2 bytes; needed are 3"),
        ("084800", "3 bytes; needed are 4"),
        ("103c0004ff", "5 bytes; needed are 2 and 2 for each RR interval"),
        ("004800", "3 bytes; needed are 2"),
        ("00480004", "4 bytes; needed are 2"),
        ("203c", "reserved flags 0x20"),
        ("903c0004", "reserved flags 0x80"),
    ],
)
def test_malformed_heart_rate_is_refused(frame: str, said: str):
    with pytest.raises(FrameError, match=said):
        decode_heart_rate(bytes.fromhex(frame))


@pytest.mark.parametrize(
    ("frame", "contact"),
    [("0048", None), ("0248", None), ("0448", False), ("0648", True)],
)
def test_contact_counts_only_where_the_wearable_can_tell(frame, contact):
    assert decode_heart_rate(bytes.fromhex(frame)).skin_contact is contact


def test_empty_rr_slots_are_no_intervals():
    assert decode_heart_rate(bytes.fromhex("103c000400000000")).rr_ms == (1000.0,)


def test_sixteen_bit_rate_below_256_is_read():
    assert decode_heart_rate(bytes.fromhex("014800")).heart_rate_bpm == 72


def unsendable() -> Iterator[HeartRateMeasurement]:
    good = HeartRateMeasurement(60)
    yield replace(good, heart_rate_bpm=-1)
    yield replace(good, heart_rate_bpm=65536)
    yield replace(good, energy_kj=65536)
    for rr_ms in (0.0, 0.4, 64_000.0, float("nan"), float("inf"), -800.0):
        yield replace(good, rr_ms=(rr_ms,))


@pytest.mark.parametrize("measurement", list(unsendable()))
def test_what_no_frame_can_hold_is_refused(measurement: HeartRateMeasurement):
    with pytest.raises(DataError, match="does not fit"):
        encode_heart_rate(measurement)


def test_rr_is_rounded_to_the_nearest_tick():
    assert encode_heart_rate(HeartRateMeasurement(60, rr_ms=(800.0,))) == bytes.fromhex("103c3303")


@pytest.mark.parametrize("frame", [b"", b"\x65", b"\xff", b"\x32\x00"])
def test_battery_is_one_byte_up_to_100(frame: bytes):
    with pytest.raises(FrameError, match="needed"):
        decode_battery(frame)


@pytest.mark.parametrize("level_pct", [-1, 101])
def test_battery_beyond_its_range_is_not_sent(level_pct: int):
    with pytest.raises(DataError, match="0-100"):
        encode_battery(level_pct)


def test_device_information_takes_what_is_there():
    values = {MANUFACTURER_NAME_UUID: b"Polar\0", MODEL_NUMBER_UUID: b"H10", "other": b"\xff"}
    assert decode_device_information(values) == DeviceInformation("Polar", "H10")


def test_device_text_must_be_utf8_and_short():
    with pytest.raises(FrameError, match="ff at byte 1"):
        decode_device_information({MODEL_NUMBER_UUID: b"H\xff10"})
    with pytest.raises(DataError, match="600 bytes"):
        encode_string("x" * 600)
