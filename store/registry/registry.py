"""Open a registry, bring its tables up to date, and hand out its parts."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import cast

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DatabaseError, OperationalError

from store.clock import Clock, SystemClock
from store.closing import Closing
from store.errors import HomeError, StoreUnavailableError
from store.registry.accounts import Accounts
from store.registry.annotations import Annotations
from store.registry.assessments import Assessments
from store.registry.audit import Audit
from store.registry.consents import Consents
from store.registry.flags import Flags
from store.registry.identities import Identities
from store.registry.jobs import Jobs
from store.registry.leases import Leases
from store.registry.people import People
from store.registry.sealing import Seals, reseal
from store.registry.tables import export_tables
from store.registry.teams import Teams
from store.wal import switch_to_wal

HEAD = "0006"
"""The newest migration; a test holds it against `migrations/versions`."""
BUSY_TIMEOUT_S = 30
"""A writer of another process holds SQLite's lock for milliseconds; 30 s means something is stuck."""
AUDIT_HEAD_FILE = "audit_head"
"""Beside the registry, not in it: a log whose end is gone differs from it. Not part of a backup."""
_WRITER_LOCK = 0x65766E6B
"""Number of the lock on PostgreSQL that whoever writes to the registry holds."""
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


class Registry(Closing):
    """People, sensors, users, flags, job runs and the audit log.

    Parameters
    ----------
    place : Path or str
        An SQLite file (made, readable by its owner only, if it does not exist), or a database URL of
        SQLAlchemy such as `postgresql+...://...`.
    clock : Clock
    home : Path, optional
        Directory that notes the newest entry of the audit log, so that a missing end is seen, and where a
        copy is kept before tables of a server change.
    seals : Seals, optional
        Keys for what identifies a person; readable without.

    Raises
    ------
    HomeError
        If the database cannot be opened, is none, or was made by a newer evenkeel.
    """

    def __init__(
        self,
        place: Path | str,
        clock: Clock | None = None,
        *,
        home: Path | None = None,
        seals: Seals | None = None,
    ) -> None:
        clock = clock or SystemClock()
        self._seals = seals or Seals()
        self._engine = _sqlite_engine(place) if isinstance(place, Path) else _server_engine(place)
        try:
            if isinstance(place, Path):
                place.touch(mode=0o600)
            if _revision(self._engine) != HEAD:
                _migrate(self._engine, place, home)
        except (OSError, sqlite3.Error, DatabaseError, StoreUnavailableError) as error:
            self.close()
            raise HomeError(
                f"The registry cannot be opened: {error}; needed is a database that this user may write: "
                "check its owner and the disk"
            ) from None
        except HomeError:
            self.close()
            raise
        self.people = People(self._engine, clock, self._seals)
        self.consents = Consents(self._engine, clock)
        self.teams = Teams(self._engine, clock)
        self.assessments = Assessments(self._engine, clock)
        self.annotations = Annotations(self._engine, clock, self._seals)
        self.accounts = Accounts(self._engine, clock)
        self.identities = Identities(self._engine, clock)
        self.flags = Flags(self._engine, clock)
        self.jobs = Jobs(self._engine, clock)
        self.leases = Leases(self._engine, clock)
        self.audit = Audit(self._engine, clock, None if home is None else home / AUDIT_HEAD_FILE)

    def seal_names(self) -> int:
        """Encrypt what identifies a person with the newest key; return how many texts that changed.

        Raises
        ------
        ConfigError
            If there is no key, or one is missing that a text was encrypted with.
        """
        with self._engine.execution_options(is_writing=True).begin() as connection:
            return reseal(connection, self._seals)

    def close(self) -> None:
        """Release connections."""
        self._engine.dispose()


def _sqlite_engine(path: Path) -> sa.Engine:
    url = sa.URL.create("sqlite", database=str(path))
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: sqlite3.Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below; the driver's comes too late
        cursor = connection.cursor()
        switch_to_wal(cursor.execute, sqlite3.OperationalError)
        for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON", "cache_size=-512"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # A read that turns into a write must not meet another one, so writers lock at once; readers never do.
        if connection.get_execution_options().get("is_writing", False):
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:  # it touches no file, so that nothing is to be explained, and every read begins with it
            cast("sqlite3.Connection", connection.connection.dbapi_connection).execute("BEGIN")

    @event.listens_for(engine, "handle_error")
    def _explain(context: ExceptionContext) -> None:  # pyright: ignore[reportUnusedFunction]
        error = context.original_exception
        if isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNAVAILABLE:
            raise StoreUnavailableError(f"{path} cannot be used: {error}") from None

    return engine


def _server_engine(url: str) -> sa.Engine:
    """Return an engine for a database server, with writers one at a time as SQLite has them."""
    engine = sa.create_engine(url, pool_pre_ping=True)

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        # Each entry of the audit log names the one before, and two programs may migrate: they take turns.
        if connection.get_execution_options().get("is_writing", False):
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")

    @event.listens_for(engine, "handle_error")
    def _explain(context: ExceptionContext) -> None:  # pyright: ignore[reportUnusedFunction]
        if context.is_disconnect or isinstance(context.sqlalchemy_exception, OperationalError):
            where = engine.url.render_as_string(hide_password=True)
            raise StoreUnavailableError(f"{where} cannot be used: {context.original_exception}") from None

    return engine


def _revision(engine: sa.Engine) -> str | None:
    with engine.connect() as connection:
        if not sa.inspect(connection).has_table("alembic_version"):
            return None
        return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(engine: sa.Engine, place: Path | str, home: Path | None) -> None:
    from store.registry.migrating import known_revisions, upgrade  # noqa: PLC0415 - see there

    known = known_revisions()
    with engine.execution_options(is_writing=True).begin() as connection:
        held = _revision(engine)  # again: another process may have been faster
        if held is not None and held not in known:
            raise HomeError(
                f"The registry {engine.url.database} was made by a newer evenkeel (its tables are {held}); "
                f"this one knows tables up to {HEAD}: install the newer version again"
            )
        if held is not None and held != HEAD:
            _keep_copy(engine, place, home)
        upgrade(connection, "head")


def _keep_copy(engine: sa.Engine, place: Path | str, home: Path | None) -> None:
    """Copy a registry as it is before its tables change: beside an SQLite file, else into the home.

    Without a home it is being restored, and the backup is the copy.
    """
    if isinstance(place, Path):
        copy = place.with_name(f"{place.name}.before-{HEAD}")
        copy.touch(mode=0o600)
        with closing(sqlite3.connect(place)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    elif home is not None:
        folder = home / f"registry.before-{HEAD}"
        folder.mkdir(mode=0o700, exist_ok=True)
        export_tables(engine, folder)
