"""The dashboard as a clinician waits for it, beside the same pages made with Streamlit, Bokeh and Panel.

Visits are interleaved: each round opens every page once with an empty browser (cold) and once again (warm),
so that whatever else the machine does meets all alike. A page is there when everything on it is painted and
the browser's main thread has been free for a while.
"""

import gc
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.clinic import PASSWORD, PATIENT, build, figures_of, peer_data
from benchmarks.environments import peer_python
from benchmarks.table import Row

ROUNDS, FULL_ROUNDS = 6, 20
CHROMIUM = "/usr/bin/chromium"
QUIET_BROWSER = ("--no-sandbox", "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup")
"""Each new window of Chromium would load the pages of its own address bar, 400 scripts, while ours is timed:
as much work again as a page, and nothing that a clinician's open browser does."""
CLIENTS, CALLS = 8, 40
ZOOMS = 12
_HERE = Path(__file__).parent
PATIENCE_S = 60
_QUIET_MS = 600
_WATCH = (_HERE / "visit.js").read_text()
_CHARTS = (
    "[...document.querySelectorAll('.js-plotly-plot')]"
    ".filter(function (plot) { return plot.querySelector('.main-svg'); }).length >= 7"
)
_BOKEH = "window.Bokeh && Bokeh.documents.length && Bokeh.documents.every(function (d) { return d.is_idle; })"


@dataclass(frozen=True, slots=True)
class Case:
    """A page to visit: its name, address, and how to see in the browser that it is painted."""

    name: str
    url: str
    painted: str
    signs_in: bool = False


@dataclass(frozen=True, slots=True)
class Visit:
    """How long a page took, ms, and what came over the wire, kB."""

    tti_ms: float
    kb: float


