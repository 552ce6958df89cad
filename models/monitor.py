"""A person followed day by day; a batch is the same, many days in one call."""

from dataclasses import dataclass

import numpy as np

from models.advance import Track, Weights, advance, advance_all, empty_track, first_days
from models.channels import CHANNELS, FloatArray, is_recorded, to_scale
from models.course import empty_filter
from models.daily import Days
from models.kernel import IntArray
from models.sensors import led

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
        self._values = np.full((capacity, len(CHANNELS)), np.nan)
        self._source = np.full(capacity, -1, np.int64)
        self._n = 0

    def update(self, values: FloatArray, source: int = -1) -> DayScore:
        """Take the next day, (channels,) in their units, NaN where missing; return its score."""
        t = self._n
        if t == len(self._values):
            self._grow()
        self._values[t], self._source[t] = values, source
        self._n += 1
        before = self._track.segment[:t].copy()
        _fill(self._track, self._values[: self._n], self._source[: self._n])
        if (before == self._track.segment[:t]).all():
            advance(self._track, self._known, t, self._weights)
        else:
            self._begin_anew()
        return DayScore(float(self._track.score[t]), bool(self._track.is_monitored[t]))

    @property
    def track(self) -> Track:
        """All days so far."""
        return first_days(self._track, self._n)

    def _begin_anew(self) -> None:
        """Another sensor leads, and has done so for days: what they are is not what was written of them."""
        self._track, self._known = empty_track(len(self._values)), empty_filter()
        _fill(self._track, self._values[: self._n], self._source[: self._n])
        advance_all(self._track, self._known, self._n, self._weights)

    def _grow(self) -> None:
        longer = empty_track(2 * len(self._values))
        values, source = np.full_like(longer.scaled, np.nan), np.full_like(longer.segment, -1)
        held = (self._values, self._source, *self._track)
        for new, old in zip((values, source, *longer), held, strict=True):
            new[: len(old)] = old
        self._values, self._source, self._track = values, source, longer


def followed(days: Days, weights: Weights) -> Track:
    """Return all days of a person, as `Monitor.update` would give them one by one."""
    track = empty_track(max(len(days), 1))
    _fill(track, days.values, days.source)
    advance_all(track, empty_filter(), len(days), weights)
    return track


def _fill(track: Track, values: FloatArray, source: IntArray) -> None:
    """Put the first days into a track, as they are known after the last of them."""
    n, recorded = len(values), is_recorded(values)
    begin, is_other = led(source, recorded)
    track.scaled[:n] = np.where(is_other[:, None], np.nan, to_scale(values))
    track.segment[:n], track.is_other[:n], track.is_recorded[:n] = begin, is_other, recorded
