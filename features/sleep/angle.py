"""Sleep from the angle of the arm: when it stays for minutes, and the period of a night.

Made for the wrist, from epochs of 5 s of raw acceleration; of the chest or the hip the angle says how
somebody sits, not whether they sleep.
"""

from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from features.sleep.hypnogram import SleepStage, StageArray, runs_of
from features.sleep.period import longest_calm
from store.nights import local_ns
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

ANGLE_SCORER = "van_hees"
ANGLE_FORMULA = "no change of the arm's angle above 5 degrees within 5 min"
ANGLE_DOI = "10.1371/journal.pone.0142533"
LONGEST_EPOCH_S = 6.0
"""The bounds are of changes within 5 s; within longer epochs a sleeping arm turns further."""

_TURN_DEG, _STILL_MIN = 5.0, 5.0
_DAY_SLEEPER_H = 11
"""Who is found to sleep until here is looked at from 18 to 18 o'clock, as in GGIR."""


def sustained_inactivity(angle_deg: FloatArray, epoch_s: float) -> StageArray:
    """Score epochs by sustained inactivity: ASLEEP, WAKE, or UNSCORED where there is no angle, (n,).

    van Hees et al. (2015). PLoS One 10, e0142533. doi:10.1371/journal.pone.0142533. A gap ends a stretch.

    Parameters
    ----------
    angle_deg : (n,) float64
        Angle of the z-axis to the horizontal, -90 to 90; NaN where nothing was recorded or worn.
    epoch_s : float
    """
    turned = ~(np.abs(np.diff(angle_deg, prepend=np.nan)) <= _TURN_DEG)
    stage = np.where(np.isfinite(angle_deg), np.int8(SleepStage.WAKE), np.int8(SleepStage.UNSCORED))
    for first, end in runs_of(~turned).tolist():
        if (end - first) * epoch_s > _STILL_MIN * 60:
            stage[first:end] = SleepStage.ASLEEP
    return stage


def minute_stages(stage: StageArray, of_minute: NDArray[np.int64], count: int) -> StageArray:
    """Return the stage of minutes: asleep where half of what was scored is; half of it has to be.

    Parameters
    ----------
    stage : (n,) int8
        Of short epochs.
    of_minute : (n,) int64
        The minute that each lies in; those outside of 0 to below `count` are left out.
    count : int
    """
    inside = (of_minute >= 0) & (of_minute < count)
    at, held = of_minute[inside], stage[inside]
    total = np.bincount(at, minlength=count)
    known = np.bincount(at[held >= 0], minlength=count)
    asleep = np.bincount(at[held > 0], minlength=count)
    scored = np.where(2 * asleep >= known, SleepStage.ASLEEP, SleepStage.WAKE)
    return np.where((known > 0) & (2 * known >= total), scored, SleepStage.UNSCORED).astype(np.int8)


def night_by_angle(
    smooth: FloatArray, start_ns: int, epoch_s: float, night: date, zone: str
) -> tuple[int, int] | None:
    """Return the sleep period that ends in a night by HDCZA, nanoseconds UTC; None without one.

    From noon to noon; if it is found to last until 11 o'clock or longer, from 18 to 18 o'clock, so that who
    sleeps by day is not cut at noon.

    Parameters
    ----------
    smooth : (n,) float64
        `calm_change_deg` of a recording that begins at `start_ns`; NaN where not recorded or worn.
    start_ns : int
    epoch_s : float
    night : date
    zone : str
    """
    found = _calm_of_day(smooth, start_ns, epoch_s, (night, zone, 12))
    if found is None or found[1] < local_ns(night, _DAY_SLEEPER_H, zone):
        return found
    return _calm_of_day(smooth, start_ns, epoch_s, (night, zone, 18))


def _calm_of_day(
    smooth: FloatArray, start_ns: int, epoch_s: float, of: tuple[date, str, int]
) -> tuple[int, int] | None:
    night, zone, hour = of
    epoch_ns = round(epoch_s * NS_PER_S)
    day_ns = local_ns(night - timedelta(days=1), hour, zone), local_ns(night, hour, zone)
    low, high = (max(-((start_ns - at_ns) // epoch_ns), 0) for at_ns in day_ns)
    calm = longest_calm(smooth[low:high], epoch_s)
    if calm is None:
        return None
    return start_ns + (low + calm[0]) * epoch_ns, start_ns + (low + calm[1]) * epoch_ns
