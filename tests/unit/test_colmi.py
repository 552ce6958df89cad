"""A Colmi ring's packets, logs and long answers, as real rings sent them, and what their records say."""

import asyncio
import itertools
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.settings import CollectorSettings
from ingest.decoders import colmi_big_data as big_data
from ingest.decoders import colmi_packets as packets
from ingest.decoders.colmi_big_data import (
    SleepDay,
    Spo2Day,
    Stretch,
    Topic,
    bytes_in_answer,
    decode_sleep,
    decode_spo2,
    encode_sleep,
    encode_spo2,
)
from ingest.decoders.colmi_logs import (
    HRV_VECTORS,
    STEPS_VECTORS,
    HeartRateLog,
    HrvLog,
    LogHeader,
    StepsLog,
    StepSlot,
    decode_heart_rate_log,
    decode_hrv_log,
    decode_steps_log,
    encode_heart_rate_log,
    encode_hrv_log,
    encode_steps_log,
    pack_log,
    packets_in_log,
    unpack_log,
)
from ingest.decoders.colmi_packets import Charge, Packet
from ingest.profiles.colmi import ATTEMPTS, ColmiProfile
from ingest.readings import reading_of
from ingest.readings.reading import Timed
from ingest.records import Kind, Record
from store.clock import VirtualClock
from store.errors import DataError, FrameError
from store.streams import BATTERY, HEART_RATE, SLEEP_STAGE, SPO2, STEP_COUNT, VENDOR_HRV
from store.units import NS_PER_S

# A day of an H59, captured with its last hours still to come.
HEART_RATE_DAY = bytes.fromhex(
    "15001805000000000000000000000032 15010091136a3e3f403f3e3f3d3f4861 15023f3c46414340453e41393d3c4052"
    "1503383c3d38383d3f3c3f3f3c3c3e25 15043c3c3f3b3e3e3e3e433f46473f51 1505413e3d3d3e3e3f3e413c41494457"
    "1506444040403e403e3d3b3e3e3f3f4d 15073f3d35413f433e51473f5f3a3977 15083b3b3c3d3b3c4359476e5d4547bd"
    "15094b552e4a4a4d47404b7145696422 150a5045604f4e6959554645504f4436 150b6075565f60614d45494c476a4f92"
    "150c66596e566b4e57656a61484d49c2 150d4d566d4e4a58674947584c57596d 150e6f47424d494446424445414449d4"
    "150f484b324472536e405e5560585b66 1510586560676051505350645d595fc6 1511695f64575e4765566762665c52e6"
    "151255686962756876505b5c516a4b0f 15134a4d59445159494d595559726d82 1514494c573c507a4b5f525048646a7d"
    "15154900000000000000000000000073 1516000000000000000000000000002b 1517000000000000000000000000002c"
)
HOURLY_STEPS = bytes.fromhex(
    "43f00c01000000000000000000000040 432605251c000c7702ed0092000000b3 4326052520010c8e0514024b010000b5"
    "4326052524020c5d0dcc04190300001b 4326052528030c1e0b0b049402000098 432605252c040c4608f402ec01000000"
    "4326052530050cb9053402550100001e 4326052534060c8604b2010d01000024 432605253c070c9b0977033a0200003c"
    "4326052540080ca1098b033c0200005d 4326052544090ce50861031202000051 43260525480a0c630939032c020000c7"
    "432605254c0b0c9204b5010f01000052"
)
HRV_DAY = bytes.fromhex(
    "3900051e00000000000000000000005c 3901002f002c002d002b003200240043 39022b002d002d00290030002e002d74"
    "3903001e002a001e002c001e002f001b 39043100260000000000000000000094"
)
# Two nights of an M7083 and three days of its oxygen, joined from pieces of 20 bytes.
SLEEP = bytes.fromhex(
    "bc276700ca5b0202365805a601020b0312040a05 0402220311040d0220040b02010502021d031804"
    "1b02310316041c032b02320508020b0503021f04 0c0204002cfd0411010225031604110224040c02"
    "20031d04160233030e0506021305040208050b02 220413031e040d0214"
)
OXYGEN = bytes.fromhex(
    "bc2a9300562b0263636363636363636363636363 6363636363636363636363636300000000000000"
    "0000000000000000000000000000000100000000 0000000000000000000000000000000063636363"
    "6363636363636363636363636363636363636363 6363636300636363636363636363636363636363"
    "6363636363636363630000000000000000000000 00000000000000000000000000"
)

