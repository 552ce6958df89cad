"""Which nights have to be computed again, and why. Nothing here computes: finding nothing is quick."""

import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from hashlib import sha256

from features.code_version import code_version
from features.night_inputs import (
    INPUT_STREAMS,
    NIGHT_MAKERS,
    NIGHTS_BACK,
    NS_PER_DAY,
    nights_with_data,
)
from features.night_span import NightSpan, night_key_ns
from features.night_state import JobMark, NightState, read_mark, read_states, touched_marks
from store.registry.people import ZoneHistory
from store.streams import Column, Stream
from store.timeseries import SampleSource, TimeSeriesStore
from store.written import NEWEST, Written

_BY_MARGIN = {
    margin_ns: tuple(stream for stream, its in INPUT_STREAMS.items() if its == margin_ns)
    for margin_ns in set(INPUT_STREAMS.values())
}
_ROW_TIMES = Stream("night", "", (Column("coverage_frac", "float64", ""),), family="features")
"""Enough of the stream of rows to see where there are some."""


@dataclass(frozen=True, slots=True)
class NightTask:
    """One night to compute.

    Attributes
    ----------
    known_hash : str
        Hash of the samples it was last computed from, if nothing else has changed since: the same samples
        need no computing. Empty otherwise.
    why : str
        A word for a log: new, samples, sensor, settings, code, zone, store, week or asked.
    """

    subject_id: str
    span: NightSpan
    known_hash: str = ""
    why: str = "new"

    @property
    def key_ns(self) -> int:
        """Time of the night's row."""
        return night_key_ns(self.span.night)


@dataclass(frozen=True)
class Basis:
    """What every row of a run is made by.

    Attributes
    ----------
    settings_hash : str
    store_id : str
        Of the store that samples are read from.
    mark : int
        Of that store before anything was read.
    code_version : str
    """

    settings_hash: str
    store_id: str
    mark: int
    code_version: str


@dataclass(frozen=True)
class SubjectPlan:
    """What there is to do for one person.

    Attributes
    ----------
    spans : list of NightSpan
        All nights, ascending.
    states : mapping of time of row to NightState
    tasks : list of NightTask
        Nights to compute, ascending.
    vanished : list of int
        Times of rows that no night belongs to any more.
    """

    subject_id: str
    spans: list[NightSpan]
    states: dict[int, NightState]
    tasks: list[NightTask]
    vanished: list[int]


