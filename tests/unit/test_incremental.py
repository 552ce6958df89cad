"""Only what changed is computed again, and the result is that of computing everything, bit for bit."""

import random
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest

from configs.settings import FeatureSettings
from features import executors, night_work, plan
from features.executors import PoolCrew, SerialCrew
from features.job import run_features
from features.night_inputs import nights_with_data
from features.night_span import NightSpan, night_key_ns
from features.night_state import (
    EVERYBODY,
    JOB_MARK,
    NIGHT_STATE,
    JobMark,
    mark_batch,
    read_mark,
    read_states,
    touched_marks,
)
from features.night_work import NightDone
from features.nights import NIGHT_STREAM
from features.plan import NightTask
from features.windows import WINDOW_STREAM
from store.errors import DataError
from store.installation import Installation
from store.nights import local_ns
from store.streams import ACTIVITY_EPOCH, RR_INTERVAL, Stream
from store.timeseries import NO_SENSOR, Batch
from store.units import NS_PER_S

FIRST = date(2026, 3, 25)  # the clocks change in the fourth of these nights
SETTINGS = FeatureSettings(window_s=300)
ASIDE = {"job_id", "computed_ns"}


def night_batches(day: int, hours: float = 3, seed: int = 0) -> list[Batch]:
    """Beats from one o'clock of a night on, and movement in the first hour."""
    rng = np.random.default_rng(100 * day + seed)
    start_ns = local_ns(FIRST + timedelta(days=day), 1, "Europe/Berlin")
    rr_ms = rng.normal(900 + 10 * day, 25, int(hours * 4000))
    t_ns = start_ns + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64)
    epochs = start_ns + np.arange(0, 3600, 30) * NS_PER_S
    values = {name: np.full(len(epochs), np.nan) for name in ACTIVITY_EPOCH.column_names()}
    values |= {"enmo_mg": rng.random(len(epochs)), "epoch_s": np.full(len(epochs), 30.0)}
    return [
        Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": rr_ms}),
        Batch(ACTIVITY_EPOCH, "S1", "B", epochs, values),
    ]


@pytest.fixture
def subject(registry) -> str:
    return registry.people.add_subject("S1", "Europe/Berlin").subject_id


def run(store, registry, **more):
    return run_features(store, registry, more.pop("settings", SETTINGS), now_ns=more.pop("now_ns", 1), **more)


def table(store) -> dict[str, list[str]]:
    """Return all that jobs wrote, with the bits of each number."""
    held: dict[str, list[str]] = {}
    for stream in (NIGHT_STREAM, WINDOW_STREAM):
        found = store.read(stream, "S1")
        held[f"{stream.name} t"] = [
            f"{t} {found.sensors[k]}" for t, k in zip(found.t_ns, found.sensor_index, strict=True)
        ]
        for column in stream.columns:
            if column.name not in ASIDE:
                values = found[column.name]
                is_number = values.dtype != object
                held[f"{stream.name} {column.name}"] = [v.tobytes().hex() if is_number else v for v in values]
    return held


@pytest.fixture
def computed(monkeypatch) -> list[date]:
    """The nights that were really computed, in order."""
    nights: list[date] = []
    honest = night_work.compute_night

    def noting(inputs, settings):
        nights.append(inputs.span.night)
        return honest(inputs, settings)

    monkeypatch.setattr(night_work, "compute_night", noting)
    return nights


def whole(tmp_path, clock, batches, settings=SETTINGS, zone="Europe/Berlin"):
    """Return the table of one run over everything in an installation of its own."""
    other = Installation(tmp_path / "whole", clock)
    with other.registry() as registry, other.timeseries() as store:
        registry.people.add_subject("S1", zone)
        store.write(batches)
        run(store, registry, settings=settings)
        return table(store)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_of_arrival_gives_the_same_table(store, registry, subject, tmp_path, clock, seed):
    """Late, in pieces, twice, with runs in between: as one run over everything."""
    rng = random.Random(seed)  # noqa: S311
    parts: list[Batch] = []
    for day in range(9):
        for batch in night_batches(day, hours=1):
            cut = rng.randrange(len(batch))
            for rows in (slice(0, cut), slice(cut, None)):
                values = {name: array[rows] for name, array in batch.values.items()}
                parts.append(Batch(batch.stream, "S1", batch.sensor_id, batch.t_ns[rows], values))
    arriving = [*parts, *rng.sample(parts, 4)]
    rng.shuffle(arriving)
    for k, batch in enumerate(arriving):
        store.write([batch])
        if k % 5 == seed:
            run(store, registry)
    run(store, registry)
    assert table(store) == whole(tmp_path, clock, parts)


