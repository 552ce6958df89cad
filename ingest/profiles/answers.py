"""Asking a wearable that answers by notification: what it sent, in order, with a limit to the patience."""

import asyncio
from collections import deque

from ingest.tasks import until_first
from store.clock import Clock
from store.errors import SensorError
from store.units import NS_PER_S


class Answers:
    """Frames of one characteristic, waiting to be read.

    Parameters
    ----------
    clock : Clock
        Times the patience.
    within_s : float
        How long a whole answer may take.
    """

    def __init__(self, clock: Clock, within_s: float) -> None:
        self._clock = clock
        self._within_s = within_s
        self._frames: deque[bytes] = deque()
        self._came = asyncio.Event()
        self._due_ns = 0

    def put(self, frame: bytes) -> None:
        """Take a frame, from within the notification's callback."""
        self._frames.append(frame)
        self._came.set()

    def expect(self) -> None:
        """Forget what came unasked or too late; from now on an answer has its time."""
        self._frames.clear()
        self._due_ns = self._clock.monotonic_ns() + round(self._within_s * NS_PER_S)

    async def next(self, what: str) -> bytes:
        """Return the next frame.

        Raises
        ------
        SensorError
            If it does not come in time; `what` says what was asked.
        """
        left_ns = self._due_ns - self._clock.monotonic_ns()
        if not self._frames and left_ns > 0:
            self._came.clear()
            await until_first(self._came.wait(), self._clock.sleep(left_ns / NS_PER_S))
        if not self._frames:
            raise SensorError(f"No answer about {what} in {self._within_s:g} s")
        return self._frames.popleft()
