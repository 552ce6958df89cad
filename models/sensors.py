"""By which sensor a person is judged: values of two kinds of sensor are never put beside each other.

One leads. Nights by another are left out, as no own normal is known for them; once it clearly is what the
person wears now, it leads, and an own normal of its nights begins. Who alternates is judged by one of two.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.kernel import IntArray

LEAD_DAYS, LEAD_NIGHTS, LEAD_TIMES = 14, 5, 2
"""Another sensor leads once it has so many nights of the last days, and so many times those of the leader."""


class Led(NamedTuple):
    """For each day of a person, as known after the last.

    Attributes
    ----------
    begin : (n,) int64
        First day of the sensor that leads on that day.
    is_other : (n,) bool
        Whether another sensor was worn.
    """

    begin: IntArray
    is_other: NDArray[np.bool_]

    @property
    def taken_over(self) -> list[int]:
        """Days on which another sensor began to lead."""
        return [day for day in np.unique(self.begin).tolist() if day > 0]


NOBODY = Led(np.zeros(0, np.int64), np.zeros(0, np.bool_))
"""Of somebody without a day."""


def led(source: IntArray, is_recorded: NDArray[np.bool_]) -> Led:
    """Say which sensor leads on each day, and which days are of another.

    Parameters
    ----------
    source : (n,) int64
        Number of the sensor of each day; a day of -1 belongs to the one before.
    is_recorded : (n,) bool
        Whether there are enough values to judge by.

    Notes
    -----
    Days before a new leader took over become its own. None of them was judged: they were of another sensor
    when they came, and are of one without own normal now. Later days change no other day.
    """
    n = len(source)
    begin, is_other = np.zeros(n, np.int64), np.zeros(n, np.bool_)
    worn = _carried(source)
    if n == 0 or (worn == worn[0]).all():
        return Led(begin, is_other)
    first, leader = 0, worn[0]
    for t in range(n):
        if worn[t] != leader and is_recorded[t] and _takes_over(worn, is_recorded, t, leader):
            leader = worn[t]
            own = np.flatnonzero(is_recorded[:t] & ~is_other[:t])
            free = int(own[-1]) + 1 if len(own) else 0
            first = free + int(np.argmax(worn[free:] == leader))
            begin[first:t] = first
            is_other[first:t] = worn[first:t] != leader
        begin[t], is_other[t] = first, worn[t] != leader
    return Led(begin, is_other)


def _takes_over(worn: IntArray, is_recorded: NDArray[np.bool_], t: int, leader: int) -> bool:
    recent = slice(max(0, t - LEAD_DAYS + 1), t + 1)
    held = worn[recent][is_recorded[recent]]
    nights, of_leader = (int(np.count_nonzero(held == each)) for each in (worn[t], leader))
    return nights >= max(LEAD_NIGHTS, LEAD_TIMES * of_leader)


def _carried(source: IntArray) -> IntArray:
    """Take a day of an unknown sensor as of the one before, and days before the first as of that."""
    known = source >= 0
    if not known.any():
        return source
    at = np.maximum.accumulate(np.where(known, np.arange(len(source)), -1))
    return np.where(at >= 0, source[at], source[np.argmax(known)])
