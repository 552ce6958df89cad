"""The file of a spool: records, quarantine, sensor states and counters, each change one transaction.

What a settled record leaves behind (the state after it, the counts and hashes of its samples) is saved in the
transaction that forgets it, so that a crash at any moment neither loses nor counts twice.

SQLite in WAL mode with `synchronous=FULL`: what a method wrote is on disk when it returns.
"""

import itertools
import json
import sqlite3
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ingest import spool_hours
from ingest.records import Kind, Record
from ingest.rows import SensorKey
from ingest.samples import SensorState
from ingest.settlement import Settlement
from ingest.spool_schema import prepare
from store.clock import Clock
from store.closing import Closing
from store.errors import ConfigError, HomeError, RefusedError
from store.ledger_digest import NS_PER_HOUR, HourCounters

BUSY_TIMEOUT_S = 10.0
"""Nobody else writes to the file; a backup may hold it for a moment."""

LOG_BYTES = 4 << 20
"""What SQLite's log shrinks to once it is in the database, which it is after 1,000 pages of 4 kB."""

REVIEWED_AT_ONCE = 5_000
"""Records: new ones are spooled between two lots."""

_FRAMES = "frames"
_SIZES = (
    "SELECT page_count, freelist_count, page_size "
    "FROM pragma_page_count(), pragma_freelist_count(), pragma_page_size()"
)
_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
"""SQLite says the second when the index of its log, in a file of its own, cannot grow."""


