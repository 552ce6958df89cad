"""What really happened, as far as anybody wrote it down: scales and how flags ended, as episodes; pure.

An episode sets in when the total of a scale passes its published threshold after a total below it, or when
a flag ended with care being changed. One that only a flag told of can only be found by something like that
flag: such episodes are kept apart from those of scales wherever something is measured.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from itertools import pairwise
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from models.cohort import onsets
from models.daily import Days
from store.errors import CoverageError
from store.instruments import INSTRUMENTS
from store.registry.assessments import Assessment

Source = Literal["scales", "flag outcomes"]

NEEDED_EPISODES, NEEDED_PEOPLE = 20, 10
"""Of scales, in days that can be judged. With 20, a share of one half is known to within 22 points at best;
with 10 people, each of five folds tests two."""
LONGEST_BETWEEN_DAYS = 56
"""A total below the threshold that is older says little about when it was passed."""
SAME_EPISODE_DAYS = 28
BEFORE_DAYS, AFTER_DAYS = 14, 56
"""Days around an onset that count neither as usual nor as free of a change."""
FREE_DAYS = 35
"""The longest time within which an episode is looked for."""
FIRST_CHANGED_DAY, LAST_CHANGED_DAY = 0, 28
IS_CHANGE: Mapping[str, bool] = MappingProxyType(
    {"care_changed": True, "explained": False, "data_problem": False, "no_action": False}
)
"""What an outcome says about a flag; `contacted` says neither."""


@dataclass(frozen=True, slots=True)
class JudgedFlag:
    """A resolved flag: since when, and how it ended."""

    subject_id: str
    since: date
    outcome: str


@dataclass(frozen=True, slots=True)
class Label:
    """An episode of one person.

    Attributes
    ----------
    onset : date
        First day that the scale which passed its threshold asks about, but after the last total below it;
        or the first day of the flag.
    told_by : str
        The instrument, or `flag`.
    source : {"scales", "flag outcomes"}
    """

    subject_id: str
    onset: date
    told_by: str
    source: Source


def labels_of(assessments: Iterable[Assessment], flags: Iterable[JudgedFlag]) -> list[Label]:
    """Return the episodes of everybody, by subject and onset; several tellings of one are one."""
    series: dict[tuple[str, str], list[Assessment]] = defaultdict(list)
    for each in assessments:
        series[each.subject_id, each.instrument].append(each)
    told = [label for several in series.values() for label in _crossings(several)]
    told += [
        Label(flag.subject_id, flag.since, "flag", "flag outcomes")
        for flag in flags
        if IS_CHANGE.get(flag.outcome, False)
    ]
    return _merged(told)


def _crossings(assessments: Sequence[Assessment]) -> list[Label]:
    """Return where the totals of one scale of one person pass the threshold from below."""
    ordered = sorted(assessments, key=lambda each: each.on)
    found: list[Label] = []
    for before, now in pairwise(ordered):
        known = INSTRUMENTS[now.instrument]
        is_close = (now.on - before.on).days <= LONGEST_BETWEEN_DAYS
        if before.total < known.threshold <= now.total and is_close:
            asked_since = now.on - timedelta(days=known.recall_days - 1)
            onset = max(asked_since, before.on + timedelta(days=1))
            found.append(Label(now.subject_id, onset, now.instrument, "scales"))
    return found


def _merged(told: Sequence[Label]) -> list[Label]:
    """Join tellings of one person that are close: a scale tells before a flag does, then the earliest."""
    merged: list[Label] = []
    for label in sorted(told, key=lambda each: (each.subject_id, each.source != "scales", each.onset)):
        is_known = any(
            label.subject_id == other.subject_id and abs((label.onset - other.onset).days) < SAME_EPISODE_DAYS
            for other in merged
        )
        if not is_known:
            merged.append(label)
    return sorted(merged, key=lambda each: (each.subject_id, each.onset))


@dataclass(frozen=True)
class Labelled:
    """Somebody's days, and which of them are about an episode.

    Attributes
    ----------
    days : Days
    episodes : tuple of (int, Label)
        Day of the onset, within the days or before them.
    """

    days: Days
    episodes: tuple[tuple[int, Label], ...]

    @cached_property
    def judgeable(self) -> tuple[tuple[int, Label], ...]:
        """Episodes that set in after six weeks with data, with data to see them in, and days free of any."""
        possible = set(onsets(self.days).tolist()) if len(self.free_days) else set[int]()
        return tuple((onset, label) for onset, label in self.episodes if onset in possible)

    @cached_property
    def free_days(self) -> NDArray[np.intp]:
        """Days on which an episode might have set in, with none near for as long as one is looked for."""
        return np.array(
            [t for t in onsets(self.days).tolist() if self.is_usual[t : t + FREE_DAYS].all()], np.intp
        )

    @cached_property
    def is_usual(self) -> NDArray[np.bool_]:
        """Say for each day whether it is far from every episode."""
        usual = np.ones(len(self.days), np.bool_)
        for onset, _ in self.episodes:
            usual[max(0, onset - BEFORE_DAYS) : max(0, onset + AFTER_DAYS)] = False
        return usual

    @cached_property
    def is_changed(self) -> NDArray[np.bool_]:
        """Say for each day whether it is one of the first weeks of an episode."""
        changed = np.zeros(len(self.days), np.bool_)
        for onset, _ in self.episodes:
            changed[max(0, onset + FIRST_CHANGED_DAY) : max(0, onset + LAST_CHANGED_DAY)] = True
        return changed


def labelled(people: Sequence[Days], labels: Iterable[Label]) -> list[Labelled]:
    """Return everybody's days with their episodes."""
    of: dict[str, list[Label]] = defaultdict(list)
    for label in labels:
        of[label.subject_id].append(label)
    return [
        Labelled(days, tuple(((label.onset - days.first).days, label) for label in of[days.subject]))
        for days in people
    ]


def check_enough(people: Sequence[Labelled]) -> None:
    """Say how many labels are missing, if there are too few to measure or learn anything.

    Raises
    ------
    CoverageError
        Naming how many there are and how many are needed.
    """
    counted = [[label for _, label in one.judgeable if label.source == "scales"] for one in people]
    episodes, with_any = sum(map(len, counted)), sum(map(bool, counted))
    if episodes < NEEDED_EPISODES or with_any < NEEDED_PEOPLE:
        held = sum(len(one.episodes) for one in people)
        raise CoverageError(
            f"Nothing was measured and nothing learned: {episodes} episodes of {with_any} people are told by "
            "scales on days that can be judged, beside days of the same person without one (of "
            f"{held} in all; {len(people)} people have nights); needed are {NEEDED_EPISODES} of "
            f"{NEEDED_PEOPLE}: record scales every few weeks, before and after"
        )
