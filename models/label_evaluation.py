"""The nested evaluation on labels of real people instead of injected changes.

People are left out; weights and thresholds come from the others, thresholds from inner folds that leave
people out again, and only from days far from any episode. What is found by chance is counted in stretches
of the same person that are far from any episode.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.advance import STATES, Track, Weights
from models.channels import NAMES, FloatArray
from models.cohort import onsets
from models.daily import Days
from models.detectors import DETECTORS, judged
from models.evaluation import (
    BUDGETS,
    EARLY_FRAC,
    EMBARGO_DAYS,
    INNER_FOLDS,
    Burden,
    Evaluation,
    Outcome,
    Progress,
    alerts_of,
    delay_of,
    interval,
    joined,
    joined_burden,
)
from models.labels import Labelled, check_enough
from models.monitor import followed
from models.policy import rate_curve, threshold_for
from models.risk import Model, Operating
from models.training import FOLDS, fit, fit_labelled, fold_of, heart_alone, plain_weights
from store.errors import CoverageError

ALL, LATE = "all", "late episodes"
COMPARED = ("risk", "composite", "nightsignal", "missingness_only", "patient_mean", "time_only")
LEARNED = "learned from labels"
NULL_WINDOWS = 40
_FOUND_DAYS = 21
Fit = Callable[[Sequence[Labelled]], Weights]


@dataclass(frozen=True)
class _Scored:
    """A person left out, as one detector scores them."""

    person: Labelled
    score: FloatArray

    @property
    def usual(self) -> FloatArray:
        """Scores of days far from any episode alone."""
        return np.where(self.person.is_usual, self.score, np.nan)


def evaluate_labels(
    people: Sequence[Labelled],
    *,
    seed: int,
    learned_only: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> Evaluation:
    """Measure the shipped method, methods to compare with, and one that learns from these labels.

    Parameters
    ----------
    people : sequence of Labelled
    seed : int
        Of the changes that the shipped method is trained on.
    learned_only : bool
        Only the method that learns from labels.
    progress : callable(what, done, total)

    Raises
    ------
    CoverageError
        If there are too few labels; nothing is trained then.
    """
    check_enough(people)
    return _measured(people, seed, progress, learned_only=learned_only)


def evaluate_by_lot(people: Sequence[Labelled], *, seed: int) -> Evaluation:
    """Measure what learns from labels with every onset moved to a day drawn by lot: no more than chance.

    Raises
    ------
    CoverageError
        If there are too few labels.
    """
    check_enough(people)
    return _measured(permuted(people, seed=seed), seed, learned_only=True)


def _measured(
    people: Sequence[Labelled],
    seed: int,
    progress: Progress = lambda _what, _done, _total: None,
    *,
    learned_only: bool,
) -> Evaluation:
    fold, learned = fold_of([one.days for one in people], FOLDS), _from_labels(people)
    outcomes: dict[tuple[str, float, str], list[Outcome]] = {}
    burdens: dict[tuple[str, float], list[Burden]] = {}
    forward: dict[float, list[Burden]] = {}
    for k in range(FOLDS):
        progress("outer folds", k, FOLDS)
        others = [one for one in people if fold[one.days.subject] != k]
        tested = [one for one in people if fold[one.days.subject] == k]
        simulated = [] if learned_only else [(_simulated(seed + k), COMPARED)]
        for how, names in (*simulated, (learned, (LEARNED,))):
            weights = how(others)
            inner, seen = _inner(others, how), [followed(one.days, weights) for one in tested]
            for name in names:
                scored, held = _score(name, tested, seen), _score(name, others, inner)
                curve, early = _curve(held), _curve([_early(one) for one in held])
                for budget in BUDGETS:
                    threshold, first = threshold_for(budget, *curve), threshold_for(budget, *early)
                    burdens.setdefault((name, budget), []).append(_burden(scored, threshold))
                    for source in (ALL, "scales", "flag outcomes"):
                        outcomes.setdefault((name, budget, source), []).append(
                            _outcome(scored, threshold, source)
                        )
                    outcomes.setdefault((name, budget, LATE), []).append(_outcome(scored, first, LATE))
                    if name == LEARNED:
                        forward.setdefault(budget, []).append(_burden(scored, first, is_late=True))
    progress("outer folds", FOLDS, FOLDS)
    return Evaluation(
        seed,
        len(people),
        sum(bool(one.judgeable) for one in people),
        {key: joined(found) for key, found in outcomes.items() if any(len(one.person) for one in found)},
        {key: joined_burden(found) for key, found in burdens.items()},
        {budget: joined_burden(found) for budget, found in forward.items()},
    )


def permuted(people: Sequence[Labelled], *, seed: int) -> list[Labelled]:
    """Return the same people with each episode moved to a day drawn by lot, as many to each."""
    random = np.random.default_rng(seed)
    moved: list[Labelled] = []
    for one in people:
        possible = onsets(one.days)
        drawn = random.choice(possible, len(one.episodes)) if len(possible) else np.empty(0, np.intp)
        labels = [label for _, label in one.episodes]
        moved.append(Labelled(one.days, tuple(zip(drawn.tolist(), labels, strict=False))))
    return moved


def check_lift(found: Evaluation) -> None:
    """Refuse a method that learned nothing: what it finds of episodes told by scales must be above chance.

    Raises
    ------
    CoverageError
        If the 95 % interval of the lift within 14 days holds 0.
    """
    outcome = found.outcomes[LEARNED, BUDGETS[0], "scales"]
    lift = outcome.found(14) - outcome.null(14)
    low, high = interval(outcome.person, lift)
    if not low > 0:
        raise CoverageError(
            f"These labels taught nothing: within 14 days {100 * outcome.found(14).mean():.0f} % of "
            f"{len(lift)} episodes were found in people left out, {100 * outcome.null(14).mean():.0f} % by "
            f"chance, lift [{100 * low:.0f} to {100 * high:.0f}]; needed is more than 0. No model is made"
        )


def trained_on_labels(people: Sequence[Labelled], *, population: str) -> Model:
    """Return a model of everybody's labels, with the operating curve of models made without each."""
    check_enough(people)
    learned = _from_labels(people)
    whole, of_heart = (_operating(people, learned, worn) for worn in (_as_worn, heart_alone))
    counted = Counter(label.told_by for one in people for _, label in one.judgeable)
    told = ", ".join(f"{count} by {name}" for name, count in sorted(counted.items()))
    card = {
        "name": "labelled-change",
        "version": 1,
        "what": "How like the days of labelled episodes of other people the last days are. Not a diagnosis, "
        "not a risk of harm, not for emergencies.",
        "population": population,
        "people": len(people),
        "labels": f"episodes told: {told}",
        "channels": list(NAMES),
        "states": list(STATES),
    }
    return Model(learned(people), whole, of_heart, card, "")


