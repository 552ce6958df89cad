"""Learn from a population: covariances of windows, a ridge logistic risk, thresholds from held-out people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from models.advance import COURSE_STATES, STATES, Track, Weights
from models.channels import CHANNELS, NAMES, OF_HEART, FloatArray
from models.cohort import Episode, episodes, onsets
from models.course import KEEPS
from models.daily import Days
from models.injector import INJECTOR_VERSION
from models.kernel import WINDOWS
from models.labels import Labelled
from models.monitor import followed
from models.noise import LAGS, deviations, noise_of
from models.policy import alert_days, rate_curve
from models.risk import Model, Operating
from store.errors import DataError

TRAINING_SCENARIOS = ("hetero-moderate", "hetero-severe", "moderate", "mania", "hypersomnia", "ramp-28")
FOLDS = 5
_FIRST_DAY = 3
"""Days of an episode before this are hardly changed and teach nothing."""
_LAST_DAY = 28
_FOUND_DAYS = 21
_MIN_EIGENVALUE = 0.03
_RIDGE = 0.05
"""Shrinks every covariance to its diagonal."""
USED_STATES = ("course",)
"""States the risk looks at; the others are channels of their own, or are there to be compared with."""
LABELLED_STATES = COURSE_STATES
"""The same where real labels say which pattern tells how much."""
PENALTY = 1.0
"""Of the ridge: next to nothing, as the evidence is a logarithm of odds as it is."""


def plain_weights() -> Weights:
    """Return weights for a first pass: they touch neither baselines nor window means."""
    n = len(STATES) - 1
    covariance = np.repeat(np.eye(len(CHANNELS))[None], len(WINDOWS), axis=0)
    noise = np.repeat(np.eye(len(CHANNELS))[None] / len(KEEPS), len(KEEPS), axis=0)
    return Weights(covariance, noise, np.zeros(n), np.ones(n), np.zeros(n), 0.0)


def fold_of(people: Sequence[Days], folds: int = FOLDS) -> dict[str, int]:
    """Deal people to folds, those with the most days first, so that folds weigh alike."""
    order = sorted(people, key=lambda days: (-len(days), days.subject))
    return {days.subject: k % folds for k, days in enumerate(order)}


def window_covariance(tracks: Sequence[Track]) -> FloatArray:
    """Return how window means scatter in people without a change, windows x channels x channels.

    Second moments about 0: a drift of somebody's normal is part of the scatter. Channels never seen are
    taken as independent.
    """
    size = len(CHANNELS)
    covariance = np.empty((len(WINDOWS), size, size))
    for w, window in enumerate(WINDOWS.tolist()):
        means = np.concatenate([track.means[track.is_monitored, w] for track in tracks])
        valid = np.concatenate([track.valid[track.is_monitored, w] for track in tracks])
        means = np.where(valid >= max(2, window / 2), means, np.nan)
        covariance[w] = _second_moments(means, fallback=1.0 / np.sqrt(window))
    return covariance


def _second_moments(rows: FloatArray, *, fallback: float) -> FloatArray:
    held = np.isfinite(rows)
    filled = np.where(held, rows, 0.0)
    both = held.T.astype(float) @ held
    moments = np.where(both >= 100, filled.T @ filled / np.maximum(both, 1), 0.0)
    unseen = np.diag(both) < 100
    moments[np.diag_indices(len(moments))] = np.where(unseen, fallback, np.diag(moments))
    sd = np.sqrt(np.diag(moments))
    correlation = (1 - _RIDGE) * moments / np.outer(sd, sd) + _RIDGE * np.eye(len(sd))
    values, vectors = np.linalg.eigh(correlation)
    whole = (vectors * np.maximum(values, _MIN_EIGENVALUE)) @ vectors.T
    return whole * np.outer(sd, sd)


def _usual_weights(tracks: Sequence[Track]) -> Weights:
    """Return weights without a risk: how days without a change scatter."""
    noise = noise_of([deviations(track) for track in tracks], KEEPS[:, None] ** np.arange(LAGS))
    return plain_weights()._replace(covariance=window_covariance(tracks), noise=noise)


@dataclass(frozen=True)
class _Rows:
    states: FloatArray
    is_changed: NDArray[np.bool_]
    weight: FloatArray


def fit(people: Sequence[Days], *, seed: int, per_person: int = 6) -> Weights:
    """Learn from people without a change, and from changes injected into the same people."""
    first = _usual_weights([followed(days, plain_weights()) for days in people])
    if not any(len(onsets(days)) for days in people):
        raise DataError(
            f"{len(people)} people cannot teach or test a model: nobody has 56 days with at least three "
            "values, 21 of them before and 8 after a possible onset; give longer records"
        )
    injected = episodes(people, TRAINING_SCENARIOS, per_person, seed)
    rows = _rows([followed(d, first) for d in people], injected, first)
    return _logistic(rows, first, USED_STATES)


def fit_labelled(people: Sequence[Labelled], plain: Mapping[str, Track] | None = None) -> Weights:
    """Learn from what was written down: days of labelled episodes against days far from any.

    Parameters
    ----------
    people : sequence of Labelled
    plain : mapping of subject to Track, optional
        Everybody followed by `plain_weights`, where that was done already.

    Raises
    ------
    DataError
        If one of the two kinds of days is missing.
    """
    tracks = [
        plain[d.subject] if plain else followed(d, plain_weights()) for d in (one.days for one in people)
    ]
    usual = [_only(track, one.is_usual) for track, one in zip(tracks, people, strict=True)]
    first = _usual_weights(usual)
    states = [followed(one.days, first) for one in people]
    kinds = [
        np.concatenate([t.state[t.is_monitored & mask, :-1] for t, mask in zip(states, masks, strict=True)])
        for masks in ([one.is_usual for one in people], [one.is_changed for one in people])
    ]
    n_usual, n_changed = map(len, kinds)
    if not n_usual or not n_changed:
        raise DataError(
            f"{len(people)} people cannot teach a model: {n_changed} judged days are of an episode and "
            f"{n_usual} far from any; needed are both"
        )
    weight = np.concatenate([np.ones(n_usual), np.full(n_changed, n_usual / n_changed)])
    rows = _Rows(np.concatenate(kinds), np.arange(n_usual + n_changed) >= n_usual, weight)
    return _logistic(rows, first, LABELLED_STATES)


def _only(track: Track, is_usual: NDArray[np.bool_]) -> Track:
    """Return a track that teaches by some of its days."""
    scaled = np.where(is_usual[:, None], track.scaled, np.nan)
    return track._replace(scaled=scaled, is_monitored=track.is_monitored & is_usual)


def _rows(clean: Sequence[Track], injected: Sequence[Episode], weights: Weights) -> _Rows:
    usual = [track.state[track.is_monitored, :-1] for track in clean]
    changed: list[FloatArray] = []
    for episode in injected:
        track = followed(episode.days, weights)
        day = np.arange(len(episode.days)) - episode.onset
        last = _LAST_DAY + (14 if episode.scenario == "ramp-28" else 0)
        changed.append(track.state[track.is_monitored & (day >= _FIRST_DAY) & (day < last), :-1])
    n_usual, n_changed = sum(map(len, usual)), sum(map(len, changed))
    # Every day without a change counts once; changed days together count as much.
    weight = np.concatenate([np.ones(n_usual), np.full(n_changed, n_usual / n_changed)])
    return _Rows(np.concatenate(usual + changed), np.arange(n_usual + n_changed) >= n_usual, weight)


def _logistic(rows: _Rows, weights: Weights, used: Sequence[str]) -> Weights:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - slow to import, and only to train

    usual = rows.states[~rows.is_changed]
    is_known = np.isfinite(usual).sum(axis=0) > 1
    centre, scale = np.zeros(usual.shape[1]), np.ones(usual.shape[1])
    centre[is_known] = np.nanmean(usual[:, is_known], axis=0)
    scale[is_known] = np.maximum(np.nanstd(usual[:, is_known], axis=0), 1e-6)
    is_used = np.array([name in used for name in STATES[:-1]])
    standard = np.nan_to_num((rows.states - centre) / scale)[:, is_used]
    model = cast("Any", LogisticRegression(C=1 / PENALTY, max_iter=1000))
    model.fit(standard, rows.is_changed, sample_weight=rows.weight)
    weight = np.zeros(len(centre))
    weight[is_used] = model.coef_[0]
    return weights._replace(centre=centre, scale=scale, weight=weight, intercept=float(model.intercept_[0]))


@dataclass(frozen=True)
class HeldOut:
    """One person seen by a model that was made without them: clean days, and episodes."""

    days: Days
    track: Track
    fold: int
    weights: Weights


def held_out(people: Sequence[Days], *, seed: int, folds: int = FOLDS) -> list[HeldOut]:
    """Follow everybody with the model of the others."""
    fold = fold_of(people, folds)
    found: list[HeldOut] = []
    for k in range(folds):
        weights = fit([days for days in people if fold[days.subject] != k], seed=seed)
        found += [
            HeldOut(days, followed(days, weights), k, weights) for days in people if fold[days.subject] == k
        ]
    return found


def operating_curve(
    seen: Sequence[HeldOut], *, seed: int, per_person: int = 8, is_heart_alone: bool = False
) -> Operating:
    """Return false alerts and changes found at each threshold, all on people the scores never met.

    Parameters
    ----------
    is_heart_alone : bool
        As if these people had worn a chest strap and nothing else: changes are injected into everything, then
        all but heart rate and RMSSD are taken away.
    """
    worn = heart_alone if is_heart_alone else as_worn
    tracks = [followed(worn(one.days), one.weights) for one in seen]
    thresholds, rates = rate_curve([t.score for t in tracks], [t.is_monitored for t in tracks])
    followed_episodes = [
        (episode.onset, followed(worn(episode.days), one.weights))
        for one in seen
        for episode in episodes([one.days], ("hetero-moderate",), per_person, seed)
    ]
    found = [
        np.mean([_is_found(track, onset, float(threshold)) for onset, track in followed_episodes] or [0.0])
        for threshold in thresholds
    ]
    return Operating(thresholds, rates, np.array(found, np.float64))


def heart_alone(days: Days) -> Days:
    """Return days as somebody would have them who wears a chest strap and nothing else."""
    return replace(days, values=np.where(OF_HEART, days.values, np.nan))


def as_worn(days: Days) -> Days:
    """Return days as they are."""
    return days


def _is_found(track: Track, onset: int, threshold: float) -> bool:
    raised = alert_days(track.score, track.is_monitored, threshold)
    return bool(raised[onset : onset + _FOUND_DAYS].any())


def train(people: Sequence[Days], *, seed: int, population: str) -> Model:
    """Return a model of everybody, with the operating curve of models made without each."""
    seen, weights = held_out(people, seed=seed), fit(people, seed=seed)
    card = {
        "name": "personal-change",
        "version": 4,
        "what": "How much likelier a person's last weeks are under one of three patterns of simulated change "
        "than under their own usual ups and downs. Not a diagnosis, not a risk of harm, not for emergencies.",
        "population": population,
        "people": len(people),
        "people_with_episodes": sum(len(onsets(days)) > 0 for days in people),
        "monitored_days": int(sum(one.track.is_monitored.sum() for one in seen)),
        "injector_version": INJECTOR_VERSION,
        "scenarios": list(TRAINING_SCENARIOS),
        "seed": seed,
        "folds": FOLDS,
        "penalty": PENALTY,
        "channels": list(NAMES),
        "states": list(STATES),
        "weights": dict(zip(USED_STATES, _used(weights), strict=True)),
        "labels": "simulated only: no label of any patient was seen",
    }
    of_heart = operating_curve(seen, seed=seed + 1, is_heart_alone=True)
    return Model(weights, operating_curve(seen, seed=seed + 1), of_heart, card, "")


def _used(weights: Weights) -> list[float]:
    return [round(float(weights.weight[STATES.index(name)]), 4) for name in USED_STATES]
