"""Two stretches of nights of one person beside each other, such as a stable month and now."""

from datetime import date, timedelta
from typing import Any

import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient, read_patient
from dashboard.charts import aria
from dashboard.gate import subject_at
from dashboard.markers import Marker
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import MISSING, date_text, number_text
from features.nights import Nights
from features.specs import NIGHT_FEATURES, FeatureSpec

_NOW_DAYS, _BEFORE_DAYS = 14, 28
_RHYTHM = ("is_7d", "iv_7d", "ra_7d", "sri_7d")
_FIELDS = ("a-from", "a-to", "b-from", "b-to")
_LEAST_NIGHTS = 3


def compare_panel(patient: Patient) -> Component | None:
    """Return the choice of two stretches and what they were like; nothing while there are no nights."""
    nights = patient.nights.nights[: patient.shown_end]
    if len(nights) < _NOW_DAYS:
        return None
    last = nights[-1]
    begin = last - timedelta(days=_NOW_DAYS - 1)
    spans = (max(nights[0], begin - timedelta(days=_BEFORE_DAYS + 7)), begin - timedelta(days=8), begin, last)
    if spans[0] >= spans[1]:
        return None
    fields = [_field(name, day, nights[0], last) for name, day in zip(_FIELDS, spans, strict=True)]
    return html.Section(
        [
            html.Div(
                [html.H2("Compare two stretches"), html.P("medians of nights with a value")],
                className="title",
            ),
            html.Div([_span("Before", fields[:2]), _span("Now", fields[2:])], className="compare-choice"),
            html.Div(compared(patient, spans), id="compare-body"),
        ],
        className="card compare",
    )


def _span(label: str, fields: list[Component]) -> Component:
    return html.Fieldset([html.Legend(label), *fields])


def _field(name: str, day: date, first: date, last: date) -> Component:
    label = "first night" if name.endswith("from") else "last night"
    return html.Div(
        [
            html.Label(label, htmlFor=f"compare-{name}"),
            dcc.Input(
                id=f"compare-{name}",
                type="date",  # pyright: ignore[reportArgumentType] - Dash passes every type on
                value=day.isoformat(),
                min=first.isoformat(),
                max=last.isoformat(),
                debounce=False,
            ),
        ],
        className="field",
    )


def connect_compare(app: Shell, sources: Sources) -> None:
    """Compare anew when other nights are chosen."""

    def choose(*told: object) -> Any:  # noqa: ANN401 - Dash's own marker or a component
        subject = subject_at(sources, told[-1])
        days = [_date_of(day) for day in told[:-1]]
        if any(day is None for day in days):
            return no_update
        return compared(read_patient(sources, subject), tuple(day for day in days if day is not None))

    inputs = [Input(f"compare-{name}", "value") for name in _FIELDS]
    app.connect(
        choose, Output("compare-body", "children"), [*inputs, State("address", "pathname")], on_load=False
    )


def _date_of(told: object) -> date | None:
    try:
        return date.fromisoformat(str(told))
    except ValueError:
        return None


def compared(patient: Patient, spans: tuple[date, ...]) -> Component:
    """Return a table: each marker in the stretch before and in that now, the change, and how many nights."""
    before, now = (_within(patient.nights, spans[at], spans[at + 1]) for at in (0, 2))
    rows = [
        _row(each.marker.label, each.marker, each.own[before], each.own[now])
        for each in patient.series.values()
    ]
    rows += [
        _row(
            spec.label, None, patient.nights.values[spec.name][before], patient.nights.values[spec.name][now]
        )
        for spec in _rhythm_specs()
        if spec.name in patient.nights.values and np.isfinite(patient.nights.values[spec.name]).any()
    ]
    head = html.Tr(
        [html.Th(text, scope="col") for text in ("", _said(spans[:2]), _said(spans[2:]), "Change")]
    )
    return html.Div(
        [_other_sensors(patient, before, now), html.Table([html.Thead(head), html.Tbody(rows)])],
        className="table-scroll",
        tabIndex=0,
        role="region",
        **aria(label="Comparison of two stretches"),
    )


def _other_sensors(patient: Patient, before: NDArray[np.bool_], now: NDArray[np.bool_]) -> Component | None:
    """Say so where other sensors led in the one stretch than in the other."""
    named = np.array([bool(name) for name in patient.sensors], np.bool_) & ~patient.led.is_other
    kinds = [
        " and ".join(sorted({patient.sensors[at] for at in np.flatnonzero(part & named)}))
        for part in (before, now)
    ]
    if not all(kinds) or kinds[0] == kinds[1]:
        return None
    return html.P(f"Other sensors: {kinds[0]}, then {kinds[1]}.", className="quiet")


def _rhythm_specs() -> list[FeatureSpec]:
    known = {spec.name: spec for spec in NIGHT_FEATURES}
    return [known[name] for name in _RHYTHM if name in known]


def _within(nights: Nights, first: date, last: date) -> NDArray[np.bool_]:
    return np.array([first <= night <= last for night in nights.nights], np.bool_)


def _said(span: tuple[date, ...]) -> str:
    return f"{date_text(span[0])} to {date_text(span[1])}"


def _row(label: str, marker: Marker | None, before: NDArray[Any], now: NDArray[Any]) -> Component:
    cells: list[Component | str] = []
    medians: list[float] = []
    for values in (before, now):
        held = values[np.isfinite(values)]
        median = float(np.median(held)) if len(held) >= _LEAST_NIGHTS else float("nan")
        medians.append(median)
        said = number_text(median, 2) if marker is None else marker.said(median)
        cells.append(html.Td([said, html.Span(f" {len(held)} nights", className="quiet")]))
    known = all(np.isfinite(medians))
    change = MISSING
    if known and marker is not None:
        change = marker.difference_said(medians[1], medians[0]) or MISSING
    elif known:
        change = f"{medians[1] - medians[0]:+.2f}"
    return html.Tr([html.Th(label, scope="row"), *cells, html.Td(change)])
