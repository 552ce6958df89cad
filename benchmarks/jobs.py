"""Nightly jobs on real heartbeats and movement: cost of a night, how it grows, workers, stores, late data."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

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
DAY_NS = 86_400 * NS_PER_S
SETTINGS = FeatureSettings()
RECORDS = ("nsr001", "nsr020", "chf201", "healthy003")
NIGHTS = 7
"""Of each person, where people are counted."""
MEMORY_NIGHTS = 365
_MEMORY_ARGUMENT = "memory"


@dataclass(frozen=True)
class Day:
    """A real recording of about a day, from time zero."""

    t_ns: np.ndarray
    rr_ms: np.ndarray


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes 1,000 people of one night each and 1,000 nights (20 minutes)."""
    if not (SHARED / "rr").is_dir():
        raise SystemExit(f"real recordings are needed: {SHARED / 'rr'} is not there")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        return [
            *_growth(root, (1, 10, 100, 1000) if is_full else (1, 10, 50)),
            *_workers(root),
            *_late(root, 1000 if is_full else 200),
            *_stores(root),
            *_dask(root),
            *_memory(root),
        ]


def _days() -> list[Day]:
    days: list[Day] = []
    for name in RECORDS:
        read = read_rr_file(SHARED / "rr" / f"{name}.csv.gz")
        inside = (read.t_s >= 0) & (read.t_s < 86_400)
        days.append(Day(np.round(read.t_s[inside] * 1e9).astype(np.int64), read.rr_ms[inside]))
    return days


def _movement() -> tuple[np.ndarray, np.ndarray]:
    table = pd.read_csv(SHARED / "walch2019" / "dev_activity_counts_15s.csv.gz")
    subject = table["subject"].to_numpy(np.int64)
    first = subject == subject[0]
    t_s, counts = (table[name].to_numpy(float)[first] for name in ("t_s", "counts"))
    return (np.asarray(t_s, np.float64) * 1e9).round().astype(np.int64), np.asarray(counts, np.float64)


def fill(store: TimeSeriesStore, subject_id: str, nights: int) -> None:
    """Write nights of one person: recordings in turn, each from noon, and movement of a real night."""
    days, (moved_ns, counts) = _days(), _movement()
    for k in range(nights):
        day, noon_ns = days[k % len(days)], START_NS + k * DAY_NS
        values = {name: np.full(len(counts), np.nan) for name in ACTIVITY_EPOCH.column_names()}
        values |= {"epoch_s": np.full(len(counts), 15.0), "counts": counts, "enmo_mg": counts}
        store.write(
            [
                Batch(RR_INTERVAL, subject_id, "strap", noon_ns + day.t_ns, {"rr_ms": day.rr_ms}),
                Batch(ACTIVITY_EPOCH, subject_id, "watch", noon_ns + 10 * 3600 * NS_PER_S + moved_ns, values),
            ]
        )


@contextmanager
def clinic(folder: Path, people: int, nights: int) -> Generator[Installation]:
    """Make an installation with people who all have the same nights."""
    made = Installation(folder)
    with made.registry() as registry, made.timeseries() as store:
        for k in range(people):
            registry.people.add_subject(f"P{k:04d}", "UTC")
            fill(store, f"P{k:04d}", nights)
    yield made


def compute(made: Installation, **more: object) -> tuple[FeatureRun, float, float]:
    """Run the job; return how it went, seconds of the wall, and of processors, children included."""
    with made.registry() as registry, made.timeseries() as store:
        began_s, used_s = time.perf_counter(), _used_s()
        done = run_features(store, registry, SETTINGS, now_ns=1, **more)  # type: ignore[arg-type]
        return done, time.perf_counter() - began_s, _used_s() - used_s


def digest(made: Installation) -> int:
    """Return a hash of all that jobs wrote, who wrote it and when aside."""
    total = 0
    with made.timeseries() as store:
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


def _used_s() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


def _growth(root: Path, sizes: Sequence[int]) -> list[Row]:
    with clinic(root / "warm", 1, 1) as made:
        compute(made)
    rows: list[Row] = []
    costs: list[float] = []
    for people in sizes:
        nights = NIGHTS if people < 100 else 1
        with clinic(root / f"grow{people}", people, nights) as made:
            done, _, used_s = compute(made)
            again, wall_s, _ = compute(made)
        costs.append(used_s / done.nights)
        rows.append(
            Row(
                f"{people:,} people, {done.nights:,} nights: nights per processor second",
                1 / costs[-1],
                "nights/s",
            )
        )
        rows.append(Row(f"... nothing changed, {again.nights} computed: a run takes", wall_s, "s", 3))
    rows.append(Row("a night costs with most people, of with few", costs[-1] / max(costs[:-1]), "x", 1.25))
    return rows


