"""Which days can be judged, and where changes are injected: the same rules for training and evaluation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.channels import MIN_CHANNELS, NAMES
from models.daily import Days
from models.injector import injected

_START_DAY, _TAIL_DAYS = 45, 15
_MIN_BEFORE, _MIN_AFTER, _AFTER_DAYS = 21, 8, 21
_MIN_WORN = 56


@dataclass(frozen=True)
class Episode:
    """A change in one person's days: what, from when."""

    subject: str
    scenario: str
    onset: int
    days: Days


def is_worn(days: Days) -> NDArray[np.bool_]:
    """Say for each day whether enough channels have a value."""
    counted = [
        k for k, name in enumerate(NAMES) if name not in {"midpoint_h", "active_min", "skin_temperature_c"}
    ]
    return np.isfinite(days.values[:, counted]).sum(axis=1) >= MIN_CHANNELS


def onsets(days: Days) -> NDArray[np.intp]:
    """Return the days on which a change may set in: after six weeks with data, with data to see it in."""
    worn = is_worn(days)
    if worn.sum() < _MIN_WORN:
        return np.empty(0, np.intp)
    total = np.concatenate([[0], np.cumsum(worn)])
    at = np.arange(_START_DAY, max(len(days) - _TAIL_DAYS, _START_DAY))
    after = total[np.minimum(at + _AFTER_DAYS, len(days))] - total[at]
    return at[(after >= _MIN_AFTER) & (total[at] >= _MIN_BEFORE)]


def episodes(people: Sequence[Days], scenarios: Sequence[str], per_person: int, seed: int) -> list[Episode]:
    """Inject each scenario at the same drawn onsets of each person.

    Each person draws from a stream of their own, so that nobody's episodes depend on who else is there.
    """
    made: list[Episode] = []
    for days in people:
        random = np.random.default_rng([seed, *days.subject.encode()])
        choices = onsets(days)
        for onset in random.permutation(choices)[:per_person].tolist():
            made += [
                Episode(days.subject, name, onset, injected(days, onset, name, random)) for name in scenarios
            ]
    return made
