"""The list of a user's patients, most concerning first: who, how far from usual, why, since when."""

from collections import Counter
from typing import Any

import dash_ag_grid as dag
import numpy as np
from dash import Input, Output, dcc, html
from dash.development.base_component import Component
from numpy.typing import NDArray

from dashboard.caseload import Patient, read_case_load
from dashboard.charts import aria
from dashboard.gate import visible_people
from dashboard.pulse import newest_pulse
from dashboard.routes import patient_path
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import LEVELS, age_text, sentence_case
from features.specs import spec_named
from models.standing import State
from store.units import NS_PER_MS

SHOWN_NIGHTS = 28
ROWS_EVERY_MS = 60_000
"""Nights and flags change once a day; a minute is soon enough."""
PULSES_EVERY_MS = 5_000
"""A glance at who is streaming; the live page moves every second."""
_SHORT_LIST = 30
"""Up to so many rows the page is as long as the list; longer lists scroll and draw only what is in sight."""
_THEME = (
    "themeQuartz.withParams({fontFamily: 'inherit', fontSize: 13, foregroundColor: '#20303c', "
    "accentColor: '#1f3a5f', borderColor: '#d5dde4', headerBackgroundColor: '#f4f6f8', "
    "wrapperBorderRadius: 8, cellHorizontalPadding: 10, rowHeight: 44})"
)

Row = dict[str, Any]


def triage_layout(sources: Sources) -> Component:
    """Return the page for whoever asks."""
    rows = triage_rows(sources)
    if not rows:
        nobody = html.P("Nobody is in your case-load yet.", className="card notice")
        return html.Div([html.Div(html.H1("Patients"), className="page-head"), nobody], className="page")
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Patients"),
                    html.Ul(
                        _counts(rows),
                        id="triage-counts",
                        className="counts",
                        **aria(label="How many stand where"),
                    ),
                    html.Div(
                        [
                            html.Label("Filter", htmlFor="triage-filter"),
                            dcc.Input(
                                id="triage-filter",
                                type="search",
                                placeholder="Name, level, reason",
                                debounce=False,
                                autoComplete="off",
                            ),
                        ],
                        className="filter",
                    ),
                ],
                className="page-head",
            ),
            _grid(rows),
            html.P(
                "Against each person's own normal, never against others. Shaded: own band; diamond: a night "
                "outside it; gold: not recorded. Nights are local to each patient, named by their morning. "
                "Enter or a click opens a patient.",
                className="quiet legend",
            ),
            dcc.Interval(id="triage-rows-timer", interval=ROWS_EVERY_MS),
            dcc.Interval(id="triage-pulses-timer", interval=PULSES_EVERY_MS),
            dcc.Store(id="triage-pulses"),
            dcc.Store(id="triage-shown-pulses"),
            dcc.Store(id="triage-shown-filter"),
        ],
        className="page",
    )


def connect_triage(app: Shell, sources: Sources) -> None:
    """Keep the list up to date."""

    def refresh_rows(_: object) -> tuple[list[Row], list[Component]]:
        rows = triage_rows(sources)
        return rows, _counts(rows)

    def refresh_pulses(_: object) -> dict[str, Row]:
        return pulse_cells(sources)

    rows = [Output("triage-grid", "rowData"), Output("triage-counts", "children")]
    pulses = Output("triage-pulses", "data")
    app.connect(refresh_rows, rows, [Input("triage-rows-timer", "n_intervals")], on_load=False)
    app.connect(refresh_pulses, pulses, [Input("triage-pulses-timer", "n_intervals")], on_load=False)
    app.connect_in_browser(
        "showPulses", Output("triage-shown-pulses", "data"), [Input("triage-pulses", "data")]
    )
    app.connect_in_browser(
        "filterRows", Output("triage-shown-filter", "data"), [Input("triage-filter", "value")]
    )


def triage_rows(sources: Sources) -> list[Row]:
    """Return one row for each patient of whoever asks, most concerning first."""
    now_ns = sources.clock.now_ns()
    patients = read_case_load(sources, visible_people(sources))
    return [_row(patient, at, now_ns) for at, patient in enumerate(patients)]


def pulse_cells(sources: Sources) -> dict[str, Row]:
    """Return the cells that change by the second, of those who wear a sensor and are in sight."""
    now_ns = sources.clock.now_ns()
    worn = set(sources.registry.people.worn_now().values())
    visible = (person.subject_id for person in visible_people(sources))
    found = {
        subject_id: newest_pulse(sources.store, subject_id) for subject_id in visible if subject_id in worn
    }
    return {
        subject_id: {
            "last_ms": pulse.at_ns // NS_PER_MS,
            "last": age_text(now_ns - pulse.at_ns),
            "bpm": pulse.heart_rate_bpm if pulse.is_live(now_ns) else None,
        }
        for subject_id, pulse in found.items()
        if pulse is not None
    }


