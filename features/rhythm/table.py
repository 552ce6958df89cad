"""All values of the rhythm of a recording, and of each of its days, shown only where enough is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import Epochs, FloatArray
from features.epochs.specs import MovementSpec
from features.epochs.wear import Wear, wear
from features.rhythm.clock_profile import DAY_S, ClockedValues, clocked, mean_day
from features.rhythm.cosinor import cosinor, phase_shift_h
from features.rhythm.extremes import l5_m10
from features.rhythm.specs import RHYTHM_SPECS
from features.rhythm.stability import is_iv, ism_ivm
from store.local_time import local_wall_ns
from store.units import NS_PER_S

MIN_DAY_FRAC = 0.75
"""A day's own phase needs most of its morning, day and evening."""


@dataclass(frozen=True)
class Rhythm:
    """Values of a recording.

    Attributes
    ----------
    values : mapping of name to float
        One per spec; NaN where withheld.
    withheld : mapping of name to str
        Why.
    days : float
        Days' worth of worn epochs: store it with the values, for IS depends on it.
    coverage_frac : float
        Share of epochs from the first worn to the last that were recorded and worn, 0-1.
    daily : tuple of DayRhythm
    """

    values: Mapping[str, float]
    withheld: Mapping[str, str]
    days: float
    coverage_frac: float
    daily: tuple["DayRhythm", ...]


@dataclass(frozen=True, slots=True)
class DayRhythm:
    """Cosinor of one local day, midnight to midnight.

    Attributes
    ----------
    day : date
    coverage_frac : float
        Of 24 h, 0-1.
    mesor, amplitude, acrophase_h : float
        NaN below `MIN_DAY_FRAC`.
    phase_shift_h : float
        Later than on the day before, -12 to 12; NaN unless both days have a phase.
    """

    day: date
    coverage_frac: float
    mesor: float
    amplitude: float
    acrophase_h: float
    phase_shift_h: float


def rhythm(epochs: Epochs, worn: Wear | None = None) -> Rhythm:
    """Compute the rhythm of the scored column on the local clock; of heart rate in the same way.

    Parameters
    ----------
    epochs : Epochs
        Of a length that divides a day.
    worn : Wear, optional
        Decided by the usual rule if not given. What was not worn is a gap.
    """
    worn = wear(epochs) if worn is None else worn
    held = clocked(epochs, worn.is_worn & epochs.is_recorded)
    daily = _daily(epochs, held)
    there = np.flatnonzero(np.isfinite(held.x))
    coverage = len(there) / float(there[-1] - there[0] + 1) if len(there) else 0.0
    values = _raw_values(held, daily)
    withheld: dict[str, str] = {}
    unseen = int((mean_day(held)[1] == 0).sum())
    for spec in RHYTHM_SPECS:
        why = _refusal(spec, held.days, coverage, unseen if spec.name in _OF_WHOLE_DAY else 0)
        if why or not np.isfinite(values[spec.name]):
            values[spec.name] = np.nan
            withheld[spec.name] = why or "undefined: too few or constant values"
    return Rhythm(values, withheld, held.days, coverage, daily)


_OF_WHOLE_DAY = frozenset(("is", "ism", "l5", "l5_onset_h", "m10", "m10_onset_h", "ra"))


def _refusal(spec: MovementSpec, days: float, coverage: float, unseen: int) -> str:
    if days < spec.min_days:
        return f"{days:.1f} worn days, {spec.min_days} needed"
    if coverage < spec.min_coverage_frac:
        return f"{coverage:.2f} of the recording worn, {spec.min_coverage_frac:g} needed"
    return f"{unseen} epochs of the day were never worn, none may be missing" if unseen else ""


def _raw_values(held: ClockedValues, daily: tuple[DayRhythm, ...]) -> dict[str, float]:
    stability, variability = is_iv(held) if 3600 % held.epoch_s == 0 else (np.nan, np.nan)
    over_bins = ism_ivm(held)
    extremes = l5_m10(mean_day(held)[0])
    fit = cosinor(held)
    shifts = np.abs([day.phase_shift_h for day in daily])
    shown = shifts[np.isfinite(shifts)]
    return {
        "is": stability,
        "iv": variability,
        "ism": over_bins[0],
        "ivm": over_bins[1],
        "l5": extremes.l5,
        "l5_onset_h": extremes.l5_onset_h,
        "m10": extremes.m10,
        "m10_onset_h": extremes.m10_onset_h,
        "ra": extremes.ra,
        "mesor": fit.mesor,
        "amplitude": fit.amplitude,
        "acrophase_h": fit.acrophase_h,
        "cosinor_r2": fit.r2,
        "mesor_se": fit.mesor_se,
        "amplitude_se": fit.amplitude_se,
        "acrophase_se_h": fit.acrophase_se_h,
        "phase_shift_h": float(shown.mean()) if len(shown) else np.nan,
    }


def _daily(epochs: Epochs, held: ClockedValues) -> tuple[DayRhythm, ...]:
    number = local_wall_ns(epochs.start_ns, epochs.zone) // (DAY_S * NS_PER_S)
    days = range(int(number[0]), int(number[-1]) + 2)
    edges = [int(np.searchsorted(number, day)) for day in days]
    fits = [_day_fit(held, first, end) for first, end in pairwise(edges)]
    shifts = phase_shift_h(np.array([fit[3] for fit in fits]))
    first = date(1970, 1, 1) + timedelta(days=int(number[0]))
    return tuple(
        DayRhythm(first + timedelta(days=k), *fit, float(shift))
        for k, (fit, shift) in enumerate(zip(fits, shifts, strict=True))
    )


def _day_fit(held: ClockedValues, first: int, end: int) -> tuple[float, float, float, float]:
    day = ClockedValues(held.x[first:end], held.slot[first:end], held.epoch_s)
    if day.days < MIN_DAY_FRAC:
        return day.days, np.nan, np.nan, np.nan
    fit = cosinor(day)
    return day.days, fit.mesor, fit.amplitude, fit.acrophase_h


def day_profile(epochs: Epochs, is_used: NDArray[np.bool_]) -> FloatArray:
    """Return the mean local day of the epochs used, (per_day,)."""
    return mean_day(clocked(epochs, is_used))[0]
