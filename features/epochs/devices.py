"""Epoch files of actigraphs: the text of a file in, its rows out. No file is opened here.

Formats as the devices' programs export them: ActiGraph (ActiLife CSV), Actiwatch and compatible (.AWD),
MotionWatch (.mtn, XML), Philips Respironics (Actiware CSV, English), ActTrust (Condor), Tempatilumi, EZActi.
"""

import re
from collections.abc import Callable
from datetime import datetime
from io import StringIO
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.epochs.epochs import FloatArray, vector_magnitude
from features.epochs.recorded import Recorded, counted_times
from store.errors import RecordingError
from store.units import NS_PER_S

_AWD_UNIT_S = 15
"""The fourth line of an .AWD file counts the length of an epoch in quarters of a minute."""


def wall_ns(text: str, patterns: tuple[str, ...], name: str, what: str) -> int:
    """Return a local time as nanoseconds, as if it were UTC."""
    for pattern in patterns:
        try:
            moment = datetime.strptime(text.strip(), pattern)  # noqa: DTZ007 - zone comes later
        except ValueError:
            continue
        return int(np.datetime64(moment, "ns").astype(np.int64))
    raise RecordingError(f"{name}: {what} is {text.strip()!r}; needed is one like {patterns[0]}")


def numbers(texts: "pd.Series[Any]", name: str, column: str, first_row: int = 1) -> FloatArray:
    """Return numbers; an empty cell is NaN.

    Raises
    ------
    RecordingError
        At the first cell that is neither empty nor a finite number.
    """
    if pd.api.types.is_numeric_dtype(texts):
        values = texts.to_numpy(np.float64, na_value=np.nan)
    else:
        values = np.asarray(pd.to_numeric(texts, errors="coerce"), np.float64)
    is_blank = texts.isna() | (texts.astype(str).str.strip().isin(["", "NaN", "nan", "NA"]))
    wrong = np.flatnonzero((np.isnan(values) & ~is_blank.to_numpy(np.bool_)) | np.isinf(values))
    if len(wrong):
        seen = str(texts.iloc[int(wrong[0])])[:40]
        raise RecordingError(
            f"{name}: {column} in row {int(wrong[0]) + first_row} is {seen!r}; "
            "needed is a number or an empty cell"
        )
    return values


def actigraph_csv(text: str, name: str) -> Recorded:
    """Read an ActiLife export: ten lines of header, then axes, perhaps steps and times."""
    lines = text.split("\n", 11)
    header = "\n".join(lines[:10])
    found = {
        key: re.search(rf"{key}\s+(\S+)", header)
        for key in ("Start Time", "Start Date", r"Epoch Period \(hh:mm:ss\)")
    }
    if not all(found.values()) or len(lines) < 11:
        raise RecordingError(f"{name}: an ActiGraph header without start or epoch; needed are its ten lines")
    start, day, epoch = (match[1] for match in found.values() if match)
    day_first = bool(re.search(r"date format d", header))
    patterns = ("%d/%m/%Y %H:%M:%S",) if day_first else ("%m/%d/%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S")
    hours, minutes, seconds = (int(part) for part in epoch.split(":"))
    epoch_s = float(hours * 3600 + minutes * 60 + seconds)
    frame = _table("\n".join(lines[10:]), name, ",")
    held = [key for key in frame if key in _ACTIGRAPH]
    if "axis1" not in held:
        raise RecordingError(f"{name}: columns {', '.join(map(str, frame.columns))}; needed is axis1")
    columns = {key: numbers(frame[key], name, key, 12) for key in held}
    if "vectormagnitude" not in columns and {"axis2", "axis3"} <= columns.keys():
        columns["vectormagnitude"] = vector_magnitude(columns)
    times = next((key for key in ("timestamp", "time", "datetime") if key in frame), None)
    if times is not None and "date" not in frame:
        stamps = _wall_times(frame[times], name)
        return Recorded(
            stamps, is_local=True, columns=columns, column="axis1", epoch_s=epoch_s, device="actigraph"
        )
    start_ns = wall_ns(f"{day} {start}", patterns, name, "its start")
    counted = counted_times(start_ns, epoch_s, len(frame))
    return Recorded(counted, True, columns, "axis1", epoch_s, "actigraph", is_even=True)  # noqa: FBT003 - local


_ACTIGRAPH = ("axis1", "axis2", "axis3", "vectormagnitude", "steps", "lux")


