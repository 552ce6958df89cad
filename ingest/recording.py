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

COLUMNS = ("t_s", "rr_ms")
_GZIP_MAGIC = b"\x1f\x8b"
_LONGEST_QUOTE = 40

LARGEST_BYTES = 1 << 26
"""Of text: forty days of one heart. What is larger is no recording, or is replayed in parts."""

FEWEST_BEATS_JUDGED = 10
SHORTEST_MEDIAN_MS = 20
"""No heart beats faster; seconds where milliseconds belong look like it."""
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
    """

    t_s: NDArray[np.float64]
    rr_ms: NDArray[np.float64]
    digest: str

    def __len__(self) -> int:
        return len(self.t_s)


def read_rr_file(path: Path) -> RrRecording:
    """Read a CSV file (plain or gzip) with the columns `t_s` and `rr_ms`; further columns are ignored.

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
    t_s: list[float] = []
    rr_ms: list[float] = []
    for ended_s, interval_ms in _rows(path.name, text):
        t_s.append(ended_s)
        rr_ms.append(interval_ms)
    if not t_s:
        raise RecordingError(
            f"{path.name}: no rows after line 1; needed is at least one RR interval; "
            "check that the recording is complete"
        )
    recording = RrRecording(
        read_only(np.array(t_s)), read_only(np.array(rr_ms)), hashlib.sha256(content).hexdigest()
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


def _rows(name: str, text: str) -> Iterator[tuple[float, float]]:
    """Yield (t_s, rr_ms) of each row, checked."""
    rows = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(rows, list[str]())]
        missing = [column for column in COLUMNS if column not in header]
        if missing:
            raise RecordingError(
                f"{name}, line 1: no column {' and '.join(missing)} in {_quoted(','.join(header))}; "
                "needed are the columns t_s and rr_ms; rename or export them"
            )
        time_at, interval_at = (header.index(column) for column in COLUMNS)
        previous_s = -np.inf
        for row in rows:
            try:
                ended_s = float(row[time_at])
                interval_ms = float(row[interval_at])
            except (ValueError, IndexError):
                _refuse_text(name, rows.line_num, dict(zip(header, row, strict=False)))
            if not (previous_s < ended_s < np.inf and 0 < interval_ms < np.inf):
                _refuse_values(name, rows.line_num, ended_s, interval_ms, previous_s)
            yield ended_s, interval_ms
            previous_s = ended_s
    except csv.Error as error:
        raise RecordingError(
            f"{name}, line {rows.line_num}: not CSV ({error}); needed are the columns t_s and rr_ms; "
            "export the recording again as CSV"
        ) from None


def _refuse_text(name: str, line: int, row: dict[str, str]) -> Never:
    for column in COLUMNS:
        try:
            float(row.get(column, ""))
        except ValueError:
            raise RecordingError(
                f"{name}, line {line}: {column} is {_quoted(row.get(column, ''))}; needed is a number; "
                "correct or remove the line"
            ) from None
    raise AssertionError(row)


def _refuse_values(name: str, line: int, ended_s: float, interval_ms: float, previous_s: float) -> Never:
    if not np.isfinite(ended_s):
        seen, needed = f"t_s is {ended_s}", "a finite number of seconds"
    elif not np.isfinite(interval_ms):
        seen, needed = f"rr_ms is {interval_ms}", "a finite number of milliseconds"
    elif interval_ms <= 0:
        seen, needed = f"rr_ms is {interval_ms:g}", "more than 0"
    else:
        seen, needed = f"t_s is {ended_s:.10g} after {previous_s:.10g}", "a later time; sort the rows by t_s"
    raise RecordingError(f"{name}, line {line}: {seen}; needed is {needed}; correct or remove the line")


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
