"""Sleep: scored minutes, periods, values of nights, regularity and stages.

Pure: arrays in, values out. A minute is asleep, awake or not scored; what was not scored is never counted as
either, and values with too little behind them are withheld with the reason.
"""

from features.sleep.hypnogram import Hypnogram, SleepStage, runs_of
from features.sleep.night import SleepValues, clock_h, sleep_values, wake_date
from features.sleep.period import Periods, hdcza, periods_of, roenneberg
from features.sleep.regularity import (
    circular_mean_h,
    circular_sd_min,
    sleep_regularity_index,
    sleep_regularity_index_clock,
    social_jet_lag_h,
)
from features.sleep.scorers import (
    SCORERS,
    CountScale,
    Scorer,
    count_scale_of,
    score_counts,
    score_epochs,
    scorer_named,
    webster,
    zero_runs,
)
from features.sleep.specs import SLEEP_SPECS, SleepSpec

__all__ = [
    "SCORERS",
    "SLEEP_SPECS",
    "CountScale",
    "Hypnogram",
    "Periods",
    "Scorer",
    "SleepSpec",
    "SleepStage",
    "SleepValues",
    "circular_mean_h",
    "circular_sd_min",
    "clock_h",
    "count_scale_of",
    "hdcza",
    "periods_of",
    "roenneberg",
    "runs_of",
    "score_counts",
    "score_epochs",
    "scorer_named",
    "sleep_regularity_index",
    "sleep_regularity_index_clock",
    "sleep_values",
    "social_jet_lag_h",
    "wake_date",
    "webster",
    "zero_runs",
]
