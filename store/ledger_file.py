"""The ledger's own file: SQLite in WAL mode, beside the store and independent of it."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from store.errors import HomeError, StoreUnavailableError
from store.wal import switch_to_wal

BUSY_TIMEOUT_S = 30.0
"""A transaction takes milliseconds; a lock held for 30 s means that something is stuck."""

LAYOUT = 1
_SCHEMA = """
CREATE TABLE series (
    series_id INTEGER PRIMARY KEY,
    subject_id TEXT NOT NULL, stream TEXT NOT NULL, sensor_id TEXT NOT NULL,
    UNIQUE (subject_id, stream, sensor_id)
);
CREATE TABLE sources (source_id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, copied_ns INTEGER NOT NULL);
CREATE TABLE counters (
    series_id INTEGER NOT NULL, hour INTEGER NOT NULL, source_id INTEGER NOT NULL,
    spooled INTEGER NOT NULL, acknowledged INTEGER NOT NULL, rewritten INTEGER NOT NULL,
    digest INTEGER NOT NULL,
    sealed_acknowledged INTEGER NOT NULL DEFAULT 0, sealed_rewritten INTEGER NOT NULL DEFAULT 0,
    sealed_digest INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (series_id, hour, source_id)
) WITHOUT ROWID;
CREATE TABLE waiting (
    source_id INTEGER NOT NULL, subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL, since_ns INTEGER NOT NULL,
    PRIMARY KEY (source_id, subject_id, sensor_id)
) WITHOUT ROWID;
CREATE TABLE hours (
    series_id INTEGER NOT NULL, hour INTEGER NOT NULL,
    seal_count INTEGER, seal_digest INTEGER, basis TEXT, sealed_ns INTEGER,
    stored_count INTEGER, stored_digest INTEGER,
    finding TEXT, at_least INTEGER, at_most INTEGER,
    change INTEGER NOT NULL,
    PRIMARY KEY (series_id, hour)
) WITHOUT ROWID;
CREATE INDEX hours_change ON hours (change);
CREATE INDEX hours_finding ON hours (finding) WHERE finding IS NOT NULL;
CREATE TABLE uses (
    series_id INTEGER NOT NULL, hour INTEGER NOT NULL, purpose TEXT NOT NULL, part INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (series_id, hour, purpose, part)
) WITHOUT ROWID;
CREATE TABLE days (
    subject_id TEXT NOT NULL, day INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    reconciled_ns INTEGER NOT NULL,
    PRIMARY KEY (subject_id, day)
) WITHOUT ROWID;
CREATE TABLE gaps (
    subject_id TEXT NOT NULL, day INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (subject_id, day, start_ns)
) WITHOUT ROWID;
CREATE TABLE accepted (
    at_ns INTEGER NOT NULL, subject_id TEXT NOT NULL, stream TEXT NOT NULL, sensor_id TEXT NOT NULL,
    hour INTEGER NOT NULL, finding TEXT NOT NULL, why TEXT NOT NULL
);
CREATE TABLE mark (newest INTEGER NOT NULL);
INSERT INTO mark VALUES (0);
"""


class LedgerFile:
    """The file, opened for each transaction anew, so that any thread and process may use it.

    Parameters
    ----------
    path : Path
        Made, readable by its owner only, if it does not exist.

    Raises
    ------
    HomeError
        If the file cannot be used, or a newer evenkeel made it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            path.touch(mode=0o600)
            with self._opened() as database:
                switch_to_wal(database.execute, sqlite3.OperationalError)
                database.execute("BEGIN IMMEDIATE")
                held = database.execute("PRAGMA user_version").fetchone()[0]
                if held == 0:
                    for statement in _SCHEMA.split(";"):
                        database.execute(statement)
                    database.execute(f"PRAGMA user_version = {LAYOUT}")
                database.execute("COMMIT")
        except (OSError, sqlite3.Error) as error:
            raise HomeError(
                f"The ledger {path} cannot be used ({error}); needed is a file that this user may write: "
                "check its owner and the disk"
            ) from None
        if held > LAYOUT:
            raise HomeError(
                f"The ledger {path} was made by a newer evenkeel (layout {held}, this one knows {LAYOUT}): "
                "install the newer version again"
            )

    @contextmanager
    def reading(self) -> Generator[sqlite3.Connection]:
        """Lend a connection that sees one state of the file.

        Raises
        ------
        StoreUnavailableError
            If the file cannot be read or written just now.
        """
        with self._transaction("BEGIN") as database:
            yield database

    @contextmanager
    def writing(self) -> Generator[sqlite3.Connection]:
        """Lend a connection whose changes are all made, and durable, when the body ends, or none of them."""
        with self._transaction("BEGIN IMMEDIATE") as database:
            yield database

    @contextmanager
    def _transaction(self, begin: str) -> Generator[sqlite3.Connection]:
        try:
            with self._opened() as database:
                database.execute(begin)
                yield database
                database.execute("COMMIT")
        except sqlite3.Error as error:
            raise StoreUnavailableError(f"The ledger {self._path} failed: {error}; check the disk") from None

    @contextmanager
    def _opened(self) -> Generator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            database.execute("PRAGMA synchronous=FULL")
            yield database
        finally:
            database.close()  # an open transaction is rolled back
