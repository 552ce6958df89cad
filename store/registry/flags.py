"""Flags, the state each is in, and everything that was done about it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from types import MappingProxyType
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row

from store.clock import Clock
from store.errors import ConfigError, RefusedError, UnknownError
from store.registry import schema
from store.types import Contribution, Flag
from store.units import NS_PER_S

Action = Literal["raised", "worsened", "acknowledged", "assigned", "snoozed", "resolved", "reopened"]
Outcome = Literal["contacted", "care_changed", "explained", "data_problem", "no_action"]
NS_PER_DAY = 86_400 * NS_PER_S
LONGEST_SNOOZE_DAYS = 14
"""A change from somebody's own normal that rests longer is no longer the same one."""
PAST = "Found in looking back, and over before anybody could have looked"
NOTHING_MORE: Mapping[str, str | float] = MappingProxyType({})
_STATE_AFTER = {
    "worsened": "open",
    "acknowledged": "acknowledged",
    "snoozed": "snoozed",
    "resolved": "resolved",
    "reopened": "open",
}


@dataclass(frozen=True, slots=True)
class StoredFlag:
    """A flag at rest: number, state and when it was raised.

    A flag that was snoozed is open again when the time is over, or when it gets worse.

    Attributes
    ----------
    worse_night : date or None
        The newest night on which it got worse, with `worse_score`; None while it did not.
    """

    flag_id: int
    state: str
    raised_ns: int
    flag: Flag
    assigned_to: str | None = None
    snoozed_until_ns: int | None = None
    worse_night: date | None = None
    worse_score: float | None = None

    @property
    def newest_night(self) -> date:
        """The night on which it was raised, or got worse last."""
        return self.worse_night or self.flag.night

    @property
    def newest_score(self) -> float:
        """The score of that night."""
        return self.flag.score if self.worse_score is None else self.worse_score


