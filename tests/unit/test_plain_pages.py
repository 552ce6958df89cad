"""The pages without scripts, used as people use them: forms filled in, what is kept, what is said."""

import io
import re
import zipfile
from dataclasses import replace
from datetime import date

import pandas as pd
import pytest

from dashboard.plain.export import FOLDER
from dashboard.plain.questionnaires import FORMS, choices_of
from features.export import FILES
from ingest.pauses import PAUSE_FILE, read_pauses
from store.gaps import Reason
from store.instruments import INSTRUMENTS
from store.ledger import open_ledger
from store.registry.accounts import TEMPORARY_S
from store.registry.assessments import scored
from store.registry.flags import NS_PER_DAY
from store.streams import DEVICE_CLOCK
from store.timeseries import Batch
from store.units import NS_PER_S
from tests.clinic import PASSWORD, write_heart_rate
from tests.visitor import Visitor, app, audited, clinic_home, visitor

__all__ = ["app", "clinic_home", "visitor"]

HOUR_NS = 3600 * NS_PER_S


def send(visitor: Visitor, path: str, page: str = "", **fields: object):
    """Fill in a form of a page, send it, and return the page that comes of it."""
    token = visitor.token(page or path)
    return visitor.client.post(
        path, data={"csrf_token": token, **fields}, environ_overrides=visitor.environ, follow_redirects=True
    )


def said(answer) -> str:
    """What the page says came of it."""
    return " ".join(re.findall(r'class="said[^>]*>(.*?)</(?:p|div)>', answer.text, re.DOTALL))


def enter(app, name: str, role: str, patients="all") -> Visitor:
    app.sources.registry.accounts.add_user(name, role, password=PASSWORD, patients=patients)
    visitor = Visitor(app)
    visitor.sign_in(name)
    return visitor


@pytest.fixture
def flag(app) -> int:
    return app.sources.registry.flags.of_subject("V01")[0].flag_id


def state(app, flag: int) -> tuple[str, str | None]:
    stored = app.sources.registry.flags.one(flag)
    return stored.state, stored.assigned_to


def test_a_flag_goes_from_waiting_to_resolved_and_every_step_is_kept(app, visitor, flag, clock):
    visitor.sign_in("lead")
    page = visitor.get("/flags").text
    assert "V01" in page
    assert "Amber Wren" in page
    path = f"/flags/{flag}"
    assert "Acknowledged" in said(send(visitor, path, action="acknowledge"))
    assert state(app, flag) == ("acknowledged", None)
    send(visitor, path, action="assign", to="lead")
    send(visitor, path, action="snooze", days="7", reason="On holiday until then")
    assert state(app, flag) == ("snoozed", "lead")
    clock.advance_to(clock.now_ns() + 7 * NS_PER_DAY)
    visitor.sign_in("lead")
    assert state(app, flag) == ("open", "lead")
    send(visitor, path, action="resolve", outcome="contacted", reason="Spoke on the phone")
    assert state(app, flag)[0] == "resolved"
    history = visitor.get(path).text
    steps = (
        "raised it",
        "acknowledged it",
        "gave it to lead",
        "On holiday until then",
        "spoke with the patient",
    )
    assert [step for step in steps if step not in history] == []
    assert "Spoke on the phone" in history
    send(visitor, path, action="reopen", reason="Changed again")
    assert state(app, flag)[0] == "open"
    acts = ("acknowledge", "assign", "snooze", "resolve", "reopen")
    assert [audited(app, f"flag-{act}") for act in acts] == [[("lead", "V01", True)]] * 5


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"action": "snooze", "days": "15", "reason": "x"}, "14 days at most"),
        ({"action": "snooze", "days": "0", "reason": "x"}, "give both"),
        ({"action": "snooze", "days": "3", "reason": " "}, "give both"),
        ({"action": "resolve", "outcome": "cured"}, "choose how it ended"),
        ({"action": "assign", "to": "narrow"}, "does not look after V01"),
        ({"action": "assign", "to": "nobody"}, "does not look after V01"),
    ],
)
def test_what_cannot_be_done_with_a_flag_is_said_and_changes_nothing(app, visitor, flag, fields, words):
    visitor.sign_in("lead")
    assert words in said(send(visitor, f"/flags/{flag}", **fields))
    assert state(app, flag) == ("open", None)
    assert len(app.sources.registry.flags.history(flag)) == 1


