"""Commands for markers and the research export."""

from pathlib import Path
from typing import Annotated

import typer

from store.command import cannot_write, finish, open_installation, progress_bar, say

features_app = typer.Typer(help="Markers of nights: HRV from RR intervals.", no_args_is_help=True)


@features_app.command("run")
def features_run(
    context: typer.Context,
    subject: Annotated[list[str] | None, typer.Option(help="Only this person (may be repeated).")] = None,
) -> None:
    """Compute the markers of every night that has RR or pulse intervals; running it again changes nothing."""
    from features.job import run_features
    from store.ledger import open_ledger

    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        for subject_id in subject or ():
            registry.people.subject(subject_id)
        with progress_bar("Markers", "nights") as update:
            run = run_features(
                store,
                registry,
                installation.settings.features,
                now_ns=installation.clock.now_ns(),
                subjects=subject,
                progress=lambda _subject, done, total: update(done, total),
                ledger=open_ledger(installation.home, installation.clock),
            )
    say(f"{run.nights:,} nights computed, {run.withheld:,} with a value withheld, {len(run.failed)} failed")
    finish(run.failed)


def export(
    context: typer.Context,
    directory: Annotated[Path, typer.Argument(help="Where to write; made if it does not exist.")],
) -> None:
    """Write the nights of everybody as Parquet, with a data dictionary."""
    from features.export import export_nights
    from store.ledger import open_ledger

    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        simulated = {subject.subject_id for subject in registry.people.subjects() if subject.is_simulated}
        try:
            done = export_nights(
                store,
                directory,
                installation.clock.now_ns(),
                simulated=simulated,
                ledger=open_ledger(installation.home, installation.clock),
            )
        except OSError as error:
            cannot_write(directory, error)
    say(f"{done.nights:,} nights of {done.subjects} subjects in {directory}: {', '.join(done.files)}")
