"""Samples in one SQLite file, read: as columns, through Arrow, without ever waiting for the writer."""

import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.closing import Closing
from store.errors import StoreUnavailableError
from store.sqlite_connection import SqlError, SqliteConnection
from store.sqlite_layout import snapshot
from store.sqlite_written import store_id, written_since
from store.streams import STREAMS, Column, DType, Stream
from store.timeseries import Samples, Series, merged
from store.written import Written

SQL_TYPES: dict[DType, str] = {"float64": "REAL", "int64": "INTEGER", "utf8": "TEXT", "binary": "BLOB"}
# SQLite has no NaN (it stores NULL), and ADBC takes a column's type from its first rows, so that a column
# that begins with NULL would come back as integers. Infinity is never stored and stands in on the way out.
_MISSING: dict[DType, str] = {"float64": "9e999", "int64": "0", "utf8": "''", "binary": "x''"}
_DTYPES: dict[str, DType] = {sql_type: dtype for dtype, sql_type in SQL_TYPES.items()}
_KEY_COLUMNS = ("series_id", "t_ns")


class SqliteReader(Closing):
    """What can be read of an embedded store. Opening it touches nothing.

    Parameters
    ----------
    path : Path
        The file; made by `store.sqlite.SqliteTimeSeries`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._readers = _ReaderPool(path)
        self._whole: set[Stream] = set()

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
            columns = self._columns(reader, stream)
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
        query = f"SELECT count(*) FROM {table_of(stream)} WHERE series_id = ? AND t_ns >= ? AND t_ns < ?"  # noqa: S608
        bounds = _bounds(start_ns, end_ns)
        with self._readers.snapshot() as reader:
            found = _series_of(reader, stream, subject_id, sensor_id)
            return sum(reader.rows(query, (series_id, *bounds))[0][0] for series_id, _ in found)

    def latest(self, stream: Stream, subject_id: str) -> Mapping[str, Any] | None:
        """Return the newest sample (`t_ns`, `sensor`, values), or None if there is none."""
        return self._newest(stream, "AND series.subject_id = ?", (subject_id,)).get(subject_id)

    def latest_of_all(self, stream: Stream) -> dict[str, Mapping[str, Any]]:
        """Return the newest sample of everyone, by subject, as `latest` does of one."""
        return self._newest(stream, "", ())

    def _newest(
        self, stream: Stream, chosen: str, parameters: tuple[str, ...]
    ) -> dict[str, Mapping[str, Any]]:
        table = table_of(stream)
        newest: dict[str, Mapping[str, Any]] = {}
        with self._readers.lent() as reader:
            columns = self._columns(reader, stream)
            if not columns:
                return newest
            names = ", ".join(f"held.{column.name}" for column in columns)
            query = (
                f"SELECT series.subject_id, series.sensor_id, held.t_ns, {names} "  # noqa: S608
                f"FROM series JOIN {table} held ON held.series_id = series.series_id "
                f"AND held.t_ns = (SELECT max(t_ns) FROM {table} WHERE series_id = series.series_id) "
                f"WHERE series.stream = ? {chosen} ORDER BY held.t_ns DESC, series.sensor_id"
            )
            for subject_id, sensor, t_ns, *values in reader.rows(query, (stream.name, *parameters)):
                if subject_id not in newest:
                    sample = {"t_ns": t_ns, "sensor": sensor, **_values_of_row(columns, values)}
                    newest[subject_id] = sample
        return newest

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        # One aggregate a query is a look into the index; two at once read the whole series.
        first = f"SELECT min(t_ns) FROM {table_of(stream)} WHERE series_id = ?"  # noqa: S608
        last = f"SELECT max(t_ns) FROM {table_of(stream)} WHERE series_id = ?"  # noqa: S608
        ends: list[int] = []
        with self._readers.snapshot() as reader:
            for series_id, _ in _series_of(reader, stream, subject_id, None):
                found = [reader.rows(query, (series_id,))[0][0] for query in (first, last)]
                ends.extend(end for end in found if end is not None)
        return (min(ends), max(ends)) if ends else None

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        query = "SELECT series_id, subject_id FROM series WHERE stream = ?"
        with self._readers.snapshot() as reader:
            series = reader.rows(query, (stream.name,))
            exists = f"SELECT 1 FROM {table_of(stream)} WHERE series_id = ? LIMIT 1"  # noqa: S608
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
                exists = f"SELECT 1 FROM {table_of(streams[name])} WHERE series_id = ? LIMIT 1"  # noqa: S608
                if reader.rows(exists, (series_id,)):
                    found.append(Series(streams[name], subject_id, sensor_id))
        return sorted(found, key=lambda s: (s.stream.name, s.subject_id, s.sensor_id))

    def store_id(self) -> str:
        """Return what tells this store from any other."""
        with self._readers.snapshot() as reader:
            return store_id(reader)

    def written_since(self, mark: int, streams: Collection[Stream], subject_id: str | None = None) -> Written:
        """Return which hours of some streams, as measured, were written to after a mark."""
        with self._readers.snapshot() as reader:
            return written_since(reader, mark, [stream.name for stream in streams], subject_id)

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

    def _columns(self, reader: SqliteConnection, stream: Stream) -> list[Column]:
        """Return the columns of a stream that its table has; one that has all of them never loses any."""
        if stream in self._whole:
            return list(stream.columns)
        held = existing_columns(reader, stream)
        if len(held) == len(stream.columns):
            self._whole.add(stream)
        return held

    def close(self) -> None:
        """Release files and connections, once nobody uses them."""
        self._readers.close()


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


def _series_of(
    reader: SqliteConnection, stream: Stream, subject_id: str, sensor_id: str | None
) -> list[tuple[int, str]]:
    query = "SELECT series_id, sensor_id FROM series WHERE stream = ? AND subject_id = ? ORDER BY sensor_id"
    found = reader.rows(query, (stream.name, subject_id))
    return [(row[0], row[1]) for row in found if sensor_id in (None, row[1])]


def existing_columns(reader: SqliteConnection, stream: Stream) -> list[Column]:
    """Return the columns of a stream that its table has."""
    held = {row[0] for row in reader.rows(f"SELECT name FROM pragma_table_info('{table_of(stream)}')")}  # noqa: S608
    return [column for column in stream.columns if column.name in held]


def _read_series(
    reader: SqliteConnection, stream: Stream, columns: Sequence[Column], bounds: tuple[int, int, int]
) -> list[NDArray[Any]]:
    """Return the times, then one array per column of the stream; `bounds` are series, start and end."""
    names = ", ".join(f"coalesce({column.name}, {_MISSING[column.dtype]})" for column in columns)
    query = (
        f"SELECT t_ns, {names} FROM {table_of(stream)} "  # noqa: S608 - names come from declarations
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
    held = reader.rows(f"SELECT name, type FROM pragma_table_info('{table_of(declared)}')")  # noqa: S608
    columns: dict[str, DType] = {c: _DTYPES[sql_type] for c, sql_type in held if c not in _KEY_COLUMNS}
    family = reader.rows("SELECT family FROM stream WHERE name = ?", (name,))
    return replace(
        declared,
        columns=tuple(said.get(column, Column(column, dtype, "")) for column, dtype in columns.items()),
        family=family[0][0] if family else declared.family,
    )


def table_of(stream: Stream) -> str:
    """Return the table of a stream, safe to stand in a statement."""
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
