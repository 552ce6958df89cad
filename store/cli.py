"""Commands for people, sensors, users and stored samples."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from store.command import cannot_write, note, open_installation, say
from store.units import NS_PER_S

if TYPE_CHECKING:
    from store.installation import Installation

HANDOVER_S = 5
"""A sensor changes hands so much later: by then a collector that runs has read of it, and no sample is kept
under the wrong name."""

subject_app = typer.Typer(help="People under pseudonyms, and their time zones.", no_args_is_help=True)
sensor_app = typer.Typer(help="Wearables, and who wears which.", no_args_is_help=True)
user_app = typer.Typer(help="Who may sign in to the dashboard.", no_args_is_help=True)

_Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")]


@subject_app.command("add")
def subject_add(
    context: typer.Context,
    subject_id: Annotated[
        str, typer.Argument(help="A pseudonym: letters, digits, '.', '_', '-'; never a name.")
    ],
    zone: Annotated[str, typer.Option(help="IANA time zone the person lives in, such as Europe/Berlin.")],
    name: Annotated[str, typer.Option(help="Name shown to clinicians; kept in the registry only.")] = "",
    consent: Annotated[
        str, typer.Option(help="What a new person agrees to: all, none, or streams with commas.")
    ] = "all",
) -> None:
    """Register a person, or move one to another time zone from now on."""
    agrees_to = _streams_agreed_to(consent)
    with open_installation(context).registry() as registry:
        is_new = not registry.people.subjects([subject_id])
        subject = registry.people.add_subject(subject_id, zone, display_name=name, agrees_to=agrees_to)
    say(f"Subject {subject.subject_id}, zone {subject.zone}")
    if is_new and consent != "all":
        say(f"{subject_id} agrees to {', '.join(agrees_to) or 'nothing yet: nothing is kept of them'}")
    elif consent != "all":
        note(
            f"{subject_id} was registered before; their consent is as it was: evenkeel subject consent --help"
        )


def _streams_agreed_to(consent: str) -> tuple[str, ...]:
    from store.streams import stream_named

    if consent == "none":
        return ()
    if consent == "all":
        return ("all",)
    return tuple(stream_named(part.strip()).name for part in consent.split(","))


@subject_app.command("list")
def subject_list(context: typer.Context, output: _Format = "text") -> None:
    """List everybody."""
    with open_installation(context).registry() as registry:
        subjects = registry.people.subjects()
    rows = [{"subject_id": s.subject_id, "zone": s.zone, "is_simulated": s.is_simulated} for s in subjects]
    lines = [f"{s.subject_id}  {s.zone}{'  simulated' if s.is_simulated else ''}" for s in subjects]
    _show(
        rows,
        lines or ["Nobody yet; add somebody with: evenkeel subject add S001 --zone Europe/Berlin"],
        output,
    )


@sensor_app.command("pair")
def sensor_pair(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Bluetooth address, as `evenkeel scan` shows it.")],
    subject: Annotated[str, typer.Option(help="Who wears it from now on.")],
    since: Annotated[
        str | None,
        typer.Option(
            help="Since when they wear it already, ISO 8601: what a ring stored since then is theirs."
        ),
    ] = None,
) -> None:
    """Say who wears a sensor from now on; whoever wore it until now no longer does.

    With --since, a ring that was worn before it was paired hands over what it still has of that time. Refused
    where somebody wore the sensor meanwhile.
    """
    sensor_id = _checked_address(address)
    installation = open_installation(context)
    if since is not None:
        _pair_since(installation, sensor_id, subject, since)
        return
    with installation.registry() as registry:
        before = registry.people.worn_now().get(sensor_id)
        is_passed_on = before not in (None, subject)
        from_ns = installation.clock.now_ns() + HANDOVER_S * NS_PER_S if is_passed_on else None
        registry.people.pair(sensor_id, subject, from_ns=from_ns)
    when = f"in {HANDOVER_S} s, {before} no longer" if is_passed_on else "from now on"
    say(f"{subject} wears {sensor_id} {when}")


def _pair_since(installation: "Installation", sensor_id: str, subject: str, since: str) -> None:
    from store.errors import ConfigError
    from store.times import iso_time, parse_time_ns

    since_ns = parse_time_ns(since, "--since")
    if not 0 <= since_ns < installation.clock.now_ns():
        raise ConfigError(f"--since is {since!r}; needed is a time from 1970 on that is past")
    with installation.registry() as registry:
        registry.people.pair(sensor_id, subject, from_ns=since_ns)
        worn = registry.people.wearings()
    # None where they agree to nothing at present: then nothing is collected, whoever wears it.
    known = (each.from_ns for each in worn if (each.sensor_id, each.subject_id) == (sensor_id, subject))
    from_ns = next(known, since_ns)
    say(f"{subject} wears {sensor_id} since {iso_time(from_ns)}")


@sensor_app.command("unpair")
def sensor_unpair(
    context: typer.Context,
    address: Annotated[str, typer.Argument(help="Bluetooth address, as `evenkeel sensor list` shows it.")],
) -> None:
    """Say that nobody wears a sensor any more; what was collected stays."""
    sensor_id = _checked_address(address)
    installation = open_installation(context)
    with installation.registry() as registry:
        at_ns = installation.clock.now_ns() + HANDOVER_S * NS_PER_S
        subject = registry.people.unpair(sensor_id, at_ns=at_ns)
    say(f"{subject} no longer wears {sensor_id} in {HANDOVER_S} s")


@sensor_app.command("list")
def sensor_list(context: typer.Context, output: _Format = "text") -> None:
    """List sensors and who wears them."""
    with open_installation(context).registry() as registry:
        sensors = registry.people.sensors()
    rows = [
        {"sensor_id": s.sensor_id, "name": s.name, "model": s.model, "subject_id": s.subject_id}
        for s in sensors
    ]
    lines = [f"{s.sensor_id}  {s.subject_id or '(nobody)'}  {s.name} {s.model}".rstrip() for s in sensors]
    _show(rows, lines or ["None yet; find some with: evenkeel scan"], output)


@user_app.command("add")
def user_add(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Name to sign in with.")],
    role: Annotated[str, typer.Option(help="clinician, lead, researcher, admin or patient.")],
    patients: Annotated[str, typer.Option(help="Whose data: subject ids with commas, or all.")] = "",
    password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the password; asked for if left out.")
    ] = None,
) -> None:
    """Add a user, or give one a new role, password and case-load."""
    from typing import cast

    from store.registry.accounts import Role

    password = _first_line(password_file) if password_file else _asked_password(name)
    chosen = "all" if patients == "all" else [part.strip() for part in patients.split(",") if part.strip()]
    with open_installation(context).registry() as registry:
        user = registry.accounts.add_user(name, cast("Role", role), password=password, patients=chosen)
        registry.audit.append(
            "operator", "user-add", detail=f"{user.name} as {user.role}, patients {patients}"
        )
    seen = "all patients" if user.sees_all else ", ".join(sorted(chosen)) or "no patient yet (--patients)"
    say(f"User {user.name}, role {user.role}, sees {seen}")


@user_app.command("list")
def user_list(context: typer.Context, output: _Format = "text") -> None:
    """List users."""
    with open_installation(context).registry() as registry:
        users = registry.accounts.users()
    rows = [{"name": u.name, "role": u.role, "sees_all": u.sees_all} for u in users]
    lines = [f"{u.name}  {u.role}  {'all patients' if u.sees_all else 'own case-load'}" for u in users]
    _show(
        rows,
        lines or ["None yet; add one with: evenkeel user add NAME --role clinician --patients all"],
        output,
    )


def samples(
    context: typer.Context,
    subject: Annotated[str, typer.Option(help="Whose samples.")],
    stream: Annotated[str, typer.Option(help="heart_rate, rr_interval, battery or link_state.")],
    out: Annotated[Path, typer.Option(help="File to write: .csv or .parquet.")],
    start: Annotated[str | None, typer.Option("--from", help="First time, ISO 8601.")] = None,
    end: Annotated[str | None, typer.Option("--to", help="Time before which to stop, ISO 8601.")] = None,
) -> None:
    """Write what the store holds, as it holds it: t_ns (UTC), sensor, and the values of the stream."""
    from store.output import write_samples
    from store.streams import stream_named
    from store.times import parse_time_ns

    chosen = stream_named(stream)
    bounds = [
        None if text is None else parse_time_ns(text, option)
        for option, text in (("--from", start), ("--to", end))
    ]
    installation = open_installation(context)
    with installation.registry() as registry:
        registry.people.subject(subject)
    with installation.timeseries() as store:
        found = store.read(chosen, subject, bounds[0], bounds[1])
    try:
        write_samples(found, out)
    except OSError as error:
        cannot_write(out, error)
    say(f"{len(found):,} samples of {stream} for {subject} in {out}")


def _checked_address(address: str) -> str:
    import re

    from store.errors import ConfigError

    mac, uuid = r"([0-9A-F]{2}:){5}[0-9A-F]{2}", r"[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12}"
    if not re.fullmatch(f"{mac}|{uuid}", address.upper()):
        raise ConfigError(
            f"{address!r} is no Bluetooth address; needed is one such as C0:11:22:33:44:55 (on macOS an "
            "identifier with dashes), as `evenkeel scan` shows it"
        )
    return address.upper()


def _show(rows: Sequence[Mapping[str, object]], lines: Sequence[str], output: str) -> None:
    say(json.dumps(rows, indent=1) if output == "json" else "\n".join(lines))


def _first_line(path: Path) -> str:
    from store.errors import ConfigError

    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The password file {path} cannot be read: {error}") from None
    if not lines:
        raise ConfigError(f"The password file {path} is empty; needed is the password in its first line")
    return lines[0]


def _asked_password(name: str) -> str:
    import getpass
    import sys

    from store.errors import ConfigError

    if not sys.stdin.isatty():
        raise ConfigError(f"No terminal to ask for the password of {name}; name a file with --password-file")
    try:
        first = getpass.getpass(f"Password for {name} (12 characters or more): ")
        second = getpass.getpass("Once more: ")
    except EOFError:
        raise typer.Abort from None
    if first != second:
        raise ConfigError("The two passwords differ; nothing was changed")
    return first
