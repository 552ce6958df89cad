"""A person followed day by day; a batch is the same, many days in one call."""

from dataclasses import dataclass

import numpy as np

from models.advance import Track, Weights, advance, advance_all, empty_track, first_days
from models.channels import FloatArray, to_scale
from models.course import empty_filter
from models.daily import Days
from models.kernel import IntArray

_FIRST_CAPACITY = 128


@dataclass(frozen=True, slots=True)
class DayScore:
    """What one day says: the score (logit), and whether the day could be judged at all."""

    score: float
    is_monitored: bool


class Monitor:
    """The causal state of one person: `update` takes one day, and never looks further.

    Parameters
    ----------
    weights : Weights
        Of a fitted model.
    """

    def __init__(self, weights: Weights, capacity: int = _FIRST_CAPACITY) -> None:
        self._weights = weights
        self._track = empty_track(capacity)
        self._known = empty_filter()
        self._n = 0
        self._source = -1

    def update(self, values: FloatArray, source: int = -1) -> DayScore:
        """Take the next day, (channels,) in their units, NaN where missing; return its score."""
        if self._n == len(self._track.scaled):
            self._grow()
        t = self._n
        self._track.scaled[t] = to_scale(values)
        is_changed = source >= 0 and self._source >= 0 and source != self._source
        self._track.segment[t] = t if is_changed else (self._track.segment[t - 1] if t else 0)
        self._source = source if source >= 0 else self._source
        advance(self._track, self._known, t, self._weights)
        self._n += 1
        return DayScore(float(self._track.score[t]), bool(self._track.is_monitored[t]))

    @property
    def track(self) -> Track:
        """All days so far."""
        return first_days(self._track, self._n)

    def _grow(self) -> None:
        grown = empty_track(2 * len(self._track.scaled))
        for new, old in zip(grown, self._track, strict=True):
            new[: len(old)] = old
        self._track = grown


def followed(days: Days, weights: Weights) -> Track:
    """Return all days of a person, as `Monitor.update` would give them one by one."""
    track = empty_track(max(len(days), 1))
    track.scaled[: len(days)] = to_scale(days.values)
    track.segment[: len(days)] = segments(days.source)
    advance_all(track, empty_filter(), len(days), weights)
    return track


def segments(source: IntArray) -> IntArray:
    """Return for each day the first day of the sensor that was worn on it; days without one belong to it."""
    first = np.zeros(len(source), np.int64)
    last = -1
    for t, now in enumerate(source.tolist()):
        is_changed = now >= 0 and last >= 0 and now != last
        first[t] = t if is_changed else (first[t - 1] if t else 0)
        last = now if now >= 0 else last
    return first
