"""Sleep logs of a Fitbit export: the vendor's own stages, passed through."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from features.sleep.hypnogram import Hypnogram, SleepStage
from store.fitbit import EPOCH_S, FitbitLog

STAGES: Mapping[str, SleepStage] = MappingProxyType(
    {
        "wake": SleepStage.WAKE,
        "awake": SleepStage.WAKE,
        "restless": SleepStage.WAKE,
        "light": SleepStage.LIGHT,
        "deep": SleepStage.DEEP,
        "rem": SleepStage.REM,
        "asleep": SleepStage.ASLEEP,
        "unknown": SleepStage.UNSCORED,
    }
)


def hypnogram_of(log: FitbitLog) -> Hypnogram:
    """Return the stages of a log, from in bed to out of bed."""
    stage = np.array([STAGES[word] for word in log.levels.tolist()], np.int8)
    return Hypnogram(log.start_ns, EPOCH_S, stage, "fitbit")
