"""Samples while they are collected: rows of each stream, of all sensors, and the record each came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.readings.reading import Values
from store.streams import Column, Stream
from store.timeseries import MixedBatch, part_of

SensorKey = tuple[str, str]
"""Subject and sensor id."""


class Sample(NamedTuple):
    """One sample of a sensor, and the id of the record that it came from, or that completed it."""

    stream: Stream
    t_ns: int
    values: Values
    record_id: int


@dataclass(frozen=True)
class SourcedBatch:
    """Samples of one stream, of all sensors that sent some.

    Attributes
    ----------
    batch : MixedBatch
    record_ids : (n,) int64
        The record of each sample.
    """

    batch: MixedBatch
    record_ids: NDArray[np.int64]

    def part(self, rows: NDArray[np.bool_]) -> "SourcedBatch":
        """Return some of the samples."""
        return SourcedBatch(part_of(self.batch, rows), self.record_ids[rows])


@dataclass(slots=True)
class _OfStream:
    """A stream's samples: their columns as they grow, and a number for each sensor among them."""

    stream: Stream
    numbers: dict[SensorKey, int] = field(default_factory=dict[SensorKey, int])
    index: list[int] = field(default_factory=list[int])
    t_ns: list[int] = field(default_factory=list[int])
    values: list[Values] = field(default_factory=list[Values])
    record_ids: list[int] = field(default_factory=list[int])


class Rows:
    """Samples by stream, in the order in which they were added."""

    def __init__(self) -> None:
        self._streams: dict[str, _OfStream] = {}

    def add(self, key: SensorKey, samples: Sequence[Sample]) -> None:
        """Append samples of a sensor."""
        for stream, t_ns, values, record_id in samples:
            rows = self._streams.get(stream.name)
            if rows is None:
                rows = self._streams[stream.name] = _OfStream(stream)
            rows.index.append(rows.numbers.setdefault(key, len(rows.numbers)))
            rows.t_ns.append(t_ns)
            rows.values.append(values)
            rows.record_ids.append(record_id)

    def batches(self) -> list[SourcedBatch]:
        """Return all samples as columns."""
        return [_batch(rows) for rows in self._streams.values()]


def _batch(rows: _OfStream) -> SourcedBatch:
    columns = zip(rows.stream.columns, zip(*rows.values, strict=True), strict=True)
    batch = MixedBatch(
        rows.stream,
        tuple(rows.numbers),
        np.array(rows.index, np.int64),
        np.array(rows.t_ns, np.int64),
        {column.name: _array(column, values) for column, values in columns},
    )
    return SourcedBatch(batch, np.array(rows.record_ids, np.int64))


def _array(column: Column, values: Sequence[Any]) -> NDArray[Any]:
    if column.dtype in ("float64", "int64"):
        return np.array(values, column.dtype)
    # Numpy's own strings would drop the zeros at the end of a frame.
    array = np.empty(len(values), object)
    array[:] = values
    return array
