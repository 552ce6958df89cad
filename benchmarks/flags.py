"""The shipped model over a thousand people and a year: processor seconds, and the same bits day by day."""

import time
from datetime import date

import numpy as np

from benchmarks.table import Row
from models.channels import CHANNELS
from models.daily import Days
from models.monitor import Monitor, followed
from models.risk import load_model
from models.scoring import score_people

_PEOPLE, _DAYS, _BIT_FOR_BIT = 1000, 365, 20
_USUAL = np.array([62.0, 45, 60, 420, 9000, 190, 15, 33.5, 92, 3.5])
_SD = np.array([0.03, 0.15, 0.05, 50, 0.35, 0.3, 0.5, 0.4, 2, 0.6])
_MISSING_FRAC = 0.2


def run(*, is_full: bool) -> list[Row]:
    """Score everybody; `is_full` makes no difference."""
    del is_full
    model = load_model()
    people = [_person(seed) for seed in range(_PEOPLE)]
    score_people(people[:1], model, 0.25)  # compiled before it is timed
    began_s = time.process_time()
    score_people(people, model, 0.25)
    taken_s = time.process_time() - began_s
    differing = sum(not _is_the_same(days) for days in people[:_BIT_FOR_BIT])
    return [
        Row(f"{_PEOPLE} people x {_DAYS} days scored: processor time of one core", taken_s, "s", 60),
        Row(f"people of {_BIT_FOR_BIT} whose days one by one differ in a bit", differing, "", 0),
    ]


def _person(seed: int) -> Days:
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, (_DAYS, len(CHANNELS))) * _SD
    relative = np.array([channel.scale != "linear" for channel in CHANNELS])
    values = np.where(relative, _USUAL * np.exp(noise), _USUAL + noise)
    values[random.random(_DAYS) < _MISSING_FRAC] = np.nan
    return Days(f"P{seed:04d}", date(2025, 1, 1), values, np.full(_DAYS, -1, np.int64))


def _is_the_same(days: Days) -> bool:
    model = load_model()
    monitor = Monitor(model.weights)
    for values, source in zip(days.values, days.source.tolist(), strict=True):
        monitor.update(values, source)
    batch = followed(days, model.weights)
    return all(
        np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(monitor.track, batch, strict=True)
    )
