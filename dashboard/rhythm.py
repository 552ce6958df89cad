"""Days against hours: what is read for the rasters of a patient, and their cards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import pandas as pd
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient
from dashboard.charts import Chart, table_of
from dashboard.figures import Mark, offset_ns
from dashboard.movement import MoveGrid
from dashboard.pulse import without_contact_removed
from dashboard.rasters import heart_figure, known_mean, quarters_said, worn_figure
from dashboard.sources import Sources
from dashboard.words import day_text, percent_text
from features.windows import read_windows
from store.gaps import Gap
from store.ledger import open_ledger
from store.nights import local_ns
from store.streams import HEART_RATE
from store.units import NS_PER_S

_DAY_NS = 24 * 3600 * NS_PER_S
_WINDOWS_PER_DAY = 288
_SHOWN_PER_DAY = 96
"""A quarter of an hour is a pixel or two."""
_READ_DAYS = 10
"""So much heart rate is held at a time where there are no windows: a million samples."""


@dataclass(frozen=True)
class HeartGrid:
    """Heart rate of each five minutes (days, 288), from midnight on the wall clock; NaN: not recorded."""

    days: tuple[date, ...]
    bpm: NDArray[np.float64]

    def coarse(self) -> NDArray[np.float64]:
        """Return the median of each quarter of an hour, (days, 96)."""
        parts = self.bpm.reshape(len(self.days) * _SHOWN_PER_DAY, -1)
        return percentiles(parts, (50,))[0].reshape(len(self.days), _SHOWN_PER_DAY)


def percentiles(rows: NDArray[np.float64], wanted: Sequence[int]) -> list[NDArray[np.float64]]:
    """Return percentiles of each row (n, parts) without its NaN, nearest rank; NaN where there is no other.

    Twenty times as fast as `nanpercentile`, which goes row by row.

    >>> percentiles(np.array([[3.0, np.nan, 1.0, 2.0]]), (50, 95))
    [array([2.]), array([3.])]
    """
    ordered, counts = np.sort(rows, axis=1), np.isfinite(rows).sum(axis=1)
    at = np.arange(len(rows))
    return [ordered[at, np.rint(q / 100 * np.maximum(counts - 1, 0)).astype(np.intp)] for q in wanted]


def heart_grid(sources: Sources, patient: Patient) -> HeartGrid:
    """Return heart rate by day and time of day, remembered until a job has run or a night has ended."""
    days = patient.nights.nights[patient.shown]
    key = f"heart {patient.subject.subject_id}"
    run = sources.registry.jobs.latest("features")
    version = days, run and run.ended_ns, patient.subject.zone
    held = sources.remembered.get(key)
    if held is None or held[0] != version:
        held = version, 0, _read_heart(sources, patient.subject.subject_id, patient.subject.zone, days)
        sources.remembered[key] = held
    return held[2]


def _read_heart(sources: Sources, subject_id: str, zone: str, days: tuple[date, ...]) -> HeartGrid:
    start_ns = local_ns(days[0], 0, zone)
    end_ns = local_ns(days[-1] + timedelta(days=1), 0, zone)
    windows = read_windows(sources.store, subject_id, start_ns, end_ns)
    if len(windows):
        return HeartGrid(days, binned(windows.start_ns, windows.values["mean_hr_bpm"], zone, days))
    parts = [
        _pulse_means(sources, subject_id, at_ns, min(end_ns, at_ns + _READ_DAYS * _DAY_NS))
        for at_ns in range(start_ns, end_ns, _READ_DAYS * _DAY_NS)
    ]
    t_ns, bpm = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    return HeartGrid(days, binned(t_ns, bpm, zone, days))


def _pulse_means(
    sources: Sources, subject_id: str, start_ns: int, end_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return five-minute means of what a wearable without intervals reported."""
    held = sources.store.read(HEART_RATE, subject_id, start_ns, end_ns)
    bpm = without_contact_removed(held["heart_rate_bpm"], held["skin_contact"])
    seen = np.isfinite(bpm)
    window = held.t_ns[seen] // (300 * NS_PER_S)
    starts, index = np.unique(window, return_inverse=True)
    return starts * (300 * NS_PER_S), np.bincount(index, bpm[seen]) / np.bincount(index)


def binned(
    t_ns: NDArray[np.int64], values: NDArray[np.float64], zone: str, days: Sequence[date]
) -> NDArray[np.float64]:
    """Return the mean value of each five minutes (days, 288) on the wall clock of a zone; NaN without any."""
    local = pd.to_datetime(t_ns, utc=True).tz_convert(zone).tz_localize(None).as_unit("ns").asi8
    first_ns = (days[0] - date(1970, 1, 1)).days * _DAY_NS
    index = (local - first_ns) // (300 * NS_PER_S)
    size = len(days) * _WINDOWS_PER_DAY
    kept = (index >= 0) & (index < size) & np.isfinite(values)
    sums = np.bincount(index[kept], values[kept], size)
    counts = np.bincount(index[kept], minlength=size)
    with np.errstate(invalid="ignore"):
        return np.where(counts, sums / np.maximum(counts, 1), np.nan).reshape(len(days), _WINDOWS_PER_DAY)


