"""The shipped model: arrays beside a JSON card, never a pickle."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from models.advance import STATES, Track, Weights
from models.channels import NAMES, FloatArray
from models.policy import DAYS_PER_MONTH, Policy, threshold_for
from store.errors import ConfigError

SHIPPED = Path(__file__).parent / "shipped" / "personal-change"
WATCH_TIMES = 3.0
"""`watch` is what a budget of so many times the one of `review` would raise."""
LOWEST_BUDGET, HIGHEST_BUDGET = 0.1, 2.0
_HEART = "heart_"
"""Before the names of the arrays of people with heart rate and RMSSD alone."""


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

    def chance_frac(self, threshold: float, changes_per_year: float) -> float:
        """Return the share of chance in alerts at a threshold, where people have so many changes.

        Held-out people give a few false alerts: they can tell about all alerts of a threshold together, not
        about those of one score.
        """
        found = float(np.interp(threshold, self.thresholds, self.found_frac))
        false = float(np.interp(threshold, self.thresholds, self.false_rate))
        true = found * changes_per_year * DAYS_PER_MONTH / 365.25
        return false / max(false + true, 1e-9)


@dataclass(frozen=True)
class Model:
    """Weights, operating curves, and the card that says what they come from.

    Attributes
    ----------
    weights : Weights
    operating, of_heart : Operating
        Of people with all their values, and of the same people with heart rate and RMSSD alone: fewer values
        tell less, so that at one budget more of the alerts of a chest strap alone are chance.
    card : dict
    digest : str
        Of the arrays.
    """

    weights: Weights
    operating: Operating
    of_heart: Operating
    card: dict[str, Any]
    digest: str

    @property
    def detector_id(self) -> str:
        """Name and version."""
        return f"{self.card['name']}/{self.card['version']}"

    def policy(self, budget: float, *, is_heart_alone: bool = False) -> Policy:
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
        curve = self._curve(is_heart_alone=is_heart_alone)
        held = (curve.thresholds, curve.false_rate)
        return Policy(threshold_for(budget, *held), threshold_for(WATCH_TIMES * budget, *held))

    def _curve(self, *, is_heart_alone: bool) -> Operating:
        return self.of_heart if is_heart_alone else self.operating

    def chance_frac(
        self, threshold: float, changes_per_year: float, *, is_heart_alone: bool = False
    ) -> float:
        """Return the share of chance in alerts at a threshold, where people have so many changes."""
        return self._curve(is_heart_alone=is_heart_alone).chance_frac(threshold, changes_per_year)


def logits(track: Track, weights: Weights) -> FloatArray:
    """Return what each state adds to the score of each day, days x states; NaN adds nothing.

    With the intercept they sum to the score, to its limit: the explanation is the model.
    """
    standard = (track.state[:, :-1] - weights.centre) / weights.scale
    return np.where(np.isnan(standard), 0.0, standard * weights.weight)


def save_model(model: Model, stem: Path) -> None:
    """Write STEM.npz and STEM.json."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    w = model.weights
    arrays = {
        "covariance": w.covariance,
        "noise": w.noise,
        "centre": w.centre,
        "scale": w.scale,
        "weight": w.weight,
        "intercept": np.array(w.intercept),
        **_arrays(model.operating, ""),
        **_arrays(model.of_heart, _HEART),
    }
    np.savez(stem.with_suffix(".npz"), allow_pickle=False, **arrays)
    stem.with_suffix(".json").write_text(json.dumps(model.card, indent=2) + "\n", encoding="utf-8")


def _arrays(curve: Operating, prefix: str) -> dict[str, FloatArray]:
    return {prefix + name: held for name, held in vars(curve).items()}


def _operating(arrays: Mapping[str, FloatArray], prefix: str) -> Operating:
    names = Operating.__dataclass_fields__
    return Operating(**{name: arrays[prefix + name] for name in names})


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
    learned = ("covariance", "noise", "centre", "scale", "weight")
    weights = Weights(*(arrays[name] for name in learned), intercept=float(arrays["intercept"]))
    curves = (_operating(arrays, ""), _operating(arrays, _HEART))
    return Model(weights, *curves, card, hashlib.sha256(raw).hexdigest()[:16])


@cache
def shipped_model() -> Model:
    """Return the model that ships, read once a process."""
    return load_model()
