"""Who wears which sensor from when to when: one person at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection

from store.errors import RefusedError
from store.registry import schema
from store.registry.consents import NEVER_NS
from store.times import iso_time


@dataclass(frozen=True, slots=True)
class Wearing:
    """Who wears a sensor in a half-open interval.

    Attributes
    ----------
    sensor_id, subject_id : str
    from_ns : int
        Nanoseconds UTC.
    to_ns : int or None
        None while nobody knows of an end.
    """

    sensor_id: str
    subject_id: str
    from_ns: int
    to_ns: int | None = None

    def covers(self, t_ns: int) -> bool:
        """Say whether it is worn at a time."""
        return self.from_ns <= t_ns and not self.has_ended(t_ns)

    def has_ended(self, t_ns: int) -> bool:
        """Say whether it is no longer worn at a time."""
        return self.to_ns is not None and self.to_ns <= t_ns


def latest_wearing(connection: Connection, sensor_id: str) -> Wearing | None:
    """Return the last wearing of a sensor, None if nobody ever wore it."""
    w = schema.wearing
    query = (
        sa.select(w.c.sensor_id, w.c.subject_id, w.c.from_ns, w.c.to_ns)
        .where(w.c.sensor_id == sensor_id)
        .order_by(w.c.from_ns.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else Wearing(*row)


def free_from_ns(latest: Wearing | None) -> int:
    """Return from when on the sensor may be given to somebody else."""
    if latest is None:
        return -(1 << 62)
    return latest.from_ns + 1 if latest.to_ns is None else latest.to_ns


def is_same(wearing: Wearing) -> sa.ColumnElement[bool]:
    """Return the condition that a row is this wearing."""
    w = schema.wearing
    return (w.c.sensor_id == wearing.sensor_id) & (w.c.from_ns == wearing.from_ns)


def check_free_since(connection: Connection, sensor_id: str, from_ns: int, but: Wearing | None) -> None:
    """Raise RefusedError if anybody wore the sensor after `from_ns`, `but` for one wearing."""
    w = schema.wearing
    is_later = w.c.to_ns.is_(None) | (w.c.to_ns > from_ns)
    query = sa.select(w.c.sensor_id, w.c.subject_id, w.c.from_ns, w.c.to_ns).where(
        w.c.sensor_id == sensor_id, is_later
    )
    worn = [Wearing(*row) for row in connection.execute(query.order_by(w.c.from_ns))]
    others = [wearing for wearing in worn if wearing != but]
    if not others:
        return
    last = others[-1]
    if last.to_ns is None:
        when, needed = "to this day", "unpair it first, or pair it from now on"
    else:
        when, needed = f"until {iso_time(last.to_ns)}", "name a time from then on"
    raise RefusedError(
        f"Sensor {sensor_id} was worn by {last.subject_id} from {iso_time(last.from_ns)} {when}, so nobody "
        f"else can have worn it since {iso_time(from_ns)}; {needed}"
    )


def end_wearing(connection: Connection, sensor_id: str, at_ns: int) -> str | None:
    """End what has no end yet; return who wore the sensor."""
    w = schema.wearing
    is_open = (w.c.sensor_id == sensor_id) & w.c.to_ns.is_(None)
    subject_id = connection.execute(sa.select(w.c.subject_id).where(is_open)).scalar()
    connection.execute(sa.update(w).where(is_open).values(to_ns=at_ns))
    return subject_id


def worn_at(at_ns: int, wearings: Iterable[Wearing]) -> dict[str, str]:
    """Return sensor id to subject id at a time."""
    return {each.sensor_id: each.subject_id for each in wearings if each.covers(at_ns)}


def within(worn: Wearing, spans: Sequence[tuple[int, int]]) -> list[Wearing]:
    """Return what of a wearing lies in the spans."""
    to_ns = NEVER_NS if worn.to_ns is None else worn.to_ns
    cut = [(max(start, worn.from_ns), min(end, to_ns)) for start, end in spans]
    return [
        Wearing(worn.sensor_id, worn.subject_id, start, None if end == NEVER_NS else end)
        for start, end in cut
        if start < end
    ]
