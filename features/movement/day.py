"""Activity of the local day before a night, and the least active hours of the night itself."""

from datetime import timedelta

import numpy as np
from numpy.typing import NDArray

from features.activity import activity_values, thresholds_of
from features.epochs.epochs import Epochs
from features.epochs.wear import STILL_STEPS_H, long_zero_runs
from features.movement.minutes import MINUTE_NS, FloatArray, Minutes
from features.movement.moved import Moved
from features.movement.specs import ACTIVITY_FEATURES, names_of
from features.night_span import NightSpan
from features.sleep.night import clock_h
from store.nights import local_ns
from store.timeseries import Samples
from store.units import NS_PER_S

_NAN = float("nan")
_WINDOW_SEEN = 0.9
_M10_H, _L5_H = 10, 5
_EXTREMES: tuple[str, ...] = ("m10_day", "m10_day_onset_h", "l5_night", "l5_night_onset_h")
_FROM_TABLE = tuple(name for name in names_of("activity") if name not in {*_EXTREMES, "steps"})


def movement_column(minutes: Minutes) -> str:
    """Return what measures movement: ENMO before counts before steps, if there is half as much of it."""
    held = {name: int(np.isfinite(getattr(minutes, name)).sum()) for name in ("enmo_mg", "counts", "steps")}
    most = max(held.values())
    return next((name for name, count in held.items() if 2 * count >= most > 0), "")


def day_before_ns(span: NightSpan) -> tuple[int, int]:
    """Return the local day before a night, midnight to midnight, nanoseconds UTC."""
    return local_ns(span.night - timedelta(days=1), 0, span.zone), local_ns(span.night, 0, span.zone)