def _row(patient: Patient, order: int, now_ns: int) -> Row:
    subject, held, pulse = patient.subject, patient.standing, patient.pulse
    band = patient.bands["rmssd_ms"]
    series = {"value": patient.nights.values["rmssd_ms"], "low": band.low, "high": band.high}
    last_ns = patient.last_data_ns
    return {
        "subject_id": subject.subject_id,
        "href": patient_path(subject.subject_id),
        "name": subject.display_name,
        "is_simulated": subject.is_simulated,
        "order": order,
        "level": sentence_case(held.state.value),
        "shape": LEVELS[held.state].shape,
        "fill": LEVELS[held.state].class_name,
        "why": held.reason,
        "since": held.since.isoformat() if held.since else "",
        "rmssd": {name: _cells(_padded(values)) for name, values in series.items()},
        "coverage": _cells(_padded(np.nan_to_num(patient.nights.coverage_frac)), digits=2),
        "last_ms": None if last_ns is None else last_ns // NS_PER_MS,
        "last": "never" if last_ns is None else age_text(now_ns - last_ns),
        "bpm": pulse.heart_rate_bpm if pulse and pulse.is_live(now_ns) else None,
    }


def _padded(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the newest nights (n,), as many as are drawn: those before the first are missing."""
    recent = values[-SHOWN_NIGHTS:]
    return np.concatenate([np.full(SHOWN_NIGHTS - len(recent), np.nan), recent])


def _cells(values: NDArray[np.float64], digits: int = 1) -> list[float | None]:
    return [round(value, digits) if np.isfinite(value) else None for value in values.tolist()]


def _counts(rows: list[Row]) -> list[Component]:
    of_level = Counter(str(row["level"]) for row in rows)
    states = sorted(LEVELS, key=lambda state: LEVELS[state].rank)
    return [_count(state, of_level[sentence_case(state.value)]) for state in states]


def _count(state: State, count: int) -> Component:
    level = LEVELS[state]
    shape = html.Span(level.shape, className=f"shape {level.class_name}", **aria(hidden="true"))
    return html.Li([shape, html.B(str(count)), f" {state.value}"], className="" if count else "none")


def _grid(rows: list[Row]) -> Component:
    is_short = len(rows) <= _SHORT_LIST
    open_patient = ["openPatient(params)"]
    return dag.AgGrid(
        id="triage-grid",
        className="triage-grid",
        rowData=rows,
        columnDefs=_columns(),
        defaultColDef={"sortable": True, "resizable": True, "suppressHeaderMenuButton": True},
        getRowId="params.data.subject_id",
        eventListeners={"cellClicked": open_patient, "cellKeyDown": open_patient},
        dashGridOptions={
            "theme": {"function": _THEME},
            "domLayout": "autoHeight" if is_short else "normal",
            "headerHeight": 38,
            "ensureDomOrder": True,
            "animateRows": False,
        },
        style={"width": "100%"} | ({} if is_short else {"height": "calc(100vh - 190px)"}),
    )


def _columns() -> list[dict[str, Any]]:
    spec = spec_named("rmssd_ms")
    by_order = {"function": "byOrder(valueA, valueB, nodeA, nodeB)"}
    by_age = {"function": "byAge(valueA, valueB, nodeA, nodeB)"}
    searched = {"getQuickFilterText": {"function": "patientText(params)"}}
    drawn = {"sortable": False, "cellDataType": False, "getQuickFilterText": {"function": "unsearched()"}}
    wrapped = {"wrapText": True, "autoHeight": True, "cellClass": "why"}
    return [
        _column("level", "Level", 188, renderer="Level", comparator=by_order, pinned="left"),
        _column("subject_id", "Patient", 186, renderer="Patient", pinned="left", **searched),
        {"field": "why", "headerName": "Why", "flex": 1, "minWidth": 280, **wrapped},
        _column("since", "Since", 84, renderer="Day"),
        _column("rmssd", f"{spec.label}, {SHOWN_NIGHTS} nights", 184, renderer="Sparkline", **drawn),
        _column("coverage", f"Recorded, {SHOWN_NIGHTS} nights", 158, renderer="CoverageBars", **drawn),
        _column("last", "Last data", 98, renderer="Plain", comparator=by_age),
        _column("bpm", "Heart rate", 126, renderer="HeartRate"),
    ]


def _column(field: str, name: str, width_px: int, *, renderer: str, **more: object) -> dict[str, Any]:
    return {"field": field, "headerName": name, "width": width_px, "cellRenderer": renderer, **more}
