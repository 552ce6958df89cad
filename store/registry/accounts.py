"""Users of the dashboard: roles, case-loads, sessions, one-time links, refusals after wrong guesses."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import sqlalchemy as sa
from sqlalchemy import Connection, Engine

from store.clock import Clock
from store.errors import ConfigError, RefusedError, UnknownError
from store.registry import schema
from store.registry.passwords import check_choice, hash_of, is_password
from store.units import NS_PER_S

Role = Literal["clinician", "lead", "researcher", "admin", "patient"]

SESSION_IDLE_S = 15 * 60
"""A clinician called away must not leave patients on a screen: 15 minutes, as hospital systems do."""
SESSION_TOTAL_S = 12 * 3600
"""One long shift; after that everybody signs in again."""
LINK_VALID_S = 30 * 60
"""Long enough to walk to the other computer, short enough that a link in a log is worthless."""
FAILURE_WINDOW_S = 15 * 60
FAILURES_PER_NAME = 5
FAILURES_PER_ADDRESS = 30
"""5 wrong guesses a name and 30 an address (a ward shares one) in 15 minutes, then a pause."""
TEMPORARY_S = 24 * 3600
"""A password that somebody else chose is changed within a day, or never signs in again."""

_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,79}")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in, and whose patients they may see (`sees_all`: everybody's).

    Attributes
    ----------
    must_change_password : bool
        Somebody else chose it, for one sign-in.
    is_disabled : bool
        May not sign in.
    """

    user_id: int
    name: str
    role: Role
    sees_all: bool
    must_change_password: bool = False
    is_disabled: bool = False


@dataclass(frozen=True, slots=True)
class Session:
    """A browser that is signed in; `session_id` names it without opening it."""

    session_id: str
    user_name: str
    role: Role
    created_ns: int
    seen_ns: int
    address: str


