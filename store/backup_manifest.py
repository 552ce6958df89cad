"""The manifest of a backup: which files and series it holds, so that its wholeness can be proven."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

from store.errors import HomeError
from store.ledger_digest import Total
from store.streams import Column, DType, Family, Stream
from store.timeseries import Series

MANIFEST = "manifest.json"
FORMAT = 1
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A file of a backup: its path in it, bytes and SHA-256."""

    name: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class KeptSeries:
    """A series of a backup, and how much of it there is.

    Attributes
    ----------
    file : str
        Where its samples are.
    count, digest : int
        As `store.ledger_digest.Total`.
    """

    stream: str
    family: Family
    columns: tuple[tuple[str, DType], ...]
    subject_id: str
    sensor_id: str
    file: str
    count: int
    digest: int

    @property
    def total(self) -> Total:
        """Count and digest."""
        return Total(self.count, self.digest)

    def series(self) -> Series:
        """Return it as a store would."""
        columns = tuple(Column(name, dtype, "") for name, dtype in self.columns)
        return Series(Stream(self.stream, "", columns, self.family), self.subject_id, self.sensor_id)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes
    ----------
    format : int
    code_version : str
    made_ns : int
        When it was begun, nanoseconds UTC.
    samples : {"sqlite", "parquet"}
    registry : {"sqlite", "tables"}
    has_secrets : bool
    series : tuple of KeptSeries
    rows : mapping of registry table to int
    files : tuple of KeptFile
        All of them but the manifest.
    """

    format: int
    code_version: str
    made_ns: int
    samples: Literal["sqlite", "parquet"]
    registry: Literal["sqlite", "tables"]
    has_secrets: bool
    series: tuple[KeptSeries, ...]
    rows: dict[str, int]
    files: tuple[KeptFile, ...]

    def sample_count(self) -> int:
        """Return how many samples there are."""
        return sum(kept.count for kept in self.series)

    def to_json(self) -> str:
        """Return it as text."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the manifest of a backup.

        Raises
        ------
        HomeError
            If there is none, or one that this version does not know.
        """
        try:
            held: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
            if held["format"] > FORMAT:
                raise HomeError(
                    f"The backup {folder} was made by a newer evenkeel ({held['code_version']}): install "
                    "that version to restore it"
                )
            series = [KeptSeries(**(s | {"columns": _pairs(s["columns"])})) for s in held.pop("series")]
            files = [KeptFile(**kept) for kept in held.pop("files")]
            return cls(**held, series=tuple(series), files=tuple(files))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise HomeError(
                f"{folder} is no whole backup ({type(error).__name__} in its {MANIFEST}); needed is a "
                "directory that `evenkeel backup` finished"
            ) from None


def check_backup(folder: Path) -> list[str]:
    """Return one sentence for each file that is missing, changed or not in the manifest; none if all is well.

    Raises
    ------
    HomeError
        If there is no manifest.
    """
    manifest = Manifest.read(folder)
    found = {str(path.relative_to(folder)) for path in files_in(folder)} - {MANIFEST}
    faults = [f"{name} is not of this backup" for name in sorted(found - {f.name for f in manifest.files})]
    for kept in manifest.files:
        path = folder / kept.name
        if kept.name not in found:
            faults.append(f"{kept.name} is missing")
        elif path.stat().st_size != kept.size_bytes:
            faults.append(f"{kept.name} has {path.stat().st_size:,} bytes, {kept.size_bytes:,} were written")
        elif sha256_of(path) != kept.sha256:
            faults.append(f"{kept.name} was changed: its SHA-256 is another")
    return faults


def kept_file(path: Path, folder: Path) -> KeptFile:
    """Return what the manifest says about a file."""
    return KeptFile(str(path.relative_to(folder)), path.stat().st_size, sha256_of(path))


def files_in(folder: Path) -> Iterator[Path]:
    """Yield all files below a folder, sorted."""
    yield from sorted(path for path in folder.rglob("*") if path.is_file())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _pairs(columns: list[tuple[str, DType]]) -> tuple[tuple[str, DType], ...]:
    return tuple((name, dtype) for name, dtype in columns)
