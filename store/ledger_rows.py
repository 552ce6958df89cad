"""Rows of the ledger's file: each function is part of one transaction of `store.ledger`."""

import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from store.gaps import Gap
from store.ledger_digest import NS_PER_HOUR, HourCounters, Total
from store.ledger_reading import HourKey
from store.ledger_verdict import Basis, Finding, Growth, Verdict

SeriesKey = tuple[str, str, str]
"""Subject, stream name, sensor."""


class Counted(NamedTuple):
    """One spool's counters of an hour, now and when it was sealed; digests as SQLite keeps them."""

    source_id: int
    acknowledged: int
    rewritten: int
    digest: int
    sealed_acknowledged: int
    sealed_rewritten: int
    sealed_digest: int

    def growth(self, *, is_alone: bool) -> Growth:
        """Return what came since the seal; `is_alone` if nobody else wrote what was sealed."""
        now = Total(self.acknowledged, _unsigned(self.digest))
        total = now - Total(self.sealed_acknowledged, _unsigned(self.sealed_digest))
        new = total.count - (self.rewritten - self.sealed_rewritten) if is_alone else 0
        return Growth(total, new, self.acknowledged - self.rewritten)


@dataclass
class KnownHour:
    """What the ledger knows of an hour before it is compared.

    Attributes
    ----------
    seal : Total or None
        What the store must hold, but for `growth`.
    stored : Total or None
        What it held when last looked at.
    finding : str or None
    counted : list of Counted
    """

    seal: Total | None = None
    stored: Total | None = None
    finding: str | None = None
    counted: list[Counted] = field(default_factory=list[Counted])

    def growth(self) -> list[Growth]:
        """Return what spools acknowledged since the seal."""
        sealed = sum(one.sealed_acknowledged for one in self.counted)
        held = 0 if self.seal is None else self.seal.count
        return [
            one.growth(is_alone=0 < held <= one.sealed_acknowledged == sealed)
            for one in self.counted
            if one.acknowledged > one.sealed_acknowledged
        ]


Comparison = dict[HourKey, tuple[KnownHour, Total, Verdict]]
"""For each hour what was known, what the store holds, and what follows."""


def take_counters(
    database: sqlite3.Connection, source: str, counters: Iterable[HourCounters], now_ns: int
) -> int:
    """Keep a spool's counters where they are news; return how many hours have more acknowledged."""
    source_id = _source_id(database, source, now_ns)
    held = _held_counts(database, source_id)
    news = [row for row in counters if held.get(_key(row), (0, 0)) != (row.spooled, row.acknowledged)]
    ids = _series_ids(database, {(row.subject_id, row.stream, row.sensor_id) for row in news})
    rows = [(ids[row.subject_id, row.stream, row.sensor_id], row) for row in news]
    database.executemany(
        "INSERT INTO counters (series_id, hour, source_id, spooled, acknowledged, rewritten, digest) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET spooled = excluded.spooled, "
        "acknowledged = excluded.acknowledged, rewritten = excluded.rewritten, digest = excluded.digest "
        "WHERE excluded.acknowledged >= acknowledged",
        [
            (k, row.hour, source_id, row.spooled, row.acknowledged, row.rewritten, _signed(row.digest))
            for k, row in rows
        ],
    )
    grown = [(k, row.hour) for k, row in rows if row.acknowledged > held.get(_key(row), (0, 0))[1]]
    _mark_changed(database, grown)
    return len(grown)


def replace_waiting(
    database: sqlite3.Connection, source: str, waiting: Mapping[tuple[str, str], int]
) -> None:
    """Keep since when each (subject, sensor) has records waiting in a spool."""
    source_id = database.execute("SELECT source_id FROM sources WHERE name = ?", (source,)).fetchone()[0]
    database.execute("DELETE FROM waiting WHERE source_id = ?", (source_id,))
    database.executemany(
        "INSERT INTO waiting VALUES (?, ?, ?, ?)",
        [(source_id, *sensor, since_ns) for sensor, since_ns in waiting.items()],
    )


def forget_waiting(database: sqlite3.Connection, kept: Collection[str]) -> None:
    """Forget what waits in every spool but those of `kept`."""
    for source_id, name in database.execute("SELECT source_id, name FROM sources").fetchall():
        if name not in kept:
            database.execute("DELETE FROM waiting WHERE source_id = ?", (source_id,))


def waiting_since_ns(database: sqlite3.Connection, subject_id: str) -> dict[str, int]:
    """Return since when each sensor of a subject has records waiting in any spool."""
    query = "SELECT sensor_id, min(since_ns) FROM waiting WHERE subject_id = ? GROUP BY sensor_id"
    return dict(database.execute(query, (subject_id,)).fetchall())


