"""Figures of one night and of the last minutes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.figures import (
    COVERED,
    LINE,
    Figure,
    axis,
    layout,
    note,
    offset_ns,
    trace,
    typed,
    value_axis,
    with_gaps,
)
from features.windows import Windows
from store.units import NS_PER_MS, NS_PER_S

LIVE_SPAN_S = 300
_LIVE_GAP_S = 5
"""Straps send about once a second; five seconds without a sample are drawn as a gap."""
_MIN_LIVE_SPAN_BPM = 20.0
"""A resting heart within 3 beats/min must not fill the axis and look like a storm."""


def live_figure(
    t_ns: NDArray[np.int64], heart_rate_bpm: NDArray[np.float64], now_ns: int, zone: str
) -> Figure:
    """Draw the heart rate of the last five minutes on the wall clock of `zone`."""
    local_ms, bpm = with_gaps(t_ns, heart_rate_bpm, _LIVE_GAP_S * NS_PER_S, zone)
    now_ms = (now_ns + offset_ns(now_ns, zone)) / NS_PER_MS
    line = trace(
        typed(local_ms),
        typed(bpm.astype(np.float32)),
        line={"color": LINE, "width": 1.8},
        hovertemplate="%{x|%H:%M:%S}: %{y:.0f} beats/min<extra></extra>",
    )
    xaxis = axis(type="date", range=[now_ms - LIVE_SPAN_S * 1e3, now_ms], tickformat="%H:%M", dtick=60_000)
    yaxis = value_axis("beats/min") | {"range": _padded_range(bpm)}
    said = [] if np.isfinite(bpm).any() else [note("No heart rate in the last five minutes")]
    return {"data": [line], "layout": layout(xaxis=xaxis, yaxis=yaxis, annotations=said)}


@dataclass(frozen=True)
class Hypnogram:
    """Stages of one night minute by minute: begin, and the stage of each, -1 where not scored."""

    start_ns: int
    stages: NDArray[np.int8]


STAGE_WORDS = {-1: "not scored", 0: "awake", 1: "asleep", 2: "light", 3: "deep", 4: "REM", 5: "asleep"}
_STAGE_LEVELS = {0: 3.0, 4: 2.0, 1: 1.0, 2: 1.0, 5: 1.0, 3: 0.0}
_STAGE_TICKS = (("deep", 0.0), ("light", 1.0), ("REM", 2.0), ("awake", 3.0))


def night_figure(
    windows: Windows,
    bounds_ns: tuple[int, int],
    nocturnal_ns: tuple[int, int],
    zone: str,
    window_s: int,
    hypnogram: Hypnogram | None = None,
) -> Figure:
    """Draw one night, noon to noon: stages where they are known, heart rate, RMSSD, and how complete RR are.

    The nocturnal hours are shaded. The axis keeps the offset from UTC in force at its end, so that time never
    runs backwards where clocks change; the change itself is marked.
    """
    shift_ns = offset_ns(bounds_ns[1], zone)
    local = [(t + shift_ns) / NS_PER_MS for t in (*bounds_ns, *nocturnal_ns)]
    panels = _window_panels(windows, bounds_ns, zone, window_s)
    if hypnogram is not None:
        panels.insert(0, _stage_panel(hypnogram, shift_ns))
    axes, traces = _stacked(panels)
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
    anchor = "y" if len(panels) == 1 else f"y{len(panels)}"
    drawn = layout(
        xaxis=axis(type="date", range=local[:2], tickformat="%H:%M", dtick=3 * 3_600_000, anchor=anchor)
        | {"ticklabeloverflow": "hide past div"},  # the last hour stands at the very edge
        shapes=[shade],
        annotations=_clock_change(bounds_ns, zone) if len(windows) else [note("No beats this night")],
        bargap=0,
    )
    return {"data": traces, "layout": drawn | axes}


_Panel = tuple[float, dict[str, Any], list[dict[str, Any]]]
"""Share of the height, axis, traces."""


def _stacked(panels: list[_Panel]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return axes and traces of panels one below the other."""
    gap = 0.07
    free = 1 - gap * (len(panels) - 1)
    total = sum(share for share, _, _ in panels)
    top = 1.0
    axes: dict[str, Any] = {}
    traces: list[dict[str, Any]] = []
    for number, (share, yaxis, drawn) in enumerate(panels, 1):
        bottom = top - free * share / total
        suffix = "" if number == 1 else str(number)
        axes[f"yaxis{suffix}"] = yaxis | {"domain": [max(0.0, bottom), top]}
        traces += [each | {"yaxis": f"y{suffix}"} for each in drawn]
        top = bottom - gap
    return axes, traces


