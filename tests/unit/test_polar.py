"""Polar Measurement Data: frames known from the vendor's own tests, and what their records say."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ingest.decoders.polar_control import (
    SETTINGS_VECTORS,
    Command,
    Measurement,
    Response,
    Setting,
    Status,
    decode_control_point,
    decode_features,
    decode_request,
    decode_settings,
    encode_request,
    encode_settings,
)
from ingest.decoders.polar_delta import decode_delta, encode_delta
from ingest.decoders.polar_pmd import (
    EPOCH_NS,
    AccelerationFrame,
    EcgFrame,
    PpiFrame,
    Pulse,
    StreamSettings,
    decode_frame,
    encode_frame,
    pack_record,
    unpack_record,
)
from ingest.profiles.polar import choose
from ingest.readings.polar import read_polar
from ingest.records import Record
from store.errors import DataError, FrameError

# polar-ble-sdk, AccDataTest.kt: a real frame of a Verity Sense, without its header.
COMPRESSED = bytes.fromhex(
    "7107f06a9e8d0a38be5cbeba2f96b3ee4be5adfb42b9ebbe4cfeba2f92bfee4be4b1fb12b9ecbd3c3ebb2f8fd3de4be3b5f7d2b8ed"
    "bd307e7b2f8be3ce8be2baf7a2b8eebc20be7b2f88f3cecbe1bdef52f8efbc18fe3b2f8403bfcbe0c2ef32b8f0bb044ebc2e8113af"
    "0be0c6eff2f7f1b9fc7dbc2e7d279f4bdfcaebc2f7f2b8eccd7c2e7b378f4bdecee392f7f3b8e00dfd2d774b7fcbddd2df6237f5b7"
    "d44dbd2d745b6fcbdcd7d73237f6b5c88d7d2d716b4f4bdcdcd3f236f7b4bcddfd2c6f7b3f4bdbe0cfd236f8b2b02dbe2c6c8f1fcb"
    "dae3c7a276f9"
)
ACCELERATION_HEADER = bytes.fromhex("020094357700000000")

# polar-ble-sdk, BlePmdClientParsersTest.kt: nine blocks of 3 and 4 bits.
MANY_BLOCKS = bytes.fromhex(
    "c9ff12001100030941fe2b0f9c0bbf15004f00041ef1ef00f0c123e4edf4d1f1f1f5ff22de3100f1fe21021f0e2b1f00e220000e02"
    "e11e20fff1f102c5d002e0e102030a312efbba902baa0e23409e030414e3eff30f021f01e00f049e13e2d004e222e2c20e200f2002"
    "fe000f1c32ee030a890007087c00ce2fe83a9e03041e010011194f002f12fd13ff0e100000f1c012e4ef21000001f1ffff0210102b"
    "510b4e31fc2ebf3114ec0e2f52ef030a069e040e02a888eee0079a00040a1f211e4e2efec6c002ef030102ee11030af8130000f040"
    "bfa5e7007600"
)


def slow_delta(content: bytes, channels: int, value_bytes: int) -> list[list[int]]:
    """Decode bit by bit, as the vendor's library does."""
    position = channels * value_bytes
    samples = [
        [
            int.from_bytes(content[at : at + value_bytes], "little", signed=True)
            for at in range(0, position, value_bytes)
        ]
    ]
    while position < len(content):
        width, count = content[position], content[position + 1]
        size = -(-width * count * channels // 8)
        block = content[position + 2 : position + 2 + size]
        bits = [byte >> bit & 1 for byte in block for bit in range(8)]
        for sample in range(count):
            row: list[int] = []
            for channel in range(channels):
                start = (sample * channels + channel) * width
                value = sum(bit << place for place, bit in enumerate(bits[start : start + width]))
                row.append(samples[-1][channel] + value - (bits[start + width - 1] << width))
            samples.append(row)
        position += 2 + size
    return samples


@pytest.mark.parametrize(("content", "count"), [(COMPRESSED, 57), (MANY_BLOCKS, 140)])
def test_captured_blocks_come_out_as_bit_by_bit(content: bytes, count: int):
    decoded = decode_delta(content, 0, 3, 2)
    assert decoded.shape == (count, 3)
    assert decoded.tolist() == slow_delta(content, 3, 2)


def test_the_vendors_own_numbers():
    first, second = decode_delta(COMPRESSED, 0, 3, 2)[:2].tolist()
    assert first == [1905, 27376, -29282]
    assert second == [1905 + 190, 27376 - 105, -29282 - 85]
    assert decode_delta(MANY_BLOCKS, 0, 3, 2)[:2].tolist() == [[-55, 18, 17], [-54, 18, 18]]


def test_sums_of_32_bits_wrap_as_in_the_vendors_library():
    # BlePmdClientParsersTest.kt, withResolution32: the second sample is beyond 32 bits.
    content = bytes.fromhex("02000000193299e900dafeff2001173299e9e7a7651638db0646")
    wrapped = [
        (2 + 0xE9993217) & 0xFFFFFFFF,
        (0xE9993219 + 0x1665A7E7) & 0xFFFFFFFF,
        (0xFFFEDA00 + 0x4606DB38) & 0xFFFFFFFF,
    ]
    assert (decode_delta(content, 0, 3, 4)[1].astype(np.uint32)).tolist() == wrapped


@pytest.mark.parametrize("width_bits", range(1, 25))
def test_every_width_up_to_24_bits(width_bits: int):
    extremes = [-(1 << width_bits - 1), (1 << width_bits - 1) - 1, 0, -1]
    steps = np.array([[a, b, c] for a in extremes for b in extremes for c in extremes], np.int64)
    samples = np.cumsum(np.concatenate([[[7, -8, 9]], steps]), axis=0).astype(np.int32)
    content = encode_delta(samples, 2, block_samples=64)
    assert content[6] == width_bits
    assert decode_delta(content, 0, 3, 2).tolist() == samples.tolist() == slow_delta(content, 3, 2)


@given(arrays(np.int32, st.tuples(st.integers(1, 80), st.just(3)), elements=st.integers(-(2**15), 2**15 - 1)))
def test_what_is_compressed_comes_back(samples: np.ndarray):
    assert np.array_equal(decode_delta(encode_delta(samples, 2), 0, 3, 2), samples)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("0100", "needs 6"),
        ("010002000300 08", "within a block's header"),
        ("010002000300 0001", "differences of 0 bits"),
        ("010002000300 2101 00", "differences of 33 bits"),
        ("010002000300 0802 010203", "ends at byte 14"),
    ],
)
def test_a_damaged_block_is_refused(content: str, said: str):
    with pytest.raises(FrameError, match=said):
        decode_delta(bytes.fromhex(content), 0, 3, 2)


