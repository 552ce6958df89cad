"""One's own account: password, and where one is signed in."""

from flask import Blueprint, flash, redirect, render_template, request, session
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from dashboard.gate import audit, signed_in_user
from dashboard.plain.forms import attempt, field
from dashboard.routes import ACCOUNT_PATH
from dashboard.sources import Sources
from dashboard.words import age_text
from store.errors import ConfigError
from store.registry.passwords import MIN_PASSWORD_LENGTH


def account_pages(sources: Sources) -> Blueprint:
    """Return the page `/account`."""
    pages = Blueprint("account", __name__)
    pages.add_url_rule(ACCOUNT_PATH, "show", lambda: _show(sources), methods=["GET"])
    pages.add_url_rule(ACCOUNT_PATH, "act", lambda: _act(sources), methods=["POST"])
    return pages


def _show(sources: Sources, message: str = "") -> str:
    user, now_ns = signed_in_user(), sources.clock.now_ns()
    own = [one for one in sources.registry.accounts.sessions() if one.user_name == user.name]
    return render_template(
        "plain/account.html",
        title="Your account · evenkeel",
        message=message,
        shortest=MIN_PASSWORD_LENGTH,
        sessions=[(one, age_text(now_ns - one.created_ns), age_text(now_ns - one.seen_ns)) for one in own],
    )


def _act(sources: Sources) -> ResponseReturnValue:
    match field("action"):
        case "password":
            return _change_password(sources)
        case "end":
            return attempt(lambda: _end(sources), ACCOUNT_PATH)
        case _:
            raise BadRequest


def _change_password(sources: Sources) -> ResponseReturnValue:
    user, address = signed_in_user(), request.remote_addr or ""
    old, new = request.form.get("old", ""), request.form.get("new", "")
    accounts = sources.registry.accounts
    try:
        if new != request.form.get("again", ""):
            raise ConfigError("The new password was not the same both times; nothing was changed")  # noqa: TRY301
        is_changed = accounts.change_password(user, old, new, address)
    except ConfigError as error:
        return _show(sources, str(error))
    if not is_changed:
        audit(sources, user.name, "password", is_allowed=False, detail="wrong old password")
        return _show(sources, "The old password is not right; nothing was changed")
    audit(sources, user.name, "password", detail="changed; every session of the user ended")
    session.clear()
    session["token"] = accounts.open_session(user, address)
    flash("Your password is changed; other sessions of yours are ended", "done")
    return redirect(ACCOUNT_PATH, 303)


def _end(sources: Sources) -> str:
    user = signed_in_user()
    accounts = sources.registry.accounts
    own = {one.session_id for one in accounts.sessions() if one.user_name == user.name}
    if field("session") not in own:
        raise ConfigError("That session has ended already")
    accounts.revoke(field("session"))
    audit(sources, user.name, "session-end", detail=f"own session {field('session')[:8]}")
    return "That session is ended"
