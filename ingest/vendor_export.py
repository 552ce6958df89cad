"""Exports of wearables' vendors to samples: sleep, steps and heart rate of a Fitbit archive or of Fitabase.

Vendors mix UTC and local times. Whose clock each kind of file is of is declared here (`EXPORTS`), and the
caller declares the zone of the local ones: nothing is guessed from the data.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from io import StringIO
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.errors import RecordingError
from store.fitbit import EPOCH_S, LEVELS, FitbitLog, fitbit_logs, fitbit_series, in_order
from store.local_time import utc_of_local
from store.streams import HEART_RATE, SLEEP_STAGE, STEP_COUNT
from store.timeseries import Batch
from store.units import NS_PER_S

Series = tuple[NDArray[np.int64], NDArray[np.float64]]
_MINUTE_S = 60.0
_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "wake": "awake",
        "restless": "awake",
        **{word: word for word in LEVELS if word not in {"wake", "restless"}},
    }
)
_FITABASE_SLEEP = {1: "asleep", 2: "awake", 3: "awake"}
"""Asleep, restless, awake; restless is awake, as the vendor counts."""


@dataclass(frozen=True)
class ExportFile:
    """A file of an export, and whose it is.

    Attributes
    ----------
    text, name : str
    who : (str, str)
        Subject and sensor id.
    zone : str
        IANA zone of local times.
    person : str
        Id of the person in files of several; empty for files of one.
    """

    text: str
    name: str
    who: tuple[str, str]
    zone: str
    person: str = ""


@dataclass(frozen=True)
class Kind:
    """A kind of file of an export.

    Attributes
    ----------
    pattern : str
        Of its name.
    clock : {"utc", "local"}
        Whose times it holds.
    batches : function of ExportFile to batches
    what : str
        For people.
    """

    pattern: str
    clock: Literal["utc", "local"]
    batches: Callable[[ExportFile], Iterator[Batch]]
    what: str


def _fitbit_sleep(file: ExportFile) -> Iterator[Batch]:
    for log in fitbit_logs(file.text, file.zone, file.name):
        yield _stretches(log, file.who)


def _stretches(log: FitbitLog, who: tuple[str, str]) -> Batch:
    words = np.array([_WORDS[word] for word in log.levels.tolist()], object)
    first = np.flatnonzero(np.append(True, words[1:] != words[:-1])[: len(words)])
    length = np.diff(np.append(first, len(words)))
    t_ns = log.start_ns + first * EPOCH_S * NS_PER_S
    return Batch(SLEEP_STAGE, *who, t_ns, {"stage": words[first], "duration_s": length * float(EPOCH_S)})


def _fitbit_steps(file: ExportFile) -> Iterator[Batch]:
    yield from _steps(fitbit_series(file.text, file.name), file.who)


def _steps(minutes: Series, who: tuple[str, str]) -> Iterator[Batch]:
    t_ns, steps = minutes
    if len(t_ns):
        ends_ns = t_ns + round(_MINUTE_S) * NS_PER_S
        yield Batch(STEP_COUNT, *who, ends_ns, {"steps": steps, "interval_s": np.full(len(steps), _MINUTE_S)})


def _fitbit_heart(file: ExportFile) -> Iterator[Batch]:
    yield from _heart(fitbit_series(file.text, file.name), file.who)


def _heart(rates: Series, who: tuple[str, str]) -> Iterator[Batch]:
    t_ns, bpm = rates
    if len(t_ns):
        nothing = np.full(len(t_ns), np.nan)
        yield Batch(
            HEART_RATE, *who, t_ns, {"heart_rate_bpm": bpm, "skin_contact": nothing, "energy_kj": nothing}
        )


def _table(file: ExportFile, *columns: str) -> pd.DataFrame:
    """Return the rows of the person."""
    try:
        frame = pd.read_csv(StringIO(file.text))
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RecordingError(f"{file.name} is no table ({str(error)[:60]}); fetch it again") from None
    missing = [column for column in ("Id", *columns) if column not in frame]
    if missing:
        raise RecordingError(f"{file.name} has no column {missing[0]}; needed are Id, {', '.join(columns)}")
    known = frame["Id"].astype(str)
    people = known.unique().tolist()
    if not file.person and len(people) > 1:
        raise RecordingError(
            f"{file.name} holds {len(people)} people ({people[0]}, ...); say with --id whose rows are meant"
        )
    return frame[known == file.person] if file.person else frame


def _utc(texts: "pd.Series[Any]", file: ExportFile) -> NDArray[np.int64]:
    moments = pd.to_datetime(texts, format="%m/%d/%Y %I:%M:%S %p", errors="coerce")
    if moments.isna().any():
        at = int(np.flatnonzero(moments.isna())[0])
        said = f"{file.name}: time in row {at + 1} is {str(texts.iloc[at])[:40]!r}"
        raise RecordingError(f"{said}; needed is one like 4/12/2016 2:47:30 AM")
    return utc_of_local(pd.DatetimeIndex(moments).as_unit("ns").asi8, file.zone)[0]


def _series(file: ExportFile, time: str, value: str) -> Series:
    frame = _table(file, time, value)
    return in_order(_utc(frame[time], file), frame[value].to_numpy(np.float64))


def _fitabase_steps(file: ExportFile) -> Iterator[Batch]:
    yield from _steps(_series(file, "ActivityMinute", "Steps"), file.who)


def _fitabase_wide_steps(file: ExportFile) -> Iterator[Batch]:
    minutes = [f"Steps{k:02d}" for k in range(60)]
    frame = _table(file, "ActivityHour", *minutes)
    hours_ns = _utc(frame["ActivityHour"], file)
    t_ns = (hours_ns[:, None] + np.arange(60) * 60 * NS_PER_S).ravel()
    yield from _steps(in_order(t_ns, frame[minutes].to_numpy(np.float64).ravel()), file.who)


def _fitabase_heart(file: ExportFile) -> Iterator[Batch]:
    yield from _heart(_series(file, "Time", "Value"), file.who)


def _fitabase_sleep(file: ExportFile) -> Iterator[Batch]:
    for _, log in _table(file, "date", "value", "logId").groupby("logId", sort=False):
        t_ns, value = in_order(_utc(log["date"], file), log["value"].to_numpy(np.float64))
        words = np.array([_FITABASE_SLEEP.get(int(each), "unknown") for each in value], object)
        lengths_s = np.full(len(words), _MINUTE_S)
        yield Batch(SLEEP_STAGE, *file.who, t_ns, {"stage": words, "duration_s": lengths_s})


EXPORTS: Mapping[str, tuple[Kind, ...]] = MappingProxyType(
    {
        "fitbit": (
            Kind("sleep*.json", "local", _fitbit_sleep, "sleep"),
            Kind("steps*.json", "utc", _fitbit_steps, "steps"),
            Kind("heart_rate*.json", "utc", _fitbit_heart, "heart rate"),
        ),
        "fitabase": (
            Kind("minuteSleep*.csv", "local", _fitabase_sleep, "sleep"),
            Kind("minuteStepsNarrow*.csv", "local", _fitabase_steps, "steps"),
            Kind("minuteStepsWide*.csv", "local", _fitabase_wide_steps, "steps"),
            Kind("heartrate_seconds*.csv", "local", _fitabase_heart, "heart rate"),
        ),
    }
)
"""By the name of the export: a Fitbit account's archive, and what Fitabase makes of one for research."""
