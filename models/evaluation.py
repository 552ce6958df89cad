"""Nested evaluation with injected changes: the unit is the episode and the person, never the day."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.advance import Track, Weights, first_days
from models.channels import FloatArray
from models.cohort import Episode, episodes
from models.daily import Days
from models.detectors import DETECTORS, judged
from models.injector import CONTROLS, SCENARIOS
from models.monitor import followed
from models.policy import DAYS_PER_MONTH, alert_days, rate_curve, threshold_for
from models.training import FOLDS, fit, fold_of, held_out

BUDGETS = (0.25, 0.5, 1.0)
HORIZONS = (7, 14, 21, 35)
CORE = ("hetero-moderate", "hetero-severe", "mania", "hypersomnia", "ramp-28", "severe-wear-loss")
"""Scenarios that every detector is tried on; the shipped one is tried on all."""
INNER_FOLDS = 4
_RESAMPLES = 2000
_SHIPPED = "risk"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Seen:
    """A person as one outer fold met them: by weights, and thresholds, that were made without them."""

    days: Days
    fold: int
    weights: Weights
    track: Track
    episodes: tuple[tuple[Episode, Track], ...]


@dataclass(frozen=True)
class Outcome:
    """One detector at one budget, in one scenario.

    Attributes
    ----------
    person : (k,) str
        Whose episode each is.
    delay_days : (k,) float64
        Days from the onset to the first alert; infinite without one.
    null_delay_days : (k,) or (k, m) float64
        The same in the same days without the change, or in m stretches of the same person without one.
    """

    person: NDArray[np.str_]
    delay_days: FloatArray
    null_delay_days: FloatArray

    def found(self, horizon: int) -> FloatArray:
        """Say of each episode whether an alert was raised within so many days."""
        return (self.delay_days < horizon).astype(np.float64)

    def null(self, horizon: int) -> FloatArray:
        """Say the same of the same days without the change."""
        return (self.null_delay_days < horizon).reshape(len(self.person), -1).mean(axis=1)


@dataclass(frozen=True)
class Burden:
    """Alerts in days without a change, person by person."""

    person: NDArray[np.str_]
    alerts: FloatArray
    monitored: FloatArray
    days: FloatArray

    @property
    def rate(self) -> float:
        """Alert episodes per 30 monitored days, everybody together."""
        return DAYS_PER_MONTH * float(self.alerts.sum()) / max(float(self.monitored.sum()), 1.0)

    @property
    def of_people(self) -> FloatArray:
        """The same of each person with at least 14 monitored days."""
        enough = self.monitored >= 14
        return DAYS_PER_MONTH * self.alerts[enough] / self.monitored[enough]


@dataclass(frozen=True)
class Evaluation:
    """Everything measured: outcomes by (detector, budget, scenario), burden by (detector, budget)."""

    seed: int
    people: int
    people_with_episodes: int
    outcomes: Mapping[tuple[str, float, str], Outcome]
    burdens: Mapping[tuple[str, float], Burden]
    forward: Mapping[float, Burden] = field(default_factory=dict[float, Burden])


def evaluate(
    people: Sequence[Days],
    *,
    seed: int,
    per_person: int = 4,
    progress: Progress = lambda _what, _done, _total: None,
) -> Evaluation:
    """Run the standard suite, its controls at `CONTROL_ONSETS` onsets of each person.

    Outer folds leave people out. Within the people that remain weights are learned, and thresholds are taken
    from inner folds that leave people out again; the people left out meet both for the first time.

    Parameters
    ----------
    people : sequence of Days
    seed : int
        Of onsets and of what is drawn in scenarios; training draws from another stream.
    per_person : int
        Onsets of each person and scenario.
    progress : callable(what, done, total)
    """
    fold = fold_of(people)
    outcomes: dict[tuple[str, float, str], list[Outcome]] = {}
    burdens: dict[tuple[str, float], list[Burden]] = {}
    forward: dict[float, list[Burden]] = {}
    names = (*SCENARIOS, *CONTROLS)
    for k in range(FOLDS):
        progress("outer folds", k, FOLDS)
        others = [days for days in people if fold[days.subject] != k]
        lot = _training_seed(seed, k)
        inner = [one.track for one in held_out(others, seed=lot, folds=INNER_FOLDS)]
        weights = fit(others, seed=lot)
        outer = [followed(days, weights) for days in others]
        tested = [days for days in people if fold[days.subject] == k]
        seen = [_seen(days, k, weights, names, per_person, seed) for days in tested]
        for name in DETECTORS:
            curve = _curve(name, inner if name in {_SHIPPED, "patient_mean"} else outer)
            scored = [_scored(name, one) for one in seen]
            for budget in BUDGETS:
                threshold = threshold_for(budget, *curve)
                burdens.setdefault((name, budget), []).append(_burden(seen, scored, threshold))
                for scenario, outcome in _outcomes(scored, threshold).items():
                    outcomes.setdefault((name, budget, scenario), []).append(outcome)
        early = _early_curve(inner)
        for budget in BUDGETS:
            forward.setdefault(budget, []).append(_late_burden(seen, threshold_for(budget, *early)))
    progress("outer folds", FOLDS, FOLDS)
    return Evaluation(
        seed,
        len(people),
        len({str(p) for found in outcomes.values() for one in found for p in one.person}),
        {key: joined(found) for key, found in outcomes.items()},
        {key: joined_burden(found) for key, found in burdens.items()},
        {budget: joined_burden(parts) for budget, parts in forward.items()},
    )


CONTROL_ONSETS = 12
"""A control may be found 2 points more often than the null: of 80 episodes, one is 1.2 points."""


def _training_seed(seed: int, fold: int) -> int:
    return 1_000_003 * (seed + 1) + fold


def _seen(days: Days, fold: int, weights: Weights, names: Sequence[str], per_person: int, seed: int) -> Seen:
    made = [e for e in episodes([days], names, per_person, seed) if e.scenario not in CONTROLS]
    made += episodes([days], tuple(CONTROLS), max(per_person, CONTROL_ONSETS), seed)
    tracks = tuple((episode, followed(episode.days, weights)) for episode in made)
    return Seen(days, fold, weights, followed(days, weights), tracks)


def _curve(name: str, tracks: Sequence[Track]) -> tuple[FloatArray, FloatArray]:
    scores = [judged(DETECTORS[name], track) for track in tracks]
    return rate_curve(scores, [np.isfinite(score) for score in scores])


@dataclass(frozen=True)
class _Scored:
    """One person's scores by one detector: without a change, and of each episode."""

    clean: FloatArray
    episodes: tuple[tuple[Episode, FloatArray], ...]


