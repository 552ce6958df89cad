"""Nightly jobs on real heartbeats and movement: cost of a night, how it grows, workers, stores, late data."""

import functools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.scaling import write
from benchmarks.table import Row
from configs.settings import FeatureSettings
from features.executors import PoolCrew, SerialCrew
from features.job import FeatureRun, run_features
from features.night_inputs import nights_with_data, read_inputs
from features.night_source import SourcePlace
from features.nights import NIGHT_STREAM
from features.windows import WINDOW_STREAM
from store.installation import Installation
from store.lake import Lake
from store.lake_sync import sync_lake
from store.ledger_digest import sample_digest, total_of
from store.recording import read_rr_file
from store.streams import ACTIVITY_EPOCH, RR_INTERVAL
from store.timeseries import Batch, TimeSeriesStore
from store.units import NS_PER_S
from tests.influxd import OwnInfluxServer, influxd_binary

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
START_NS = 1_767_614_400_000_000_000  # 2026-01-05T12:00:00Z
HOUR_NS = 3600 * NS_PER_S
SETTINGS = FeatureSettings()
RECORDS = ("nsr001", "nsr020", "chf201", "healthy003")
DAY_H, NIGHT_H = 24, 10
"""Hours of beats a night: a strap worn day and night, and one worn to bed."""
NIGHTS = 7
"""Of each person, where people are counted and where stores are compared."""
YEAR = 365
STORES = {"embedded": "embedded", "lake": "lake", "influx": "InfluxDB"}
_MEMORY_ARGUMENT = "memory"
_OF_THE_PAGE = {
    "night_cpu_s": "embedded: processor time of a night, beats of 24 h",
    **{f"{key}_s": f"{name}: wall time of a night" for key, name in STORES.items()},
    **{f"{key}_read_pct": f"{name}: share of it that is reading" for key, name in STORES.items()},
    **{f"{key}_mb": f"{name}: bytes of samples a night" for key, name in STORES.items()},
    "samples": "samples of a night, beats of 24 h",
    "writer_s": "... processor time of the one that writes, a night",
    "late_pct": "... processor time, of computing 1,000 nights",
    "idle_s": "1,000 people, nothing changed: a run takes",
    "memory_mb": f"{YEAR} nights of one person: memory at most",
}
"""Rows that docs/scaling.md is worked out from."""


@dataclass(frozen=True)
class Day:
    """A real recording of about a day, from time zero."""

    t_ns: np.ndarray
    rr_ms: np.ndarray


def run(*, is_full: bool) -> list[Row]:
    """Measure, in eight minutes on two cores; `is_full` has beats of 24 hours a night in place of ten.

    Writes the tables into docs/scaling.md.
    """
    if not (SHARED / "rr").is_dir():
        raise SystemExit(f"real recordings are needed: {SHARED / 'rr'} is not there")
    hours = DAY_H if is_full else NIGHT_H
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with clinic(root / "warm", [1], hours) as made:
            compute(made)
        rows = [*_stores(root), *_dask(root), *_growth(root, hours)]
    found = {row.name: row.value for row in rows}
    write({key: found[name] for key, name in _OF_THE_PAGE.items() if name in found})
    return rows


@functools.cache
def _days() -> list[Day]:
    days: list[Day] = []
    for name in RECORDS:
        read = read_rr_file(SHARED / "rr" / f"{name}.csv.gz")
        inside = (read.t_s >= 0) & (read.t_s < 86_400)
        days.append(Day(np.round(read.t_s[inside] * 1e9).astype(np.int64), read.rr_ms[inside]))
    return days


@functools.cache
def _movement() -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(SHARED / "walch2019" / "dev_activity_counts_15s.csv.gz")
    subject = table["subject"].to_numpy(np.int64)
    first = subject == subject[0]
    t_s, counts = (table[name].to_numpy(float)[first] for name in ("t_s", "counts"))
    return (np.asarray(t_s, np.float64) * 1e9).round().astype(np.int64), np.asarray(counts, np.float64)


