"""Users of the dashboard: passwords, sessions, one-time links, refusals after too many wrong guesses."""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, get_args

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Engine

from store.clock import Clock
from store.errors import ConfigError, RefusedError, UnknownError
from store.registry import schema
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
MIN_PASSWORD_LENGTH = 12
"""NIST SP 800-63B asks for 8 at least; patients' data are worth 12."""

_USER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,79}")


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may sign in, and whose patients they may see (`sees_all`: everybody's)."""

    user_id: int
    name: str
    role: Role
    sees_all: bool


class Accounts:
    """Users and sessions of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def add_user(
        self, name: str, role: Role, *, password: str | None, patients: Sequence[str] | Literal["all"]
    ) -> User:
        """Add a user, or give an existing one a new role, password and case-load.

        Sessions and one-time links that an existing user had end.

        Parameters
        ----------
        password : str or None
            None: the user can only sign in by a one-time link.

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
            "password_hash": None if password is None else _hasher().hash(password),
        }
        t, load = schema.user, schema.case_load
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
                for way_in in (schema.session, schema.sign_in_link):
                    connection.execute(sa.delete(way_in).where(way_in.c.user_id == user_id))
            connection.execute(sa.delete(load).where(load.c.user_id == user_id))
            if patients != "all":
                s = schema.subject.c.subject_id
                known = set(connection.execute(sa.select(s).where(s.in_(patients))).scalars())
                if unknown := sorted(set(patients) - known):
                    raise UnknownError(f"No subject is called {unknown[0]!r}; user {name} was not changed")
                if known:
                    rows = [{"user_id": user_id, "subject_id": subject_id} for subject_id in sorted(known)]
                    connection.execute(sa.insert(load), rows)
        return User(user_id, name, role, patients == "all")

    def users(self) -> list[User]:
        """Return every user, by name."""
        t = schema.user
        query = sa.select(t.c.user_id, t.c.name, t.c.role, t.c.sees_all).order_by(t.c.name)
        with self._engine.connect() as connection:
            return [User(*row) for row in connection.execute(query)]

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
        query = sa.select(t.c.user_id, t.c.name, t.c.role, t.c.sees_all, t.c.password_hash).where(
            t.c.name == name
        )
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        dummy = _dummy_hash()  # made at the first attempt of a process, whoever makes it
        held = row.password_hash if row is not None and row.password_hash else dummy
        if _is_password(held, password) and row is not None and row.password_hash:
            return User(row.user_id, row.name, row.role, row.sees_all)
        with self._writing.begin() as connection:
            rows = [{"key": key, "at_ns": self._clock.now_ns()} for key in keys]
            connection.execute(sa.insert(schema.sign_in_failure), rows)
        return None

    def open_session(self, user: User) -> str:
        """Return the token of a new session; only its hash is kept."""
        token = secrets.token_urlsafe(32)
        now_ns = self._clock.now_ns()
        with self._writing.begin() as connection:
            connection.execute(
                sa.insert(schema.session).values(
                    token_hash=_digest(token), user_id=user.user_id, created_ns=now_ns, seen_ns=now_ns
                )
            )
        return token

    def session_user(self, token: str, *, is_activity: bool = True) -> User | None:
        """Return whose session this is, or None if it ended or was idle too long.

        `is_activity=False` (a page refreshing itself) does not keep the session alive.
        """
        s, u = schema.session, schema.user
        query = (
            sa.select(u.c.user_id, u.c.name, u.c.role, u.c.sees_all, s.c.created_ns, s.c.seen_ns)
            .join(u, u.c.user_id == s.c.user_id)
            .where(s.c.token_hash == _digest(token))
        )
        now_ns = self._clock.now_ns()
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        if row is None:
            return None
        idle_s, total_s = (now_ns - row.seen_ns) / NS_PER_S, (now_ns - row.created_ns) / NS_PER_S
        if idle_s > SESSION_IDLE_S or total_s > SESSION_TOTAL_S:
            return None
        if is_activity and idle_s > 30:  # one write per half minute is precise enough
            with self._writing.begin() as connection:
                where = s.c.token_hash == _digest(token)
                connection.execute(sa.update(s).where(where).values(seen_ns=now_ns))
        return User(row.user_id, row.name, row.role, row.sees_all)

    def end_session(self, token: str) -> None:
        """End a session; unknown tokens are ignored."""
        with self._writing.begin() as connection:
            connection.execute(sa.delete(schema.session).where(schema.session.c.token_hash == _digest(token)))

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
            query = sa.select(u.c.user_id, u.c.name, u.c.role, u.c.sees_all).where(
                u.c.user_id == gone.user_id
            )
            row = connection.execute(query).first()
        return None if row is None else User(*row)

    def visible_subjects(self, user: User) -> list[str]:
        """Return the ids of the people this user may see, sorted: the own case-load and that of their teams.

        A patient sees nobody else, whatever team they are put in.
        """
        everybody, load = schema.subject.c.subject_id, schema.case_load
        m, p = schema.team_member, schema.team_patient
        own = sa.select(load.c.subject_id).where(load.c.user_id == user.user_id)
        cared = (
            sa.select(p.c.subject_id).join(m, m.c.team_id == p.c.team_id).where(m.c.user_id == user.user_id)
        )
        seen = own if user.role == "patient" else sa.union(own, cared)
        with self._engine.connect() as connection:
            return sorted(connection.execute(sa.select(everybody) if user.sees_all else seen).scalars())

    def can(self, user: User, subject_id: str) -> bool:
        """Say whether a user may see a person's data."""
        return subject_id in self.visible_subjects(user)

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
    if password is not None and len(password) < MIN_PASSWORD_LENGTH:
        raise ConfigError(
            f"The password of {name} has {len(password)} characters; needed are {MIN_PASSWORD_LENGTH} or more"
        )


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


@cache
def _hasher() -> PasswordHasher:
    return PasswordHasher()


@cache
def _dummy_hash() -> str:
    return _hasher().hash(secrets.token_urlsafe(16))


def _is_password(held: str, password: str) -> bool:
    try:
        return _hasher().verify(held, password)
    except (VerificationError, InvalidHashError):
        return False
