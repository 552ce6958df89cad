"""One patient: who and which wearables, the last minutes, tiles, flags with reasons, trends, one night."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dash import Input, Output, State, dcc, html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient, newest_data_ns, read_patient
from dashboard.charts import Chart, aria, badge_simulated, table_of
from dashboard.compare import compare_panel
from dashboard.figures import Figure, Mark, marks_of
from dashboard.gate import signed_in_user, subject_at, worn_sensors
from dashboard.happenings import happenings_panel, readable_annotations
from dashboard.live import aged_battery_text, pulse_text, sign_of_life
from dashboard.movement import activity_card, move_grid, sleep_card
from dashboard.night import night_panel
from dashboard.night_figures import LIVE_SPAN_S, live_figure
from dashboard.pulse import newest_battery, newest_pulse, read_pulses
from dashboard.rhythm import heart_card, heart_grid, worn_card
from dashboard.routes import CARERS, assessments_path, summary_path
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.trends import flags_panel, tiles, trend_charts
from dashboard.words import LEVELS, age_text, date_text, local_time, number_text, sentence_case
from dashboard.zoom import zoom_card
from store.registry.people import Sensor, Subject
from store.streams import ACTIVITY_EPOCH, RR_INTERVAL, SLEEP_STAGE
from store.units import NS_PER_S

STREAMING_EVERY_MS, WAITING_EVERY_MS = 1_000, 5_000
"""How often the page asks for what moves: while heart rate arrives, and while none does."""
_CONSENTS = ((RR_INTERVAL, "heart"), (ACTIVITY_EPOCH, "movement"), (SLEEP_STAGE, "sleep"))
_TABLE_STEP_S = 30
_RASTER_PX, _CHART_PX = 430, 80

Moving = tuple[list[Component], list[Component | str], dict[str, Any], Component, list[Component], int]


def patient_layout(sources: Sources, subject: Subject) -> Component:
    """Return the page of a patient that whoever asks may see."""
    patient = read_patient(sources, subject)
    number, sign, figure, table, facts, every_ms = moving_parts(sources, subject)
    annotations = readable_annotations(sources, subject)
    assessments = sources.registry.assessments.of_subject(subject.subject_id)
    marks = marks_of(patient.flags, annotations, patient.new_sensors)
    today = local_time(sources.clock.now_ns(), subject.zone).date()
    rasters = _rasters(sources, patient, marks, has_assessments=bool(assessments))
    return html.Div(
        [
            _header(patient, facts, consent_text(sources, subject)),
            html.Div(tiles(patient, sources.settings.flags), className="tiles"),
            html.Div(
                [flags_panel(patient), happenings_panel(annotations, today)], className="columns reasons"
            ),
            html.Div(
                [
                    html.Div([*trend_charts(patient, marks, assessments), *rasters.left], className="column"),
                    html.Div(
                        [
                            _live_card(number, sign, figure, table),
                            night_panel(sources, patient),
                            *rasters.right,
                        ],
                        className="column",
                    ),
                ],
                className="columns",
            ),
            html.Div(rasters.below, className="columns") if rasters.below else None,
            compare_panel(patient),
            dcc.Interval(id="patient-timer", interval=every_ms),
        ],
        className="page patient",
    )


@dataclass(frozen=True)
class _Rasters:
    left: list[Component]
    right: list[Component]
    below: list[Component]


def _rasters(sources: Sources, patient: Patient, marks: Sequence[Mark], *, has_assessments: bool) -> _Rasters:
    """Return what is drawn of days against hours; nothing before the first night."""
    if not len(patient.nights):
        return _Rasters([], [], [])
    grid = heart_grid(sources, patient)
    moved = move_grid(sources, patient)
    left = [worn_card(sources, patient, grid, moved, marks), zoom_card(grid)]
    below = [activity_card(patient, moved, marks)] if moved.has_activity else []
    below += [sleep_card(patient, moved, marks)] if moved.has_sleep else []
    # As tall as the charts of nights beside it.
    beside = len(patient.series) + has_assessments
    height_px = _RASTER_PX + _CHART_PX * max(0, beside - 2)
    return _Rasters(left, [heart_card(patient, grid, marks, height_px)], below)


def _live_card(
    number: list[Component], sign: list[Component | str], figure: Figure, table: Component
) -> Component:
    chart = Chart(
        chart_id="live-chart",
        heading="Heart rate now",
        key="last 5 minutes, as the wearable reports it",
        sentence="Heart rate of the last five minutes as the wearable reports it; the table has its values.",
        figure=figure,
        height_px=130,
        table=table,
    )
    now = html.Div(
        [html.P(number, id="live-number", className="big"), html.P(sign, id="live-sign", className="sign")],
        className="now",
    )
    return chart.card(beside=now)


def consent_text(sources: Sources, subject: Subject) -> str:
    """Say what the patient agrees to now."""
    given = [
        label
        for stream, label in _CONSENTS
        if sources.registry.consents.is_given(subject.subject_id, stream.name)
    ]
    if len(given) == len(_CONSENTS):
        return "Agrees to heart, movement and sleep"
    return f"Agrees to {', '.join(given)} only" if given else "Has withdrawn consent"


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
        Output("patient-timer", "interval"),
    ]
    timer, address = Input("patient-timer", "n_intervals"), State("address", "pathname")
    app.connect(refresh, outputs, [timer, address], on_load=False)


def moving_parts(sources: Sources, subject: Subject) -> Moving:
    """Return what moves (number, sign of life, last minutes, table, facts), and when to ask again."""
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
        STREAMING_EVERY_MS if pulse and pulse.is_live(now_ns) else WAITING_EVERY_MS,
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
        aged_battery_text(battery, now_ns),
        f"Last data {last}",
    ]
    return [html.Li(fact) for fact in facts]


def _header(patient: Patient, facts: list[Component], consent: str) -> Component:
    subject, held = patient.subject, patient.standing
    level = LEVELS[held.state]
    chip = html.Span(
        [html.Span(level.shape, **aria(hidden="true")), f" {sentence_case(held.state.value)}"],
        className=f"level {level.class_name}",
    )
    return html.Div(
        [
            html.Div(
                [
                    html.H1([subject.subject_id, html.Span(subject.display_name, className="display-name")]),
                    badge_simulated() if subject.is_simulated else None,
                    chip,
                    html.Span(f"since {date_text(held.since)}" if held.since else "", className="since"),
                    *_links(subject),
                ],
                className="who",
            ),
            # The reason of a flag stands in its own words below.
            None if held.is_flagged else html.P(f"{held.reason}."),
            html.Ul([*facts], id="facts", className="facts"),
            html.P(consent, className="quiet"),
        ],
        className="card patient-head",
    )


def _links(subject: Subject) -> list[Component]:
    role = signed_in_user().role
    links = [("Write down a scale", assessments_path(subject.subject_id))] if role in CARERS else []
    links.append(("Summary to print", summary_path(subject.subject_id)))
    return [
        html.Nav(
            [html.A(text, href=path, className="button") for text, path in links],
            className="links",
            **aria(label="Of this patient"),
        )
    ]


def _worn_text(worn: Sequence[Sensor]) -> str:
    if not worn:
        return "No wearable assigned"
    names = (
        " ".join(part for part in (s.manufacturer, s.model or s.name) if part) or s.sensor_id or "a wearable"
        for s in worn
    )
    return f"Wears {', '.join(names)}"
