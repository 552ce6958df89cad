"""Subjects, their names and time zones, sensors, and who wore which sensor when."""

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from store.clock import Clock
from store.errors import ConfigError, RefusedError, UnknownError
from store.registry import schema
from store.registry.consents import ALL, Consent, given_spans, histories, insert_consent
from store.registry.erasing import erased_rows
from store.registry.sealing import Sealed, Seals, about_subject, refuse_readable
from store.registry.wearing import (
    Wearing,
    check_free_since,
    end_wearing,
    free_from_ns,
    is_same,
    latest_wearing,
    within,
    worn_at,
)
from store.times import iso_time

SUBJECT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Subject:
    """One person under a pseudonym.

    Attributes
    ----------
    subject_id : str
    zone : str
        IANA zone in force now.
    display_name : str
        For clinicians only; never leaves the registry. Empty if none was given.
    is_simulated : bool
    """

    subject_id: str
    zone: str
    display_name: str = ""
    is_simulated: bool = False


@dataclass(frozen=True, slots=True)
class Sensor:
    """One wearable, by its Bluetooth address, and who wears it now (empty if nobody)."""

    sensor_id: str
    name: str
    model: str
    manufacturer: str
    firmware: str
    is_simulated: bool
    subject_id: str


@dataclass(frozen=True, slots=True)
class ZoneHistory:
    """The IANA zones of a subject: `zones[k]` is in force from `from_ns[k]` on, the first one since ever."""

    from_ns: tuple[int, ...]
    zones: tuple[str, ...]

    def at(self, t_ns: int) -> str:
        """Return the zone in force at a time."""
        known = [zone for start, zone in zip(self.from_ns, self.zones, strict=True) if start <= t_ns]
        return known[-1] if known else self.zones[0]


# Built once: every page asks for somebody, and to build a query takes as long as to run it.
_SUBJECTS = (
    sa.select(schema.subject, schema.subject_zone.c.zone, schema.subject_zone.c.from_ns)
    .join(schema.subject_zone, schema.subject_zone.c.subject_id == schema.subject.c.subject_id)
    .order_by(schema.subject.c.subject_id, schema.subject_zone.c.from_ns)
)
_SOME_SUBJECTS = _SUBJECTS.where(schema.subject.c.subject_id.in_(sa.bindparam("only", expanding=True)))


