"""Sleep of a plain epoch file or of a vendor's export: a row per night or session, without any database."""

import gzip
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd

from features.epochs import Epochs
from features.sleep import (
    CountScale,
    Hypnogram,
    Periods,
    Scorer,
    SleepStage,
    SleepValues,
    circular_mean_h,
    circular_sd_min,
    count_scale_of,
    periods_of,
    roenneberg,
    score_epochs,
    sleep_regularity_index,
    sleep_regularity_index_clock,
    sleep_values,
    social_jet_lag_h,
    wake_date,
    zero_runs,
)
from features.sleep.fitbit import hypnogram_of
from features.sleep.hypnogram import BoolArray
from features.sleep.main_sleep import cut_off, nap_values, share_scored, sleep_of_night
from features.sleep.regularity import MIN_NIGHTS, MIN_PAIRED_DAYS
from features.sleep.scorers import paper_scale
from features.sleep.specs import specs_of
from store.errors import ConfigError, RecordingError
from store.fitbit import fitbit_logs
from store.local_time import check_zone, utc_of_local
from store.nights import local_ns, night_bounds_ns, night_of
from store.units import NS_PER_S


@dataclass(frozen=True)
class ScoredSleep:
    """What a file says about sleep.

    Attributes
    ----------
    hypnogram : Hypnogram
    periods : Periods
    frame : DataFrame
        A row per night or session.
    record : dict of str to value
        One row for the whole: regularity, with scorer and number of nights and days behind it.
    notes : tuple of str
        What was decided and a user should know.
    """

    hypnogram: Hypnogram
    periods: Periods
    frame: pd.DataFrame
    record: dict[str, Any]
    notes: tuple[str, ...] = field(default=())


def read_sessions(path: Path, zone: str) -> Periods:
    """Read a table of sessions: `in_bed, out_bed`, local times of the zone unless they carry an offset.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    RecordingError
        If a column or a time is missing, or a session ends before it begins or overlaps the one before.
    """
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name} is no table ({str(error)[:60]}); needed: in_bed,out_bed") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); name another file") from None
    missing = [name for name in ("in_bed", "out_bed") if name not in frame]
    if missing or not len(frame):
        what = f"no column {missing[0]}" if missing else "no rows"
        raise RecordingError(f"{path.name} has {what}; needed: in_bed,out_bed and a row a session")
    starts, ends = (
        local_times_ns(frame[name].astype(str), zone, path.name) for name in ("in_bed", "out_bed")
    )
    wrong = np.flatnonzero((ends <= starts) | np.append(False, starts[1:] < ends[:-1]))
    if len(wrong):
        raise RecordingError(
            f"{path.name}: the session of row {int(wrong[0]) + 1}, {frame['in_bed'].iloc[wrong[0]]}, ends "
            "before it begins, or begins before the one above ends; needed are sessions in order and apart"
        )
    return Periods(starts, ends, "sessions")


