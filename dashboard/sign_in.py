"""Signing in and out: plain pages that work without scripts."""

from functools import partial

from flask import Blueprint, Response, make_response, redirect, render_template, request, session
from flask.typing import ResponseReturnValue

from dashboard.gate import audit, signed_in_user
from dashboard.routes import SIGN_IN_PATH, SIGN_OUT_PATH, TRIAGE_PATH
from dashboard.shell import message_page
from dashboard.sources import Sources
from store.errors import RefusedError
from store.registry.accounts import SESSION_IDLE_S, SESSION_TOTAL_S, User

_NOT_FOUND_TOGETHER = "User name and password do not belong together"
_ENDED = (
    f"Your session has ended, as it does after {SESSION_IDLE_S // 60} minutes without activity "
    f"and after {SESSION_TOTAL_S // 3600} hours. Sign in again."
)
_LINK_IS_GONE = "This link was used already or is older than 30 minutes. Ask for a new one, or sign in."


def sign_in_pages(sources: Sources) -> Blueprint:
    """Return the pages `/sign-in`, `/sign-in/once/<token>`, `/sign-out` and `/health`."""
    pages = Blueprint("sign_in", __name__)
    accounts, form = sources.registry.accounts, partial(_form, sources)

    def refuse(name: str, reason: str, status: int) -> Response:
        audit(sources, name, "sign-in", is_allowed=False, detail=reason)
        return form(reason, status)

    def submit() -> ResponseReturnValue:
        name = request.form.get("username", "").strip()
        try:
            user = accounts.check_password(name, request.form.get("password", ""), request.remote_addr or "")
        except RefusedError as refused:
            return refuse(name, str(refused), 429)
        return enter(sources, user, "password") if user else refuse(name, _NOT_FOUND_TOGETHER, 401)

    def redeem(token: str) -> ResponseReturnValue:
        user = accounts.redeem_link(token)
        if user:
            return enter(sources, user, "one-time link")
        audit(sources, "", "sign-in", is_allowed=False, detail="one-time link is used or too old")
        return message_page("This link cannot be used", _LINK_IS_GONE), 403

    def sign_out() -> ResponseReturnValue:
        audit(sources, signed_in_user().name, "sign-out")
        _leave(sources)
        return redirect(SIGN_IN_PATH, 303)

    pages.add_url_rule(
        SIGN_IN_PATH, "form", lambda: form(_ENDED if "ended" in request.args else "", 200), methods=["GET"]
    )
    pages.add_url_rule(SIGN_IN_PATH, "submit", submit, methods=["POST"])
    pages.add_url_rule(f"{SIGN_IN_PATH}/once/<token>", "once", _once, methods=["GET"])
    pages.add_url_rule(f"{SIGN_IN_PATH}/once/<token>", "redeem", redeem, methods=["POST"])
    pages.add_url_rule(SIGN_OUT_PATH, "sign_out", sign_out, methods=["POST"])
    pages.add_url_rule("/health", "health", lambda: Response("ok\n", mimetype="text/plain"), methods=["GET"])
    return pages


def enter(sources: Sources, user: User, how: str) -> ResponseReturnValue:
    """Open a session for somebody who has shown who they are, and go to the first page."""
    _leave(sources)
    session["token"] = sources.registry.accounts.open_session(user, request.remote_addr or "")
    audit(sources, user.name, "sign-in", detail=how)
    return redirect(TRIAGE_PATH, 303)


def _leave(sources: Sources) -> None:
    """End the session of this browser, if there is one, here and on the server."""
    token = session.get("token")
    if isinstance(token, str):
        sources.registry.accounts.end_session(token)
    session.clear()


def _form(sources: Sources, message: str, status: int) -> Response:
    page = render_template(
        "sign_in.html",
        title="Sign in · evenkeel",
        message=message,
        name=request.form.get("username", ""),
        provider=sources.settings.oidc.label if sources.settings.oidc.issuer else "",
    )
    return make_response(page, status)


def _once(token: str) -> str:
    """Show one button: programs that preview links follow them, but do not press buttons."""
    del token  # the form posts to this same address
    return render_template("once.html", title="Sign in · evenkeel")
