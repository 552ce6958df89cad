"""The dashboard as an application: pages, gate and server put together."""

from dash import Input, Output, dcc, html
from dash.development.base_component import Component
from flask import has_request_context, request

from dashboard.compare import connect_compare
from dashboard.gate import (
    LAYOUT_PATH,
    audit,
    csrf_cookie,
    csrf_token,
    install_gate,
    signed_in_user,
    visible_subject,
)
from dashboard.happenings import connect_happenings
from dashboard.live import connect_live, live_layout
from dashboard.night import connect_night
from dashboard.patient import connect_patient, patient_layout
from dashboard.plain.site import install_plain_pages
from dashboard.provider import install_provider
from dashboard.routes import DASH_PAGES, route_of
from dashboard.shell import Shell, new_server
from dashboard.sign_in import sign_in_pages
from dashboard.sources import Sources
from dashboard.summary import summary_layout
from dashboard.triage import connect_triage, triage_layout
from dashboard.zoom import connect_zoom
from store.installation import Installation

PAGE_HEADER = "X-Evenkeel-Page"
"""`templates/begin.js` names the address of the page when it asks for the layout."""


def create_app(installation: Installation) -> Shell:
    """Return the dashboard of an installation, ready to be served by any WSGI server.

    The open sources are in `app.sources`; whoever made the app closes them.
    """
    sources = Sources.open(installation)
    server = new_server(installation.settings.dashboard, csrf_token)
    app = Shell(
        "dashboard",
        server=server,
        sources=sources,
        # The frame links stylesheet and vendored code itself: the one also where there is no Dash, the other
        # only where it is needed.
        assets_ignore=r".*\.css|(plotly|regenerator)-.*|.*\.txt|.*\.woff2",
        serve_locally=True,
        compress=False,
        update_title="",
        # Pages come one at a time, so most callbacks miss their parts in the first layout.
        suppress_callback_exceptions=True,
        enable_mcp=False,
        csrf_token_name=csrf_cookie(is_behind_tls=installation.settings.dashboard.is_behind_tls),
    )
    install_gate(server, sources, app.script_hashes)
    server.register_blueprint(sign_in_pages(sources))
    install_provider(server, sources)
    install_plain_pages(server, sources)
    app.layout = lambda: _layout(sources)
    _connect(app, sources)
    return app


def _connect(app: Shell, sources: Sources) -> None:
    def page(path: object) -> Component:
        return _page(sources, path)

    app.connect(page, Output("page", "children"), [Input("address", "pathname")], on_load=False)
    connect_triage(app, sources)
    connect_live(app, sources)
    connect_patient(app, sources)
    connect_night(app, sources)
    connect_zoom(app, sources)
    connect_compare(app, sources)
    connect_happenings(app, sources)


def _layout(sources: Sources) -> Component:
    """Return what `assets/evenkeel.js` asks for, page and all: a round trip less than by callback."""
    asked = (
        request.headers.get(PAGE_HEADER) if has_request_context() and request.path == LAYOUT_PATH else None
    )
    shown = _page(sources, asked) if asked else None
    # The address is told here, so that the browser does not find it new and ask for the page once more.
    known = {"pathname": asked} if asked else {}
    return html.Div([dcc.Location(id="address", refresh=False, **known), html.Div(shown, id="page")])


def _page(sources: Sources, path: object) -> Component:
    route = route_of(path)
    if route is None or route.page not in DASH_PAGES or signed_in_user().role not in route.roles:
        return _nobody()
    if route.page == "triage":
        audit(sources, signed_in_user().name, "list")
        return triage_layout(sources)
    if route.page == "live":
        audit(sources, signed_in_user().name, "list live")
        return live_layout(sources)
    subject = visible_subject(sources, route.subject_id)
    if subject is None:
        return _nobody()
    audit(sources, signed_in_user().name, "view", subject_id=subject.subject_id)
    return (summary_layout if route.page == "summary" else patient_layout)(sources, subject)


def _nobody() -> Component:
    return html.P("There is no such page, or no such patient in your case-load.", className="card notice")
