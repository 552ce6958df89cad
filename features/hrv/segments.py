"""Stretches of a series of NN intervals that values are computed of: clock windows, nights, the whole."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.types import NnSeries, read_only
from store.units import NS_PER_MS

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Segments:
    """m half-open spans of time over a series, and which intervals end in each; spans may overlap.

    Attributes
    ----------
    start_ns, end_ns : (m,) int64
        `[start, end)`; an interval belongs to the span in which it ends.
    first, last : (m,) int64
        `nn_ms[first:last]` are the intervals of the span.
    """

    start_ns: NDArray[np.int64]
    end_ns: NDArray[np.int64]
    first: NDArray[np.int64]
    last: NDArray[np.int64]

    def __post_init__(self) -> None:
        for name in ("start_ns", "end_ns", "first", "last"):
            object.__setattr__(self, name, read_only(np.asarray(getattr(self, name), np.int64)))

    def __len__(self) -> int:
        return len(self.start_ns)

    def take(self, rows: NDArray[np.intp]) -> "Segments":
        """Return the spans of these rows."""
        return Segments(self.start_ns[rows], self.end_ns[rows], self.first[rows], self.last[rows])

    @property
    def n_beats(self) -> NDArray[np.int64]:
        """Intervals in each span, (m,)."""
        return self.last - self.first

    @property
    def length_ms(self) -> FloatArray:
        """Length of each span, (m,) ms."""
        return (self.end_ns - self.start_ns) / NS_PER_MS


def segments_between(nn: NnSeries, start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> Segments:
    """Return the spans `[start_ns, end_ns)`, (m,) each, of a series."""
    return Segments(
        start_ns,
        end_ns,
        np.searchsorted(nn.t_ns, start_ns, "left").astype(np.int64),
        np.searchsorted(nn.t_ns, end_ns, "left").astype(np.int64),
    )


def whole(nn: NnSeries) -> Segments:
    """Return one span: from the start of the first interval to the end of the last."""
    if not len(nn):
        nothing = np.zeros(1, np.int64)
        return Segments(nothing, nothing, nothing, nothing)
    start_ns = nn.t_ns[:1] - np.round(nn.nn_ms[:1] * NS_PER_MS).astype(np.int64)
    return segments_between(nn, start_ns, nn.t_ns[-1:] + 1)


def clock_windows(
    t_ns: NDArray[np.int64], window_ns: int, step_ns: int, origin_ns: int = 0
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return starts and ends of the windows `origin + k step`, from the first time to the last.

    Windows in between that hold nothing are there too: what is missing has to show.

    Parameters
    ----------
    t_ns : (n,) int64, ascending
    window_ns, step_ns, origin_ns : int

    Returns
    -------
    start_ns, end_ns : (m,) int64
    """
    if not len(t_ns):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    earliest = (int(t_ns[0]) - origin_ns - window_ns) // step_ns + 1
    latest = (int(t_ns[-1]) - origin_ns) // step_ns
    start_ns = origin_ns + step_ns * np.arange(earliest, latest + 1, dtype=np.int64)
    return start_ns, start_ns + window_ns
