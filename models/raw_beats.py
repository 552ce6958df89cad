"""Beats of another heart rate and RMSSD, made of a person's own; part of the frozen `models.raw_injector`.

Time is kept. A run of beats without a hole is cut into stretches of some minutes, and each stretch, from its
first beat to its last, is filled with as many beats as the new rate has: its own intervals, shorter or
longer, and, where there have to be more, the last of them once more in reverse. Nothing is put where nothing
was worn, and the chain of beats is not broken. RMSSD is set apart from the rate: what an interval differs
from the mean of its neighbours is multiplied by the factor, solved for in closed form, that gives the RMSSD
asked for.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.nn import is_normal, shares_beat
from models.channels import FloatArray
from store.units import NS_PER_MS

Times = NDArray[np.int64]
Rows = NDArray[np.intp]

STRETCH_BEATS = 256
_NEIGHBOURS = 5
"""On either side: eleven beats are about two breaths, whose variation is beat to beat."""
_LARGEST_FACTOR = 4.0
_MISFIT = 0.02
"""A stretch too short to hold a whole number of beats of the new rate to this share is not filled."""
_POSSIBLE_MS = (300.0, 2000.0)
"""A normal beat that lies within stays within."""


@dataclass(frozen=True)
class Beats:
    """Intervals of one sensor.

    Attributes
    ----------
    t_ns : (n,) int64
        Ends, strictly increasing.
    rr_ms : (n,) float64
    row : (n,) int
        Interval of the input that each was made of.
    """

    t_ns: Times
    rr_ms: FloatArray
    row: Rows


def changed_beats(t_ns: Times, rr_ms: FloatArray, heart: float, vagal: float) -> Beats:
    """Return the beats of a heart that is faster by a share `heart`, with an RMSSD larger by a share `vagal`.

    Parameters
    ----------
    t_ns : (n,) int64
        Ends of intervals of one sensor, strictly increasing.
    rr_ms : (n,) float64
    heart, vagal : float
        0 is no change: both 0 give the input back, to the last bit.
    """
    every = np.arange(len(t_ns))
    if (heart == 0 and vagal == 0) or not len(t_ns):
        return Beats(t_ns, rr_ms, every)
    normal = is_normal(rr_ms)
    shares = shares_beat(t_ns, rr_ms)
    slow = _slow(rr_ms, normal, np.cumsum(~shares, dtype=np.int64))
    # A beat that shares none ends nothing that is known: its run begins where its interval does.
    begins = np.where(shares, np.concatenate([t_ns[:1], t_ns[:-1]]), t_ns - np.rint(rr_ms * NS_PER_MS))
    made: list[tuple[Times, FloatArray, Rows]] = []
    for first, end in _stretches(shares):
        part = slice(first, end)
        count = round(end * (1 + heart)) - round(first * (1 + heart))
        span_ns = int(begins[first]), int(t_ns[end - 1])
        pairs = normal[part] & np.concatenate([[False], (normal[:-1] & shares[1:])[first : end - 1]])
        intervals = _Intervals(rr_ms[part], np.where(normal[part], rr_ms[part] - slow[part], 0.0), pairs)
        ends_ns, changed_ms, at = _filled(intervals, span_ns, count, 1 + heart, 1 + vagal)
        made.append((ends_ns, changed_ms, first + at))
    return Beats(*(np.concatenate(arrays) for arrays in zip(*made, strict=True)))


def _stretches(shares: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return half-open stretches of intervals that follow each other, of `STRETCH_BEATS` to twice as many."""
    edges = [*np.flatnonzero(~shares).tolist(), len(shares)]
    edges = edges if edges[0] == 0 else [0, *edges]
    found: list[tuple[int, int]] = []
    for low, high in pairwise(edges):
        number = max((high - low) // STRETCH_BEATS, 1)
        cuts = np.linspace(low, high, number + 1).round().astype(int).tolist()
        found += list(pairwise(cuts))
    return found


def _slow(rr_ms: FloatArray, normal: NDArray[np.bool_], run: NDArray[np.int64]) -> FloatArray:
    """Return the mean of the normal intervals around each, within its run."""
    n = len(rr_ms)
    total = np.concatenate([[0.0], np.cumsum(np.where(normal, rr_ms, 0.0))])
    number = np.concatenate([[0], np.cumsum(normal)])
    at = np.arange(n)
    reach = np.minimum(at - np.searchsorted(run, run), np.searchsorted(run, run, side="right") - 1 - at)
    reach = np.minimum(reach, _NEIGHBOURS)  # as many on either side, so that a trend is no difference
    low, high = at - reach, at + reach + 1
    return (total[high] - total[low]) / np.maximum(number[high] - number[low], 1)


@dataclass(frozen=True)
class _Intervals:
    """Intervals of a stretch, what of each is beat to beat, and which form a pair with the one before."""

    rr_ms: FloatArray
    fast_ms: FloatArray
    pairs: NDArray[np.bool_]


def _filled(
    held: _Intervals, span_ns: tuple[int, int], count: int, rate: float, rmssd: float
) -> tuple[Times, FloatArray, Rows]:
    """Return ends, intervals and their origin of a stretch at another rate and RMSSD."""
    n, start_ns = len(held.rr_ms), span_ns[0]
    span_ms = (span_ns[1] - start_ns) / NS_PER_MS
    at = _to_and_fro(n, max(count, 1))
    shrinks = span_ms / float(held.rr_ms[at].sum())
    is_fit = abs(shrinks * rate - 1) <= _MISFIT
    if not is_fit:
        at, shrinks = np.arange(n), 1 / rate
    changed = held.rr_ms + (_factor(held, rmssd / shrinks) - 1) * held.fast_ms
    low, high = (np.array(bound) / shrinks for bound in _POSSIBLE_MS)
    changed = np.clip(changed, np.minimum(held.rr_ms, low), np.maximum(held.rr_ms, high))[at]
    changed *= span_ms / changed.sum() if is_fit else shrinks
    ends_ns = start_ns + np.rint(np.cumsum(changed) * NS_PER_MS).astype(np.int64)
    if is_fit:
        ends_ns[-1] = span_ns[1]
    kept = ends_ns <= span_ns[1]
    return ends_ns[kept], changed[kept], at[kept]


def _to_and_fro(n: int, count: int) -> Rows:
    """Return so many positions of n: all in order, then back from the last but one, and so on."""
    at = np.arange(count) % max(2 * n - 2, 1)
    return np.where(at < n, at, 2 * n - 2 - at)


def _factor(held: _Intervals, rmssd: float) -> float:
    """Return by which the beat-to-beat part has to be multiplied for an RMSSD of so many times its own."""
    fast = np.diff(held.fast_ms)[held.pairs[1:]]
    slow = np.diff(held.rr_ms - held.fast_ms)[held.pairs[1:]]
    a, b, c = float(fast @ fast), float(fast @ slow), float(slow @ slow)
    if a == 0:
        return 1.0
    wanted = rmssd**2 * (a + 2 * b + c)
    root = np.sqrt(max(b * b - a * (c - wanted), 0.0))
    return float(np.clip((root - b) / a, 0.0, _LARGEST_FACTOR))
