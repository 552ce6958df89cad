"""Changes in raw samples, through markers to alerts, beside the same changes in daily values.

The shipped model judges both as `flags run` would. Onsets, sizes and what is drawn are the same, so that what
differs is what the way from samples to markers does to a change.
"""

import multiprocessing
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from zlib import crc32

import numpy as np

from configs.settings import FeatureSettings
from features.executors import end_with_parent
from features.night_source import SourcePlace, open_source
from models.channels import NAMES, FloatArray
from models.cohort import onsets
from models.daily import Days
from models.evaluation import CORE, HORIZONS, Outcome, delay_of
from models.injector import CONTROLS, SCENARIOS, injected
from models.raw_injector import Effects, effects_of
from models.raw_nights import RawPerson, recomputed
from models.risk import shipped_model
from models.verdict import verdict_of
from store.errors import ConfigError, DataError
from store.timeseries import SampleSource

USUAL = ("moderate", "severe", *CORE, "phase-delay", "variance-only", *CONTROLS)
"""Scenarios that are tried if none is named."""
RELATIVE = ("resting_hr_bpm", "mean_hr_bpm", "rmssd_ms", "steps", "active_min")
"""Values whose change is a share; that of the others is a difference."""
WATCHED = (*RELATIVE, "tst_min", "se_pct", "midpoint_h")
_ASKED: Mapping[str, str] = {
    "resting_hr_bpm": "heart",
    "mean_hr_bpm": "heart",
    "rmssd_ms": "vagal",
    "steps": "movement",
    "active_min": "movement",
    "tst_min": "sleep_min",
    "midpoint_h": "phase_h",
}
_AHEAD = 2
"""Tasks for each worker that are given out at a time."""


@dataclass(frozen=True)
class Setup:
    """What every task is done with.

    Attributes
    ----------
    settings : FeatureSettings
    models : mapping of sensor id to str
        Maker and model.
    scenarios : tuple of str
    budget : float
        Alert episodes per patient-month.
    seed : int
    """

    settings: FeatureSettings
    models: Mapping[str, str]
    scenarios: tuple[str, ...]
    budget: float
    seed: int


@dataclass(frozen=True)
class Shown:
    """What came of one change at one onset of one person.

    Attributes
    ----------
    subject, scenario : str
    onset : int
    raw_delay, daily_delay, null_delay : float
        Days from the onset to the first alert, of samples and of daily values with the change, and without
        it; infinite without an alert.
    asked, raw, daily : (k, len(WATCHED)) float64
        Change of each value in the nights of which something is asked, but for those that are lost; NaN where
        there is no value.
    lost : (len(WATCHED),) int64
        Nights that had a value, and have none with the change in the samples.
    """

    subject: str
    scenario: str
    onset: int
    raw_delay: float
    daily_delay: float
    null_delay: float
    asked: FloatArray
    raw: FloatArray
    daily: FloatArray
    lost: FloatArray


@dataclass(frozen=True)
class RawEvaluation:
    """Everything measured.

    Attributes
    ----------
    setup : Setup
    people, simulated : int
        Who has nights, and how many of them are simulated.
    shown : list of Shown
    left_out : dict of subject to str
        Why somebody could not be taken.
    """

    setup: Setup
    people: int
    simulated: int
    shown: list[Shown] = field(default_factory=list[Shown])
    left_out: dict[str, str] = field(default_factory=dict[str, str])

    def outcome(self, scenario: str, *, is_raw: bool) -> Outcome:
        """Return how one scenario went, in samples or in daily values."""
        held = [one for one in self.shown if one.scenario == scenario]
        return Outcome(
            np.array([one.subject for one in held], str),
            np.array([one.raw_delay if is_raw else one.daily_delay for one in held], np.float64),
            np.array([one.null_delay for one in held], np.float64),
        )


@dataclass(frozen=True)
class Task:
    """One person, and a day on which each scenario sets in."""

    person: RawPerson
    onset: int


Done = tuple[str, list[Shown], str]
"""Whose task it was, what it showed, and why it could not be done; empty if it could."""


def chosen_scenarios(names: Sequence[str]) -> tuple[str, ...]:
    """Return the scenarios that are asked for, the usual ones if none is.

    Raises
    ------
    ConfigError
        If one is not known.
    """
    known = (*SCENARIOS, *CONTROLS)
    for name in names:
        if name not in known:
            raise ConfigError(f"{name!r} is no scenario; needed is one of {', '.join(known)}")
    return tuple(dict.fromkeys(names or USUAL))


def tasks_of(people: Iterable[RawPerson], per_person: int, seed: int) -> Iterator[Task]:
    """Yield each person's onsets, drawn from a stream of their own as `models.cohort.episodes` draws them."""
    for person in people:
        random = np.random.default_rng([seed, *person.days.subject.encode()])
        for onset in random.permutation(onsets(person.days))[:per_person].tolist():
            yield Task(person, onset)


