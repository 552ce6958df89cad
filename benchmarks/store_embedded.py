"""The embedded store: samples per second in and out, live reads while another process writes, bytes."""

import math
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from store.sqlite import SqliteTimeSeries
from store.streams import HEART_RATE, RR_INTERVAL, Stream
from store.timeseries import Batch
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
BEAT_NS = 800_000_000
SAMPLES_A_WRITE = 5_000
"""What a collector hands over at once after the store was away: one transaction, durable on return."""
LIVE_NS = 600 * NS_PER_S
LIVE_READS = 2000
WRITERS = {"nobody writes": 0.0, "100 straps write": 200.0, "one writes all it can": math.inf}
"""Samples a second that another process writes, 200 at a time (5,000 flat out)."""


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes 10 million samples instead of 1."""
    n = 10_000_000 if is_full else 1_000_000
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.sqlite"
        with SqliteTimeSeries(path) as store:
            rows = [_in(store, n), *_out(store), *_live(store, path)]
        rows += [_bytes(Path(folder), RR_INTERVAL, n, 30), _bytes(Path(folder), HEART_RATE, n, 30)]
    return rows


def _in(store: SqliteTimeSeries, n: int) -> Row:
    took: list[float] = []
    with _timed(took):
        for k in range(0, n, SAMPLES_A_WRITE):
            store.write([_batch(RR_INTERVAL, "S1", k, SAMPLES_A_WRITE)])
    name = f"durable in, {n:,} RR intervals, {SAMPLES_A_WRITE:,} a write"
    return Row(name, n / took[0], "samples/s", 500_000, "higher")


def _out(store: SqliteTimeSeries) -> list[Row]:
    middle_ns = START_NS + store.count(RR_INTERVAL, "S1") // 2 * BEAT_NS
    day = (middle_ns, middle_ns + 86_400 * NS_PER_S)
    rows: list[Row] = []
    for name, bounds, goal in (("all", (None, None), 4_000_000), ("a day at a time", day, None)):
        took: list[float] = []
        count = 0
        for _ in range(5):
            with _timed(took):
                count = len(store.read(RR_INTERVAL, "S1", *bounds))
        rows.append(
            Row(f"out as arrays, {name}", count / float(np.median(took)), "samples/s", goal, "higher")
        )
    return rows


def _live(store: SqliteTimeSeries, path: Path) -> list[Row]:
    """Read the newest ten minutes of somebody again and again, as the dashboard does."""
    end_ns = START_NS + store.count(RR_INTERVAL, "S1") * BEAT_NS
    rows: list[Row] = []
    for name, rate in WRITERS.items():
        took: list[float] = []
        before = _held(store)
        with _writer(path, rate):
            for _ in range(LIVE_READS):
                with _timed(took):
                    store.read(RR_INTERVAL, "S1", end_ns - LIVE_NS, end_ns)
        written = (_held(store) - before) / sum(took)
        p50_ms, p99_ms = 1e3 * np.percentile(took, [50, 99])
        rows.append(Row(f"while {name}: written meanwhile", written, "samples/s"))
        rows.append(Row(f"while {name}: 10 live minutes, median", float(p50_ms), "ms"))
        rows.append(Row(f"while {name}: 10 live minutes, p99", float(p99_ms), "ms", 10))
    return rows


def _held(store: SqliteTimeSeries) -> int:
    return sum(store.count(RR_INTERVAL, subject_id) for subject_id in store.subjects(RR_INTERVAL))


@contextmanager
def _writer(path: Path, rate: float) -> Generator[None]:
    if not rate:
        yield
        return
    command = [sys.executable, "-m", "benchmarks.store_embedded", str(path), str(rate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        if process.stdout:
            process.stdout.readline()  # it has begun
        yield
        process.send_signal(signal.SIGKILL)


def write_until_killed(path: Path, rate: float) -> None:
    """Write other people's beats at so many samples a second, for ever."""
    at_once = SAMPLES_A_WRITE if math.isinf(rate) else 200
    with SqliteTimeSeries(path) as store:
        began_s, k = time.perf_counter(), 0
        while True:
            store.write([_batch(RR_INTERVAL, f"W{k % 100}", k * at_once, at_once)])
            k += 1
            if k == 1:
                print("begun", flush=True)
            time.sleep(max(0.0, began_s + k * at_once / rate - time.perf_counter()))


def _bytes(folder: Path, stream: Stream, n: int, goal: float | None) -> Row:
    path = folder / f"{stream.name}.sqlite"
    with SqliteTimeSeries(path) as store:
        empty = path.stat().st_size
        for k in range(0, n, SAMPLES_A_WRITE):
            store.write([_batch(stream, "S1", k, SAMPLES_A_WRITE)])
    size = (path.stat().st_size - empty) / n  # closed, so that all is in the file
    return Row(f"on the disk: {stream.name}, {len(stream.columns)} columns", size, "bytes/sample", goal)


def _batch(stream: Stream, subject_id: str, first: int, length: int) -> Batch:
    t_ns = START_NS + np.arange(first, first + length) * BEAT_NS
    # As a strap sends them: intervals of 1/1024 s, whole beats a minute, in contact, no energy.
    interval_s = np.round(np.random.default_rng(first).normal(819, 50, length)) / 1024
    values = {"rr_ms": 1000 * interval_s}
    if stream is HEART_RATE:
        values = {
            "heart_rate_bpm": np.round(60 / interval_s),
            "skin_contact": np.ones(length),
            "energy_kj": np.full(length, np.nan),
        }
    return Batch(stream, subject_id, "A", t_ns, values)


@contextmanager
def _timed(into: list[float]) -> Generator[None]:
    began_s = time.perf_counter()
    yield
    into.append(time.perf_counter() - began_s)


if __name__ == "__main__":
    write_until_killed(Path(sys.argv[1]), float(sys.argv[2]))