def test_a_night_that_changes_is_computed_with_those_that_depend_on_it(store, registry, subject, computed):
    for day in range(12):
        store.write(night_batches(day, hours=1))
    run(store, registry)
    assert len(computed) == 12
    computed.clear()
    assert run(store, registry).nights == 0
    assert computed == []
    store.write(night_batches(2, hours=1.5, seed=9)[:1])
    done = run(store, registry, now_ns=2)
    changed = FIRST + timedelta(days=2)
    assert computed == [changed + timedelta(days=k) for k in range(7)]
    assert (done.nights, done.changed_subjects) == (7, ("S1",))
    rows = store.read(NIGHT_STREAM, "S1")
    assert rows["computed_ns"].tolist() == [1, 1, *[2] * 7, 1, 1, 1]


def test_samples_that_come_again_are_read_and_not_computed(store, registry, subject, computed):
    for day in range(3):
        store.write(night_batches(day, hours=1))
    run(store, registry)
    computed.clear()
    store.write(night_batches(1, hours=1))
    done = run(store, registry)
    assert (computed, done.nights) == ([], 0)
    assert done.unchanged >= 1
    assert run(store, registry).unchanged == 0


def test_a_night_that_came_again_follows_one_that_changed(store, registry, subject, computed):
    """Looked at because of its own samples and found the same, its week is another all the same."""
    for day in range(3):
        store.write(night_batches(day, hours=1))
    run(store, registry)
    computed.clear()
    store.write([*night_batches(0, hours=1.5, seed=9)[:1], *night_batches(1, hours=1)])
    done = run(store, registry)
    assert computed == [FIRST + timedelta(days=k) for k in (0, 1, 2)]
    assert (done.nights, run(store, registry).nights) == (3, 0)


def test_a_beat_before_noon_changes_the_night_after_it_too(store, registry, subject, computed):
    """The rule for NN intervals looks 128 beats back, over noon."""
    noon_ns = local_ns(FIRST, 12, "Europe/Berlin")
    t_ns = noon_ns + np.arange(-600, 600) * NS_PER_S
    beats = Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": np.full(1200, 1000.0)})
    store.write([beats])
    run(store, registry)
    computed.clear()
    t_ns = np.array([noon_ns - 100 * NS_PER_S])
    store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": np.array([700.0])})])
    run(store, registry)
    assert computed == [FIRST, FIRST + timedelta(days=1)]


def test_other_settings_compute_everything(store, registry, subject, tmp_path, clock):
    batches = [batch for day in range(3) for batch in night_batches(day)]
    store.write(batches)
    run(store, registry)
    other = FeatureSettings(window_s=450, night_start_h=1)
    assert run(store, registry, settings=other).nights == 3
    assert table(store) == whole(tmp_path, clock, batches, other)


def test_other_code_computes_everything(store, registry, subject, monkeypatch):
    store.write([batch for day in range(3) for batch in night_batches(day, hours=1)])
    run(store, registry)
    monkeypatch.setattr(plan, "code_version", lambda: "another")
    assert run(store, registry).nights == 3
    assert set(store.read(NIGHT_STREAM, "S1")["code_version"]) == {"another"}
    assert run(store, registry).nights == 0


def test_a_corrected_zone_moves_nights_and_leaves_nothing_behind(store, registry, subject, tmp_path, clock):
    batches = [batch for day in range(4) for batch in night_batches(day)]
    store.write(batches)
    run(store, registry)
    before = set(store.read(NIGHT_STREAM, "S1").t_ns.tolist())
    registry.people.move_subject("S1", "Pacific/Auckland", from_ns=clock.now_ns() + 1)
    assert run(store, registry).removed == 1
    assert before - set(store.read(NIGHT_STREAM, "S1").t_ns.tolist())
    assert table(store) == whole(tmp_path, clock, batches, zone="Pacific/Auckland")


