"""The values of one sleep period: half-open, ActiLife's definitions, withheld where too little is scored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.sleep.hypnogram import BoolArray, Hypnogram, SleepStage, runs_of
from features.sleep.specs import specs_of
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

_NAN = float("nan")


@dataclass(frozen=True)
class SleepValues:
    """What one period of sleep says.

    Attributes
    ----------
    start_ns, end_ns : int
        In bed and out of bed, nanoseconds UTC.
    onset_ns, offset_ns : int or None
        First minute asleep, and the one after the last; None if withheld or never asleep.
    values : mapping of name to float
        NaN where withheld.
    coverage_frac : float
        Share of the period that was scored, 0-1.
    withheld : str
        Why values are missing; empty if none is.
    """

    start_ns: int
    end_ns: int
    onset_ns: int | None
    offset_ns: int | None
    values: Mapping[str, float]
    coverage_frac: float
    withheld: str


def clock_h(t_ns: int, zone: str) -> float:
    """Return the local clock time of a moment in hours, 0 to below 24."""
    local = datetime.fromtimestamp(t_ns // NS_PER_S, ZoneInfo(zone))
    return local.hour + local.minute / 60 + (local.second + t_ns % NS_PER_S / NS_PER_S) / 3600


def wake_date(end_ns: int, zone: str) -> date:
    """Return the local date on which a period ends: the night it belongs to, for day sleepers too."""
    return datetime.fromtimestamp((end_ns - 1) // NS_PER_S, ZoneInfo(zone)).date()


def sleep_values(
    scored: Hypnogram,
    start_ns: int,
    end_ns: int,
    zone: str,
    *,
    counts: FloatArray | None = None,
    cut_off: str = "",
) -> SleepValues:
    """Compute the values of one period.

    Parameters
    ----------
    scored : Hypnogram
        Of the recording; the period is the epochs that begin in `[start_ns, end_ns)`.
    start_ns, end_ns : int
        In bed, out of bed; nanoseconds UTC.
    zone : str
        IANA zone of the clock times.
    counts : (n,) float64, optional
        Of all epochs of the recording, for the movement index.
    cut_off : str
        Why the period may not be all of it; then every value but its length is withheld.
    """
    night = scored.between(start_ns, end_ns)
    coverage = float(night.is_scored.mean()) if len(night) else 0.0
    values = dict.fromkeys((spec.name for spec in specs_of("period")), _NAN)
    values["tib_min"] = len(night) * night.epoch_s / 60
    needed = max(spec.min_coverage_frac for spec in specs_of("period"))
    why = cut_off
    if not why and coverage < needed:
        why = f"{100 * coverage:.1f} % of the period scored, {100 * needed:.0f} % needed; check wear"
    if why:
        return SleepValues(start_ns, end_ns, None, None, values, coverage, f"all but tib_min: {why}")
    is_asleep = night.is_asleep
    if not is_asleep.any():
        values |= {"tst_min": 0.0, "se_pct": 0.0}
        missing = "all but tib_min, tst_min, se_pct: no minute scored as sleep"
        return SleepValues(start_ns, end_ns, None, None, values, coverage, missing)
    first, last = int(np.argmax(is_asleep)), len(night) - int(np.argmax(is_asleep[::-1]))
    onset_ns, offset_ns = (night.start_ns + at * night.epoch_ns for at in (first, last))
    values |= _minutes(night, first, last)
    values |= _fragmentation(is_asleep, night.epoch_s, _moving_pct(counts, scored, night))
    values |= {
        "onset_h": clock_h(onset_ns, zone),
        "offset_h": clock_h(offset_ns, zone),
        "midpoint_h": clock_h((onset_ns + offset_ns) // 2, zone),
    }
    values |= _stages(night)
    return SleepValues(start_ns, end_ns, onset_ns, offset_ns, values, coverage, "")


def _minutes(night: Hypnogram, first: int, last: int) -> dict[str, float]:
    per_epoch = night.epoch_s / 60
    is_awake = night.stage == SleepStage.WAKE
    asleep = int(night.is_asleep.sum())
    return {
        "spt_min": (last - first) * per_epoch,
        "tst_min": asleep * per_epoch,
        "sol_min": first * per_epoch,
        "waso_min": int(is_awake[first:].sum()) * per_epoch,
        "se_pct": 100 * asleep / len(night),
        "awakenings": float(len(runs_of(is_awake[first:]))),
    }


def _moving_pct(counts: FloatArray | None, scored: Hypnogram, night: Hypnogram) -> float:
    if counts is None:
        return _NAN
    first = (night.start_ns - scored.start_ns) // scored.epoch_ns
    held = counts[max(first, 0) : max(first + len(night), 0)]
    held = held[np.isfinite(held)]
    return 100 * float((held > 0).mean()) if len(held) else _NAN


def _fragmentation(is_asleep: BoolArray, epoch_s: float, moving_pct: float) -> dict[str, float]:
    bouts = runs_of(is_asleep)
    short_pct = 100 * float(((bouts[:, 1] - bouts[:, 0]) * epoch_s <= 60).mean())
    return {
        "movement_index_pct": moving_pct,
        "fragmentation_index_pct": short_pct,
        "sleep_fragmentation_index_pct": moving_pct + short_pct,
    }


def _stages(night: Hypnogram) -> dict[str, float]:
    """Return minutes of the stages the scorer tells apart; nothing if it knows sleep and wake only."""
    minutes = {stage: int((night.stage == stage).sum()) * night.epoch_s / 60 for stage in SleepStage}
    has_depths = minutes[SleepStage.LIGHT] + minutes[SleepStage.DEEP] > 0
    if not has_depths and minutes[SleepStage.NREM] + minutes[SleepStage.REM] == 0:
        return {}
    nrem = minutes[SleepStage.NREM] + minutes[SleepStage.LIGHT] + minutes[SleepStage.DEEP]
    staged = {"nrem_min": nrem, "rem_min": minutes[SleepStage.REM]}
    if not has_depths:
        return staged
    return {"light_min": minutes[SleepStage.LIGHT], "deep_min": minutes[SleepStage.DEEP], **staged}
