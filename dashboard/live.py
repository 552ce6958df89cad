"""Everybody of a case-load whose wearable streams now: heart rate, sign of life, battery, signal."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dash import Input, Output, State, dcc, html, no_update
from dash.development.base_component import Component

from dashboard.charts import aria, badge_simulated
from dashboard.gate import visible_people, worn_sensors
from dashboard.pulse import (
    LIVE_BOARD_S,
    Battery,
    LinkState,
    Pulse,
    Signal,
    newest_battery,
    newest_link,
    newest_pulse,
    newest_signal,
)
from dashboard.routes import patient_path
from dashboard.shell import Shell, set_children
from dashboard.sources import Sources
from dashboard.words import MISSING, age_text, local_time
from store.registry.people import Subject

REFRESH_EVERY_MS = 1_000
_MOST_SILENT = 100
_SIGNAL_WORDS = ((-67.0, "good"), (-80.0, "fair"), (-90.0, "weak"))
"""From so many dBm on; below -90 links of most wearables break."""
_LINK_WORDS = {
    "connected": "Connected",
    "on_body": "Connected, worn",
    "off_body": "Connected, not worn",
    "disconnected": "Out of range",
    "started": "Looked for",
    "stopped": "Collector stopped",
    "paused": "Paused",
    "resumed": "Resumed",
}


def live_layout(sources: Sources) -> Component:
    """Return the page for whoever asks."""
    now_ns = sources.clock.now_ns()
    shown = _streaming(sources, now_ns)
    return html.Div(
        [
            html.Div(
                [html.H1("Live"), html.P("Wearables that stream now", className="quiet")],
                className="page-head",
            ),
            html.Div(_cards(shown, now_ns), id="live-cards"),
            _silent_table(sources, {streaming.subject.subject_id for streaming in shown}),
            dcc.Store(id="live-shown", data=_ids(shown)),
            dcc.Interval(id="live-timer", interval=REFRESH_EVERY_MS),
        ],
        className="page",
    )


def connect_live(app: Shell, sources: Sources) -> None:
    """Keep the page moving."""

    def refresh(_: object, on_page: object) -> Any:  # noqa: ANN401 - Dash's own marker or the parts
        now_ns = sources.clock.now_ns()
        shown = _streaming(sources, now_ns)
        if _ids(shown) != on_page:
            return _cards(shown, now_ns), _ids(shown)
        # Cards stay and what is in them moves: a link must keep its focus, and feel a slow click.
        for streaming in shown:
            set_children({"live": streaming.subject.subject_id}, streaming.moving(now_ns))
        return no_update, no_update

    outputs = [Output("live-cards", "children"), Output("live-shown", "data")]
    timer, on_page = Input("live-timer", "n_intervals"), State("live-shown", "data")
    app.connect(refresh, outputs, [timer, on_page], on_load=False)


@dataclass(frozen=True, slots=True)
class _Streaming:
    """Somebody whose wearable streamed within the last minutes."""

    subject: Subject
    pulse: Pulse
    battery: Battery | None
    link: LinkState | None
    signal: Signal | None

    def moving(self, now_ns: int) -> Component:
        """Return the part of the card that changes every second."""
        zone = self.subject.zone
        quiet = f"{battery_text(self.battery)} · {local_time(self.pulse.at_ns, zone):%H:%M:%S} {zone}"
        linked = link_text(self.link, zone)
        parts = [
            html.P(pulse_text(self.pulse, now_ns), className="big"),
            html.P(sign_of_life(self.pulse, now_ns), className="sign"),
            html.P(quiet, className="quiet"),
            html.P(f"{linked} · {signal_text(self.signal)}", className="quiet"),
        ]
        return html.Div(parts, className="" if self.pulse.is_live(now_ns) else "is-silent")


def _silent_table(sources: Sources, shown: set[str]) -> Component | None:
    """Return who wears a wearable that does not stream, with what is known of it last."""
    worn = set(sources.registry.people.worn_now().values()) - shown
    people = [person for person in visible_people(sources) if person.subject_id in worn]
    if not people:
        return None
    rows = [_silent_row(sources, person) for person in people[:_MOST_SILENT]]
    more = len(people) - len(rows)
    head = html.Tr(
        [
            html.Th(text, scope="col")
            for text in ("Patient", "Wearable", "Link", "Signal", "Last heart rate", "Battery")
        ]
    )
    return html.Section(
        [
            html.Div(
                [html.H2("Wearables that do not stream now"), html.P("as of opening this page")],
                className="title",
            ),
            html.Div(html.Table([html.Thead(head), html.Tbody(rows)]), className="table-scroll", tabIndex=0),
            html.P(f"and {more} more", className="quiet") if more > 0 else None,
        ],
        className="card",
    )


def _silent_row(sources: Sources, person: Subject) -> Component:
    store, zone = sources.store, person.zone
    pulse, battery = newest_pulse(store, person.subject_id), newest_battery(store, person.subject_id)
    link = newest_link(store, person.subject_id)
    models = {
        " ".join(filter(None, (s.manufacturer, s.model))) or s.name for s in worn_sensors(sources, person)
    }
    now_ns = sources.clock.now_ns()
    last = MISSING
    if pulse is not None:
        last = f"{age_text(now_ns - pulse.at_ns)}, there {local_time(pulse.at_ns, zone):%-d %b %H:%M}"
    cells = (
        ", ".join(sorted(filter(None, models))) or MISSING,
        link_text(link, zone),
        signal_text(newest_signal(store, person.subject_id)),
        last,
        aged_battery_text(battery, now_ns),
    )
    name = html.A(person.subject_id, href=patient_path(person.subject_id))
    return html.Tr([html.Th([name, f" {person.display_name}"], scope="row"), *map(html.Td, cells)])


def link_text(link: LinkState | None, zone: str) -> str:
    """Say how the link to a wearable stands, and since when."""
    if link is None:
        return "Never connected"
    word = _LINK_WORDS.get(link.state, link.state.replace("_", " "))
    return f"{word} since {local_time(link.at_ns, zone):%-d %b %H:%M}"


def signal_text(signal: Signal | None) -> str:
    """Say how strong the wearable was heard before it connected; while connected nobody tells."""
    if signal is None:
        return "Signal not known"
    word = next((word for lowest, word in _SIGNAL_WORDS if signal.rssi_dbm >= lowest), "very weak")
    return f"Signal {word} ({signal.rssi_dbm:.0f} dBm)".replace("-", "\N{MINUS SIGN}")


def _ids(shown: Sequence[_Streaming]) -> list[str]:
    return [streaming.subject.subject_id for streaming in shown]


def _streaming(sources: Sources, now_ns: int) -> list[_Streaming]:
    store, board, worn = sources.store, sources.pulses, set(sources.registry.people.worn_now().values())
    people = [person for person in visible_people(sources) if person.subject_id in worn]
    ids = [person.subject_id for person in people]
    board.read_ahead(store, ids, now_ns, within_s=LIVE_BOARD_S)
    pulses = [(p, board.of(store, p.subject_id, now_ns, within_s=LIVE_BOARD_S)) for p in people]
    return [
        _Streaming(
            person,
            pulse,
            board.battery_of(store, person.subject_id, now_ns),
            board.link_of(store, person.subject_id, now_ns),
            board.signal_of(store, person.subject_id, now_ns),
        )
        for person, pulse in pulses
        if pulse is not None and pulse.is_recent(now_ns)
    ]


def _cards(shown: Sequence[_Streaming], now_ns: int) -> Component:
    if not shown:
        return html.P(
            "No wearable of your patients streams now. Nothing follows from that about how anyone is.",
            className="card notice",
        )
    return html.Ul([_card(streaming, now_ns) for streaming in shown], className="live-cards")


def _card(streaming: _Streaming, now_ns: int) -> Component:
    subject = streaming.subject
    name = [html.A(subject.subject_id, href=patient_path(subject.subject_id)), f" {subject.display_name}"]
    badge = badge_simulated() if subject.is_simulated else None
    return html.Li(
        [
            html.Div([html.H2(name), badge], className="who"),
            html.Div(streaming.moving(now_ns), id={"live": subject.subject_id}),
        ],
        className="card live-card",
    )


def pulse_text(pulse: Pulse | None, now_ns: int) -> list[Component]:
    """Return the number that moves, and its unit; a dash where there is no current one."""
    is_live = pulse is not None and pulse.is_live(now_ns)
    bpm = pulse.heart_rate_bpm if pulse and is_live else None
    return [
        html.Span(MISSING if bpm is None else f"{bpm:.0f}", className="live-bpm"),
        html.Span(" beats/min", className="unit"),
    ]


def sign_of_life(pulse: Pulse | None, now_ns: int) -> list[Component | str]:
    """Say with shape and words whether the number is of now."""
    if pulse is None:
        return ["Never streamed"]
    age = age_text(now_ns - pulse.at_ns)
    if pulse.is_ahead(now_ns):
        shape, said = "△", f"time-stamped {age}; check the clocks"
    elif not pulse.is_live(now_ns):
        shape, said = "○", f"silent, last heard {age}"
    elif pulse.heart_rate_bpm is None:
        shape, said = "◐", f"no pulse or not on the skin, {age}"
    else:
        shape, said = "●", age
    return [html.Span(shape, className="shape-live", **aria(hidden="true")), f" {said}"]


def battery_text(battery: Battery | None) -> str:
    """Say how much charge is left."""
    return "Battery unknown" if battery is None else f"Battery {battery.level_pct:.0f} %"


def aged_battery_text(battery: Battery | None, now_ns: int) -> str:
    """Say how much charge was left, and how long ago that was."""
    age = "" if battery is None else f" ({age_text(now_ns - battery.at_ns)})"
    return f"{battery_text(battery)}{age}"
