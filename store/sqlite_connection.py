"""One connection to an SQLite file through ADBC.

Everything in a process must reach the file through one copy of the SQLite library: a second copy (Python's
own `sqlite3`) that closes the file drops the locks of the first, and the two corrupt each other
(https://sqlite.org/howtocorrupt.html, section 2.2.1).

ADBC's own statements are used, not its DB-API: that one imports Arrow's data sets and, for a type it may be
handed, pandas, which is more memory than all else that a collector holds.
"""

import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self, cast

import adbc_driver_manager
import adbc_driver_sqlite
import pyarrow as pa
from numpy.typing import NDArray

from store.arrow_arrays import array_of, parameter_of
from store.streams import DType

BUSY_TIMEOUT_MS = 30_000
"""Another process writes for milliseconds; a lock held for 30 s means that something is stuck."""
READER_CACHE_KB = 256
"""Pages of the file that a reader keeps, one for each thread that asks: the system keeps them anyway, and
SQLite's 2 MB make no reading faster."""

# Arrow and ADBC come without type stubs.
_arrow: Any = cast("Any", pa)
_adbc: Any = cast("Any", adbc_driver_manager)
_READ_ERRORS: tuple[type[Exception], ...] = (_arrow.ArrowException, OSError)

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
        self._database: Any = adbc_driver_sqlite.connect(f"{path.absolute().as_uri()}?mode={mode}")
        try:
            self._connection: Any = _adbc.AdbcConnection(self._database)
        except SqlError:
            self._database.close()
            raise
        try:
            self.rows(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
            if is_read_only:
                self.execute(f"PRAGMA cache_size=-{READER_CACHE_KB}")
        except SqlError:
            self.close()
            raise

    def execute(self, statement: str) -> None:
        """Run a statement that returns nothing."""
        with self._statement(statement) as prepared:
            prepared.execute_update()

    def execute_many(self, statement: str, columns: Sequence[tuple[DType, NDArray[Any]]]) -> None:
        """Run a statement once for each row of some columns of equal length; NaN becomes NULL."""
        arrays = [array_of(values, dtype) for dtype, values in columns]
        with self._statement(statement, arrays) as prepared:
            prepared.execute_update()

    def rows(self, query: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        columns = [column.to_pylist() for column in self.table(query, parameters).columns]
        return list(zip(*columns, strict=True))

    def table(self, query: str, parameters: Sequence[Any]) -> Any:  # noqa: ANN401 - an Arrow table
        """Return the result of a query as an Arrow table."""
        arrays = [parameter_of(parameter) for parameter in parameters]
        with self._statement(query, arrays) as prepared:
            stream, _ = prepared.execute_query()
            try:
                return _arrow.RecordBatchReader.from_stream(stream).read_all()
            except _READ_ERRORS as error:  # so SQLite's errors between two rows arrive
                code = adbc_driver_manager.AdbcStatusCode.IO
                raise adbc_driver_manager.OperationalError(str(error), status_code=code) from error

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

    @contextmanager
    def _statement(self, text: str, arrays: Sequence[Any] = ()) -> Generator[Any]:
        """Lend a statement with its parameters, one Arrow array each."""
        with self._lock, _adbc.AdbcStatement(self._connection) as statement:
            statement.set_sql_query(text)
            if arrays:
                names = [str(k) for k in range(len(arrays))]
                schema, values = _arrow.RecordBatch.from_arrays(arrays, names=names).__arrow_c_array__()
                statement.prepare()
                statement.bind(values, schema)
            yield statement

    def close(self) -> None:
        """Close, once nobody uses it."""
        with self._lock:
            self._connection.close()
            self._database.close()