def done_task(source: SampleSource, task: Task, setup: Setup) -> Done:
    """Do one task; what the person's data do not allow is said, and concerns nobody else."""
    days = task.person.days
    asked = {name: effects_of(days, task.onset, name, _chance(setup, task, name)) for name in setup.scenarios}
    until = task.onset + HORIZONS[-1] + 1
    try:
        changed = recomputed(source, task.person, asked, setup.settings, setup.models, until)
    except DataError as error:
        return days.subject, [], str(error)
    without = _delay(days, task.onset, setup)
    shown: list[Shown] = []
    for name, raw in changed.items():
        daily = injected(days, task.onset, name, _chance(setup, task, name))
        delays = _delay(raw, task.onset, setup), _delay(daily, task.onset, setup), without
        wanted = asked[name]
        rows = (wanted.is_any & ~wanted.is_lost)[:until]
        realised = _change(days, raw)
        is_gone = np.isfinite(_held(days)[:until]) & np.isnan(_held(raw)[:until])
        shown.append(
            Shown(
                days.subject,
                name,
                task.onset,
                *delays,
                _wanted(wanted)[:until][rows],
                realised[:until][rows],
                _change(days, daily)[:until][rows],
                is_gone[rows].sum(axis=0).astype(np.float64),
            )
        )
    return days.subject, shown, ""


def _chance(setup: Setup, task: Task, name: str) -> np.random.Generator:
    """Return what a scenario draws from: the same in samples and in daily values."""
    return np.random.default_rng(
        [setup.seed, task.onset, crc32(name.encode()), *task.person.days.subject.encode()]
    )


def _delay(days: Days, onset: int, setup: Setup) -> float:
    return delay_of(np.flatnonzero(verdict_of(days, shipped_model(), setup.budget).alerts), onset)


def _held(days: Days) -> FloatArray:
    return days.values[:, [NAMES.index(name) for name in WATCHED]]


def _wanted(asked: Effects) -> FloatArray:
    none = np.zeros(len(asked.heart))
    return np.column_stack([getattr(asked, _ASKED[name]) if name in _ASKED else none for name in WATCHED])


def _change(was: Days, now: Days) -> FloatArray:
    """Return by how much each watched value changed: a share, minutes, percent or hours."""
    before, after = _held(was), _held(now)
    share = after / before - 1
    less = after - before
    clock = WATCHED.index("midpoint_h")
    less[:, clock] = (less[:, clock] + 12) % 24 - 12
    return np.where([name in RELATIVE for name in WATCHED], share, less)


def done_tasks(tasks: Iterable[Task], place: SourcePlace, setup: Setup, workers: int) -> Iterator[Done]:
    """Do tasks in this process, or in several, which read the store themselves and write nothing."""
    if workers == 1:
        source = open_source(place)
        try:
            yield from (done_task(source, task, setup) for task in tasks)
        finally:
            source.close()
        return
    spawn = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(workers, spawn, _open_here, (place, setup)) as pool:
            running: deque[Future[Done]] = deque()
            for task in tasks:
                running.append(pool.submit(_work_here, task))
                if len(running) >= _AHEAD * workers:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    except BrokenProcessPool:
        raise DataError(
            f"One of {workers} worker processes was ended from outside, perhaps for want of memory; nothing "
            "was written. Run it again, with fewer --workers"
        ) from None


_here: tuple[SampleSource, Setup] | None = None
"""What a worker process reads from."""


def _open_here(place: SourcePlace, setup: Setup) -> None:
    global _here  # noqa: PLW0603 - one process, one source
    threading.Thread(target=end_with_parent, daemon=True).start()
    _here = open_source(place), setup


def _work_here(task: Task) -> Done:
    if _here is None:
        raise RuntimeError(task)
    return done_task(_here[0], task, _here[1])


def evaluate_raw(
    people: Iterable[RawPerson],
    found: RawEvaluation,
    place: SourcePlace,
    *,
    per_person: int,
    workers: int = 1,
    progress: Callable[[int], None] = lambda _done: None,
) -> RawEvaluation:
    """Try every scenario at some onsets of everybody; return `found`, filled.

    Parameters
    ----------
    people : iterable of RawPerson
        Read as they are needed.
    found : RawEvaluation
        Empty.
    place : SourcePlace
        Where samples are.
    per_person : int
        Onsets of each.
    workers : int
    progress : callable(onsets_done)
    """
    tasks = tasks_of(people, per_person, found.setup.seed)
    for done, (subject, shown, why) in enumerate(done_tasks(tasks, place, found.setup, workers), 1):
        found.shown.extend(shown)
        if why:
            found.left_out.setdefault(subject, why)
        progress(done)
    return found
