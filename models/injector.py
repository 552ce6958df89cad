"""Simulated changes in real days, for evaluation and training; versioned, and not to be tuned on.

A change sets in over a ramp, holds, and goes. Sizes are those that docs/evidence.md gives reasons for: they
are plausible, not measured. Controls are what happens to healthy people and must not be flagged as more than
chance.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.channels import CHANNELS, NAMES, FloatArray
from models.daily import Days

INJECTOR_VERSION = "1"
_RAMP_DAYS, _HOLD_DAYS = 7, 21
_HETERO_SD = 0.75
_UNAFFECTED_FRAC = 0.3
_HEART = [k for k, c in enumerate(CHANNELS) if c.group == "heart"]
_MOVEMENT = [k for k, c in enumerate(CHANNELS) if c.group == "movement"]
_RMSSD, _SLEEP = NAMES.index("rmssd_ms"), NAMES.index("tst_min")
_BREATHING, _TEMPERATURE = NAMES.index("breathing_rate_bpm"), NAMES.index("skin_temperature_c")
_MIDPOINT = NAMES.index("midpoint_h")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A change or control.

    Attributes
    ----------
    heart, vagal, movement : float
        Relative change of heart rate, RMSSD, and of steps and active time.
    sleep_min, phase_h : float
    ramp_days, hold_days : int
        `ramp_days` 0 draws 3 to 14.
    is_hetero : bool
        Each part is multiplied by N(1, 0.75), so that signs may turn, and 30 % of days are unaffected.
    variance : float
        Deviations of sleep, movement and middle of sleep from the own median are multiplied by this.
    lost_frac : float
        Share of days from the onset that are not worn at all.
    kind : {"change", "contact", "control"}
    """

    heart: float = 0.0
    vagal: float = 0.0
    sleep_min: float = 0.0
    movement: float = 0.0
    phase_h: float = 0.0
    ramp_days: int = _RAMP_DAYS
    hold_days: int = _HOLD_DAYS
    is_hetero: bool = False
    variance: float = 1.0
    lost_frac: float = 0.0
    kind: str = "change"


_MODERATE = Scenario(0.05, -0.15, -60, -0.25)
_SEVERE = Scenario(0.08, -0.25, -90, -0.40)
SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        "mild": Scenario(0.025, -0.075, -30, -0.125),
        "moderate": _MODERATE,
        "severe": _SEVERE,
        "hetero-moderate": replace(_MODERATE, is_hetero=True, ramp_days=0),
        "hetero-severe": replace(_SEVERE, is_hetero=True, ramp_days=0),
        "mania": Scenario(0.04, -0.15, -120, 0.40),
        "hypersomnia": Scenario(0.02, -0.05, 90, -0.40),
        "abrupt": replace(_MODERATE, ramp_days=1),
        "ramp-14": replace(_MODERATE, ramp_days=14),
        "ramp-28": replace(_MODERATE, ramp_days=28),
        "sleep-only": Scenario(sleep_min=-60),
        "movement-only": Scenario(movement=-0.25),
        "variance-only": Scenario(variance=2.0),
        "phase-delay": Scenario(phase_h=2.0),
        "severe-wear-loss": replace(_SEVERE, lost_frac=0.4),
        "wear-loss": Scenario(lost_frac=0.7, kind="contact"),
    }
)
"""Changes that a flag is for; the last is one of contact, and is never called deterioration."""

CONTROLS: Mapping[str, Scenario] = MappingProxyType(
    {
        name: Scenario(kind="control")
        for name in ("menstrual", "illness-1-night", "weekend", "dst", "device-swap")
    }
)