def _alone(y: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which values, (n,), have none beside them, so that no line would show them."""
    known = np.concatenate([[False], np.isfinite(y), [False]])
    return known[1:-1] & ~known[:-2] & ~known[2:]


def _window_panels(windows: Windows, bounds_ns: tuple[int, int], zone: str, window_s: int) -> list[_Panel]:
    gap_ns = round(1.5 * window_s * NS_PER_S)
    panels: list[_Panel] = []
    for name, unit, color, more in (
        ("mean_hr_bpm", "beats/min", LINE, {}),
        ("rmssd_ms", "RMSSD, ms", COVERED, {"rangemode": "tozero"}),
    ):
        x, y = with_gaps(windows.start_ns, windows.values[name], gap_ns, zone, bounds_ns[1])
        said = f"%{{x|%H:%M}}: %{{y:.0f}} {unit.split(', ')[-1]}<extra></extra>"
        lines = [
            trace(
                typed(x),
                typed(y.astype(np.float32)),
                line={"color": color, "width": 1.3},
                hovertemplate=said,
            )
        ]
        if (lone := _alone(y)).any():
            dots = {"mode": "markers", "marker": {"size": 3, "color": color}, "hovertemplate": said}
            lines.append(trace(typed(x[lone]), typed(y[lone].astype(np.float32)), **dots))
        panels.append((3.0, value_axis(unit) | {"nticks": 4, **more}, lines))
    x, _ = with_gaps(windows.start_ns, windows.coverage_frac, 1 << 62, zone, bounds_ns[1])
    bars = {
        "type": "bar",
        "x": typed(x + window_s * 500),
        "y": typed((100 * windows.coverage_frac).astype(np.float32)),
        "width": window_s * 1000,
        "marker": {"color": COVERED, "line": {"width": 0}},
        "hovertemplate": "%{x|%H:%M}: %{y:.0f} % of the beats usable<extra></extra>",
    }
    quality = value_axis("RR, %") | {"range": [0, 100], "tickvals": [0, 100]}
    return [*panels, (1.0, quality, [bars])]


def _stage_panel(hypnogram: Hypnogram, shift_ns: int) -> _Panel:
    stages = hypnogram.stages
    changes = np.flatnonzero(np.diff(stages, prepend=np.int8(-9)))
    ends = np.append(changes[1:], len(stages))
    x: list[float | None] = []
    y: list[float | None] = []
    for start, end in zip(changes.tolist(), ends.tolist(), strict=True):
        level = _STAGE_LEVELS.get(int(stages[start]))
        at = [(hypnogram.start_ns + minute * 60 * NS_PER_S + shift_ns) / NS_PER_MS for minute in (start, end)]
        x += at
        y += [level, level]
    has_stages = bool(np.isin(stages, (2, 3, 4)).any())
    ticks = _STAGE_TICKS if has_stages else (("asleep", 1.0), ("awake", 3.0))
    line = trace(x, y, line={"color": "#1f3a5f", "width": 1.6}, hoverinfo="skip")
    yaxis = axis(
        range=[-0.4, 3.4],
        tickvals=[level for _, level in ticks],
        ticktext=[word for word, _ in ticks],
    )
    return 2.0, yaxis, [line]


def _padded_range(values: NDArray[np.float64]) -> list[float]:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return [40.0, 120.0]
    middle = float(finite.min() + finite.max()) / 2
    half = max(float(np.ptp(finite)) * 0.6, _MIN_LIVE_SPAN_BPM / 2)
    return [middle - half, middle + half]


def _clock_change(bounds_ns: tuple[int, int], zone: str) -> list[dict[str, Any]]:
    start_offset_ns, end_offset_ns = (offset_ns(t, zone) for t in bounds_ns)
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
