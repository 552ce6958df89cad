"""How complete the data are: tables out of the ledger, for a screen or a page."""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from store.gaps import Gap, Reason, gap_hours
from store.ledger_digest import NS_PER_HOUR
from store.ledger_reading import DAY_NS
from store.units import NS_PER_S

_HOURS_A_DAY = 24
_COUNTED = {
    "counters": "sum(spooled) AS spooled, sum(acknowledged) AS acknowledged",
    "hours": (
        "sum(stored_count) AS stored, count(nullif(stored_count, 0)) AS hours, "
        "count(finding) AS wrong_hours, "
        "sum(basis = 'acknowledged' AND finding IS NULL AND stored_count > 0) AS proven_hours"
    ),
    "uses": (
        "sum(count) FILTER (WHERE purpose = 'features') AS used, "
        "sum(count) FILTER (WHERE purpose = 'export') AS exported"
    ),
}


@dataclass(frozen=True, slots=True)
class StreamDay:
    """How far the samples of one subject, UTC day and stream got, over all sensors.

    Attributes
    ----------
    subject_id : str
    day : date
    stream : str
    spooled, acknowledged : int
        By spools; a sample that was written again is acknowledged again.
    stored : int
        Counted in the store when it was last looked at.
    used, exported : int
        By features, and in what was exported of them.
    hours, proven_hours, wrong_hours : int
        Hours of a sensor with samples; those that the store held exactly as acknowledged; those that
        disagree.
    """

    subject_id: str
    day: date
    stream: str
    spooled: int
    acknowledged: int
    stored: int
    used: int
    exported: int
    hours: int
    proven_hours: int
    wrong_hours: int


@dataclass(frozen=True, slots=True)
class SubjectDay:
    """What one UTC day of a subject has of heartbeats, as of when it was reconciled.

    Attributes
    ----------
    day : date
    start_ns, end_ns : int
        The part of the day in which the subject was watched: from the first sample there ever was, at most
        until the day was looked at.
    reconciled_ns : int
    gaps : tuple of Gap
        Sorted, disjoint; all the rest of the part is covered.
    """

    subject_id: str
    day: date
    start_ns: int
    end_ns: int
    reconciled_ns: int
    gaps: tuple[Gap, ...]

    @property
    def gap_hours(self) -> Mapping[Reason, float]:
        """Hours without data by reason."""
        return gap_hours(self.gaps)

    @property
    def covered_h(self) -> float:
        """Hours with heart rate or beats of a worn sensor."""
        return (self.end_ns - self.start_ns) / NS_PER_HOUR - sum(self.gap_hours.values())

    def hourly_shares(self) -> list[float | None]:
        """Return the covered share of each UTC hour of the day; None where the subject was not watched."""
        midnight_ns = self.start_ns // DAY_NS * DAY_NS
        shares: list[float | None] = []
        for from_ns in range(midnight_ns, midnight_ns + DAY_NS, NS_PER_HOUR):
            hour = from_ns, from_ns + NS_PER_HOUR
            watched_ns = _shared_ns(hour, (self.start_ns, self.end_ns))
            lost_ns = sum(_shared_ns(hour, (gap.start_ns, gap.end_ns)) for gap in self.gaps)
            shares.append((watched_ns - lost_ns) / watched_ns if watched_ns else None)
        return shares


def stream_days(
    database: sqlite3.Connection, subjects: Sequence[str] | None, since_ns: int
) -> list[StreamDay]:
    """Return the table of `StreamDay`, sorted."""
    first = since_ns // DAY_NS * _HOURS_A_DAY
    counted: dict[tuple[str, int, str], dict[str, int]] = {}
    for table, columns in _COUNTED.items():
        cursor = database.execute(
            f"SELECT subject_id, hour / {_HOURS_A_DAY} AS day, stream, {columns} "  # noqa: S608 - of this file
            f"FROM series JOIN {table} USING (series_id) WHERE hour >= ? GROUP BY subject_id, day, stream",
            (first,),
        )
        names = [column[0] for column in cursor.description][3:]
        for who, day, stream, *values in _of(cursor, subjects):
            held = counted.setdefault((who, day, stream), {})
            held.update(zip(names, (value or 0 for value in values), strict=True))
    zero = dict.fromkeys(
        ("spooled", "acknowledged", "stored", "used", "exported", "hours", "proven_hours", "wrong_hours"), 0
    )
    return [
        StreamDay(who, _date(day), stream, **{**zero, **held})
        for (who, day, stream), held in sorted(counted.items())
    ]


def subject_days(
    database: sqlite3.Connection, subjects: Sequence[str] | None, since_ns: int
) -> list[SubjectDay]:
    """Return the table of `SubjectDay`, sorted."""
    first = since_ns // DAY_NS
    gaps: dict[tuple[str, int], list[Gap]] = {}
    query = "SELECT subject_id, day, start_ns, end_ns, reason FROM gaps WHERE day >= ? ORDER BY start_ns"
    for who, day, start_ns, end_ns, reason in _of(database.execute(query, (first,)), subjects):
        gaps.setdefault((who, day), []).append(Gap(start_ns, end_ns, Reason(reason)))
    days = database.execute(
        "SELECT subject_id, day, start_ns, end_ns, reconciled_ns FROM days "
        "WHERE day >= ? ORDER BY subject_id, day",
        (first,),
    )
    return [
        SubjectDay(who, _date(day), start_ns, end_ns, reconciled_ns, tuple(gaps.get((who, day), ())))
        for who, day, start_ns, end_ns, reconciled_ns in _of(days, subjects)
    ]


def disagreeing_hours(
    database: sqlite3.Connection, subjects: Sequence[str] | None, since_ns: int
) -> list[tuple[Any, ...]]:
    """Return (subject, stream, sensor, hour, finding, at least, stored) of hours that disagree, sorted."""
    query = (
        "SELECT subject_id, stream, sensor_id, hour, finding, at_least, stored_count "
        "FROM series JOIN hours USING (series_id) WHERE finding IS NOT NULL AND hour >= ?"
    )
    return sorted(_of(database.execute(query, (since_ns // NS_PER_HOUR,)), subjects))


def _of(rows: Iterable[tuple[Any, ...]], subjects: Sequence[str] | None) -> Iterable[tuple[Any, ...]]:
    return rows if subjects is None else (row for row in rows if row[0] in subjects)


def _shared_ns(one: tuple[int, int], other: tuple[int, int]) -> int:
    return max(0, min(one[1], other[1]) - max(one[0], other[0]))


def _date(day: int) -> date:
    return datetime.fromtimestamp(day * DAY_NS // NS_PER_S, UTC).date()
