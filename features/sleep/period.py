"""When somebody sleeps at all: bouts of consolidated sleep, from counts or from the angle of the arm."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.sleep.hypnogram import BoolArray, runs_of
from store.errors import DataError
from store.types import read_only
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

JOINED_MIN = 60.0
"""Bouts less than this apart are one period, as in GGIR: being up for a while does not end a night."""


@dataclass(frozen=True)
class Periods:
    """Half-open spans in which somebody was in bed or asleep, in order and apart.

    Attributes
    ----------
    start_ns, end_ns : (k,) int64
        Nanoseconds UTC.
    source : str
        `roenneberg`, `hdcza`, `sessions`, or a vendor.
    """

    start_ns: IntArray
    end_ns: IntArray
    source: str

    def __post_init__(self) -> None:
        start_ns = read_only(np.asarray(self.start_ns, np.int64))
        end_ns = read_only(np.asarray(self.end_ns, np.int64))
        if start_ns.shape != end_ns.shape or (end_ns <= start_ns).any() or (start_ns[1:] < end_ns[:-1]).any():
            raise DataError(
                "Sleep periods overlap or end before they begin; needed are spans one after the other"
            )
        object.__setattr__(self, "start_ns", start_ns)
        object.__setattr__(self, "end_ns", end_ns)

    def __len__(self) -> int:
        return len(self.start_ns)

    def hold(self, t_ns: IntArray) -> BoolArray:
        """Return which moments, (n,), lie in a period."""
        begun = np.searchsorted(self.start_ns, t_ns, side="right")
        ended = np.searchsorted(self.end_ns, t_ns, side="right")
        return np.asarray(begun > ended, np.bool_)


def periods_of(bouts: IntArray, start_ns: int, epoch_s: float, source: str) -> Periods:
    """Return bouts, (k, 2) epochs, as times; those less than `JOINED_MIN` apart joined."""
    kept: list[list[int]] = []
    for first, end in bouts.tolist():
        if kept and (first - kept[-1][1]) * epoch_s < JOINED_MIN * 60:
            kept[-1][1] = end
        else:
            kept.append([first, end])
    times_ns = start_ns + np.array(kept, np.int64).reshape(-1, 2) * round(epoch_s * NS_PER_S)
    return Periods(times_ns[:, 0], times_ns[:, 1], source)


def roenneberg(counts: FloatArray, epoch_s: float) -> IntArray:
    """Find sleep bouts by Roenneberg's method (MASDA), doi:10.1111/jsr.13371.

    An epoch is still where its count is at most 15 % of the mean of the 24 hours around it (at least 12 hours
    of them recorded). A bout begins where 30 minutes are still, and ends where the binary series of the next
    12 hours correlates best with unbroken sleep, before a fall of 30 minutes. What was not recorded is not
    still.

    Parameters
    ----------
    counts : (n,) float64
        NaN where nothing was recorded or worn.
    epoch_s : float

    Returns
    -------
    bouts : (k, 2) int64
        First epoch and the one after the last; in order, apart.
    """
    per_minute = 60.0 / epoch_s
    day, seed = round(1440 * per_minute), max(round(30 * per_minute), 1)
    is_still = np.empty(len(counts), np.bool_)
    _below_trend(np.asarray(counts, np.float64), day, is_still)
    seeds = runs_of(is_still)
    seeds = seeds[seeds[:, 1] - seeds[:, 0] >= seed, 0]
    bouts: list[tuple[int, int]] = []
    for first in seeds.tolist():
        if bouts and first < bouts[-1][1] - 1:
            continue
        length = _best_length(is_still[first : first + day // 2], seed + 1)
        if length:
            bouts.append((first, first + length))
    return np.array(bouts, np.int64).reshape(-1, 2)


@compiled
def _below_trend(counts: FloatArray, day: int, out: BoolArray) -> None:
    """Say where a count is at most 15 % of the mean of the day around; never with less than half of it."""
    n = len(counts)
    total = np.zeros(n + 1)
    known = np.zeros(n + 1, np.int64)
    for i in range(n):
        is_known = not np.isnan(counts[i])
        total[i + 1] = total[i] + (counts[i] if is_known else 0.0)
        known[i + 1] = known[i] + is_known
    for i in range(n):
        low, high = max(i - day // 2, 0), min(i + (day + 1) // 2, n)
        number = known[high] - known[low]
        is_enough = number >= max(day // 2, 1)
        out[i] = is_enough and counts[i] * number <= 0.15 * (total[high] - total[low])


@compiled
def _best_length(is_still: BoolArray, n_following: int) -> int:
    """Return how many epochs, from the first, correlate best with sleep; 0 if no peak is above what follows.

    The correlation of x with i + 1 ones and then zeros is, but for a factor that does not depend on i,
    (n S_i - (i + 1) S_n) / sqrt((i + 1) (n - i - 1)), S the running sum of x.
    """
    n = len(is_still)
    total = 0
    for i in range(n):
        total += is_still[i]
    if n <= n_following or total in (0, n):
        return 0
    r = np.full(n, np.inf)  # the last has no zeros: undefined, and nothing before it may pass it as a peak
    running = 0
    for i in range(n - 1):
        running += is_still[i]
        r[i] = (n * running - (i + 1) * total) / np.sqrt((i + 1.0) * (n - i - 1.0))
    best = -1
    for i in range(n - n_following):
        is_peak = best < 0 or r[i] > r[best]
        j = i + 1
        while is_peak and j <= i + n_following:
            is_peak = r[i] > r[j]
            j += 1
        if is_peak:
            best = i
    return best + 1


def hdcza(angle_deg: FloatArray, epoch_s: float, day: IntArray) -> IntArray:
    """Find the sleep period of each day by the distribution of changes of the arm's angle (HDCZA).

    The rolling median over 5 minutes of |change of angle|, below 15 times its 10th percentile of the day (at
    least 0.13, at most 0.5 degrees); runs of more than 30 minutes, those less than 60 minutes apart joined,
    the longest of a day. doi:10.1038/s41598-018-31266-z

    Parameters
    ----------
    angle_deg : (n,) float64
        Angle of the z-axis to the horizontal, medians of `epoch_s` (5 s in the paper); NaN where not worn.
    epoch_s : float
    day : (n,) int64
        Noon-to-noon day of each epoch, ascending.

    Returns
    -------
    bouts : (k, 2) int64
        At most one a day, in epochs.
    """
    smooth = calm_change_deg(angle_deg, epoch_s)
    bouts: list[tuple[int, int]] = []
    edges = np.flatnonzero(np.diff(day, prepend=day[:1] - 1, append=day[-1:] + 1))
    for first, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        found = longest_calm(smooth[first:end], epoch_s)
        if found is not None:
            bouts.append((first + found[0], first + found[1]))
    return np.array(bouts, np.int64).reshape(-1, 2)


def calm_change_deg(angle_deg: FloatArray, epoch_s: float) -> FloatArray:
    """Return the rolling median over 5 minutes of the change of angle from epoch to epoch, (n,)."""
    window = max(round(300 / epoch_s), 1)
    change = pd.Series(np.abs(np.diff(angle_deg, prepend=angle_deg[:1])))
    return change.rolling(window, center=True, min_periods=window // 2 + 1).median().to_numpy()


def longest_calm(smooth: FloatArray, epoch_s: float) -> tuple[int, int] | None:
    """Return the longest stretch of a day in which the angle hardly changed, in epochs; None without one.

    Parameters
    ----------
    smooth : (n,) float64
        `calm_change_deg` of the day.
    epoch_s : float
    """
    known = smooth[np.isfinite(smooth)]
    if not len(known):
        return None
    limit = min(max(15 * float(np.percentile(known, 10)), 0.13), 0.5)
    runs = runs_of(smooth < limit)
    runs = runs[(runs[:, 1] - runs[:, 0]) * epoch_s > 30 * 60]
    joined: list[tuple[int, int]] = []
    for first, end in runs.tolist():
        if joined and (first - joined[-1][1]) * epoch_s < JOINED_MIN * 60:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((first, end))
    return max(joined, key=lambda run: run[1] - run[0], default=None)