class SpoolFullError(ConfigError):
    """The spool has no room for another record: make room on the disk, or bring the store back."""


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """What went through a spool since it was made; survives restarts.

    `spooled_frames == forwarded_frames + quarantined_frames + withheld_frames + waiting_frames`, always.

    Attributes
    ----------
    spooled_frames, forwarded_frames, quarantined_frames, waiting_frames : int
    withheld_frames : int
        Removed because the person no longer agrees to what they hold.
    spooled_values, forwarded_values : mapping of stream name to int
        Samples in the frames, by stream; an undecodable frame has none.
    """

    spooled_frames: int
    forwarded_frames: int
    quarantined_frames: int
    withheld_frames: int
    waiting_frames: int
    spooled_values: Mapping[str, int]
    forwarded_values: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A record that could not become samples, why, and since when."""

    record_id: int
    record: Record
    error: str
    quarantined_ns: int


class SpoolFile(Closing):
    """What a spool keeps on disk. Every method may be called from any thread.

    Parameters
    ----------
    path : Path
        Made, readable by its owner only, if it does not exist. One process may have it open.
    clock : Clock
        Dates quarantined records.

    Raises
    ------
    HomeError
        If the file cannot be used. Every other method raises it too, once the disk fails.
    RefusedError
        If another process has it open.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._database_lock = threading.Lock()
        try:
            path.touch(mode=0o600)
            self._only_user = _claimed(path)
            self._database = _opened(path)
            self._next_id = _next_id(self._database)
            self._pruned_hour = 0
        except (OSError, sqlite3.Error) as error:
            raise HomeError(
                f"The spool {path} cannot be used ({error}); needed is a file that this user may write: "
                "check its owner and the disk, or choose another directory with --home"
            ) from None

    @property
    def spool_id(self) -> uuid.UUID:
        """Names this spool among all there ever were: what it counted is counted once."""
        with self._reading() as database:
            return uuid.UUID(database.execute("SELECT spool_id FROM identity").fetchone()[0])

    @property
    def newest_id(self) -> int:
        """Id of the newest record there ever was; 0 if there was none."""
        return self._next_id - 1

    def insert(self, records: Sequence[Record]) -> None:
        """Append records.

        Raises
        ------
        SpoolFullError
            If the disk is full; none was appended.
        """
        by_hour = spool_hours.counted(records)
        counts = Counter({_FRAMES: len(records)})
        for (_, stream, _, _), count in by_hour.items():
            counts[stream] += count
        rows = [
            (record_id, r.kind, r.subject_id, r.sensor_id, r.wall_ns, r.mono_ns, r.payload)
            for record_id, r in zip(itertools.count(self._next_id), records)
        ]
        with self._transaction() as database:
            database.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
            _count(database, "spooled", counts)
            spool_hours.add_spooled(database, by_hour)
        self._next_id += len(records)

    def read(self, after_id: int, limit: int) -> list[tuple[int, Record]]:
        """Return up to `limit` records on disk with an id above `after_id`, oldest first, as (id, record)."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT * FROM records WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)
            ).fetchall()
        return [(row[0], _record(row)) for row in rows]

    def states(self) -> dict[SensorKey, SensorState]:
        """Return the sensor states saved by `settle`."""
        with self._reading() as database:
            rows = database.execute("SELECT subject_id, sensor_id, state FROM sensor_states").fetchall()
        return {
            (subject, sensor): SensorState.from_json(json.loads(state)) for subject, sensor, state in rows
        }

    def settle(self, settlement: Settlement) -> None:
        """Forget records that are stored, put those that never can be aside, and remember what is needed.

        All in one transaction; quarantined records keep their bytes.

        Raises
        ------
        SpoolFullError
            If the disk is full; nothing was changed.
        """
        states = [(*key, json.dumps(state.as_json())) for key, state in settlement.states.items()]
        values = settlement.samples.counts()
        now_ns = self._clock.now_ns()
        with self._transaction() as database:
            _quarantine(database, settlement.quarantined, now_ns)
            values[_FRAMES] = _forget(database, settlement.forwarded)
            database.executemany("REPLACE INTO sensor_states VALUES (?, ?, ?)", states)
            _count(database, "forwarded", values)
            spool_hours.add_acknowledged(database, settlement.samples)
            if now_ns // NS_PER_HOUR != self._pruned_hour:
                spool_hours.prune(database, now_ns)
        self._pruned_hour = now_ns // NS_PER_HOUR

    def review(self, subjects: Collection[str], judge: Callable[[Record], Record | None]) -> int:
        """Replace each record of some people, quarantined ones too, by what `judge` leaves of it.

        Parameters
        ----------
        subjects : collection of str
        judge : callable
            Returns the record, a smaller one of the same kind and times, or None: then it is removed.

        Returns
        -------
        int
            Records that were changed or removed.
        """
        return sum(self._review(table, subjects, judge) for table in ("records", "quarantine"))

    def _review(self, table: str, subjects: Collection[str], judge: Callable[[Record], Record | None]) -> int:
        changed, after_id = 0, 0
        query = f"SELECT * FROM {table} WHERE id > ? ORDER BY id LIMIT ?"  # noqa: S608 - one of two names
        while True:
            with self._transaction() as database:
                rows = database.execute(query, (after_id, REVIEWED_AT_ONCE)).fetchall()
                if not rows:
                    return changed
                after_id = rows[-1][0]
                held = [(row[0], _record(row[:7])) for row in rows if row[2] in subjects]
                judged = [(record_id, record, judge(record)) for record_id, record in held]
                cut = [(new.payload, i) for i, old, new in judged if new is not None and new != old]
                gone = [(i,) for i, _, new in judged if new is None]
                database.executemany(f"UPDATE {table} SET payload = ? WHERE id = ?", cut)  # noqa: S608
                database.executemany(f"DELETE FROM {table} WHERE id = ?", gone)  # noqa: S608
                if gone and table == "quarantine":
                    _count(database, "quarantined", {_FRAMES: -len(gone)})
                _count(database, "withheld", {_FRAMES: len(gone)})
                changed += len(cut) + len(gone)

    def forget(self, subject_id: str, *, compact: bool = False) -> int:
        """Remove everything about a person; return how many records that were.

        Parameters
        ----------
        subject_id : str
        compact : bool
            Also what was stored and removed before, of which the file may still have bytes. Takes as much
            room again as is held, and nothing can be spooled meanwhile.
        """
        tables = ("records", "quarantine", "sensor_states", "hours", "series")
        with self._transaction() as database:
            removed = {
                table: database.execute(f"DELETE FROM {table} WHERE subject_id = ?", (subject_id,)).rowcount  # noqa: S608
                for table in tables
            }
            frames = removed["records"] + removed["quarantine"]
            _count(database, "quarantined", {_FRAMES: -removed["quarantine"]})
            _count(database, "withheld", {_FRAMES: frames})
        with self._reading() as database:
            if compact:
                database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return frames

    def hours(self, since_hour: int = 0) -> list[HourCounters]:
        """Return what was spooled and acknowledged by series and UTC hour, cumulative; kept for 60 days.

        Parameters
        ----------
        since_hour : int
            First hour to return, whole hours since 1970.
        """
        with self._reading() as database:
            return spool_hours.hours(database, since_hour)

    def waiting_since_ns(self) -> dict[SensorKey, int]:
        """Return when the oldest record arrived that each sensor still has here, nanoseconds UTC."""
        with self._reading() as database:
            rows = database.execute(
                "SELECT subject_id, sensor_id, min(wall_ns) FROM records GROUP BY subject_id, sensor_id"
            ).fetchall()
        return {(subject_id, sensor_id): wall_ns for subject_id, sensor_id, wall_ns in rows}

    def quarantined(self) -> list[Quarantined]:
        """Return the quarantined records, oldest first."""
        with self._reading() as database:
            rows = database.execute("SELECT * FROM quarantine ORDER BY id").fetchall()
        return [Quarantined(row[0], _record(row[:7]), row[7], row[8]) for row in rows]

    def counts(self) -> SpoolCounts:
        """Return how many records and samples went where, of those on disk."""
        with self._reading() as database:
            return _counts(database)

    def holds_records(self) -> bool:
        """Whether any record is neither stored nor quarantined."""
        with self._reading() as database:
            return database.execute("SELECT 1 FROM records LIMIT 1").fetchone() is not None

    def used_bytes(self) -> int:
        """Return the size of what is held, without the room that left records made."""
        return self.sizes()[0]

    def sizes(self) -> tuple[int, int]:
        """Return the size of what is held, and the room that left records made."""
        with self._reading() as database:
            pages, free_pages, page_bytes = database.execute(_SIZES).fetchone()
        return (pages - free_pages) * page_bytes, free_pages * page_bytes

    def close(self, *, remove: bool = False) -> None:
        """Close the file and let others open it; or remove it, before anybody else can."""
        with self._database_lock:
            self._database.close()
            if remove:
                for suffix in ("", "-wal", "-shm"):
                    self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
            self._only_user.close()
            if remove:
                _lock_path(self._path).unlink(missing_ok=True)

    @contextmanager
    def _reading(self) -> Generator[sqlite3.Connection]:
        with self._database_lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise self._failed(error) from None

    @contextmanager
    def _transaction(self) -> Generator[sqlite3.Connection]:
        with self._database_lock:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                yield self._database
                self._database.execute("COMMIT")
            except sqlite3.Error as error:
                if getattr(error, "sqlite_errorcode", None) in _FULL:
                    raise SpoolFullError(
                        f"The disk of the spool {self._path} is full; make room, or new records are lost"
                    ) from None
                raise self._failed(error) from None
            finally:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")

    def _failed(self, error: sqlite3.Error) -> HomeError:
        return HomeError(f"The spool {self._path} failed ({error}); check the disk")


def read_counts(path: Path) -> SpoolCounts:
    """Return the counts of a spool that another process may be using.

    Raises
    ------
    HomeError
        If there is no spool at `path`.
    """
    try:
        database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S)
        try:
            return _counts(database)
        finally:
            database.close()
    except sqlite3.Error as error:
        raise HomeError(f"The spool {path} cannot be read ({error}); has a collector run here yet?") from None


def _claimed(path: Path) -> sqlite3.Connection:
    """Return a lock that ends with this process: two forwarders would fold each other's records twice."""
    lock_path = _lock_path(path)
    lock_path.touch(mode=0o600)
    lock = sqlite3.connect(lock_path, timeout=0, check_same_thread=False)
    try:
        lock.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        lock.close()
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            raise
        raise RefusedError(
            f"The spool {path} is in use by another evenkeel process; only one may collect or forward: "
            "end the other first"
        ) from None
    return lock


