"""The scenarios of `models.injector` in a person's raw samples, so that the whole pipeline is exercised.

Versioned and frozen: no detector is tuned on it. What each part of a scenario does to samples:

- heart, vagal: intervals between beats and pulses by `models.raw_beats`; heart rate in proportion.
- movement: steps, and the size of movement while awake, of the local day before the night (that is what the
  night's row counts). Movement asleep stays, for it decides what is scored as sleep. A day has the share of
  its own steps that is asked for, whatever else changed.
- sleep: the edges of the main sleep move, half of it at each end, so that its middle stays, and the half
  hour before falling asleep, or after waking, moves with them. What sleep loses becomes what the same person
  did awake before that half hour (after it, in the morning); what it gains becomes the first, and the last,
  of the same night's sleep. Minutes are counted asleep, not in bed. An edge stays where too little was
  recorded on either side of it; beats stay where they were not recorded on both.
- phase: the night, noon to noon, is turned round by so much; the end of its morning becomes its first
  afternoon.
- lost: nothing was recorded from noon to noon. A new device: from a noon on another sensor.

A night without an effect keeps its samples to the last bit, and so do nights before the onset (but for the
menstrual cycle, which is nothing new). Steps and movement are of days, so that a change of a night begins
with the midnight twelve hours before it. Nothing is drawn here but by the generator that is handed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.movement.day import day_before_ns
from features.night_span import NightSpan
from models.channels import NAMES, FloatArray
from models.daily import Days
from models.injector import CONTROLS, SCENARIOS, course
from models.raw_beats import changed_beats
from models.raw_pieces import Piece, collage, placed_within, rotation, rows_of, sorted_by_time
from store.streams import (
    ACTIVITY_EPOCH,
    HEART_RATE,
    PP_INTERVAL,
    RR_INTERVAL,
    SLEEP_STAGE,
    STEP_COUNT,
    Stream,
)
from store.timeseries import Samples, merged
from store.units import NS_PER_S

RAW_INJECTOR_VERSION = "1"
MINUTE_NS = 60 * NS_PER_S
SWAPPED = "-new"
"""After the id of a sensor that came in place of another."""
_FASTEST = 0.4
"""No scenario doubles a heart rate: drawn shares are cut here."""
_SHORTEST_MIN, _LONGEST_MIN = 60, 900
_SETTLING_NS = 30 * MINUTE_NS
"""Before falling asleep and after waking, which moves with the edge."""
_WORN_AS_MUCH = 0.8
_NEAR_NS = 10 * NS_PER_S
_INTERVALS: Mapping[Stream, str] = {RR_INTERVAL: "rr_ms", PP_INTERVAL: "pp_ms"}
_HEART = (*_INTERVALS, HEART_RATE)
_CHANGED = (*_HEART, ACTIVITY_EPOCH, STEP_COUNT, SLEEP_STAGE)
"""Streams that may change; charge and link are the device's own."""
_SIZES = ("enmo_mg", "mad_mg", "sd_mg", "counts")
_MEAN_HR, _TST, _STEPS, _ACTIVE, _MIDPOINT = (
    NAMES.index(name) for name in ("mean_hr_bpm", "tst_min", "steps", "active_min", "midpoint_h")
)


@dataclass(frozen=True)
class Effects:
    """What is asked of each day of a person, n of them; 0 and False are no effect.

    Attributes
    ----------
    heart, vagal, movement : (n,) float64
        Relative change of heart rate, RMSSD, and movement.
    sleep_min, phase_h : (n,) float64
    is_lost, is_swapped : (n,) bool
    """

    heart: FloatArray
    vagal: FloatArray
    movement: FloatArray
    sleep_min: FloatArray
    phase_h: FloatArray
    is_lost: NDArray[np.bool_]
    is_swapped: NDArray[np.bool_]

    @property
    def is_any(self) -> NDArray[np.bool_]:
        """Days of which anything is asked."""
        parts = (self.heart, self.vagal, self.movement, self.sleep_min, self.phase_h)
        return self.is_lost | self.is_swapped | np.any([part != 0 for part in parts], axis=0)


