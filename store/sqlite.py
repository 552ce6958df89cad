"""Samples in one SQLite file: the embedded default.

A table per stream, `WITHOUT ROWID` and keyed (series, time), in WAL mode so that the collector, the jobs
and the dashboard share the file and readers never wait. A write is one transaction and durable on return
(`synchronous=FULL`); samples go in and come out as Arrow columns.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.errors import HomeError, StoreUnavailableError
from store.sqlite_connection import SqlError, SqliteConnection
from store.sqlite_layout import bring_up_to_date, keep_before_migrating
from store.sqlite_reading import SQL_TYPES, SqliteReader, existing_columns, table_of
from store.sqlite_written import note_written
from store.streams import STREAMS, DType, Stream
from store.timeseries import AnyBatch, SeriesName, check_computed
from store.wal import switch_to_wal

_Written = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Number of its series, and time, of each sample."""


class SqliteTimeSeries(SqliteReader):
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
        super().__init__(path)
        self._ready: set[str] = set()
        self._series: dict[tuple[str, str, str], int] = {}
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

    def write(self, batches: Sequence[AnyBatch]) -> int:
        """Write all of `batches` or none of them; durable when it returns. Return the number of samples.

        Raises
        ------
        StoreUnavailableError
            If the disk is full or the file is locked; nothing was written.
        """
        try:
            with self._writing() as writer:
                measured: list[_Written] = []
                for stream in dict.fromkeys(batch.stream for batch in batches):
                    self._prepare(stream)
                    of_stream = [batch for batch in batches if batch.stream == stream and len(batch)]
                    if of_stream:
                        written = self._insert(writer, stream, of_stream)
                        measured += [written] if stream.family == "raw" else []
                if measured:
                    note_written(writer, *map(_joined, zip(*measured, strict=True)))
        except SqlError as error:
            raise StoreUnavailableError(
                f"{sum(map(len, batches))} samples were not written to {self._path}: {error}"
            ) from None
        return sum(map(len, batches))

    def delete(self, stream: Stream, subject_id: str, start_ns: int, end_ns: int) -> None:
        """Remove what was computed of a subject in an interval."""
        check_computed(stream)
        try:
            with self._writing() as writer:
                self._prepare(stream)
                writer.execute_many(
                    f"DELETE FROM {table_of(stream)} WHERE t_ns >= ? AND t_ns < ? AND series_id IN "  # noqa: S608
                    "(SELECT series_id FROM series WHERE stream = ? AND subject_id = ?)",
                    [
                        *(("int64", np.array([limit])) for limit in (start_ns, end_ns)),
                        *(("utf8", np.array([part], object)) for part in (stream.name, subject_id)),
                    ],
                )
        except SqlError as error:
            raise StoreUnavailableError(f"{self._path} cannot be changed: {error}") from None

    def erase(self, subject_id: str) -> dict[str, int]:
        """Remove every sample of a person, and overwrite where they were; return how many, by stream.

        Raises
        ------
        StoreUnavailableError
            If the file is locked or the disk fails; nothing was removed.
        """
        removed: dict[str, int] = {}
        try:
            self._writer.rows("PRAGMA secure_delete=ON")
            with self._writing() as writer:
                mine = writer.rows("SELECT stream, series_id FROM series WHERE subject_id = ?", (subject_id,))
                for name, series_id in mine:
                    removed[name] = removed.get(name, 0) + _erased(writer, name, series_id)
                # Its number is never used again: another process may remember whose it was.
                whose: list[tuple[DType, NDArray[Any]]] = [("utf8", np.array([subject_id], object))]
                freed = "UPDATE series SET subject_id = '', sensor_id = series_id WHERE subject_id = ?"
                writer.execute_many(freed, whose)
            self._writer.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        except SqlError as error:
            raise StoreUnavailableError(f"{self._path}: {subject_id} was not erased: {error}") from None
        finally:
            self._series.clear()
        return {name: count for name, count in removed.items() if count}

    def close(self) -> None:
        """Release files and connections, once nobody uses them."""
        super().close()
        self._writer.close()

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
        columns = ", ".join(f"{column.name} {SQL_TYPES[column.dtype]}" for column in stream.columns)
        self._writer.execute(
            f"CREATE TABLE IF NOT EXISTS {table_of(stream)} "
            f"(series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL, {columns}, "
            "PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID"
        )
        held = existing_columns(self._writer, stream)
        for column in stream.columns:
            if column not in held:
                self._writer.execute(
                    f"ALTER TABLE {table_of(stream)} ADD COLUMN {column.name} {SQL_TYPES[column.dtype]}"
                )
        self._writer.execute_many(
            "INSERT INTO stream (name, family) VALUES (?, ?) ON CONFLICT (name) "
            "DO UPDATE SET family = excluded.family WHERE family <> excluded.family",
            [("utf8", np.array([part], object)) for part in (stream.name, stream.family)],
        )
        self._ready.add(stream.name)

    def _insert(self, writer: SqliteConnection, stream: Stream, batches: Sequence[AnyBatch]) -> _Written:
        """Insert all that is new of one stream by one statement: of many sensors, each sends a little."""
        names = ["series_id", "t_ns", *stream.column_names()]
        series_ids = _joined([self._series_ids(writer, batch) for batch in batches])
        t_ns = _joined([batch.t_ns for batch in batches])
        columns: list[tuple[DType, NDArray[Any]]] = [("int64", series_ids), ("int64", t_ns)]
        columns.extend(
            (column.dtype, _joined([batch.values[column.name] for batch in batches]))
            for column in stream.columns
        )
        writer.execute_many(
            f"INSERT OR REPLACE INTO {table_of(stream)} ({', '.join(names)}) "  # noqa: S608
            f"VALUES ({', '.join('?' * len(names))})",
            columns,
        )
        return series_ids, t_ns

    def _series_ids(self, writer: SqliteConnection, batch: AnyBatch) -> NDArray[np.int64]:
        """Return the number of each sample's series."""
        ids = [self._series_id(writer, batch.stream, series) for series in batch.series]
        return np.array(ids, np.int64)[batch.index]

    def _series_id(self, writer: SqliteConnection, stream: Stream, series: SeriesName) -> int:
        key = (stream.name, *series)
        if key not in self._series:
            writer.execute_many(
                "INSERT OR IGNORE INTO series (stream, subject_id, sensor_id) VALUES (?, ?, ?)",
                [("utf8", np.array([part], object)) for part in key],
            )
            query = "SELECT series_id FROM series WHERE stream = ? AND subject_id = ? AND sensor_id = ?"
            self._series[key] = int(writer.rows(query, key)[0][0])
        return self._series[key]


def _joined(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _erased(writer: SqliteConnection, name: str, series_id: int) -> int:
    """Remove all of a series, and the note of when it was written to; return how many samples it had."""
    table = table_of(STREAMS.get(name, Stream(name, "", ())))
    count = writer.rows(f"SELECT count(*) FROM {table} WHERE series_id = ?", (series_id,))  # noqa: S608
    these: list[tuple[DType, NDArray[Any]]] = [("int64", np.array([series_id]))]
    for emptied in (table, "written"):
        writer.execute_many(f"DELETE FROM {emptied} WHERE series_id = ?", these)  # noqa: S608
    return int(count[0][0])


def _unusable(path: Path, error: Exception) -> HomeError:
    return HomeError(
        f"The store {path} cannot be used ({error}); needed is a file that this user may write: "
        "check its owner and the disk, or choose another directory with --home"
    )
