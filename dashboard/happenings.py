"""Medication and life events: entered on a patient's page and drawn in its charts."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboard.charts import aria
from dashboard.gate import audit, may_write, signed_in_user, subject_at
from dashboard.routes import CARERS
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import date_text
from store.errors import ConfigError
from store.registry.annotations import Annotation
from store.registry.people import Subject

_KINDS = (("medication", "Medication"), ("life_event", "Life event"))
_SHAPES = {"medication": "▼", "life_event": "★"}
_LONGEST = 300


def readable_annotations(sources: Sources, subject: Subject) -> list[Annotation]:
    """Return what happened, to whoever may read it: not to researchers, for people write names into it."""
    if signed_in_user().role not in CARERS:
        return []
    return sources.registry.annotations.of_subject(subject.subject_id)


def happenings_panel(annotations: Sequence[Annotation], today: date) -> Component | None:
    """Return what is known and a form for more; nothing for those who do not write."""
    if signed_in_user().role not in CARERS:
        return None
    return html.Section(
        [
            html.H2("Medication and life events"),
            html.Ol([_line(each) for each in reversed(annotations)], className="happenings")
            if annotations
            else html.P(
                "Nothing written down. What is entered here is drawn in every chart.", className="quiet"
            ),
            html.Details([html.Summary("Write down another"), _form(today)]),
        ],
        className="card happenings-card",
    )


def _line(each: Annotation) -> Component:
    until = f" to {date_text(each.end)}" if each.end else ""
    return html.Li(
        [
            html.Span(_SHAPES[each.kind], className=f"shape {each.kind}", **aria(hidden="true")),
            html.B(f"{date_text(each.start)}{until}"),
            f" {each.text} ",
            html.Span(dict(_KINDS)[each.kind].lower(), className="quiet"),
        ]
    )


def _form(today: date) -> Component:
    return html.Div(
        [
            _field(
                "What",
                "happening-kind",
                dcc.RadioItems(
                    id="happening-kind",
                    options=[{"value": value, "label": label} for value, label in _KINDS],
                    value="medication",
                    inline=True,
                ),
            ),
            _field("From", "happening-start", _date_field("happening-start", today.isoformat(), today)),
            _field("To (empty: still so)", "happening-end", _date_field("happening-end", "", today)),
            _field(
                "In a few words",
                "happening-text",
                dcc.Input(id="happening-text", type="text", maxLength=_LONGEST, autoComplete="off"),
            ),
            html.Button("Keep", id="happening-keep", className="primary small", n_clicks=0),
            html.P("", id="happening-said", role="status", className="quiet"),
            dcc.Location(id="happening-reload", refresh=True),
        ],
        className="form",
    )


def _field(label: str, part_id: str, field: Component) -> Component:
    return html.Div([html.Label(label, htmlFor=part_id), field], className="field")


def _date_field(part_id: str, value: str, today: date) -> Component:
    return dcc.Input(
        id=part_id,
        type="date",  # pyright: ignore[reportArgumentType] - Dash passes every type on
        value=value,
        max=today.isoformat(),
        debounce=False,
    )


def connect_happenings(app: Shell, sources: Sources) -> None:
    """Keep what is written down, then show the page anew so that every chart has it."""

    def keep(clicks: object, kind: object, start: object, end: object, text: object, path: object) -> Any:  # noqa: ANN401 - the fields of a form
        if not clicks:
            return no_update, no_update
        user, subject = may_write(sources), subject_at(sources, path)
        try:
            sources.registry.annotations.add(_annotation(subject, kind, start, end, text), by=user.name)
        except ConfigError as error:
            return str(error), no_update
        audit(sources, user.name, "annotate", subject_id=subject.subject_id)
        return "Kept.", f"{path}"

    states = [State(f"happening-{name}", "value") for name in ("kind", "start", "end", "text")]
    app.connect(
        keep,
        [Output("happening-said", "children"), Output("happening-reload", "href")],
        [Input("happening-keep", "n_clicks"), *states, State("address", "pathname")],
        on_load=False,
    )


def _annotation(subject: Subject, kind: object, start: object, end: object, text: object) -> Annotation:
    said = " ".join(str(text or "").split())
    if not said or len(said) > _LONGEST:
        raise ConfigError(f"The words are missing or longer than {_LONGEST} letters; say it in a few words.")
    try:
        first = date.fromisoformat(str(start or ""))
        last = date.fromisoformat(str(end)) if end else None
    except ValueError:
        raise ConfigError("A date is needed, and no other end than a date or nothing.") from None
    chosen = next((value for value, _ in _KINDS if value == kind), None)
    if chosen is None:
        raise ConfigError("Choose medication or life event.")
    return Annotation(
        subject.subject_id, "medication" if chosen == "medication" else "life_event", first, said, last
    )
