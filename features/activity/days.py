"""Activity of every local day, and of a recording as the mean of its valid days."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from features.activity.bouts import ACTIVE, SEDENTARY, UNKNOWN, Bouts, bouts_of
from features.activity.intensity import intensity_gradient
from features.activity.specs import ACTIVITY_SPECS
from features.activity.thresholds import Thresholds, thresholds_of
from features.epochs.epochs import Epochs, FloatArray
from features.epochs.wear import Wear, WearState, wear
from store.local_time import local_wall_ns
from store.nights import local_ns
from store.units import NS_PER_S

MIN_WEAR_FRAC = 0.9
LONG_BOUT_MIN = 10.0

_DAY_NS = 86_400 * NS_PER_S


@dataclass(frozen=True)
class ActivityTable:
    """Values of d local days, first to last, and of the recording.

    Attributes
    ----------
    days : tuple of date
    wear_frac : (d,) float64
        Share of the day, 23 to 25 h long, that was worn.
    is_valid : (d,) bool
    values : mapping of name to (d,) float64
        One per spec; NaN where withheld.
    record : mapping of name to float
        Of valid days together; bouts run across midnight between valid days that follow each other.
    missing : mapping of name to str
        Why a value is withheld although the day is valid.
    """

    days: tuple[date, ...]
    wear_frac: FloatArray
    is_valid: NDArray[np.bool_]
    values: Mapping[str, FloatArray] = field(repr=False)
    record: Mapping[str, float]
    missing: Mapping[str, str]
    min_wear_frac: float

    def refusal(self, day: int) -> str:
        """Return why values of a day are withheld; empty if none is."""
        if not self.is_valid[day]:
            return f"worn {self.wear_frac[day]:.2f} of the day, {self.min_wear_frac:g} needed"
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())

    def record_refusal(self) -> str:
        """Return why values of the recording are withheld; empty if none is."""
        if not self.is_valid.any():
            return (
                f"no day was worn {self.min_wear_frac:g} of its length; the best {self.wear_frac.max():.2f}"
            )
        return "; ".join(f"{name}: {why}" for name, why in self.missing.items())


def activity_table(
    epochs: Epochs,
    worn: Wear | None = None,
    *,
    active: float | None = None,
    moderate: float | None = None,
    min_wear_frac: float = MIN_WEAR_FRAC,
) -> ActivityTable:
    """Compute the values of every local day.

    A day is valid by its worn share; on a valid day every recorded epoch counts but those on the charger, so
    that the little that was not worn is neither guessed nor cut out of bouts (as arctools
    does). Gaps are in no sum and end bouts; nothing is filled.

    Parameters
    ----------
    epochs : Epochs
    worn : Wear, optional
        Decided by the usual rule if not given.
    active, moderate : float, optional
        Per minute; the published bounds of the device and column if not given.
    min_wear_frac : float
        Share of a day, 0-1, from which on it is valid.
    """
    worn = wear(epochs) if worn is None else worn
    bounds = thresholds_of(epochs, active, moderate)
    days, day_of, length = _days(epochs)
    is_used = epochs.is_recorded & (worn.state != WearState.CHARGING)
    wear_frac = np.bincount(day_of[is_used & worn.is_worn], minlength=len(days)) / length
    is_valid = wear_frac >= min_wear_frac - 1e-12
    values = {spec.name: np.full(len(days), np.nan) for spec in ACTIVITY_SPECS}
    for day in np.flatnonzero(is_valid).tolist():
        part = day_of == day
        for name, value in activity_values(epochs, is_used & part, bounds).items():
            values[name][day] = value
    values["wear_min"] = wear_frac * length * epochs.epoch_s / 60
    record = _record(epochs, is_used & is_valid[day_of], bounds, int(is_valid.sum()))
    record["wear_min"] = float(np.mean(values["wear_min"][is_valid])) if is_valid.any() else np.nan
    return ActivityTable(days, wear_frac, is_valid, values, record, _missing(epochs, bounds), min_wear_frac)


def _days(epochs: Epochs) -> tuple[tuple[date, ...], NDArray[np.int64], FloatArray]:
    """Return the local days, the day of each epoch, and how many epochs a day is long."""
    number = local_wall_ns(epochs.start_ns, epochs.zone) // _DAY_NS
    first = date(1970, 1, 1) + timedelta(days=int(number[0]))
    days = tuple(first + timedelta(days=k) for k in range(int(number[-1] - number[0]) + 1))
    midnights = [local_ns(day, 0, epochs.zone) for day in (*days, days[-1] + timedelta(days=1))]
    return days, number - number[0], np.diff(np.array(midnights)) / epochs.epoch_ns


def _record(epochs: Epochs, is_used: NDArray[np.bool_], bounds: Thresholds, days: int) -> dict[str, float]:
    if not days:
        return {spec.name: np.nan for spec in ACTIVITY_SPECS}
    together = activity_values(epochs, is_used, bounds)
    return {name: value / days if name in _PER_DAY else value for name, value in together.items()}


_PER_DAY = frozenset((
    "steps", "tac", "tlac", "active_min", "sedentary_min", "mvpa_min", "mvpa_bouted_min",
    "active_bouts", "sedentary_bouts",
))  # fmt: skip


def activity_values(epochs: Epochs, is_used: NDArray[np.bool_], bounds: Thresholds) -> dict[str, float]:
    """Return the values of the epochs used, as if of one day; NaN where undefined."""
    minutes = epochs.epoch_s / 60
    x = epochs.values[is_used]
    found = {"tac": float(x.sum()), "tlac": float(np.log1p(x).sum())}
    if "steps" in epochs.columns:
        found["steps"] = float(np.nansum(epochs.columns["steps"][is_used]))
    if bounds.active is not None:
        found |= _of_bouts(bouts_of(_states(epochs.values, is_used, bounds.active)), minutes)
    if bounds.moderate is not None:
        lengths = bouts_of(_states(epochs.values, is_used, bounds.moderate)).of(ACTIVE) * minutes
        found["mvpa_min"] = float(lengths.sum())
        found["mvpa_bouted_min"] = float(lengths[lengths >= LONG_BOUT_MIN].sum())
    if epochs.column == "enmo_mg":
        names = ("intensity_gradient", "intensity_intercept", "intensity_r2")
        found |= dict(zip(names, intensity_gradient(x, minutes), strict=True))
    return {spec.name: found.get(spec.name, np.nan) for spec in ACTIVITY_SPECS}


def _states(values: FloatArray, is_used: NDArray[np.bool_], bound: float) -> NDArray[np.int8]:
    return np.where(is_used, np.where(values >= bound, ACTIVE, SEDENTARY), UNKNOWN).astype(np.int8)


def _of_bouts(found: Bouts, minutes: float) -> dict[str, float]:
    active, sedentary = found.of(ACTIVE) * minutes, found.of(SEDENTARY) * minutes
    active_min, sedentary_min = float(active.sum()), float(sedentary.sum())
    return {
        "active_min": active_min,
        "sedentary_min": sedentary_min,
        "active_bouts": float(len(active)),
        "sedentary_bouts": float(len(sedentary)),
        "mean_active_bout_min": _ratio(active_min, len(active)),
        "mean_sedentary_bout_min": _ratio(sedentary_min, len(sedentary)),
        "astp": _ratio(len(active), active_min),
        "satp": _ratio(len(sedentary), sedentary_min),
        "longest_sedentary_min": float(sedentary.max()) if len(sedentary) else 0.0,
    }


def _ratio(above: float, below: float) -> float:
    return above / below if below else np.nan


def _missing(epochs: Epochs, bounds: Thresholds) -> dict[str, str]:
    of = f"{epochs.device or 'this'} {epochs.column}".strip()
    return {
        name: why
        for name, is_absent, why in (
            ("steps", "steps" not in epochs.columns, "the recording holds none"),
            ("bouts", bounds.active is None, f"no bound is known for {of}, name --active-threshold"),
            ("mvpa_min", bounds.moderate is None, f"no bound is known for {of}, name --mvpa-threshold"),
            ("intensity_gradient", epochs.column != "enmo_mg", "defined for enmo_mg alone"),
        )
        if is_absent
    }
