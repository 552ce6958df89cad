"""Heart rate at the resolution of what is in sight: hours over weeks, true samples once zoomed in."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import cast

import numpy as np
from dash import Input, Output, Patch, State
from dash.development.base_component import Component
from dash.exceptions import PreventUpdate
from numpy.typing import NDArray

from dashboard.caseload import read_patient
from dashboard.charts import Chart, table_of
from dashboard.figures import (
    BAND,
    LEFT_MARGIN_PX,
    LINE,
    RIGHT_MARGIN_PX,
    Figure,
    axis,
    layout,
    note,
    offset_ns,
    runs,
    trace,
    typed,
    value_axis,
    with_gaps,
)
from dashboard.gate import subject_at
from dashboard.pulse import without_contact_removed
from dashboard.rhythm import HeartGrid, heart_grid, percentiles
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import day_text, number_text
from features.windows import read_windows
from store.streams import HEART_RATE, RR_INTERVAL
from store.units import NS_PER_MS, NS_PER_S

OVERVIEW_DAYS = 28
SAMPLES_WITHIN_S = 3 * 86_400
"""Up to three days true samples are read: a few hundred thousand, a tenth of a second."""
WINDOWS_WITHIN_S = 9 * 86_400
MOST_POINTS = 2_400
"""Twice as many as a wide chart has columns: the least and the largest of each stay in sight."""
_SAMPLE_GAP_NS, _WINDOW_GAP_NS = 30 * NS_PER_S, 450 * NS_PER_S
_HOUR_MS = 3_600_000
_PERCENTILES = (5, 50, 95)
_TWO_LINES_PX = 38
_TICKS = [
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
    {"dtickrange": [60_000, 12 * _HOUR_MS], "value": "%H:%M\n%-d %b"},
    {"dtickrange": [12 * _HOUR_MS, None], "value": "%-d %b"},
]

Times, Values = NDArray[np.int64], NDArray[np.float64]


def zoom_card(grid: HeartGrid) -> Component:
    """Return the chart with the last weeks by the hour; dragging over it shows more."""
    days, bpm = grid.days[-OVERVIEW_DAYS:], grid.bpm[-OVERVIEW_DAYS:]
    known = np.isfinite(bpm).any(axis=1)
    found = np.stack(percentiles(bpm, _PERCENTILES), axis=1)
    rows = [
        [day_text(day), *map(number_text, row)]
        for day, row in zip(days[::-1], found[::-1].tolist(), strict=True)
    ]
    return Chart(
        chart_id="zoom-chart",
        heading="Heart rate, zoom in",
        key="drag to zoom, double click for all · within three days: every sample",
        sentence=(
            f"Heart rate by the hour, last {len(days)} days, {int(known.sum())} of them with data; zooming "
            "in shows every sample. The table has the range of each day."
        ),
        figure=overview_figure(grid),
        height_px=210,
        table=table_of(["Day", "5 %", "Median", "95 %"], rows),
    ).card()


def overview_figure(grid: HeartGrid) -> Figure:
    """Draw the median and the range of each hour of the last weeks, on the wall clock."""
    days, bpm = grid.days[-OVERVIEW_DAYS:], grid.bpm[-OVERVIEW_DAYS:]
    first_ms = (days[0] - date(1970, 1, 1)).days * 24 * _HOUR_MS
    hours = bpm.reshape(len(days) * 24, -1)
    x = np.asarray(first_ms + (np.arange(len(hours)) + 0.5) * _HOUR_MS, np.float64)
    low, middle, high = percentiles(hours, _PERCENTILES)
    band_x, band_y = _outline(x, low, high)
    traces = [
        trace(band_x, band_y, fill="toself", fillcolor=BAND, line={"width": 0}, hoverinfo="skip"),
        trace(
            typed(x),
            typed(middle.astype(np.float32)),
            line={"color": LINE, "width": 1.3},
            hovertemplate="%{x|%a %-d %b, %H:%M}: %{y:.0f} beats/min<extra></extra>",
        ),
    ]
    span = [first_ms, first_ms + len(days) * 24 * _HOUR_MS]
    xaxis = axis(
        type="date",
        range=span,
        fixedrange=False,
        minallowed=span[0],
        maxallowed=span[1],
        tickformatstops=_TICKS,
        nticks=9,
    ) | {"ticklabeloverflow": "hide past div"}  # hours of a day stand at the very edges
    empty = [] if np.isfinite(middle).any() else [note("No heart rate in these weeks")]
    return {
        "data": traces,
        "layout": layout(
            xaxis=xaxis,
            yaxis=value_axis("beats/min"),
            dragmode="zoom",
            annotations=empty,
            uirevision="keep",
            margin={"l": LEFT_MARGIN_PX, "r": RIGHT_MARGIN_PX, "t": 8, "b": _TWO_LINES_PX},
        ),
    }


def _outline(x: Values, low: Values, high: Values) -> tuple[list[float | None], list[float | None]]:
    """Return closed polygons around a band, one for each run of hours that have it."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for start, end in runs(np.isfinite(low)):
        part = x[start:end].tolist()
        xs += [*part, *part[::-1], None]
        ys += [*low[start:end].tolist(), *high[start:end].tolist()[::-1], None]
    return xs, ys


