"""The list of a user's patients, most concerning first: who, how far from usual, why, since when."""

import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

import dash_ag_grid as dag
from dash import Input, Output, dcc, html
from dash.development.base_component import Component

from dashboard.caseload import Patient, read_case_load
from dashboard.charts import aria
from dashboard.gate import signed_in_user, visible_people
from dashboard.pulse import Pulse
from dashboard.routes import patient_path
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.sparklines import SPARKLINES
from dashboard.words import LEVELS, age_text, local_time, sentence_case
from models.standing import State
from store.registry.assessments import Assessment
from store.units import NS_PER_MS

ROWS_EVERY_MS = 60_000
"""Nights and flags change once a day; a minute is soon enough."""
PULSES_EVERY_MS = 5_000
"""A glance at who is streaming; the live page moves every second."""
_SHORT_LIST = 30
"""Up to so many rows the page is as long as the list; longer lists scroll and draw only what is in sight."""
_ROW_PX = 46
_THEME = (
    "themeQuartz.withParams({fontFamily: 'inherit', fontSize: 13, foregroundColor: '#1b2a35', "
    "accentColor: '#1f3a5f', borderColor: '#dde4ea', headerBackgroundColor: '#f8fafb', "
    "headerTextColor: '#566572', headerFontWeight: 550, headerFontSize: 12, rowHoverColor: '#f3f7fb', "
    "columnBorder: false, headerColumnBorder: false, headerColumnResizeHandleColor: 'transparent', "
    "wrapperBorderRadius: 10, cellHorizontalPadding: 9})"
)
_IN_BRACKETS = re.compile(r" \([^)]*\)")
_VIEWS = (
    ("mine", "Mine", "Patients whose newest flag is assigned to me"),
    ("new", "New since I looked", "Flags raised after I last opened the patient"),
    ("silent", "No data > 48 h", "Nothing arrived for two days, or data are being lost"),
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
            html.Div([html.H1("Patients"), _search()], className="page-head"),
            html.Div(_views(rows), id="triage-counts", className="views", role="group", **aria(label="Show")),
            _grid(rows),
            html.P(
                "Against each person's own normal, never against others. Band: own usual range; diamond: a "
                "night outside it; gold: not recorded. Nights are local, named by their morning. Enter or a "
                "click opens a patient; / searches.",
                className="quiet legend",
            ),
            dcc.Interval(id="triage-rows-timer", interval=ROWS_EVERY_MS),
            dcc.Interval(id="triage-pulses-timer", interval=PULSES_EVERY_MS),
            dcc.Store(id="triage-pulses"),
            dcc.Store(id="triage-shown-pulses"),
            dcc.Store(id="triage-shown-filter"),
        ],
        className="page triage",
    )


def _search() -> Component:
    field = dcc.Input(
        id="triage-filter",
        type="search",
        placeholder="Name, level, reason",
        debounce=False,
        autoComplete="off",
    )
    return html.Div([html.Label("Search", htmlFor="triage-filter"), field], className="filter")


def connect_triage(app: Shell, sources: Sources) -> None:
    """Keep the list up to date."""

    def refresh_rows(_: object) -> tuple[list[Row], list[Component]]:
        rows = triage_rows(sources)
        return rows, _views(rows)

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
    now_ns, user = sources.clock.now_ns(), signed_in_user()
    people = visible_people(sources)
    patients = read_case_load(sources, people)
    assessed = sources.registry.assessments.newest()
    seen = sources.registry.audit.newest_by_subject(user.name, "view")
    rows: list[Row] = []
    for order, patient in enumerate(patients):
        subject_id = patient.subject.subject_id
        row = _row(patient, order, now_ns) | _flag_cells(patient, user.name, seen.get(subject_id))
        row["assessed"] = _assessment_text(assessed.get(subject_id), patient, now_ns)
        rows.append(row)
    return rows


def pulse_cells(sources: Sources) -> dict[str, Row]:
    """Return the cells that change by the second, of those who wear a sensor and are in sight."""
    now_ns = sources.clock.now_ns()
    worn = set(sources.registry.people.worn_now().values())
    visible = [person.subject_id for person in visible_people(sources) if person.subject_id in worn]
    sources.pulses.read_ahead(sources.store, visible, now_ns)
    found = {each: sources.pulses.of(sources.store, each, now_ns) for each in visible}
    return {
        subject_id: _last_cells(pulse.at_ns, pulse, now_ns)
        for subject_id, pulse in found.items()
        if pulse is not None
    }


def _last_cells(last_ns: int | None, pulse: Pulse | None, now_ns: int) -> Row:
    return {
        "last_ms": None if last_ns is None else last_ns // NS_PER_MS,
        "last": "never" if last_ns is None else age_text(now_ns - last_ns).removesuffix(" of this clock"),
        "bpm": pulse.heart_rate_bpm if pulse and pulse.is_live(now_ns) else None,
    }


