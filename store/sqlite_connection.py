"""One connection to an SQLite file through ADBC.

Everything in a process must reach the file through one copy of the SQLite library: a second copy (Python's
own `sqlite3`) that closes the file drops the locks of the first, and the two corrupt each other
(https://sqlite.org/howtocorrupt.html, section 2.2.1).
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, cast

import adbc_driver_manager
import adbc_driver_sqlite.dbapi
import pyarrow as pa
from numpy.typing import NDArray

from store.streams import DType

BUSY_TIMEOUT_MS = 30_000
"""Another process writes for milliseconds; a lock held for 30 s means that something is stuck."""

# Arrow and ADBC come without type stubs.
_arrow: Any = cast("Any", pa)
_TYPES: dict[DType, Any] = {
    "float64": _arrow.float64(),
    "int64": _arrow.int64(),
    "utf8": _arrow.string(),
    "binary": _arrow.binary(),
}

SqlError = adbc_driver_manager.Error
"""What every method raises if SQLite refuses."""


class SqliteConnection:
    """A connection that may be used from several threads, one statement at a time.

    Parameters
    ----------
    path : Path
    is_read_only : bool
    """

    def __init__(self, path: Path, *, is_read_only: bool) -> None:
        mode = "ro" if is_read_only else "rwc"
        self._lock = threading.RLock()
        connect = cast("Any", adbc_driver_sqlite.dbapi).connect
        self._connection: Any = connect(f"{path.absolute().as_uri()}?mode={mode}", autocommit=True)
        try:
            self.rows(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        except SqlError:
            self.close()
            raise

    def execute(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(statement)

    def execute_many(self, statement: str, columns: Sequence[tuple[DType, NDArray[Any]]]) -> None:
        """Run a statement once for each row of some columns of equal length; NaN becomes NULL."""
        arrays = [
            _arrow.array(values, type=_TYPES[dtype], from_pandas=dtype == "float64")
            for dtype, values in columns
        ]
        batch = _arrow.record_batch(arrays, names=[str(k) for k in range(len(arrays))])
        with self._lock, self._connection.cursor() as cursor:
            cursor.executemany(statement, batch)

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetchall()

    def table(self, query: str, parameters: Sequence[Any]) -> Any:  # noqa: ANN401 - an Arrow table
        """Return the result of a query as an Arrow table."""
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(query, parameters or None)
            return cursor.fetch_arrow_table()

    @contextmanager
    def transaction(self, begin: str) -> Generator[Self]:
        """Hold a transaction, and the connection for this thread alone; roll back if the body raises."""
        with self._lock:
            self.execute(begin)
            try:
                yield self
                self.execute("COMMIT")
            except BaseException:
                with suppress(SqlError):
                    self.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close, once nobody uses it."""
        with self._lock:
            self._connection.close()
