"""The registry's tables as lines of JSON, the same for every database: to carry them from one to another."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from store.errors import RecordingError, RefusedError

REVISION_TABLE = "alembic_version"
_BYTES = "base64"
_ROWS_AT_ONCE = 1000


def export_tables(engine: sa.Engine, folder: Path) -> dict[str, int]:
    """Write every table to `folder/TABLE.jsonl`, all as they are at one moment; return the rows of each.

    The tables are those that the database has, whatever version of evenkeel made them.
    """
    tables = sa.MetaData()
    counts: dict[str, int] = {}
    is_sqlite = engine.dialect.name == "sqlite"  # one read transaction of it sees one moment anyway
    frozen = engine if is_sqlite else engine.execution_options(isolation_level="REPEATABLE READ")
    with frozen.connect() as connection, connection.begin():
        tables.reflect(connection)
        for table in tables.sorted_tables:
            found = connection.execute(sa.select(table).order_by(*table.primary_key.columns))
            with (folder / f"{table.name}.jsonl").open("w", encoding="utf-8") as file:
                counts[table.name] = 0
                for row in found.mappings():
                    file.write(json.dumps({name: _plain(value) for name, value in row.items()}) + "\n")
                    counts[table.name] += 1
    return counts


def import_tables(engine: sa.Engine, folder: Path) -> dict[str, int]:
    """Make the tables as they were when `folder` was written, and fill them; return the rows of each.

    Raises
    ------
    RefusedError
        If the database has tables already.
    RecordingError
        If the folder does not say which revision its tables have.
    """
    held = sa.inspect(engine).get_table_names()
    if held:
        raise RefusedError(
            f"The database {engine.url.database} holds tables ({held[0]}, ...); needed is an empty one"
        )
    from store.registry.migrating import upgrade  # noqa: PLC0415 - see there

    counts = {REVISION_TABLE: 1}
    with engine.execution_options(is_writing=True).begin() as connection:
        upgrade(connection, _revision(folder))
        tables = sa.MetaData()
        tables.reflect(connection)
        for table in tables.sorted_tables:
            if table.name == REVISION_TABLE:
                continue
            rows = _rows(folder / f"{table.name}.jsonl")
            for k in range(0, len(rows), _ROWS_AT_ONCE):
                connection.execute(sa.insert(table), rows[k : k + _ROWS_AT_ONCE])
            counts[table.name] = len(rows)
            _continue_numbers(connection, table)
    return counts


def _revision(folder: Path) -> str:
    rows = _rows(folder / f"{REVISION_TABLE}.jsonl")
    if len(rows) != 1:
        raise RecordingError(f"{folder} does not say which revision its tables have; make the backup again")
    return str(rows[0]["version_num"])


def _continue_numbers(connection: sa.Connection, table: sa.Table) -> None:
    """Let a PostgreSQL sequence go on after the numbers that were brought along."""
    if connection.dialect.name != "postgresql":
        return
    for column in table.primary_key.columns:
        sequence = connection.execute(
            sa.select(sa.func.pg_get_serial_sequence(f'"{table.name}"', column.name))
        ).scalar()
        if sequence is not None:
            last = sa.select(sa.func.max(column)).scalar_subquery()
            connection.execute(
                sa.select(sa.func.setval(sequence, sa.func.coalesce(last, 1), last.is_not(None)))
            )


def _rows(path: Path) -> list[Mapping[str, Any]]:
    if not path.exists():  # a table that a later migration than the backup's made
        return []
    with path.open(encoding="utf-8") as file:
        return [{name: _held(value) for name, value in json.loads(line).items()} for line in file]


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(type(value))


def _held(value: object) -> object:
    return base64.b64decode(cast("dict[str, str]", value)[_BYTES]) if isinstance(value, dict) else value
