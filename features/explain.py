"""Where a number came from: which row, made by what, of which windows, beats and removed beats.

It is computed again from the samples that are there now, and whether that gives the same is said.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

import numpy as np

from configs.settings import FeatureSettings, settings_hash
from features.code_version import code_version
from features.night_inputs import NightInputs, nights_with_data, read_inputs
from features.night_span import NightSpan, night_key_ns
from features.night_work import counted
from features.nights import NIGHT_STREAM, NightRow, nocturnal_bounds_ns
from features.nn import Artefact, verdicts
from features.one_night import compute_night
from features.specs import FeatureSpec, spec_named
from features.weeks import with_weeks
from features.windows import WINDOW_STREAM
from store.errors import UnknownError
from store.registry.people import ZoneHistory
from store.streams import RR_INTERVAL
from store.times import iso_time
from store.timeseries import Batch, TimeSeriesStore
from store.units import NS_PER_S

_SHOWN_BEATS = 20


@dataclass(frozen=True, slots=True)
class RemovedBeat:
    """An RR interval that is no NN interval, and why."""

    t_ns: int
    rr_ms: float
    why: str


@dataclass(frozen=True, slots=True)
class WindowFacts:
    """One nocturnal window: its value, the beats in it, and those that were removed."""

    start_ns: int
    value: float
    coverage_frac: float
    received: int
    used: int
    removed: tuple[RemovedBeat, ...]


@dataclass(frozen=True)
class Explanation:
    """Where a value came from.

    Attributes
    ----------
    stored, recomputed : float
        As it stands in the row, and as the samples give it now.
    is_same : bool
        To the last bit, both missing included.
    reason : str
        Why it is withheld, if it is.
    made_by : mapping
        Job, time, code, settings and hash of the samples of the row.
    differs : list of str
        What is not as it was when the row was made.
    windows : tuple of WindowFacts
        The nocturnal windows of the sensor, if the value is made of any.
    """

    spec: FeatureSpec
    subject_id: str
    span: NightSpan
    stored: float
    recomputed: float
    reason: str
    made_by: dict[str, str]
    differs: list[str]
    coverage_frac: float
    source_sensor: str
    inputs: dict[str, dict[str, int]]
    windows: tuple[WindowFacts, ...]

    @property
    def is_same(self) -> bool:
        """Whether the samples of now give the stored value."""
        return np.float64(self.stored).tobytes() == np.float64(self.recomputed).tobytes() or (
            bool(np.isnan(self.stored)) and bool(np.isnan(self.recomputed))
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for other programs."""
        said = asdict(self)
        return json.loads(json.dumps({**said, "is_same": self.is_same}, default=str))


_WITHHELD = ("withheld", "withheld_more", "withheld_movement")


def _made_by(row: Mapping[str, Any]) -> dict[str, str]:
    return {
        "job": str(row["job_id"]),
        "computed": iso_time(int(row["computed_ns"])),
        "code": str(row["code_version"]),
        "settings": str(row["settings_hash"]),
        "samples": str(row["input_hash"]),
    }


def explain(
    store: TimeSeriesStore,
    zones: ZoneHistory,
    settings: FeatureSettings,
    asked: tuple[str, date, str],
    models: Mapping[str, str],
) -> Explanation:
    """Return where a value came from.

    Parameters
    ----------
    asked : (str, date, str)
        Subject, night and name of the value.
    models : mapping of sensor id to str
        Maker and model.

    Raises
    ------
    UnknownError
        If there is no such feature, or no row of that night.
    """
    subject_id, night, feature = asked
    spec = spec_named(feature)
    key_ns = night_key_ns(night)
    held = store.read(NIGHT_STREAM, subject_id, key_ns, key_ns + 1)
    span = next((one for one in nights_with_data(store, subject_id, zones) if one.night == night), None)
    if not len(held) or span is None:
        raise UnknownError(
            f"There is no row of {subject_id} for the night {night}; needed is a night with samples that "
            f"`evenkeel features run` has computed: evenkeel samples --subject {subject_id}"
        )
    row = {name: held[name][0] for name in NIGHT_STREAM.column_names()}
    inputs = read_inputs(store, subject_id, span, models)
    result = compute_night(inputs, settings)
    again = with_weeks(store, subject_id, [result.row])[0] if result.row is not None else None
    _, input_hash = counted(inputs)
    windows = {batch.sensor_id: batch for batch in result.batches if batch.stream == WINDOW_STREAM}
    made_by = _made_by(row)
    now = {"code": code_version(), "settings": settings_hash(settings), "samples": input_hash}
    return Explanation(
        spec,
        subject_id,
        span,
        float(row[feature]),
        float("nan") if again is None else again.values[feature],
        _reason(feature, spec.family, [str(row[name]) for name in _WITHHELD]),
        made_by,
        [
            f"{what} {made_by[what] or '(unknown)'}, now {new}"
            for what, new in now.items()
            if made_by[what] != new
        ],
        float(row["coverage_frac"]),
        str(row["source_sensor"]),
        _counts_inside(inputs),
        tuple(_windows(inputs, windows, again, spec, settings)),
    )


