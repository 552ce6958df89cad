"""One page of A4 about one patient, to be printed or handed over."""

from collections.abc import Sequence
from importlib.metadata import version

from dash import dcc, html
from dash.development.base_component import Component

from dashboard.caseload import Patient, read_patient
from dashboard.charts import aria, badge_simulated
from dashboard.figures import CONFIG, Figure, Mark, marks_of
from dashboard.gate import signed_in_user
from dashboard.happenings import readable_annotations
from dashboard.movement import move_grid
from dashboard.rasters import heart_figure, sleep_figure
from dashboard.rhythm import heart_grid
from dashboard.routes import patient_path
from dashboard.sources import Sources
from dashboard.trend_figures import assessments_figure, series_figure
from dashboard.trends import tiles
from dashboard.words import LEVELS, date_text, day_text, flag_shape, local_time, sentence_case
from store.registry.assessments import Assessment
from store.registry.people import Subject

_MOST_FLAGS, _MOST_NOTES = 3, 4
_CHART_PX = 112
_NOT_A_DIAGNOSIS = (
    "Changes from this person's own normal, seen by wearables. Not a diagnosis, not a prediction, not for "
    "emergencies. A missing flag is no reassurance."
)


def summary_layout(sources: Sources, subject: Subject) -> Component:
    """Return the sheet of a patient that whoever asks may see."""
    patient = read_patient(sources, subject)
    annotations = readable_annotations(sources, subject)
    assessments = sources.registry.assessments.of_subject(subject.subject_id)
    marks = marks_of(patient.flags, annotations, patient.new_sensors)
    now = local_time(sources.clock.now_ns(), subject.zone)
    by = f"{date_text(now.date())}, {now:%H:%M} ({subject.zone}), by {signed_in_user().name}"
    notes = [f"{date_text(each.start)}: {each.text}" for each in reversed(annotations)][:_MOST_NOTES]
    return html.Div(
        [
            html.Div(
                [
                    html.A("Back to the patient", href=patient_path(subject.subject_id), className="button"),
                    html.Button("Print", id="print-sheet", className="button"),
                ],
                className="sheet-tools",
            ),
            html.Article(
                [
                    _head(patient),
                    html.Div(tiles(patient, sources.settings.flags), className="tiles"),
                    _flags(patient),
                    html.P([html.B("Written down: "), "; ".join(notes)]) if notes else None,
                    *_charts(sources, patient, assessments, marks),
                    html.Footer(
                        [html.P(_NOT_A_DIAGNOSIS), html.P(f"Made {by}; evenkeel {version('evenkeel')}.")]
                    ),
                ],
                className="sheet",
            ),
        ],
        className="page",
    )


def _head(patient: Patient) -> Component:
    subject, held = patient.subject, patient.standing
    level = LEVELS[held.state]
    days = patient.nights.nights[patient.shown]
    span = f"Nights {date_text(days[0])} to {date_text(days[-1])}" if days else "No night yet"
    return html.Header(
        [
            html.H1([subject.subject_id, html.Span(subject.display_name, className="display-name")]),
            badge_simulated() if subject.is_simulated else None,
            html.Span(
                [html.Span(level.shape, **aria(hidden="true")), f" {sentence_case(held.state.value)}"],
                className=f"level {level.class_name}",
            ),
            html.P(f"{span}, local to {subject.zone}. {held.reason}.", className="quiet"),
        ]
    )


def _flags(patient: Patient) -> Component:
    if not patient.flags:
        return html.P("No flag so far.")
    lines = [
        html.Li(
            [
                html.B(f"{flag_shape(each.flag.kind)} {date_text(each.flag.night)} "),
                f"{sentence_case(each.flag.reason)}. ",
                html.Span(
                    f"{each.state}, since {day_text(each.flag.since)}, {each.flag.detector_id}",
                    className="quiet",
                ),
            ]
        )
        for each in patient.flags[:_MOST_FLAGS]
    ]
    more = len(patient.flags) - _MOST_FLAGS
    return html.Div(
        [
            html.Ol(lines, className="flags"),
            html.P(f"and {more} earlier", className="quiet") if more > 0 else None,
        ]
    )


def _charts(
    sources: Sources, patient: Patient, assessments: Sequence[Assessment], marks: Sequence[Mark]
) -> list[Component]:
    days = patient.nights.nights[patient.shown]
    if not days:
        return []
    drawn = [
        _chart(
            each.marker.heading,
            series_figure(each, patient.nights.nights, patient.shown, marks),
        )
        for each in patient.series.values()
    ]
    shown = [each for each in assessments if days[0] <= each.on <= days[-1]]
    if shown:
        drawn.append(_chart("Assessments, % of the highest total", assessments_figure(shown, days, marks)))
    grid, moved = heart_grid(sources, patient), move_grid(sources, patient)
    rasters = [_chart("Heart rate by hour, 45 (light) to 130", heart_figure(grid.coarse(), days, marks), 220)]
    if moved.has_sleep:
        rasters.append(_chart("Sleep, noon to noon", sleep_figure(moved.stages, days, marks), 220))
    legend = html.P("Gold: not recorded, not worn or not scored. ◆ flag, ▼ medication, ★ life event.")
    return [html.Div(drawn, className="sheet-charts"), html.Div(rasters, className="sheet-two"), legend]


def _chart(heading: str, figure: Figure, height_px: int = _CHART_PX) -> Component:
    graph = dcc.Graph(
        figure=figure,
        config=CONFIG,  # pyright: ignore[reportArgumentType] - Dash does not know the newer keys
        style={"height": f"{height_px}px"},
    )
    drawing = html.Div(graph, role="img", className="drawing", **aria(label=heading))
    return html.Section([html.H2(heading), drawing], className="sheet-chart")
