"""Samples while they are collected: rows of each stream and sensor, and the record each of them came from."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.readings.reading import Values
from store.streams import Column, Stream
from store.timeseries import Batch

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
    """Samples of one stream and sensor.

    Attributes
    ----------
    batch : Batch
    record_ids : (n,) int64
        The record of each sample.
    """

    batch: Batch
    record_ids: NDArray[np.int64]


@dataclass(slots=True)
class _Series:
    stream: Stream
    t_ns: list[int] = field(default_factory=list[int])
    values: list[Values] = field(default_factory=list[Values])
    record_ids: list[int] = field(default_factory=list[int])


class Rows:
    """Samples by sensor and stream."""

    def __init__(self) -> None:
        self._series: dict[tuple[SensorKey, str], _Series] = {}

    def add(self, key: SensorKey, samples: Sequence[Sample]) -> None:
        """Append samples of a sensor."""
        for stream, t_ns, values, record_id in samples:
            series = self._series.get((key, stream.name))
            if series is None:
                series = self._series[key, stream.name] = _Series(stream)
            series.t_ns.append(t_ns)
            series.values.append(values)
            series.record_ids.append(record_id)

    def batches(self) -> list[SourcedBatch]:
        """Return all samples as columns."""
        return [_batch(key, series) for (key, _), series in self._series.items()]


def _batch(key: SensorKey, series: _Series) -> SourcedBatch:
    columns = zip(series.stream.columns, zip(*series.values, strict=True), strict=True)
    batch = Batch(
        series.stream,
        *key,
        np.array(series.t_ns, np.int64),
        {column.name: _array(column, values) for column, values in columns},
    )
    return SourcedBatch(batch, np.array(series.record_ids, np.int64))


def _array(column: Column, values: Sequence[Any]) -> NDArray[Any]:
    if column.dtype in ("float64", "int64"):
        return np.array(values, column.dtype)
    # Numpy's own strings would drop the zeros at the end of a frame.
    array = np.empty(len(values), object)
    array[:] = values
    return array
