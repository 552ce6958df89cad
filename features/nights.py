"""One row per person and night: the markers, how complete they are, and where they come from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings
from features.nocturnal import best_by_valid, day_values, pulse_values, still_values
from features.specs import CORE_FEATURES, MORE_FEATURES, NIGHT_FEATURES, FeatureSpec
from features.windows import Windows
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
        Column("zone", "utf8", "IANA zone of the night"),
        Column("source_sensor", "utf8", "Sensor that saw most of the night"),
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
        NaN only where coverage is below the minimum of its spec.
    coverage_frac : float
        Share of nocturnal windows with a valid RMSSD, 0-1. A feature is withheld by its own share.
    withheld : str
        Why core values are missing, as a sentence; empty if none is.
    withheld_more : str
        The same of the others.
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
    motion : (t_ns, enmo_mg)
        Starts of activity epochs, ascending, and their ENMO; empty where no movement was recorded.
    pulse : mapping of sensor id to Windows
        Of pulse intervals.
    """

    span_ns: tuple[int, int]
    by_sensor: Mapping[str, tuple[Windows, int]]
    motion: tuple[NDArray[np.int64], NDArray[np.float64]] = (np.empty(0, np.int64), np.empty(0))
    pulse: Mapping[str, Windows] = field(default_factory=dict[str, Windows])


def night_row(
    subject_id: str, night: date, zone: str, data: NightData, settings: FeatureSettings
) -> NightRow:
    """Compute the row of one night from the windows of the sensor that saw most of it."""
    bounds_ns = nocturnal_bounds_ns(night, zone, settings)
    possible = (bounds_ns[1] - bounds_ns[0]) // (settings.window_s * NS_PER_S)
    best = best_by_valid(
        {sensor: _valid_windows(windows, *bounds_ns) for sensor, (windows, _) in data.by_sensor.items()}
    )
    windows, beats_received = data.by_sensor[best]
    is_valid = _valid_windows(windows, *bounds_ns)
    shares = {
        spec.name: _share(windows.values[spec.window_value][is_valid], possible)
        for spec in NIGHT_FEATURES
        if spec.window_value
    }
    values = dict.fromkeys((spec.name for spec in NIGHT_FEATURES), float("nan"))
    for spec in NIGHT_FEATURES:
        if spec.window_value and shares[spec.name] >= spec.min_coverage_frac:
            values[spec.name] = _night_value(windows.values[spec.window_value][is_valid], spec)
    is_nocturnal = _nocturnal(windows, *bounds_ns)
    needed_frac = CORE_FEATURES[0].min_coverage_frac
    of_day, why = day_values(windows, is_nocturnal, data.span_ns, settings.window_s, needed_frac)
    values |= of_day | still_values(windows, is_valid, *data.motion, settings.window_s)
    values |= _pulse(data.pulse, bounds_ns, possible, needed_frac)
    more = _withheld(subject_id, night, shares, MORE_FEATURES)
    return NightRow(
        subject_id=subject_id,
        night=night,
        zone=zone,
        values=values,
        coverage_frac=shares["rmssd_ms"],
        withheld=_withheld(subject_id, night, shares, CORE_FEATURES),
        withheld_more="; ".join(filter(None, (more, why))),
        source_sensor=best,
        windows_valid=int(is_valid.sum()),
        beats_received=beats_received,
        beats_used=int(windows.n_beats[is_valid].sum()),
    )


def _share(values: NDArray[np.float64], possible: int) -> float:
    # A change of clocks can leave out all of a short nocturnal span.
    return float(np.isfinite(values).sum() / possible) if possible else 0.0


def _pulse(
    pulse: Mapping[str, Windows], bounds_ns: tuple[int, int], possible: int, needed_frac: float
) -> dict[str, float]:
    if not pulse:
        return {}
    best = best_by_valid({sensor: _valid_windows(each, *bounds_ns) for sensor, each in pulse.items()})
    return pulse_values(pulse[best], _nocturnal(pulse[best], *bounds_ns), possible, needed_frac)


def _nocturnal(windows: Windows, start_ns: int, end_ns: int) -> NDArray[np.bool_]:
    return np.asarray((windows.start_ns >= start_ns) & (windows.start_ns < end_ns), np.bool_)


def _valid_windows(windows: Windows, start_ns: int, end_ns: int) -> NDArray[np.bool_]:
    return _nocturnal(windows, start_ns, end_ns) & np.isfinite(windows.values["rmssd_ms"])


def _night_value(values: NDArray[np.float64], spec: FeatureSpec) -> float:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan")
    return float(np.median(finite) if spec.summary == "median" else finite.mean())


def _withheld(subject_id: str, night: date, shares: Mapping[str, float], specs: Sequence[FeatureSpec]) -> str:
    """Say which values are withheld; those with the same share of windows together."""
    missing: dict[tuple[float, float], list[str]] = {}
    for spec in specs:
        if shares.get(spec.name, 1.0) < spec.min_coverage_frac:
            missing.setdefault((shares[spec.name], spec.min_coverage_frac), []).append(spec.name)
    return "; ".join(
        f"{', '.join(names)} withheld for {subject_id}, night {night}: {100 * share:.0f} % of the nocturnal "
        f"windows valid, {100 * needed:.0f} % needed; check wear"
        for (share, needed), names in missing.items()
    )


def night_batch(rows: Sequence[NightRow], provenance: Provenance) -> Batch:
    """Return the rows of one person as samples."""
    columns: dict[str, list[object]] = {
        **{spec.name: [row.values[spec.name] for row in rows] for spec in NIGHT_FEATURES},
        "coverage_frac": [row.coverage_frac for row in rows],
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
