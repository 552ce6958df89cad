"""The spool: every record is on disk before anything else happens to it, and leaves it only once stored.

One SQLite file in WAL mode with `synchronous=FULL`. `put` only queues, so that an event loop never waits for
a disk; a thread commits what is queued in groups, so that thousands of records a second are durable.
Records that can never become samples are quarantined with their bytes, not dropped. Bounded: a full disk or
a spool over its capacity refuses the next record, aloud.
"""

import shutil
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.records import Record
from ingest.settlement import Settlement
from ingest.spool_file import SpoolFile, SpoolFullError
from store.clock import Clock
from store.errors import EvenkeelError, HomeError

__all__ = ["Spool", "SpoolAlarm", "SpoolFullError"]

DEFAULT_CAPACITY_BYTES = 2_000_000_000
"""A month of one strap at a packet a second, with its acceleration, without a store; `benchmarks.spool`."""

LEAST_FREE_BYTES = 32 << 20
"""Left free on the disk. A full disk would take no acknowledgement either, and a spool that cannot forget
what is stored would stay full for ever; nor could the registry and the log say what is wrong. Far more
than the 4 MB that SQLite's log may need again to be moved into the database."""

QUEUE_LIMIT = 50_000
"""Records that may wait for the disk, about 15 MB. At a few hundred a second this outlasts any disk that
still works."""

GROUP_COMMIT_S = 0.01
LONGEST_GROUP_COMMIT_S = 0.05
"""How long the first record of a group waits for others: a sync takes milliseconds, and one serves all. It is
so long for each record of the group before, within limits: one wearable's is on disk at once, while hundreds
do not sync the disk a hundred times a second."""

CHECKED_EVERY_GROUPS = 20
CHECKED_EVERY_BYTES = 1 << 16
"""How often the room that is left is measured, whichever comes first: at a packet a second well within the
minute in which a full disk is to be told of, and never far beyond the limit. To measure it costs as much as
to commit a group. Every settlement measures it too."""

FULL_DISK_RETRY_S = 1.0
"""How often a full disk is tried again; someone has to make room first, which takes longer."""


@dataclass(frozen=True, slots=True)
class SpoolAlarm:
    """Records are being refused: since when, nanoseconds UTC, and why."""

    since_ns: int
    reason: str


