"""What the shipped model says of each day of a person: the one path of score, backtest, flags and pages."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.advance import Track
from models.channels import OF_DAYS, FloatArray
from models.daily import Days
from models.monitor import followed
from models.policy import REFRACTORY_DAYS, Tier, alert_days, tiers
from models.risk import Model
from models.sensors import Led

WEAR_LOSS_SD = 4.0
"""SD of lost days above the person's own share."""
LOST_DAYS, LOOKED_DAYS = 3, 7
"""... and so many of the last ones: a day without the wearable, or one that is late, is nobody's concern."""


@dataclass(frozen=True)
class Verdict:
    """Every day of a person as it was judged on that day.

    Attributes
    ----------
    days : Days
    track : Track
        What stands behind it.
    model : Model
    is_heart_alone : (n,) bool
        Whether nothing but heart rate and RMSSD was there to judge by.
    review, watch : (n,) float64
        Thresholds that hold on each day.
    alerts : (n,) bool
        Days on which a change is raised.
    is_lost : (n,) bool
        Days on which so much is missing that it is a matter of contact, never of the person.
    contacts : (n,) bool
        Days on which that is raised.
    """

    days: Days
    track: Track
    model: Model
    is_heart_alone: NDArray[np.bool_]
    review: FloatArray
    watch: FloatArray
    alerts: NDArray[np.bool_]
    is_lost: NDArray[np.bool_]
    contacts: NDArray[np.bool_]

    @property
    def score(self) -> FloatArray:
        """Score of each day; NaN where it cannot be judged."""
        return self.track.score

    @property
    def is_monitored(self) -> NDArray[np.bool_]:
        """Days on which an alert could be raised."""
        return self.track.is_monitored

    @property
    def led(self) -> Led:
        """By which sensor each day is judged."""
        return Led(self.track.segment, self.track.is_other)

    @property
    def is_present(self) -> NDArray[np.bool_]:
        """Days with enough values to be judged, whether or not there is a baseline."""
        return self.track.is_recorded

    def tiers(self) -> list[Tier]:
        """Return the tier of each day."""
        return tiers(self.score, self.is_monitored, review=self.review, watch=self.watch)

    def states(self) -> list[str]:
        """Say of each day whether it was judged, and if not, why not."""
        held = (self.is_monitored, self.is_lost, ~self.is_present)
        return np.select(held, ["judged", "data lost", "no data"], "learning").tolist()

    def chance_frac(self, t: int, changes_per_year: float) -> float:
        """Return the share of chance in alerts at the threshold of day t."""
        return self.model.chance_frac(
            float(self.review[t]), changes_per_year, is_heart_alone=bool(self.is_heart_alone[t])
        )


def verdict_of(days: Days, model: Model, budget: float) -> Verdict:
    """Judge every day of a person by that day and earlier ones, to a budget of false alerts."""
    whole, heart = (model.policy(budget, is_heart_alone=alone) for alone in (False, True))
    track = followed(days, model.weights)
    is_alone = track.is_monitored & ~(track.valid[:, :, OF_DAYS] > 0).any(axis=(1, 2))
    review = np.where(is_alone, heart.review, whole.review)
    is_lost, contacts = lost_days(track)
    return Verdict(
        days=days,
        track=track,
        model=model,
        is_heart_alone=is_alone,
        review=review,
        watch=np.where(is_alone, heart.watch, whole.watch),
        alerts=alert_days(track.score - review, track.is_monitored, 0.0),
        is_lost=is_lost,
        contacts=contacts,
    )


def lost_days(track: Track) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Say on which days data are being lost, and on which of these it is raised: once until they are back."""
    recent = lost_of_recent(track)
    is_lost = (np.nan_to_num(track.raw[:, -1]) >= WEAR_LOSS_SD) & (recent >= LOST_DAYS)
    raised = np.zeros(len(recent), np.bool_)
    last, is_armed = -REFRACTORY_DAYS, True
    for t in range(len(recent)):
        is_armed = is_armed or recent[t] <= 1
        if is_lost[t] and is_armed and t - last >= REFRACTORY_DAYS:
            raised[t], last, is_armed = True, t, False
    return is_lost, raised


def lost_of_recent(track: Track) -> NDArray[np.intp]:
    """Return for each day how many of the last seven had too few values."""
    total = np.concatenate([[0], np.cumsum(~track.is_recorded)])
    end = np.arange(1, len(total))
    return total[end] - total[np.maximum(end - LOOKED_DAYS, 0)]
