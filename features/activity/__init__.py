"""Activity of local days: totals, minutes by intensity, bouts and how they follow each other."""

from features.activity.bouts import Bouts, bouts_of
from features.activity.days import MIN_WEAR_FRAC, ActivityTable, activity_table, activity_values
from features.activity.intensity import intensity_gradient
from features.activity.specs import ACTIVITY_SPECS
from features.activity.thresholds import Thresholds, thresholds_of

__all__ = [
    "ACTIVITY_SPECS",
    "MIN_WEAR_FRAC",
    "ActivityTable",
    "Bouts",
    "Thresholds",
    "activity_table",
    "activity_values",
    "bouts_of",
    "intensity_gradient",
    "thresholds_of",
]
