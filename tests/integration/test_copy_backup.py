"""Samples from store to store, backups and the drill: back from a backup, everything equal."""

import itertools
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from features.nights import NIGHT_STREAM
from ingest.spool import Spool
from store import copying
from store.backup import make_backup
from store.backup_manifest import MANIFEST, Manifest, check_backup
from store.clock import VirtualClock
from store.copying import compare_samples, copy_samples
from store.errors import DataError, HomeError, RefusedError, StoreUnavailableError
from store.installation import Installation
from store.ledger import Ledger, open_ledger
from store.ledger_digest import NS_PER_HOUR
from store.places import InfluxPlace
from store.restore import STAGE, restore_backup
from store.sqlite import SqliteTimeSeries
from store.streams import HEART_RATE, LINK_STATE, RR_INTERVAL, WAVEFORM, Column, Stream
from store.timeseries import Batch, TimeSeriesStore

START_NS = 1_767_643_200_000_000_000
DAY, A_DAY_LATER = date(2026, 1, 5), VirtualClock(START_NS + 24 * NS_PER_HOUR)
OTHER = Stream("of_another_version", "", (Column("n", "int64", ""), Column("text", "utf8", "")), "flags")
Open = Callable[[], TimeSeriesStore]


def rr(subject: str, sensor: str, seconds: np.ndarray, rr_ms: float = 800.0) -> Batch:
    t_ns = START_NS + (seconds * 1e9).astype(np.int64)
    return Batch(RR_INTERVAL, subject, sensor, t_ns, {"rr_ms": np.full(len(t_ns), rr_ms)})


def fill(store: TimeSeriesStore) -> None:
    """Write some of everything: all types, several people and sensors, long gaps, unknown streams."""
    seconds = np.arange(0, 4 * 3600, 1.0)
    two = START_NS + np.array([0, 1])
    heart = {
        "heart_rate_bpm": seconds,
        "skin_contact": np.full(len(seconds), np.nan),
        "energy_kj": seconds % 7,
    }
    night = {column.name: _plain(column, 2) for column in NIGHT_STREAM.columns}
    store.write(
        [
            rr("S1", "A", seconds),
            rr("S1", "B", seconds[::2] + 0.25, 700.0),
            rr("Zoë, Dr. = x\\", "A", np.array([0.0, 86_400.0 * 365 * 9])),
            Batch(HEART_RATE, "S1", "A", START_NS + (seconds * 1e9).astype(np.int64), heart),
            Batch(
                LINK_STATE, "S1", "A", two, {"state": _texts("on", ""), "reason": _texts("naïve ✓\n'", "x")}
            ),
            Batch(
                WAVEFORM,
                "S1",
                "A",
                two,
                {
                    "signal": _texts("ecg_uv", "acc_g"),
                    "rate_hz": np.array([130.0, np.nan]),
                    "sample_count": np.array([2.0, 0.0]),
                    "frame": np.array([b"\x00\xff" * 100, b""], object),
                },
            ),
            Batch(NIGHT_STREAM, "S1", "-", two, night),
            Batch(OTHER, "S2", "-", two, {"n": np.array([2**62 + 1, -5]), "text": _texts("ä", "")}),
        ]
    )


def _texts(*texts: str) -> np.ndarray:
    return np.array(texts, object)


def _plain(column: Column, length: int) -> np.ndarray:
    return _texts(*["x"] * length) if column.dtype == "utf8" else np.arange(length, dtype=column.dtype)


