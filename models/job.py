"""The flag job: everybody's nights through the shipped model, new flags into the registry."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from importlib.metadata import version

from configs.settings import FlagSettings, settings_hash
from features.calendar import through_night
from features.nights import NIGHT_STREAM, read_nights
from models.flagging import change_flag, flags_of, is_still_lost, still_raised
from models.judged import judged_hash, last_judged, note_judged
from models.nightly import sensor_names, verdict_of_nights
from models.placing import EXPIRES_DAYS, Place, placed
from models.risk import shipped_model
from models.verdict import Verdict
from store.clock import Clock
from store.errors import DataError
from store.nights import night_of
from store.registry.registry import Registry
from store.timeseries import TimeSeriesStore

_SILENT_NIGHTS = 42
"""After so many nights without any data nothing further follows from one more."""


@dataclass(frozen=True, slots=True)
class FlagRun:
    """How a run went: people judged, flags that are new, and one sentence for each person who failed.

    `past_flags` of the new ones were over before anybody could have looked.
    """

    job_id: str
    subjects: int
    new_flags: int
    past_flags: int
    failed: tuple[str, ...]


def run_flags(  # noqa: PLR0913 - options of one command
    store: TimeSeriesStore,
    registry: Registry,
    settings: FlagSettings,
    clock: Clock,
    *,
    subjects: Sequence[str] | None = None,
    is_all: bool = True,
    silent: Collection[str] = (),
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
    silent : collection of str
        People who chose that nothing is recorded: lost data of theirs are no matter of contact.
    progress : callable(subject_id, people_done, people_total)
    """
    job_id = registry.jobs.start("flags", version("evenkeel"), settings_hash(settings))
    zones = {subject.subject_id: subject.zone for subject in registry.people.subjects()}
    chosen = [subject_id for subject_id in subjects or store.subjects(NIGHT_STREAM) if subject_id in zones]
    person = _Person(store, registry, settings, silent)
    raised = _Raised(0, 0)
    judged = 0
    failed: list[str] = []
    for done, subject_id in enumerate(chosen, 1):
        last = night_of(clock.now_ns(), zones[subject_id]) - timedelta(days=1)
        try:
            found = person.judge(subject_id, last, is_all=is_all)
        except DataError as error:
            failed.append(f"{subject_id}: {error}")
        else:
            judged += found is not None
            raised += found or _Raised(0, 0)
        progress(subject_id, done, len(chosen))
    counts = {"subjects": judged, "new_flags": raised.new, "past_flags": raised.past, "failed": len(failed)}
    registry.jobs.end(job_id, counts)
    return FlagRun(job_id, judged, raised.new, raised.past, tuple(failed))


@dataclass(frozen=True, slots=True)
class _Raised:
    """Flags that are new, and how many of them are of the past."""

    new: int
    past: int

    def __add__(self, other: "_Raised") -> "_Raised":
        return _Raised(self.new + other.new, self.past + other.past)


class _Person:
    """Judges one person after another with the same model."""

    def __init__(
        self, store: TimeSeriesStore, registry: Registry, settings: FlagSettings, silent: Collection[str]
    ) -> None:
        self._store, self._registry, self._settings = store, registry, settings
        self._silent = frozenset(silent)
        self._names = sensor_names(registry.people.sensors())
        self._model = shipped_model()

    def judge(self, subject_id: str, last: date, *, is_all: bool) -> _Raised | None:
        """Judge the nights up to `last`; return what was raised, None if nothing has changed."""
        nights = read_nights(self._store, subject_id)
        if len(nights):
            nights = through_night(nights, min(last, nights.nights[-1] + timedelta(days=_SILENT_NIGHTS)))
        names = [self._names.get(k, k) for k in (*nights.heart_sensors, *nights.movement_sensors)]
        said = f"{settings_hash(self._settings)} {self._model.digest} {names} {subject_id in self._silent}"
        hashed = judged_hash(self._store, subject_id, said)
        if not is_all and hashed == last_judged(self._store, subject_id):
            return None
        verdict = verdict_of_nights(nights, self._model, self._settings.budget, self._names)
        raised = _Raised(0, 0)
        if verdict is not None:
            known = {stored.flag_id for stored in self._registry.flags.of_subject(subject_id)}
            raised = _Raised(self._keep(verdict), self._close_past(verdict, known, last))
        note_judged(self._store, subject_id, hashed)
        return raised

    def _is_wanted(self, verdict: Verdict, night: date) -> bool:
        """Say whether data lost on a night are still, and not by choice; who is back needs no call."""
        is_choice = verdict.days.subject in self._silent
        return not is_choice and not verdict.is_present[-1] and is_still_lost(verdict, night)

    def _keep(self, verdict: Verdict) -> int:
        subject_id, flags = verdict.days.subject, self._registry.flags
        zone = self._registry.people.subject(subject_id).zone
        resolved = {k: night_of(ns, zone) for k, ns in flags.resolved_ns(subject_id).items()}
        new = 0
        for found in flags_of(verdict, self._settings):
            if found.kind == "contact" and not self._is_wanted(verdict, found.night):
                continue
            place = placed(found, flags.of_subject(subject_id), resolved)
            flag = found
            if place.rests_until is not None and found.kind == "change":
                t = still_raised(verdict, found.night, place.rests_until)
                if t is None:
                    continue
                flag = change_flag(verdict, t, self._settings)
                place = placed(flag, flags.of_subject(subject_id), resolved)
            match place:
                case Place(worsens=int(flag_id)):
                    flags.worsen(flag_id, flag)
                case Place(is_new=True):
                    new += flags.put(subject_id, [flag])
                case _:
                    pass
        return new

    def _close_past(self, verdict: Verdict, known: Collection[int], last: date) -> int:
        """Resolve flags this run raised about changes that ended long before it; return how many.

        The first look at a long history finds what nobody can act on any more.
        """
        flags = self._registry.flags
        oldest = last - timedelta(days=EXPIRES_DAYS)
        past = [
            stored
            for stored in flags.of_subject(verdict.days.subject)
            if stored.flag_id not in known
            and stored.flag.kind == "change"
            and stored.newest_night < oldest
            and still_raised(verdict, stored.newest_night, oldest) is None
        ]
        for stored in past:
            flags.close_past(stored.flag_id, by=stored.flag.detector_id)
        return len(past)