def lines_of(found: Explanation) -> Iterator[str]:
    """Yield an explanation as text."""
    spec, night = found.spec, found.span
    value = f"{_number(found.stored)} {spec.unit}".rstrip()
    yield f"{spec.name} of {found.subject_id}, night {night.night}: {value}"
    if found.reason:
        yield f"  withheld: {found.reason}"
    yield f"  {spec.meaning}"
    yield f"  {spec.formula}  ({spec.reference})"
    yield f"Night  {iso_time(night.start_ns)} to {iso_time(night.end_ns)}, zone {night.zone}"
    yield "Row    " + ", ".join(f"{what} {said}" for what, said in found.made_by.items())
    yield f"Again  {_number(found.recomputed)}: {'the same' if found.is_same else 'NOT THE SAME'}"
    for what in found.differs:
        yield f"  not as it was: {what}"
    for stream, sensors in found.inputs.items():
        yield f"From   {stream}: " + ", ".join(f"{count:,} of {sensor}" for sensor, count in sensors.items())
    if not found.windows:
        return
    yield (
        f"Made of the nocturnal windows of {found.source_sensor}, {100 * found.coverage_frac:.0f} % of them "
        "valid. For each: value, coverage, intervals received, used and removed (when, ms, why)"
    )
    for window in found.windows:
        beats = [f"{iso_time(beat.t_ns)[11:19]} {beat.rr_ms:.0f} {beat.why}" for beat in window.removed]
        more = f" and {len(beats) - _SHOWN_BEATS} more" if len(beats) > _SHOWN_BEATS else ""
        yield (
            f"  {iso_time(window.start_ns)}  {_number(window.value):>10s} "
            f"{100 * window.coverage_frac:4.0f} % {window.received:5d} {window.used:5d}  "
            f"{', '.join(beats[:_SHOWN_BEATS])}{more}"
        ).rstrip()


def _number(value: float) -> str:
    return "missing" if np.isnan(value) else f"{value:.6g}"


def _counts_inside(inputs: NightInputs) -> dict[str, dict[str, int]]:
    """Return how many samples of each stream and sensor lie in the night, without its margins."""
    found: dict[str, dict[str, int]] = {}
    for name, held in sorted(inputs.samples.items()):
        inside = (held.t_ns >= inputs.span.start_ns) & (held.t_ns < inputs.span.end_ns)
        counts = np.bincount(held.sensor_index[inside], minlength=len(held.sensors)).tolist()
        if held.sensors:
            found[name] = dict(zip(held.sensors, counts, strict=True))
    return found


def _windows(
    inputs: NightInputs,
    windows: Mapping[str, Batch],
    row: NightRow | None,
    spec: FeatureSpec,
    settings: FeatureSettings,
) -> Iterator[WindowFacts]:
    """Yield the nocturnal windows that a value sums up."""
    if row is None or not spec.window_value or not row.source_sensor:
        return
    start_ns, end_ns = nocturnal_bounds_ns(inputs.span.night, inputs.span.zone, settings)
    batch = windows[row.source_sensor]
    beats = inputs.of(RR_INTERVAL).of_sensor(row.source_sensor)
    judged = verdicts(beats["rr_ms"])
    for k in np.flatnonzero((batch.t_ns >= start_ns) & (batch.t_ns < end_ns)).tolist():
        from_ns = int(batch.t_ns[k])
        first, last = np.searchsorted(beats.t_ns, (from_ns, from_ns + settings.window_s * NS_PER_S)).tolist()
        removed = tuple(
            RemovedBeat(
                int(beats.t_ns[at]), float(beats["rr_ms"][at]), Artefact(int(judged[at])).name.lower()
            )
            for at in range(first, last)
            if judged[at]
        )
        yield WindowFacts(
            from_ns,
            float(batch.values[spec.window_value][k]),
            float(batch.values["coverage_frac"][k]),
            last - first,
            int(batch.values["n_beats"][k]),
            removed,
        )


def _reason(feature: str, family: str, said: Sequence[str]) -> str:
    """Return what the row says about a value that is missing."""
    for text in said:
        start = text.partition(": ")[2] if text.startswith("withheld for") else text
        for sentence in start.split("; "):
            names, _, reason = sentence.partition(": ")
            listed = names.partition(" withheld")[0].split(", ")
            if feature in listed or f"all of {family}" in listed:
                return reason
    return ""