def _workers(root: Path) -> list[Row]:
    with clinic(root / "workers", 4, NIGHTS) as made:
        _, one_s, one_used_s = compute(made, is_all=True)
        reference = digest(made)
        place = SourcePlace(str(made.store_place()))
        _, two_s, two_used_s = compute(made, is_all=True, crew=PoolCrew(place, SETTINGS, 2))
        same = digest(made) == reference
        _, start_s, _ = compute(made, subjects=["P0000"], is_all=True, crew=PoolCrew(place, SETTINGS, 2))
        single, _, _ = compute(made, subjects=["P0000"], is_all=True)
    load = os.getloadavg()[0]
    return [
        Row(
            f"2 workers, times as fast as 1 (load {load:.1f}; wants two idle cores)",
            one_s / two_s,
            "x",
            1.7,
            "higher",
        ),
        Row("... processor time they take, of that of one", two_used_s / one_used_s, "x"),
        Row("... result the same, bit for bit", float(same), "", 1, "higher"),
        Row(f"... {single.nights} nights of one person with them", start_s, "s"),
    ]


def _late(root: Path, nights: int) -> list[Row]:
    with clinic(root / "late", 1, nights) as made:
        done, _, whole_s = compute(made)
        with made.timeseries() as store:
            late_ns = START_NS + (nights // 2) * DAY_NS + 9 * 3600 * NS_PER_S
            store.write(
                [Batch(RR_INTERVAL, "P0000", "strap", np.array([late_ns + 1]), {"rr_ms": np.array([801.0])})]
            )
        again, _, late_s = compute(made)
        incremental = digest(made)
        compute(made, is_all=True)
        same = digest(made) == incremental
    share = 100 * late_s / whole_s * (done.nights / 1000)
    return [
        Row(f"one late beat among {done.nights:,} nights: computed again", again.nights, "nights", 8),
        Row("... processor time, of computing 1,000 nights", share, "%", 2),
        Row("... result as of computing everything, bit for bit", float(same), "", 1, "higher"),
    ]


def _stores(root: Path) -> list[Row]:
    with clinic(root / "embedded", 1, NIGHTS) as made:
        rows = _reading("embedded", made)
        synced = sync_lake(made.timeseries(), str(root / "lake"))
        with Lake(str(root / "lake")) as lake:
            reference = digest(made)
            _, lake_s, _ = compute(made, source=lake, is_all=True)
            rows.append(
                Row(
                    "lake: result as from the store, bit for bit",
                    float(digest(made) == reference),
                    "",
                    1,
                    "higher",
                )
            )
            rows.append(Row("lake: bytes per sample", synced.bytes / synced.samples, "B"))
            rows.append(Row("lake: wall time of a night", lake_s / NIGHTS, "s"))
    binary = influxd_binary()
    if binary is None:
        return rows
    server = OwnInfluxServer(binary, root / "influx")
    try:
        with server.open(server.new_buckets()) as store, made.registry() as registry:
            fill(store, "P0000", NIGHTS)
            began_s = time.perf_counter()
            done = run_features(store, registry, SETTINGS, now_ns=1)
            whole_s = time.perf_counter() - began_s
            read_s = _read_s(store, made)
            rows += [
                Row("InfluxDB: wall time of a night", whole_s / done.nights, "s"),
                Row("InfluxDB: share of it that is reading", 100 * read_s / whole_s, "%"),
            ]
    finally:
        server.kill()
    return rows


def _reading(name: str, made: Installation) -> list[Row]:
    done, whole_s, _ = compute(made)
    with made.timeseries() as store:
        read_s = _read_s(store, made)
    return [
        Row(f"{name}: wall time of a night", whole_s / done.nights, "s"),
        Row(f"{name}: share of it that is reading", 100 * read_s / whole_s, "%"),
    ]


def _read_s(store: TimeSeriesStore, made: Installation) -> float:
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
    with clinic(root / "dask", 2, NIGHTS) as made:
        compute(made)
        reference = digest(made)
        with cluster_of(n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True) as cluster:  # type: ignore[attr-defined]
            crew = DaskCrew(cluster.scheduler_address, SourcePlace(str(made.store_place())), SETTINGS)  # type: ignore[attr-defined]
            done, _, _ = compute(made, is_all=True, crew=crew)
        same = digest(made) == reference
    return [
        Row(
            f"Dask, 2 worker processes, {done.nights} nights: the same, bit for bit",
            float(same),
            "",
            1,
            "higher",
        )
    ]


def _memory(root: Path) -> list[Row]:
    """Compute a year of one person in a process of its own, and ask how much memory it took."""
    with clinic(root / "year", 1, MEMORY_NIGHTS) as made:
        asked = [sys.executable, "-m", "benchmarks.jobs", _MEMORY_ARGUMENT, str(made.home)]
        said = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    return [Row(f"{MEMORY_NIGHTS} nights of one person: memory at most", float(said), "MB", 500)]


def _measure_memory(home: Path) -> None:
    made = Installation(home)
    with made.registry() as registry, made.timeseries() as store:
        run_features(store, registry, SETTINGS, now_ns=1, crew=SerialCrew(store, SETTINGS))
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


if __name__ == "__main__" and sys.argv[1:2] == [_MEMORY_ARGUMENT]:
    _measure_memory(Path(sys.argv[2]))
