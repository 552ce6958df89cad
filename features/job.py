"""The nightly job: RR and pulse intervals of every person and night to windows and one row."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from importlib.metadata import version

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings, settings_hash
from features.nights import (
    NIGHT_STREAM,
    NO_RR,
    NightData,
    NightRow,
    Provenance,
    night_batch,
    night_key_ns,
    night_row,
    with_values,
)
from features.nn import nn_from_rr
from features.nocturnal import week_values
from features.windows import Windows, windows_of
from store.errors import DataError
from store.ledger import Ledger, Use
from store.nights import night_bounds_ns, night_of
from store.registry.people import ZoneHistory
from store.registry.registry import Registry
from store.streams import ACTIVITY_EPOCH, PP_INTERVAL, RR_INTERVAL
from store.timeseries import Batch, Samples, TimeSeriesStore
from store.types import RrSeries
from store.units import NS_PER_S

NIGHTS_A_WRITE = 30
"""About three million beats: a month of one person is computed and written at a time, in bounded memory."""
_MARGIN_NS = 300 * NS_PER_S
"""Read on both sides of a night: the rule for NN intervals looks 128 beats back and ahead, over noon too."""
_NS_PER_DAY = 86_400 * NS_PER_S


@dataclass(frozen=True, slots=True)
class _Span:
    """A night to compute: its zone, and from when to when, nanoseconds UTC."""

    night: date
    zone: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class FeatureRun:
    """How a run went.

    Attributes
    ----------
    nights, withheld : int
        Rows written, and how many of them have a value missing.
    failed : tuple of str
        One sentence for each night that could not be computed.
    """

    job_id: str
    nights: int
    withheld: int
    failed: tuple[str, ...]


def run_features(  # noqa: PLR0913 - one call, every argument named
    store: TimeSeriesStore,
    registry: Registry,
    settings: FeatureSettings,
    *,
    now_ns: int,
    subjects: Sequence[str] | None = None,
    progress: Callable[[str, int, int], None] = lambda _subject, _done, _total: None,
    ledger: Ledger | None = None,
) -> FeatureRun:
    """Compute windows and rows of every night with RR or pulse intervals; idempotent.

    Parameters
    ----------
    now_ns : int
        Written into the rows' provenance.
    subjects : sequence of str, optional
        Only these people; everybody by default.
    progress : callable(subject_id, nights_done, nights_total)
    ledger : Ledger, optional
        Learns how many RR intervals of each hour were made use of.
    """
    code_version, hashed = version("evenkeel"), settings_hash(settings)
    job_id = registry.jobs.start("features", code_version, hashed)
    provenance = Provenance(code_version, hashed, job_id, now_ns)
    known = {subject.subject_id for subject in registry.people.subjects()}
    plan = {
        subject_id: _nights_with_data(store, subject_id, registry.people.zone_history(subject_id))
        for subject_id in subjects or sorted({*store.subjects(RR_INTERVAL), *store.subjects(PP_INTERVAL)})
        if subject_id in known
    }
    total = sum(map(len, plan.values()))
    done = computed = withheld = 0
    failed: list[str] = []
    for subject_id, nights in plan.items():
        for chunk in _chunks(nights):
            rows, batches, uses = _compute(store, subject_id, chunk, settings, failed)
            if rows:
                rows = _with_weeks(store, subject_id, rows)
                store.write([*batches, night_batch(rows, provenance)])
            if ledger is not None:
                ledger.note_used("features", uses)
            computed += len(rows)
            withheld += sum(bool(row.withheld) for row in rows)
            done += len(chunk)
            progress(subject_id, done, total)
    summary = {"nights": computed, "withheld": withheld, "failed": len(failed)}
    registry.jobs.end(job_id, summary)
    return FeatureRun(job_id, summary["nights"], withheld, tuple(failed))


def _nights_with_data(store: TimeSeriesStore, subject_id: str, zones: ZoneHistory) -> list[_Span]:
    """Return the nights from the first beat or pulse to the last, without holes in time.

    Who travels west meets the same date again: that night lasts until the later noon.
    """
    extents = [store.extent(stream, subject_id) for stream in (RR_INTERVAL, PP_INTERVAL)]
    known = [extent for extent in extents if extent is not None]
    if not known:
        return []
    at_ns, last_ns = min(first for first, _ in known), max(last for _, last in known)
    found: dict[date, _Span] = {}
    while at_ns <= last_ns:
        zone = zones.at(at_ns)
        night = night_of(at_ns, zone)
        start_ns, end_ns = night_bounds_ns(night, zone)
        met = found.get(night, _Span(night, zone, start_ns, end_ns))
        found[night] = replace(met, end_ns=end_ns)
        at_ns = end_ns
    return list(found.values())


def _chunks(nights: list[_Span]) -> Iterator[list[_Span]]:
    for k in range(0, len(nights), NIGHTS_A_WRITE):
        yield nights[k : k + NIGHTS_A_WRITE]


def _compute(
    store: TimeSeriesStore,
    subject_id: str,
    nights: list[_Span],
    settings: FeatureSettings,
    failed: list[str],
) -> tuple[list[NightRow], list[Batch], list[Use]]:
    rows: list[NightRow] = []
    batches: list[Batch] = []
    uses: list[Use] = []
    for span in nights:
        try:
            data = _night_data(store, subject_id, span, settings)
            by_sensor = data.by_sensor
            if by_sensor or data.pulse:
                rows.append(night_row(subject_id, span.night, span.zone, data, settings))
                batches.extend(
                    windows.batch(subject_id, sensor)
                    for sensor, (windows, _) in by_sensor.items()
                    if len(windows)
                )
                uses.extend(
                    Use(
                        (subject_id, RR_INTERVAL.name, sensor),
                        windows.start_ns,
                        windows.n_beats,
                        span.start_ns,
                    )
                    for sensor, (windows, _) in by_sensor.items()
                )
            elif data.pulse_failures:
                failed.append(f"{subject_id}, night {span.night}: {'; '.join(data.pulse_failures)}")
        except DataError as error:
            failed.append(f"{subject_id}, night {span.night}: {error}")
    return rows, batches, uses


def _with_weeks(store: TimeSeriesStore, subject_id: str, rows: list[NightRow]) -> list[NightRow]:
    """Return the rows, in order, with the values of the seven nights up to each."""
    first_ns = night_key_ns(rows[0].night)
    before = store.read(NIGHT_STREAM, subject_id, first_ns - 6 * _NS_PER_DAY, first_ns)
    made_by = zip(before["source_sensor"].tolist(), before["ln_rmssd"].tolist(), strict=True)
    by_night: dict[int, tuple[str, float]] = dict(zip(before.t_ns.tolist(), made_by, strict=True))
    completed: list[NightRow] = []
    for row in rows:
        key_ns = night_key_ns(row.night)
        by_night[key_ns] = (row.source_sensor, row.values["ln_rmssd"])
        met = [by_night.get(key_ns - k * _NS_PER_DAY, ("", np.nan)) for k in range(6, -1, -1)]
        # Sensors differ in how they see the same heart: a week is of one.
        week = [value if sensor == row.source_sensor else np.nan for sensor, value in met]
        values, why = week_values(week, row.source_sensor)
        completed.append(with_values(row, (values, why if row.source_sensor else dict.fromkeys(why, NO_RR))))
    return completed


def _night_data(store: TimeSeriesStore, subject_id: str, span: _Span, settings: FeatureSettings) -> NightData:
    """Read one night; pulse intervals that cannot be used cost no others."""
    around = (span.start_ns - _MARGIN_NS, span.end_ns + _MARGIN_NS)
    beats = store.read(RR_INTERVAL, subject_id, *around)
    by_sensor: dict[str, tuple[Windows, int]] = {}
    for sensor in beats.sensors:
        one = beats.of_sensor(sensor)
        if received := _count_inside(one, span):
            by_sensor[sensor] = _windows(one.t_ns, one["rr_ms"], span, settings), received
    pulses = store.read(PP_INTERVAL, subject_id, *around)
    pulse: dict[str, Windows] = {}
    failures: list[str] = []
    for sensor in pulses.sensors:
        one = pulses.of_sensor(sensor)
        # What movement spoilt, or was measured off the skin, is no interval.
        usable = (one["is_blocked"] != 1) & (one["skin_contact"] != 0)
        if _count_inside(one, span):
            try:
                pulse[sensor] = _windows(one.t_ns[usable], one["pp_ms"][usable], span, settings)
            except DataError as error:
                failures.append(f"pulse intervals of {sensor} cannot be used ({error})")
    moved = store.read(ACTIVITY_EPOCH, subject_id, span.start_ns, span.end_ns)
    if moved.sensors:
        counts = np.bincount(moved.sensor_index, minlength=len(moved.sensors))
        moved = moved.of_sensor(moved.sensors[int(np.argmax(counts))])
    has = np.isfinite(moved["enmo_mg"])
    motion = (moved.t_ns[has], moved["enmo_mg"][has])
    return NightData((span.start_ns, span.end_ns), by_sensor, motion, pulse, tuple(failures))


def _count_inside(held: Samples, span: _Span) -> int:
    return int(((held.t_ns >= span.start_ns) & (held.t_ns < span.end_ns)).sum())


def _windows(
    t_ns: NDArray[np.int64], interval_ms: NDArray[np.float64], span: _Span, settings: FeatureSettings
) -> Windows:
    series = RrSeries(t_ns, interval_ms.astype(np.float64))
    return windows_of(nn_from_rr(series), settings.window_s).between(span.start_ns, span.end_ns)
