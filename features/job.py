"""The nightly job: what wearables sent of every person and night, to windows and one row.

A night is read (`features.night_inputs`), computed (`features.one_night`, pure) and completed with what
depends on the nights before (`features.weeks`). Which nights is decided by `features.plan`, who computes
them by `features.executors`; this module writes what comes of it, in an order that a crash at any point
leaves something to be found by the next plan.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from configs.settings import FeatureSettings, settings_hash
from features.code_version import code_version
from features.night_state import JobMark, mark_batch
from features.plan import People, Planner, SubjectPlan, Wanted
from store.ledger import Ledger
from store.registry.registry import Registry
from store.timeseries import SampleSource, TimeSeriesStore

if TYPE_CHECKING:
    from features.executors import Compute, Crew
    from features.night_writer import NightWriter

Progress = Callable[[str, int, int], None]
GROUP_NIGHTS = 1_000
"""Nights whose plans are held at a time, at least those of one person."""


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """How a run went.

    Attributes
    ----------
    job_id : str
    nights, withheld : int
        Rows written, and how many of them have a value missing.
    failed : tuple of str
        One sentence for each night that could not be computed.
    unchanged : int
        Nights that were looked at, of which every sample was as before.
    removed : int
        Rows that were removed, because their samples belong to other nights now.
    changed_subjects : tuple of str
        People with a row that was written or removed.
    oldest_waiting_ns : int
        When the oldest night ended that is still to be computed; 0 if none is.
    """

    job_id: str
    nights: int = 0
    withheld: int = 0
    failed: tuple[str, ...] = ()
    unchanged: int = 0
    removed: int = 0
    changed_subjects: tuple[str, ...] = ()
    oldest_waiting_ns: int = 0


def run_features(  # noqa: PLR0913 - one call, every argument named
    store: TimeSeriesStore,
    registry: Registry,
    settings: FeatureSettings,
    *,
    now_ns: int,
    subjects: Sequence[str] | None = None,
    since: date | None = None,
    is_all: bool = False,
    progress: Progress = lambda _subject, _done, _total: None,
    ledger: Ledger | None = None,
    source: SampleSource | None = None,
    crew: "Crew | None" = None,
    beat: Callable[[], None] = lambda: None,
) -> FeatureRun:
    """Compute windows and rows of every night that changed, and of those that depend on it.

    The result is that of computing everything anew, to the last bit, in whatever order samples arrived.

    Parameters
    ----------
    now_ns : int
        Written into the rows' provenance.
    subjects : sequence of str, optional
        Only these people; everybody by default.
    since : date, optional
        Only nights from this one on.
    is_all : bool
        Every night, changed or not.
    progress : callable(subject_id, nights_done, nights_total)
    ledger : Ledger, optional
        Learns how many RR intervals of each hour were made use of.
    source : SampleSource, optional
        Where samples are read, if not from `store`.
    crew : Crew, optional
        Who computes; this process alone by default.
    beat : callable
        Called for each person who is looked at: a sign of life.
    """
    source = source or store
    hashed = settings_hash(settings)
    people = _people(registry)
    planner = Planner(source, store, people, hashed, Wanted(subjects, since, is_all=is_all))
    job_id = registry.jobs.start("features", code_version(), hashed)
    run = FeatureRun(job_id)
    todo = _counted(planner, beat)
    if todo:
        # Compiled code takes a second to load, which a run with nothing to do does not have to wait for.
        from features.executors import SerialCrew  # noqa: PLC0415
        from features.night_writer import NightWriter  # noqa: PLC0415

        # While nights are between old and new, no run may rely on those that nothing was written of.
        store.write([mark_batch(planner.basis.store_id, JobMark(planner.done.mark))])
        writer = NightWriter(store, planner.basis, (job_id, now_ns), ledger)
        with (crew or SerialCrew(source, settings)).at_work(people.models) as compute:
            run = _carry_out(_groups(planner, todo, beat), sum(todo.values()), writer, compute, progress)
    if planner.is_whole and not run.failed:
        store.write([mark_batch(planner.basis.store_id, planner.mark_after)])
    registry.jobs.end(job_id, {**_counts(run), "failed": len(run.failed)})
    return run


def sensor_models(registry: Registry) -> dict[str, str]:
    """Return maker and model of each sensor."""
    return {each.sensor_id: f"{each.manufacturer} {each.model}" for each in registry.people.sensors()}


def _people(registry: Registry) -> People:
    known = registry.people
    zones = {one.subject_id: known.zone_history(one.subject_id) for one in known.subjects()}
    return People(zones, sensor_models(registry))


def _counted(planner: Planner, beat: Callable[[], None]) -> dict[str, int]:
    """Return how many nights there are to compute of each person who has something to do."""
    todo: dict[str, int] = {}
    for subject_id in planner.subjects():
        beat()
        one = planner.plan(subject_id)
        if one.tasks or one.vanished:
            todo[subject_id] = len(one.tasks)
    return todo


def _groups(
    planner: Planner, todo: Mapping[str, int], beat: Callable[[], None]
) -> Iterator[list[SubjectPlan]]:
    """Yield plans of some people at a time: enough to keep many workers busy, and no more in memory."""
    group: list[SubjectPlan] = []
    for subject_id in todo:
        beat()
        group.append(planner.plan(subject_id))
        if sum(len(one.tasks) for one in group) >= GROUP_NIGHTS:
            yield group
            group = []
    if group:
        yield group


def _carry_out(
    groups: Iterable[list[SubjectPlan]],
    total: int,
    writer: "NightWriter",
    compute: "Compute",
    progress: Progress,
) -> FeatureRun:
    done = 0
    for group in groups:
        writer.remove_vanished(group)
        wave = [(one, one.tasks) for one in group]
        while wave:
            for one, tasks in wave:
                writer.expect(one, tasks)
            for night in compute([task for _, tasks in wave for task in tasks]):
                writer.take(night)
                done += 1
                progress(night.task.subject_id, done, max(done, total))
            # Which nights follow from a change can only be told when it has been made.
            wave = [(one, tasks) for one in group if (tasks := writer.followers(one))]
            total += sum(len(tasks) for _, tasks in wave)
        writer.forget(group)
    return writer.outcome()


def _counts(run: FeatureRun) -> dict[str, int]:
    return {
        "nights": run.nights,
        "withheld": run.withheld,
        "unchanged": run.unchanged,
        "removed": run.removed,
    }
