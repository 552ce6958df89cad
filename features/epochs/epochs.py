"""Epochs: movement on an even grid of time, with gaps as gaps."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from store.errors import ConfigError, DataError
from store.types import read_only
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

SUMMED = frozenset((
    "counts", "steps", "axis1", "axis2", "axis3", "vectormagnitude", "activity", "pim", "tat", "zcm",
    "sample_count",
))  # fmt: skip
"""Columns whose value over a longer epoch is the sum; of all others it is the mean."""

SAMPLED = frozenset(("heart_rate_bpm",))
"""Columns of which any sample stands for its surroundings: their mean needs no more than one."""


@dataclass(frozen=True)
class Epochs:
    """Movement of one recording, on an even grid from its first epoch to its last.

    Attributes
    ----------
    start_ns : (n,) int64
        Start of each epoch, nanoseconds UTC, exactly `epoch_s` apart.
    epoch_s : float
        Length of an epoch; never assumed.
    columns : mapping of name to (n,) float64
        NaN where nothing was recorded. Zero is a measurement.
    column : str
        The one that is scored unless another is asked for.
    zone : str
        IANA zone that days and clock times are of.
    device : str
        What recorded it (`actigraph`, `actiwatch`, ...), `""` if the file does not say: counts of different
        devices have different scales.
    notes : tuple of str
        What a reader decided and a user should know, a sentence each.
    """

    start_ns: NDArray[np.int64]
    epoch_s: float
    columns: Mapping[str, FloatArray]
    column: str
    zone: str = "UTC"
    device: str = ""
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        start_ns = read_only(np.asarray(self.start_ns, np.int64))
        columns = {name: read_only(np.asarray(held, np.float64)) for name, held in self.columns.items()}
        if start_ns.ndim != 1 or not len(start_ns):
            raise DataError(f"Epochs: times of shape {start_ns.shape}; needed is at least one epoch")
        if not self.epoch_s > 0 or (np.diff(start_ns) != self.epoch_ns).any():
            raise DataError(
                f"Epochs: times are not {self.epoch_s:g} s apart; put them on a grid, gaps as NaN"
            )
        if any(held.shape != start_ns.shape for held in columns.values()):
            raise DataError("Epochs: a column is not as long as the times; needed is a value per epoch")
        if self.column not in columns:
            raise DataError(f"Epochs: no column {self.column!r}; there are: {', '.join(columns)}")
        object.__setattr__(self, "start_ns", start_ns)
        object.__setattr__(self, "columns", MappingProxyType(columns))

    def __len__(self) -> int:
        return len(self.start_ns)

    @property
    def epoch_ns(self) -> int:
        """Length of an epoch in nanoseconds."""
        return round(self.epoch_s * NS_PER_S)

    @property
    def end_ns(self) -> int:
        """End of the last epoch, nanoseconds UTC."""
        return int(self.start_ns[-1]) + self.epoch_ns

    @property
    def values(self) -> FloatArray:
        """The column that is scored, (n,)."""
        return self.columns[self.column]

    @property
    def is_recorded(self) -> NDArray[np.bool_]:
        """Where the scored column holds a value, (n,)."""
        return np.isfinite(self.values)

    def scoring(self, column: str) -> "Epochs":
        """Return the same epochs with another column to score.

        Raises
        ------
        ConfigError
            If there is no such column; the message lists those there are.
        """
        if column not in self.columns:
            raise ConfigError(f"No column is called {column!r}; there are: {', '.join(self.columns)}")
        return replace(self, column=column)

    def lengthened(self, epoch_s: float) -> "Epochs":
        """Return longer epochs: sums of `SUMMED` columns, means of the others; NaN where a part is missing.

        Heart rate is the mean of the samples that are there.
        They begin at multiples of their length on the grid of the old ones; incomplete ones at the edges go.
        The vector magnitude is made anew of the sums of its axes, as ActiLife does.

        Raises
        ------
        ConfigError
            If the length is no whole multiple of that of the recording.
        """
        times = round(epoch_s / self.epoch_s)
        if times < 1 or abs(times * self.epoch_s - epoch_s) > 1e-9:
            raise ConfigError(
                f"Epochs of {epoch_s:g} s cannot be made of epochs of {self.epoch_s:g} s; "
                "needed is a whole multiple of that"
            )
        if times == 1:
            return self
        skipped = -(int(self.start_ns[0]) // self.epoch_ns) % times
        count = (len(self) - skipped) // times
        if not count:
            raise DataError(
                f"The recording is shorter than one epoch of {epoch_s:g} s; ask for shorter epochs"
            )
        used = slice(skipped, skipped + count * times)
        columns = {
            name: _joined(held[used].reshape(count, times), name) for name, held in self.columns.items()
        }
        if "vectormagnitude" in columns and all(f"axis{k}" in columns for k in (1, 2, 3)):
            columns["vectormagnitude"] = vector_magnitude(columns)
        return replace(self, start_ns=self.start_ns[used][::times], epoch_s=float(epoch_s), columns=columns)


def _joined(parts: FloatArray, name: str) -> FloatArray:
    if name in SAMPLED:
        held = np.isfinite(parts).sum(axis=1)
        return np.where(held > 0, np.nansum(parts, axis=1) / np.maximum(held, 1), np.nan)
    total = parts.sum(axis=1)
    return total if name in SUMMED else total / parts.shape[1]


def vector_magnitude(axes: Mapping[str, FloatArray]) -> FloatArray:
    """Return sqrt(axis1^2 + axis2^2 + axis3^2)."""
    return np.sqrt(axes["axis1"] ** 2 + axes["axis2"] ** 2 + axes["axis3"] ** 2)