def _operating(people: Sequence[Labelled], how: Fit, worn: Callable[[Days], Days]) -> Operating:
    """Return the price and the gain at each threshold, with as much of everybody's days as is worn."""
    seen = _score(LEARNED, people, _inner(people, how, worn))
    thresholds, rates = _curve(seen)
    found = [_outcome(seen, float(threshold), ALL).found(_FOUND_DAYS).mean() for threshold in thresholds]
    return Operating(thresholds, rates, np.array(found, np.float64))


def _as_worn(days: Days) -> Days:
    return days


def _simulated(seed: int) -> Fit:
    return lambda people: fit([one.days for one in people], seed=1_000_003 * (seed + 1))


def _from_labels(people: Sequence[Labelled]) -> Fit:
    plain = {one.days.subject: followed(one.days, plain_weights()) for one in people}
    return lambda chosen: fit_labelled(chosen, plain)


def _inner(people: Sequence[Labelled], how: Fit, worn: Callable[[Days], Days] = _as_worn) -> list[Track]:
    """Follow everybody by weights that were made without them."""
    fold = fold_of([one.days for one in people], INNER_FOLDS)
    found: dict[str, Track] = {}
    for k in range(INNER_FOLDS):
        weights = how([one for one in people if fold[one.days.subject] != k])
        found |= {
            one.days.subject: followed(worn(one.days), weights)
            for one in people
            if fold[one.days.subject] == k
        }
    return [found[one.days.subject] for one in people]


def _score(name: str, people: Sequence[Labelled], tracks: Sequence[Track]) -> list[_Scored]:
    detector = DETECTORS["risk" if name == LEARNED else name]
    return [_Scored(one, judged(detector, track)) for one, track in zip(people, tracks, strict=True)]


def _early(one: _Scored) -> _Scored:
    is_early = np.arange(len(one.score)) < round(EARLY_FRAC * len(one.score))
    return _Scored(one.person, np.where(is_early, one.score, np.nan))


def _first_late(one: _Scored) -> int:
    return round(EARLY_FRAC * len(one.score)) + EMBARGO_DAYS


def _curve(held: Sequence[_Scored]) -> tuple[FloatArray, FloatArray]:
    return rate_curve([one.usual for one in held], [np.isfinite(one.usual) for one in held])


def _burden(scored: Sequence[_Scored], threshold: float, *, is_late: bool = False) -> Burden:
    rows: list[tuple[str, int, int, int]] = []
    for one in scored:
        first = _first_late(one) if is_late else 0
        # A second alert of an episode must not count as a false one: alerts are those of all days.
        raised = [
            t for t in alerts_of(one.score, threshold).tolist() if t >= first and one.person.is_usual[t]
        ]
        usual = one.usual[first:]
        rows.append((one.person.days.subject, len(raised), int(np.isfinite(usual).sum()), len(usual)))
    return Burden(
        np.array([row[0] for row in rows], str),
        *(np.array([row[k] for row in rows], np.float64) for k in (1, 2, 3)),
    )


def _outcome(scored: Sequence[_Scored], threshold: float, source: str) -> Outcome:
    """Return the delay of each episode that can be judged, and from days of the same person without one."""
    who: list[str] = []
    delays: list[float] = []
    nulls: list[FloatArray] = []
    for one in scored:
        alerts, free = alerts_of(one.score, threshold), _free(one.person)
        null = np.array([delay_of(alerts, at) for at in free.tolist()], np.float64)
        for onset, label in one.person.judgeable:
            if source in {ALL, label.source} or (source == LATE and onset >= _first_late(one)):
                who.append(one.person.days.subject)
                delays.append(delay_of(alerts, onset))
                nulls.append(null)
    null_delays = np.array(nulls, np.float64).reshape(len(nulls), NULL_WINDOWS)
    return Outcome(np.array(who, str), np.array(delays, np.float64), null_delays)


def _free(person: Labelled) -> NDArray[np.intp]:
    """Return days free of any episode, evenly chosen, as many of everybody who has one."""
    possible = person.free_days
    return (
        possible[np.linspace(0, len(possible) - 1, NULL_WINDOWS).round().astype(int)]
        if len(possible)
        else possible
    )
