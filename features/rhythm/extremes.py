"""L5 and M10: the least and most active hours of the mean day.

Witting et al. (1990). Biol Psychiatry 27, 563-572. doi:10.1016/0006-3223(90)90523-5
"""

from dataclasses import dataclass

import numpy as np

from features.epochs.epochs import FloatArray
from features.hrv.compiled import compiled


@dataclass(frozen=True, slots=True)
class Extremes:
    """Means of hours in a row of a day, which goes round at midnight; the earliest where several are alike.

    Attributes
    ----------
    l5, m10 : float
        In the unit of the recording.
    l5_onset_h, m10_onset_h : float
        Local clock time, 0-24.
    """

    l5: float
    l5_onset_h: float
    m10: float
    m10_onset_h: float

    @property
    def ra(self) -> float:
        """Relative amplitude, (M10 - L5) / (M10 + L5), 0-1; NaN without any activity."""
        both = self.m10 + self.l5
        return (self.m10 - self.l5) / both if both else np.nan


def l5_m10(day: FloatArray) -> Extremes:
    """Return the extremes of a mean day, (per_day,); all NaN unless every epoch of the day is there."""
    per_hour = len(day) / 24
    lowest, low_at = _extreme(day, round(5 * per_hour), -1.0)
    highest, high_at = _extreme(day, round(10 * per_hour), 1.0)
    return Extremes(lowest, low_at / per_hour, highest, high_at / per_hour)


@compiled
def _extreme(day: FloatArray, width: int, sign: float) -> tuple[float, float]:
    """Return the best mean of a window and where it begins."""
    n = len(day)
    total = 0.0
    for k in range(n):
        total += day[k]
    if np.isnan(total) or width < 1:
        return np.nan, np.nan
    # Sums of a window are differences of running sums, so that equal windows have equal sums for counts.
    running = np.empty(2 * n + 1)
    running[0] = 0.0
    for k in range(2 * n):
        running[k + 1] = running[k] + day[k % n]
    best, at = sign * running[width], 0
    slack = 1e-9 * abs(total)
    for k in range(1, n):
        found = sign * (running[k + width] - running[k])
        if found > best + slack:
            best, at = found, k
    return sign * best / width, float(at)
