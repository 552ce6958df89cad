"""When the samples of each frame were taken: through the wearable's clock where it has one, else by arrival.

Samples follow each other evenly, never two at one time and never backwards, except where a clock of this
machine was set. Two frames between which nothing is missing share no gap and no overlap: the samples of the
second fill the time between the last sample of the first and their own last, so that a wearable whose true
rate is not its nominal one does not drift.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ingest.device_clock import DeviceClock
from store.units import NS_PER_S

CLOCK_STEP_NS = NS_PER_S
"""Wall time that moves this far against monotonic time was set; times may then go back."""

RATE_TOLERANCE = 0.2
"""A frame whose samples would be this much further apart, or closer, than nominal follows missing ones."""

GAP_NS = 3 * NS_PER_S
"""Without a device clock, a frame that is later than this follows missing ones."""

CATCH_UP = 0.5
"""Share of a lateness that is taken for a rate below nominal, the rest for delay: a rate that is wrong lags
by no more than the error of one frame, and a delayed frame moves its successors for a moment only."""


@dataclass(frozen=True, slots=True)
class FrameTimes:
    """Time of the last sample, and all that coming ones depend on.

    Attributes
    ----------
    clock : DeviceClock
    last_ns : int or None
        Newest sample, nanoseconds UTC.
    device_ns : int or None
        The same on the wearable's clock.
    offset_ns : int
        Wall minus monotonic time at the newest arrival.
    """

    clock: DeviceClock = field(default_factory=DeviceClock)
    last_ns: int | None = None
    device_ns: int | None = None
    offset_ns: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return this as values that JSON can hold."""
        return {
            "clock": self.clock.as_json(),
            "last_ns": self.last_ns,
            "device_ns": self.device_ns,
            "offset_ns": self.offset_ns,
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return what `as_json` made."""
        return cls(
            DeviceClock.from_json(held["clock"]), held["last_ns"], held["device_ns"], held["offset_ns"]
        )

    def placed(
        self, wall_ns: int, mono_ns: int, device_ns: int | None, count: int, rate_hz: float
    ) -> tuple["FrameTimes", NDArray[np.int64]]:
        """Return the state after the next frame, and the times of its samples.

        Parameters
        ----------
        wall_ns, mono_ns : int
            Its arrival.
        device_ns : int or None
            Time of its last sample on the wearable's clock.
        count : int
            Samples in it, at least 1.
        rate_hz : float
            Nominal.

        Returns
        -------
        FrameTimes
        (count,) int64
            Nanoseconds UTC, strictly increasing.
        """
        offset_ns = wall_ns - mono_ns
        was_set = self.last_ns is not None and abs(offset_ns - self.offset_ns) > CLOCK_STEP_NS
        state = replace(self, offset_ns=offset_ns, last_ns=None if was_set else self.last_ns)
        span_ns = round(count / rate_hz * NS_PER_S)
        if device_ns is None:
            end_ns, follows = _end_by_arrival(state.last_ns, wall_ns, span_ns)
        else:
            clock = state.clock.fed(device_ns, mono_ns)
            state = replace(state, clock=clock)
            end_ns = offset_ns + device_ns + clock.lag_ns(device_ns)
            follows = state.device_ns is not None and _is_near(device_ns - state.device_ns, span_ns)
        # Without a device clock a burst is squeezed; with one, only the fit has moved, and is waited for.
        least_ns = count if device_ns is None else max(span_ns // 2, count)
        begin_ns = end_ns - span_ns
        if state.last_ns is not None:
            begin_ns = state.last_ns if follows else max(begin_ns, state.last_ns)
        t_ns = _spread(begin_ns, max(end_ns, begin_ns + least_ns), count)
        return replace(state, last_ns=int(t_ns[-1]), device_ns=device_ns), t_ns


def _end_by_arrival(last_ns: int | None, wall_ns: int, span_ns: int) -> tuple[int, bool]:
    """Return the time of a frame's last sample, and whether it follows the last frame without a gap."""
    if last_ns is None:
        return wall_ns, False
    late_ns = wall_ns - (last_ns + span_ns)
    if late_ns > GAP_NS:
        return wall_ns, False
    return wall_ns - round((1 - CATCH_UP) * max(0, late_ns)), True


def _is_near(elapsed_ns: int, span_ns: int) -> bool:
    return abs(elapsed_ns - span_ns) <= RATE_TOLERANCE * span_ns


def _spread(after_ns: int, end_ns: int, count: int) -> NDArray[np.int64]:
    """Return `count` times, evenly after `after_ns` and up to `end_ns`."""
    return after_ns + np.arange(1, count + 1) * (end_ns - after_ns) // count


NO_FRAMES = FrameTimes()
"""Before the first frame."""
