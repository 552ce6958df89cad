"""One night of movement: from samples of every stream to values, reasons and minutes."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.epochs.wear import WearState
from features.movement.day import day_values, extreme_values, movement_column, step_values
from features.movement.minutes import MINUTE_NS, Times, angle_of, largest_sensor, minutes_of
from features.movement.moved import Moved
from features.movement.night_minutes import NightMinutes
from features.movement.nights_sleep import (
    NightsSleepValues,
    Scored,
    by_angle,
    by_counts,
    by_vendor,
    night_values,
    no_sleep,
)
from features.movement.vendor import sessions_of
from features.movement.worn import Witness, wear_states
from features.night_span import SIDE_NS, NightSpan, night_key_ns
from features.sleep.hypnogram import SleepStage
from store.gaps import charging_spans, off_body_spans
from store.streams import (
    ACTIVITY_EPOCH,
    BATTERY,
    HEART_RATE,
    LINK_STATE,
    PP_INTERVAL,
    RR_INTERVAL,
    SLEEP_STAGE,
    STEP_COUNT,
    Stream,
)
from store.timeseries import Samples
from store.units import NS_PER_S


@dataclass(frozen=True)
class MovementNight:
    """What movement says of a night, but for its week.

    Attributes
    ----------
    values, why : mapping of name to float, and to the reason of each that is NaN
    minutes : NightMinutes
        From noon to noon.
    source : str
        Who found the main sleep period; empty if nobody could.
    sleep_coverage_frac : float
        Share of the main period that was scored, of noon to noon without one, 0-1.
    day_worn_frac : float
        Share of the local day before that movement was worn, 0-1.
    asleep : (start_ns, end_ns), each (k,), or None
        Stretches of the main sleep; None where sleep is not scored.
    not_scored : str
        Why it is not; empty if it is.
    """

    values: dict[str, float]
    why: dict[str, str]
    minutes: NightMinutes
    source: str
    sleep_coverage_frac: float
    day_worn_frac: float
    asleep: tuple[Times, Times] | None
    not_scored: str


def movement_night(
    samples: Mapping[str, Samples], models: Mapping[str, str], span: NightSpan
) -> MovementNight:
    """Compute one night; the same samples give the same values, to the last bit.

    Parameters
    ----------
    samples : mapping of stream name to Samples
        Of movement, steps, stages, link and battery from `SIDE_NS` before the night to as long after it; of
        beats and pulses, the night.
    models : mapping of sensor id to str
        Maker and model of sensors that are known.
    span : NightSpan
    """
    steps = samples[STEP_COUNT.name]
    steps = steps.of_sensor(largest_sensor(steps, *_around_ns(span), "interval_s"))
    moved = _moved(samples, models, span, steps)
    scored, not_scored = _scored(samples, moved, span)
    slept = no_sleep(not_scored) if scored is None else night_values(scored, span.night, span.zone)
    of_day, not_day, day_worn_frac = day_values(moved, span)
    extremes, not_extreme = extreme_values(moved, span)
    step_sum, no_steps = step_values(steps, moved, span)
    kept = _kept(moved, slept, span)
    return MovementNight(
        {**slept.values, **of_day, **extremes, "steps": step_sum, **wear_minutes(kept.wear)},
        {**slept.why, **not_day, **not_extreme} | ({"steps": no_steps} if no_steps else {}),
        kept,
        "" if scored is None else scored.source,
        slept.coverage_frac,
        day_worn_frac,
        slept.asleep(),
        not_scored,
    )


def _around_ns(span: NightSpan) -> tuple[int, int]:
    return span.start_ns - SIDE_NS, span.end_ns + SIDE_NS


def _moved(
    samples: Mapping[str, Samples], models: Mapping[str, str], span: NightSpan, steps: Samples
) -> Moved:
    """Return movement of the sensor that recorded most of the night; of steps, where there is no other."""
    around_ns, epochs = _around_ns(span), samples[ACTIVITY_EPOCH.name]
    sensor = largest_sensor(epochs, *span.noons_ns, "epoch_s") or largest_sensor(
        epochs, *around_ns, "epoch_s"
    )
    minutes = minutes_of(*around_ns, epochs.of_sensor(sensor), steps.of_sensor("") if sensor else steps)
    worn_by = sensor or (steps.sensors[0] if len(steps) else "")
    state = wear_states(minutes, _witness(samples, worn_by, has_epochs=bool(sensor)))
    return Moved(minutes, state, worn_by, models.get(worn_by, ""), has_epochs=bool(sensor))


def wear_minutes(state: NDArray[np.int8]) -> dict[str, float]:
    """Return the minutes of each state of wear."""
    named = {
        "wear_min": WearState.WORN,
        "not_worn_min": WearState.NOT_WORN,
        "charging_min": WearState.CHARGING,
        "unknown_min": WearState.UNKNOWN,
    }
    return {name: float((state == of).sum()) for name, of in named.items()}


def _scored(samples: Mapping[str, Samples], moved: Moved, span: NightSpan) -> tuple[Scored | None, str]:
    """Return the scored minutes around the night, or None and why."""
    stretches = samples[SLEEP_STAGE.name]
    if vendor := largest_sensor(stretches, *_around_ns(span), "duration_s"):
        scored = by_vendor(sessions_of(stretches.of_sensor(vendor)), moved, span.zone)
        has_night = night_values(scored, span.night, span.zone).period_ns != (0, 0)
        if has_night or not moved.has_epochs:
            return scored, ""
    if not moved.has_epochs:
        return None, "no movement recorded, and the wearable scored no sleep"
    angle = angle_of(*_around_ns(span), samples[ACTIVITY_EPOCH.name].of_sensor(moved.sensor))
    counted = int(np.isfinite(moved.minutes.counts).sum())
    if angle is not None and 2 * np.isfinite(angle.deg).sum() * angle.epoch_s >= 60 * counted:
        if moved.is_on_chest:
            why = f"sensor {moved.sensor} is worn on the chest, and the angle tells sleep on the wrist alone"
            return None, why
        return by_angle(angle, moved, span.night, span.zone), ""
    if counted:
        return by_counts(moved, span.zone), ""
    return None, "the movement recorded has neither an angle in epochs of 6 s or less nor counts"


def _witness(samples: Mapping[str, Samples], sensor: str, *, has_epochs: bool) -> Witness:
    """Return what the sensor reports of itself; without movement and steps, what any does."""

    def of(stream: Stream) -> Samples:
        return samples[stream.name].of_sensor(sensor) if sensor else samples[stream.name]

    heart = of(HEART_RATE)
    has_pulse = (heart["skin_contact"] != 0) & (heart["heart_rate_bpm"] > 0)
    times = [of(RR_INTERVAL).t_ns, of(PP_INTERVAL).t_ns, heart.t_ns[has_pulse]]
    if not has_epochs:
        # Logs of steps leave out minutes without any, worn or not: steps and sleep are signs of life.
        steps = of(STEP_COUNT)
        times += [steps.t_ns[steps["steps"] > 0], _minutes_of(of(SLEEP_STAGE))]
    # What is off the body stays off for as long as anything is known.
    last_ns = max((int(each.t_ns[-1]) for each in samples.values() if len(each)), default=0)
    link, battery = samples[LINK_STATE.name].of_sensor(sensor), samples[BATTERY.name].of_sensor(sensor)
    return Witness(np.sort(np.concatenate(times)), off_body_spans(link, last_ns), charging_spans(battery))


def _minutes_of(stages: Samples) -> Times:
    """Return a time in every minute of stretches of sleep."""
    stretches = zip(stages.t_ns.tolist(), stages["duration_s"].tolist(), strict=True)
    parts = [at_ns + np.arange(0, round(length_s), 60) * NS_PER_S for at_ns, length_s in stretches]
    return np.concatenate([np.empty(0, np.int64), *parts])


def _kept(moved: Moved, slept: NightsSleepValues, span: NightSpan) -> NightMinutes:
    minutes, column = moved.minutes, movement_column(moved.minutes)
    low, high = ((at_ns - minutes.start_ns) // MINUTE_NS for at_ns in span.noons_ns)
    activity = getattr(minutes, column)[low:high] if column else np.full(high - low, np.nan)
    scored = slept.scored
    stage = np.full(high - low, SleepStage.UNSCORED) if scored is None else scored.hypnogram.stage[low:high]
    return NightMinutes(
        night_key_ns(span.night),
        minutes.start_ns + low * MINUTE_NS,
        np.where(moved.is_worn[low:high], activity, np.nan).astype(np.float32),
        stage.astype(np.int8),
        moved.state[low:high],
        column,
        moved.sensor if column else "",
        "" if scored is None else scored.hypnogram.scorer,
        slept.period_ns,
    )