def actiwatch_awd(text: str, name: str) -> Recorded:
    """Read an .AWD file: name, date, time, epoch in 15 s, age, serial number, sex, then a count a line.

    A trailing `M` marks an event; a second number on a line (light) is not read.
    """
    lines = text.splitlines()
    if len(lines) < 8:
        raise RecordingError(f"{name} has {len(lines)} lines; needed are seven of header and one per epoch")
    start_ns = wall_ns(
        f"{lines[1].strip()} {lines[2].strip()}",
        ("%d-%b-%Y %H:%M", "%d-%b-%Y %H:%M:%S", "%d-%b-%y %H:%M"),
        name,
        "its start",
    )
    if not lines[3].strip().isdigit() or not int(lines[3]):
        raise RecordingError(f"{name}: line 4 is {lines[3].strip()!r}; needed is the epoch in units of 15 s")
    epoch_s = float(int(lines[3]) * _AWD_UNIT_S)
    cells = pd.Series(lines[7:]).str.replace(r"[,\s]*M?\s*$", "", regex=True).str.split(r"[,\s]+", n=1).str[0]
    while len(cells) and cells.iloc[-1] == "":
        cells = cells.iloc[:-1]
    counts = numbers(cells, name, "counts", 8)
    counted = counted_times(start_ns, epoch_s, len(counts))
    return Recorded(counted, True, {"counts": counts}, "counts", epoch_s, "actiwatch", is_even=True)  # noqa: FBT003 - local


def motionwatch_mtn(text: str, name: str) -> Recorded:
    """Read a .mtn file: a start in its properties and channels of comma-separated numbers."""
    started = re.search(r"<name>=StartTime</name><content>([^<]+)</content>", text)
    if started is None:
        raise RecordingError(f"{name} names no =StartTime; needed is a whole MotionWatch file")
    start_ns = wall_ns(started[1], ("%Y-%m-%d %H:%M:%S",), name, "its start")
    channel = re.compile(
        r"<channel><name>([^<]+)</name>.*?<epoch>(\d+)</epoch>.*?<data encoding=\"text\">([^<]*)</data>",
        re.DOTALL,
    )
    held = {match[1].lower(): (float(match[2]), match[3]) for match in channel.finditer(text)}
    if "motion" not in held:
        raise RecordingError(f"{name} has channels {', '.join(held) or 'none'}; needed is motion")
    epoch_s, listed = held["motion"]
    cells = pd.Series([cell for cell in re.split(r"[,\s]+", listed) if cell], dtype="str")
    columns = {"counts": numbers(cells, name, "motion")}
    light_s, light = held.get("light", (0.0, ""))
    lux = [cell for cell in re.split(r"[,\s]+", light) if cell]
    if light_s == epoch_s and len(lux) == len(cells):
        columns["light_lux"] = numbers(pd.Series(lux), name, "light")
    counted = counted_times(start_ns, epoch_s, len(cells))
    return Recorded(counted, True, columns, "counts", epoch_s, "motionwatch", is_even=True)  # noqa: FBT003 - local


def respironics_csv(text: str, name: str) -> Recorded:
    """Read an Actiware export in English; days and months are told apart by the times themselves."""
    epoch = re.search(r'"Epoch Length:","(\d+(?:\.\d+)?)"', text)
    head = re.search(r'^"Line","Date","Time".*"Activity".*$', text, re.MULTILINE)
    if epoch is None or head is None:
        raise RecordingError(
            f"{name}: no epoch length or no epoch-by-epoch data; needed is an English Actiware export"
        )
    rows = _table(text[head.start() :].strip(), name, ",")
    rows = rows[rows["date"].astype(str).str.contains("/", regex=False)]
    if not len(rows):
        raise RecordingError(f"{name} has no rows of epoch-by-epoch data; needed is at least one")
    epoch_s = float(epoch[1])
    counts = numbers(rows["activity"], name, "Activity")
    off_wrist = next((key for key in rows if "off-wrist" in str(key)), None)
    if off_wrist is not None:
        counts = np.where(numbers(rows[off_wrist], name, "Off-Wrist Status") == 1, np.nan, counts)
    t_ns = _either_order(rows["date"].astype(str) + " " + rows["time"].astype(str), epoch_s, name)
    return Recorded(t_ns, True, {"counts": counts}, "counts", epoch_s, "respironics")  # noqa: FBT003 - local


def _either_order(texts: "pd.Series[str]", epoch_s: float, name: str) -> NDArray[np.int64]:
    """Return local times of day/month or month/day, whichever follow each other epoch by epoch."""
    best: tuple[int, NDArray[np.int64]] | None = None
    for pattern in ("%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S", "%m/%d/%Y %I:%M:%S %p"):
        stamps = pd.to_datetime(texts, format=pattern, errors="coerce")
        if stamps.notna().all():
            t_ns = pd.DatetimeIndex(stamps).as_unit("ns").asi8
            breaks = int((np.diff(t_ns) != round(epoch_s * NS_PER_S)).sum())
            if best is None or breaks < best[0]:
                best = (breaks, t_ns)
    if best is None:
        raise RecordingError(
            f"{name}: its first time is {texts.iloc[0]!r}; needed is one like 04/07/2015 21:00:00"
        )
    return best[1]


