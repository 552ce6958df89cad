"""Who a user is at an identity provider (OpenID Connect): issuer and subject, which are never reused."""

import sqlalchemy as sa
from sqlalchemy import Engine

from store.clock import Clock
from store.errors import RefusedError
from store.registry import schema
from store.registry.accounts import User, users_query


class Identities:
    """The identities of one registry's users."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def user_of(self, issuer: str, subject: str) -> User | None:
        """Return the user to whom an identity of a provider belongs, unless they may not sign in."""
        i, u = schema.user_identity, schema.user
        query = users_query().join(i, i.c.user_id == u.c.user_id)
        query = query.where(i.c.issuer == issuer, i.c.subject == subject, ~u.c.is_disabled)
        with self._engine.connect() as connection:
            row = connection.execute(query).first()
        return None if row is None else User(*row)

    def bind(self, user: User, issuer: str, subject: str) -> None:
        """Note that an identity of a provider is this user, from now on.

        Raises
        ------
        RefusedError
            If the user has a password or another identity there: who has the name elsewhere need not be
            who has it here.
        """
        i, u = schema.user_identity, schema.user
        with self._writing.begin() as connection:
            held = connection.execute(
                sa.select(u.c.password_hash).where(u.c.user_id == user.user_id)
            ).scalar()
            theirs = sa.select(i.c.subject).where(i.c.user_id == user.user_id, i.c.issuer == issuer)
            if held is not None or connection.execute(theirs).first() is not None:
                raise RefusedError(
                    f"User {user.name} signs in in another way; an administrator can change it"
                )
            row = {"issuer": issuer, "subject": subject, "user_id": user.user_id}
            connection.execute(sa.insert(i).values(**row, created_ns=self._clock.now_ns()))
