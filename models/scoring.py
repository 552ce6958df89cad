"""A table of daily values through the shipped model: scores, tiers, alerts and what stood behind them."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from models.advance import Track
from models.channels import MIN_CHANNELS
from models.daily import Days
from models.monitor import followed
from models.policy import alert_days, tiers
from models.reasons import sentence
from models.risk import Model

WEAR_LOSS_THRESHOLD = 4.0
"""SD of lost days above the person's own share; shown as a matter of contact, never as an alert."""


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
    policy = model.policy(budget)
    track = followed(days, model.weights)
    score, monitored = track.score[:, 0], track.is_monitored
    alerts = alert_days(score, monitored, policy.review)
    reasons = np.full(len(days), "", object)
    for t in np.flatnonzero(alerts):
        reasons[t] = sentence(track, int(t), model.weights)
    return pd.DataFrame(
        {
            "subject": days.subject,
            "date": days.dates.strftime("%Y-%m-%d"),
            "score": score,
            "monitored": monitored,
            "tier": tiers(score, monitored, policy),
            "alert": alerts,
            "state": day_states(track),
            "reasons": reasons,
        }
    )


def day_states(track: Track) -> list[str]:
    """Say of each day whether it was judged, and if not, why not."""
    present = np.isfinite(track.scaled).sum(axis=1)
    lost = np.nan_to_num(track.raw[:, -1]) >= WEAR_LOSS_THRESHOLD
    found: list[str] = []
    for t in range(len(track.scaled)):
        if track.is_monitored[t]:
            found.append("judged")
        elif lost[t]:
            found.append("data lost")
        elif present[t] < MIN_CHANNELS:
            found.append("no data")
        else:
            found.append("learning")
    return found
