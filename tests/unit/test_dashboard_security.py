"""The gate from outside: what is closed, to whom, and what is written down."""

import ast
import base64
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path

import brotli
import pytest

from dashboard.app import create_app
from dashboard.figures import CONFIG
from dashboard.shell import FONT_PATH
from store.installation import Installation
from store.registry.accounts import SESSION_IDLE_S, SESSION_TOTAL_S
from store.units import NS_PER_S
from tests.clinic import PASSWORD, write_heart_rate
from tests.visitor import Visitor, app, audited, callback_body, clinic_home, visitor

__all__ = ["app", "clinic_home", "visitor"]

START_NS = 1_767_643_200_000_000_000  # 2026-01-05T20:00:00Z, as the clock fixture
SIGNED_OUT_DOCUMENTS = ["/", "/patient/V01", "/live", "/admin", "/export", "/assets/evenkeel.js", "/nowhere"]
SIGNED_OUT_PARTS = ["/_dash-layout", "/_dash-dependencies", "/_reload-hash", "/_favicon.ico", "/_mcp"]
TRIAGE_ROWS = "..triage-grid.rowData...triage-counts.children.."
_PARTS = ("live-number.children", "live-sign.children", "live-chart.figure", "live-chart-table.children")
MOVING = f"..{'...'.join((*_PARTS, 'facts.children', 'patient-timer.interval'))}.."
LIVE_CARDS = "..live-cards.children...live-shown.data.."
KEEP = "..happening-said.children...happening-reload.href.."
OF_ONE_PATIENT = {
    "page.children": [("address.pathname", "input")],
    MOVING: [
        ("patient-timer.n_intervals", "input"),
        ("address.pathname", "state"),
    ],
    "night-body.children": [("night-date.value", "input"), ("address.pathname", "state")],
    "zoom-chart.figure": [("zoom-chart.relayoutData", "input"), ("address.pathname", "state")],
    "compare-body.children": [
        *((f"compare-{name}.value", "input") for name in ("a-from", "a-to", "b-from", "b-to")),
        ("address.pathname", "state"),
    ],
    KEEP: [("happening-keep.n_clicks", "input"), ("address.pathname", "state")],
}
CHOSEN = {
    "night-date.value": "2026-01-04",
    "zoom-chart.relayoutData": {"xaxis.range[0]": "2026-01-04", "xaxis.range[1]": "2026-01-05"},
    **{f"compare-{name}.value": "2026-01-04" for name in ("a-from", "a-to", "b-from", "b-to")},
    "happening-keep.n_clicks": 1,
    "happening-kind.value": "medication",
    "happening-start.value": "2026-01-04",
    "happening-text.value": "lithium 450 mg",
}
"""What a browser would send along with an address."""


@pytest.mark.parametrize("path", SIGNED_OUT_DOCUMENTS)
def test_signed_out_every_page_leads_to_sign_in(visitor, path):
    answer = visitor.get(path)
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    assert "V01" not in answer.text


@pytest.mark.parametrize("path", SIGNED_OUT_PARTS)
def test_signed_out_every_part_is_refused(visitor, path):
    assert visitor.get(path).status_code == 401


def test_signed_out_callbacks_are_refused(visitor):
    assert (
        visitor.client.post("/_dash-update-component", json={"output": "x", "inputs": []}).status_code == 401
    )


@pytest.mark.parametrize("path", ["/sign-in", "/health", "/assets/evenkeel.css", FONT_PATH])
def test_what_is_open_is_open(visitor, path):
    assert visitor.get(path).status_code == 200


def test_every_route_that_is_not_named_open_is_closed(app, visitor):
    for rule in app.server.url_map.iter_rules():
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        if rule.endpoint not in ("sign_in.form", "sign_in.submit", "sign_in.health") and "oidc" not in path:
            method = "GET" if "GET" in rule.methods else "POST"
            assert visitor.client.open(path, method=method, buffered=True).status_code in (303, 401), rule


@pytest.mark.parametrize("path", ["/sign-in", "/", "/_dash-layout", "/patient/V01", "/nowhere"])
@pytest.mark.parametrize("name", ["", "lead"])
def test_headers_are_strict_everywhere(visitor, path, name):
    if name:
        visitor.sign_in(name)
    headers = visitor.get(path).headers
    policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    assert {policy[k] for k in ("connect-src", "form-action")} == {"'self'"}
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_inline_scripts_of_the_page_are_the_hashed_ones(visitor):
    visitor.sign_in("lead")
    answer = visitor.get("/")
    scripts = re.findall(r"<script([^>]*)>(.*?)</script>", answer.text, re.DOTALL)
    running = [text for attributes, text in scripts if text and "application/json" not in attributes]
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running]
    allowed = re.findall(r"'sha256-([^']+)'", answer.headers["Content-Security-Policy"])
    assert len(running) == 2
    assert sorted(digests) == sorted(allowed)


