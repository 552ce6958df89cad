"""A table of daily values through the shipped model: scores, tiers, alerts and what stood behind them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from models.daily import Days
from models.reasons import sentence
from models.risk import Model
from models.verdict import Verdict, verdict_of


def score_people(
    people: Sequence[Days],
    model: Model,
    budget: float,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> pd.DataFrame:
    """Return a row per subject and day, as `evenkeel score` writes it."""
    tables: list[pd.DataFrame] = []
    for done, days in enumerate(people, 1):
        tables.append(score_person(days, model, budget))
        progress(done, len(people))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def score_person(days: Days, model: Model, budget: float) -> pd.DataFrame:
    """Return the days of one person: score, tier, alert, state and reasons."""
    return table_of(verdict_of(days, model, budget))


def table_of(verdict: Verdict) -> pd.DataFrame:
    """Return a verdict as a table, a row per day."""
    days = verdict.days
    reasons = np.full(len(days), "", object)
    for t in np.flatnonzero(verdict.alerts).tolist():
        reasons[t] = sentence(verdict.track, t, verdict.model.weights)
    return pd.DataFrame(
        {
            "subject": days.subject,
            "date": days.dates.strftime("%Y-%m-%d"),
            "score": verdict.score,
            "monitored": verdict.is_monitored,
            "tier": verdict.tiers(),
            "alert": verdict.alerts,
            "state": verdict.states(),
            "reasons": reasons,
        }
    )