def test_nothing_and_too_large_a_reference_are_not_compressed():
    with pytest.raises(DataError, match="shape"):
        encode_delta(np.zeros((0, 3), np.int32), 2)
    with pytest.raises(DataError, match="does not fit 2 bytes"):
        encode_delta(np.array([[40_000, 0, 0]], np.int32), 2)


# Frames


def test_compressed_counts_need_the_factor_that_the_start_told():
    frame = decode_frame(ACCELERATION_HEADER + b"\x80" + COMPRESSED)
    assert isinstance(frame, AccelerationFrame)
    assert frame.device_ns == EPOCH_NS + 2_000_000_000
    # AccDataTest.kt expects the factor times the counts in mg, cut to whole ones; here nothing is cut.
    assert np.trunc(frame.acc_g(2.44e-4)[0] * 1000).tolist() == [464, 6679, -7144]
    assert np.abs(frame.acc_g(2.44e-4)).max() <= 8
    with pytest.raises(DataError, match="conversion factor"):
        frame.acc_g(float("nan"))


def test_compressed_type_1_is_in_mg():
    frame = decode_frame(bytes.fromhex("02650000000000000081 f1ff1400f003 0601 7b0f08"))
    assert isinstance(frame, AccelerationFrame)
    assert frame.counts.tolist() == [[-15, 20, 1008], [-20, 17, 1008]]
    assert frame.acc_g(float("nan")).tolist() == pytest.approx(
        np.array([[-0.015, 0.02, 1.008], [-0.02, 0.017, 1.008]])
    )
    assert frame.acc_g(2.0)[0].tolist() == pytest.approx([-0.03, 0.04, 2.016])