def night_of_person(subject_id: str, night: int, recording: int, hours: int) -> list[Batch]:
    """Return one night: hours of a recording from noon, or from nine, and movement of a real night."""
    day, (moved_ns, counts) = _days()[recording % len(RECORDS)], _movement()
    noon_ns = START_NS + night * DAY_H * HOUR_NS
    begin_ns = noon_ns if hours == DAY_H else noon_ns + 9 * HOUR_NS
    worn = day.t_ns < hours * HOUR_NS
    values = {name: np.full(len(counts), np.nan) for name in ACTIVITY_EPOCH.column_names()}
    values |= {"epoch_s": np.full(len(counts), 15.0), "counts": counts, "enmo_mg": counts}
    return [
        Batch(RR_INTERVAL, subject_id, "strap", begin_ns + day.t_ns[worn], {"rr_ms": day.rr_ms[worn]}),
        Batch(ACTIVITY_EPOCH, subject_id, "watch", noon_ns + 10 * HOUR_NS + moved_ns, values),
    ]


def fill(store: TimeSeriesStore, nights: Sequence[int], hours: int) -> None:
    """Write so many nights of each person, recordings in turn."""
    batches: list[Batch] = []
    for person, count in enumerate(nights):
        for night in range(count):
            batches += night_of_person(f"P{person:04d}", night, person + night, hours)
            if len(batches) >= 60:
                store.write(batches)
                batches = []
    store.write(batches)


@contextmanager
def clinic(folder: Path, nights: Sequence[int], hours: int) -> Generator[Installation]:
    """Make an installation with so many nights of each person."""
    made = Installation(folder)
    with made.registry() as registry, made.timeseries() as store:
        for k in range(len(nights)):
            registry.people.add_subject(f"P{k:04d}", "UTC")
        fill(store, nights, hours)
    yield made


def compute(made: Installation, **more: object) -> tuple[FeatureRun, float, float]:
    """Run the job; return how it went, seconds of the wall, and of processors, children included."""
    with made.registry() as registry, made.timeseries() as store:
        began_s, used_s = time.perf_counter(), _used_s()
        done = run_features(store, registry, SETTINGS, now_ns=1, **more)  # type: ignore[arg-type]
        return done, time.perf_counter() - began_s, _used_s() - used_s


def digest(store: TimeSeriesStore) -> int:
    """Return a hash of all that jobs wrote, who wrote it and when aside."""
    total = 0
    for stream in (NIGHT_STREAM, WINDOW_STREAM):
        for who in store.subjects(stream):
            held = store.read(stream, who)
            aside = {
                "job_id": np.full(len(held), "", object),
                "computed_ns": np.zeros(len(held), np.int64),
            }
            values = {**held.values, **{k: v for k, v in aside.items() if k in held.values}}
            total += total_of(sample_digest(stream, held.t_ns, values)).digest
    return total % 2**64


def digest_of(made: Installation) -> int:
    """Return `digest` of an installation."""
    with made.timeseries() as store:
        return digest(store)


def _used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _same(name: str, *, holds: bool) -> Row:
    return Row(name, float(holds), "", 1, "higher")


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _growth(root: Path, hours: int) -> list[Row]:
    rows: list[Row] = []
    costs: list[float] = []
    for people, nights in ((1, 4 * NIGHTS), (10, NIGHTS), (100, 1)):
        with clinic(root / f"grow{people}", [nights] * people, hours) as made:
            rows += _cost_with(people, made, costs)
    # One of the thousand has a year.
    with clinic(root / "grow1000", [YEAR] + [1] * 999, hours) as made:
        more = _cost_with(1000, made, costs)
        growth = costs[-1] / max(costs[:-1])
        rows += [*more, Row("a night costs with 1,000 people, of with fewer", growth, "x", 1.25)]
        whole_s = costs[-1] * (YEAR + 999)
        return [*rows, *_workers(made), *_late(made, whole_s)]


