"""The twelve simulated people: their states as said, their history once and never later than now."""

import itertools
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from ingest.virtual.cohort import Member, _spans_ns, cohort, register, write_history
from ingest.virtual.movement import movement_of
from store.nights import local_ns, night_of
from store.registry.registry import Registry
from store.sqlite import SqliteTimeSeries
from store.streams import ACTIVITY_EPOCH, BATTERY, HEART_RATE, RR_INTERVAL, STEP_COUNT, STREAMS
from store.timeseries import Batch
from store.units import NS_PER_S

TODAY = date(2026, 1, 20)
NOW_NS = local_ns(TODAY, 10, "UTC")
DAY_NS = 86_400 * NS_PER_S
DAYS = 12


@pytest.fixture(scope="module")
def members() -> list[Member]:
    return cohort(TODAY)


@pytest.fixture
def store(tmp_path: Path):
    with SqliteTimeSeries(tmp_path / "samples.sqlite") as opened:
        yield opened


def nights_of(store: SqliteTimeSeries, member: Member) -> set[date]:
    t_ns = store.read(RR_INTERVAL, member.subject_id).t_ns
    return {night_of(int(at_ns), member.person.zone) for at_ns in t_ns[::500]}


def everything(store: SqliteTimeSeries, who: list[Member]) -> list[list[int]]:
    return [store.read(stream, m.subject_id).t_ns.tolist() for m in who for stream in STREAMS.values()]


def test_twelve_people_of_whom_one_changed(members: list[Member]) -> None:
    assert [member.subject_id for member in members] == [f"SIM-{k:02d}" for k in range(1, 13)]
    assert len({member.sensor_id for member in members}) == 12
    assert all("imulated" in member.display_name for member in members)
    (changed,) = [member for member in members if member.person.episode is not None]
    assert changed.person.episode is not None
    assert timedelta(days=7) < TODAY - changed.person.episode.onset < timedelta(days=28)
    assert [m.person for m in cohort(TODAY)] == [m.person for m in members]


def test_people_and_straps_are_registered_as_simulated_and_again_changes_nothing(
    members: list[Member], registry: Registry
) -> None:
    for _ in range(2):
        register(members, registry.people)
        assert all(subject.is_simulated for subject in registry.people.subjects())
        assert all(sensor.is_simulated for sensor in registry.people.sensors())
        worn = {each: m.subject_id for m in members for each in (m.sensor_id, m.wrist_id)}
        assert registry.people.worn_now() == worn


def test_each_has_the_nights_that_were_said(members: list[Member], store: SqliteTimeSeries) -> None:
    who = [members[k] for k in (1, 6, 8, 10)]
    days = 30
    beats = write_history(who, store, NOW_NS, days)
    assert beats == sum(store.count(RR_INTERVAL, member.subject_id) for member in who)
    usual, stopped, rare, new = (nights_of(store, member) for member in who)
    assert len(usual) >= 0.8 * days
    assert max(usual) == TODAY
    assert max(stopped) <= TODAY - timedelta(days=9)
    assert len(rare) < 0.5 * days
    assert TODAY - timedelta(days=11) <= min(new)


def test_history_again_changes_nothing(members: list[Member], store: SqliteTimeSeries) -> None:
    write_history(members[:2], store, NOW_NS, DAYS)
    held = everything(store, members[:2])
    assert write_history(members[:2], store, NOW_NS, DAYS) == 0
    assert everything(store, members[:2]) == held


