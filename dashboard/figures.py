"""The one factory of figures: plain dicts (an order faster to make than figure objects), typed arrays, locks.

A gap stays a gap: nothing is drawn across missing nights, windows or seconds.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dashboard.words import day_text, flag_shape, local_time, sentence_case
from store.registry.annotations import Annotation
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

INK, LINE, QUIET, GRID = "#1b2a35", "#1f3a5f", "#566572", "#eaeff3"
BAND, OUTSIDE, FLAG, COVERED, NOT_COVERED = "#d6e3ef", "#b3400e", "#6d1a36", "#5b7d95", "#e3b448"
MEDICATION, LIFE_EVENT = "#2c6e63", "#566572"
_FONT = {
    "family": 'Inter, system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif',
    "size": 12,
    "color": INK,
}
LEFT_MARGIN_PX = 46
"""The same in every chart of nights, so that nights stand below each other."""
RIGHT_MARGIN_PX = 18
"""Half of a date: the last label of an axis may stand at its very end."""
DAY_MS = 86_400_000
_MIN_NIGHTS = 14
"""The narrowest axis of nights: one night must not look like all there is to see."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened on a day and is drawn in every chart: a flag, medication, a life event."""

    day: date
    shape: str
    color: str
    dash: str
    said: str


def marks_of(
    flags: Sequence[StoredFlag], annotations: Sequence[Annotation], new_sensors: Mapping[date, str]
) -> list[Mark]:
    """Return what is drawn into charts of nights, by day."""
    marks = [
        Mark(stored.flag.night, flag_shape(stored.flag.kind), FLAG, "dash", _raised(stored))
        for stored in flags
    ]
    for night, name in new_sensors.items():
        said = (
            f"Other sensor from {day_text(night)}: {name or 'model not known'}; the own normal starts again"
        )
        marks.append(Mark(night, "⇄", QUIET, "dot", said))
    for note in annotations:
        is_medication = note.kind == "medication"
        until = f" to {day_text(note.end)}" if note.end else ""
        said = f"{sentence_case(note.kind.replace('_', ' '))}, {day_text(note.start)}{until}: {note.text}"
        color = MEDICATION if is_medication else LIFE_EVENT
        marks.append(Mark(note.start, "▼" if is_medication else "★", color, "solid", said))
    return sorted(marks, key=lambda mark: mark.day)


def _raised(stored: StoredFlag) -> str:
    what = "Data lost" if stored.flag.kind == "contact" else "Flag raised"
    return f"{what} {day_text(stored.flag.night)}"


def typed(values: NDArray[Any]) -> dict[str, str]:
    """Return an array as plotly's base64 form: exact, a third of the bytes of JSON numbers."""
    code = values.dtype.str.lstrip("<|=")
    told = {"dtype": code, "bdata": base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()}
    return told | ({"shape": ", ".join(map(str, values.shape))} if values.ndim > 1 else {})


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the half-open spans in which a mask (n,) is true.

    >>> runs(np.array([True, True, False, True]))
    [(0, 2), (3, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[0], mask.astype(np.int8), [0]])))
    return [(int(start), int(end)) for start, end in zip(edges[::2], edges[1::2], strict=True)]


def trace(x: object, y: object, **more: object) -> dict[str, Any]:
    """Return a line that stops at gaps."""
    return {"type": "scatter", "mode": "lines", "connectgaps": False, "x": x, "y": y} | more


def layout(**more: object) -> dict[str, Any]:
    """Return a layout in the one style."""
    return {
        "font": _FONT,
        "margin": {"l": LEFT_MARGIN_PX, "r": RIGHT_MARGIN_PX, "t": 8, "b": 24},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "showlegend": False,
        "hovermode": "closest",
        "hoverlabel": {"bgcolor": "#fff", "bordercolor": "#b9c5cf", "font": {"color": INK, "size": 12}},
        "dragmode": False,
    } | more


def axis(**more: object) -> dict[str, Any]:
    """Return an axis that stays where it is."""
    return {
        "gridcolor": GRID,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 11, "color": QUIET},
        "automargin": False,
        # Measuring every label, to hide it or to turn it, costs up to a fifth of all drawing each; ours fit.
        "ticklabeloverflow": "allow",
        "tickangle": 0,
    } | more


def value_axis(unit: str) -> dict[str, Any]:
    """Return a vertical axis of values."""
    title = {"text": unit, "font": {"size": 11, "color": QUIET}, "standoff": 4}
    return axis(title=title, nticks=5)


def night_axis(days: Sequence[date]) -> dict[str, Any]:
    """Return the horizontal axis that all charts of nights share."""
    first = min(days[0], days[-1] - timedelta(days=_MIN_NIGHTS - 1)) if days else None
    span = [noon(first, -1), noon(days[-1], 0)] if first else None
    return axis(type="date", range=span, tickformat="%-d %b", nticks=9)


def noon(day: date, shift_days: int) -> str:
    """Return noon of a day, or of one so many days from it."""
    return f"{(day + timedelta(days=shift_days)).isoformat()}T12:00"


def vertical_marks(
    marks: Sequence[Mark], days: Sequence[date]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return lines (shapes) and their heads (annotations) of what happened in the days shown."""
    shown = [mark for mark in marks if days and days[0] <= mark.day <= days[-1]]
    lines = [
        {
            "type": "line",
            "yref": "paper",
            "x0": mark.day.isoformat(),
            "x1": mark.day.isoformat(),
            "y0": 0,
            "y1": 1,
            "line": {"color": mark.color, "width": 1.3, "dash": mark.dash},
        }
        for mark in shown
    ]
    heads = [
        {
            "x": mark.day.isoformat(),
            "y": 1,
            "yref": "paper",
            "yanchor": "bottom",
            "text": mark.shape,
            "showarrow": False,
            "font": {"color": mark.color, "size": 12},
            "hovertext": mark.said,
        }
        for mark in shown
    ]
    return lines, heads


def offset_ns(t_ns: int, zone: str) -> int:
    """Return how far the wall clock of a zone is ahead of UTC at a time."""
    offset = local_time(t_ns, zone).utcoffset() or timedelta()
    return round(offset.total_seconds()) * NS_PER_S


def with_gaps(
    t_ns: NDArray[np.int64],
    values: NDArray[np.float64],
    gap_ns: int,
    zone: str,
    offset_at_ns: int | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return local milliseconds and values, with a NaN after each sample that the next is far from."""
    if not len(t_ns):
        return np.empty(0), np.empty(0)
    shift_ns = offset_ns(int(t_ns[-1]) if offset_at_ns is None else offset_at_ns, zone)
    before_gap = np.flatnonzero(np.diff(t_ns) > gap_ns) + 1
    local_ms = (t_ns + shift_ns) / NS_PER_MS
    return np.insert(local_ms, before_gap, local_ms[before_gap - 1] + 1), np.insert(
        values, before_gap, np.nan
    )


def note(text: str) -> dict[str, Any]:
    """Return words in the middle of an empty chart."""
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
