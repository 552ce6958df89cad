"""InfluxDB's note of which days were written to: a point for each series and day, in the bucket of samples.

It holds when the day was last written to, by the clock of who wrote. Clocks of several gateways differ, so
whoever asks is told again of what was written within `CLOCKS_APART_NS` before.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from store.influx_lines import FIRST_NS, SENSOR, SUBJECT, identifier_of, tag_of
from store.ledger_digest import NS_PER_HOUR
from store.timeseries import AnyBatch
from store.units import NS_PER_S
from store.written import Written, by_subject

WRITTEN = "written"
"""The measurement; no stream may be called so."""
CLOCKS_APART_NS = 600 * NS_PER_S
"""Ten minutes: a gateway without network time for a month is off by less."""
_STREAM, _MARK = "stream", "mark"
_DAY_NS = 24 * NS_PER_HOUR


def note_of(batches: Sequence[AnyBatch], now_ns: int) -> bytes:
    """Return the lines that note a write; empty if nothing of it is as measured."""
    lines: list[str] = []
    for batch in batches:
        if batch.stream.family == "raw":
            days = np.unique(np.column_stack([batch.index, batch.t_ns // _DAY_NS]), axis=0).tolist()
            lines.extend(_note(batch, number, day, now_ns) for number, day in days)
    return "\n".join(lines).encode()


def _note(batch: AnyBatch, number: int, day: int, now_ns: int) -> str:
    subject_id, sensor_id = batch.series[number]
    tags = f"{SENSOR}={tag_of(sensor_id)},{_STREAM}={batch.stream.name},{SUBJECT}={tag_of(subject_id)}"
    return f"{WRITTEN},{tags} {_MARK}={now_ns}i {max(day * _DAY_NS, FIRST_NS)}"


def query_of(mark: int, streams: Collection[str], subject_id: str | None) -> tuple[str, dict[str, str | int]]:
    """Return the query for what was written after a mark, and its parameters."""
    parameters: dict[str, str | int] = {"since": mark}
    among: list[str] = []
    for k, name in enumerate(streams):
        parameters[f"stream{k}"] = name
        among.append(f"{_STREAM} = $stream{k}")
    query = f"SELECT {_MARK} FROM {WRITTEN} WHERE {_MARK} > $since AND ({' OR '.join(among)})"  # noqa: S608
    if subject_id is not None:
        query, parameters[SUBJECT] = f"{query} AND {SUBJECT} = ${SUBJECT}", tag_of(subject_id)
    return f"{query} GROUP BY {SUBJECT}", parameters


def written_of(answer: Sequence[dict[str, Any]], now_ns: int) -> Written:
    """Return what an answer says, asked at `now_ns`."""
    who = [identifier_of(held["tags"][SUBJECT]) for held in answer for _ in held["values"]]
    rows = np.array([row for held in answer for row in held["values"]], np.int64).reshape(-1, 2)
    stretches = np.column_stack([rows[:, 0], rows[:, 0] + _DAY_NS, rows[:, 1]])
    return Written(max(now_ns - CLOCKS_APART_NS, 0), by_subject(np.array(who, object), stretches))
