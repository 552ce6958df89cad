"""A backup: one directory with everything an installation keeps, and a manifest that proves it whole.

Samples of an embedded store are one snapshot of its file, those of an InfluxDB a Parquet file for each
series, which any store can take back. An SQLite registry is one snapshot too, a PostgreSQL registry its
tables as JSON lines. Nobody who writes meanwhile waits. Spools are copied first, so that no frame can be
between two copies, and so is the ledger, so that it claims nothing that the samples do not hold yet. The
manifest comes last: a directory without one is no backup.

It holds identities. It is for its owner's eyes only, and secrets are in it only if asked for.
"""

import os
import shutil
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal, cast

import pyarrow as pa
import pyarrow.parquet
import sqlalchemy as sa

from configs.settings import SETTINGS_FILE
from store.backup_manifest import FORMAT, MANIFEST, KeptSeries, Manifest, files_in, kept_file
from store.copying import Progress, digests_of, read_span, spans
from store.errors import HomeError, RefusedError, StoreUnavailableError
from store.installation import Installation
from store.ledger_digest import Total, total_of
from store.places import FilePlace, registry_place
from store.registry.tables import export_tables
from store.sqlite import SqliteTimeSeries
from store.streams import DType
from store.timeseries import Series, TimeSeriesStore

SAMPLES_FILE, REGISTRY_FILE = "samples.sqlite", "registry.sqlite"
SAMPLES_FOLDER, REGISTRY_FOLDER, SECRETS_FOLDER = "samples", "registry", "secrets"
TIME_COLUMN = "t_ns"

# Arrow comes without type stubs.
_arrow: Any = cast("Any", pa)
_parquet: Any = cast("Any", pyarrow.parquet)
_ARROW_TYPES: dict[DType, Any] = {
    "float64": _arrow.float64(),
    "int64": _arrow.int64(),
    "utf8": _arrow.string(),
    "binary": _arrow.binary(),
}


def make_backup(
    installation: Installation,
    folder: Path,
    *,
    with_secrets: bool = False,
    progress: Progress = lambda _done, _total: None,
) -> Manifest:
    """Write everything the installation keeps to `folder`.

    Parameters
    ----------
    folder : Path
        Made if it is not there; must be empty, and outside the installation.
    progress : callable(samples_done, samples_total)

    Raises
    ------
    RefusedError
        If the folder is not empty, or inside the installation.
    HomeError
        If it cannot be written.
    StoreUnavailableError
        If the store or registry cannot be read.
    """
    made_ns = installation.clock.now_ns()
    _make_empty(folder, installation.home)
    try:
        with installation.registry() as registry:
            registry.audit.append("operator", "backup", detail=str(folder))
        _copy_databases(installation, folder)
        with installation.timeseries() as store:
            kind, series = _keep_samples(store, folder, progress)
        registry_kind, rows = _keep_registry(installation, folder)
        _copy_plain(installation.home / SETTINGS_FILE, folder / SETTINGS_FILE)
        if with_secrets:
            for path in files_in(installation.home / SECRETS_FOLDER):
                _copy_plain(path, folder / SECRETS_FOLDER / path.name)
        manifest = Manifest(
            FORMAT, version("evenkeel"), made_ns, kind, registry_kind, with_secrets, series, rows,
            tuple(kept_file(path, folder) for path in files_in(folder)),
        )  # fmt: skip
        _write_durably(folder / MANIFEST, manifest.to_json())
    except OSError as error:
        raise HomeError(
            f"The backup {folder} cannot be written ({error.strerror}); empty it, make room or name another"
        ) from None
    return manifest


def total_of_series(store: TimeSeriesStore, series: Series) -> Total:
    """Return count and digest of all samples of a series, read in bounded memory."""
    total = Total()
    for span in spans((store,), series):
        total += total_of(digests_of(read_span(store, series, span)))
    return total


