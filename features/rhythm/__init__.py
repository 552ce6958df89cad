"""Rest-activity rhythm, and that of the heart rate: stability, variability, extremes, cosinor, phase."""

from features.rhythm.clock_profile import ClockedValues, binned, clocked, mean_day
from features.rhythm.cosinor import Cosinor, cosinor, cosinor_of, phase_shift_h
from features.rhythm.extremes import Extremes, l5_m10
from features.rhythm.specs import RHYTHM_SPECS
from features.rhythm.stability import is_iv, ism_ivm
from features.rhythm.table import DayRhythm, Rhythm, day_profile, rhythm

__all__ = [
    "RHYTHM_SPECS",
    "ClockedValues",
    "Cosinor",
    "DayRhythm",
    "Extremes",
    "Rhythm",
    "binned",
    "clocked",
    "cosinor",
    "cosinor_of",
    "day_profile",
    "is_iv",
    "ism_ivm",
    "l5_m10",
    "mean_day",
    "phase_shift_h",
    "rhythm",
]
