"""The layout of the embedded store's file: its number, and how an older file is brought up to date."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from store.errors import HomeError
from store.sqlite_connection import SqliteConnection

LAYOUT = 3
"""Kept in the file; a later layout gets a higher number, and a step in `MIGRATIONS`."""
MIGRATIONS: Mapping[int, tuple[str, ...]] = {
    # A file says itself which family each of its streams belongs to. These two were all that were not raw.
    1: ("INSERT OR IGNORE INTO stream VALUES ('hrv_window', 'features'), ('night', 'features')",),
    # What was written before has no mark, and needs none: no job worked on it with one either.
    2: (),
}
"""For each older layout the statements that lead to the next, after the tables below were made."""
_TABLES = (
    """
CREATE TABLE IF NOT EXISTS series (
    series_id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    sensor_id TEXT NOT NULL,
    UNIQUE (stream, subject_id, sensor_id)
)""",
    "CREATE TABLE IF NOT EXISTS stream (name TEXT PRIMARY KEY, family TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS identity (store_id TEXT NOT NULL, newest_mark INTEGER NOT NULL)",
    "INSERT INTO identity SELECT lower(hex(randomblob(8))), 0 WHERE NOT EXISTS (SELECT 1 FROM identity)",
    """
CREATE TABLE IF NOT EXISTS written (
    series_id INTEGER NOT NULL,
    hour INTEGER NOT NULL,
    mark INTEGER NOT NULL,
    PRIMARY KEY (series_id, hour)
) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS written_mark ON written (mark)",
)


def keep_before_migrating(connection: SqliteConnection, path: Path) -> None:
    """Write a copy of a file of an older layout beside it, unless there is one; nothing for other files.

    Raises
    ------
    HomeError
        If the file is of a newer layout.
    """
    held = _layout(connection, path)
    if not 0 < held < LAYOUT:
        return
    kept = path.with_name(f"{path.name}.layout-{held}")
    if not kept.exists():
        snapshot(connection, kept)


def bring_up_to_date(connection: SqliteConnection, path: Path) -> None:
    """Make what a fresh file lacks and migrate an older one, inside the transaction of the caller.

    Raises
    ------
    HomeError
        If the file is of a newer layout.
    """
    held = _layout(connection, path)
    for table in _TABLES:
        connection.execute(table)
    for older in range(held, LAYOUT) if held else ():
        for statement in MIGRATIONS[older]:
            connection.execute(statement)
    if held < LAYOUT:
        connection.execute(f"PRAGMA user_version={LAYOUT}")


def snapshot(connection: SqliteConnection, target: Path) -> None:
    """Write the state of one moment, complete and compact, to a new file that only its owner may read.

    Nobody who writes meanwhile waits. The file is whole or not there.
    """
    unfinished = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    unfinished.touch(mode=0o600)
    try:
        connection.rows("VACUUM INTO ?", (str(unfinished),))
        with unfinished.open("rb") as written:
            os.fsync(written.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def _layout(connection: SqliteConnection, path: Path) -> int:
    held = int(connection.rows("PRAGMA user_version")[0][0])
    if held > LAYOUT:
        raise HomeError(
            f"The store {path} was made by a newer evenkeel (layout {held}, this one knows {LAYOUT}): "
            "install the newer version again"
        )
    return held
