"""What a store of samples must do: the protocol that every implementation and its users share."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.streams import DType, Stream
from store.written import Written

NO_SENSOR = "-"
"""Sensor of samples that no single sensor made, such as features of a night."""

SeriesName = tuple[str, str]
"""Subject and sensor id."""

_NUMPY_DTYPES: dict[DType, Any] = {"float64": np.float64, "int64": np.int64, "utf8": object, "binary": object}


@dataclass(frozen=True)
class Batch:
    """Samples of one stream, subject and sensor, ready to be written.

    Attributes
    ----------
    stream : Stream
    subject_id, sensor_id : str
    t_ns : (n,) int64
        Nanoseconds UTC, in any order; a repeated time replaces.
    values : mapping of column name to (n,) array
        One array per column of the stream; float64 may be NaN (missing) but not infinite.
    """

    stream: Stream
    subject_id: str
    sensor_id: str
    t_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        t_ns = np.ascontiguousarray(self.t_ns, dtype=np.int64)
        object.__setattr__(self, "values", _checked(self, len(t_ns)))
        object.__setattr__(self, "t_ns", t_ns)

    def __len__(self) -> int:
        return len(self.t_ns)

    @property
    def series(self) -> tuple[SeriesName, ...]:
        """Subject and sensor id, as the only one: what a store needs to know, as of `MixedBatch`."""
        return ((self.subject_id, self.sensor_id),)

    @property
    def index(self) -> NDArray[np.int64]:
        """Position in `series` of each sample's."""
        return np.zeros(len(self.t_ns), np.int64)


@dataclass(frozen=True)
class MixedBatch:
    """Samples of one stream, of any number of subjects and sensors: what many wearables sent in a moment.

    Attributes
    ----------
    stream : Stream
    series : tuple of (str, str)
        Subject and sensor ids, each pair once.
    index : (n,) int64
        Position in `series` of each sample's.
    t_ns : (n,) int64
        Nanoseconds UTC, in any order; a repeated time of the same series replaces.
    values : mapping of column name to (n,) array
        As of `Batch`.
    """

    stream: Stream
    series: tuple[SeriesName, ...]
    index: NDArray[np.int64] = field(repr=False)
    t_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        t_ns = np.ascontiguousarray(self.t_ns, dtype=np.int64)
        if self.index.shape != t_ns.shape:
            raise DataError(
                f"{self.stream.name}: {self.index.shape} positions of series for {len(t_ns)} times"
            )
        object.__setattr__(self, "values", _checked(self, len(t_ns)))
        object.__setattr__(self, "t_ns", t_ns)

    def __len__(self) -> int:
        return len(self.t_ns)


AnyBatch = Batch | MixedBatch
_Some = TypeVar("_Some", bound=AnyBatch)


def whose(batch: AnyBatch, row: int) -> SeriesName:
    """Return subject and sensor of a sample of a batch."""
    return batch.series[int(batch.index[row])]


def part_of(batch: _Some, rows: slice | NDArray[np.bool_]) -> _Some:
    """Return some samples of a batch, and of the series those that have any."""
    some: dict[str, Any] = {"t_ns": batch.t_ns[rows]}
    some["values"] = {name: array[rows] for name, array in batch.values.items()}
    if isinstance(batch, MixedBatch):
        held, some["index"] = np.unique(batch.index[rows], return_inverse=True)
        numbers: list[int] = held.tolist()
        some["series"] = tuple(batch.series[number] for number in numbers)
    return replace(batch, **some)


def _checked(batch: AnyBatch, length: int) -> Mapping[str, NDArray[Any]]:
    if set(batch.values) != set(batch.stream.column_names()):
        raise DataError(
            f"Samples of {batch.stream.name} for {_names(batch)} have the columns "
            f"{sorted(batch.values)}; needed are {sorted(batch.stream.column_names())}"
        )
    return {c.name: _checked_column(batch, c.name, c.dtype, length) for c in batch.stream.columns}


def _checked_column(batch: AnyBatch, name: str, dtype: DType, length: int) -> NDArray[Any]:
    array = np.asarray(batch.values[name], dtype=_NUMPY_DTYPES[dtype])
    if array.shape != (length,):
        raise DataError(
            f"{name} of {batch.stream.name} for {_names(batch)}: {array.shape} for {length} times"
        )
    if dtype != "float64":
        return array
    if np.isinf(array).any():
        row = int(np.flatnonzero(np.isinf(array))[0])
        subject_id, _ = whose(batch, row)
        raise DataError(f"{name} of {batch.stream.name} for {subject_id} is infinite; needed: finite")
    return array + 0.0  # SQLite keeps no negative zero, so nobody does


def _names(batch: AnyBatch) -> str:
    return ", ".join(dict.fromkeys(subject_id for subject_id, _ in batch.series))


