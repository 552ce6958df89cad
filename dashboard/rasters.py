"""Figures of days against hours: heart rate, rest and activity, sleep, wear. Time is the wall clock."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.figures import Figure, Mark, axis, layout, night_axis, noon, typed, vertical_marks
from dashboard.words import day_text, number_text

BIN_MIN = 5
"""Finer than a screen shows over months."""
SLEEP_COLORS = ("#ffffff", "#9cc3e0", "#1f3a5f", "#8f5aa8")
"""Awake, light or asleep, deep, REM: told apart with every kind of colour vision, and by the legend."""
NOT_RECORDED = "#eccb74"
"""Paler than where it is the exception: it may fill half a raster."""
_NOTHING = 255
_DARKEST = 250
_DAY_MS = 86_400_000
_HEART_COLORS = [
    [0.0, "#f7fbff"],
    [0.2, "#d3e4f3"],
    [0.45, "#7fb6db"],
    [0.7, "#2f78b5"],
    [1.0, "#0b2f66"],
]
_HEART_RANGE_BPM = (45, 130)
_ACTIVITY_COLORS = [
    [0.0, "#fbfcfd"],
    [_DARKEST / 255, "#11263c"],
    [252 / 255, NOT_RECORDED],
    [1.0, NOT_RECORDED],
]


def known_mean(values: NDArray[np.float64], axis: int | tuple[int, ...]) -> NDArray[np.float64]:
    """Return the mean of what is known along an axis; NaN where nothing is."""
    known = np.isfinite(values)
    counts, sums = known.sum(axis=axis), np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts, sums / np.maximum(counts, 1), np.nan)


def quarters_said(days: Sequence[date], values: NDArray[np.float64], digits: int = 0) -> list[list[str]]:
    """Return a row of words a day, newest first: the day, and the mean of (days, bins) in each six hours."""
    means = known_mean(values.reshape(len(days), 4, -1), axis=2).tolist()
    return [
        [day_text(day), *(number_text(mean, digits) for mean in row)]
        for day, row in zip(reversed(days), means[::-1], strict=True)
    ]


def heart_figure(bpm: NDArray[np.float64], days: Sequence[date], marks: Sequence[Mark]) -> Figure:
    """Draw heart rate (days, bins of the day), NaN where nothing was recorded, which shows in gold."""
    low, high = _HEART_RANGE_BPM
    drawn = _raster(
        np.round(bpm).astype(np.float32),
        days,
        colorscale=_HEART_COLORS,
        zmin=low,
        zmax=high,
        hovertemplate="%{y|%a %-d %b}, %{x|%H:%M}: %{z} beats/min<extra></extra>",
        hoverongaps=False,
    )
    return _days_down(drawn, days, marks, hours=24)


def activity_figure(activity: NDArray[np.float64], days: Sequence[date], marks: Sequence[Mark]) -> Figure:
    """Draw rest and activity (days, bins of the day) twice side by side, so that every night is whole.

    From the person's 5th percentile, which is rest, to the 99th; the root spreads the small values.
    """
    twice = np.concatenate(
        [activity, np.vstack([activity[1:], np.full((1, activity.shape[1]), np.nan)])], axis=1
    )
    known = activity[np.isfinite(activity)]
    rest, top = (
        (float(np.sqrt(max(q, 0))) for q in np.percentile(known, (5, 99))) if len(known) else (0.0, 1.0)
    )
    with np.errstate(invalid="ignore"):
        shade = (np.sqrt(np.maximum(twice, 0)) - rest) / max(top - rest, 1e-9)
        shade = np.clip(shade, 0, 1) * _DARKEST
    z = np.where(np.isfinite(twice), np.nan_to_num(shade), _NOTHING).astype(np.uint8)
    drawn = _raster(
        z,
        days,
        48,
        colorscale=_ACTIVITY_COLORS,
        zmin=0,
        zmax=255,
        hovertemplate="row of %{y|%a %-d %b}, %{x|%H:%M}<extra></extra>",
    )
    figure = _days_down(drawn, days, marks, hours=48)
    figure["layout"]["shapes"] += [_upright("1970-01-02T00:00")]
    return figure


def sleep_figure(stages: NDArray[np.uint8], days: Sequence[date], marks: Sequence[Mark]) -> Figure:
    """Draw sleep (days, bins from noon to noon): 0 awake, 1 asleep or light, 2 deep, 3 REM, 255 not worn."""
    z = np.where(stages == _NOTHING, len(SLEEP_COLORS), stages).astype(np.uint8)
    steps = (*SLEEP_COLORS, NOT_RECORDED)
    scale = [
        [edge, color] for k, color in enumerate(steps) for edge in (k / len(steps), (k + 1) / len(steps))
    ]
    drawn = _raster(
        z,
        days,
        colorscale=scale,
        zmin=-0.5,
        zmax=len(steps) - 0.5,
        hovertemplate="night to %{y|%a %-d %b}, %{x|%H:%M}<extra></extra>",
    )
    drawn["x0"] = _clock(12 * 60 + BIN_MIN / 2)
    figure = _days_down(drawn, days, marks, hours=24)
    figure["layout"]["xaxis"]["range"] = [_clock(12 * 60), _clock(36 * 60)]
    figure["layout"]["shapes"] += [_upright("1970-01-02T00:00")]
    return figure


def worn_figure(
    share: NDArray[np.float64], days: Sequence[date], said: Sequence[Sequence[str]], marks: Sequence[Mark]
) -> Figure:
    """Draw the recorded share (hours, days) of each hour, 0-1; gold where nothing was recorded."""
    percent = np.round(100 * np.nan_to_num(share)).astype(np.uint8)
    drawn = {
        "type": "heatmap",
        "z": typed(percent),
        "x": [day.isoformat() for day in days],
        "y0": 0.5,
        "dy": 1,
        "zmin": 0,
        "zmax": 100,
        "colorscale": [[0.0, NOT_RECORDED], [0.5, "#efe3bd"], [1.0, "#5b7d95"]],
        "showscale": False,
        "text": said,
        "hovertemplate": "%{x|%a %-d %b}, hour from %{y:.0f}: %{z} %{text}<extra></extra>",
    }
    lines, _ = vertical_marks(marks, days)
    yaxis = axis(range=[24, 0], tickvals=[0, 6, 12, 18, 24], ticktext=["00", "06", "12", "18", "24"])
    return {"data": [drawn], "layout": layout(xaxis=night_axis(days), yaxis=yaxis, shapes=lines)}


def _raster(z: NDArray[Any], days: Sequence[date], hours: int = 24, **more: object) -> dict[str, Any]:
    """Return a heat map with a row for each day, its columns on the wall clock."""
    bin_ms = hours * 3_600_000 / z.shape[1]
    return {
        "type": "heatmap",
        "z": typed(z),
        "x0": _clock(bin_ms / 120_000),
        "dx": bin_ms,
        "y0": days[0].isoformat(),
        "dy": _DAY_MS,
        "showscale": False,
        **more,
    }


def _days_down(drawn: dict[str, Any], days: Sequence[date], marks: Sequence[Mark], *, hours: int) -> Figure:
    xaxis = axis(
        type="date",
        range=[_clock(0), _clock(hours * 60)],
        tickformat="%H",
        dtick=(3 if hours == 24 else 6) * 3_600_000,
        tick0=_clock(0),
        showgrid=False,
    )
    yaxis = axis(
        type="date",
        range=[noon(days[-1], 0), noon(days[0], -1)],
        tickformat="%-d %b",
        nticks=9,
        showgrid=False,
    )
    shown = [mark for mark in marks if days[0] <= mark.day <= days[-1]]
    lines = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1,
            "y0": noon(mark.day, -1),
            "y1": noon(mark.day, -1),
            "line": {"color": mark.color, "width": 1, "dash": mark.dash},
        }
        for mark in shown
    ]
    heads = [
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "left",
            "y": noon(mark.day, -1),
            "text": mark.shape,
            "showarrow": False,
            "font": {"color": mark.color, "size": 11},
            "hovertext": mark.said,
        }
        for mark in shown
    ]
    return {
        "data": [drawn],
        "layout": layout(
            xaxis=xaxis, yaxis=yaxis, shapes=lines, annotations=heads, plot_bgcolor=NOT_RECORDED
        ),
    }


def _upright(at: str) -> dict[str, Any]:
    return {
        "type": "line",
        "yref": "paper",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": {"color": "#8795a1", "width": 1},
    }


def _clock(minutes: float) -> str:
    """Return minutes from midnight as a time of the day that all rasters are drawn on."""
    day = date(1970, 1, 1) + timedelta(days=int(minutes // 1440))
    rest = minutes % 1440
    return f"{day.isoformat()}T{int(rest // 60):02d}:{int(rest % 60):02d}:{round(rest % 1 * 60):02d}"
