"""Commands with which the patient pauses and resumes."""

from typing import TYPE_CHECKING, Annotated

import typer

from store.command import open_installation, say

if TYPE_CHECKING:
    from store.installation import Installation


def pause(
    context: typer.Context,
    subject: Annotated[str | None, typer.Option(help="Who pauses; everybody, if left out.")] = None,
    duration: Annotated[
        str | None, typer.Option("--for", help="For how long, such as 90min, 2h or 1d; else until `resume`.")
    ] = None,
) -> None:
    """Collect nothing from a person until `evenkeel resume`; seen as a gap with that reason.

    Takes effect within seconds, lasts over restarts, and is a file that can be made by hand: `pause` in the
    directory of the installation, with one subject a line, or empty for everybody.
    """
    from ingest.pauses import EVERYBODY, PAUSE_FILE, Pauses, parse_duration_ns, read_pauses, write_pauses
    from store.times import iso_time

    installation = open_installation(context)
    now_ns = installation.clock.now_ns()
    until_ns = None if duration is None else now_ns + parse_duration_ns(duration)
    _check_subject(installation, subject)
    path = installation.home / PAUSE_FILE
    held = read_pauses(path).holding(now_ns)
    write_pauses(path, Pauses({**held.until_ns, subject or EVERYBODY: until_ns}))
    end = "evenkeel resume" if until_ns is None else iso_time(until_ns)
    say(f"{subject or 'Everybody'} paused until {end}")


def resume(
    context: typer.Context,
    subject: Annotated[str | None, typer.Option(help="Who resumes; everybody, if left out.")] = None,
) -> None:
    """End a pause."""
    from ingest.pauses import EVERYBODY, NOBODY, PAUSE_FILE, Pauses, read_pauses, write_pauses
    from store.errors import RefusedError

    installation = open_installation(context)
    _check_subject(installation, subject)
    path = installation.home / PAUSE_FILE
    if subject is None:
        write_pauses(path, NOBODY)
    else:
        held = dict(read_pauses(path).holding(installation.clock.now_ns()).until_ns)
        if EVERYBODY in held:
            raise RefusedError(
                f"Everybody is paused, so {subject} alone cannot resume; resume all, then pause the others"
            )
        held.pop(subject, None)
        write_pauses(path, Pauses(held))
    say(f"{subject or 'Everybody'} no longer paused")


def _check_subject(installation: "Installation", subject: str | None) -> None:
    if subject is not None:
        with installation.registry() as registry:
            registry.people.subject(subject)
