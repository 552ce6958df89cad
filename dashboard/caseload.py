"""The people a user may see, each read once: nights, own bands, flags, standing, newest data."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from dashboard.pulse import Pulse, newest_pulse
from dashboard.sources import Sources
from dashboard.words import LEVELS, local_time
from features.nights import Nights, nocturnal_bounds_ns, read_nights
from features.specs import spec_named
from models.baseline import Band, personal_band
from models.rule import JUDGED_FEATURES
from models.standing import Standing, State, standing
from store.nights import night_of
from store.registry.flags import StoredFlag
from store.registry.people import Subject
from store.streams import RR_INTERVAL

SHOWN_NIGHTS = 90
"""As many as a chart of one column shows apart."""


@dataclass(frozen=True, slots=True)
class Patient:
    """One person as the pages need them.

    Attributes
    ----------
    nights : Nights
        Up to the last night that is over, whether or not it brought data.
    bands : mapping of feature name to Band
        Of the features that are judged.
    flags : tuple of StoredFlag
        Newest first.
    pulse : Pulse or None
    last_data_ns : int or None
        Time of the newest beat, heart rate or night; None if nothing ever arrived.
    """

    subject: Subject
    nights: Nights
    bands: Mapping[str, Band]
    flags: tuple[StoredFlag, ...]
    standing: Standing
    pulse: Pulse | None
    last_data_ns: int | None

    @property
    def shown_end(self) -> int:
        """Where charts end: with the last night, or with the newest recorded one if months came without."""
        recorded = self._recorded()
        end = len(self.nights)
        is_older = len(recorded) and recorded[-1] < end - SHOWN_NIGHTS
        return int(recorded[-1]) + 1 if is_older else end

    @property
    def shown(self) -> slice:
        """The nights that charts show."""
        return slice(max(0, self.shown_end - SHOWN_NIGHTS), self.shown_end)

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
        score = self.flags[0].flag.score if state == State.CHANGED else 0.0
        return LEVELS[state].rank, -score, since.toordinal(), self.subject.subject_id


def read_patient(sources: Sources, subject: Subject, flags: Sequence[StoredFlag] | None = None) -> Patient:
    """Read everything about one person that the list and the page share."""
    subject_id, settings = subject.subject_id, sources.settings
    own = sources.registry.flags.of_subject(subject_id) if flags is None else flags
    now_ns = sources.clock.now_ns()
    stored = read_nights(sources.store, subject_id)
    nights = through_night(stored, night_of(now_ns, subject.zone) - timedelta(days=1))
    bands = {
        name: personal_band(
            nights.values[name], is_log_scaled=spec_named(name).is_log_scaled, settings=settings.flags
        )
        for name in JUDGED_FEATURES
    }
    today = local_time(now_ns, subject.zone).date()
    pulse = newest_pulse(sources.store, subject_id)
    return Patient(
        subject=subject,
        nights=nights,
        bands=bands,
        flags=tuple(own),
        standing=standing(nights, own, today, settings.flags),
        pulse=pulse,
        last_data_ns=newest_data_ns(sources, subject_id, pulse, stored),
    )


def read_case_load(sources: Sources, people: Sequence[Subject]) -> list[Patient]:
    """Read everything about some people, most concerning first."""
    by_subject: defaultdict[str, list[StoredFlag]] = defaultdict(list)
    for stored in sources.registry.flags.all():
        by_subject[stored.flag.subject_id].append(stored)
    patients = [read_patient(sources, subject, by_subject[subject.subject_id]) for subject in people]
    return sorted(patients, key=lambda patient: patient.rank)


def through_night(nights: Nights, last: date) -> Nights:
    """Return the nights up to `last`, so that data which stopped coming show as a gap and not as the end.

    A person without any night stays without.
    """
    missing = (last - nights.nights[-1]).days if len(nights) else 0
    if missing <= 0:
        return nights
    lost = np.full(missing, np.nan)
    return Nights(
        nights.subject_id,
        (*nights.nights, *(nights.nights[-1] + timedelta(days=k + 1) for k in range(missing))),
        {name: np.concatenate([values, lost]) for name, values in nights.values.items()},
        np.concatenate([nights.coverage_frac, lost]),
        (*nights.reasons, *(["No data received"] * missing)),
        (*nights.zones, *([nights.zones[-1]] * missing)),
    )


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
