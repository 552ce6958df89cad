"""The seven nights up to one: rhythm of movement, regularity of sleep. Like is compared with like alone.

A rhythm is of one sensor and one kind of movement, regularity of one scorer: those of the night itself. Other
nights of the week count as not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from features.movement.minutes import MINUTE_NS
from features.movement.night_minutes import NightMinutes
from features.movement.specs import names_of
from features.rhythm import ClockedValues, cosinor, is_iv, l5_m10, mean_day
from features.rhythm.clock_profile import DAY_S
from features.sleep.hypnogram import Hypnogram, SleepStage
from features.sleep.regularity import (
    MIN_NIGHTS,
    MIN_PAIRED_DAYS,
    circular_mean_h,
    circular_sd_min,
    sleep_regularity_index,
    social_jet_lag_h,
)
from store.local_time import local_wall_ns
from store.units import NS_PER_S

NIGHTS = 7
MIN_DAYS = 5.0
"""IS grows as days become fewer; below five of seven it says more about their number than about anybody."""

_NAN = float("nan")
_RHYTHM, _REGULAR = names_of("rhythm"), names_of("regularity")


@dataclass(frozen=True)
class WeekNight:
    """A night of the week.

    Attributes
    ----------
    night : date
    zone : str
    minutes : NightMinutes
    source : str
        Who found its sleep.
    onset_h, offset_h, midpoint_h : float
        NaN where withheld.
    """

    night: date
    zone: str
    minutes: NightMinutes
    source: str
    onset_h: float
    offset_h: float
    midpoint_h: float


@dataclass(frozen=True)
class WeekValues:
    """What a week says; `days` worn and `nights` with sleep are what it is made of."""

    values: dict[str, float]
    why: dict[str, str]
    days: float
    nights: int


def week_of(week: Sequence[WeekNight]) -> WeekValues:
    """Return the values of the nights up to the last of `week`, at most seven dates, oldest first."""
    newest = week[-1]
    rhythm, no_rhythm, days = _rhythm(week, newest)
    regular, irregular, nights = _regularity(week, newest)
    return WeekValues({**rhythm, **regular}, {**no_rhythm, **irregular}, days, nights)


def _rhythm(week: Sequence[WeekNight], newest: WeekNight) -> tuple[dict[str, float], dict[str, str], float]:
    values = dict.fromkeys(_RHYTHM, _NAN)
    made_by = newest.minutes.sensor, newest.minutes.movement
    if not newest.minutes.movement:
        return values, dict.fromkeys(_RHYTHM, "no movement recorded"), 0.0
    held = _clocked([each for each in week if (each.minutes.sensor, each.minutes.movement) == made_by])
    if held.days < MIN_DAYS:
        seen = f"{held.days:.1f} of the last 7 days worn with sensor {made_by[0]}, {MIN_DAYS:g} needed"
        return values, dict.fromkeys(_RHYTHM, seen), held.days
    stability, variability = is_iv(held)
    extremes, fit = l5_m10(mean_day(held)[0]), cosinor(held)
    values |= {
        "is_7d": stability,
        "iv_7d": variability,
        "ra_7d": extremes.ra,
        "l5_7d": extremes.l5,
        "l5_onset_7d_h": extremes.l5_onset_h,
        "m10_7d": extremes.m10,
        "m10_onset_7d_h": extremes.m10_onset_h,
        "mesor_7d": fit.mesor,
        "amplitude_7d": fit.amplitude,
        "acrophase_7d_h": fit.acrophase_h,
        "cosinor_r2_7d": fit.r2,
    }
    why = "undefined: part of the day was never worn, or nothing ever moved"
    return values, {name: why for name in _RHYTHM if np.isnan(values[name])}, held.days


def _clocked(week: Sequence[WeekNight]) -> ClockedValues:
    """Return the activity of nights on one line of time, each by the local clock of its own zone."""
    first_ns = min(each.minutes.start_ns for each in week)
    count = max(_place(each.minutes, first_ns).stop for each in week)
    x = np.full(count, np.nan)
    # Minutes that belong to no night keep the clock of the newest.
    slot = _slots(first_ns, count, week[-1].zone)
    for each in week:
        at = _place(each.minutes, first_ns)
        x[at] = each.minutes.activity
        slot[at] = _slots(each.minutes.start_ns, len(each.minutes), each.zone)
    return ClockedValues(x, slot, 60.0)


def _place(minutes: NightMinutes, first_ns: int) -> slice:
    at = (minutes.start_ns - first_ns) // MINUTE_NS
    return slice(at, at + len(minutes))


def _slots(start_ns: int, count: int, zone: str) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    starts_ns = start_ns + np.arange(count, dtype=np.int64) * MINUTE_NS
    return (local_wall_ns(starts_ns, zone) % (DAY_S * NS_PER_S)) // MINUTE_NS


def _regularity(week: Sequence[WeekNight], newest: WeekNight) -> tuple[dict[str, float], dict[str, str], int]:
    values = dict.fromkeys(_REGULAR, _NAN)
    if not newest.minutes.scorer:
        return values, dict.fromkeys(_REGULAR, "sleep of this night is not scored"), 0
    alike = [
        each for each in week if (each.minutes.scorer, each.source) == (newest.minutes.scorer, newest.source)
    ]
    known = [each for each in alike if np.isfinite(each.midpoint_h)]
    onset_h, offset_h, midpoint_h = (
        np.array([getattr(each, name) for each in known]) for name in ("onset_h", "offset_h", "midpoint_h")
    )
    sri, days = sleep_regularity_index(_hypnogram(alike))
    values = {
        "sri_7d": sri,
        "onset_sd_7d_min": circular_sd_min(onset_h),
        "offset_sd_7d_min": circular_sd_min(offset_h),
        "midpoint_7d_h": circular_mean_h(midpoint_h) if len(known) >= MIN_NIGHTS else _NAN,
        "social_jet_lag_7d_h": social_jet_lag_h(midpoint_h, [each.night for each in known]),
    }
    why = {
        name: _too_few(name, len(known), days, newest.minutes.scorer)
        for name in _REGULAR
        if np.isnan(values[name])
    }
    return values, why, len(known)


def _too_few(name: str, nights: int, days: float, scorer: str) -> str:
    if name == "sri_7d":
        return f"{days:.1f} days of pairs by {scorer} in the last 7, {MIN_PAIRED_DAYS:g} needed; check wear"
    needed = "2 free and 3 others" if name.startswith("social") else str(MIN_NIGHTS)
    return f"{nights} of the last 7 nights with sleep by {scorer}, {needed} needed; check wear"


def _hypnogram(week: Sequence[WeekNight]) -> Hypnogram:
    first_ns = min(each.minutes.start_ns for each in week)
    stage = np.full(max(_place(each.minutes, first_ns).stop for each in week), SleepStage.UNSCORED, np.int8)
    for each in week:
        stage[_place(each.minutes, first_ns)] = each.minutes.stage
    return Hypnogram(first_ns, 60.0, stage, week[-1].minutes.scorer)