def test_a_flag_nobody_acknowledged_is_escalated_until_somebody_does(app, visitor, flag, clock):
    visitor.sign_in("lead")
    assert "Escalated" not in visitor.get("/flags").text
    clock.advance_to(clock.now_ns() + 49 * HOUR_NS)
    visitor.sign_in("lead")
    assert "1 flag waiting longer than 48 h" in said(visitor.get("/flags"))
    assert "shown to the leads (lead) first" in said(visitor.get(f"/flags/{flag}"))
    send(visitor, f"/flags/{flag}", action="acknowledge")
    assert "Escalated" not in visitor.get("/flags").text


def test_a_flag_back_from_a_snooze_waits_anew(app, visitor, flag, clock):
    visitor.sign_in("lead")
    send(visitor, f"/flags/{flag}", action="snooze", days="3", reason="Travels")
    clock.advance_to(clock.now_ns() + 4 * NS_PER_DAY)
    visitor.sign_in("lead")
    assert "1 d" in visitor.get("/flags").text or "24 h" in visitor.get("/flags").text
    assert "Escalated" not in visitor.get("/flags").text


def test_a_flag_of_a_rule_of_another_version_is_shown_all_the_same(app, visitor, flag):
    held = app.sources.registry.flags.one(flag).flag
    other = replace(held.contributions[0], feature="pull_of_the_moon")
    later = replace(held, detector_id="lunar/9", contributions=(other,))
    app.sources.registry.flags.put("V01", [later])
    visitor.sign_in("lead")
    number = app.sources.registry.flags.of_subject("V01")[0].flag_id
    page = visitor.get(f"/flags/{number}")
    assert page.status_code == 200
    assert "pull of the moon" in page.text


def test_false_flags_are_counted_against_the_budget(app, visitor, flag):
    visitor.sign_in("lead")
    send(visitor, f"/flags/{flag}", action="resolve", outcome="no_action")
    page = visitor.get("/flags?show=resolved").text
    numbers = re.findall(r"<dd>([\d.]+)", page)
    assert numbers == ["1", "1", "0", "0", "0.17"], "one false flag of two patients in three months"
    assert "over budget" not in page


def test_flags_of_others_answer_as_if_they_did_not_exist(app, visitor, flag):
    visitor.sign_in("narrow")
    assert "V01" not in visitor.get("/flags").text
    assert visitor.get(f"/flags/{flag}").status_code == visitor.get("/flags/999").status_code == 404
    token = visitor.token("/flags/999")
    answer = visitor.post(f"/flags/{flag}", action="acknowledge", csrf_token=token)
    assert answer.status_code == 404
    assert state(app, flag)[0] == "open"
    assert ("narrow", "V01", False) in audited(app, "view")


def test_scales_are_kept_item_by_item_and_their_words_match_the_instruments():
    assert set(FORMS) == set(INSTRUMENTS)
    for name, known in INSTRUMENTS.items():
        assert [len(choices) - 1 for _, choices in choices_of(name)] == list(known.highest)


def answers(scores: str) -> dict[str, str]:
    return {f"item{number}": score for number, score in enumerate(scores, start=1)}


