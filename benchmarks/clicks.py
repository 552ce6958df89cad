"""Fifty clinicians who click while fifty straps stream: errors, how long a callback takes, memory.

As in a browser: each has a page open that asks again every second, and now and then somebody opens another
page, chooses a night or compares two stretches of time. Straps write what a collector writes, once a second,
from a process of their own. The dashboard runs as in production: gunicorn, two processes.
"""

import http.client
import json
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from benchmarks.clinic import PASSWORD, build
from benchmarks.endurance import resident_mb
from benchmarks.table import Row
from store.clock import SystemClock
from store.installation import Installation
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import Batch

CLINICIANS = STRAPS = 50
SECONDS, FULL_SECONDS = 60, 600
WORKERS = 2
PAUSE_S = 10.0
"""Between two clicks of one clinician, on average: faster than most people read."""
PATIENTS_OF_TEN, LISTS_OF_TEN = 5, 4
"""Of ten pages that are opened; the tenth is the live page, with everybody on it."""
REFRESH_S = 1.0
"""How often an open page asks by itself."""
SETTLE_S = 5.0
"""Sign-ins and first visits, which load what stays in memory, are not measured."""
GOAL_MS, GROWTH_PCT = 300.0, 5.0
_PATIENCE_S = 60

Callback = tuple[str, Mapping[str, Any]]
"""The output it makes, and the values it is sent."""


@dataclass
class Found:
    """What came of everybody's clicks; threads only append."""

    clicks_ms: list[float] = field(default_factory=list[float])
    timers_ms: list[float] = field(default_factory=list[float])
    pages_ms: list[float] = field(default_factory=list[float])
    errors: list[str] = field(default_factory=list[str])


def run(*, is_full: bool = False) -> list[Row]:
    """Click for a minute, or for ten."""
    seconds = FULL_SECONDS if is_full else SECONDS
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        _prepare(home)
        with _served(home) as (port, process), _streaming(home):
            found, memory_mb = _click(port, process.pid, seconds)
    for error in found.errors[:5]:
        print(error, file=sys.stderr)
    begun_mb, ended_mb = memory_mb[0], memory_mb[-1]
    callbacks = [*found.clicks_ms, *found.timers_ms]
    return [
        Row(f"{CLINICIANS} clinicians, {STRAPS} straps, {seconds} s: callbacks", len(callbacks), "callbacks"),
        Row("of them a second", len(callbacks) / seconds, "1/s"),
        Row("errors", len(found.errors), "answers", 0),
        Row("callback of a click, p95", _p95(found.clicks_ms), "ms", GOAL_MS),
        Row("callback of a page that refreshes itself, p95", _p95(found.timers_ms), "ms", GOAL_MS),
        Row("another page, p95", _p95(found.pages_ms), "ms"),
        Row("memory of the dashboard at the end", ended_mb, "MB"),
        Row("its growth", 100 * (ended_mb / begun_mb - 1), "%", GROWTH_PCT),
    ]


def _p95(times_ms: Sequence[float]) -> float:
    return float(np.percentile(times_ms, 95)) if times_ms else float("nan")


def _prepare(home: Path) -> None:
    """Make fifty people with ninety nights, each with a strap, and fifty clinicians who look after all."""
    build(home, patients=STRAPS)
    installation = Installation(home)
    with installation.registry() as registry:
        for number, subject_id in enumerate(registry.people.ids()):
            registry.people.register_sensor(_strap(number), name="strap", is_simulated=True)
            registry.people.pair(_strap(number), subject_id)
        for number in range(CLINICIANS):
            registry.accounts.add_user(_name(number), "clinician", password=PASSWORD, patients="all")


def _name(number: int) -> str:
    return f"clinician{number:02d}"


def _strap(number: int) -> str:
    return f"C0:00:00:00:00:{number:02X}"


@contextmanager
def _served(home: Path) -> Generator[tuple[int, "subprocess.Popen[bytes]"]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    command = [sys.executable, "-m", "evenkeel", "--home", str(home), "dashboard"]
    with subprocess.Popen([*command, "--port", str(port), "--workers", str(WORKERS)]) as server:
        give_up = time.monotonic() + _PATIENCE_S
        while time.monotonic() < give_up:
            try:
                http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S).request("GET", "/health")
                break
            except OSError:
                time.sleep(0.2)
        try:
            yield port, server
        finally:
            server.send_signal(signal.SIGTERM)