def test_code_is_cached_and_patients_are_not(visitor):
    visitor.sign_in("lead")
    assert "max-age=31536000" in visitor.get("/assets/evenkeel.js").headers["Cache-Control"]
    assert visitor.get("/live").headers["Cache-Control"] == "no-store"


def test_signing_in_opens_the_list_and_is_written_down(app, visitor):
    answer = visitor.sign_in("lead")
    assert (answer.status_code, answer.location) == (303, "/")
    assert visitor.get("/").status_code == 200
    assert audited(app, "sign-in") == [("lead", "", True)]


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(visitor):
    cookie = visitor.sign_in("lead").headers["Set-Cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


def test_behind_tls_cookies_are_bound_to_it(tmp_path, clock, monkeypatch):
    monkeypatch.setenv("EVENKEEL_DASHBOARD__IS_BEHIND_TLS", "true")
    app = create_app(Installation(tmp_path / "home", clock))
    answer = app.server.test_client().get("/sign-in", base_url="https://localhost")
    app.sources.close()
    assert answer.headers["Set-Cookie"].startswith("__Host-evenkeel=")
    assert "Secure" in answer.headers["Set-Cookie"]
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


def test_behind_tls_a_callback_carries_the_token_of_a_cookie_of_this_host(
    clinic_home, tmp_path, clock, monkeypatch
):
    monkeypatch.setenv("EVENKEEL_DASHBOARD__IS_BEHIND_TLS", "true")
    shutil.copytree(clinic_home, tmp_path / "clinic")
    app = create_app(Installation(tmp_path / "clinic", clock))
    secure, ask = {"wsgi.url_scheme": "https"}, {"base_url": "https://localhost"}
    client = app.server.test_client()
    token = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in", **ask).text)[1]
    fields = {"username": "lead", "password": PASSWORD, "csrf_token": token}
    headers = {"Referer": "https://localhost/sign-in"}
    assert (
        client.post("/sign-in", data=fields, headers=headers, environ_overrides=secure, **ask).status_code
        == 303
    )
    page = client.get("/live", **ask)
    cookies = page.headers.getlist("Set-Cookie")
    (held,) = [cookie for cookie in cookies if cookie.startswith("__Host-csrf_token=")]
    assert {"Secure", "Path=/", "SameSite=Strict"} <= {part.strip() for part in held.split(";")}
    assert "__Host-csrf_token" in page.text, "Dash reads this one"
    app.sources.close()


@pytest.mark.parametrize(("is_behind_tls", "seen"), [("false", "10.0.0.1"), ("true", "203.0.113.9")])
def test_forwarded_headers_count_behind_the_proxy_only(tmp_path, clock, monkeypatch, is_behind_tls, seen):
    monkeypatch.setenv("EVENKEEL_DASHBOARD__IS_BEHIND_TLS", is_behind_tls)
    app = create_app(Installation(tmp_path / "home", clock))
    headers = {"X-Forwarded-For": "198.51.100.1, 203.0.113.9", "X-Forwarded-Host": "elsewhere.example"}
    visitor = Visitor(app)
    app.server.config["WTF_CSRF_ENABLED"] = False
    visitor.client.post(
        "/sign-in",
        data={"username": "x", "password": "y"},
        headers=headers,
        environ_overrides=visitor.environ,
    )
    assert app.sources.registry.audit.entries()[-1].address == seen
    app.sources.close()


def test_debugging_and_tracing_are_off(app, visitor):
    assert not app.server.debug
    assert not app.server.testing
    assert visitor.client.open("/health", method="TRACE").status_code == 405
    visitor.sign_in("lead")
    assert visitor.get("/console").status_code == 404
    assert visitor.get("/assets/").status_code == 404


@pytest.mark.parametrize(("name", "password"), [("lead", "wrong password"), ("nobody", PASSWORD)])
def test_wrong_guesses_look_alike_and_are_written_down(app, visitor, name, password):
    answer = visitor.sign_in(name, password)
    assert answer.status_code == 401
    assert "do not belong together" in answer.text
    assert audited(app, "sign-in") == [(name, "", False)]


def test_guessing_is_slowed_down(visitor):
    answers = [visitor.sign_in("narrow", "wrong password") for _ in range(6)]
    assert [a.status_code for a in answers] == [401] * 5 + [429]
    assert "Too many attempts; try again in 15 minutes" in answers[-1].text
    assert visitor.sign_in("narrow").status_code == 429


def test_forms_need_a_token(visitor):
    assert visitor.post("/sign-in", username="lead", password=PASSWORD).status_code == 400
    visitor.sign_in("lead")
    assert visitor.post("/sign-out").status_code == 400


def test_callbacks_need_a_token(visitor):
    visitor.sign_in("narrow")
    changed = ["address.pathname"]
    without = visitor.call("page.children", changed, with_token=False, **{"address.pathname": "/"})
    assert without.status_code == 400
    assert visitor.call("page.children", changed, **{"address.pathname": "/"}).status_code == 200


def test_looking_at_a_one_time_link_does_not_use_it_up(app, visitor):
    accounts = app.sources.registry.accounts
    path = f"/sign-in/once/{accounts.create_link(accounts.users()[0])}"
    assert [visitor.get(path).status_code for _ in range(2)] == [200, 200]
    answer = visitor.post(path, csrf_token=visitor.token(path))
    assert (answer.status_code, answer.location) == (303, "/")
    other = Visitor(app)
    again = other.post(path, csrf_token=other.token(path))
    assert again.status_code == 403
    assert "used already" in again.text
    assert [allowed for _, _, allowed in audited(app, "sign-in")] == [True, False]


def test_others_patients_answer_as_if_they_did_not_exist(app, visitor):
    visitor.sign_in("narrow")
    others, nobodys = visitor.get("/patient/V01"), visitor.get("/patient/V99")
    assert others.status_code == nobodys.status_code == 404
    pages = [re.sub(r'value="[^"]+"', "", answer.text) for answer in (others, nobodys)]
    assert pages[0] == pages[1]
    assert visitor.get("/patient/V02").status_code == 200
    assert audited(app, "view") == [("narrow", "V01", False), ("narrow", "V99", False)]


@pytest.mark.parametrize("output", OF_ONE_PATIENT)
def test_callbacks_check_the_patient_themselves(app, visitor, output):
    visitor.sign_in("narrow")
    changed = [name for name, kind in OF_ONE_PATIENT[output] if kind == "input"]

    def ask(subject_id: str):
        return visitor.call(
            output,
            changed,
            **CHOSEN | {"address.pathname": f"/patient/{subject_id}"},
        )

    own, others, nobodys = ask("V02"), ask("V01"), ask("V99")
    assert own.status_code == 200
    assert len(own.text) > (20 if output == KEEP else 400)
    assert others.status_code == nobodys.status_code
    assert others.text == nobodys.text
    assert "V01" not in others.text
    assert audited(app, "view")[-2:] == [("narrow", "V01", False), ("narrow", "V99", False)]


def test_every_callback_that_reads_an_address_is_in_the_table_above(app):
    reading = {
        c["output"].split("@")[0]
        for c in app._callback_list
        if any(part["id"] == "address" for part in (*c["inputs"], *c["state"]))
    }
    assert reading == set(OF_ONE_PATIENT)


def test_lists_hold_only_the_own_case_load(app, visitor):
    visitor.sign_in("narrow")
    for path in ("/", "/live"):
        told = visitor.call("page.children", ["address.pathname"], **{"address.pathname": path}).text
        assert "V01" not in told
    rows = visitor.call(TRIAGE_ROWS, ["triage-rows-timer.n_intervals"])
    assert [row["subject_id"] for row in json.loads(rows.text)["response"]["triage-grid"]["rowData"]] == [
        "V02"
    ]


def test_a_store_that_does_not_answer_is_told_apart_from_a_fault(
    clinic_home, tmp_path, clock, monkeypatch, caplog
):
    """Its sentence goes to the log, one line a request, and the page gets nothing that looks like data."""
    monkeypatch.setenv("EVENKEEL_INFLUX_TOKEN", "none")
    shutil.copytree(clinic_home, tmp_path / "clinic")
    app = create_app(Installation(tmp_path / "clinic", clock, store_url="http://127.0.0.1:1"))
    visitor = Visitor(app)
    visitor.sign_in("lead")
    for path in ("/", "/patient/V01"):
        answer = visitor.call("page.children", ["address.pathname"], **{"address.pathname": path})
        assert (answer.status_code, answer.text) == (503, "Service Unavailable")
    said = [record for record in caplog.records if record.name == "dashboard"]
    assert [(r.levelname, r.exc_info, r.getMessage().count("\n")) for r in said] == [("WARNING", None, 0)] * 2
    assert "127.0.0.1:1 cannot be reached" in caplog.text
    page = visitor.get("/quality?from=x&sort=y")
    assert (page.status_code, page.headers["Retry-After"]) == (503, "10")
    assert 'content="10; url=/quality?from=x&amp;sort=y&amp;again=1"' in page.text
    app.sources.close()


def test_opening_a_patient_is_written_down(app, visitor):
    visitor.sign_in("lead")
    visitor.call("page.children", ["address.pathname"], **{"address.pathname": "/patient/V01"})
    assert audited(app, "view") == [("lead", "V01", True)]
    assert app.sources.registry.audit.first_broken_seq() is None


def test_a_page_that_refreshes_itself_does_not_keep_the_session_alive(visitor, clock):
    visitor.sign_in("lead")
    visitor.get("/live")
    token = visitor.client.get_cookie("_csrf_token").value
    body = callback_body(visitor.app, LIVE_CARDS, ["live-timer.n_intervals"], {})
    ask = {"json": body, "headers": {"X-CSRFToken": token}}
    for _ in range(SESSION_IDLE_S // 60):
        assert visitor.client.post("/_dash-update-component", **ask).status_code == 200
        clock.advance_to(clock.now_ns() + 60 * NS_PER_S)
    clock.advance_to(clock.now_ns() + NS_PER_S)
    assert visitor.client.post("/_dash-update-component", **ask).status_code == 401


@pytest.mark.parametrize(
    ("path", "headers"), [("/quality?again=1", {}), ("/_dash-layout", {"X-Evenkeel-Again": "1"})]
)
def test_nor_does_one_that_asks_again_because_the_store_was_away(visitor, clock, path, headers):
    visitor.sign_in("lead")
    for _ in range(SESSION_IDLE_S // 60):
        assert visitor.client.get(path, headers=headers).status_code == 200
        clock.advance_to(clock.now_ns() + 60 * NS_PER_S)
    clock.advance_to(clock.now_ns() + NS_PER_S)
    assert visitor.client.get(path, headers=headers).status_code in {303, 401}


def test_somebody_who_works_stays_signed_in_for_a_shift_and_no_longer(visitor, clock):
    visitor.sign_in("lead")
    step_s = SESSION_IDLE_S - 60
    for _ in range(SESSION_TOTAL_S // step_s):
        assert visitor.get("/live").status_code == 200
        clock.advance_to(clock.now_ns() + step_s * NS_PER_S)
    clock.advance_to(clock.now_ns() + step_s * NS_PER_S)
    assert visitor.get("/live").status_code == 303


def test_signing_out_ends_the_session_on_the_server(app, visitor):
    visitor.sign_in("lead")
    kept = visitor.client.get_cookie("evenkeel").value
    assert visitor.post("/sign-out", csrf_token=visitor.token("/live")).status_code == 303
    thief = Visitor(app)
    thief.client.set_cookie("evenkeel", kept)
    assert thief.get("/").status_code == 303
    assert audited(app, "sign-out") == [("lead", "", True)]


def test_unknown_pages_do_not_exist_even_signed_in(visitor):
    visitor.sign_in("lead")
    for path in (
        "/nowhere",
        "/_mcp",
        "/patient/",
        "/patient/../etc",
        "/patient/V01/x",
        "/flags/0",
        "/flags/x",
    ):
        assert visitor.get(path).status_code == 404


def test_every_page_carries_the_standing_words(app, visitor):
    crisis = app.sources.settings.dashboard.crisis_text
    pages = [visitor.get("/sign-in")]
    visitor.sign_in("lead")
    pages += [visitor.get(path) for path in ("/", "/live", "/patient/V01", "/nowhere")]
    for page in pages:
        assert crisis in page.text
        assert "A missing flag is no reassurance." in page.text
        assert '<html lang="en">' in page.text


def test_no_chart_can_be_sent_to_its_maker(app, visitor):
    visitor.sign_in("lead")
    told = visitor.call("page.children", ["address.pathname"], **{"address.pathname": "/patient/V01"})
    graphs = list(graphs_in(json.loads(told.text)))
    assert {"rmssd-chart", "coverage-chart", "zoom-chart", "hours-chart", "night-chart"} <= {
        graph["id"] for graph in graphs
    }
    for graph in graphs:
        assert graph["config"] == CONFIG
    assert CONFIG["showSendToCloud"] is False
    assert CONFIG["plotlyServerURL"] == ""


def graphs_in(held):
    """Walk a layout for the props of its Graphs."""
    if isinstance(held, dict):
        if held.get("type") == "Graph":
            yield held["props"]
        for part in held.values():
            yield from graphs_in(part)
    elif isinstance(held, list):
        for part in held:
            yield from graphs_in(part)


def test_a_researcher_never_reads_a_name(app, visitor, clock):
    accounts, people = app.sources.registry.accounts, app.sources.registry.people
    accounts.add_user("studies", "researcher", password=PASSWORD, patients="all")
    people.register_sensor("C0:FF:EE:00:00:01", name="Amber Wren's watch")
    people.pair("C0:FF:EE:00:00:01", "V01")
    write_heart_rate(app.sources.store, "V01", clock.now_ns(), [61.0])

    def everything(visitor: Visitor) -> str:
        paths = ("/", "/live", "/patient/V01")
        told = [
            visitor.call("page.children", ["address.pathname"], **{"address.pathname": path})
            for path in paths
        ]
        told.append(visitor.call(TRIAGE_ROWS, ["triage-rows-timer.n_intervals"]))
        told.append(visitor.call(LIVE_CARDS, ["live-timer.n_intervals"]))
        told.append(
            visitor.call(MOVING, ["patient-timer.n_intervals"], **{"address.pathname": "/patient/V01"})
        )
        return " ".join(answer.text for answer in told)

    visitor.sign_in("lead")
    assert {name for name in ("Amber", "Wren's watch", "Bruno") if name in everything(visitor)} == {
        "Amber",
        "Wren's watch",
        "Bruno",
    }
    researcher = Visitor(app)
    researcher.sign_in("studies")
    said = everything(researcher)
    assert "V01" in said
    assert not [name for name in ("Amber", "Bruno", "C0:FF:EE") if name in said]


def test_people_are_reached_through_the_gate_only():
    folder = Path(__file__).resolve().parents[2] / "dashboard"
    reaching = {"subject", "subjects", "sensors", "visible_subjects"}
    found = {
        path.name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in reaching
    }
    assert found == {"gate.py"}


@pytest.mark.parametrize(
    "body", ["{", "[]", "5", "null", "{}", '{"output": 5}', '{"output": "x.y", "inputs": 5}', "[" * 100_000]
)
def test_a_callback_that_is_none_is_refused_and_breaks_nothing(visitor, body):
    visitor.sign_in("lead")
    visitor.get("/live")
    token = visitor.client.get_cookie("_csrf_token").value
    headers = {"X-CSRFToken": token, "Content-Type": "application/json"}
    assert visitor.client.post("/_dash-update-component", data=body, headers=headers).status_code == 400


@pytest.mark.parametrize("path", [5, None, ["/patient/V01"], {"a": 1}])
@pytest.mark.parametrize("night", ["0001-01-01", "9999-12-31", "x", 5, None, ["2026-01-04"]])
def test_odd_values_from_a_browser_break_nothing(visitor, path, night):
    visitor.sign_in("lead")

    def ask(output: str, path: object, **values: object):
        changed = [name for name, kind in OF_ONE_PATIENT[output] if kind == "input"]
        return visitor.call(output, changed, **{"address.pathname": path, **values}).status_code

    assert ask("night-body.children", "/patient/V01", **{"night-date.value": night}) == 200
    assert ask("night-body.children", path, **{"night-date.value": "2026-01-04"}) == 404
    assert ask("page.children", path) == 200


def test_a_patient_taken_from_the_case_load_leaves_the_screen(app, visitor):
    visitor.sign_in("narrow")
    ask = {"output": MOVING, "changed": ["patient-timer.n_intervals"], "address.pathname": "/patient/V02"}
    assert visitor.call(**ask).status_code == 200
    told = {"user_id": next(u.user_id for u in app.sources.registry.accounts.users() if u.name == "narrow")}
    with app.sources.registry.accounts._writing.begin() as connection:
        connection.exec_driver_sql("DELETE FROM case_load WHERE user_id = :user_id", told)
    assert visitor.call(**ask).status_code == 404  # and `assets/evenkeel.js` reloads the page


def test_somebody_who_reads_stays_signed_in(visitor, clock):
    visitor.sign_in("lead")
    visitor.get("/live")
    token = visitor.client.get_cookie("_csrf_token").value
    body = callback_body(visitor.app, LIVE_CARDS, ["live-timer.n_intervals"], {})
    headers = {"X-CSRFToken": token, "X-Evenkeel-Active": "1"}
    for _ in range(2 * SESSION_IDLE_S // 60):
        answer = visitor.client.post("/_dash-update-component", json=body, headers=headers)
        assert answer.status_code == 200
        clock.advance_to(clock.now_ns() + 60 * NS_PER_S)


def test_signing_in_again_ends_the_session_before(app, visitor):
    visitor.sign_in("lead")
    kept = visitor.client.get_cookie("evenkeel").value
    visitor.sign_in("narrow")
    thief = Visitor(app)
    thief.client.set_cookie("evenkeel", kept)
    assert thief.get("/").status_code == 303


def test_a_forged_post_is_written_down(app, visitor):
    visitor.sign_in("lead")
    visitor.post("/sign-out")
    assert audited(app, "post") == [("lead", "", False)]


def test_an_ended_session_is_explained(visitor):
    assert "after 15 minutes without activity and after 12 hours" in visitor.get("/sign-in?ended").text
    assert 'role="alert"' not in visitor.get("/sign-in").text


PLOTLY = "/_dash-component-suites/plotly/package_data/plotly.min.js"


def test_code_without_a_fingerprint_is_asked_for_and_reused(visitor):
    visitor.sign_in("lead")
    first = visitor.get(PLOTLY)
    assert first.headers["Cache-Control"] == "no-cache"
    headers = {"If-None-Match": first.headers["ETag"]}
    again = visitor.client.get(PLOTLY, headers=headers, environ_overrides=visitor.environ)
    assert (again.status_code, again.headers["Cache-Control"]) == (304, "no-cache")


@pytest.mark.parametrize("path", [PLOTLY, "/assets/evenkeel.js", "/assets/evenkeel.css"])
@pytest.mark.parametrize(
    ("taken", "coding", "unpacked"),
    [("gzip", "gzip", gzip.decompress), ("gzip, deflate, br", "br", brotli.decompress)],
)
def test_code_travels_packed_and_unchanged(visitor, path, taken, coding, unpacked):
    visitor.sign_in("lead")
    plain = visitor.get(path)
    assert "Content-Encoding" not in plain.headers
    for _ in range(2):
        packed = visitor.client.get(path, headers={"Accept-Encoding": taken}, buffered=True)
        assert packed.headers["Content-Encoding"] == coding
        assert "Accept-Encoding" in packed.headers["Vary"]
        assert unpacked(packed.data) == plain.data
        assert len(packed.data) < len(plain.data) / 2


def test_patients_never_travel_packed_with_what_a_visitor_wrote(visitor):
    visitor.sign_in("lead")
    page = visitor.client.get("/", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in page.headers


def test_what_happened_is_kept_by_carers_only_and_written_down(app, visitor):
    app.sources.registry.accounts.add_user("studies", "researcher", password=PASSWORD, patients="all")
    ask = CHOSEN | {"address.pathname": "/patient/V02"}
    researcher = Visitor(app)
    researcher.sign_in("studies")
    assert researcher.call(KEEP, ["happening-keep.n_clicks"], **ask).status_code == 403
    assert app.sources.registry.annotations.of_subject("V02") == []
    visitor.sign_in("narrow")
    wrong = visitor.call(KEEP, ["happening-keep.n_clicks"], **ask | {"happening-start.value": "soon"})
    assert "A date is needed" in wrong.text
    assert "Kept." in visitor.call(KEEP, ["happening-keep.n_clicks"], **ask).text
    assert [each.text for each in app.sources.registry.annotations.of_subject("V02")] == ["lithium 450 mg"]
    assert audited(app, "annotate") == [("narrow", "V02", True)]
    shown = {"address.pathname": "/patient/V02"}
    assert "lithium" in visitor.call("page.children", ["address.pathname"], **shown).text
    assert "lithium" not in researcher.call("page.children", ["address.pathname"], **shown).text


def test_a_sheet_to_print_is_as_closed_as_the_patient(visitor):
    visitor.sign_in("narrow")
    assert visitor.get("/patient/V01/summary").status_code == 404
    assert visitor.get("/patient/V02/summary").status_code == 200
