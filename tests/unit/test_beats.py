import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.beats import Beat, BeatTimes
from ingest.virtual.packets import heart_rate_packets, unsendable_beats
from store.recording import RrRecording, read_rr_file
from store.units import NS_PER_MS, NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
RECORDINGS = Path(__file__).resolve().parents[3] / "shared" / "data" / "rr"


def steady(beats: BeatTimes, seconds: range, *, late_s: float = 0.0) -> list[Beat]:
    """One beat a second, each sent as it ends, delivered `late_s` late."""
    out: list[Beat] = []
    for second in seconds:
        mono_ns = round((second + late_s) * NS_PER_S)
        out += beats.feed(START_NS + mono_ns, mono_ns, (1000.0,))
    return out


def seconds_of(beats: list[Beat]) -> list[float]:
    return [(beat.t_ns - START_NS) / NS_PER_S for beat in beats]


def test_opening_is_held_for_ten_seconds_and_placed_by_its_promptest_packet():
    beats = BeatTimes()
    assert steady(beats, range(1, 6), late_s=0.4) == []
    assert steady(beats, range(6, 11), late_s=0.1) == []
    assert beats.held == 10
    assert beats.state.segment is None
    out = steady(beats, range(11, 12), late_s=0.4)
    assert seconds_of(out) == pytest.approx([second + 0.1 for second in range(1, 12)])
    assert beats.held == 0


def test_packets_without_rr_end_the_opening_too():
    beats = BeatTimes()
    steady(beats, range(1, 3))
    assert len(beats.feed(START_NS + 11 * NS_PER_S, 11 * NS_PER_S)) == 2


def test_opening_holds_no_more_than_64_records():
    beats = BeatTimes()
    out = [beats.feed(START_NS, 0, (1000.0,)) for _ in range(64)]
    assert [len(emitted) for emitted in out] == [0] * 63 + [64]


def test_link_end_emits_what_is_held():
    beats = BeatTimes()
    steady(beats, range(1, 4))
    assert seconds_of(beats.close()) == [1.0, 2.0, 3.0]
    assert beats.held == 0
    assert beats.close() == []


def test_anchor_moves_three_milliseconds_a_beat_towards_the_least_lag():
    beats = BeatTimes()
    steady(beats, range(1, 12), late_s=0.3)
    out = steady(beats, range(12, 14))
    assert seconds_of(out) == pytest.approx([12.297, 13.294])


def test_long_gap_opens_a_segment_at_once():
    beats = BeatTimes()
    steady(beats, range(1, 12))
    assert beats.feed(START_NS + 30 * NS_PER_S, 30 * NS_PER_S, (1000.0,)) == []
    assert beats.state.segment is None
    assert seconds_of(beats.close()) == [30.0]


def test_short_gap_is_found_a_few_packets_later():
    beats = BeatTimes()
    steady(beats, range(1, 12))
    assert steady(beats, range(15, 20)) == []
    assert beats.held == 5
    steady(beats, range(20, 21))
    assert seconds_of(beats.close()) == [15.0, 16.0, 17.0, 18.0, 19.0, 20.0]


def test_late_packet_is_no_gap():
    beats = BeatTimes()
    steady(beats, range(1, 12))
    assert steady(beats, range(12, 13), late_s=2.4) == []
    out = steady(beats, range(13, 14), late_s=1.4)
    assert out == []
    out = steady(beats, range(14, 16), late_s=0.4)
    assert seconds_of(out) == [12.0, 13.0, 14.0, 15.0]


def test_suspects_do_not_wait_for_rr_for_ever():
    beats = BeatTimes()
    steady(beats, range(1, 12))
    steady(beats, range(14, 15))
    assert beats.held == 1
    out = [beat for s in range(15, 40) for beat in beats.feed(START_NS + s * NS_PER_S, s * NS_PER_S)]
    assert seconds_of(out) == [14.0]
    assert beats.held == 0


def test_strap_that_is_behind_when_it_connects_catches_up():
    beats = BeatTimes()
    out = beats.feed(START_NS + 7 * NS_PER_S, 7 * NS_PER_S, (1000.0,))
    out += beats.feed(START_NS + 8 * NS_PER_S, 8 * NS_PER_S, (1000.0,) * 7)
    out += steady(beats, range(9, 18))
    assert seconds_of(out) == [float(second) for second in range(1, 18)]


def test_clock_step_opens_a_segment_and_never_goes_back():
    beats = BeatTimes()
    out = steady(beats, range(1, 13))
    hour_ns = 3600 * NS_PER_S
    for second in range(13, 40):
        out += beats.feed(START_NS + second * NS_PER_S - hour_ns, second * NS_PER_S, (1000.0,))
    assert len(out) == 39
    differences_s = np.diff(seconds_of(out))
    assert np.abs(differences_s - 1).max() < 0.011
    assert differences_s[11] == pytest.approx(1.01)


def test_clock_set_by_little_more_than_a_second_is_no_delay():
    beats = BeatTimes()
    steady(beats, range(1, 13))
    for second, set_s, held in ((13, 0.9, 0), (14, 1.1, 1)):
        beats.feed(START_NS + round((second + set_s) * NS_PER_S), second * NS_PER_S, (1000.0,))
        assert beats.held == held
    assert beats.state.segment is None


