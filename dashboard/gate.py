"""The gate: nothing without signing in, strict headers, and whose data a request may touch.

Plain Flask carries the session: Flask-Login's loader cannot see whether a request is a page refreshing
itself, which must not keep an unattended session alive. The signed cookie holds a random token; the
session itself is a row of the registry and can be ended there.
"""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from urllib.parse import urlencode

from dash.exceptions import DashException
from flask import Flask, Response, g, redirect, request, session
from flask.sessions import SecureCookieSessionInterface
from flask.typing import ResponseReturnValue
from flask_wtf import csrf
from werkzeug.exceptions import BadRequest, Forbidden, HTTPException, NotFound, ServiceUnavailable
from werkzeug.middleware.proxy_fix import ProxyFix

from dashboard.packing import Packing, packed_layout
from dashboard.routes import (
    ACCOUNT_PATH,
    CARERS,
    DASH_PAGES,
    OIDC_PATH,
    OIDC_RETURN_PATH,
    READERS,
    SIGN_IN_PATH,
    SIGN_OUT_PATH,
    TRIAGE_PATH,
    home_of,
    route_of,
)
from dashboard.shell import FONT_PATH, message_page
from dashboard.sources import Sources
from models.nightly import sensor_names
from store.errors import StoreAccessError, StoreUnavailableError
from store.registry.accounts import User
from store.registry.people import Sensor, Subject

STYLESHEET_PATH = "/assets/evenkeel.css"
OPEN_PATHS = frozenset({SIGN_IN_PATH, OIDC_PATH, OIDC_RETURN_PATH, "/health", STYLESHEET_PATH, FONT_PATH})
CALLBACK_PATH, LAYOUT_PATH = "/_dash-update-component", "/_dash-layout"
ACTIVE_HEADER = "X-Evenkeel-Active"
"""`assets/evenkeel.js` sends it when somebody used mouse or keys since the page last asked."""
AGAIN_HEADER, AGAIN = "X-Evenkeel-Again", "again"
"""Sent by a page, and in its address, that asks once more for what the store did not answer."""
_AGAIN_S = 10

_ONE_TIME_LINK = re.compile(r"/sign-in/once/[\w-]{20,80}")
_CATCH_ALL = ("/", "/<path:path>")
"""Dash's, which would serve its page at any address."""
_CACHEABLE = ("/assets/", "/_dash-component-suites/")
_YEAR_S = 365 * 24 * 3600
_MAX_REQUEST_BYTES = 1_000_000
"""The largest callback of ours sends a few hundred bytes."""

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # Not `no-referrer`: behind TLS the CSRF check compares the referring host.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class _SignedCookie(SecureCookieSessionInterface):
    """Flask's own, signed with SHA-256 instead of SHA-1."""

    digest_method = staticmethod(hashlib.sha256)


def install_gate(server: Flask, sources: Sources, script_hashes: Callable[[], Sequence[str]]) -> None:
    """Close a server: default-deny, CSRF on every POST, headers, cookies.

    Parameters
    ----------
    script_hashes : callable
        Gives the CSP hashes of inline scripts; asked once, at the first answer.
    """
    is_behind_tls = sources.settings.dashboard.is_behind_tls
    server.secret_key = sources.secret
    server.session_interface = _SignedCookie()
    config = cast("dict[str, Any]", server.config)
    config.update(
        SESSION_COOKIE_NAME="__Host-evenkeel" if is_behind_tls else "evenkeel",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_SECURE=is_behind_tls,
        WTF_CSRF_TIME_LIMIT=None,  # a token lives as long as its session
        WTF_CSRF_HEADERS=["X-CSRFToken"],
        MAX_CONTENT_LENGTH=_MAX_REQUEST_BYTES,
        SEND_FILE_MAX_AGE_DEFAULT=_YEAR_S,
    )
    if is_behind_tls:
        server.wsgi_app = ProxyFix(server.wsgi_app, x_for=1, x_proto=1)
    server.before_request(lambda: _admit(sources))
    csrf.CSRFProtect(server)
    server.register_error_handler(HTTPException, lambda error: _error_page(sources, error))
    server.register_error_handler(DashException, lambda _error: _error_page(sources, BadRequest()))
    for refused in (StoreUnavailableError, StoreAccessError):
        server.register_error_handler(refused, lambda error: _store_is_away(server, sources, error))
    packing = Packing()
    policy: list[str] = []

    def finish(response: Response) -> Response:
        if not policy:
            policy.append(_content_security_policy(script_hashes()))
        _finish(response, policy[0], is_behind_tls=is_behind_tls)
        if request.path == LAYOUT_PATH:
            return packed_layout(request, response)
        return packing.packed(request, response) if _is_code(response) else response

    server.after_request(finish)


