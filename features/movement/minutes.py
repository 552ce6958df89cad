"""Minutes: what samples of movement become before anything is scored, whatever their epochs were."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.sleep.angle import LONGEST_EPOCH_S
from store.timeseries import Samples
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]
Times = NDArray[np.int64]

MINUTE_NS = 60 * NS_PER_S
LONGEST_S = 60.0
"""Longer epochs cannot be told apart into minutes; nothing is spread over them."""
_LEAST_S = 30.0
"""A mean stands for a minute of which half is there; a sum needs all of it."""


@dataclass(frozen=True)
class Minutes:
    """Movement of one sensor, minute by minute; NaN where it was not recorded.

    Attributes
    ----------
    start_ns : int
        Start of the first, a whole minute of UTC.
    enmo_mg, counts, steps, sd_mg : (n,) float64
    angle_low_deg, angle_high_deg : (n,) float64
        Least and largest angle of each minute.
    """

    start_ns: int
    enmo_mg: FloatArray
    counts: FloatArray
    steps: FloatArray
    sd_mg: FloatArray
    angle_low_deg: FloatArray
    angle_high_deg: FloatArray

    def __len__(self) -> int:
        return len(self.enmo_mg)

    @property
    def starts_ns(self) -> Times:
        """Start of each, (n,)."""
        return self.start_ns + np.arange(len(self), dtype=np.int64) * MINUTE_NS

    @property
    def is_recorded(self) -> NDArray[np.bool_]:
        """Where there is movement of any kind, (n,)."""
        return np.isfinite(self.enmo_mg) | np.isfinite(self.counts) | np.isfinite(self.steps)


@dataclass(frozen=True)
class Angle:
    """Angle of the arm on an even grid of short epochs, NaN where there is none.

    Attributes
    ----------
    start_ns : int
    epoch_s : float
    deg : (n,) float64
    """

    start_ns: int
    epoch_s: float
    deg: FloatArray


def minutes_of(start_ns: int, end_ns: int, epochs: Samples, steps: Samples) -> Minutes:
    """Return the minutes that begin in a span.

    Parameters
    ----------
    start_ns, end_ns : int
        Nanoseconds UTC; cut to whole minutes.
    epochs, steps : Samples
        Of ACTIVITY_EPOCH and STEP_COUNT, each of at most one sensor.
    """
    first = start_ns // MINUTE_NS
    count = end_ns // MINUTE_NS - first
    length_s = epochs["epoch_s"]
    at = epochs.t_ns // MINUTE_NS - first
    used = (at >= 0) & (at < count) & (length_s <= LONGEST_S)
    at, length_s = at[used], length_s[used]

    def mean(name: str) -> FloatArray:
        held = epochs[name][used]
        known = np.isfinite(held)
        seconds = np.bincount(at[known], length_s[known], count)
        total = np.bincount(at[known], (held * length_s)[known], count)
        return np.where(seconds >= _LEAST_S, total / np.maximum(seconds, 1e-9), np.nan)

    def most(name: str, sign: float) -> FloatArray:
        found = np.full(count, -np.inf)
        held = sign * epochs[name][used]
        known = np.isfinite(held)
        np.maximum.at(found, at[known], held[known])
        return np.where(np.isfinite(found), sign * found, np.nan)

    return Minutes(
        first * MINUTE_NS,
        mean("enmo_mg"),
        _summed(at, length_s, epochs["counts"][used], count),
        _steps(first, count, steps),
        mean("sd_mg"),
        most("z_angle_deg", -1.0),
        most("z_angle_deg", 1.0),
    )


def _summed(at: Times, length_s: FloatArray, held: FloatArray, count: int) -> FloatArray:
    known = np.isfinite(held)
    seconds = np.bincount(at[known], length_s[known], count)
    return np.where(seconds >= 60 - 1e-6, np.bincount(at[known], held[known], count), np.nan)


def _steps(first: int, count: int, steps: Samples) -> FloatArray:
    """Return steps of minutes: of intervals of a minute or less, each by its middle."""
    interval_s = steps["interval_s"]
    at = (steps.t_ns - np.nan_to_num(interval_s * NS_PER_S / 2).astype(np.int64)) // MINUTE_NS - first
    used = (at >= 0) & (at < count) & (interval_s <= LONGEST_S) & np.isfinite(steps["steps"])
    number = np.bincount(at[used], minlength=count)
    return np.where(number > 0, np.bincount(at[used], steps["steps"][used], count), np.nan)


def angle_of(start_ns: int, end_ns: int, epochs: Samples) -> Angle | None:
    """Return the angle in a span, from epochs of at most `LONGEST_EPOCH_S`; None where there are none.

    The shortest length that occurs is taken, longer epochs are left out.
    """
    length_s = epochs["epoch_s"]
    usable = (
        (epochs.t_ns >= start_ns)
        & (epochs.t_ns < end_ns)
        & (length_s <= LONGEST_EPOCH_S)
        & np.isfinite(epochs["z_angle_deg"])
    )
    if not usable.any():
        return None
    epoch_s = float(length_s[usable].min())
    usable &= length_s == epoch_s
    epoch_ns = round(epoch_s * NS_PER_S)
    first = start_ns // MINUTE_NS * MINUTE_NS // epoch_ns
    deg = np.full(-(-end_ns // epoch_ns) - first, np.nan)
    deg[epochs.t_ns[usable] // epoch_ns - first] = epochs["z_angle_deg"][usable]
    return Angle(first * epoch_ns, epoch_s, deg)


def largest_sensor(samples: Samples, start_ns: int, end_ns: int, weight: str) -> str:
    """Return the sensor that recorded most of a span, by a column of seconds; empty without any.

    The first by name where several recorded as much.
    """
    inside = (samples.t_ns >= start_ns) & (samples.t_ns < end_ns)
    if not inside.any():
        return ""
    held = np.bincount(
        samples.sensor_index[inside], np.nan_to_num(samples[weight][inside]), len(samples.sensors)
    )
    return min(zip(-held, samples.sensors, strict=True))[1]
