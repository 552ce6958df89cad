"""Remove everything about a person from the registry's tables, whatever tables there are."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy import Connection, Table

from store.registry import schema

KEPT = frozenset({"audit", "erasure"})


def erased_rows(connection: Connection, subject_id: str, sensors: Sequence[str]) -> dict[str, int]:
    """Delete every row about a person; return how many of each table there were.

    Parameters
    ----------
    connection : Connection
        In a transaction.
    subject_id : str
    sensors : sequence of str
        Of the person's samples; those that stand for a replayed recording or an import are removed.
    """
    s = schema
    mine = sa.select(s.case_load.c.user_id).where(s.case_load.c.subject_id == subject_id)
    # Whoever signs in as the person: patients see one person's data, their own.
    as_them = sa.select(s.user.c.user_id).where(s.user.c.role == "patient", s.user.c.user_id.in_(mine))
    users: list[int] = list(connection.execute(as_them).scalars())
    # What nobody ever wore stands for a recording or an export, and may be named after the person.
    worn = sa.select(s.wearing.c.sensor_id)
    unworn = (
        sa.select(s.sensor.c.sensor_id)
        .where(s.sensor.c.sensor_id.in_(sensors))
        .where(s.sensor.c.sensor_id.not_in(worn))
    )
    recordings: list[str] = list(connection.execute(unworn).scalars())
    removed: dict[str, int] = {}
    for table in reversed(s.metadata.sorted_tables):  # what refers to a row goes before it
        whose = [
            *_about(table, s.subject.c.subject_id, [subject_id]),
            *_about(table, s.user.c.user_id, users),
            *_about(table, s.sensor.c.sensor_id, recordings),
        ]
        if table.name not in KEPT and whose:
            count = connection.execute(sa.delete(table).where(sa.or_(*whose))).rowcount
            removed |= {table.name: count} if count else {}
    return removed


def _about(
    table: Table, key: sa.Column[str] | sa.Column[int], values: Sequence[object]
) -> list[sa.ColumnElement[bool]]:
    """Return which rows of a table are about some rows of another: those, or what refers to them."""
    if table is key.table:
        return [key.in_(values)]
    found: list[sa.ColumnElement[bool]] = []
    for column in table.columns:
        for foreign in column.foreign_keys:
            target = foreign.column
            if target is key:
                found.append(column.in_(values))
            elif target.table is not table:
                found += [
                    column.in_(sa.select(target).where(each)) for each in _about(target.table, key, values)
                ]
    return found
