"""Rest, activity and sleep of the shown nights on the wall clock, from the minutes nights are kept in."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from dash import html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient
from dashboard.charts import Chart, aria, table_of
from dashboard.figures import Mark, offset_ns
from dashboard.night_figures import Hypnogram
from dashboard.rasters import (
    BIN_MIN,
    NOT_RECORDED,
    SLEEP_COLORS,
    activity_figure,
    known_mean,
    quarters_said,
    sleep_figure,
)
from dashboard.sources import Sources
from dashboard.words import MISSING, clock_text, day_text, duration_text, percent_text
from features.epochs.wear import WearState
from features.movement.night_minutes import MINUTES_STREAM, NightMinutes, minutes_of_samples
from features.nights import night_key_ns, night_of_key
from features.sleep.hypnogram import SleepStage
from store.units import NS_PER_S

_MINUTES = 1440
_NOT_SCORED = 255
_CODES = {
    SleepStage.WAKE: 0,
    SleepStage.ASLEEP: 1,
    SleepStage.LIGHT: 1,
    SleepStage.NREM: 1,
    SleepStage.DEEP: 2,
    SleepStage.REM: 3,
}
"""What stages are drawn as; where a scorer tells sleep from wake alone, all sleep is light."""
_RHYTHM = (("is_7d", "IS"), ("iv_7d", "IV"), ("ra_7d", "RA"))


@dataclass(frozen=True)
class MoveGrid:
    """Movement of consecutive nights in bins of five minutes, noon to noon on the wall clock.

    Attributes
    ----------
    days : tuple of date
        The mornings of the nights.
    activity : (n, 288) float64
        NaN where not worn or not recorded.
    stages : (n, 288) uint8
        As `sleep_figure` draws them; 255 where nobody could score.
    is_worn : (n, 288) bool
    """

    days: tuple[date, ...]
    activity: NDArray[np.float64]
    stages: NDArray[np.uint8]
    is_worn: NDArray[np.bool_]

    @property
    def has_activity(self) -> bool:
        """Whether anything moved at all."""
        return bool(np.isfinite(self.activity).any())

    @property
    def has_sleep(self) -> bool:
        """Whether any night was scored."""
        return bool((self.stages != _NOT_SCORED).any())

    def by_day(self, parts: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return parts of the nights (n, 288) from midnight to midnight; the last day ends with its night."""
        half = parts.shape[1] // 2
        timeline = np.concatenate([parts.ravel()[half:], np.full(half, np.nan)])
        return timeline.reshape(parts.shape)


def move_grid(sources: Sources, patient: Patient) -> MoveGrid:
    """Return movement and sleep of the shown nights, remembered until a job has run or a night has ended."""
    days, zones = patient.nights.nights[patient.shown], patient.nights.zones[patient.shown]
    key = f"movement {patient.subject.subject_id}"
    run = sources.registry.jobs.latest("features")
    version = days, run and run.ended_ns
    held = sources.remembered.get(key)
    if held is None or held[0] != version:
        held = version, 0, _read(sources, patient.subject.subject_id, days, zones)
        sources.remembered[key] = held
    return held[2]


def _read(sources: Sources, subject_id: str, days: tuple[date, ...], zones: Sequence[str]) -> MoveGrid:
    shape = len(days), _MINUTES
    activity = np.full(shape, np.nan)
    stages = np.full(shape, _NOT_SCORED, np.uint8)
    is_worn = np.zeros(shape, np.bool_)
    held = sources.store.read(MINUTES_STREAM, subject_id, night_key_ns(days[0]), night_key_ns(days[-1]) + 1)
    coded = np.full(256, _NOT_SCORED, np.uint8)
    for stage, code in _CODES.items():
        coded[int(stage)] = code
    for night in minutes_of_samples(held):
        row = (night_of_key(night.key_ns) - days[0]).days
        minute = _wall_minutes(night, zones[row])
        kept = (minute >= 0) & (minute < _MINUTES)
        activity[row, minute[kept]] = night.activity[kept]
        stages[row, minute[kept]] = coded[night.stage[kept].astype(np.uint8)]
        is_worn[row, minute[kept]] = night.wear[kept] == int(WearState.WORN)
    return MoveGrid(days, _means(activity), _most_common(stages), _binned(is_worn).mean(axis=2) >= 0.5)


