"""The one reader of time: everything that asks what time it is asks a `Clock`."""

import asyncio
import heapq
import itertools
import time
from typing import Protocol

from store.units import NS_PER_S


class Clock(Protocol):
    """Wall and monotonic time, and waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC; may step when the host's clock is set."""
        ...

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step back; only differences mean anything."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds` of this clock."""
        ...


class SystemClock:
    """The host's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()  # noqa: TID251 - the one place

    def monotonic_ns(self) -> int:
        """Nanoseconds that never step back."""
        return time.monotonic_ns()

    async def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        await asyncio.sleep(seconds)


class VirtualClock:
    """A clock that stands still until it is advanced: for replays and tests.

    Parameters
    ----------
    start_ns : int
        Wall time at the start, nanoseconds UTC. Monotonic time starts at zero.
    """

    def __init__(self, start_ns: int) -> None:
        self._start_ns = start_ns
        self._now_ns = start_ns
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._now_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds since the clock was made."""
        return self._now_ns - self._start_ns

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by `seconds`."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        due_ns = self._now_ns + round(seconds * NS_PER_S)
        heapq.heappush(self._sleepers, (due_ns, next(self._order), waiter))
        await waiter

    def advance_to(self, now_ns: int) -> None:
        """Move to `now_ns` (never back) and wake every sleeper that is due."""
        self._now_ns = max(self._now_ns, now_ns)
        while self._sleepers and self._sleepers[0][0] <= self._now_ns:
            waiter = heapq.heappop(self._sleepers)[2]
            if not waiter.done():
                waiter.set_result(None)
