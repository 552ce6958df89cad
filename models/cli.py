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
        told = f"{one.flag_id:4d}  {flag.night}  {flag.subject_id}  {one.state}"
        say(f"{told}  since {flag.since}: {flag.reason}")
    if not stored:
        say("No flags")


@flags_app.command("explain")
def flags_explain(
    context: typer.Context,
    flag_id: Annotated[int, typer.Argument(help="Number of the flag, as `flags list` shows it.")],
) -> None:
    """Say what stood behind a flag, in the person's own values."""
    from models.clinic import explained
    from store.errors import UnknownError

    with open_installation(context).registry() as registry:
        stored = next((one for one in registry.flags.all() if one.flag_id == flag_id), None)
        if stored is None:
            raise UnknownError(f"There is no flag {flag_id}; see: evenkeel flags list")
        for line in explained(stored.flag, state=stored.state):
            say(line)


def backtest(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="Whose nights.")],
    budget: Annotated[
        float, typer.Option(help="Alert episodes per monitored patient-month when nothing changed, 0.1-2.")
    ] = 0.25,
    changes_per_year: Annotated[
        float, typer.Option(help="Real changes a person and year, to say how many alerts are chance.")
    ] = 1.0,
) -> None:
    """Say what the shipped model would have raised when, each night judged with what was there by then.

    Nothing is written. It takes whatever of its ten signals the nights hold, three at least.
    """
    from features.nights import read_nights
    from models.clinic import chance_words, replayed
    from models.risk import load_model

    installation = open_installation(context)
    model = load_model()
    with installation.registry() as registry, installation.timeseries() as store:
        registry.people.subject(subject)
        nights = read_nights(store, subject)
    found, states = replayed(nights, model, budget, changes_per_year)
    for one in found:
        say(f"{one.night}  {one.score:.2f}  {one.reasons} ({chance_words(one.chance_frac)})")
    counted = ", ".join(f"{count} {state}" for state, count in states.items()) or "no nights"
    say(f"{len(found)} alerts at {budget} per patient-month; nights: {counted}")