def run(*, is_full: bool = False) -> list[Row]:
    """Measure pages, zoom, figures and callbacks."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        home = folder / "home"
        build(home, patients=1000)
        figures_ms = figures_of(home)
        port = stack.enter_context(served(dashboard_of(home)))
        own = f"http://127.0.0.1:{port}"
        cases = [
            Case(
                "triage, 1,000 patients",
                f"{own}/",
                "document.querySelectorAll('.ag-row').length > 15",
                signs_in=True,
            ),
            Case("patient, 90 days", f"{own}/patient/{PATIENT}", _CHARTS, signs_in=True),
        ]
        cases += _peer_cases(stack, folder, home)
        engine = stack.enter_context(sync_playwright())
        browser = engine.chromium.launch(executable_path=CHROMIUM, args=[*QUIET_BROWSER])
        stack.callback(browser.close)
        cookies = signed_in(browser, own)
        found = _visits(browser, cases, cookies, FULL_ROUNDS if is_full else ROUNDS)
        zoomed_ms = _zooms(browser, f"{own}/patient/{PATIENT}", cookies)
        per_s = _callbacks(own, cookies)
    return [*_rows(found), *_own_rows(zoomed_ms, figures_ms, per_s)]


def _rows(found: dict[str, tuple[list[Visit], list[Visit]]]) -> list[Row]:
    rows: list[Row] = []
    p95: dict[tuple[str, str], float] = {}
    for name, parts in found.items():
        for kind, visits in zip(("cold", "warm"), parts, strict=True):
            times = [visit.tti_ms for visit in visits]
            p95[name, kind] = float(np.percentile(times, 95))
            goal = _GOALS_MS.get((name, kind))
            rows += [
                Row(f"{name}: {kind}, median", median(times), "ms"),
                Row(f"{name}: {kind}, p95", p95[name, kind], "ms", goal),
                Row(f"{name}: {kind}", median(v.kb for v in visits), "kB", _GOALS_KB.get((name, kind))),
            ]
    for name, others, share in _RATIOS:
        known = [p95[other, "cold"] for other in others if (other, "cold") in p95]
        if known and (name, "cold") in p95:
            beside = " or ".join(other.split(", ")[-1] for other in others)
            rows.append(Row(f"{name}: cold p95 beside {beside}", p95[name, "cold"] / min(known), "x", share))
    return rows


_TRIAGE, _PATIENT = "triage, 1,000 patients", "patient, 90 days"
_GOALS_MS = {
    (_TRIAGE, "cold"): 1600,
    (_TRIAGE, "warm"): 800,
    (_PATIENT, "cold"): 2000,
    (_PATIENT, "warm"): 1000,
}
_GOALS_KB = {
    (name, kind): goal for name in (_TRIAGE, _PATIENT) for kind, goal in (("cold", 1000), ("warm", 150))
}
_RATIOS = (
    (_TRIAGE, ("triage, Streamlit",), 0.7),
    (_PATIENT, ("patient, Streamlit",), 0.5),
    (_PATIENT, ("patient, Bokeh", "patient, Panel"), 1.0),
)


def _own_rows(zoomed_ms: list[float], figures_ms: float, per_s: float) -> list[Row]:
    return [
        Row("zoom to true samples, p95", float(np.percentile(zoomed_ms, 95)), "ms", 250),
        Row("patient: figures, server time, p95", figures_ms, "ms", 40),
        Row(f"{CLIENTS} clients: callbacks", per_s, "a second", 100, "higher"),
    ]


def dashboard_of(home: Path) -> Callable[[int], list[str]]:
    """Return the command that serves an installation at a port."""
    return lambda port: [
        sys.executable,
        "-m",
        "evenkeel",
        "--home",
        str(home),
        "dashboard",
        "--port",
        str(port),
    ]


def _peer_cases(stack: ExitStack, folder: Path, home: Path) -> list[Case]:
    """Serve the peers' pages; without their packages there are none, and a line says so."""
    try:
        python = peer_python("dashboard")
    except (OSError, subprocess.SubprocessError) as error:
        print(f"peers could not be installed ({error}); their ratios are left out", file=sys.stderr)
        return []
    held = folder / "peers.npz"
    np.savez(held, **peer_data(home))
    script = str(shutil.copy(_HERE / "peers" / "show-dashboard", folder / "show_dashboard.py"))
    cases: list[Case] = []
    for name, page, painted in (
        ("patient, Streamlit", "patient", _CHARTS),
        (
            "triage, Streamlit",
            "triage",
            "document.querySelectorAll('[data-testid=stDataFrame] canvas').length",
        ),
        ("patient, Bokeh", "bokeh", _BOKEH),
        ("patient, Panel", "panel", _BOKEH),
    ):
        if name.endswith("Streamlit"):
            head = [
                "-m",
                "streamlit",
                "run",
                script,
                "--server.headless=true",
                "--browser.gatherUsageStats=false",
            ]
            port = stack.enter_context(
                served(lambda p, h=head, g=page: [str(python), *h, f"--server.port={p}", "--", g, str(held)])
            )
            address = f"http://127.0.0.1:{port}/"
        else:
            port = stack.enter_context(served(lambda p, g=page: [str(python), script, g, str(held), str(p)]))
            address = f"http://127.0.0.1:{port}/page"
        cases.append(Case(name, address, painted))
    return cases


@contextmanager
def served(command: Callable[[int], list[str]]) -> Generator[int]:
    """Serve at a free port, which is returned, until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with subprocess.Popen(
        command(port), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=_HERE.parent, env=os.environ
    ) as server:
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", port), 0.2).close()
                break
            except OSError:
                time.sleep(0.2)
        try:
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(15)
            except subprocess.TimeoutExpired:
                server.kill()


def signed_in(browser: Browser, own: str) -> Any:  # noqa: ANN401 - Playwright's own form of cookies
    """Sign in as lead and see the list; return the cookies."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{own}/sign-in")
    page.fill("input[name=username]", "lead")
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_selector(".ag-row", timeout=PATIENCE_S * 1000)
    cookies = context.cookies()
    context.close()
    return cookies


