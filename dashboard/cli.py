"""The command that serves the dashboard."""

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from store.command import note, open_installation

if TYPE_CHECKING:
    from store.installation import Installation
    from store.registry.accounts import User

FIRST = "admin"
"""Name of the first administrator."""


def dashboard(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", min=1, max=65535)] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes of gunicorn; 0 serves in this one.", min=0, max=64)
    ] = None,
) -> None:
    """Serve the dashboard until Ctrl-C; nobody gets in without signing in."""
    from dashboard.serve import serve

    installation = open_installation(context)
    chosen = installation.settings.dashboard
    _make_first_administrator(installation)
    if (host or chosen.host) not in ("127.0.0.1", "::1", "localhost") and not chosen.is_behind_tls:
        note(
            "Passwords and patients' data travel unencrypted to other computers; put a TLS proxy in front "
            "and set dashboard.is_behind_tls"
        )
    serve(
        installation,
        host or chosen.host,
        port or chosen.port,
        ready=lambda url: note(f"Dashboard: {url}"),
        workers=chosen.workers if workers is None else workers,
    )


def _make_first_administrator(installation: "Installation") -> None:
    """Where nobody can sign in yet, make an administrator with a password for one sign-in.

    It is shown on a terminal; elsewhere what is said is kept in a log, so the password goes to a file.
    """
    from store.registry.passwords import new_password

    with installation.registry() as registry:
        waiting = [user for user in registry.accounts.users() if not _waits_for_its_first_sign_in(user)]
        if waiting:
            return
        password = new_password()
        registry.accounts.add_user(FIRST, "admin", password=password, patients=[], is_temporary=True)
        registry.audit.append("operator", "user-add", detail=f"{FIRST} as admin: the first user")
    said = f"Nobody could sign in yet. Sign in as {FIRST} within a day and choose a password of your own: "
    if sys.stderr.isatty():
        note(f"{said}{password}")
        return
    path = installation.keep_secret("first-password", password)
    note(f"{said}the one for that is in {path}")


def _waits_for_its_first_sign_in(user: "User") -> bool:
    return user.name == FIRST and user.role == "admin" and user.must_change_password
