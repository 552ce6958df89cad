"""Figures of nights: a marker over its own band, assessments on the same axis."""

import math
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.figures import (
    BAND,
    INK,
    LINE,
    OUTSIDE,
    QUIET,
    Figure,
    Mark,
    axis,
    layout,
    night_axis,
    noon,
    runs,
    trace,
    typed,
    value_axis,
    vertical_marks,
)
from dashboard.markers import Marker, Series
from dashboard.words import clock_text, day_text, digits_apart
from store.instruments import INSTRUMENTS
from store.registry.assessments import Assessment

_TOP_PX = 18
_SCALES = {
    "PHQ-9": (LINE, "circle", "solid"),
    "GAD-7": ("#8f5aa8", "square", "dot"),
    "MADRS": ("#20303c", "triangle-up", "dash"),
    "YMRS": ("#b4531d", "diamond", "dashdot"),
}
"""How the lines of scales look: a colour, a shape and a dash each."""


def band_outline(
    nights: Sequence[date], low: NDArray[np.float64], high: NDArray[np.float64]
) -> tuple[list[str | None], list[float | None]]:
    """Return x and y of closed polygons around a band, one per run of nights that have it.

    Each reaches half a day beyond its first and last night, so that a single night is visible too.
    """
    x: list[str | None] = []
    y: list[float | None] = []
    for start, end in runs(np.isfinite(low) & np.isfinite(high)):
        days = [
            noon(nights[start], -1),
            *(day.isoformat() for day in nights[start:end]),
            noon(nights[end - 1], 0),
        ]
        lower = [low[start], *low[start:end], low[end - 1]]
        upper = [high[start], *high[start:end], high[end - 1]]
        x += [*days, *days[::-1], days[0], None]
        y += [*np.array([*lower, *upper[::-1], lower[0]], float).tolist(), None]
    return x, y


def series_figure(series: Series, nights: Sequence[date], shown: slice, marks: Sequence[Mark]) -> Figure:
    """Draw one marker night by night over the personal band; nights outside it as diamonds.

    Parameters
    ----------
    nights : sequence of date
        All, of which `shown` are drawn.
    """
    days, values, marker = list(nights[shown]), series.values[shown], series.marker
    low, high, usual = (edge[shown] for edge in (series.band.low, series.band.high, series.band.usual))
    is_outside, is_other = series.is_outside[shown], series.is_other[shown]
    x = [day.isoformat() for day in days]
    band_x, band_y = band_outline(days, low, high)
    traces: list[dict[str, Any]] = [
        trace(band_x, band_y, fill="toself", fillcolor=BAND, line={"width": 0}, hoverinfo="skip"),
        trace(
            x,
            typed(usual.astype(np.float32)),
            line={"color": QUIET, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        ),
        trace(
            x,
            typed(values.astype(np.float32)),
            mode="lines+markers",
            line={"color": LINE, "width": 1.5},
            marker={
                "symbol": np.select([is_other, is_outside], ["circle-open", "diamond"], "circle").tolist(),
                "size": np.where(is_outside, 9, 4.5).tolist(),
                "color": np.where(is_outside, OUTSIDE, LINE).tolist(),
                "opacity": 1,
                "line": {"width": np.where(is_other, 1, 0).tolist()},
            },
            hovertext=[
                _night_words(marker, day, *row) if not other else _other_words(marker, day, row[0])
                for day, row, other in zip(
                    days, np.stack([values, low, high, usual], 1).tolist(), is_other.tolist(), strict=True
                )
            ],
            hoverinfo="text",
        ),
    ]
    lines, heads = vertical_marks(marks, days)
    drawn = layout(
        xaxis=night_axis(days), yaxis=_marker_axis(marker, values, low, high), shapes=lines, annotations=heads
    )
    return {"data": traces, "layout": drawn | {"margin": drawn["margin"] | {"t": _TOP_PX}}}


def assessments_figure(
    assessments: Sequence[Assessment], days: Sequence[date], marks: Sequence[Mark]
) -> Figure:
    """Draw the totals of scales as steps on the axis of the nights, each as a share of its highest."""
    traces = [
        _scale_trace([each for each in assessments if each.instrument == name])
        for name in _SCALES
        if any(each.instrument == name for each in assessments)
    ]
    lines, heads = vertical_marks(marks, days)
    yaxis = value_axis("% of highest") | {"range": [0, 100], "tickvals": [0, 25, 50, 75, 100]}
    drawn = layout(xaxis=night_axis(days), yaxis=yaxis, shapes=lines, annotations=heads)
    return {"data": traces, "layout": drawn | {"margin": drawn["margin"] | {"t": _TOP_PX}}}


def _scale_trace(assessments: Sequence[Assessment]) -> dict[str, Any]:
    name = assessments[0].instrument
    highest = INSTRUMENTS[name].highest_total
    color, symbol, dash = _SCALES[name]
    return trace(
        [each.on.isoformat() for each in assessments],
        [100 * each.total / highest for each in assessments],
        mode="lines+markers+text",
        line={"color": color, "width": 1.5, "shape": "hv", "dash": dash},
        marker={"size": 7, "color": color, "symbol": symbol},
        text=[str(each.total) for each in assessments],
        textposition="top center",
        textfont={"size": 11, "color": INK},
        hovertext=[f"{name}, {day_text(each.on)}: {each.total} of {highest}" for each in assessments],
        hoverinfo="text",
    )


def _marker_axis(
    marker: Marker, values: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the vertical axis; hours read as times of day where they are."""
    unit = {"clock": "", "duration": "hours"}.get(marker.kind, marker.unit)
    if not marker.is_clock:
        return value_axis(unit) | {"rangemode": "nonnegative"}
    known = np.concatenate([values, low, high])
    known = known[np.isfinite(known)]
    if not len(known):
        return value_axis(unit)
    span_h = max(float(np.ptp(known)), 1.0)
    step_h = next(step for step in (0.5, 1, 2, 3, 6, 12) if span_h / step <= 5 or step == 12)
    first, last = math.floor(known.min() / step_h), math.ceil(known.max() / step_h)
    ticks = [at * step_h for at in range(first, last + 1)]
    return axis(tickvals=ticks, ticktext=[clock_text(tick) for tick in ticks])


def _other_words(marker: Marker, day: date, value: float) -> str:
    return f"{day_text(day)}: {marker.said(value)}<br>by another sensor: compared with nothing"


def _night_words(marker: Marker, day: date, value: float, low: float, high: float, usual: float) -> str:
    digits = digits_apart(value, low, high)
    said = f"{day_text(day)}: {marker.said(value, digits)}"
    if math.isnan(usual):
        return f"{said}<br>own band: learning"
    return f"{said}<br>{band_words(marker, low, high, usual, digits)}"


def band_words(marker: Marker, low: float, high: float, usual: float, digits: int = 0) -> str:
    """Say the own band, the unit once."""
    unit = f" {marker.unit}" if marker.unit and marker.kind in ("number", "grouped") else ""
    edges = [marker.said(edge, digits).removesuffix(unit) for edge in (low, high, usual)]
    return f"own band {edges[0]} to {edges[1]}, usual {edges[2]}"