def test_a_scale_is_kept_once_and_corrected_only_when_asked(app, visitor):
    visitor.sign_in("narrow")
    path, held = "/patient/V02/assessments", app.sources.registry.assessments
    first = {"scale": "GAD-7", "on": "2026-01-05", **answers("1021301")}
    assert "GAD-7 of 5 Jan 2026 is kept" in said(send(visitor, path, **first))
    assert held.of_subject("V02") == [scored("V02", "GAD-7", "2026-01-05", items="1 0 2 1 3 0 1")]
    other = {**first, "item1": "3"}
    assert "tick the box below" in said(send(visitor, path, **other))
    assert held.of_subject("V02")[0].total == 8
    send(visitor, path, **other, correct="yes")
    assert held.of_subject("V02")[0].total == 10
    assert audited(app, "assessment") == [("narrow", "V02", True)] * 2


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"item3": ""}, "Item 3 has no answer"),
        ({"item3": "4"}, "item 3 is 4; needed is 0 to 3"),
        ({"item3": "x"}, "needed are whole numbers"),
        ({"on": "2026-01-07"}, "still to come"),
        ({"on": "yesterday"}, "YYYY-MM-DD"),
    ],
)
def test_a_scale_that_cannot_be_is_refused_with_its_answers_still_there(app, visitor, changed, words):
    visitor.sign_in("narrow")
    fields = {"scale": "PHQ-9", "on": "2026-01-05", **answers("111111110"), **changed}
    page = send(visitor, "/patient/V02/assessments", **fields)
    assert words in said(page)
    assert page.text.count(" checked") >= 8
    assert app.sources.registry.assessments.of_subject("V02") == []


def crisis_panel(page, item: int) -> re.Match[str] | None:
    return re.search(rf'role="alert"><p><b>Item {item}:.*?</div>', page.text, re.DOTALL)


@pytest.mark.parametrize(("item9", "is_shown"), [("0", False), ("1", True), ("3", True)])
def test_item_nine_shows_the_fixed_crisis_information_and_infers_nothing(app, visitor, item9, is_shown):
    visitor.sign_in("narrow")
    fields = {"scale": "PHQ-9", "on": "2026-01-05", **answers(f"00000000{item9}")}
    page = send(visitor, "/patient/V02/assessments", **fields)
    crisis = app.sources.settings.dashboard.crisis_text
    shown = crisis_panel(page, 9)
    assert (shown is not None) is is_shown
    assert shown is None or (crisis in shown[0] and "infers nothing from it" in shown[0])
    judging = ("risk", "suicid", "severe", "moderate", "mild", "depression")
    assert [word for word in judging if word in page.text.lower()] == []


@pytest.mark.parametrize(("item10", "is_shown"), [("0", False), ("1", True)])
def test_a_clinician_rates_madrs_and_item_ten_shows_the_crisis_information(app, visitor, item10, is_shown):
    visitor.sign_in("narrow")
    path = "/patient/V02/assessments"
    rated = {f"item{number}": "6" for number in range(1, 10)} | {"item10": item10}
    page = send(visitor, path, scale="MADRS", on="2026-01-05", **rated)
    assert app.sources.registry.assessments.of_subject("V02")[0].total == 54 + int(item10)
    assert (crisis_panel(page, 10) is not None) is is_shown
    asked = visitor.get(f"{path}?scale=MADRS").text
    assert app.sources.settings.dashboard.crisis_text in asked[asked.index("10. Suicidal thoughts") :]


def test_a_double_item_of_ymrs_goes_to_eight_and_no_scale_without_crisis_item_shows_one(app, visitor):
    visitor.sign_in("narrow")
    rated = {f"item{number}": "0" for number in range(1, 12)}
    send(visitor, "/patient/V02/assessments", scale="YMRS", on="2026-01-05", **{**rated, "item5": "8"})
    assert app.sources.registry.assessments.of_subject("V02")[0].total == 8
    page = send(visitor, "/patient/V02/assessments", scale="YMRS", on="2026-01-04", **{**rated, "item4": "5"})
    assert "item 4 is 5; needed is 0 to 4" in said(page)
    crafted = visitor.get("/patient/V02/assessments?scale=YMRS&crisis")
    assert "please speak with the person" not in crafted.text.lower()