def _lock_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _opened(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    # Some builds overwrite all that is deleted: every record would be written a third time, and to forget
    # what a full disk holds would take as much room again.
    database.execute("PRAGMA secure_delete=FAST")
    database.execute(f"PRAGMA journal_size_limit={LOG_BYTES}")
    try:
        prepare(database, path)
    except BaseException:
        database.close()
        raise
    return database


def _next_id(database: sqlite3.Connection) -> int:
    # Ids are never used twice, also after records have left: they order everything.
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    return 1 if row is None else row[0] + 1


def _forget(database: sqlite3.Connection, record_ids: Sequence[int]) -> int:
    ids = [(record_id,) for record_id in record_ids]
    return max(0, database.executemany("DELETE FROM records WHERE id = ?", ids).rowcount)


def _quarantine(database: sqlite3.Connection, errors: Sequence[tuple[int, str]], now_ns: int) -> None:
    moved = database.executemany(
        "INSERT INTO quarantine SELECT *, ?, ? FROM records WHERE id = ?",
        [(error, now_ns, record_id) for record_id, error in errors],
    ).rowcount
    _forget(database, [record_id for record_id, _ in errors])
    _count(database, "quarantined", {_FRAMES: max(moved, 0)})


def _count(database: sqlite3.Connection, stage: str, counts: Mapping[str, int]) -> None:
    database.executemany(
        "INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count",
        [(stage, what, count) for what, count in counts.items()],
    )


def _counts(database: sqlite3.Connection) -> SpoolCounts:
    held: dict[str, dict[str, int]] = {
        stage: {} for stage in ("spooled", "forwarded", "quarantined", "withheld")
    }
    for stage, what, count in database.execute("SELECT stage, what, count FROM counters").fetchall():
        held[stage][what] = count
    spooled, forwarded, quarantined, withheld = (held[stage].pop(_FRAMES, 0) for stage in held)
    # To count the records themselves would read all of them, which may be gigabytes.
    waiting = spooled - forwarded - quarantined - withheld
    return SpoolCounts(
        spooled, forwarded, quarantined, withheld, waiting, held["spooled"], held["forwarded"]
    )  # fmt: skip


def _record(row: Sequence[Any]) -> Record:
    _, kind, subject_id, sensor_id, wall_ns, mono_ns, payload = row
    return Record(cast("Kind", kind), subject_id, sensor_id, wall_ns, mono_ns, payload)