def _row(patient: Patient, order: int, now_ns: int) -> Row:
    subject, held = patient.subject, patient.standing
    today = local_time(now_ns, subject.zone).date()
    return {
        "subject_id": subject.subject_id,
        "href": patient_path(subject.subject_id),
        "name": subject.display_name,
        "is_simulated": subject.is_simulated,
        "order": order,
        "level": sentence_case(held.state.value),
        "shape": LEVELS[held.state].shape,
        "fill": LEVELS[held.state].class_name,
        "why": _IN_BRACKETS.sub("", held.reason),
        "since": held.since.isoformat() if held.since else "",
        "days": (today - held.since).days if held.since else None,
        **patient.drawn,
        **_last_cells(patient.last_data_ns, patient.pulse, now_ns),
    }


def _flag_cells(patient: Patient, user_name: str, seen_ns: int | None) -> Row:
    """Return who looks after the newest flag and where it stands; blank once it is no longer shown."""
    newest = patient.flags[0] if patient.flags else None
    if newest is None:
        return {"owner": "", "status": "", "is_mine": False, "is_new": False}
    is_new = newest.state == "open" and newest.raised_ns > (seen_ns or 0)
    return {
        "owner": newest.assigned_to or "",
        "status": "new" if is_new else newest.state,
        "is_mine": newest.assigned_to == user_name and newest.state != "resolved",
        "is_new": is_new,
    }


def _assessment_text(newest: Assessment | None, patient: Patient, now_ns: int) -> str:
    if newest is None:
        return ""
    days = _days_ago(newest.on, patient, now_ns)
    return f"{newest.instrument} {newest.total}, {days} d"


def _days_ago(day: date, patient: Patient, now_ns: int) -> int:
    return max(0, (local_time(now_ns, patient.subject.zone).date() - day).days)


def _views(rows: list[Row]) -> list[Component]:
    """Return the buttons that choose whom to see, each with how many these are."""
    of_level = Counter(str(row["level"]) for row in rows)
    states = sorted(LEVELS, key=lambda state: LEVELS[state].rank)
    everybody = _view("all", "All", len(rows), "Everybody in my case-load")
    levels = [_level_view(state, of_level) for state in states]
    counts: Mapping[str, int] = {
        "mine": sum(bool(row["is_mine"]) for row in rows),
        "new": sum(bool(row["is_new"]) for row in rows),
    }
    saved = [_view(name, label, counts.get(name), said) for name, label, said in _VIEWS]
    return [everybody, *levels, html.Span(className="divider"), *saved]


def _level_view(state: State, of_level: Counter[str]) -> Component:
    level, word = LEVELS[state], sentence_case(state.value)
    shape = html.Span(level.shape, className=f"shape {level.class_name}", **aria(hidden="true"))
    return _view(level.class_name, word, of_level[word], f"Only: {state.value}", shape)


def _view(name: str, label: str, count: int | None, said: str, shape: Component | None = None) -> Component:
    number = html.B("" if count is None else str(count), className="count", **{"data-count": name})  # pyright: ignore[reportArgumentType] - a data attribute
    return html.Button(
        [shape, label, number],
        title=said,
        className="view" if count != 0 else "view none",
        **{"data-view": name},  # pyright: ignore[reportArgumentType] - a data attribute
    )


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
            "headerHeight": 36,
            "rowHeight": _ROW_PX,
            "ensureDomOrder": True,
            "animateRows": False,
            "suppressColumnMoveAnimation": True,
            "rowBuffer": 0,
            "enableBrowserTooltips": True,
        },
        style={"width": "100%"} | ({} if is_short else {"height": "calc(100vh - 232px)"}),
    )


def _columns() -> list[dict[str, Any]]:
    by_order = {"function": "byOrder(valueA, valueB, nodeA, nodeB)"}
    by_age = {"function": "byAge(valueA, valueB, nodeA, nodeB)"}
    searched = {"getQuickFilterText": {"function": "patientText(params)"}}
    drawn = {"sortable": False, "cellDataType": False, "getQuickFilterText": {"function": "unsearched()"}}
    return [
        _column("level", "Level", 148, renderer="Level", comparator=by_order, pinned="left"),
        _column("subject_id", "Patient", 160, renderer="Patient", pinned="left", **searched),
        {"field": "why", "headerName": "Why", "flex": 1, "minWidth": 186, "cellClass": "why"}
        | {"tooltipField": "why"},
        _text("days", "Days", 56, shown="daysText(params)"),
        *(_column(key, name, 98, renderer="Sparkline", **drawn) for key, name in SPARKLINES),
        _column("coverage", "Recorded", 94, renderer="CoverageBars", **drawn),
        _column("last", "Last data", 88, renderer="LastData", comparator=by_age),
        _text("assessed", "Assessed", 96),
        _text("owner", "Owner", 74),
        _column("status", "Status", 92, renderer="Status"),
    ]


def _text(field: str, name: str, width_px: int, *, shown: str = "plainText(params)") -> dict[str, Any]:
    """Return a column of words, which the grid writes itself: a renderer is a component for every cell."""
    formatter = {"function": shown}
    return {"field": field, "headerName": name, "width": width_px, "valueFormatter": formatter}


def _column(field: str, name: str, width_px: int, *, renderer: str, **more: object) -> dict[str, Any]:
    return {"field": field, "headerName": name, "width": width_px, "cellRenderer": renderer, **more}