@contextmanager
def _streaming(home: Path) -> Generator[None]:
    command = [sys.executable, "-c", f"from benchmarks.clicks import stream; stream({str(home)!r})"]
    with subprocess.Popen(command) as straps:
        try:
            yield
        finally:
            straps.terminate()


def stream(home: str) -> None:
    """Write a heart rate and a beat of every strap, once a second, until this process is ended."""
    installation, clock = Installation(Path(home)), SystemClock()
    with installation.registry() as registry:
        subjects = registry.people.ids()
    one = np.ones(1)
    with installation.timeseries() as store:
        for second in range(24 * 3600):
            began = time.monotonic()
            t_ns = np.array([clock.now_ns()], np.int64)
            batches: list[Batch] = []
            for number, subject_id in enumerate(subjects):
                bpm = 60.0 + (number + second) % 20
                heart = {"heart_rate_bpm": bpm * one, "skin_contact": one, "energy_kj": np.nan * one}
                beat = {"rr_ms": 60_000 / bpm * one}
                batches.append(Batch(HEART_RATE, subject_id, _strap(number), t_ns, heart))
                batches.append(Batch(RR_INTERVAL, subject_id, _strap(number), t_ns, beat))
            store.write(batches)
            time.sleep(max(0.0, 1 - (time.monotonic() - began)))


def _click(port: int, process_id: int, seconds: int) -> tuple[Found, list[float]]:
    """Let everybody click for so long; return what came of it, and the server's memory through the time."""
    found, begin = Found(), threading.Event()
    end_s = [float("inf")]
    clinicians = [_Clinician(port, number, found) for number in range(CLINICIANS)]
    ready = threading.Barrier(CLINICIANS + 1)

    def work(clinician: "_Clinician") -> None:
        try:
            clinician.sign_in()
            clinician.open_page()
        finally:
            ready.wait()
        begin.wait()
        clinician.work_until(end_s)

    threads = [threading.Thread(target=work, args=(one,), daemon=True) for one in clinicians]
    for thread in threads:
        thread.start()
    ready.wait()
    for times in (found.clicks_ms, found.timers_ms, found.pages_ms):
        times.clear()
    end_s[0] = time.monotonic() + seconds
    begin.set()
    memory_mb: list[float] = []
    time.sleep(SETTLE_S)
    while time.monotonic() < end_s[0]:
        memory_mb.append(sum(map(resident_mb, [process_id, *_children(process_id)])))
        time.sleep(1)
    for thread in threads:
        thread.join(_PATIENCE_S)
    return found, memory_mb


