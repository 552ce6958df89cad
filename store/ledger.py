"""The ledger: proof that nothing went missing, and a note where something did.

For each subject, stream, sensor and UTC hour it knows what spools took in and what the store acknowledged to
them, with a hash of the samples; what the store really holds, counted and hashed from the store itself; and
what features and exports made use of. Reconciling compares the two. It keeps its own file: a store that
loses data does not lose the knowledge of them.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from store.clock import Clock
from store.gaps import gaps_of
from store.ledger_digest import NS_PER_HOUR, HourCounters, Total
from store.ledger_file import LedgerFile
from store.ledger_reading import DAY_NS, Held, HourKey, held_in, witnesses
from store.ledger_report import StreamDay, SubjectDay, disagreeing_hours, stream_days, subject_days
from store.ledger_rows import (
    Comparison,
    KnownHour,
    SeriesKey,
    count_uses,
    export_uses,
    forget_subject,
    forget_waiting,
    keep_gaps,
    keep_verdicts,
    known_hours,
    newest_mark,
    note_accepted,
    replace_waiting,
    take_counters,
    waiting_since_ns,
)
from store.ledger_verdict import Basis, Finding, Verdict, judge
from store.streams import STREAMS
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

SETTLING_NS = 120 * NS_PER_S
"""A beat is placed seconds after it was received, so that a sample may be stored well before its record is
acknowledged, and a little before the record's arrival."""

LEDGER_FILE = "ledger.sqlite"
"""Its name in the installation's directory."""

Purpose = Literal["features", "export"]
_LIMITS = np.iinfo(np.int64)


@dataclass(frozen=True)
class Use:
    """Samples of a series that something made use of, in one stretch of time.

    Attributes
    ----------
    series : (str, str, str)
        Subject, stream name and sensor.
    t_ns : (n,) int64
        Times of samples, or of groups of them that lie within one hour.
    counts : (n,) int
        Samples in each group.
    start_ns : int
        Where the stretch begins: the end of one and the start of the next may share an hour.
    """

    series: SeriesKey
    t_ns: NDArray[np.int64]
    counts: NDArray[np.integer]
    start_ns: int


@dataclass(frozen=True, slots=True)
class Disagreement:
    """An hour in which the store does not hold what it must.

    Attributes
    ----------
    hour_ns : int
        Start of the UTC hour, nanoseconds.
    expected : int
        Samples that it must hold at least.
    stored : int
        Samples that it holds.
    """

    subject_id: str
    stream: str
    sensor_id: str
    hour_ns: int
    finding: Finding
    expected: int
    stored: int


@dataclass(frozen=True, slots=True)
class Reconciled:
    """How reconciling went.

    Attributes
    ----------
    hours, samples : int
        Hours of a stream and sensor that were compared, and the samples read for it.
    sealed : int
        Hours that were sealed, or sealed anew.
    disagreements : tuple of Disagreement
    """

    hours: int = 0
    samples: int = 0
    sealed: int = 0
    disagreements: tuple[Disagreement, ...] = ()

    def __add__(self, other: "Reconciled") -> "Reconciled":
        return Reconciled(
            self.hours + other.hours,
            self.samples + other.samples,
            self.sealed + other.sealed,
            self.disagreements + other.disagreements,
        )


@dataclass(frozen=True, slots=True)
class Changes:
    """Which hours changed since a mark, and the mark to ask with next time."""

    mark: int
    hours: frozenset[tuple[str, str, int]]


