"""Serve the dashboard until it is told to stop."""

import errno
import logging
import os
import random
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType
from typing import Any, Protocol, cast

import waitress.server

from dashboard.app import create_app
from dashboard.warming import warmed
from store.errors import ConfigError
from store.installation import Installation

THREADS = 4
"""In a process. More fight for the interpreter: eight answered a tenth fewer questions a second than four."""


TIMEOUT_S = 60
"""A worker that answers nothing for so long is replaced; the slowest page takes a second or two."""


KEEP_ALIVE_S = 30
"""Open pages ask every second: a connection a question would cost more than the answers."""


QUESTIONS_A_CONNECTION = 20
"""On average, then it is closed: a kept one stays with its process, be that busy and the others idle."""


SWITCH_S = 0.001
"""A thread that reads rows lets the others go on at each, and waits this long to be back if they compute."""


class _WsgiServer(Protocol):
    def run(self) -> None: ...
    def close(self) -> None: ...


def serve(
    installation: Installation,
    host: str,
    port: int,
    ready: Callable[[str], None] = lambda _address: None,
    *,
    workers: int = 0,
) -> None:
    """Serve the dashboard; return after SIGINT or SIGTERM.

    Parameters
    ----------
    ready : callable
        Called with the address once connections are accepted.
    workers : int
        Processes of gunicorn; 0 serves in this process, with waitress.

    Raises
    ------
    ConfigError
        If the address cannot be listened on, or gunicorn is asked for and missing.
    """
    sys.setswitchinterval(SWITCH_S)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    if workers:
        _serve_with_gunicorn(installation, _bound(host, port), workers, lambda: ready(address))
        return
    app = create_app(installation)
    try:
        server = _listen(app.server, _bound(host, port))
        try:
            with _stop_on_sigterm(), warmed(app.sources):
                ready(address)
                server.run()
        except KeyboardInterrupt:
            pass
        finally:
            server.close()
    finally:
        app.sources.close()


def _bound(host: str, port: int) -> socket.socket:
    """Return a listening socket: of ours, so that both servers fail alike where it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        said = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        state = "is in use" if getattr(error, "errno", 0) == errno.EADDRINUSE else "cannot be listened on"
        raise ConfigError(f"Port {port} on {host} {state} ({said}); choose another with --port") from None


def _listen(application: object, bound: socket.socket) -> _WsgiServer:
    # Each question that waits a moment for a thread would be a warning on the terminal.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    create = cast("Callable[..., _WsgiServer]", vars(waitress.server)["create_server"])
    # Proxy headers are passed on: the gate decides which of them count.
    return create(
        application, sockets=[bound], threads=THREADS, ident=None, clear_untrusted_proxy_headers=False
    )


def _serve_with_gunicorn(
    installation: Installation, bound: socket.socket, workers: int, ready: Callable[[], None]
) -> None:
    """Serve in several processes, each with an application of its own, until a signal ends them all."""
    try:
        from gunicorn.app.base import BaseApplication  # noqa: PLC0415 - an extra, and not for Windows
    except ImportError:
        raise ConfigError(
            f"{workers} workers are asked for, and gunicorn is missing: pip install 'evenkeel[production]', "
            "or serve with --workers 0"
        ) from None

    descriptor = bound.detach()  # gunicorn closes it

    def tell(_arbiter: object) -> None:
        ready()

    def part(_worker: object, question: Any) -> None:  # noqa: ANN401 - gunicorn's type of a request
        if random.random() * QUESTIONS_A_CONNECTION < 1:  # noqa: S311 - it hides nothing
            question.force_close()

    class Application(BaseApplication):
        def load_config(self) -> None:
            settings: dict[str, object] = {
                "bind": f"fd://{descriptor}",
                "workers": workers,
                "worker_class": "gthread",
                "threads": THREADS,
                "timeout": TIMEOUT_S,
                "keepalive": KEEP_ALIVE_S,
                "control_socket_disable": True,
                "when_ready": tell,
                "pre_request": part,
                "loglevel": "warning",
            }
            for name, value in settings.items():
                self.cfg.set(name, value)

        def load(self) -> Any:  # noqa: ANN401 - gunicorn's type of an application
            app = create_app(installation)
            warmth.enter_context(warmed(app.sources))
            return app.server

    with ExitStack() as warmth, suppress(SystemExit):  # gunicorn's way to return
        Application().run()


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
