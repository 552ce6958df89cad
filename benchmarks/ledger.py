"""The ledger: what was lost or changed behind the store's back is found, all of it and nothing else."""

import json
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np

from benchmarks.table import Row
from store.clock import VirtualClock
from store.ledger import Ledger, Reconciled
from store.ledger_digest import NS_PER_HOUR, HourCounters, hourly_totals, sample_digest
from store.ledger_verdict import Finding
from store.sqlite import SqliteTimeSeries
from store.sqlite_connection import SqliteConnection
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import Batch, TimeSeriesStore
from store.units import NS_PER_S
from tests.influxd import InfluxServer, OwnInfluxServer, influxd_binary

FIRST_DAY_NS = 20_454 * 24 * NS_PER_HOUR
"""2026-01-01."""
DAY_NS = 24 * NS_PER_HOUR
SENSOR = "C0:5E:00:00:00:01"

_Injected = dict[tuple[str, str, int], Finding]
Delete = Callable[[str, str, int], None]
"""Takes a stream's name, a subject and a time, and deletes that sample behind everybody's back."""


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes 10 M samples and 1,000 injections instead of 1 M and 150.

    On InfluxDB only where there is one.
    """
    size = (9, 6, 1_000) if is_full else (2, 3, 150)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "samples.sqlite"
        with SqliteTimeSeries(path) as store:
            rows = _rows("embedded", store, partial(_delete_embedded, path), Path(folder), size, goal_ms=50)
    return rows + _influx_rows(size)


def _influx_rows(size: tuple[int, int, int]) -> list[Row]:
    binary = influxd_binary()
    if binary is None:
        return []
    with tempfile.TemporaryDirectory() as folder:
        server = OwnInfluxServer(binary, Path(folder))
        try:
            prefix = server.new_buckets()
            with server.open(prefix) as store:
                delete = partial(_delete_influx, server, f"{prefix}-raw")
                return _rows("InfluxDB", store, delete, Path(folder), size)
        finally:
            server.kill()


def _rows(
    kind: str,
    store: TimeSeriesStore,
    delete: Delete,
    folder: Path,
    size: tuple[int, int, int],
    *,
    goal_ms: float | None = None,
) -> list[Row]:
    people, days, injections = size
    ledger = Ledger(folder / "ledger.sqlite", VirtualClock(FIRST_DAY_NS + (days + 1) * DAY_NS))
    samples, copying_s = _fill(store, ledger, people, days)
    first, _ = _reconciled_all(store, ledger, people, days)
    reading_s = _reading_s(store, people, days)
    untouched, took_s = _reconciled_all(store, ledger, people, days)
    injected = _inject(store, delete, people, days, injections)
    found, _ = _reconciled_all(store, ledger, people, days)
    told = {(d.subject_id, d.stream, d.hour_ns // NS_PER_HOUR): d.finding for d in found.disagreements}
    missed = sum(told.get(key) != finding for key, finding in injected.items())
    day_ms = 1e3 * np.array(took_s)
    return [
        Row(f"{kind}: samples in the store", samples, "samples"),
        Row(f"{kind}: copying a spool's counters, one hour", 1e6 * copying_s, "us"),
        Row(f"{kind}: hours proven to be as acknowledged", first.sealed / first.hours, "of all", 1, "higher"),
        Row(f"{kind}: false alarms on an untouched store", len(untouched.disagreements), "hours", 0),
        Row(f"{kind}: deleted, changed or moved, one in an hour", len(injected), "samples"),
        Row(f"{kind}: of these not named rightly (subject, stream, hour)", missed, "hours", 0),
        Row(f"{kind}: named though nobody touched them", len(told.keys() - injected.keys()), "hours", 0),
        Row(f"{kind}: reconciling a subject-day, with gaps, median", float(np.median(day_ms)), "ms", goal_ms),
        Row(f"{kind}: reconciling a subject-day, p95", float(np.percentile(day_ms, 95)), "ms"),
        Row(f"{kind}: the same against merely reading it", sum(took_s) / reading_s, "times"),
        Row(f"{kind}: compared", untouched.samples / sum(took_s) / 1e6, "M samples/s"),
    ]


def _reading_s(store: TimeSeriesStore, people: int, days: int) -> float:
    began_s = time.perf_counter()
    for who in range(people):
        for day in range(days):
            start_ns = FIRST_DAY_NS + day * DAY_NS
            for stream in (HEART_RATE, RR_INTERVAL):
                store.read(stream, f"S{who:03d}", start_ns, start_ns + DAY_NS)
    return time.perf_counter() - began_s


def _fill(store: TimeSeriesStore, ledger: Ledger, people: int, days: int) -> tuple[int, float]:
    """Store days of a strap at one packet a second, with counters as a spool keeps them."""
    written, copying_s, hours = 0, 0.0, 0
    for who in range(people):
        for day in range(days):
            batches = _a_day(who, day)
            written += store.write(batches)
            counters = [c for batch in batches for c in counters_of(batch)]
            began_s = time.perf_counter()
            ledger.copy_counters(f"spool {who} {day}", counters, {})
            copying_s += time.perf_counter() - began_s
            hours += len(counters)
    return written, copying_s / hours


def _a_day(who: int, day: int) -> list[Batch]:
    rng = np.random.default_rng([who, day])
    start_ns = FIRST_DAY_NS + day * DAY_NS
    seconds_ns = start_ns + np.arange(86_400) * NS_PER_S
    rr_ms = np.round(rng.normal(820, 60, 110_000) * 1.024) / 1.024
    beats_ns = start_ns + np.cumsum(rr_ms * 1e6).astype(np.int64)
    is_today = beats_ns < start_ns + DAY_NS
    heart = {
        "heart_rate_bpm": np.round(rng.normal(73, 5, len(seconds_ns))),
        "skin_contact": np.ones(len(seconds_ns)),
        "energy_kj": np.full(len(seconds_ns), np.nan),
    }
    subject = f"S{who:03d}"
    return [
        Batch(HEART_RATE, subject, SENSOR, seconds_ns, heart),
        Batch(RR_INTERVAL, subject, SENSOR, beats_ns[is_today], {"rr_ms": rr_ms[is_today]}),
    ]


def counters_of(batch: Batch) -> Iterator[HourCounters]:
    """Yield what a spool counts when it acknowledges a batch."""
    digests = sample_digest(batch.stream, batch.t_ns, batch.values)
    for hour, total in hourly_totals(batch.t_ns, digests).items():
        yield HourCounters(
            batch.subject_id,
            batch.stream.name,
            batch.sensor_id,
            hour,
            total.count,
            total.count,
            0,
            total.digest,
        )


def _days(people: int, days: int) -> Iterator[tuple[str, date]]:
    for who in range(people):
        for day in range(days):
            yield f"S{who:03d}", datetime.fromtimestamp((FIRST_DAY_NS + day * DAY_NS) // NS_PER_S, UTC).date()


def _reconciled_all(
    store: TimeSeriesStore, ledger: Ledger, people: int, days: int
) -> tuple[Reconciled, list[float]]:
    done, took_s = Reconciled(), list[float]()
    for subject_id, day in _days(people, days):
        began_s = time.perf_counter()
        done += ledger.reconcile(store, subject_id, day, streams=(HEART_RATE.name, RR_INTERVAL.name))
        took_s.append(time.perf_counter() - began_s)
    return done, took_s


def _inject(store: TimeSeriesStore, delete: Delete, people: int, days: int, wanted: int) -> _Injected:
    """Delete samples, change the last bit of a value or move one by a nanosecond, one in an hour."""
    rng = np.random.default_rng(7)
    streams = (HEART_RATE, RR_INTERVAL)
    hours = [(who, stream, h) for who in range(people) for stream in streams for h in range(24 * days)]
    chosen = [hours[int(k)] for k in rng.permutation(len(hours))[:wanted]]
    injected: _Injected = {}
    for number, (who, stream, h) in enumerate(chosen):
        subject = f"S{who:03d}"
        start_ns = FIRST_DAY_NS + h * NS_PER_HOUR
        held = store.read(stream, subject, start_ns, start_ns + NS_PER_HOUR)
        k = int(rng.integers(len(held) - 1))
        column = stream.columns[0].name
        values = {name: array[k : k + 1].copy() for name, array in held.values.items()}
        kind = ("deleted", "changed", "moved")[number % 3]
        if kind != "changed":
            delete(stream.name, subject, int(held.t_ns[k]))
        if kind == "changed":
            values[column] = np.nextafter(values[column], np.inf)
        if kind != "deleted":
            store.write([Batch(stream, subject, SENSOR, held.t_ns[k : k + 1] + (kind == "moved"), values)])
        key = subject, stream.name, start_ns // NS_PER_HOUR
        injected[key] = Finding.MISSING if kind == "deleted" else Finding.CHANGED
    return injected


def _delete_embedded(path: Path, stream: str, subject: str, t_ns: int) -> None:
    behind = SqliteConnection(path, is_read_only=False)
    behind.rows(
        f"DELETE FROM samples_{stream} WHERE t_ns = ? AND series_id = "  # noqa: S608 - of this file
        "(SELECT series_id FROM series WHERE stream = ? AND subject_id = ?)",
        (t_ns, stream, subject),
    )
    behind.close()


def _delete_influx(server: InfluxServer, bucket: str, stream: str, subject: str, t_ns: int) -> None:
    second = datetime.fromtimestamp(t_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    at = f"{second}.{t_ns % NS_PER_S:09d}Z"
    body = {"start": at, "stop": at, "predicate": f'_measurement="{stream}" AND subject="{subject}"'}
    asked = Request(  # noqa: S310 - our own server
        f"{server.url}/api/v2/delete?org={server.org}&bucket={bucket}",
        json.dumps(body).encode(),
        {"Authorization": f"Token {server.token}"},
        method="POST",
    )
    with urlopen(asked, timeout=30):  # noqa: S310
        pass
