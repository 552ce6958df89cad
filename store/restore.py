"""Bring a backup back: into an empty directory, and proven equal to what was backed up.

Everything is first put together in a hidden directory of the new home and moved into place at the end, so
that a restore that was interrupted leaves no home that looks whole, and can be run again.
"""

import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow.parquet
import sqlalchemy as sa
from sqlalchemy.exc import DatabaseError

from store.backup import (
    REGISTRY_FILE,
    REGISTRY_FOLDER,
    SAMPLES_FILE,
    SAMPLES_FOLDER,
    TIME_COLUMN,
    rows_of,
    total_of_series,
)
from store.backup_manifest import MANIFEST, KeptSeries, Manifest, check_backup
from store.clock import Clock, SystemClock
from store.copying import Progress
from store.errors import DataError, HomeError, RefusedError
from store.places import FilePlace, Place, open_place
from store.registry.registry import Registry
from store.registry.tables import import_tables
from store.timeseries import Batch, TimeSeriesStore

STAGE = ".restoring"
_ROWS_AT_ONCE = 100_000
_parquet: Any = cast("Any", pyarrow.parquet)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back.

    Attributes
    ----------
    manifest : Manifest
    faults : tuple of str
        One sentence for each thing that is not as it was; empty if all is.
    """

    manifest: Manifest
    faults: tuple[str, ...]


def restore_backup(
    folder: Path,
    home: Path,
    *,
    samples_to: Place | None = None,
    registry_to: str | None = None,
    clock: Clock | None = None,
    progress: Progress = lambda _done, _total: None,
) -> Restored:
    """Make the directory `home` from a backup.

    Parameters
    ----------
    home : Path
        Made if it is not there; must be empty.
    samples_to : InfluxPlace, optional
        Where samples go that were backed up as Parquet; by default an embedded store in `home`.
    registry_to : str, optional
        URL of an empty PostgreSQL database for a registry that was backed up as tables; by default an SQLite
        file in `home`.

    Raises
    ------
    RefusedError
        If `home`, the store or the database is not empty, or the backup is of another kind.
    DataError
        If the backup is damaged; nothing was restored.
    """
    manifest = Manifest.read(folder)
    _refuse_other_kinds(manifest, samples_to, registry_to)
    stage = _stage(home)
    if faults := check_backup(folder):
        raise DataError(f"The backup {folder} is damaged, nothing was restored: {'; '.join(faults)}")
    try:
        _copy_files(manifest, folder, stage)
        faults = _restore_samples(manifest, folder, samples_to or FilePlace(stage / SAMPLES_FILE), progress)
        faults += _restore_registry(manifest, folder, registry_to or stage / REGISTRY_FILE, clock)
        for path in stage.iterdir():
            path.replace(home / path.name)
        stage.rmdir()
    except OSError as error:
        raise HomeError(f"{home} cannot be written ({error.strerror}); make room, run it again") from None
    return Restored(manifest, tuple(faults))


def _refuse_other_kinds(manifest: Manifest, samples_to: Place | None, registry_to: str | None) -> None:
    if samples_to is not None and manifest.samples == "sqlite":
        raise RefusedError(
            "The samples of this backup are the file of an embedded store; restore it without --store, then "
            "move them: evenkeel store copy --from sqlite:///samples.sqlite --to URL"
        )
    if registry_to is not None and manifest.registry == "sqlite":
        raise RefusedError("The registry of this backup is an SQLite file; restore it without --registry")


def _stage(home: Path) -> Path:
    """Return a fresh directory inside an empty home."""
    stage = home / STAGE
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = sorted(path.name for path in home.iterdir() if path.name != STAGE)
        if held:
            raise RefusedError(
                f"{home} is not empty ({held[0]}, ...); needed is a new directory: nothing is overwritten"
            )
        home.chmod(0o700)
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(mode=0o700)
    except OSError as error:
        raise HomeError(f"{home} cannot be written ({error.strerror}); name another directory") from None
    return stage


def _copy_files(manifest: Manifest, folder: Path, stage: Path) -> None:
    portable = (f"{SAMPLES_FOLDER}/", f"{REGISTRY_FOLDER}/")
    for kept in manifest.files:
        if kept.name == MANIFEST or kept.name.startswith(portable):
            continue
        target = stage / kept.name
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.touch(mode=0o600)
        shutil.copyfile(folder / kept.name, target)


def _restore_samples(manifest: Manifest, folder: Path, place: Place, progress: Progress) -> list[str]:
    faults: list[str] = []
    with open_place(place) as store:
        if manifest.samples == "parquet":
            _refuse_strangers(manifest, store)
        for k, kept in enumerate(manifest.series):
            if manifest.samples == "parquet":
                with suppress(DataError):  # samples that the store refuses are missing from the total
                    _write_series(store, kept, folder / kept.file)
            total = total_of_series(store, kept.series())
            if total != kept.total:
                other = ", with other values" if total.count == kept.count else ""
                faults.append(
                    f"{kept.stream} of {kept.subject_id}, sensor {kept.sensor_id}: {total.count:,} samples, "
                    f"{kept.count:,} were backed up{other}"
                )
            progress(k + 1, len(manifest.series))
    return faults


def _refuse_strangers(manifest: Manifest, store: TimeSeriesStore) -> None:
    ours = {(kept.stream, kept.subject_id, kept.sensor_id) for kept in manifest.series}
    for series in store.series():
        if (series.stream.name, series.subject_id, series.sensor_id) not in ours:
            raise RefusedError(
                f"The store holds {series.stream.name} of {series.subject_id}, which this backup does not; "
                "needed is an empty store"
            )


def _write_series(store: TimeSeriesStore, kept: KeptSeries, path: Path) -> None:
    series = kept.series()
    with _parquet.ParquetFile(path) as file:
        for rows in file.iter_batches(batch_size=_ROWS_AT_ONCE):
            t_ns = rows.column(TIME_COLUMN).to_numpy()
            values: Mapping[str, Any] = {
                name: rows.column(name).to_numpy(zero_copy_only=False)
                for name in series.stream.column_names()
            }
            store.write([Batch(series.stream, kept.subject_id, kept.sensor_id, t_ns, values)])


def _restore_registry(manifest: Manifest, folder: Path, place: Path | str, clock: Clock | None) -> list[str]:
    if manifest.registry == "tables":
        if isinstance(place, Path):
            place.touch(mode=0o600)
        engine = sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")
        try:
            rows = import_tables(engine, folder / REGISTRY_FOLDER)
        except DatabaseError as error:
            raise HomeError(
                f"The registry cannot be written ({type(error).__name__}): check the database's URL, that it "
                "runs and that this user may make tables in it, then run it again"
            ) from None
        finally:
            engine.dispose()
    else:
        rows = rows_of(cast("Path", place))
    faults = [
        f"Table {name} of the registry has {rows.get(name, 0):,} rows, {count:,} were backed up"
        for name, count in manifest.rows.items()
        if rows.get(name) != count
    ]
    with Registry(place, clock or SystemClock()) as registry:
        broken = registry.audit.first_broken_seq()
        if broken is not None:
            faults.append(f"The audit log is broken at entry {broken}")
        registry.audit.append("operator", "restore", detail=str(folder))
    return faults
