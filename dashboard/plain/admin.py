"""Administration: who may sign in, whom they look after, who is signed in, what was done, how jobs went."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import cast, get_args

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from dashboard.gate import audit, signed_in_user
from dashboard.plain.forms import attempt, field, fields
from dashboard.plain.requests import Request, open_requests
from dashboard.routes import ADMIN_PATH, SIGN_IN_PATH
from dashboard.sources import Sources
from dashboard.words import age_text
from store.errors import ConfigError
from store.registry.accounts import Role, User
from store.registry.jobs import JobRun
from store.registry.passwords import new_password
from store.times import iso_time, parse_time_ns

AUDIT_PATH = f"{ADMIN_PATH}/audit"
_AUDIT_SHOWN = 200
_JOBS_SHOWN = 30


def admin_pages(sources: Sources) -> Blueprint:
    """Return the pages `/admin` and `/admin/audit`."""
    pages = Blueprint("admin", __name__)
    pages.add_url_rule(ADMIN_PATH, "show", lambda: _show(sources), methods=["GET"])
    pages.add_url_rule(ADMIN_PATH, "act", lambda: _act(sources), methods=["POST"])
    pages.add_url_rule(AUDIT_PATH, "audit", lambda: _audit_page(sources), methods=["GET"])
    return pages


def _show(sources: Sources, *, told: Mapping[str, str] = MappingProxyType({})) -> str:
    """Return the page; `told` is a password or link that is shown this once."""
    audit(sources, signed_in_user().name, "view admin")
    registry, now_ns = sources.registry, sources.clock.now_ns()
    users = registry.accounts.users()
    return render_template(
        "plain/admin.html",
        title="Administration · evenkeel",
        told=told,
        users=[(user, registry.accounts.case_load(user)) for user in users],
        roles=get_args(Role),
        teams=registry.teams.all(),
        subjects=sources.registry.people.ids(),
        sessions=[
            (one, age_text(now_ns - one.created_ns), age_text(now_ns - one.seen_ns))
            for one in registry.accounts.sessions()
        ],
        jobs=[_job(run, now_ns) for run in registry.jobs.recent(_JOBS_SHOWN)],
        requests=[_request(each, now_ns) for each in open_requests(sources)],
    )


def _job(run: JobRun, now_ns: int) -> Mapping[str, str]:
    took = "" if run.ended_ns is None else f"{(run.ended_ns - run.started_ns) / 1e9:.1f} s"
    return {
        "kind": run.kind,
        "started": iso_time(run.started_ns),
        "age": age_text(now_ns - run.started_ns),
        "took": took,
        "state": "ended" if run.ended_ns else "running, or was killed",
        "summary": ", ".join(f"{name} {value}" for name, value in run.summary.items()),
        "version": run.code_version,
    }


def _request(each: Request, now_ns: int) -> Mapping[str, str]:
    return {
        "subject_id": each.subject_id,
        "by": each.by,
        "age": age_text(now_ns - each.at_ns),
        "what": each.what,
    }


def _act(sources: Sources) -> ResponseReturnValue:
    action = field("action")
    if action in _TELLING:
        try:
            told = _TELLING[action](sources)
        except ConfigError as error:
            flash(str(error), "alert")
            return redirect(ADMIN_PATH, 303)
        return _show(sources, told=told)
    if action not in _CHANGES:
        raise BadRequest
    return attempt(lambda: _CHANGES[action](sources), ADMIN_PATH)


def _note(sources: Sources, action: str, detail: str, subject_id: str = "") -> str:
    audit(sources, signed_in_user().name, action, subject_id=subject_id, detail=detail)
    return detail


def _case_load() -> list[str] | str:
    return "all" if field("sees") == "all" else fields("patients")


def _add_user(sources: Sources) -> Mapping[str, str]:
    name, way = field("name"), field("way")
    if any(user.name == name for user in sources.registry.accounts.users()):
        raise ConfigError(f"There is a user {name} already; change that one below")
    password = new_password() if way == "password" else None
    patients = _case_load()
    user = sources.registry.accounts.add_user(
        name,
        cast("Role", field("role")),
        password=password,
        patients="all" if patients == "all" else cast("list[str]", patients),
        is_temporary=password is not None,
    )
    seen = patients if isinstance(patients, str) else ", ".join(patients) or "nobody yet"
    _note(sources, "user-add", f"{user.name} as {user.role}, patients {seen}")
    if password is not None:
        return {"name": name, "password": password}
    return _link(sources, user) if way == "link" else {"name": name}


def _link(sources: Sources, user: User) -> Mapping[str, str]:
    token = sources.registry.accounts.create_link(user)
    address = sources.settings.dashboard.public_url or request.host_url.rstrip("/")
    return {"name": user.name, "link": f"{address}{SIGN_IN_PATH}/once/{token}"}


def _user(sources: Sources) -> User:
    return sources.registry.accounts.user_named(field("user"))


def _not_oneself(user: User) -> None:
    if user.name == signed_in_user().name:
        raise ConfigError("You cannot take your own access; another administrator can")


def _reset(sources: Sources) -> Mapping[str, str]:
    user = _user(sources)
    _not_oneself(user)
    accounts = sources.registry.accounts
    patients = "all" if user.sees_all else accounts.case_load(user)
    password = new_password()
    accounts.add_user(user.name, user.role, password=password, patients=patients, is_temporary=True)
    _note(sources, "user-reset", f"{user.name}: a password for one sign-in; sessions ended")
    return {"name": user.name, "password": password}


def _give_link(sources: Sources) -> Mapping[str, str]:
    user = _user(sources)
    if user.is_disabled:
        raise ConfigError(f"{user.name} may not sign in; allow it first")
    _note(sources, "user-link", f"{user.name}: a link for one sign-in")
    return _link(sources, user)


def _set_role(sources: Sources) -> str:
    user = _user(sources)
    _not_oneself(user)
    sources.registry.accounts.set_role(user, cast("Role", field("role")))
    return _note(sources, "user-role", f"{user.name} is {field('role')} now, was {user.role}")


def _set_patients(sources: Sources) -> str:
    user, patients = _user(sources), _case_load()
    chosen = "all" if patients == "all" else cast("list[str]", patients)
    sources.registry.accounts.set_case_load(user, chosen)
    seen = patients if isinstance(patients, str) else ", ".join(patients) or "nobody"
    return _note(sources, "user-patients", f"{user.name} sees {seen}")


def _disable(sources: Sources) -> str:
    user = _user(sources)
    _not_oneself(user)
    sources.registry.accounts.disable(user)
    return _note(sources, "user-disable", f"{user.name} may sign in no more; sessions ended")


def _enable(sources: Sources) -> str:
    user = _user(sources)
    sources.registry.accounts.disable(user, is_disabled=False)
    return _note(sources, "user-enable", f"{user.name} may sign in again")


def _revoke(sources: Sources) -> str:
    ended = sources.registry.accounts.revoke(field("session"))
    if ended is None:
        raise ConfigError("That session has ended already")
    return _note(
        sources, "session-revoke", f"A session of {ended.user_name} is ended ({ended.session_id[:8]})"
    )


def _add_team(sources: Sources) -> str:
    sources.registry.teams.add(field("team"))
    return _note(sources, "team-add", f"Care team {field('team')}")


def _team_member(sources: Sources) -> str:
    is_in = field("remove") != "yes"
    sources.registry.teams.set_member(field("team"), field("user"), is_in=is_in)
    way = "joins" if is_in else "leaves"
    return _note(sources, "team-member", f"{field('user')} {way} {field('team')}")


def _team_patient(sources: Sources) -> str:
    is_in, subject_id = field("remove") != "yes", field("subject")
    sources.registry.teams.set_patient(field("team"), subject_id, is_in=is_in)
    detail = f"{subject_id} {'joins' if is_in else 'leaves'} {field('team')}"
    return _note(sources, "team-patient", detail, subject_id)


def _withdraw(sources: Sources) -> str:
    subject_id = field("subject")
    if subject_id not in {each.subject_id for each in open_requests(sources)}:
        raise ConfigError(f"{subject_id} has not asked for it, or it was recorded already")
    sources.registry.consents.record(subject_id, is_granted=False, by=signed_in_user().name)
    _note(sources, "consent-withdraw", "all, as the patient asked", subject_id)
    return f"Nothing is collected from {subject_id} any more; to erase what is held, see Help"


_TELLING: Mapping[str, Callable[[Sources], Mapping[str, str]]] = MappingProxyType(
    {"add-user": _add_user, "reset": _reset, "link": _give_link}
)
_CHANGES: Mapping[str, Callable[[Sources], str]] = MappingProxyType(
    {
        "role": _set_role,
        "patients": _set_patients,
        "disable": _disable,
        "enable": _enable,
        "revoke": _revoke,
        "add-team": _add_team,
        "team-member": _team_member,
        "team-patient": _team_patient,
        "withdraw": _withdraw,
    }
)


def _audit_page(sources: Sources) -> str:
    """Show entries that have all that is asked for; checking the whole log is asked for, too."""
    asked = {name: request.args.get(name, "").strip()[:80] for name in ("actor", "did", "subject", "since")}
    message, since_ns = "", None
    if asked["since"]:
        try:
            since_ns = parse_time_ns(asked["since"], "Since")
        except ConfigError as error:
            message = str(error)
    log = sources.registry.audit
    found = log.search(
        actor=asked["actor"] or None,
        action=asked["did"] or None,
        subject_id=asked["subject"] or None,
        since_ns=since_ns,
        limit=_AUDIT_SHOWN,
    )
    is_checked = "verify" in request.args
    told = " ".join(f"{name}={text}" for name, text in asked.items() if text)
    audit(sources, signed_in_user().name, "audit-verify" if is_checked else "audit-search", detail=told)
    return render_template(
        "plain/audit.html",
        title="Audit log · evenkeel",
        asked=asked,
        message=message,
        entries=[(entry, iso_time(entry.at_ns)) for entry in found],
        shown=_AUDIT_SHOWN,
        verdict=log.verify() if is_checked else None,
    )