@pytest.fixture(params=["sqlite", "influx"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TimeSeriesStore]:
    if request.param == "sqlite":
        with SqliteTimeSeries(tmp_path / "target.sqlite") as opened:
            yield opened
    else:
        server = request.getfixturevalue("influx")
        with server.open(server.new_buckets()) as opened:
            yield opened


@pytest.fixture
def source(tmp_path: Path) -> Iterator[TimeSeriesStore]:
    with SqliteTimeSeries(tmp_path / "source.sqlite") as opened:
        fill(opened)
        yield opened


def held(store: TimeSeriesStore) -> int:
    return sum(copying.count_of(store, series) for series in store.series())


def test_a_copy_holds_everything_and_back_again(source, target, tmp_path):
    seen: list[tuple[int, int]] = []
    done = copy_samples(source, target, progress=lambda done, total: seen.append((done, total)))
    assert done.is_equal
    assert done.written == done.samples == held(source) == held(target)
    assert seen[-1] == (done.samples, done.samples)
    assert [s.stream.family for s in target.series()] == [s.stream.family for s in source.series()]
    with SqliteTimeSeries(tmp_path / "back.sqlite") as back:
        assert copy_samples(target, back).is_equal
        assert compare_samples(source, back).is_equal
        assert back.read(OTHER, "S2")["n"].tolist() == [2**62 + 1, -5]
        assert back.read(WAVEFORM, "S1")["frame"].tolist() == [b"\x00\xff" * 100, b""]


def test_a_second_copy_writes_nothing(source, target):
    copy_samples(source, target)
    again = copy_samples(source, target)
    assert (again.written, again.is_equal) == (0, True)


class _Dying(SqliteTimeSeries):
    """A target that goes away after some writes."""

    writes_left = 0

    def write(self, batches):
        if not self.writes_left:
            raise StoreUnavailableError("gone")
        self.writes_left -= 1
        return super().write(batches)


def test_a_copy_that_was_interrupted_anywhere_is_taken_up_again(source, tmp_path, monkeypatch):
    monkeypatch.setattr(copying, "SAMPLES_AT_ONCE", 5000)
    copied = 0
    for _attempt in range(40):
        with _Dying(tmp_path / "dying.sqlite") as target:
            target.writes_left = 2
            try:
                done = copy_samples(source, target)
            except StoreUnavailableError:
                assert held(target) > copied
                copied = held(target)
            else:
                break
    assert done.is_equal
    assert 0 < copied < held(source)


def test_only_one_subject_is_copied_if_asked(source, target):
    done = copy_samples(source, target, subject_id="S2")
    assert (done.series, done.samples) == (1, 2)
    assert {series.subject_id for series in target.series()} == {"S2"}


def test_a_comparison_names_the_hour_of_every_change(source, target):
    copy_samples(source, target)
    hour = START_NS // NS_PER_HOUR
    changed = START_NS + 3600 * 10**9
    target.write([Batch(RR_INTERVAL, "S1", "A", np.array([changed]), {"rr_ms": np.array([801.0])})])
    target.write([rr("S3", "A", np.array([7200.0]))])
    source.write([rr("S1", "B", np.array([0.5]))])
    found = compare_samples(source, target)
    assert [(d.subject_id, d.sensor_id, d.hour - hour, d.missing, d.surplus) for d in found.differences] == [
        ("S1", "A", 1, 1, 1),
        ("S1", "B", 0, 1, 0),
        ("S3", "A", 2, 0, 1),
    ]
    assert not found.is_complete
    assert "2026-01-05T21:00:00Z" in str(found.differences[0])
    assert copy_samples(source, target).is_complete
    assert target.read(RR_INTERVAL, "S1", changed, changed + 1, sensor_id="A")["rr_ms"].tolist() == [800.0]


def test_spans_are_short_and_skip_what_is_empty(source, monkeypatch):
    monkeypatch.setattr(copying, "SAMPLES_AT_ONCE", 5000)
    for series in source.series():
        found = list(copying.spans((source,), series))
        sizes = [len(copying.read_span(source, series, span)) for span in found]
        assert sum(sizes) == copying.count_of(source, series)
        assert 0 < min(sizes) <= max(sizes) <= 5000
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(found))


# The drill.


@pytest.fixture
def home(tmp_path: Path, clock: VirtualClock) -> Installation:
    """An installation with some of everything in it."""
    installation = Installation(tmp_path / "home", clock)
    (installation.home / "evenkeel.toml").write_text("[flags]\nband_sd = 2.5\n")
    installation.secret("dashboard")
    with installation.registry() as registry:
        registry.people.add_subject("S1", "Europe/Berlin", display_name="Zoë")
        registry.people.register_sensor("A", name="strap")
        registry.people.pair("A", "S1")
        user = registry.accounts.add_user("ada", "lead", password="a long password", patients="all")
        registry.accounts.create_link(user)  # a table with bytes in it
        for k in range(5):
            registry.audit.append("ada", "look", subject_id="S1", detail=f"number {k}")
    return installation


def rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in a registry's file but the alembic revision."""
    with closing(sqlite3.connect(path)) as database:
        names = [n for (n,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {name: sorted(database.execute(f'SELECT * FROM "{name}"')) for name in names}  # noqa: S608


def assert_same_registry(before: dict, after: dict) -> None:
    """A restored registry is the same, but for the audit entry of the restoring."""
    assert after["audit"][: len(before["audit"])] == before["audit"]
    assert [entry[3] for entry in after["audit"][len(before["audit"]) :]] == ["restore"]
    assert after | {"audit": []} == before | {"audit": []}


def sealed_ledger(home: Installation, store: TimeSeriesStore) -> Ledger:
    """Reconcile one day of S1 against the store; the ledger then knows what each hour must hold."""
    ledger = open_ledger(home.home, A_DAY_LATER)
    assert ledger.reconcile(store, "S1", DAY).sealed > 0
    return ledger


def test_the_drill_of_an_embedded_installation(home, tmp_path, clock):
    with home.timeseries() as store, Spool(home.spool_path(), clock):
        fill(store)
        ledger = sealed_ledger(home, store)
        made = make_backup(home, tmp_path / "backup")  # while store and spool are in use
        assert check_backup(tmp_path / "backup") == []
        done = restore_backup(tmp_path / "backup", tmp_path / "new", clock=clock)
        assert done.faults == ()
        fresh = Installation(tmp_path / "new", clock)
        with fresh.timeseries() as back, fresh.registry() as registry:
            assert compare_samples(store, back).is_equal
            again = open_ledger(fresh.home, A_DAY_LATER)
            assert again.completeness() == ledger.completeness() != []
            assert again.reconcile(back, "S1", DAY).disagreements == ()
            assert registry.audit.first_broken_seq() is None
            assert registry.people.subject("S1").display_name == "Zoë"
    assert made.sample_count() == sum(kept.count for kept in done.manifest.series) > 0
    assert_same_registry(rows(home.home / "registry.sqlite"), rows(fresh.home / "registry.sqlite"))
    assert fresh.settings.flags.band_sd == 2.5
    assert fresh.spool_path().exists()
    assert not (fresh.home / "secrets" / "dashboard").exists()
    for folder in (tmp_path / "backup", tmp_path / "new"):
        assert [path for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077] == []


def test_the_drill_with_influxdb(home, tmp_path, clock, influx, monkeypatch):
    """From one server to another, and to an embedded store."""
    monkeypatch.setenv("EVENKEEL_INFLUX_TOKEN", influx.token)
    first, second = influx.new_buckets(), influx.new_buckets()
    served = Installation(home.home, clock, store_url=f"{influx.url}?org={influx.org}&bucket={first}")
    with home.timeseries() as left_behind:
        left_behind.write([rr("S9", "A", np.array([1.0]))])  # before the installation moved to a server
    with served.timeseries() as store:
        fill(store)
        ledger = sealed_ledger(served, store)
        made = make_backup(served, tmp_path / "backup")
        assert (made.samples, check_backup(tmp_path / "backup")) == ("parquet", [])
        place = InfluxPlace(influx.url, influx.org, second)
        assert restore_backup(tmp_path / "backup", tmp_path / "a", samples_to=place).faults == ()
        with influx.open(second) as back:
            assert compare_samples(store, back).is_equal
            back.write([rr("S8", "A", np.array([1.0]))])
        with pytest.raises(RefusedError, match="S8"):
            restore_backup(tmp_path / "backup", tmp_path / "b", samples_to=place)
        assert restore_backup(tmp_path / "backup", tmp_path / "c").faults == ()
        with Installation(tmp_path / "c", clock).timeseries() as back:
            assert compare_samples(store, back).is_equal
            again = open_ledger(tmp_path / "c", A_DAY_LATER)
            assert again.completeness() == ledger.completeness() != []
            assert again.reconcile(back, "S1", DAY).disagreements == ()


def test_secrets_come_along_only_if_asked_for(home, tmp_path):
    make_backup(home, tmp_path / "backup", with_secrets=True)
    done = restore_backup(tmp_path / "backup", tmp_path / "new")
    assert done.manifest.has_secrets
    path = tmp_path / "new" / "secrets" / "dashboard"
    assert path.read_bytes() == home.secret("dashboard")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_backup_goes_to_an_empty_place_elsewhere(home, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "something").touch()
    with pytest.raises(RefusedError, match="is not empty"):
        make_backup(home, tmp_path / "full")
    with pytest.raises(RefusedError, match="inside the installation"):
        make_backup(home, home.home / "backup")
    (tmp_path / "file").touch()
    with pytest.raises(HomeError, match="cannot be made"):
        make_backup(home, tmp_path / "file" / "backup")


def test_a_restore_overwrites_nothing_and_an_interrupted_one_is_run_again(home, tmp_path):
    make_backup(home, tmp_path / "backup")
    with pytest.raises(RefusedError, match="is not empty"):
        restore_backup(tmp_path / "backup", home.home)
    (tmp_path / "new" / STAGE).mkdir(parents=True)
    (tmp_path / "new" / STAGE / "samples.sqlite").write_bytes(b"half of a file")
    assert restore_backup(tmp_path / "backup", tmp_path / "new").faults == ()
    assert not (tmp_path / "new" / STAGE).exists()


def test_spools_are_copied_before_samples(home, tmp_path, clock):
    """A frame forwarded meanwhile is in both copies; the other way round it would be in neither."""
    with Spool(home.spool_path(), clock), home.timeseries() as store:
        fill(store)
        seen: list[bool] = []
        spool = tmp_path / "backup" / "spool" / "collector.sqlite"
        make_backup(home, tmp_path / "backup", progress=lambda *_: seen.append(spool.exists()))
    assert seen
    assert all(seen)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"count": 1}, "link_state of S1, sensor A: 2 samples, 1 were backed up"),
        ({"digest": 1}, "link_state of S1, sensor A: 2 samples, 2 were backed up, with other values"),
    ],
)
def test_what_came_back_otherwise_is_named(home, tmp_path, change, said):
    with home.timeseries() as store:
        fill(store)
    make_backup(home, tmp_path / "backup")
    path = tmp_path / "backup" / MANIFEST
    held = json.loads(path.read_text())
    next(series for series in held["series"] if series["stream"] == "link_state").update(change)
    held["rows"]["subject"] = 7
    path.write_text(json.dumps(held))
    assert restore_backup(tmp_path / "backup", tmp_path / "new").faults == (
        said,
        "Table subject of the registry has 1 rows, 7 were backed up",
    )