LOGS: list[tuple[bytes, Callable[[bytes], object], Callable[..., bytes]]] = [
    (HEART_RATE_DAY, decode_heart_rate_log, encode_heart_rate_log),
    (HOURLY_STEPS, decode_steps_log, encode_steps_log),
    (STEPS_VECTORS[1][0], decode_steps_log, encode_steps_log),
    (HRV_DAY, decode_hrv_log, encode_hrv_log),
    (HRV_VECTORS[1][0], decode_hrv_log, encode_hrv_log),
]


def split(answer: bytes) -> list[bytes]:
    return [answer[at : at + 16] for at in range(0, len(answer), 16)]


def ns(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * NS_PER_S


# Packets


def test_requests_are_those_that_others_send():
    # Gadgetbridge, colmi_r02_client and h59 clients.
    assert packets.battery_request() == bytes.fromhex("03000000000000000000000000000003")
    assert packets.hrv_log_request(2) == bytes.fromhex("3902000000000000000000000000003b")
    assert packets.steps_log_request(0)[:6] == bytes.fromhex("43000f005f01")
    assert packets.heart_rate_log_request(date(2024, 8, 10))[:5] == bytes.fromhex("1580adb666")
    assert big_data.big_data_request(Topic.SLEEP) == bytes.fromhex("bc270100ff00ff")
    assert big_data.big_data_request(Topic.SPO2) == bytes.fromhex("bc2a0100ff00ff")


def test_the_clock_is_set_in_utc_and_two_digits():
    request = packets.set_time_request(ns("2024-10-22T23:18:56"))
    # bluering, opsv1.py: what the vendor's app sent at that moment.
    assert request == bytes.fromhex("012410222318560100000000000000e9")
    assert packets.decode_set_time(request) == datetime(2024, 10, 22, 23, 18, 56, tzinfo=UTC)
    with pytest.raises(FrameError, match="does not exist"):
        packets.decode_set_time(packets.encode_packet(Packet(1, bytes.fromhex("240230000000"))))
    with pytest.raises(FrameError, match="two decimal digits"):
        packets.decode_set_time(packets.encode_packet(Packet(1, bytes.fromhex("2a0130000000"))))


def test_a_packet_needs_its_size_and_checksum():
    good = packets.battery_request()
    for bad, said in (
        (good[:-1], "15 bytes"),
        (good + b"\0", "17 bytes"),
        (good[:-1] + b"\x04", "checksum 0x04"),
    ):
        with pytest.raises(FrameError, match=said):
            packets.decode_packet(bad)
    with pytest.raises(FrameError, match="no packets"):
        packets.decode_packets(b"")


def test_an_error_answer_is_known_as_one():
    refused = bytes.fromhex("83000000000000000000000000000083")
    assert packets.decode_packet(refused) == Packet(3, bytes(14), is_error=True)
    with pytest.raises(FrameError, match="0-100 %"):
        packets.decode_charge(refused)
    assert packets.answers(refused, packets.battery_request())
    assert not packets.answers(packets.hrv_log_request(0), packets.battery_request())
    assert not packets.answers(b"", packets.battery_request())


@pytest.mark.parametrize("packet", [Packet(3, bytes(15)), Packet(128, b""), Packet(-1, b"")])
def test_what_no_packet_can_hold_is_refused(packet: Packet):
    with pytest.raises(DataError, match="cannot be sent"):
        packets.encode_packet(packet)
    with pytest.raises(DataError, match="101 %"):
        packets.encode_charge(Charge(101))


# Logs


def test_a_captured_day_of_heart_rate():
    log = decode_heart_rate_log(HEART_RATE_DAY)
    assert log is not None
    assert (log.day, log.interval_min, len(log.heart_rate_bpm)) == (date(2026, 5, 25), 5, 288)
    assert (log.heart_rate_bpm[0], log.heart_rate_bpm[10]) == (62, 60)
    # 0x49 is the last value: first of the 21st packet, after 9 + 19 * 13.
    assert log.heart_rate_bpm[256] == 0x49
    assert set(log.heart_rate_bpm[257:]) == {0}


def test_captured_steps_are_of_whole_hours():
    log = decode_steps_log(HOURLY_STEPS)
    assert log is not None
    assert (log.day, len(log.slots)) == (date(2026, 5, 25), 12)
    assert log.slots[0] == StepSlot(28, steps=237, distance_m=146, energy=631)
    assert log.slots[-1].steps == 437
    assert all(slot.slot % 4 == 0 for slot in log.slots)


def test_a_captured_day_of_hrv():
    log = decode_hrv_log(HRV_DAY)
    assert log is not None
    assert (log.days_ago, log.interval_min, len(log.hrv_ms)) == (0, 30, 48)
    assert log.hrv_ms[:9:2] == (47, 44, 45, 43, 50)
    assert [value for value in log.hrv_ms if value][-1] == 38


@pytest.mark.parametrize(("answer", "decode", "encode"), LOGS)
def test_captured_logs_are_written_as_the_ring_did(answer: bytes, decode, encode):
    assert encode(decode(answer)) == answer
    assert packets_in_log(answer[:16]) == len(answer) // 16


@pytest.mark.parametrize(("answer", "decode", "encode"), LOGS)
def test_half_a_log_is_never_a_whole_one(answer: bytes, decode, encode):
    whole = split(answer)
    for place in range(len(whole)):
        missing = whole[:place] + whole[place + 1 :]
        repeated = [*whole[:place], whole[place], *whole[place:]]
        for damaged in (missing, repeated):
            with pytest.raises(FrameError) as refused:
                decode(b"".join(damaged))
            assert refused.value.frame == b"".join(damaged)


@pytest.mark.parametrize(("answer", "decode", "encode"), LOGS)
def test_packets_out_of_order_or_repeated_in_place_of_another_are_refused(answer: bytes, decode, encode):
    whole = split(answer)
    for one, other in itertools.combinations(range(len(whole)), 2):
        swapped = list(whole)
        swapped[one], swapped[other] = whole[other], whole[one]
        replaced = list(whole)
        replaced[other] = whole[one]
        for damaged in (swapped, replaced):
            with pytest.raises(FrameError):
                decode(b"".join(damaged))


@pytest.mark.parametrize(("answer", "decode", "encode"), LOGS)
@given(data=st.data())
def test_a_flipped_bit_is_seen(answer: bytes, decode, encode, data: st.DataObject):
    place = data.draw(st.integers(0, len(answer) * 8 - 1))
    damaged = bytearray(answer)
    damaged[place // 8] ^= 1 << place % 8
    with pytest.raises(FrameError):
        decode(bytes(damaged))


def test_a_packet_of_another_log_does_not_slip_in():
    alien = split(HRV_DAY)[3]
    with pytest.raises(FrameError, match="does not belong"):
        decode_heart_rate_log(b"".join([*split(HEART_RATE_DAY)[:3], alien, *split(HEART_RATE_DAY)[4:]]))


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("15 0018 00", "each 0 min"),
        ("15 0018 07", "each 7 min"),
        ("15 0018 01", "needed are 1440"),
        ("15 0001 05", "does not begin with a header"),
        ("39 0004 1e", "does not begin with a header"),
        ("43 2605", "does not begin with a header"),
        ("95 0018 05", "cannot do this"),
        ("03 0018 05", "does not begin with a header"),
    ],
)
def test_a_header_that_cannot_be_is_refused(data: str, said: str):
    head = bytes.fromhex(data).ljust(15, b"\0")
    answer = head + bytes([sum(head) & 0xFF]) + HEART_RATE_DAY[16:]
    with pytest.raises(FrameError, match=said):
        decode_heart_rate_log(answer)