@dataclass(frozen=True)
class Samples:
    """What a store holds of one stream and subject in an interval, as columns.

    Attributes
    ----------
    stream : Stream
    t_ns : (n,) int64
        Nanoseconds UTC, ascending; the same time occurs once per sensor.
    sensors : tuple of str
        The sensors that occur.
    sensor_index : (n,) int
        Position in `sensors` of each sample's sensor.
    values : mapping of column name to (n,) array
    """

    stream: Stream
    t_ns: NDArray[np.int64]
    sensors: tuple[str, ...]
    sensor_index: NDArray[np.intp]
    values: Mapping[str, NDArray[Any]] = field(repr=False)

    def __len__(self) -> int:
        return len(self.t_ns)

    def __getitem__(self, column: str) -> NDArray[Any]:
        return self.values[column]

    def of_sensor(self, sensor_id: str) -> "Samples":
        """Return only the samples of one sensor."""
        wanted = self.sensors.index(sensor_id) if sensor_id in self.sensors else -1
        rows = self.sensor_index == wanted
        values = {name: array[rows] for name, array in self.values.items()}
        index = np.zeros(int(rows.sum()), np.intp)
        return Samples(self.stream, self.t_ns[rows], (sensor_id,), index, values)


def merged(stream: Stream, sensors: Sequence[str], parts: Sequence[Sequence[NDArray[Any]]]) -> Samples:
    """Return the samples of several sensors as one, sorted by (time, sensor).

    Parameters
    ----------
    sensors : sequence of str
        Sorted.
    parts : sequence of [t_ns, one array per column of the stream]
        Of each sensor, ascending and not empty.
    """
    if not parts:
        values = {column.name: np.empty(0, _NUMPY_DTYPES[column.dtype]) for column in stream.columns}
        return Samples(stream, np.empty(0, np.int64), (), np.empty(0, np.intp), values)
    index = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    arrays = list(parts[0])
    if len(parts) > 1:
        arrays = [np.concatenate(columns) for columns in zip(*parts, strict=True)]
        order = np.argsort(arrays[0], kind="stable")
        index, arrays = index[order], [array[order] for array in arrays]
    columns = dict(zip(stream.column_names(), arrays[1:], strict=True))
    return Samples(stream, arrays[0], tuple(sensors), index, columns)


def check_computed(stream: Stream) -> None:
    """Raise `ValueError` for samples as measured: nobody may delete those like something computed."""
    if stream.family == "raw":
        raise ValueError(stream.name)


@dataclass(frozen=True, slots=True)
class Series:
    """What one sensor recorded of one subject in one stream.

    Attributes
    ----------
    stream : Stream
        As the store holds it: its columns, also those that this version does not declare, and of a stream
        that it does not know, without meaning and unit.
    subject_id, sensor_id : str
    """

    stream: Stream
    subject_id: str
    sensor_id: str


class SampleSource(Protocol):
    """Where samples can be read: what a job needs of a store, and all that a lake offers.

    Intervals are half-open, `[start_ns, end_ns)`; None means unbounded. It may be used from several threads.
    """

    def read(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> Samples:
        """Return the samples, sorted by (time, sensor)."""
        ...

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        ...

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        ...

    def store_id(self) -> str:
        """Return what tells this store from any other: marks of different stores cannot be compared."""
        ...

    def written_since(self, mark: int, streams: Collection[Stream], subject_id: str | None = None) -> Written:
        """Return which hours or days of some streams, as measured, were written to after a mark.

        0 asks for all. A write is noted when it returns at the latest, and again when it is made again.
        """
        ...

    def close(self) -> None:
        """Release files and connections."""
        ...


class TimeSeriesStore(SampleSource, Protocol):
    """Samples at rest.

    A write of the same (stream, subject, sensor, time) replaces all values of the sample, with missing ones
    too, so that retry, replay and re-import are always safe. Intervals are half-open, `[start_ns, end_ns)`;
    None means unbounded. A store may be used from several threads. What was written can be read once `write`
    returned; a reader may see part of a write before. (The embedded store shows and keeps whole writes only.
    InfluxDB has no transactions, so nobody may rely on that.)
    """

    def write(self, batches: Sequence[AnyBatch]) -> int:
        """Write `batches`; durable when it returns. Return the number of samples.

        After an error any part may be stored, and writing all of it again is safe. Writing nothing only asks
        whether samples as measured could be written.

        Raises
        ------
        RejectedSamplesError
            If the store will never take some samples, which it names; all others are durable.
        StoreUnavailableError
            If it cannot take them just now.
        StoreAccessError
            If it does not let us write until somebody changes something.
        """
        ...

    def count(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> int:
        """Return how many samples `read` would return."""
        ...

    def latest(self, stream: Stream, subject_id: str) -> Mapping[str, Any] | None:
        """Return the newest sample (`t_ns`, `sensor`, values), or None if there is none."""
        ...

    def latest_of_all(self, stream: Stream) -> dict[str, Mapping[str, Any]]:
        """Return the newest sample of everyone, by subject, as `latest` does of one: in one question."""
        ...

    def series(self) -> list[Series]:
        """Return every series with at least one sample, sorted by (stream, subject, sensor)."""
        ...

    def delete(self, stream: Stream, subject_id: str, start_ns: int, end_ns: int) -> None:
        """Remove what was computed of a subject in an interval; `ValueError` for samples as measured.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
            As `write`; any part may be gone.
        """
        ...

    def erase(self, subject_id: str) -> dict[str, int]:
        """Remove every sample of a person, for good; return how many, by stream.

        After an error any part may be removed, and it can be asked for again.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
