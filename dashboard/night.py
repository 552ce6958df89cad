"""One night in detail, noon to noon on the patient's wall clock; chosen by a date or a click on a trend."""

from datetime import date
from typing import Any

import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboard.caseload import Patient
from dashboard.charts import Chart, table_of
from dashboard.figures import night_figure
from dashboard.gate import visible_subject
from dashboard.routes import route_of
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import day_text, local_time, number_text, percent_text, span_text
from features.nights import nocturnal_bounds_ns
from features.windows import Windows, read_windows
from store.nights import night_bounds_ns

_COLUMNS = (("mean_hr_bpm", "Heart rate, beats/min"), ("rmssd_ms", "RMSSD, ms"))


def night_panel(sources: Sources, patient: Patient) -> Component:
    """Return the newest night with data, and a field to choose another."""
    nights = patient.nights.nights
    if not nights:
        return html.Section(
            [html.H2("One night"), html.P("No night yet.", className="quiet")], className="card"
        )
    newest = patient.standing.night or nights[-1]
    return html.Section(
        [
            html.Div(
                [
                    html.Label("Night to the morning of", htmlFor="night-date"),
                    dcc.DatePickerSingle(
                        id="night-date",
                        date=newest.isoformat(),
                        min_date_allowed=nights[0].isoformat(),
                        max_date_allowed=nights[-1].isoformat(),
                        display_format="D MMM YYYY",
                        first_day_of_week=1,
                    ),
                    html.Span("or click a night in a chart", className="quiet"),
                ],
                className="night-choice",
            ),
            html.Div(night_chart(sources, patient.subject.subject_id, newest), id="night-body"),
        ],
        className="night",
    )


def connect_night(app: Shell, sources: Sources) -> None:
    """Show another night when one is chosen."""

    def choose(day: str | None, path: str) -> Any:  # noqa: ANN401 - Dash's own marker or a component
        route, night = route_of(path), _date_of(day)
        subject = visible_subject(sources, route.subject_id) if route else None
        if subject is None or night is None:
            return no_update
        return night_chart(sources, subject.subject_id, night)

    chosen, address = Input("night-date", "date"), State("address", "pathname")
    app.connect(choose, Output("night-body", "children"), [chosen, address], on_load=False)
    clicks = [Input(f"{name}-chart", "clickData") for name in ("rmssd", "mean", "coverage")]
    app.connect_in_browser("nightOfClick", Output("night-date", "date"), clicks)


def night_chart(sources: Sources, subject_id: str, night: date) -> Component:
    """Return heart rate and RMSSD through one night, in the zone the patient was in."""
    settings = sources.settings.features
    history = sources.registry.people.zone_history(subject_id)
    zone = history.at(night_bounds_ns(night, history.zones[-1])[1])
    bounds_ns = night_bounds_ns(night, zone)
    windows = read_windows(sources.store, subject_id, *bounds_ns)
    nocturnal_ns = nocturnal_bounds_ns(night, zone, settings)
    return Chart(
        chart_id="night-chart",
        heading=f"Night to {day_text(night)}",
        key=f"{zone}; shaded: hours that count for the night",
        sentence=_sentence(windows, night),
        figure=night_figure(windows, bounds_ns, nocturnal_ns, zone, settings.window_s),
        height_px=300,
        table=_table(windows, zone),
    ).card()


def _sentence(windows: Windows, night: date) -> str:
    bpm = windows.values["mean_hr_bpm"]
    bpm = bpm[np.isfinite(bpm)]
    if not len(bpm):
        return f"Night to {day_text(night)}: no beats recorded."
    return (
        f"Heart rate and RMSSD in five-minute windows, noon to noon, night to {day_text(night)}: "
        f"{len(bpm)} windows, heart rate {span_text(float(bpm.min()), float(bpm.max()))} beats/min."
    )


def _table(windows: Windows, zone: str) -> Component:
    rows = [
        [
            f"{local_time(int(start_ns), zone):%H:%M}",
            *(number_text(float(windows.values[name][at])) for name, _ in _COLUMNS),
            percent_text(float(windows.coverage_frac[at])),
        ]
        for at, start_ns in enumerate(windows.start_ns)
    ]
    return table_of([f"From ({zone})", *(label for _, label in _COLUMNS), "Covered"], rows)


def _date_of(day: str | None) -> date | None:
    try:
        return date.fromisoformat((day or "")[:10])
    except ValueError:
        return None
