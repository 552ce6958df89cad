"""One row per person and night: the markers, how complete they are, and where they come from."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings
from features.movement.night import MovementNight
from features.movement.night_minutes import NightMinutes
from features.movement.specs import MOVEMENT_FAMILIES, names_of
from features.movement.week import WeekValues
from features.night_span import night_key_ns
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
from store.timeseries import NO_SENSOR, Batch, SampleSource
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
        Column(
            "withheld_movement",
            "utf8",
            "Why markers of sleep, wear, activity, rhythm are missing; `all of` a family: all its names",
        ),
        Column(
            "sleep_coverage_frac",
            "float64",
            "Share of the main sleep period that was scored, of noon to noon without one, 0-1",
        ),
        Column("day_worn_frac", "float64", "Share of the local day before that movement was worn, 0-1"),
        Column("week_days", "float64", "Days' worth of worn movement in the week that the rhythm is of"),
        Column("week_nights", "float64", "Nights with sleep in the week that its regularity is of"),
        Column(
            "movement", "utf8", "What activity is measured by: enmo_mg, counts or steps; empty without any"
        ),
        Column("movement_sensor", "utf8", "Sensor of the movement; empty without any"),
        Column(
            "sleep_source", "utf8", "Who found the sleep: vendor, hdcza or roenneberg; empty if nobody could"
        ),
        Column("sleep_scorer", "utf8", "Who told sleep from wake, in minutes; empty if nobody could"),
        Column("windows_valid", "int64", "Nocturnal windows with a valid RMSSD"),
        Column("beats_received", "int64", "RR intervals of the sensor in the noon-to-noon span"),
        Column("beats_used", "int64", "NN intervals in the valid nocturnal windows"),
        Column("input_counts", "utf8", "Samples of each stream that the row was computed from, as JSON"),
        Column("input_hash", "utf8", "Hash of those samples, whatever the order in which they arrived"),
        Column("code_version", "utf8", "Version of evenkeel and hash of the code that computed the row"),
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
class MovementFacts:
    """What the values of movement of a night are made of.

    Attributes
    ----------
    why : mapping of name to str
        Of each value that is missing.
    sleep_coverage_frac, day_worn_frac : float
        0-1; NaN where nothing was looked at.
    sleep_source : str
    minutes : NightMinutes or None
    week_days, week_nights : float
    """

    why: Mapping[str, str] = field(default_factory=dict[str, str])
    sleep_coverage_frac: float = float("nan")
    day_worn_frac: float = float("nan")
    sleep_source: str = ""
    minutes: NightMinutes | None = None
    week_days: float = float("nan")
    week_nights: float = float("nan")


NO_FACTS = MovementFacts()


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
    movement : MovementFacts
        What values of movement are made of.
    input_counts, input_hash : str
        Samples of each stream that the row was computed from, as JSON, and their hash.
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
    movement: MovementFacts = NO_FACTS
    input_counts: str = ""
    input_hash: str = ""


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
    heart_sensors, movement_sensors : tuple of str
        Sensor of the beats, and of the movement, of each night; empty where there was none, or nobody knows.
    """

    subject_id: str
    nights: tuple[date, ...]
    values: Mapping[str, NDArray[np.float64]]
    coverage_frac: NDArray[np.float64]
    reasons: tuple[str, ...]
    zones: tuple[str, ...]
    heart_sensors: tuple[str, ...] = ()
    movement_sensors: tuple[str, ...] = ()

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
    movement : MovementNight or None
        Sleep, wear and activity; None where nobody looked.
    """

    span_ns: tuple[int, int]
    by_sensor: Mapping[str, tuple[Windows, int]]
    motion: tuple[NDArray[np.int64], NDArray[np.float64]] = (np.empty(0, np.int64), np.empty(0))
    pulse: Mapping[str, Windows] = field(default_factory=dict[str, Windows])
    pulse_failures: tuple[str, ...] = ()
    movement: MovementNight | None = None


def night_row(
    subject_id: str, night: date, zone: str, data: NightData, settings: FeatureSettings
) -> NightRow:
    """Compute the row of one night from the windows of the sensor that saw most of it."""
    hours = NightHours(zone, data.span_ns, nocturnal_bounds_ns(night, zone, settings), settings.window_s)
    best = _best({sensor: each for sensor, (each, _) in data.by_sensor.items()}, hours)
    windows, beats_received = data.by_sensor.get(best, (NO_WINDOWS, 0))
    is_valid = hours.is_valid(windows)
    of_pulse, prv_coverage_frac = _pulse(data, hours)
    moved = data.movement
    of_heart = (
        window_values(windows, hours),
        day_values(windows, hours),
        still_values(windows, data.motion, hours),
        asleep_values(windows, None if moved is None else moved.asleep, hours, _not_asleep(moved)),
    )
    values = dict.fromkeys((spec.name for spec in NIGHT_FEATURES), float("nan"))
    why: dict[str, str] = {}
    for found, missing in of_heart:
        values |= found
        why |= missing if data.by_sensor else dict.fromkeys(found, NO_RR)
    values |= of_pulse[0]
    why |= of_pulse[1]
    if moved is not None:
        values |= moved.values
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
        movement=NO_FACTS if moved is None else _facts(moved),
    )


def _not_asleep(moved: MovementNight | None) -> str:
    if moved is None or not moved.source:
        return f"sleep is not scored: {moved.not_scored}" if moved is not None else "sleep is not scored"
    return "no main sleep was found"


def _facts(moved: MovementNight) -> MovementFacts:
    return MovementFacts(
        moved.why,
        moved.sleep_coverage_frac,
        moved.day_worn_frac,
        moved.source,
        moved.minutes,
    )


def _withheld_movement(row: NightRow) -> str:
    """Say why values of movement are missing, at the length of a few lines."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in _by_family(row.movement.why).items():
        by_reason.setdefault(reason, []).append(name)
    said = "; ".join(f"{', '.join(names)}: {reason}" for reason, names in by_reason.items())
    return f"withheld for {row.subject_id}, night {row.night}: {said}" if said else ""


