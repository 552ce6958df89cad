"""A lake holds what the store holds, month by month, and jobs compute the same from either."""

import json

import numpy as np
import pandas as pd
import pytest

from configs.settings import FeatureSettings
from features.job import run_features
from features.nights import NIGHT_STREAM
from store.errors import ConfigError
from store.lake import Lake, LakeFiles, file_name, months
from store.lake_sync import check_lake, sync_lake
from store.ledger import open_ledger
from store.ledger_digest import HourCounters, sample_digest, total_of
from store.nights import local_ns
from store.streams import HEART_RATE, LINK_STATE, RR_INTERVAL
from store.timeseries import Batch
from tests.unit.test_incremental import FIRST, night_batches

HOUR_NS = 3_600_000_000_000


@pytest.fixture
def lake(tmp_path) -> str:
    return str(tmp_path / "lake")


def fill(store) -> None:
    for day in range(3):
        store.write(night_batches(day + 5, hours=1))  # over the end of a month
    t_ns = np.array([local_ns(FIRST, 3, "UTC"), local_ns(FIRST, 4, "UTC")])
    values = {"heart_rate_bpm": np.array([60.0, np.nan]), "skin_contact": np.full(2, np.nan)}
    store.write(
        [
            Batch(HEART_RATE, "S1", "B", t_ns, {**values, "energy_kj": np.array([1.0, 2.0])}),
            Batch(HEART_RATE, "S1", "A", t_ns, {**values, "energy_kj": np.array([3.0, 4.0])}),
            Batch(
                LINK_STATE,
                "S1",
                "A",
                t_ns,
                {"state": np.array(["started", "stopped"], object), "reason": np.array(["", "Zoë"], object)},
            ),
        ]
    )


def assert_same(store, lake: str, start_ns: int | None = None, end_ns: int | None = None) -> None:
    with Lake(lake) as opened:
        for stream in (RR_INTERVAL, HEART_RATE, LINK_STATE):
            wanted, found = (each.read(stream, "S1", start_ns, end_ns) for each in (store, opened))
            assert found.t_ns.tolist() == wanted.t_ns.tolist()
            assert [found.sensors[k] for k in found.sensor_index] == [
                wanted.sensors[k] for k in wanted.sensor_index
            ]
            for name in stream.column_names():
                np.testing.assert_array_equal(found[name], wanted[name])
            assert opened.extent(stream, "S1") == store.extent(stream, "S1")
            assert opened.subjects(stream) == store.subjects(stream)


def test_a_lake_reads_as_the_store_does(store, lake):
    fill(store)
    done = sync_lake(store, lake)
    assert done.failed == ()
    assert_same(store, lake)
    middle_ns = local_ns(FIRST, 3, "UTC") + 7 * 24 * HOUR_NS
    assert_same(store, lake, middle_ns, middle_ns + 20 * HOUR_NS)
    assert_same(store, lake, 5, 5)
    with Lake(lake) as opened:
        assert len(opened.read(RR_INTERVAL, "NOBODY")) == 0
        assert opened.read(HEART_RATE, "S1", sensor_id="B")["energy_kj"].tolist() == [1.0, 2.0]


def test_others_read_it_without_us(store, lake):
    fill(store)
    sync_lake(store, lake)
    table = pd.read_parquet(f"{lake}/stream=rr_interval")
    assert len(table) == store.count(RR_INTERVAL, "S1")
    assert set(table["month"]) == {"2026-03", "2026-04"}
    assert table["subject_id"].unique().tolist() == ["S1"]


