"""Settlement: what the spool may forget, and what it then has to remember, once the store has the samples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ingest.rows import SensorKey, SourcedBatch
from ingest.samples import Folded, SensorState
from store.ledger_digest import sample_digest
from store.timeseries import MixedBatch

SeriesKey = tuple[str, str, str]
"""Subject, stream name and sensor id."""

Refusals = Mapping[tuple[int, int], str]
"""Samples that the store will never take, by position of the batch and in the batch, and why."""


@dataclass(frozen=True)
class Digested:
    """Samples of any number of series by their times and hashes, in one array each.

    Attributes
    ----------
    series : tuple of SeriesKey
    index : (n,) int64
        Position in `series` of each sample's.
    t_ns : (n,) int64
    digests : (n,) uint64
        See `store.ledger_digest.sample_digest`.
    """

    series: tuple[SeriesKey, ...] = ()
    index: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    t_ns: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    digests: NDArray[np.uint64] = field(default_factory=lambda: np.empty(0, np.uint64))

    def counts(self) -> Counter[str]:
        """Return how many samples there are of each stream."""
        counted: Counter[str] = Counter()
        of_series: list[int] = np.bincount(self.index, minlength=len(self.series)).tolist()
        for (_, stream, _), count in zip(self.series, of_series, strict=True):
            counted[stream] += count
        return +counted

    def __add__(self, later: "Digested") -> "Digested":
        """Return these samples and later ones."""
        numbers = {series: number for number, series in enumerate(self.series)}
        moved = np.array([numbers.setdefault(series, len(numbers)) for series in later.series], np.int64)
        return Digested(
            tuple(numbers),
            np.concatenate([self.index, moved[later.index]]),
            np.concatenate([self.t_ns, later.t_ns]),
            np.concatenate([self.digests, later.digests]),
        )


@dataclass(frozen=True)
class Settlement:
    """What one transaction of the spool has to do.

    Attributes
    ----------
    forwarded : list of int
        Ids of records all of whose samples are stored.
    quarantined : list of (int, str)
        Ids of records that cannot become samples, or one of whose samples the store refused, and why.
    states : mapping of SensorKey to SensorState
        After the last of these records, of each of their sensors.
    samples : Digested
        The stored samples of these records, whenever they were written.
    """

    forwarded: list[int] = field(default_factory=list[int])
    quarantined: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    states: Mapping[SensorKey, SensorState] = field(default_factory=dict[SensorKey, SensorState])
    samples: Digested = Digested()

    def __bool__(self) -> bool:
        return bool(self.forwarded or self.quarantined)

    def __len__(self) -> int:
        return len(self.forwarded) + len(self.quarantined)

    def __add__(self, later: "Settlement") -> "Settlement":
        """Return what one transaction has to do for both."""
        return Settlement(
            self.forwarded + later.forwarded,
            self.quarantined + later.quarantined,
            {**self.states, **later.states},
            self.samples + later.samples,
        )


class _Stored(NamedTuple):
    """One sample whose record is not settled yet."""

    series: SeriesKey
    t_ns: int
    digest: int


class Settler:
    """Keeps account of stored samples until the records that they came from are settled.

    A heart rate is stored seconds before its record is, whose beats need later ones. Nothing of this outlives
    the process, and nothing has to: records that are not settled are folded again, and bring it back.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, list[_Stored]] = {}
        self._refused: dict[int, str] = {}

    def settle(self, folded: Folded, refusals: Refusals) -> Settlement:
        """Return what the spool has to do now that the samples of `folded` are stored.

        Parameters
        ----------
        folded : Folded
        refusals : Refusals
            Samples of its batches that the store did not take.
        """
        samples = self._settled_samples(folded, refusals)
        refused = [(i, self._refused.pop(i)) for i in folded.settled if i in self._refused]
        gone = {record_id for record_id, _ in refused}
        return Settlement(
            [record_id for record_id in folded.settled if record_id not in gone],
            folded.quarantined + refused,
            folded.states,
            samples,
        )

    def _settled_samples(self, folded: Folded, refusals: Refusals) -> Digested:
        """Return the stored samples of settled records, and keep those of the others for later."""
        flat = _Flat(folded.batches)
        is_stored = np.ones(len(flat.record_ids), np.bool_)
        for (number, row), reason in refusals.items():
            is_stored[flat.begins[number] + row] = False
            self._refused[int(folded.batches[number].record_ids[row])] = reason
        is_settled = np.isin(flat.record_ids, np.array(folded.settled, np.int64))
        for row in np.flatnonzero(is_stored & ~is_settled).tolist():
            stored = _Stored(flat.series[flat.index[row]], int(flat.t_ns[row]), int(flat.digests[row]))
            self._waiting.setdefault(int(flat.record_ids[row]), []).append(stored)
        waited = [
            stored for record_id in folded.settled for stored in self._waiting.pop(record_id, ())
        ]  # fmt: skip
        return flat.taken(is_stored & is_settled, waited)


class _Flat:
    """The samples of all streams in one array each: what numpy is quick with."""

    def __init__(self, batches: Sequence[SourcedBatch]) -> None:
        lengths = [len(sourced.batch) for sourced in batches]
        self.begins = np.cumsum([0, *lengths]).tolist()
        self.series: list[SeriesKey] = []
        index: list[NDArray[np.int64]] = []
        for batch in (sourced.batch for sourced in batches):
            index.append(batch.index + len(self.series))
            self.series += [(subject, batch.stream.name, sensor) for subject, sensor in batch.series]
        self.index = _joined(index, np.int64)
        self.record_ids = _joined([sourced.record_ids for sourced in batches], np.int64)
        self.t_ns = _joined([sourced.batch.t_ns for sourced in batches], np.int64)
        self.digests = _joined([_digests(sourced.batch) for sourced in batches], np.uint64)

    def taken(self, chosen: NDArray[np.bool_], more: Sequence[_Stored]) -> Digested:
        """Return the chosen samples and `more`."""
        numbers = {series: number for number, series in enumerate(self.series)}
        index = [numbers.setdefault(stored.series, len(numbers)) for stored in more]
        return Digested(
            tuple(numbers),
            np.concatenate([self.index[chosen], np.array(index, np.int64)]),
            np.concatenate([self.t_ns[chosen], np.array([stored.t_ns for stored in more], np.int64)]),
            np.concatenate([self.digests[chosen], np.array([stored.digest for stored in more], np.uint64)]),
        )


def _digests(batch: MixedBatch) -> NDArray[np.uint64]:
    return sample_digest(batch.stream, batch.t_ns, batch.values)


def _joined(parts: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
