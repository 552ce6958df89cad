"""Settlement: what the spool may forget, and what it then has to remember, once the store has the samples."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ingest.rows import SensorKey, SourcedBatch
from ingest.samples import Folded, SensorState
from store.ledger_digest import sample_digest
from store.timeseries import Batch

SeriesKey = tuple[str, str, str]
"""Subject, stream name and sensor id."""

Refusals = Mapping[tuple[int, int], str]
"""Samples that the store will never take, by position of the batch and in the batch, and why."""


@dataclass(frozen=True)
class Digested:
    """Samples of one series by their times and hashes.

    Attributes
    ----------
    t_ns : (n,) int64
    digests : (n,) uint64
        See `store.ledger_digest.sample_digest`.
    """

    t_ns: NDArray[np.int64]
    digests: NDArray[np.uint64]


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
    samples : mapping of SeriesKey to Digested
        The stored samples of these records, whenever they were written.
    """

    forwarded: list[int] = field(default_factory=list[int])
    quarantined: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])
    states: Mapping[SensorKey, SensorState] = field(default_factory=dict[SensorKey, SensorState])
    samples: Mapping[SeriesKey, Digested] = field(default_factory=dict[SeriesKey, Digested])

    def __bool__(self) -> bool:
        return bool(self.forwarded or self.quarantined)


_Parts = dict[SeriesKey, list[Digested]]


class Settler:
    """Keeps account of stored samples until the records that they came from are settled.

    A heart rate is stored seconds before its record is, whose beats need later ones. Nothing of this outlives
    the process, and nothing has to: records that are not settled are folded again, and bring it back.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Parts] = {}
        self._refused: dict[int, str] = {}

    def settle(self, folded: Folded, refusals: Refusals) -> Settlement:
        """Return what the spool has to do now that the samples of `folded` are stored.

        Parameters
        ----------
        folded : Folded
        refusals : Refusals
            Samples of its batches that the store did not take.
        """
        settled = np.array(folded.settled, np.int64)
        parts: _Parts = {}
        for number, sourced in enumerate(folded.batches):
            is_stored = np.ones(len(sourced.record_ids), np.bool_)
            for batch, row in refusals:
                if batch == number:
                    is_stored[row] = False
                    self._refused[int(sourced.record_ids[row])] = refusals[batch, row]
            self._take(sourced, is_stored, settled, parts)
        for record_id in folded.settled:
            for series, waited in self._waiting.pop(record_id, {}).items():
                parts.setdefault(series, []).extend(waited)
        refused = [(i, self._refused.pop(i)) for i in folded.settled if i in self._refused]
        gone = {record_id for record_id, _ in refused}
        return Settlement(
            [record_id for record_id in folded.settled if record_id not in gone],
            folded.quarantined + refused,
            folded.states,
            {series: _joined(of_series) for series, of_series in parts.items()},
        )

    def _take(
        self, sourced: SourcedBatch, is_stored: NDArray[np.bool_], settled: NDArray[np.int64], parts: _Parts
    ) -> None:
        batch, record_ids = sourced.batch, sourced.record_ids
        digests = sample_digest(batch.stream, batch.t_ns, batch.values)
        is_settled = np.isin(record_ids, settled)
        series = _series(batch)
        now = is_stored & is_settled
        if now.any():
            parts.setdefault(series, []).append(Digested(batch.t_ns[now], digests[now]))
        for row in np.flatnonzero(is_stored & ~is_settled).tolist():
            waiting = self._waiting.setdefault(int(record_ids[row]), {})
            part = Digested(batch.t_ns[row : row + 1], digests[row : row + 1])
            waiting.setdefault(series, []).append(part)


def _series(batch: Batch) -> SeriesKey:
    return batch.subject_id, batch.stream.name, batch.sensor_id


def _joined(parts: list[Digested]) -> Digested:
    if len(parts) == 1:
        return parts[0]
    return Digested(
        np.concatenate([part.t_ns for part in parts]), np.concatenate([part.digests for part in parts])
    )
