"""The command that erases a person."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from store.command import cannot_write, note, open_installation, say
from store.registry_cli import OPERATOR

if TYPE_CHECKING:
    from ingest.erasure import Certificate


def subject_erase(
    context: typer.Context,
    subject_id: Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose: a subject's id.")],
    *,
    confirm: Annotated[
        str | None, typer.Option(help="The id once more; asked for if left out. There is no way back.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option(help="File for the certificate, JSON; it must not exist.")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Erase a person: samples, markers, flags, what waits in spools, scales, notes, who they are.

    End the collector of this machine first; those elsewhere drop what they hold of the person by themselves.
    Exports and backups that were made before cannot be called back. The id is not given again. Where it is
    interrupted or the store is away, run it again.
    """
    from ingest.erasure import erase
    from store.errors import ConfigError

    installation = open_installation(context)
    with installation.registry() as registry:
        registry.people.subject(subject_id)
        given = confirm if confirm is not None else _asked(subject_id)
        if given != subject_id:
            raise ConfigError(
                f"The id given once more is {given!r}; needed is {subject_id!r}: nothing was erased"
            )
        if certificate is not None and certificate.exists():
            raise ConfigError(f"{certificate} exists; name another file: nothing was erased")
        with installation.timeseries() as store:
            made = erase(installation, registry, store, subject_id, by=OPERATOR)
    if output == "json":
        say(made.to_json())
    else:
        _show(made)
    if certificate is not None:
        try:
            certificate.write_text(made.to_json())
        except OSError as error:
            note(made.to_json())
            cannot_write(certificate, error)
        note(f"Certificate in {certificate}, SHA-256 {made.digest}")


def _asked(subject_id: str) -> str:
    from store.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"No terminal to confirm at; say it with --confirm {subject_id}")
    note(f"Everything about {subject_id} will be gone for good: samples, markers, flags, scales, name.")
    return str(typer.prompt("Type the id once more to erase it", default="", show_default=False))


def _show(made: "Certificate") -> None:
    say(f"{made.subject_id} was erased at {made.erased}")
    samples = ", ".join(f"{stream} {count:,}" for stream, count in sorted(made.samples.items()))
    say(f"  samples removed, none found afterwards: {samples or 'there were none'}")
    say(f"  records removed from spools: {made.spool_records:,}")
    rows = ", ".join(f"{table} {count:,}" for table, count in sorted(made.registry_rows.items()))
    say(f"  rows removed from the registry: {rows}")
    say("  not reached:")
    for what in made.not_reached:
        say(f"    {what}")