def test_nothing_is_kept_of_who_agrees_to_nothing(app, visitor):
    visitor.sign_in("narrow")
    app.sources.registry.consents.record("V02", is_granted=False, by="narrow")
    fields = {"scale": "GAD-7", "on": "2026-01-05", **answers("1021301")}
    assert "agrees to nothing being kept" in said(send(visitor, "/patient/V02/assessments", **fields))
    assert app.sources.registry.assessments.of_subject("V02") == []
    assert app.sources.registry.flags.of_subject("V02") == []


def test_data_quality_says_what_is_known_and_what_needs_a_look(app, visitor, clock):
    now_ns = clock.now_ns()
    write_heart_rate(app.sources.store, "V02", now_ns - 20 * NS_PER_S, [61.0], battery_pct=9.0)
    offset = Batch(DEVICE_CLOCK, "V02", "F0:F1:00:00:00:02", [now_ns], {"offset_s": [7.5]})
    app.sources.store.write([offset])
    ledger = open_ledger(app.sources.home, clock)
    watched = (now_ns - 10 * HOUR_NS, now_ns)
    ledger.reconcile(app.sources.store, "V02", date(2026, 1, 5), watched_ns=watched, withdrawn=[watched])
    visitor.sign_in("narrow")
    page = visitor.get("/quality").text
    assert f"consent {Reason.WITHDRAWN} 10 h" in page
    assert "9 %" in page
    assert "+7.5 s" in page
    assert "<b>1</b> of 1 need a look" in page
    assert "V01" not in page


def test_data_quality_says_how_old_the_last_charge_is(app, visitor, clock):
    visitor.sign_in("narrow")
    for age_s, said_of_it in ((3 * 24 * 3600, ">41 %, 3 d ago<"), (3600, ">41 %<")):
        at_ns = clock.now_ns() - age_s * NS_PER_S
        write_heart_rate(app.sources.store, "V02", at_ns, [61.0], battery_pct=41.0)
        assert said_of_it in visitor.get("/quality").text


def test_an_export_holds_the_own_case_load_under_pseudonyms_for_its_owner_only(app, monkeypatch):
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    researcher = enter(app, "studies", "researcher", ["V02"])
    assert "agree to its terms" in said(send(researcher, "/export", who="all", purpose="Study 7"))
    page = send(researcher, "/export", who="all", purpose="Study 7", agree="yes")
    assert "Exporting 1 person" in said(page)
    path = re.search(r"/export/[0-9a-f]{32}\.zip", page.text)[0]
    fetched = researcher.get(path)
    with zipfile.ZipFile(io.BytesIO(fetched.data)) as packed:
        names = {name.split("/")[1] for name in packed.namelist()}
        nights = pd.read_parquet(io.BytesIO(packed.read("evenkeel-export/nights.parquet")))
        everything = b"".join(packed.read(name) for name in packed.namelist())
    assert names == set(FILES)
    assert set(nights["subject_id"]) == {"V02"}
    assert b"Bruno" not in everything
    other = enter(app, "rival", "researcher")
    assert other.get(path).status_code == 404
    assert [who for who, _, _ in audited(app, "export")] == ["studies"]
    assert [(who, ok) for who, _, ok in audited(app, "export-fetch")] == [("studies", True), ("rival", False)]


def test_old_exports_are_forgotten(app, monkeypatch, clock):
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())
    researcher = enter(app, "studies", "researcher")
    send(researcher, "/export", who="all", purpose="Study 7", agree="yes")
    clock.advance_to(clock.now_ns() + 8 * NS_PER_DAY)
    researcher.sign_in("studies")
    send(researcher, "/export", who="all", purpose="Study 8", agree="yes")
    assert len(list((app.sources.home / FOLDER).glob("*.zip"))) == 1


