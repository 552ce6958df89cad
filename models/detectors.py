"""Every detector by name: what it is for, and its score of each day; one contract suite runs over all.

A score of day t is made of days up to t, is NaN where the day cannot be judged, and rises with distance from
the person's own normal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from models import references
from models.advance import STATES, Track
from models.channels import FloatArray

Use = Literal["risk", "state", "contact", "reference", "baseline"]


@dataclass(frozen=True, slots=True)
class Detector:
    """A way to judge days.

    Attributes
    ----------
    name, what : str
    use : {"risk", "state", "contact", "reference", "baseline"}
        The shipped risk; a state it may look at; about contact, never about the person; only to be compared
        with; or what a detector must beat to be worth anything.
    score : callable(Track) -> (n,) float64
    """

    name: str
    what: str
    use: Use
    score: Callable[[Track], FloatArray]


def _state(name: str) -> Callable[[Track], FloatArray]:
    column = STATES.index(name)
    return lambda track: track.state[: len(track.scaled), column]


def _risk(track: Track) -> FloatArray:
    return track.score


_ALL: tuple[Detector, ...] = (
    Detector("risk", "likelihood of a change, whenever it set in: what ships", "risk", _risk),
    Detector("patterns_3d", "likelihood of any pattern, 3 days", "state", _state("any_3d")),
    Detector("patterns_7d", "likelihood of any pattern, 7 days", "state", _state("any_7d")),
    Detector("patterns_14d", "likelihood of any pattern, 14 days", "state", _state("any_14d")),
    Detector("patterns_21d", "likelihood of any pattern, 21 days", "state", _state("any_21d")),
    Detector("arousal_7d", "likelihood of the arousal pattern", "state", _state("arousal_7d")),
    Detector("activation_7d", "likelihood of the activation pattern", "state", _state("activation_7d")),
    Detector("withdrawal_7d", "likelihood of the withdrawal pattern", "state", _state("withdrawal_7d")),
    Detector("composite", "signed composite, EWMA 0.2, own scale", "state", _state("composite_fast")),
    Detector("composite_slow", "signed composite, EWMA 0.07, own scale", "state", _state("composite_slow")),
    Detector("mewma", "MEWMA T2, undirected, own scale", "state", _state("mewma")),
    Detector("variance", "day-to-day variance of a fortnight", "state", _state("variance")),
    Detector("phase", "shift of the middle of sleep", "state", _state("phase")),
    Detector("wear_loss", "days lost against the own share", "contact", _state("wear_loss")),
    Detector(
        "nightsignal", "resting heart rate above usual on two nights", "reference", references.night_signal
    ),
    Detector("cusum", "CUSUM of the composite, capped", "reference", references.cusum),
    Detector("bocpd", "Bayesian online change point of the composite", "reference", references.bocpd),
    Detector("conformal", "conformal p of the composite, betting CUSUM", "reference", references.conformal),
    Detector(
        "isolation_forest", "isolation forest on own past days", "reference", references.isolation_forest
    ),
    Detector("pca", "residual beyond the own principal components", "reference", references.pca),
    Detector(
        "missingness_only", "share of values missing in a fortnight", "baseline", references.missingness
    ),
    Detector("patient_mean", "the person's own mean score so far", "baseline", references.own_mean),
    Detector("time_only", "days since the record began", "baseline", references.time_only),
)
DETECTORS: Mapping[str, Detector] = MappingProxyType({detector.name: detector for detector in _ALL})


def judged(detector: Detector, track: Track) -> FloatArray:
    """Return the score, NaN on days that cannot be judged."""
    score = detector.score(track)
    return np.where(track.is_monitored, score, np.nan)
