"""Counters of a spool by series and UTC hour, for the ledger: kept in the transactions that they count."""

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from ingest.records import Record
from ingest.samples import values_in
from ingest.settlement import Digested, SeriesKey
from store.ledger_digest import NS_PER_HOUR, HourCounters, Total, hourly_totals

KEPT_HOURS = 60 * 24
"""The ledger copies them every night; two months outlast any failure of that which someone looks at."""

SCHEMA = """
CREATE TABLE hours (
    subject_id TEXT NOT NULL, stream TEXT NOT NULL, sensor_id TEXT NOT NULL, hour INTEGER NOT NULL,
    spooled INTEGER NOT NULL DEFAULT 0, acknowledged INTEGER NOT NULL DEFAULT 0,
    rewritten INTEGER NOT NULL DEFAULT 0, digest INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (subject_id, stream, sensor_id, hour)
) WITHOUT ROWID;
CREATE TABLE series (
    subject_id TEXT NOT NULL, stream TEXT NOT NULL, sensor_id TEXT NOT NULL, newest_ns INTEGER NOT NULL,
    PRIMARY KEY (subject_id, stream, sensor_id)
) WITHOUT ROWID;
"""
_NEWEST = "SELECT newest_ns FROM series WHERE subject_id = ? AND stream = ? AND sensor_id = ?"
_DIGEST = "SELECT digest FROM hours WHERE subject_id = ? AND stream = ? AND sensor_id = ? AND hour = ?"
_ADD_SPOOLED = """
INSERT INTO hours (subject_id, stream, sensor_id, hour, spooled) VALUES (?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET spooled = spooled + excluded.spooled
"""
_ADD_ACKNOWLEDGED = """
INSERT INTO hours (subject_id, stream, sensor_id, hour, acknowledged, rewritten, digest)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET acknowledged = acknowledged + excluded.acknowledged,
    rewritten = rewritten + excluded.rewritten, digest = excluded.digest
"""


def counted(records: Iterable[Record]) -> dict[tuple[str, str, str, int], int]:
    """Return how many samples some records bring by themselves, by series and hour of their arrival."""
    counts: dict[tuple[str, str, str, int], int] = {}
    for record in records:
        hour = record.wall_ns // NS_PER_HOUR
        for stream, count in values_in(record).items():
            key = (record.subject_id, stream, record.sensor_id, hour)
            counts[key] = counts.get(key, 0) + count
    return counts


def add_spooled(database: sqlite3.Connection, counts: Mapping[tuple[str, str, str, int], int]) -> None:
    """Count samples of records that are being spooled."""
    database.executemany(_ADD_SPOOLED, [(*key, count) for key, count in counts.items()])


def add_acknowledged(database: sqlite3.Connection, samples: Mapping[SeriesKey, Digested]) -> None:
    """Count samples of records that are being forgotten, because the store has them."""
    for series, digested in samples.items():
        newest_ns = _newest_ns(database, series)
        rewritten = _rewritten_by_hour(digested, newest_ns)
        rows = [
            (*series, hour, total.count, rewritten[hour], _signed(_digest(database, series, hour) + total))
            for hour, total in hourly_totals(digested.t_ns, digested.digests).items()
        ]
        database.executemany(_ADD_ACKNOWLEDGED, rows)
        newest_ns = (
            int(digested.t_ns.max()) if newest_ns is None else max(newest_ns, int(digested.t_ns.max()))
        )
        database.execute("REPLACE INTO series VALUES (?, ?, ?, ?)", (*series, newest_ns))


def hours(database: sqlite3.Connection, since_hour: int) -> list[HourCounters]:
    """Return the counters of the hours from `since_hour` on, sorted."""
    rows = database.execute(
        "SELECT subject_id, stream, sensor_id, hour, spooled, acknowledged, rewritten, digest FROM hours "
        "WHERE hour >= ? ORDER BY subject_id, stream, sensor_id, hour",
        (since_hour,),
    )
    return [HourCounters(*row[:-1], digest=row[-1] % 2**64) for row in rows]


def prune(database: sqlite3.Connection, now_ns: int) -> None:
    """Forget hours that are older than `KEPT_HOURS`."""
    database.execute("DELETE FROM hours WHERE hour < ?", (now_ns // NS_PER_HOUR - KEPT_HOURS,))


def _newest_ns(database: sqlite3.Connection, series: SeriesKey) -> int | None:
    row = database.execute(_NEWEST, series).fetchone()
    return None if row is None else row[0]


def _digest(database: sqlite3.Connection, series: SeriesKey, hour: int) -> Total:
    row = database.execute(_DIGEST, (*series, hour)).fetchone()
    return Total(0, 0 if row is None else row[0])


def _signed(total: Total) -> int:
    """Return a digest as SQLite keeps it: its integers have a sign."""
    return total.digest - 2**64 if total.digest >= 2**63 else total.digest


def _rewritten_by_hour(digested: Digested, newest_ns: int | None) -> Counter[int]:
    """Return how many samples are not later than one before, and may have replaced it."""
    t_ns = np.sort(digested.t_ns)
    is_again = np.r_[False, t_ns[1:] == t_ns[:-1]]
    if newest_ns is not None:
        is_again |= t_ns <= newest_ns
    return Counter((t_ns[is_again] // NS_PER_HOUR).tolist())
