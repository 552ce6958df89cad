"""Strap to store: how long a heartbeat takes, how many a second fit through, and the stages alone."""

import asyncio
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from ingest.replay import ReplayResult, replay, replay_address
from ingest.service import collect
from ingest.spool import Spool
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.person import VirtualPerson
from ingest.virtual.strap import VirtualStrap
from store.clock import SystemClock
from store.recording import RrRecording, read_rr_file
from store.sqlite import SqliteTimeSeries
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import AnyBatch, Batch, whose
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
STRAPS = 3


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes a whole day and 60 live seconds instead of 6 h and 15 s."""
    return [
        *_latency(60 if is_full else 15),
        *_throughput(24 if is_full else 6),
        *_store_alone(5_000_000 if is_full else 1_000_000),
        Row("evenkeel --help", _help_s(), "s", 0.4),
    ]


class _TimedStore(SqliteTimeSeries):
    """The embedded store, noting when each heart rate sample was durable."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.stored_at_s: dict[tuple[str, int], float] = {}

    def write(self, batches: Sequence[AnyBatch]) -> int:
        """Write, then note the time."""
        count = super().write(batches)
        now_s = time.perf_counter()
        for batch in batches:
            if batch.stream is HEART_RATE:
                for row, number in enumerate(batch.values["energy_kj"]):
                    self.stored_at_s[whose(batch, row)[1], int(number)] = now_s
        return count


def _latency(seconds: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, _TimedStore(Path(folder) / "samples.sqlite") as store:
        sent_at_s = asyncio.run(_stream_live(Path(folder), store, seconds))
        took_ms = [1e3 * (store.stored_at_s[key] - sent_s) for key, sent_s in sent_at_s.items()]
    p50, p95, worst = np.percentile(took_ms, [50, 95, 100])
    return [
        Row(f"strap to store, {STRAPS} straps at 1 Hz, median of {len(took_ms)}", float(p50), "ms"),
        Row("strap to store, p95", float(p95), "ms", 1000),
        Row("strap to store, worst", float(worst), "ms"),
    ]


async def _stream_live(folder: Path, store: SqliteTimeSeries, seconds: int) -> dict[tuple[str, int], float]:
    clock, air, until = SystemClock(), Air(), asyncio.Event()
    adapter = VirtualAdapter(air)
    await adapter.start()
    straps = [VirtualStrap(air, f"C0:5E:00:00:00:{k:02X}") for k in range(STRAPS)]
    for strap in straps:
        await strap.start()
    worn = {strap.address: f"S{k}" for k, strap in enumerate(straps)}
    sent_at_s: dict[tuple[str, int], float] = {}
    with Spool(folder / "spool.sqlite", clock) as spool:
        collecting = asyncio.create_task(
            collect(worn, store=store, spool=spool, clock=clock, radio=adapter.radio, until=until)
        )
        while not all(strap.subscribed for strap in straps):  # noqa: ASYNC110 - a strap has no event
            await asyncio.sleep(0.05)
        for number in itertools.islice(itertools.count(), seconds):
            for strap in straps:
                sent_at_s[strap.address, number] = time.perf_counter()
                await strap.send(
                    HeartRateMeasurement(60, skin_contact=True, energy_kj=number, rr_ms=(1000.0,))
                )
                await asyncio.sleep(1 / STRAPS)
        until.set()
        await collecting
    for strap in straps:
        await strap.stop()
    return sent_at_s


def _throughput(hours: int) -> list[Row]:
    beats = VirtualPerson(1, "UTC").beats(START_NS, START_NS + hours * 3600 * NS_PER_S)
    recording = _as_recording((beats.t_ns - START_NS) / NS_PER_S, beats.rr_ms)
    with tempfile.TemporaryDirectory() as folder, SqliteTimeSeries(Path(folder) / "samples.sqlite") as store:
        sensor_id = replay_address("S1", recording.digest)
        began_s = time.perf_counter()
        done: ReplayResult = asyncio.run(
            replay(
                recording,
                subject_id="S1",
                sensor_id=sensor_id,
                start_ns=START_NS,
                store=store,
                spool_path=Path(folder) / "spool.sqlite",
            )
        )
        took_s = time.perf_counter() - began_s
        stored = store.count(RR_INTERVAL, "S1") + store.count(HEART_RATE, "S1")
        missing = len(recording) - store.count(RR_INTERVAL, "S1")
    day_s = took_s * 24 / hours
    return [
        Row(
            f"whole thread, {hours} h of one heart: samples stored",
            stored / took_s,
            "samples/s",
            3_000,
            "higher",
        ),
        Row("whole thread: frames received", done.packets_received / took_s, "frames/s", 1_400, "higher"),
        Row("whole thread: beats missing or twice", abs(missing), "beats", 0),
        Row("whole thread: a day of one heart", day_s, "s", 60),
    ]


def _as_recording(t_s: np.ndarray, rr_ms: np.ndarray) -> RrRecording:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "simulated.csv"
        np.savetxt(
            path, np.column_stack([t_s, rr_ms]), fmt="%.9f", delimiter=",", header="t_s,rr_ms", comments=""
        )
        return read_rr_file(path)


@contextmanager
def _timed(into: list[float]) -> Generator[None]:
    began_s = time.perf_counter()
    yield
    into.append(time.perf_counter() - began_s)


def _store_alone(n: int) -> list[Row]:
    t_ns = START_NS + np.arange(n) * 800_000_000
    rr_ms = np.random.default_rng(0).normal(800, 50, n)
    writing: list[float] = []
    reading: list[float] = []
    with tempfile.TemporaryDirectory() as folder, SqliteTimeSeries(Path(folder) / "samples.sqlite") as store:
        with _timed(writing):
            for k in range(0, n, 100_000):
                part = slice(k, k + 100_000)
                store.write([Batch(RR_INTERVAL, "S1", "A", t_ns[part], {"rr_ms": rr_ms[part]})])
        for _ in range(3):
            with _timed(reading):
                store.read(RR_INTERVAL, "S1")
    return [
        Row("store alone: write", n / writing[0], "samples/s", 600_000, "higher"),
        Row("store alone: read", n / float(np.median(reading)), "samples/s", 4_000_000, "higher"),
    ]


def _help_s() -> float:
    took: list[float] = []
    for _ in range(5):
        with _timed(took):
            subprocess.run([sys.executable, "-m", "evenkeel", "--help"], check=True, capture_output=True)
    return float(np.median(took))
