"""Commands on the registry, run as a user runs them."""

import base64
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from evenkeel import app
from store.errors import ConfigError, EvenkeelError
from store.installation import Installation


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    """An installation in the time of the commands, which know no other."""
    return Installation(tmp_path / "home")


def run(installation, *words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["--home", str(installation.home), *words])
    if isinstance(result.exception, EvenkeelError):
        return 2, result.stdout, str(result.exception)
    return result.exit_code, result.stdout, result.stderr


def test_the_audit_log_is_verified_and_a_missing_end_named(installation):
    with installation.registry() as registry:
        for _ in range(3):
            registry.audit.append("wren", "view")
    assert run(installation, "audit", "verify") == (0, "The audit log is whole: 3 entries\n", "")
    with closing(sqlite3.connect(installation.home / "registry.sqlite")) as database, database:
        database.execute("DROP TRIGGER audit_no_delete")
        database.execute("DELETE FROM audit WHERE seq = 3")
    status, said, complaint = run(installation, "audit", "verify", "--format", "json")
    assert status == 3
    assert json.loads(said)["first_broken_seq"] == 3
    assert "broken at entry 3: the newest entries were cut off" in complaint


def test_entries_are_searched(installation):
    with installation.registry() as registry:
        registry.audit.append("wren", "view", subject_id="S1")
        registry.audit.append("ada", "view", subject_id="S2", is_allowed=False)
    _, said, _ = run(installation, "audit", "search", "--action", "view", "--subject", "S2")
    assert "ada  view REFUSED  S2" in said
    assert "wren" not in said
    assert run(installation, "audit", "search", "--actor", "rhys")[1] == "No such entry\n"


def test_who_withdraws_is_no_longer_collected_from_until_they_agree_again(installation):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC")
        registry.people.pair("A", "S1")
        people, consents = registry.people, registry.consents
        assert run(installation, "subject", "withdraw", "S1", "--stream", "heart_rate")[0] == 0
        assert people.worn_now() == {"A": "S1"}
        assert not consents.is_given("S1", "heart_rate")
        assert consents.is_given("S1", "rr_interval")
        assert run(installation, "subject", "withdraw", "S1")[0] == 0
        assert people.worn_now() == {}
        assert people.wearings() == []
        assert [each.subject_id for each in people.wearings(0)] == ["S1"], "what was collected stays theirs"
        assert run(installation, "subject", "consent", "S1", "--stream", "rr_interval")[0] == 0
        assert people.worn_now() == {"A": "S1"}
        assert not consents.is_given("S1", "heart_rate")
        actions = [entry.action for entry in registry.audit.entries()]
    assert actions == ["consent-withdraw", "consent-withdraw", "consent-grant"]


def test_consent_of_nobody_or_to_nothing_known_is_refused(installation):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC")
    assert run(installation, "subject", "withdraw", "S9")[::2] == (
        2,
        "No subject is called 'S9'; see: evenkeel subject list",
    )
    status, _, said = run(installation, "subject", "withdraw", "S1", "--stream", "mood")
    assert status == 2
    assert "mood" in said


def test_a_move_is_recorded_from_its_day_on(installation):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "Europe/Berlin")
    move = ("subject", "move", "S1", "--zone")
    assert run(installation, *move, "Asia/Tokyo", "--from", "2099-01-01")[0] == 0
    assert "Mars" in run(installation, *move, "Mars", "--from", "2099-01-01")[2]
    assert "--from is 'soon'" in run(installation, *move, "UTC", "--from", "soon")[2]
    with installation.registry() as registry:
        assert registry.people.zone_history("S1").zones == ("Europe/Berlin", "Asia/Tokyo")
        assert registry.people.subject("S1").zone == "Europe/Berlin"


def test_a_scale_is_recorded_once_and_corrected_on_purpose(installation):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC")
    add = ("assessment", "add", "S1", "--instrument", "gad-7", "--on", "2026-03-02")
    assert run(installation, *add, "--items", "1,2,3,0,1,2,3")[:2] == (0, "GAD-7 of S1 on 2026-03-02: 12\n")
    assert run(installation, *add, "--items", "1,2,3,0,1,2,3")[1].endswith(", held already\n")
    status, _, said = run(installation, *add, "--total", "13")
    assert status == 2
    assert "--correct" in said
    assert run(installation, *add, "--total", "13", "--correct")[0] == 0
    _, listed, _ = run(installation, "assessment", "list", "S1", "--format", "json")
    held = {"subject_id": "S1", "instrument": "GAD-7", "on": "2026-03-02", "total": 13, "items": []}
    assert json.loads(listed) == [held]
    assert json.loads(run(installation, "assessment", "list", "--format", "json")[1]) == [held]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("PHQ-9", "--items", "1,2,3"), "has 3 items; needed are 9"),
        (("PHQ-9", "--items", "4,0,0,0,0,0,0,0,0"), "item 1 is 4; needed is 0 to 3"),
        (("YMRS", "--items", "5,0,0,0,8,8,0,8,8,0,0"), "item 1 is 5; needed is 0 to 4"),
        (
            ("PHQ-9", "--items", "1,1,1,1,1,1,1,1,1", "--total", "8"),
            "the items add up to 9, the total says 8",
        ),
        (("MADRS", "--total", "61"), "needed is one from 0 to 60"),
        (("BDI", "--total", "1"), "'BDI' is no instrument"),
        (("PHQ-9",), "neither items nor a total"),
        (("PHQ-9", "--items", "a"), "needed are whole numbers"),
    ],
)
def test_scores_that_cannot_be_are_refused(installation, words, said):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC")
    status, _, sentence = run(
        installation, "assessment", "add", "S1", "--on", "2026-03-02", "--instrument", *words
    )
    assert (status, said in sentence) == (2, True), sentence