def known_hours(
    database: sqlite3.Connection, subject_id: str, first: int, end: int
) -> dict[HourKey, KnownHour]:
    """Return what the ledger knows of a subject's hours `[first, end)`."""
    among = (subject_id, first, end)
    found: dict[HourKey, KnownHour] = {}
    for stream, sensor, hour, *held in database.execute(
        "SELECT stream, sensor_id, hour, seal_count, seal_digest, stored_count, stored_digest, finding "
        "FROM series JOIN hours USING (series_id) WHERE subject_id = ? AND hour >= ? AND hour < ?",
        among,
    ):
        found[stream, sensor, hour] = KnownHour(_total(*held[:2]), _total(*held[2:4]), held[4])
    for stream, sensor, hour, source_id, count, rewritten, digest, *sealed in database.execute(
        "SELECT stream, sensor_id, hour, source_id, acknowledged, rewritten, digest, "
        "sealed_acknowledged, sealed_rewritten, sealed_digest FROM series JOIN counters USING (series_id) "
        "WHERE subject_id = ? AND hour >= ? AND hour < ?",
        among,
    ):
        known = found.setdefault((stream, sensor, hour), KnownHour())
        known.counted.append(Counted(source_id, count, rewritten, digest, *sealed))
    return found


def keep_verdicts(database: sqlite3.Connection, subject_id: str, comparison: Comparison, now_ns: int) -> int:
    """Keep what is new in a comparison; return how many hours were sealed."""
    news = {key: held for key, held in comparison.items() if _is_news(*held)}
    ids = _series_ids(database, {(subject_id, stream, sensor) for stream, sensor, _ in news})
    where = {key: (ids[subject_id, key[0], key[1]], key[2]) for key in news}
    # What spools acknowledged was marked when it was copied; here only what nobody announced.
    _mark_changed(database, [where[key] for key, held in news.items() if _is_surprise(*held)])
    for key, (hour, stored, verdict) in news.items():
        _keep_stored(database, where[key], stored, verdict)
        if verdict.basis is not None:
            _seal(database, where[key], stored, verdict.basis, now_ns)
            _count_into_seal(database, where[key], hour)
    return sum(verdict.basis is not None for _, _, verdict in news.values())


def keep_gaps(
    database: sqlite3.Connection,
    subject_id: str,
    day: int,
    watched_ns: tuple[int, int],
    gaps: Sequence[Gap],
    now_ns: int,
) -> None:
    """Keep the gaps of a part of a day instead of what was kept of that day before."""
    row = (subject_id, day, *watched_ns, now_ns)
    database.execute("INSERT OR REPLACE INTO days VALUES (?, ?, ?, ?, ?)", row)
    database.execute("DELETE FROM gaps WHERE subject_id = ? AND day = ?", (subject_id, day))
    database.executemany(
        "INSERT INTO gaps VALUES (?, ?, ?, ?, ?)",
        [(subject_id, day, gap.start_ns, gap.end_ns, gap.reason.value) for gap in gaps],
    )


def count_uses(
    database: sqlite3.Connection, purpose: str, series: SeriesKey, used: Iterable[tuple[int, int, int]]
) -> None:
    """Keep how many samples were used, as (hour, part of the hour, count)."""
    series_id = _series_ids(database, [series])[series]
    database.executemany(
        "INSERT OR REPLACE INTO uses VALUES (?, ?, ?, ?, ?)",
        [(series_id, hour, purpose, part, count) for hour, part, count in used],
    )


def export_uses(database: sqlite3.Connection, subject_id: str, start_ns: int, end_ns: int) -> None:
    """Count what features used in an interval as exported."""
    database.execute(
        "INSERT OR REPLACE INTO uses SELECT series_id, hour, 'export', part, count "
        "FROM series JOIN uses USING (series_id) WHERE subject_id = ?1 AND purpose = 'features' "
        "AND hour * ?2 + part >= ?3 AND hour * ?2 + part < ?4",
        (subject_id, NS_PER_HOUR, start_ns, end_ns),
    )


def note_accepted(
    database: sqlite3.Connection, now_ns: int, subject_id: str, key: HourKey, finding: Finding, why: str
) -> None:
    """Keep that a person accepted a difference."""
    database.execute(
        "INSERT INTO accepted VALUES (?, ?, ?, ?, ?, ?, ?)", (now_ns, subject_id, *key, finding.value, why)
    )


def forget_subject(database: sqlite3.Connection, subject_id: str) -> None:
    """Remove every row about a subject."""
    mine = "(SELECT series_id FROM series WHERE subject_id = ?)"
    for table in ("counters", "hours", "uses"):
        database.execute(f"DELETE FROM {table} WHERE series_id IN {mine}", (subject_id,))  # noqa: S608
    for table in ("series", "days", "gaps", "waiting", "accepted"):
        database.execute(f"DELETE FROM {table} WHERE subject_id = ?", (subject_id,))  # noqa: S608


