"""Writing samples to a store that may refuse one of them: the others are stored all the same."""

from collections.abc import Sequence
from dataclasses import dataclass

from ingest.settlement import Refusals
from store.errors import DataError, RejectedSamplesError
from store.timeseries import AnyBatch, TimeSeriesStore, part_of


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a write.

    Attributes
    ----------
    samples : int
        Stored.
    refusals : Refusals
        Samples that the store will never take.
    """

    samples: int
    refusals: Refusals


@dataclass(frozen=True, slots=True)
class _Part:
    """A piece of one of the batches, and where in it the piece begins."""

    number: int
    begin: int
    batch: AnyBatch


def store_all_it_takes(store: TimeSeriesStore, batches: Sequence[AnyBatch]) -> Stored:
    """Write samples; those that the store refuses for what they are do not keep back the others.

    A store that names them is believed. Else they are found by writing halves: a refused sample among n
    costs about 2 log2(n) writes.

    Raises
    ------
    StoreUnavailableError
        If the store takes nothing just now; some may be stored already.
    """
    refusals: dict[tuple[int, int], str] = {}
    samples = _store([_Part(number, 0, batch) for number, batch in enumerate(batches)], store, refusals)
    return Stored(samples, refusals)


def _store(parts: list[_Part], store: TimeSeriesStore, refusals: dict[tuple[int, int], str]) -> int:
    try:
        return store.write([part.batch for part in parts])
    except RejectedSamplesError as error:
        for position, row, reason in error.rejected:
            refusals[parts[position].number, parts[position].begin + row] = reason
        return sum(len(part.batch) for part in parts) - len(error.rejected)
    except DataError as error:
        if len(parts) == 1 and len(parts[0].batch) == 1:
            refusals[parts[0].number, parts[0].begin] = str(error)
            return 0
    return sum(_store(half, store, refusals) for half in _halves(parts))


def _halves(parts: list[_Part]) -> tuple[list[_Part], list[_Part]]:
    if len(parts) > 1:
        middle = len(parts) // 2
        return parts[:middle], parts[middle:]
    part = parts[0]
    middle = len(part.batch) // 2
    early, late = part_of(part.batch, slice(0, middle)), part_of(part.batch, slice(middle, None))
    return [_Part(part.number, part.begin, early)], [_Part(part.number, part.begin + middle, late)]
