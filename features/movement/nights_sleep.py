"""The sleep of one night: from the wearable's own sessions, the angle of the arm, or counts; or why not.

In this order: who has sessions of the wearable gets those; who has an angle in short epochs, HDCZA and the
scorer of van Hees; who has counts, Roenneberg's periods and the scorer of Cole and Kripke, if their
scale is known.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from features.movement.minutes import MINUTE_NS, Angle, FloatArray, Minutes, Times
from features.movement.moved import Moved
from features.movement.specs import names_of
from features.sleep.angle import ANGLE_SCORER, minute_stages, night_by_angle, sustained_inactivity
from features.sleep.hypnogram import Hypnogram, SleepStage, StageArray, runs_of
from features.sleep.main_sleep import cut_off, nap_values, share_scored, sleep_of_night
from features.sleep.night import SleepValues, sleep_values
from features.sleep.period import calm_change_deg, periods_of, roenneberg
from features.sleep.scorers import count_scale_of, score_counts, scorer_named
from store.nights import local_ns, night_bounds_ns
from store.units import NS_PER_S

COUNT_SCORER = "cole_kripke"
VENDOR, HDCZA, ROENNEBERG = "vendor", "hdcza", "roenneberg"

_SLEEP, _STAGES, _NAPS = names_of("sleep"), names_of("stages"), names_of("naps")
_OF_SCORER = ("tst_min", "waso_min", "se_pct", "awakenings")
_NAN = float("nan")


@dataclass(frozen=True)
class Scored:
    """Minutes of sleep and wake around a night, and the periods found in them.

    Attributes
    ----------
    hypnogram : Hypnogram
        Of minutes.
    periods : tuple of SleepValues
    source : str
        Who found the periods: `vendor`, `hdcza` or `roenneberg`.
    missing : mapping of name to str
        Values that such a source never has, and why.
    """

    hypnogram: Hypnogram
    periods: tuple[SleepValues, ...]
    source: str
    missing: dict[str, str]


@dataclass(frozen=True)
class NightsSleepValues:
    """The values of a night's sleep.

    Attributes
    ----------
    values, why : mapping of name to float, and to the reason of each that is NaN
    coverage_frac : float
        Share of the main period that was scored; without one, of noon to noon.
    period_ns : (int, int)
        Begin and end of the main period; 0, 0 without one.
    scored : Scored or None
    """

    values: dict[str, float]
    why: dict[str, str]
    coverage_frac: float
    period_ns: tuple[int, int] = (0, 0)
    scored: Scored | None = None

    def asleep(self) -> tuple[Times, Times] | None:
        """Return the stretches asleep of the main period, as (starts, ends); None if nothing was scored."""
        if self.scored is None or self.period_ns == (0, 0):
            return None
        part = self.scored.hypnogram.between(*self.period_ns)
        runs_ns = part.start_ns + runs_of(part.is_asleep) * part.epoch_ns
        return runs_ns[:, 0], runs_ns[:, 1]


def no_sleep(why: str) -> NightsSleepValues:
    """Return what there is where sleep cannot be scored."""
    names = (*_SLEEP, *_STAGES, *_NAPS)
    return NightsSleepValues(dict.fromkeys(names, _NAN), dict.fromkeys(names, why), 0.0)


def night_values(scored: Scored, night: date, zone: str) -> NightsSleepValues:
    """Return the values of the night: of the longest period that ends on its date, and of its naps."""
    found = list(scored.periods)
    of_night = sleep_of_night(found, night, scored.hypnogram, zone)
    values = dict.fromkeys((*_SLEEP, *_STAGES, *_NAPS), _NAN)
    why: dict[str, str] = {}
    if of_night.main is None:
        coverage = share_scored(scored.hypnogram, *night_bounds_ns(night, zone))
        why = dict.fromkeys((*_SLEEP, *_STAGES), _not_found(coverage))
        period_ns = (0, 0)
    else:
        main = found[of_night.main]
        values |= {name: main.values.get(name, _NAN) for name in (*_SLEEP, *_STAGES)}
        reason = main.withheld.partition(": ")[2] or "the scorer tells sleep from wake, no stages"
        why = {name: reason for name in (*_SLEEP, *_STAGES) if np.isnan(values[name])}
        coverage, period_ns = main.coverage_frac, (main.start_ns, main.end_ns)
    day_frac = share_scored(scored.hypnogram, local_ns(night, 0, zone), local_ns(night, 24, zone))
    naps, nap_min, no_naps = nap_values([found[k] for k in of_night.naps], day_frac)
    values |= {"naps": naps, "nap_min": nap_min}
    why |= dict.fromkeys(_NAPS, no_naps) if no_naps else {}
    for name, reason in scored.missing.items():
        values[name] = _NAN
        why.setdefault(name, reason)
    return NightsSleepValues(values, why, coverage, period_ns, scored)


def _not_found(scored_frac: float) -> str:
    seen = f"{int(100 * scored_frac + 1e-9)} % of noon to noon scored"
    return f"no main sleep that ends on this date; {seen}; check wear"


def by_vendor(sessions: Sequence[Hypnogram], moved: Moved, zone: str) -> Scored:
    """Pass the wearable's own sessions through; where it was worn outside of them, it saw no sleep."""
    minutes, stage = moved.minutes, _awake_where_worn(moved)
    for session in sessions:
        at = (session.start_ns - minutes.start_ns) // MINUTE_NS
        held = session.stage[:: 60 // round(session.epoch_s)]
        low, high = max(at, 0), min(at + len(held), len(stage))
        stage[low : max(high, low)] = held[low - at : max(high, low) - at]
    periods = tuple(sleep_values(each, each.start_ns, each.end_ns, zone) for each in sessions)
    return Scored(_hypnogram(minutes, stage, VENDOR), periods, VENDOR, {})


def by_angle(angle: Angle, moved: Moved, night: date, zone: str) -> Scored:
    """Find the period by HDCZA, and score it by sustained inactivity."""
    minutes = moved.minutes
    of_minute = (
        angle.start_ns + np.arange(len(angle.deg)) * round(angle.epoch_s * NS_PER_S) - minutes.start_ns
    ) // MINUTE_NS
    deg = np.where(moved.is_worn[np.clip(of_minute, 0, len(minutes) - 1)], angle.deg, np.nan)
    stage = _awake_where_worn(moved)
    found = night_by_angle(calm_change_deg(deg, angle.epoch_s), angle.start_ns, angle.epoch_s, night, zone)
    periods: tuple[SleepValues, ...] = ()
    if found is not None:
        low, high = ((at_ns - minutes.start_ns) // MINUTE_NS for at_ns in found)
        inside = slice(low, high)
        stage[inside] = minute_stages(sustained_inactivity(deg, angle.epoch_s), of_minute, len(stage))[inside]
        span_ns = (minutes.start_ns + low * MINUTE_NS, minutes.start_ns + high * MINUTE_NS)
        scored = _hypnogram(minutes, stage, ANGLE_SCORER)
        periods = (sleep_values(scored, *span_ns, zone, cut_off=cut_off(scored, *span_ns)),)
    missing = {
        "sol_min": "nothing tells when somebody went to bed",
        **dict.fromkeys(_NAPS, "HDCZA finds one period a day"),
    }
    return Scored(_hypnogram(minutes, stage, ANGLE_SCORER), periods, HDCZA, missing)


def by_counts(moved: Moved, zone: str) -> Scored:
    """Find periods by Roenneberg's method; score them where the scale of the counts is known."""
    minutes = moved.minutes
    counts = np.where(moved.is_worn, minutes.counts, np.nan)
    first, end = _extent(counts)  # as of a file that begins and ends there
    bouts = first + roenneberg(counts[first:end], 60.0)
    periods = periods_of(bouts, minutes.start_ns, 60.0, ROENNEBERG)
    scorer = scorer_named(COUNT_SCORER)
    scale = count_scale_of(scorer, moved.device)
    missing = {"sol_min": "nothing tells when somebody went to bed"}
    if scale is None:
        in_period = periods.hold(minutes.starts_ns)
        stage = np.where(np.isnan(counts), SleepStage.UNSCORED, in_period).astype(np.int8)
        why = "the scale of these counts is not known; name the maker of the sensor"
        missing |= dict.fromkeys((*_OF_SCORER, "nap_min"), why)
        name = ROENNEBERG
    else:
        stage, name = score_counts(counts, scorer, scale), scorer.name
    scored = _hypnogram(minutes, stage, name)
    spans = list(zip(periods.start_ns.tolist(), periods.end_ns.tolist(), strict=True))
    found = tuple(sleep_values(scored, *span, zone, cut_off=cut_off(scored, *span)) for span in spans)
    return Scored(scored, found, ROENNEBERG, missing)


def _extent(values: FloatArray) -> tuple[int, int]:
    known = np.flatnonzero(np.isfinite(values))
    return (int(known[0]), int(known[-1]) + 1) if len(known) else (0, 0)


def _awake_where_worn(moved: Moved) -> StageArray:
    return np.where(moved.is_worn, SleepStage.WAKE, SleepStage.UNSCORED).astype(np.int8)


def _hypnogram(minutes: Minutes, stage: StageArray, scorer: str) -> Hypnogram:
    return Hypnogram(minutes.start_ns, 60.0, stage.copy(), scorer)
