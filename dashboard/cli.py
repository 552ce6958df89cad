"""The command that serves the dashboard."""

from typing import Annotated

import typer

from store.command import note, open_installation


def dashboard(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.", min=1, max=65535)] = None,
) -> None:
    """Serve the dashboard until Ctrl-C; nobody gets in without signing in."""
    from dashboard.serve import serve

    installation = open_installation(context)
    chosen = installation.settings.dashboard
    with installation.registry() as registry:
        if not registry.accounts.users():
            note("Nobody can sign in yet; add a user: evenkeel user add NAME --role clinician --patients all")
    if (host or chosen.host) not in ("127.0.0.1", "::1", "localhost") and not chosen.is_behind_tls:
        note(
            "Passwords and patients' data travel unencrypted to other computers; put a TLS proxy in front "
            "and set dashboard.is_behind_tls"
        )
    serve(installation, host or chosen.host, port or chosen.port, ready=lambda url: note(f"Dashboard: {url}"))
