import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from ingest import spool as spool_module
from ingest.arrivals import Arrivals
from ingest.lanes import ChainState, PlainState
from ingest.records import Record, link_payload
from ingest.samples import SampleFold, SensorState
from ingest.settlement import Digested, Settlement
from ingest.spool import Spool, SpoolFullError
from ingest.spool_file import SpoolFile, read_counts
from store.clock import VirtualClock
from store.errors import HomeError, RefusedError
from store.units import NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
CLOCK = VirtualClock(START_NS)
FRAME = bytes.fromhex("103c00040002")


def record(number: int = 0, payload: bytes = FRAME, sensor: str = "AA") -> Record:
    at_ns = number * NS_PER_S
    return Record("heart_rate_measurement", "S1", sensor, START_NS + at_ns, at_ns, payload)


def samples(stream: str, seconds: list[float], digest: int = 1) -> Settlement:
    t_ns = START_NS + (np.array(seconds) * NS_PER_S).astype(np.int64)
    digests = np.full(len(seconds), digest, np.uint64)
    held = Digested((("S1", stream, "AA"),), np.zeros(len(t_ns), np.int64), t_ns, digests)
    return Settlement(samples=held, forwarded=[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


@pytest.fixture
def spool(path: Path):
    with Spool(path, CLOCK) as opened:
        yield opened


def test_records_come_back_in_order_as_they_were(spool: Spool):
    sent = [
        record(1),
        Record("battery_level", "S2", "BB", START_NS, -5, b"\x55"),
        Record("link_state", "S1", "AA", START_NS, 0, link_payload("connected", "")),
        record(2, payload=b""),
    ]
    for each in sent:
        spool.put(each)
    spool.flush()
    read = spool.read(0, 10)
    assert [r for _, r in read] == sent
    assert [i for i, _ in read] == [1, 2, 3, 4]
    assert spool.read(2, 1) == read[2:3]


def test_only_what_is_on_disk_is_read(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    committing, may_commit = threading.Event(), threading.Event()
    insert = SpoolFile.insert

    def held_insert(self, records):
        committing.set()
        assert may_commit.wait(10)
        insert(self, records)

    monkeypatch.setattr(SpoolFile, "insert", held_insert)
    spool.put(record())
    assert committing.wait(10)
    assert spool.read(0, 10) == []
    assert not spool.is_empty()
    assert not spool.wait_beyond(0, 0)
    may_commit.set()
    assert spool.wait_beyond(0, 10)
    assert len(spool.read(0, 10)) == 1


def test_records_and_states_outlive_the_process_that_closed(path: Path):
    state = SensorState({"heart": ChainState(arrivals=Arrivals({"heart_rate": 7}))})
    with Spool(path, CLOCK) as spool:
        for number in range(5):
            spool.put(record(number))
        spool.flush()
        spool.settle(Settlement([1, 2, 4], states={("S1", "AA"): state}))
        spool.put(record(9))
    with Spool(path, CLOCK) as spool:
        assert [i for i, _ in spool.read(0, 10)] == [3, 5, 6]
        assert spool.states() == {("S1", "AA"): state}
        assert spool.newest_id == 6


def test_ids_are_never_used_twice(path: Path):
    with Spool(path, CLOCK) as spool:
        spool.put(record())
        spool.flush()
        spool.settle(Settlement([1]))
        assert spool.is_empty()
    with Spool(path, CLOCK) as spool:
        spool.put(record())
        spool.flush()
        assert [i for i, _ in spool.read(0, 10)] == [2]


def test_counts_add_up_and_can_be_read_by_others(spool: Spool, path: Path):
    for number in range(4):
        spool.put(record(number))
    spool.put(record(5, payload=b"\xff"))
    spool.flush()
    spool.settle(
        Settlement(
            [1, 2],
            [(5, "no frame")],
            samples=Digested(
                (("S1", "heart_rate", "AA"), ("S1", "rr_interval", "AA")),
                np.repeat([0, 1], [2, 4]),
                np.array([0, 1, 0, 1, 2, 3]),
                np.ones(6, np.uint64),
            ),
        )
    )
    counts = spool.counts()
    assert (counts.spooled_frames, counts.forwarded_frames) == (5, 2)
    assert (counts.quarantined_frames, counts.waiting_frames) == (1, 2)
    assert len(spool.read(0, 10)) == 2
    assert counts.spooled_values == {"heart_rate": 4, "rr_interval": 8}
    assert counts.forwarded_values == {"heart_rate": 2, "rr_interval": 4}
    assert read_counts(path) == counts


def test_quarantined_records_leave_the_queue_but_not_the_disk(spool: Spool):
    poisoned = record(1, payload=b"\xff\x00")
    spool.put(poisoned)
    spool.put(record(2))
    spool.flush()
    for _ in range(2):
        spool.settle(Settlement(quarantined=[(1, "reserved flags")]))
    assert [i for i, _ in spool.read(0, 10)] == [2]
    (held,) = spool.quarantined()
    assert (held.record_id, held.record, held.error) == (1, poisoned, "reserved flags")
    assert held.quarantined_ns == START_NS
    assert spool.counts().quarantined_frames == 1


def test_spool_over_capacity_refuses_until_there_is_room(path: Path):
    with Spool(path, CLOCK, capacity_bytes=200_000) as spool:
        spool.put(record(payload=FRAME * 50_000))
        spool.flush()
        # The writer looks at the size just after it said that the record is on disk.
        while spool.alarm is None:
            threading.Event().wait(0.01)
        assert spool.alarm.since_ns == START_NS
        with pytest.raises(SpoolFullError, match="capacity is 200000; bring the store back"):
            spool.put(record())
        assert spool.counts().waiting_frames == 1
        spool.settle(Settlement([1]))
        assert spool.alarm is None
        spool.put(record())


def test_full_disk_refuses_and_loses_nothing_that_was_taken(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "FULL_DISK_RETRY_S", 0.01)
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count = {pages}")
    spool.put(record(1, payload=FRAME * 5000))
    with pytest.raises(SpoolFullError, match=r"disk of the spool .* is full"):
        spool.flush()
    with pytest.raises(SpoolFullError, match="1 records wait in memory"):
        spool.put(record(2))
    with spool._database_lock:
        spool._database.execute("PRAGMA max_page_count = 100000")
    assert spool.wait_beyond(0, 10)
    spool.put(record(3))
    spool.flush()
    assert [r.wall_ns for _, r in spool.read(0, 10)] == [record(1).wall_ns, record(3).wall_ns]


def test_disk_still_full_at_the_end_is_said_aloud(path: Path):
    spool = Spool(path, CLOCK)
    pages = spool._database.execute("PRAGMA page_count").fetchone()[0]
    spool._database.execute(f"PRAGMA max_page_count = {pages}")
    spool.put(record(1, payload=FRAME * 5000))
    with pytest.raises(SpoolFullError, match="1 records are lost"):
        spool.close()


def test_flush_does_not_wait_for_a_group(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "GROUP_COMMIT_S", 3600)
    spool.put(record())
    spool.flush()
    assert len(spool.read(0, 10)) == 1


def test_queue_that_outruns_the_disk_is_bounded(spool: Spool, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "QUEUE_LIMIT", 3)
    with spool._database_lock:
        for number in range(3):
            spool.put(record(number))
        with pytest.raises(SpoolFullError, match="3 records wait"):
            spool.put(record(4))
    spool.flush()
    spool.put(record(5))


def test_failure_of_the_writer_reaches_everyone(path: Path):
    spool = Spool(path, CLOCK)
    with spool._database_lock:
        spool._database.execute("DROP TABLE counters")
    spool.put(record())
    with pytest.raises(HomeError, match="no such table: counters"):
        spool.flush()
    with pytest.raises(HomeError, match="check the disk"):
        spool.put(record())
    with pytest.raises(HomeError):
        spool.close()


def test_bug_in_the_writer_reaches_everyone(path: Path):
    spool = Spool(path, CLOCK)
    spool.put(record()._replace(wall_ns="noon"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(HomeError, match="TypeError"):
        spool.flush()
    with pytest.raises(HomeError):
        spool.close()


def test_closed_spool_refuses(path: Path):
    spool = Spool(path, CLOCK)
    spool.close()
    spool.close()
    with pytest.raises(HomeError, match="is closed; a record of AA"):
        spool.put(record())


def test_file_is_private(spool: Spool, path: Path):
    spool.put(record())
    spool.flush()
    for file in path.parent.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file


def test_second_process_is_refused_until_the_first_ends(path: Path):
    with Spool(path, CLOCK), pytest.raises(RefusedError, match="in use by another evenkeel process"):
        Spool(path, CLOCK)
    Spool(path, CLOCK).close()


def test_unusable_paths_are_refused(tmp_path: Path):
    with pytest.raises(HomeError, match="cannot be used"):
        Spool(tmp_path / "none" / "spool.sqlite", CLOCK)
    other = tmp_path / "other.sqlite"
    other.write_text("this is no database at all, but long enough to be one" * 100)
    with pytest.raises(HomeError, match="not a database"):
        Spool(other, CLOCK)
    with pytest.raises(HomeError, match="cannot be read"):
        read_counts(tmp_path / "missing.sqlite")


def test_hours_add_up_and_say_what_may_be_rewritten(spool: Spool, path: Path):
    spool.put(record(1))
    spool.put(record(3600))
    spool.flush()
    spool.settle(samples("rr_interval", [10, 11, 3600], digest=2**63 + 5))
    spool.settle(samples("rr_interval", [3601, 11, 3601], digest=3))
    found = {(h.stream, h.hour * 3600 - START_NS // NS_PER_S): h for h in spool.hours()}
    rr, later = found["rr_interval", 0], found["rr_interval", 3600]
    assert (rr.spooled, rr.acknowledged, rr.rewritten) == (2, 3, 1)
    assert (later.spooled, later.acknowledged, later.rewritten) == (2, 3, 1)
    assert rr.digest == (2 * (2**63 + 5) + 3) % 2**64
    assert later.digest == (2**63 + 5 + 6) % 2**64
    assert found["heart_rate", 0].spooled == 1


def test_a_disk_that_cannot_be_looked_at_after_settling_has_nothing_counted_twice(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
):
    def fail(_path: Path) -> None:
        raise OSError("input/output error")

    monkeypatch.setattr(spool_module.shutil, "disk_usage", fail)
    spool.settle(samples("heart_rate", [1]))  # raised, the forwarder would settle it again
    assert spool.counts().forwarded_values == {"heart_rate": 1}


def test_hours_are_forgotten_after_sixty_days(path: Path):
    clock = VirtualClock(START_NS)
    with Spool(path, clock) as spool:
        spool.settle(samples("rr_interval", [0]))
        clock.advance_to(START_NS + 60 * 24 * 3600 * NS_PER_S)
        spool.settle(samples("rr_interval", [1]))
        assert len(spool.hours()) == 1
        clock.advance_to(START_NS + (60 * 24 + 1) * 3600 * NS_PER_S)
        spool.settle(samples("battery", [60 * 24 * 3600]))
        assert [h.stream for h in spool.hours()] == ["battery"]


def test_spool_has_a_name_of_its_own(path: Path, tmp_path: Path):
    with Spool(path, CLOCK) as spool, Spool(tmp_path / "other.sqlite", CLOCK) as other:
        name = spool.spool_id
        assert name != other.spool_id
    with Spool(path, CLOCK) as spool:
        assert spool.spool_id == name


def test_oldest_record_of_each_sensor_is_known(spool: Spool):
    for each in (record(5), record(3), record(9, sensor="BB")):
        spool.put(each)
    spool.flush()
    assert spool.waiting_since_ns() == {
        ("S1", "AA"): record(3).wall_ns,
        ("S1", "BB"): record(9).wall_ns,
    }


FORMAT_1 = """
CREATE TABLE records (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL, subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, payload BLOB NOT NULL
);
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY,
    kind TEXT NOT NULL, subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL,
    wall_ns INTEGER NOT NULL, mono_ns INTEGER NOT NULL, payload BLOB NOT NULL,
    error TEXT NOT NULL, quarantined_ns INTEGER NOT NULL
);
CREATE TABLE sensor_states (
    subject_id TEXT NOT NULL, sensor_id TEXT NOT NULL, state TEXT NOT NULL,
    PRIMARY KEY (subject_id, sensor_id)
) WITHOUT ROWID;
CREATE TABLE counters (
    stage TEXT NOT NULL, what TEXT NOT NULL, count INTEGER NOT NULL,
    PRIMARY KEY (stage, what)
) WITHOUT ROWID;
INSERT INTO records VALUES (7, 'heart_rate_measurement', 'S1', 'AA', 12000000000, 12000000000, x'103c0004');
INSERT INTO counters VALUES ('spooled', 'frames', 7), ('forwarded', 'frames', 6);
INSERT INTO sensor_states VALUES ('S1', 'AA', '{"beats": {"last_ns": 11000000000, "segment":
    {"offset_ns": 0, "chain_ns": 11000000000, "anchor_ns": 0, "lags_ns": [0], "grouped": 11}},
    "stamps_ns": {"heart_rate": 11000000000, "battery": 5}}');
PRAGMA user_version = 1;
"""


def test_spool_of_format_1_goes_on_where_it_was(path: Path):
    database = sqlite3.connect(path)
    database.executescript(FORMAT_1)
    database.close()
    with Spool(path, CLOCK) as spool:
        counts = spool.counts()
        assert (counts.spooled_frames, counts.forwarded_frames, counts.waiting_frames) == (7, 6, 1)
        assert spool.newest_id == 7
        folded = SampleFold(spool.states()).add(spool.read(0, 10))
        stamped = {s.batch.stream.name: s.batch.t_ns.tolist() for s in folded.batches}
        assert stamped == {"heart_rate": [12 * NS_PER_S], "rr_interval": [12 * NS_PER_S]}
        assert folded.settled == [7]
        assert spool.states()["S1", "AA"].lanes["plain"] == PlainState(Arrivals({"battery": 5}))
    Spool(path, CLOCK).close()


def test_little_room_on_the_disk_refuses_and_says_so(path: Path):
    with Spool(path, CLOCK, least_free_bytes=1 << 60) as spool:
        assert spool.alarm is not None
        with pytest.raises(SpoolFullError, match="needed are 1152921504606846976; make room"):
            spool.put(record())


def test_other_format_is_refused(path: Path):
    Spool(path, CLOCK).close()
    database = sqlite3.connect(path)
    database.execute("PRAGMA user_version = 9")
    database.close()
    with pytest.raises(HomeError, match="format 9; needed is 2"):
        Spool(path, CLOCK)


def test_many_threads_lose_nothing(spool: Spool):
    def put_many(sensor: str) -> None:
        for number in range(500):
            spool.put(record(number, sensor=sensor))

    threads = [threading.Thread(target=put_many, args=(name,)) for name in ("AA", "BB", "CC", "DD")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spool.flush()
    read = [r for _, r in spool.read(0, 5000)]
    for name in ("AA", "BB", "CC", "DD"):
        mine = [r.wall_ns for r in read if r.sensor_id == name]
        assert mine == [record(number).wall_ns for number in range(500)]


KILLED = """
import sys
from dataclasses import replace
from pathlib import Path
from ingest.records import Record
from ingest.spool import Spool
from store.clock import SystemClock

spool = Spool(Path(sys.argv[1]), SystemClock())
for number in range(100_000):
    spool.put(Record("heart_rate_measurement", "S1", "AA", number, number, bytes([0, 60])))
    if number % 50 == 0:
        spool.flush()
        print(number, flush=True)
"""


def test_what_was_flushed_outlives_a_killed_process(path: Path):
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    flushed = [int(process.stdout.readline()) for _ in range(20)][-1]
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    with Spool(path, CLOCK) as spool:
        read = [r.wall_ns for _, r in spool.read(0, 1_000_000)]
        assert read == list(range(len(read)))
        assert len(read) > flushed
        assert spool.counts().spooled_frames == len(read)


def test_to_settle_together_is_to_settle_one_after_the_other(tmp_path: Path):
    parts = [
        samples("heart_rate", [1, 2, 3601], digest=2**63),
        samples("rr_interval", [0.5, 2], digest=7),
        samples("heart_rate", [3602, 3603], digest=2**63 + 5),
    ]
    held: list[list[object]] = []
    for name, settlements in (("each", parts), ("sum", [parts[0] + parts[1] + parts[2]])):
        with Spool(tmp_path / name, CLOCK) as spool:
            for settlement in settlements:
                spool.settle(settlement)
            held.append([*spool.hours(), spool.counts()])
    assert held[0] == held[1]
    assert len(held[0]) == 4