def csrf_cookie(*, is_behind_tls: bool) -> str:
    """Return the name of the cookie whose value Dash sends back as the header X-CSRFToken."""
    return "__Host-csrf_token" if is_behind_tls else "_csrf_token"


def csrf_token() -> str:
    """Return the CSRF token of this request's session."""
    generate = cast("Callable[[], str]", vars(csrf)["generate_csrf"])
    return generate()


def signed_in_user() -> User:
    """Return who asks. Only for code behind the gate."""
    return cast("User", g.user)


def visible_subject(sources: Sources, subject_id: str) -> Subject | None:
    """Return the patient if the one who asks may see them; None, with an entry in the audit, otherwise.

    None says the same of somebody else's patient and of one that does not exist.
    """
    found = visible_people(sources, [subject_id])
    if found:
        return found[0]
    audit(sources, signed_in_user().name, "view", subject_id=subject_id, is_allowed=False)
    return None


def subject_at(sources: Sources, path: object) -> Subject:
    """Return the patient whose page is at an address a browser sent.

    Raises
    ------
    NotFound
        If there is none for the one who asks; the page then reloads and closes.
    """
    route = route_of(path)
    subject = visible_subject(sources, route.subject_id) if route and route.subject_id else None
    if subject is None:
        raise NotFound
    return subject


def may_write(sources: Sources) -> User:
    """Return who asks, if their role acts on patients' behalf: for code that changes what is held of one.

    Raises
    ------
    Forbidden
        If it does not, with an entry in the audit; a researcher reads, and changes nothing.
    """
    user = signed_in_user()
    if user.role not in CARERS:
        audit(sources, user.name, "change", is_allowed=False, detail=f"{request.path}: role {user.role}")
        raise Forbidden
    return user


def visible_people(sources: Sources, only: Sequence[str] | None = None) -> list[Subject]:
    """Return the people the one who asks may see (or those of `only`), by id: the one way to reach people.

    Display names are blank unless the role may read them.
    """
    user = signed_in_user()
    chosen = only if user.sees_all else sources.registry.accounts.visible_subjects(user, only)
    people = sources.registry.people.subjects(chosen)
    return people if user.role in CARERS else [replace(person, display_name="") for person in people]


def everybody(sources: Sources) -> list[Subject]:
    """Return all people, for what is computed ahead of anybody's asking: never to be shown to anybody."""
    return sources.registry.people.subjects()


def worn_sensors(sources: Sources, subject: Subject) -> list[Sensor]:
    """Return what a visible person wears; wearables too are often called by their owner's name."""
    worn = sources.registry.people.sensors_of(subject.subject_id)
    is_named = signed_in_user().role in CARERS
    return worn if is_named else [replace(sensor, name="", sensor_id="") for sensor in worn]


def sensor_models(sources: Sources) -> dict[str, str]:
    """Return what kind of sensor each is, by id, and nothing of who wears it: for code that judges nights."""
    return sensor_names(sources.registry.people.sensors())


def audit(
    sources: Sources,
    actor: str,
    action: str,
    *,
    subject_id: str = "",
    is_allowed: bool = True,
    detail: str = "",
) -> None:
    """Write to the audit log what this request did or was refused."""
    sources.registry.audit.append(
        actor,
        action,
        subject_id=subject_id,
        is_allowed=is_allowed,
        address=request.remote_addr or "",
        detail=detail,
    )


def _admit(sources: Sources) -> ResponseReturnValue | None:
    if request.path in OPEN_PATHS or _ONE_TIME_LINK.fullmatch(request.path):
        return None
    token = session.get("token")
    user = None
    if isinstance(token, str):
        user = sources.registry.accounts.session_user(token, is_activity=not _is_polling())
    if user is None:
        if request.path.startswith("/_"):
            return "Signed out: sign in again", 401
        return redirect(SIGN_IN_PATH, 303)
    g.user = user
    is_code = request.path.startswith(_CACHEABLE) and request.endpoint not in _CATCH_ALL
    if is_code or request.path == SIGN_OUT_PATH:
        return None
    if request.path.startswith("/_"):
        return _admit_part(sources, user)
    return _admit_page(sources, user)


def _admit_part(sources: Sources, user: User) -> ResponseReturnValue | None:
    """Let those who read patients' data use the parts that Dash serves under names of its own."""
    if user.role not in READERS or user.must_change_password:
        audit(sources, user.name, "page", is_allowed=False, detail=f"{request.path}: role {user.role}")
        raise Forbidden
    if request.endpoint in _CATCH_ALL:
        raise NotFound
    if request.path == CALLBACK_PATH and request.method == "POST" and not _is_callback():
        raise BadRequest
    return None


