"""How often flags are chance: as the model says, beside what people see who took no part in saying it."""

from pathlib import Path

import numpy as np

from benchmarks.table import Row
from models.cohort import episodes
from models.daily import days_of, known_mapping, read_days
from models.fitbit_days import read_archives
from models.monitor import followed
from models.policy import DAYS_PER_MONTH, alert_days, alert_rate, threshold_for
from models.risk import shipped_model
from models.training import FOLDS, HeldOut, as_worn, heart_alone, held_out, operating_curve

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
DAILY, ARCHIVES = DATA / "lifesnaps" / "daily.csv.gz", DATA / "pmdata"
BUDGETS = (0.25, 0.5, 1.0)
SEED = 4711
_FOUND_DAYS = 21
_CHANGES_PER_YEAR = 1.0


def run(*, is_full: bool) -> list[Row]:
    """Say and see it at three budgets, for all channels and for a strap alone; there is no long version."""
    del is_full
    for needed in (DAILY, ARCHIVES):
        if not needed.exists():
            raise SystemExit(f"real days are needed: {needed} is not there")
    seen = held_out(read_days(DAILY, known_mapping("lifesnaps")), seed=SEED)
    rows = _of_others()
    for is_alone in (False, True):
        for budget in BUDGETS:
            rows += _rows(seen, budget, is_alone=is_alone)
    return rows


def _of_others() -> list[Row]:
    """Count what the shipped model raises in people of another study, from whom nothing was learned."""
    model = shipped_model()
    tracks = [followed(one, model.weights) for one in days_of(read_archives(ARCHIVES), known_mapping(None))]
    scores, monitored = [one.score for one in tracks], [one.is_monitored for one in tracks]
    rows: list[Row] = []
    for budget in BUDGETS:
        rate = alert_rate(scores, monitored, model.policy(budget).review)
        rows.append(Row(f"people of another study, budget {budget}: alerts", rate, "per 30 days", budget))
    return rows


def _rows(seen: list[HeldOut], budget: float, *, is_alone: bool) -> list[Row]:
    said: list[float] = []
    false = months = found = tried = 0.0
    for k in range(FOLDS):
        curve = operating_curve([one for one in seen if one.fold != k], seed=SEED, is_heart_alone=is_alone)
        threshold = threshold_for(budget, curve.thresholds, curve.false_rate)
        said.append(curve.chance_frac(threshold, _CHANGES_PER_YEAR))
        for one in seen:
            if one.fold == k:
                counted = _seen(one, threshold, is_alone=is_alone)
                false, months, found, tried = np.add((false, months, found, tried), counted).tolist()
    true = found / tried * _CHANGES_PER_YEAR * DAYS_PER_MONTH / 365.25
    rate = false / months
    name = f"{'heart alone' if is_alone else 'all channels'}, budget {budget}"
    return [
        Row(f"{name}: chance, as said", 100 * float(np.mean(said)), "%"),
        Row(f"{name}: chance, as seen ({false:.0f} false alerts)", 100 * rate / (rate + true), "%"),
    ]


def _seen(one: HeldOut, threshold: float, *, is_alone: bool) -> tuple[float, float, float, float]:
    """Return false alerts and months of a person, and changes found and tried."""
    worn = heart_alone if is_alone else as_worn
    clean = followed(worn(one.days), one.weights)
    false = alert_days(clean.score, clean.is_monitored, threshold).sum()
    made = episodes([one.days], ("hetero-moderate",), 4, SEED + 2)
    found = 0
    for episode in made:
        track = followed(worn(episode.days), one.weights)
        raised = alert_days(track.score, track.is_monitored, threshold)
        found += bool(raised[episode.onset : episode.onset + _FOUND_DAYS].any())
    return float(false), float(clean.is_monitored.sum() / DAYS_PER_MONTH), float(found), float(len(made))
