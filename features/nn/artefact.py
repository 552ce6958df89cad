"""Why a rule leaves an interval out, and what every rule takes and gives."""

from collections.abc import Callable
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Verdicts = NDArray[np.uint8]
"""An `Artefact` for each interval, (n,) uint8; 0 where it is kept."""

Rule = Callable[[FloatArray], Verdicts]
"""From RR intervals (n,) in ms to a verdict on each."""

MIN_NN_MS, MAX_NN_MS = 300.0, 2000.0
"""200 and 30 beats/min: outside, a chest strap has missed or doubled a beat far more often than not."""


class Artefact(IntEnum):
    """What is wrong with an RR interval.

    `ECTOPIC`, `MISSED`, `EXTRA` and `LONG_SHORT` are the classes of Lipponen and Tarvainen; `DEVIATING` (the
    interval does not fit in), `DISPLACED` (a beat between two intervals came early or late) and `UNSTEADY`
    (too much around it was left out) say what was seen without a guess at the cause.
    """

    NONE = 0
    OUT_OF_RANGE = 1
    DEVIATING = 2
    DISPLACED = 3
    UNSTEADY = 4
    ECTOPIC = 5
    MISSED = 6
    EXTRA = 7
    LONG_SHORT = 8


def keep_all(rr_ms: FloatArray) -> Verdicts:
    """Find nothing wrong with any interval; for series that were cleaned elsewhere."""
    return np.zeros(len(rr_ms), np.uint8)


def is_out_of_range(rr_ms: FloatArray) -> NDArray[np.bool_]:
    """Say for each interval (n,) whether it lies outside 300-2000 ms."""
    return (rr_ms < MIN_NN_MS) | (rr_ms > MAX_NN_MS)
