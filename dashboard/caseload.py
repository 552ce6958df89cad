"""The people a user may see, each read once: nights, own bands, flags, standing, newest data."""

from collections import defaultdict
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.gate import sensor_models
from dashboard.markers import Series, series_of
from dashboard.pulse import Pulse, newest_pulse
from dashboard.sources import Sources
from dashboard.sparklines import drawn
from dashboard.words import LEVELS, local_time
from features.calendar import through_night, until_night
from features.nights import Nights, nocturnal_bounds_ns, read_nights
from models.nightly import sources_of, spoken_names, verdict_of_nights
from models.risk import shipped_model
from models.sensors import NOBODY, Led
from models.standing import Standing, State, standing
from store.nights import night_of
from store.registry.flags import StoredFlag
from store.registry.people import Subject
from store.streams import RR_INTERVAL
from store.units import NS_PER_S

SHOWN_NIGHTS = 90
"""As many as a chart of one column shows apart."""
FORGET_AFTER_NS = 3600 * NS_PER_S
"""Whatever else may change nights is seen after an hour."""


@dataclass(frozen=True)
class Patient:
    """One person as the pages need them.

    Attributes
    ----------
    nights : Nights
        Up to the last night that is over, whether or not it brought data.
    series : mapping of marker key to Series
        What the person has of each marker, with the own band.
    drawn : mapping of str to str
        The newest nights as the list draws them.
    flags : tuple of StoredFlag
        Newest first.
    led : Led
        By which sensor each night is judged.
    sensors : tuple of str
        What recorded each night, in words.
    pulse : Pulse or None
    last_data_ns : int or None
        Time of the newest beat, heart rate or night; None if nothing ever arrived.
    """

    subject: Subject
    nights: Nights
    series: Mapping[str, Series]
    drawn: Mapping[str, str]
    flags: tuple[StoredFlag, ...]
    standing: Standing
    led: Led
    sensors: tuple[str, ...]
    pulse: Pulse | None
    last_data_ns: int | None

    @cached_property
    def shown_end(self) -> int:
        """Where charts end: with the last night, or with the newest recorded one if months came without."""
        recorded = self._recorded()
        end = len(self.nights)
        is_older = len(recorded) and recorded[-1] < end - SHOWN_NIGHTS
        return int(recorded[-1]) + 1 if is_older else end

    @cached_property
    def shown(self) -> slice:
        """The nights that charts show."""
        return slice(max(0, self.shown_end - SHOWN_NIGHTS), self.shown_end)

    @property
    def new_sensors(self) -> Mapping[date, str]:
        """Nights from which another sensor leads, and which it is."""
        return {self.nights.nights[at]: self.sensors[at] for at in self.led.taken_over}

    @property
    def newest_night(self) -> date | None:
        """The night to look at first: the newest with enough data, else with any, else the last one."""
        recorded = self._recorded()
        last = self.nights.nights[recorded[-1] if len(recorded) else -1] if len(self.nights) else None
        return self.standing.night or last

    def _recorded(self) -> NDArray[np.intp]:
        return np.flatnonzero(np.nan_to_num(self.nights.coverage_frac) > 0)

    @property
    def rank(self) -> tuple[int, float, int, str]:
        """Order in the list: what needs a look first comes first."""
        state, since = self.standing.state, self.standing.since or date.max
        score = self.flags[0].newest_score if state == State.CHANGED else 0.0
        return LEVELS[state].rank, -score, since.toordinal(), self.subject.subject_id


def read_patient(sources: Sources, subject: Subject) -> Patient:
    """Read everything about one person that the list and the page share; remembered as for the list."""
    flags = sources.registry.flags.of_subject(subject.subject_id)
    return _remembered(sources, subject, flags, _Moment(sources))


def _computed(sources: Sources, subject: Subject, flags: Sequence[StoredFlag], moment: "_Moment") -> Patient:
    subject_id, settings, names = subject.subject_id, sources.settings, moment.sensor_names
    calendar = moment.calendar(subject.zone)
    stored = read_nights(sources.store, subject_id)
    nights = through_night(until_night(stored, calendar.last_ended), calendar.last_over)
    pulse = newest_pulse(sources.store, subject_id)
    verdict = verdict_of_nights(nights, shipped_model(), settings.flags.budget, names)
    led = NOBODY if verdict is None else verdict.led
    kinds = sources_of(nights, spoken_names(nights, names))
    series = series_of(nights, led, settings.flags)
    return Patient(
        subject=subject,
        nights=nights,
        series=series,
        drawn=drawn(series, nights.coverage_frac),
        flags=tuple(flags),
        standing=standing(verdict, flags, calendar.today, kinds),
        led=led,
        sensors=tuple(kinds),
        pulse=pulse,
        last_data_ns=newest_data_ns(sources, subject_id, pulse, stored),
    )


