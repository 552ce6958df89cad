"""What a night says beyond the means of its windows: the day's rhythm, stillness, the week, the pulse."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from features.rhythm.cosinor import cosinor_of
from features.windows import Windows
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

MIN_QUARTER_FRAC = 0.25
"""Each quarter of the day needs this share of its windows, or the peak would be guessed from one side."""

STILL_FRAC = 1 / 3
MIN_NIGHTS = 3
"""Of seven, for a mean of the week."""

_DAY = (
    "lowest_hr_bpm", "hr_dip_pct", "hr_mesor_bpm", "hr_amplitude_bpm", "hr_acrophase_h", "hr_cosinor_r2",
)  # fmt: skip
_NS_PER_H = 3600 * NS_PER_S


def day_values(
    windows: Windows,
    is_nocturnal: NDArray[np.bool_],
    span_ns: tuple[int, int],
    window_s: int,
    needed_frac: float,
) -> tuple[dict[str, float], str]:
    """Return lowest rate, nightly fall and 24-h rhythm of the heart, and why some are missing.

    Parameters
    ----------
    windows : Windows of the whole night, noon to noon
    is_nocturnal : (n,) bool
    span_ns : (int, int)
        Noon to noon.
    window_s : int
    needed_frac : float
        Share of the windows that each part of the day needs.
    """
    found = {name: float("nan") for name in _DAY}
    rate_bpm = windows.values["mean_hr_bpm"]
    has = np.isfinite(rate_bpm)
    elapsed_h = (windows.start_ns - span_ns[0]) / _NS_PER_H
    per_quarter = (span_ns[1] - span_ns[0]) / NS_PER_S / window_s / 4
    night_bpm = rate_bpm[has & is_nocturnal]
    day_bpm = rate_bpm[has & ~is_nocturnal]
    night_needed = needed_frac * per_quarter
    if len(night_bpm) >= night_needed:
        found["lowest_hr_bpm"] = float(night_bpm.min())
        if len(day_bpm) >= 3 * night_needed:
            found["hr_dip_pct"] = float(100 * (1 - night_bpm.mean() / day_bpm.mean()))
    quarters = np.bincount((elapsed_h[has] // 6).astype(np.intp).clip(0, 3), minlength=4)
    if (quarters >= MIN_QUARTER_FRAC * per_quarter).all():
        fit = cosinor_of(elapsed_h[has] + 12 + window_s / 7200, rate_bpm[has])
        values = (fit.mesor, fit.amplitude, fit.acrophase_h, fit.r2)
        found |= dict(zip(_DAY[2:], map(float, values), strict=True))
    missing = [name for name, value in found.items() if np.isnan(value)]
    least = int(quarters.min() / per_quarter * 100)
    why = f"{', '.join(missing)}: heart rate in {least} % of the emptiest quarter of the day, 25 % needed"
    return found, why if missing else ""


def still_values(
    windows: Windows,
    is_valid: NDArray[np.bool_],
    motion_ns: NDArray[np.int64],
    enmo_mg: FloatArray,
    window_s: int,
) -> dict[str, float]:
    """Return RMSSD and heart rate of the third of the valid nocturnal windows that moved least.

    Parameters
    ----------
    is_valid : (n,) bool
        Nocturnal and with a valid RMSSD.
    motion_ns, enmo_mg : (m,)
        Starts of activity epochs, and their ENMO. Half of the windows have to have some.
    """
    nothing = {"rmssd_still_ms": float("nan"), "mean_hr_still_bpm": float("nan")}
    rows = np.flatnonzero(is_valid)
    if not len(rows):
        return nothing
    first = np.searchsorted(motion_ns, windows.start_ns[rows])
    last = np.searchsorted(motion_ns, windows.start_ns[rows] + window_s * NS_PER_S)
    total = np.concatenate([[0.0], np.cumsum(enmo_mg)])
    moved = np.where(last > first, (total[last] - total[first]) / np.maximum(last - first, 1), np.nan)
    known = rows[np.isfinite(moved)]
    if len(known) < len(rows) / 2 or len(known) < 3:
        return nothing
    still = known[np.argsort(moved[np.isfinite(moved)], kind="stable")[: round(len(known) * STILL_FRAC)]]
    return {
        "rmssd_still_ms": float(windows.values["rmssd_ms"][still].mean()),
        "mean_hr_still_bpm": float(np.nanmean(windows.values["mean_hr_bpm"][still])),
    }


def week_values(ln_rmssd: Sequence[float]) -> dict[str, float]:
    """Return mean and coefficient of variation of the last seven nights; NaN with fewer than three valid.

    References
    ----------
    Plews et al. (2013). Sports Med 43, 773-781. doi:10.1007/s40279-013-0071-8
    """
    valid = np.array([value for value in ln_rmssd[-7:] if np.isfinite(value)])
    if len(valid) < MIN_NIGHTS or not valid.mean():
        return {"ln_rmssd_7d": float("nan"), "ln_rmssd_cv_7d_pct": float("nan")}
    spread_pct = 100 * valid.std(ddof=1) / valid.mean()
    return {"ln_rmssd_7d": float(valid.mean()), "ln_rmssd_cv_7d_pct": float(spread_pct)}


def pulse_values(
    windows: Windows, is_nocturnal: NDArray[np.bool_], possible: int, needed_frac: float
) -> dict[str, float]:
    """Return the means of pulse windows, named as such; NaN below the needed share."""
    found: dict[str, float] = {}
    for name in ("mean_hr_bpm", "sdnn_ms", "rmssd_ms", "ln_rmssd"):
        values = windows.values[name][is_nocturnal]
        finite = values[np.isfinite(values)]
        enough = possible > 0 and len(finite) >= needed_frac * possible
        found[f"prv_{name}"] = float(finite.mean()) if enough else float("nan")
    return found


def best_by_valid(by_sensor: Mapping[str, NDArray[np.bool_]]) -> str:
    """Return the sensor with the most valid windows; the first by name where several have as many."""
    return max(sorted(by_sensor), key=lambda sensor: int(by_sensor[sensor].sum()))
