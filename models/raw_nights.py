"""A person's nights with a change in their raw samples: read, changed, and computed as `features run` does.

Nothing is written. One night is held at a time: it is read once, and computed anew for every change of which
it sees a part, by `features.one_night`, the one way from samples to a row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings
from features.movement.night_minutes import MINUTES_STREAM, NightMinutes, minutes_of_samples
from features.night_inputs import NightInputs, nights_with_data, read_inputs
from features.night_span import NightSpan, night_key_ns
from features.night_work import counted
from features.nights import NIGHT_STREAM, Nights, read_nights
from features.one_night import compute_night
from models.daily import Days
from models.nightly import days_of_nights
from models.raw_injector import MINUTE_NS, SWAPPED, Effects, RawNight, injected_samples
from store.errors import DataError
from store.registry.people import ZoneHistory
from store.timeseries import SampleSource

REACH = 2
"""Nights around its own of which a night sees a part: a day on either side, and the day before the next."""


@dataclass(frozen=True)
class Sleep:
    """A night's main sleep: its span, and (m,) which minutes of it were scored as sleep."""

    span_ns: tuple[int, int]
    is_asleep: NDArray[np.bool_]


@dataclass(frozen=True)
class RawPerson:
    """One person as the store holds them.

    Attributes
    ----------
    nights : Nights
        As they were computed.
    days : Days
    spans : mapping of date to NightSpan
    sleeps : mapping of date to Sleep
        Of nights in which one was found.
    hashes : mapping of date to str
        Of the samples that each row was computed from.
    names : mapping of sensor id to str
        Maker and model.
    """

    nights: Nights
    days: Days
    spans: Mapping[date, NightSpan]
    sleeps: Mapping[date, Sleep]
    hashes: Mapping[date, str]
    names: Mapping[str, str]


def read_person(
    store: SampleSource, subject_id: str, zones: ZoneHistory, names: Mapping[str, str]
) -> RawPerson:
    """Read what is known of a person, without samples: some 3 kB a night."""
    nights = read_nights(store, subject_id)
    rows = store.read(NIGHT_STREAM, subject_id)
    by_key = {night_key_ns(night): night for night in nights.nights}
    held = minutes_of_samples(store.read(MINUTES_STREAM, subject_id))
    return RawPerson(
        nights,
        days_of_nights(nights, names),
        {span.night: span for span in nights_with_data(store, subject_id, zones)},
        {by_key[each.key_ns]: _sleep(each) for each in held if each.sleep_ns != (0, 0)},
        {by_key[t]: str(said) for t, said in zip(rows.t_ns.tolist(), rows["input_hash"], strict=True)},
        names,
    )


def _sleep(minutes: NightMinutes) -> Sleep:
    low, high = ((at_ns - minutes.start_ns) // MINUTE_NS for at_ns in minutes.sleep_ns)
    return Sleep(minutes.sleep_ns, minutes.stage[max(low, 0) : high] > 0)


def recomputed(
    source: SampleSource,
    person: RawPerson,
    asked: Mapping[str, Effects],
    settings: FeatureSettings,
    models: Mapping[str, str],
    until: int,
) -> dict[str, Days]:
    """Return the days of a person with each change made in the samples.

    Parameters
    ----------
    source : SampleSource
    person : RawPerson
    asked : mapping of name to Effects
        Of every day of the person.
    settings : FeatureSettings
    models : mapping of sensor id to str
        As `features run` is told.
    until : int
        Nothing from this day on is computed anew.

    Raises
    ------
    DataError
        If rows of the person were computed from other samples than there are now.
    """
    changed = {name: _Changed(person.nights) for name in asked}
    touched = {name: _touched(effects) for name, effects in asked.items()}
    known = dict(models) | {f"{sensor}{SWAPPED}": model for sensor, model in models.items()}
    for t in np.flatnonzero(np.any(list(touched.values()), axis=0)[:until]).tolist():
        span = person.spans.get(person.nights.nights[t])
        if span is None:
            continue
        inputs = read_inputs(source, person.days.subject, span, known)
        _check_is_of(person, inputs, models)
        for name, effects in asked.items():
            if touched[name][t]:
                seen = range(max(t - REACH, 0), min(t + REACH + 1, len(person.nights)))
                nights = [raw_night(person, effects, k) for k in seen]
                samples = injected_samples(inputs.samples, [night for night in nights if night is not None])
                changed[name].take(t, replace(inputs, samples=samples), settings)
    return {name: days_of_nights(each.nights(), person.names) for name, each in changed.items()}


def _touched(effects: Effects) -> NDArray[np.bool_]:
    """Say of each night whether it sees a part of what is changed."""
    reach = np.ones(2 * REACH + 1)
    return np.convolve(effects.is_any, reach)[REACH : REACH + len(effects.is_any)] > 0


def raw_night(person: RawPerson, effects: Effects, t: int) -> RawNight | None:
    """Return what is asked of a night, with what was known of it; None where it is not in the calendar."""
    night = person.nights.nights[t]
    span = person.spans.get(night)
    if span is None:
        return None
    sleep = person.sleeps.get(night, Sleep((0, 0), np.zeros(0, np.bool_)))
    return RawNight(
        span,
        sleep.span_ns,
        sleep.is_asleep,
        *(float(part[t]) for part in _parts(effects)),
        is_lost=bool(effects.is_lost[t]),
        is_swapped=bool(effects.is_swapped[t]),
    )


def _parts(effects: Effects) -> Sequence[NDArray[np.float64]]:
    return effects.heart, effects.vagal, effects.movement, effects.sleep_min, effects.phase_h


def _check_is_of(person: RawPerson, inputs: NightInputs, models: Mapping[str, str]) -> None:
    night = inputs.span.night
    _, input_hash = counted(replace(inputs, models=models))
    if night in person.hashes and person.hashes[night] != input_hash:
        raise DataError(
            f"{person.days.subject}, night {night}: its row was computed from other samples than there are "
            "now; run `evenkeel features run` first"
        )


class _Changed:
    """Nights of a person, of which some are computed anew."""

    def __init__(self, nights: Nights) -> None:
        self._nights = nights
        self._values = {name: values.copy() for name, values in nights.values.items()}
        self._heart, self._moved = list(nights.heart_sensors), list(nights.movement_sensors)

    def take(self, t: int, inputs: NightInputs, settings: FeatureSettings) -> None:
        """Compute a night, and keep what models see of it."""
        row = compute_night(inputs, settings).row
        for name, values in self._values.items():
            values[t] = np.nan if row is None else row.values[name]
        minutes = None if row is None else row.movement.minutes
        self._heart[t] = "" if row is None else row.source_sensor
        self._moved[t] = "" if minutes is None else minutes.sensor

    def nights(self) -> Nights:
        """Return all of them."""
        return replace(
            self._nights,
            values=self._values,
            heart_sensors=tuple(self._heart),
            movement_sensors=tuple(self._moved),
        )