def effects_of(days: Days, onset: int, name: str, random: np.random.Generator) -> Effects:
    """Return what a change or control asks of each day; with the same generator what `injected` draws.

    Parameters
    ----------
    days : Days
        As they were without the change: what is relative to the person's own is taken from them.
    onset : int
    name : str
        Of `SCENARIOS` or `CONTROLS`.
    random : Generator
    """
    if name in CONTROLS:
        return _control(days, onset, name)
    scenario = SCENARIOS[name]
    weight, parts = course(len(days), onset, scenario, random)
    heart, vagal, sleep, movement = (part * weight for part in parts)
    phase_h = scenario.phase_h * weight
    if scenario.variance != 1.0:
        more, is_affected = scenario.variance - 1, weight > 0
        sleep = np.where(is_affected, more * _from_usual(days, _TST, onset), 0.0)
        phase_h = np.where(is_affected, more * _from_usual(days, _MIDPOINT, onset), 0.0)
        moved = _STEPS if np.isfinite(days.values[:, _STEPS]).any() else _ACTIVE
        share = _from_usual(days, moved, onset) / np.fmax(days.values[:, moved], 1.0)
        movement = np.where(is_affected, more * np.nan_to_num(share), 0.0)
    lost = (np.arange(len(days)) >= onset) & (random.random(len(days)) < scenario.lost_frac)
    return _bounded(replace(_none(len(days)), heart=heart, vagal=vagal, movement=movement,
                            sleep_min=sleep, phase_h=phase_h, is_lost=lost))  # fmt: skip


def _none(n: int) -> Effects:
    zeros, no = np.zeros(n), np.zeros(n, np.bool_)
    return Effects(zeros, zeros, zeros, zeros, zeros, no, no)


def _bounded(asked: Effects) -> Effects:
    return replace(
        asked,
        heart=np.clip(asked.heart, -_FASTEST, _FASTEST),
        vagal=np.maximum(asked.vagal, -0.8),
        movement=np.maximum(asked.movement, -0.9),
    )


def _from_usual(days: Days, channel: int, onset: int) -> FloatArray:
    """Return how far each day is from the median of those before the onset; 0 where there is none."""
    values = days.values[:, channel]
    past = values[:onset][np.isfinite(values[:onset])]
    return np.nan_to_num(values - np.median(past)) if len(past) else np.zeros(len(values))


def _control(days: Days, onset: int, name: str) -> Effects:
    day = np.arange(len(days))
    after, none = day >= onset, _none(len(days))
    match name:
        case "menstrual":
            added_bpm = np.interp((day - onset) % 28, [0, 5, 13, 21, 28], [0, 0, 2.1, 3.8, 0])
            return _bounded(replace(none, heart=_faster(days, added_bpm)))
        case "illness-1-night":
            ill = (day == onset).astype(np.float64)
            return replace(none, heart=0.15 * ill, vagal=-0.3 * ill, movement=-0.6 * ill)
        case "weekend":
            free = (after & (days.dates.day_of_week.to_numpy() >= 5)).astype(np.float64)
            return replace(none, sleep_min=60 * free, phase_h=free, movement=-0.2 * free)
        case "dst":
            late_h = np.where(after, np.exp(-np.maximum(day - onset, 0) / 3.0), 0.0)
            return replace(none, sleep_min=np.where(day == onset, -60.0, 0.0), phase_h=late_h)
        case _:
            heart = _faster(days, np.where(after, 3.0, 0.0))
            return _bounded(replace(none, heart=heart, vagal=np.where(after, -0.2, 0.0), is_swapped=after))


def _faster(days: Days, added_bpm: FloatArray) -> FloatArray:
    """Return beats a minute as shares of each night's own heart rate, of the usual one where it has none."""
    rate_bpm = days.values[:, _MEAN_HR]
    if not np.isfinite(rate_bpm).any():
        return np.zeros(len(days))
    return added_bpm / np.where(np.isfinite(rate_bpm), rate_bpm, np.nanmedian(rate_bpm))


@dataclass(frozen=True)
class RawNight:
    """What is asked of one night, and what has to be known of it as it was.

    Attributes
    ----------
    span : NightSpan
    sleep_ns : (int, int)
        Main sleep; 0, 0 where none was found, and then no edge moves.
    is_asleep : (m,) bool
        Minutes of it that were scored as sleep.
    heart, vagal, movement, sleep_min, phase_h : float
    is_lost, is_swapped : bool
    """

    span: NightSpan
    sleep_ns: tuple[int, int] = (0, 0)
    is_asleep: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    heart: float = 0.0
    vagal: float = 0.0
    movement: float = 0.0
    sleep_min: float = 0.0
    phase_h: float = 0.0
    is_lost: bool = False
    is_swapped: bool = False

    def edges_min(self) -> tuple[int, int]:
        """Return by how many minutes sleep gains at its begin and at its end; negative where it loses."""
        slept = int(self.is_asleep.sum())
        if not slept or self.sleep_min == 0:
            return 0, 0
        wanted = float(np.clip(slept + self.sleep_min, _SHORTEST_MIN, _LONGEST_MIN)) - slept
        half = min(abs(wanted) / 2, slept / 2)
        if round(half) == 0:
            return 0, 0
        both = self.is_asleep, self.is_asleep[::-1]
        first, last = (int(np.searchsorted(np.cumsum(each), round(half))) + 1 for each in both)
        return (first, last) if wanted > 0 else (-first, -last)

    def changed_sleep_ns(self) -> tuple[int, int]:
        """Return the main sleep after its edges moved."""
        first, last = self.edges_min()
        return self.sleep_ns[0] - first * MINUTE_NS, self.sleep_ns[1] + last * MINUTE_NS


