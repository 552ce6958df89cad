"""Strap to screen: how long after a strap sent a heart rate it stands on the live page, in a real browser.

All of it runs as at a clinic: straps on virtual air, the Bluetooth service, a collector, the embedded store,
the dashboard, Chromium. Every packet of a strap has another heart rate, so that a number says which it is.
"""

import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import sync_playwright

from benchmarks.bed import Sent, bed, bpm_of
from benchmarks.clinic import PASSWORD
from benchmarks.dashboard import CHROMIUM, QUIET_BROWSER, dashboard_of, served, signed_in
from benchmarks.load import FOR_EVER, collector, end_well, environment, installed
from benchmarks.table import Row
from store.clock import SystemClock
from store.installation import Installation
from store.units import NS_PER_MS, NS_PER_S

STRAPS = 20
SECONDS, FULL_SECONDS = 60, 300
GOAL_S = 3.0
_PATIENCE_MS = 60_000
_LOOK = """
window.seenRates = [];
const shownRates = new Map();
setInterval(function () {
  document.querySelectorAll(".live-card").forEach(function (card) {
    const who = card.querySelector("a"), rate = card.querySelector(".live-bpm");
    const bpm = rate ? parseInt(rate.textContent, 10) : NaN;
    if (!who || Number.isNaN(bpm) || shownRates.get(who.textContent) === bpm) return;
    shownRates.set(who.textContent, bpm);
    window.seenRates.push([who.textContent, bpm, Date.now()]);
  });
}, 20);
"""
"""What the page shows, and since when: looked at every 20 ms."""


def run(*, is_full: bool = False) -> list[Row]:
    """Watch the live page for a minute, or for five."""
    seconds = FULL_SECONDS if is_full else SECONDS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        worn = stack.enter_context(bed(STRAPS, folder / "sent"))
        home = installed(folder, worn.addresses)
        with Installation(home, SystemClock()).registry() as registry:
            registry.accounts.add_user("lead", "lead", password=PASSWORD, patients="all")
        running = stack.enter_context(collector(environment(home, worn.bus), folder / "log"))
        worn.send(1, FOR_EVER)
        worn.wait_until_heard()
        port = stack.enter_context(served(dashboard_of(home)))
        seen = _watched(stack, f"http://127.0.0.1:{port}", seconds)
        end_well(running, folder / "log")
        ages_s = _ages_s(seen, worn.end())
    return [
        Row(f"{STRAPS} straps, {seconds} s: heart rates seen on the live page", len(ages_s), "numbers"),
        Row("strap to screen, median", float(np.median(ages_s)), "s"),
        Row("strap to screen, p95", float(np.percentile(ages_s, 95)), "s", GOAL_S),
        Row("strap to screen, longest", max(ages_s), "s"),
    ]


def _watched(stack: ExitStack, own: str, seconds: int) -> list[tuple[str, int, float]]:
    """Return who, beats a minute and the wall time (ms) of each number that appeared."""
    engine = stack.enter_context(sync_playwright())
    browser = engine.chromium.launch(executable_path=CHROMIUM, args=[*QUIET_BROWSER])
    stack.callback(browser.close)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_cookies(signed_in(browser, own))
    page = context.new_page()
    page.goto(f"{own}/live")
    page.wait_for_function(
        f"() => document.querySelectorAll('.live-card').length === {STRAPS}", timeout=_PATIENCE_MS
    )
    page.evaluate(_LOOK)
    page.wait_for_timeout(1000 * seconds)
    seen: Any = page.evaluate("window.seenRates")
    return [(str(who), int(bpm), float(at_ms)) for who, bpm, at_ms in seen[STRAPS:]]  # the first were there


def _ages_s(seen: Sequence[tuple[str, int, float]], sent: Sequence[Sent]) -> list[float]:
    """Return how old each number was as it appeared: since the newest packet that said so."""
    monotonic_of_wall_ns = time.monotonic_ns() - SystemClock().now_ns()
    ages_s: list[float] = []
    for who, bpm, at_ms in seen:
        packets = sent[int(who.removeprefix("V"))]
        at_ns = round(at_ms * NS_PER_MS) + monotonic_of_wall_ns
        said = [bpm_of(int(number)) == bpm for number in packets.sequence]
        before = packets.sent_ns[np.array(said) & (packets.sent_ns <= at_ns)]
        ages_s.append(float(at_ns - before[-1]) / NS_PER_S)
    return ages_s
