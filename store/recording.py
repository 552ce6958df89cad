"""Recorded RR intervals from a file, refused with one clear sentence if the file holds anything else."""

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Never

import numpy as np
from numpy.typing import NDArray

from store.errors import RecordingError
from store.types import read_only

TIME_COLUMN, RR_COLUMN = "t_s", "rr_ms"
PULSE_COLUMNS = ("pp_ms", "ppi_ms")
_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_QUOTE = 40

LARGEST_BYTES = 1 << 26
"""Of text: forty days of one heart. What is larger is no recording, or is replayed in parts."""

FEWEST_BEATS_JUDGED = 10
SHORTEST_MEDIAN_MS = 20
"""No heart beats faster; seconds where milliseconds belong look like it."""
FARTHEST_S = 9e9
"""Nanoseconds from 1970 in 64 bits reach so far; Unix time in milliseconds lies beyond."""
MOST_APART = 20
"""Beats may be this many times their interval apart, for gaps; milliseconds in t_s make it 1000 times."""


@dataclass(frozen=True)
class RrRecording:
    """RR intervals of one recording, as they stand in the file.

    Attributes
    ----------
    t_s : (n,) float64, read-only
        End of each interval, seconds since the recording's time zero, strictly increasing, n > 0.
    rr_ms : (n,) float64, read-only
        Finite and positive.
    digest : str
        SHA-256 of the text, hexadecimal; the same for a file and its compressed copy.
    is_pulse : bool
        The intervals are between pulses, from light (`pp_ms`, `ppi_ms`), not between heartbeats.
    """

    t_s: NDArray[np.float64]
    rr_ms: NDArray[np.float64]
    digest: str
    is_pulse: bool = False

    def __len__(self) -> int:
        return len(self.t_s)


def read_rr_file(path: Path, *, may_be_plain: bool = False) -> RrRecording:
    """Read a CSV file (plain or gzip) with the columns `t_s` and `rr_ms`; further columns are ignored.

    Parameters
    ----------
    path : Path
    may_be_plain : bool
        Also take a file without `t_s`, whose intervals then follow each other from time 0, and one with pulse
        intervals (`pp_ms` or `ppi_ms`) in place of RR.

    Raises
    ------
    RecordingError
        If the file cannot be read, is not CSV, lacks a column, has no rows, or a row holds something else
        than a time after the one before and a positive interval.
    """
    content = _content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RecordingError(
            f"{path.name}: byte {error.start} is not text; needed is a CSV file with the columns t_s and "
            "rr_ms; export the recording again as CSV"
        ) from None
    table = _Table(path.name, text, may_be_plain=may_be_plain)
    found = np.array(list(table.rows()), np.float64).reshape(-1, 2)
    if not len(found):
        raise RecordingError(
            f"{path.name}: no rows after line 1; needed is at least one RR interval; "
            "check that the recording is complete"
        )
    recording = RrRecording(
        read_only(found[:, 0]),
        read_only(found[:, 1]),
        hashlib.sha256(content).hexdigest(),
        is_pulse=table.interval_column in PULSE_COLUMNS,
    )
    _refuse_other_units(path.name, recording)
    return recording


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            is_packed = file.peek(len(_GZIP_MAGIC)).startswith(_GZIP_MAGIC)
            content = (gzip.GzipFile(fileobj=file) if is_packed else file).read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise RecordingError(f"{path.name}: there is no such file in {path.parent}; check the name") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecordingError(
            f"{path.name}: damaged gzip file ({error}); copy it again from its source"
        ) from None
    except OSError as error:
        raise RecordingError(
            f"{path.name}: cannot be read ({error.strerror}); needed is a file that you may read"
        ) from None
    if len(content) > LARGEST_BYTES:
        raise RecordingError(
            f"{path.name}: more than {LARGEST_BYTES >> 20} MB of text; needed is a recording of "
            "days to weeks; split it"
        )
    return content


