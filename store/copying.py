"""Copy samples from one store to another, and say exactly where two stores differ.

A span is read from both stores, compared sample by sample, and only what is missing is written; then it is
read again. So a copy that was interrupted anywhere is taken up by running it again, nothing has to be
remembered, and a copy of what is already there is its own verification.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.ledger_digest import NS_PER_HOUR, sample_digest
from store.times import iso_time
from store.timeseries import Batch, Samples, Series, TimeSeriesStore

SAMPLES_AT_ONCE = 100_000
"""A day of RR intervals: a few megabytes, whatever the length of the series."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two stores hold something else.

    Attributes
    ----------
    stream, subject_id, sensor_id : str
    hour : int
        Whole hours since 1970, UTC.
    missing : int
        Samples of the source that the target lacks, or has with other values.
    surplus : int
        Samples of the target that the source lacks, or has with other values.
    """

    stream: str
    subject_id: str
    sensor_id: str
    hour: int
    missing: int
    surplus: int

    def __str__(self) -> str:
        at = iso_time(self.hour * NS_PER_HOUR)
        return (
            f"{self.stream} of {self.subject_id}, sensor {self.sensor_id}, hour from {at}: "
            f"{self.missing:,} missing or other, {self.surplus:,} surplus"
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a copy or a comparison went.

    Attributes
    ----------
    series, samples : int
        Of the source.
    written : int
        Samples that the target did not have yet.
    differences : tuple of Difference
        By hour; what differs now, after the copy.
    refusals : tuple of str
        Why the target refused samples, where it did.
    """

    series: int
    samples: int
    written: int
    differences: tuple[Difference, ...]
    refusals: tuple[str, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether the target holds all that the source holds."""
        return not any(difference.missing for difference in self.differences)

    @property
    def is_equal(self) -> bool:
        """Whether both hold the same."""
        return not self.differences


def copy_samples(
    source: TimeSeriesStore,
    target: TimeSeriesStore,
    *,
    subject_id: str | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Comparison:
    """Write to `target` whatever it lacks of `source`; where both have a sample, the source's values win.

    Parameters
    ----------
    subject_id : str, optional
        Only this subject's samples.
    progress : callable(samples_done, samples_total)
    """
    refusals: list[str] = []
    tally = _Tally(progress)
    held = held_series(source, subject_id)
    tally.expect(sum(count_of(source, series) for series in held))
    for series in held:
        for span in spans((source, target), series):
            found, there = read_span(source, series, span), read_span(target, series, span)
            lacking = _absent(digests_of(found), digests_of(there))
            if lacking.any():
                try:
                    target.write([_batch(series, found, lacking)])
                except DataError as error:
                    refusals.append(str(error))
                there = read_span(target, series, span)
            tally.add(series, found, there, written=int(lacking.sum()))
    return tally.comparison(len(held), refusals)


def compare_samples(
    source: TimeSeriesStore,
    target: TimeSeriesStore,
    *,
    subject_id: str | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Comparison:
    """Say where `target` differs from `source`; writes nothing."""
    tally = _Tally(progress)
    held = held_series(source, subject_id)
    known = {_key(series) for series in held}
    surplus = [series for series in held_series(target, subject_id) if _key(series) not in known]
    tally.expect(sum(count_of(source, series) for series in held))
    for series in [*held, *surplus]:
        for span in spans((source, target), series):
            tally.add(series, read_span(source, series, span), read_span(target, series, span))
    return tally.comparison(len(held))


def held_series(store: TimeSeriesStore, subject_id: str | None = None) -> list[Series]:
    """Return the series of a store, or only those of one subject."""
    return [series for series in store.series() if subject_id in (None, series.subject_id)]


def spans(stores: Sequence[TimeSeriesStore], series: Series) -> Iterator[tuple[int, int]]:
    """Yield half-open spans of whole UTC hours that hold all samples of a series in every store.

    Ascending; each holds some samples, and at most `SAMPLES_AT_ONCE` in each store if it is longer than an
    hour.
    """
    extents = [store.extent(series.stream, series.subject_id) for store in stores]
    known = [extent for extent in extents if extent is not None]
    if not known:
        return
    open_spans = [
        (
            min(first for first, _ in known) // NS_PER_HOUR,
            max(last for _, last in known) // NS_PER_HOUR + 1,
        )
    ]
    while open_spans:
        start, end = open_spans.pop()
        largest = max(
            store.count(
                series.stream,
                series.subject_id,
                start * NS_PER_HOUR,
                end * NS_PER_HOUR,
                sensor_id=series.sensor_id,
            )
            for store in stores
        )
        if largest > SAMPLES_AT_ONCE and end - start > 1:
            middle = (start + end) // 2
            open_spans += [(middle, end), (start, middle)]
        elif largest:
            yield start * NS_PER_HOUR, end * NS_PER_HOUR


def read_span(store: TimeSeriesStore, series: Series, span: tuple[int, int]) -> Samples:
    """Return the samples of one series in a half-open span, nanoseconds UTC."""
    return store.read(series.stream, series.subject_id, *span, sensor_id=series.sensor_id)


def digests_of(samples: Samples) -> NDArray[np.uint64]:
    """Return the hash of each sample, ascending in time."""
    return sample_digest(samples.stream, samples.t_ns, samples.values)


def count_of(store: TimeSeriesStore, series: Series) -> int:
    """Return how many samples a series has."""
    return store.count(series.stream, series.subject_id, sensor_id=series.sensor_id)


class _Tally:
    """What was seen so far."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._total = self._done = self._written = 0
        self._differences: list[Difference] = []

    def expect(self, total: int) -> None:
        self._total = total

    def add(self, series: Series, found: Samples, there: Samples, *, written: int = 0) -> None:
        differences = _differences(series, found, there)
        self._differences += differences
        self._done += len(found)
        self._written += max(written - sum(difference.missing for difference in differences), 0)
        self._progress(self._done, max(self._done, self._total))

    def comparison(self, series: int, refusals: Sequence[str] = ()) -> Comparison:
        return Comparison(series, self._done, self._written, tuple(self._differences), tuple(refusals))


def _differences(series: Series, found: Samples, there: Samples) -> list[Difference]:
    ours, theirs = digests_of(found), digests_of(there)
    missing = found.t_ns[_absent(ours, theirs)] // NS_PER_HOUR
    surplus = there.t_ns[_absent(theirs, ours)] // NS_PER_HOUR
    return [
        Difference(
            series.stream.name,
            series.subject_id,
            series.sensor_id,
            int(hour),
            int((missing == hour).sum()),
            int((surplus == hour).sum()),
        )
        for hour in np.union1d(missing, surplus)
    ]


def _absent(ours: NDArray[np.uint64], theirs: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of `ours` are not among `theirs`."""
    if np.array_equal(ours, theirs):  # as nearly always; a search sorts both
        return np.zeros(len(ours), np.bool_)
    return ~np.isin(ours, theirs)


def _batch(series: Series, samples: Samples, kept: NDArray[np.bool_]) -> Batch:
    values = {name: array[kept] for name, array in samples.values.items()}
    return Batch(series.stream, series.subject_id, series.sensor_id, samples.t_ns[kept], values)


def _key(series: Series) -> tuple[str, str, str]:
    return series.stream.name, series.subject_id, series.sensor_id
