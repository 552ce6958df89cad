"""Flags and the state each is in."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Engine, Row

from store.clock import Clock
from store.registry import schema
from store.types import Contribution, Flag


@dataclass(frozen=True, slots=True)
class StoredFlag:
    """A flag at rest: number, state (`open`, ...) and when it was raised."""

    flag_id: int
    state: str
    raised_ns: int
    flag: Flag


class Flags:
    """The flags of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def put(self, subject_id: str, flags: Sequence[Flag]) -> int:
        """Keep the flags of a person that are not there yet; return how many were new.

        The same rule in the same settings on the same night is the same flag: its state is kept.
        """
        t = schema.flag
        new = 0
        with self._writing.begin() as connection:
            query = sa.select(t.c.night, t.c.detector_id, t.c.config_hash).where(t.c.subject_id == subject_id)
            known = {tuple(row) for row in connection.execute(query)}
            for flag in flags:
                if (flag.night.isoformat(), flag.detector_id, flag.config_hash) not in known:
                    connection.execute(sa.insert(t).values(_row(flag, self._clock.now_ns())))
                    new += 1
        return new

    def of_subject(self, subject_id: str) -> list[StoredFlag]:
        """Return the flags of one person, newest night first."""
        return self._select(schema.flag.c.subject_id == subject_id)

    def all(self) -> list[StoredFlag]:
        """Return every flag, newest night first."""
        return self._select(sa.true())

    def _select(self, where: sa.ColumnElement[bool]) -> list[StoredFlag]:
        t = schema.flag
        query = sa.select(t).where(where).order_by(t.c.night.desc(), t.c.flag_id.desc())
        with self._engine.connect() as connection:
            return [_stored(row) for row in connection.execute(query)]


def _row(flag: Flag, raised_ns: int) -> dict[str, Any]:
    return {
        "subject_id": flag.subject_id,
        "night": flag.night.isoformat(),
        "since": flag.since.isoformat(),
        "score": flag.score,
        "threshold": flag.threshold,
        "direction": flag.direction,
        "contributions": json.dumps([asdict(c) for c in flag.contributions]),
        "coverage_frac": flag.coverage_frac,
        "detector_id": flag.detector_id,
        "config_hash": flag.config_hash,
        "reason": flag.reason,
        "state": "open",
        "raised_ns": raised_ns,
    }


def _stored(row: Row[Any]) -> StoredFlag:
    flag = Flag(
        subject_id=row.subject_id,
        night=date.fromisoformat(row.night),
        since=date.fromisoformat(row.since),
        score=row.score,
        threshold=row.threshold,
        direction=row.direction,
        contributions=tuple(Contribution(**held) for held in json.loads(row.contributions)),
        coverage_frac=row.coverage_frac,
        detector_id=row.detector_id,
        config_hash=row.config_hash,
        reason=row.reason,
    )
    return StoredFlag(row.flag_id, row.state, row.raised_ns, flag)