def connect_zoom(app: Shell, sources: Sources) -> None:
    """Put what is in sight into the chart whenever somebody zooms."""

    def zoom(moved: object, path: object) -> Patch:
        subject = subject_at(sources, path)
        span_ms = span_of(moved)
        if span_ms is None and not is_reset(moved):
            raise PreventUpdate
        if span_ms is None or span_ms[1] - span_ms[0] > WINDOWS_WITHIN_S * 1000:
            return _overview(heart_grid(sources, read_patient(sources, subject)))
        shift_ns = offset_ns(round(span_ms[1] * NS_PER_MS), subject.zone)
        start_ns, end_ns = (round(ms * NS_PER_MS) - shift_ns for ms in span_ms)
        t_ns, bpm, gap_ns = read_heart(sources, subject.subject_id, start_ns, end_ns)
        x, y = least_and_largest(*with_gaps(t_ns, bpm, gap_ns, subject.zone, end_ns))
        return _patched(x, y, "%{x|%a %-d %b, %H:%M:%S}: %{y:.0f} beats/min<extra></extra>")

    app.connect(
        zoom,
        Output("zoom-chart", "figure"),
        [Input("zoom-chart", "relayoutData"), State("address", "pathname")],
        on_load=False,
    )


def _overview(grid: HeartGrid) -> Patch:
    figure = overview_figure(grid)
    line, patched = figure["data"][1], Patch()
    patched["layout"]["xaxis"]["autorange"] = False
    patched["layout"]["xaxis"]["range"] = figure["layout"]["xaxis"]["range"]
    for name in ("x", "y", "hovertemplate"):
        patched["data"][1][name] = line[name]
    return patched


def _patched(x: Values, y: Values, hover: str) -> Patch:
    patched = Patch()
    patched["data"][1]["x"] = typed(x)
    patched["data"][1]["y"] = typed(y.astype(np.float32))
    patched["data"][1]["hovertemplate"] = hover
    return patched


def is_reset(moved: object) -> bool:
    """Say whether somebody asked for everything, which plotly calls a range of its own choice."""
    return isinstance(moved, dict) and cast("Mapping[str, object]", moved).get("xaxis.autorange") is True


def span_of(moved: object) -> tuple[float, float] | None:
    """Return the times in sight, ms on the wall clock, of what plotly says when somebody zooms.

    >>> span_of({"xaxis.range[0]": "2026-01-01 00:00", "xaxis.range[1]": "2026-01-01 00:01"})
    (1767225600000.0, 1767225660000.0)
    """
    if not isinstance(moved, dict):
        return None
    told = cast("Mapping[str, object]", moved)
    whole = told.get("xaxis.range")  # what a double click says
    pair = cast("list[object]", whole) if isinstance(whole, list) else []
    if len(pair) != 2:
        pair = [told.get(f"xaxis.range[{at}]") for at in (0, 1)]
    edges = [_ms_of(edge) for edge in pair]
    return (
        (edges[0], edges[1])
        if edges[0] is not None and edges[1] is not None and edges[0] < edges[1]
        else None
    )


def _ms_of(edge: object) -> float | None:
    if isinstance(edge, (int, float)):
        return float(edge) if 0 <= edge < 1e14 else None
    try:
        return datetime.fromisoformat(str(edge)[:26]).replace(tzinfo=UTC).timestamp() * 1000
    except ValueError:
        return None


def read_heart(sources: Sources, subject_id: str, start_ns: int, end_ns: int) -> tuple[Times, Values, int]:
    """Return times, heart rates, and how far samples may be apart: all samples of few days, else windows."""
    if end_ns - start_ns > SAMPLES_WITHIN_S * NS_PER_S:
        return _windows(sources, subject_id, start_ns, end_ns)
    told = sources.store.read(HEART_RATE, subject_id, start_ns, end_ns)
    beats = sources.store.read(RR_INTERVAL, subject_id, start_ns, end_ns)
    if not len(beats) and not len(told):  # forgotten by now; what was made of them is not
        return _windows(sources, subject_id, start_ns, end_ns)
    if len(beats) > 2 * len(told):  # beats were stored, and the wearable's own rate hardly ever
        held = (
            beats if len(beats.sensors) < 2 else beats.of_sensor(beats.sensors[int(beats.sensor_index[-1])])
        )
        return held.t_ns, 60_000 / np.maximum(held["rr_ms"], 1.0), _SAMPLE_GAP_NS
    held = told if len(told.sensors) < 2 else told.of_sensor(told.sensors[int(told.sensor_index[-1])])
    return held.t_ns, without_contact_removed(held["heart_rate_bpm"], held["skin_contact"]), _SAMPLE_GAP_NS


def _windows(sources: Sources, subject_id: str, start_ns: int, end_ns: int) -> tuple[Times, Values, int]:
    windows = read_windows(sources.store, subject_id, start_ns, end_ns)
    return windows.start_ns, windows.values["mean_hr_bpm"], _WINDOW_GAP_NS


def least_and_largest(x: Values, y: Values) -> tuple[Values, Values]:
    """Return about `MOST_POINTS` true samples: the extremes of each part, and where the line is broken.

    Parameters
    ----------
    x, y : (n,) float64
        Ascending times and values; a NaN breaks the line.
    """
    parts = MOST_POINTS // 2
    if len(x) <= MOST_POINTS:
        return x, y
    width = -(-len(x) // parts)
    missing = np.isnan(np.concatenate([y, np.full(parts * width - len(y), np.nan)])).reshape(parts, width)
    rows = np.concatenate([y, np.zeros(parts * width - len(y))]).reshape(parts, width)
    known = ~missing.all(axis=1)
    first = np.arange(parts)[known] * width
    kept = [first + np.where(missing, np.inf, rows)[known].argmin(axis=1)]
    kept.append(first + np.where(missing, -np.inf, rows)[known].argmax(axis=1))
    seen_ms = (x[-1] - x[0]) / parts  # a shorter gap is narrower than the line
    for start, end in runs(np.isnan(y)):
        before, after = max(start - 1, 0), min(end, len(x) - 1)
        if x[after] - x[before] > seen_ms:
            kept.append(np.array([before, start, after]))
    chosen = np.unique(np.concatenate(kept))
    return x[chosen], y[chosen]
