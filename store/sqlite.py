"""Samples in one SQLite file: the embedded default.

A table per stream, `WITHOUT ROWID` and keyed (series, time), in WAL mode so that the collector, the jobs
and the dashboard share the file and readers never wait. A write is one transaction and durable on return
(`synchronous=FULL`); samples go in and come out as Arrow columns.
"""

import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from store.errors import HomeError, StoreUnavailableError
from store.sqlite_connection import SqlError, SqliteConnection
from store.sqlite_layout import bring_up_to_date, keep_before_migrating, snapshot
from store.streams import STREAMS, Column, DType, Stream
from store.timeseries import Batch, Samples, Series, merged
from store.wal import switch_to_wal

_SQL_TYPES: dict[DType, str] = {"float64": "REAL", "int64": "INTEGER", "utf8": "TEXT", "binary": "BLOB"}
# SQLite has no NaN (it stores NULL), and ADBC takes a column's type from its first rows, so that a column
# that begins with NULL would come back as integers. Infinity is never stored and stands in on the way out.
_MISSING: dict[DType, str] = {"float64": "9e999", "int64": "0", "utf8": "''", "binary": "x''"}
_DTYPES: dict[str, DType] = {sql_type: dtype for dtype, sql_type in _SQL_TYPES.items()}
_KEY_COLUMNS = ("series_id", "t_ns")


