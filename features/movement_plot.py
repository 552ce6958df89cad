"""A recording of movement as a double-plotted actogram: one page that opens without a network."""

from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import plotly.graph_objects
from numpy.typing import NDArray

from features.epochs.epochs import SAMPLED, Epochs, FloatArray
from features.epochs.wear import Wear, WearState
from features.movement_file import span_text
from features.rhythm import Rhythm, rhythm
from store.local_time import local_wall_ns
from store.units import NS_PER_S

INK, QUIET, GRID = "#20303c", "#5d6f7e", "#e6ebf0"
BLUE, AMBER, NIGHT, DAY = "#1f3a5f", "#b3400e", "#dfe5f3", "#fbf3df"
SLEEP = "#6f7fd1"
_STATES = {
    WearState.NOT_WORN: ("not worn", "#d9822b"),
    WearState.CHARGING: ("charging", "#2f8f7a"),
    WearState.UNKNOWN: ("nothing recorded, or unknown", "#b8c0c8"),
}
_BIN_S = 300.0
_DAY_NS = 86_400 * NS_PER_S
_FULL_AT_PCT = 98.0
"""Bars are as high as their row at this percentile, so that one burst does not flatten a week."""


def write_actogram(
    epochs: Epochs, worn: Wear, name: str, path: Path, asleep: NDArray[np.bool_] | None = None
) -> None:
    """Draw days below each other, each row with the day after it, wear at the foot of rows, rhythm behind.

    Parameters
    ----------
    epochs : Epochs
    worn : Wear
    name : str
        What the page is titled.
    path : Path
    asleep : (n,) bool, optional
        Epochs scored as sleep, drawn at the foot of rows, too.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    found = rhythm(epochs, worn)
    drawn = _figure(epochs, worn, found, asleep).to_html(
        full_html=False, include_plotlyjs=True, config={"displaylogo": False, "responsive": True}
    )
    title = escape(name)
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Actogram of {title}</title>'
        f"<style>body{{margin:24px auto;max-width:1240px;padding:0 16px;color:{INK};"
        "font:15px/1.5 system-ui,sans-serif}h1{font-size:22px;margin:0}"
        f"p{{margin:2px 0;color:{QUIET}}}</style></head><body><h1>Actogram of {title}</h1>"
        f"<p>{escape(span_text(epochs))}</p><p>{escape(_summary(found))}</p>{drawn}"
        f"<p>{escape(_LEGEND)}</p></body></html>\n",
        encoding="utf-8",
    )


_LEGEND = (
    "Each row is a local day and the day after it. Bars: means of five minutes, on a root scale; heart rate "
    "from its lowest fiftieth to its highest. Behind them the "
    "least active five hours (blue) and the most active ten (yellow) of the mean day; diamonds: each day's "
    "acrophase. Values with too little wear behind them are withheld."
)


def _summary(found: Rhythm) -> str:
    shown = (("IS", "is"), ("IV", "iv"), ("RA", "ra"), ("L5", "l5"), ("M10", "m10"))
    texts = [
        f"{label} {found.values[key]:.3g}" if np.isfinite(found.values[key]) else f"{label} withheld"
        for label, key in shown
    ]
    return f"{found.days:.1f} days worn; " + ", ".join(texts)


def _figure(epochs: Epochs, worn: Wear, found: Rhythm, asleep: NDArray[np.bool_] | None) -> Any:  # noqa: ANN401 - plotly has no types
    hour, day = _local(epochs)
    rows = int(day[-1]) + 1
    figure = cast("Any", plotly.graph_objects).Figure()
    marked = [(label, colour, worn.state == state) for state, (label, colour) in _STATES.items()]
    if asleep is not None:
        marked.append(("asleep", SLEEP, asleep))
    for label, colour, holds in marked:
        if holds.any():
            x, y = _feet(holds, hour, day, epochs.epoch_s / 3600)
            _lines(figure, x, y, label, {"color": colour, "width": 5})
    _lines(figure, *_bars(epochs, hour, day), epochs.column, {"color": BLUE, "width": 1.6})
    _phases(figure, found)
    figure.update_layout(
        height=200 + 46 * rows,
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 96, "r": 24, "t": 64, "b": 48},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        shapes=_bands(found),
    )
    ticks = list(range(0, 49, 6))
    figure.update_xaxes(
        range=[0, 48],
        tickvals=ticks,
        ticktext=[f"{h % 24:02d}:00" for h in ticks],
        gridcolor=GRID,
        zeroline=False,
    )
    figure.update_yaxes(
        range=[-rows - 0.15, 0.1],
        tickvals=[-row - 0.5 for row in range(rows)],
        ticktext=[f"{each.day:%a %d %b}" for each in found.daily],
        showgrid=False,
        zeroline=False,
    )
    return figure


def _local(epochs: Epochs) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return the local hour of each epoch and the day it belongs to, from 0."""
    wall = local_wall_ns(epochs.start_ns, epochs.zone)
    return (wall % _DAY_NS) / (3600 * NS_PER_S), wall // _DAY_NS - wall[0] // _DAY_NS


