"""The audit log: append-only, each entry chained to the one before by SHA-256."""

import hashlib
import json
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy import Connection, Engine, Row

from store.clock import Clock
from store.errors import HomeError
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


@dataclass(frozen=True, slots=True)
class AuditVerdict:
    """What a check of the whole log found.

    Attributes
    ----------
    entries : int
        How many there are.
    first_broken_seq : int or None
        The first entry that was altered or is missing; None if all is well.
    reason : str
        What is wrong with it; empty if all is well.
    is_end_known : bool
        Whether a head was there to compare the end with; without one, newest entries that were cut off
        cannot be missed.
    """

    entries: int
    first_broken_seq: int | None
    reason: str
    is_end_known: bool


@dataclass(frozen=True, slots=True)
class _Head:
    """The newest entry, as noted outside the database."""

    seq: int
    entry_hash: str


class Audit:
    """The audit log of one registry.

    A chain shows whatever changes inside it, but not that its end is gone. So the newest entry is noted in a
    second place, and that note only moves on along a log that still holds the entry noted before.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    clock : Clock
    head : Path or None
        File for the number and hash of the newest entry.
    """

    def __init__(self, engine: Engine, clock: Clock, head: Path | None = None) -> None:
        self._head = head
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
        """Write one entry; it is on disk when this returns.

        Raises
        ------
        HomeError
            If the entry was written, but the head cannot be.
        """
        entry = {
            "at_ns": self._clock.now_ns(),
            "actor": _storable(actor)[:80],
            "action": action,
            "subject_id": _storable(subject_id)[:64],
            "is_allowed": is_allowed,
            "address": _storable(address)[:64],
            "detail": _storable(detail)[:500],
        }
        t = schema.audit
        with self._writing.begin() as connection:
            previous = connection.execute(
                sa.select(t.c.entry_hash).order_by(t.c.seq.desc()).limit(1)
            ).scalar()
            previous = previous or _GENESIS
            entry_hash = _entry_hash(previous, entry)
            may_move = self._is_head_held(connection)
            values = {**entry, "previous_hash": previous, "entry_hash": entry_hash}
            seq = connection.execute(sa.insert(t).values(values).returning(t.c.seq)).scalar_one()
        if self._head is not None and may_move:
            _keep_head(self._head, _Head(seq, entry_hash))

    def entries(self) -> list[AuditEntry]:
        """Return everything, oldest first."""
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(schema.audit).order_by(schema.audit.c.seq)).all()
        return [_entry(row) for row in rows]

    def search(
        self,
        *,
        actor: str | None = None,
        action: str | None = None,
        subject_id: str | None = None,
        since_ns: int | None = None,
        limit: int = 100,
    ) -> list[AuditEntry]:
        """Return the newest entries that have all that is asked for, newest first."""
        t = schema.audit
        asked = {"actor": actor, "action": action, "subject_id": subject_id}
        query = sa.select(t).where(*(t.c[name] == text for name, text in asked.items() if text is not None))
        if since_ns is not None:
            query = query.where(t.c.at_ns >= since_ns)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query.order_by(t.c.seq.desc()).limit(limit))]

    def newest_by_subject(self, actor: str, action: str) -> dict[str, int]:
        """Return when somebody last did something, allowed, with each subject, nanoseconds UTC."""
        t = schema.audit
        query = sa.select(t.c.subject_id, sa.func.max(t.c.at_ns))
        query = query.where(t.c.actor == actor, t.c.action == action, t.c.is_allowed).group_by(t.c.subject_id)
        with self._engine.connect() as connection:
            return {row[0]: row[1] for row in connection.execute(query)}

    def first_broken_seq(self) -> int | None:
        """Return the first entry that was altered or is missing, or None if all is well."""
        return self.verify().first_broken_seq

    def verify(self) -> AuditVerdict:
        """Check every entry, the links between them, and that the newest ones are still there."""
        head, fault = self._noted_head()  # first: what is appended meanwhile only lengthens the log
        previous, entries, last_seq, is_head_met = _GENESIS, 0, 0, head is None
        with self._engine.connect() as connection:
            for row in connection.execute(sa.select(schema.audit).order_by(schema.audit.c.seq)).mappings():
                entries, last_seq = entries + 1, int(row["seq"])
                entry = {k: v for k, v in row.items() if k not in ("seq", "previous_hash", "entry_hash")}
                if row["previous_hash"] != previous:
                    reason = "it does not follow the entry before it: one is missing or was altered"
                    return AuditVerdict(entries, last_seq, reason, head is not None)
                if row["entry_hash"] != _entry_hash(previous, entry):
                    return AuditVerdict(entries, last_seq, "it was altered", head is not None)
                previous = str(row["entry_hash"])
                if head is not None and last_seq == head.seq:
                    is_head_met = previous == head.entry_hash
                    if not is_head_met:
                        reason = (
                            f"it is not the entry that {self._head} notes: the log was cut off or replaced"
                        )
                        return AuditVerdict(entries, last_seq, reason, is_end_known=True)
        if not is_head_met and head is not None:
            reason = f"the newest entries were cut off: {self._head} notes entry {head.seq}"
            return AuditVerdict(entries, last_seq + 1, reason, is_end_known=True)
        if fault:
            return AuditVerdict(entries, last_seq + 1, fault, is_end_known=False)
        return AuditVerdict(entries, None, "", head is not None)

    def _noted_head(self) -> tuple[_Head | None, str]:
        """Return the head, if one was noted, and what is wrong with the file of it."""
        if self._head is None:
            return None, ""
        try:
            held = cast("dict[str, Any]", json.loads(self._head.read_text()))
            return _Head(int(held["seq"]), str(held["entry_hash"])), ""
        except FileNotFoundError:
            return None, ""
        except (OSError, ValueError, KeyError, TypeError):
            return None, f"whether it is missing cannot be said: {self._head} is damaged"

    def _is_head_held(self, connection: Connection) -> bool:
        """Say whether the log still holds what was noted last; if not, the note is evidence and stays."""
        head, fault = self._noted_head()
        if head is None:
            return not fault
        t = schema.audit
        query = sa.select(t.c.entry_hash).where(t.c.seq == head.seq)
        return connection.execute(query).scalar() == head.entry_hash


def _entry(r: Row[Any]) -> AuditEntry:
    return AuditEntry(r.seq, r.at_ns, r.actor, r.action, r.subject_id, r.is_allowed, r.address, r.detail)


def _keep_head(path: Path, head: _Head) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"seq": head.seq, "entry_hash": head.entry_hash}, file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise HomeError(
            f"{path} cannot be written ({error.strerror}); make room and check its owner"
        ) from None


def _storable(text: str) -> str:
    """Return the text without the one character that PostgreSQL cannot hold; a browser may send any."""
    return text.replace("\0", "\ufffd")


def _entry_hash(previous: str, entry: Mapping[str, object]) -> str:
    return hashlib.sha256((previous + json.dumps(dict(entry), sort_keys=True)).encode()).hexdigest()