def _share(holds: NDArray[np.bool_], span_ns: tuple[int, int]) -> float:
    return float(holds.sum()) / max((span_ns[1] - span_ns[0]) // MINUTE_NS, 1)


def _part(minutes: Minutes, span_ns: tuple[int, int]) -> slice:
    low, high = (min(max((at_ns - minutes.start_ns) // MINUTE_NS, 0), len(minutes)) for at_ns in span_ns)
    return slice(low, high)


def day_values(moved: Moved, span: NightSpan) -> tuple[dict[str, float], dict[str, str], float]:
    """Return what the worn minutes of the day before say, why values are missing, and its worn share."""
    minutes = moved.minutes
    span_ns = day_before_ns(span)
    part, column = _part(minutes, span_ns), movement_column(minutes)
    values = dict.fromkeys(_FROM_TABLE, _NAN)
    if not column or part.start == part.stop:
        return values, dict.fromkeys(_FROM_TABLE, "no movement recorded"), 0.0
    held = getattr(minutes, column)[part]
    epochs = Epochs(minutes.starts_ns[part], 60.0, {column: held}, column, span.zone, moved.device)
    is_used = moved.is_worn[part] & np.isfinite(held)
    share = _share(is_used, span_ns)
    bounds = thresholds_of(epochs)
    found = activity_values(epochs, is_used, bounds)
    why: dict[str, str] = {}
    for spec in ACTIVITY_FEATURES:
        if spec.name not in values:
            continue
        if share < spec.min_coverage_frac:
            why[spec.name] = too_little("worn {} of the day before", share, spec.min_coverage_frac)
        elif np.isnan(found[spec.name]):
            why[spec.name] = _undefined(spec.name, column, moved.device, has_bound=bounds.active is not None)
        else:
            values[spec.name] = found[spec.name]
    return values, why, share


def _undefined(name: str, column: str, device: str, *, has_bound: bool) -> str:
    if name == "intensity_gradient" and column != "enmo_mg":
        return "defined for ENMO alone"
    if not has_bound:
        return f"no bound is published for {device or 'this'} {column}"
    return "undefined: none of its minutes, or all of them"


def too_little(where: str, seen_frac: float, needed_frac: float) -> str:
    """Say how much was there and is needed; rounded down, so that too little never reads as enough."""
    return f"{where.format(f'{int(100 * seen_frac + 1e-9)} %')}, {100 * needed_frac:.0f} % needed; check wear"


def step_values(steps: Samples, moved: Moved, span: NightSpan) -> tuple[float, str]:
    """Return the steps of the day before, or NaN and why.

    Intervals that end on the day count; the day is seen where it was worn or counted, but for 16 h of zeros.

    Parameters
    ----------
    steps : Samples
        Of STEP_COUNT, of one sensor at most.
    """
    if not len(steps):
        return _NAN, "no steps recorded"
    start_ns, end_ns = day_before_ns(span)
    of_day = (steps.t_ns > start_ns) & (steps.t_ns <= end_ns) & np.isfinite(steps["steps"])
    counted = _counted(moved.minutes, steps) | moved.is_worn
    seen_frac = _share(counted[_part(moved.minutes, (start_ns, end_ns))], (start_ns, end_ns))
    needed = ACTIVITY_FEATURES[0].min_coverage_frac
    if seen_frac < needed or not of_day.any():
        return _NAN, too_little("steps were counted in {} of the day before", seen_frac, needed)
    return float(steps["steps"][of_day].sum()), ""


def _counted(minutes: Minutes, steps: Samples) -> NDArray[np.bool_]:
    """Return in which minutes steps were counted, whatever the length of their intervals."""
    length_ns = np.nan_to_num(steps["interval_s"] * NS_PER_S).astype(np.int64)
    low = np.clip((steps.t_ns - length_ns - minutes.start_ns) // MINUTE_NS, 0, len(minutes))
    high = np.clip(-((minutes.start_ns - steps.t_ns) // MINUTE_NS), 0, len(minutes))
    edges = np.bincount(low, minlength=len(minutes) + 1) - np.bincount(high, minlength=len(minutes) + 1)
    is_counted = np.cumsum(edges)[:-1] > 0
    total = np.bincount(np.clip(high - 1, 0, len(minutes)), np.nan_to_num(steps["steps"]), len(minutes) + 1)
    return is_counted & ~long_zero_runs(np.where(is_counted, total[:-1], np.nan), 60.0, STILL_STEPS_H)


def extreme_values(moved: Moved, span: NightSpan) -> tuple[dict[str, float], dict[str, str]]:
    """Return the ten most active hours of the day before, and the five least active from noon to noon."""
    minutes, column = moved.minutes, movement_column(moved.minutes)
    values = dict.fromkeys(_EXTREMES, _NAN)
    if not column:
        return values, dict.fromkeys(_EXTREMES, "no movement recorded")
    x = np.where(moved.is_worn, getattr(minutes, column), np.nan)
    why: dict[str, str] = {}
    for name, hours, sign, within in (
        ("m10_day", _M10_H, 1.0, day_before_ns(span)),
        ("l5_night", _L5_H, -1.0, span.noons_ns),
    ):
        part = _part(minutes, within)
        found = _extreme(x[part], 60 * hours, sign)
        if found is None:
            reason = f"no {hours} h in a row of which {100 * _WINDOW_SEEN:.0f} % were worn; check wear"
            why |= {name: reason, f"{name}_onset_h": reason}
            continue
        values[name] = found[0]
        values[f"{name}_onset_h"] = clock_h(minutes.start_ns + (part.start + found[1]) * MINUTE_NS, span.zone)
    return values, why


def _extreme(x: FloatArray, width: int, sign: float) -> tuple[float, int] | None:
    """Return the best mean of minutes in a row and where it begins; the earliest of equals."""
    if len(x) < width:
        return None
    is_known = np.isfinite(x)
    total = np.concatenate(([0.0], np.cumsum(np.where(is_known, x, 0.0))))
    known = np.concatenate(([0], np.cumsum(is_known)))
    number = known[width:] - known[:-width]
    is_seen = number >= _WINDOW_SEEN * width
    if not is_seen.any():
        return None
    mean = np.where(is_seen, (total[width:] - total[:-width]) / np.maximum(number, 1), -sign * np.inf)
    best = float((sign * mean).max())
    slack = 1e-9 * max(abs(best), 1e-12)
    at = int(np.flatnonzero(sign * mean >= best - slack)[0])
    return max(float(mean[at]), 0.0), at
