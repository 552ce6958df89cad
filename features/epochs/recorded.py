"""What a file of epochs holds as it is written, and how it becomes epochs on an even grid of UTC."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.epochs.epochs import Epochs, FloatArray
from store.errors import RecordingError
from store.local_time import utc_of_local
from store.units import NS_PER_S

MAX_EPOCHS = 50_000_000
"""Eight years of 5 s. A longer grid comes of a wrong date, and would not fit into memory."""


@dataclass(frozen=True)
class Recorded:
    """Rows of a file.

    Attributes
    ----------
    t_ns : (n,) int64
        Starts of epochs, in the order of the file; nanoseconds UTC, or local as if it were UTC.
    is_local : bool
    columns : mapping of name to (n,) float64
    column : str
        The one that is scored unless another is asked for.
    epoch_s : float or None
        None where the file does not say.
    device : str
    is_even : bool
        Whether the times were counted from the start, so that only the first of them is a local time.
    """

    t_ns: NDArray[np.int64]
    is_local: bool
    columns: Mapping[str, FloatArray]
    column: str
    epoch_s: float | None = None
    device: str = ""
    is_even: bool = False


def counted_times(start_ns: int, epoch_s: float, count: int) -> NDArray[np.int64]:
    """Return the starts of epochs that follow each other without a gap."""
    return start_ns + np.arange(count, dtype=np.int64) * round(epoch_s * NS_PER_S)


def on_grid(recorded: Recorded, zone: str, name: str, epoch_s: float | None) -> Epochs:
    """Return the rows as epochs, gaps as NaN.

    Raises
    ------
    RecordingError
        If there are no rows, or their times repeat, go back or fit no grid.
    ConfigError
        If the zone does not exist or the asked length cannot be made.
    """
    if not len(recorded.t_ns):
        raise RecordingError(f"{name} has no rows; needed is at least one epoch below the header")
    t_ns, notes = _utc(recorded, zone)
    _check_order(t_ns, recorded.t_ns, name)
    length_s = recorded.epoch_s or _usual_step_s(t_ns, name, epoch_s)
    slot = np.rint((t_ns - t_ns[0]) / (length_s * NS_PER_S)).astype(np.int64)
    twice = np.flatnonzero(np.diff(slot) == 0)
    if len(twice):
        k = int(twice[0])
        raise RecordingError(
            f"{name}: {_shown(recorded.t_ns[k])} and {_shown(recorded.t_ns[k + 1])} lie in one epoch of "
            f"{length_s:g} s; needed is a row per epoch: name the length of the rows, or mend them"
        )
    count = int(slot[-1]) + 1
    if count > MAX_EPOCHS:
        raise RecordingError(
            f"{name} reaches from {_shown(recorded.t_ns[0])} to {_shown(recorded.t_ns[-1])}, {count:,} "
            f"epochs of {length_s:g} s; {MAX_EPOCHS:,} are the most: look for a wrong date"
        )
    columns = {key: _spread(values, slot, count) for key, values in recorded.columns.items()}
    starts_ns = counted_times(int(t_ns[0]), length_s, count)
    epochs = Epochs(starts_ns, length_s, columns, recorded.column, zone, recorded.device, notes)
    return epochs if epoch_s is None else epochs.lengthened(epoch_s)


def _utc(recorded: Recorded, zone: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if not recorded.is_local:
        return recorded.t_ns, ()
    if not recorded.is_even:
        return utc_of_local(recorded.t_ns, zone)
    first, notes = utc_of_local(recorded.t_ns[:1], zone)
    return recorded.t_ns - (recorded.t_ns[0] - first[0]), notes


def _check_order(t_ns: NDArray[np.int64], as_written: NDArray[np.int64], name: str) -> None:
    wrong = np.flatnonzero(np.diff(t_ns) <= 0)
    if len(wrong):
        k = int(wrong[0])
        verb = "comes twice" if t_ns[k] == t_ns[k + 1] else f"comes after {_shown(as_written[k])}"
        raise RecordingError(
            f"{name}: {_shown(as_written[k + 1])} (row {k + 2}) {verb}; needed are times that increase, "
            "of one person: sort the rows and remove doubles"
        )


def _usual_step_s(t_ns: NDArray[np.int64], name: str, asked_s: float | None) -> float:
    """Return the commonest step between rows, which is the length of an epoch in a file with gaps."""
    steps_ns, counts = np.unique(np.diff(t_ns), return_counts=True)
    if not len(steps_ns):
        if asked_s is None:
            raise RecordingError(f"{name} has one row, which does not tell how long an epoch is; name it")
        return asked_s
    usual_ns = int(steps_ns[np.argmax(counts)])
    common_ns = int(np.gcd.reduce(steps_ns))
    is_sparse = common_ns >= NS_PER_S and (steps_ns % usual_ns != 0).any()
    return (common_ns if is_sparse else usual_ns) / NS_PER_S


def _spread(values: FloatArray, slot: NDArray[np.int64], count: int) -> FloatArray:
    grid = np.full(count, np.nan)
    grid[slot] = values
    return grid


def _shown(t_ns: np.integer) -> str:
    return str(pd.Timestamp(int(t_ns)))
