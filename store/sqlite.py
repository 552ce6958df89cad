"""Samples in one SQLite file: the embedded default.

A table per stream, `WITHOUT ROWID` and keyed (series, time), in WAL mode so that the collector, the jobs
and the dashboard share the file and readers never wait. Writes go through `sqlite3`, one transaction each
and durable on return (`synchronous=FULL`); reads come back as Arrow columns through ADBC.
"""

import itertools
import sqlite3
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import adbc_driver_sqlite.dbapi as adbc
import numpy as np
from numpy.typing import NDArray

from store.errors import HomeError, StoreUnavailableError
from store.streams import STREAMS, Column, DType, Stream
from store.timeseries import Batch, Samples

BUSY_TIMEOUT_S = 30.0
"""Another process writes for milliseconds; a lock held for 30 s means that something is stuck."""

_SQL_TYPES: dict[DType, str] = {"float64": "REAL", "int64": "INTEGER", "utf8": "TEXT", "binary": "BLOB"}
# SQLite has no NaN (it stores NULL), and ADBC takes a column's type from its first rows, so that a column
# that begins with NULL would come back as integers. Infinity is never stored and stands in on the way out.
_MISSING: dict[DType, str] = {"float64": "9e999", "int64": "0", "utf8": "''", "binary": "x''"}
_SERIES = """
CREATE TABLE IF NOT EXISTS series (
    series_id INTEGER PRIMARY KEY,
    stream TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    sensor_id TEXT NOT NULL,
    UNIQUE (stream, subject_id, sensor_id)
)"""


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
        self._writing = threading.Lock()
        self._local = threading.local()
        self._readers: list[_Reader] = []
        self._ready: set[str] = set()
        self._series: dict[tuple[str, str, str], int] = {}
        try:
            path.touch(mode=0o600)
            self._writer = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._writer.execute("PRAGMA journal_mode=WAL")
            self._writer.execute("PRAGMA synchronous=FULL")
            self._writer.execute(_SERIES)
            for stream in STREAMS.values():
                self._prepare(stream)
        except (OSError, sqlite3.Error) as error:
            raise HomeError(
                f"The store {path} cannot be used ({error}); needed is a file that this user may write: "
                "check its owner and the disk, or choose another directory with --home"
            ) from None

    def write(self, batches: Sequence[Batch]) -> int:
        """Write all of `batches` or none of them; durable when it returns. Return the number of samples.

        Raises
        ------
        StoreUnavailableError
            If the disk is full or the file is locked; nothing was written.
        """
        try:
            with self._writing, self._transaction():
                for batch in batches:
                    self._insert(batch)
        except sqlite3.Error as error:
            self._series.clear()
            self._ready.clear()
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
        with self._reader().snapshot() as reader:
            columns = reader.existing_columns(stream)
            for series_id, sensor in reader.series(stream, subject_id, sensor_id):
                part = reader.columns(stream, columns, series_id, bounds)
                if len(part[0]):
                    sensors.append(sensor)
                    parts.append(part)
        return _merged(stream, sensors, parts)

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
        with self._reader().snapshot() as reader:
            found = reader.series(stream, subject_id, sensor_id)
            return sum(reader.one(query, (series_id, *bounds))[0] for series_id, _ in found)

    def latest(self, stream: Stream, subject_id: str) -> Mapping[str, Any] | None:
        """Return the newest sample (`t_ns`, `sensor`, values), or None if there is none."""
        newest: dict[str, Any] | None = None
        with self._reader().snapshot() as reader:
            columns = reader.existing_columns(stream)
            names = ", ".join(["t_ns", *(column.name for column in columns)])
            query = f"SELECT {names} FROM {_table(stream)} WHERE series_id = ? ORDER BY t_ns DESC LIMIT 1"  # noqa: S608
            for series_id, sensor in reader.series(stream, subject_id, None):
                row = reader.one(query, (series_id,))
                if row is not None and (newest is None or row[0] > newest["t_ns"]):
                    newest = {"t_ns": row[0], "sensor": sensor}
                    for column, value in zip(columns, row[1:], strict=True):
                        is_missing = value is None and column.dtype == "float64"
                        newest[column.name] = float("nan") if is_missing else value
        return newest

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        query = f"SELECT min(t_ns), max(t_ns) FROM {_table(stream)} WHERE series_id = ?"  # noqa: S608
        with self._reader().snapshot() as reader:
            found = [
                reader.one(query, (series_id,)) for series_id, _ in reader.series(stream, subject_id, None)
            ]
        ends = [(row[0], row[1]) for row in found if row[0] is not None]
        return (min(first for first, _ in ends), max(last for _, last in ends)) if ends else None

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        with self._reader().snapshot() as reader:
            return reader.subjects(stream)

    def close(self) -> None:
        """Release files and connections; not while another thread still reads."""
        for reader in self._readers:
            reader.close()
        self._readers.clear()
        self._local = threading.local()
        self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _transaction(self) -> Generator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def _prepare(self, stream: Stream) -> None:
        if stream.name in self._ready:
            return
        columns = ", ".join(f"{column.name} {_SQL_TYPES[column.dtype]}" for column in stream.columns)
        self._writer.execute(
            f"CREATE TABLE IF NOT EXISTS {_table(stream)} "
            f"(series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, {columns}, "
            "PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID"
        )
        held = {row[1] for row in self._writer.execute(f"PRAGMA table_info({_table(stream)})")}
        for column in stream.columns:
            if column.name not in held:
                self._writer.execute(
                    f"ALTER TABLE {_table(stream)} ADD COLUMN {column.name} {_SQL_TYPES[column.dtype]}"
                )
        self._ready.add(stream.name)

    def _insert(self, batch: Batch) -> None:
        self._prepare(batch.stream)
        names = ", ".join(["series_id", "t_ns", *batch.stream.column_names()])
        marks = ", ".join("?" * (2 + len(batch.stream.columns)))
        columns = [batch.values[name].tolist() for name in batch.stream.column_names()]
        rows = zip(itertools.repeat(self._series_id(batch)), batch.t_ns.tolist(), *columns, strict=False)
        self._writer.executemany(
            f"INSERT OR REPLACE INTO {_table(batch.stream)} ({names}) VALUES ({marks})",  # noqa: S608
            rows,
        )

    def _series_id(self, batch: Batch) -> int:
        key = (batch.stream.name, batch.subject_id, batch.sensor_id)
        if key not in self._series:
            self._writer.execute(
                "INSERT OR IGNORE INTO series (stream, subject_id, sensor_id) VALUES (?, ?, ?)", key
            )
            row = self._writer.execute(
                "SELECT series_id FROM series WHERE stream = ? AND subject_id = ? AND sensor_id = ?", key
            ).fetchone()
            self._series[key] = int(row[0])
        return self._series[key]

    def _reader(self) -> "_Reader":
        if not hasattr(self._local, "reader"):
            self._local.reader = _Reader(self._path)
            self._readers.append(self._local.reader)
        return self._local.reader