def _wall_minutes(night: NightMinutes, zone: str) -> NDArray[np.int64]:
    """Return the minute from noon that a clock on the wall shows at each; it is moved twice a year."""
    elapsed = np.arange(len(night), dtype=np.int64)
    begin = offset_ns(night.start_ns, zone)
    end = offset_ns(night.start_ns + len(night) * 60 * NS_PER_S, zone)
    if begin == end:
        return elapsed
    low, high = 0, len(night)
    while high - low > 1:  # the minute in which the clock is moved
        middle = (low + high) // 2
        is_before = offset_ns(night.start_ns + middle * 60 * NS_PER_S, zone) == begin
        low, high = (middle, high) if is_before else (low, middle)
    return elapsed + np.where(elapsed >= high, (end - begin) // (60 * NS_PER_S), 0)


def _binned(minutes: NDArray[np.generic]) -> NDArray[np.generic]:
    return minutes.reshape(len(minutes), -1, BIN_MIN)


def _means(minutes: NDArray[np.float64]) -> NDArray[np.float64]:
    parts = minutes.reshape(len(minutes), -1, BIN_MIN)
    counts = np.isfinite(parts).sum(axis=2)
    sums = np.nansum(parts, axis=2)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def _most_common(stages: NDArray[np.uint8]) -> NDArray[np.uint8]:
    parts = stages.reshape(len(stages), -1, BIN_MIN)
    codes = np.array([0, 1, 2, 3, _NOT_SCORED], np.uint8)
    counts = np.stack([(parts == code).sum(axis=2) for code in codes])
    return codes[counts.argmax(axis=0)]


def hypnogram_of(sources: Sources, subject_id: str, night: date) -> Hypnogram | None:
    """Return the stages of one night; None where nobody could score it."""
    key_ns = night_key_ns(night)
    found = minutes_of_samples(sources.store.read(MINUTES_STREAM, subject_id, key_ns, key_ns + 1))
    if not found or not (found[0].stage >= 0).any():
        return None
    return Hypnogram(found[0].start_ns, found[0].stage)


def activity_card(patient: Patient, grid: MoveGrid, marks: Sequence[Mark]) -> Component:
    """Return rest and activity, two days in a row."""
    days = grid.by_day(grid.activity)
    hours = known_mean(days.reshape(len(days), 24, -1), axis=(0, 2))
    said = ""
    if np.isfinite(hours).any():
        most, least = int(np.nanargmax(hours)), int(np.nanargmin(hours))
        said = f" Most active on average from {most:02d}:00, least from {least:02d}:00."
    share = percent_text(float(np.isfinite(grid.activity).mean()))
    return Chart(
        chart_id="activity-raster",
        heading="Rest and activity, two days in a row",
        key=" · ".join(filter(None, ("dark: active", "gold: not worn", _rhythm_said(patient)))),
        sentence=f"Rest and activity of {len(grid.days)} days; {share} of the time recorded.{said}",
        figure=activity_figure(days, grid.days, marks),
        height_px=430,
        table=table_of(["Day", "00-06", "06-12", "12-18", "18-24"], quarters_said(grid.days, days, 1)),
    ).card()


def _rhythm_said(patient: Patient) -> str:
    """Say how regular the last week was, where there was enough of it."""
    nights = patient.nights
    told: list[str] = []
    for name, short in _RHYTHM:
        held = nights.values[name][-7:] if name in nights.values else np.empty(0)
        held = held[np.isfinite(held)]
        if len(held):
            told.append(f"{short} {held[-1]:.2f}")
    return " ".join(told)


def sleep_card(patient: Patient, grid: MoveGrid, marks: Sequence[Mark]) -> Component:
    """Return sleep from noon to noon."""
    asleep = np.isin(grid.stages, (1, 2, 3))
    minutes = asleep.sum(axis=1) * BIN_MIN
    scored = (grid.stages != _NOT_SCORED).any(axis=1)
    known = minutes[scored]
    usual = duration_text(float(np.median(known)) / 60) if len(known) else MISSING
    rows = [
        [day_text(day), *_night_said(asleep[at], scored=bool(scored[at]))]
        for at, day in reversed(list(enumerate(grid.days)))
    ]
    has_stages = bool(np.isin(grid.stages, (2, 3)).any())
    chart = Chart(
        chart_id="sleep-raster",
        heading="Sleep, noon to noon",
        key=patient.subject.zone,
        sentence=(
            f"Sleep of {int(scored.sum())} of {len(grid.days)} nights from noon to noon; "
            f"median {usual} asleep."
        ),
        figure=sleep_figure(grid.stages, grid.days, marks),
        height_px=406,
        table=table_of(["Night to", "Asleep at", "Awake at", "Asleep"], rows),
    )
    return chart.card(below=_legend(has_stages=has_stages))


def _night_said(asleep: NDArray[np.bool_], *, scored: bool) -> list[str]:
    if not scored or not asleep.any():
        return [MISSING] * 3
    held = np.flatnonzero(asleep)
    ends = [clock_text(12 + at * BIN_MIN / 60) for at in (int(held[0]), int(held[-1]) + 1)]
    return [*ends, duration_text(len(held) * BIN_MIN / 60)]


def _legend(*, has_stages: bool) -> Component:
    words = ("awake", "light", "deep", "REM") if has_stages else ("awake", "asleep")
    chips = [*zip(words, SLEEP_COLORS, strict=False), ("not worn or not scored", NOT_RECORDED)]
    return html.Ul(
        [
            html.Li([html.Span(style={"background": color}, className="chip", **aria(hidden="true")), word])
            for word, color in chips
        ],
        className="color-legend",
    )
