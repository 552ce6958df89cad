"""Open a registry, bring its tables up to date, and hand out its parts."""

from pathlib import Path
from sqlite3 import Connection
from types import TracebackType
from typing import Self

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy import event

from store.clock import Clock, SystemClock
from store.registry.accounts import Accounts
from store.registry.audit import Audit
from store.registry.flags import Flags
from store.registry.jobs import Jobs
from store.registry.people import People

HEAD = "0001"
"""The newest migration; a test holds it against `migrations/versions`."""
BUSY_TIMEOUT_S = 30
"""A writer of another process holds SQLite's lock for milliseconds; 30 s means something is stuck."""


class Registry:
    """People, sensors, users, flags, job runs and the audit log.

    Parameters
    ----------
    url : str
        A database URL of SQLAlchemy: `sqlite:///...` or `postgresql+...://...`.
    clock : Clock
    """

    def __init__(self, url: str, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self._engine = _engine(url)
        if _revision(self._engine) != HEAD:
            _migrate(self._engine)
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


def _engine(url: str) -> sa.Engine:
    if not url.startswith("sqlite:"):
        return sa.create_engine(url)
    engine = sa.create_engine(url, connect_args={"timeout": BUSY_TIMEOUT_S})

    @event.listens_for(engine, "connect")
    def _configure(connection: Connection, _record: object) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # SQLAlchemy's own BEGIN below; the driver's comes too late
        cursor = connection.cursor()
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.exec_driver_sql(
            "BEGIN IMMEDIATE"
        )  # a read that turns into a write must not meet another one

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
        command.upgrade(config, "head")
