"""Which sensor a person is judged by."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.channels import CHANNELS
from models.daily import Days
from models.monitor import Monitor, followed
from models.risk import shipped_model
from models.sensors import led

WEIGHTS = shipped_model().weights
A, B, C = 0, 1, 2


def whose(*runs: tuple[int, int]) -> np.ndarray:
    """Return a sensor for each day, from runs of (sensor, days)."""
    return np.concatenate([np.full(days, sensor) for sensor, days in runs]).astype(np.int64)


def person(source: np.ndarray, *, seed: int = 1) -> Days:
    """Return somebody whose heart rate is 15 % higher by sensor B than by A."""
    random = np.random.default_rng(seed)
    usual = np.array([(c.low + c.high) / 2 for c in CHANNELS])
    values = usual * np.exp(random.normal(0, 0.03, (len(source), len(CHANNELS))))
    values[source == B, 0] *= 1.15
    return Days("S1", date(2026, 1, 1), values, source)


def leader_of(source: np.ndarray, recorded: np.ndarray | None = None) -> np.ndarray:
    """Return the sensor that leads on each day."""
    is_recorded = np.ones(len(source), np.bool_) if recorded is None else recorded
    return source[led(source, is_recorded).begin]


def test_a_sensor_worn_from_some_day_on_leads_from_that_day():
    source = whose((A, 60), (B, 30))
    found = led(source, np.ones(90, np.bool_))
    assert found.begin.tolist() == [0] * 60 + [60] * 30
    assert not found.is_other.any()


@pytest.mark.parametrize(
    ("runs", "leaders"),
    [
        (((A, 60), (B, 1), (A, 20)), {A}),
        (((A, 60), *((B, 1), (A, 1)) * 30), {A}),
        (((A, 60), *((B, 7), (A, 7)) * 6), {A}),
        (((A, 30), *((B, 5), (A, 2)) * 8), {A, B}),
        (((A, 30), (-1, 5), (A, 30)), {A}),
        (((A, 30), (B, 4)), {A}),
    ],
    ids=["one night", "every other night", "every other week", "weekdays", "unknown", "too few to say"],
)
def test_who_alternates_keeps_one_leader(runs, leaders):
    source = whose(*runs)
    assert set(leader_of(source).tolist()) - {-1} == leaders
    found = led(source, np.ones(len(source), np.bool_))
    leader = source[found.begin]
    assert (found.is_other == ((source != leader) & (source >= 0))).all()


def test_of_two_that_are_new_the_one_that_stays_leads():
    source = whose((A, 40), (C, 3), (B, 30))
    found = led(source, np.ones(len(source), np.bool_))
    assert found.begin[-1] == 43
    assert np.flatnonzero(found.is_other).tolist() == [40, 41, 42]


@pytest.mark.parametrize(
    ("has_data", "leaders"),
    [
        ([1] * 40 + [1] * 5 + [0] * 25, {A}),
        ([1] * 40 + [1, 0, 0, 0] * 7, {A}),
        ([1] * 20 + [0] * 20 + [1] * 4 + [0] * 25, {A}),
        ([1] * 20 + [0] * 20 + [1] * 5 + [0] * 25, {A, B}),
    ],
    ids=["days without data decide nothing", "nor count", "four nights", "five nights"],
)
def test_only_nights_with_data_make_a_leader(has_data, leaders):
    source = whose((A, 40), (B, len(has_data) - 40))
    assert set(leader_of(source, np.array(has_data, np.bool_)).tolist()) == leaders


def test_another_sensor_alternating_is_neither_a_change_nor_lost_data():
    days = person(whose((A, 60), *((B, 1), (A, 1)) * 30))
    track = followed(days, WEIGHTS)
    own = days.source == A
    assert track.is_monitored[np.flatnonzero(own)[30:]].all()
    assert not track.is_monitored[~own].any()
    alone = followed(replace(days, values=np.where(own[:, None], days.values, np.nan)), WEIGHTS)
    assert np.array_equal(track.score, alone.score, equal_nan=True)
    assert np.nanmax(track.raw[:, -1]) < 1 < np.nanmax(alone.raw[:, -1])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-1, 2), st.integers(1, 25)), min_size=1, max_size=9), st.randoms())
def test_day_by_day_is_the_batch_and_later_days_change_no_score(runs, random):
    days = person(whose(*runs), seed=random.randrange(9))
    lost = np.array([random.random() < 0.2 for _ in range(len(days))])
    days.values[lost] = np.nan
    track, monitor = followed(days, WEIGHTS), Monitor(WEIGHTS, capacity=16)
    for t in range(len(days)):
        told = monitor.update(days.values[t], int(days.source[t]))
        assert told.is_monitored == track.is_monitored[t]
        assert np.array_equal(told.score, track.score[t], equal_nan=True)
        assert np.array_equal(monitor.track.raw[t, -1], track.raw[t, -1], equal_nan=True), "lost data"
    for name, held in monitor.track._asdict().items():
        assert np.array_equal(held, getattr(track, name), equal_nan=held.dtype.kind == "f"), name
