"""From strap to screen: what was replayed is found on the page, what is replayed now moves."""

import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from store.clock import SystemClock
from store.times import iso_time
from tests.chromium import in_a_browser, launched

RECORDING = Path(__file__).resolve().parents[3] / "shared" / "data" / "rr" / "nsr001.csv.gz"
NIGHT_BEATS = 36_000
PASSWORD = "correct horse battery staple"
PATIENCE_MS = 30_000
"""Pages take a second; a loaded machine may take many times that."""

pytestmark = [*in_a_browser("thread"), pytest.mark.slow]


def command(home: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "evenkeel", "--home", str(home), *map(str, words)]


def run(home: Path, *words: object) -> str:
    done = subprocess.run(command(home, *words), text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def write_recording(path: Path, rr_ms: np.ndarray) -> Path:
    pd.DataFrame({"t_s": np.cumsum(rr_ms) / 1000, "rr_ms": rr_ms}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """An installation with a night of S001, a real one where recordings are at hand, and S002 to come."""
    folder = tmp_path_factory.mktemp("thread")
    home = folder / "home"
    rr_ms = np.random.default_rng(1).normal(900, 40, NIGHT_BEATS).round()
    if RECORDING.exists():
        rr_ms = pd.read_csv(RECORDING, nrows=NIGHT_BEATS)["rr_ms"].to_numpy()
    recording = write_recording(folder / "night.csv", rr_ms)
    for subject in ("S001", "S002"):
        run(home, "subject", "add", subject, "--zone", "Europe/Berlin")
    run(home, "replay", recording, "--subject", "S001", "--speed", "max", "--start", "2026-01-05T20:00:00Z")
    assert "computed" in run(home, "features", "run")
    run(home, "flags", "run")
    (folder / "password").write_text(PASSWORD + "\n")
    run(
        home,
        "user",
        "add",
        "wren",
        "--role",
        "clinician",
        "--patients",
        "all",
        "--password-file",
        folder / "password",
    )
    return home


@pytest.fixture(scope="module")
def address(home) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with subprocess.Popen(
        command(home, "dashboard", "--port", port), stderr=subprocess.PIPE, text=True
    ) as server:
        assert f":{port}/" in server.stderr.readline()
        yield f"http://127.0.0.1:{port}"
        server.send_signal(signal.SIGTERM)
        assert server.wait(10) == 0


@pytest.fixture
def page(address) -> Iterator[Page]:
    with sync_playwright() as engine:
        browser = launched(engine)
        opened = browser.new_page()
        opened.set_default_timeout(PATIENCE_MS)
        opened.goto(f"{address}/")
        opened.fill("input[name=username]", "wren")
        opened.fill("input[name=password]", PASSWORD)
        opened.click("button[type=submit]")
        opened.wait_for_url(f"{address}/")
        yield opened
        browser.close()


def test_the_replayed_night_is_on_the_patient_page(page, address):
    page.wait_for_selector("text=S001")
    page.goto(f"{address}/patient/S001")
    page.wait_for_selector("#rmssd-chart .main-svg")
    page.locator("#rmssd-chart-table").locator("xpath=ancestor::details").locator("summary").click()
    row = page.locator("#rmssd-chart-table tbody tr", has_text="6 Jan 2026")
    expect(row).to_have_count(1, timeout=PATIENCE_MS)
    assert any(character.isdigit() for character in row.locator("td").nth(0).inner_text())


def test_a_heart_replayed_now_moves_on_the_screen(page, address, home, tmp_path):
    rr_ms = 800 + 250 * np.sin(np.arange(240) / 6)
    recording = write_recording(tmp_path / "live.csv", rr_ms.round())
    words = (
        "replay",
        recording,
        "--subject",
        "S002",
        "--speed",
        1,
        "--start",
        iso_time(SystemClock().now_ns()),
    )
    with subprocess.Popen(command(home, *words), stderr=subprocess.DEVNULL) as replay:
        page.goto(f"{address}/patient/S002")
        number = page.locator("#live-number .live-bpm")
        expect(number).to_have_text(re.compile(r"^\d+$"), timeout=PATIENCE_MS)
        expect(number).not_to_have_text(number.inner_text(), timeout=PATIENCE_MS)
        replay.send_signal(signal.SIGINT)
        replay.wait(20)
