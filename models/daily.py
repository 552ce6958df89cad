"""Tables of daily values: any order, duplicates and holes in; one calendar of each subject out."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.channels import CHANNELS, FloatArray, channel_matrix
from store.errors import ConfigError, RecordingError

_MAPPINGS = Path(__file__).parent / "mappings"
_NO_SOURCE = ""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Which columns of a table hold the subject, the date and each channel."""

    subject: str = "subject"
    date: str = "date"
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    source: str = "source"


@dataclass(frozen=True)
class Days:
    """Consecutive days of one subject.

    Attributes
    ----------
    subject : str
    first : date
    values : (n, channels) float64
        In the unit of each channel; NaN where there is none.
    source : (n,) int64
        Number of the sensor of that day; -1 where it is not known. It changes with the sensor.
    """

    subject: str
    first: date
    values: FloatArray
    source: np.ndarray[tuple[int], np.dtype[np.int64]]

    def __len__(self) -> int:
        return len(self.values)

    @property
    def dates(self) -> pd.DatetimeIndex:
        """Every day."""
        return pd.date_range(self.first, periods=len(self), freq="D")


def known_mapping(name: str | None) -> ColumnMapping:
    """Return a shipped mapping by name, one from a TOML file, or that of our own column names.

    Raises
    ------
    ConfigError
        If there is none of that name, or the file cannot be used.
    """
    if name is None:
        own = {column: (column,) for channel in CHANNELS for column in channel.columns}
        return ColumnMapping(columns=own)
    path = _MAPPINGS / f"{name}.toml" if re.fullmatch(r"[a-z0-9_-]+", name) else Path(name)
    try:
        held: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        shipped = ", ".join(sorted(p.stem for p in _MAPPINGS.glob("*.toml")))
        raise ConfigError(
            f"{name!r} is no mapping ({error}); needed is one of {shipped}, or a TOML file like these"
        ) from None
    return _parsed(held, name)


def _parsed(held: Mapping[str, Any], name: str) -> ColumnMapping:
    accepted = {column for channel in CHANNELS for column in channel.columns}
    columns: dict[str, tuple[str, ...]] = {}
    for column, value in dict(held.get("columns", {})).items():
        if column not in accepted:
            raise ConfigError(
                f"Mapping {name} names {column!r}; needed is one of {', '.join(sorted(accepted))}"
            )
        columns[column] = (value,) if isinstance(value, str) else tuple(value)
    return ColumnMapping(
        str(held.get("subject", "subject")),
        str(held.get("date", "date")),
        columns,
        str(held.get("source", "source")),
    )


def read_days(path: Path, mapping: ColumnMapping) -> list[Days]:
    """Read a table, one row per subject and day, in any order; of rows of one day the fullest counts.

    Raises
    ------
    RecordingError
        If it cannot be read, lacks a column, or holds a date or number that is none.
    """
    try:
        table = pd.read_csv(path, dtype={mapping.subject: str}, low_memory=False)
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RecordingError(f"{path} cannot be read ({error}); needed is CSV in UTF-8") from None
    return days_of(table, mapping, what=str(path))


def days_of(table: pd.DataFrame, mapping: ColumnMapping, *, what: str = "The table") -> list[Days]:
    """Return the days of each subject, sorted by subject."""
    for needed in (mapping.subject, mapping.date):
        if needed not in table.columns:
            raise RecordingError(
                f"{what} has no column {needed!r}; it has {', '.join(map(str, table.columns[:12]))}. "
                "Name its columns with --mapping"
            )
    dates = pd.to_datetime(table[mapping.date], errors="coerce", format="ISO8601")
    wrong = dates.isna() | table[mapping.subject].isna()
    if wrong.any():
        line = int(np.flatnonzero(wrong.to_numpy())[0]) + 2
        raise RecordingError(
            f"{what}, line {line}: {table[mapping.date].iloc[line - 2]!r} is no date or the subject is "
            "missing; needed are YYYY-MM-DD and a name"
        )
    found = _channel_columns(table, mapping, what)
    codes = _source_codes(table, mapping)
    day = dates.dt.normalize().to_numpy("datetime64[D]")
    subjects = table[mapping.subject].to_numpy(str)
    fullness = np.sum([np.isfinite(held) for held in found.values()], axis=0)
    total = np.sum([np.nan_to_num(held) for held in found.values()], axis=0)
    # A row that was sent again is the fuller one; the order of rows never matters.
    order = np.lexsort((total, fullness, day, subjects))
    starts = np.flatnonzero(np.r_[True, subjects[order][1:] != subjects[order][:-1]])
    return [
        _one(subjects[rows[0]], day[rows], {name: held[rows] for name, held in found.items()}, codes[rows])
        for rows in np.split(order, starts[1:])
        if len(rows)
    ]


def _channel_columns(table: pd.DataFrame, mapping: ColumnMapping, what: str) -> dict[str, FloatArray]:
    found: dict[str, FloatArray] = {}
    for name, columns in mapping.columns.items():
        if all(column in table.columns for column in columns):
            parts = [pd.to_numeric(table[column], errors="coerce").to_numpy(float) for column in columns]
            found[name] = np.sum(parts, axis=0)
    if not found:
        expected = ", ".join(sorted({c for columns in mapping.columns.values() for c in columns}))
        raise RecordingError(f"{what} has none of the columns {expected}; name its columns with --mapping")
    return found


def _source_codes(table: pd.DataFrame, mapping: ColumnMapping) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return a number for each sensor name, the same whatever the order of rows; -1 where it is not known."""
    if mapping.source not in table.columns:
        return np.full(len(table), -1, np.int64)
    names = table[mapping.source].fillna(_NO_SOURCE).astype(str).to_numpy(str)
    known = np.unique(names[names != _NO_SOURCE])
    return np.where(names == _NO_SOURCE, -1, np.searchsorted(known, names)).astype(np.int64)


def _one(
    subject: str,
    day: np.ndarray[Any, Any],
    columns: Mapping[str, FloatArray],
    codes: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Days:
    at = (day - day[0]).astype(np.int64)
    length = int(at[-1]) + 1
    spread: dict[str, FloatArray] = {}
    for name, held in columns.items():
        spread[name] = np.full(length, np.nan)
        spread[name][at] = held
    source = np.full(length, -1, np.int64)
    source[at] = codes
    first = pd.Timestamp(day[0]).date()
    return Days(str(subject), first, channel_matrix(spread, length), source)
