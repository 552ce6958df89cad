"""Runs of the nightly jobs: what ran, which code and settings, how it ended."""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Row

from store.clock import Clock
from store.registry import schema


@dataclass(frozen=True, slots=True)
class JobRun:
    """One run of a job; `ended_ns` is None while it runs or if it was killed."""

    job_id: str
    kind: str
    started_ns: int
    ended_ns: int | None
    code_version: str
    settings_hash: str
    summary: Mapping[str, int]


class Jobs:
    """The job runs of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def start(self, kind: str, code_version: str, settings_hash: str) -> str:
        """Note that a run begins; return its id."""
        job_id = uuid.uuid4().hex
        with self._writing.begin() as connection:
            connection.execute(
                sa.insert(schema.job_run).values(
                    job_id=job_id,
                    kind=kind,
                    started_ns=self._clock.now_ns(),
                    code_version=code_version,
                    settings_hash=settings_hash,
                )
            )
        return job_id

    def end(self, job_id: str, summary: Mapping[str, int]) -> None:
        """Note how a run ended."""
        t = schema.job_run
        told = {"ended_ns": self._clock.now_ns(), "summary": json.dumps(dict(summary))}
        with self._writing.begin() as connection:
            connection.execute(sa.update(t).where(t.c.job_id == job_id).values(told))

    def latest(self, kind: str) -> JobRun | None:
        """Return the run of that kind that started last, or None."""
        return next(iter(self.recent(1, kind=kind)), None)

    def ended_ns(self, kinds: Sequence[str]) -> list[int | None]:
        """Return when the run of each kind that started last ended; None where there is none, or it runs."""
        with self._engine.connect() as connection:
            return list(connection.execute(_ended_query(tuple(kinds))).one())

    def recent(self, limit: int, *, kind: str | None = None) -> list[JobRun]:
        """Return the runs (of a kind) that started last, newest first."""
        t = schema.job_run
        query = sa.select(t).order_by(t.c.started_ns.desc()).limit(limit)
        if kind is not None:
            query = query.where(t.c.kind == kind)
        with self._engine.connect() as connection:
            return [_run(row) for row in connection.execute(query)]


@cache
def _ended_query(kinds: tuple[str, ...]) -> sa.Select[Any]:
    """Return a query that is made for every page, built once."""
    t = schema.job_run
    newest = [
        sa.select(t.c.ended_ns)
        .where(t.c.kind == kind)
        .order_by(t.c.started_ns.desc())
        .limit(1)
        .scalar_subquery()
        for kind in kinds
    ]
    return sa.select(*newest)


def _run(row: Row[Any]) -> JobRun:
    summary: dict[str, int] = json.loads(row.summary or "{}")
    return JobRun(
        row.job_id, row.kind, row.started_ns, row.ended_ns, row.code_version, row.settings_hash, summary
    )
