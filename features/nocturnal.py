"""What a night says: means of its windows, the day's rhythm, stillness, sleep, the week, the pulse.

Each function returns values by feature name, NaN where withheld, and why each of those is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.rhythm.cosinor import cosinor_of
from features.specs import NIGHT_FEATURES, FeatureSpec, spec_named
from features.windows import Windows
from store.local_time import local_wall_ns
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Times = NDArray[np.int64]
Found = tuple[dict[str, float], dict[str, str]]

STILL_FRAC = 1 / 3
MIN_WINDOWS = 3
"""For a mean of sleep, however short it was."""
MIN_NIGHTS = 3
"""Of seven, for a mean of the week."""

_RHYTHM: tuple[str, ...] = ("hr_mesor_bpm", "hr_amplitude_bpm", "hr_acrophase_h", "hr_cosinor_r2")
_STILL = ("rmssd_still_ms", "mean_hr_still_bpm")
_ASLEEP = ("rmssd_asleep_ms", "mean_hr_asleep_bpm")
_WEEK = ("ln_rmssd_7d", "ln_rmssd_cv_7d_pct")
_PULSE = tuple(spec.name for spec in NIGHT_FEATURES if spec.family == "pulse")
_NS_PER_H = 3600 * NS_PER_S


@dataclass(frozen=True, slots=True)
class NightHours:
    """The hours of a night, and how many windows they have room for.

    Attributes
    ----------
    zone : str
    span_ns, bounds_ns : (int, int)
        Noon to noon, and the nocturnal hours within; half-open, nanoseconds UTC.
    window_s : int
    """

    zone: str
    span_ns: tuple[int, int]
    bounds_ns: tuple[int, int]
    window_s: int

    @property
    def window_ns(self) -> int:
        """Length of a window."""
        return self.window_s * NS_PER_S

    @property
    def nocturnal_count(self) -> int:
        """Windows that the nocturnal hours have room for; a change of clocks can leave out all of them."""
        return (self.bounds_ns[1] - self.bounds_ns[0]) // self.window_ns

    @property
    def other_count(self) -> int:
        """Windows that the other hours have room for."""
        return (self.span_ns[1] - self.span_ns[0]) // self.window_ns - self.nocturnal_count

    def is_nocturnal(self, windows: Windows) -> BoolArray:
        """Say of each window, (n,), whether it starts in the nocturnal hours."""
        start_ns, end_ns = self.bounds_ns
        return np.asarray((windows.start_ns >= start_ns) & (windows.start_ns < end_ns), np.bool_)

    def is_valid(self, windows: Windows) -> BoolArray:
        """Say of each window, (n,), whether it is nocturnal and has an RMSSD."""
        return self.is_nocturnal(windows) & np.isfinite(windows.values["rmssd_ms"])

    def clock_h(self, start_ns: Times) -> FloatArray:
        """Return what clocks showed in the middle of windows, hours (n,)."""
        wall_ns = local_wall_ns(start_ns + self.window_ns // 2, self.zone)
        return np.asarray(wall_ns % (24 * _NS_PER_H) / _NS_PER_H, np.float64)


def share(values: FloatArray, possible: int) -> float:
    """Return how many values there are, of those possible, 0-1."""
    return float(np.isfinite(values).sum() / possible) if possible else 0.0


def window_values(windows: Windows, hours: NightHours) -> Found:
    """Return the means and medians of the valid nocturnal windows."""
    is_valid = hours.is_valid(windows)
    values: dict[str, float] = {}
    why: dict[str, str] = {}
    for spec in NIGHT_FEATURES:
        if spec.window_value:
            column = windows.values[spec.window_value][is_valid]
            seen_frac = share(column, hours.nocturnal_count)
            values[spec.name] = float("nan")
            if seen_frac >= spec.min_coverage_frac:
                found = column[np.isfinite(column)]
                values[spec.name] = float(np.median(found) if spec.summary == "median" else found.mean())
            else:
                why[spec.name] = _too_little("{} of the nocturnal windows valid", seen_frac, spec)
    return values, why


def day_values(windows: Windows, hours: NightHours) -> Found:
    """Return lowest rate, nightly fall and 24-h rhythm of the heart.

    Parameters
    ----------
    windows : Windows of the whole night, noon to noon
    hours : NightHours
    """
    rate_bpm = windows.values["mean_hr_bpm"]
    is_nocturnal = hours.is_nocturnal(windows)
    night_bpm, other_bpm = rate_bpm[is_nocturnal], rate_bpm[~is_nocturnal]
    night = (share(night_bpm, hours.nocturnal_count), "heart rate in {} of the nocturnal windows")
    other = (share(other_bpm, hours.other_count), "heart rate in {} of the windows of the other hours")
    values, why = _rhythm(windows.start_ns, rate_bpm, hours)
    for name, needed in (("lowest_hr_bpm", [night]), ("hr_dip_pct", [night, other])):
        spec = spec_named(name)
        values[name] = float("nan")
        lacking = [each for each in needed if each[0] < spec.min_coverage_frac]
        if lacking:
            why[name] = _too_little(lacking[0][1], lacking[0][0], spec)
        elif name == "lowest_hr_bpm":
            values[name] = float(np.nanmin(night_bpm))
        else:
            values[name] = float(100 * (1 - np.nanmean(night_bpm) / np.nanmean(other_bpm)))
    return values, why


def _rhythm(start_ns: Times, rate_bpm: FloatArray, hours: NightHours) -> Found:
    has = np.isfinite(rate_bpm)
    clock_h = hours.clock_h(start_ns[has])
    # Where a quarter of the clock has next to nothing, the peak would be guessed from one side.
    possible_h = hours.clock_h(np.arange(*hours.span_ns, hours.window_ns, dtype=np.int64))
    held, room = (np.bincount((each // 6).astype(np.intp), minlength=4) for each in (clock_h, possible_h))
    emptiest_frac = float((held / room).min())
    spec = spec_named(_RHYTHM[0])
    if emptiest_frac < spec.min_coverage_frac:
        where = "heart rate in {} of the windows of the emptiest quarter of the day"
        return _nothing(_RHYTHM, _too_little(where, emptiest_frac, spec))
    fit = cosinor_of(clock_h, rate_bpm[has])
    values = dict(zip(_RHYTHM, (fit.mesor, fit.amplitude, fit.acrophase_h, fit.r2), strict=True))
    # A constant has a level and no amplitude, but neither peak nor variance.
    same = f"undefined, for the heart rate is the same in all {fit.n} windows, a change needed; check wear"
    return values, {name: same for name, value in values.items() if np.isnan(value)}


def still_values(windows: Windows, motion: tuple[Times, FloatArray], hours: NightHours) -> Found:
    """Return RMSSD and heart rate of the third of the valid nocturnal windows that moved least.

    Parameters
    ----------
    motion : (t_ns, enmo_mg), each (m,)
        Starts of activity epochs, and their ENMO.
    """
    motion_ns, enmo_mg = motion
    if not len(motion_ns):
        return _nothing(_STILL, "no movement recorded")
    rows = np.flatnonzero(hours.is_valid(windows) & np.isfinite(windows.values["mean_hr_bpm"]))
    first = np.searchsorted(motion_ns, windows.start_ns[rows])
    last = np.searchsorted(motion_ns, windows.start_ns[rows] + hours.window_ns)
    total = np.concatenate([[0.0], np.cumsum(enmo_mg)])
    moved_mg = np.where(last > first, (total[last] - total[first]) / np.maximum(last - first, 1), np.nan)
    seen_frac = share(moved_mg, hours.nocturnal_count)
    spec = spec_named(_STILL[0])
    if seen_frac < spec.min_coverage_frac:
        where = "{} of the nocturnal windows valid and with movement"
        return _nothing(_STILL, _too_little(where, seen_frac, spec))
    known, moved_mg = rows[np.isfinite(moved_mg)], moved_mg[np.isfinite(moved_mg)]
    still = known[np.argsort(moved_mg, kind="stable")[: max(round(len(known) * STILL_FRAC), 1)]]
    return _means(windows, still, _STILL), {}


def asleep_values(
    windows: Windows, asleep: tuple[Times, Times] | None, hours: NightHours, not_scored: str
) -> Found:
    """Return RMSSD and heart rate of the windows that lie wholly inside sleep.

    Parameters
    ----------
    asleep : (start_ns, end_ns), each (k,), or None
        Half-open stretches of sleep; those that touch or overlap are one. None where it is not scored.
    not_scored : str
        Why it is not.
    """
    if asleep is None:
        return _nothing(_ASLEEP, not_scored)
    possible_ns = np.arange(*hours.span_ns, hours.window_ns, dtype=np.int64)
    possible = int(_lie_inside(possible_ns, hours.window_ns, *asleep).sum())
    if possible < MIN_WINDOWS:
        return _nothing(_ASLEEP, f"no sleep that holds {MIN_WINDOWS} whole windows")
    is_known = np.isfinite(windows.values["rmssd_ms"]) & np.isfinite(windows.values["mean_hr_bpm"])
    rows = np.flatnonzero(is_known & _lie_inside(windows.start_ns, hours.window_ns, *asleep))
    spec = spec_named(_ASLEEP[0])
    if len(rows) < spec.min_coverage_frac * possible:
        return _nothing(_ASLEEP, _too_little("{} of the windows of sleep valid", len(rows) / possible, spec))
    return _means(windows, rows, _ASLEEP), {}


def _lie_inside(start_ns: Times, window_ns: int, from_ns: Times, until_ns: Times) -> BoolArray:
    """Say of each window whether it lies inside the union of stretches."""
    if not len(from_ns):
        return np.zeros(len(start_ns), np.bool_)
    order = np.argsort(from_ns, kind="stable")
    begins, reach = from_ns[order], np.maximum.accumulate(until_ns[order])
    is_first = np.concatenate([[True], begins[1:] > reach[:-1]])
    begins, ends = begins[is_first], reach[np.concatenate([is_first[1:], [True]])]
    at = np.searchsorted(begins, start_ns, side="right") - 1
    return np.asarray((at >= 0) & (start_ns + window_ns <= ends[np.maximum(at, 0)]), np.bool_)


def week_values(ln_rmssd: Sequence[float], sensor: str = "") -> Found:
    """Return mean and coefficient of variation of the last seven nights; NaN with fewer than three valid.

    Parameters
    ----------
    ln_rmssd : sequence of float
        One a night, the newest last; NaN where withheld, or of another sensor.
    sensor : str
        For the reason.

    References
    ----------
    Plews et al. (2013). Sports Med 43, 773-781. doi:10.1007/s40279-013-0071-8
    """
    valid = np.array([value for value in ln_rmssd[-7:] if np.isfinite(value)])
    if len(valid) < MIN_NIGHTS:
        of = f" with sensor {sensor}" if sensor else ""
        seen = f"{len(valid)} of the last 7 nights{of} valid, {MIN_NIGHTS} needed; check wear"
        return _nothing(_WEEK, seen)
    mean, spread = float(valid.mean()), float(valid.std(ddof=1))
    if mean > 0:
        return dict(zip(_WEEK, (mean, 100 * spread / mean), strict=True)), {}
    undefined = f"undefined, for the mean is {mean:.2f}, above 0 needed; check wear"
    return {_WEEK[0]: mean, _WEEK[1]: float("nan")}, {_WEEK[1]: undefined}


def pulse_values(windows: Windows, hours: NightHours) -> Found:
    """Return the means of nocturnal pulse windows, named as such."""
    is_nocturnal = hours.is_nocturnal(windows)
    values, why = dict.fromkeys(_PULSE, float("nan")), dict[str, str]()
    for name in _PULSE:
        spec = spec_named(name)
        column = windows.values[name.removeprefix("prv_")][is_nocturnal]
        seen_frac = share(column, hours.nocturnal_count)
        if seen_frac >= spec.min_coverage_frac:
            values[name] = float(np.nanmean(column))
        else:
            where = "{} of the nocturnal windows with valid pulse intervals"
            why[name] = _too_little(where, seen_frac, spec)
    return values, why


def no_pulse(why: str) -> Found:
    """Return what there is without pulse intervals."""
    return _nothing(_PULSE, why)


def best_by_valid(by_sensor: Mapping[str, BoolArray]) -> str:
    """Return the sensor with the most valid windows; the first by name where several have as many."""
    return max(sorted(by_sensor), key=lambda sensor: int(by_sensor[sensor].sum()))


def _means(windows: Windows, rows: NDArray[np.intp], names: tuple[str, str]) -> dict[str, float]:
    columns = (windows.values["rmssd_ms"], windows.values["mean_hr_bpm"])
    return {name: float(column[rows].mean()) for name, column in zip(names, columns, strict=True)}


def _nothing(names: Sequence[str], why: str) -> Found:
    return dict.fromkeys(names, float("nan")), dict.fromkeys(names, why)


def _too_little(where: str, seen_frac: float, spec: FeatureSpec) -> str:
    # Rounded down, so that no share below what is needed reads as if it were enough.
    seen = f"{int(100 * seen_frac + 1e-9)} %"
    return f"{where.format(seen)}, {100 * spec.min_coverage_frac:.0f} % needed; check wear"
