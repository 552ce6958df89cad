"""One night in detail, noon to noon on the patient's wall clock; chosen by a date or a click on a trend."""

from datetime import date
from typing import Any

import numpy as np
from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboard.caseload import Patient
from dashboard.charts import Chart, table_of
from dashboard.gate import subject_at
from dashboard.movement import hypnogram_of
from dashboard.night_figures import night_figure
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import local_time, morning_text, number_text, percent_text, span_text
from features.nights import nocturnal_bounds_ns
from features.windows import Windows, read_windows
from store.nights import night_bounds_ns

_YEARS = range(1970, 2200)
_NIGHT_CHARTS = ("rmssd", "mean", "coverage", "sleep", "timing", "activity")
_COLUMNS = (("mean_hr_bpm", "Heart rate, beats/min"), ("rmssd_ms", "RMSSD, ms"))


def night_panel(sources: Sources, patient: Patient) -> Component:
    """Return the newest night with data, and a field to choose another."""
    nights, newest = patient.nights.nights, patient.newest_night
    if newest is None:
        return html.Section(
            [html.H2("One night"), html.P("No night yet.", className="quiet")], className="card"
        )
    return html.Section(
        [
            html.Div(
                [
                    html.Label("Night to the morning of", htmlFor="night-date"),
                    # The browser's own field: Dash's calendar has no names for screen readers.
                    dcc.Input(
                        id="night-date",
                        type="date",  # pyright: ignore[reportArgumentType] - Dash passes every type on
                        value=newest.isoformat(),
                        min=nights[0].isoformat(),
                        max=nights[-1].isoformat(),
                        debounce=False,
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

    def choose(day: object, path: object) -> Any:  # noqa: ANN401 - Dash's own marker or a component
        subject, night = subject_at(sources, path), _date_of(day)
        return no_update if night is None else night_chart(sources, subject.subject_id, night)

    chosen, address = Input("night-date", "value"), State("address", "pathname")
    app.connect(choose, Output("night-body", "children"), [chosen, address], on_load=False)
    # Some charts are only there where there is something to draw.
    clicks = [Input(f"{name}-chart", "clickData", allow_optional=True) for name in _NIGHT_CHARTS]
    app.connect_in_browser("nightOfClick", Output("night-date", "value"), clicks)


def night_chart(sources: Sources, subject_id: str, night: date) -> Component:
    """Return heart rate and RMSSD through one night, in the zone the patient was in."""
    settings = sources.settings.features
    history = sources.registry.people.zone_history(subject_id)
    zone = history.at(night_bounds_ns(night, history.zones[-1])[1])
    bounds_ns = night_bounds_ns(night, zone)
    windows = read_windows(sources.store, subject_id, *bounds_ns)
    nocturnal_ns = nocturnal_bounds_ns(night, zone, settings)
    hypnogram = hypnogram_of(sources, subject_id, night)
    return Chart(
        chart_id="night-chart",
        heading=f"Night to {morning_text(night)}",
        key=f"{zone}; shaded: hours that count for the night",
        sentence=_sentence(windows, night),
        figure=night_figure(windows, bounds_ns, nocturnal_ns, zone, settings.window_s, hypnogram),
        height_px=310 if hypnogram is None else 390,
        table=_table(windows, zone),
    ).card()


def _sentence(windows: Windows, night: date) -> str:
    bpm = windows.values["mean_hr_bpm"]
    bpm = bpm[np.isfinite(bpm)]
    if not len(bpm):
        return f"Night to {morning_text(night)}: no beats recorded."
    return (
        f"Heart rate and RMSSD in five-minute windows, noon to noon, night to {morning_text(night)}: "
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


def _date_of(day: object) -> date | None:
    """Return the date a browser sent; None while it is being typed, and where no calendar reaches."""
    if not isinstance(day, str):
        return None
    try:
        night = date.fromisoformat(day[:10])
    except ValueError:
        return None
    return night if night.year in _YEARS else None
