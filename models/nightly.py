"""Nights of the store as days of channels, with the kind of sensor that each was recorded by."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from features.nights import Nights
from models.channels import channel_matrix
from models.daily import Days
from models.risk import Model
from models.verdict import Verdict, verdict_of
from store.registry.people import Sensor

NO_NAMES: Mapping[str, str] = MappingProxyType({})


def sensor_names(sensors: Sequence[Sensor]) -> dict[str, str]:
    """Return maker and model of each sensor: one of the same kind in its place is no change."""
    return {s.sensor_id: f"{s.manufacturer} {s.model}".strip() or s.sensor_id for s in sensors}


def spoken_names(nights: Nights, names: Mapping[str, str]) -> dict[str, str]:
    """Return what may be said aloud of each sensor: maker and model, never an id that may tell who."""
    worn = {*nights.heart_sensors, *nights.movement_sensors}
    known = {each: names.get(each, each) for each in worn if each}
    return {each: "model not known" if name == each else name for each, name in known.items()}


def sources_of(nights: Nights, names: Mapping[str, str] = NO_NAMES) -> list[str]:
    """Return what recorded each night, in words; one more sensor than before is no change, another one is."""
    each: list[list[str]] = [
        _carried([names.get(sensor, sensor) for sensor in sensors] or [""] * len(nights))
        for sensors in (nights.heart_sensors, nights.movement_sensors)
    ]
    return [", ".join(dict.fromkeys(kind for kind in pair if kind)) for pair in zip(*each, strict=True)]


def _carried(kinds: list[str]) -> list[str]:
    """Take a night without a sensor as of the one before, and nights before the first as of that."""
    last = next(filter(None, kinds), "")
    carried: list[str] = []
    for kind in kinds:
        last = kind or last
        carried.append(last)
    return carried


def days_of_nights(nights: Nights, names: Mapping[str, str] = NO_NAMES) -> Days:
    """Return nightly rows as days of channels; whatever channels a person has."""
    values = channel_matrix(nights.values, len(nights))
    sources = sources_of(nights, names)
    numbers = {source: number for number, source in enumerate(dict.fromkeys(filter(None, sources)))}
    source = np.array([numbers.get(each, -1) for each in sources], np.int64)
    return Days(nights.subject_id, nights.nights[0], values, source)


def verdict_of_nights(
    nights: Nights, model: Model, budget: float, names: Mapping[str, str] = NO_NAMES
) -> Verdict | None:
    """Judge every night of a person; None without any."""
    return verdict_of(days_of_nights(nights, names), model, budget) if len(nights) else None
