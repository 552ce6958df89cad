"""Gaps: with what is covered they are the whole span, and each has the strongest reason that was recorded."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.gaps import HEARTBEAT_MISSED_NS, HOLD_NS, Gap, Reason, Witnesses, gap_hours, gaps_of, label_gaps
from store.streams import BATTERY, COLLECTOR, HEART_RATE, LINK_STATE, RR_INTERVAL, Stream
from store.timeseries import Samples
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
MINUTE_NS = 60 * NS_PER_S
END_NS = START_NS + 120 * MINUTE_NS

spans = st.lists(st.tuples(st.integers(-5, 45), st.integers(-5, 45)), max_size=6).map(
    lambda pairs: np.array(pairs, np.int64).reshape(-1, 2)
)


def covers(intervals: np.ndarray, t: int) -> bool:
    return any(start <= t < end for start, end in intervals.tolist())


@given(
    spans,
    st.dictionaries(st.sampled_from(list(Reason)[:-1]), spans),
    spans,
    st.integers(0, 20),
    st.integers(0, 40),
)
def test_gaps_and_what_is_covered_are_the_whole_span(covered, evidence, at_last, start, end):
    gaps = label_gaps(start, end, covered, evidence, at_last=at_last)
    expected: list[Reason | None] = []
    for t in range(start, end):
        reasons = [reason for reason in Reason if reason in evidence and covers(evidence[reason], t)]
        reasons += [Reason.WITHDRAWN if covers(at_last, t) else Reason.UNKNOWN]
        expected.append(None if covers(covered, t) else reasons[0])
    found: list[Reason | None] = [None] * max(end - start, 0)
    for gap in gaps:
        assert start <= gap.start_ns < gap.end_ns <= end
        for t in range(gap.start_ns, gap.end_ns):
            assert found[t - start] is None
            found[t - start] = gap.reason
    assert found == expected
    for one, following in itertools.pairwise(gaps):
        assert one.end_ns < following.start_ns or one.reason != following.reason


def samples(
    stream: Stream, rows: list[tuple], sensors: tuple[str, ...] = ("A",), which: list[int] | None = None
):
    """Return samples of (minute, values...)."""
    t_ns = np.array([round(START_NS + row[0] * MINUTE_NS) for row in rows], np.int64)
    values = {
        column.name: np.array([row[k] for row in rows], object if column.dtype == "utf8" else float)
        for k, column in enumerate(stream.columns, start=1)
    }
    index = np.array(which or [0] * len(rows), np.intp)
    return Samples(stream, t_ns, sensors if rows else (), index, values)


def pulse(*stretches: tuple[float, float], contact: float = 1, bpm: float = 60) -> list[tuple]:
    """Return a packet each second of some stretches, in minutes; the hold after each ends it."""
    hold_min = HOLD_NS / MINUTE_NS
    return [
        (second / 60, bpm, contact, np.nan)
        for start, end in stretches
        for second in np.arange(start * 60, (end - hold_min) * 60 + 1)
    ]


def seen(
    heart: list[tuple] = (),
    beats: list[tuple] = (),
    link: list[tuple] = (),
    battery: list[tuple] = (),
    collector: list[tuple] | None = None,
    **also,
) -> Witnesses:
    alive = [(minute, 0.0, 0.0, 0.0) for minute in range(121)] if collector is None else collector
    return Witnesses(
        samples(HEART_RATE, list(heart)),
        samples(RR_INTERVAL, list(beats)),
        samples(LINK_STATE, list(link)),
        samples(BATTERY, list(battery)),
        samples(COLLECTOR, alive),
        **also,
    )


def minutes(gaps: list[Gap]) -> list[tuple[float, float, str]]:
    return [
        ((gap.start_ns - START_NS) / MINUTE_NS, (gap.end_ns - START_NS) / MINUTE_NS, gap.reason.value)
        for gap in gaps
    ]


HALVES = pulse((0, 30), (60, 120))
ALIVE = [(minute, 0.0, 0.0, 0.0) for minute in range(121)]


@pytest.mark.parametrize(
    ("witnesses", "expected"),
    [
        (seen(pulse((0, 120))), []),
        (seen(HALVES), [(30, 60, "unknown")]),
        (seen(), [(0, 120, "unknown")]),
        (
            seen(HALVES, link=[(30, "disconnected", ""), (60, "connected", "")]),
            [(30, 60, "out of range")],
        ),
        (
            seen(HALVES, link=[(30, "off_body", ""), (31, "disconnected", ""), (60, "connected", "")]),
            [(30, 60, "not worn")],
        ),
        (seen(HALVES, link=[(30, "paused", ""), (60, "resumed", "")]), [(30, 60, "paused")]),
        (seen(HALVES, link=[(30, "stopped", ""), (60, "started", "")]), [(30, 60, "collector down")]),
        (
            seen(HALVES, collector=[row for row in ALIVE if not 30 < row[0] < 60]),
            [(30, 60, "collector down")],
        ),
        (
            seen(pulse((0, 30)), collector=ALIVE[:31]),
            [(30, 120, "collector down")],
        ),
        (seen(pulse((60, 120)), collector=[], is_watched=True), [(0, 60, "collector down")]),
        (
            seen(pulse((0, 30)), waiting_since_ns=START_NS + 40 * MINUTE_NS),
            [(30, 40, "unknown"), (40, 120, "store down")],
        ),
        (
            seen(HALVES, collector=[*ALIVE[:50], (50, 1e9, 5e6, 1200.0), *ALIVE[51:]]),
            [(30, 50, "store down"), (50, 60, "unknown")],
        ),
        (seen(HALVES, battery=[(0, 80.0), (29, 3.0), (60, 90.0)]), [(30, 60, "battery")]),
        (seen(HALVES, battery=[(0, 80.0), (29, 40.0), (60, 90.0)]), [(30, 60, "charging")]),
        (
            seen(HALVES, withdrawn=np.array([(START_NS + 45 * MINUTE_NS, END_NS)])),
            [(30, 45, "unknown"), (45, 60, "withdrawn")],
        ),
        (
            # An optical wearable sends no RR intervals: without heart rate nothing is left of it.
            seen(
                pulse((0, 30)),
                link=[(90, "disconnected", "")],
                rate_withdrawn=np.array([(START_NS + 45 * MINUTE_NS, END_NS)]),
            ),
            [(30, 45, "unknown"), (45, 90, "withdrawn"), (90, 120, "out of range")],
        ),
        (
            # A strap sends them all the same: why those are missing is not known.
            seen(
                beats=[(50 + k / 60, 1000.0) for k in range(600)],
                rate_withdrawn=np.array([(START_NS, END_NS)]),
            ),
            [(0, 50, "unknown"), (60.5 - 1 / 60, 120, "unknown")],
        ),
        (
            # A strap that runs empty loses its link: the battery explains it, the link does not.
            seen(
                HALVES,
                link=[(30, "disconnected", ""), (60, "connected", "")],
                battery=[(28, 4.0), (60, 100.0)],
            ),
            [(30, 60, "battery")],
        ),
        (
            # Paused, and the computer switched off in the middle of it: the person's wish comes first.
            seen(
                HALVES,
                link=[(30, "paused", ""), (58, "resumed", "")],
                collector=[row for row in ALIVE if not 40 < row[0] < 60],
            ),
            [(30, 58, "paused"), (58, 60, "collector down")],
        ),
        (
            seen([*pulse((0, 30)), *pulse((30, 60), contact=0), *pulse((60, 120))]),
            [(29.5 + 1 / 60, 60, "not worn")],
        ),
        (
            seen([*pulse((0, 30)), *pulse((30, 60), contact=np.nan, bpm=0), *pulse((60, 120))]),
            [(29.5 + 1 / 60, 60, "not worn")],
        ),
    ],
)
def test_every_reason(witnesses, expected):
    found = minutes(gaps_of(START_NS, END_NS, witnesses))
    assert [reason for _, _, reason in found] == [reason for _, _, reason in expected]
    np.testing.assert_allclose([gap[:2] for gap in found], [gap[:2] for gap in expected], atol=0.6)


def test_a_ring_that_logs_every_five_minutes_is_covered_between():
    log = [(5 * k, 58.0, np.nan, np.nan) for k in range(25) if k not in (8, 9)]
    (gap,) = minutes(gaps_of(START_NS, END_NS, seen(log)))
    assert gap[0] == pytest.approx(42.5)
    assert gap[1:] == (50, "unknown")


def test_one_of_two_sensors_is_enough():
    rows = sorted(
        [*((r, 0) for r in pulse((0, 60))), *((r, 1) for r in pulse((50, 120)))], key=lambda x: x[0][0]
    )
    heart = samples(HEART_RATE, [row for row, _ in rows], ("A", "B"), [which for _, which in rows])
    found = gaps_of(START_NS, END_NS, replace(seen(), heart=heart))
    assert found == []


def test_beats_alone_are_enough():
    beats = [(row[0], 1000.0) for row in pulse((0, 90))]
    assert minutes(gaps_of(START_NS, END_NS, seen(beats=beats))) == [(90, 120, "unknown")]


def test_readings_days_apart_do_not_say_when_it_was_charged():
    assert (
        minutes(gaps_of(START_NS, END_NS, seen(HALVES, battery=[(-1441, 30.0), (60, 90.0)])))[0][2]
        == "unknown"
    )


def test_a_missed_sign_of_life_is_no_absence_yet():
    signs = [row for row in ALIVE if row[0] != 45]
    assert HEARTBEAT_MISSED_NS > 2 * MINUTE_NS
    assert minutes(gaps_of(START_NS, END_NS, seen(HALVES, collector=signs)))[0][2] == "unknown"


def test_nothing_is_said_of_a_span_without_length():
    assert gaps_of(START_NS, START_NS, seen()) == []


def test_hours_by_reason():
    hour = 3600 * NS_PER_S
    gaps = [
        Gap(0, hour, Reason.PAUSED),
        Gap(hour, 2 * hour, Reason.UNKNOWN),
        Gap(3 * hour, 5 * hour, Reason.PAUSED),
    ]
    assert gap_hours(gaps) == {Reason.PAUSED: 3.0, Reason.UNKNOWN: 1.0}
