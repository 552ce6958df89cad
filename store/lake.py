"""A lake: samples as measured, as Parquet files that Dask, DuckDB, Spark or pandas read directly.

::

    stream=rr_interval/subject_hash=4f/month=2026-03/4f0c21d9a1b2c3d4.parquet
    _evenkeel/lake.json                  what the lake holds, and of which store up to which mark
    _evenkeel/4f/4f0c21d9a1b2c3d4.json   of each file of one subject: count and digest of every hour

A file holds a month (UTC) of one stream of one subject, a row group for each day, sorted by time and sensor.
Readers of data sets leave out what begins with an underscore. A lake is read here as stores are, so that jobs
compute from either, and get the same.
"""

import functools
import json
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, cast

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from store.closing import Closing
from store.errors import ConfigError, StoreUnavailableError
from store.ledger_digest import NS_PER_HOUR
from store.streams import DType, Stream
from store.timeseries import Samples, merged
from store.units import NS_PER_S
from store.written import Written

LAYOUT = 1
ABOUT = "_evenkeel"
_OPEN_FILES = 32
"""Footers kept: a night reads the month it lies in, and so does the next one."""
_KNOWN_SUBJECTS = 2
"""People whose files are known at a time: a year of six streams takes 12 MB, and jobs go one by one."""
# Arrow and fsspec come without complete types.
_arrow: Any = cast("Any", pa)
_parquet: Any = cast("Any", pq)
_fsspec: Any = cast("Any", fsspec)
_TYPES: Mapping[DType, Any] = {
    "float64": _arrow.float64(),
    "int64": _arrow.int64(),
    "utf8": _arrow.string(),
    "binary": _arrow.binary(),
}


@dataclass(frozen=True, slots=True)
class FileNote:
    """What the lake says of one of its files.

    Attributes
    ----------
    first_ns, last_ns : int
        Times of the first and last sample.
    hours : mapping of "SENSOR HOUR" to (count, digest, revision)
        Revision of the lake in which the hour changed last.
    """

    first_ns: int
    last_ns: int
    hours: Mapping[str, tuple[int, int, int]]


@dataclass
class LakeNote:
    """What a lake holds.

    Attributes
    ----------
    lake_id : str
    revision : int
        Grows with every synchronisation.
    store_id, mark : str, int
        The store it was made from, and its mark up to which it was.
    subjects : mapping of subject id to mapping of stream name to (first_ns, last_ns)
    changed : mapping of subject id to int
        Revision of the lake in which something of the subject changed last.
    """

    lake_id: str
    revision: int = 0
    store_id: str = ""
    mark: int = 0
    subjects: dict[str, dict[str, tuple[int, int]]] = field(
        default_factory=dict[str, dict[str, tuple[int, int]]]
    )
    changed: dict[str, int] = field(default_factory=dict[str, int])


