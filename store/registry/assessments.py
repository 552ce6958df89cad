"""Questionnaires and ratings: PHQ-9, GAD-7, MADRS, YMRS; their totals are checked against their items."""

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from types import MappingProxyType

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from store.clock import Clock
from store.errors import ConfigError, RecordingError, RefusedError, UnknownError
from store.registry import schema

_MOST_COMPLAINTS = 10


@dataclass(frozen=True, slots=True)
class Instrument:
    """A scale: the highest score of each item (the lowest is 0), and its paper."""

    name: str
    highest: tuple[int, ...]
    doi: str

    @property
    def highest_total(self) -> int:
        """The sum of the highest scores."""
        return sum(self.highest)


_TWICE = 8
"""YMRS counts irritability, speech, content and behaviour (items 5, 6, 8, 9) double: 0 to 8, not 0 to 4."""

INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        "PHQ-9": Instrument("PHQ-9", (3,) * 9, "10.1046/j.1525-1497.2001.016009606.x"),
        "GAD-7": Instrument("GAD-7", (3,) * 7, "10.1001/archinte.166.10.1092"),
        "MADRS": Instrument("MADRS", (6,) * 10, "10.1192/bjp.134.4.382"),
        "YMRS": Instrument(
            "YMRS", (4, 4, 4, 4, _TWICE, _TWICE, 4, _TWICE, _TWICE, 4, 4), "10.1192/bjp.133.5.429"
        ),
    }
)


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
        known = INSTRUMENTS.get(self.instrument)
        if known is None:
            raise ConfigError(
                f"{self.instrument!r} is no instrument; needed is one of {', '.join(INSTRUMENTS)}"
            )
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


def read_assessments(path: Path) -> list[Assessment]:
    """Read a CSV file with the columns subject_id, instrument, on, and items, total or both.

    Raises
    ------
    RecordingError
        If any line cannot be used; names each with its number. Nothing is returned then.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} cannot be read ({error}); needed is CSV in UTF-8") from None
    rows = csv.DictReader(text.splitlines())
    columns = set(rows.fieldnames or ())
    if missing := {"subject_id", "instrument", "on"} - columns:
        raise RecordingError(
            f"{path} has no column {', '.join(sorted(missing))}; needed are subject_id, instrument, on, and "
            "items or total"
        )
    read: list[Assessment] = []
    complaints: list[str] = []
    for row in rows:
        held = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        try:
            read.append(
                scored(
                    held["subject_id"],
                    held["instrument"],
                    held["on"],
                    items=held.get("items", ""),
                    total=held.get("total"),
                )
            )
        except ConfigError as error:
            complaints.append(f"line {rows.line_num}: {error}")
    if complaints:
        more = len(complaints) - _MOST_COMPLAINTS
        shown = "; ".join(complaints[:_MOST_COMPLAINTS]) + (f"; and {more} more" if more > 0 else "")
        raise RecordingError(f"{path} was not imported: {shown}")
    return read


class Assessments:
    """The assessments of one registry: one per person, instrument and day."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def put(self, assessments: Sequence[Assessment], *, by: str, is_correction: bool = False) -> int:
        """Keep those that are not there yet, all or none; return how many were new or corrected.

        Raises
        ------
        UnknownError
            If somebody is not registered.
        RefusedError
            If another score is held for that day and this is no correction.
        """
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            known = set(connection.execute(sa.select(schema.subject.c.subject_id)).scalars())
            if unknown := sorted({each.subject_id for each in assessments} - known):
                raise UnknownError(f"No subject is called {unknown[0]!r}; nothing was kept")
            return sum(
                _put(connection, each, by, now_ns, is_correction=is_correction) for each in assessments
            )

    def of_subject(self, subject_id: str) -> list[Assessment]:
        """Return a person's assessments, by day and instrument."""
        t = schema.assessment
        query = sa.select(t).where(t.c.subject_id == subject_id).order_by(t.c.day, t.c.instrument)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Assessment(
                r.subject_id,
                r.instrument,
                date.fromisoformat(r.day),
                tuple(json.loads(r.item_scores)),
                r.total,
            )
            for r in rows
        ]

    def newest(self) -> dict[str, Assessment]:
        """Return everybody's newest assessment, by subject."""
        t = schema.assessment
        query = sa.select(t).order_by(t.c.subject_id, t.c.day, t.c.instrument.desc())
        with self._engine.connect() as connection:
            return {
                r.subject_id: Assessment(
                    r.subject_id,
                    r.instrument,
                    date.fromisoformat(r.day),
                    tuple(json.loads(r.item_scores)),
                    r.total,
                )
                for r in connection.execute(query)
            }


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
            f"one says {new.total}; nothing was kept: give --correct to replace it"
        )
    values = {**key, **told, "recorded_by": by, "recorded_ns": now_ns}
    change = sa.insert(t) if held is None else sa.update(t).where(where)
    connection.execute(change.values(values))
    return True
