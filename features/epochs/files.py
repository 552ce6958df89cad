"""Readers of epoch files: plain tables and what actigraphs export. The only module here that opens files."""

import gzip
import re
import sqlite3
import tempfile
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.epochs.devices import numbers, reader_of
from features.epochs.epochs import Epochs, vector_magnitude
from features.epochs.recorded import Recorded, on_grid
from store.errors import ConfigError, RecordingError
from store.local_time import check_zone

SCORED = ("counts", "axis1", "enmo_mg", "steps", "activity", "heart_rate_bpm")
"""Which column of a plain table is scored, the first there is."""

_TIMES = ("time", "t_ns", "timestamp", "datetime", "date_time", "start", "activityhour", "activityminute")
_TICKS_TO_1970 = 621_355_968_000_000_000
"""Between year 1 and 1970, in the ticks of 100 ns that .agd files count."""


def read_epochs(path: Path, zone: str, *, epoch_s: float | None = None, column: str | None = None) -> Epochs:
    """Read a file of epochs.

    Known are plain tables (CSV, Parquet) with `time` and `counts`, `enmo_mg` or `steps`, or the `t_ns` (UTC)
    of our own exports; ActiGraph CSV and .agd; Actiwatch .AWD; MotionWatch .mtn; Respironics .csv; ActTrust
    and Tempatilumi .txt; EZActi; each also as .gz.

    Parameters
    ----------
    path : Path
    zone : str
        IANA zone of times that carry no offset, and of days.
    epoch_s : float, optional
        Longer epochs to be made of those of the file.
    column : str, optional
        What is scored, if not the usual column of the format.

    Raises
    ------
    RecordingError
        If the file is none of these, or its rows are missing, repeated, out of order or no numbers.
    ConfigError
        If the zone, the column or the length of epochs cannot be had.
    """
    check_zone(zone)
    if epoch_s is not None and not epoch_s > 0:
        raise ConfigError(f"Epochs of {epoch_s:g} s; needed is a length above 0 s")
    epochs = on_grid(_recorded(path, column), zone, path.name, epoch_s)
    for name in epochs.columns:
        if name in SCORED and (epochs.columns[name] < 0).any():
            raise RecordingError(f"{path.name}: {name} holds a value below 0; needed are 0 or more")
    return epochs if column is None else epochs.scoring(_plain(column))


def _recorded(path: Path, column: str | None) -> Recorded:
    content = _content(path)
    if content.startswith(b"PAR1"):
        return _of_table(_parquet(path), path.name, column)
    if content.startswith(b"SQLite format 3\0"):
        return _agd(content, path.name)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    if "\0" in text[:4000]:
        raise RecordingError(
            f"{path.name} is no text; known are CSV, Parquet, .agd and actigraphs' text files"
        )
    read = reader_of(text, path.name)
    return read(text, path.name) if read else _of_table(_csv(text, path.name), path.name, column)


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (gzip.BadGzipFile, EOFError) as error:
        raise RecordingError(f"{path.name} is damaged ({error}); fetch it again") from None
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}); name a file you may read"
        ) from None


