"""Open a registry, bring its tables up to date, and hand out its parts."""

import sqlite3
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError

from store.clock import Clock, SystemClock
from store.errors import HomeError, StoreUnavailableError
from store.registry.accounts import Accounts
from store.registry.audit import Audit
from store.registry.flags import Flags
from store.registry.jobs import Jobs
from store.registry.people import People
from store.wal import switch_to_wal

HEAD = "0001"
"""The newest migration; a test holds it against `migrations/versions`."""
BUSY_TIMEOUT_S = 30
"""A writer of another process holds SQLite's lock for milliseconds; 30 s means something is stuck."""
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)
"""What the disk or another process is to blame for. A broken constraint or statement stays a bug."""


class Registry:
    """People, sensors, users, flags, job runs and the audit log.

    Parameters
    ----------
    place : Path or str
        An SQLite file (made, readable by its owner only, if it does not exist), or a database URL of
        SQLAlchemy such as `postgresql+...://...`.
    clock : Clock

    Raises
    ------
    HomeError
        If the database cannot be opened, is none, or was made by a newer evenkeel.
    """

    def __init__(self, place: Path | str, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._engine = _sqlite_engine(place) if isinstance(place, Path) else sa.create_engine(place)
        try:
            if isinstance(place, Path):
                place.touch(mode=0o600)
            if _revision(self._engine) != HEAD:
                _migrate(self._engine)
        except (OSError, sqlite3.Error, DatabaseError, StoreUnavailableError) as error:
            self.close()
            raise HomeError(
                f"The registry cannot be opened: {error}; needed is a database that this user may write: "
                "check its owner and the disk"
            ) from None
        except HomeError:
            self.close()
            raise
        self.people = People(self._engine, clock)
        self.accounts = Accounts(self._engine, clock)
        self.flags = Flags(self._engine, clock)
        self.jobs = Jobs(self._engine, clock)
        self.audit = Audit(self._engine, clock)

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _sqlite_engine(path: Path) -> sa.Engine:
    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below; the driver's comes too late
        cursor = connection.cursor()
        switch_to_wal(cursor.execute, sqlite3.OperationalError)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A read that turns into a write must not meet another one, so writers lock at once; readers never do.
        is_writing = connection.get_execution_options().get("is_writing", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writing else "BEGIN")

    @event.listens_for(engine, "handle_error")
    def _explain(context: ExceptionContext) -> None:  # pyright: ignore[reportUnusedFunction]
        error = context.original_exception
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNAVAILABLE:
            raise StoreUnavailableError(f"{path} cannot be used: {error}") from None

    return engine


def _revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.execution_options(is_writing=True).begin() as connection:
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise HomeError(
                f"The registry {engine.url.database} was made by a newer evenkeel ({error}); this one knows "
                f"tables up to {HEAD}: install the newer version again"
            ) from None
