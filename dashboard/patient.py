"""One patient: who and which wearables, the last minutes, tiles, flags with reasons, trends, one night."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from dash import Input, Output, State, dcc, html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient, newest_data_ns, read_patient
from dashboard.charts import Chart, aria, badge_simulated, table_of
from dashboard.figures import LIVE_SPAN_S, live_figure
from dashboard.gate import subject_at, worn_sensors
from dashboard.live import battery_text, pulse_text, sign_of_life
from dashboard.night import night_panel
from dashboard.pulse import newest_battery, newest_pulse, read_pulses
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.trends import flags_panel, tiles, trend_charts
from dashboard.words import LEVELS, age_text, date_text, local_time, number_text, sentence_case
from store.registry.people import Sensor, Subject
from store.units import NS_PER_S

REFRESH_EVERY_MS = 1_000
_TABLE_STEP_S = 30

Moving = tuple[list[Component], list[Component | str], dict[str, Any], Component, list[Component]]


def patient_layout(sources: Sources, subject: Subject) -> Component:
    """Return the page of a patient that whoever asks may see."""
    patient = read_patient(sources, subject)
    number, sign, figure, table, facts = moving_parts(sources, subject)
    live_tile = html.Section(
        [
            html.H2("Heart rate now"),
            html.P(number, id="live-number", className="big"),
            html.P(sign, id="live-sign", className="sign"),
        ],
        className="card tile now",
    )
    live_chart = Chart(
        chart_id="live-chart",
        heading="Heart rate, last 5 minutes",
        key="as the wearable reports it",
        sentence="Heart rate of the last five minutes as the wearable reports it; the table has its values.",
        figure=figure,
        height_px=200,
        table=table,
    )
    return html.Div(
        [
            _header(patient, facts),
            html.Div([live_tile, *tiles(patient, sources.settings.flags)], className="tiles"),
            flags_panel(patient),
            html.Div(
                [
                    html.Div(trend_charts(patient), className="column"),
                    html.Div(
                        [live_chart.card(), night_panel(sources, patient)],
                        className="column",
                    ),
                ],
                className="columns",
            ),
            dcc.Interval(id="patient-timer", interval=REFRESH_EVERY_MS),
        ],
        className="page",
    )


def connect_patient(app: Shell, sources: Sources) -> None:
    """Keep the last minutes of the page moving."""

    def refresh(_: object, path: object) -> Moving:
        return moving_parts(sources, subject_at(sources, path))

    outputs = [
        Output("live-number", "children"),
        Output("live-sign", "children"),
        Output("live-chart", "figure"),
        Output("live-chart-table", "children"),
        Output("facts", "children"),
    ]
    timer, address = Input("patient-timer", "n_intervals"), State("address", "pathname")
    app.connect(refresh, outputs, [timer, address], on_load=False)


def moving_parts(sources: Sources, subject: Subject) -> Moving:
    """Return the number, its sign of life, the last five minutes as figure and table, and what else ages."""
    now_ns = sources.clock.now_ns()
    pulse = newest_pulse(sources.store, subject.subject_id)
    start_ns = now_ns - LIVE_SPAN_S * NS_PER_S
    t_ns, bpm = read_pulses(sources.store, subject.subject_id, start_ns, now_ns + 1)
    return (
        pulse_text(pulse, now_ns),
        sign_of_life(pulse, now_ns),
        live_figure(t_ns, bpm, now_ns, subject.zone),
        _live_table(t_ns, bpm, subject.zone),
        _facts(sources, subject, now_ns, newest_data_ns(sources, subject.subject_id, pulse)),
    )


def _live_table(t_ns: NDArray[np.int64], bpm: NDArray[np.float64], zone: str) -> Component:
    step_ns = _TABLE_STEP_S * NS_PER_S
    rows: list[list[str]] = []
    for step in np.unique(t_ns // step_ns)[::-1].tolist():
        seen = bpm[t_ns // step_ns == step]
        seen = seen[np.isfinite(seen)]
        mean_bpm = float(seen.mean()) if len(seen) else float("nan")
        rows.append([f"{local_time(step * step_ns, zone):%H:%M:%S}", number_text(mean_bpm), str(len(seen))])
    return table_of([f"From ({zone})", f"Mean of {_TABLE_STEP_S} s, beats/min", "Samples"], rows)


def _facts(sources: Sources, subject: Subject, now_ns: int, last_data_ns: int | None) -> list[Component]:
    worn = worn_sensors(sources, subject)
    battery = newest_battery(sources.store, subject.subject_id)
    last = "never" if last_data_ns is None else age_text(now_ns - last_data_ns)
    facts = [
        f"Times in {subject.zone}, there {local_time(now_ns, subject.zone):%H:%M}",
        _worn_text(worn),
        f"{battery_text(battery)}{f' ({age_text(now_ns - battery.at_ns)})' if battery else ''}",
        f"Last data {last}",
    ]
    return [html.Li(fact) for fact in facts]


def _header(patient: Patient, facts: list[Component]) -> Component:
    subject, held = patient.subject, patient.standing
    level = LEVELS[held.state]
    return html.Div(
        [
            html.Div(
                [
                    html.H1([subject.subject_id, html.Span(subject.display_name, className="display-name")]),
                    badge_simulated() if subject.is_simulated else None,
                ],
                className="who",
            ),
            html.Div(
                [
                    html.Span(
                        [
                            html.Span(level.shape, **aria(hidden="true")),
                            f" {sentence_case(held.state.value)}",
                        ],
                        className=f"level {level.class_name}",
                    ),
                    html.Span(f" since {date_text(held.since)}" if held.since else "", className="since"),
                ],
                className="stands",
            ),
            html.Ul(facts, id="facts", className="facts"),
        ],
        className="card patient-head",
    )


def _worn_text(worn: Sequence[Sensor]) -> str:
    if not worn:
        return "No wearable assigned"
    names = (
        " ".join(part for part in (s.manufacturer, s.model or s.name) if part) or s.sensor_id or "a wearable"
        for s in worn
    )
    return f"Wears {', '.join(names)}"
