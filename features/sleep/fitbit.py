"""Sleep logs of a Fitbit export: the vendor's own stages, passed through.

The export carries local times without a zone. Whose clock they are of is declared by the caller, never
guessed: heart rate and steps of the same export are in UTC.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from features.epochs.local_time import utc_of_local
from features.sleep.hypnogram import Hypnogram, SleepStage
from store.errors import RecordingError
from store.units import NS_PER_S

EPOCH_S = 30
_STAGES: Mapping[str, SleepStage] = MappingProxyType(
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
"""Restless is awake: only so does the vendor's own sum of minutes asleep come out."""


@dataclass(frozen=True)
class FitbitLog:
    """One sleep log.

    Attributes
    ----------
    log_id : int
    hypnogram : Hypnogram
        Of 30 s, from in bed to out of bed.
    minutes_asleep : float
        The vendor's own, for comparison.
    """

    log_id: int
    hypnogram: Hypnogram
    minutes_asleep: float


def fitbit_logs(text: str, zone: str, name: str) -> tuple[FitbitLog, ...]:
    """Read the text of a `sleep.json`; logs that are there twice come once, in order of time.

    Parameters
    ----------
    text : str
    zone : str
        IANA zone of the local times.
    name : str
        Of the file, for messages.

    Raises
    ------
    RecordingError
        If it is not such a file.
    """
    try:
        logs = {int(log["logId"]): log for log in json.loads(text)}
        read = [_log(log, zone) for log in logs.values()]
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{name} is no Fitbit sleep export ({type(error).__name__}: {str(error)[:60]}); "
            "needed is a list of logs with logId, startTime, endTime and levels"
        ) from None
    return tuple(sorted(read, key=lambda log: log.hypnogram.start_ns))


def _log(log: Mapping[str, Any], zone: str) -> FitbitLog:
    wall_ns = np.array([_wall_ns(log[name]) for name in ("startTime", "endTime")], np.int64)
    start_ns, end_ns = utc_of_local(wall_ns, zone)[0].tolist()
    # Its stamps run on through a change of clocks; in spring the hour that never was is appended as unknown.
    in_bed_s = min(60 * float(log["timeInBed"]), (end_ns - start_ns) / NS_PER_S)
    stage = np.full(round(in_bed_s / EPOCH_S), SleepStage.UNSCORED, np.int8)
    levels = log["levels"]
    # Short awakenings lie over the stages, which run on beneath them.
    for part in (*levels["data"], *levels.get("shortData", ())):
        first = round((_wall_ns(part["dateTime"]) - wall_ns[0]) / (EPOCH_S * NS_PER_S))
        length = round(float(part["seconds"]) / EPOCH_S)
        stage[max(first, 0) : max(first + length, 0)] = _STAGES[part["level"]]
    night = Hypnogram(start_ns, EPOCH_S, stage, "fitbit")
    return FitbitLog(int(log["logId"]), night, float(log["minutesAsleep"]))


def _wall_ns(text: str) -> int:
    return pd.Timestamp(text).as_unit("ns").value
