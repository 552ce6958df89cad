"""What could be found at all: a detector that is told each change, and only not when it set in.

It knows direction, sizes and time course of exactly this change, which no real detector does. The likelihood
ratios of all onsets are summed, and held against a threshold of the same rate of false alerts, from other
people without a change. *Not which days* is not told which days a change leaves out. *Kinds alone* is told no
change: it has other draws of the scenarios of training.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.matched import Whitened, clipped, evidence, noise_of_days, whitened
from benchmarks.table import Row
from models.advance import Track
from models.channels import CHANNELS, FloatArray
from models.cohort import onsets
from models.daily import Days, known_mapping, read_days
from models.evaluation import CORE, alerts_of, delay_of, interval
from models.injector import CONTROLS, SCENARIOS, course, injected
from models.monitor import followed
from models.noise import middle_of
from models.policy import DAYS_PER_MONTH, rate_curve, threshold_for
from models.training import FOLDS, TRAINING_SCENARIOS, fold_of, plain_weights

DAILY = Path(__file__).resolve().parents[2] / "shared" / "data" / "lifesnaps" / "daily.csv.gz"
BUDGET, SEED, PER_PERSON = 0.25, 4711, 4
"""As in docs/evidence.md: the same onsets, the same draws."""
HORIZONS = (14, 21, 35)
_MORE_DAYS = 64
_AFFECTED_FRAC = 0.7
_KINDS_SEED, _KINDS_DRAWN = 501, 20
_REACHES, _LONG = (7, 14, 21, 27, 34), (21, 27, 34)


@dataclass(frozen=True)
class _Person:
    """Clean days, the days followed, and to which fold they were dealt."""

    days: Days
    track: Track
    fold: int
    usual: FloatArray


@dataclass(frozen=True)
class _Course:
    """Weight of each day from the onset, and sizes; `share` is how often it is met."""

    weight: FloatArray
    parts: FloatArray
    share: float = 1.0


@dataclass(frozen=True)
class _Change:
    """Days with a change, and its course as it is told by each name."""

    onset: int
    days: Days
    told: Mapping[str, Sequence[_Course]]


@dataclass(frozen=True)
class _Tried:
    """Days from the onset to an alert, with the change and without, and what the threshold costs."""

    delay: float
    null_delay: float
    alerts: int
    monitored: int
    last_day: int
    subject: str


def run(*, is_full: bool) -> list[Row]:
    """Try the scenarios that every detector is tried on, in some minutes; there is no long version."""
    del is_full
    if not DAILY.is_file():
        raise SystemExit(f"real days are needed: {DAILY} is not there")
    people = _people(read_days(DAILY, known_mapping("lifesnaps")))
    tried: dict[str, list[_Tried]] = {}
    for k in range(FOLDS):
        _try_fold(people, k, tried)
    rows = [row for name, held in tried.items() for row in _rows(name, held)]
    return [*rows, *_reach(tried["ramp-28"])]


def _people(read: Sequence[Days]) -> list[_Person]:
    fold = fold_of(read)
    return [
        _Person(days, followed(days, plain_weights()), fold[days.subject], middle_of(days.values))
        for days in read
    ]


def _try_fold(people: Sequence[_Person], k: int, tried: dict[str, list[_Tried]]) -> None:
    """Try all changes of the people of a fold, by noise and thresholds of the others."""
    others = [one for one in people if one.fold != k]
    parts = noise_of_days([clipped(one.track) for one in others])
    clean = [(one, whitened(one.track, parts)) for one in others if one.track.is_monitored.any()]
    held: dict[bytes, float] = {}
    for one in (one for one in people if one.fold == k):
        usual = whitened(one.track, parts)
        days, nulls = np.flatnonzero(usual.is_monitored), dict[bytes, NDArray[np.intp]]()
        for change in _changes(one.days):
            met = whitened(followed(change.days, plain_weights()), parts)
            for name, told in change.told.items():
                key = b"".join(course.weight.tobytes() + course.parts.tobytes() for course in told)
                if key not in held:
                    held[key] = _threshold([_score(w, told, who.usual) for who, w in clean])
                if key not in nulls:
                    nulls[key] = alerts_of(_score(usual, told, one.usual), held[key])
                found = alerts_of(_score(met, told, one.usual), held[key])
                delays = (delay_of(found, change.onset), delay_of(nulls[key], change.onset))
                counts = (len(nulls[key]), len(days), int(days[-1]) - change.onset)
                tried.setdefault(name, []).append(_Tried(*delays, *counts, one.days.subject))


def _score(seen: Whitened, told: Sequence[_Course], usual: FloatArray) -> FloatArray:
    """Return the likelihood of all courses together, by their shares."""
    each = [evidence(seen, _shape(one, usual)) + np.log(one.share) for one in told]
    with np.errstate(invalid="ignore"):  # days that cannot be judged
        return np.logaddexp.reduce(each, axis=0)


def _changes(days: Days) -> list[_Change]:
    """Return the episodes of the evaluation, with what was drawn for each."""
    random = np.random.default_rng([SEED, *days.subject.encode()])
    kinds, found = _kinds(), list[_Change]()
    for onset in random.permutation(onsets(days))[:PER_PERSON].tolist():
        for name in (*SCENARIOS, *CONTROLS):
            before = deepcopy(random)
            changed = injected(days, onset, name, random)
            if name in CORE:
                exact, mean = _courses(name, onset, len(days), before)
                told = {name: [exact], f"{name}, not which days": [mean], f"{name}, kinds alone": kinds}
                if not SCENARIOS[name].is_hetero:
                    del told[f"{name}, not which days"]
                found.append(_Change(onset, changed, told))
    return found


def _courses(name: str, onset: int, n: int, random: np.random.Generator) -> tuple[_Course, _Course]:
    """Return a change as drawn, and the same without saying which days it leaves out."""
    scenario, again = SCENARIOS[name], deepcopy(random)
    weight, parts = course(n + _MORE_DAYS, onset, scenario, random)
    whole, _ = course(n + _MORE_DAYS, onset, replace(scenario, is_hetero=False), again)
    affected = _AFFECTED_FRAC if scenario.is_hetero else 1.0
    last = int(np.flatnonzero(whole)[-1]) + 1
    return _Course(weight[onset:last], parts), _Course(affected * whole[onset:last], parts)


def _kinds() -> list[_Course]:
    """Draw courses of the scenarios of training, from a stream of their own."""
    random = np.random.default_rng(_KINDS_SEED)
    found: list[_Course] = []
    for name in TRAINING_SCENARIOS:
        draws = _KINDS_DRAWN if SCENARIOS[name].is_hetero else 1
        share = 1 / draws / len(TRAINING_SCENARIOS)
        found += [replace(_courses(name, 0, 0, random)[1], share=share) for _ in range(draws)]
    return found


def _shape(told: _Course, usual: FloatArray) -> FloatArray:
    """Return the shift of every channel from the onset on, on the scale of each."""
    heart, vagal, sleep, movement = (part * told.weight for part in told.parts)
    shape = np.zeros((len(told.weight), len(CHANNELS)))
    for j, channel in enumerate(CHANNELS):
        match channel.group:
            case "heart":
                shape[:, j] = np.log1p(heart)
            case "vagal":
                shape[:, j] = np.log(np.clip(1 + vagal, 0.2, None))
            case "sleep":
                shape[:, j] = sleep
            case "movement":
                moved = usual[j] * np.clip(1 + movement, 0.1, None)
                shape[:, j] = np.log((moved + channel.offset) / (usual[j] + channel.offset))
            case _:
                pass
    return shape


def _threshold(scores: Sequence[FloatArray]) -> float:
    return threshold_for(BUDGET, *rate_curve(scores, [np.isfinite(held) for held in scores]))


def _rows(name: str, tried: Sequence[_Tried]) -> list[Row]:
    rate = DAYS_PER_MONTH * sum(one.alerts for one in tried) / sum(one.monitored for one in tried)
    found = [_found(f"{name}, {horizon} d", tried, horizon) for horizon in HORIZONS]
    return [*found, Row(f"{name}: false alerts", rate, "per 30 days")]


def _found(name: str, tried: Sequence[_Tried], horizon: int) -> Row:
    """Return the share found, in brackets 95 % of people drawn again, then the share without a change."""
    found = np.array([one.delay < horizon for one in tried], np.float64)
    null = 100 * np.mean([one.null_delay < horizon for one in tried])
    low, high = interval(np.array([one.subject for one in tried]), 100 * found)
    return Row(f"{name} [{low:.0f} to {high:.0f}], null {null:.0f}", 100 * float(found.mean()), "%")


def _reach(tried: Sequence[_Tried]) -> list[Row]:
    """Say how many onsets have a day to be judged so long after, and what is found of those."""
    last = np.array([one.last_day for one in tried])
    rows = [
        Row(f"onsets with a judged day {days} d after or later", 100 * float((last >= days).mean()), "%")
        for days in _REACHES
    ]
    for days in _LONG:
        long = [one for one in tried if one.last_day >= days]
        rows.append(_found(f"ramp-28, {len(long)} judged {days} d after", long, HORIZONS[-1]))
    return rows