def test_a_killed_run_is_taken_up_where_it_was(store, registry, subject, tmp_path, clock, computed):
    batches = [batch for day in range(9) for batch in night_batches(day, hours=1)]
    store.write(batches)

    class Dying(SerialCrew):
        @contextmanager
        def at_work(self, models):
            with super().at_work(models) as compute:

                def some(tasks):
                    yield from compute(tasks[:4])
                    raise KeyboardInterrupt

                yield some

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("features.night_writer.NIGHTS_A_WRITE", 2)
        with pytest.raises(KeyboardInterrupt):
            run(store, registry, crew=Dying(store, SETTINGS))
    assert len(store.read(NIGHT_STREAM, "S1")) == 4
    computed.clear()
    run(store, registry)
    assert len(computed) == 5
    assert table(store) == whole(tmp_path, clock, batches)


def test_a_crash_between_rows_and_states_is_found(store, registry, subject, tmp_path, clock):
    batches = [batch for day in range(8) for batch in night_batches(day, hours=1)]
    store.write(batches)
    run(store, registry)
    late = night_batches(0, hours=2, seed=5)
    store.write(late)
    honest = store.write

    def dying(written):
        if any(batch.stream == NIGHT_STATE for batch in written):
            raise KeyboardInterrupt
        return honest(written)

    store.write = dying
    with pytest.raises(KeyboardInterrupt):
        run(store, registry)
    store.write = honest
    run(store, registry)
    assert table(store) == whole(tmp_path, clock, [*batches, *late])


def test_a_night_that_cannot_be_computed_stops_no_other(store, registry, subject, monkeypatch):
    for day in range(3):
        store.write(night_batches(day, hours=1))
    run(store, registry)
    store.write(night_batches(1, hours=2))
    honest = night_work.compute_night

    def failing(inputs, settings):
        if inputs.span.night == FIRST + timedelta(days=1):
            raise DataError("two hearts")
        if inputs.span.night == FIRST + timedelta(days=2):
            raise ZeroDivisionError
        return honest(inputs, settings)

    monkeypatch.setattr(night_work, "compute_night", failing)
    done = run(store, registry)
    assert len(done.failed) == 2
    assert done.failed[0] == "S1, night 2026-03-26: two hearts"
    assert "a bug in evenkeel" in done.failed[1]
    assert done.oldest_waiting_ns == local_ns(FIRST + timedelta(days=1), 12, "Europe/Berlin")
    assert store.read(NIGHT_STREAM, "S1").t_ns.tolist() == [night_key_ns(FIRST)]
    monkeypatch.setattr(night_work, "compute_night", honest)
    assert run(store, registry).nights == 2


def test_each_row_says_what_it_was_made_of(store, registry, subject):
    first, moved = night_batches(0)
    store.write([first, moved])
    run(store, registry)
    row = store.latest(NIGHT_STREAM, "S1")
    assert row["input_counts"] == f'{{"activity_epoch": {len(moved)}, "rr_interval": {len(first)}}}'
    state = read_states(store, "S1")[int(row["t_ns"])]
    assert state.input_hash == row["input_hash"] != ""


def test_a_run_of_some_nights_leaves_the_others_to_be_found(store, registry, subject):
    for day in range(4):
        store.write(night_batches(day, hours=1))
    assert run(store, registry, since=FIRST + timedelta(days=2)).nights == 2
    assert run(store, registry).nights == 4  # a week is made of the nights before
    assert run(store, registry).nights == 0