@pytest.mark.parametrize(
    ("form", "content", "counts"),
    [
        ("00", "80 7f ff 01 02 03", [[-128, 127, -1], [1, 2, 3]]),
        ("01", "f7ff ffff e703 f8ff feff e503", [[-9, -1, 999], [-8, -2, 997]]),
        ("02", "000080 ffff7f ffffff", [[-8388608, 8388607, -1]]),
    ],
)
def test_raw_acceleration_of_every_size(form: str, content: str, counts: Sequence[Sequence[int]]):
    frame = decode_frame(ACCELERATION_HEADER + bytes.fromhex(form) + bytes.fromhex(content))
    assert isinstance(frame, AccelerationFrame)
    assert frame.counts.tolist() == counts
    assert frame.acc_g(1.0)[0].tolist() == pytest.approx([count / 1000 for count in counts[0]])


def test_reserved_flags_of_an_interval_are_no_reason_to_refuse_it():
    # PpiDataTest.kt sends 0xff.
    frame = decode_frame(bytes.fromhex("03000000000000000000" + "8080808080ff" + "000100010000"))
    assert frame == PpiFrame(
        None, (Pulse(128, 32896, 32896, is_blocked=True, skin_contact=True), Pulse(0, 1, 1))
    )


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        ("", "0 bytes"),
        ("00009435770000000000", "10 bytes"),
        ("00009435770000000000 0102", "multiple of 3"),
        ("02009435770000000001 0102030405", "multiple of 6"),
        ("03000000000000000000 0102030405", "6 for each"),
        ("00009435770000000003 00120311100400", "form 0x03, unknown here"),
        ("0100943577000000007f 00", "measurement 1"),
        ("00ffffffffffffffff00 000000", "needed is a time to 2262"),
    ],
)
def test_a_malformed_frame_is_refused(frame: str, said: str):
    with pytest.raises(FrameError, match=said):
        decode_frame(bytes.fromhex(frame))


def test_samples_are_read_only():
    frame = decode_frame(bytes.fromhex("00009435770000000000 0280ff"))
    assert isinstance(frame, EcgFrame)
    with pytest.raises(ValueError, match="read-only"):
        frame.ecg_uv[0] = 1


@pytest.mark.parametrize(
    "frame",
    [
        EcgFrame(EPOCH_NS, np.array([1 << 23], np.int32)),
        EcgFrame(EPOCH_NS, np.array([], np.int32)),
        EcgFrame(0, np.array([1], np.int32)),
        AccelerationFrame(EPOCH_NS, np.array([[0, 0, 128]], np.int32), frame_type=0),
        PpiFrame(EPOCH_NS, (Pulse(256, 0, 0),)),
        PpiFrame(EPOCH_NS, (Pulse(60, 65536, 0),)),
    ],
)
def test_what_no_frame_can_hold_is_refused(frame: EcgFrame | AccelerationFrame | PpiFrame):
    with pytest.raises(DataError, match="cannot be sent"):
        encode_frame(frame)


# Control point


def test_start_is_written_as_others_write_it():
    # polar-ble-sdk issue 360: a start that an H10 accepted.
    chosen = {Setting.RANGE_G: 8, Setting.SAMPLE_RATE_HZ: 200, Setting.RESOLUTION_BITS: 16}
    request = encode_request(Command.START, Measurement.ACCELERATION, chosen)
    assert request == bytes.fromhex("0202020108000001c80001011000")
    assert decode_request(request) == (Command.START, Measurement.ACCELERATION, chosen)
    assert encode_request(Command.GET_SETTINGS, Measurement.ECG) == b"\x01\x00"
    assert encode_request(Command.STOP, Measurement.PPI) == b"\x03\x03"


@pytest.mark.parametrize(("parameters", "told"), SETTINGS_VECTORS)
def test_settings_both_ways(parameters: bytes, told: dict[Setting, tuple[int, ...]]):
    assert decode_settings(parameters) == told
    assert encode_settings(told) == parameters


def test_no_settings_are_none():
    assert decode_settings(b"") == decode_settings(b"\0") == {}


@pytest.mark.parametrize("parameters", ["000134", "0001340004", "0601", "0001340001"])
def test_cut_off_settings_are_refused(parameters: str):
    with pytest.raises(FrameError, match="settings"):
        decode_settings(bytes.fromhex(parameters))