class _Reader:
    """One thread's read-only connections: ADBC for columns, sqlite3 for single rows."""

    def __init__(self, path: Path) -> None:
        self._rows = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            timeout=BUSY_TIMEOUT_S,
            isolation_level=None,
            check_same_thread=False,
        )
        # ADBC and Arrow come without type stubs.
        self._arrow: Any = cast("Any", adbc).connect(f"{path.absolute().as_uri()}?mode=ro", autocommit=False)

    @contextmanager
    def snapshot(self) -> Generator[Self]:
        """Hold one state of the file for everything read inside."""
        self._rows.execute("BEGIN")
        try:
            yield self
        finally:
            self._rows.execute("COMMIT")
            self._arrow.rollback()

    def one(self, query: str, parameters: Sequence[Any]) -> Any:  # noqa: ANN401 - whatever SQLite holds
        return self._rows.execute(query, parameters).fetchone()

    def series(self, stream: Stream, subject_id: str, sensor_id: str | None) -> list[tuple[int, str]]:
        query = "SELECT series_id, sensor_id FROM series WHERE stream = ? AND subject_id = ?"
        found = self._rows.execute(f"{query} ORDER BY sensor_id", (stream.name, subject_id)).fetchall()
        return [(row[0], row[1]) for row in found if sensor_id in (None, row[1])]

    def subjects(self, stream: Stream) -> list[str]:
        query = "SELECT series_id, subject_id FROM series WHERE stream = ? ORDER BY subject_id"
        exists = f"SELECT 1 FROM {_table(stream)} WHERE series_id = ? LIMIT 1"  # noqa: S608
        series = self._rows.execute(query, (stream.name,)).fetchall()
        return sorted({subject_id for series_id, subject_id in series if self.one(exists, (series_id,))})

    def existing_columns(self, stream: Stream) -> list[Column]:
        held = {row[1] for row in self._rows.execute(f"PRAGMA table_info({_table(stream)})")}
        return [column for column in stream.columns if column.name in held]

    def columns(
        self, stream: Stream, columns: Sequence[Column], series_id: int, bounds: tuple[int, int]
    ) -> list[NDArray[Any]]:
        """Return the times, then one array per column of the stream."""
        names = ", ".join(f"coalesce({column.name}, {_MISSING[column.dtype]})" for column in columns)
        query = (
            f"SELECT t_ns, {names} FROM {_table(stream)} "  # noqa: S608 - names come from declarations
            "WHERE series_id = ? AND t_ns >= ? AND t_ns < ? ORDER BY t_ns"
        )
        with self._arrow.cursor() as cursor:
            cursor.execute(query, (series_id, *bounds))
            table = cursor.fetch_arrow_table()
        arrays: dict[str, Any] = {column.name: table.column(k + 1) for k, column in enumerate(columns)}
        t_ns: NDArray[np.int64] = table.column(0).to_numpy().astype(np.int64, copy=False)
        return [t_ns, *(_as_numpy(column, arrays.get(column.name), len(t_ns)) for column in stream.columns)]

    def close(self) -> None:
        self._arrow.close()
        self._rows.close()


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


def _merged(stream: Stream, sensors: list[str], parts: list[list[NDArray[Any]]]) -> Samples:
    if not parts:
        dtypes = {"float64": np.float64, "int64": np.int64, "utf8": object, "binary": object}
        values = {column.name: np.empty(0, dtypes[column.dtype]) for column in stream.columns}
        return Samples(stream, np.empty(0, np.int64), (), np.empty(0, np.intp), values)
    index = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    arrays = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
    if len(parts) > 1:
        order = np.argsort(arrays[0], kind="stable")
        index, arrays = index[order], [array[order] for array in arrays]
    return Samples(
        stream, arrays[0], tuple(sensors), index, dict(zip(stream.column_names(), arrays[1:], strict=True))
    )