def _cost_with(people: int, made: Installation, costs: list[float]) -> list[Row]:
    """Compute everything, then nothing; return rows, and add what a night took to `costs`."""
    done, _, used_s = compute(made)
    _, again_s, _ = compute(made)
    costs.append(used_s / done.nights)
    return [
        Row(f"{people:,} people, {done.nights:,} nights: nights/s/core", 1 / costs[-1], "nights"),
        Row(f"{people:,} people, nothing changed: a run takes", again_s, "s", 2),
    ]


def _workers(made: Installation) -> list[Row]:
    # Rows that are there already are replaced in both runs, which costs more than to write the first ones.
    _, one_s, one_used_s = compute(made, is_all=True)
    reference = digest_of(made)
    load = os.getloadavg()[0]
    crew = PoolCrew(SourcePlace(str(made.store_place())), SETTINGS, 2)
    here_s = time.process_time()
    done, two_s, two_used_s = compute(made, is_all=True, crew=crew)
    here_s = time.process_time() - here_s
    named = f"2 workers, times as fast as 1 (load {load:.1f} before)"
    return [
        Row(named, one_s / two_s, "x", 1.7, "higher"),
        Row("... processor time they take, of that of one", two_used_s / one_used_s, "x"),
        Row("... processor time of the one that writes, a night", here_s / done.nights, "s"),
        _same("... result the same, bit for bit", holds=digest_of(made) == reference),
    ]