def test_a_log_that_begins_within_a_day_is_refused():
    body = split(HEART_RATE_DAY)[1]
    shifted = body[:2] + (int.from_bytes(body[2:6], "little") + 3600).to_bytes(4, "little") + body[6:15]
    packet = shifted + bytes([sum(shifted) & 0xFF])
    with pytest.raises(FrameError, match="3600 s after midnight"):
        decode_heart_rate_log(HEART_RATE_DAY[:16] + packet + HEART_RATE_DAY[32:])


@pytest.mark.parametrize("decode", [decode_heart_rate_log, decode_steps_log, decode_hrv_log])
def test_an_answer_without_packets_is_refused(decode):
    with pytest.raises(FrameError, match="no packets"):
        decode(b"")


BYTES = st.integers(0, 255)
WORDS = st.integers(0, 65535)
DAYS = st.dates(date(2000, 1, 1), date(2099, 12, 31))
SLOTS = st.lists(st.integers(0, 95), min_size=1, unique=True).map(sorted)


@given(DAYS, st.lists(BYTES, min_size=288, max_size=288))
def test_every_day_of_heart_rate_comes_back(day: date, rates: list[int]):
    log = HeartRateLog(day, 5, tuple(rates))
    assert decode_heart_rate_log(encode_heart_rate_log(log)) == log