def _admit_page(sources: Sources, user: User) -> ResponseReturnValue | None:
    """Let a role open its pages, and a user those of the own patients; what is not named does not exist."""
    route = route_of(request.path)
    if user.must_change_password and (route is None or route.page != "account"):
        return redirect(ACCOUNT_PATH, 303)
    if route is None:
        raise NotFound
    if user.role not in route.roles:
        if request.path == TRIAGE_PATH:
            return redirect(home_of(user.role), 303)
        audit(sources, user.name, "page", is_allowed=False, detail=f"{request.path}: role {user.role}")
        raise Forbidden
    if request.endpoint in _CATCH_ALL and route.page not in DASH_PAGES:
        raise NotFound
    if route.subject_id and visible_subject(sources, route.subject_id) is None:
        raise NotFound
    return None


def _is_polling() -> bool:
    """Say whether a page refreshes itself, unwatched: it asks again, or only timers triggered a callback."""
    if request.headers.get(AGAIN_HEADER) or request.args.get(AGAIN):
        return not request.headers.get(ACTIVE_HEADER)
    if request.path != CALLBACK_PATH or request.headers.get(ACTIVE_HEADER):
        return False
    changed = _callback_body().get("changedPropIds")
    if not isinstance(changed, list) or not changed:
        return False
    return all(str(prop).endswith(".n_intervals") for prop in cast("list[object]", changed))


def _is_callback() -> bool:
    """Say whether the body has the form that Dash's renderer sends; Dash itself breaks on others."""
    held = _callback_body()
    return isinstance(held.get("output"), str) and all(
        isinstance(held.get(name, []), list) for name in ("inputs", "state", "changedPropIds")
    )


def _callback_body() -> Mapping[str, Any]:
    """Return what was posted; empty if it is no JSON object."""
    try:
        body: object = request.get_json(silent=True)
    except RecursionError:  # thousands of brackets
        return {}
    return cast("Mapping[str, Any]", body) if isinstance(body, dict) else {}


def _is_code(response: Response) -> bool:
    return response.status_code in (200, 304) and request.path.startswith(_CACHEABLE)


def _content_security_policy(script_hashes: Sequence[str]) -> str:
    return "; ".join(
        (
            "default-src 'none'",
            " ".join(("script-src 'self'", *script_hashes)),
            # Plotly and AG Grid set styles from script; styles can draw, not run.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self'",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
            "object-src 'none'",
        )
    )


def _finish(response: Response, policy: str, *, is_behind_tls: bool) -> None:
    response.headers.update(_HEADERS)
    response.headers["Content-Security-Policy"] = policy
    if is_behind_tls:
        response.headers["Strict-Transport-Security"] = f"max-age={_YEAR_S}; includeSubDomains"
    if not _is_code(response):
        response.headers["Cache-Control"] = "no-store"
    elif "Cache-Control" not in response.headers:  # code without a fingerprint in its name: ask, then reuse
        response.headers["Cache-Control"] = "no-cache"
    if response.mimetype == "text/html" and "user" in g:
        name = csrf_cookie(is_behind_tls=is_behind_tls)
        response.set_cookie(name, csrf_token(), secure=is_behind_tls, samesite="Strict")


def _store_is_away(server: Flask, sources: Sources, error: Exception) -> ResponseReturnValue:
    """Tell the page, and whoever runs evenkeel; the page asks again by itself."""
    server.logger.warning("%s", error)
    if request.method != "GET" or request.path.startswith("/_"):
        return _error_page(sources, ServiceUnavailable("The store does not answer. Try again in a minute."))
    asked = request.args.copy()
    asked[AGAIN] = "1"
    now = f"{datetime.fromtimestamp(sources.clock.now_ns() / 1e9, UTC):%H:%M:%S} UTC"
    said = (
        f"At {now} the store of samples did not answer. This page asks again every {_AGAIN_S} seconds and "
        "opens as soon as it does; if this lasts, call whoever runs evenkeel."
    )
    address = f"{request.path}?{urlencode(list(asked.items(multi=True)))}"
    page = message_page(ServiceUnavailable().name, said, again=(_AGAIN_S, address))
    return page, 503, {"Retry-After": str(_AGAIN_S)}


def _error_page(sources: Sources, error: HTTPException) -> ResponseReturnValue:
    status = error.code or 500
    if status < 400:
        return error.get_response()
    if isinstance(error, csrf.CSRFError) and "user" in g:
        audit(sources, signed_in_user().name, "post", is_allowed=False, detail=f"{request.path}: no token")
    if request.path.startswith("/_"):
        return error.name, status
    said = {
        403: ("Not for this role", "Your role does not open this page. An administrator can tell you why."),
        404: ("Not found", "There is no such page, or no such patient in your case-load."),
        400: ("Not accepted", "This form is too old or was changed. Go back, reload the page and try again."),
        500: ("Something broke", "This is a fault of evenkeel. The page was not shown; nothing was changed."),
    }
    title, text = said.get(status, (error.name, error.description or ""))
    return message_page(title, text), status
