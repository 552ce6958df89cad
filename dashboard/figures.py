"""The one factory of figures: plain dicts (an order faster to make than figure objects), typed arrays, locks.

A gap stays a gap: nothing is drawn across missing nights, windows or seconds.
"""

import base64
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.words import day_text, digits_apart, local_time, number_text, percent_text, span_text
from features.nights import Nights
from features.specs import FeatureSpec
from features.windows import Windows
from models.baseline import Band
from store.registry.flags import StoredFlag
from store.units import NS_PER_MS, NS_PER_S

Figure = dict[str, Any]

CONFIG: dict[str, Any] = {
    # plotly.js 4 would offer to upload the chart, that is a patient's data, to its maker's servers.
    "showSendToCloud": False,
    "plotlyServerURL": "",
    "displaylogo": False,
    "displayModeBar": False,
    "responsive": True,
}

INK, LINE, QUIET, GRID = "#20303c", "#1f3a5f", "#5d6f7e", "#e6ebf0"
BAND, OUTSIDE, FLAG, COVERED, NOT_COVERED = "#d3e0ec", "#b3400e", "#6d1a36", "#5b7d95", "#e3b448"
_FONT = {
    "family": 'system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
    "size": 12,
    "color": INK,
}
_LEFT_MARGIN_PX = 46
"""The same in every chart, so that nights stand below each other."""
_DAY_MS = 86_400_000
_MIN_NIGHTS = 14
"""The narrowest axis of nights: one night must not look like all there is to see."""
LIVE_SPAN_S = 300
_LIVE_GAP_S = 5
"""Straps send about once a second; five seconds without a sample are drawn as a gap."""
_MIN_LIVE_SPAN_BPM = 20.0
"""A resting heart within 3 beats/min must not fill the axis and look like a storm."""


def typed(values: NDArray[Any]) -> dict[str, str]:
    """Return an array as plotly's base64 form: exact, a third of the bytes of JSON numbers."""
    code = values.dtype.str.lstrip("<|=")
    return {"dtype": code, "bdata": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()}


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open spans in which a mask (n,) is true.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


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
            _noon(nights[start], -1),
            *(day.isoformat() for day in nights[start:end]),
            _noon(nights[end - 1], 0),
        ]
        lower = [low[start], *low[start:end], low[end - 1]]
        upper = [high[start], *high[start:end], high[end - 1]]
        x += [*days, *days[::-1], days[0], None]
        y += [*(float(v) for v in (*lower, *upper[::-1], lower[0])), None]
    return x, y


def nightly_figure(
    spec: FeatureSpec, nights: Nights, band: Band, flags: Sequence[StoredFlag], shown: slice
) -> Figure:
    """Draw one feature night by night over the personal band; nights outside it as diamonds, flags as lines.

    Parameters
    ----------
    shown : slice
        The nights to draw.
    """
    days, values = nights.nights[shown], nights.values[spec.name][shown]
    low, high, usual = band.low[shown], band.high[shown], band.usual[shown]
    is_outside = (values < low) | (values > high)
    x = [day.isoformat() for day in days]
    band_x, band_y = band_outline(days, low, high)
    traces: list[dict[str, Any]] = [
        _trace(band_x, band_y, fill="toself", fillcolor=BAND, line={"width": 0}, hoverinfo="skip"),
        _trace(
            x,
            typed(usual.astype(np.float32)),
            line={"color": QUIET, "width": 1, "dash": "dot"},
            hoverinfo="skip",
        ),
        _trace(
            x,
            typed(values.astype(np.float32)),
            mode="lines+markers",
            line={"color": LINE, "width": 1.5},
            marker={
                "symbol": np.where(is_outside, "diamond", "circle").tolist(),
                "size": np.where(is_outside, 9, 4.5).tolist(),
                "color": np.where(is_outside, OUTSIDE, LINE).tolist(),
                "opacity": 1,
                "line": {"width": 0},
            },
            hovertext=[_night_words(spec, *row) for row in zip(days, values, low, high, usual, strict=True)],
            hoverinfo="text",
        ),
    ]
    lines, marks = _flag_marks(flags, days)
    layout = _layout(xaxis=_night_axis(days), yaxis=_value_axis(spec.unit), shapes=lines, annotations=marks)
    return {"data": traces, "layout": layout | {"margin": layout["margin"] | {"t": 20}}}


