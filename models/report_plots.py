"""Plots of an evaluation: what is found when, and what it costs."""

from pathlib import Path
from typing import Any, cast

from plotly import subplots

from models.evaluation import BUDGETS, CORE, HORIZONS

_AT = 0.25


def write_plots(held: dict[str, Any], path: Path) -> None:
    """Write one HTML file that needs nothing else."""
    figure = cast("Any", subplots).make_subplots(  # plotly has no types to speak of
        rows=1,
        cols=2,
        subplot_titles=(
            f"Found within days of the onset, budget {_AT} (dotted: without the change)",
            "Alerts per 30 monitored days without a change",
        ),
    )
    rows = {r["scenario"]: r for r in held["sensitivity"] if r["detector"] == "risk" and r["budget"] == _AT}
    for scenario in CORE:
        row = rows[scenario]
        figure.add_scatter(
            x=HORIZONS,
            y=[100 * row[f"found_{h}d"] for h in HORIZONS],
            name=scenario,
            row=1,
            col=1,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * (row[f"interval_{h}d"][1] - row[f"found_{h}d"]) for h in HORIZONS],
                "arrayminus": [100 * (row[f"found_{h}d"] - row[f"interval_{h}d"][0]) for h in HORIZONS],
            },
        )
    figure.add_scatter(
        x=HORIZONS,
        y=[100 * rows[CORE[0]][f"null_{h}d"] for h in HORIZONS],
        name="null",
        line={"dash": "dot", "color": "grey"},
        row=1,
        col=1,
    )
    ours = {r["budget"]: r["rate"] for r in held["burden"] if r["detector"] == "risk"}
    figure.add_scatter(x=BUDGETS, y=[ours[b] for b in BUDGETS], name="realised", row=1, col=2)
    figure.add_scatter(x=BUDGETS, y=BUDGETS, name="budget", line={"dash": "dot"}, row=1, col=2)
    figure.update_xaxes(title_text="days", row=1, col=1)
    figure.update_yaxes(title_text="% of episodes", range=[0, 100], row=1, col=1)
    figure.update_xaxes(title_text="budget", row=1, col=2)
    figure.update_layout(template="plotly_white", height=520)
    figure.write_html(path, include_plotlyjs=True)