@dataclass(frozen=True)
class People:
    """What the registry knows and nights are made by.

    Attributes
    ----------
    zones : mapping of subject id to ZoneHistory
        Of everybody who is registered.
    models : mapping of sensor id to str
        Maker and model.
    """

    zones: Mapping[str, ZoneHistory]
    models: Mapping[str, str]

    def digest(self) -> str:
        """Return a hash of all of it."""
        zones = [(who, its.from_ns, its.zones) for who, its in sorted(self.zones.items())]
        return sha256(json.dumps([zones, sorted(self.models.items())]).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a run is asked for.

    Attributes
    ----------
    subjects : sequence of str or None
        Only these people; everybody if None.
    since : date or None
        Only nights from this one on.
    is_all : bool
        Every night, changed or not.
    """

    subjects: Sequence[str] | None = None
    since: date | None = None
    is_all: bool = False


class Planner:
    """Knows who has something to do, and plans one person at a time: a plan of everybody would be large.

    Parameters
    ----------
    source : SampleSource
    store : TimeSeriesStore
        Where samples are read and where rows are kept; often the same.
    people : People
        Others are left alone.
    settings_hash : str
        Of the feature settings.
    wanted : Wanted
    """

    def __init__(
        self,
        source: SampleSource,
        store: TimeSeriesStore,
        people: People,
        settings_hash: str,
        wanted: Wanted,
    ) -> None:
        self._source, self._store, self._people, self._wanted = source, store, people, wanted
        store_id = source.store_id()
        self.done = read_mark(store, store_id)
        # Marked before anything is read: what is written meanwhile is found by the next run.
        mark = source.written_since(NEWEST, NIGHT_MAKERS).mark
        self._news = _written(source, self.done.mark) if self.done.mark else None
        self.basis = Basis(settings_hash, store_id, mark, code_version())
        said = f"{settings_hash} {code_version()} {people.digest()}"
        self._made_by = sha256(said.encode()).hexdigest()[:16]

    @property
    def is_whole(self) -> bool:
        """Whether everybody and every night is looked at."""
        return self._wanted.subjects is None and self._wanted.since is None

    @property
    def mark_after(self) -> JobMark:
        """What holds when everything was brought up to date."""
        return JobMark(self.basis.mark, self._made_by)

    def subjects(self) -> list[str]:
        """Return who may have something to do: everybody, or those with news if nothing else has changed."""
        if self._wanted.subjects is not None:
            chosen = list(dict.fromkeys(self._wanted.subjects))
        elif self._news is not None and not self._wanted.is_all and self.done.made_by == self._made_by:
            chosen = sorted({who for news in self._news.values() for who in news.stretches})
        else:
            chosen = sorted({who for stream in NIGHT_MAKERS for who in self._source.subjects(stream)})
        return [who for who in chosen if who in self._people.zones]

    def plan(self, subject_id: str) -> SubjectPlan:
        """Compare what there is of a person with what the rows were made of."""
        spans = nights_with_data(self._source, subject_id, self._people.zones[subject_id])
        touched = _touched(subject_id, spans, self._news or _written(self._source, 0, subject_id))
        made_by = self.basis, self._people.models
        return _plan_subject(self._store, subject_id, spans, touched, made_by, self._wanted)


def followers(one: SubjectPlan) -> list[NightTask]:
    """Return the nights whose row holds values of nights before that are others now."""
    tasks: list[NightTask] = []
    for span in one.spans:
        state = one.states.get(night_key_ns(span.night))
        if state is not None and state.has_row and state.week_hash != week_hash(one.states, span.night):
            tasks.append(NightTask(one.subject_id, span, why="week"))
    return tasks


def week_hash(states: Mapping[int, NightState], night: date) -> str:
    """Return the hash of what a night's values of several nights may be made of."""
    key_ns = night_key_ns(night)
    before = (states.get(key_ns - k * NS_PER_DAY) for k in range(1, NIGHTS_BACK + 1))
    said = " ".join(state.own_hash if state is not None and state.has_row else "-" for state in before)
    return sha256(said.encode()).hexdigest()[:16]


def _written(source: SampleSource, mark: int, subject_id: str | None = None) -> dict[int, Written]:
    """Return what was written since a mark, by how far around a night it is read."""
    return {
        margin_ns: source.written_since(mark, streams, subject_id)
        for margin_ns, streams in _BY_MARGIN.items()
    }


def _touched(subject_id: str, spans: list[NightSpan], written: Mapping[int, Written]) -> dict[int, int]:
    """Return the newest mark that touches each span, by position."""
    found: dict[int, int] = {}
    for margin_ns, news in written.items():
        for position, mark in touched_marks(spans, news.of(subject_id), margin_ns).items():
            found[position] = max(mark, found.get(position, 0))
    return found


def _plan_subject(
    store: TimeSeriesStore,
    subject_id: str,
    spans: list[NightSpan],
    touched: Mapping[int, int],
    made_by: tuple[Basis, Mapping[str, str]],
    wanted: Wanted,
) -> SubjectPlan:
    states = read_states(store, subject_id)
    tasks: list[NightTask] = []
    for position, span in enumerate(spans):
        if wanted.since is not None and span.night < wanted.since:
            continue
        state = states.get(night_key_ns(span.night))
        why = "asked" if wanted.is_all else _reason(span, state, touched.get(position, 0), *made_by)
        if why:
            known_hash = state.input_hash if state is not None and why in {"samples", "store"} else ""
            tasks.append(NightTask(subject_id, span, known_hash, why))
    one = SubjectPlan(subject_id, spans, states, tasks, [])
    planned = {task.key_ns for task in tasks}
    waiting = [task for task in followers(one) if task.key_ns not in planned] if wanted.since is None else []
    tasks.extend(waiting)
    tasks.sort(key=lambda task: task.span.start_ns)
    one.vanished.extend(_vanished(store, one))
    return one


def _reason(
    span: NightSpan, state: NightState | None, touched_mark: int, basis: Basis, models: Mapping[str, str]
) -> str:
    """Return why a night has to be looked at; empty if it need not be."""
    if state is None:
        return "new"
    reasons = {
        "zone": not state.is_of(span),
        "code": state.code_version != basis.code_version,
        "settings": state.settings_hash != basis.settings_hash,
        "sensor": any(models.get(sensor, "") != model for sensor, model in _models(state.models)),
        "store": state.store_id != basis.store_id,
        "samples": touched_mark > state.mark,
    }
    return next((why for why, holds in reasons.items() if holds), "")


@functools.lru_cache(1024)
def _models(said: str) -> tuple[tuple[str, str], ...]:
    return tuple(json.loads(said).items())


def _vanished(store: TimeSeriesStore, one: SubjectPlan) -> Iterator[int]:
    """Yield the times of rows whose night has no samples any more.

    A row from before the first sample stays: its samples were not kept for as long as it is.
    """
    if not one.spans:
        return
    known: Collection[int] = one.states or store.read(_ROW_TIMES, one.subject_id).t_ns.tolist()
    nights = {night_key_ns(span.night) for span in one.spans}
    first_ns, first_key_ns = one.spans[0].start_ns, min(nights)
    for key_ns in known:
        state = one.states.get(key_ns)
        is_before = key_ns < first_key_ns if state is None else state.end_ns <= first_ns
        if key_ns not in nights and not is_before:
            yield key_ns
