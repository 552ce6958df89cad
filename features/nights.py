"""One row per person and night: the markers, how complete they are, and where they come from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings
from features.nocturnal import (
    Found,
    NightHours,
    asleep_values,
    best_by_valid,
    day_values,
    no_pulse,
    pulse_values,
    share,
    still_values,
    window_values,
)
from features.specs import CORE_FEATURES, NIGHT_FEATURES
from features.windows import NO_WINDOWS, Windows
from store.nights import local_ns
from store.streams import Column, Stream
from store.timeseries import NO_SENSOR, Batch, TimeSeriesStore
from store.units import NS_PER_S

NIGHT_STREAM = Stream(
    "night",
    "Markers of one night; the time is midnight UTC of the date of its morning, whatever the zone",
    (
        *(Column(spec.name, "float64", spec.meaning, spec.unit) for spec in NIGHT_FEATURES),
        Column("coverage_frac", "float64", "Share of the nocturnal windows with a valid RMSSD, 0-1"),
        Column(
            "prv_coverage_frac",
            "float64",
            "Share of the nocturnal windows with a valid RMSSD of pulse intervals, 0-1; missing without any",
        ),
        Column("zone", "utf8", "IANA zone of the night"),
        Column(
            "source_sensor", "utf8", "Sensor of RR intervals that saw most of the night; empty without any"
        ),
        Column("withheld", "utf8", "Why values of the first five markers are missing; empty if none is"),
        Column("withheld_more", "utf8", "Why further markers are missing; empty if none is"),
        Column("windows_valid", "int64", "Nocturnal windows with a valid RMSSD"),
        Column("beats_received", "int64", "RR intervals of the sensor in the noon-to-noon span"),
        Column("beats_used", "int64", "NN intervals in the valid nocturnal windows"),
        Column("code_version", "utf8", "Version of evenkeel that computed the row"),
        Column("settings_hash", "utf8", "Hash of the feature settings"),
        Column("job_id", "utf8", "Run that computed the row"),
        Column("computed_ns", "int64", "When, nanoseconds UTC", "ns"),
    ),
    family="features",
)
NO_RR = "no RR intervals recorded"


@dataclass(frozen=True, slots=True)
class Provenance:
    """What made a row: code, settings, run, time."""

    code_version: str
    settings_hash: str
    job_id: str
    computed_ns: int


@dataclass(frozen=True, slots=True)
class NightRow:
    """The markers of one person and night.

    Attributes
    ----------
    values : mapping of feature name to float
        NaN where `withheld` or `withheld_more` says why.
    coverage_frac : float
        Share of nocturnal windows with a valid RMSSD, 0-1. A feature is withheld by its own share.
    withheld : str
        Why core values are missing, as a sentence; empty if none is.
    withheld_more : str
        The same of the others.
    source_sensor : str
        Empty where no RR intervals were recorded.
    prv_coverage_frac : float
        As `coverage_frac`, of pulse intervals; NaN where none were recorded.
    """

    subject_id: str
    night: date
    zone: str
    values: Mapping[str, float]
    coverage_frac: float
    withheld: str
    withheld_more: str
    source_sensor: str
    windows_valid: int
    beats_received: int
    beats_used: int
    prv_coverage_frac: float = float("nan")


@dataclass(frozen=True)
class Nights:
    """Consecutive nights of one person, from the first to the last that has a row.

    Attributes
    ----------
    nights : tuple of date
        Dates of the mornings, without holes.
    values : mapping of feature name to (n,) float64
        NaN where withheld or where there is no row.
    coverage_frac : (n,) float64
        NaN where there is no row.
    reasons : tuple of str
        Why a night has no values; empty if it has.
    zones : tuple of str
    """

    subject_id: str
    nights: tuple[date, ...]
    values: Mapping[str, NDArray[np.float64]]
    coverage_frac: NDArray[np.float64]
    reasons: tuple[str, ...]
    zones: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.nights)


def nocturnal_bounds_ns(night: date, zone: str, settings: FeatureSettings) -> tuple[int, int]:
    """Return the half-open span of the nocturnal hours of a night, nanoseconds UTC.

    Hours from noon on belong to the evening before.
    """
    start_h, end_h = settings.night_start_h, settings.night_end_h
    evening = night - timedelta(days=1)
    start_ns = local_ns(evening if start_h >= 12 else night, start_h, zone)
    end_ns = local_ns(evening if end_h > 12 else night, end_h, zone)
    return start_ns, end_ns


@dataclass(frozen=True)
class NightData:
    """What a night's row is made of.

    Attributes
    ----------
    span_ns : (int, int)
        Noon to noon, nanoseconds UTC.
    by_sensor : mapping of sensor id to (windows of the night, number of RR intervals received)
        Empty where an optical sensor was worn alone.
    motion : (t_ns, enmo_mg)
        Starts of activity epochs, ascending, and their ENMO; empty where no movement was recorded.
    pulse : mapping of sensor id to Windows
        Of pulse intervals.
    pulse_failures : tuple of str
        One sentence for each sensor whose pulse intervals cannot be used.
    asleep : (start_ns, end_ns), each (k,), or None
        Half-open stretches of sleep; None where it is not scored.
    """

    span_ns: tuple[int, int]
    by_sensor: Mapping[str, tuple[Windows, int]]
    motion: tuple[NDArray[np.int64], NDArray[np.float64]] = (np.empty(0, np.int64), np.empty(0))
    pulse: Mapping[str, Windows] = field(default_factory=dict[str, Windows])
    pulse_failures: tuple[str, ...] = ()
    asleep: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None


def night_row(
    subject_id: str, night: date, zone: str, data: NightData, settings: FeatureSettings
) -> NightRow:
    """Compute the row of one night from the windows of the sensor that saw most of it."""
    hours = NightHours(zone, data.span_ns, nocturnal_bounds_ns(night, zone, settings), settings.window_s)
    best = _best({sensor: each for sensor, (each, _) in data.by_sensor.items()}, hours)
    windows, beats_received = data.by_sensor.get(best, (NO_WINDOWS, 0))
    is_valid = hours.is_valid(windows)
    of_pulse, prv_coverage_frac = _pulse(data, hours)
    of_heart = (
        window_values(windows, hours),
        day_values(windows, hours),
        still_values(windows, data.motion, hours),
        asleep_values(windows, data.asleep, hours),
    )
    values = dict.fromkeys((spec.name for spec in NIGHT_FEATURES), float("nan"))
    why: dict[str, str] = {}
    for found, missing in of_heart:
        values |= found
        why |= missing if data.by_sensor else dict.fromkeys(found, NO_RR)
    values |= of_pulse[0]
    why |= of_pulse[1]
    core = {spec.name for spec in CORE_FEATURES}
    partial = [f"{each}: {subject_id}, night {night}" for each in data.pulse_failures if data.pulse]
    return NightRow(
        subject_id=subject_id,
        night=night,
        zone=zone,
        values=values,
        coverage_frac=share(windows.values["rmssd_ms"][is_valid], hours.nocturnal_count),
        withheld=_withheld(subject_id, night, why, core),
        withheld_more="; ".join(
            filter(None, [_withheld(subject_id, night, why, why.keys() - core), *partial])
        ),
        source_sensor=best,
        windows_valid=int(is_valid.sum()),
        beats_received=beats_received,
        beats_used=int(windows.n_beats[is_valid].sum()),
        prv_coverage_frac=prv_coverage_frac,
    )


def with_values(row: NightRow, found: Found) -> NightRow:
    """Return a row with further values than those of its own night, and why some are missing."""
    values, why = found
    said = _withheld(row.subject_id, row.night, why, why.keys())
    more = "; ".join(filter(None, (row.withheld_more, said)))
    return replace(row, values={**row.values, **values}, withheld_more=more)


def _best(by_sensor: Mapping[str, Windows], hours: NightHours) -> str:
    if not by_sensor:
        return ""
    return best_by_valid({sensor: hours.is_valid(windows) for sensor, windows in by_sensor.items()})


def _pulse(data: NightData, hours: NightHours) -> tuple[Found, float]:
    """Return the values of pulse intervals and their coverage."""
    if not data.pulse:
        return no_pulse("; ".join(data.pulse_failures) or "no pulse intervals recorded"), float("nan")
    windows = data.pulse[_best(data.pulse, hours)]
    coverage_frac = share(windows.values["rmssd_ms"][hours.is_valid(windows)], hours.nocturnal_count)
    return pulse_values(windows, hours), coverage_frac


def _withheld(subject_id: str, night: date, why: Mapping[str, str], names: Collection[str]) -> str:
    """Say which of the values are withheld; those for the same reason together."""
    missing: dict[str, list[str]] = {}
    for name, reason in why.items():
        if name in names:
            missing.setdefault(reason, []).append(name)
    return "; ".join(
        f"{', '.join(together)} withheld for {subject_id}, night {night}: {reason}"
        for reason, together in missing.items()
    )


def night_batch(rows: Sequence[NightRow], provenance: Provenance) -> Batch:
    """Return the rows of one person as samples."""
    columns: dict[str, list[object]] = {
        **{spec.name: [row.values[spec.name] for row in rows] for spec in NIGHT_FEATURES},
        "coverage_frac": [row.coverage_frac for row in rows],
        "prv_coverage_frac": [row.prv_coverage_frac for row in rows],
        "zone": [row.zone for row in rows],
        "source_sensor": [row.source_sensor for row in rows],
        "withheld": [row.withheld for row in rows],
        "withheld_more": [row.withheld_more for row in rows],
        "windows_valid": [row.windows_valid for row in rows],
        "beats_received": [row.beats_received for row in rows],
        "beats_used": [row.beats_used for row in rows],
        "code_version": [provenance.code_version] * len(rows),
        "settings_hash": [provenance.settings_hash] * len(rows),
        "job_id": [provenance.job_id] * len(rows),
        "computed_ns": [provenance.computed_ns] * len(rows),
    }
    t_ns = np.array([night_key_ns(row.night) for row in rows], np.int64)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Batch(NIGHT_STREAM, rows[0].subject_id, NO_SENSOR, t_ns, arrays)


def night_key_ns(night: date) -> int:
    """Return the time a night is stored under: midnight UTC of its date, whatever its zone."""
    return round(datetime(night.year, night.month, night.day, tzinfo=UTC).timestamp()) * NS_PER_S


def night_of_key(t_ns: int) -> date:
    """Return the night stored under a time."""
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).date()


def read_nights(store: TimeSeriesStore, subject_id: str) -> Nights:
    """Return the stored nights of a person, without holes in the calendar."""
    held = store.read(NIGHT_STREAM, subject_id)
    if not len(held):
        none = {spec.name: np.empty(0) for spec in NIGHT_FEATURES}
        return Nights(subject_id, (), none, np.empty(0), (), ())
    first = night_of_key(int(held.t_ns[0]))
    position = np.array([(night_of_key(int(t)) - first).days for t in held.t_ns])
    length = int(position[-1]) + 1
    values = {spec.name: _spread(held[spec.name], position, length) for spec in NIGHT_FEATURES}
    reasons = ["No data received"] * length
    zones = [str(held["zone"][0])] * length
    for k, at in enumerate(position):
        reasons[at], zones[at] = str(held["withheld"][k]), str(held["zone"][k])
    nights = tuple(first + timedelta(days=k) for k in range(length))
    coverage_frac = _spread(held["coverage_frac"], position, length)
    return Nights(subject_id, nights, values, coverage_frac, tuple(reasons), tuple(zones))


def _spread(values: NDArray[np.float64], position: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    spread = np.full(length, np.nan)
    spread[position] = values
    return spread