def _children(process_id: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{process_id}/task/{process_id}/children").read_text().split()]


class _Clinician:
    """One browser: a session, a page that is open, and what it asks for."""

    def __init__(self, port: int, number: int, found: Found) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
        self._name, self._found = _name(number), found
        self._random = random.Random(number)  # noqa: S311 - the same clicks every time
        self._cookies: dict[str, str] = {}
        self._callbacks: dict[str, Mapping[str, Any]] = {}
        self._path = "/"

    def sign_in(self) -> None:
        page = self._ask("GET", "/sign-in")
        token = re.search(r'name="csrf_token" value="([^"]+)"', page)
        fields = {"username": self._name, "password": PASSWORD, "csrf_token": token[1] if token else ""}
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        self._ask("POST", "/sign-in", urlencode(fields), headers)
        self._ask("GET", "/")
        known: list[Mapping[str, Any]] = json.loads(self._ask("GET", "/_dash-dependencies"))
        self._callbacks = {str(each["output"]).split("@")[0]: each for each in known}

    def open_page(self) -> None:
        """Open the list, the live page or a patient: the document, then what Dash asks for."""
        subject_id = f"P{self._random.randint(1, STRAPS):04d}"
        pages = ["/live", *["/"] * LISTS_OF_TEN, *[f"/patient/{subject_id}"] * PATIENTS_OF_TEN]
        self._path = self._random.choice(pages)
        began = time.monotonic()
        self._ask("GET", self._path)
        self._ask("GET", "/_dash-layout", headers={"X-Evenkeel-Page": self._path})
        self._found.pages_ms.append(1000 * (time.monotonic() - began))

    def work_until(self, end_s: list[float]) -> None:
        next_click_s = time.monotonic() + self._random.expovariate(1 / PAUSE_S)
        time.sleep(self._random.random() * REFRESH_S)
        while (began := time.monotonic()) < end_s[0]:
            self._call(self._timer(), self._found.timers_ms)
            if time.monotonic() > next_click_s:
                self._click()
                next_click_s = time.monotonic() + self._random.expovariate(1 / PAUSE_S)
            time.sleep(max(0.0, REFRESH_S - (time.monotonic() - began)))

    def _click(self) -> None:
        if not self._path.startswith("/patient/") or self._random.random() < 0.4:
            self.open_page()
            return
        day = date.today() - timedelta(days=self._random.randint(1, 60))  # noqa: DTZ011
        spans = [day - timedelta(days=back) for back in (56, 29, 27, 0)]
        named = zip(("a-from", "a-to", "b-from", "b-to"), spans, strict=True)
        compare = {f"compare-{name}.value": one.isoformat() for name, one in named}
        night: Callback = ("night-body.children", {"night-date.value": day.isoformat()})
        self._call(self._random.choice((night, ("compare-body.children", compare))), self._found.clicks_ms)

    def _timer(self) -> Callback:
        """Return what the open page asks for by itself."""
        named = {"/": "triage-pulses", "/live": "live-cards"}.get(self._path, "live-number")
        output = next(name for name in self._callbacks if name.strip(".").startswith(f"{named}."))
        return output, {"live-shown.data": [f"P{number:04d}" for number in range(1, STRAPS + 1)]}

    def _call(self, callback: Callback, times_ms: list[float]) -> None:
        output, values = callback
        known = self._callbacks[output]
        values = {"address.pathname": self._path, **values}

        def filled(parts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
            return [{**part, "value": values.get(f"{part['id']}.{part['property']}")} for part in parts]

        names = output.strip(".").split("...")
        outputs = [dict(zip(("id", "property"), name.rsplit(".", 1), strict=True)) for name in names]
        body = {
            "output": known["output"],
            "outputs": outputs if output.startswith("..") else outputs[0],
            "inputs": filled(known["inputs"]),
            "state": filled(known["state"]),
            "changedPropIds": [f"{part['id']}.{part['property']}" for part in known["inputs"]][:1],
        }
        headers = {"Content-Type": "application/json", "X-CSRFToken": self._cookies.get("_csrf_token", "")}
        began = time.monotonic()
        self._ask("POST", "/_dash-update-component", json.dumps(body), {**headers, "X-Evenkeel-Active": "1"})
        times_ms.append(1000 * (time.monotonic() - began))

    def _ask(self, method: str, path: str, body: str = "", headers: Mapping[str, str] | None = None) -> str:
        """Ask as a browser does, keep what it sets, and note any answer that is no success."""
        cookie = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        told = {"Cookie": cookie, **(headers or {})}
        try:
            answer, text = self._sent(method, path, body, told)
        except (BrokenPipeError, ConnectionResetError, http.client.RemoteDisconnected):
            self._connection.close()  # it was idle and the server closed it: browsers open another one, too
            answer, text = self._sent(method, path, body, told)
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            self._found.errors.append(f"{method} {path}: {type(error).__name__}: {error}")
            return "{}"
        for line in answer.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self._cookies[name] = value
        if answer.status not in (200, 204, 303):
            self._found.errors.append(f"{method} {path}: {answer.status} {text[:80]}")
        return text

    def _sent(
        self, method: str, path: str, body: str, headers: Mapping[str, str]
    ) -> tuple[http.client.HTTPResponse, str]:
        self._connection.request(method, path, body or None, headers)
        answer = self._connection.getresponse()
        return answer, answer.read().decode("utf-8", "replace")