def newest_mark(database: sqlite3.Connection) -> int:
    """Return the largest mark there is."""
    return int(database.execute("SELECT newest FROM mark").fetchone()[0])


def _key(row: HourCounters) -> tuple[str, str, str, int]:
    return row.subject_id, row.stream, row.sensor_id, row.hour


def _source_id(database: sqlite3.Connection, name: str, now_ns: int) -> int:
    database.execute(
        "INSERT INTO sources (name, copied_ns) VALUES (?, ?) "
        "ON CONFLICT (name) DO UPDATE SET copied_ns = excluded.copied_ns",
        (name, now_ns),
    )
    return int(database.execute("SELECT source_id FROM sources WHERE name = ?", (name,)).fetchone()[0])


def _series_ids(database: sqlite3.Connection, keys: Collection[SeriesKey]) -> dict[SeriesKey, int]:
    """Return the ids of some series, made where they are new."""
    database.executemany(
        "INSERT OR IGNORE INTO series (subject_id, stream, sensor_id) VALUES (?, ?, ?)", sorted(keys)
    )
    query = "SELECT series_id FROM series WHERE subject_id = ? AND stream = ? AND sensor_id = ?"
    return {key: database.execute(query, key).fetchone()[0] for key in keys}


def _held_counts(
    database: sqlite3.Connection, source_id: int
) -> dict[tuple[str, str, str, int], tuple[int, int]]:
    query = (
        "SELECT subject_id, stream, sensor_id, hour, spooled, acknowledged "
        "FROM series JOIN counters USING (series_id) WHERE source_id = ?"
    )
    rows = database.execute(query, (source_id,))
    return {
        (who, stream, sensor, hour): (spooled, acked) for who, stream, sensor, hour, spooled, acked in rows
    }


def _mark_changed(database: sqlite3.Connection, hours: Collection[tuple[int, int]]) -> None:
    if not hours:
        return
    database.execute("UPDATE mark SET newest = newest + 1")
    mark = newest_mark(database)
    database.executemany(
        "INSERT INTO hours (series_id, hour, change) VALUES (?, ?, ?) "
        "ON CONFLICT DO UPDATE SET change = excluded.change",
        [(series_id, hour, mark) for series_id, hour in hours],
    )


def _is_news(hour: KnownHour, stored: Total, verdict: Verdict) -> bool:
    return verdict.basis is not None or hour.stored != stored or hour.finding != verdict.finding


def _is_surprise(hour: KnownHour, stored: Total, verdict: Verdict) -> bool:
    if hour.stored == stored:
        return False
    return verdict.finding is not None or verdict.basis in (Basis.FOUND, Basis.REWRITTEN, Basis.ACCEPTED)


def _keep_stored(
    database: sqlite3.Connection, where: tuple[int, int], stored: Total, verdict: Verdict
) -> None:
    database.execute(
        "INSERT INTO hours "
        "(series_id, hour, stored_count, stored_digest, finding, at_least, at_most, change) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0) ON CONFLICT DO UPDATE SET stored_count = excluded.stored_count, "
        "stored_digest = excluded.stored_digest, finding = excluded.finding, at_least = excluded.at_least, "
        "at_most = excluded.at_most",
        (
            *where,
            stored.count,
            _signed(stored.digest),
            verdict.finding,
            verdict.at_least,
            verdict.at_most,
        ),
    )


def _seal(
    database: sqlite3.Connection, where: tuple[int, int], stored: Total, basis: Basis, now_ns: int
) -> None:
    database.execute(
        "UPDATE hours SET seal_count = ?, seal_digest = ?, basis = ?, sealed_ns = ? "
        "WHERE series_id = ? AND hour = ?",
        (stored.count, _signed(stored.digest), basis, now_ns, *where),
    )


def _count_into_seal(database: sqlite3.Connection, where: tuple[int, int], hour: KnownHour) -> None:
    # As they were when they were compared: more may have been copied since.
    database.executemany(
        "UPDATE counters SET sealed_acknowledged = ?, sealed_rewritten = ?, sealed_digest = ? "
        "WHERE series_id = ? AND hour = ? AND source_id = ?",
        [
            (one.acknowledged, one.rewritten, one.digest, *where, one.source_id)
            for one in hour.counted
            if one.acknowledged > one.sealed_acknowledged
        ],
    )


def _total(count: int | None, digest: int | None) -> Total | None:
    return None if count is None or digest is None else Total(count, _unsigned(digest))


def _signed(digest: int) -> int:
    """Return 64 bits as SQLite's signed integer."""
    return digest - 2**64 if digest >= 2**63 else digest


def _unsigned(held: int) -> int:
    return held % 2**64