def heart_card(patient: Patient, grid: HeartGrid, marks: Sequence[Mark], height_px: int = 430) -> Component:
    """Return heart rate by hour and day."""
    coarse = grid.coarse()
    known = np.isfinite(coarse)
    said = "Heart rate by hour and day: nothing recorded."
    if known.any():
        by_hour = known_mean(coarse, axis=0)
        low, high = np.nanargmin(by_hour), np.nanargmax(by_hour)
        said = (
            f"Heart rate by hour and day, {len(grid.days)} days: lowest on average about "
            f"{_hour(int(low))} ({by_hour[low]:.0f} beats/min), highest about {_hour(int(high))} "
            f"({by_hour[high]:.0f}); {percent_text(float(known.mean()))} of the time recorded."
        )
    return Chart(
        chart_id="hours-chart",
        heading="Heart rate by hour and day",
        key=f"light 45 to dark 130 beats/min · gold: not recorded · {patient.subject.zone}",
        sentence=said,
        figure=heart_figure(coarse, grid.days, marks),
        height_px=height_px,
        table=table_of(["Day", "00-06", "06-12", "12-18", "18-24"], quarters_said(grid.days, grid.bpm)),
    ).card()


def _hour(quarter: int) -> str:
    return f"{quarter // 4:02d}:{quarter % 4 * 15:02d}"


def worn_card(
    sources: Sources, patient: Patient, grid: HeartGrid, moved: MoveGrid, marks: Sequence[Mark]
) -> Component:
    """Return what any wearable recorded hour by hour, and why the rest is missing if that is known."""
    is_held = np.isfinite(grid.bpm) | (moved.by_day(np.where(moved.is_worn, 1.0, 0.0)) == 1)
    share = is_held.reshape(len(grid.days), 24, -1).mean(axis=2).T
    gaps = _gap_words(sources, patient, grid)
    by_day = share.mean(axis=0)
    nights = patient.nights
    reasons = dict(zip(nights.nights, nights.reasons, strict=True))
    rows = [
        [
            day_text(day),
            percent_text(float(part)),
            gaps.by_day.get(day, ""),
            short_reason(reasons.get(day, "")),
        ]
        for day, part in zip(reversed(grid.days), by_day[::-1], strict=True)
    ]
    return Chart(
        chart_id="coverage-chart",
        heading="Recorded, hour by day",
        key="gold: nothing recorded; the reason on pointing, and in the table",
        sentence=(
            f"Recorded hours of {len(grid.days)} days: {percent_text(float(share.mean()))} of all time, "
            f"{int((by_day > 0).sum())} days with any."
        ),
        figure=worn_figure(share, grid.days, gaps.by_hour, marks),
        height_px=120,
        table=table_of(["Day", "Recorded", "Not recorded because", "Night to this day"], rows),
    ).card()


def short_reason(reason: str) -> str:
    """Return why a night has no values without the list of values.

    >>> short_reason("rmssd_ms withheld for S1, night 2026-01-01: 0 % valid, 25 % needed; x for y: z")
    '0 % valid, 25 % needed'
    """
    head, _, told = reason.partition("withheld for ")
    return reason if not told and head else told.partition(": ")[2].partition("; ")[0]


@dataclass(frozen=True)
class _GapWords:
    """Reasons of gaps in words: (24, days) for hovering, and by day for the table."""

    by_hour: list[list[str]]
    by_day: dict[date, str]


def _gap_words(sources: Sources, patient: Patient, grid: HeartGrid) -> _GapWords:
    zone, days = patient.subject.zone, grid.days
    start_ns, end_ns = local_ns(days[0], 0, zone), local_ns(days[-1] + timedelta(days=1), 0, zone)
    ledger = open_ledger(sources.home, sources.clock)
    watched = ledger.coverage([patient.subject.subject_id], start_ns)
    gaps = [gap for day in watched for gap in day.gaps if gap.start_ns < end_ns]
    by_hour = [["% recorded"] * len(days) for _ in range(24)]
    by_day: dict[date, dict[str, float]] = {}
    first_hour = (days[0] - date(1970, 1, 1)).days * 24
    for gap in gaps:
        shift_ns = offset_ns(gap.start_ns, zone)
        for hour_ns in range(gap.start_ns - (gap.start_ns + shift_ns) % _HOUR_NS, gap.end_ns, _HOUR_NS):
            lost_min = _shared_min(gap, hour_ns)
            column, hour = divmod((hour_ns + shift_ns) // _HOUR_NS - first_hour, 24)
            if not 0 <= column < len(days):
                continue
            by_hour[hour][column] += f"; {gap.reason.value} {lost_min:.0f} min" if lost_min >= 1 else ""
            lost = by_day.setdefault(days[column], {})
            lost[gap.reason.value] = lost.get(gap.reason.value, 0.0) + lost_min / 60
    told = {
        day: ", ".join(
            f"{reason} {hours:.1f} h" for reason, hours in sorted(lost.items(), key=lambda i: -i[1])
        )
        for day, lost in by_day.items()
    }
    return _GapWords(by_hour, told)


_HOUR_NS = 3600 * NS_PER_S


def _shared_min(gap: Gap, hour_ns: int) -> float:
    return (min(gap.end_ns, hour_ns + _HOUR_NS) - max(gap.start_ns, hour_ns)) / NS_PER_S / 60