class SqliteTimeSeries:
    """The embedded `TimeSeriesStore`.

    Parameters
    ----------
    path : Path
        The file; made, readable by its owner only, if it does not exist.

    Raises
    ------
    HomeError
        If the file cannot be written or is no such store.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ready: set[str] = set()
        self._series: dict[tuple[str, str, str], int] = {}
        self._readers = _ReaderPool(path)
        try:
            path.touch(mode=0o600)
            self._writer = SqliteConnection(path, is_read_only=False)
        except (OSError, SqlError) as error:
            raise _unusable(path, error) from None
        try:
            self._make_tables()
        except HomeError:
            self._writer.close()
            raise
        except SqlError as error:
            self._writer.close()
            raise _unusable(path, error) from None

    def _make_tables(self) -> None:
        switch_to_wal(self._writer.rows, SqlError)
        self._writer.execute("PRAGMA synchronous=FULL")
        keep_before_migrating(self._writer, self._path)
        with self._writing() as writer:
            bring_up_to_date(writer, self._path)
            for stream in STREAMS.values():
                self._prepare(stream)

    def write(self, batches: Sequence[Batch]) -> int:
        """Write all of `batches` or none of them; durable when it returns. Return the number of samples.

        Raises
        ------
        StoreUnavailableError
            If the disk is full or the file is locked; nothing was written.
        """
        try:
            with self._writing() as writer:
                for stream in dict.fromkeys(batch.stream for batch in batches):
                    self._insert(writer, stream, [batch for batch in batches if batch.stream == stream])
        except SqlError as error:
            raise StoreUnavailableError(
                f"{sum(map(len, batches))} samples were not written to {self._path}: {error}"
            ) from None
        return sum(map(len, batches))

    def read(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> Samples:
        """Return the samples, sorted by (time, sensor)."""
        bounds = _bounds(start_ns, end_ns)
        sensors: list[str] = []
        parts: list[list[NDArray[Any]]] = []
        with self._readers.snapshot() as reader:
            columns = _existing_columns(reader, stream)
            for series_id, sensor in _series_of(reader, stream, subject_id, sensor_id):
                part = _read_series(reader, stream, columns, (series_id, *bounds))
                if len(part[0]):
                    sensors.append(sensor)
                    parts.append(part)
        return merged(stream, sensors, parts)

    def count(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> int:
        """Return how many samples `read` would return."""
        query = f"SELECT count(*) FROM {_table(stream)} WHERE series_id = ? AND t_ns >= ? AND t_ns < ?"  # noqa: S608
        bounds = _bounds(start_ns, end_ns)
        with self._readers.snapshot() as reader:
            found = _series_of(reader, stream, subject_id, sensor_id)
            return sum(reader.rows(query, (series_id, *bounds))[0][0] for series_id, _ in found)

    def latest(self, stream: Stream, subject_id: str) -> Mapping[str, Any] | None:
        """Return the newest sample (`t_ns`, `sensor`, values), or None if there is none."""
        newest: dict[str, Any] | None = None
        with self._readers.snapshot() as reader:
            columns = _existing_columns(reader, stream)
            names = ", ".join(["t_ns", *(column.name for column in columns)])
            query = f"SELECT {names} FROM {_table(stream)} WHERE series_id = ? ORDER BY t_ns DESC LIMIT 1"  # noqa: S608
            for series_id, sensor in _series_of(reader, stream, subject_id, None):
                for row in reader.rows(query, (series_id,)):
                    if newest is None or row[0] > newest["t_ns"]:
                        newest = {"t_ns": row[0], "sensor": sensor, **_values_of_row(columns, row[1:])}
        return newest

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        query = f"SELECT min(t_ns), max(t_ns) FROM {_table(stream)} WHERE series_id = ?"  # noqa: S608
        with self._readers.snapshot() as reader:
            series = _series_of(reader, stream, subject_id, None)
            ends = [
                row
                for series_id, _ in series
                for row in reader.rows(query, (series_id,))
                if row[0] is not None
            ]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        query = "SELECT series_id, subject_id FROM series WHERE stream = ?"
        with self._readers.snapshot() as reader:
            series = reader.rows(query, (stream.name,))
            exists = f"SELECT 1 FROM {_table(stream)} WHERE series_id = ? LIMIT 1"  # noqa: S608
            return sorted({who for series_id, who in series if reader.rows(exists, (series_id,))})

    def series(self) -> list[Series]:
        """Return every series with at least one sample, sorted by (stream, subject, sensor)."""
        query = "SELECT stream, series_id, subject_id, sensor_id FROM series"
        found: list[Series] = []
        streams: dict[str, Stream] = {}
        with self._readers.snapshot() as reader:
            for name, series_id, subject_id, sensor_id in sorted(reader.rows(query)):
                if name not in streams:
                    streams[name] = _held_stream(reader, name)
                exists = f"SELECT 1 FROM {_table(streams[name])} WHERE series_id = ? LIMIT 1"  # noqa: S608
                if reader.rows(exists, (series_id,)):
                    found.append(Series(streams[name], subject_id, sensor_id))
        return sorted(found, key=lambda s: (s.stream.name, s.subject_id, s.sensor_id))

    def faults(self) -> list[str]:
        """Return what SQLite finds wrong with the file, one sentence each; reads all of it."""
        with self._readers.lent() as reader:
            try:
                said = [str(row[0]) for row in reader.rows("PRAGMA quick_check(20)")]
            except SqlError as error:  # some damage ends the check itself
                said = [str(error)]
        return [f"{self._path}: {sentence}" for sentence in said if sentence != "ok"]

    def snapshot(self, target: Path) -> None:
        """Write the state of one moment to a new file, while others go on writing to this one.

        Raises
        ------
        StoreUnavailableError
            If the file cannot be read, or the new one not written.
        """
        with self._readers.lent() as reader:
            snapshot(reader, target)

    def close(self) -> None:
        """Release files and connections, once nobody uses them."""
        self._readers.close()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _writing(self) -> Generator[SqliteConnection]:
        try:
            with self._writer.transaction("BEGIN IMMEDIATE") as writer:
                yield writer
        except BaseException:
            self._ready.clear()  # what was made in this transaction is not there
            self._series.clear()
            raise

    def _prepare(self, stream: Stream) -> None:
        if stream.name in self._ready:
            return
        columns = ", ".join(f"{column.name} {_SQL_TYPES[column.dtype]}" for column in stream.columns)
        self._writer.execute(
            f"CREATE TABLE IF NOT EXISTS {_table(stream)} "
            f"(series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, {columns}, "
            "PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID"
        )
        held = _existing_columns(self._writer, stream)
        for column in stream.columns:
            if column not in held:
                self._writer.execute(
                    f"ALTER TABLE {_table(stream)} ADD COLUMN {column.name} {_SQL_TYPES[column.dtype]}"
                )
        self._writer.execute_many(
            "INSERT INTO stream (name, family) VALUES (?, ?) ON CONFLICT (name) "
            "DO UPDATE SET family = excluded.family WHERE family <> excluded.family",
            [("utf8", np.array([part], object)) for part in (stream.name, stream.family)],
        )
        self._ready.add(stream.name)

    def _insert(self, writer: SqliteConnection, stream: Stream, batches: Sequence[Batch]) -> None:
        """Insert all that is new of one stream by one statement: of many sensors, each sends a little."""
        self._prepare(stream)
        filled = [batch for batch in batches if len(batch)]
        if not filled:
            return
        names = ["series_id", "t_ns", *stream.column_names()]
        series_id = np.repeat(
            [self._series_id(writer, each) for each in filled], [len(each) for each in filled]
        )
        columns: list[tuple[DType, NDArray[Any]]] = [
            ("int64", series_id),
            ("int64", np.concatenate([batch.t_ns for batch in filled])),
        ]
        columns.extend(
            (column.dtype, np.concatenate([batch.values[column.name] for batch in filled]))
            for column in stream.columns
        )
        writer.execute_many(
            f"INSERT OR REPLACE INTO {_table(stream)} ({', '.join(names)}) "  # noqa: S608
            f"VALUES ({', '.join('?' * len(names))})",
            columns,
        )

    def _series_id(self, writer: SqliteConnection, batch: Batch) -> int:
        key = (batch.stream.name, batch.subject_id, batch.sensor_id)
        if key not in self._series:
            writer.execute_many(
                "INSERT OR IGNORE INTO series (stream, subject_id, sensor_id) VALUES (?, ?, ?)",
                [("utf8", np.array([part], object)) for part in key],
            )
            query = "SELECT series_id FROM series WHERE stream = ? AND subject_id = ? AND sensor_id = ?"
            self._series[key] = int(writer.rows(query, key)[0][0])
        return self._series[key]


class _ReaderPool:
    """Read-only connections, as many as there are readers at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._idle: list[SqliteConnection] = []
        self._is_closed = False

    @contextmanager
    def snapshot(self) -> Generator[SqliteConnection]:
        """Lend a connection that sees one state of the file for everything read inside."""
        with self.lent() as reader, reader.transaction("BEGIN"):
            yield reader

    @contextmanager
    def lent(self) -> Generator[SqliteConnection]:
        """Lend a connection.

        Raises
        ------
        StoreUnavailableError
            If the file cannot be read.
        """
        reader: SqliteConnection | None = None
        try:
            reader = self._borrow()
            yield reader
        except SqlError as error:
            raise StoreUnavailableError(f"{self._path} cannot be read: {error}") from None
        finally:
            if reader is not None:
                self._give_back(reader)

    def close(self) -> None:
        """Close the idle connections; those lent are closed when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for reader in idle:
            reader.close()

    def _borrow(self) -> SqliteConnection:
        with self._lock:
            if self._is_closed:
                raise StoreUnavailableError(f"{self._path} was closed")
            if self._idle:
                return self._idle.pop()
        return SqliteConnection(self._path, is_read_only=True)

    def _give_back(self, reader: SqliteConnection) -> None:
        with self._lock:
            if not self._is_closed:
                self._idle.append(reader)
                return
        reader.close()


def _unusable(path: Path, error: Exception) -> HomeError:
    return HomeError(
        f"The store {path} cannot be used ({error}); needed is a file that this user may write: "
        "check its owner and the disk, or choose another directory with --home"
    )


def _series_of(
    reader: SqliteConnection, stream: Stream, subject_id: str, sensor_id: str | None
) -> list[tuple[int, str]]:
    query = "SELECT series_id, sensor_id FROM series WHERE stream = ? AND subject_id = ? ORDER BY sensor_id"
    found = reader.rows(query, (stream.name, subject_id))
    return [(row[0], row[1]) for row in found if sensor_id in (None, row[1])]


def _existing_columns(reader: SqliteConnection, stream: Stream) -> list[Column]:
    held = {row[0] for row in reader.rows(f"SELECT name FROM pragma_table_info('{_table(stream)}')")}  # noqa: S608
    return [column for column in stream.columns if column.name in held]


def _read_series(
    reader: SqliteConnection, stream: Stream, columns: Sequence[Column], bounds: tuple[int, int, int]
) -> list[NDArray[Any]]:
    """Return the times, then one array per column of the stream; `bounds` are series, start and end."""
    names = ", ".join(f"coalesce({column.name}, {_MISSING[column.dtype]})" for column in columns)
    query = (
        f"SELECT t_ns, {names} FROM {_table(stream)} "  # noqa: S608 - names come from declarations
        "WHERE series_id = ? AND t_ns >= ? AND t_ns < ? ORDER BY t_ns"
    )
    table = reader.table(query, bounds)
    arrays: dict[str, Any] = {column.name: table.column(k + 1) for k, column in enumerate(columns)}
    t_ns: NDArray[np.int64] = table.column(0).to_numpy().astype(np.int64, copy=False)
    return [t_ns, *(_as_numpy(column, arrays.get(column.name), len(t_ns)) for column in stream.columns)]


def _values_of_row(columns: Sequence[Column], row: Sequence[Any]) -> dict[str, Any]:
    return {
        column.name: float("nan") if value is None and column.dtype == "float64" else value
        for column, value in zip(columns, row, strict=True)
    }


def _held_stream(reader: SqliteConnection, name: str) -> Stream:
    """Return a stream as its table has it, with what its declaration says about each column."""
    declared = STREAMS.get(name, Stream(name, "", ()))
    said = {column.name: column for column in declared.columns}
    held = reader.rows(f"SELECT name, type FROM pragma_table_info('{_table(declared)}')")  # noqa: S608
    columns: dict[str, DType] = {c: _DTYPES[sql_type] for c, sql_type in held if c not in _KEY_COLUMNS}
    family = reader.rows("SELECT family FROM stream WHERE name = ?", (name,))
    return replace(
        declared,
        columns=tuple(said.get(column, Column(column, dtype, "")) for column, dtype in columns.items()),
        family=family[0][0] if family else declared.family,
    )


def _table(stream: Stream) -> str:
    if not stream.name.isidentifier():
        raise ValueError(stream.name)
    return f"samples_{stream.name}"


def _bounds(start_ns: int | None, end_ns: int | None) -> tuple[int, int]:
    limits = np.iinfo(np.int64)
    return (
        int(limits.min) if start_ns is None else start_ns,
        int(limits.max) if end_ns is None else end_ns,
    )


def _as_numpy(column: Column, held: Any, length: int) -> NDArray[Any]:  # noqa: ANN401 - an Arrow column
    if column.dtype == "float64":
        array = np.full(length, np.nan) if held is None else held.to_numpy().astype(np.float64)
        array[np.isinf(array)] = np.nan
        return array
    if column.dtype == "int64":
        return np.zeros(length, np.int64) if held is None else held.to_numpy().astype(np.int64)
    if held is None:
        return np.full(length, "" if column.dtype == "utf8" else b"", object)
    return np.array(held.to_pylist(), object)
