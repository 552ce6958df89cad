"""The shipped model: arrays beside a JSON card, never a pickle."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from models.advance import STATES, Track, Weights
from models.channels import NAMES, FloatArray
from models.policy import Policy, threshold_for
from store.errors import ConfigError

SHIPPED = Path(__file__).parent / "shipped" / "personal-change"
WATCH_TIMES = 3.0
"""`watch` is what a budget of so many times the one of `review` would raise."""
LOWEST_BUDGET, HIGHEST_BUDGET = 0.1, 2.0


@dataclass(frozen=True)
class Operating:
    """What held-out people showed at each threshold: the price and the gain.

    Attributes
    ----------
    thresholds : (k,) float64
        Rising.
    false_rate : (k,) float64
        Alert episodes per 30 monitored days without a change.
    found_frac : (k,) float64
        Share of hetero-moderate changes that raised an alert within 21 days.
    """

    thresholds: FloatArray
    false_rate: FloatArray
    found_frac: FloatArray


@dataclass(frozen=True)
class Model:
    """Weights, operating curve, and the card that says what they come from."""

    weights: Weights
    operating: Operating
    card: dict[str, Any]
    digest: str

    def policy(self, budget: float) -> Policy:
        """Return the thresholds of a budget in alert episodes per patient-month.

        Raises
        ------
        ConfigError
            If the budget is outside what held-out people can tell about.
        """
        if not LOWEST_BUDGET <= budget <= HIGHEST_BUDGET:
            raise ConfigError(
                f"A budget of {budget} alerts per patient-month cannot be kept; needed is one from "
                f"{LOWEST_BUDGET} to {HIGHEST_BUDGET}"
            )
        curve = (self.operating.thresholds, self.operating.false_rate)
        return Policy(threshold_for(budget, *curve), threshold_for(WATCH_TIMES * budget, *curve))

    def chance_frac(self, score: float, changes_per_year: float) -> float:
        """Return the share of alerts with such a score that are chance, where people have so many changes."""
        found = float(np.interp(score, self.operating.thresholds, self.operating.found_frac))
        false = float(np.interp(score, self.operating.thresholds, self.operating.false_rate))
        true = found * changes_per_year * 30 / 365.25
        return false / max(false + true, 1e-9)


def logits(track: Track, weights: Weights) -> FloatArray:
    """Return what each state adds to the score of each day before smoothing, days x states; NaN adds nothing.

    With the intercept they sum to the logit: the explanation is the model.
    """
    standard = (track.state[:, :-1] - weights.centre) / weights.scale
    return np.where(np.isnan(standard), 0.0, standard * weights.weight)


def save_model(model: Model, stem: Path) -> None:
    """Write STEM.npz and STEM.json."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    w, o = model.weights, model.operating
    np.savez(
        stem.with_suffix(".npz"),
        covariance=w.covariance,
        centre=w.centre,
        scale=w.scale,
        weight=w.weight,
        intercept=np.array(w.intercept),
        thresholds=o.thresholds,
        false_rate=o.false_rate,
        found_frac=o.found_frac,
    )
    stem.with_suffix(".json").write_text(json.dumps(model.card, indent=2) + "\n", encoding="utf-8")


def load_model(stem: Path = SHIPPED) -> Model:
    """Read a model.

    Raises
    ------
    ConfigError
        If a file is missing, or it was made for other channels or states.
    """
    try:
        card = json.loads(stem.with_suffix(".json").read_text(encoding="utf-8"))
        raw = stem.with_suffix(".npz").read_bytes()
        with np.load(stem.with_suffix(".npz"), allow_pickle=False) as held:
            arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError) as error:
        raise ConfigError(f"The model {stem.name} cannot be read ({error}); install evenkeel again") from None
    if card.get("channels") != list(NAMES) or card.get("states") != list(STATES):
        raise ConfigError(
            f"The model {stem.name} was made for other channels or states than this version of evenkeel "
            "has; train it again"
        )
    weights = Weights(
        arrays["covariance"], arrays["centre"], arrays["scale"], arrays["weight"], float(arrays["intercept"])
    )
    operating = Operating(arrays["thresholds"], arrays["false_rate"], arrays["found_frac"])
    return Model(weights, operating, card, hashlib.sha256(raw).hexdigest()[:16])
