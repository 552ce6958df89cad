"""Commands for flags."""

from typing import Annotated

import typer

from store.command import finish, open_installation, progress_bar, say

flags_app = typer.Typer(help="Sustained changes from a person's own normal.", no_args_is_help=True)


@flags_app.command("run")
def flags_run(
    context: typer.Context,
    subject: Annotated[list[str] | None, typer.Option(help="Only this person (may be repeated).")] = None,
) -> None:
    """Judge every night of everybody; running it again changes nothing."""
    from models.job import run_flags

    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        for subject_id in subject or ():
            registry.people.subject(subject_id)
        with progress_bar("Flags", "people") as update:
            run = run_flags(
                store,
                registry,
                installation.settings.flags,
                subjects=subject,
                progress=lambda _subject, done, total: update(done, total),
            )
    say(f"{run.subjects} people judged, {run.new_flags} new flags, {len(run.failed)} failed")
    finish(run.failed)


@flags_app.command("list")
def flags_list(context: typer.Context) -> None:
    """List flags, newest first, each with its reason."""
    with open_installation(context).registry() as registry:
        stored = registry.flags.all()
    for one in stored:
        flag = one.flag
        say(f"{flag.night}  {flag.subject_id}  {one.state}  since {flag.since}: {flag.reason}")
    if not stored:
        say("No flags")