def injected_samples(samples: Mapping[str, Samples], nights: Sequence[RawNight]) -> dict[str, Samples]:
    """Return the samples with what is asked of each night; streams that no effect is of stay as they are.

    Parameters
    ----------
    samples : mapping of stream name to Samples
        Of one person, in any order.
    nights : sequence of RawNight
        Every night whose samples, or whose day before, are among them, whether or not anything is asked of
        it: sleep of the others has to be known, too.
    """
    found = {name: sorted_by_time(held) for name, held in samples.items()}
    original = found.get(STEP_COUNT.name)
    for night in nights:
        found |= _with_sleep(found, night)
    for stream in _CHANGED:
        if stream.name in found and len(found[stream.name]):
            found[stream.name] = _changed(found[stream.name], nights, original)
    return found


def _changed(held: Samples, nights: Sequence[RawNight], steps: Samples | None) -> Samples:
    sleeps_ns = [each.changed_sleep_ns() for each in nights]
    for night in nights:
        if held.stream in _HEART:
            held = _with_heart(held, night)
        elif held.stream == ACTIVITY_EPOCH:
            held = _with_movement(held, night, sleeps_ns)
        elif held.stream == STEP_COUNT and steps is not None:
            held = _with_steps(held, night, steps)
    for night in nights:
        held = collage(held, rotation(night.span.noons_ns, round(60 * night.phase_h) * MINUTE_NS))
    return _swapped(_kept(held, nights), nights)


def _with_sleep(found: Mapping[str, Samples], night: RawNight) -> dict[str, Samples]:
    """Return streams in which the edges of sleep moved, and what is next to them with them."""
    changed = {stream.name: found[stream.name] for stream in _CHANGED if stream.name in found}
    for piece in _moved_edges(night):
        if not _is_recorded(found.get(ACTIVITY_EPOCH.name), piece):
            continue
        for name, held in changed.items():
            original = found[name]
            if held.stream not in _HEART:
                changed[name] = collage(held, [piece], original)
            elif len(original) and _is_recorded(original, piece):
                changed[name] = collage(held, [piece], _where_worn(original, piece))
    return changed


def _moved_edges(night: RawNight) -> list[Piece]:
    """Return the stretch around each edge that moves: half an hour awake, and what sleep gains or loses."""
    first_ns, last_ns = (each * MINUTE_NS for each in night.edges_min())
    start_ns, end_ns = night.sleep_ns
    evening = Piece(start_ns - _SETTLING_NS - max(first_ns, 0), start_ns + max(-first_ns, 0), -first_ns)
    morning = Piece(end_ns - max(-last_ns, 0), end_ns + _SETTLING_NS + max(last_ns, 0), last_ns)
    return [piece for piece in (evening, morning) if piece.shift_ns]


def _is_recorded(held: Samples | None, piece: Piece) -> bool:
    """Say whether about as much was recorded where a piece comes from as where it goes."""
    if held is None:
        return True
    column = _INTERVALS.get(held.stream)
    size = np.ones(len(held)) if column is None else held[column]
    of_source, of_target = (float(size[placed_within(held, span)].sum()) for span in piece.both_ns)
    return min(of_source, of_target) >= _WORN_AS_MUCH * max(of_source, of_target)


def _where_worn(original: Samples, piece: Piece) -> Samples:
    """Return what a piece may be taken from: nothing that would come to lie where nothing was recorded."""
    known_ns = original.t_ns
    at_ns = known_ns + piece.shift_ns
    after = np.searchsorted(known_ns, at_ns)
    around = [known_ns[np.clip(after - k, 0, len(known_ns) - 1)] for k in (0, 1)]
    near = np.minimum(*(np.abs(at_ns - each) for each in around)) <= _NEAR_NS
    return rows_of(original, near)


