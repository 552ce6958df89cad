"""The audit log: append-only, each entry chained to the one before by SHA-256."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy import Engine

from store.clock import Clock
from store.registry import schema

_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Who did (or was refused) what, to whose data, when and from where."""

    seq: int
    at_ns: int
    actor: str
    action: str
    subject_id: str
    is_allowed: bool
    address: str
    detail: str


class Audit:
    """The audit log of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def append(
        self,
        actor: str,
        action: str,
        *,
        subject_id: str = "",
        is_allowed: bool = True,
        address: str = "",
        detail: str = "",
    ) -> None:
        """Write one entry; it is on disk when this returns."""
        entry = {
            "at_ns": self._clock.now_ns(),
            "actor": actor[:80],
            "action": action,
            "subject_id": subject_id[:64],
            "is_allowed": is_allowed,
            "address": address[:64],
            "detail": detail[:500],
        }
        t = schema.audit
        with self._writing.begin() as connection:
            previous = connection.execute(
                sa.select(t.c.entry_hash).order_by(t.c.seq.desc()).limit(1)
            ).scalar()
            previous = previous or _GENESIS
            values = {**entry, "previous_hash": previous, "entry_hash": _entry_hash(previous, entry)}
            connection.execute(sa.insert(t).values(values))

    def entries(self) -> list[AuditEntry]:
        """Return everything, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(schema.audit).order_by(schema.audit.c.seq)).all()
        return [
            AuditEntry(r.seq, r.at_ns, r.actor, r.action, r.subject_id, r.is_allowed, r.address, r.detail)
            for r in rows
        ]

    def first_broken_seq(self) -> int | None:
        """Return the first entry that was altered or whose predecessor is missing, or None if all is well."""
        previous = _GENESIS
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(schema.audit).order_by(schema.audit.c.seq)).mappings():
                entry = {k: v for k, v in row.items() if k not in ("seq", "previous_hash", "entry_hash")}
                if row["previous_hash"] != previous or row["entry_hash"] != _entry_hash(previous, entry):
                    return int(row["seq"])
                previous = str(row["entry_hash"])
        return None


def _entry_hash(previous: str, entry: Mapping[str, object]) -> str:
    return hashlib.sha256((previous + json.dumps(dict(entry), sort_keys=True)).encode()).hexdigest()