def _scored(name: str, one: Seen) -> _Scored:
    detector = DETECTORS[name]
    is_tried_on_all = detector.use in {"risk", "contact"}
    return _Scored(
        judged(detector, one.track),
        tuple(
            (episode, judged(detector, track))
            for episode, track in one.episodes
            if is_tried_on_all or episode.scenario in CORE
        ),
    )


def alerts_of(score: FloatArray, threshold: float) -> NDArray[np.intp]:
    """Return the days on which an alert is raised."""
    return np.flatnonzero(alert_days(score, np.isfinite(score), threshold))


def _burden(seen: Sequence[Seen], scored: Sequence[_Scored], threshold: float) -> Burden:
    return Burden(
        np.array([one.days.subject for one in seen], str),
        np.array([len(alerts_of(one.clean, threshold)) for one in scored], np.float64),
        np.array([one.track.is_monitored.sum() for one in seen], np.float64),
        np.array([len(one.days) for one in seen], np.float64),
    )


def _outcomes(scored: Sequence[_Scored], threshold: float) -> dict[str, Outcome]:
    rows: dict[str, list[tuple[str, float, float]]] = {}
    for one in scored:
        clean = alerts_of(one.clean, threshold)
        for episode, score in one.episodes:
            delay = delay_of(alerts_of(score, threshold), episode.onset)
            null = delay_of(clean, episode.onset)
            rows.setdefault(episode.scenario, []).append((episode.subject, delay, null))
    return {scenario: _outcome(found) for scenario, found in rows.items()}


def _outcome(rows: Sequence[tuple[str, float, float]]) -> Outcome:
    return Outcome(
        np.array([row[0] for row in rows], str),
        np.array([row[1] for row in rows], np.float64),
        np.array([row[2] for row in rows], np.float64),
    )


def delay_of(alerts: NDArray[np.intp], onset: int) -> float:
    """Return the days from an onset to the first alert; infinite without one."""
    later = alerts[alerts >= onset]
    return float(later[0] - onset) if len(later) else np.inf


def joined(found: Sequence[Outcome]) -> Outcome:
    """Return the outcomes of all folds as one."""
    return Outcome(
        np.concatenate([one.person for one in found]),
        np.concatenate([one.delay_days for one in found]),
        np.concatenate([one.null_delay_days for one in found]),
    )


def joined_burden(found: Sequence[Burden]) -> Burden:
    """Return the burden of all folds as one."""
    return Burden(
        np.concatenate([one.person for one in found]),
        np.concatenate([one.alerts for one in found]),
        np.concatenate([one.monitored for one in found]),
        np.concatenate([one.days for one in found]),
    )


EARLY_FRAC = 0.6
EMBARGO_DAYS = 21
"""The longest window: no judged day shares a day with those that were learned from."""


def _early_curve(inner: Sequence[Track]) -> tuple[FloatArray, FloatArray]:
    """Return thresholds and rates of the early days alone; scores are causal, so these are as they were."""
    return _curve(_SHIPPED, [first_days(t, max(1, round(EARLY_FRAC * len(t.scaled)))) for t in inner])


def _late_burden(seen: Sequence[Seen], threshold: float) -> Burden:
    """Count the alerts of the late days of people left out, by thresholds of others' early days."""
    rows: list[tuple[str, int, int, int]] = []
    for one in seen:
        first = round(EARLY_FRAC * len(one.days)) + EMBARGO_DAYS
        alerts = alerts_of(judged(DETECTORS[_SHIPPED], one.track), threshold)
        monitored = int(one.track.is_monitored[first:].sum())
        late_days = max(0, len(one.days) - first)
        rows.append((one.days.subject, int((alerts >= first).sum()), monitored, late_days))
    return Burden(
        np.array([row[0] for row in rows], str),
        *(np.array([row[k] for row in rows], np.float64) for k in (1, 2, 3)),
    )


def interval(
    person: NDArray[np.str_], value: FloatArray, *, seed: int = 0, resamples: int = _RESAMPLES
) -> tuple[float, float]:
    """Return the 95 % interval of a mean over episodes when people are drawn again."""
    names, at = np.unique(person, return_inverse=True)
    if len(names) < 2:
        return np.nan, np.nan
    total = np.bincount(at, value, len(names))
    count = np.bincount(at, minlength=len(names)).astype(np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(names), (resamples, len(names)))
    means = total[drawn].sum(axis=1) / count[drawn].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def permuted_lift(outcome: Outcome, horizon: int, *, seed: int, rounds: int = 200) -> float:
    """Return the mean lift after lots say which of the two windows had the change: about 0, or it leaks."""
    difference = outcome.found(horizon) - outcome.null(horizon)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], (rounds, len(difference)))
    return float((signs * difference).mean())
