"""Erasing a person leaves nothing of them, says so, and touches nobody else."""

import hashlib
import json
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from ingest.consent import Gate
from ingest.forwarder import Forwarder
from ingest.records import Record
from ingest.spool import Spool
from store.clock import VirtualClock
from store.errors import RefusedError, UnknownError
from store.installation import Installation
from store.ledger import open_ledger
from store.registry.annotations import Annotation
from store.registry.registry import Registry
from store.streams import BATTERY, HEART_RATE, RR_INTERVAL
from store.timeseries import Batch
from tests.conftest import START_NS
from tests.unit.test_registry_commands import run

NAME, NOTE = "Wren Troglodytes", "began lithium"
PACKET, POISON = bytes.fromhex("163c0004"), bytes.fromhex("ff00")


@pytest.fixture
def peopled(installation: Installation, clock: VirtualClock) -> Installation:
    """Return an installation that holds everything it can of S1, and some of S2."""
    with installation.registry() as registry:
        for subject_id in ("S1", "S2"):
            registry.people.add_subject(
                subject_id, "UTC", display_name=NAME if subject_id == "S1" else "Robin"
            )
            registry.people.pair(f"C0:00:00:00:00:0{subject_id[1]}", subject_id)
        note = Annotation("S1", "medication", date(2026, 1, 5), NOTE)
        registry.annotations.add(note, by="a test")
        password = "correct horse battery"
        registry.accounts.add_user("own", "patient", password=password, patients=["S1"])
        registry.accounts.add_user("carer", "clinician", password=password, patients=["S1", "S2"])
        registry.teams.add("ward")
        registry.teams.set_patient("ward", "S1", is_in=True)
    with installation.timeseries() as store, Spool(installation.spool_path(), clock) as spool:
        for subject_id in ("S1", "S2"):
            spool.put(packet(subject_id, POISON))
            for second in range(40):
                spool.put(packet(subject_id, PACKET, second))
        forwarder = Forwarder(spool, store, clock)
        forwarder.start()
        forwarder.stop()
        level = Batch(
            BATTERY, "S1", "C0:00:00:00:00:01", np.array([START_NS]), {"level_pct": np.array([50.0])}
        )
        store.write([level])
    (installation.home / "pause").write_text("S1\nS2\n")
    memory = installation.spool_path().with_name("wearables.json")
    memory.write_text(json.dumps({"S1 C0": {"a": 1}, "S10 C0": {"a": 2}}))
    return installation


def packet(subject_id: str, payload: bytes, second: int = 0) -> Record:
    at_ns = second * 1_000_000_000
    sensor = f"C0:00:00:00:00:0{subject_id[1]}"
    return Record("heart_rate_measurement", subject_id, sensor, START_NS + at_ns, at_ns, payload)


def erased(installation: Installation, *more: str) -> dict:
    words = ("subject", "erase", "S1", "--confirm", "S1", "--format", "json", *more)
    code, said, complaint = run(installation, *words)
    assert code == 0, complaint
    return json.loads(said)


def test_nothing_is_left_in_any_file_but_the_id_and_the_audit_log(peopled: Installation):
    made = erased(peopled)
    assert made["samples"] == {"battery": 1, "heart_rate": 40, "rr_interval": 40}
    assert made["spool_records"] >= 1
    assert made["registry_rows"]["subject"] == made["registry_rows"]["user"] == 1
    for path in peopled.home.rglob("*"):
        if path.is_file():
            held = path.read_bytes()
            assert NAME.encode() not in held, path
            assert NOTE.encode() not in held, path
            if path.name not in {"registry.sqlite", "registry.sqlite-wal"}:
                assert b"S1" not in held.replace(b"S10", b""), path


def test_a_lake_loses_their_files_with_its_next_sync(peopled: Installation, tmp_path: Path):
    lake = str(tmp_path / "a lake")
    assert run(peopled, "lake", "sync", lake)[0] == 0
    erased(peopled)
    code, _, complaint = run(peopled, "lake", "check", lake)
    assert (code, "S1 was erased and is still here" in complaint) == (3, True)
    code, said, _ = run(peopled, "lake", "sync", lake)
    assert (code, "3 files of people who were erased removed" in said) == (0, True)
    assert run(peopled, "lake", "check", lake)[0] == 0
    files = [path for path in Path(lake).rglob("*") if path.is_file()]
    assert len(files) >= 3
    assert not [path for path in files if b"S1" in path.read_bytes()]


