"""The shipped model over the nightly rows of a person in the store."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from features.nights import Nights
from models.channels import channel_matrix
from models.daily import Days
from models.risk import Model
from models.scoring import score_person
from store.types import Contribution, Flag

_BENIGN = (
    "Ask about illness, alcohol, travel, a new medicine or a changed sensor first. Not a diagnosis, not for "
    "emergencies."
)


@dataclass(frozen=True, slots=True)
class Replayed:
    """A night on which the model would have raised an alert, and why."""

    night: str
    score: float
    chance_frac: float
    reasons: str


def days_of_nights(nights: Nights) -> Days:
    """Return nightly rows as days of channels; whatever channels a person has."""
    values = channel_matrix(nights.values, len(nights))
    return Days(nights.subject_id, nights.nights[0], values, np.full(len(nights), -1, np.int64))


def replayed(
    nights: Nights, model: Model, budget: float, changes_per_year: float
) -> tuple[list[Replayed], dict[str, int]]:
    """Return what would have been raised when, each night judged with what was there by then; and states."""
    if not len(nights):
        return [], {}
    table = score_person(days_of_nights(nights), model, budget)
    nights_told, scores = table["date"].astype(str).tolist(), table["score"].astype(float).tolist()
    reasons = table["reasons"].astype(str).tolist()
    found = [
        Replayed(nights_told[t], scores[t], model.chance_frac(scores[t], changes_per_year), reasons[t])
        for t in np.flatnonzero(table["alert"].to_numpy(bool))
    ]
    states = [str(state) for state in table["state"]]
    return found, {state: states.count(state) for state in sorted(set(states))}


def chance_words(chance_frac: float) -> str:
    """Say how often such an alert is chance."""
    of_ten = min(10, max(0, round(10 * chance_frac)))
    return f"about {of_ten} in 10 such alerts are chance"


def explained(flag: Flag, *, state: str) -> Sequence[str]:
    """Return a flag in lines: what changed, since when, against which own values, how complete."""
    lines = [
        f"{flag.subject_id}, night {flag.night}: a sustained change from this person's own normal, {state}",
        f"Since {flag.since}; {flag.reason}",
    ]
    lines += [_contribution(each) for each in flag.contributions]
    coverage_pct = 100 * flag.coverage_frac
    lines.append(f"Data: {coverage_pct:.0f} % of the judged nights had enough")
    lines.append(
        f"Score {flag.score:.2f}, threshold {flag.threshold:.2f}; {flag.detector_id}, {flag.config_hash}"
    )
    lines.append(_BENIGN)
    return lines


def _contribution(each: Contribution) -> str:
    outside = f"outside on {each.nights_outside} of {each.nights_judged} nights"
    return (
        f"  {each.feature}: {each.value:.2f}, usual {each.usual:.2f}, "
        f"own band {each.low:.2f} to {each.high:.2f}; {outside}, {each.z:+.1f} SD"
    )