def _csv(text: str, name: str) -> pd.DataFrame:
    try:
        return (
            pd.read_csv(StringIO(text), sep=None, engine="python")
            if ";" in text[:400]
            else pd.read_csv(StringIO(text))
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RecordingError(f"{name} is no table ({str(error)[:80]}); needed is CSV with a header") from None


def _parquet(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise RecordingError(f"{path.name} is no Parquet file ({str(error)[:80]}); fetch it again") from None


def _plain(name: object) -> str:
    return re.sub(r"\s+", "", str(name)).lower()


def _of_table(frame: pd.DataFrame, name: str, column: str | None) -> Recorded:
    frame = frame.rename(columns=_plain)
    times = next((key for key in _TIMES if key in frame), None)
    if times is None:
        raise RecordingError(
            f"{name} has columns {', '.join(map(str, frame.columns))[:120]}; "
            "needed is time, with counts, enmo_mg or steps"
        )
    scored = _plain(column) if column else next((key for key in SCORED if key in frame), None)
    if scored is None or scored not in frame:
        held = ", ".join(str(key) for key in frame.columns if key != times)[:120]
        raise RecordingError(
            f"{name} has columns {held or 'none'} beside {times}; "
            f"needed is {scored or 'counts, enmo_mg or steps'}"
        )
    if not len(frame):
        raise RecordingError(f"{name} has no rows; needed is at least one epoch below the header")
    columns = {scored: numbers(frame[scored], name, scored)}
    for key in frame.columns:
        if key not in (scored, times, "id") and (key in SCORED or pd.api.types.is_numeric_dtype(frame[key])):
            columns[str(key)] = numbers(frame[key], name, str(key))
    t_ns, is_local = _times(frame[times], name, times)
    epoch_s = _declared_epoch_s(columns.pop("epoch_s", None), name)
    return Recorded(t_ns, is_local, columns, scored, epoch_s)


def _declared_epoch_s(held: NDArray[np.float64] | None, name: str) -> float | None:
    if held is None:
        return None
    lengths = np.unique(held[np.isfinite(held)])
    if len(lengths) != 1 or not lengths[0] > 0:
        raise RecordingError(
            f"{name}: epoch_s holds {len(lengths)} different lengths; needed is one above 0 s"
        )
    return float(lengths[0])


def _times(texts: "pd.Series[Any]", name: str, column: str) -> tuple[NDArray[np.int64], bool]:
    """Return times in nanoseconds, and whether they are local."""
    if column == "t_ns":
        return numbers(texts, name, column).astype(np.int64) if texts.dtype.kind != "i" else texts.to_numpy(
            np.int64
        ), False
    if not pd.api.types.is_datetime64_any_dtype(texts):
        texts = _parsed(texts.astype(str), name)
    if texts.isna().any():
        raise RecordingError(
            f"{name}: row {int(np.flatnonzero(texts.isna())[0]) + 1} has no time; needed is one a row"
        )
    moments = pd.DatetimeIndex(texts)
    return moments.as_unit("ns").asi8, moments.tz is None


def _parsed(texts: "pd.Series[str]", name: str) -> "pd.Series[Any]":
    has_offset = texts.str.contains(r"(?:Z|[+-]\d\d:?\d\d)$", regex=True)
    if has_offset.any() and not has_offset.all():
        raise RecordingError(f"{name}: some times carry an offset and some do not; needed is one kind")
    first_wrong = 0
    for pattern in ("%m/%d/%Y %I:%M:%S %p", "ISO8601"):
        moments = pd.to_datetime(texts, format=pattern, errors="coerce", utc=bool(has_offset.any()))
        wrong = np.flatnonzero(moments.isna())
        if not len(wrong):
            return moments
        first_wrong = int(wrong[0])
    raise RecordingError(
        f"{name}: time in row {first_wrong + 1} is {texts.iloc[first_wrong][:40]!r}; "
        "needed is one like 2026-01-05T20:00:00"
    )


def _agd(content: bytes, name: str) -> Recorded:
    """Read ActiLife's own database of epochs."""
    with tempfile.NamedTemporaryFile(suffix=".agd") as copy:
        copy.write(content)
        copy.flush()
        try:
            with closing(sqlite3.connect(f"file:{copy.name}?mode=ro&immutable=1", uri=True)) as database:
                rows = pd.read_sql_query("SELECT * FROM data ORDER BY rowid", database)
                settings = dict(database.execute("SELECT settingName, settingValue FROM settings").fetchall())
        except (sqlite3.Error, pd.errors.DatabaseError):
            raise RecordingError(
                f"{name} has no tables data and settings; needed is an ActiGraph .agd file"
            ) from None
    t_ns = (rows["dataTimestamp"].to_numpy(np.int64) - _TICKS_TO_1970) * 100
    held = [key for key in ("axis1", "axis2", "axis3", "steps") if key in rows]
    columns = {key: numbers(rows[key], name, key) for key in held}
    if "axis1" not in columns or not str(settings.get("epochlength", "")).isdigit():
        raise RecordingError(
            f"{name} has no axis1 or no epoch length; needed is an ActiGraph .agd file of epochs"
        )
    if {"axis2", "axis3"} <= columns.keys():
        columns["vectormagnitude"] = vector_magnitude(columns)
    return Recorded(t_ns, True, columns, "axis1", float(settings["epochlength"]), "actigraph")  # noqa: FBT003 - local