def coverage_figure(nights: Nights, min_coverage_frac: float, shown: slice) -> Figure:
    """Draw how much of each night was covered, and what was missing in its own colour, never as zero."""
    days = nights.nights[shown]
    covered = 100 * np.nan_to_num(nights.coverage_frac[shown], nan=0.0)
    x = [day.isoformat() for day in days]
    said = [
        f"{day_text(day)}: {percent_text(frac)} covered" + (f"<br>{reason}" if reason else "")
        for day, frac, reason in zip(days, nights.coverage_frac[shown], nights.reasons[shown], strict=True)
    ]
    bars = [
        {
            "type": "bar",
            "x": x,
            "width": 0.85 * _DAY_MS,  # of a single night plotly would make a hairline
            "y": typed(height.astype(np.float32)),
            "marker": {"color": color},
            "hovertext": said,
            "hoverinfo": "text",
        }
        for height, color in ((covered, COVERED), (100 - covered, NOT_COVERED))
    ]
    needed = {
        "type": "line",
        "xref": "paper",
        "x0": 0,
        "x1": 1,
        "y0": 100 * min_coverage_frac,
        "y1": 100 * min_coverage_frac,
        "line": {"color": INK, "width": 1, "dash": "dot"},
    }
    yaxis = _value_axis("%") | {"range": [0, 100], "tickvals": [0, 50, 100]}
    layout = _layout(xaxis=_night_axis(days), yaxis=yaxis, shapes=[needed])
    return {"data": bars, "layout": layout | {"barmode": "stack"}}


def live_figure(
    t_ns: NDArray[np.int64], heart_rate_bpm: NDArray[np.float64], now_ns: int, zone: str
) -> Figure:
    """Draw the heart rate of the last five minutes on the wall clock of `zone`."""
    local_ms, bpm = _with_gaps(t_ns, heart_rate_bpm, _LIVE_GAP_S * NS_PER_S, zone)
    now_ms = (now_ns + _offset_ns(now_ns, zone)) / NS_PER_MS
    trace = _trace(
        typed(local_ms),
        typed(bpm.astype(np.float32)),
        line={"color": LINE, "width": 1.8},
        hovertemplate="%{x|%H:%M:%S}: %{y:.0f} beats/min<extra></extra>",
    )
    xaxis = _axis(type="date", range=[now_ms - LIVE_SPAN_S * 1e3, now_ms], tickformat="%H:%M", dtick=60_000)
    yaxis = _value_axis("beats/min") | {"range": _padded_range(bpm)}
    said = [] if np.isfinite(bpm).any() else [_note("No heart rate in the last five minutes")]
    return {"data": [trace], "layout": _layout(xaxis=xaxis, yaxis=yaxis, annotations=said)}


def night_figure(
    windows: Windows, bounds_ns: tuple[int, int], nocturnal_ns: tuple[int, int], zone: str, window_s: int
) -> Figure:
    """Draw heart rate and RMSSD through one night, noon to noon, with the nocturnal hours shaded.

    The axis keeps the offset from UTC in force at its end, so that time never runs backwards where clocks
    change; the change itself is marked.
    """
    gap_ns = round(1.5 * window_s * NS_PER_S)
    traces: list[dict[str, Any]] = []
    for name, axis, color in (("mean_hr_bpm", "y", LINE), ("rmssd_ms", "y2", COVERED)):
        x, y = _with_gaps(windows.start_ns, windows.values[name], gap_ns, zone, bounds_ns[1])
        unit = "beats/min" if axis == "y" else "ms"
        traces.append(
            _trace(
                typed(x),
                typed(y.astype(np.float32)),
                yaxis=axis,
                mode="lines+markers",
                marker={"size": 3, "color": color},
                line={"color": color, "width": 1.3},
                hovertemplate=f"%{{x|%H:%M}}: %{{y:.0f}} {unit}<extra></extra>",
            )
        )
    offset_ns = _offset_ns(bounds_ns[1], zone)
    local = [(t + offset_ns) / NS_PER_MS for t in (*bounds_ns, *nocturnal_ns)]
    shade = {
        "type": "rect",
        "yref": "paper",
        "x0": local[2],
        "x1": local[3],
        "y0": 0,
        "y1": 1,
        "fillcolor": "#eef2f6",
        "line": {"width": 0},
        "layer": "below",
    }
    layout = _layout(
        xaxis=_axis(type="date", range=local[:2], tickformat="%H:%M", dtick=3 * 3_600_000, anchor="y2"),
        yaxis=_value_axis("beats/min") | {"domain": [0.55, 1]},
        yaxis2=_value_axis("RMSSD, ms") | {"domain": [0, 0.45], "rangemode": "tozero"},
        shapes=[shade],
        annotations=_clock_change(bounds_ns, zone) if len(windows) else [_note("No beats this night")],
    )
    return {"data": traces, "layout": layout}


