"""A real InfluxDB 2 for tests: found, started on a free port with a directory of its own, and stopped."""

import functools
import json
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from store.influx import InfluxTimeSeries

VERSION = "2.7.12"
ORG = "tests"
ADMIN_TOKEN = secrets.token_urlsafe(24)
START_TIMEOUT_S = 30
"""It takes half a second; a machine that builds something beside it is slower."""

CENTURY_S = 3_153_600_000
"""Length of a shard: tests write times of any century, and each shard is a directory of its own."""

ABSENT = (
    "no InfluxDB: run tools/influxd.sh once, put an influxd 2 on the PATH, or name a server with "
    "EVENKEEL_TEST_INFLUX_URL and EVENKEEL_TEST_INFLUX_TOKEN"
)


class InfluxServer:
    """A server that tests may fill."""

    def __init__(self, url: str, org: str, token: str) -> None:
        self.url, self.org, self.token = url, org, token
        self._tls: ssl.SSLContext | None = None

    def open(self, bucket: str, *, token: str = "", answer_timeout_s: float = 30) -> InfluxTimeSeries:
        """Open a store in the buckets that `new_buckets` made."""
        return InfluxTimeSeries(
            self.url,
            org=self.org,
            token=token or self.token,
            bucket=bucket,
            answer_timeout_s=answer_timeout_s,
        )

    def new_buckets(self) -> str:
        """Make the three empty buckets of a store; return what their names begin with."""
        prefix = f"t{secrets.token_hex(4)}"
        for family in ("raw", "features", "flags"):
            rule = {"type": "expire", "everySeconds": 0, "shardGroupDurationSeconds": CENTURY_S}
            self.api(
                "POST",
                "/api/v2/buckets",
                {"orgID": self.org_id, "name": f"{prefix}-{family}", "retentionRules": [rule]},
            )
        return prefix

    def new_token(self, action: str, bucket: str) -> str:
        """Make a token that may only do one thing with one bucket."""
        resource = {"type": "buckets", "id": self.bucket_id(bucket), "orgID": self.org_id}
        asked = {"orgID": self.org_id, "permissions": [{"action": action, "resource": resource}]}
        return self.api("POST", "/api/v2/authorizations", asked)["token"]

    def bucket_id(self, name: str) -> str:
        return self.api("GET", f"/api/v2/buckets?name={name}")["buckets"][0]["id"]

    @functools.cached_property
    def org_id(self) -> str:
        return self.api("GET", f"/api/v2/orgs?org={self.org}")["orgs"][0]["id"]

    def write_lines(self, bucket: str, text: str) -> None:
        """Write line protocol as another program would."""
        path = f"/api/v2/write?org={self.org}&bucket={bucket}&precision=ns"
        self._request("POST", path, text.encode())

    def api(self, method: str, path: str, body: Any = None) -> Any:
        return json.loads(self._request(method, path, None if body is None else json.dumps(body).encode()))

    def _request(self, method: str, path: str, body: bytes | None) -> bytes:
        headers = {"Authorization": f"Token {self.token}"}
        asked = urllib.request.Request(self.url + path, body, headers, method=method)  # noqa: S310
        with urllib.request.urlopen(asked, timeout=30, context=self._tls) as answer:  # noqa: S310
            return answer.read()


class OwnInfluxServer(InfluxServer):
    """A server of our own, which may be killed, paused and started again. It dies with us.

    `certificate` is a PEM file of certificate and key, for a server that speaks TLS only.
    """

    def __init__(self, binary: str, folder: Path, *, certificate: Path | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        super().__init__(f"http{'s' if certificate else ''}://{self._address}", ORG, ADMIN_TOKEN)
        self._command = [binary, *_options(folder), "--http-bind-address", self._address]
        if certificate:
            self._command += ["--tls-cert", str(certificate), "--tls-key", str(certificate)]
            self._tls = ssl.create_default_context(cafile=certificate)
        self._log = folder / "log"
        self.start()
        setup = {"username": "tests", "org": ORG, "bucket": "unused", "token": ADMIN_TOKEN}
        self.api("POST", "/api/v2/setup", setup)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log)
        leash = f"cat >/dev/null; kill -9 {self._process.pid}"
        self._leash = subprocess.Popen(
            ["/bin/sh", "-c", leash], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        give_up_s = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self.api("GET", "/health")
            except (urllib.error.URLError, OSError):
                if self._process.poll() is not None or time.monotonic() > give_up_s:
                    raise RuntimeError(f"influxd did not start: {self._log.read_text()[-2000:]}") from None
                time.sleep(0.05)
            else:
                return

    def kill(self) -> None:
        """End it as a power cut would."""
        self._process.kill()
        self._process.wait()
        assert self._leash.stdin is not None
        self._leash.stdin.close()
        self._leash.wait()

    def pause(self) -> None:
        """Let it hang: connections are taken, nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._process.send_signal(signal.SIGCONT)


def _options(folder: Path) -> list[str]:
    return [
        *("--bolt-path", str(folder / "bolt"), "--sqlite-path", str(folder / "sqlite")),
        *("--engine-path", str(folder / "engine"), "--log-level", "error", "--reporting-disabled"),
    ]


def influxd_binary() -> str | None:
    """Return the InfluxDB 2 of this machine: the one tools/influxd.sh built, or one on the PATH."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    built = cache / "evenkeel" / f"influxd-{VERSION}" / "influxd"
    if os.access(built, os.X_OK):
        return str(built)
    found = shutil.which("influxd")
    if found is None:
        return None
    said = subprocess.run([found, "version"], capture_output=True, text=True, check=False, timeout=30)
    return found if "InfluxDB 2." in said.stdout or "InfluxDB v2." in said.stdout else None


def needed_binary() -> str:
    """As `influxd_binary`; without one a test is left out, or fails if EVENKEEL_REQUIRE_INFLUX is set."""
    binary = influxd_binary()
    if binary is None:
        (pytest.fail if os.environ.get("EVENKEEL_REQUIRE_INFLUX") else pytest.skip)(ABSENT)
    return binary


@pytest.fixture(scope="session")
def influx(tmp_path_factory: pytest.TempPathFactory):
    """A server for all tests of a session."""
    if url := os.environ.get("EVENKEEL_TEST_INFLUX_URL"):
        token = os.environ.get("EVENKEEL_TEST_INFLUX_TOKEN", "")
        yield InfluxServer(url, os.environ.get("EVENKEEL_TEST_INFLUX_ORG", ORG), token)
        return
    server = OwnInfluxServer(needed_binary(), tmp_path_factory.mktemp("influxd"))
    yield server
    server.kill()


@pytest.fixture
def fragile_influx(tmp_path: Path):
    """A server of one test, to be killed, paused and starved."""
    folder = tmp_path / "influxd"
    folder.mkdir()
    server = OwnInfluxServer(needed_binary(), folder)
    yield server
    server.kill()
