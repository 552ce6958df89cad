"""What one record says, before anything is known about the records around it."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.streams import Stream

Values = tuple[float | str | bytes, ...]
"""One value per column of a stream."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A sample whose time the wearable's memory gave, in nanoseconds UTC of this machine's clock."""

    stream: Stream
    t_ns: int
    values: Values


@dataclass(frozen=True, slots=True)
class Count:
    """A counter that only grows until it starts again at 0, such as steps since midnight or a reboot.

    The difference to the same sensor's count before becomes a sample at arrival: (difference, seconds since
    that count). The first count after a `started` link state is only where counting begins, for another
    person may have worn the sensor since the last one; so is the first of all. A smaller count than the one
    before says that the counter began again: then what it shows has been counted since, and is the
    difference. What was counted between the last reading and the reset is not known; it is never invented.

    Attributes
    ----------
    stream : Stream
        Its columns are the difference and the length of the interval in seconds.
    total : int
        Not negative.
    """

    stream: Stream
    total: int


@dataclass(frozen=True)
class Motion:
    """Raw acceleration of one frame.

    Attributes
    ----------
    acc_g : (n, 3) float32
        Device frame, g, oldest first.
    rate_hz : float
        Nominal.
    device_ns : int or None
        Time of the last sample on the wearable's clock; None if it has none, then arrival counts.
    """

    acc_g: NDArray[np.float32]
    rate_hz: float
    device_ns: int | None = None


@dataclass(frozen=True)
class Pulses:
    """Pulse-to-pulse intervals of one frame, oldest first; their times are not in the frame.

    Attributes
    ----------
    values : tuple of Values
        Rows of `PP_INTERVAL`.
    """

    values: tuple[Values, ...]


class Reading(NamedTuple):
    """What one record says; any part may be empty.

    Attributes
    ----------
    at_arrival : tuple of (Stream, Values)
        Samples at the moment the record arrived; one per stream at most.
    rr_ms : tuple of float
        RR intervals, oldest first; their times are not in the record.
    timed : tuple of Timed
        Samples that carry their own time.
    motion : Motion or None
        Becomes activity epochs, and a waveform where those are kept.
    pulses : Pulses or None
    counter : Count or None
        Becomes a difference to the count before.
    waveform : tuple of Values
        Rows of `WAVEFORM` at arrival, kept only where asked.
    """

    at_arrival: tuple[tuple[Stream, Values], ...] = ()
    rr_ms: tuple[float, ...] = ()
    timed: tuple[Timed, ...] = ()
    motion: Motion | None = None
    pulses: Pulses | None = None
    counter: Count | None = None
    waveform: tuple[Values, ...] = ()