class Accounts:
    """Users and sessions of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def add_user(
        self,
        name: str,
        role: Role,
        *,
        password: str | None,
        patients: Sequence[str] | Literal["all"],
        is_temporary: bool = False,
    ) -> User:
        """Add a user, or give an existing one a new role, password and case-load.

        Sessions and one-time links that an existing user had end.

        Parameters
        ----------
        password : str or None
            None: the user can only sign in by a one-time link, or through an identity provider.
        is_temporary : bool
            The password signs in for a day and until it is changed, which is the first thing asked for.

        Raises
        ------
        ConfigError
            If the name, role or password cannot be used.
        UnknownError
            If a patient is not registered.
        """
        _check_user(name, role, password)
        if role == "patient" and (patients == "all" or len(patients) != 1):
            raise ConfigError(
                f"{name} is a patient and sees one person's data, their own: name exactly that one"
            )
        told = {
            "role": role,
            "sees_all": patients == "all",
            "password_hash": None if password is None else hash_of(password),
            "password_until_ns": self._clock.now_ns() + TEMPORARY_S * NS_PER_S if is_temporary else None,
            "is_disabled": False,
        }
        t = schema.user
        with self._writing.begin() as connection:
            user_id = connection.execute(sa.select(t.c.user_id).where(t.c.name == name)).scalar()
            if user_id is None:
                made = connection.execute(
                    sa.insert(t)
                    .values(name=name, created_ns=self._clock.now_ns(), **told)
                    .returning(t.c.user_id)
                )
                user_id = made.scalar_one()
            else:
                connection.execute(sa.update(t).where(t.c.user_id == user_id).values(told))
                _close(connection, user_id)
            _give(connection, user_id, name, patients)
        return User(user_id, name, role, patients == "all", must_change_password=is_temporary)

    def users(self) -> list[User]:
        """Return every user, by name."""
        with self._engine.connect() as connection:
            return [User(*row) for row in connection.execute(users_query().order_by(schema.user.c.name))]

    def user_named(self, name: str) -> User:
        """Return the user of that name.

        Raises
        ------
        UnknownError
            If there is none.
        """
        with self._engine.connect() as connection:
            row = connection.execute(users_query().where(schema.user.c.name == name)).first()
        if row is None:
            raise UnknownError(f"No user is called {name!r}; see: evenkeel user list")
        return User(*row)

    def case_load(self, user: User) -> list[str]:
        """Return the ids of the people given to the user in person, without those of their teams."""
        load = schema.case_load
        query = sa.select(load.c.subject_id).where(load.c.user_id == user.user_id)
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def disable(self, user: User, *, is_disabled: bool = True) -> None:
        """Let a user sign in no more, and end their sessions and links; or let them in again."""
        t = schema.user
        with self._writing.begin() as connection:
            where = t.c.user_id == user.user_id
            connection.execute(sa.update(t).where(where).values(is_disabled=is_disabled))
            _close(connection, user.user_id)

    def set_role(self, user: User, role: Role) -> User:
        """Give a user another role; the case-load stays.

        Raises
        ------
        ConfigError
            If there is no such role, or it sees fewer people than the user's case-load has.
        """
        _check_user(user.name, role, None)
        if role == "patient" and len(self.case_load(user)) != 1:
            raise ConfigError(f"{user.name} would be a patient and sees one person's data, their own")
        t = schema.user
        with self._writing.begin() as connection:
            connection.execute(sa.update(t).where(t.c.user_id == user.user_id).values(role=role))
        return replace(user, role=role)

    def set_case_load(self, user: User, patients: Sequence[str] | Literal["all"]) -> None:
        """Give a user other patients; those of their teams stay.

        Raises
        ------
        ConfigError
            If the user is a patient, who sees their own data only.
        UnknownError
            If a patient is not registered.
        """
        if user.role == "patient" and (patients == "all" or len(patients) != 1):
            raise ConfigError(f"{user.name} is a patient and sees one person's data, their own")
        t = schema.user
        with self._writing.begin() as connection:
            told = {"sees_all": patients == "all"}
            connection.execute(sa.update(t).where(t.c.user_id == user.user_id).values(told))
            _give(connection, user.user_id, user.name, patients)

    def change_password(self, user: User, old: str, new: str, address: str) -> bool:
        """Replace a user's own password and end their sessions; False if the old one is wrong.

        Raises
        ------
        ConfigError
            If the new one is too short, too long, the old one or the user's name.
        RefusedError
            After too many failures.
        """
        _check_user(user.name, user.role, new)
        if new == old or user.name.lower() in new.lower():
            raise ConfigError("The new password must differ from the old one and must not hold your name")
        if self.check_password(user.name, old, address) is None:
            return False
        t = schema.user
        told = {"password_hash": hash_of(new), "password_until_ns": None}
        with self._writing.begin() as connection:
            connection.execute(sa.update(t).where(t.c.user_id == user.user_id).values(told))
            _close(connection, user.user_id)
        return True

    def check_password(self, name: str, password: str, address: str) -> User | None:
        """Return the user if name and password belong together; count a failure otherwise.

        Takes as long for an unknown name as for a wrong password.

        Raises
        ------
        RefusedError
            After too many failures for this name or address.
        """
        name = name.replace("\0", "\ufffd")  # PostgreSQL holds no such character, and no user name has it
        keys = (f"name:{name[:80]}", f"address:{address}")
        if self._is_limited(keys):
            raise RefusedError("Too many attempts; try again in 15 minutes")
        t = schema.user
        query = users_query().add_columns(t.c.password_hash, t.c.password_until_ns).where(t.c.name == name)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        held = row.password_hash if row is not None and self._is_usable(row) else None
        if is_password(held, password) and row is not None:
            return User(*row[:6])
        with self._writing.begin() as connection:
            rows = [{"key": key, "at_ns": self._clock.now_ns()} for key in keys]
            connection.execute(sa.insert(schema.sign_in_failure), rows)
        return None

    def open_session(self, user: User, address: str = "") -> str:
        """Return the token of a new session; only its hash is kept."""
        token = secrets.token_urlsafe(32)
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            connection.execute(
                sa.insert(schema.session).values(
                    token_hash=_digest(token),
                    user_id=user.user_id,
                    created_ns=now_ns,
                    seen_ns=now_ns,
                    address=address[:64],
                )
            )
        return token

    def sessions(self) -> list[Session]:
        """Return the sessions that are open, the one used last first."""
        s, u, now_ns = schema.session, schema.user, self._clock.now_ns()
        query = (
            sa.select(s.c.token_hash, u.c.name, u.c.role, s.c.created_ns, s.c.seen_ns, s.c.address)
            .join(u, u.c.user_id == s.c.user_id)
            .where(s.c.seen_ns >= now_ns - SESSION_IDLE_S * NS_PER_S)
            .where(s.c.created_ns >= now_ns - SESSION_TOTAL_S * NS_PER_S)
            .order_by(s.c.seen_ns.desc())
        )
        with self._engine.connect() as connection:
            return [Session(row[0].hex(), *row[1:]) for row in connection.execute(query)]

    def revoke(self, session_id: str) -> Session | None:
        """End the session of that id at once; return what it was, or None if there is none."""
        held = next((one for one in self.sessions() if one.session_id == session_id), None)
        if held is not None:
            t = schema.session
            with self._writing.begin() as connection:
                connection.execute(sa.delete(t).where(t.c.token_hash == bytes.fromhex(session_id)))
        return held

    def session_user(self, token: str, *, is_activity: bool = True) -> User | None:
        """Return whose session this is, or None if it ended or was idle too long.

        `is_activity=False` (a page refreshing itself) does not keep the session alive.
        """
        s, now_ns = schema.session, self._clock.now_ns()
        with self._engine.connect() as connection:
            row = connection.execute(_SESSION_USER, {"token_hash": _digest(token)}).first()
        if row is None:
            return None
        idle_s, total_s = (now_ns - row.seen_ns) / NS_PER_S, (now_ns - row.created_ns) / NS_PER_S
        if idle_s > SESSION_IDLE_S or total_s > SESSION_TOTAL_S:
            return None
        if is_activity and idle_s > 30:  # one write per half minute is precise enough
            with self._writing.begin() as connection:
                where = s.c.token_hash == _digest(token)
                connection.execute(sa.update(s).where(where).values(seen_ns=now_ns))
        return User(*row[:6])

    def end_session(self, token: str) -> None:
        """End a session, and forget those that ended by themselves; unknown tokens are ignored."""
        s = schema.session
        ended = s.c.created_ns < self._clock.now_ns() - SESSION_TOTAL_S * NS_PER_S
        with self._writing.begin() as connection:
            connection.execute(sa.delete(s).where((s.c.token_hash == _digest(token)) | ended))

    def create_link(self, user: User) -> str:
        """Return a token that signs the user in once, within half an hour."""
        token = secrets.token_urlsafe(32)
        expires_ns = self._clock.now_ns() + LINK_VALID_S * NS_PER_S
        with self._writing.begin() as connection:
            connection.execute(
                sa.insert(schema.sign_in_link).values(
                    token_hash=_digest(token), user_id=user.user_id, expires_ns=expires_ns
                )
            )
        return token

    def redeem_link(self, token: str) -> User | None:
        """Return the user of an unused, unexpired link and use it up."""
        link, u = schema.sign_in_link, schema.user
        with self._writing.begin() as connection:
            gone = connection.execute(
                sa.delete(link)
                .where(link.c.token_hash == _digest(token))
                .returning(link.c.user_id, link.c.expires_ns)
            ).first()
            if gone is None or gone.expires_ns < self._clock.now_ns():
                return None
            query = users_query().where(u.c.user_id == gone.user_id, ~u.c.is_disabled)
            row = connection.execute(query).first()
        return None if row is None else User(*row)

    def visible_subjects(self, user: User, only: Sequence[str] | None = None) -> list[str]:
        """Return the ids of the people (or those of `only`) this user may see, sorted.

        These are the own case-load and that of their teams; a patient sees nobody else, whatever team they
        are put in.
        """
        everybody, load = schema.subject.c.subject_id, schema.case_load
        m, p = schema.team_member, schema.team_patient
        own = sa.select(load.c.subject_id).where(load.c.user_id == user.user_id)
        cared = (
            sa.select(p.c.subject_id).join(m, m.c.team_id == p.c.team_id).where(m.c.user_id == user.user_id)
        )
        seen = own if user.role == "patient" else sa.union(own, cared)
        query = sa.select(everybody)
        if not user.sees_all:
            query = query.where(everybody.in_(seen))
        if only is not None:
            query = query.where(everybody.in_(only))
        with self._engine.connect() as connection:
            return sorted(connection.execute(query).scalars())

    def can(self, user: User, subject_id: str) -> bool:
        """Say whether a user may see a person's data."""
        return bool(self.visible_subjects(user, [subject_id]))

    def _is_usable(self, row: sa.Row[Any]) -> bool:
        """Say whether a row of the user table may sign in by its password now."""
        is_over = row.password_until_ns is not None and row.password_until_ns < self._clock.now_ns()
        return not row.is_disabled and not is_over

    def _is_limited(self, keys: tuple[str, str]) -> bool:
        f = schema.sign_in_failure
        since_ns = self._clock.now_ns() - FAILURE_WINDOW_S * NS_PER_S
        with self._writing.begin() as connection:
            connection.execute(sa.delete(f).where(f.c.at_ns < since_ns))
            counts = [
                connection.execute(
                    sa.select(sa.func.count()).select_from(f).where(f.c.key == key)
                ).scalar_one()
                for key in keys
            ]
        return counts[0] >= FAILURES_PER_NAME or counts[1] >= FAILURES_PER_ADDRESS


