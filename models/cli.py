"""Commands for flags."""

from typing import TYPE_CHECKING, Annotated

import typer

from store.command import finish, note, open_installation, progress_bar, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from configs.settings import FlagSettings
    from store.installation import Installation
    from store.job_report import JobReport
    from store.registry.registry import Registry

WAIT_S = 600.0
"""For another run to end."""

flags_app = typer.Typer(help="Sustained changes from a person's own normal.", no_args_is_help=True)


@flags_app.command("run")
def flags_run(
    context: typer.Context,
    subject: Annotated[list[str] | None, typer.Option(help="Only this person (may be repeated).")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Everybody, changed or not.")] = False,
) -> None:
    """Judge people whose nights changed; running it again changes nothing."""
    report = run_flags_command(open_installation(context), subjects=subject, is_all=everything)
    done = report.counts
    past = f" ({done['past_flags']} over before anybody could have looked)" if done["past_flags"] else ""
    say(f"{done['people']} people judged, {done['new_flags']} new flags{past}, {len(report.failed)} failed")
    finish(report.failed)


def run_flags_command(
    installation: "Installation", *, subjects: "Sequence[str] | None" = None, is_all: bool = False
) -> "JobReport":
    """Run the job as the command line asks, one run at a time; return how it went."""
    from models.job import run_flags
    from store.errors import BusyError
    from store.job_report import JobReport

    clock = installation.clock
    started_ns = clock.now_ns()
    with installation.registry() as registry, installation.timeseries() as store:
        for subject_id in subjects or ():
            registry.people.subject(subject_id)
        try:
            with (
                registry.leases.held("flags", wait_s=WAIT_S, told=note) as beat,
                progress_bar("Flags", "people") as update,
            ):

                def progress(_subject: str, done: int, total: int) -> None:
                    beat()
                    update(done, total)

                run = run_flags(
                    store,
                    registry,
                    installation.settings.flags,
                    clock,
                    subjects=subjects,
                    is_all=is_all,
                    silent=_silent_by_choice(installation, registry),
                    progress=progress,
                )
        except BusyError as error:
            none = {"people": 0, "new_flags": 0, "past_flags": 0}
            return JobReport("flags", "", started_ns, clock.now_ns(), none, (str(error),))
    counts = {"people": run.subjects, "new_flags": run.new_flags, "past_flags": run.past_flags}
    return JobReport("flags", run.job_id, started_ns, clock.now_ns(), counts, run.failed)


def _silent_by_choice(installation: "Installation", registry: "Registry") -> set[str]:
    """Return who paused, or agrees to nothing (any more)."""
    from ingest.pauses import PAUSE_FILE, read_pauses
    from store.streams import STREAMS

    now_ns = installation.clock.now_ns()
    pauses, agreed = read_pauses(installation.home / PAUSE_FILE), registry.consents.agreed()
    return {
        person.subject_id
        for person in registry.people.subjects()
        if pauses.is_paused(person.subject_id, now_ns)
        or not any(agreed.allows(person.subject_id, stream, now_ns) for stream in STREAMS)
    }


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
    """Say all that stood behind a flag: own values, what each adds, score, model, share of chance."""
    from models.clinic import explained

    with open_installation(context).registry() as registry:
        for line in explained(registry.flags.one(flag_id), registry.flags.history(flag_id)):
            say(line)


def backtest(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="Whose nights.")],
    budget: Annotated[
        float | None,
        typer.Option(help="Alert episodes per monitored patient-month when nothing changed, 0.1-2; as set."),
    ] = None,
    changes_per_year: Annotated[
        float | None, typer.Option(help="Real changes a person and year, to say how many are chance; as set.")
    ] = None,
) -> None:
    """Say what `flags run` would have raised when, each night judged with what was there by then.

    Nothing is written. It takes whatever of its ten signals the nights hold, three at least. The budget and
    the changes a year are those of the settings, if not given.
    """
    from features.nights import read_nights
    from models.clinic import chance_words, replayed
    from models.nightly import sensor_names, verdict_of_nights
    from models.risk import load_model

    installation = open_installation(context)
    settings = _flag_settings(installation.settings.flags, budget, changes_per_year)
    with installation.registry() as registry, installation.timeseries() as store:
        registry.people.subject(subject)
        nights = read_nights(store, subject)
        names = sensor_names(registry.people.sensors())
    found = replayed(verdict_of_nights(nights, load_model(), settings.budget, names), settings)
    for flag in found.flags:
        words = f" ({chance_words(flag.chance_frac)})" if flag.kind == "change" else ""
        say(f"{flag.night}  {flag.kind}  {flag.score:.2f}  {flag.reason}{words}")
    counted = ", ".join(f"{count} {state}" for state, count in found.states.items()) or "no nights"
    alerts = sum(flag.kind == "change" for flag in found.flags)
    say(f"{alerts} alerts at {settings.budget} per patient-month; nights: {counted}")


def _flag_settings(
    settings: "FlagSettings", budget: float | None, changes_per_year: float | None
) -> "FlagSettings":
    from configs.settings import FlagSettings
    from store.errors import ConfigError

    given = {"budget": budget, "changes_per_year": changes_per_year}
    asked = settings.model_dump() | {name: value for name, value in given.items() if value is not None}
    try:
        return FlagSettings.model_validate(asked)
    except ValueError:
        raise ConfigError(
            f"A budget of {asked['budget']} and {asked['changes_per_year']} changes a year cannot be; needed "
            "are a budget from 0.1 to 2 and more than 0, at most 12 changes"
        ) from None
