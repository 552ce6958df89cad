"""Starting the dashboard: the first administrator, and serving with several processes."""

import http.client
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenkeel import app as command
from store.clock import SystemClock
from store.installation import Installation

REPOSITORY = Path(__file__).resolve().parents[2]
READY = re.compile(r"Dashboard: http://127\.0\.0\.1:(\d+)/")


@pytest.fixture
def served(monkeypatch):
    """Record instead of serving."""
    monkeypatch.setattr("dashboard.serve.serve", lambda *_args, **_named: None)


def start(home: Path) -> str:
    return CliRunner().invoke(command, ["--home", str(home), "dashboard"]).output


def test_the_first_start_makes_an_administrator_whose_password_nobody_else_reads(served, tmp_path):
    said = start(tmp_path)
    path = tmp_path / "secrets" / "first-password"
    assert str(path) in said.replace("\n", "")
    password = path.read_text().strip()
    assert path.stat().st_mode & 0o777 == 0o600
    assert password not in said
    assert len(password) >= 20
    with Installation(tmp_path, SystemClock()).registry() as registry:
        user = registry.accounts.check_password("admin", password, "")
        assert (user.role, user.sees_all, user.must_change_password) == ("admin", False, True)
        assert registry.accounts.change_password(user, password, "a phrase of their own", "")
    assert "Nobody could sign in yet" not in start(tmp_path)


def test_a_first_password_that_was_never_used_is_replaced_at_the_next_start(served, tmp_path):
    path = tmp_path / "secrets" / "first-password"
    start(tmp_path)
    first = path.read_text()
    start(tmp_path)
    assert path.read_text() != first


def test_no_two_installations_share_a_password_or_a_key(served, tmp_path):
    for name in ("a", "b"):
        start(tmp_path / name)
    held = [(tmp_path / name / "secrets" / "first-password").read_text() for name in ("a", "b")]
    keys = [Installation(tmp_path / name, SystemClock()).secret("dashboard") for name in ("a", "b")]
    assert len({*held}) == len({*keys}) == 2


def said_of_keeping(connection: http.client.HTTPConnection) -> str:
    """Ask once more on a connection that is kept; return what the answer says of keeping it."""
    connection.request("GET", "/health")
    with connection.getresponse() as answer:
        answer.read()
        return answer.headers["Connection"].lower()


@contextmanager
def served_by(home: Path, *, workers: int) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """Serve an installation in a process of its own; return it and its port once it is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    arguments = ["--home", str(home), "dashboard", "--port", str(port), "--workers", str(workers)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        [sys.executable, "-m", "evenkeel", *arguments],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    ) as server:
        assert next(line for line in iter(server.stderr.readline, "") if READY.search(line))
        try:
            yield server, port
        finally:
            server.kill()  # does nothing to one that has ended


def ended(server: subprocess.Popen[str]) -> str:
    """End the server as a service manager does; return what else it said."""
    server.send_signal(signal.SIGTERM)
    said = server.stderr.read()
    assert server.wait(60) == 0, said
    return said


def test_gunicorn_serves_in_several_processes_and_ends_on_a_signal(tmp_path):
    with served_by(tmp_path, workers=2) as (server, port):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("GET", "/health")
        assert connection.getresponse().read() == b"ok\n"
        assert "close" in (said_of_keeping(connection) for _ in range(500)), "it would stay with one process"
        connection.close()
        assert "Traceback" not in ended(server)


def test_questions_that_wait_for_a_thread_are_no_news(tmp_path):
    with served_by(tmp_path, workers=0) as (server, port):
        asking = [http.client.HTTPConnection("127.0.0.1", port, timeout=60) for _ in range(40)]
        for connection in asking:
            connection.request("GET", "/sign-in")
        assert {connection.getresponse().status for connection in asking} == {200}
        for connection in asking:
            connection.close()
        assert ended(server) == ""


def test_a_port_in_use_is_said_alike_with_gunicorn(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = str(held.getsockname()[1])
        arguments = ["--home", str(tmp_path), "dashboard", "--port", port, "--workers", "2"]
        answer = CliRunner().invoke(command, arguments)
    assert "is in use" in str(answer.exception or answer.output) or "is in use" in answer.output
