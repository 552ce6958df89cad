"""The registry from one database to another, between SQLite and PostgreSQL too."""

from datetime import date
from pathlib import Path

import pytest
import sqlalchemy as sa

from store.backup import make_backup
from store.clock import VirtualClock
from store.errors import HomeError, RecordingError, RefusedError
from store.installation import Installation
from store.registry.annotations import Annotation
from store.registry.assessments import scored
from store.registry.registry import HEAD, Registry
from store.registry.tables import export_tables, import_tables
from store.restore import restore_backup
from tests.postgres import empty_postgresql, postgresql

__all__ = ["empty_postgresql", "postgresql"]

Place = Path | str


def place(kind: str, request: pytest.FixtureRequest, path: Path) -> Place:
    if kind == "sqlite":
        return path
    return request.getfixturevalue("empty_postgresql").render_as_string(hide_password=False)


def engine_of(place: Place) -> sa.Engine:
    return sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")


def fill(registry: Registry) -> None:
    registry.people.add_subject("S1", "Europe/Berlin", display_name='Zoë "\\\n')
    registry.people.register_sensor("A", name="strap")
    registry.people.pair("A", "S1")
    user = registry.accounts.add_user("ada", "lead", password="a long password", patients=["S1"])
    registry.accounts.create_link(user)  # bytes
    registry.jobs.start("features", "1", "hash")  # a missing value
    registry.consents.record("S1", "heart_rate", is_granted=False, by="ada")
    registry.assessments.put(scored("S1", "GAD-7", "2026-01-02", items="1,0,2,0,3,0,1"), by="ada")
    registry.annotations.add(Annotation("S1", "medication", date(2026, 3, 2), "lithium"), by="ada")
    registry.teams.add("East ward")
    registry.teams.set_member("East ward", "ada")
    registry.teams.set_patient("East ward", "S1")
    for k in range(3):
        registry.audit.append("ada", "look", subject_id="S1", is_allowed=k != 1)


@pytest.mark.parametrize(
    ("before", "after"), [("sqlite", "sqlite"), ("sqlite", "postgresql"), ("postgresql", "sqlite")]
)
def test_a_registry_goes_from_any_database_to_any(before, after, request, tmp_path, clock):
    first, second = place(before, request, tmp_path / "a"), place(after, request, tmp_path / "b")
    (tmp_path / "tables").mkdir()
    with Registry(first, clock) as registry:
        fill(registry)
    engines = [engine_of(first), engine_of(second)]
    exported = export_tables(engines[0], tmp_path / "tables")
    assert exported == import_tables(engines[1], tmp_path / "tables")
    with pytest.raises(RefusedError, match="holds tables"):
        import_tables(engines[1], tmp_path / "tables")
    (tmp_path / "again").mkdir()
    export_tables(engines[1], tmp_path / "again")
    for path in (tmp_path / "tables").iterdir():
        assert (tmp_path / "again" / path.name).read_text() == path.read_text()
    for engine in engines:
        engine.dispose()
    with Registry(second, clock) as registry:
        assert registry.audit.first_broken_seq() is None
        registry.audit.append("ada", "look")  # numbers go on after those that were brought along
        assert [entry.seq for entry in registry.audit.entries()] == [1, 2, 3, 4]
        assert registry.people.subject("S1").display_name == 'Zoë "\\\n'
        assert not registry.consents.is_given("S1", "heart_rate")
        assert [each.total for each in registry.assessments.of_subject("S1")] == [7]
        assert [(team.members, team.patients) for team in registry.teams.all()] == [(("ada",), ("S1",))]


def test_the_drill_with_postgresql(tmp_path, clock: VirtualClock, empty_postgresql, monkeypatch):
    url = empty_postgresql.render_as_string(hide_password=False)
    monkeypatch.setenv("EVENKEEL_REGISTRY_URL", url)
    served = Installation(tmp_path / "home", clock)
    with served.registry() as registry:
        fill(registry)
    assert make_backup(served, tmp_path / "backup").registry == "tables"
    assert restore_backup(tmp_path / "backup", tmp_path / "new", clock=clock).faults == ()
    with pytest.raises(RefusedError, match="holds tables"):
        restore_backup(tmp_path / "backup", tmp_path / "other", registry_to=url)
    gone = "postgresql+psycopg://tests@127.0.0.1:1/none"
    with pytest.raises(HomeError, match="check the database's URL"):
        restore_backup(tmp_path / "backup", tmp_path / "other", registry_to=gone)
    with Registry(tmp_path / "new" / "registry.sqlite", clock) as registry:
        assert registry.audit.first_broken_seq() is None
        assert [entry.action for entry in registry.audit.entries()][-2:] == ["backup", "restore"]


def test_tables_that_do_not_say_their_revision_are_refused(tmp_path, clock):
    (tmp_path / "tables").mkdir()
    with Registry(tmp_path / "a", clock):
        pass
    export_tables(engine_of(tmp_path / "a"), tmp_path / "tables")
    assert HEAD in (tmp_path / "tables" / "alembic_version.jsonl").read_text()
    (tmp_path / "tables" / "alembic_version.jsonl").write_text("")
    with pytest.raises(RecordingError, match="revision"):
        import_tables(engine_of(tmp_path / "b"), tmp_path / "tables")