class _Table:
    """The rows of a CSV text, checked as they are read."""

    def __init__(self, name: str, text: str, *, may_be_plain: bool) -> None:
        self._name = name
        self._reader = csv.reader(io.StringIO(text, newline=""))
        self._header = [column.strip() for column in self._next_row() or ()]
        accepted = (RR_COLUMN, *PULSE_COLUMNS) if may_be_plain else (RR_COLUMN,)
        self.interval_column = next((name for name in accepted if name in self._header), RR_COLUMN)
        self._is_plain = may_be_plain and TIME_COLUMN not in self._header
        self._columns = [self.interval_column] if self._is_plain else [TIME_COLUMN, self.interval_column]
        missing = [column for column in self._columns if column not in self._header]
        if missing:
            raise RecordingError(
                f"{name}, line 1: no column {' and '.join(missing)} in {_quoted(','.join(self._header))}; "
                f"needed are the columns {' and '.join(self._columns)}; rename or export them"
            )
        self._places = [self._header.index(column) for column in self._columns]

    def rows(self) -> Iterator[tuple[float, float]]:
        """Yield (t_s, interval_ms) of each row."""
        previous_s = 0.0 if self._is_plain else -np.inf
        while (row := self._next_row()) is not None:
            try:
                numbers = [float(row[place]) for place in self._places]
            except (ValueError, IndexError):
                self._refuse_text(row)
            interval_ms = numbers[-1]
            ended_s = previous_s + interval_ms / 1000 if self._is_plain else numbers[0]
            if not (previous_s < ended_s < FARTHEST_S and 0 < interval_ms < np.inf and ended_s > -FARTHEST_S):
                at = f"{self._name}, line {self._reader.line_num}"
                _refuse_values(at, self.interval_column, ended_s, interval_ms, previous_s)
            yield ended_s, interval_ms
            previous_s = ended_s

    def _next_row(self) -> list[str] | None:
        try:
            return next(self._reader, None)
        except csv.Error as error:
            raise RecordingError(
                f"{self._name}, line {self._reader.line_num}: not CSV ({error}); needed are the columns t_s "
                "and rr_ms; export the recording again as CSV"
            ) from None

    def _refuse_text(self, row: list[str]) -> Never:
        cells = dict(zip(self._header, row, strict=False))
        for column in self._columns:
            try:
                float(cells.get(column, ""))
            except ValueError:
                raise RecordingError(
                    f"{self._name}, line {self._reader.line_num}: {column} is "
                    f"{_quoted(cells.get(column, ''))}; needed is a number; correct or remove the line"
                ) from None
        raise AssertionError(row)


def _refuse_values(at: str, column: str, ended_s: float, interval_ms: float, previous_s: float) -> Never:
    if not np.isfinite(interval_ms):
        seen, needed = f"{column} is {interval_ms}", "a finite number of milliseconds"
    elif interval_ms <= 0:
        seen, needed = f"{column} is {interval_ms:g}", "more than 0"
    elif not np.isfinite(ended_s):
        seen, needed = f"t_s is {ended_s}", "a finite number of seconds"
    elif abs(ended_s) >= FARTHEST_S:
        seen, needed = f"t_s is {ended_s:.10g}", f"seconds, within {FARTHEST_S:g} of zero"
    else:
        seen, needed = f"t_s is {ended_s:.10g} after {previous_s:.10g}", "a later time; sort the rows by t_s"
    raise RecordingError(f"{at}: {seen}; needed is {needed}; correct or remove the line")


def _refuse_other_units(name: str, recording: RrRecording) -> None:
    if len(recording) < FEWEST_BEATS_JUDGED:
        return
    interval_ms = float(np.median(recording.rr_ms))
    apart_s = float(np.median(np.diff(recording.t_s)))
    if interval_ms < SHORTEST_MEDIAN_MS:
        seen = f"half of rr_ms are {interval_ms:.3g} or less; needed are milliseconds"
    elif apart_s > MOST_APART * interval_ms / 1000:
        seen = f"t_s grows by {apart_s:.4g} a beat while rr_ms is {interval_ms:.4g}; needed are seconds"
    else:
        return
    raise RecordingError(f"{name}: {seen}; check the units of both columns")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "...")