def test_others_keep_what_they_have(peopled: Installation, clock: VirtualClock):
    erased(peopled)
    with peopled.timeseries() as store, peopled.registry() as registry:
        assert store.count(HEART_RATE, "S2") == store.count(RR_INTERVAL, "S2") == 40
        assert {each.subject_id for each in store.series()} == {"S2"}
        assert [subject.display_name for subject in registry.people.subjects()] == ["Robin"]
        assert registry.people.worn_now() == {"C0:00:00:00:00:02": "S2"}
        assert [user.name for user in registry.accounts.users()] == ["carer"]
        assert registry.audit.verify().first_broken_seq is None
        assert [entry.action for entry in registry.audit.search(subject_id="S1", limit=1)] == ["erase"]
    with Spool(peopled.spool_path(), clock) as spool:
        assert [each.record.subject_id for each in spool.quarantined()] == ["S2"]
        counts = spool.counts()
        assert counts.spooled_frames == 82
        assert counts.waiting_frames == len(spool.read(0, 100))
    assert (peopled.home / "pause").read_text() == "S2\n"
    assert open_ledger(peopled.home, clock).subjects() == []


def test_the_id_is_known_as_erased_and_never_given_again(peopled: Installation):
    erased(peopled)
    with peopled.registry() as registry:
        with pytest.raises(UnknownError, match=r"S1 was erased on .*; nothing is kept of them"):
            registry.people.subject("S1")
        with pytest.raises(RefusedError, match=r"S1 was erased on .*; choose another id"):
            registry.people.add_subject("S1", "UTC")
    assert "was erased on" in run(peopled, "ledger", "--subject", "S1")[2]
    assert "was erased on" in run(peopled, "subject", "erase", "S1", "--confirm", "S1")[2]


def test_the_certificate_is_kept_where_asked_and_its_hash_in_the_audit_log(peopled, tmp_path: Path):
    made = erased(peopled, "--certificate", str(tmp_path / "certificate.json"))
    assert json.loads((tmp_path / "certificate.json").read_text()) == made
    with peopled.registry() as registry:
        (entry,) = registry.audit.search(action="erase")
    digest = hashlib.sha256((tmp_path / "certificate.json").read_bytes()).hexdigest()
    assert entry.detail == f"certificate {digest}"


@pytest.mark.parametrize("words", [("--confirm", "S2"), ("--confirm", ""), ()])
def test_without_the_id_once_more_nothing_is_erased(peopled: Installation, words):
    code, _, said = run(peopled, "subject", "erase", "S1", *words)
    assert (code, "S1" in said) == (2, True)
    with peopled.timeseries() as store:
        assert store.count(HEART_RATE, "S1") == 40


def test_while_a_collector_runs_nothing_is_erased(peopled: Installation, clock: VirtualClock):
    with Spool(peopled.spool_path(), clock):
        code, _, said = run(peopled, "subject", "erase", "S1", "--confirm", "S1")
    assert (code, "is in use by another evenkeel process" in said) == (2, True)
    with peopled.timeseries() as store, peopled.registry() as registry:
        assert store.count(HEART_RATE, "S1") == 40
        assert registry.consents.is_given("S1", "heart_rate")


def test_a_collector_elsewhere_drops_what_it_holds(
    peopled: Installation, clock: VirtualClock, tmp_path: Path
):
    with peopled.registry() as registry, peopled.timeseries() as store:
        gate = Gate(registry.consents, clock)
        with Spool(tmp_path / "elsewhere.sqlite", clock) as spool:
            spool.put(packet("S1", PACKET))
            spool.put(packet("S1", POISON))
            Forwarder(spool, store, clock)
            registry.people.erase_subject("S1", [], by="a test")
            forwarder = Forwarder(spool, store, clock, gate=gate)
            forwarder.start()
            forwarder.stop()
            assert spool.is_empty()
            assert spool.quarantined() == []
            assert spool.hours() == []


def test_a_number_of_a_series_is_never_used_again(peopled: Installation):
    """Another process may remember which one was whose."""
    with closing(sqlite3.connect(peopled.home / "samples.sqlite")) as database:
        before = {row[0] for row in database.execute("SELECT series_id FROM series")}
    with peopled.registry() as registry, peopled.timeseries() as writer:
        assert isinstance(registry, Registry)
        assert writer.erase("S1")
        assert writer.erase("S1") == {}
        writer.write([Batch(BATTERY, "S3", "AA", np.array([1]), {"level_pct": np.array([1.0])})])
    with closing(sqlite3.connect(peopled.home / "samples.sqlite")) as database:
        (new,) = database.execute("SELECT series_id FROM series WHERE subject_id = 'S3'").fetchone()
    assert new not in before
