"""Commands for the store itself: make it, copy it, look at it, back it up and bring it back."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.command import finish, note, open_installation, progress_bar, say

if TYPE_CHECKING:
    from store.copying import Comparison, Difference
    from store.installation import Installation
    from store.places import Place
    from store.timeseries import TimeSeriesStore

store_app = typer.Typer(help="Where samples are kept: make it, copy it, look at it.", no_args_is_help=True)
_USERS_OF_ROLES = {
    "gateway": "collect (writes samples, reads nothing)",
    "jobs": "features, flags, ledger, samples, export",
    "dashboard": "dashboard (reads)",
    "operator": "demo, replay, store copy, backup, restore",
}
_NAMED_DIFFERENCES = 20
"""More hours than these are counted, not named."""

_From = Annotated[str, typer.Option("--from", help="URL of the store to copy from.")]
_To = Annotated[str, typer.Option("--to", help="URL of the store to copy to.")]
_Subject = Annotated[str | None, typer.Option(help="Only this person's samples.")]


@store_app.command("init")
def store_init(
    context: typer.Context,
    admin_token_file: Annotated[
        Path | None,
        typer.Option(help="File with an administrator's token, for an InfluxDB that was set up by others."),
    ] = None,
) -> None:
    """Make what the store needs: a file, or an InfluxDB's organisation, buckets, retention and tokens."""
    from store.places import TOKEN_FILE_VARIABLE, FilePlace

    installation = open_installation(context)
    place = installation.store_place()
    if isinstance(place, FilePlace):
        installation.timeseries().close()
        say(f"The store is {place}; nothing else is needed")
        return
    from store.influx_setup import prepare_influx

    days = installation.settings.store
    done = prepare_influx(
        place,
        installation.home / "secrets",
        {
            "raw": days.raw_retention_days,
            "features": days.feature_retention_days,
            "flags": days.flag_retention_days,
        },
        admin_token_file,
    )
    for thing in done.made or ("nothing: all was there",):
        say(f"Made {thing}")
    say(f"Give each part its own token, by a copy of its file and {TOKEN_FILE_VARIABLE} in its environment:")
    for role, path in done.token_files.items():
        say(f"  {_USERS_OF_ROLES[role]:46s} {TOKEN_FILE_VARIABLE}={path}")
    if place.is_in_clear:
        note(f"{place.url} is not encrypted: tokens and samples can be read on the network; use https")


@store_app.command("copy")
def store_copy(
    context: typer.Context,
    source: _From,
    target: _To,
    subject: _Subject = None,
    from_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of an InfluxDB to copy from.")
    ] = None,
    to_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of an InfluxDB to copy to.")
    ] = None,
) -> None:
    """Copy all samples from one store to another and verify each; interrupted, run it again."""
    from store.copying import copy_samples

    installation = open_installation(context)
    places = _two_places(installation, source, target)
    with (
        _opened(_existing(places[0]), from_token_file) as first,
        _opened(places[1], to_token_file) as second,
        progress_bar("Copy", "samples") as update,
    ):
        done = copy_samples(first, second, subject_id=subject, progress=update)
    say(
        f"{done.samples:,} samples in {done.series:,} series: {done.written:,} written, "
        f"{done.samples - done.written - _sum_missing(done):,} were there"
    )
    surplus = sum(difference.surplus for difference in done.differences)
    if surplus:
        note(f"{places[1]} also holds {surplus:,} samples that {places[0]} does not, in the hours copied")
    for refusal in done.refusals:
        note(refusal)
    finish(_sentences([difference for difference in done.differences if difference.missing]))


@store_app.command("check")
def store_check(
    context: typer.Context,
    against: Annotated[str | None, typer.Option(help="URL of a store that should hold the same.")] = None,
    subject: _Subject = None,
    against_token_file: Annotated[
        Path | None, typer.Option(help="File with the token of that store, if it is an InfluxDB.")
    ] = None,
) -> None:
    """Say what the store holds; with --against, where it differs from another, sample by sample."""
    from store.copying import compare_samples

    installation = open_installation(context)
    place = installation.store_place()
    if against is None:
        with installation.timeseries() as store:
            finish(_show_store(place, store, subject))
        return
    other = _two_places(installation, installation.store_url, against)[1]
    with (
        installation.timeseries() as store,
        _opened(_existing(other), against_token_file) as second,
        progress_bar("Compare", "samples") as update,
    ):
        found = compare_samples(store, second, subject_id=subject, progress=update)
    verdict = "both hold the same" if found.is_equal else "they differ"
    say(f"{found.samples:,} samples in {found.series:,} series: {verdict}")
    finish(_sentences(found.differences))