@pytest.mark.parametrize("hour", [1, 5, 13, 21, 23])
def test_nothing_is_later_than_now_and_the_rest_comes_later(
    members: list[Member], store: SqliteTimeSeries, hour: int
) -> None:
    now_ns = local_ns(TODAY, hour, "UTC") + 17 * NS_PER_S
    write_history(members[:1], store, now_ns, 2)
    newest_ns = [store.read(stream, "SIM-01").t_ns.max() for stream in (RR_INTERVAL, HEART_RATE, BATTERY)]
    assert max(newest_ns) <= now_ns
    write_history(members[:1], store, now_ns + 3 * DAY_NS, 5)
    late = everything(store, members[:1])
    with SqliteTimeSeries(store._path.with_name("whole.sqlite")) as whole:
        write_history(members[:1], whole, now_ns + 3 * DAY_NS, 5)
        assert everything(whole, members[:1])[1] == late[1]


def test_live_beats_of_an_evening_do_not_cost_the_night(
    members: list[Member], store: SqliteTimeSeries
) -> None:
    member = replace(members[1], person=replace(members[1].person, missing_frac=0.0))
    live_ns = local_ns(TODAY - timedelta(days=1), 16, member.person.zone) + NS_PER_S * np.arange(1, 60)
    live = Batch(RR_INTERVAL, member.subject_id, member.sensor_id, live_ns, {"rr_ms": np.full(59, 1000.0)})
    store.write([live])
    assert write_history([member], store, NOW_NS, 1) > 10_000
    assert TODAY in nights_of(store, member)


def test_stretches_of_one_night_never_overlap(members: list[Member]) -> None:
    for member in members:
        for days_ago in range(200):
            spans_ns = _spans_ns(member.person, TODAY - timedelta(days=days_ago))
            assert all(one[1] <= other[0] for one, other in itertools.pairwise(spans_ns))


def test_progress_reaches_the_end(members: list[Member], store: SqliteTimeSeries) -> None:
    told: list[tuple[int, int]] = []
    write_history(members[:3], store, NOW_NS, 4, lambda done, total: told.append((done, total)))
    assert told[-1] == (12, 12)
    assert told == sorted(told)


def test_they_move_as_they_sleep(members: list[Member]) -> None:
    for member in members:
        days = [movement_of(member.person, TODAY - timedelta(days=k)) for k in range(20)]
        again = movement_of(member.person, TODAY)
        assert again.columns["counts"].tolist() == days[0].columns["counts"].tolist()
        counts = np.concatenate([day.columns["counts"] for day in days])
        t_s = np.concatenate([day.start_ns for day in days]) / NS_PER_S
        asleep = np.zeros(len(t_s), np.bool_)
        for k in range(-1, 21):
            onset_s, offset_s = member.person.sleep_s(TODAY - timedelta(days=k))
            asleep |= (t_s >= onset_s) & (t_s < offset_s)
        assert np.median(counts[asleep]) == 0
        assert counts[~asleep].mean() > 10 * counts[asleep].mean()
        steps = np.median([day.steps.sum() for day in days if day.is_recorded.all()] or [5000])
        assert 1500 < steps < 16_000


def test_movement_is_written_once_up_to_now_and_beside_what_is_live(
    members: list[Member], store: SqliteTimeSeries
) -> None:
    member = replace(members[1], person=replace(members[1].person, missing_frac=0.0))
    live_ns = local_ns(TODAY, 8, member.person.zone) + 5 * NS_PER_S * np.arange(24)
    live = {column.name: np.full(24, 5.0) for column in ACTIVITY_EPOCH.columns}
    store.write([Batch(ACTIVITY_EPOCH, member.subject_id, member.wrist_id, live_ns, live)])
    write_history([member], store, NOW_NS, 3)
    held = store.read(ACTIVITY_EPOCH, member.subject_id)
    assert held.t_ns.max() + 60 * NS_PER_S <= NOW_NS
    of_live = held.t_ns[(held.t_ns >= live_ns[0]) & (held.t_ns < live_ns[0] + 120 * NS_PER_S)]
    assert of_live.tolist() == live_ns.tolist()
    assert store.read(STEP_COUNT, member.subject_id).t_ns.max() <= NOW_NS
    before = everything(store, [member])
    write_history([member], store, NOW_NS, 3)
    assert everything(store, [member]) == before