def test_every_status_is_known_and_a_refusal_has_no_parameters():
    answers = [decode_control_point(bytes([0xF0, 2, 2, status, 1, 9])) for status in range(15)]
    assert [answer.status for answer in answers if isinstance(answer, Response)] == list(Status)
    assert answers[0] == Response(Command.START, Measurement.ACCELERATION, Status.SUCCESS, True, b"\x09")
    assert answers[6] == Response(Command.START, Measurement.ACCELERATION, Status.ALREADY_IN_STATE)


@pytest.mark.parametrize("frame", ["", "f0", "f00102", "f0010263", "f0630200", "02", "0104"])
def test_a_malformed_response_is_refused(frame: str):
    with pytest.raises(FrameError):
        decode_control_point(bytes.fromhex(frame))


def test_features_need_their_marker():
    with pytest.raises(FrameError, match="0f"):
        decode_features(b"\xf0\x05")


def test_the_nearest_rate_and_the_most_of_all_else_is_chosen():
    # As an H10 offers.
    offered = decode_settings(bytes.fromhex("0004 1900 3200 6400 c800 0101 1000 0203 0200 0400 0800"))
    assert choose(offered, 50) == {
        Setting.SAMPLE_RATE_HZ: 50,
        Setting.RESOLUTION_BITS: 16,
        Setting.RANGE_G: 8,
    }
    assert [choose(offered, rate)[Setting.SAMPLE_RATE_HZ] for rate in (1, 37, 38, 75, 999)] == [
        25,
        25,
        50,
        100,
        200,
    ]


# Records


def record_of(settings: StreamSettings, frame: bytes) -> Record:
    return Record("polar_pmd", "S001", "AA", 10**18, 0, pack_record(settings, frame))


def test_settings_travel_with_the_frame():
    settings = StreamSettings(rate_hz=50, resolution_bits=16, range_g=8, factor=0.25)
    assert unpack_record(pack_record(settings, b"frame")) == (settings, b"frame")
    assert pack_record(settings, b"") == bytes.fromhex("01 1000 3200 0800 0000803e")
    for payload in (b"", b"\x01short", b"\x02" + bytes(20)):
        with pytest.raises(FrameError, match="version 1"):
            unpack_record(payload)


def test_acceleration_becomes_motion_and_a_waveform():
    frame = ACCELERATION_HEADER + b"\x80" + COMPRESSED
    reading = read_polar(record_of(StreamSettings(52, 16, 8, 2.44e-4), frame))
    assert reading.motion is not None
    assert (reading.motion.acc_g.shape, reading.motion.rate_hz) == ((57, 3), 52.0)
    assert reading.motion.device_ns == EPOCH_NS + 2_000_000_000
    ((signal, rate_hz, count, packed),) = reading.waveform
    assert (signal, rate_hz, count) == ("acc_mg", 52.0, 57.0)
    assert isinstance(packed, bytes)
    kept = np.frombuffer(packed, "<i4").reshape(-1, 3) / 1000
    assert np.abs(kept - reading.motion.acc_g).max() <= 0.00051


def test_ecg_is_only_a_waveform():
    reading = read_polar(record_of(StreamSettings(130), bytes.fromhex("00009435770000000000 0280ff 028000")))
    assert reading.motion is None
    assert reading.waveform == (("ecg_uv", 130.0, 2.0, np.array([-32766, 32770], "<i4").tobytes()),)


def test_intervals_carry_what_spoils_them():
    pulses = (
        Pulse(60, 1000, 10, skin_contact=True),
        Pulse(61, 980, 300, is_blocked=True, skin_contact=False),
        Pulse(0, 0, 0),
        Pulse(62, 970, 12),
    )
    reading = read_polar(record_of(StreamSettings(), encode_frame(PpiFrame(None, pulses))))
    assert reading.pulses is not None
    values = np.array(reading.pulses.values, float)
    expected = [[1000, 10, 0, 1], [980, 300, 1, 0], [970, 12, 0, np.nan]]
    assert np.array_equal(values, expected, equal_nan=True)


def test_acceleration_without_factor_or_rate_is_refused_with_its_record():
    compressed = ACCELERATION_HEADER + b"\x80" + COMPRESSED
    for settings, said in ((StreamSettings(52), "factor"), (StreamSettings(0, factor=1e-3), "rate")):
        record = record_of(settings, compressed)
        with pytest.raises(FrameError, match=said) as refused:
            read_polar(record)
        assert refused.value.frame == record.payload