def test_a_failed_export_is_said(app, monkeypatch):
    monkeypatch.setattr("threading.Thread.start", lambda thread: thread.run())

    def full(*_args: object, **_named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dashboard.plain.export.export_nights", full)
    researcher = enter(app, "studies", "researcher")
    page = send(researcher, "/export", who="all", purpose="Study 7", agree="yes").text
    assert "failed; whoever runs evenkeel" in page
    assert ".zip" not in page


def test_patients_see_what_is_collected_and_pause_it(app, clock):
    patient = enter(app, "own", "patient", ["V02"])
    assert patient.get("/").location == "/my-data"
    write_heart_rate(app.sources.store, "V02", clock.now_ns(), [61.0])
    page = patient.get("/my-data").text
    assert "heart rate" in page
    assert "5 Jan 2026" in page
    pause = app.sources.home / PAUSE_FILE
    send(patient, "/my-data", action="pause", hours="8")
    assert read_pauses(pause).until_ns == {"V02": clock.now_ns() + 8 * HOUR_NS}
    send(patient, "/my-data", action="resume")
    assert not read_pauses(pause).until_ns
    assert [audited(app, act) for act in ("pause", "resume")] == [[("own", "V02", True)]] * 2


def test_a_wish_to_take_part_no_longer_stops_collecting_and_reaches_the_administrator(app):
    patient, boss = enter(app, "own", "patient", ["V02"]), enter(app, "boss", "admin", [])
    assert "nothing was changed" in said(send(patient, "/my-data", action="withdraw"))
    send(patient, "/my-data", action="withdraw", sure="yes", erase="yes")
    assert read_pauses(app.sources.home / PAUSE_FILE).until_ns == {"V02": None}
    assert "asks that what is held be erased" in boss.get("/admin").text
    send(boss, "/admin", action="withdraw", subject="V02")
    assert not app.sources.registry.consents.is_given("V02", "heart_rate")
    assert "asks that" not in boss.get("/admin").text
    assert "V01 has not asked" in said(send(boss, "/admin", action="withdraw", subject="V01"))


def test_patients_learn_who_looked_at_their_data(app):
    doctor, patient = Visitor(app), enter(app, "own", "patient", ["V02"])
    doctor.sign_in("narrow")
    doctor.get("/patient/V02/assessments")
    assert "a clinician opened your pages" in patient.get("/my-data").text


def test_an_administrator_adds_a_user_who_must_choose_a_password(app, clock):
    boss = enter(app, "boss", "admin", [])
    page = send(
        boss, "/admin", action="add-user", name="wren", role="clinician", way="password", patients=["V02"]
    )
    password = re.search(r'class="secret">([^<]+)<', page.text)[1]
    assert password not in " ".join(e.detail for e in app.sources.registry.audit.entries())
    wren = Visitor(app)
    wren.sign_in("wren", password)
    assert wren.get("/").location == wren.get("/flags").location == "/account"
    assert wren.get("/_dash-layout").status_code == 403
    too_short = send(wren, "/account", action="password", old=password, new="short", again="short")
    assert "needed are 12 or more" in said(too_short)
    new = "an own phrase of some length"
    done = send(wren, "/account", action="password", old=password, new=new, again=new)
    assert "Your password is changed" in said(done)
    assert wren.get("/patient/V02").status_code == 200
    assert wren.get("/patient/V01").status_code == 404
    assert Visitor(app).sign_in("wren", password).status_code == 401
    assert Visitor(app).sign_in("wren", new).status_code == 303


def test_password_fields_let_password_managers_help(visitor):
    fields = re.findall(r'<input[^>]*type="password"[^>]*>', visitor.get("/sign-in").text)
    visitor.sign_in("lead")
    fields += re.findall(r'<input[^>]*type="password"[^>]*>', visitor.get("/account").text)
    helped = [re.search(r'autocomplete="(\w+-password)"', field)[1] for field in fields]
    assert helped == ["current-password", "current-password", "new-password", "new-password"]


def test_a_password_for_one_sign_in_is_worth_nothing_after_a_day(app, clock):
    app.sources.registry.accounts.add_user("late", "lead", password=PASSWORD, patients=[], is_temporary=True)
    clock.advance_to(clock.now_ns() + (TEMPORARY_S + 1) * NS_PER_S)
    assert Visitor(app).sign_in("late").status_code == 401


def test_closing_an_account_ends_its_sessions_at_once_and_opening_lets_it_in_again(app, visitor):
    visitor.sign_in("narrow")
    boss = enter(app, "boss", "admin", [])
    send(boss, "/admin", action="disable", user="narrow")
    assert visitor.get("/").location == "/sign-in"
    assert visitor.sign_in("narrow").status_code == 401
    send(boss, "/admin", action="enable", user="narrow")
    assert visitor.sign_in("narrow").status_code == 303


def test_sessions_are_revoked_by_administrators_and_by_oneself(app, visitor):
    visitor.sign_in("narrow")
    boss = enter(app, "boss", "admin", [])
    sessions = {one.user_name: one.session_id for one in app.sources.registry.accounts.sessions()}
    assert said(send(boss, "/admin", action="revoke", session="00" * 32)) == "That session has ended already"
    send(boss, "/admin", action="revoke", session=sessions["narrow"])
    assert visitor.get("/").location == "/sign-in"
    send(visitor, "/account", action="end", session=sessions["boss"]) if visitor.sign_in("narrow") else None
    assert boss.get("/admin").status_code == 200, "others' sessions are not one's own to end"


def test_an_administrator_cannot_lock_everybody_out(app):
    boss = enter(app, "boss", "admin", [])
    for fields in ({"action": "disable"}, {"action": "role", "role": "lead"}, {"action": "reset"}):
        assert "another administrator can" in said(send(boss, "/admin", user="boss", **fields))
    assert boss.get("/admin").status_code == 200


def test_roles_case_loads_and_teams_are_given_and_taken(app, visitor):
    boss = enter(app, "boss", "admin", [])
    visitor.sign_in("narrow")
    send(boss, "/admin", action="patients", user="narrow", patients=["V01"])
    assert visitor.get("/patient/V01").status_code == 200
    assert visitor.get("/patient/V02").status_code == 404
    send(boss, "/admin", action="add-team", team="East ward")
    send(boss, "/admin", action="team-member", team="East ward", user="narrow")
    send(boss, "/admin", action="team-patient", team="East ward", subject="V02")
    assert visitor.get("/patient/V02").status_code == 200
    send(boss, "/admin", action="team-member", team="East ward", user="narrow", remove="yes")
    assert visitor.get("/patient/V02").status_code == 404
    send(boss, "/admin", action="role", user="narrow", role="researcher")
    assert visitor.get("/flags").status_code == 403
    page = send(boss, "/admin", action="patients", user="narrow", patients=["V99"])
    assert "No subject is called" in said(page)


def test_the_audit_log_is_searched_and_checked_on_its_page(app):
    boss = enter(app, "boss", "admin", [])
    Visitor(app).sign_in("narrow", "wrong password")
    page = boss.get("/admin/audit?actor=narrow&did=sign-in").text
    assert "do not belong together" in page
    assert "refused" in page
    assert "The log is whole" in said(boss.get("/admin/audit?verify=yes"))
    assert "needed is a time" in said(boss.get("/admin/audit?since=yesterday"))


def test_help_names_every_marker_and_the_settings_in_force(app, visitor):
    visitor.sign_in("narrow")
    page = visitor.get("/help").text
    assert "rmssd_ms" in page
    assert f"median of the {app.sources.settings.flags.baseline_days} days" in page


def test_words_typed_by_people_are_shown_as_words(app, visitor, flag):
    visitor.sign_in("lead")
    send(visitor, f"/flags/{flag}", action="snooze", days="3", reason="<script>alert(1)</script>")
    page = visitor.get(f"/flags/{flag}").text
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