def local_times_ns(texts: "pd.Series[str]", zone: str, name: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Return the UTC times of texts, local ones of the zone unless they carry an offset.

    Raises
    ------
    RecordingError
        If one is no time, or some carry an offset and some do not.
    """
    carries = texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    moments = pd.to_datetime(texts, format="ISO8601", errors="coerce", utc=bool(carries.any()))
    wrong = np.flatnonzero(moments.isna() | (carries != bool(carries.any())))
    if len(wrong):
        raise RecordingError(
            f"{name}: time in row {int(wrong[0]) + 1} is {texts.iloc[int(wrong[0])][:40]!r}; needed is one "
            "like 2026-01-05T22:30:00, all with an offset or none"
        )
    times_ns = pd.DatetimeIndex(moments).as_unit("ns").asi8
    return times_ns if carries.any() else utc_of_local(times_ns, zone)[0]


def score_sleep(
    epochs: Epochs, scorer: Scorer, sessions: Periods | None = None, count_factor: float | None = None
) -> ScoredSleep:
    """Score a recording: by its sessions if there are any, else by the periods found in it.

    Runs of zeros of 5 h or more are never sleep: they are left unscored. The one exception is a scorer that
    reproduces another program minute for minute, in sessions that somebody declared; then they are named.

    Raises
    ------
    ConfigError
        If epochs are not minutes.
    """
    scale, notes = _scale(epochs, scorer, count_factor)
    is_still = zero_runs(epochs.values, epochs.epoch_s)
    if sessions is not None and scorer.trusts_sessions:
        notes += _doubts(is_still, epochs, sessions)
        is_still = np.zeros(len(epochs), np.bool_)
    worn = np.where(is_still, np.nan, epochs.values)
    scored = score_epochs(epochs, scorer, scale)
    scored = Hypnogram(
        scored.start_ns,
        scored.epoch_s,
        np.where(is_still, np.int8(SleepStage.UNSCORED), scored.stage),
        scorer.name,
    )
    if is_still.any():
        hours = is_still.sum() * epochs.epoch_s / 3600
        notes += (f"{hours:.1f} h in runs of zeros of 5 h or more are not scored: not worn, or not working",)
    periods = sessions or periods_of(
        roenneberg(worn, epochs.epoch_s), scored.start_ns, epochs.epoch_s, "roenneberg"
    )
    return scored_periods(scored, periods, epochs, notes, count_factor=scale.factor)


def scored_periods(
    scored: Hypnogram,
    periods: Periods,
    epochs: Epochs,
    notes: tuple[str, ...],
    *,
    count_factor: float = float("nan"),
) -> ScoredSleep:
    """Return the rows of periods: one a session, where they were declared, else one a night."""
    found = [_values(scored, periods, k, epochs) for k in range(len(periods))]
    rows = [_row(values, epochs.zone) for values in found]
    if periods.source != "sessions":
        rows = _by_night(found, rows, scored, epochs.zone)
    if periods.source == "hdcza":
        # One period a day, and nothing tells when somebody went to bed.
        rows = [row | dict.fromkeys(("naps", "nap_min", "sol_min"), float("nan")) for row in rows]
    frame = pd.DataFrame(rows).assign(
        scorer=scored.scorer, count_factor=count_factor, epoch_s=scored.epoch_s, period_source=periods.source
    )
    return ScoredSleep(scored, periods, frame, record_row(frame, scored, epochs.zone), epochs.notes + notes)


def _scale(epochs: Epochs, scorer: Scorer, factor: float | None) -> tuple[CountScale, tuple[str, ...]]:
    if factor is not None:
        if not factor > 0:
            raise ConfigError(f"--count-scale {factor:g}; needed is a number above 0")
        return CountScale(factor), ()
    known = count_scale_of(scorer, epochs.device)
    if known is not None:
        return known, ()
    paper = paper_scale(scorer)
    said = (
        f"The scale of the counts is unknown; {scorer.name} takes {epochs.column} times {paper.factor:.4g}, "
        "as its paper does. Units of devices differ up to 100-fold: name the factor with --count-scale"
    )
    return paper, (said,)


def _doubts(is_still: BoolArray, epochs: Epochs, sessions: Periods) -> tuple[str, ...]:
    still = Hypnogram(int(epochs.start_ns[0]), epochs.epoch_s, is_still.astype(np.int8), "zeros")
    hours = [
        (int(start), float(still.between(int(start), int(end)).is_asleep.sum()) * epochs.epoch_s / 3600)
        for start, end in zip(sessions.start_ns, sessions.end_ns, strict=True)
    ]
    return tuple(
        f"The session of {local_text(start, epochs.zone)} holds {length:.1f} h of a run of zeros of "
        "5 h or more, scored as sleep as declared: look whether the wearable was worn"
        for start, length in hours
        if length
    )


def _values(scored: Hypnogram, periods: Periods, k: int, epochs: Epochs) -> SleepValues:
    start_ns, end_ns = int(periods.start_ns[k]), int(periods.end_ns[k])
    why = "" if periods.source == "sessions" else cut_off(scored, start_ns, end_ns)
    counts = epochs.values if len(epochs) == len(scored) else None
    return sleep_values(scored, start_ns, end_ns, epochs.zone, counts=counts, cut_off=why)


def _row(found: SleepValues, zone: str) -> dict[str, Any]:
    return {
        "night": wake_date(found.end_ns, zone).isoformat(),
        "zone": zone,
        "in_bed": local_text(found.start_ns, zone),
        "out_bed": local_text(found.end_ns, zone),
        "onset": local_text(found.onset_ns, zone),
        "offset": local_text(found.offset_ns, zone),
        **found.values,
        "coverage_frac": found.coverage_frac,
        "withheld": found.withheld,
    }


def local_text(t_ns: int | None, zone: str) -> str:
    """Return a moment as local time with its offset; empty for none."""
    if t_ns is None:
        return ""
    return datetime.fromtimestamp(t_ns // NS_PER_S, ZoneInfo(zone)).isoformat()


def _by_night(
    found: list[SleepValues], rows: list[dict[str, Any]], scored: Hypnogram, zone: str
) -> list[dict[str, Any]]:
    """Return a row per night: the longest period that ends on its date, naps beside it; or why none."""
    nights = {night_of(scored.start_ns, zone), night_of(scored.end_ns - 1, zone)}
    labels = [wake_date(values.end_ns, zone) for values in found]
    first, last = min({*nights, *labels}), max({*nights, *labels})
    kept: list[dict[str, Any]] = []
    for night in (first + timedelta(days=k) for k in range((last - first).days + 1)):
        of_night = sleep_of_night(found, night, scored, zone)
        row = _no_period(night, scored, zone) if of_night.main is None else rows[of_night.main]
        kept.append(row | _naps([found[k] for k in of_night.naps], night, scored, zone))
    return kept


def _no_period(night: date, scored: Hypnogram, zone: str) -> dict[str, Any]:
    share = share_scored(scored, *night_bounds_ns(night, zone))
    return {
        "night": night.isoformat(),
        "zone": zone,
        "in_bed": "",
        "out_bed": "",
        "onset": "",
        "offset": "",
        **dict.fromkeys((spec.name for spec in specs_of("period")), float("nan")),
        "coverage_frac": share,
        "withheld": f"all: no night found; {100 * share:.0f} % of noon to noon scored",
    }


def _naps(naps: list[SleepValues], day: date, scored: Hypnogram, zone: str) -> dict[str, Any]:
    share = share_scored(scored, local_ns(day, 0, zone), local_ns(day, 24, zone))
    count, minutes, _ = nap_values(naps, share)
    return {"naps": count, "nap_min": minutes, "day_coverage_frac": share}


def record_row(frame: pd.DataFrame, scored: Hypnogram, zone: str) -> dict[str, Any]:
    """Return the values of all nights together, with what they are made of; None where withheld."""
    known = frame[frame["onset"] != ""].drop_duplicates("night")
    onset_h, offset_h, midpoint_h = (
        known[name].to_numpy(float) for name in ("onset_h", "offset_h", "midpoint_h")
    )
    sri, days = sleep_regularity_index(scored)
    sri_clock, clock_days = sleep_regularity_index_clock(scored, zone)
    nights = [date.fromisoformat(night) for night in known["night"]]
    values = {
        "onset_sd_min": circular_sd_min(onset_h),
        "offset_sd_min": circular_sd_min(offset_h),
        "mean_midpoint_h": circular_mean_h(midpoint_h) if len(known) >= MIN_NIGHTS else float("nan"),
        "social_jet_lag_h": social_jet_lag_h(midpoint_h, nights),
        "sri": sri,
        "sri_clock": sri_clock,
    }
    return {
        "nights": len(known),
        **values,
        "sri_days": days,
        "sri_clock_days": clock_days,
        "scorer": scored.scorer,
        "epoch_s": scored.epoch_s,
        "zone": zone,
        "withheld": _record_withheld(values, len(known), days),
    }


def _record_withheld(values: dict[str, float], nights: int, days: float) -> str:
    missing = [name for name, value in values.items() if np.isnan(value)]
    if not missing:
        return ""
    return (
        f"{', '.join(missing)}: {nights} nights and {days:.1f} days of pairs; needed are {MIN_NIGHTS} nights "
        f"(2 free, 3 work for social jet lag) and {MIN_PAIRED_DAYS:g} days"
    )


def score_fitbit(path: Path, zone: str) -> ScoredSleep:
    """Pass the sleep logs of a Fitbit export through: its own stages, our values, a row per log.

    Raises
    ------
    RecordingError
        If the file is no such export, or holds no logs.
    ConfigError
        If it cannot be read, or the zone does not exist.
    """
    check_zone(zone)
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content).decode()
    except (gzip.BadGzipFile, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path.name} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); name another file") from None
    logs = fitbit_logs(text, zone, path.name)
    if not logs:
        raise RecordingError(f"{path.name} holds no sleep logs; needed is at least one")
    nights = [hypnogram_of(log) for log in logs]
    rows = [_row(sleep_values(night, night.start_ns, night.end_ns, zone), zone) for night in nights]
    frame = pd.DataFrame(rows).assign(scorer="fitbit", epoch_s=nights[0].epoch_s, period_source="fitbit")
    whole, periods = _joined(nights)
    notes = (f"{path.name} has no zone; its times are taken as those of {zone}",)
    return ScoredSleep(whole, periods, frame, _without_sri(record_row(frame, whole, zone)), notes)


def _without_sri(record: dict[str, Any]) -> dict[str, Any]:
    """Withhold what compares days: of pairs of sleep alone nearly all are alike, however irregular it was."""
    why = "sri, sri_clock: nothing tells awake from not worn between the sessions"
    said = "; ".join(filter(None, (record["withheld"], why)))
    return {**record, "sri": float("nan"), "sri_clock": float("nan"), "withheld": said}


def _joined(nights: list[Hypnogram]) -> tuple[Hypnogram, Periods]:
    """Return all logs on one grid; between them nothing is scored, for nobody said that they were awake."""
    first, epoch_ns = nights[0].start_ns, nights[0].epoch_ns
    last = max(night.end_ns for night in nights)
    stage = np.full((last - first) // epoch_ns, SleepStage.UNSCORED, np.int8)
    for night in nights:
        at = (night.start_ns - first) // epoch_ns
        stage[at : at + len(night)] = night.stage[: len(stage) - at]
    starts = np.array([night.start_ns for night in nights], np.int64)
    ends = np.append(np.minimum([night.end_ns for night in nights[:-1]], starts[1:]), nights[-1].end_ns)
    is_apart = ends > starts
    return (
        Hypnogram(first, nights[0].epoch_s, stage, nights[0].scorer),
        Periods(starts[is_apart], ends[is_apart], nights[0].scorer),
    )