class People:
    """Subjects and sensors of one registry."""

    def __init__(self, engine: Engine, clock: Clock, seals: Seals | None = None) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock
        self._seals = seals or Seals()

    def add_subject(
        self,
        subject_id: str,
        zone: str,
        *,
        display_name: str = "",
        is_simulated: bool = False,
        agrees_to: Sequence[str] = (ALL,),
    ) -> Subject:
        """Register a subject, or move an existing one to another zone from now on.

        A display name replaces that of an existing subject; an empty one changes nothing. So does
        `agrees_to`: the streams that a new subject agreed to have collected, none if it is empty.

        Raises
        ------
        ConfigError
            If the id or the zone cannot be used.
        RefusedError
            If somebody who had the id was erased.
        """
        check_subject_id(subject_id)
        check_zone(zone)
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            if display_name:
                refuse_readable(connection, self._seals)
            name = self._seals.seal(display_name, about_subject(subject_id))
            told = {"display_name": name.text, "name_key_id": name.key_id}
            if (erased := _erased(connection, subject_id)) is not None:
                raise RefusedError(f"{erased}; choose another id")
            if not _has_subject(connection, subject_id):
                made = {"subject_id": subject_id, "is_simulated": is_simulated, "created_ns": now_ns}
                connection.execute(sa.insert(schema.subject).values(**made, **told))
                _set_zone(connection, subject_id, zone, now_ns)
                for stream in agrees_to or (ALL,):
                    first = Consent(subject_id, stream, bool(agrees_to), now_ns, "enrolment")
                    insert_consent(connection, first, now_ns)
                return Subject(subject_id, zone, display_name, is_simulated)
            if display_name:
                t = schema.subject
                connection.execute(sa.update(t).where(t.c.subject_id == subject_id).values(told))
            if _zones(connection, subject_id).at(now_ns) != zone:
                _set_zone(connection, subject_id, zone, now_ns)
        return self.subject(subject_id)

    def move_subject(self, subject_id: str, zone: str, from_ns: int) -> ZoneHistory:
        """Record that a subject lives in a zone from a time on, past or to come, until the next known move.

        Raises
        ------
        ConfigError
            If there is no such zone.
        UnknownError
            If nobody has that id.
        """
        check_zone(zone)
        with self._writing.begin() as connection:
            _zones(connection, subject_id)
            _set_zone(connection, subject_id, zone, from_ns)
            return _zones(connection, subject_id)

    def erase_subject(self, subject_id: str, sensors: Sequence[str], *, by: str) -> dict[str, int]:
        """Remove every row about a person, and who signs in as them; return how many, by table.

        Kept are the audit log and that the id is not to be given again.

        Parameters
        ----------
        subject_id : str
        sensors : sequence of str
            Sensors of the person's samples: those that stand for recordings are removed, wearables stay.

        Raises
        ------
        UnknownError
            If nobody has that id.
        """
        self.subject(subject_id)
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            removed = erased_rows(connection, subject_id, sensors)
            made = {"subject_id": subject_id, "erased_ns": now_ns, "erased_by": by}
            connection.execute(sa.insert(schema.erasure).values(**made))
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                connection.exec_driver_sql("COMMIT")  # a checkpoint needs to be outside of a transaction
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()
        return removed

    def erased(self) -> frozenset[str]:
        """Return the ids of everyone who was erased."""
        with self._engine.connect() as connection:
            return frozenset(connection.execute(sa.select(schema.erasure.c.subject_id)).scalars())

    def subject(self, subject_id: str) -> Subject:
        """Return one subject.

        Raises
        ------
        UnknownError
            If nobody has that id.
        """
        found = [s for s in self.subjects([subject_id]) if s.subject_id == subject_id]
        if not found:
            with self._engine.connect() as connection:
                erased = _erased(connection, subject_id)
            if erased is not None:
                raise UnknownError(f"{erased}; nothing is kept of them")
            raise UnknownError(
                f"No subject is called {subject_id!r}; register it first: "
                f"evenkeel subject add {subject_id} --zone Europe/Berlin"
            )
        return found[0]

    def subjects(self, only: Sequence[str] | None = None) -> list[Subject]:
        """Return everyone (or those of `only`), by id."""
        now_ns = self._clock.now_ns()
        query = _SUBJECTS if only is None else _SOME_SUBJECTS
        parameters = {} if only is None else {"only": list(only)}
        newest: dict[str, Subject] = {}
        with self._engine.connect() as connection:
            for row in connection.execute(query, parameters):
                if row.subject_id in newest and row.from_ns > now_ns:
                    continue  # a move to come; the first zone holds since ever
                sealed = Sealed(row.display_name, row.name_key_id)
                name = self._seals.open(sealed, about_subject(row.subject_id))
                newest[row.subject_id] = Subject(row.subject_id, row.zone, name, row.is_simulated)
        return list(newest.values())

    def ids(self) -> list[str]:
        """Return everybody's id, sorted: pseudonyms, no names."""
        t = schema.subject
        with self._engine.connect() as connection:
            return list(connection.execute(sa.select(t.c.subject_id).order_by(t.c.subject_id)).scalars())

    def zone_history(self, subject_id: str) -> ZoneHistory:
        """Return the zones of a subject and since when each holds."""
        with self._engine.connect() as connection:
            return _zones(connection, subject_id)

    def register_sensor(
        self,
        sensor_id: str,
        *,
        name: str = "",
        model: str = "",
        manufacturer: str = "",
        firmware: str = "",
        is_simulated: bool = False,
    ) -> None:
        """Register a wearable, or complete what is known of it; empty texts change nothing."""
        told = {"name": name, "model": model, "manufacturer": manufacturer, "firmware": firmware}
        t = schema.sensor
        with self._writing.begin() as connection:
            known = connection.execute(sa.select(t).where(t.c.sensor_id == sensor_id)).first()
            if known is None:
                connection.execute(
                    sa.insert(t).values(sensor_id=sensor_id, is_simulated=is_simulated, **told)
                )
            elif news := {key: text for key, text in told.items() if text}:
                connection.execute(sa.update(t).where(t.c.sensor_id == sensor_id).values(news))

    def pair(self, sensor_id: str, subject_id: str, *, from_ns: int | None = None) -> None:
        """Record that from now on (or `from_ns`, also to come) the subject wears the sensor, and nobody else.

        Raises
        ------
        UnknownError
            If the subject is not registered.
        RefusedError
            If the sensor was already passed on later than `from_ns`, or `from_ns` is past and the sensor was
            worn since: what is stored stays with whoever wore it then.
        """
        self.subject(subject_id)
        self.register_sensor(sensor_id)
        w = schema.wearing
        with self._writing.begin() as connection:
            latest = latest_wearing(connection, sensor_id)
            wears_it = latest is not None and latest.to_ns is None and latest.subject_id == subject_id
            if latest is not None and wears_it and (from_ns is None or from_ns >= latest.from_ns):
                return
            if from_ns is not None and from_ns < self._clock.now_ns():
                check_free_since(connection, sensor_id, from_ns, latest if wears_it else None)
            if latest is not None and wears_it:
                connection.execute(sa.update(w).where(is_same(latest)).values(from_ns=from_ns))
                return
            free_ns = free_from_ns(latest)
            # An end that was announced stands: two people never wear one sensor at the same time.
            at_ns = max(self._clock.now_ns(), free_ns) if from_ns is None else from_ns
            if latest is not None and at_ns < free_ns:
                raise RefusedError(
                    f"Sensor {sensor_id} was given to {latest.subject_id} later than the time asked for "
                    f"{subject_id}; pair it from now on instead"
                )
            end_wearing(connection, sensor_id, at_ns)
            connection.execute(sa.insert(w).values(sensor_id=sensor_id, from_ns=at_ns, subject_id=subject_id))

    def unpair(self, sensor_id: str, *, at_ns: int | None = None) -> str:
        """Record that from now on (or `at_ns`, also to come) nobody wears the sensor; return who did.

        Raises
        ------
        UnknownError
            If nobody wears it.
        """
        with self._writing.begin() as connection:
            subject_id = end_wearing(connection, sensor_id, self._clock.now_ns() if at_ns is None else at_ns)
        if subject_id is None:
            raise UnknownError(f"Nobody wears {sensor_id}; see who wears what: evenkeel sensor list")
        return subject_id

    def wearings(self, since_ns: int | None = None, *, subject_id: str | None = None) -> list[Wearing]:
        """Return who wears which sensor when, by sensor and time: what ends after `since_ns` (default: now).

        Of everybody, or of one person.

        What is only to come is included; the times in which a person agrees to nothing are left out.
        """
        w = schema.wearing
        after_ns = self._clock.now_ns() if since_ns is None else since_ns
        query = (
            sa.select(w.c.sensor_id, w.c.subject_id, w.c.from_ns, w.c.to_ns)
            .where(w.c.to_ns.is_(None) | (w.c.to_ns > after_ns))
            .order_by(w.c.sensor_id, w.c.from_ns)
        )
        if subject_id is not None:
            query = query.where(w.c.subject_id == subject_id)
        with self._engine.connect() as connection:
            worn = [Wearing(*row) for row in connection.execute(query)]
            decided = histories(connection, {each.subject_id for each in worn})
        given = {who: given_spans(history) for who, history in decided.items()}
        agreed = [part for each in worn for part in within(each, given.get(each.subject_id, []))]
        return [each for each in agreed if not each.has_ended(after_ns)]

    def worn_now(self) -> dict[str, str]:
        """Return who wears which sensor now: sensor id to subject id."""
        now_ns = self._clock.now_ns()
        return worn_at(now_ns, self.wearings(now_ns))

    def sensors(self) -> list[Sensor]:
        """Return every sensor, by id."""
        return self._sensors(self.worn_now(), sa.true())

    def sensors_of(self, subject_id: str) -> list[Sensor]:
        """Return what a person wears now, by id."""
        now_ns = self._clock.now_ns()
        worn = worn_at(now_ns, self.wearings(now_ns, subject_id=subject_id))
        return self._sensors(worn, schema.sensor.c.sensor_id.in_(worn)) if worn else []

    def _sensors(self, worn: Mapping[str, str], where: sa.ColumnElement[bool]) -> list[Sensor]:
        t = schema.sensor
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(t).where(where).order_by(t.c.sensor_id)).all()
        return [
            Sensor(
                r.sensor_id,
                r.name,
                r.model,
                r.manufacturer,
                r.firmware,
                r.is_simulated,
                worn.get(r.sensor_id, ""),
            )
            for r in rows
        ]

    def replay_start_ns(self, sensor_id: str) -> int | None:
        """Return when the recording was first replayed to start, or None if it never was."""
        r = schema.replay
        with self._engine.connect() as connection:
            query = sa.select(sa.func.min(r.c.start_ns)).where(r.c.sensor_id == sensor_id)
            return connection.execute(query).scalar()

    def note_replay(self, sensor_id: str, start_ns: int) -> None:
        """Remember that a recording was replayed as if it had started at `start_ns`."""
        r = schema.replay
        with self._writing.begin() as connection:
            known = connection.execute(
                sa.select(r).where(r.c.sensor_id == sensor_id, r.c.start_ns == start_ns)
            ).first()
            if known is None:
                connection.execute(sa.insert(r).values(sensor_id=sensor_id, start_ns=start_ns))


