"""One suite over every store of samples: what `TimeSeriesStore` promises, each implementation keeps."""

import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.errors import DataError, HomeError, StoreUnavailableError
from store.sqlite import LAYOUT, SqliteTimeSeries
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL, Column, Stream
from store.timeseries import Batch, TimeSeriesStore

OPENERS: dict[str, Callable[[Path], TimeSeriesStore]] = {
    "sqlite": lambda folder: SqliteTimeSeries(folder / "samples.sqlite")
}
EXAMPLE = itertools.count()
BIG = Stream(
    "big", "Whole numbers and bytes", (Column("n", "int64", "count"), Column("raw", "binary", "bytes"))
)


@pytest.fixture(params=sorted(OPENERS))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TimeSeriesStore]:
    with OPENERS[request.param](tmp_path) as opened:
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


def test_a_reader_sees_whole_writes_only(store):
    """While another thread writes 1,000 samples a time, a reader never sees part of a thousand."""
    done = threading.Event()

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
    assert seen == sorted(seen)
    assert store.count(RR_INTERVAL, "S1") == 40_000


def test_a_file_of_a_newer_layout_is_left_alone(tmp_path):
    path = tmp_path / "samples.sqlite"
    with SqliteTimeSeries(path) as made:
        made._writer.execute(f"PRAGMA user_version={LAYOUT + 1}")
    with pytest.raises(HomeError, match="newer evenkeel"):
        SqliteTimeSeries(path)


times = st.integers(-(2**62), 2**62)
finite = st.floats(allow_nan=False, allow_infinity=False, width=64)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(writes=st.lists(st.dictionaries(times, finite, max_size=20), max_size=5), subject=st.text(min_size=1))
def test_writes_merge_like_dictionaries(store, writes, subject):
    """Whatever is written in whatever order, a later value of the same time wins, bit for bit."""
    subject = f"{next(EXAMPLE)}/{subject}".encode("utf-8", "replace").decode()
    expected: dict[int, float] = {}
    for held in writes:
        store.write([rr(list(held), list(held.values()), "A", subject)])
        expected |= held
    found = store.read(RR_INTERVAL, subject)
    assert found.t_ns.tolist() == sorted(expected)
    assert found["rr_ms"].tolist() == [expected[t] for t in sorted(expected)]


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
