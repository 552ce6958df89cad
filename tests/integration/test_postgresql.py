"""The registry on a real PostgreSQL: many programs at once; tables of an older version on both databases."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from store.errors import HomeError
from store.registry import registry as module
from store.registry.registry import AUDIT_HEAD_FILE, HEAD, Registry
from store.registry.schema import metadata
from tests.postgres import empty_postgresql, postgresql

__all__ = ["empty_postgresql", "postgresql"]

PROGRAMS = 6


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "sqlite":
        return tmp_path / "registry.sqlite"
    return request.getfixturevalue("empty_postgresql").render_as_string(hide_password=False)


def make_0001(place: Path | str, tables: dict[str, list[dict[str, object]]]) -> None:
    """Make a registry as the first version did, and fill it."""
    engine = sa.create_engine(place if isinstance(place, str) else f"sqlite:///{place}")
    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        held = sa.MetaData()
        held.reflect(connection)
        for name, rows in tables.items():
            connection.execute(sa.insert(held.tables[name]), rows)
    engine.dispose()


def test_a_registry_of_the_first_version_is_brought_up_to_date_with_all_it_holds(place, tmp_path, clock):
    with Registry(tmp_path / "today", clock) as today:
        today.audit.append("wren", "view", subject_id="S1")
        with today._engine.connect() as connection:
            entry = dict(connection.execute(sa.select(metadata.tables["audit"])).mappings().one())
    make_0001(
        place,
        {
            "subject": [
                {"subject_id": s, "display_name": f"Name of {s}", "is_simulated": False, "created_ns": 5}
                for s in ("S1", "S2")
            ],
            "subject_zone": [{"subject_id": s, "from_ns": 5, "zone": "Asia/Tokyo"} for s in ("S1", "S2")],
            "sensor": [
                {"sensor_id": "A", "name": "strap", "model": "", "manufacturer": "", "firmware": "",
                 "is_simulated": False}
            ],
            "wearing": [{"sensor_id": "A", "from_ns": 1, "subject_id": "S1", "to_ns": None}],
            "user": [{"name": "wren", "role": "clinician", "sees_all": False, "created_ns": 5}],
            "audit": [entry],
        },
    )  # fmt: skip
    for _ in range(2):  # the second time there is nothing to do
        with Registry(place, clock, home=tmp_path) as registry:
            with registry._engine.connect() as connection:
                assert compare_metadata(MigrationContext.configure(connection), metadata) == []
            assert registry.people.subject("S2").display_name == "Name of S2"
            assert [(each.subject_id, each.from_ns) for each in registry.people.wearings()] == [("S1", 1)]
            assert registry.consents.is_given("S1", "rr_interval")
            assert [user.name for user in registry.accounts.users()] == ["wren"]
            assert registry.audit.first_broken_seq() is None
            with (
                pytest.raises(sa.exc.IntegrityError, match="only grows"),
                registry._engine.execution_options(is_writing=True).begin() as connection,
            ):
                connection.execute(sa.text("DELETE FROM audit"))
    kept = list(tmp_path.glob(f"registry*.before-{HEAD}"))
    assert len(kept) == 1, "a copy of it as it was"
    text = (kept[0] / "subject.jsonl" if kept[0].is_dir() else kept[0]).read_bytes()
    assert b"Name of S2" in text


def test_programs_that_start_together_take_turns(empty_postgresql, tmp_path, clock):
    """Whoever is first makes the tables; each entry of the log follows exactly one other."""
    url = empty_postgresql.render_as_string(hide_password=False)
    together = threading.Barrier(PROGRAMS)

    def begin(_number: int) -> None:
        together.wait()
        with Registry(url, clock, home=tmp_path) as registry:
            for _ in range(5):
                registry.audit.append("somebody", "start")

    with ThreadPoolExecutor(PROGRAMS) as pool:
        list(pool.map(begin, range(PROGRAMS)))
    with Registry(url, clock, home=tmp_path) as registry:
        verdict = registry.audit.verify()
        assert (verdict.entries, verdict.first_broken_seq) == (5 * PROGRAMS, None)
        assert verdict.is_end_known
    assert (tmp_path / AUDIT_HEAD_FILE).stat().st_mode & 0o077 == 0


def test_a_log_that_was_emptied_whole_is_noticed(empty_postgresql, tmp_path, clock):
    url = empty_postgresql.render_as_string(hide_password=False)
    with Registry(url, clock, home=tmp_path) as registry:
        registry.audit.append("wren", "view")
        with registry._engine.begin() as connection, pytest.raises(sa.exc.IntegrityError, match="only grows"):
            connection.execute(sa.text("TRUNCATE audit"))
        with registry._engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER USER"))
            connection.execute(sa.text("TRUNCATE audit"))
        assert registry.audit.verify().first_broken_seq == 1


def test_a_server_that_is_not_there_is_said_without_the_password(clock):
    with pytest.raises(HomeError, match="cannot be opened") as caught:
        Registry("postgresql+psycopg://wren:opensesame@127.0.0.1:1/none", clock)
    assert "opensesame" not in str(caught.value)
