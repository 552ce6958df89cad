"""Filled-in questionnaires and ratings: their totals are checked against their items, and they are kept."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row

from store.clock import Clock
from store.errors import ConfigError, RefusedError, UnknownError
from store.instruments import Instrument, instrument_named
from store.registry import schema
from store.registry.consents import given_spans, histories
from store.units import NS_PER_S

_EARLIEST_ZONE_S = 14 * 3600
"""Where a day begins first; whoever knows the person's zone asks more closely."""


@dataclass(frozen=True, slots=True)
class Assessment:
    """One filled-in scale.

    Attributes
    ----------
    on : date
        Day it is about, in the patient's zone.
    items : tuple of int
        In the order of the scale; empty where only the total is known.
    total : int

    Raises
    ------
    ConfigError
        If the items or the total cannot be of this instrument.
    """

    subject_id: str
    instrument: str
    on: date
    items: tuple[int, ...]
    total: int

    def __post_init__(self) -> None:
        known = instrument_named(self.instrument)
        if not 0 <= self.total <= known.highest_total:
            raise ConfigError(
                f"{known.name} of {self.subject_id} on {self.on} has a total of {self.total}; needed is one "
                f"from 0 to {known.highest_total}"
            )
        if self.items:
            self._check_items(known)

    def _check_items(self, known: Instrument) -> None:
        whose = f"{known.name} of {self.subject_id} on {self.on}"
        if len(self.items) != len(known.highest):
            raise ConfigError(f"{whose} has {len(self.items)} items; needed are {len(known.highest)}")
        for number, (score, highest) in enumerate(zip(self.items, known.highest, strict=True), start=1):
            if not 0 <= score <= highest:
                raise ConfigError(f"{whose}: item {number} is {score}; needed is 0 to {highest}")
        if sum(self.items) != self.total:
            raise ConfigError(
                f"{whose}: the items add up to {sum(self.items)}, the total says {self.total}; check both"
            )


def scored(
    subject_id: str, instrument: str, on: str, *, items: str = "", total: str | int | None = None
) -> Assessment:
    """Return an assessment from what a person wrote: items with commas or blanks, a total, or both.

    Raises
    ------
    ConfigError
        If it says neither, or something that cannot be.
    """
    try:
        scores = tuple(int(each) for each in items.replace(",", " ").split())
        said = None if total is None or total == "" else int(total)
        day = date.fromisoformat(on)
    except ValueError as error:
        raise ConfigError(
            f"{instrument} of {subject_id}: {error}; needed are whole numbers and YYYY-MM-DD"
        ) from None
    if not scores and said is None:
        raise ConfigError(f"{instrument} of {subject_id} on {on} has neither items nor a total")
    return Assessment(subject_id, instrument.upper(), day, scores, sum(scores) if said is None else said)


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of many assessments: how many were new or corrected, and which were refused, and why.

    Attributes
    ----------
    count : int
    refused : tuple of (int, str)
        Position among those given, and a sentence.
    """

    count: int
    refused: tuple[tuple[int, str], ...]


class Assessments:
    """The assessments of one registry: one per person, instrument and day."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def put(self, new: Assessment, *, by: str, is_correction: bool = False) -> bool:
        """Keep one; return whether it was new or corrected.

        Raises
        ------
        UnknownError
            If nobody of that name is registered.
        RefusedError
            If they agree to nothing, the day is still to come, or another score is held for it and this
            is no correction.
        """
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            _check_may_keep(connection, new, now_ns)
            return _put(connection, new, by, now_ns, is_correction=is_correction)

    def put_each(self, several: Sequence[Assessment], *, by: str, is_correction: bool = False) -> Taken:
        """Keep every one that can be kept; what `put` would raise refuses that one alone."""
        now_ns, count = self._clock.now_ns(), 0
        refused: list[tuple[int, str]] = []
        with self._writing.begin() as connection:
            for at, new in enumerate(several):
                try:
                    _check_may_keep(connection, new, now_ns)
                    count += _put(connection, new, by, now_ns, is_correction=is_correction)
                except ConfigError as error:
                    refused.append((at, str(error)))
        return Taken(count, tuple(refused))

    def of_subject(self, subject_id: str) -> list[Assessment]:
        """Return a person's assessments, by day and instrument."""
        return self._selected(schema.assessment.c.subject_id == subject_id)

    def all(self) -> list[Assessment]:
        """Return everybody's assessments, by subject, day and instrument."""
        return self._selected(sa.true())

    def _selected(self, where: sa.ColumnElement[bool]) -> list[Assessment]:
        t = schema.assessment
        query = sa.select(t).where(where).order_by(t.c.subject_id, t.c.day, t.c.instrument)
        with self._engine.connect() as connection:
            return [_assessment(row) for row in connection.execute(query)]

    def newest(self) -> dict[str, Assessment]:
        """Return everybody's newest assessment, by subject."""
        t = schema.assessment
        query = sa.select(t).order_by(t.c.subject_id, t.c.day, t.c.instrument.desc())
        with self._engine.connect() as connection:
            return {row.subject_id: _assessment(row) for row in connection.execute(query)}


def _assessment(row: Row[Any]) -> Assessment:
    items = tuple(json.loads(row.item_scores))
    return Assessment(row.subject_id, row.instrument, date.fromisoformat(row.day), items, row.total)


def _check_may_keep(connection: Connection, new: Assessment, now_ns: int) -> None:
    s = schema.subject.c.subject_id
    if connection.execute(sa.select(s).where(s == new.subject_id)).first() is None:
        raise UnknownError(f"No subject is called {new.subject_id!r}; see: evenkeel subject list")
    spans = given_spans(histories(connection, [new.subject_id]).get(new.subject_id, ()))
    if not any(start_ns <= now_ns < end_ns for start_ns, end_ns in spans):
        raise RefusedError(
            f"{new.subject_id} agrees to nothing being kept, so no {new.instrument} is; when they agree: "
            f"evenkeel subject consent {new.subject_id}"
        )
    newest = datetime.fromtimestamp(now_ns // NS_PER_S + _EARLIEST_ZONE_S, UTC).date()
    if new.on > newest:
        raise RefusedError(f"{new.instrument} of {new.subject_id} is of {new.on}, a day still to come")


def _put(connection: Connection, new: Assessment, by: str, now_ns: int, *, is_correction: bool) -> bool:
    t = schema.assessment
    key = {"subject_id": new.subject_id, "instrument": new.instrument, "day": new.on.isoformat()}
    where = sa.and_(*(t.c[name] == value for name, value in key.items()))
    told = {"item_scores": json.dumps(new.items), "total": new.total}
    held = connection.execute(sa.select(t.c.item_scores, t.c.total).where(where)).first()
    if held is not None and tuple(held) == tuple(told.values()):
        return False
    if held is not None and not is_correction:
        raise RefusedError(
            f"{new.instrument} of {new.subject_id} on {new.on} is held with a total of {held[1]}, the new "
            f"one says {new.total}: give --correct to replace it"
        )
    values = {**key, **told, "recorded_by": by, "recorded_ns": now_ns}
    change = sa.insert(t) if held is None else sa.update(t).where(where)
    connection.execute(change.values(values))
    return True