class Ledger:
    """One installation's ledger. Methods may be called from any thread and process.

    Parameters
    ----------
    path : Path
        Its file; made if it does not exist.
    clock : Clock
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._file = LedgerFile(path)
        self._clock = clock

    def copy_counters(
        self, source: str, counters: Iterable[HourCounters], waiting: Mapping[tuple[str, str], int]
    ) -> int:
        """Take over what a spool counted; again changes nothing. Return how many hours grew.

        Parameters
        ----------
        source : str
            Names the spool, for ever: counters of one spool replace each other, those of several add up.
        counters : iterable of HourCounters
            Cumulative. Hours that a spool has forgotten keep what it said before.
        waiting : mapping of (subject, sensor) to int
            Arrival of the oldest record that each sensor still has in the spool, nanoseconds UTC.
        """
        with self._file.writing() as database:
            grown = take_counters(database, source, counters, self._clock.now_ns())
            replace_waiting(database, source, waiting)
        return grown

    def reconcile(  # noqa: PLR0913 - one call, every argument named
        self,
        store: TimeSeriesStore,
        subject_id: str,
        day: date,
        *,
        streams: Collection[str] = tuple(STREAMS),
        watched_ns: tuple[int, int] | None = None,
        withdrawn: Sequence[tuple[int, int]] = (),
        rate_withdrawn: Sequence[tuple[int, int]] = (),
        recount: Callable[[], object] = lambda: None,
    ) -> Reconciled:
        """Read one UTC day of a subject from the store, compare, seal what agrees and label the gaps.

        Parameters
        ----------
        streams : collection of str
            Streams the store may hold; those the ledger knows are looked at as well.
        watched_ns : (int, int), optional
            From when to when data are expected at all; by default always, until now.
        withdrawn : sequence of (int, int)
            When the subject agreed neither to heart rate nor to RR intervals, half-open, nanoseconds UTC.
        rate_withdrawn : sequence of (int, int)
            When the subject did not agree to heart rate.
        recount : callable
            Copies the spools' counters again. Samples arrive while the store is read: only what disagrees
            twice is a disagreement.
        """
        start_ns = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
        now_ns = self._clock.now_ns()
        comparison, held, waiting = self._compared(store, subject_id, start_ns, streams, now_ns)
        if any(verdict.finding for _, _, verdict in comparison.values()):
            recount()
            comparison, held, waiting = self._compared(store, subject_id, start_ns, streams, now_ns)
        from_ns, until_ns = watched_ns or (start_ns, now_ns)
        part_ns = max(from_ns, start_ns), max(from_ns, start_ns, min(until_ns, start_ns + DAY_NS))
        oldest_ns = min(waiting.values(), default=None)
        seen = witnesses(
            store,
            subject_id,
            *part_ns,
            held=held,
            waiting_since_ns=oldest_ns,
            withdrawn=withdrawn,
            rate_withdrawn=rate_withdrawn,
        )
        gaps = gaps_of(*part_ns, seen)
        with self._file.writing() as database:
            sealed = keep_verdicts(database, subject_id, comparison, now_ns)
            keep_gaps(database, subject_id, start_ns // DAY_NS, part_ns, gaps, now_ns)
        return Reconciled(
            len(comparison),
            sum(stored.count for _, stored, _ in comparison.values()),
            sealed,
            tuple(
                Disagreement(
                    subject_id, stream, sensor, hour * NS_PER_HOUR, v.finding, v.at_least, stored.count
                )
                for (stream, sensor, hour), (_, stored, v) in sorted(comparison.items())
                if v.finding
            ),
        )

    def note_used(self, purpose: Purpose, uses: Iterable[Use]) -> None:
        """Note how many samples a purpose made use of; noting the same again replaces."""
        with self._file.writing() as database:
            for use in uses:
                count_uses(database, purpose, use.series, _by_hour(use))

    def note_exported(self, subject_id: str, start_ns: int = _LIMITS.min, end_ns: int = _LIMITS.max) -> None:
        """Note that what features made of a subject's samples in an interval has been exported."""
        with self._file.writing() as database:
            export_uses(database, subject_id, start_ns, end_ns)

    def changed_since(self, mark: int) -> Changes:
        """Return the hours whose samples changed since a mark, as (subject, stream, hours since 1970).

        Marks only grow; 0 asks for everything. An hour that changes again gets a new mark, so that whoever
        works through the changes and then keeps `Changes.mark` misses none.
        """
        query = (
            "SELECT DISTINCT s.subject_id, s.stream, h.hour FROM hours h JOIN series s USING (series_id) "
            "WHERE h.change > ?"
        )
        with self._file.reading() as database:
            return Changes(newest_mark(database), frozenset(database.execute(query, (mark,)).fetchall()))

    def accept(self, store: TimeSeriesStore, found: Iterable[Disagreement], why: str) -> int:
        """Seal hours that disagree as the store holds them, because a person said so; return how many.

        The disagreement and the reason given stay in the ledger.
        """
        now_ns = self._clock.now_ns()
        hours = list(found)
        for one in hours:
            end_ns = one.hour_ns + NS_PER_HOUR
            totals = held_in(store, one.subject_id, one.hour_ns, end_ns, [one.stream]).totals
            key = (one.stream, one.sensor_id, one.hour_ns // NS_PER_HOUR)
            stored = totals.get(key, Total())
            verdict = Verdict(None, Basis.ACCEPTED, stored.count, stored.count)
            with self._file.writing() as database:
                hour = known_hours(database, one.subject_id, key[2], key[2] + 1).get(key, KnownHour())
                keep_verdicts(database, one.subject_id, {key: (hour, stored, verdict)}, now_ns)
                note_accepted(database, now_ns, one.subject_id, key, one.finding, why)
        return len(hours)

    def extent_ns(self, subject_id: str) -> tuple[int, int] | None:
        """Return a time in the first and one in the last hour that the ledger knows of a subject, if any."""
        query = "SELECT min(hour), max(hour) FROM series JOIN hours USING (series_id) WHERE subject_id = ?"
        with self._file.reading() as database:
            first, last = database.execute(query, (subject_id,)).fetchone()
        return None if first is None else ((first + 1) * NS_PER_HOUR - 1, last * NS_PER_HOUR)

    def subjects(self) -> list[str]:
        """Return the ids of everyone the ledger knows, sorted."""
        query = "SELECT DISTINCT subject_id FROM series ORDER BY subject_id"
        with self._file.reading() as database:
            return [who for (who,) in database.execute(query)]

    def sealed(self, subject_id: str) -> dict[HourKey, Total]:
        """Return what each hour of a subject holds for certain: those sealed, to which nothing came since."""
        with self._file.reading() as database:
            known = known_hours(database, subject_id, int(_LIMITS.min), int(_LIMITS.max))
        return {key: hour.seal for key, hour in known.items() if hour.seal is not None and not hour.growth()}

    def keep_waiting(self, sources: Collection[str]) -> None:
        """Forget what waits in spools other than these: they are gone."""
        with self._file.writing() as database:
            forget_waiting(database, sources)

    def forget(self, subject_id: str) -> None:
        """Remove everything about a subject, when the subject's samples are erased."""
        with self._file.writing() as database:
            forget_subject(database, subject_id)

    def completeness(self, subjects: Sequence[str] | None = None, since_ns: int = 0) -> list[StreamDay]:
        """Return how many samples got how far, for each subject, UTC day and stream with any.

        Parameters
        ----------
        subjects : sequence of str, optional
            Everybody by default.
        since_ns : int
            Days that end before are left out.
        """
        with self._file.reading() as database:
            return stream_days(database, subjects, since_ns)

    def coverage(self, subjects: Sequence[str] | None = None, since_ns: int = 0) -> list[SubjectDay]:
        """Return what each reconciled UTC day of a subject has of heart rate, and its gaps with reasons."""
        with self._file.reading() as database:
            return subject_days(database, subjects, since_ns)

    def disagreements(self, subjects: Sequence[str] | None = None, since_ns: int = 0) -> list[Disagreement]:
        """Return the hours that disagreed when they were last compared."""
        with self._file.reading() as database:
            found = disagreeing_hours(database, subjects, since_ns)
        return [
            Disagreement(who, stream, sensor, hour * NS_PER_HOUR, Finding(finding), at_least, stored)
            for who, stream, sensor, hour, finding, at_least, stored in found
        ]

    def _compared(
        self, store: TimeSeriesStore, subject_id: str, start_ns: int, streams: Collection[str], now_ns: int
    ) -> tuple[Comparison, Held, dict[str, int]]:
        """Return the comparison, what was read for it, and since when records of each sensor wait."""
        first = start_ns // NS_PER_HOUR
        with self._file.reading() as database:
            known = known_hours(database, subject_id, first, first + 24)
            waiting = waiting_since_ns(database, subject_id)
        wanted = {*streams, *(stream for stream, _, _ in known)}
        held = held_in(store, subject_id, start_ns, start_ns + DAY_NS, sorted(wanted))
        found: Comparison = {}
        for key in sorted(known.keys() | held.totals.keys()):
            hour, stored = known.get(key, KnownHour()), held.totals.get(key, Total())
            # Where nothing waits, everything that arrived before now is acknowledged.
            settled_ns = min(waiting.get(key[1], now_ns), now_ns) - SETTLING_NS
            is_open = (key[2] + 1) * NS_PER_HOUR > settled_ns
            found[key] = hour, stored, judge(hour.seal, hour.growth(), stored, is_open=is_open)
        return found, held, waiting


def _by_hour(use: Use) -> list[tuple[int, int, int]]:
    """Return (hour, where in it the stretch begins, samples)."""
    hours, index = np.unique(use.t_ns // NS_PER_HOUR, return_inverse=True)
    totals = np.bincount(index, use.counts, len(hours)).astype(np.int64)
    first, part = divmod(use.start_ns, NS_PER_HOUR)
    return [
        (hour, part if hour == first else 0, total)
        for hour, total in zip(hours.tolist(), totals.tolist(), strict=True)
    ]


def open_ledger(home: Path, clock: Clock) -> Ledger:
    """Open the ledger of the installation in a directory."""
    return Ledger(home / LEDGER_FILE, clock)
