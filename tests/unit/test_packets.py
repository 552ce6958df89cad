"""The packets of a virtual strap say what the beats said: every sendable beat once, in order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.heart_rate import decode_heart_rate, encode_heart_rate
from ingest.virtual.packets import (
    FURTHER_PACKET_NS,
    LONGEST_WAIT_S,
    Packet,
    heart_rate_packets,
    unsendable_beats,
)

NS_PER_S = 1_000_000_000
HALF_TICK_MS = 1000 / 2048
DEFAULT_MTU_PAYLOAD_BYTES = 20


def packets(t_s, rr_ms) -> list[Packet]:
    return list(heart_rate_packets(np.array(t_s, float), np.array(rr_ms, float)))


def seconds(sent: list[Packet]) -> list[float]:
    return [packet.offset_ns / NS_PER_S for packet in sent]


def rr(sent: list[Packet]) -> list[tuple[float, ...]]:
    return [packet.measurement.rr_ms for packet in sent]


def test_a_beat_leaves_at_the_next_whole_second():
    sent = packets([0.0, 0.695, 1.0, 1.001, 1.9], [500, 500, 500, 1000, 1000])
    assert seconds(sent) == [0, 1, 2]
    assert rr(sent) == [(500.0,), (500.0, 500.0), (1000.0, 1000.0)]


def test_the_sequence_number_wraps_at_16_bits():
    sent = packets(np.arange(1, 65540), np.full(65539, 1000.0))
    assert [p.measurement.energy_kj for p in sent] == [n % 65536 for n in range(65539)]


def test_a_long_rr_interval_is_bridged_without_rr_and_a_longer_one_is_silence():
    assert seconds(packets([0.5, 3.9], [500, 3400])) == [1, 2, 3, 4]
    assert seconds(packets([0.5, 9.2], [500, 8700])) == [1, 2, 3, 10]
    assert rr(packets([0.5, 3.4], [500, 2900])) == [(500.0,), (), (), (2900.390625,)]


def test_heart_rate_follows_the_last_few_beats_and_forgets_them_in_silence():
    rates = [p.measurement.heart_rate_bpm for p in packets([1, 2, 3, 4, 5, 6, 7], [1000] + [500] * 6)]
    assert rates == [60, 80, 90, 96, 100, 120, 120]
    after_silence = packets([1, 100], [1000, 500])[-1]
    assert after_silence.measurement.heart_rate_bpm == 120
    bridged = packets([1, 3], [1000, 500])
    assert [p.measurement.heart_rate_bpm for p in bridged] == [60, 60, 80]


@pytest.mark.parametrize(("rr_ms", "expected_bpm"), [(1.0, 255), (63_000.0, 1)])
def test_heart_rate_stays_in_eight_bits(rr_ms, expected_bpm):
    assert packets([1.0], [rr_ms])[0].measurement.heart_rate_bpm == expected_bpm


def test_more_beats_than_a_packet_holds_go_in_further_packets_of_the_same_second():
    ended_s = np.arange(1, 21) / 20
    sent = packets(ended_s, np.arange(50, 70))
    assert [p.offset_ns for p in sent] == [NS_PER_S + part * FURTHER_PACKET_NS for part in range(3)]
    assert [len(p.measurement.rr_ms) for p in sent] == [8, 8, 4]
    assert all(len(encode_heart_rate(p.measurement)) <= DEFAULT_MTU_PAYLOAD_BYTES for p in sent)


def test_intervals_that_no_strap_can_send_are_named_and_left_out():
    rr_ms = np.array([800.0, 63_999.1, 64_001.0, 0.4, 800.0])
    assert unsendable_beats(rr_ms).tolist() == [2, 3]
    sent = packets([1, 70, 140, 141, 142], rr_ms)
    assert [value for few in rr(sent) for value in few] == [799.8046875, 65535 / 1.024, 799.8046875]


def test_no_beats_no_packets():
    assert packets([], []) == []


def test_a_recording_may_begin_before_its_time_zero():
    assert seconds(packets([-1.5, -0.5, 0.5], [1000, 1000, 1000])) == [-1, 0, 1]


beats = st.lists(
    st.tuples(st.floats(0.001, 70.0), st.floats(0.2, 70_000.0)),
    max_size=60,
)


@given(beats)
def test_every_sendable_beat_arrives_once_in_order_within_half_a_tick(steps):
    ended_s = np.cumsum([step for step, _ in steps], dtype=float)
    rr_ms = np.array([interval for _, interval in steps], float)
    sent = packets(ended_s, rr_ms)
    decoded = [decode_heart_rate(encode_heart_rate(p.measurement)) for p in sent]
    assert decoded == [p.measurement for p in sent]
    arrived = np.array([value for m in decoded for value in m.rr_ms])
    sendable = np.setdiff1d(np.arange(len(rr_ms)), unsendable_beats(rr_ms))
    assert len(arrived) == len(sendable)
    assert np.all(np.abs(arrived - rr_ms[sendable]) <= HALF_TICK_MS + 1e-9)
    leaves_s = np.array([p.offset_ns / NS_PER_S for p in sent for _ in p.measurement.rr_ms])
    assert np.all(leaves_s >= ended_s[sendable] - 1e-9)
    assert np.all(leaves_s < ended_s[sendable] + 1.1)


@given(beats)
def test_packets_have_times_of_their_own_and_no_beatless_one_is_late(steps):
    ended_s = np.cumsum([step for step, _ in steps], dtype=float)
    sent = packets(ended_s, [interval for _, interval in steps])
    times_ns = np.array([p.offset_ns for p in sent])
    assert np.all(np.diff(times_ns) > 0)
    for packet in sent:
        if not packet.measurement.rr_ms:
            before = ended_s[ended_s <= packet.offset_ns / NS_PER_S]
            assert packet.offset_ns / NS_PER_S - before[-1] <= LONGEST_WAIT_S


@given(st.lists(st.integers(300, 2000), min_size=1, max_size=50))
def test_an_rr_interval_on_the_grid_is_exact(ticks):
    rr_ms = np.array(ticks) * 1000 / 1024
    sent = packets(np.cumsum(rr_ms) / 1000, rr_ms)
    assert [value for few in rr(sent) for value in few] == rr_ms.tolist()
