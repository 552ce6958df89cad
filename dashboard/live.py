"""Everybody of a case-load whose wearable streams now: heart rate, sign of life, battery."""

from dash import Input, Output, dcc, html
from dash.development.base_component import Component

from dashboard.charts import aria, badge_simulated
from dashboard.gate import signed_in_user
from dashboard.pulse import Battery, Pulse, newest_battery, newest_pulse
from dashboard.routes import patient_path
from dashboard.shell import Shell
from dashboard.sources import Sources
from dashboard.words import MISSING, age_text, local_time
from store.registry.people import Subject

REFRESH_EVERY_MS = 1_000


def live_layout(sources: Sources) -> Component:
    """Return the page for whoever asks."""
    return html.Div(
        [
            html.Div(
                [html.H1("Live"), html.P("Wearables that stream now", className="quiet")],
                className="page-head",
            ),
            html.Div(live_cards(sources), id="live-cards"),
            dcc.Interval(id="live-timer", interval=REFRESH_EVERY_MS),
        ],
        className="page",
    )


def connect_live(app: Shell, sources: Sources) -> None:
    """Keep the page moving."""

    def refresh(_: int) -> Component:
        return live_cards(sources)

    timer = Input("live-timer", "n_intervals")
    app.connect(refresh, Output("live-cards", "children"), [timer], on_load=False)


def live_cards(sources: Sources) -> Component:
    """Return a card for everyone whose wearable streamed within the last minutes, by id."""
    now_ns = sources.clock.now_ns()
    registry, store = sources.registry, sources.store
    worn = set(registry.people.worn_now().values())
    visible = [s for s in registry.accounts.visible_subjects(signed_in_user()) if s in worn]
    pulses = {subject_id: newest_pulse(store, subject_id) for subject_id in visible}
    recent = {s: pulse for s, pulse in pulses.items() if pulse is not None and pulse.is_recent(now_ns)}
    if not recent:
        return html.P(
            "No wearable of your patients streams now. Nothing follows from that about how anyone is.",
            className="card notice",
        )
    people = registry.people.subjects(list(recent))
    cards = [
        _card(subject, recent[subject.subject_id], newest_battery(store, subject.subject_id), now_ns)
        for subject in people
    ]
    return html.Ul(cards, className="live-cards")


def _card(subject: Subject, pulse: Pulse, battery: Battery | None, now_ns: int) -> Component:
    is_live = pulse.is_live(now_ns)
    name = [html.A(subject.subject_id, href=patient_path(subject.subject_id)), f" {subject.display_name}"]
    return html.Li(
        [
            html.Div([html.H2(name), badge_simulated() if subject.is_simulated else None], className="who"),
            html.P(pulse_text(pulse, now_ns), className="big"),
            html.P(sign_of_life(pulse, now_ns), className="sign"),
            html.P(
                f"{battery_text(battery)} · {local_time(pulse.at_ns, subject.zone):%H:%M:%S} {subject.zone}",
                className="quiet",
            ),
        ],
        key=subject.subject_id,
        className="card live-card" + ("" if is_live else " is-silent"),
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
    shape, said = ("○", "silent since") if not pulse.is_live(now_ns) else ("●", "as of")
    if shape == "●" and pulse.heart_rate_bpm is None:
        shape, said = "◐", "connected, no pulse or not on the skin;"
    return [
        html.Span(shape, className="shape-live", **aria(hidden="true")),
        f" {said} {age_text(now_ns - pulse.at_ns)}",
    ]


def battery_text(battery: Battery | None) -> str:
    """Say how much charge is left."""
    return "Battery unknown" if battery is None else f"Battery {battery.level_pct:.0f} %"