class LakeFiles:
    """The files of a lake: any file system that fsspec knows.

    Parameters
    ----------
    url : str
        A directory, or a URL such as `s3://bucket/lake`.

    Raises
    ------
    ConfigError
        If nothing is known of that kind of URL, or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            self._fs, root = _fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise ConfigError(f"The lake {url} cannot be opened: {error}") from None
        self.url, self._root = url, str(root).rstrip("/")

    def read_json(self, name: str) -> Any:  # noqa: ANN401 - JSON
        """Return what a file holds; None if there is none."""
        try:
            with self._fs.open(f"{self._root}/{name}", "rb") as file:
                return json.loads(file.read())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise StoreUnavailableError(f"{name} of the lake {self.url} cannot be read: {error}") from None

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all."""
        path = f"{self._root}/{name}"
        try:
            self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
            if _is_local(self._fs):
                self._fs.pipe_file(f"{path}.new", content)
                self._fs.mv(f"{path}.new", path)
            else:  # an object appears when all of it is there
                self._fs.pipe_file(path, content)
        except OSError as error:
            raise StoreUnavailableError(f"{name} of the lake {self.url} cannot be written: {error}") from None

    def parquet(self, name: str) -> Any:  # noqa: ANN401 - an Arrow file
        """Open a Parquet file."""
        try:
            return _parquet.ParquetFile(self._fs.open(f"{self._root}/{name}", "rb"))
        except (OSError, _arrow.ArrowInvalid) as error:
            raise StoreUnavailableError(f"{name} of the lake {self.url} cannot be read: {error}") from None

    def read_note(self) -> LakeNote | None:
        """Return what the lake holds; None if there is no lake.

        Raises
        ------
        ConfigError
            If a newer evenkeel made it.
        """
        held = self.read_json(f"{ABOUT}/lake.json")
        if held is None:
            return None
        if held.pop("layout") > LAYOUT:
            raise ConfigError(f"The lake {self.url} was made by a newer evenkeel: install that version")
        people = {
            who: {stream: (first, last) for stream, (first, last) in streams.items()}
            for who, streams in held.pop("subjects").items()
        }
        return LakeNote(**held, subjects=people)

    def write_note(self, note: LakeNote) -> None:
        """Keep what the lake holds."""
        said = {"layout": LAYOUT, **{name: getattr(note, name) for name in LakeNote.__dataclass_fields__}}
        self.write(f"{ABOUT}/lake.json", json.dumps(said).encode())

    def read_files(self, subject_id: str) -> dict[str, FileNote]:
        """Return what is said of each file of a subject, by its name in the lake."""
        held: Any = self.read_json(_about_subject(subject_id))
        files: dict[str, Any] = {} if held is None else held["files"]
        return {
            name: FileNote(
                first, last, {key: (n, int(digest, 16), at) for key, (n, digest, at) in hours.items()}
            )
            for name, (first, last, hours) in files.items()
        }

    def write_files(self, subject_id: str, files: Mapping[str, FileNote]) -> None:
        """Keep what is said of each file of a subject."""
        said: dict[str, tuple[int, int, dict[str, tuple[int, str, int]]]] = {}
        for name, note in files.items():
            hours = {key: (n, f"{digest:x}", at) for key, (n, digest, at) in note.hours.items()}
            said[name] = (note.first_ns, note.last_ns, hours)
        content = json.dumps({"subject_id": subject_id, "files": said})
        self.write(_about_subject(subject_id), content.encode())

    def files_of(self, subject_id: str) -> list[str]:
        """Return the path of every file of a subject, noted or left by a sync that was interrupted."""
        hashed = subject_hash(subject_id)
        inside = f"subject_hash={hashed[:2]}/month=*/{hashed}.parquet*"
        try:
            # Stream by stream: an object store then lists no more than a 256th of the lake.
            streams = self._fs.glob(f"{self._root}/stream=*")
            return [path for stream in streams for path in self._fs.glob(f"{stream}/{inside}")]
        except OSError as error:
            raise StoreUnavailableError(f"The lake {self.url} cannot be listed: {error}") from None

    def erase(self, subject_id: str) -> int:
        """Remove every file of a subject, what is said of them last; return how many."""
        about, found = f"{self._root}/{_about_subject(subject_id)}", self.files_of(subject_id)
        try:
            for path in found:
                self._fs.rm_file(path)
            if self._fs.exists(about):
                self._fs.rm_file(about)
        except OSError as error:
            raise StoreUnavailableError(
                f"Files of {subject_id} in the lake {self.url} cannot be removed: {error}"
            ) from None
        return len(found)