def test_only_months_that_changed_are_written(store, lake):
    fill(store)
    assert sync_lake(store, lake).files >= 4
    assert sync_lake(store, lake).files == 0
    t_ns = np.array([local_ns(FIRST, 3, "UTC")])
    store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": np.array([801.0])})])
    with Lake(lake) as before:
        identity, mark = before.store_id(), before.written_since(0, [RR_INTERVAL]).mark
    assert sync_lake(store, lake).files == 1
    assert_same(store, lake)
    with Lake(lake) as after:
        assert after.store_id() == identity
        changed = after.written_since(mark, [RR_INTERVAL]).of("S1")
        assert [row[0] for row in changed.tolist()] == [int(t_ns[0]) // HOUR_NS * HOUR_NS]


def test_only_people_with_news_are_read_for_what_changed(store, lake, monkeypatch):
    fill(store)
    t_ns = np.array([local_ns(FIRST, 3, "UTC")])
    store.write([Batch(RR_INTERVAL, "S2", "A", t_ns, {"rr_ms": np.array([801.0])})])
    sync_lake(store, lake)
    with Lake(lake) as opened:
        mark = opened.written_since(0, [RR_INTERVAL]).mark
    store.write([Batch(RR_INTERVAL, "S2", "A", t_ns + HOUR_NS, {"rr_ms": np.array([802.0])})])
    sync_lake(store, lake)
    asked: list[str] = []
    honest = LakeFiles.read_files

    def noting(files, subject_id):
        asked.append(subject_id)
        return honest(files, subject_id)

    monkeypatch.setattr(LakeFiles, "read_files", noting)
    with Lake(lake) as opened:
        assert list(opened.written_since(mark, [RR_INTERVAL]).stretches) == ["S2"]
    assert asked == ["S2"]


def test_an_interrupted_synchronisation_is_taken_up(store, lake, monkeypatch):
    fill(store)
    with monkeypatch.context() as patch:
        patch.setattr("store.lake.LakeFiles.write_note", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sync_lake(store, lake)
    assert sync_lake(store, lake).files >= 4
    assert_same(store, lake)


def test_a_file_that_was_changed_is_found(store, lake, tmp_path):
    fill(store)
    sync_lake(store, lake)
    assert check_lake(lake).failed == ()
    path = tmp_path / "lake" / file_name("rr_interval", "S1", "2026-03")
    table = pd.read_parquet(path)
    table.loc[17, "rr_ms"] += 0.001
    table.drop(columns=["month", "stream", "subject_hash"], errors="ignore").to_parquet(path)
    wrong = check_lake(lake).failed
    assert len(wrong) == 1
    assert "the same to the last bit" in wrong[0]


def test_what_the_ledger_proved_is_compared(installation, store, lake, clock):
    t_ns = np.array([5 * HOUR_NS, 5 * HOUR_NS + 1])
    batch = Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": np.array([800.0, 900.0])})
    store.write([batch])
    ledger = open_ledger(installation.home, clock)
    total = total_of(sample_digest(RR_INTERVAL, batch.t_ns, batch.values))
    ledger.copy_counters("spool", [HourCounters("S1", "rr_interval", "A", 5, 2, 2, 0, total.digest)], {})
    ledger.reconcile(store, "S1", pd.Timestamp(0).date())
    assert sync_lake(store, lake, ledger=ledger).failed == ()
    store.write([Batch(RR_INTERVAL, "S1", "A", t_ns[:1], {"rr_ms": np.array([801.0])})])
    failed = sync_lake(store, lake, ledger=ledger).failed
    assert len(failed) == 1
    assert "2 samples in the lake, 2 proven by the ledger" in failed[0]


def test_whoever_was_erased_leaves_the_lake(store, lake, tmp_path):
    fill(store)
    t_ns = np.array([local_ns(FIRST, 3, "UTC")])
    store.write([Batch(RR_INTERVAL, "S2", "A", t_ns, {"rr_ms": np.array([801.0])})])
    sync_lake(store, lake)
    orphan = tmp_path / "lake" / file_name("rr_interval", "S1", "2025-12")  # written, not noted: interrupted
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"half")
    with Lake(lake) as opened:
        revision = opened.written_since(0, [RR_INTERVAL]).mark
    store.erase("S1")
    # Gone from the store is not erased: a retention may have passed.
    assert sync_lake(store, lake).erased == 0
    (still_here,) = check_lake(lake, erased=["S1"]).failed
    assert still_here == "S1 was erased and is still here; run evenkeel lake sync"
    done = sync_lake(store, lake, erased=["S1", "S9"])
    assert done.erased >= 5
    left = [path for path in (tmp_path / "lake").rglob("*") if path.is_file()]
    hashed = file_name("rr_interval", "S1", "2026-03").rpartition("/")[2].partition(".")[0]
    assert not [path for path in left if hashed in path.name]
    assert '"S1"' not in "".join(path.read_text() for path in left if path.suffix == ".json")
    with Lake(lake) as opened:
        assert opened.subjects(RR_INTERVAL) == ["S2"]
        assert opened.written_since(0, [RR_INTERVAL]).mark > revision
    assert sync_lake(store, lake, erased=["S1", "S9"]).erased == 0
    assert check_lake(lake, erased=["S1"]).failed == ()
    # A first sync that was interrupted: files, and no note of whose they are.
    orphan.write_bytes(b"half")
    assert len(check_lake(lake, erased=["S1"]).failed) == 1
    assert sync_lake(store, lake, erased=["S1"]).erased == 1
    assert not orphan.exists()


def test_jobs_compute_the_same_from_a_lake(store, registry, lake):
    registry.people.add_subject("S1", "Europe/Berlin")
    fill(store)
    run_features(store, registry, FeatureSettings(), now_ns=1)
    reference = store.read(NIGHT_STREAM, "S1")
    sync_lake(store, lake)
    with Lake(lake) as source:
        again = run_features(store, registry, FeatureSettings(), now_ns=2, source=source)
        assert (again.nights, again.unchanged > 0) == (0, True)
        assert (
            run_features(store, registry, FeatureSettings(), now_ns=2, source=source, is_all=True).nights >= 3
        )
        assert run_features(store, registry, FeatureSettings(), now_ns=2, source=source).unchanged == 0
    found = store.read(NIGHT_STREAM, "S1")
    for name in set(NIGHT_STREAM.column_names()) - {"job_id", "computed_ns"}:
        np.testing.assert_array_equal(found[name], reference[name])


def test_what_is_no_lake_is_refused_in_words(lake, tmp_path):
    with pytest.raises(ConfigError, match="evenkeel lake sync"):
        Lake(lake)
    with pytest.raises(ConfigError, match="cannot be opened"):
        Lake("nonsense://somewhere")
    (tmp_path / "lake" / "_evenkeel").mkdir(parents=True)
    newer = {"layout": 99, "subjects": {}}
    (tmp_path / "lake" / "_evenkeel" / "lake.json").write_text(json.dumps(newer))
    with pytest.raises(ConfigError, match="newer evenkeel"):
        Lake(lake)


def test_months_follow_the_calendar():
    assert months(local_ns(FIRST, 3, "UTC"), local_ns(FIRST, 3, "UTC") + 10 * 24 * HOUR_NS) == [
        "2026-03",
        "2026-04",
    ]
    assert months(5, 5) == []
