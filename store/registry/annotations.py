"""What happened in a person's life that their numbers may show: medication, events."""

from dataclasses import dataclass
from datetime import date
from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy import Engine

from store.clock import Clock
from store.errors import ConfigError, UnknownError
from store.registry import schema
from store.registry.sealing import Sealed, Seals, about_annotation, refuse_readable

Kind = Literal["medication", "life_event"]


@dataclass(frozen=True, slots=True)
class Annotation:
    """A note about `[start, end]` (end None: one day, or still so); the text never leaves the registry."""

    subject_id: str
    kind: Kind
    start: date
    text: str
    end: date | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise ConfigError(f"{self.kind!r} is no annotation; needed is one of {', '.join(get_args(Kind))}")
        if self.end is not None and self.end < self.start:
            raise ConfigError(f"The annotation ends on {self.end}, before it starts on {self.start}")


class Annotations:
    """The annotations of one registry."""

    def __init__(self, engine: Engine, clock: Clock, seals: Seals) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock, self._seals = clock, seals

    def add(self, new: Annotation, *, by: str) -> None:
        """Keep one.

        Raises
        ------
        UnknownError
            If the subject is not registered.
        """
        s = schema.subject.c.subject_id
        with self._writing.begin() as connection:
            if connection.execute(sa.select(s).where(s == new.subject_id)).first() is None:
                raise UnknownError(f"No subject is called {new.subject_id!r}; see: evenkeel subject list")
            refuse_readable(connection, self._seals)
            sealed = self._seals.seal(new.text, about_annotation(new.subject_id))
            connection.execute(
                sa.insert(schema.annotation).values(
                    subject_id=new.subject_id,
                    kind=new.kind,
                    from_day=new.start.isoformat(),
                    to_day=None if new.end is None else new.end.isoformat(),
                    text=sealed.text,
                    text_key_id=sealed.key_id,
                    recorded_by=by,
                    recorded_ns=self._clock.now_ns(),
                )
            )

    def of_subject(self, subject_id: str) -> list[Annotation]:
        """Return a person's annotations, by start."""
        t = schema.annotation
        query = sa.select(t).where(t.c.subject_id == subject_id).order_by(t.c.from_day, t.c.annotation_id)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Annotation(
                r.subject_id,
                r.kind,
                date.fromisoformat(r.from_day),
                self._seals.open(Sealed(r.text, r.text_key_id), about_annotation(r.subject_id)),
                None if r.to_day is None else date.fromisoformat(r.to_day),
            )
            for r in rows
        ]
