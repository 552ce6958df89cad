"""Who may run a job: a row that one process holds at a time, and that outlives nobody.

A lease is for not doing work twice. What jobs write is the same whoever writes it, so that two at once,
should a clock jump, harm nothing.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import Engine

from store.clock import Clock
from store.errors import BusyError
from store.registry import schema
from store.times import iso_time
from store.units import NS_PER_S

LASTS_S = 120
"""Without a sign of life. The longest silence of a run that lives is one night on a slow machine, seconds."""
BEAT_EVERY_S = 5
ASK_EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lease, and since when."""

    owner: str
    taken_ns: int
    expires_ns: int

    def __str__(self) -> str:
        told = json.loads(self.owner)
        return f"process {told['pid']} on {told['host']}, since {iso_time(self.taken_ns)}"


class Leases:
    """The leases of one registry."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def take(self, kind: str, owner: str) -> Holder | None:
        """Take a lease that is free, has expired, or whose holder has died; else return who holds it."""
        t = schema.job_lease
        with self._writing.begin() as connection:
            now_ns = self._clock.now_ns()
            row = connection.execute(sa.select(t).where(t.c.kind == kind)).first()
            if row is not None:
                held = Holder(row.owner, row.taken_ns, row.expires_ns)
                if held.owner != owner and held.expires_ns > now_ns and not has_ended(held.owner):
                    return held
                connection.execute(sa.delete(t).where(t.c.kind == kind))
            expires_ns = now_ns + LASTS_S * NS_PER_S
            connection.execute(
                sa.insert(t).values(kind=kind, owner=owner, taken_ns=now_ns, expires_ns=expires_ns)
            )
        return None

    def beat(self, kind: str, owner: str) -> bool:
        """Say that the holder lives; return whether it still holds the lease."""
        t = schema.job_lease
        expires_ns = self._clock.now_ns() + LASTS_S * NS_PER_S
        is_mine = (t.c.kind == kind) & (t.c.owner == owner)
        with self._writing.begin() as connection:
            return connection.execute(sa.update(t).where(is_mine).values(expires_ns=expires_ns)).rowcount == 1

    def release(self, kind: str, owner: str) -> None:
        """Give a lease back."""
        t = schema.job_lease
        with self._writing.begin() as connection:
            connection.execute(sa.delete(t).where((t.c.kind == kind) & (t.c.owner == owner)))

    @contextmanager
    def held(
        self, kind: str, *, wait_s: float, told: Callable[[str], None] = lambda _said: None
    ) -> Generator[Callable[[], None]]:
        """Hold a lease; yield what to call now and then, as a sign of life.

        Parameters
        ----------
        kind : str
        wait_s : float
            How long to wait for another holder.
        told : callable
            Hears that another one is waited for.

        Raises
        ------
        BusyError
            If the other one does not end in time, or took the lease because this one was silent for long.
        """
        owner = this_process()
        self._wait_for(kind, owner, wait_s, told)
        beaten_ns = self._clock.monotonic_ns()

        def beat() -> None:
            nonlocal beaten_ns
            if self._clock.monotonic_ns() - beaten_ns < BEAT_EVERY_S * NS_PER_S:
                return
            beaten_ns = self._clock.monotonic_ns()
            if not self.beat(kind, owner):
                raise BusyError(f"Another {kind} run took over, as this one was silent for {LASTS_S} s")

        try:
            yield beat
        finally:
            self.release(kind, owner)

    def _wait_for(self, kind: str, owner: str, wait_s: float, told: Callable[[str], None]) -> None:
        until_ns = self._clock.monotonic_ns() + round(wait_s * NS_PER_S)
        is_told = False
        while (held := self.take(kind, owner)) is not None:
            if self._clock.monotonic_ns() >= until_ns:
                raise BusyError(
                    f"A {kind} run is at work ({held}), and was still after {wait_s:g} s; what it leaves is "
                    "done by the next run; --wait says how long to wait"
                )
            if not is_told:
                told(f"Waiting for a {kind} run that is at work: {held}")
                is_told = True
            threading.Event().wait(ASK_EVERY_S)


def this_process() -> str:
    """Return what tells this process from any other of any machine."""
    told = {"host": socket.gethostname(), "pid": os.getpid(), "place": _place(), "start": _start(os.getpid())}
    return json.dumps(told, sort_keys=True)


def has_ended(owner: str) -> bool:
    """Say whether a process of this machine that held a lease is known to be gone."""
    told = json.loads(owner)
    if not told["place"] or told["place"] != _place() or told["host"] != socket.gethostname():
        return False
    return _start(told["pid"]) != told["start"]


def _place() -> str:
    """Return which start of which machine, and which space of process ids this is; empty if unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _start(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty if there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
