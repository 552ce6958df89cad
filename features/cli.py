"""Commands for markers: compute them, and write the research export."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from store.command import cannot_write, finish, note, open_installation, progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from features.executors import Crew
    from store.installation import Installation
    from store.job_report import JobReport
    from store.timeseries import SampleSource

features_app = typer.Typer(help="Markers of nights: HRV from RR intervals.", no_args_is_help=True)


@features_app.command("run")
def features_run(  # noqa: PLR0917 - each an option
    context: typer.Context,
    subject: Annotated[list[str] | None, typer.Option(help="Only this person (may be repeated).")] = None,
    since: Annotated[str | None, typer.Option(help="Only nights from this date on.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Compute every night, changed or not.")] = False,
    workers: Annotated[int, typer.Option(help="Processes that compute.", min=1, max=256)] = 1,
    scheduler: Annotated[
        str, typer.Option(help="Let a Dask cluster compute: address of its scheduler, tcp://HOST:8786.")
    ] = "",
    lake: Annotated[
        str, typer.Option(help="Read samples from this lake instead of the store; see `evenkeel lake`.")
    ] = "",
    wait: Annotated[float, typer.Option(help="Seconds to wait for another run to end.", min=0)] = 600.0,
    summary: Annotated[Path | None, typer.Option(help="Also write how it went to this JSON file.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Also write it to this file for Prometheus (textfile collector).")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Compute the markers of nights that changed, and of those that depend on them.

    A night has changed when samples of it arrived, however late, when a person's
    zone, the settings or evenkeel itself did. The result is that of computing
    everything anew, to the last bit. Interrupt it at any time and run it again.
    Exit status 3: a night failed, or another run is at work.
    """
    installation = open_installation(context)
    report = run_features_command(
        installation,
        subjects=subject,
        since=since,
        is_all=everything,
        workers=workers,
        scheduler=scheduler,
        lake=lake,
        wait_s=wait,
    )
    keep_reports([report], summary, metrics)
    if output == "json":
        import json

        say(json.dumps(report.as_json(), indent=1))
    else:
        counts = report.counts
        say(
            f"{counts['nights']:,} nights computed, {counts['withheld']:,} with a value withheld, "
            f"{counts['unchanged']:,} unchanged, {counts['removed']:,} removed, {len(report.failed)} failed"
        )
    finish(report.failed)


def run_features_command(
    installation: "Installation",
    *,
    subjects: "Sequence[str] | None" = None,
    since: str | None = None,
    is_all: bool = False,
    workers: int = 1,
    scheduler: str = "",
    lake: str = "",
    wait_s: float = 600.0,
) -> "JobReport":
    """Run the job as the command line asks, one run at a time; return how it went."""
    from datetime import date

    from features.job import run_features
    from store.errors import BusyError, ConfigError
    from store.job_report import JobReport
    from store.ledger import open_ledger

    try:
        first = None if since is None else date.fromisoformat(since)
    except ValueError:
        raise ConfigError(f"--since is {since!r}; needed is a date such as 2026-03-01") from None
    clock = installation.clock
    started_ns = clock.now_ns()
    with installation.registry() as registry, installation.timeseries() as store:
        for subject_id in subjects or ():
            registry.people.subject(subject_id)
        try:
            with (
                _source(lake) as source,
                registry.leases.held("features", wait_s=wait_s, told=note) as beat,
                progress_bar("Markers", "nights") as update,
            ):

                def progress(_subject: str, done: int, total: int) -> None:
                    beat()
                    update(done, total)

                run = run_features(
                    store,
                    registry,
                    installation.settings.features,
                    now_ns=started_ns,
                    subjects=subjects,
                    since=first,
                    is_all=is_all,
                    progress=progress,
                    ledger=open_ledger(installation.home, clock),
                    source=source,
                    crew=_crew(installation, workers, scheduler, lake, beat),
                    beat=beat,
                )
        except BusyError as error:
            return JobReport(
                "features", "", started_ns, clock.now_ns(), dict.fromkeys(_COUNTS, 0), (str(error),)
            )
    counts = {name: getattr(run, name) for name in _COUNTS}
    return JobReport(
        "features", run.job_id, started_ns, clock.now_ns(), counts, run.failed, run.oldest_waiting_ns
    )


_COUNTS = ("nights", "withheld", "unchanged", "removed")


def keep_reports(reports: "Sequence[JobReport]", summary: Path | None, metrics: Path | None) -> None:
    """Write reports to the files that were asked for."""
    from store.job_report import write_json, write_metrics

    for path, write in ((summary, write_json), (metrics, write_metrics)):
        if path is not None:
            try:
                write(path, reports)
            except OSError as error:
                cannot_write(path, error)


def _source(lake: str) -> "AbstractContextManager[SampleSource | None]":
    from contextlib import nullcontext

    if not lake:
        return nullcontext()
    from store.lake import Lake

    return Lake(lake)


def _crew(
    installation: "Installation", workers: int, scheduler: str, lake: str, beat: "Callable[[], None]"
) -> "Crew | None":
    from store.errors import ConfigError

    if workers == 1 and not scheduler:
        return None
    from features.night_source import SourcePlace

    if scheduler and workers != 1:
        raise ConfigError(
            "--workers are processes here and --scheduler is a cluster elsewhere; give one of them"
        )
    place = SourcePlace(lake, is_lake=True) if lake else SourcePlace(str(installation.store_place()))
    settings = installation.settings.features
    if not scheduler:
        from features.executors import PoolCrew

        return PoolCrew(place, settings, workers, beat)
    try:
        from features.dask_crew import DaskCrew
    except ImportError:
        raise ConfigError("--scheduler needs Dask: pip install 'evenkeel[dask]'") from None
    return DaskCrew(scheduler, place, settings, beat)


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
                assessments=registry.assessments.all(),
            )
        except OSError as error:
            cannot_write(directory, error)
    say(
        f"{done.nights:,} nights of {done.subjects} subjects and {done.assessments:,} assessments in "
        f"{directory}: {', '.join(done.files)}"
    )