def test_a_care_team_sees_its_patients_while_they_are_in_it(installation):
    with installation.registry() as registry:
        for subject_id in ("S1", "S2"):
            registry.people.add_subject(subject_id, "UTC")
        accounts = registry.accounts
        user = accounts.add_user("wren", "clinician", password=None, patients=["S2"])
        assert run(installation, "team", "add", "East ward")[0] == 0
        assert run(installation, "team", "member", "East ward", "wren")[0] == 0
        assert not accounts.can(user, "S1")
        assert run(installation, "team", "patient", "East ward", "S1")[0] == 0
        assert accounts.can(user, "S1")
        assert accounts.visible_subjects(user) == ["S1", "S2"]
        listed = json.loads(run(installation, "team", "list", "--format", "json")[1])
        assert listed == [{"name": "East ward", "members": ["wren"], "patients": ["S1"]}]
        assert run(installation, "team", "member", "East ward", "wren", "--remove")[0] == 0
        assert not accounts.can(user, "S1")
        assert accounts.can(user, "S2")
    for words in (
        ("patient", "East ward", "S9"),
        ("member", "East ward", "rhys"),
        ("member", "West", "wren"),
    ):
        status, _, said = run(installation, "team", *words)
        assert (status, "is called" in said) == (2, True)


def test_names_are_unreadable_without_their_key(installation, monkeypatch):
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC", display_name="Berta Adler")
    old, new = (base64.b64encode(bytes([k]) * 32).decode() for k in (1, 2))
    assert "No key to encrypt with" in run(installation, "registry", "encrypt")[2]
    monkeypatch.setenv("EVENKEEL_REGISTRY_KEY", old)
    assert run(installation, "registry", "encrypt")[0] == 0
    assert run(installation, "registry", "encrypt")[1].startswith("0 names")
    with installation.registry() as registry:
        assert registry.people.subject("S1").display_name == "Berta Adler"
    held = b"".join(path.read_bytes() for path in installation.home.glob("registry.sqlite*"))
    assert b"Berta" not in held
    monkeypatch.setenv("EVENKEEL_REGISTRY_KEY", new)
    with installation.registry() as registry, pytest.raises(ConfigError, match="needed is the key"):
        registry.people.subject("S1")
    monkeypatch.setenv("EVENKEEL_REGISTRY_KEY", f"{new} {old}")
    assert run(installation, "registry", "encrypt")[1].startswith("1 names")
    monkeypatch.setenv("EVENKEEL_REGISTRY_KEY", new)
    with installation.registry() as registry:
        assert registry.people.subject("S1").display_name == "Berta Adler"
    monkeypatch.setenv("EVENKEEL_REGISTRY_KEY", "short")
    assert "openssl rand" in run(installation, "registry", "encrypt")[2]


def test_somebody_may_agree_to_nothing_or_to_some_streams(installation):
    said = run(installation, "subject", "add", "S1", "--zone", "UTC", "--consent", "none")
    assert said == (0, "Subject S1, zone UTC\nS1 agrees to nothing yet: nothing is kept of them\n", "")
    run(installation, "subject", "add", "S2", "--zone", "UTC", "--consent", "heart_rate, battery")
    with installation.registry() as registry:
        given = registry.consents.is_given
        assert not given("S1", "heart_rate")
        assert given("S2", "heart_rate")
        assert given("S2", "battery")
        assert not given("S2", "rr_interval")
    code, _, said = run(installation, "subject", "add", "S3", "--zone", "UTC", "--consent", "pulse")
    assert (code, "No stream is called 'pulse'" in said) == (2, True)
    code, _, said = run(installation, "subject", "add", "S2", "--zone", "UTC", "--consent", "none")
    assert (code, "their consent is as it was" in said) == (0, True)


def test_medications_and_events_are_noted_and_listed(installation):
    run(installation, "subject", "add", "S1", "--zone", "UTC")
    words = ("annotation", "add", "S1", "--kind", "medication", "--text", "lithium 600 mg", "--from")
    assert run(installation, *words, "2026-02-01", "--to", "2026-03-01") == (
        0,
        "S1: 2026-02-01 to 2026-03-01  medication  lithium 600 mg\n",
        "",
    )
    run(
        installation,
        "annotation",
        "add",
        "S1",
        "--kind",
        "life_event",
        "--text",
        "moved",
        "--from",
        "2026-01-05",
    )
    code, said, _ = run(installation, "annotation", "list", "S1")
    assert (code, said.splitlines()) == (
        0,
        ["2026-01-05  life event  moved", "2026-02-01 to 2026-03-01  medication  lithium 600 mg"],
    )
    _, listed, _ = run(installation, "annotation", "list", "S1", "--format", "json")
    assert json.loads(listed)[0] == {"kind": "life_event", "from": "2026-01-05", "to": None, "text": "moved"}
    assert "needed is a day such as 2026-01-05" in run(installation, *words, "yesterday")[2]
    assert "before it starts" in run(installation, *words, "2026-02-01", "--to", "2026-01-01")[2]
    assert "No subject is called" in run(installation, "annotation", "list", "S9")[2]