def acttrust_txt(text: str, name: str) -> Recorded:
    """Read a Condor report: PIM, TAT and ZCM a line."""
    head = text.find("DATE/TIME;")
    interval = re.search(r"^INTERVAL : (\d+)", text, re.MULTILINE)
    rows = _table(text[max(head, 0) :], name, ";")
    t_ns = _timed(rows["date/time"], "%d/%m/%Y %H:%M:%S", name)
    columns = {
        key: numbers(rows[key], name, key) for key in ("pim", "tat", "zcm", "temperature") if key in rows
    }
    if "pim" not in columns:
        raise RecordingError(f"{name} has columns {', '.join(map(str, rows.columns))}; needed is PIM")
    if "temperature" in columns:
        columns["temperature_c"] = columns.pop("temperature")
    epoch_s = float(interval[1]) if interval else None
    return Recorded(t_ns, True, columns, "pim", epoch_s, "acttrust")  # noqa: FBT003 - local


def tempatilumi_txt(text: str, name: str) -> Recorded:
    """Read a Tempatilumi file: `Data; Hora; Evento; ...; Atividade`."""
    head = re.search(r"^Data;\s*Hora;", text, re.MULTILINE)
    rows = _table(text[head.start() if head else 0 :].replace(" ", ""), name, ";")
    t_ns = _timed(rows["data"] + " " + rows["hora"], "%Y/%m/%d %H:%M:%S", name)
    counts = numbers(rows["atividade"], name, "Atividade")
    return Recorded(t_ns, True, {"counts": counts}, "counts", None, "tempatilumi")  # noqa: FBT003 - local


def ezacti_txt(text: str, name: str) -> Recorded:
    """Read an EZActi file: a count a line; start and epoch are in its name."""
    named = re.search(r"_(\d{14})_epoch(\d+)\.txt", name)
    if named is None:
        raise RecordingError(
            f"{name}: a list of numbers; needed is a name such as ID_20210804100100_epoch15.txt"
        )
    start_ns = wall_ns(named[1], ("%Y%m%d%H%M%S",), name, "the start in its name")
    counts = numbers(pd.Series(text.split()), name, "counts")
    epoch_s = float(named[2])
    counted = counted_times(start_ns, epoch_s, len(counts))
    return Recorded(counted, True, {"counts": counts}, "counts", epoch_s, "ezacti", is_even=True)  # noqa: FBT003 - local


def reader_of(text: str, name: str) -> Callable[[str, str], Recorded] | None:
    """Return the reader of a device's text, by what it begins with; None for a plain table."""
    begin = text[:4000]
    lower = name.lower().removesuffix(".gz")
    signs: tuple[tuple[bool, Callable[[str, str], Recorded]], ...] = (
        ("Data File Created By ActiGraph" in begin, actigraph_csv),
        (lower.endswith(".awd"), actiwatch_awd),
        (lower.endswith(".mtn") or "<motionfile>" in begin, motionwatch_mtn),
        ("Actiware Export File" in begin, respironics_csv),
        ("Condor Instruments Report" in begin, acttrust_txt),
        (bool(re.search(r"^Data;\s*Hora;", begin, re.MULTILINE)), tempatilumi_txt),
        (lower.endswith(".txt") and bool(re.match(r"[\d.]+\s", begin)), ezacti_txt),
    )
    return next((read for is_it, read in signs if is_it), None)


def _table(text: str, name: str, separator: str) -> pd.DataFrame:
    try:
        frame = pd.read_csv(StringIO(text), sep=separator, index_col=False, skip_blank_lines=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RecordingError(
            f"{name} is no table ({str(error)[:80]}); needed are columns with a header"
        ) from None
    frame.columns = pd.Index([str(key).strip().lower().replace(" ", "") for key in frame.columns])
    return frame


def _timed(texts: "pd.Series[Any]", pattern: str, name: str) -> NDArray[np.int64]:
    stamps = pd.to_datetime(texts, format=pattern, errors="coerce")
    _refuse_missing(stamps, texts, name, pattern)
    return pd.DatetimeIndex(stamps).as_unit("ns").asi8


def _wall_times(texts: "pd.Series[Any]", name: str) -> NDArray[np.int64]:
    stamps = pd.to_datetime(texts, format="ISO8601", errors="coerce")
    _refuse_missing(stamps, texts, name, "2026-01-05 20:00:00")
    return pd.DatetimeIndex(stamps).as_unit("ns").asi8


def _refuse_missing(stamps: "pd.Series[Any]", texts: "pd.Series[Any]", name: str, like: str) -> None:
    wrong = np.flatnonzero(stamps.isna())
    if len(wrong):
        seen = str(texts.iloc[int(wrong[0])])[:40]
        raise RecordingError(
            f"{name}: time in row {int(wrong[0]) + 1} is {seen!r}; needed is one like {like}"
        )