def _late(made: Installation, whole_s: float) -> list[Row]:
    """Let a beat in the middle of the year be late; compute the year again in a process of its own."""
    nights = YEAR + 999
    with made.timeseries() as store:
        late_ns = np.array([START_NS + (YEAR // 2) * DAY_H * HOUR_NS + 12 * HOUR_NS + 1])
        store.write([Batch(RR_INTERVAL, "P0000", "strap", late_ns, {"rr_ms": np.array([801.0])})])
    again, wall_s, late_s = compute(made)
    incremental = digest_of(made)
    asked = [sys.executable, "-m", "benchmarks.jobs", _MEMORY_ARGUMENT, str(made.home)]
    said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return [
        Row(f"one late beat among {nights:,} nights: computed again", again.nights, "nights", 8),
        Row("... processor time, of computing 1,000 nights", 100 * late_s / whole_s * nights / 1000, "%", 2),
        Row("... a run takes", wall_s, "s"),
        _same("... the year as computed again, bit for bit", holds=digest_of(made) == incremental),
        Row(f"{YEAR} nights of one person: memory at most", float(said), "MB", 500),
    ]


def _measure_memory(home: Path) -> None:
    made = Installation(home)
    with made.registry() as registry, made.timeseries() as store:
        crew = SerialCrew(store, SETTINGS)
        run_features(store, registry, SETTINGS, now_ns=1, subjects=["P0000"], is_all=True, crew=crew)
    # Not `ru_maxrss`: that begins with the memory of whoever started this process.
    said = Path("/proc/self/status").read_text()
    print(int(said.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)


def _stores(root: Path) -> list[Row]:
    """Compute the same week, beats of 24 hours a day, from each place that jobs can read."""
    with clinic(root / "embedded", [NIGHTS], DAY_H) as made:
        raw = _size(made.home) / NIGHTS
        with made.timeseries() as store:
            held = sum(store.count(stream, "P0000") for stream in (RR_INTERVAL, ACTIVITY_EPOCH))
            rows = list(_of_store("embedded", store, made))
            reference = digest(store)
        rows += [
            Row("embedded: bytes of samples a night", raw / 1e6, "MB"),
            Row("samples of a night, beats of 24 h", held / NIGHTS, ""),
        ]
        rows += _lake(root, made, reference)
        binary = influxd_binary()
        return rows if binary is None else [*rows, *_influx(root, binary, made, reference)]


def _lake(root: Path, made: Installation, reference: int) -> list[Row]:
    url = str(root / "lake")
    with made.timeseries() as store:
        synced = sync_lake(store, url)
    with Lake(url) as lake:
        done, lake_s, _ = compute(made, source=lake, is_all=True)
        read_s = _read_s(lake, made)
    return [
        Row("lake: wall time of a night", lake_s / done.nights, "s"),
        Row("lake: share of it that is reading", 100 * read_s / lake_s, "%"),
        Row("lake: bytes of samples a night", synced.bytes / NIGHTS / 1e6, "MB"),
        _same("lake: result as from the embedded store, bit for bit", holds=digest_of(made) == reference),
    ]


def _influx(root: Path, binary: str, made: Installation, reference: int) -> list[Row]:
    folder = root / "influx"
    folder.mkdir()
    os.environ["INFLUXD_STORAGE_CACHE_SNAPSHOT_WRITE_COLD_DURATION"] = "1s"  # its files soon hold all samples
    server = OwnInfluxServer(binary, folder)
    try:
        bucket = server.new_buckets()
        with server.open(bucket) as store:
            fill(store, [NIGHTS], DAY_H)
            rows = list(_of_store("InfluxDB", store, made))
            same = digest(store) == reference
            raw = _packed_size(folder / "engine", server.bucket_id(f"{bucket}-raw")) / NIGHTS
    finally:
        server.kill()
    return [
        *rows,
        Row("InfluxDB: bytes of samples a night", raw / 1e6, "MB"),
        _same("InfluxDB: result as from the embedded store, bit for bit", holds=same),
    ]


def _packed_size(engine: Path, bucket: str) -> int:
    """Return the bytes of a bucket's samples when its log was moved into its files."""
    for _ in range(60):
        if _size(engine / "wal" / bucket) < 1000:
            break
        time.sleep(0.5)
    # Its lists of series are made 32 MB long, however few there are.
    return sum(path.stat().st_size for path in (engine / "data" / bucket).rglob("*.tsm"))


def _of_store(name: str, store: TimeSeriesStore, made: Installation) -> Iterator[Row]:
    with made.registry() as registry:
        began_s, used_s = time.perf_counter(), _used_s()
        done = run_features(store, registry, SETTINGS, now_ns=1)
        whole_s, cpu_s = time.perf_counter() - began_s, _used_s() - used_s
    yield Row(f"{name}, beats of {DAY_H} h: nights/s/core", done.nights / cpu_s, "nights")
    yield Row(f"{name}: processor time of a night, beats of {DAY_H} h", cpu_s / done.nights, "s")
    yield Row(f"{name}: wall time of a night", whole_s / done.nights, "s")
    yield Row(f"{name}: share of it that is reading", 100 * _read_s(store, made) / whole_s, "%")


def _read_s(store: "TimeSeriesStore | Lake", made: Installation) -> float:
    with made.registry() as registry:
        zones = registry.people.zone_history("P0000")
        began_s = time.perf_counter()
        for span in nights_with_data(store, "P0000", zones):
            read_inputs(store, "P0000", span, {})
        return time.perf_counter() - began_s


def _dask(root: Path) -> list[Row]:
    try:
        import distributed
    except ImportError:
        return []
    from features.dask_crew import DaskCrew

    cluster_of: Callable[..., object] = distributed.LocalCluster  # type: ignore[attr-defined]
    with clinic(root / "dask", [NIGHTS] * 2, DAY_H) as made:
        compute(made)
        reference = digest_of(made)
        with cluster_of(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:  # type: ignore[attr-defined]
            crew = DaskCrew(cluster.scheduler_address, SourcePlace(str(made.store_place())), SETTINGS)  # type: ignore[attr-defined]
            done, _, _ = compute(made, is_all=True, crew=crew)
        same = digest_of(made) == reference
    named = f"Dask, 2 worker processes, {done.nights} nights: as serial, bit for bit"
    return [_same(named, holds=same)]


if __name__ == "__main__" and sys.argv[1:2] == [_MEMORY_ARGUMENT]:
    _measure_memory(Path(sys.argv[2]))
