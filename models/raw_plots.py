"""Plots of an evaluation with changes in raw samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from plotly import subplots

from models.channels import channel_named

_COLOURS = {
    "resting_hr_bpm": "#b5374b",
    "mean_hr_bpm": "#e08214",
    "rmssd_ms": "#1f6f8b",
    "steps": "#35794c",
    "active_min": "#8fbf6b",
    "tst_min": "#5a4fa2",
}


def write_raw_plots(held: dict[str, Any], path: Path) -> None:
    """Write one HTML file that needs nothing else: asked and realised, and what is found of it."""
    figure = cast("Any", subplots).make_subplots(  # plotly has no types to speak of
        rows=1,
        cols=3,
        column_widths=[0.3, 0.2, 0.5],
        horizontal_spacing=0.09,
        subplot_titles=(
            "Markers, % of the night's own: asked and realised",
            "Time asleep, min",
            f"Found within 14 days, %, budget {held['budget']}",
        ),
    )
    for column, is_sleep in ((1, False), (2, True)):
        rows = [
            row
            for row in held["effects"]
            if (row["value"] == "tst_min" if is_sleep else row["is_share"]) and row["asked_median"] != 0
        ]
        _add_effects(figure, rows, column)
    found = [row for row in held["found"] if "raw" in row]
    names = [row["scenario"] for row in found]
    for part, label, colour in (("raw", "in samples", "#1f6f8b"), ("daily", "in daily values", "#d98e04")):
        shares = [100 * row[part]["found_14d"] for row in found]
        ends = [row[part]["interval_14d"] for row in found]
        figure.add_bar(
            x=names,
            y=shares,
            name=label,
            marker_color=colour,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [100 * high - share for (_, high), share in zip(ends, shares, strict=True)],
                "arrayminus": [share - 100 * low for (low, _), share in zip(ends, shares, strict=True)],
            },
            row=1,
            col=3,
        )
    figure.add_scatter(
        x=names,
        y=[100 * row["raw"]["null_14d"] for row in found],
        name="without the change",
        mode="lines",
        line={"dash": "dot", "color": "grey"},
        row=1,
        col=3,
    )
    figure.update_yaxes(range=[0, 105], row=1, col=3)
    figure.update_layout(template="plotly_white", height=560, legend={"orientation": "h", "y": -0.35})
    figure.write_html(path, include_plotlyjs=True)


def _add_effects(figure: Any, rows: Sequence[dict[str, Any]], column: int) -> None:  # noqa: ANN401 - plotly
    for name in dict.fromkeys(row["value"] for row in rows):
        mine = [row for row in rows if row["value"] == name]
        scale = 100 if mine[0]["is_share"] else 1
        asked, real = ([scale * row[f"{part}_median"] for row in mine] for part in ("asked", "raw"))
        off = [[scale * q for q in row["raw_off_p10_p50_p90"]] for row in mine]
        figure.add_scatter(
            x=asked,
            y=real,
            text=[row["scenario"] for row in mine],
            name=channel_named(name).label,
            mode="markers",
            marker={"color": _COLOURS[name], "size": 8},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - middle for _, middle, high in off],
                "arrayminus": [middle - low for low, middle, _ in off],
                "thickness": 1,
            },
            row=1,
            col=column,
        )
    if not rows:
        return
    asked_all = [(100 if row["is_share"] else 1) * row["asked_median"] for row in rows]
    ends = [min(asked_all), max(asked_all)]
    figure.add_scatter(
        x=ends,
        y=ends,
        mode="lines",
        line={"dash": "dot", "color": "grey"},
        showlegend=False,
        row=1,
        col=column,
    )
    figure.update_xaxes(title_text="asked", row=1, col=column)
    figure.update_yaxes(title_text="realised", row=1, col=column)
