"""A chart on a page: heading, drawing, the same in one sentence, and the same as a table."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.figures import CONFIG, Figure

Rows = Sequence[Sequence[str]]


def aria(**said: str) -> dict[str, Any]:
    """Return attributes for assistive technology: `aria(label="...")` is `aria-label`."""
    return {f"aria-{name}": text for name, text in said.items()}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and everything that lets readers of every kind use it.

    Attributes
    ----------
    chart_id : str
        Of the Graph; the table is in `<chart_id>-table`.
    key : str
        What the marks mean, for those who see them.
    sentence : str
        What the drawing shows, for those who do not.
    """

    chart_id: str
    heading: str
    key: str
    sentence: str
    figure: Figure
    height_px: int
    table: Component

    def card(self, beside: Component | None = None, below: Component | None = None) -> Component:
        """Return the card with heading, key, drawing and table, and something beside or below the drawing."""
        heading_id = f"{self.chart_id}-heading"
        key = html.P(self.key) if self.key else None
        title = html.Div([html.H2(self.heading, id=heading_id), key], className="title")
        graph = dcc.Graph(
            id=self.chart_id,
            figure=self.figure,
            config=CONFIG,  # pyright: ignore[reportArgumentType] - Dash does not know the newer keys
            style={"height": f"{self.height_px}px"},
        )
        drawing = html.Div(graph, role="img", className="drawing", **aria(label=self.sentence))
        if beside is not None:
            drawing = html.Div([beside, drawing], className="beside")
        table = html.Div(self.table, id=f"{self.chart_id}-table", className="table-scroll", tabIndex=0)
        return html.Section(
            [
                title,
                drawing,
                below,
                html.Details(
                    [html.Summary(["Table", html.Span(f" of {self.heading}", className="unseen")]), table]
                ),
            ],
            className="card chart",
            **aria(labelledby=heading_id),
        )


def table_of(columns: Sequence[str], rows: Rows) -> Component:
    """Return a plain table as data; `assets/evenkeel.js` draws it when it is opened.

    A Dash component for every cell would keep the browser busy for ten seconds on a page of ninety nights.
    """
    return html.Div(**{"data-table": json.dumps([columns, *rows], separators=(",", ":"))})  # pyright: ignore[reportArgumentType] - a data attribute


def badge_simulated() -> Component:
    """Return the mark of people who do not exist."""
    return html.Span("simulated", className="badge-simulated")