class Lake(Closing):
    """A lake to read from, as `SampleSource`.

    Parameters
    ----------
    url : str

    Raises
    ------
    ConfigError
        If there is no lake.
    """

    def __init__(self, url: str) -> None:
        self._files = LakeFiles(url)
        note = self._files.read_note()
        if note is None:
            raise ConfigError(f"There is no lake in {url}; make one: evenkeel lake sync {url}")
        self._note = note
        self._lock = threading.Lock()
        self._of_subject = functools.lru_cache(_KNOWN_SUBJECTS)(self._files.read_files)
        self._opened = functools.lru_cache(_OPEN_FILES)(self._files.parquet)

    def read(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> Samples:
        """Return the samples, sorted by (time, sensor)."""
        extent = self.extent(stream, subject_id)
        if extent is None:
            return merged(stream, (), ())
        from_ns = extent[0] if start_ns is None else max(start_ns, extent[0])
        until_ns = extent[1] + 1 if end_ns is None else min(end_ns, extent[1] + 1)
        with self._lock:
            known = self._of_subject(subject_id)
            names = [file_name(stream.name, subject_id, month) for month in months(from_ns, until_ns)]
            tables = [
                table for name in names if name in known for table in self._groups(name, from_ns, until_ns)
            ]
        return samples_of(stream, tables, (from_ns, until_ns), sensor_id)

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        return self._note.subjects.get(subject_id, {}).get(stream.name)

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        return sorted(who for who, streams in self._note.subjects.items() if stream.name in streams)

    def store_id(self) -> str:
        """Return what tells this lake from any other, and from stores."""
        return f"lake {self._note.lake_id}"

    def written_since(self, mark: int, streams: Collection[Stream], subject_id: str | None = None) -> Written:
        """Return which hours of some streams changed since a revision of the lake."""
        revision = self._note.revision
        if revision <= mark:
            return Written(revision)
        names = tuple(f"stream={stream.name}/" for stream in streams)
        found: dict[str, NDArray[np.int64]] = {}
        for who in self._note.subjects if subject_id is None else [subject_id]:
            if self._note.changed.get(who, revision) <= mark:
                continue
            rows = [
                (hour_of(key) * NS_PER_HOUR, (hour_of(key) + 1) * NS_PER_HOUR, at)
                for name, file in self._of_subject(who).items()
                if name.startswith(names)
                for key, (_, _, at) in file.hours.items()
                if at > mark
            ]
            if rows:
                found[who] = np.array(rows, np.int64)
        return Written(revision, found)

    def close(self) -> None:
        """Release files."""
        self._opened.cache_clear()

    def _groups(self, name: str, from_ns: int, until_ns: int) -> Iterator[Any]:
        """Yield the row groups of a file that an interval touches."""
        file = self._opened(name)
        column = file.schema_arrow.get_field_index("t_ns")
        for k in range(file.num_row_groups):
            limits = file.metadata.row_group(k).column(column).statistics
            if limits.min < until_ns and limits.max >= from_ns:
                yield file.read_row_group(k)


def subject_hash(subject_id: str) -> str:
    """Return what a subject's files are named by; the first two digits are a partition."""
    return sha256(subject_id.encode()).hexdigest()[:16]


def file_name(stream: str, subject_id: str, month: str) -> str:
    """Return the name of a file in a lake."""
    hashed = subject_hash(subject_id)
    return f"stream={stream}/subject_hash={hashed[:2]}/month={month}/{hashed}.parquet"


def hour_of(key: str) -> int:
    """Return the hours since 1970 of a key of `FileNote.hours`."""
    return int(key.rpartition(" ")[2])


def months(start_ns: int, end_ns: int) -> list[str]:
    """Return the months, UTC, that a half-open interval touches.

    Examples
    --------
    >>> months(0, 40 * 86_400 * 10**9)
    ['1970-01', '1970-02']
    """
    found: list[str] = []
    at_ns = start_ns
    while at_ns < end_ns:
        moment = datetime.fromtimestamp(at_ns // NS_PER_S, UTC)
        found.append(f"{moment.year:04d}-{moment.month:02d}")
        at_ns = month_bounds_ns(found[-1])[1]
    return found


def month_bounds_ns(month: str) -> tuple[int, int]:
    """Return the half-open interval of a month, nanoseconds UTC."""
    year, number = map(int, month.split("-"))
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    first, last = (datetime(*each, 1, tzinfo=UTC) for each in ((year, number), following))
    return round(first.timestamp()) * NS_PER_S, round(last.timestamp()) * NS_PER_S


def table_of(held: Samples, subject_id: str) -> Any:  # noqa: ANN401 - an Arrow table
    """Return samples of one subject as a table, sorted by time and sensor; a missing number is null."""
    names = np.array([*held.sensors, ""], object)[held.sensor_index]
    columns = {
        "subject_id": _arrow.array([subject_id] * len(held), _arrow.string()),
        "sensor_id": _arrow.array(names, _arrow.string()),
        "t_ns": _arrow.array(held.t_ns),
        **{
            column.name: _arrow.array(
                held[column.name], _TYPES[column.dtype], from_pandas=column.dtype == "float64"
            )
            for column in held.stream.columns
        },
    }
    return _arrow.table(columns)


def samples_of(
    stream: Stream,
    tables: Sequence[Any],
    span_ns: tuple[int, int] | None = None,
    sensor_id: str | None = None,
) -> Samples:
    """Return tables of a lake as samples: those in an interval, and of one sensor, if asked."""
    if not tables:
        return merged(stream, (), ())
    table = _arrow.concat_tables(tables)
    t_ns: NDArray[np.int64] = table.column("t_ns").to_numpy()
    who = table.column("sensor_id").combine_chunks().dictionary_encode()
    names: list[str] = who.dictionary.to_pylist()
    index: NDArray[np.int32] = who.indices.to_numpy()
    inside = np.ones(len(t_ns), np.bool_) if span_ns is None else (t_ns >= span_ns[0]) & (t_ns < span_ns[1])
    arrays = [t_ns, *(_column(table, column.name, column.dtype) for column in stream.columns)]
    sensors: list[str] = []
    parts: list[list[NDArray[Any]]] = []
    for name in sorted(names):
        rows = inside & (index == names.index(name))
        if sensor_id in (None, name) and rows.any():
            sensors.append(name)
            parts.append([array[rows] for array in arrays])
    return merged(stream, sensors, parts)


def _column(table: Any, name: str, dtype: DType) -> NDArray[Any]:  # noqa: ANN401 - an Arrow table
    """Return a column; one that the file was written without is missing throughout."""
    if name not in table.column_names:
        empty: dict[DType, Any] = {"float64": np.nan, "int64": 0, "utf8": "", "binary": b""}
        return np.full(len(table), empty[dtype], None if dtype in {"float64", "int64"} else object)
    held = table.column(name)
    if dtype in {"float64", "int64"}:
        return np.array(held.to_numpy(), dtype)
    return np.array(held.to_pylist(), object)


def _about_subject(subject_id: str) -> str:
    hashed = subject_hash(subject_id)
    return f"{ABOUT}/{hashed[:2]}/{hashed}.json"


def _is_local(fs: Any) -> bool:  # noqa: ANN401 - of fsspec
    return "file" in ((fs.protocol,) if isinstance(fs.protocol, str) else fs.protocol)
