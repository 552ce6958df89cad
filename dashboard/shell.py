"""The frame of every page, made on the server: it stands even where scripts do not run."""

import base64
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast

import dash
from dash import Dash, Input, Output, State
from dash.dependencies import ClientsideFunction
from dash.development.base_component import Component
from flask import Flask, g, render_template, request
from markupsafe import Markup
from plotly import offline

from configs.settings import DashboardSettings
from dashboard.routes import (
    ADMIN_PATH,
    EXPORT_PATH,
    FLAGS_PATH,
    HELP_PATH,
    LIVE_PATH,
    MY_DATA_PATH,
    QUALITY_PATH,
    ROLES,
    TRIAGE_PATH,
    route_of,
)
from dashboard.sources import Sources
from store.registry.accounts import User

_HERE = Path(__file__).parent
_VENDOR = "vendor"
FONT_PATH = f"/assets/{_VENDOR}/inter-latin.woff2"
_SCRIPT = re.compile(r"<script[^>]*></script>")
_REGENERATOR = "regenerator-0.14.1.js"
"""All that Dash needs of its polyfills today; the others replace what browsers do well by slow code."""
_BEGIN = (_HERE / "templates" / "begin.js").read_text().strip()


@dataclass(frozen=True, slots=True)
class NavEntry:
    """A page in the navigation: address, words, and the roles that see it (all, if none is named)."""

    path: str
    label: str
    roles: frozenset[str] = frozenset()

    def is_for(self, user: User | None) -> bool:
        """Say whether the navigation shows it."""
        return user is not None and (not self.roles or user.role in self.roles)


NAVIGATION: list[NavEntry] = [
    NavEntry(TRIAGE_PATH, "Patients", ROLES["triage"]),
    NavEntry(LIVE_PATH, "Live", ROLES["live"]),
    NavEntry(FLAGS_PATH, "Flags", ROLES["flags"]),
    NavEntry(QUALITY_PATH, "Data quality", ROLES["quality"]),
    NavEntry(EXPORT_PATH, "Export", ROLES["export"]),
    NavEntry(ADMIN_PATH, "Administration", ROLES["admin"]),
    NavEntry(MY_DATA_PATH, "My data", ROLES["my-data"]),
    NavEntry(HELP_PATH, "Help"),
]

PAGES_WITHOUT_CHARTS = frozenset({"triage", "live"})
"""Plotly is half of all code a browser loads; pages without a chart go without it."""
PAGES_WITHOUT_GRID = frozenset({"patient", "summary", "live"})
"""The same of AG Grid. A page that is in neither set loads both."""
_SUITES = "/_dash-component-suites"
SOON: Mapping[str, Sequence[str]] = MappingProxyType(
    {
        "triage": (f"{_SUITES}/dash_ag_grid/async-community.js",),
        "patient": (f"{_SUITES}/dash/dcc/async-graph.js",),
        "summary": (f"{_SUITES}/dash/dcc/async-graph.js",),
    }
)
"""Code that Dash itself would ask for only once it has the layout, by page."""


class Shell(Dash):
    """Dash inside the frame of evenkeel: titles, navigation, sign-out and crisis information."""

    def __init__(self, name: str, *, sources: Sources, **options: Any) -> None:  # noqa: ANN401 - Dash's own
        super().__init__(name, **options)  # pyright: ignore[reportUnknownMemberType]
        self.sources = sources

    def interpolate_index(self, **parts: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the document of the page at the requested address."""
        route = route_of(request.path)
        title = route.title() if route else "evenkeel"
        page = route.page if route else ""
        parts["scripts"] = _needed_scripts(parts["scripts"], page)
        parts["begin"] = _BEGIN
        safe = {name: Markup(part) for name, part in parts.items()}  # noqa: S704 - made by Dash and by us
        return render_template("page.html", **(safe | {"title": title, "soon": SOON.get(page, ())}))

    def script_hashes(self) -> list[str]:
        """Return the digests of all scripts within the document, as a content security policy names them."""
        own = base64.b64encode(hashlib.sha256(_BEGIN.encode()).digest()).decode()
        return [*self.csp_hashes(), f"'sha256-{own}'"]

    def connect(
        self,
        function: Callable[..., Any],
        outputs: Output | Sequence[Output],
        inputs: Sequence[Input | State],
        *,
        on_load: bool = True,
    ) -> None:
        """Call `function` on the server when an input changes, and (`on_load`) when its parts appear."""
        register = cast("Callable[..., Callable[..., Any]]", getattr(self, "callback"))  # noqa: B009 - untyped
        register(outputs, *inputs, prevent_initial_call=not on_load)(function)

    def connect_in_browser(
        self, function: str, outputs: Output, inputs: Sequence[Input | State], *, on_load: bool = False
    ) -> None:
        """Call a function of `assets/evenkeel.js` in the browser when an input changes."""
        register = cast("Callable[..., None]", getattr(self, "clientside_callback"))  # noqa: B009 - untyped
        register(ClientsideFunction("evenkeel", function), outputs, *inputs, prevent_initial_call=not on_load)


def _needed_scripts(scripts: str, page: str) -> str:
    """Return the script elements that a page needs, plotly cut down to its cartesian part."""
    first = f'<script src="/assets/{_VENDOR}/{_REGENERATOR}"></script>\n'
    chart = ""
    if page not in PAGES_WITHOUT_CHARTS and (partial := _cartesian_plotly()):
        chart = f'<script src="/assets/{_VENDOR}/{partial}"></script>\n'
    unneeded = ["/dash_table/", "/deps/polyfill@"]  # no page has a table of Dash
    unneeded += ["/plotly/"] if chart or page in PAGES_WITHOUT_CHARTS else []
    unneeded += ["/dash_ag_grid/", "/dashAgGrid"] if page in PAGES_WITHOUT_GRID else []
    kept = (tag for tag in _SCRIPT.findall(scripts) if not any(name in tag for name in unneeded))
    return first + chart + "\n".join(kept)


@cache
def _cartesian_plotly() -> str:
    """Return the file of plotly.js with the charts we draw, or nothing where it is of another version."""
    version = cast("Callable[[], str]", vars(offline)["get_plotlyjs_version"])()
    name = f"plotly-cartesian-{version}.min.js"
    return name if (_HERE / "assets" / _VENDOR / name).exists() else ""


def set_children(part_id: dict[str, str], children: Component) -> None:
    """Put something else into a part of the page, from within a callback."""
    cast("Callable[..., None]", vars(dash)["set_props"])(part_id, {"children": children})


def new_server(settings: DashboardSettings, csrf_token: Callable[[], str]) -> Flask:
    """Return a Flask server that serves templates only, each with the standing texts."""
    server = Flask("dashboard", root_path=str(_HERE), static_folder=None)
    stylesheet = _HERE / "assets" / "evenkeel.css"

    def standing() -> dict[str, Any]:
        return {
            "crisis_text": settings.crisis_text,
            "stylesheet_version": int(stylesheet.stat().st_mtime),
            "user": g.get("user"),
            "navigation": [entry for entry in NAVIGATION if entry.is_for(g.get("user"))],
            "font": FONT_PATH,
            "here": request.path,
            "csrf_token": csrf_token,
        }

    server.context_processor(standing)
    return server


def message_page(title: str, text: str, again: tuple[int, str] | None = None) -> str:
    """Return a page that says one thing, and after some seconds, where given, goes to an address."""
    return render_template("message.html", title=f"{title} · evenkeel", heading=title, text=text, again=again)
