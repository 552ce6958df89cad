"""Counters of a spool by series and UTC hour, for the ledger: kept in the transactions that they count."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ingest.records import Record
from ingest.samples import values_in
from ingest.settlement import Digested
from store.ledger_digest import NS_PER_HOUR, HourCounters, Total

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
_NEWEST = """
SELECT newest_ns FROM json_each(?) AS wanted LEFT JOIN series
ON subject_id = json_extract(wanted.value, '$[0]') AND stream = json_extract(wanted.value, '$[1]')
    AND sensor_id = json_extract(wanted.value, '$[2]')
ORDER BY wanted.key
"""
_SET_NEWEST = "REPLACE INTO series VALUES (?, ?, ?, ?)"
_EVER_NS = -(1 << 63)
_DIGESTS = """
SELECT digest FROM json_each(?) AS wanted LEFT JOIN hours
ON subject_id = json_extract(wanted.value, '$[0]') AND stream = json_extract(wanted.value, '$[1]')
    AND sensor_id = json_extract(wanted.value, '$[2]') AND hour = json_extract(wanted.value, '$[3]')
ORDER BY wanted.key
"""
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


def add_acknowledged(database: sqlite3.Connection, samples: Digested) -> None:
    """Count samples of records that are being forgotten, because the store has them."""
    if not len(samples.t_ns):
        return
    found = _looked_up(database, _NEWEST, samples.series)
    last_ns = np.array([_EVER_NS if held is None else held for held in found], np.int64)
    added = list(_by_hour(samples, last_ns))
    places = [(*samples.series[number], hour) for number, hour, *_ in added]
    digests = _looked_up(database, _DIGESTS, places)
    rows = [
        (*place, count, again, _signed(Total(0, held or 0) + Total(count, digest)))
        for place, held, (_, _, count, again, digest) in zip(places, digests, added, strict=True)
    ]
    database.executemany(_ADD_ACKNOWLEDGED, rows)
    np.maximum.at(last_ns, samples.index, samples.t_ns)
    lasts: list[int] = last_ns.tolist()
    newest = zip(samples.series, lasts, strict=True)
    database.executemany(_SET_NEWEST, [(*series, t_ns) for series, t_ns in newest])


def _by_hour(samples: Digested, newest_ns: NDArray[np.int64]) -> Iterator[tuple[int, int, int, int, int]]:
    """Yield (position in the series, hour, samples, those not later than one before, sum of digests)."""
    order = np.lexsort((samples.t_ns, samples.index))
    index, t_ns = samples.index[order], samples.t_ns[order]
    hour = t_ns // NS_PER_HOUR
    is_first = np.r_[True, index[1:] != index[:-1]]
    is_again = (t_ns <= newest_ns[index]) | (~is_first & (t_ns == np.r_[0, t_ns[:-1]]))
    begins = np.flatnonzero(is_first | np.r_[True, hour[1:] != hour[:-1]])
    columns: tuple[list[int], ...] = (
        index[begins].tolist(),
        hour[begins].tolist(),
        np.diff(np.r_[begins, len(index)]).tolist(),
        np.add.reduceat(is_again, begins, dtype=np.int64).tolist(),
        np.add.reduceat(samples.digests[order], begins).tolist(),
    )
    yield from zip(*columns, strict=True)


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


def _looked_up(
    database: sqlite3.Connection, query: str, keys: Sequence[tuple[str | int, ...]]
) -> list[int | None]:
    """Return one number for each key, None where there is none: one statement for all."""
    return [row[0] for row in database.execute(query, (json.dumps(keys),))]


def _signed(total: Total) -> int:
    """Return a digest as SQLite keeps it: its integers have a sign."""
    return total.digest - 2**64 if total.digest >= 2**63 else total.digest