def _by_family(why: Mapping[str, str]) -> dict[str, str]:
    """Return reasons with `all of` a family in place of its names, where they are missing for one reason."""
    kept: dict[str, str] = dict(why)
    for family in MOVEMENT_FAMILIES:
        names = names_of(family)
        reasons = {why.get(name, "") for name in names}
        if len(reasons) == 1 and (reason := reasons.pop()):
            kept = {name: each for name, each in kept.items() if name not in names}
            kept[f"all of {family}"] = reason
    return kept


def with_week(row: NightRow, week: WeekValues) -> NightRow:
    """Return a row with the values of movement of the week up to it."""
    why = {**row.movement.why, **week.why}
    facts = replace(row.movement, why=why, week_days=week.days, week_nights=float(week.nights))
    return replace(row, values={**row.values, **week.values}, movement=facts)


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
        **_movement_columns(rows),
        "windows_valid": [row.windows_valid for row in rows],
        "beats_received": [row.beats_received for row in rows],
        "beats_used": [row.beats_used for row in rows],
        "input_counts": [row.input_counts for row in rows],
        "input_hash": [row.input_hash for row in rows],
        "code_version": [provenance.code_version] * len(rows),
        "settings_hash": [provenance.settings_hash] * len(rows),
        "job_id": [provenance.job_id] * len(rows),
        "computed_ns": [provenance.computed_ns] * len(rows),
    }
    t_ns = np.array([night_key_ns(row.night) for row in rows], np.int64)
    arrays = {name: np.array(values) for name, values in columns.items()}
    return Batch(NIGHT_STREAM, rows[0].subject_id, NO_SENSOR, t_ns, arrays)


def _movement_columns(rows: Sequence[NightRow]) -> dict[str, list[object]]:
    facts = [row.movement for row in rows]
    minutes = [each.minutes for each in facts]
    return {
        "withheld_movement": [_withheld_movement(row) for row in rows],
        "sleep_coverage_frac": [each.sleep_coverage_frac for each in facts],
        "day_worn_frac": [each.day_worn_frac for each in facts],
        "week_days": [each.week_days for each in facts],
        "week_nights": [each.week_nights for each in facts],
        "movement": ["" if each is None else each.movement for each in minutes],
        "movement_sensor": ["" if each is None else each.sensor for each in minutes],
        "sleep_source": [each.sleep_source for each in facts],
        "sleep_scorer": ["" if each is None else each.scorer for each in minutes],
    }


def night_of_key(t_ns: int) -> date:
    """Return the night stored under a time."""
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).date()


def read_nights(store: SampleSource, subject_id: str) -> Nights:
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
    heart, movement = [""] * length, [""] * length
    for k, at in enumerate(position):
        reasons[at], zones[at] = str(held["withheld"][k]), str(held["zone"][k])
        heart[at], movement[at] = str(held["source_sensor"][k]), str(held["movement_sensor"][k])
    nights = tuple(first + timedelta(days=k) for k in range(length))
    coverage_frac = _spread(held["coverage_frac"], position, length)
    sensors = tuple(heart), tuple(movement)
    return Nights(subject_id, nights, values, coverage_frac, tuple(reasons), tuple(zones), *sensors)


def _spread(values: NDArray[np.float64], position: NDArray[np.intp], length: int) -> NDArray[np.float64]:
    spread = np.full(length, np.nan)
    spread[position] = values
    return spread