@given(DAYS, SLOTS, st.data())
def test_every_day_of_steps_comes_back(day: date, slots: list[int], data: st.DataObject):
    log = StepsLog(day, tuple(StepSlot(slot, *data.draw(st.tuples(WORDS, WORDS, WORDS))) for slot in slots))
    assert decode_steps_log(encode_steps_log(log)) == log


@given(st.integers(0, 6), st.lists(BYTES, min_size=48, max_size=48))
def test_every_day_of_hrv_comes_back(days_ago: int, values: list[int]):
    log = HrvLog(days_ago, 30, tuple(values))
    assert decode_hrv_log(encode_hrv_log(log)) == log


def test_what_no_log_can_hold_is_refused():
    with pytest.raises(DataError, match="287 values"):
        encode_heart_rate_log(HeartRateLog(date(2026, 1, 5), 5, (60,) * 287))
    with pytest.raises(DataError, match="0-255"):
        encode_hrv_log(HrvLog(0, 30, (300,) * 48))
    with pytest.raises(DataError, match="cannot be sent"):
        encode_steps_log(StepsLog(date(2026, 1, 5), (StepSlot(4, 70_000, 0, 0),)))


# Long answers


def test_captured_nights():
    two_days_ago, today = decode_sleep(SLEEP)
    assert (two_days_ago.days_ago, two_days_ago.start_min, two_days_ago.end_min) == (2, 1368 - 1440, 422)
    assert (len(two_days_ago.stretches), two_days_ago.stretches[2]) == (25, Stretch(4, 10))
    assert today.days_ago == 0
    for night in (two_days_ago, today):
        assert sum(stretch.minutes for stretch in night.stretches) == night.end_min - night.start_min


def test_captured_oxygen():
    days = decode_spo2(OXYGEN)
    assert [day.days_ago for day in days] == [2, 1, 0]
    assert [sum(low > 0 for low, _ in day.low_high_pct) for day in days] == [13, 14, 12]
    assert days[0].low_high_pct[0] == (99, 99)


