"""The frame of every page, made on the server: it stands even where scripts do not run."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import dash
from dash import Dash, Input, Output, State
from dash.dependencies import ClientsideFunction
from dash.development.base_component import Component
from flask import Flask, g, render_template, request
from markupsafe import Markup

from configs.settings import DashboardSettings
from dashboard.routes import route_of
from dashboard.sources import Sources

_HERE = Path(__file__).parent


class Shell(Dash):
    """Dash inside the frame of evenkeel: titles, navigation, sign-out and crisis information."""

    def __init__(self, name: str, *, sources: Sources, **options: Any) -> None:  # noqa: ANN401 - Dash's own
        super().__init__(name, **options)  # pyright: ignore[reportUnknownMemberType]
        self.sources = sources

    def interpolate_index(self, **parts: str) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Return the document of the page at the requested address."""
        route = route_of(request.path)
        title = route.title() if route else "evenkeel"
        safe = {name: Markup(part) for name, part in parts.items()}  # noqa: S704 - made by Dash itself
        return render_template("page.html", **(safe | {"title": title}))

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
            "here": request.path,
            "csrf_token": csrf_token,
        }

    server.context_processor(standing)
    return server


def message_page(title: str, text: str) -> str:
    """Return a page that says one thing."""
    return render_template("message.html", title=f"{title} · evenkeel", heading=title, text=text)