def test_a_broken_audit_log_comes_back_broken_and_is_named(home, tmp_path):
    with closing(sqlite3.connect(home.home / "registry.sqlite")) as database, database:
        database.execute("DROP TRIGGER audit_no_update")
        database.execute("UPDATE audit SET detail = 'nothing happened' WHERE seq = 3")
    make_backup(home, tmp_path / "backup")
    assert restore_backup(tmp_path / "backup", tmp_path / "new").faults == (
        "The audit log is broken at entry 3",
    )


def _remove(path: Path) -> None:
    path.unlink()


def _shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    held = bytearray(path.read_bytes())
    held[len(held) // 2] ^= 1
    path.write_bytes(held)


@pytest.mark.parametrize(
    ("damage", "said"), [(_remove, "is missing"), (_shorten, "were written"), (_flip, "was changed")]
)
@pytest.mark.parametrize("name", ["samples.sqlite", "registry.sqlite"])
def test_a_damaged_backup_is_found_and_not_restored(home, tmp_path, damage, said, name):
    home.timeseries().close()
    make_backup(home, tmp_path / "backup")
    damage(tmp_path / "backup" / name)
    assert [fault for fault in check_backup(tmp_path / "backup") if name in fault and said in fault]
    with pytest.raises(DataError, match=f"{name}.*{said}"):
        restore_backup(tmp_path / "backup", tmp_path / "new")
    assert list((tmp_path / "new").rglob("*.sqlite")) == []


def test_a_folder_without_a_whole_manifest_is_no_backup(home, tmp_path):
    folder = tmp_path / "backup"
    make_backup(home, folder)
    (folder / "stranger").touch()
    assert check_backup(folder) == ["stranger is not of this backup"]
    held = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(held | {"format": 99}))
    with pytest.raises(HomeError, match="newer evenkeel"):
        Manifest.read(folder)
    (folder / MANIFEST).write_text((folder / MANIFEST).read_text()[:100])
    with pytest.raises(HomeError, match="no whole backup"):
        Manifest.read(folder)
    shutil.rmtree(folder)
    with pytest.raises(HomeError, match="no whole backup"):
        Manifest.read(folder)
