"""Every address x role x patient: what opens is what this table says, and each refusal is written down."""

import re
from dataclasses import replace
from itertools import product

import pytest

from dashboard.app import create_app
from store.clock import VirtualClock
from store.installation import Installation
from tests.clinic import PASSWORD, PEOPLE, build_clinic
from tests.visitor import START_NS, Visitor, callback_body

OWN, OTHER, NOBODY = "V02", "V01", "V99"
CARE, READ = {"clinician", "lead"}, {"clinician", "lead", "researcher"}
ALL = {*READ, "admin", "patient"}
ROLES = ("clinician", "lead", "researcher", "admin", "patient")
OPENS = {
    "/": READ,
    "/live": READ,
    "/live/": READ,
    "/flags": CARE,
    "/quality": READ | {"admin"},
    "/export": {"researcher"},
    "/admin": {"admin"},
    "/admin/audit": {"admin"},
    "/my-data": {"patient"},
    "/account": ALL,
    "/help": ALL,
}
"""Pages of nobody in particular: who opens them."""
OF_A_PATIENT = {
    "/patient/<subject_id>": READ,
    "/patient/<subject_id>/": READ,
    "/patient/<subject_id>/summary": READ,
    "/patient/<subject_id>/assessments": CARE,
}
OF_A_FLAG = {"/flags/<int:flag_id>": CARE}
OF_AN_EXPORT = {"/export/<job_id>.zip": {"researcher"}}
DOORS = {"/sign-in", "/sign-in/once/<token>", "/sign-in/oidc", "/sign-in/oidc/return", "/sign-out", "/health"}
"""Ways in and out: open by their nature, tried elsewhere."""
CODE = re.compile(r"/assets/.*|/_dash-component-suites/.*|/_favicon\.ico")
"""The same for everybody: no data."""
PARTS_OF_DASH = {"/_dash-layout", "/_dash-dependencies", "/_dash-update-component", "/_reload-hash"}


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """An app, a browser of each role signed in with V02 as its only patient, and a flag of each person."""
    home = tmp_path_factory.mktemp("matrix")
    clock = VirtualClock(START_NS)
    build_clinic(home, clock, PEOPLE[:2])
    app = create_app(Installation(home, clock))
    accounts = app.sources.registry.accounts
    visitors = {}
    for role in ROLES:
        accounts.add_user(f"a-{role}", role, password=PASSWORD, patients=[] if role == "admin" else [OWN])
        visitors[role] = Visitor(app)
        visitors[role].sign_in(f"a-{role}")
    stored = app.sources.registry.flags.of_subject(OTHER)[0]
    app.sources.registry.flags.put(OWN, [replace(stored.flag, subject_id=OWN)])
    yield app, visitors
    app.sources.close()


def refusals(app) -> int:
    return sum(not entry.is_allowed for entry in app.sources.registry.audit.entries())


def ask(app, visitor: Visitor, path: str, method: str = "GET") -> tuple[int, str, int]:
    """Return the status, the text, and how many refusals were written down for it."""
    before = refusals(app)
    if method == "GET":
        answer = visitor.get(path)
    else:
        answer = visitor.post(path, csrf_token=visitor.token("/help"), action="nothing", scale="none")
    return answer.status_code, answer.text, refusals(app) - before


def test_every_address_is_in_the_tables(clinic):
    app, _ = clinic
    known = {*OPENS, *OF_A_PATIENT, *OF_A_FLAG, *OF_AN_EXPORT, *DOORS, *PARTS_OF_DASH, "/<path:path>"}
    rules = {rule.rule for rule in app.server.url_map.iter_rules()}
    unknown = {rule for rule in rules - known if not CODE.fullmatch(rule)}
    assert {rule for rule in unknown if not rule.startswith("/_")} == set()


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("path", OPENS)
def test_pages_open_to_their_roles_only(clinic, path, role, method):
    app, visitors = clinic
    status, text, refused = ask(app, visitors[role], path, method)
    if role in OPENS[path]:
        assert status in ({200} if method == "GET" else {200, 303, 400, 405}), path
    elif path == "/" and method == "GET":
        assert status == 303
    else:
        assert status in (303, 403, 405)
        assert refused == (status == 403)
    assert OTHER not in re.sub(r'value="[^"]*"|<option>[^<]*', "", text) or role == "admin"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("role", "subject_id"), list(product(ROLES, (OWN, OTHER, NOBODY))))