@pytest.mark.parametrize(("answer", "decode"), [(SLEEP, decode_sleep), (OXYGEN, decode_spo2)])
def test_a_damaged_long_answer_is_refused(answer: bytes, decode):
    assert bytes_in_answer(answer[:20]) == len(answer)
    pieces = [answer[at : at + 20] for at in range(0, len(answer), 20)]
    for place in range(len(pieces)):
        for damaged in (pieces[:place] + pieces[place + 1 :], pieces[: place + 1] + pieces[place:]):
            with pytest.raises(FrameError):
                decode(b"".join(damaged))
    for bit in range(len(answer) * 8):
        flipped = bytearray(answer)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(FrameError):
            decode(bytes(flipped))


def framed(topic: Topic, payload: bytes) -> bytes:
    size, crc = len(payload).to_bytes(2, "little"), big_data.crc16(payload).to_bytes(2, "little")
    return bytes([0xBC, topic]) + size + crc + payload


@pytest.mark.parametrize(
    ("payload", "said"),
    [
        ("01 00 04 0100", "does not fit"),
        ("01 00 05 0100 0200 02", "does not fit"),
        ("01 00", "does not fit"),
        ("02 00 04 0100 0200", "needed are 2"),
        ("01 00 04 0000 a805", "cannot be"),
    ],
)
def test_sleep_that_cannot_be_is_refused(payload: str, said: str):
    with pytest.raises(FrameError, match=said):
        decode_sleep(framed(Topic.SLEEP, bytes.fromhex(payload)))


def test_oxygen_beyond_100_and_cut_days_are_refused():
    with pytest.raises(FrameError, match="more than 100"):
        decode_spo2(framed(Topic.SPO2, b"\0" + b"\x65" * 48))
    with pytest.raises(FrameError, match="49 for each day"):
        decode_spo2(framed(Topic.SPO2, bytes(50)))
    with pytest.raises(FrameError, match="needed are 16 about 0x2a"):
        decode_spo2(framed(Topic.SLEEP, bytes(10)))


@given(
    st.lists(
        st.tuples(BYTES, st.integers(-720, 719), st.integers(0, 720), st.lists(st.tuples(BYTES, BYTES))),
        max_size=4,
    )
)
def test_every_night_comes_back(nights: list[tuple[int, int, int, list[tuple[int, int]]]]):
    days = tuple(
        SleepDay(ago, start, start + length, tuple(Stretch(*part) for part in parts[:60]))
        for ago, start, length, parts in nights
    )
    assert decode_sleep(encode_sleep(days)) == days


@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=24, max_size=24), max_size=4
    )
)
def test_every_day_of_oxygen_comes_back(hours: list[list[tuple[int, int]]]):
    days = tuple(Spo2Day(ago, tuple(sorted(pair) for pair in day)) for ago, day in enumerate(hours))
    told = decode_spo2(encode_spo2(days))
    assert [[*map(tuple, day.low_high_pct)] for day in days] == [[*day.low_high_pct] for day in told]


# Records


def record(kind: Kind, answer: bytes, header: LogHeader, at: str = "2026-05-27T12:00:00") -> Record:
    return Record(kind, "S001", "AA", ns(at), 0, pack_log(header, answer))


def timed(kind: Kind, answer: bytes, header: LogHeader, at: str = "2026-05-27T12:00:00") -> tuple[Timed, ...]:
    return reading_of(record(kind, answer, header, at)).timed


DAY = LogHeader(date(2026, 5, 25))


@given(DAYS, st.integers(-50_000, 50_000), st.integers(0, 2**40), st.binary(min_size=1, max_size=9))
def test_a_record_says_its_day_and_offset(day: date, offset_s: int, since_s: int, answer: bytes):
    header = LogHeader(day, offset_s, since_s)
    assert unpack_log(pack_log(header, answer)) == (header, answer)


