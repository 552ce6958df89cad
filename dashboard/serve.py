"""Serve the dashboard until it is told to stop."""

import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Protocol, cast

import waitress.server

from dashboard.app import create_app
from store.errors import ConfigError
from store.installation import Installation

THREADS = 8
"""Callbacks take milliseconds and wait for SQLite; eight serve a ward and leave two cores to the jobs."""


class _WsgiServer(Protocol):
    def run(self) -> None: ...
    def close(self) -> None: ...


def serve(
    installation: Installation, host: str, port: int, ready: Callable[[str], None] = lambda _address: None
) -> None:
    """Serve the dashboard; return after SIGINT or SIGTERM.

    Parameters
    ----------
    ready : callable
        Called with the address once connections are accepted.

    Raises
    ------
    ConfigError
        If the address cannot be listened on.
    """
    app = create_app(installation)
    try:
        server = _listen(app.server, host, port)
        try:
            with _stop_on_sigterm():
                ready(f"http://{f'[{host}]' if ':' in host else host}:{port}/")
                server.run()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()
    finally:
        app.sources.close()


def _listen(application: object, host: str, port: int) -> _WsgiServer:
    # A socket of ours: waitress would leave a half-made server behind where it cannot bind.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        bound = socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        state = "is in use" if getattr(error, "errno", 0) == errno.EADDRINUSE else "cannot be listened on"
        raise ConfigError(f"Port {port} on {host} {state} ({said}); choose another with --port") from None
    create = cast("Callable[..., _WsgiServer]", vars(waitress.server)["create_server"])
    # Proxy headers are passed on: the gate decides which of them count.
    return create(
        application, sockets=[bound], threads=THREADS, ident=None, clear_untrusted_proxy_headers=False
    )


@contextmanager
def _stop_on_sigterm() -> Generator[None]:
    """Let SIGTERM end `run` as Ctrl-C does; signals belong to the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
