"""Stretches of samples put in the place of others: what `models.raw_injector` cuts and pastes with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.streams import PP_INTERVAL, RR_INTERVAL, SLEEP_STAGE, STEP_COUNT, Stream
from store.timeseries import Samples, merged
from store.units import NS_PER_MS, NS_PER_S

Times = NDArray[np.int64]
_BEATS = {RR_INTERVAL: "rr_ms", PP_INTERVAL: "pp_ms"}
_GRID_MS = 5.0
"""Recorded times and intervals agree to within it: a beat that begins so little early is no overlap."""


_FIRST, _LAST = np.iinfo(np.int64).min, np.iinfo(np.int64).max


@dataclass(frozen=True)
class _Part:
    t_ns: Times
    sensors: NDArray[np.object_]
    values: Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch, half-open, and by how much its samples come later than where they are taken from.

    Attributes
    ----------
    start_ns, end_ns : int
        Where it goes.
    shift_ns : int
        Added to the times of what is taken.
    """

    start_ns: int
    end_ns: int
    shift_ns: int

    @property
    def source_ns(self) -> tuple[int, int]:
        """Where it is taken from."""
        return self.start_ns - self.shift_ns, self.end_ns - self.shift_ns

    @property
    def both_ns(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Where it is taken from, and where it goes."""
        return self.source_ns, (self.start_ns, self.end_ns)


def rotation(span_ns: tuple[int, int], shift_ns: int) -> list[Piece]:
    """Return the pieces of a span that is turned round by so much; none for a whole turn."""
    start_ns, end_ns = span_ns
    shift_ns %= end_ns - start_ns
    if shift_ns == 0:
        return []
    back_ns = shift_ns - (end_ns - start_ns)
    return [Piece(start_ns, start_ns + shift_ns, back_ns), Piece(start_ns + shift_ns, end_ns, shift_ns)]


def sorted_by_time(held: Samples) -> Samples:
    """Return the samples by (time, sensor), sensors by name; the same ones where they are so already."""
    names = np.array(held.sensors, str)
    rank = np.argsort(np.argsort(names)) if len(names) else np.zeros(0, np.intp)
    is_named = bool((np.diff(rank) > 0).all())
    index = held.sensor_index if is_named else rank[held.sensor_index].astype(np.intp)
    step = np.diff(held.t_ns)
    if is_named and ((step > 0) | ((step == 0) & (np.diff(index) > 0))).all():
        return held
    order = np.lexsort((index, held.t_ns))
    values = {name: array[order] for name, array in held.values.items()}
    return Samples(held.stream, held.t_ns[order], tuple(sorted(held.sensors)), index[order], values)


def placed_within(held: Samples, span_ns: tuple[int, int]) -> NDArray[np.bool_]:
    """Say of each sample whether it lies in a half-open span: steps by the middle of their interval."""
    at_ns = _middles_ns(held) if held.stream == STEP_COUNT else held.t_ns
    return (at_ns >= span_ns[0]) & (at_ns < span_ns[1])


def _middles_ns(held: Samples) -> Times:
    return held.t_ns - np.nan_to_num(held["interval_s"] * NS_PER_S / 2).astype(np.int64)


def rows_of(held: Samples, rows: NDArray[np.bool_]) -> Samples:
    """Return some of the samples, and no sensor that has none of them."""
    names = held.stream.column_names()
    parts: list[tuple[str, list[NDArray[Any]]]] = []
    for k, sensor in enumerate(held.sensors):
        mine = rows & (held.sensor_index == k)
        if mine.any():
            parts.append((sensor, [held.t_ns[mine], *(held[name][mine] for name in names)]))
    return merged(held.stream, [sensor for sensor, _ in parts], [part for _, part in parts])


def collage(held: Samples, pieces: Sequence[Piece], original: Samples | None = None) -> Samples:
    """Return samples in which each piece is what was recorded elsewhere; all else stays to the bit.

    What does not lie wholly inside a piece where it is taken from is left out of it, and so is a beat that
    would overlap one that stays. Stretches of stages are shortened where they are cut.

    Parameters
    ----------
    held : Samples
    pieces : sequence of Piece
        That do not overlap.
    original : Samples, optional
        What they are taken from; `held` if not given.
    """
    if not pieces or not len(held):
        return held
    source = held if original is None else original
    edges = sorted((piece.start_ns, piece.end_ns) for piece in pieces)
    begins, ends = zip(*edges, strict=True)
    outer = [(a, b) for a, b in zip((_FIRST, *ends), (*begins, _LAST), strict=True) if a < b]
    stay = [_cut(held, a, b, 0, is_whole=False) for a, b in outer]
    moved = [_cut(source, *piece.source_ns, piece.shift_ns, is_whole=True) for piece in pieces]
    return _joined(held, stay, moved)


def _cut(held: Samples, low: int, high: int, shift_ns: int, *, is_whole: bool) -> _Part:
    """Return what lies between two times, that much later."""
    values, t_ns = dict(held.values), held.t_ns
    rows = placed_within(held, (low, high))
    if held.stream == SLEEP_STAGE:
        over_ns = t_ns + np.rint(held["duration_s"] * NS_PER_S).astype(np.int64)
        is_cut = (t_ns < low) | (over_ns > high)
        t_ns, over_ns = np.maximum(t_ns, low), np.minimum(over_ns, high)
        values["duration_s"] = np.where(is_cut, (over_ns - t_ns) / NS_PER_S, held["duration_s"])
        rows = over_ns > t_ns
    elif held.stream in _BEATS and is_whole:
        rows &= _begins_ns(held.stream, t_ns, values) >= low
    sensors = np.array(held.sensors, object)[held.sensor_index[rows]]
    return _Part(t_ns[rows] + shift_ns, sensors, {name: array[rows] for name, array in values.items()})


def _begins_ns(stream: Stream, t_ns: Times, values: Mapping[str, NDArray[Any]]) -> Times:
    return t_ns - np.rint((values[_BEATS[stream]] - _GRID_MS) * NS_PER_MS).astype(np.int64)


def _joined(held: Samples, stay: Sequence[_Part], moved: Sequence[_Part]) -> Samples:
    """Return parts as one; of samples of a sensor at the same time the one that stays."""
    parts = [*stay, *moved]
    names = held.stream.column_names()
    t_ns = np.concatenate([part.t_ns for part in parts])
    sensors = np.concatenate([part.sensors for part in parts])
    is_moved = np.arange(len(t_ns)) >= sum(len(part.t_ns) for part in stay)
    values = {name: np.concatenate([part.values[name] for part in parts]) for name in names}
    by_sensor: list[tuple[str, list[NDArray[Any]]]] = []
    for sensor in held.sensors:
        mine = np.flatnonzero(sensors == sensor)
        mine = mine[np.unique(t_ns[mine], return_index=True)[1]]  # in order of time
        if held.stream in _BEATS:
            begins_ns = _begins_ns(held.stream, t_ns[mine], {name: values[name][mine] for name in names})
            free_ns = np.minimum.accumulate(np.where(is_moved[mine], _LAST, begins_ns)[::-1])[::-1]
            mine = mine[~is_moved[mine] | (t_ns[mine] <= free_ns)]
        if len(mine):
            by_sensor.append((sensor, [t_ns[mine], *(values[name][mine] for name in names)]))
    return merged(held.stream, [sensor for sensor, _ in by_sensor], [part for _, part in by_sensor])
