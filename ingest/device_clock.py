"""A wearable's own clock against this machine's, from frames that say when they were made.

A frame arrives some time after it was made, never before. Its *lag* (arrival minus device time) is therefore
the offset of the two clocks plus a delay that is not negative, and the clocks are told apart from the delays
by the line under all lags: an edge of their lower convex hull, as in Moon, Skelly and Towsley (1999,
doi:10.1109/INFCOM.1999.749287). Its slope is the drift. What stays unknown is the smallest delay itself.

Arrivals are taken on the monotonic clock, so that setting the wall clock does not disturb the fit; the
difference of wall and monotonic time at the latest arrival is added last. A suspended machine, whose
monotonic clock stands still, or a wearable whose clock is set, shows as a jump and begins a new fit.

Pure: the same frames give the same times, also when taken up again from a saved state.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

from store.units import NS_PER_S

GROUP_NS = 60 * NS_PER_S
"""Of the lags of a minute only the smallest is kept: among a hundred frames one is nearly always prompt."""

GROUPS = 15
"""A quarter of an hour of them: at 50 ppm the clocks part by 45 ms meanwhile, well above the jitter of the
smallest delays, so that the drift shows; and a changed temperature is followed within it."""

DRIFT_AFTER_NS = 5 * GROUP_NS
"""Before so much was seen, jitter looks like drift; until then the offset is taken as constant, which costs
15 ms at 50 ppm."""

LARGEST_DRIFT = 300e-6
"""Crystals keep within 100 ppm, and low-power ones within 250; a steeper line is jitter."""

EARLY_NS = 250_000_000
"""A frame cannot come before it was made: so much under the line, a clock was set."""

LATE_NS = 10 * NS_PER_S
"""A link is given up after 6 s of silence (Bluetooth's usual supervision timeout); later is no delay."""


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """A fit, and all that coming ones depend on.

    Attributes
    ----------
    points : tuple of (int, int)
        Device time and lag of the promptest frame of each of the last minutes, newest last.
    group_ns : int
        Device time at which the newest of these minutes began.
    """

    points: tuple[tuple[int, int], ...] = ()
    group_ns: int = 0

    def as_json(self) -> dict[str, Any]:
        """Return the fit as values that JSON can hold."""
        return {"points": [list(point) for point in self.points], "group_ns": self.group_ns}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return the fit that `as_json` gave."""
        return cls(tuple((device_ns, lag_ns) for device_ns, lag_ns in held["points"]), held["group_ns"])

    def fed(self, device_ns: int, arrival_ns: int) -> "DeviceClock":
        """Return the fit with one more frame: when the wearable says it was made, and when it arrived.

        Parameters
        ----------
        device_ns : int
            On the wearable's clock.
        arrival_ns : int
            On the monotonic clock of this machine.
        """
        lag_ns = arrival_ns - device_ns
        if not self.points or self._is_jump(device_ns, lag_ns):
            return DeviceClock(((device_ns, lag_ns),), device_ns)
        if device_ns - self.group_ns >= GROUP_NS:
            return self._with_group(device_ns, lag_ns)
        if lag_ns < self.points[-1][1]:
            return replace(self, points=(*self.points[:-1], (device_ns, lag_ns)))
        return self

    def lag_ns(self, device_ns: int) -> int:
        """Return how far this machine's monotonic clock is ahead of the wearable's at that moment."""
        at_ns, lag_ns, drift = _supporting_line(self.points)
        return lag_ns + round(drift * (device_ns - at_ns))

    def _is_jump(self, device_ns: int, lag_ns: int) -> bool:
        late_ns = lag_ns - self.lag_ns(device_ns)
        return late_ns < -EARLY_NS or late_ns > LATE_NS

    def _with_group(self, device_ns: int, lag_ns: int) -> "DeviceClock":
        """Begin a new minute; if not one frame of the last was prompt, a clock was set by a little."""
        began = (device_ns, lag_ns)
        *before, last = self.points
        if before and last[1] - DeviceClock(tuple(before)).lag_ns(last[0]) > EARLY_NS:
            return DeviceClock((last, began), device_ns)
        return DeviceClock((*self.points, began)[-GROUPS:], device_ns)


def _supporting_line(points: Sequence[tuple[int, int]]) -> tuple[int, int, float]:
    """Return a point of the line under `points` that is nearest to them, and its slope."""
    settled = points[:-1] if len(points) > 1 else points
    if settled[-1][0] - settled[0][0] < DRIFT_AFTER_NS:
        lowest = min(points, key=lambda point: point[1])
        return (*lowest, 0.0)
    hull = _lower_hull(settled)
    middle_ns = sum(device_ns for device_ns, _ in settled) // len(settled)
    (x0, y0), (x1, y1) = next(edge for edge in itertools.pairwise(hull) if edge[1][0] >= middle_ns)
    drift = (y1 - y0) / (x1 - x0)
    return x0, y0, max(-LARGEST_DRIFT, min(drift, LARGEST_DRIFT))


def _lower_hull(points: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the corners of the lower convex hull, by ascending first coordinate (Andrew 1979)."""
    hull: list[tuple[int, int]] = []
    for x, y in sorted(points):
        while len(hull) > 1:
            (x0, y0), (x1, y1) = hull[-2:]
            if (x1 - x0) * (y - y0) > (x - x0) * (y1 - y0):
                break
            hull.pop()
        hull.append((x, y))
    return hull
