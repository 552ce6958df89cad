"""People, users, sessions, links, flags and the audit log at rest."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from argon2 import PasswordHasher

from store.errors import ConfigError, HomeError, RefusedError, StoreUnavailableError, UnknownError
from store.installation import Installation
from store.registry import accounts as limits
from store.registry import passwords
from store.registry import registry as module
from store.registry.audit import AuditVerdict, _entry_hash
from store.registry.registry import AUDIT_HEAD_FILE, Registry
from store.registry.schema import audit, metadata
from store.types import Contribution, Flag
from store.units import NS_PER_S
from tests.postgres import empty_postgresql, postgresql

PASSWORD = "correct horse battery staple"
__all__ = ["empty_postgresql", "postgresql"]


@pytest.fixture(params=["sqlite", "postgresql"])
def installation(request, tmp_path, clock, monkeypatch) -> Installation:
    """An installation with its registry in either database: both keep the same promises."""
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgresql").render_as_string(hide_password=False)
        monkeypatch.setenv("EVENKEEL_REGISTRY_URL", url)
    return Installation(tmp_path / "home", clock)


on_sqlite_alone = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)


@contextmanager
def tampering(registry: Registry) -> Iterator[sa.Connection]:
    """Write as somebody who may do everything with the database: the guards are taken down first."""
    with registry._engine.execution_options(is_writing=True).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER USER"))
        else:
            for change in ("update", "delete"):
                connection.execute(sa.text(f"DROP TRIGGER IF EXISTS audit_no_{change}"))
        yield connection


def test_migrations_make_exactly_the_declared_tables(registry):
    with registry._engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    script = ScriptDirectory(str(Path(module.__file__).parent / "migrations"))
    assert script.get_current_head() == module.HEAD


def test_a_subject_keeps_the_history_of_its_zones(registry, clock):
    registry.people.add_subject("S1", "Europe/Berlin", display_name="B. Adler")
    moved_ns = clock.now_ns() + 86_400 * NS_PER_S
    clock.advance_to(moved_ns)
    registry.people.add_subject("S1", "Asia/Tokyo")
    history = registry.people.zone_history("S1")
    assert registry.people.subject("S1").zone == "Asia/Tokyo"
    assert registry.people.subject("S1").display_name == "B. Adler"
    registry.people.add_subject("S1", "Asia/Tokyo", display_name="B. Adler-Kranich")
    assert registry.people.subject("S1").display_name == "B. Adler-Kranich"
    assert history.at(0) == "Europe/Berlin"
    assert history.at(moved_ns - 1) == "Europe/Berlin"
    assert history.at(moved_ns) == "Asia/Tokyo"


@pytest.mark.parametrize("subject_id", ["", "a b", "../x", "-x", "x" * 65, "é"])
def test_ids_that_could_hurt_are_refused(registry, subject_id):
    with pytest.raises(ConfigError, match="subject id"):
        registry.people.add_subject(subject_id, "UTC")


def test_an_unknown_zone_or_subject_is_named(registry):
    with pytest.raises(ConfigError, match="Mars/Olympus"):
        registry.people.add_subject("S1", "Mars/Olympus")
    with pytest.raises(UnknownError, match="evenkeel subject add NOBODY"):
        registry.people.subject("NOBODY")


def test_a_sensor_passed_on_is_worn_by_one_person_at_a_time(registry, clock):
    for subject_id in ("S1", "S2"):
        registry.people.add_subject(subject_id, "UTC")
    registry.people.pair("C0:00:00:00:00:01", "S1")
    clock.advance_to(clock.now_ns() + NS_PER_S)
    registry.people.pair("C0:00:00:00:00:01", "S2")
    assert registry.people.worn_now() == {"C0:00:00:00:00:01": "S2"}
    with pytest.raises(RefusedError):
        registry.people.pair("C0:00:00:00:00:01", "S1", from_ns=0)
    assert [sensor.subject_id for sensor in registry.people.sensors()] == ["S2"]
    assert registry.people.sensors_of("S1") == []
    assert registry.people.sensors_of("S2") == registry.people.sensors()


def test_a_password_opens_and_a_wrong_one_does_not(registry):
    registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    user = registry.accounts.check_password("wren", PASSWORD, "10.0.0.1")
    assert user is not None
    assert user.role == "clinician"
    assert registry.accounts.check_password("wren", "wrong", "10.0.0.1") is None
    assert registry.accounts.check_password("nobody", PASSWORD, "10.0.0.1") is None


def test_guessing_is_slowed_down_and_forgiven_later(registry, clock):
    registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    for _ in range(limits.FAILURES_PER_NAME):
        assert registry.accounts.check_password("wren", "wrong", "10.0.0.1") is None
    with pytest.raises(RefusedError, match="try again"):
        registry.accounts.check_password("wren", PASSWORD, "10.0.0.2")
    clock.advance_to(clock.now_ns() + (limits.FAILURE_WINDOW_S + 1) * NS_PER_S)
    assert registry.accounts.check_password("wren", PASSWORD, "10.0.0.1") is not None


def test_short_passwords_unknown_roles_and_patients_are_refused(registry):
    with pytest.raises(ConfigError, match="12"):
        registry.accounts.add_user("wren", "clinician", password="short", patients="all")
    with pytest.raises(ConfigError, match="no role"):
        registry.accounts.add_user("wren", "king", password=PASSWORD, patients="all")
    with pytest.raises(UnknownError, match="S9"):
        registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients=["S9"])
    assert registry.accounts.users() == []


@pytest.mark.parametrize(
    "password", ["password123456", "qwertyuiopasdf", "aaaaaaaaaaaaaaaa", "wren-evenkeel", "clinicpatient"]
)
def test_passwords_that_are_easy_to_guess_are_refused(registry, password):
    with pytest.raises(ConfigError, match="easy to guess"):
        registry.accounts.add_user("wren", "clinician", password=password, patients="all")
    assert registry.accounts.users() == []


def test_a_case_load_is_all_that_is_seen(registry):
    for subject_id in ("S1", "S2"):
        registry.people.add_subject(subject_id, "UTC")
    narrow = registry.accounts.add_user("narrow", "clinician", password=PASSWORD, patients=["S2"])
    lead = registry.accounts.add_user("lead", "lead", password=PASSWORD, patients="all")
    assert registry.accounts.visible_subjects(narrow) == ["S2"]
    assert registry.accounts.visible_subjects(lead) == ["S1", "S2"]


def test_a_session_ends_by_idling_by_age_and_by_a_new_password(registry, clock):
    user = registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    token = registry.accounts.open_session(user)
    clock.advance_to(clock.now_ns() + (limits.SESSION_IDLE_S - 1) * NS_PER_S)
    assert registry.accounts.session_user(token, is_activity=False) is not None
    clock.advance_to(clock.now_ns() + 2 * NS_PER_S)
    assert registry.accounts.session_user(token) is None, "a page that refreshes itself keeps nothing open"
    token = registry.accounts.open_session(user)
    for _ in range(limits.SESSION_TOTAL_S // 600):
        assert registry.accounts.session_user(token) is not None
        clock.advance_to(clock.now_ns() + 600 * NS_PER_S)
    clock.advance_to(clock.now_ns() + NS_PER_S)
    assert registry.accounts.session_user(token) is None
    token, link = registry.accounts.open_session(user), registry.accounts.create_link(user)
    registry.accounts.add_user("wren", "clinician", password=PASSWORD + "!", patients="all")
    assert registry.accounts.session_user(token) is None
    assert registry.accounts.redeem_link(link) is None


def test_a_link_signs_in_once_and_not_late(registry, clock):
    user = registry.accounts.add_user("demo", "lead", password=None, patients="all")
    token = registry.accounts.create_link(user)
    assert registry.accounts.redeem_link(token) == user
    assert registry.accounts.redeem_link(token) is None
    late = registry.accounts.create_link(user)
    clock.advance_to(clock.now_ns() + (limits.LINK_VALID_S + 1) * NS_PER_S)
    assert registry.accounts.redeem_link(late) is None
    assert registry.accounts.check_password("demo", "", "10.0.0.1") is None, "no password, no way in by one"


@on_sqlite_alone
def test_no_token_or_password_is_kept_readable(registry, installation):
    user = registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    tokens = [registry.accounts.open_session(user), registry.accounts.create_link(user)]
    registry.close()
    held = b"".join(path.read_bytes() for path in installation.home.glob("registry.sqlite*"))
    assert not any(secret.encode() in held for secret in (PASSWORD, *tokens))


def test_the_audit_chain_shows_any_change(registry):
    for action in ("sign-in", "view", "sign-out"):
        registry.audit.append("wren", action, subject_id="S1", address="10.0.0.1")
    assert [entry.action for entry in registry.audit.entries()] == ["sign-in", "view", "sign-out"]
    assert registry.audit.first_broken_seq() is None
    with tampering(registry) as connection:
        connection.execute(sa.text("UPDATE audit SET actor = 'rhys' WHERE seq = 2"))
    assert registry.audit.first_broken_seq() == 2


def test_the_audit_chain_ties_each_entry_to_all_before_it(registry):
    """Whoever rewrites an entry and mends its hash and the link to it has to rewrite all that follow."""
    for action in ("sign-in", "view", "sign-out"):
        registry.audit.append("wren", action)
    t = audit
    with tampering(registry) as connection:
        row = dict(connection.execute(sa.select(t).where(t.c.seq == 2)).mappings().one())
        previous = row.pop("previous_hash")
        entry = {name: row[name] for name in row if name not in ("seq", "entry_hash")} | {"actor": "rhys"}
        forged = _entry_hash(previous, entry)
        connection.execute(sa.update(t).where(t.c.seq == 2).values(actor="rhys", entry_hash=forged))
        connection.execute(sa.update(t).where(t.c.seq == 3).values(previous_hash=forged))
    assert registry.audit.first_broken_seq() == 3


def test_an_audit_entry_that_is_gone_is_missed(registry):
    for action in ("sign-in", "view", "sign-out"):
        registry.audit.append("wren", action)
    with tampering(registry) as connection:
        connection.execute(sa.text("DELETE FROM audit WHERE seq = 2"))
    assert registry.audit.first_broken_seq() == 3


def test_entries_cut_off_the_end_are_missed_whatever_is_appended_later(registry):
    for action in ("sign-in", "view", "sign-out"):
        registry.audit.append("wren", action)
    assert registry.audit.verify().is_end_known
    with tampering(registry) as connection:
        connection.execute(sa.text("DELETE FROM audit WHERE seq >= 2"))
    assert registry.audit.first_broken_seq() == 2
    assert "cut off" in registry.audit.verify().reason
    for _ in range(4):
        registry.audit.append("wren", "view")
        assert registry.audit.first_broken_seq() is not None


def test_a_head_that_is_damaged_is_no_proof(registry, installation):
    registry.audit.append("wren", "view")
    head = installation.home / AUDIT_HEAD_FILE
    head.write_text("[]")
    registry.audit.append("wren", "view")
    assert head.read_text() == "[]", "evidence stays"
    assert "damaged" in registry.audit.verify().reason
    head.unlink()
    assert registry.audit.verify() == AuditVerdict(2, None, "", is_end_known=False)


def test_a_head_left_behind_by_a_crash_is_no_alarm(registry, installation):
    head = installation.home / AUDIT_HEAD_FILE
    registry.audit.append("wren", "view")
    held = head.read_text()
    registry.audit.append("wren", "view")
    head.write_text(held)
    assert registry.audit.first_broken_seq() is None


@pytest.mark.parametrize("change", ["UPDATE audit SET actor = 'rhys'", "DELETE FROM audit"])
def test_the_database_itself_refuses_to_change_the_log(registry, change):
    registry.audit.append("wren", "view")
    with (
        pytest.raises(sa.exc.IntegrityError, match="the audit log only grows"),
        registry._engine.execution_options(is_writing=True).begin() as connection,
    ):
        connection.execute(sa.text(change))
    assert registry.audit.first_broken_seq() is None


def test_characters_a_browser_may_send_are_kept_as_far_as_every_database_can(registry):
    assert registry.accounts.check_password("wr\0en", PASSWORD, "10.0.0.1") is None
    registry.audit.append("wr\0en", "sign-in", detail="\0", is_allowed=False)
    assert [entry.actor for entry in registry.audit.entries()] == ["wr\ufffden"]
    assert registry.audit.first_broken_seq() is None


def test_a_flag_is_kept_once_whole_and_with_its_state(registry):
    registry.people.add_subject("S1", "UTC")
    reason = Contribution("rmssd_ms", 25.5, 41.25, 31.0, 52.0, -2.75, 5, 7)
    flag = Flag(
        "S1", date(2026, 3, 2), date(2026, 2, 25), 5.0, 5.0, "below", (reason,), 6 / 7, "rule/1", "abc", "why"
    )
    assert registry.flags.put("S1", [flag]) == 1
    assert registry.flags.put("S1", [flag]) == 0
    stored = registry.flags.of_subject("S1")
    assert [one.flag for one in stored] == [flag]
    assert stored[0].state == "open"


def test_what_was_done_about_a_flag_is_kept_whole(registry, clock):
    registry.people.add_subject("S1", "UTC")
    registry.accounts.add_user("wren", "clinician", password=None, patients="all")
    flag = Flag("S1", date(2026, 3, 2), date(2026, 2, 25), 5.0, 5.0, "below", (), 1.0, "rule/1", "abc", "why")
    registry.flags.put("S1", [flag])
    number = registry.flags.of_subject("S1")[0].flag_id
    until_ns = clock.now_ns() + NS_PER_S
    registry.flags.acknowledge(number, by="wren")
    registry.flags.assign(number, "wren", by="wren")
    registry.flags.snooze(number, until_ns, "on holiday", by="wren")
    held = registry.flags.of_subject("S1")[0]
    assert (held.state, held.assigned_to, held.snoozed_until_ns) == ("snoozed", "wren", until_ns)
    clock.advance_to(until_ns)
    assert registry.flags.of_subject("S1")[0].state == "open"
    registry.flags.resolve(number, "contacted", by="wren")
    with pytest.raises(RefusedError, match="reopen it first"):
        registry.flags.acknowledge(number, by="wren")
    registry.flags.reopen(number, by="wren")
    assert registry.flags.of_subject("S1")[0].state == "open"
    done = [(event.action, event.actor) for event in registry.flags.history(number)]
    actions = ("acknowledged", "assigned", "snoozed", "resolved", "reopened")
    assert done == [("raised", "rule/1"), *((action, "wren") for action in actions)]
    assert registry.flags.history(number)[3].reason == "on holiday"


def test_what_cannot_be_done_about_a_flag_is_said(registry, clock):
    with pytest.raises(UnknownError, match="no flag 7"):
        registry.flags.acknowledge(7, by="wren")
    with pytest.raises(UnknownError, match="'wren'"):
        registry.flags.assign(7, "wren", by="wren")
    with pytest.raises(ConfigError, match="to come and for a reason"):
        registry.flags.snooze(7, clock.now_ns(), "", by="wren")
    with pytest.raises(ConfigError, match="no outcome"):
        registry.flags.resolve(7, "magic", by="wren")


def test_a_move_may_be_past_or_to_come(registry, clock):
    registry.people.add_subject("S1", "Europe/Berlin")
    now_ns = clock.now_ns()
    registry.people.move_subject("S1", "Asia/Tokyo", now_ns + NS_PER_S)
    registry.people.move_subject("S1", "UTC", now_ns - NS_PER_S)
    assert registry.people.zone_history("S1").at(now_ns - NS_PER_S) == "UTC"
    assert registry.people.subject("S1").zone == "Europe/Berlin"
    clock.advance_to(now_ns + NS_PER_S)
    assert registry.people.subject("S1").zone == "Asia/Tokyo"
    with pytest.raises(UnknownError, match="S9"):
        registry.people.move_subject("S9", "UTC", now_ns)


def test_who_has_not_agreed_yet_is_not_collected_from(registry, clock):
    registry.people.add_subject("S1", "UTC", agrees_to=())
    registry.people.pair("A", "S1")
    assert registry.people.wearings() == []
    clock.advance_to(clock.now_ns() + NS_PER_S)
    registry.consents.record("S1", "rr_interval", is_granted=True, by="wren")
    assert [(each.subject_id, each.from_ns) for each in registry.people.wearings(0)] == [
        ("S1", clock.now_ns())
    ]
    assert not registry.consents.is_given("S1", "heart_rate")


def test_a_patient_sees_their_own_data_alone(registry):
    for subject_id in ("S1", "S2"):
        registry.people.add_subject(subject_id, "UTC")
    user = registry.accounts.add_user("own", "patient", password=None, patients=["S1"])
    registry.teams.add("East ward")
    registry.teams.set_member("East ward", "own")
    registry.teams.set_patient("East ward", "S2")
    assert registry.accounts.visible_subjects(user) == ["S1"]
    with pytest.raises(ConfigError, match="exactly that one"):
        registry.accounts.add_user("other", "patient", password=None, patients="all")


@on_sqlite_alone
def test_readers_never_wait_for_a_writer(registry, installation, monkeypatch):
    registry.people.add_subject("S1", "UTC")
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0.05)
    with registry._engine.execution_options(is_writing=True).begin(), installation.registry() as other:
        assert other.people.subject("S1").zone == "UTC"
        with pytest.raises(
            StoreUnavailableError, match=r"registry\.sqlite cannot be used: database is locked"
        ):
            other.audit.append("wren", "view")


def test_a_registry_of_a_newer_version_is_left_alone(registry, installation):
    with registry._engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(HomeError, match="newer evenkeel"):
        installation.registry()


@on_sqlite_alone
@pytest.mark.parametrize("held", [b"no database, but long enough to be looked at" * 100, None])
def test_a_registry_that_is_none_is_refused(installation, held):
    path = installation.home / "registry.sqlite"
    path.mkdir() if held is None else path.write_bytes(held)
    with pytest.raises(HomeError, match=r"registry\.sqlite"):
        installation.registry()


def test_any_directory_may_be_a_home(tmp_path):
    installation = Installation(tmp_path / "a b?c#d%41")
    with installation.registry() as registry:
        registry.people.add_subject("S1", "UTC")
    assert (tmp_path / "a b?c#d%41" / "registry.sqlite").is_file()


def test_a_damaged_password_hash_opens_nothing(registry):
    registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    with registry._engine.execution_options(is_writing=True).begin() as connection:
        connection.execute(sa.text("UPDATE \"user\" SET password_hash = 'damaged'"))
    assert registry.accounts.check_password("wren", PASSWORD, "10.0.0.1") is None


def test_an_unknown_name_costs_what_a_wrong_password_costs(registry, monkeypatch):
    """One verification each, and the first attempt of a process makes the dummy whoever it is."""
    registry.accounts.add_user("wren", "clinician", password=PASSWORD, patients="all")
    for name in ("wren", "nobody"):
        passwords.dummy_hash.cache_clear()
        verified: list[str] = []
        monkeypatch.setattr(PasswordHasher, "verify", lambda _self, held, _, seen=verified: seen.append(held))
        assert registry.accounts.check_password(name, "wrong password", "10.0.0.1") is None
        assert len(verified) == 1
        assert passwords.dummy_hash.cache_info().misses == 1