def _trace(x: object, y: object, **more: object) -> dict[str, Any]:
    return {"type": "scatter", "mode": "lines", "connectgaps": False, "x": x, "y": y} | more


def _layout(**more: object) -> dict[str, Any]:
    return {
        "font": _FONT,
        "margin": {"l": _LEFT_MARGIN_PX, "r": 10, "t": 8, "b": 26},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "dragmode": False,
    } | more


def _axis(**more: object) -> dict[str, Any]:
    return {
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 11, "color": QUIET},
        "automargin": False,
    } | more


def _value_axis(unit: str) -> dict[str, Any]:
    title = {"text": unit, "font": {"size": 11, "color": QUIET}, "standoff": 4}
    return _axis(title=title, nticks=5)


def _night_axis(days: Sequence[date]) -> dict[str, Any]:
    first = min(days[0], days[-1] - timedelta(days=_MIN_NIGHTS - 1)) if days else None
    span = [_noon(first, -1), _noon(days[-1], 0)] if first else None
    return _axis(
        type="date",
        range=span,
        tickformat="%-d %b",
        nticks=9,
    )


def _noon(day: date, shift_days: int) -> str:
    return f"{(day + timedelta(days=shift_days)).isoformat()}T12:00"


def _night_words(spec: FeatureSpec, day: date, value: float, low: float, high: float, usual: float) -> str:
    digits = digits_apart(value, low, high)
    said = f"{day_text(day)}: {number_text(value, digits)} {spec.unit}"
    if np.isnan(usual):
        return f"{said}<br>own band: learning"
    return f"{said}<br>own band {span_text(low, high, digits)}, usual {number_text(usual, digits)}"


def _flag_marks(
    flags: Sequence[StoredFlag], days: Sequence[date]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    shown = [stored.flag for stored in flags if days and days[0] <= stored.flag.night <= days[-1]]
    lines = [
        {
            "type": "line",
            "yref": "paper",
            "x0": flag.night.isoformat(),
            "x1": flag.night.isoformat(),
            "y0": 0,
            "y1": 1,
            "line": {"color": FLAG, "width": 1.4, "dash": "dash"},
        }
        for flag in shown
    ]
    marks = [
        {
            "x": flag.night.isoformat(),
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "text": "◆",
            "showarrow": False,
            "font": {"color": FLAG, "size": 13},
            "hovertext": f"Flag raised {day_text(flag.night)}",
        }
        for flag in shown
    ]
    return lines, marks


def _offset_ns(t_ns: int, zone: str) -> int:
    offset = local_time(t_ns, zone).utcoffset() or timedelta()
    return round(offset.total_seconds()) * NS_PER_S


def _with_gaps(
    t_ns: NDArray[np.int64],
    values: NDArray[np.float64],
    gap_ns: int,
    zone: str,
    offset_at_ns: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return local milliseconds and values, with a NaN after each sample that the next is far from."""
    if not len(t_ns):
        return np.empty(0), np.empty(0)
    offset_ns = _offset_ns(int(t_ns[-1]) if offset_at_ns is None else offset_at_ns, zone)
    before_gap = np.flatnonzero(np.diff(t_ns) > gap_ns) + 1
    local_ms = (t_ns + offset_ns) / NS_PER_MS
    return np.insert(local_ms, before_gap, local_ms[before_gap - 1] + 1), np.insert(
        values, before_gap, np.nan
    )


def _note(text: str) -> dict[str, Any]:
    font = {"size": 13, "color": QUIET}
    return {
        "xref": "paper",
        "x": 0.5,
        "yref": "paper",
        "y": 0.5,
        "text": text,
        "showarrow": False,
        "font": font,
    }


def _padded_range(values: NDArray[np.float64]) -> list[float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [40.0, 120.0]
    middle = float(finite.min() + finite.max()) / 2
    half = max(float(np.ptp(finite)) * 0.6, _MIN_LIVE_SPAN_BPM / 2)
    return [middle - half, middle + half]


def _clock_change(bounds_ns: tuple[int, int], zone: str) -> list[dict[str, Any]]:
    start_offset_ns, end_offset_ns = (_offset_ns(t, zone) for t in bounds_ns)
    if start_offset_ns == end_offset_ns:
        return []
    hours = (end_offset_ns - start_offset_ns) / NS_PER_S / 3600
    said = f"Clocks changed by {hours:+.0f} h this night; the axis shows the later time"
    return [
        {
            "xref": "paper",
            "x": 0,
            "y": 1,
            "yref": "paper",
            "text": said,
            "showarrow": False,
            "xanchor": "left",
        }
    ]