def test_who_has_no_news_is_not_even_looked_at(store, registry, subject, clock, monkeypatch):
    registry.people.add_subject("S2", "Europe/Berlin")
    first = night_batches(0, hours=1)
    store.write([*first, *(replace(batch, subject_id="S2") for batch in first)])
    run(store, registry)
    looked: list[str] = []

    def noting(source, subject_id, zones):
        looked.append(subject_id)
        return nights_with_data(source, subject_id, zones)

    monkeypatch.setattr(plan, "nights_with_data", noting)
    assert (run(store, registry).nights, looked) == (0, [])
    store.write([replace(batch, subject_id="S2") for batch in night_batches(1, hours=1)])
    assert (run(store, registry).nights, set(looked)) == (2, {"S2"})  # movement of a day is seen by two
    registry.people.move_subject("S1", "Pacific/Auckland", from_ns=clock.now_ns() + 1)
    run(store, registry)
    assert set(looked) == {"S1", "S2"}


def test_what_a_run_of_some_people_left_is_found(store, registry, subject, monkeypatch):
    """Nothing was written to the store since, so that only the mark can tell."""
    store.write(night_batches(0, hours=1))
    run(store, registry)
    honest = night_work.compute_night
    monkeypatch.setattr(night_work, "compute_night", lambda *_: 1 / 0)
    assert len(run(store, registry, subjects=["S1"], is_all=True).failed) == 1
    monkeypatch.setattr(night_work, "compute_night", honest)
    assert run(store, registry).nights == 1
    assert read_mark(store, store.store_id()).made_by


def test_a_mark_of_an_older_version_says_nothing_of_what_made_it(installation):
    older = Stream("job_mark", "", JOB_MARK.columns[:2], family="features")
    with installation.timeseries() as store:
        values = {"store_id": np.array([store.store_id()], object), "mark": np.array([5])}
        store.write([Batch(older, EVERYBODY, NO_SENSOR, np.zeros(1, np.int64), values)])
    with installation.timeseries() as store:
        assert read_mark(store, store.store_id()) == JobMark(5, "")
        store.write([mark_batch(store.store_id(), JobMark(6, "x"))])
        assert read_mark(store, store.store_id()) == JobMark(6, "x")


def test_people_are_planned_some_at_a_time(store, registry, subject, monkeypatch):
    registry.people.add_subject("S2", "Europe/Berlin")
    batches = [batch for day in range(3) for batch in night_batches(day, hours=0.5)]
    store.write([*batches, *(replace(batch, subject_id="S2") for batch in batches)])
    monkeypatch.setattr("features.job.GROUP_NIGHTS", 1)
    told: list[tuple[str, int, int]] = []
    lives: list[int] = []
    done = run(store, registry, progress=lambda *said: told.append(said), beat=lambda: lives.append(1))
    assert len(lives) == 4  # planning, too, is a sign of life
    assert told == [("S1" if k < 4 else "S2", k, 6) for k in range(1, 7)]
    assert (done.nights, done.changed_subjects) == (6, ("S1", "S2"))


def test_marks_touch_the_nights_around_them():
    spans = [NightSpan(FIRST, "UTC", 100 * k, 100 * k + 100) for k in range(4)]
    stretches = np.array([(150, 160, 7), (195, 205, 9), (390, 395, 3), (500, 600, 4)])
    assert touched_marks(spans, stretches, 10) == {
        1: 9,
        2: 9,
        3: 3,
    }
    assert touched_marks([], stretches, 10) == {}


def test_whose_worker_dies_alone_is_named_and_no_other(monkeypatch):
    """Processes are real in the benchmark; here only who gets the blame."""
    spans = [NightSpan(FIRST + timedelta(days=k), "UTC", k, k + 1) for k in range(6)]
    tasks = [NightTask("S1", span) for span in spans]

    class Processes:
        def __init__(self) -> None:
            self.is_broken = False

        def shutdown(self, **_):
            pass

        def submit(self, _work, task):
            future = executors.Future()
            self.is_broken = self.is_broken or task is tasks[3]
            if self.is_broken:
                future.set_exception(BrokenProcessPool())
            else:
                future.set_result(NightDone(task, input_hash="fine"))
            return future

    monkeypatch.setattr(executors, "_processes", lambda *_: Processes())
    with PoolCrew(None, SETTINGS, 2).at_work({}) as compute:
        found = list(compute(tasks))
    assert sorted(night.task.span.start_ns for night in found) == list(range(6))
    assert [night.task for night in found if night.failure] == [tasks[3]]
