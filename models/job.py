"""The flag job: everybody's nights through the rule, new flags into the registry."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from configs.settings import FlagSettings, settings_hash
from features.nights import NIGHT_STREAM, read_nights
from models.judged import judged_hash, last_judged, note_judged
from models.rule import REFRACTORY_DAYS, flags_of
from store.errors import DataError
from store.registry.flags import StoredFlag
from store.registry.registry import Registry
from store.timeseries import TimeSeriesStore
from store.types import Flag


@dataclass(frozen=True, slots=True)
class FlagRun:
    """How a run went: people judged, flags that are new, and one sentence for each person who failed."""

    job_id: str
    subjects: int
    new_flags: int
    failed: tuple[str, ...]


def run_flags(
    store: TimeSeriesStore,
    registry: Registry,
    settings: FlagSettings,
    *,
    subjects: Sequence[str] | None = None,
    is_all: bool = True,
    progress: Callable[[str, int, int], None] = lambda _subject, _done, _total: None,
) -> FlagRun:
    """Judge every night of everybody; idempotent: a flag that is there keeps its state.

    A night that arrived late or a changed setting may move a flag by some nights: it stays the flag it was.

    Parameters
    ----------
    subjects : sequence of str, optional
        Only these people; everybody by default.
    is_all : bool
        Also people of whom nothing has changed since they were judged last.
    progress : callable(subject_id, people_done, people_total)
    """
    job_id = registry.jobs.start("flags", version("evenkeel"), settings_hash(settings))
    known = {subject.subject_id for subject in registry.people.subjects()}
    chosen = [subject_id for subject_id in subjects or store.subjects(NIGHT_STREAM) if subject_id in known]
    new_flags = judged = 0
    failed: list[str] = []
    for done, subject_id in enumerate(chosen, 1):
        hashed = judged_hash(store, subject_id, settings_hash(settings))
        if not is_all and hashed == last_judged(store, subject_id):
            progress(subject_id, done, len(chosen))
            continue
        try:
            found = flags_of(read_nights(store, subject_id), settings)
            new_flags += registry.flags.put(subject_id, _unseen(found, registry.flags.of_subject(subject_id)))
            note_judged(store, subject_id, hashed)
            judged += 1
        except DataError as error:
            failed.append(f"{subject_id}: {error}")
        progress(subject_id, done, len(chosen))
    registry.jobs.end(job_id, {"subjects": judged, "new_flags": new_flags, "failed": len(failed)})
    return FlagRun(job_id, judged, new_flags, tuple(failed))


def _unseen(found: Sequence[Flag], stored: Sequence[StoredFlag]) -> list[Flag]:
    """Leave out flags of a change that was flagged already: one change is one flag."""
    nights = [one.flag.night for one in stored]
    return [
        flag for flag in found if all(abs(flag.night - night).days >= REFRACTORY_DAYS for night in nights)
    ]
