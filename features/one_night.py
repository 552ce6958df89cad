"""One night, computed: from the samples it is made of to its row and windows. No store, no clock."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from configs.settings import FeatureSettings
from features.movement.minutes import largest_sensor
from features.movement.night import movement_night
from features.movement.night_minutes import minutes_batch
from features.night_inputs import MOVEMENT_STREAMS, NightInputs, NightSpan
from features.nights import NightData, NightRow, night_row
from features.nn import nn_from_rr
from features.windows import Windows, windows_of
from store.errors import DataError
from store.ledger import Use
from store.streams import ACTIVITY_EPOCH, PP_INTERVAL, RR_INTERVAL
from store.timeseries import Batch, Samples
from store.types import RrSeries


@dataclass(frozen=True)
class NightResult:
    """What came of one night.

    Attributes
    ----------
    row : NightRow or None
        None where nothing of the night was recorded, or nothing of it can be used.
    batches : tuple of Batch
        What else the night is kept as: its windows.
    uses : tuple of Use
        For the ledger: which samples went into it.
    failure : str
        Why there is no row although there are samples; empty otherwise.
    """

    row: NightRow | None = None
    batches: tuple[Batch, ...] = ()
    uses: tuple[Use, ...] = ()
    failure: str = ""


def compute_night(inputs: NightInputs, settings: FeatureSettings) -> NightResult:
    """Compute one night; the same inputs and settings give the same result, to the last bit.

    What depends on other nights is added by `features.weeks`.

    Raises
    ------
    DataError
        If RR intervals of the night are none.
    """
    subject_id, span = inputs.subject_id, inputs.span
    data = _night_data(inputs, settings)
    if not data.by_sensor and not data.pulse and not _has_movement(inputs):
        return NightResult(failure="; ".join(data.pulse_failures))
    moved = movement_night(inputs.samples, inputs.models, span)
    row = night_row(subject_id, span.night, span.zone, replace(data, movement=moved), settings)
    of_heart = {sensor: windows for sensor, (windows, _) in data.by_sensor.items()}
    return NightResult(
        row,
        (
            *(each.batch(subject_id, sensor) for sensor, each in of_heart.items() if len(each)),
            minutes_batch(subject_id, [moved.minutes]),
        ),
        tuple(
            Use((subject_id, RR_INTERVAL.name, sensor), each.start_ns, each.n_beats, span.start_ns)
            for sensor, each in of_heart.items()
        ),
    )


def _night_data(inputs: NightInputs, settings: FeatureSettings) -> NightData:
    """Return what the row is made of; pulse intervals that cannot be used cost no others."""
    span = inputs.span
    beats = inputs.of(RR_INTERVAL)
    by_sensor: dict[str, tuple[Windows, int]] = {}
    for sensor in beats.sensors:
        one = beats.of_sensor(sensor)
        if received := _count_inside(one, span):
            by_sensor[sensor] = _windows(one.t_ns, one["rr_ms"], span, settings), received
    pulse, failures = _pulse_windows(inputs, settings)
    return NightData((span.start_ns, span.end_ns), by_sensor, _motion(inputs), pulse, tuple(failures))


def _pulse_windows(inputs: NightInputs, settings: FeatureSettings) -> tuple[dict[str, Windows], list[str]]:
    pulses = inputs.of(PP_INTERVAL)
    pulse: dict[str, Windows] = {}
    failures: list[str] = []
    for sensor in pulses.sensors:
        one = pulses.of_sensor(sensor)
        # What movement spoilt, or was measured off the skin, is no interval.
        usable = (one["is_blocked"] != 1) & (one["skin_contact"] != 0)
        if _count_inside(one, inputs.span):
            try:
                pulse[sensor] = _windows(one.t_ns[usable], one["pp_ms"][usable], inputs.span, settings)
            except DataError as error:
                failures.append(f"pulse intervals of {sensor} cannot be used ({error})")
    return pulse, failures


def _has_movement(inputs: NightInputs) -> bool:
    return any(_count_inside(inputs.of(stream), inputs.span) for stream in MOVEMENT_STREAMS)


def _motion(inputs: NightInputs) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    moved, span = inputs.of(ACTIVITY_EPOCH), inputs.span
    moved = moved.of_sensor(largest_sensor(moved, span.start_ns, span.end_ns, "epoch_s"))
    has = np.isfinite(moved["enmo_mg"]) & (moved.t_ns >= span.start_ns) & (moved.t_ns < span.end_ns)
    return moved.t_ns[has], moved["enmo_mg"][has]


def _count_inside(held: Samples, span: NightSpan) -> int:
    return int(((held.t_ns >= span.start_ns) & (held.t_ns < span.end_ns)).sum())


def _windows(
    t_ns: NDArray[np.int64], interval_ms: NDArray[np.float64], span: NightSpan, settings: FeatureSettings
) -> Windows:
    series = RrSeries(t_ns, interval_ms.astype(np.float64))
    return windows_of(nn_from_rr(series), settings.window_s).between(span.start_ns, span.end_ns)