def _check_user(name: str, role: str, password: str | None) -> None:
    if not _USER_NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be a user name; needed are 1 to 80 letters, digits, '.', '_', '@' or '-'"
        )
    if role not in get_args(Role):
        raise ConfigError(f"{role!r} is no role; needed is one of {', '.join(get_args(Role))}")
    if password is not None:
        check_choice(name, password)


def users_query() -> sa.Select[*tuple[Any, ...]]:
    """Return the query of which `User` is a row."""
    u = schema.user.c
    is_temporary = u.password_until_ns.is_not(None).label("must_change_password")
    return sa.select(u.user_id, u.name, u.role, u.sees_all, is_temporary, u.is_disabled)


# Built once: every request asks it, and to build it takes as long as to run it.
_SESSION_USER = (
    users_query()
    .add_columns(schema.session.c.created_ns, schema.session.c.seen_ns)
    .join(schema.session, schema.user.c.user_id == schema.session.c.user_id)
    .where(schema.session.c.token_hash == sa.bindparam("token_hash"), ~schema.user.c.is_disabled)
)


def _give(connection: Connection, user_id: int, name: str, patients: Sequence[str] | Literal["all"]) -> None:
    """Replace the case-load of a user."""
    load, s = schema.case_load, schema.subject.c.subject_id
    connection.execute(sa.delete(load).where(load.c.user_id == user_id))
    if patients == "all":
        return
    known = set(connection.execute(sa.select(s).where(s.in_(patients))).scalars())
    if unknown := sorted(set(patients) - known):
        raise UnknownError(f"No subject is called {unknown[0]!r}; user {name} was not changed")
    if known:
        rows = [{"user_id": user_id, "subject_id": subject_id} for subject_id in sorted(known)]
        connection.execute(sa.insert(load), rows)


def _close(connection: Connection, user_id: int) -> None:
    """End what lets a user in without a password."""
    for way_in in (schema.session, schema.sign_in_link):
        connection.execute(sa.delete(way_in).where(way_in.c.user_id == user_id))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