@pytest.mark.parametrize("rule", OF_A_PATIENT)
def test_pages_of_a_patient_open_to_those_who_look_after_them(clinic, rule, role, subject_id, method):
    app, visitors = clinic
    path = rule.replace("<subject_id>", subject_id)
    status, text, refused = ask(app, visitors[role], path, method)
    if role in OF_A_PATIENT[rule] and subject_id == OWN:
        assert status in ({200} if method == "GET" else {200, 303, 405})
        return
    assert status == (404 if role in OF_A_PATIENT[rule] else 403)
    assert refused == 1
    assert "Amber" not in text


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("role", "subject_id"), list(product(ROLES, (OWN, OTHER, NOBODY))))
def test_flags_open_to_those_who_look_after_the_patient(clinic, role, subject_id, method):
    app, visitors = clinic
    held = app.sources.registry.flags.of_subject(subject_id)
    path = f"/flags/{held[0].flag_id if held else 9999}"
    status, text, refused = ask(app, visitors[role], path, method)
    if role in CARE and subject_id == OWN:
        assert status == (200 if method == "GET" else 400)
        return
    assert status == (404 if role in CARE else 403)
    assert refused == 1
    assert OTHER not in text


@pytest.mark.parametrize("role", ROLES)
def test_exports_open_to_whoever_asked_for_them(clinic, role):
    app, visitors = clinic
    status, _, refused = ask(app, visitors[role], f"/export/{'0' * 32}.zip")
    assert status == (404 if role == "researcher" else 403)
    assert refused == 1


@pytest.mark.parametrize("role", ROLES)
def test_the_parts_of_dash_open_to_readers_only(clinic, role):
    app, visitors = clinic
    for path in ("/_dash-layout", "/_dash-dependencies"):
        status, _, refused = ask(app, visitors[role], path)
        assert (status, refused) == ((200, 0) if role in READ else (403, 1))


def callbacks(app) -> list[dict]:
    """The callbacks that run on the server."""
    return [c for c in app._callback_list if not c.get("clientside_function")]


def call(app, visitor: Visitor, callback: dict, subject_id: str):
    output = callback["output"].split("@")[0]
    values = {"address.pathname": f"/patient/{subject_id}"}
    changed = [f"{part['id']}.{part['property']}" for part in callback["inputs"]]
    values |= {name: 1 for name in changed if name.endswith(".n_clicks")}
    body = callback_body(app, output, changed, values)
    visitor.get("/help")
    token = next(c.value for c in visitor.client._cookies.values() if c.key.endswith("csrf_token"))
    return visitor.client.post(
        "/_dash-update-component",
        json=body,
        headers={"X-CSRFToken": token},
        environ_overrides=visitor.environ,
    )


@pytest.mark.parametrize(("role", "subject_id"), list(product(ROLES, (OTHER, NOBODY))))
def test_callbacks_called_directly_with_another_patient_are_refused_and_audited(clinic, role, subject_id):
    app, visitors = clinic
    tried = 0
    for callback in callbacks(app):
        if not any(part["id"] == "address" for part in (*callback["inputs"], *callback["state"])):
            continue
        tried += 1
        before = refusals(app)
        answer = call(app, visitors[role], callback, subject_id)
        assert "Amber" not in answer.text, callback["output"]
        assert "beats/min" not in answer.text, callback["output"]
        assert answer.status_code in (200, 403, 404), callback["output"]
        assert refusals(app) == before + 1, callback["output"]
    assert tried >= 3


@pytest.mark.parametrize("role", ["admin", "patient"])
def test_no_callback_at_all_answers_those_who_read_no_patients(clinic, role):
    app, visitors = clinic
    for callback in callbacks(app):
        assert call(app, visitors[role], callback, OWN).status_code == 403, callback["output"]
