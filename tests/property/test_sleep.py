"""Sleep through every zone and change of clocks: nobody loses or gains a minute of sleep by the law."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.epochs import Epochs
from features.sleep import Hypnogram, SleepStage, clock_h, runs_of, sleep_values, webster
from features.sleep.scorers import SCORERS, CountScale, score_counts
from features.sleep_file import local_text, score_sleep
from store.units import NS_PER_S

MINUTE_NS = 60 * NS_PER_S
ZONES = sorted(available_timezones())
YEAR_START = datetime(2026, 1, 1, tzinfo=UTC)


def changes_of(zone):
    """The hours of 2026 after which a zone's offset is another, one of each direction."""
    there = ZoneInfo(zone)
    offsets = [(YEAR_START + timedelta(days=d)).astimezone(there).utcoffset() for d in range(366)]
    found = {}
    for d in range(365):
        if offsets[d] != offsets[d + 1]:
            found.setdefault(offsets[d + 1] > offsets[d], d)
    return found


def test_every_zone_keeps_the_minutes_of_a_night_of_either_change():
    """A night of 8 hours around a change of clocks: TST, TIB and SPT are elapsed minutes all the same."""
    stage = np.array([0] * 10 + [1] * 480 + [0] * 10, np.int8)
    changes = 0
    for zone in ZONES:
        for day in changes_of(zone).values():
            changes += 1
            start = YEAR_START + timedelta(days=day, hours=8)
            start_ns = round(start.timestamp()) * NS_PER_S
            for shift_h in (0, 8, 16):
                night = Hypnogram(start_ns + shift_h * 60 * MINUTE_NS, 60.0, stage, "test")
                found = sleep_values(night, night.start_ns, night.end_ns, zone)
                assert [found.values[n] for n in ("tib_min", "spt_min", "tst_min", "sol_min")] == [
                    500,
                    480,
                    480,
                    10,
                ]
                wake = datetime.fromisoformat(local_text(found.offset_ns, zone))
                onset = datetime.fromisoformat(local_text(found.onset_ns, zone))
                assert wake - onset == timedelta(hours=8)
                assert found.values["onset_h"] == pytest.approx(
                    onset.hour + onset.minute / 60 + onset.second / 3600
                )
    assert changes > 100


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"])
@pytest.mark.parametrize("first", [date(2026, 3, 5), date(2026, 3, 26), date(2026, 10, 22), date(2026, 4, 2)])
def test_ten_nights_are_ten_rows_through_a_change(zone, first):
    """Somebody who sleeps from 23:00 to 07:00 by the clock on the wall."""
    start = datetime(first.year, first.month, first.day, 12, tzinfo=ZoneInfo(zone))
    start_ns = round(start.timestamp()) * NS_PER_S
    t_ns = start_ns + np.arange(10 * 1440, dtype=np.int64) * MINUTE_NS
    clock = np.array([clock_h(int(t), zone) for t in t_ns[::15]]).repeat(15)
    random = np.random.default_rng(1)
    still = np.where(random.random(len(clock)) < 0.04, 50.0, 0.0)
    counts = np.where((clock >= 23) | (clock < 7), still, random.gamma(2, 300, len(clock)))
    frame = score_sleep(
        Epochs(t_ns, 60.0, {"counts": counts}, "counts", zone, "actigraph"), SCORERS["sadeh"]
    ).frame
    complete = frame[frame["withheld"] == ""]
    assert len(complete) >= 9
    assert complete["night"].is_unique
    assert complete["midpoint_h"].between(2.4, 4.1).all()


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=400))
def test_webster_only_turns_sleep_into_wake(stages):
    before = np.array(stages, np.int8)
    after = webster(before)
    changed = before != after
    assert (before[changed] == SleepStage.ASLEEP).all()
    assert (after[changed] == SleepStage.WAKE).all()
    assert (webster(before[::1]) == after).all()


@given(st.lists(st.booleans(), max_size=200))
def test_runs_put_together_are_what_they_came_from(flags):
    holds = np.array(flags, np.bool_)
    again = np.zeros(len(holds), np.bool_)
    for first, end in runs_of(holds).tolist():
        again[first:end] = True
    assert again.tolist() == flags


@given(
    st.lists(st.integers(0, 2000), min_size=1, max_size=300),
    st.sampled_from([name for name in SCORERS if name != "sadeh"]),
    st.integers(0, 299),
)
def test_more_movement_never_makes_more_sleep(counts, name, where):
    """Of sums of counts, before Webster's rules; Sadeh's is none: more movement can leave [50, 100)."""
    scorer = SCORERS[name]
    less = np.array(counts, float)
    more = less.copy()
    more[where % len(more)] += 100
    scale = CountScale(0.01)
    assert (scorer.is_asleep(scale.applied(more)) <= scorer.is_asleep(scale.applied(less))).all()


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=20, max_size=600))
def test_minutes_of_a_night_add_up(stages):
    night = Hypnogram(0, 60.0, np.array(stages, np.int8), "test")
    found = sleep_values(night, 0, night.end_ns, "UTC")
    values = found.values
    assert values["tib_min"] == len(stages)
    if not found.withheld:
        unscored = stages[int(values["sol_min"]) :].count(-1) + stages[: int(values["sol_min"])].count(-1)
        first_awake = stages[: int(values["sol_min"])].count(0)
        assert values["tst_min"] + values["waso_min"] + first_awake + unscored == len(stages)
        assert 0 <= values["se_pct"] <= 100
        assert values["spt_min"] <= values["tib_min"]


@given(st.integers(2, 300), st.integers(0, 300))
def test_a_shift_by_whole_minutes_shifts_scores(length, shift):
    random = np.random.default_rng(length)
    counts = random.integers(0, 400, length).astype(float)
    shifted = np.concatenate([np.zeros(shift), counts])
    for name in ("sadeh", "scripps", "cole_kripke_actilife", "oakley_40"):
        scorer = SCORERS[name]
        plain, late = score_counts(counts, scorer, CountScale()), score_counts(shifted, scorer, CountScale())
        assert (late[shift:] == plain).all()
