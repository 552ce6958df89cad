"""The tables of a spool, and how a file of an earlier format becomes one of this."""

import json
import sqlite3
import uuid
from pathlib import Path

from ingest import spool_hours
from store.errors import HomeError
from store.streams import HEART_RATE

FORMAT = 2
_TABLES = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, payload BLOB NOT NULL,
    error TEXT NOT NULL, quarantined_ns INTEGER NOT NULL
);
CREATE TABLE sensor_states (
    subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (subject_id, sensor_id)
) WITHOUT ROWID;
CREATE TABLE counters (
    stage TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (stage, what)
) WITHOUT ROWID;
"""
_SINCE_2 = f"""
CREATE TABLE identity (spool_id TEXT NOT NULL);
{spool_hours.SCHEMA}
"""


def prepare(database: sqlite3.Connection, path: Path) -> None:
    """Make the tables, or bring those of an earlier format up to date; all or nothing.

    Raises
    ------
    HomeError
        If the file is of a later format.
    """
    held = database.execute("PRAGMA user_version").fetchone()[0]
    if held == FORMAT:
        return
    if held > FORMAT:
        raise HomeError(
            f"The spool {path} has format {held}; needed is {FORMAT}: "
            "forward it with the version of evenkeel that made it, then remove it"
        )
    database.execute("BEGIN IMMEDIATE")
    try:
        for statement in ((_TABLES if held == 0 else "") + _SINCE_2).split(";"):
            database.execute(statement)
        database.execute("INSERT INTO identity VALUES (?)", (str(uuid.uuid4()),))
        if held == 1:
            _divide_states(database)
        database.execute(f"PRAGMA user_version = {FORMAT}")
        database.execute("COMMIT")
    finally:
        if database.in_transaction:
            database.execute("ROLLBACK")


def _divide_states(database: sqlite3.Connection) -> None:
    """Give each lane its part of a state that format 1 kept for the whole sensor."""
    rows = database.execute("SELECT subject_id, sensor_id, state FROM sensor_states").fetchall()
    for subject_id, sensor_id, text in rows:
        held = json.loads(text)
        stamps_ns = dict(held["stamps_ns"])
        heart_ns = {name: stamps_ns.pop(name) for name in (HEART_RATE.name,) if name in stamps_ns}
        lanes = {
            "plain": {"arrivals": {"stamps_ns": stamps_ns}},
            "heart": {"beats": held["beats"], "arrivals": {"stamps_ns": heart_ns}},
        }
        database.execute(
            "UPDATE sensor_states SET state = ? WHERE subject_id = ? AND sensor_id = ?",
            (json.dumps({"lanes": lanes}), subject_id, sensor_id),
        )