@pytest.mark.parametrize("payload", [b"", b"\x01" * 17, b"\x02" * 40, b"\x01" + b"\x7f" * 40])
def test_a_malformed_record_is_refused(payload: bytes):
    for kind in ("colmi_heart_rate_log", "colmi_sleep_log"):
        with pytest.raises(FrameError) as refused:
            reading_of(Record(kind, "S001", "AA", ns("2026-05-27"), 0, payload))
        assert refused.value.frame == payload


def test_logged_heart_rate_has_times_of_its_own_and_no_contact():
    samples = timed("colmi_heart_rate_log", HEART_RATE_DAY, DAY)
    assert len(samples) == 257
    assert {sample.stream for sample in samples} == {HEART_RATE}
    assert samples[0].t_ns == ns("2026-05-25T00:00:00")
    assert samples[-1].t_ns == ns("2026-05-25T21:20:00")
    bpm, contact, energy = samples[0].values
    assert bpm == 62.0
    assert isnan(contact)
    assert isnan(energy)


def test_slots_that_have_not_come_and_times_of_another_wearer_are_left_out():
    until = timed("colmi_heart_rate_log", HEART_RATE_DAY, DAY, at="2026-05-25T10:00:00")
    assert until[-1].t_ns == ns("2026-05-25T10:00:00")
    since = LogHeader(DAY.day, worn_since_s=ns("2026-05-25T20:00:00") // NS_PER_S)
    assert timed("colmi_heart_rate_log", HEART_RATE_DAY, since)[0].t_ns == ns("2026-05-25T20:00:00")


def test_the_offset_of_the_rings_clock_is_taken_off():
    ahead = LogHeader(DAY.day, clock_offset_s=3600)
    assert timed("colmi_heart_rate_log", HEART_RATE_DAY, ahead)[0].t_ns == ns("2026-05-24T23:00:00")


def test_steps_end_with_their_hour():
    samples = timed("colmi_steps_log", HOURLY_STEPS, DAY)
    assert samples[0] == Timed(STEP_COUNT, ns("2026-05-25T08:00:00"), (237.0, 3600.0))
    assert len(samples) == 12
    # At half past seven the hour is not over, and what it holds is not all.
    assert timed("colmi_steps_log", HOURLY_STEPS, DAY, at="2026-05-25T07:30:00") == ()


def test_a_slot_between_hours_is_a_quarter():
    answer = encode_steps_log(StepsLog(date(2026, 5, 25), (StepSlot(29, 50, 0, 0),)))
    assert timed("colmi_steps_log", answer, DAY) == (
        Timed(STEP_COUNT, ns("2026-05-25T07:30:00"), (50.0, 900.0)),
    )


def test_hrv_is_the_vendors():
    samples = timed("colmi_hrv_log", HRV_DAY, DAY)
    assert samples[0] == Timed(VENDOR_HRV, ns("2026-05-25T00:00:00"), (47.0,))
    assert samples[1] == Timed(VENDOR_HRV, ns("2026-05-25T01:00:00"), (44.0,))


def test_sleep_begins_the_evening_before():
    samples = timed("colmi_sleep_log", SLEEP, LogHeader(date(2026, 5, 27)))
    assert len(samples) == 45
    assert {sample.stream for sample in samples} == {SLEEP_STAGE}
    assert samples[0] == Timed(SLEEP_STAGE, ns("2026-05-24T22:48:00"), ("light", 660.0))
    assert [sample.values[0] for sample in samples[:6]] == ["light", "deep", "rem", "awake", "light", "deep"]
    last = max(samples[:25], key=lambda sample: sample.t_ns)
    assert last.t_ns + last.values[1] * NS_PER_S == ns("2026-05-25T07:02:00")


def test_stages_that_nobody_knows_are_unknown():
    night = SleepDay(0, 60, 90, (Stretch(0, 10), Stretch(1, 5), Stretch(9, 10), Stretch(2, 0), Stretch(5, 5)))
    samples = timed("colmi_sleep_log", encode_sleep([night]), LogHeader(date(2026, 5, 27)))
    assert [sample.values for sample in samples] == [
        ("unknown", 600.0), ("unknown", 300.0), ("unknown", 600.0), ("awake", 300.0)
    ]  # fmt: skip


def test_oxygen_of_each_hour():
    samples = timed("colmi_spo2_log", OXYGEN, LogHeader(date(2026, 5, 27)), at="2026-05-28T00:00:00")
    assert len(samples) == 39
    pct, pulse = samples[0].values
    assert (samples[0].stream, samples[0].t_ns, pct) == (SPO2, ns("2026-05-25T00:00:00"), 99.0)
    assert isnan(pulse)


def test_no_data_is_no_sample():
    for kind, vector in (
        ("colmi_heart_rate_log", "15ff"),
        ("colmi_steps_log", "43ff"),
        ("colmi_hrv_log", "39ff"),
    ):
        body = bytes.fromhex(vector).ljust(15, b"\0")
        assert timed(kind, body + bytes([sum(body) & 0xFF]), DAY) == ()


def test_battery_is_a_sample_at_arrival():
    charge = Record("colmi_battery", "S001", "AA", 1, 0, bytes.fromhex("03400000000000000000000000000043"))
    assert reading_of(charge).at_arrival == ((BATTERY, (64.0,)),)


def test_a_week_apart_is_a_week_apart():
    week = LogHeader(DAY.day - timedelta(days=7))
    shifted = timed("colmi_hrv_log", HRV_DAY, week)
    assert [sample.t_ns + 7 * 86_400 * NS_PER_S for sample in shifted] == [
        sample.t_ns for sample in timed("colmi_hrv_log", HRV_DAY, DAY)
    ]


# Asking


class MidnightRing:
    """A port, and its own client, to a ring that answers about HRV only after midnight."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.client = self
        self.settings = CollectorSettings()
        self.worn_since_ns = clock.now_ns() - 2 * 86_400 * NS_PER_S
        self.memory: dict[str, int] = {}
        self.kept: list[Kind] = []
        self.asked_for_hrv = 0

    def remember(self, key: str, value: int) -> None:
        self.memory[key] = value

    def keep(self, kind: Kind, _payload: bytes) -> None:
        self.kept.append(kind)

    async def subscribe(self, uuid: str, on_frame: Callable[[bytes], None]) -> bool:
        if uuid == packets.NOTIFY_UUID:
            self.notify = on_frame
        return uuid == packets.NOTIFY_UUID

    async def write_gatt_char(self, _uuid: str, request: bytes) -> None:
        answers = {0x01: request, 0x03: packets.encode_charge(Charge(50))}
        answer = answers.get(request[0], packets.encode_packet(Packet(request[0], b"\xff")))
        if request[0] == 0x39:
            self.asked_for_hrv += 1
            answer = encode_hrv_log(HrvLog(request[1], 30, (40,) * 48))
            self.clock.advance_to(ns("2026-01-06T00:00:10"))
        for packet in split(answer):
            self.notify(packet)


async def test_an_answer_over_midnight_is_of_no_certain_day(clock: VirtualClock):
    clock.advance_to(ns("2026-01-05T23:58:30"))
    port = MidnightRing(clock)
    profile = ColmiProfile()
    await profile.start(port)
    attending = asyncio.create_task(profile.attend(port))
    for _ in range(200):
        await asyncio.sleep(0)
        if port.asked_for_hrv:
            clock.advance_to(clock.now_ns() + NS_PER_S // 10)
    attending.cancel()
    await asyncio.gather(attending, return_exceptions=True)
    assert port.asked_for_hrv == ATTEMPTS
    assert port.kept == ["colmi_battery"]
    # Two whole days without heart rate and steps are known; of HRV, nothing is.
    yesterday = (date(2026, 1, 4) - date(1970, 1, 1)).days
    cursors = {key: day for key, day in port.memory.items() if not key.endswith(" since")}
    assert cursors == {"colmi_heart_rate_log": yesterday, "colmi_steps_log": yesterday}
