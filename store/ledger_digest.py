"""A 64-bit hash of every sample, made so that those of a set of samples add up to the hash of the set.

The sum modulo 2^64 does not depend on the order in which samples were written or read, and a part can be
added or taken away: what a spool acknowledged and what a store holds are compared by one number each.

It finds loss, damage and careless edits: a change goes unseen with a chance of 2^-64. It is no signature:
who may write both the store and the ledger can make them agree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.streams import DType, Stream
from store.units import NS_PER_S

NS_PER_HOUR = 3600 * NS_PER_S
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Total:
    """How many samples, and the sum of their digests modulo 2^64."""

    count: int = 0
    digest: int = 0

    def __add__(self, other: "Total") -> "Total":
        return Total(self.count + other.count, (self.digest + other.digest) % 2**64)

    def __sub__(self, other: "Total") -> "Total":
        return Total(self.count - other.count, (self.digest - other.digest) % 2**64)


@dataclass(frozen=True, slots=True)
class HourCounters:
    """What one spool counted of one stream, sensor and UTC hour, cumulative since the spool was made.

    Attributes
    ----------
    subject_id, stream, sensor_id : str
    hour : int
        Whole hours since 1970, UTC, of the samples' times.
    spooled : int
        Samples known when their records were spooled.
    acknowledged : int
        Samples that settled records became; written twice, counted twice.
    rewritten : int
        Those of `acknowledged` that were not later than a sample of this stream and sensor acknowledged
        before, such as a log downloaded again: they may have replaced samples. 0 says that all differ.
    digest : int
        Sum of `sample_digest` of `acknowledged`, modulo 2^64.
    """

    subject_id: str
    stream: str
    sensor_id: str
    hour: int
    spooled: int
    acknowledged: int
    rewritten: int
    digest: int


def sample_digest(
    stream: Stream, t_ns: NDArray[np.int64], values: Mapping[str, NDArray[Any]]
) -> NDArray[np.uint64]:
    """Return a hash of the time and all values of each sample.

    The same sample has the same hash in every store: there is one NaN, and -0.0 is 0.0. A value that a
    column holds where a sample was written before the column existed (NaN, 0, empty) adds nothing, so that
    a stream can gain a column.

    Parameters
    ----------
    stream : Stream
    t_ns : (n,) int64
        Nanoseconds UTC.
    values : mapping of column name to (n,) array
        Every column of the stream.

    Returns
    -------
    (n,) uint64
    """
    mixed = _mixed(np.asarray(t_ns, np.int64).view(np.uint64) ^ _seed(stream.name))
    for column in stream.columns:
        bits, is_there = _bits(np.asarray(values[column.name]), column.dtype)
        if is_there.any():
            mixed += np.where(is_there, _mixed(bits ^ _seed(column.name)), np.uint64(0))
    return _mixed(mixed)


def total_of(digests: NDArray[np.uint64]) -> Total:
    """Return count and sum of some samples' digests."""
    return Total(len(digests), int(digests.sum(dtype=np.uint64)))


def hourly_totals(t_ns: NDArray[np.int64], digests: NDArray[np.uint64]) -> dict[int, Total]:
    """Return count and sum of digests in each UTC hour, by hours since 1970.

    Parameters
    ----------
    t_ns : (n,) int64
        In any order.
    digests : (n,) uint64
    """
    if not len(t_ns):
        return {}
    hours = t_ns // NS_PER_HOUR
    if (hours[1:] < hours[:-1]).any():
        order = np.argsort(hours, kind="stable")
        hours, digests = hours[order], digests[order]
    if hours[0] == hours[-1]:  # as of nearly all that a live sensor sends
        return {int(hours[0]): total_of(digests)}
    starts = np.flatnonzero(np.r_[True, hours[1:] != hours[:-1]])
    counts = np.diff(np.r_[starts, len(hours)])
    sums = np.add.reduceat(digests, starts)
    return {
        int(hour): Total(int(count), int(digest))
        for hour, count, digest in zip(hours[starts], counts, sums, strict=True)
    }


def _bits(array: NDArray[Any], dtype: DType) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Return 64 bits for each value, and whether there is a value."""
    if dtype == "float64":
        numbers = np.asarray(array, np.float64) + 0.0  # -0.0 becomes 0.0: SQLite does not tell them apart
        return numbers.view(np.uint64), ~np.isnan(numbers)
    if dtype == "int64":
        whole = np.asarray(array, np.int64)
        return whole.view(np.uint64), whole != 0
    known: dict[str | bytes, int] = {}
    bits = np.fromiter((_hash_once(value, known) for value in array), np.uint64, len(array))
    return bits, np.fromiter((len(value) > 0 for value in array), np.bool_, len(array))


def _hash_once(value: str | bytes, known: dict[str | bytes, int]) -> int:
    if value not in known:
        known[value] = _hash(value.encode() if isinstance(value, str) else value)
    return known[value]


def _hash(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "little")


@cache
def _seed(name: str) -> np.uint64:
    return np.uint64(_hash(name.encode()))


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return each number mixed as in SplitMix64 (doi:10.1145/2660193.2660195)."""
    mixed = bits + _STEP
    mixed ^= mixed >> np.uint64(30)
    mixed *= _FIRST
    mixed ^= mixed >> np.uint64(27)
    mixed *= _SECOND
    mixed ^= mixed >> np.uint64(31)
    return mixed