def check_subject_id(subject_id: str) -> None:
    """Raise ConfigError unless the id can be used everywhere an id is shown or stored."""
    if not SUBJECT_ID.fullmatch(subject_id):
        raise ConfigError(
            f"{subject_id!r} cannot be a subject id; needed are 1 to 64 letters, digits, '.', '_' or '-', "
            "starting with a letter or digit (a pseudonym, never a name)"
        )


def check_zone(zone: str) -> None:
    """Raise ConfigError unless the zone is in the IANA time zone database."""
    if zone not in zoneinfo.available_timezones():
        raise ConfigError(f"{zone!r} is no IANA time zone; needed is one such as Europe/Berlin or UTC")


def _erased(connection: Connection, subject_id: str) -> str | None:
    """Return the sentence that somebody was erased, None if they were not."""
    e = schema.erasure.c
    at_ns = connection.execute(sa.select(e.erased_ns).where(e.subject_id == subject_id)).scalar()
    return None if at_ns is None else f"Subject {subject_id} was erased on {iso_time(at_ns)}"


def _has_subject(connection: Connection, subject_id: str) -> bool:
    t = schema.subject
    return (
        connection.execute(sa.select(t.c.subject_id).where(t.c.subject_id == subject_id)).first() is not None
    )


def _zones(connection: Connection, subject_id: str) -> ZoneHistory:
    z = schema.subject_zone
    query = sa.select(z.c.from_ns, z.c.zone).where(z.c.subject_id == subject_id).order_by(z.c.from_ns)
    rows = connection.execute(query).all()
    if not rows:
        raise UnknownError(f"No subject is called {subject_id!r}; see: evenkeel subject list")
    return ZoneHistory(tuple(row[0] for row in rows), tuple(row[1] for row in rows))


def _set_zone(connection: Connection, subject_id: str, zone: str, from_ns: int) -> None:
    z = schema.subject_zone
    connection.execute(sa.delete(z).where(z.c.subject_id == subject_id, z.c.from_ns == from_ns))
    connection.execute(sa.insert(z).values(subject_id=subject_id, from_ns=from_ns, zone=zone))
