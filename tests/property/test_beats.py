"""Laws of the beat times, for any sequence of arrivals that a radio, a host and a clock can produce."""

import itertools
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.beats import Beat, BeatState, BeatTimes
from store.units import NS_PER_MS, NS_PER_S

LAW = settings(deadline=None, derandomize=True)
START_NS = 1_767_643_200 * NS_PER_S
LINK_ENDS = "link ends"

RR_MS = st.integers(1, 0xFFFF).map(lambda ticks: ticks * 1000 / 1024) | st.integers(400, 1400).map(float)
# Mostly a packet a second; also bursts, delays, gaps, and wall clocks that are set.
PAUSES_MS = st.sampled_from([1000] * 12 + [0, 1, 40, 1500, 2500, 3500, 6000, 20_000])
CLOCK_STEPS_MS = st.sampled_from([0] * 20 + [-3_600_000, -1500, -400, 400, 1500, 3_600_000])
PACKETS = st.tuples(PAUSES_MS, CLOCK_STEPS_MS, st.lists(RR_MS, max_size=4).map(tuple))
STEADY = st.lists(st.tuples(st.just(1000), st.just(0), st.just((1000.0,))), max_size=15)
ARRIVALS = st.lists(STEADY | st.lists(PACKETS | st.just(LINK_ENDS), max_size=20), max_size=6).map(
    lambda parts: list(itertools.chain.from_iterable(parts))
)


def timeline(steps: list) -> list:
    """Return (wall_ns, mono_ns, rr_ms) of each packet, and the link's ends."""
    wall_ns, mono_ns, events = START_NS, 0, []
    for step in steps:
        if step == LINK_ENDS:
            events.append(step)
            continue
        pause_ms, set_ms, rr_ms = step
        wall_ns += (pause_ms + set_ms) * NS_PER_MS
        mono_ns += pause_ms * NS_PER_MS
        events.append((wall_ns, mono_ns, rr_ms))
    return events


def fold(beats: BeatTimes, events: list) -> list[list[Beat]]:
    return [beats.close() if event == LINK_ENDS else beats.feed(*event) for event in events]


def every(emitted: list[list[Beat]]) -> list[Beat]:
    return list(itertools.chain.from_iterable(emitted))


@LAW
@given(ARRIVALS)
def test_every_interval_comes_out_once_in_order_at_increasing_times(steps):
    events = timeline(steps)
    beats = BeatTimes()
    out = every([*fold(beats, events), beats.close()])
    sent = [rr for event in events if event != LINK_ENDS for rr in event[2]]
    assert [beat.rr_ms for beat in out] == sent
    assert all(late.t_ns > early.t_ns for early, late in itertools.pairwise(out))
    assert beats.held == 0


@LAW
@given(ARRIVALS)
def test_taken_up_from_any_state_the_times_are_the_same_bit_by_bit(steps):
    events = timeline(steps)
    whole = BeatTimes()
    emitted = 0
    restarts = []
    for number, event in enumerate(events, start=1):
        emitted += len(fold(whole, [event])[0])
        saved = json.dumps(whole.state.as_json())
        unsettled = events[number - whole.held : number]
        assert LINK_ENDS not in unsettled
        restarts.append((saved, number - whole.held, emitted))
    whole = BeatTimes()
    expected = every([*fold(whole, events), whole.close()])
    for saved, position, emitted in restarts:
        again = BeatTimes(BeatState.from_json(json.loads(saved)))
        rest = every([*fold(again, events[position:]), again.close()])
        assert rest == expected[len(expected) - len(rest) :]
        assert len(expected) - len(rest) <= emitted


@LAW
@given(ARRIVALS, st.integers(-(10**15), 10**15))
def test_shifted_arrivals_give_shifted_beats(steps, shift_ns):
    events = timeline(steps)
    moved = [e if e == LINK_ENDS else (e[0] + shift_ns, e[1], e[2]) for e in events]
    here, there = BeatTimes(), BeatTimes()
    out = every([*fold(here, events), here.close()])
    shifted = every([*fold(there, moved), there.close()])
    assert shifted == [Beat(beat.t_ns + shift_ns, beat.rr_ms) for beat in out]


@LAW
@given(
    st.lists(st.integers(500, 1300), min_size=30, max_size=120),
    st.lists(st.integers(0, 450), min_size=200, max_size=200),
)
def test_ordinary_delays_break_no_segment_and_bound_the_error(rr_ms, delays_ms):
    """No beat is placed before it happened, nor later than the longest wait for its packet and delay."""
    ends_ms = list(itertools.accumulate(rr_ms))
    beats, out = BeatTimes(), []
    for second in range(1, ends_ms[-1] // 1000 + 2):
        sent = [
            float(rr)
            for rr, end in zip(rr_ms, ends_ms, strict=True)
            if (second - 1) * 1000 < end <= second * 1000
        ]
        arrived_ns = (second * 1000 + delays_ms[second]) * NS_PER_MS
        out += beats.feed(START_NS + arrived_ns, arrived_ns, sent)
    out += beats.close()
    errors_ns = [beat.t_ns - START_NS - end * NS_PER_MS for beat, end in zip(out, ends_ms, strict=True)]
    assert all(0 <= error <= 1450 * NS_PER_MS for error in errors_ns)
    assert all(abs(late - early) <= 3 * NS_PER_MS for early, late in itertools.pairwise(errors_ns))