def _twice(x: FloatArray, row: NDArray[np.int64]) -> tuple[FloatArray, NDArray[np.int64]]:
    """Return hours and rows of both places of a day: its own row, and the right half of the row above."""
    again = row > 0
    return np.concatenate([x, x[again] + 24]), np.concatenate([row, row[again] - 1])


def _bars(epochs: Epochs, hour: FloatArray, day: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    per_day = round(86_400 / _BIN_S)
    place = day * per_day + np.minimum((hour * 3600 / _BIN_S).astype(np.int64), per_day - 1)
    used = epochs.is_recorded
    size = int(place[-1]) + 1
    total = np.bincount(place[used], epochs.values[used], size)
    count = np.bincount(place[used], minlength=size)
    there = np.flatnonzero(total > 0)
    mean = total[there] / count[there]
    foot_at, full_at = np.percentile(mean, (2.0, _FULL_AT_PCT)) if len(mean) else (0.0, 1.0)
    if epochs.column in SAMPLED:  # a heart never rests at 0
        height = 0.9 * np.clip((mean - foot_at) / max(full_at - foot_at, 1e-9), 0, 1)
    else:
        height = 0.9 * np.sqrt(np.minimum(mean / full_at, 1.0))
    x, row = _twice((there % per_day + 0.5) * _BIN_S / 3600, there // per_day)
    again = there // per_day > 0
    foot = -row - 1.0
    return _segments(x, x), _segments(foot, foot + np.concatenate([height, height[again]]))


def _segments(first: NDArray[np.floating[Any]], last: NDArray[np.floating[Any]]) -> FloatArray:
    return np.column_stack([first, last, np.full(len(first), np.nan)]).ravel()


def _feet(
    holds: NDArray[np.bool_], hour: FloatArray, day: NDArray[np.int64], epoch_h: float
) -> tuple[FloatArray, FloatArray]:
    """Return the stretches in which something holds as lines at the foot of their rows."""
    changes = (np.diff(holds, prepend=not holds[0])) | (np.diff(day, prepend=-1) != 0)
    starts = np.flatnonzero(changes)
    ends = np.append(starts[1:], len(hour)) - 1
    mine = holds[starts]
    x0, row = _twice(hour[starts[mine]], day[starts[mine]])
    x1, _ = _twice(hour[ends[mine]] + epoch_h, day[starts[mine]])
    foot = -row - 1.0
    return _segments(x0, x1), _segments(foot, foot)


def _lines(figure: Any, x: FloatArray, y: FloatArray, label: str, line: dict[str, Any]) -> None:  # noqa: ANN401 - plotly has no types
    figure.add_scattergl(x=x, y=y, mode="lines", line=line, name=label, hoverinfo="skip")


def _phases(figure: Any, found: Rhythm) -> None:  # noqa: ANN401 - plotly has no types
    acrophase = np.array([each.acrophase_h for each in found.daily])
    there = np.flatnonzero(np.isfinite(acrophase))
    x, row = _twice(acrophase[there], there)
    figure.add_scattergl(  # like the bars, or they would hide it
        x=x,
        y=-row - 0.5,
        mode="markers",
        marker={"symbol": "diamond", "size": 8, "color": AMBER, "line": {"color": "white", "width": 1}},
        name="acrophase of the day",
    )


def _bands(found: Rhythm) -> list[dict[str, Any]]:
    shapes: list[dict[str, Any]] = []
    for key, length_h, colour in (("l5_onset_h", 5, NIGHT), ("m10_onset_h", 10, DAY)):
        onset = found.values[key]
        for begin in (onset - 24, onset, onset + 24):
            low, high = max(begin, 0.0), min(begin + length_h, 48.0)
            if low < high:
                rect = {
                    "type": "rect",
                    "yref": "paper",
                    "y0": 0,
                    "y1": 1,
                    "layer": "below",
                    "line": {"width": 0},
                }
                shapes.append({**rect, "x0": low, "x1": high, "fillcolor": colour})
    return shapes
