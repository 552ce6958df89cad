"""Commands for the lake: samples as Parquet files."""

from typing import TYPE_CHECKING, Annotated

import typer

from store.command import finish, open_installation, progress_bar, say

if TYPE_CHECKING:
    from store.lake_sync import Synced

lake_app = typer.Typer(
    help="Samples as partitioned Parquet files, for Dask, DuckDB, Spark or pandas.", no_args_is_help=True
)
_Where = Annotated[
    str, typer.Argument(help="A directory, or a URL of an object store such as s3://bucket/lake (fsspec).")
]


@lake_app.command("sync")
def lake_sync(context: typer.Context, url: _Where) -> None:
    """Write what changed since the last time, read it back and compare it with the store and the ledger.

    Files of people who were erased are removed. Holds samples under pseudonyms, never names: keep it as safe
    as the store.
    """
    from store.lake_sync import sync_lake
    from store.ledger import open_ledger

    installation = open_installation(context)
    ledger = open_ledger(installation.home, installation.clock)
    with installation.registry() as registry:
        erased = registry.people.erased()
    with installation.timeseries() as store, progress_bar("Lake", "months") as update:
        done = sync_lake(store, url, ledger=ledger, erased=erased, progress=update)
    say(f"{done.files:,} files written: {done.samples:,} samples, {done.bytes / 1e6:,.1f} MB")
    if done.erased:
        say(f"{done.erased:,} files of people who were erased removed")
    finish(done.failed)


@lake_app.command("check")
def lake_check(context: typer.Context, url: _Where) -> None:
    """Read every file and compare it with what was written and with the ledger; status 3 if one differs.

    Somebody who was erased and is still there counts as a difference.
    """
    from store.lake_sync import check_lake
    from store.ledger import open_ledger

    installation = open_installation(context)
    ledger = open_ledger(installation.home, installation.clock)
    with installation.registry() as registry:
        erased = registry.people.erased()
    with progress_bar("Lake", "people") as update:
        done: Synced = check_lake(url, ledger=ledger, erased=erased, progress=update)
    say(f"{done.files:,} files, {done.samples:,} samples, {len(done.failed):,} that differ")
    finish(done.failed)