def _with_heart(held: Samples, night: RawNight) -> Samples:
    if night.heart == 0 and night.vagal == 0:
        return held
    if held.stream == HEART_RATE:
        inside = placed_within(held, night.span.noons_ns)
        rate = np.where(inside, held["heart_rate_bpm"] * (1 + night.heart), held["heart_rate_bpm"])
        return replace(held, values={**held.values, "heart_rate_bpm": rate})
    arrays = [_with_beats(held.of_sensor(sensor), night) for sensor in held.sensors]
    return merged(held.stream, held.sensors, arrays)


def _with_beats(mine: Samples, night: RawNight) -> list[NDArray[Any]]:
    """Return time and columns of one sensor's intervals, those of the night changed."""
    names, column = mine.stream.column_names(), _INTERVALS[mine.stream]
    low, high = (int(at) for at in np.searchsorted(mine.t_ns, night.span.noons_ns))
    new = changed_beats(mine.t_ns[low:high], mine[column][low:high], night.heart, night.vagal)
    taken = np.concatenate([np.arange(low), low + new.row, np.arange(high, len(mine))])
    arrays = {name: mine[name][taken] for name in names}
    arrays[column][low : low + len(new.row)] = new.rr_ms
    t_ns = np.concatenate([mine.t_ns[:low], new.t_ns, mine.t_ns[high:]])
    return [t_ns, *(arrays[name] for name in names)]


def _with_movement(held: Samples, night: RawNight, sleeps_ns: Sequence[tuple[int, int]]) -> Samples:
    """Return movement of the day before the night at another size; that of sleep as it is."""
    if night.movement == 0:
        return held
    inside = placed_within(held, day_before_ns(night.span))
    for start_ns, end_ns in sleeps_ns:
        inside &= (held.t_ns < start_ns) | (held.t_ns >= end_ns)
    sized = {name: np.where(inside, held[name] * (1 + night.movement), held[name]) for name in _SIZES}
    return replace(held, values={**held.values, **sized})


def _kept(held: Samples, nights: Sequence[RawNight]) -> Samples:
    """Leave out what was recorded in nights that are lost."""
    lost = _of_nights(held, [night for night in nights if night.is_lost])
    if not lost.any():
        return held
    return rows_of(held, ~lost)


def _of_nights(held: Samples, nights: Sequence[RawNight]) -> NDArray[np.bool_]:
    """Say of each sample whether it lies in one of some nights, noon to noon."""
    found = np.zeros(len(held), np.bool_)
    for night in nights:
        found |= placed_within(held, night.span.noons_ns)
    return found


def _with_steps(held: Samples, night: RawNight, original: Samples) -> Samples:
    """Return the day before the night with the asked share of the steps that it had, sensor by sensor."""
    steps = held["steps"].copy()
    begin_ns, end_ns = day_before_ns(night.span)
    # Before and after noon, for the other half of a day is of another night.
    halves = (begin_ns, night.span.start_ns), (night.span.start_ns, end_ns)
    for sensor, half_ns in product(held.sensors, halves):
        mine, had = (_counted(one, sensor, half_ns) for one in (held, original))
        total, wanted = steps[mine].sum(), (1 + night.movement) * original["steps"][had].sum()
        if total > 0 and total != wanted:
            # Whole steps, and the sum to the step.
            steps[mine] = np.diff(np.rint(np.cumsum(steps[mine]) * (wanted / total)), prepend=0.0)
    return replace(held, values={**held.values, "steps": steps})


def _counted(held: Samples, sensor: str, span_ns: tuple[int, int]) -> NDArray[np.bool_]:
    if sensor not in held.sensors:
        return np.zeros(len(held), np.bool_)
    is_of = held.sensor_index == held.sensors.index(sensor)
    return placed_within(held, span_ns) & is_of & np.isfinite(held["steps"])


def _swapped(held: Samples, nights: Sequence[RawNight]) -> Samples:
    """Let other sensors have recorded the nights that are asked to be of such."""
    is_new = _of_nights(held, [night for night in nights if night.is_swapped])
    if not is_new.any():
        return held
    names = np.array(held.sensors, object)[held.sensor_index]
    names[is_new] = names[is_new] + SWAPPED
    sensors, index = np.unique(names.astype(str), return_inverse=True)
    return sorted_by_time(replace(held, sensors=tuple(map(str, sensors)), sensor_index=index.astype(np.intp)))