def injected(days: Days, onset: int, name: str, random: np.random.Generator) -> Days:
    """Return the days with a change or control from day `onset` on; earlier days are untouched."""
    if name in CONTROLS:
        return _controlled(days, onset, name)
    scenario = SCENARIOS[name]
    values = days.values.copy()
    weight, parts = course(len(values), onset, scenario, random)
    heart, vagal, sleep, movement = (part * weight for part in parts)
    values[:, _HEART] *= 1 + heart[:, None]
    values[:, _RMSSD] *= np.clip(1 + vagal, 0.2, None)
    values[:, _SLEEP] = np.where(sleep != 0, np.clip(values[:, _SLEEP] + sleep, 60, 900), values[:, _SLEEP])
    values[:, _MOVEMENT] *= np.clip(1 + movement, 0.1, None)[:, None]
    values[:, _MIDPOINT] += scenario.phase_h * weight
    if scenario.variance != 1.0:
        _spread_out(values, onset, weight > 0, scenario.variance)
    lost = (np.arange(len(values)) >= onset) & (random.random(len(values)) < scenario.lost_frac)
    values[lost] = np.nan
    return replace(days, values=_measurable(values))


def course(
    n: int, onset: int, scenario: Scenario, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return the weight of each day, (n,), and the size of heart, vagal, sleep and movement."""
    parts = np.array([scenario.heart, scenario.vagal, scenario.sleep_min, scenario.movement])
    ramp = scenario.ramp_days or int(random.integers(3, 15))
    day = np.arange(n)
    weight = np.clip((day - onset + 1) / ramp, 0, 1)
    weight *= (day >= onset) & (day < onset + ramp + scenario.hold_days)
    if scenario.is_hetero:
        parts = parts * random.normal(1, _HETERO_SD, 4)
        weight = weight * (random.random(n) > _UNAFFECTED_FRAC)
    return weight, parts


def _spread_out(values: FloatArray, onset: int, is_affected: np.ndarray, factor: float) -> None:
    for k in (_SLEEP, *_MOVEMENT, _MIDPOINT):
        past = values[:onset, k]
        past = past[np.isfinite(past)]
        if len(past):
            usual = np.median(past)
            values[is_affected, k] = usual + factor * (values[is_affected, k] - usual)


def _measurable(values: FloatArray) -> FloatArray:
    """Drop what no sensor could have told: outside the bounds of its channel."""
    for k, channel in enumerate(CHANNELS):
        wrong = (values[:, k] < channel.low) | (values[:, k] > channel.high)
        values[wrong, k] = np.nan
    return values


def _controlled(days: Days, onset: int, name: str) -> Days:
    values, source = days.values.copy(), days.source.copy()
    day = np.arange(len(values))
    after = day >= onset
    match name:
        case "menstrual":
            # Whole record: a cycle is nothing new. Shilaih 2017, doi:10.1038/s41598-017-01433-9.
            phase = (day - onset) % 28
            values[:, _HEART] += np.interp(phase, [0, 5, 13, 21, 28], [0, 0, 2.1, 3.8, 0])[:, None]
            values[:, _TEMPERATURE] += np.where((phase >= 14) & (phase < 26), 0.3, 0.0)
        case "illness-1-night":
            ill = day == onset
            values[ill[:, None] & _is_of("heart")] *= 1.15
            values[ill, _RMSSD] *= 0.7
            values[ill, _BREATHING] += 2
            values[ill, _TEMPERATURE] += 1
            values[ill[:, None] & _is_of("movement")] *= 0.4
        case "weekend":
            weekend = after & (days.dates.day_of_week.to_numpy() >= 5)
            values[weekend, _SLEEP] += 60
            values[weekend, _MIDPOINT] += 1
            values[weekend[:, None] & _is_of("movement")] *= 0.8
        case "dst":
            first = day == onset
            values[first, _SLEEP] -= 60
            values[after, _MIDPOINT] += np.exp(-(day[after] - onset) / 3.0)
        case _:
            values[after[:, None] & _is_of("heart")] += 3
            values[after, _RMSSD] *= 0.8
            source[:] = np.where(after, 1, 0)
    return replace(days, values=_measurable(values), source=source)


def _is_of(group: str) -> NDArray[np.bool_]:
    return np.array([channel.group == group for channel in CHANNELS])
