"""The embedded store's note of which hours were written to, in the transaction that writes."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from store.ledger_digest import NS_PER_HOUR
from store.sqlite_connection import SqliteConnection
from store.written import Written, by_subject


def note_written(writer: SqliteConnection, series_ids: NDArray[np.int64], t_ns: NDArray[np.int64]) -> None:
    """Note, inside the transaction of the caller, that samples are written: their series and times."""
    series, hours = series_ids, t_ns // NS_PER_HOUR
    order = np.lexsort((hours, series))
    series, hours = series[order], hours[order]
    is_new = np.r_[True, (series[1:] != series[:-1]) | (hours[1:] != hours[:-1])]
    writer.execute("UPDATE identity SET newest_mark = newest_mark + 1")
    writer.execute_many(
        "INSERT INTO written SELECT ?, ?, newest_mark FROM identity WHERE true "
        "ON CONFLICT DO UPDATE SET mark = excluded.mark",
        [("int64", series[is_new]), ("int64", hours[is_new])],
    )


def store_id(reader: SqliteConnection) -> str:
    """Return what tells this file from any other."""
    return str(reader.rows("SELECT store_id FROM identity")[0][0])


def written_since(
    reader: SqliteConnection, mark: int, streams: Collection[str], subject_id: str | None
) -> Written:
    """Return which hours of some streams were written to after a mark."""
    newest = int(reader.rows("SELECT newest_mark FROM identity")[0][0])
    if newest <= mark:
        return Written(newest)
    places = ", ".join("?" * len(streams))
    query = (
        "SELECT subject_id, hour, mark FROM written JOIN series USING (series_id) "  # noqa: S608
        f"WHERE mark > ? AND stream IN ({places})"
    )
    values: list[str | int] = [mark, *streams]
    if subject_id is not None:
        query, values = f"{query} AND subject_id = ?", [*values, subject_id]
    table = reader.table(query, values)
    if not len(table):
        return Written(newest)
    who, hours, marks = (table.column(k).to_numpy() for k in range(3))
    start_ns = hours.astype(np.int64) * NS_PER_HOUR
    stretches = np.column_stack([start_ns, start_ns + NS_PER_HOUR, marks.astype(np.int64)])
    return Written(newest, by_subject(who, stretches))
