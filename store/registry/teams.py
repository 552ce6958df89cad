"""Care teams: whoever is in one sees the patients it cares for."""

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Column, Connection, Engine

from store.clock import Clock
from store.errors import ConfigError, UnknownError
from store.registry import schema

_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Team:
    """A care team: user names and subject ids, each sorted."""

    name: str
    members: tuple[str, ...]
    patients: tuple[str, ...]


class Teams:
    """The care teams of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def add(self, name: str) -> None:
        """Make a team; one that is there stays as it is."""
        if not name.strip() or len(name) > _LONGEST or not name.isprintable():
            raise ConfigError(f"{name!r} cannot be a team's name; needed are 1 to {_LONGEST} characters")
        t = schema.team
        with self._writing.begin() as connection:
            if connection.execute(sa.select(t.c.team_id).where(t.c.name == name)).first() is None:
                connection.execute(sa.insert(t).values(name=name, created_ns=self._clock.now_ns()))

    def set_member(self, team: str, user: str, *, is_in: bool = True) -> None:
        """Let a user join or leave.

        Raises
        ------
        UnknownError
            If there is no such team or user.
        """
        u = schema.user.c
        with self._writing.begin() as connection:
            user_id = connection.execute(sa.select(u.user_id).where(u.name == user)).scalar()
            if user_id is None:
                raise UnknownError(f"No user is called {user!r}; see: evenkeel user list")
            _set(connection, schema.team_member.c.user_id, team, user_id, is_in=is_in)

    def set_patient(self, team: str, subject_id: str, *, is_in: bool = True) -> None:
        """Let a team care for a patient, or no longer.

        Raises
        ------
        UnknownError
            If there is no such team or subject.
        """
        s = schema.subject.c.subject_id
        with self._writing.begin() as connection:
            if connection.execute(sa.select(s).where(s == subject_id)).first() is None:
                raise UnknownError(f"No subject is called {subject_id!r}; see: evenkeel subject list")
            _set(connection, schema.team_patient.c.subject_id, team, subject_id, is_in=is_in)

    def all(self) -> list[Team]:
        """Return every team, by name."""
        t, u, m, p = schema.team, schema.user, schema.team_member, schema.team_patient
        named = sa.select(m.c.team_id, u.c.name).join(u, u.c.user_id == m.c.user_id).order_by(u.c.name)
        cared = sa.select(p.c.team_id, p.c.subject_id).order_by(p.c.subject_id)
        with self._engine.connect() as connection:
            teams = connection.execute(sa.select(t.c.team_id, t.c.name).order_by(t.c.name)).all()
            members, patients = connection.execute(named).all(), connection.execute(cared).all()
        return [
            Team(
                name,
                tuple(who for team, who in members if team == team_id),
                tuple(who for team, who in patients if team == team_id),
            )
            for team_id, name in teams
        ]


def _set(
    connection: Connection, column: Column[int] | Column[str], team: str, who: object, *, is_in: bool
) -> None:
    t, belongs = schema.team, column.table
    team_id = connection.execute(sa.select(t.c.team_id).where(t.c.name == team)).scalar()
    if team_id is None:
        raise UnknownError(f"No team is called {team!r}; make it first: evenkeel team add '{team}'")
    connection.execute(sa.delete(belongs).where(belongs.c.team_id == team_id, column == who))
    if is_in:
        connection.execute(sa.insert(belongs).values({"team_id": team_id, column.name: who}))
