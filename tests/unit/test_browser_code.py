"""What the browser loads: only what a page needs, packed, of the versions that belong together."""

import base64
import hashlib
import json
import re
from pathlib import Path

import brotli
import pytest
from plotly.offline import get_plotlyjs_version

from dashboard.app import PAGE_HEADER
from dashboard.gate import LAYOUT_PATH
from dashboard.shell import NAVIGATION
from tests.unit.test_dashboard_security import app, audited, clinic_home, visitor

__all__ = ["app", "clinic_home", "visitor"]

VENDOR = Path(__file__).resolve().parents[2] / "dashboard" / "assets" / "vendor"
SHA512 = "Ej2DOLypRPZLZrZnvDD2TiFsAfCaUzFXQBCaINnpQz673FO+IoX8elbQ47iQH1KMaFdLZodTpIRHf6RvttXQxQ=="
"""Of plotly.js 4.1.1 as released; it changes with tools/vendor-browser-code."""


def test_the_vendored_plotly_is_the_one_that_was_released_for_this_plotly_py():
    name = f"plotly-cartesian-{get_plotlyjs_version()}.min.js"
    assert [path.name for path in VENDOR.glob("plotly-cartesian-*")] == [name]
    assert base64.b64encode(hashlib.sha512((VENDOR / name).read_bytes()).digest()).decode() == SHA512
    assert "MIT License" in (VENDOR / "plotly.LICENSE.txt").read_text()
    assert "SIL Open Font License" in (VENDOR / "inter.LICENSE.txt").read_text()


@pytest.mark.parametrize(
    ("path", "needed", "unneeded"),
    [
        (
            "/",
            ["/dash_ag_grid/", "dashAgGridFunctions", "regenerator"],
            ["plotly", "/dash_table/", "polyfill"],
        ),
        ("/live", [], ["plotly", "/dash_ag_grid/", "dashAgGrid"]),
        ("/patient/V01", ["plotly-cartesian-"], ["/plotly/", "/dash_ag_grid/", "dashAgGrid"]),
    ],
)
def test_a_page_loads_only_the_code_it_needs(visitor, path, needed, unneeded):
    visitor.sign_in("lead")
    text = visitor.get(path).text
    scripts = " ".join(re.findall(r"<script src=[^>]+>", text))
    assert all(name in scripts for name in (*needed, "evenkeel.js", "dash_renderer"))
    assert not [name for name in unneeded if name in scripts]


@pytest.mark.parametrize("path", ["/", "/patient/V01", "/patient/V01/summary"])
def test_code_that_is_asked_for_ahead_is_there(visitor, path):
    visitor.sign_in("lead")
    ahead = re.findall(r'<link rel="preload" as="script" href="([^"]+)"', visitor.get(path).text)
    assert len(ahead) == 1
    answer = visitor.get(ahead[0])
    assert (answer.status_code, answer.mimetype) in {
        (200, "text/javascript"),
        (200, "application/javascript"),
    }


def test_the_first_layout_brings_the_page_and_is_written_down(app, visitor):
    visitor.sign_in("narrow")

    def layout(path: str) -> str:
        headers = {PAGE_HEADER: path}
        return visitor.client.get(LAYOUT_PATH, headers=headers, environ_overrides=visitor.environ).text

    assert "rmssd-chart" in layout("/patient/V02")
    told = json.loads(layout("/patient/V02"))["props"]["children"][0]["props"]
    assert told["pathname"] == "/patient/V02"  # or the browser would ask for the page once more
    assert "rmssd-chart" not in layout("/patient/V01")
    assert audited(app, "view") == [("narrow", "V02", True)] * 2 + [("narrow", "V01", False)]
    assert "no such patient in your case-load" in layout("/patient/V01")


def test_the_navigation_is_a_list_and_says_where_one_is(visitor):
    visitor.sign_in("lead")
    text = visitor.get("/live").text
    shown = {entry.path for entry in NAVIGATION if f'<a href="{entry.path}"' in text}
    assert {"/", "/live"} <= shown == {e.path for e in NAVIGATION if not e.roles or "lead" in e.roles}
    assert '<a href="/live" aria-current="page">Live</a>' in text


def test_the_first_layout_travels_packed_and_holds_no_token(visitor):
    visitor.sign_in("narrow")
    visitor.get("/")
    headers = {PAGE_HEADER: "/patient/V02"}
    plain = visitor.client.get(LAYOUT_PATH, headers=headers)
    packed = visitor.client.get(LAYOUT_PATH, headers=headers | {"Accept-Encoding": "gzip, br"})
    assert packed.headers["Content-Encoding"] == "br"
    assert packed.headers["Cache-Control"] == "no-store"
    assert len(packed.data) < len(plain.data) / 3
    assert len(brotli.decompress(packed.data)) == len(plain.data)
    assert visitor.client.get_cookie("_csrf_token").value not in plain.text
