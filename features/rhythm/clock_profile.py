"""Epochs by the local clock: in bins of elapsed time, and as the mean day."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import Epochs, FloatArray
from features.hrv.compiled import compiled
from store.errors import ConfigError
from store.local_time import local_wall_ns
from store.units import NS_PER_S

DAY_S = 86_400
MIN_BIN_FRAC = 0.5
"""A bin of which less than half is there has no mean."""


@dataclass(frozen=True)
class ClockedValues:
    """What a rhythm is made of.

    Attributes
    ----------
    x : (n,) float64
        NaN where nothing was recorded or worn.
    slot : (n,) int64
        Epoch of the local day in which each begins, from 0 at midnight.
    epoch_s : float
        Divides a day.
    """

    x: FloatArray
    slot: NDArray[np.int64]
    epoch_s: float

    @property
    def per_day(self) -> int:
        """Epochs of a day of 24 h."""
        return round(DAY_S / self.epoch_s)

    @property
    def days(self) -> float:
        """Days that the values cover."""
        return float(np.isfinite(self.x).sum()) / self.per_day


def clocked(epochs: Epochs, is_used: NDArray[np.bool_] | None = None) -> ClockedValues:
    """Return the scored column by the local clock.

    Parameters
    ----------
    epochs : Epochs
    is_used : (n,) bool, optional
        Epochs that were worn.

    Raises
    ------
    ConfigError
        If the epochs do not divide a day.
    """
    per_day = DAY_S / epochs.epoch_s
    if abs(per_day - round(per_day)) > 1e-9:
        raise ConfigError(f"Epochs of {epochs.epoch_s:g} s do not divide a day; make them of whole minutes")
    slot = (local_wall_ns(epochs.start_ns, epochs.zone) % (DAY_S * NS_PER_S)) // epochs.epoch_ns
    x = epochs.values if is_used is None else np.where(is_used, epochs.values, np.nan)
    return ClockedValues(np.ascontiguousarray(x), slot, epochs.epoch_s)


def mean_day(values: ClockedValues) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the mean of each epoch of the day over days, (per_day,), NaN where none is, and their number."""
    total, count = np.zeros(values.per_day), np.zeros(values.per_day, np.int64)
    _add_up(values.x, values.slot, total, count)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan), count


@compiled
def _add_up(x: FloatArray, slot: NDArray[np.int64], total: FloatArray, count: NDArray[np.int64]) -> None:
    for i in range(len(x)):
        if not np.isnan(x[i]):
            total[slot[i]] += x[i]
            count[slot[i]] += 1


def binned(values: ClockedValues, bin_s: float) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return means of bins that begin at multiples of their length on the local clock, and their places.

    A change of clocks changes the place; the bins themselves follow each other in elapsed time.

    Parameters
    ----------
    values : ClockedValues
    bin_s : float
        A whole multiple of the epoch that divides a day.

    Returns
    -------
    mean : (b,) float64
        NaN where less than `MIN_BIN_FRAC` of the bin is there.
    of_day : (b,) int64
    """
    size = round(bin_s / values.epoch_s)
    if size < 1 or abs(size * values.epoch_s - bin_s) > 1e-9 or values.per_day % size:
        raise ConfigError(
            f"Bins of {bin_s:g} s of epochs of {values.epoch_s:g} s; needed are multiples that divide a day"
        )
    lead = int(values.slot[0]) % size
    count = -(-(lead + len(values.x)) // size)
    mean, of_day = np.empty(count), np.empty(count, np.int64)
    _bin_kernel(values.x, values.slot, lead, size, mean, of_day)
    return mean, of_day


@compiled
def _bin_kernel(
    x: FloatArray, slot: NDArray[np.int64], lead: int, size: int, mean: FloatArray, of_day: NDArray[np.int64]
) -> None:
    for k in range(len(mean)):
        first, end = max(k * size - lead, 0), min((k + 1) * size - lead, len(x))
        total, held = 0.0, 0
        for i in range(first, end):
            if not np.isnan(x[i]):
                total += x[i]
                held += 1
        mean[k] = total / held if held >= MIN_BIN_FRAC * size else np.nan
        of_day[k] = slot[first] // size