def _visits(
    browser: Browser,
    cases: Sequence[Case],
    cookies: Any,  # noqa: ANN401
    rounds: int,
) -> dict[str, tuple[list[Visit], list[Visit]]]:
    found: dict[str, tuple[list[Visit], list[Visit]]] = {case.name: ([], []) for case in cases}
    for case in cases:  # once unmeasured: servers import and pack what they serve
        _visit_twice(browser, case, cookies)
    for at in range(rounds):
        for case in [*cases[at % len(cases) :], *cases[: at % len(cases)]]:
            gc.collect()
            for kept, visit in zip(found[case.name], _visit_twice(browser, case, cookies), strict=True):
                kept.append(visit)
    return found


def _visit_twice(browser: Browser, case: Case, cookies: Any) -> tuple[Visit, Visit]:  # noqa: ANN401
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    if case.signs_in:
        context.add_cookies(cookies)
    page = context.new_page()
    page.add_init_script(_WATCH)
    wire: Any = context.new_cdp_session(page)
    received: list[float] = []

    def finished(event: dict[str, Any]) -> None:
        received.append(float(event["encodedDataLength"]))

    def framed(event: dict[str, Any]) -> None:
        received.append(float(len(event["response"]["payloadData"])))

    wire.send("Network.enable")
    wire.on("Network.loadingFinished", finished)
    wire.on("Network.webSocketFrameReceived", framed)
    visits: list[Visit] = []
    for _ in range(2):
        received.clear()
        page.goto(case.url)
        visits.append(Visit(_tti_ms(page, case), sum(received) / 1000))
    context.close()
    return visits[0], visits[1]


def _tti_ms(page: Page, case: Case) -> float:
    """Return when everything was painted and the main thread free, ms from the begin of navigation."""
    asked = (
        f"window.__untilUsable(function () {{ return {case.painted}; }}, {_QUIET_MS}, {PATIENCE_S * 1000})"
    )
    return float(page.evaluate(asked))


def _zooms(browser: Browser, url: str, cookies: Any) -> list[float]:  # noqa: ANN401
    """Zoom into single days and wait for their samples to be drawn."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies(cookies)
    page = context.new_page()
    page.add_init_script(_WATCH)
    page.goto(url)
    page.wait_for_function(f"() => {_CHARTS}")
    page.evaluate("document.querySelector('#zoom-chart').scrollIntoView({ block: 'center' })")
    page.wait_for_selector("#zoom-chart .nsewdrag")
    page.wait_for_timeout(1500)
    times = [float(page.evaluate(f"window.__zoomed({at})")) for at in range(ZOOMS)]
    context.close()
    return times


def _callbacks(own: str, cookies: Any) -> float:  # noqa: ANN401
    """Return how many callbacks a second the server answers to several clients: a night of the patient."""
    told = {cookie["name"]: cookie["value"] for cookie in cookies}
    headers = {
        "Cookie": "; ".join(f"{name}={value}" for name, value in told.items()),
        "X-CSRFToken": told["_csrf_token"],
        "Content-Type": "application/json",
        "Referer": f"{own}/patient/{PATIENT}",
    }
    parts = [
        {"id": name, "property": "value"}
        for name in ("compare-a-from", "compare-a-to", "compare-b-from", "compare-b-to")
    ]
    days = ("2026-01-01", "2026-01-28", "2026-02-10", "2026-02-24")
    body = json.dumps(
        {
            "output": "compare-body.children",
            "outputs": {"id": "compare-body", "property": "children"},
            "inputs": [part | {"value": day} for part, day in zip(parts, days, strict=True)],
            "state": [{"id": "address", "property": "pathname", "value": f"/patient/{PATIENT}"}],
            "changedPropIds": ["compare-a-from.value"],
        }
    ).encode()

    def client() -> None:
        # One connection for all, as a browser does.
        with closing(http.client.HTTPConnection(own.removeprefix("http://"), timeout=PATIENCE_S)) as asking:
            for _ in range(CALLS):
                asking.request("POST", "/_dash-update-component", body, headers)
                answer = asking.getresponse()
                answer.read()
                if answer.status != 200:
                    raise RuntimeError(f"A callback was answered {answer.status}")

    client()
    threads = [threading.Thread(target=client) for _ in range(CLIENTS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return CLIENTS * CALLS / (time.perf_counter() - begun)
