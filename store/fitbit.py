"""The files of a Fitbit account's archive, as they stand: sleep logs, steps, heart rate.

Whose clock the times are of is never guessed: sleep logs carry the local time of their wearer without a zone,
which the caller declares; steps and heart rate are in UTC.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.errors import RecordingError
from store.local_time import utc_of_local
from store.units import NS_PER_S

EPOCH_S = 30
UNKNOWN = "unknown"
LEVELS = ("wake", "awake", "restless", "light", "deep", "rem", "asleep", UNKNOWN)
"""Every word for a level; `restless` is awake: only so does the vendor's sum of minutes asleep come out."""


@dataclass(frozen=True)
class FitbitLog:
    """One sleep log.

    Attributes
    ----------
    log_id : int
    start_ns : int
        In bed, nanoseconds UTC.
    levels : (n,) object
        The vendor's word for each 30 s from in bed to out of bed; `unknown` where it has none.
    minutes_asleep : float
        The vendor's own, for comparison.
    """

    log_id: int
    start_ns: int
    levels: NDArray[np.object_]
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
    return tuple(sorted(read, key=lambda log: log.start_ns))


def _log(log: Mapping[str, Any], zone: str) -> FitbitLog:
    wall_ns = np.array([_wall_ns(log[name]) for name in ("startTime", "endTime")], np.int64)
    start_ns, end_ns = utc_of_local(wall_ns, zone)[0].tolist()
    # Its stamps run on through a change of clocks; in spring the hour that never was is appended as unknown.
    in_bed_s = min(60 * float(log["timeInBed"]), (end_ns - start_ns) / NS_PER_S)
    stage = np.full(round(in_bed_s / EPOCH_S), UNKNOWN, object)
    levels = log["levels"]
    # Short awakenings lie over the stages, which run on beneath them.
    for part in (*levels["data"], *levels.get("shortData", ())):
        first = round((_wall_ns(part["dateTime"]) - wall_ns[0]) / (EPOCH_S * NS_PER_S))
        length = round(float(part["seconds"]) / EPOCH_S)
        stage[max(first, 0) : max(first + length, 0)] = LEVELS[LEVELS.index(part["level"])]
    return FitbitLog(int(log["logId"]), start_ns, stage, float(log["minutesAsleep"]))


def _wall_ns(text: str) -> int:
    return pd.Timestamp(text).as_unit("ns").value


def fitbit_series(text: str, name: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Read the text of a `steps*.json` or `heart_rate*.json`: (times UTC in nanoseconds, values), in order.

    Times that come twice come once, with the last value. Heart rates of confidence 0 are none.

    Raises
    ------
    RecordingError
        If it is not such a file.
    """
    try:
        rows = json.loads(text)
        values = np.array([_value(row["value"]) for row in rows], np.float64)
        times = pd.to_datetime(pd.Series([row["dateTime"] for row in rows], dtype=object), format="mixed")
    except (json.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise RecordingError(
            f"{name} is no Fitbit series ({type(error).__name__}: {str(error)[:60]}); "
            "needed is a list of rows with dateTime and value"
        ) from None
    t_ns = pd.DatetimeIndex(times).as_unit("ns").asi8
    return in_order(t_ns, values)


def _value(held: str | dict[str, float]) -> float:
    if isinstance(held, dict):
        return float(held["bpm"]) if held.get("confidence", 1) else float("nan")
    return float(held)


def in_order(
    t_ns: NDArray[np.int64], values: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return known values by time, the last of those at the same time."""
    kept = np.isfinite(values)
    t_ns, values = t_ns[kept], values[kept]
    order = np.argsort(t_ns, kind="stable")
    t_ns, values = t_ns[order], values[order]
    is_last = np.append(t_ns[1:] != t_ns[:-1], True)[: len(t_ns)]
    return t_ns[is_last], values[is_last]