def _make_empty(folder: Path, home: Path) -> None:
    if folder.resolve().is_relative_to(home.resolve()):
        raise RefusedError(
            f"{folder} is inside the installation {home}; needed is a directory elsewhere, on another disk"
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise RefusedError(f"{folder} is not empty; needed is a new directory for each backup")
        folder.chmod(0o700)
    except OSError as error:
        raise HomeError(f"{folder} cannot be made ({error.strerror}); name another directory") from None


def _copy_databases(installation: Installation, folder: Path) -> None:
    """Copy the spools, and whatever else keeps a database in the home, but samples and registry."""
    samples = installation.store_place()
    registry = registry_place(installation.settings.registry.url, installation.home)
    known = {registry, samples.path if isinstance(samples, FilePlace) else None}
    # One that is left from before the installation moved to a server is no part of it any more.
    known |= {installation.home / SAMPLES_FILE, installation.home / REGISTRY_FILE}
    for path in sorted(installation.home.rglob("*.sqlite")):
        if path not in known:
            target = folder / path.relative_to(installation.home)
            _make_folder(target.parent)
            _snapshot(path, target)


def _keep_samples(
    store: TimeSeriesStore, folder: Path, progress: Progress
) -> tuple[Literal["sqlite", "parquet"], tuple[KeptSeries, ...]]:
    if isinstance(store, SqliteTimeSeries):
        store.snapshot(folder / SAMPLES_FILE)
        with SqliteTimeSeries(folder / SAMPLES_FILE) as kept:
            return "sqlite", _series_of_snapshot(kept, progress)
    _make_folder(folder / SAMPLES_FOLDER)
    return "parquet", _series_as_files(store, folder, progress)


def _series_of_snapshot(kept: TimeSeriesStore, progress: Progress) -> tuple[KeptSeries, ...]:
    held = kept.series()
    found: list[KeptSeries] = []
    for k, series in enumerate(held):
        found.append(_kept_series(series, SAMPLES_FILE, total_of_series(kept, series)))
        progress(k + 1, len(held))
    return tuple(found)


def _series_as_files(store: TimeSeriesStore, folder: Path, progress: Progress) -> tuple[KeptSeries, ...]:
    held = store.series()
    found: list[KeptSeries] = []
    for k, series in enumerate(held):
        name = f"{SAMPLES_FOLDER}/{k + 1:06d}.parquet"  # an identifier may hold what no file name may
        total = _write_series(store, series, folder / name)
        found.append(_kept_series(series, name, total))
        progress(k + 1, len(held))
    return tuple(found)


def _write_series(store: TimeSeriesStore, series: Series, path: Path) -> Total:
    fields = [(TIME_COLUMN, _arrow.int64())]
    fields += [(column.name, _ARROW_TYPES[column.dtype]) for column in series.stream.columns]
    schema = _arrow.schema(fields)
    total = Total()
    with _owned(path).open("wb") as file, _parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for span in spans((store,), series):
            samples = read_span(store, series, span)
            writer.write_table(_arrow.table({TIME_COLUMN: samples.t_ns, **samples.values}, schema=schema))
            total += total_of(digests_of(samples))
    return total


def _kept_series(series: Series, name: str, total: Total) -> KeptSeries:
    columns = tuple[tuple[str, DType], ...]((c.name, c.dtype) for c in series.stream.columns)
    return KeptSeries(
        series.stream.name, series.stream.family, columns, series.subject_id, series.sensor_id, name,
        total.count, total.digest,
    )  # fmt: skip


def _keep_registry(
    installation: Installation, folder: Path
) -> tuple[Literal["sqlite", "tables"], dict[str, int]]:
    place = registry_place(installation.settings.registry.url, installation.home)
    if isinstance(place, Path):
        _snapshot(place, folder / REGISTRY_FILE)
        return "sqlite", rows_of(folder / REGISTRY_FILE)
    _make_folder(folder / REGISTRY_FOLDER)
    engine = sa.create_engine(place)
    try:
        return "tables", export_tables(engine, folder / REGISTRY_FOLDER)
    finally:
        engine.dispose()


def rows_of(path: Path) -> dict[str, int]:
    """Return how many rows each table of an SQLite file has."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
        tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        names = [name for (name,) in tables if not name.startswith("sqlite_")]
        count = 'SELECT count(*) FROM "{}"'
        return {name: database.execute(count.format(name)).fetchone()[0] for name in names}


def _snapshot(path: Path, target: Path) -> None:
    """Write the state of one moment of an SQLite file to a new one."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as database:
            database.execute("VACUUM INTO ?", (str(_owned(target)),))
    except sqlite3.Error as error:
        raise StoreUnavailableError(f"{path} cannot be copied: {error}; see evenkeel doctor") from None


def _copy_plain(path: Path, target: Path) -> None:
    if path.exists():
        _make_folder(target.parent)
        shutil.copyfile(path, _owned(target))


def _make_folder(path: Path) -> None:
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def _owned(path: Path) -> Path:
    """Make an empty file that only its owner may read, and return its path."""
    path.touch(mode=0o600)
    return path


def _write_durably(path: Path, text: str) -> None:
    """Write the last file of a backup once all others are on the disk."""
    for earlier in files_in(path.parent):
        with earlier.open("rb") as file:
            os.fsync(file.fileno())
    with _owned(path).open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
