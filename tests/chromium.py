"""The browser of tests: Debian's Chromium."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = ("--no-sandbox", "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup")
"""Without its own address bar, whose pages each new window would load: as much work again as one of ours."""


def in_a_browser(group: str) -> list[pytest.MarkDecorator]:
    """Return the marks of a module whose tests share a dashboard, so that one process runs them all."""
    missing = not CHROMIUM.exists() and os.environ.get("EVENKEEL_REQUIRE_BROWSER") != "1"
    reason = f"no browser: {CHROMIUM} is not there (apt-get install chromium)"
    return [pytest.mark.browser, pytest.mark.skipif(missing, reason=reason), pytest.mark.xdist_group(group)]


def launched(engine: Playwright) -> Browser:
    """Return a new browser."""
    return engine.chromium.launch(executable_path=str(CHROMIUM), args=[*_ARGUMENTS])
