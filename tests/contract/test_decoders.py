"""Every decoder keeps the same promises: known frames, round trip, and no surprise from any bytes."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import DECODERS, Decoder
from ingest.decoders.battery import decode_battery, encode_battery
from ingest.decoders.current_time import (
    CurrentTime,
    LocalTime,
    decode_current_time,
    decode_local_time,
    encode_current_time,
    encode_local_time,
)
from ingest.decoders.date_time import DateTime
from ingest.decoders.device_information import (
    MANUFACTURER_NAME_UUID,
    MODEL_NUMBER_UUID,
    DeviceInformation,
    decode_device_information,
    encode_string,
)
from ingest.decoders.heart_rate import decode_heart_rate, encode_heart_rate
from ingest.decoders.ieee11073 import (
    NoNumber,
    decode_float,
    decode_sfloat,
    encode_float,
    encode_sfloat,
)
from ingest.decoders.oximeter import (
    ContinuousMeasurement,
    Oximetry,
    SpotCheckMeasurement,
    decode_continuous,
    encode_continuous,
    encode_spot_check,
)
from ingest.decoders.pinetime import encode_motion, encode_steps
from ingest.decoders.running import RunningMeasurement, decode_running, encode_running
from ingest.decoders.thermometer import TemperatureMeasurement, decode_temperature, encode_temperature
from store.errors import DataError, FrameError
from store.types import HeartRateMeasurement

LAW = settings(deadline=None, derandomize=True)
SIG_UUID_END = "-0000-1000-8000-00805f9b34fb"
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
    is_standard = any(uuid.endswith(SIG_UUID_END) for uuid in decoder.characteristic_uuids)
    assert len(decoder.reference) > 10
    assert not is_standard or "Bluetooth" in decoder.reference
    assert all(len(uuid) == 36 and uuid == uuid.lower() for uuid in decoder.characteristic_uuids)
    assert decoder.vectors


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@LAW
@given(frame=st.binary(max_size=30))
def test_any_bytes_decode_or_are_refused_with_the_frame(decoder: Decoder, frame: bytes):
    check_promise(decoder, frame)


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=DECODERS)
@LAW
@given(data=st.data())
def test_a_damaged_frame_decodes_or_is_refused_with_the_frame(decoder: Decoder, data: st.DataObject):
    frame = bytearray(data.draw(st.sampled_from([frame for frame, _ in decoder.vectors])))
    for place in data.draw(st.lists(st.integers(0, max(len(frame) - 1, 0)), max_size=3)) if frame else []:
        frame[place] = data.draw(st.integers(0, 255))
    check_promise(decoder, bytes(frame[: data.draw(st.integers(0, len(frame)))]))
    check_promise(decoder, bytes(frame))


def check_promise(decoder: Decoder, frame: bytes) -> None:
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


# Frames that well-known parsers read wrongly


def test_300_bpm_is_not_read_as_44():
    # Whoever ignores the flags reads the low byte only.
    assert decode_heart_rate(bytes.fromhex("012c01")).heart_rate_bpm == 300


def test_energy_is_kept_and_is_no_rr_interval():
    heart = decode_heart_rate(bytes.fromhex("18480a000004"))
    assert (heart.energy_kj, heart.rr_ms) == (10, (1000.0,))


# IEEE 11073 numbers

# mantissa times ten to the exponent, from the guide to FHIR for personal health devices
FHIR_SFLOATS = [(0x0002, 2), (0xF014, 2.0), (0xE0C8, 2.0), (0x1002, 20), (0xF3CF, 97.5), (0xFFFF, -0.1)]


@pytest.mark.parametrize(("raw", "number"), FHIR_SFLOATS)
def test_sfloat_is_a_mantissa_and_a_power_of_ten(raw: int, number: float):
    assert decode_sfloat(raw) == number


@pytest.mark.parametrize(
    ("sfloat", "float_", "what"),
    [
        (0x07FF, 0x007FFFFF, NoNumber.NAN),
        (0x0800, 0x00800000, NoNumber.NRES),
        (0x07FE, 0x007FFFFE, NoNumber.POSITIVE_INFINITY),
        (0x0802, 0x00800002, NoNumber.NEGATIVE_INFINITY),
        (0x0801, 0x00800001, NoNumber.RESERVED),
    ],
)
def test_no_number_is_never_a_number(sfloat: int, float_: int, what: NoNumber):
    assert decode_sfloat(sfloat) is what
    assert encode_sfloat(what) == sfloat
    assert decode_float(float_) is what
    assert encode_float(what) == float_


def test_every_sfloat_survives_the_round_trip_exactly():
    for raw in range(0x10000):
        number = decode_sfloat(raw)
        assert decode_sfloat(encode_sfloat(number)) == number
        if not isinstance(number, NoNumber):
            mantissa = (raw & 0xFFF) - (0x1000 if raw & 0x800 else 0)
            exponent = (raw >> 12) - (16 if raw & 0x8000 else 0)
            assert number == float(mantissa * Fraction(10) ** exponent)


@LAW
@given(st.integers(0, 0xFFFFFFFF))
def test_every_float_survives_the_round_trip(raw: int):
    number = decode_float(raw)
    assert decode_float(encode_float(number)) == number


@LAW
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_any_number_is_encoded_near_or_refused(number: float):
    for encode, decode, tolerance in (
        (encode_sfloat, decode_sfloat, 5e-3),
        (encode_float, decode_float, 1e-6),
    ):
        try:
            got = decode(encode(number))
        except DataError:
            assert abs(number) > 1e9
            continue
        assert isinstance(got, float)
        assert abs(got - number) <= tolerance * abs(number) + 1e-8


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 1e11, -1e11])
def test_what_no_sfloat_holds_is_refused(number: float):
    with pytest.raises(DataError, match="SFLOAT"):
        encode_sfloat(number)


# The other standard services


@pytest.mark.parametrize(
    ("name", "frame", "said"),
    [
        ("rsc_measurement", "", "0 bytes"),
        ("rsc_measurement", "08000000", "reserved flags 0x08"),
        ("rsc_measurement", "000000", "3 bytes; needed are 4"),
        ("rsc_measurement", "01000000", "4 bytes; needed are 6"),
        ("rsc_measurement", "03000000000000000000ff", "11 bytes; needed are 10"),
        ("rsc_feature", "00", "1 bytes; needed are 2"),
        ("rsc_feature", "2000", "reserved bits 0x0020"),
        ("plx_continuous", "0061", "2 bytes; needed are 5"),
        ("plx_continuous", "01cff34800", "5 bytes; needed are 9"),
        ("plx_continuous", "20cff34800", "reserved flags 0x20"),
        ("plx_spot_check", "01cff34800", "5 bytes; needed are 12"),
        ("plx_spot_check", "0161004800dc070d050b0a06", "month 13; needed is 0-12"),
        ("plx_spot_check", "4061004800", "reserved flags 0x40"),
        ("temperature_measurement", "006c01", "3 bytes; needed are 5"),
        ("temperature_measurement", "046c0100ff00", "site 0; needed is 1-9"),
        ("temperature_measurement", "046c0100ff0a", "site 10; needed is 1-9"),
        ("temperature_measurement", "026c0100ff01000c050b0a06", "year 1; needed is 0 or 1582-9999"),
        ("temperature_measurement", "026c0100ffdc070c05180a06", "hour 24; needed is 0-23"),
        ("temperature_measurement", "106c0100ff", "reserved flags 0x10"),
        ("current_time", "dc070c050b0a0603", "8 bytes; needed are 10"),
        ("current_time", "dc070c050b0a3c038001", "second 60; needed is 0-59"),
        ("current_time", "dc070c050b0a06088001", "day of the week 8"),
        ("current_time", "dc070c050b0a06038010", "reserved reasons 0x10"),
        ("local_time_information", "04", "1 bytes; needed are 2"),
        ("local_time_information", "3900", "zone 57"),
        ("local_time_information", "0403", "summer time 3"),
        ("pinetime_steps", "000000", "3 bytes; needed are 4"),
        ("pinetime_motion", "0000000000", "5 bytes; needed are 6"),
    ],
)
def test_malformed_frame_is_refused_and_says_what_was_seen_and_needed(name: str, frame: str, said: str):
    with pytest.raises(FrameError, match=said) as refused:
        DECODERS[name].decode(bytes.fromhex(frame))
    assert refused.value.frame == bytes.fromhex(frame)


def test_what_no_other_frame_can_hold_is_refused():
    unsendable_values = [
        (encode_running, RunningMeasurement(256.0, 0)),
        (encode_running, RunningMeasurement(float("nan"), 0)),
        (encode_running, RunningMeasurement(1.0, 256)),
        (encode_running, RunningMeasurement(1.0, 0, stride_m=-0.1)),
        (encode_continuous, ContinuousMeasurement(Oximetry(float("nan"), 60.0))),
        (encode_continuous, ContinuousMeasurement(Oximetry(97.0, 60.0), status=1 << 16)),
        (encode_spot_check, SpotCheckMeasurement(Oximetry(97.0, 60.0), DateTime(2026, 13, 1, 0, 0, 0))),
        (encode_temperature, TemperatureMeasurement(float("inf"))),
        (encode_current_time, CurrentTime(DateTime(2026, 1, 1, 0, 0, 0), day_of_week=8)),
        (encode_local_time, LocalTime(57, 0)),
        (encode_local_time, LocalTime(0, 3)),
        (encode_steps, -1),
        (encode_steps, 1 << 32),
        (encode_motion, (0, 0, 32768)),
    ]
    for encode, value in unsendable_values:
        with pytest.raises(DataError, match=r"needed|cannot"):
            encode(value)


def test_running_values_are_scaled_and_fields_do_not_shift():
    running = decode_running(bytes.fromhex("070003907d00d2040000"))
    assert running == RunningMeasurement(3.0, 144, is_running=True, stride_m=1.25, distance_m=123.4)


def test_fields_of_oximetry_do_not_shift_when_earlier_ones_are_absent():
    slow = decode_continuous(bytes.fromhex("026100480060004700"))
    assert slow == ContinuousMeasurement(Oximetry(97.0, 72.0), slow=Oximetry(96.0, 71.0))
    amplitude = decode_continuous(bytes.fromhex("10610048000cf0"))
    assert amplitude.pulse_amplitude_pct == 1.2


def test_fahrenheit_becomes_celsius():
    assert decode_temperature(bytes.fromhex("01da0300ff")).temperature_c == pytest.approx(37.0)
    assert decode_temperature(bytes.fromhex("01ffff7f00")).temperature_c is None


def test_nine_bytes_of_infinitime_are_a_current_time():
    current = decode_current_time(bytes.fromhex("ea070105140000 0055"))
    assert current == CurrentTime(DateTime(2026, 1, 5, 20, 0, 0))


def test_local_time_without_a_known_part_has_no_offset():
    assert decode_local_time(bytes.fromhex("0404")).offset_s == 7200
    assert decode_local_time(bytes.fromhex("ec00")).offset_s == -18000
    assert decode_local_time(bytes.fromhex("8000")).offset_s is None
    assert decode_local_time(bytes.fromhex("04ff")).offset_s is None


def test_a_date_that_no_calendar_has_is_no_moment():
    assert DateTime(2026, 2, 30, 0, 0, 0).as_if_utc() is None
    assert DateTime(0, 1, 1, 0, 0, 0).as_if_utc() is None