def backup(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="New directory for the backup, on another disk.")],
    with_secrets: Annotated[
        bool, typer.Option("--with-secrets", help="Also tokens and session keys; guard it like them.")
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only prove that the backup in the directory is whole.")
    ] = False,
) -> None:
    """Copy samples, registry, spools and settings to a directory while everything goes on."""
    from store.backup import make_backup
    from store.backup_manifest import Manifest, check_backup

    if check:
        faults = check_backup(folder)
        manifest = Manifest.read(folder)
        if not faults:
            say(f"{folder} is whole: {len(manifest.files):,} files, {manifest.sample_count():,} samples")
        finish(tuple(faults))
        return
    installation = open_installation(context)
    with progress_bar("Backup", "series") as update:
        manifest = make_backup(installation, folder, with_secrets=with_secrets, progress=update)
    size_mb = sum(kept.size_bytes for kept in manifest.files) / 1e6
    say(
        f"{manifest.sample_count():,} samples in {len(manifest.series):,} series and "
        f"{sum(manifest.rows.values()):,} rows of the registry in {folder} ({size_mb:,.1f} MB)"
    )
    note("It holds names and other identities: keep it where only you can read it")


def restore(
    folder: Annotated[Path, typer.Argument(help="Directory that `evenkeel backup` made.")],
    into: Annotated[Path, typer.Option(help="New directory for the installation.")],
    store: Annotated[
        str | None, typer.Option(help="URL of an empty InfluxDB for samples that came from one.")
    ] = None,
    registry: Annotated[
        str | None,
        typer.Option(help="URL of an empty PostgreSQL, its password in PGPASSFILE, for a registry from one."),
    ] = None,
) -> None:
    """Make a new installation from a backup and prove it equal; overwrites nothing."""
    from configs.home import home_directory
    from store.places import password_free, place_of
    from store.restore import restore_backup

    home = home_directory(into)
    with progress_bar("Restore", "series") as update:
        done = restore_backup(
            folder,
            home,
            samples_to=None if store is None else place_of(store, home),
            registry_to=None if registry is None else password_free(registry),
            progress=update,
        )
    if not done.faults:
        say(f"{done.manifest.sample_count():,} samples and the registry are in {home}, equal to the backup")
    _note_settings(home, store, registry)
    finish(done.faults)


def _note_settings(home: Path, store: str | None, registry: str | None) -> None:
    """Say so if the settings that came along name another place than the data went to."""
    from configs.settings import load_settings

    settings = load_settings(home)
    for section, held, used in (
        ("store", settings.store.url, store or "sqlite:///samples.sqlite"),
        ("registry", settings.registry.url, registry or "sqlite:///registry.sqlite"),
    ):
        if held != used:
            note(f"The settings name another {section} than the one restored: set {section}.url in {home}")


def _two_places(installation: "Installation", source: str, target: str) -> tuple["Place", "Place"]:
    from store.errors import RefusedError
    from store.places import place_of

    first, second = place_of(source, installation.home), place_of(target, installation.home)
    if first == second:
        raise RefusedError(f"Both stores are {first}; needed are two")
    return first, second


def _existing(place: "Place") -> "Place":
    """Return the place; a file that is only read from has to be there."""
    from store.errors import ConfigError
    from store.places import FilePlace

    if isinstance(place, FilePlace) and not place.path.exists():
        raise ConfigError(f"There is no store {place}; needed is the URL of one that holds samples")
    return place


def _opened(place: "Place", token_file: Path | None) -> "TimeSeriesStore":
    from store.places import open_place, token_in

    return open_place(place, None if token_file is None else token_in(token_file))


def _show_store(place: "Place", store: "TimeSeriesStore", subject: str | None) -> tuple[str, ...]:
    """Say what a store holds; return what is wrong with it."""
    from store.copying import count_of, held_series
    from store.sqlite import SqliteTimeSeries

    say(f"{place}")
    if isinstance(store, SqliteTimeSeries) and (faults := store.faults()):
        return tuple(faults)
    counts: dict[str, tuple[set[str], int]] = {}
    for series in held_series(store, subject):
        people, count = counts.get(series.stream.name, (set[str](), 0))
        counts[series.stream.name] = people | {series.subject_id}, count + count_of(store, series)
    for name, (people, count) in counts.items():
        say(f"  {name:20s} {count:14,} samples of {len(people):,} people")
    return ()


def _sum_missing(done: "Comparison") -> int:
    return sum(difference.missing for difference in done.differences)


def _sentences(differences: Sequence["Difference"]) -> tuple[str, ...]:
    named = [str(difference) for difference in differences[:_NAMED_DIFFERENCES]]
    more = len(differences) - len(named)
    return (*named, f"... and {more:,} hours more") if more else tuple(named)