@dataclass(frozen=True, slots=True)
class _Calendar:
    """The days of a zone at a time.

    Attributes
    ----------
    today : date
    last_over : date
        The last night whose noon is over: from then on its data are missing if they are not there.
    last_ended : date
        The last night whose nocturnal hours are over; the one that runs would look like a poor one.
    """

    today: date
    last_over: date
    last_ended: date


def _calendar(sources: Sources, zone: str, now_ns: int) -> _Calendar:
    night = night_of(now_ns, zone)
    end_ns = nocturnal_bounds_ns(night, zone, sources.settings.features)[1]
    return _Calendar(
        today=local_time(now_ns, zone).date(),
        last_over=night - timedelta(days=1),
        last_ended=night if end_ns <= now_ns else night - timedelta(days=1),
    )


class _Moment:
    """What holds for everybody who is read at a time: what jobs have run, and the days of each zone."""

    def __init__(self, sources: Sources) -> None:
        self.now_ns = sources.clock.now_ns()
        self.runs = tuple(sources.registry.jobs.ended_ns(_JOBS))
        self._sources = sources
        self._calendars: dict[str, _Calendar] = {}

    @cached_property
    def sensor_names(self) -> dict[str, str]:
        """What sensors are called: read where somebody is computed."""
        return sensor_models(self._sources)

    def calendar(self, zone: str) -> _Calendar:
        """Return the days of a zone."""
        if zone not in self._calendars:
            self._calendars[zone] = _calendar(self._sources, zone, self.now_ns)
        return self._calendars[zone]


def read_case_load(sources: Sources, people: Sequence[Subject]) -> list[Patient]:
    """Read everything about some people, most concerning first.

    Nights and standing are computed again only where a job has run, a flag has moved or a night has ended
    since the last reading, or where that is `FORGET_AFTER_NS` ago.
    """
    return sorted(read_each(sources, people), key=lambda patient: patient.rank)


def read_each(
    sources: Sources, people: Sequence[Subject], *, max_age_ns: int = FORGET_AFTER_NS
) -> Generator[Patient]:
    """Read everything about some people, one after the other; anew what is of `max_age_ns` ago."""
    by_subject: defaultdict[str, list[StoredFlag]] = defaultdict(list)
    for stored in sources.registry.flags.all():
        by_subject[stored.flag.subject_id].append(stored)
    moment = _Moment(sources)
    sources.pulses.read_ahead(sources.store, [each.subject_id for each in people], moment.now_ns)
    for subject in people:
        yield _remembered(sources, subject, by_subject[subject.subject_id], moment, max_age_ns)


_JOBS = ("features", "flags")


def _remembered(
    sources: Sources,
    subject: Subject,
    flags: Sequence[StoredFlag],
    moment: _Moment,
    max_age_ns: int = FORGET_AFTER_NS,
) -> Patient:
    """Return what is still so, or compute it again."""
    version = (moment.runs, tuple(flags), subject.zone, moment.calendar(subject.zone))
    held = _held(sources, subject, version, max_age_ns)
    if held is None:
        with sources.computing:  # whoever waited for the same person finds it done
            held = _held(sources, subject, version, max_age_ns)
            if held is None:
                begun_ns = sources.clock.now_ns()
                held = _computed(sources, subject, flags, moment)
                sources.remembered[subject.subject_id] = (version, begun_ns, held)
                return held
    newest = sources.pulses.of(sources.store, subject.subject_id, sources.clock.now_ns())
    if subject == held.subject and newest == held.pulse:
        return held
    last_ns = max((t for t in (held.last_data_ns, newest and newest.at_ns) if t), default=None)
    return replace(held, subject=subject, pulse=newest, last_data_ns=last_ns)


def _held(sources: Sources, subject: Subject, version: object, max_age_ns: int) -> Patient | None:
    """Return what is remembered of somebody, if it is of this version and not old now."""
    now_ns = sources.clock.now_ns()  # not when the list was begun: somebody else may have computed since
    held: tuple[Any, int, Patient] | None = sources.remembered.get(subject.subject_id)
    is_fresh = held is not None and held[0] == version and 0 <= now_ns - held[1] < max_age_ns
    return held[2] if held is not None and is_fresh else None


def newest_data_ns(
    sources: Sources, subject_id: str, pulse: Pulse | None, stored: Nights | None = None
) -> int | None:
    """Return the time of the newest beat, heart rate or else night (read unless given); None without any."""
    newest = [pulse.at_ns] if pulse else []
    beat = sources.store.latest(RR_INTERVAL, subject_id)
    if beat is not None:
        newest.append(int(beat["t_ns"]))
    if newest:
        return max(newest)
    nights = read_nights(sources.store, subject_id) if stored is None else stored
    if len(nights):
        night, zone = nights.nights[-1], nights.zones[-1]
        return nocturnal_bounds_ns(night, zone, sources.settings.features)[1]
    return None
