"""Daily values of people from the files of Fitbit archives, in this project's column names."""

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from store.errors import RecordingError

ACTIVE_FILES = ("lightly_active_minutes", "moderately_active_minutes", "very_active_minutes")
FILES = ("resting_heart_rate", "sleep", "steps", *ACTIVE_FILES)
"""Names without `.json`; any of them may be missing."""

_Log = Mapping[str, Any]


def read_archives(folder: Path) -> pd.DataFrame:
    """Return the days of everybody who has a folder in `folder` with Fitbit files in or below it.

    The folder's name is the subject; files may be packed with gzip.

    Raises
    ------
    RecordingError
        If nobody has, or a file cannot be read.
    """
    try:
        people = sorted(path for path in folder.iterdir() if path.is_dir())
        held = [fitbit_days(texts, person.name) for person in people if (texts := _texts(person))]
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise RecordingError(f"{folder} cannot be read ({error})") from None
    if not held:
        raise RecordingError(f"{folder} has no folder with Fitbit files: {', '.join(FILES)} (.json)")
    return pd.concat(held)


def _texts(folder: Path) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name in FILES:
        for path in sorted(folder.rglob(f"{name}.json*")):
            packed = path.read_bytes()
            texts[name] = (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8")
    return texts


def fitbit_days(texts: Mapping[str, str], subject: str) -> pd.DataFrame:
    """Return a row for each day: resting heart rate, sleep of the longest log, active minutes, steps.

    Days are those of the vendor; a night belongs to the day on which it ends. Naps are no sleep of the night.

    Parameters
    ----------
    texts : mapping of str to str
        What is in the files, by the names of `FILES`.
    subject : str

    Raises
    ------
    RecordingError
        If a file is no JSON of that kind.
    """
    readers: Mapping[str, Callable[[Sequence[_Log]], pd.DataFrame]] = {
        "resting_heart_rate": _resting,
        "sleep": _sleep,
    }
    parts: list[pd.DataFrame] = []
    for name, text in texts.items():
        try:
            read = readers.get(name, lambda logs, name=name: _sums(logs, name))
            parts.append(read(json.loads(text)))
        except (ValueError, KeyError, TypeError) as error:
            raise RecordingError(f"{name}.json of {subject} is no Fitbit archive ({error!r})") from None
    days = pd.concat(parts, axis=1).sort_index() if parts else pd.DataFrame()
    if set(ACTIVE_FILES) <= set(days.columns):
        days["active_min"] = days[list(ACTIVE_FILES)].sum(axis=1, skipna=False)
    days = days.drop(columns=[name for name in ACTIVE_FILES if name in days.columns])
    return days.rename_axis("date").reset_index().assign(subject=subject)


def _resting(logs: Sequence[_Log]) -> pd.DataFrame:
    """Return what is above 0: the vendor writes 0 where it has none."""
    held = {str(log["dateTime"])[:10]: float(log["value"]["value"]) for log in logs}
    return pd.DataFrame({"resting_hr_bpm": {day: bpm for day, bpm in held.items() if bpm > 0}})


def _sums(logs: Sequence[_Log], name: str) -> pd.DataFrame:
    total: dict[str, float] = {}
    for log in logs:
        day = str(log["dateTime"])[:10]
        total[day] = total.get(day, 0.0) + float(log["value"])
    return pd.DataFrame({name: total})


def _sleep(logs: Sequence[_Log]) -> pd.DataFrame:
    ordered = sorted(logs, key=lambda log: float(log["minutesAsleep"]))
    rows = {str(log["dateOfSleep"]): dict(_of_night(log)) for log in ordered}
    return pd.DataFrame.from_dict(rows, orient="index")


def _of_night(log: _Log) -> Iterator[tuple[str, float]]:
    begin, end = pd.Timestamp(log["startTime"]), pd.Timestamp(log["endTime"])
    midnight = pd.Timestamp(log["dateOfSleep"])
    yield "tst_min", float(log["minutesAsleep"])
    yield "se_pct", float(log["efficiency"])
    middle = begin + (end - begin) / 2
    yield "midpoint_h", (middle - midnight).total_seconds() / 3600