@dataclass(frozen=True, slots=True)
class FlagEvent:
    """Something done about a flag: what, by whom, when, and what belongs to it."""

    flag_id: int
    at_ns: int
    actor: str
    action: Action
    assigned_to: str | None = None
    until_ns: int | None = None
    reason: str = ""
    outcome: str | None = None


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
                    now_ns = self._clock.now_ns()
                    made = sa.insert(t).values(_row(flag, now_ns)).returning(t.c.flag_id)
                    flag_id = connection.execute(made).scalar_one()
                    _insert_event(connection, FlagEvent(flag_id, now_ns, flag.detector_id, "raised"))
                    new += 1
        return new

    def worsen(self, flag_id: int, flag: Flag) -> None:
        """Record that a change which is flagged got worse, as `flag` says; whoever has it must look again."""
        event = FlagEvent(flag_id, self._clock.now_ns(), flag.detector_id, "worsened", reason=flag.reason)
        self._record(event, {"worse_night": flag.night.isoformat(), "worse_score": flag.score})

    def resolved_ns(self, subject_id: str) -> dict[int, int]:
        """Return when each flag of a person that somebody resolved was resolved."""
        e, t = schema.flag_event.c, schema.flag.c
        query = (
            sa.select(e.flag_id, sa.func.max(e.at_ns))
            .join_from(schema.flag_event, schema.flag)
            .where(t.subject_id == subject_id, t.state == "resolved", e.outcome.is_not(None))
            .group_by(e.flag_id)
        )
        with self._engine.connect() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def acknowledge(self, flag_id: int, *, by: str) -> None:
        """Record that somebody has seen it."""
        self._record(FlagEvent(flag_id, self._clock.now_ns(), by, "acknowledged"))

    def assign(self, flag_id: int, to: str, *, by: str) -> None:
        """Record who looks after it; the state stays.

        Raises
        ------
        UnknownError
            If there is no such user.
        """
        u = schema.user.c.name
        with self._engine.connect() as connection:
            if connection.execute(sa.select(u).where(u == to)).first() is None:
                raise UnknownError(f"No user is called {to!r}; see: evenkeel user list")
        self._record(FlagEvent(flag_id, self._clock.now_ns(), by, "assigned", assigned_to=to))

    def snooze(self, flag_id: int, until_ns: int, reason: str, *, by: str) -> None:
        """Let it rest until a time, for a reason.

        Raises
        ------
        ConfigError
            If the time is over already or further away than `LONGEST_SNOOZE_DAYS`, or there is no reason.
        """
        now_ns = self._clock.now_ns()
        if until_ns - now_ns > LONGEST_SNOOZE_DAYS * NS_PER_DAY:
            raise ConfigError(
                f"Flag {flag_id} can be snoozed for {LONGEST_SNOOZE_DAYS} days at most; look again then"
            )
        if until_ns <= now_ns or not reason.strip():
            raise ConfigError(
                f"Flag {flag_id} can be snoozed until a time to come and for a reason; give both"
            )
        self._record(FlagEvent(flag_id, now_ns, by, "snoozed", until_ns=until_ns, reason=reason.strip()))

    def resolve(self, flag_id: int, outcome: Outcome, *, by: str, reason: str = "") -> None:
        """Record how it ended.

        Raises
        ------
        ConfigError
            If there is no such outcome.
        """
        if outcome not in get_args(Outcome):
            raise ConfigError(f"{outcome!r} is no outcome; needed is one of {', '.join(get_args(Outcome))}")
        self._record(
            FlagEvent(flag_id, self._clock.now_ns(), by, "resolved", reason=reason.strip(), outcome=outcome)
        )

    def close_past(self, flag_id: int, *, by: str) -> None:
        """Record that it was over before anybody could have looked: resolved, without an outcome."""
        event = FlagEvent(flag_id, self._clock.now_ns(), by, "resolved", reason=PAST)
        self._record(event)

    def reopen(self, flag_id: int, *, by: str, reason: str = "") -> None:
        """Take back a snooze or an end."""
        self._record(FlagEvent(flag_id, self._clock.now_ns(), by, "reopened", reason=reason.strip()))

    def one(self, flag_id: int) -> StoredFlag:
        """Return a flag.

        Raises
        ------
        UnknownError
            If there is none of that number.
        """
        found = self._stored(_OF_ID, {"flag_id": flag_id})
        if not found:
            raise _no_flag(flag_id)
        return found[0]

    def opened_ns(self) -> dict[int, int]:
        """Return since when each open flag has been so: raised, worse, reopened or back from a snooze."""
        e = schema.flag_event.c
        newest = sa.func.max(e.at_ns)
        query = (
            sa.select(e.flag_id, newest)
            .where(e.action.in_(("raised", "worsened", "reopened")))
            .group_by(e.flag_id)
        )
        with self._engine.connect() as connection:
            opened = {row[0]: int(row[1]) for row in connection.execute(query)}
        waiting = [stored for stored in self.all() if stored.state == "open"]
        return {
            s.flag_id: max(opened.get(s.flag_id, s.raised_ns), s.snoozed_until_ns or s.raised_ns)
            for s in waiting
        }

    def outcomes(self) -> dict[int, str]:
        """Return how each flag that was ever resolved ended last."""
        e = schema.flag_event.c
        query = sa.select(e.flag_id, e.outcome).where(e.outcome.is_not(None)).order_by(e.event_id)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def history(self, flag_id: int) -> list[FlagEvent]:
        """Return all that was done about a flag, oldest first."""
        e = schema.flag_event
        columns = [e.c[name] for name in FlagEvent.__dataclass_fields__]
        with self._engine.connect() as connection:
            query = sa.select(*columns).where(e.c.flag_id == flag_id).order_by(e.c.event_id)
            return [FlagEvent(*row) for row in connection.execute(query)]

    def _record(self, event: FlagEvent, more: Mapping[str, str | float] = NOTHING_MORE) -> None:
        t = schema.flag
        where = t.c.flag_id == event.flag_id
        with self._writing.begin() as connection:
            state = connection.execute(sa.select(t.c.state).where(where)).scalar()
            if state is None:
                raise _no_flag(event.flag_id)
            if state == "resolved" and event.action != "reopened":
                raise RefusedError(f"Flag {event.flag_id} is resolved; reopen it first")
            told: dict[str, Any] = dict(more)
            if event.action in _STATE_AFTER:
                told |= {"state": _STATE_AFTER[event.action], "snoozed_until_ns": event.until_ns}
            if event.assigned_to is not None:
                told["assigned_to"] = event.assigned_to
            connection.execute(sa.update(t).where(where).values(told))
            _insert_event(connection, event)

    def of_subject(self, subject_id: str) -> list[StoredFlag]:
        """Return the flags of one person, newest night first."""
        return self._stored(_OF_SUBJECT, {"subject_id": subject_id})

    def all(self) -> list[StoredFlag]:
        """Return every flag, newest night first."""
        return self._stored(_ALL, {})

    def _stored(self, query: sa.Select[Any], parameters: Mapping[str, str | int]) -> list[StoredFlag]:
        with self._engine.connect() as connection:
            return [_stored(row, self._clock.now_ns()) for row in connection.execute(query, parameters)]


# Built once: a page asks for them many times a second, and to build one takes as long as to run it.
_ALL = sa.select(schema.flag).order_by(schema.flag.c.night.desc(), schema.flag.c.flag_id.desc())
_OF_SUBJECT = _ALL.where(schema.flag.c.subject_id == sa.bindparam("subject_id"))
_OF_ID = _ALL.where(schema.flag.c.flag_id == sa.bindparam("flag_id"))


def _no_flag(flag_id: int) -> UnknownError:
    return UnknownError(f"There is no flag {flag_id}; see: evenkeel flags list")


def _insert_event(connection: Connection, event: FlagEvent) -> None:
    connection.execute(sa.insert(schema.flag_event).values(asdict(event)))


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
        "kind": flag.kind,
        "tier": flag.tier,
        "model_version": flag.model_version,
        "chance_frac": flag.chance_frac,
    }


def _stored(row: Row[Any], now_ns: int) -> StoredFlag:
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
        kind=row.kind,
        tier=row.tier,
        model_version=row.model_version,
        chance_frac=row.chance_frac,
    )
    is_over = row.state == "snoozed" and row.snoozed_until_ns <= now_ns
    state = "open" if is_over else row.state
    worse_night = None if row.worse_night is None else date.fromisoformat(row.worse_night)
    return StoredFlag(
        row.flag_id,
        state,
        row.raised_ns,
        flag,
        row.assigned_to,
        row.snoozed_until_ns,
        worse_night,
        row.worse_score,
    )
