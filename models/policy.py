"""From scores to alerts: budget, hysteresis, a week of rest, and a second alert only when it gets worse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from models.channels import FloatArray

REFRACTORY_DAYS = 7
"""One change is one alert: repeated reminders teach people to ignore them (doi:10.1186/s12911-017-0430-8)."""
HYSTERESIS = 0.5
"""An episode is over when the score fell this far below the threshold."""
WORSENING = 0.75
"""During an episode only a score this far above the last alert's raises another."""
DAYS_PER_MONTH = 30.0
Tier = Literal["none", "watch", "review"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Thresholds on the score.

    Attributes
    ----------
    review : float
        Raises an alert.
    watch : float
        Shown on the dashboard only.
    """

    review: float
    watch: float


def alert_days(score: FloatArray, is_monitored: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    """Say for each day whether an alert is raised on it; from that day and earlier ones only."""
    return _alert_days(score, is_monitored, threshold)


@compiled
def _alert_days(score: FloatArray, is_monitored: NDArray[np.bool_], threshold: float) -> NDArray[np.bool_]:
    raised = np.zeros(len(score), np.bool_)
    last, peak, is_open = -REFRACTORY_DAYS, -np.inf, False
    for t in range(len(score)):
        if not is_monitored[t] or np.isnan(score[t]):
            continue
        if score[t] < threshold - HYSTERESIS:
            is_open = False
        needed = max(threshold, peak + WORSENING) if is_open else threshold
        if score[t] >= needed and t - last >= REFRACTORY_DAYS:
            raised[t], last, peak, is_open = True, t, score[t], True
    return raised


def tiers(
    score: FloatArray, is_monitored: NDArray[np.bool_], *, review: FloatArray, watch: FloatArray
) -> list[Tier]:
    """Return the tier of each day, given the thresholds that hold on it."""
    judged = is_monitored & np.isfinite(score)
    is_review, is_watch = judged & (score >= review), judged & (score >= watch)
    return ["review" if r else "watch" if w else "none" for r, w in zip(is_review, is_watch, strict=True)]


def alert_rate(
    scores: Sequence[FloatArray], monitored: Sequence[NDArray[np.bool_]], threshold: float
) -> float:
    """Return alerts per 30 monitored days of everybody together."""
    days = sum(int(m.sum()) for m in monitored)
    raised = sum(int(alert_days(s, m, threshold).sum()) for s, m in zip(scores, monitored, strict=True))
    return DAYS_PER_MONTH * raised / max(days, 1)


def rate_curve(
    scores: Sequence[FloatArray], monitored: Sequence[NDArray[np.bool_]], points: int = 160
) -> tuple[FloatArray, FloatArray]:
    """Return thresholds, rising, and the alert rate at each, made monotone."""
    held = np.concatenate([s[m & np.isfinite(s)] for s, m in zip(scores, monitored, strict=True)])
    if not len(held):
        return np.zeros(1), np.zeros(1)
    thresholds = np.unique(np.quantile(held, np.linspace(0.5, 1.0, points)))
    rates = np.array([alert_rate(scores, monitored, float(t)) for t in thresholds])
    return thresholds, np.maximum.accumulate(rates[::-1])[::-1]


def threshold_for(budget: float, thresholds: FloatArray, rates: FloatArray) -> float:
    """Return the lowest threshold that keeps to the budget, interpolated between those tried."""
    order = np.argsort(-thresholds, kind="stable")
    return float(np.interp(budget, rates[order], thresholds[order]))