class Spool(SpoolFile):
    """Records between the radio and the store, on disk. Every method may be called from any thread.

    Parameters
    ----------
    path : Path
        The file; made, readable by its owner only, if it does not exist. One process may have it open.
    clock : Clock
        Dates quarantined records.
    capacity_bytes : int
        Size of the records and what is kept about them beyond which `put` refuses; what is queued at that
        moment is still written.
    least_free_bytes : int
        Room on the disk below which `put` refuses.

    Raises
    ------
    HomeError
        If the file cannot be used.
    RefusedError
        If another process has it open.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        capacity_bytes: int = DEFAULT_CAPACITY_BYTES,
        least_free_bytes: int = LEAST_FREE_BYTES,
    ) -> None:
        super().__init__(path, clock)
        self._capacity_bytes = capacity_bytes
        self._least_free_bytes = least_free_bytes
        self._queue_lock = threading.Lock()
        self._queued = threading.Condition(self._queue_lock)
        self._committed = threading.Condition(self._queue_lock)
        self._queue: deque[Record] = deque()
        self._is_urgent = self._is_closing = False
        self._accepted = self._written = 0
        self._group_wait_s = GROUP_COMMIT_S
        self._groups_since_check = self._bytes_since_check = 0
        self._disk_full: str | None = None
        self._no_room: str | None = None
        self._refusing_since_ns: int | None = None
        self._failure: EvenkeelError | None = None
        self._check_capacity()
        self._writer = threading.Thread(target=self._write_queued, name="spool-writer", daemon=True)
        self._writer.start()

    def put(self, record: Record) -> None:
        """Queue a record for the disk; never waits.

        Raises
        ------
        SpoolFullError
            If there is no room; the record was not taken.
        HomeError
            If the disk failed; the record was not taken.
        """
        with self._queue_lock:
            self._raise_failure()
            if self._is_closing:
                raise HomeError(
                    f"The spool {self._path} is closed; a record of {record.sensor_id} came after"
                )
            if full := self._disk_full or self._no_room:
                raise SpoolFullError(full)
            if len(self._queue) >= QUEUE_LIMIT:
                raise SpoolFullError(
                    f"{QUEUE_LIMIT} records wait for the spool {self._path}; needed are fewer: "
                    "the disk does not keep up; check what else writes to it"
                )
            self._queue.append(record)
            self._accepted += 1
            if len(self._queue) == 1:
                self._queued.notify()

    @property
    def alarm(self) -> SpoolAlarm | None:
        """Whether `put` refuses for want of room; None while there is."""
        with self._queue_lock:
            reason = self._disk_full or self._no_room
            if reason is None or self._refusing_since_ns is None:
                return None
            return SpoolAlarm(self._refusing_since_ns, reason)

    def flush(self) -> None:
        """Wait until every record put so far is on disk.

        Raises
        ------
        SpoolFullError, HomeError
            If the disk is full or failed, so that they cannot be written.
        """
        with self._queue_lock:
            wanted = self._accepted
            self._is_urgent = True
            self._queued.notify()
            self._committed.wait_for(
                lambda: self._written >= wanted or self._failure is not None or self._disk_full is not None
            )
            self._raise_failure()
            if self._written < wanted:
                raise SpoolFullError(str(self._disk_full))

    def wait_beyond(self, record_id: int, timeout_s: float) -> bool:
        """Wait until a record with an id above `record_id` is on disk; return whether there is one."""
        with self._queue_lock:
            return self._committed.wait_for(lambda: self.newest_id > record_id, timeout_s)

    def settle(self, settlement: Settlement) -> None:
        """As `SpoolFile.settle`; the room it makes is there for the next `put`."""
        super().settle(settlement)
        # It is done: an error from here on would have it done, and counted, again. The writer checks too.
        with suppress(HomeError, OSError):
            self._check_capacity()

    def is_empty(self) -> bool:
        """Whether every record put so far is stored or quarantined."""
        with self._queue_lock:
            if self._queue:
                return False
        return not self.holds_records()

    def close(self, *, remove: bool = False) -> None:
        """Write what is queued and close the file; or remove it with all that is in it.

        Raises
        ------
        SpoolFullError, HomeError
            If queued records could not be written; the message says how many are lost.
        """
        with self._queue_lock:
            if self._is_closing:
                return
            self._is_closing = True
            self._queued.notify()
            self._committed.notify_all()
        self._writer.join()
        super().close(remove=remove)
        if not remove:
            self._raise_failure()

    def _write_queued(self) -> None:
        """Commit groups until closed: the writer thread."""
        try:
            while group := self._next_group():
                if self._has_committed(group) and self._is_check_due(group):
                    self._check_capacity()
        except EvenkeelError as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - the thread's boundary: `put`, `flush` and `close` raise it
            self._fail(HomeError(f"The spool {self._path} failed: {type(error).__name__}: {error}"))

    def _fail(self, error: EvenkeelError) -> None:
        with self._queue_lock:
            self._failure = error
            self._committed.notify_all()

    def _next_group(self) -> list[Record]:
        """Wait for records and return them; they stay queued until they are on disk. Empty when closed."""
        while self._no_room is not None and not self._is_awaited(FULL_DISK_RETRY_S):
            self._check_capacity()
        self._is_awaited(None)
        with self._queue_lock:
            self._queued.wait_for(lambda: self._is_urgent or self._is_closing, self._group_wait_s)
            self._is_urgent = False
            group = list(self._queue)
        self._group_wait_s = min(GROUP_COMMIT_S * max(len(group), 1), LONGEST_GROUP_COMMIT_S)
        return group

    def _is_awaited(self, timeout_s: float | None) -> bool:
        """Wait until there is something to do; return whether there is."""
        with self._queue_lock:
            return bool(self._queued.wait_for(lambda: self._queue or self._is_closing, timeout_s))

    def _has_committed(self, group: list[Record]) -> bool:
        try:
            self.insert(group)
        except SpoolFullError as error:
            self._wait_for_room(error, len(group))
            return False
        with self._queue_lock:
            for _ in group:
                self._queue.popleft()
            self._written += len(group)
            self._disk_full = None
            self._note_refusal()
            self._committed.notify_all()
        return True

    def _wait_for_room(self, error: SpoolFullError, waiting: int) -> None:
        with self._queue_lock:
            self._disk_full = f"{error}; {waiting} records wait in memory"
            self._note_refusal()
            self._committed.notify_all()
            if self._is_closing:
                raise SpoolFullError(f"{error}; {waiting} records are lost")
            self._queued.wait_for(lambda: self._is_closing, FULL_DISK_RETRY_S)

    def _is_check_due(self, group: list[Record]) -> bool:
        self._groups_since_check += 1
        self._bytes_since_check += sum(len(record.payload) for record in group)
        return (
            self._groups_since_check >= CHECKED_EVERY_GROUPS or self._bytes_since_check >= CHECKED_EVERY_BYTES
        )

    def _check_capacity(self) -> None:
        self._groups_since_check = self._bytes_since_check = 0
        reason = self._why_no_room()
        with self._queue_lock:
            self._no_room = reason
            self._note_refusal()

    def _why_no_room(self) -> str | None:
        used_bytes, unused_bytes = self.sizes()
        if used_bytes >= self._capacity_bytes:
            return (
                f"The spool {self._path} holds {used_bytes} bytes; its capacity is {self._capacity_bytes}; "
                "bring the store back so that records leave the spool, or new ones are lost"
            )
        # What left records made room for within the file is free too.
        free_bytes = shutil.disk_usage(self._path.parent).free + unused_bytes
        if free_bytes < self._least_free_bytes:
            return (
                f"The disk of the spool {self._path} has room for {free_bytes} bytes; needed are "
                f"{self._least_free_bytes}; make room, or new records are lost"
            )
        return None

    def _note_refusal(self) -> None:
        if self._disk_full is None and self._no_room is None:
            self._refusing_since_ns = None
        elif self._refusing_since_ns is None:
            self._refusing_since_ns = self._clock.now_ns()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
