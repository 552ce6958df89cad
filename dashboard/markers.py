"""The markers that the pages show, most telling first: how each is scaled, said and drawn."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from configs.settings import FlagSettings
from dashboard.words import MISSING, clock_text, duration_text, grouped_text, number_text
from features.nights import Nights
from features.specs import NIGHT_FEATURES, spec_named
from models.baseline import Band, band_of_leader
from models.sensors import Led

_H_PER_DAY = 24.0


@dataclass(frozen=True, slots=True)
class Marker:
    """One thing that is looked at night by night.

    Attributes
    ----------
    key : str
        HRV, heart rate, sleep, timing or activity: what it is about, whatever it is measured by.
    features : tuple of str
        The first of these that has values is shown.
    label, unit : str
        For headings and axes.
    kind : str
        How it is said: number, grouped, duration (stored in minutes, drawn in hours) or clock.
    """

    key: str
    features: tuple[str, ...]
    label: str
    unit: str
    kind: str = "number"

    @property
    def heading(self) -> str:
        """Label and unit, the unit once."""
        return self.label if self.unit.lower() in ("", self.label.lower()) else f"{self.label}, {self.unit}"

    @property
    def is_clock(self) -> bool:
        """Whether values are times of day, so that 23:50 and 00:10 are near."""
        return self.kind == "clock"

    def said(self, value: float, digits: int = 0) -> str:
        """Return a drawn value for reading, with its unit; a dash where there is none."""
        if not math.isfinite(value):
            return MISSING
        if self.kind == "clock":
            return clock_text(value)
        if self.kind == "duration":
            return duration_text(value)
        number = grouped_text(value) if self.kind == "grouped" else number_text(value, digits)
        return f"{number} {self.unit}".rstrip()

    def difference_said(self, value: float, usual: float) -> str:
        """Return how far a value is from the usual one: in percent, or in minutes for times."""
        if self.kind in ("clock", "duration"):
            minutes = abs(value - usual) * 60
            side = ("later", "earlier") if self.is_clock else ("longer", "shorter")
            if round(minutes) == 0:
                return "as usual"
            amount = f"{minutes:.0f} min" if minutes < 60 else duration_text(minutes / 60)
            return f"{amount} {side[0] if value > usual else side[1]}"
        if not usual:
            return ""
        percent = 100 * (value - usual) / usual
        return (
            "as usual"
            if abs(percent) < 0.5
            else f"{abs(percent):.0f} % {'above' if percent > 0 else 'below'}"
        )


MARKERS: tuple[Marker, ...] = (
    Marker("hrv", ("rmssd_ms",), "HRV at night (RMSSD)", "ms"),
    Marker("heart", ("mean_hr_bpm",), "Heart rate at night", "beats/min"),
    Marker("sleep", ("tst_min",), "Sleep duration", "h", "duration"),
    Marker("timing", ("midpoint_h",), "Middle of sleep", "", "clock"),
    Marker("activity", ("steps",), "Steps", "steps", "grouped"),
    Marker("activity", ("active_min",), "Active time", "h", "duration"),
    Marker("activity", ("tac",), "Movement", "a day", "grouped"),
)
"""Several of one key stand for each other: the first that a person has is shown."""
_KNOWN = frozenset(spec.name for spec in NIGHT_FEATURES)


@dataclass(frozen=True)
class Series:
    """One marker of one person, night by night, as drawn.

    Attributes
    ----------
    values : (n,) float64
        Hours for times and durations; NaN where missing.
    band : Band
        Of the same unit.
    is_other : (n,) bool
        Nights by another sensor than that of the band: drawn, and compared with nothing.
    """

    marker: Marker
    values: NDArray[np.float64]
    band: Band
    is_other: NDArray[np.bool_]

    @property
    def own(self) -> NDArray[np.float64]:
        """Values, (n,), by the sensor of the band; NaN where another recorded."""
        return np.where(self.is_other, np.nan, self.values)

    @property
    def is_outside(self) -> NDArray[np.bool_]:
        """Which nights, (n,), lie outside the own band; False where that is unknown."""
        own = self.own
        with np.errstate(invalid="ignore"):
            return (own < self.band.low) | (own > self.band.high)


def series_of(nights: Nights, led: Led, settings: FlagSettings) -> Mapping[str, Series]:
    """Return what a person has of each marker, by key: without a value ever, it is left out."""
    found: dict[str, Series] = {}
    for marker in MARKERS:
        name = next((name for name in marker.features if name in _KNOWN), None)
        if name is None or marker.key in found or name not in nights.values:
            continue
        if np.isfinite(nights.values[name]).any():
            found[marker.key] = _series(marker, name, nights.values[name], led, settings)
    return found


def _series(
    marker: Marker, name: str, stored: NDArray[np.float64], led: Led, settings: FlagSettings
) -> Series:
    values = stored
    if marker.kind == "duration":
        values = stored / 60
    elif marker.is_clock:
        values = unwrapped_h(stored)
    is_log_scaled = spec_named(name).is_log_scaled and not marker.is_clock
    band = band_of_leader(values, led, is_log_scaled=is_log_scaled, settings=settings)
    return Series(marker, values, band, led.is_other)


def unwrapped_h(hours: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return times of day (n,) within half a day of their circular mean, so that midnight is no edge.

    >>> unwrapped_h(np.array([23.0, 1.0, 0.5])).tolist()
    [-1.0, 1.0, 0.5]
    """
    known = hours[np.isfinite(hours)]
    if not len(known):
        return hours
    angle = 2 * np.pi * known / _H_PER_DAY
    middle = float(np.angle(np.exp(1j * angle).mean())) * _H_PER_DAY / (2 * np.pi)
    return hours - _H_PER_DAY * np.round((hours - middle) / _H_PER_DAY)


def recent_median(series: Series, nights: int) -> tuple[float, int]:
    """Return the median of the newest nights by the sensor of the band, and how many had a value."""
    recent = series.own[-nights:]
    held = recent[np.isfinite(recent)]
    return (float(np.median(held)), len(held)) if len(held) else (float("nan"), 0)


def outside_counts(series: Series, nights: int) -> tuple[int, int]:
    """Return how many of the newest nights were below and above the own band."""
    values, low, high = series.own[-nights:], series.band.low[-nights:], series.band.high[-nights:]
    with np.errstate(invalid="ignore"):
        return int((values < low).sum()), int((values > high).sum())


def in_words(series: Sequence[Series]) -> str:
    """Return the labels of several markers for a sentence."""
    return ", ".join(each.marker.label.lower() for each in series)
