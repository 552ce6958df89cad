"""One suite over every store of samples: what `TimeSeriesStore` promises, each implementation keeps."""

import importlib
import itertools
import pkgutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import features
import models
import store as store_package
from store.errors import DataError, HomeError, StoreUnavailableError
from store.sqlite import SqliteTimeSeries
from store.sqlite_layout import LAYOUT
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL, Column, Stream
from store.timeseries import Batch, MixedBatch, TimeSeriesStore, part_of, whose

Opener = Callable[[], TimeSeriesStore]
EXAMPLE = itertools.count()
BIG = Stream(
    "big", "Whole numbers and bytes", (Column("n", "int64", "count"), Column("raw", "binary", "bytes"))
)


def declared_streams() -> list[Stream]:
    """Return every stream that a module of the rooms which write declares."""
    found: dict[str, Stream] = {}
    for room in (store_package, features, models):
        for module in pkgutil.walk_packages(room.__path__, f"{room.__name__}."):
            if ".migrations" not in module.name:
                values = vars(importlib.import_module(module.name)).values()
                found |= {one.name: one for one in values if isinstance(one, Stream) and one.columns}
    return [found[name] for name in sorted(found)]


@pytest.fixture(params=["sqlite", "influx"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Open the same store again."""
    if request.param == "sqlite":
        return lambda: SqliteTimeSeries(tmp_path / "samples.sqlite")
    server = request.getfixturevalue("influx")
    prefix = server.new_buckets()
    return lambda: server.open(prefix)


@pytest.fixture
def store(opener: Opener) -> Iterator[TimeSeriesStore]:
    with opener() as opened:
        yield opened


def rr(t_ns: list[int], rr_ms: list[float], sensor: str = "A", subject: str = "S1") -> Batch:
    return Batch(RR_INTERVAL, subject, sensor, np.array(t_ns, np.int64), {"rr_ms": np.array(rr_ms, float)})


def test_nothing_written_reads_as_nothing(store):
    found = store.read(RR_INTERVAL, "S1")
    assert len(found) == 0
    assert found["rr_ms"].dtype == np.float64
    assert store.count(RR_INTERVAL, "S1") == 0
    assert store.latest(RR_INTERVAL, "S1") is None
    assert store.extent(RR_INTERVAL, "S1") is None
    assert store.subjects(RR_INTERVAL) == []


def test_intervals_are_half_open_and_sorted(store):
    store.write([rr([30, 10, 20], [3, 1, 2])])
    assert store.read(RR_INTERVAL, "S1")["rr_ms"].tolist() == [1, 2, 3]
    assert store.read(RR_INTERVAL, "S1", 10, 30)["rr_ms"].tolist() == [1, 2]
    assert store.count(RR_INTERVAL, "S1", 10, 30) == 2
    assert len(store.read(RR_INTERVAL, "S1", 11, 11)) == 0
    assert store.extent(RR_INTERVAL, "S1") == (10, 30)


def test_the_same_time_replaces(store):
    store.write([rr([10, 20], [1, 2])])
    store.write([rr([20], [9])])
    assert store.read(RR_INTERVAL, "S1")["rr_ms"].tolist() == [1, 9]


EXAMPLES = {"float64": [1.5, np.nan], "int64": [1, 2], "utf8": ["a b", ""], "binary": [b"\x00", b""]}
KINDS = {"float64": np.float64, "int64": np.int64}


def test_every_stream_there_is_can_be_kept(store):
    """A column may not have a name that a store keeps for itself."""
    streams = declared_streams()
    assert {"heart_rate", "night", "night_minutes", "hrv_window"} <= {one.name for one in streams}
    t_ns = np.array([10, 20], np.int64)
    for stream in streams:
        values = {c.name: np.array(EXAMPLES[c.dtype], KINDS.get(c.dtype, object)) for c in stream.columns}
        store.write([Batch(stream, "S1", "A", t_ns, values)])
        found = store.read(stream, "S1")
        for column in stream.columns:
            np.testing.assert_array_equal(
                found[column.name], values[column.name], f"{stream.name} {column.name}"
            )


@pytest.mark.parametrize(
    "span", [(20, 20), (25, 10), (31, None), (None, 10), (2**63 - 1, None), (None, -(2**63))]
)
def test_an_empty_interval_holds_nothing(store, span):
    store.write([rr([30, 10, 20], [3, 1, 2])])
    assert len(store.read(RR_INTERVAL, "S1", *span)) == 0
    assert store.count(RR_INTERVAL, "S1", *span) == 0


def mixed(samples: list[tuple[str, str, int, float]]) -> MixedBatch:
    """Return battery levels as (subject, sensor, time, level)."""
    series = list(dict.fromkeys((subject, sensor) for subject, sensor, _, _ in samples))
    return MixedBatch(
        BATTERY,
        tuple(series),
        np.array([series.index((subject, sensor)) for subject, sensor, _, _ in samples]),
        np.array([t_ns for _, _, t_ns, _ in samples], np.int64),
        {"level_pct": np.array([level for *_, level in samples])},
    )


def test_samples_of_many_series_in_one_batch_are_those_of_each(store):
    store.write([rr([7], [7]), Batch(BATTERY, "S2", "B", np.array([7]), {"level_pct": np.array([70.0])})])
    sent = [("S1", "A", 10, 1.0), ("Zoë", "é, 1", 9, np.nan), ("S2", "B", 10, 2.0), ("S1", "C", 10, 3.0)]
    assert store.write([mixed([*sent, ("S2", "B", 7, 4.0), ("S1", "A", 10, 5.0)]), rr([8], [8])]) == 7
    found = store.read(BATTERY, "S1")
    assert (found.t_ns.tolist(), found.sensors, found["level_pct"].tolist()) == ([10, 10], ("A", "C"), [5, 3])
    assert store.read(BATTERY, "S2")["level_pct"].tolist() == [4, 2]
    assert np.isnan(store.read(BATTERY, "Zoë", sensor_id="é, 1")["level_pct"]).tolist() == [True]
    assert store.read(RR_INTERVAL, "S1")["rr_ms"].tolist() == [7, 8]
    days = {
        who: touched[:, 0].tolist() for who, touched in store.written_since(0, [BATTERY]).stretches.items()
    }
    assert days == {"S1": [0] * len(days["S1"]), "S2": [0], "Zoë": [0]}


def test_part_of_many_series_names_those_that_are_left(store):
    sent = mixed([("S1", "A", 10, 1.0), ("S2", "B", 20, 2.0), ("S3", "C", 30, 3.0), ("S1", "A", 40, 4.0)])
    part = part_of(sent, np.array([False, False, True, True]))
    assert [whose(part, row) for row in range(2)] == [("S3", "C"), ("S1", "A")]
    store.write([part, part_of(sent, slice(0, 0))])
    assert [each.subject_id for each in store.series()] == ["S1", "S3"]
    assert store.read(BATTERY, "S1").t_ns.tolist() == [40]


def test_of_many_series_what_is_infinite_is_named(store):
    with pytest.raises(DataError, match="level_pct of battery for S2 is infinite"):
        store.write([mixed([("S1", "A", 1, 1.0), ("S2", "B", 1, np.inf)])])


def test_the_widest_interval_holds_everything(store):
    t_ns = [-(2**63) + 2, -1, 0, 1_767_643_200_123_456_789, 2**63 - 3]
    store.write([rr(t_ns, [1, 2, 3, 4, 5])])
    assert store.read(RR_INTERVAL, "S1", -(2**63), 2**63 - 1).t_ns.tolist() == t_ns
    assert store.read(RR_INTERVAL, "S1", 1_767_643_200_123_456_789, None)["rr_ms"].tolist() == [4, 5]
    assert len(store.read(RR_INTERVAL, "S1", 1_767_643_200_123_456_790, 2**63 - 3)) == 0
    assert store.extent(RR_INTERVAL, "S1") == (t_ns[0], t_ns[-1])


def test_of_a_repeated_time_the_last_counts(store):
    store.write([rr([10, 20, 10], [1, 2, 3]), rr([20, 30, 30], [4, 5, 6])])
    found = store.read(RR_INTERVAL, "S1")
    assert (found.t_ns.tolist(), found["rr_ms"].tolist()) == ([10, 20, 30], [3, 4, 6])
    assert store.count(RR_INTERVAL, "S1") == 3


def test_writing_again_changes_nothing(store, opener):
    batches = [rr([10, 20], [1, 2]), rr([20], [np.nan], "B")]
    for _ in range(2):
        assert store.write(batches) == 3
    with opener() as another:
        found = another.read(RR_INTERVAL, "S1")
    np.testing.assert_array_equal(found["rr_ms"], [1, 2, np.nan])
    assert [found.sensors[k] for k in found.sensor_index] == ["A", "A", "B"]


def test_a_sample_without_values_is_a_sample(store):
    store.write([rr([10, 20, 30], [np.nan, np.nan, np.nan])])
    assert np.isnan(store.read(RR_INTERVAL, "S1")["rr_ms"]).tolist() == [True] * 3
    assert store.count(RR_INTERVAL, "S1") == 3
    assert store.extent(RR_INTERVAL, "S1") == (10, 30)
    latest = store.latest(RR_INTERVAL, "S1")
    assert latest is not None
    assert latest["t_ns"] == 30
    assert np.isnan(latest["rr_ms"])


def test_a_missing_value_replaces_a_value(store):
    """And the other way round, column by column: nothing of the old sample shows through."""
    nan, names = np.nan, ("heart_rate_bpm", "skin_contact", "energy_kj")
    for row in ([60, 1, 5], [nan, 1, nan], [nan, nan, nan], [61, nan, 6], [nan, 0, 7]):
        written = {name: np.array([value], float) for name, value in zip(names, row, strict=True)}
        store.write([Batch(HEART_RATE, "S1", "A", np.array([10]), written)])
        found, latest = store.read(HEART_RATE, "S1"), store.latest(HEART_RATE, "S1")
        np.testing.assert_array_equal([found[name][0] for name in names], row)
        np.testing.assert_array_equal([latest[name] for name in names], row)


@pytest.mark.parametrize(
    "who", ["", " ", "%", "%20", "a,b=c d", "back\\", "'\"; --", "line\nfeed\r\n", "Zoë 王 🫀", "a\u0301"]
)
def test_identifiers_are_any_text(store, who):
    store.write([rr([1], [1], sensor=who, subject=who), rr([1], [2], "A", f"{who}+")])
    found = store.read(RR_INTERVAL, who, sensor_id=who)
    assert (found.sensors, found["rr_ms"].tolist()) == ((who,), [1.0])
    assert store.subjects(RR_INTERVAL) == sorted([who, f"{who}+"])
    latest = store.latest(RR_INTERVAL, who)
    assert latest is not None
    assert latest["sensor"] == who
    assert [(s.subject_id, s.sensor_id) for s in store.series()] == [(who, who), (f"{who}+", "A")]


def test_every_series_is_listed_with_its_stream(store):
    store.write([rr([1], [1], "B", "S2"), rr([1], [1], "A", "S2"), rr([1], [1])])
    store.write([Batch(BATTERY, "S1", "A", np.array([1]), {"level_pct": np.array([1.0])})])
    kept = Stream(
        "kept", "Of another program", (Column("n", "int64", ""), Column("x", "float64", "")), "features"
    )
    store.write([Batch(kept, "S1", "A", np.array([1]), {"n": np.array([1]), "x": np.array([1.0])})])
    found = store.series()
    assert [(s.stream.name, s.subject_id, s.sensor_id) for s in found] == [
        ("battery", "S1", "A"),
        ("kept", "S1", "A"),
        ("rr_interval", "S1", "A"),
        ("rr_interval", "S2", "A"),
        ("rr_interval", "S2", "B"),
    ]
    assert found[0].stream == BATTERY
    assert [(c.name, c.dtype) for c in found[1].stream.columns] == [("n", "int64"), ("x", "float64")]


@pytest.mark.slow
def test_a_million_samples_in_one_write(store):
    n = 1_000_000
    t_ns = np.arange(n) * 850_000_000 + 1_767_643_200_000_000_000
    rr_ms = np.random.default_rng(0).normal(800, 50, n)
    rr_ms[::1000] = np.nan
    assert store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": rr_ms})]) == n
    found = store.read(RR_INTERVAL, "S1")
    np.testing.assert_array_equal(found.t_ns, t_ns)
    np.testing.assert_array_equal(found["rr_ms"], rr_ms)
    assert store.count(RR_INTERVAL, "S1", int(t_ns[10]), int(t_ns[20])) == 10


def test_sensors_and_subjects_stay_apart(store):
    store.write([rr([10, 30], [1, 3]), rr([10, 20], [5, 6], "B"), rr([15], [7], "A", "S2")])
    found = store.read(RR_INTERVAL, "S1")
    assert found.t_ns.tolist() == [10, 10, 20, 30]
    assert [found.sensors[k] for k in found.sensor_index] == ["A", "B", "B", "A"]
    assert found.of_sensor("B")["rr_ms"].tolist() == [5, 6]
    assert store.read(RR_INTERVAL, "S1", sensor_id="B")["rr_ms"].tolist() == [5, 6]
    assert store.count(RR_INTERVAL, "S1", sensor_id="A") == 2
    assert store.subjects(RR_INTERVAL) == ["S1", "S2"]


def test_latest_is_the_newest_of_all_sensors(store):
    store.write([rr([10], [1]), rr([20], [2], "B")])
    latest = store.latest(RR_INTERVAL, "S1")
    assert latest is not None
    assert (latest["t_ns"], latest["sensor"], latest["rr_ms"]) == (20, "B", 2.0)


def test_the_latest_of_everybody_are_those_of_each(store):
    store.write([rr([10, 20], [1, 2], "B"), rr([20], [3], "A"), rr([20, 30], [4, np.nan], "A", "S 2")])
    store.write([Batch(BATTERY, "S3", "A", np.array([1]), {"level_pct": np.array([1.0])})])
    of_all = store.latest_of_all(RR_INTERVAL)
    assert sorted(of_all) == ["S 2", "S1"]
    assert of_all["S1"] == store.latest(RR_INTERVAL, "S1") == {"t_ns": 20, "sensor": "A", "rr_ms": 3.0}
    assert (of_all["S 2"]["t_ns"], of_all["S 2"]["sensor"]) == (30, "A")
    assert np.isnan(of_all["S 2"]["rr_ms"])
    assert store.latest_of_all(HEART_RATE) == {}


def test_missing_values_survive_wherever_they_stand(store):
    missing = np.array([np.nan] * 3000 + [60.0])  # long enough to fool anything that guesses a type
    values = {"heart_rate_bpm": missing, "skin_contact": missing[::-1], "energy_kj": np.full(3001, np.nan)}
    store.write([Batch(HEART_RATE, "S1", "A", np.arange(3001), values)])
    found = store.read(HEART_RATE, "S1")
    for name, written in values.items():
        np.testing.assert_array_equal(found[name], written)
    latest = store.latest(HEART_RATE, "S1")
    assert latest is not None
    assert np.isnan(latest["energy_kj"])


def test_whole_numbers_bytes_and_text_are_exact(store):
    numbers, raw = np.array([2**62 + 1, -(2**53) - 1]), np.array([b"\x00\xff", b""], object)
    store.write([Batch(BIG, "Zoë", "é-1", np.array([2**62, -5]), {"n": numbers, "raw": raw})])
    found = store.read(BIG, "Zoë")
    assert found["n"].tolist() == [-(2**53) - 1, 2**62 + 1]
    assert found["raw"].tolist() == [b"", b"\x00\xff"]
    states = {"state": np.array(["connected"], object), "reason": np.array(["naïve ✓ ''; --"], object)}
    store.write([Batch(LINK_STATE, "Zoë", "é-1", np.array([1]), states)])
    assert store.read(LINK_STATE, "Zoë")["reason"].tolist() == ["naïve ✓ ''; --"]


def test_a_stream_may_gain_a_column(store):
    before = Stream("grows", "", (Column("a", "float64", ""),))
    after = Stream(
        "grows", "", (Column("a", "float64", ""), Column("b", "float64", ""), Column("c", "utf8", ""))
    )
    store.write([Batch(before, "S1", "A", np.array([1]), {"a": np.array([1.0])})])
    held = store.read(after, "S1")
    assert np.isnan(held["b"]).all()
    assert held["c"].tolist() == [""]


def test_a_refused_batch_writes_nothing(store):
    with pytest.raises(DataError, match="infinite"):
        store.write([rr([1], [1]), rr([2], [np.inf])])
    with pytest.raises(DataError, match="columns"):
        store.write([Batch(BATTERY, "S1", "A", np.array([1]), {"level": np.array([1.0])})])
    assert store.count(RR_INTERVAL, "S1") == 0


def test_what_is_written_is_seen_and_stays(store):
    """While another thread writes 1,000 samples a time, a reader sees all that were acknowledged."""
    acknowledged, done = [0], threading.Event()

    def write() -> None:
        for k in range(40):
            store.write([rr(list(range(k * 1000, (k + 1) * 1000)), [1.0] * 1000)])
            acknowledged.append((k + 1) * 1000)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not done.is_set():
        before = acknowledged[-1]
        seen = store.read(RR_INTERVAL, "S1").t_ns
        assert before <= len(seen) <= acknowledged[-1] + 1000
        assert seen[:before].tolist() == list(range(before))
    writer.join()
    assert store.count(RR_INTERVAL, "S1") == 40_000


def test_the_embedded_store_shows_whole_writes_only(tmp_path):
    done = threading.Event()
    with SqliteTimeSeries(tmp_path / "samples.sqlite") as store:

        def write() -> None:
            for k in range(40):
                store.write([rr(list(range(k * 1000, (k + 1) * 1000)), [1.0] * 1000)])
            done.set()

        writer = threading.Thread(target=write)
        writer.start()
        seen: list[int] = []
        while not done.is_set():
            seen.append(len(store.read(RR_INTERVAL, "S1")))
        writer.join()
    assert all(count % 1000 == 0 for count in seen)


@pytest.mark.parametrize("shape", ["many batches", "one batch", "one of many series"])
def test_of_a_time_that_occurs_twice_in_one_write_the_later_sample_wins(store, monkeypatch, shape):
    """Also where a write is many requests, of which some are on their way at the same time."""
    monkeypatch.setattr("store.influx.BODY_ROWS", 50)
    pairs = [[rr(list(range(k, k + 50)), [twin] * 50) for twin in (1.0, 2.0)] for k in range(0, 2000, 50)]
    batches = [batch for pair in pairs for batch in pair]
    t_ns = np.concatenate([batch.t_ns for batch in batches])
    values = {"rr_ms": np.concatenate([batch.values["rr_ms"] for batch in batches])}
    if shape == "one batch":
        batches = [Batch(RR_INTERVAL, "S1", "A", t_ns, values)]
    elif shape == "one of many series":
        series = (("S2", "A"), ("S1", "A"))
        batches = [MixedBatch(RR_INTERVAL, series, np.ones(len(t_ns), np.int64), t_ns, values)]
    store.write(batches)
    assert store.read(RR_INTERVAL, "S1")["rr_ms"].tolist() == [2.0] * 2000


def test_writers_and_readers_share_a_store(store):
    """Several threads write and read their own series of one stream at once; nothing mixes."""

    def work(who: int) -> list[float]:
        for k in range(10):
            store.write([rr([k, k + 100], [who, k], subject=f"S{who}", sensor="A")])
            store.read(RR_INTERVAL, f"S{(who + 1) % 4}")
        return store.read(RR_INTERVAL, f"S{who}")["rr_ms"].tolist()

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    assert found == [[float(who)] * 10 + [float(k) for k in range(10)] for who in range(4)]


def test_a_file_of_a_newer_layout_is_left_alone(tmp_path):
    path = tmp_path / "samples.sqlite"
    with SqliteTimeSeries(path) as made:
        made._writer.execute(f"PRAGMA user_version={LAYOUT + 1}")
    with pytest.raises(HomeError, match="newer evenkeel"):
        SqliteTimeSeries(path)


times = st.integers(-(2**63) + 2, 2**63 - 3)
finite = st.floats(allow_nan=True, allow_infinity=False, width=64)
text = st.text(st.characters(exclude_categories=["Cs"]))
samples = st.tuples(st.integers(-(2**63), 2**63 - 1), finite, text, st.binary(max_size=50))
ALL_TYPES = Stream(
    "all_types",
    "One column of each type",
    (
        Column("n", "int64", ""),
        Column("x", "float64", ""),
        Column("said", "utf8", ""),
        Column("raw", "binary", ""),
    ),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(writes=st.lists(st.dictionaries(times, samples, max_size=10), max_size=4), subject=text, sensor=text)
def test_writes_merge_like_dictionaries(store, writes, subject, sensor):
    """Whatever is written in whatever order, a later sample of the same time wins, bit for bit."""
    subject = f"{next(EXAMPLE)}/{subject}"
    expected: dict[int, tuple[int, float, str, bytes]] = {}
    for held in writes:
        store.write([_batch_of(held, subject, sensor)])
        expected |= held
    found = store.read(ALL_TYPES, subject)
    wanted = _batch_of(dict(sorted(expected.items())), subject, sensor).values
    assert found.t_ns.tolist() == sorted(expected)
    assert found["x"].tobytes() == np.where(np.isnan(wanted["x"]), np.nan, wanted["x"]).tobytes()
    for name in ("n", "said", "raw"):
        assert found[name].tolist() == wanted[name].tolist()


def _batch_of(held: dict[int, tuple[int, float, str, bytes]], subject: str, sensor: str) -> Batch:
    columns = list(zip(*held.values(), strict=True)) or [()] * 4
    dtypes = (np.int64, np.float64, object, object)
    arrays = [np.array(values, dtype) for values, dtype in zip(columns, dtypes, strict=True)]
    names = dict(zip(ALL_TYPES.column_names(), arrays, strict=True))
    return Batch(ALL_TYPES, subject, sensor, np.array(list(held), np.int64), names)


def test_closing_waits_for_whoever_writes_and_refuses_who_comes_later(store):
    """Closing under a writer once took the process down; now each write is whole or refused."""
    refused = threading.Event()

    def write_until_refused() -> None:
        for k in itertools.count():
            try:
                store.write([rr([k], [1.0])])
            except StoreUnavailableError:
                refused.set()
                return

    writers = [threading.Thread(target=write_until_refused) for _ in range(2)]
    for writer in writers:
        writer.start()
    while not store.read(RR_INTERVAL, "S1"):
        pass
    store.close()
    for writer in writers:
        writer.join()
    assert refused.is_set()
    with pytest.raises(StoreUnavailableError, match="closed"):
        store.read(RR_INTERVAL, "S1")


# What was written since.

HOUR_NS = 3_600_000_000_000
DAY_NS = 24 * HOUR_NS
COMPUTED = Stream("computed", "Of nights", (Column("x", "float64", "a value"),), family="features")


def touched(store: TimeSeriesStore, mark: int, at_ns: int, subject: str = "S1") -> bool:
    """Say whether a time is in a stretch that was written to since a mark."""
    stretches = store.written_since(mark, [RR_INTERVAL], subject).of(subject)
    return bool(((stretches[:, 0] <= at_ns) & (at_ns < stretches[:, 1])).any())


def test_what_was_written_is_named_and_nothing_days_away(store):
    store.write([rr([5 * DAY_NS, 5 * DAY_NS + 1], [1, 2]), rr([9 * DAY_NS], [1], "B")])
    store.write([Batch(BATTERY, "S1", "A", np.array([20 * DAY_NS]), {"level_pct": np.array([5.0])})])
    assert touched(store, 0, 5 * DAY_NS)
    assert touched(store, 0, 9 * DAY_NS)
    assert not touched(store, 0, 7 * DAY_NS)
    assert not touched(store, 0, 20 * DAY_NS)
    assert not touched(store, 0, 5 * DAY_NS, "S2")
    assert store.written_since(0, [RR_INTERVAL]).stretches.keys() == {"S1"}


def test_a_time_written_again_is_named_again(store):
    store.write([rr([5 * DAY_NS], [1])])
    first = store.written_since(0, [RR_INTERVAL], "S1").of("S1")
    store.write([rr([5 * DAY_NS], [1])])
    again = store.written_since(int(first[0, 2]), [RR_INTERVAL], "S1").of("S1")
    assert again[:, :2].tolist() == first[:, :2].tolist()
    assert again[0, 2] > first[0, 2]


def test_times_before_1970_and_at_the_limits_are_noted(store):
    store.write([rr([-5 * DAY_NS - 1, -(2**63) + 2, 2**63 - 2], [1, 2, 3])])
    assert touched(store, 0, -5 * DAY_NS - 1)
    assert len(store.read(RR_INTERVAL, "S1")) == 3


def test_notes_of_writes_are_no_samples(opener):
    with opener() as store:
        store.write([rr([1], [1])])
        identity = store.store_id()
        assert [series.stream.name for series in store.series()] == ["rr_interval"]
    with opener() as store:
        assert store.store_id() == identity
        assert touched(store, 0, 1)


def test_what_was_computed_can_be_removed_to_the_nanosecond(store):
    def computed(subject: str) -> Batch:
        return Batch(COMPUTED, subject, "-", np.array([10, 20, 30, 40]), {"x": np.arange(4.0)})

    store.write([computed("S1"), computed("S2"), rr([20], [1])])
    store.delete(COMPUTED, "S1", 20, 40)
    assert store.read(COMPUTED, "S1").t_ns.tolist() == [10, 40]
    assert store.read(COMPUTED, "S2").t_ns.tolist() == [10, 20, 30, 40]
    store.write([computed("S1")])
    assert store.read(COMPUTED, "S1").t_ns.tolist() == [10, 20, 30, 40]
    with pytest.raises(ValueError, match="rr_interval"):
        store.delete(RR_INTERVAL, "S1", 0, 100)


def test_an_erased_person_is_gone_from_every_stream_and_nobody_else_is(store):
    strange, near = "Zoë, 1", "Zoë, 10"
    ends_ns = [-(10**18), 1, 2 * 10**18]
    for subject in (strange, near):
        store.write([rr(ends_ns, [1, 2, 3], subject=subject), rr([1], [1], "B", subject)])
        store.write([Batch(BATTERY, subject, "A", np.array([1]), {"level_pct": np.array([1.0])})])
    assert store.erase(strange) == {"rr_interval": 4, "battery": 1}
    assert {each.subject_id for each in store.series()} == {near}
    assert store.count(RR_INTERVAL, strange) == 0
    assert store.latest(BATTERY, strange) is None
    assert store.subjects(RR_INTERVAL) == [near]
    assert store.written_since(0, [RR_INTERVAL]).stretches.keys() == {near}
    assert store.count(RR_INTERVAL, near) == 4
    assert store.erase(strange) == {}
    store.write([rr([5], [5], subject=strange)])
    assert store.read(RR_INTERVAL, strange)["rr_ms"].tolist() == [5.0]