def test_rr_that_outrun_the_clock_open_a_segment():
    beats = BeatTimes()
    steady(beats, range(1, 13))
    assert beats.feed(START_NS + 13 * NS_PER_S, 13 * NS_PER_S, (1000.0,) * 7) == []
    assert beats.state.segment is None


def test_shortest_intervals_are_not_slewed_past_each_other():
    beats = BeatTimes()
    out = steady(beats, range(1, 13), late_s=0.3)
    out += beats.feed(START_NS + 13 * NS_PER_S, 13 * NS_PER_S, (990.0, *(1000 / 1024,) * 9))
    assert len(out) == 22
    assert np.diff(seconds_of(out)).min() > 0.0004


def test_lags_of_more_than_five_minutes_ago_are_forgotten():
    beats = BeatTimes()
    steady(beats, range(1, 13))
    out = steady(beats, range(13, 500), late_s=0.3)
    assert seconds_of(out)[250] == 263.0
    assert seconds_of(out)[-1] == pytest.approx(499.3)


def test_reconnect_in_the_middle_of_a_beat_marks_the_break():
    beats = BeatTimes()
    out = [*steady(beats, range(1, 13)), *beats.close()]
    out += [*steady(beats, range(13, 24), late_s=-0.5), *beats.close()]
    between_s = np.diff(seconds_of(out))[11]
    assert between_s == pytest.approx(1.01)


@dataclass
class Fidelity:
    """How well beat times follow a recording."""

    wobble_s: float
    smallest_gap_s: float
    joined_ms: float
    breaks: int


def fidelity(recording: RrRecording, out: list[Beat]) -> Fidelity:
    t_s = np.array([beat.t_ns - START_NS for beat in out]) / NS_PER_S
    rr_ms = np.array([beat.rr_ms for beat in out])
    assert (np.diff(t_s) > 0).all()
    offset_s = t_s - recording.t_s
    is_gap = np.diff(recording.t_s) - recording.rr_ms[1:] / 1e3 > 3
    spare_ms = np.diff(t_s) * 1e3 - rr_ms[1:]
    return Fidelity(
        float(np.percentile(np.abs(offset_s - np.median(offset_s)), 99)),
        float(np.min(spare_ms[is_gap], initial=np.inf) / 1e3),
        float(np.percentile(np.abs(spare_ms[~is_gap]), 99)),
        int((np.abs(spare_ms[~is_gap]) > 5).sum()),
    )


def sent_and_placed(recording: RrRecording, delays_s: NDArray[np.float64]) -> list[Beat]:
    """Send a recording through a strap and a radio that delays packets but keeps their order."""
    beats, out, arrived_ns = BeatTimes(), [], 0
    packets = heart_rate_packets(recording.t_s, recording.rr_ms)
    for packet, delay_s in zip(packets, itertools.chain(delays_s, itertools.repeat(0.0)), strict=False):
        arrived_ns = max(arrived_ns + 1, packet.offset_ns + round(delay_s * NS_PER_S))
        out += beats.feed(START_NS + arrived_ns, arrived_ns, packet.measurement.rr_ms)
    return out + beats.close()


def beginning_of(name: str, hours: float = 2) -> RrRecording:
    path = RECORDINGS / f"{name}.csv.gz"
    if not path.exists():
        pytest.skip(f"no recording {path}")
    whole = read_rr_file(path)
    few = whole.t_s < whole.t_s[0] + hours * 3600
    few[unsendable_beats(whole.rr_ms)] = False
    return RrRecording(whole.t_s[few], whole.rr_ms[few], whole.digest)


@pytest.mark.parametrize(
    ("name", "wobble_s"),
    [
        ("nsr001", 0.05),
        ("chf201", 0.05),
        ("healthy003", 0.05),
        ("a01", 0.1),
        ("nsr033", 0.1),
        ("nsr020", 0.05),
        ("rest_rri", 0.25),
        ("e4_ibi", 0.8),
    ],
)
def test_beats_of_a_recorded_heart_are_placed_where_they_were(name: str, wobble_s: float):
    recording = beginning_of(name)
    found = fidelity(recording, sent_and_placed(recording, np.zeros(0)))
    assert found.wobble_s < wobble_s
    assert found.smallest_gap_s > 1.5
    assert found.joined_ms < 3.5


@pytest.mark.parametrize("name", ["nsr001", "healthy003", "a01"])
def test_radio_delays_neither_break_the_chain_nor_move_it(name: str):
    recording = beginning_of(name)
    random = np.random.default_rng(7)
    delays_s = random.exponential(0.05, 9000)
    hung = random.random(9000) < 0.01
    delays_s[hung] += random.uniform(1, 2.5, hung.sum())
    found = fidelity(recording, sent_and_placed(recording, delays_s))
    assert found.wobble_s < 0.1
    assert found.breaks == 0
    assert found.joined_ms < 3.5


def test_time_of_a_beat_is_exact_to_the_nanosecond():
    beats = BeatTimes()
    beats.feed(START_NS, 0, (1000 / 1024,) * 3)
    (first, second, third) = beats.close()
    assert third.t_ns == START_NS
    assert second.t_ns - first.t_ns == round(1000 / 1024 * NS_PER_MS)


def test_intervals_of_zero_share_no_time():
    beats = BeatTimes()
    beats.feed(START_NS, 0, (800.0, 0.0, 0.0, 800.0))
    assert np.diff([beat.t_ns for beat in beats.close()]).tolist() == [1, 1, 800 * NS_PER_MS]
