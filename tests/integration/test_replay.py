"""A replay brings every sendable beat into the store once, at its recorded time, the same every time."""

import asyncio
import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest

from ingest import replay as module
from ingest.records import Record
from ingest.replay import ReplayResult, replay, replay_address
from ingest.spool import Spool, SpoolFullError
from ingest.virtual.strap import VirtualStrap
from store.clock import VirtualClock
from store.errors import HomeError, RefusedError, SensorError
from store.recording import RrRecording, read_rr_file
from store.sqlite import SqliteTimeSeries
from store.streams import HEART_RATE, LINK_STATE, RR_INTERVAL, STREAMS
from store.timeseries import Samples
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
SUBJECT = "S001"
NSR001 = Path(__file__).parents[3] / "shared" / "data" / "rr" / "nsr001.csv.gz"
HALF_TICK_MS = 1000 / 2048


def recorded(t_s, rr_ms) -> RrRecording:
    digest = hashlib.sha256(np.asarray(rr_ms, float).tobytes()).hexdigest()
    return RrRecording(np.asarray(t_s, float), np.asarray(rr_ms, float), digest)


@pytest.fixture
def with_a_gap() -> RrRecording:
    """Two minutes of beats on the 1/1024 s grid, with two minutes of nothing between them."""
    ticks = 800 + np.round(100 * np.sin(np.arange(150)))
    ended_s = 0.695 + np.cumsum(ticks) / 1024
    ended_s[75:] += 120.0
    return recorded(ended_s, ticks * 1000 / 1024)


@pytest.fixture
def store(tmp_path: Path):
    with SqliteTimeSeries(tmp_path / "samples.db") as store:
        yield store


def run(recording: RrRecording, store: SqliteTimeSeries, spool_path: Path, **options) -> ReplayResult:
    sensor_id = replay_address(SUBJECT, recording.digest)
    told = {"subject_id": SUBJECT, "sensor_id": sensor_id, "start_ns": START_NS, **options}
    return asyncio.run(replay(recording, store=store, spool_path=spool_path, **told))


def everything(store: SqliteTimeSeries) -> dict[str, Samples]:
    return {name: store.read(stream, SUBJECT) for name, stream in STREAMS.items()}


def same(one: Samples, other: Samples) -> bool:
    return (
        one.t_ns.tolist() == other.t_ns.tolist()
        and one.sensors == other.sensors
        and all(np.array_equal(one[column], other[column]) for column in one.stream.column_names())
    )


def test_every_beat_is_stored_once_as_sent(with_a_gap, store, tmp_path):
    done: list[float] = []
    result = run(with_a_gap, store, tmp_path / "spool.db", progress=done.append)
    stored = store.read(RR_INTERVAL, SUBJECT)
    assert stored["rr_ms"].tolist() == with_a_gap.rr_ms.tolist()
    assert result.beats == 150
    assert result.unsendable == ()
    assert result.packets_sent == result.packets_received == len(store.read(HEART_RATE, SUBJECT))
    assert result.spooled_frames == result.forwarded_frames
    assert result.quarantined_frames == result.waiting_frames == 0
    assert done == sorted(done)
    assert done[-1] == 1.0


def test_packets_are_stamped_at_the_whole_second_after_their_beats(with_a_gap, store, tmp_path):
    run(with_a_gap, store, tmp_path / "spool.db")
    heart_rate = store.read(HEART_RATE, SUBJECT)
    offset_ns = heart_rate.t_ns - START_NS
    assert np.all(offset_ns % NS_PER_S == 0)
    assert offset_ns[0] == NS_PER_S * np.ceil(with_a_gap.t_s[0])
    assert offset_ns[-1] == NS_PER_S * np.ceil(with_a_gap.t_s[-1])
    assert heart_rate["energy_kj"].tolist() == list(range(len(heart_rate)))


def test_beats_keep_their_times_and_the_gap_stays_a_gap(with_a_gap, store, tmp_path):
    run(with_a_gap, store, tmp_path / "spool.db")
    stored_s = (store.read(RR_INTERVAL, SUBJECT).t_ns - START_NS) / NS_PER_S
    assert np.all(np.abs(stored_s - with_a_gap.t_s) < 1.1)
    assert np.argmax(np.diff(stored_s)) == 74
    assert np.diff(stored_s)[74] > 118


def test_in_a_long_gap_the_strap_switches_off(with_a_gap, store, tmp_path):
    run(with_a_gap, store, tmp_path / "spool.db")
    links = store.read(LINK_STATE, SUBJECT)
    offset_s = (links.t_ns - START_NS) / NS_PER_S
    before, after = np.ceil(with_a_gap.t_s[74]), np.ceil(with_a_gap.t_s[75])
    left = list(zip(links["state"].tolist(), links["reason"].tolist(), strict=True)).index(
        ("disconnected", "link lost")
    )
    assert before < offset_s[left] <= before + 3 + module.STRAP_OFF_AFTER_S
    assert links["state"][left + 1] == "connected"
    assert after - 1 <= offset_s[left + 1] < after


def test_the_same_replay_again_changes_nothing(with_a_gap, store, tmp_path):
    first = run(with_a_gap, store, tmp_path / "spool.db")
    held = everything(store)
    assert run(with_a_gap, store, tmp_path / "spool.db") == first
    again = everything(store)
    assert all(same(held[name], again[name]) for name in STREAMS)


@pytest.mark.parametrize("packets", [1, 4, 9, 40, 67, 71, 76, 110])
def test_an_interrupted_replay_is_completed_by_another(with_a_gap, store, tmp_path, monkeypatch, packets):
    monkeypatch.setattr(module, "PROGRESS_EVERY_PACKETS", 1)
    calls = itertools.count(1)

    def interrupt(_done_frac: float) -> None:
        if next(calls) == packets:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(with_a_gap, store, tmp_path / "spool.db", progress=interrupt)
    assert len(store.read(HEART_RATE, SUBJECT)) == packets
    assert not (tmp_path / "spool.db").exists()
    run(with_a_gap, store, tmp_path / "spool.db")
    with SqliteTimeSeries(tmp_path / "uninterrupted.db") as other:
        run(with_a_gap, other, tmp_path / "spool.db")
        whole = everything(other)
    assert all(same(whole[name], samples) for name, samples in everything(store).items())


def test_what_a_killed_replay_left_is_forgotten_unless_it_still_runs(store, tmp_path):
    path = tmp_path / "spools" / "spool.db"
    path.parent.mkdir()
    clock = VirtualClock(START_NS)
    left = Spool(path, clock)
    left.put(Record("battery_level", SUBJECT, "AA", START_NS, 0, b"\x50"))
    left.flush()
    with pytest.raises(RefusedError, match="in use by another"):
        module.forget_interrupted(path, clock)
    assert left.counts().waiting_frames == 1
    left.close()
    module.forget_interrupted(path, clock)
    assert list(path.parent.iterdir()) == []
    module.forget_interrupted(path, clock)


@pytest.mark.parametrize("first_s", [-500.0, 0.0, 1e6])
def test_progress_runs_from_nothing_to_all_wherever_time_zero_is(store, tmp_path, monkeypatch, first_s):
    monkeypatch.setattr(module, "PROGRESS_EVERY_PACKETS", 1)
    done: list[float] = []
    run(
        recorded(first_s + np.arange(20), np.full(20, 1000.0)), store, tmp_path / "a.db", progress=done.append
    )
    assert done == sorted(done)
    assert done[0] < 0.2
    assert done[-1] == 1.0
    run(recorded([first_s], [1000.0]), store, tmp_path / "b.db", progress=done.append)


def test_the_spool_is_removed_when_everything_is_stored(with_a_gap, store, tmp_path):
    spools = tmp_path / "spools"
    spools.mkdir()
    run(with_a_gap, store, spools / "spool.db")
    assert list(spools.iterdir()) == []


def test_a_spool_that_exists_is_not_touched(with_a_gap, store, tmp_path):
    path = tmp_path / "spool.db"
    path.write_bytes(b"somebody's")
    with pytest.raises(RefusedError, match="exists; needed is a new file"):
        run(with_a_gap, store, path)
    assert path.read_bytes() == b"somebody's"


def test_what_the_store_refuses_stays_in_the_spool(with_a_gap, store, tmp_path, monkeypatch):
    def refuse(_batches):
        raise OSError("store down")

    monkeypatch.setattr(store, "write", refuse)
    path = tmp_path / "spool.db"
    result = run(with_a_gap, store, path)
    assert result.forwarded_frames == 0
    assert result.waiting_frames == result.spooled_frames > 0
    assert path.exists()


def test_an_interval_no_strap_can_send_is_named_and_a_gap(store, tmp_path):
    recording = recorded([1.0, 2.0, 72.0, 73.0], [1000.0, 1000.0, 70_000.0, 1000.0])
    result = run(recording, store, tmp_path / "spool.db")
    assert result.unsendable == (2,)
    assert len(store.read(RR_INTERVAL, SUBJECT)) == 3


def test_a_recording_without_a_single_sendable_beat(store, tmp_path):
    result = run(recorded([70.0], [70_000.0]), store, tmp_path / "spool.db")
    assert (result.unsendable, result.packets_sent) == ((0,), 0)


def test_a_recording_may_begin_before_its_time_zero(store, tmp_path):
    run(recorded([-2.0, -1.0, 0.0], [1000.0] * 3), store, tmp_path / "spool.db")
    offset_s = (store.read(HEART_RATE, SUBJECT).t_ns - START_NS) / NS_PER_S
    assert offset_s.tolist() == [-2, -1, 0]


def test_speed_paces_the_packets_and_changes_nothing_else(store, tmp_path):
    recording = recorded(np.arange(1, 11), np.full(10, 1000.0))
    run(recording, store, tmp_path / "fast.db")
    held = everything(store)
    sent_s: list[float] = []

    async def timed() -> ReplayResult:
        begun_s = asyncio.get_running_loop().time()
        sensor_id = replay_address(SUBJECT, recording.digest)
        result = await replay(
            recording,
            subject_id=SUBJECT,
            sensor_id=sensor_id,
            start_ns=START_NS,
            store=store,
            spool_path=tmp_path / "paced.db",
            speed=50.0,
        )
        sent_s.append(asyncio.get_running_loop().time() - begun_s)
        return result

    assert asyncio.run(timed()).packets_sent == 10
    assert sent_s[0] >= 9 / 50
    assert all(same(held[name], samples) for name, samples in everything(store).items())


def test_a_strap_that_is_lost_ends_the_replay_with_a_sentence(with_a_gap, store, tmp_path, monkeypatch):
    send = VirtualStrap.send

    async def send_then_vanish(strap, measurement):
        if measurement.energy_kj == 5:
            strap.vanish()
        return await send(strap, measurement)

    monkeypatch.setattr(VirtualStrap, "send", send_then_vanish)
    monkeypatch.setattr(module, "PACKET_TIMEOUT_S", 0.1)
    with pytest.raises(SensorError, match=r"^The replay for S001: packet 5 was not received within 0.1 s"):
        run(with_a_gap, store, tmp_path / "spool.db")
    assert len(store.read(HEART_RATE, SUBJECT)) == 5
    assert not (tmp_path / "spool.db").exists()


@pytest.mark.parametrize("failure", [SpoolFullError("no room"), HomeError("disk failed")])
def test_a_spool_that_refuses_ends_the_replay(with_a_gap, store, tmp_path, monkeypatch, failure):
    put = Spool.put
    frames: list[Record] = []

    def refuse_the_tenth(spool, record):
        frames.append(record)
        if len(frames) == 10:
            raise failure
        put(spool, record)

    monkeypatch.setattr(Spool, "put", refuse_the_tenth)
    with pytest.raises(type(failure), match=str(failure)):
        run(with_a_gap, store, tmp_path / "spool.db")


def test_the_address_is_static_random_and_always_the_same():
    digests = [hashlib.sha256(bytes([n])).hexdigest() for n in range(50)]
    addresses = {replay_address(subject, digest) for digest in digests for subject in ("S001", "S002")}
    assert len(addresses) == 100
    assert all(int(address[:2], 16) >= 0xC0 for address in addresses)
    assert replay_address("S001", digests[0]) == replay_address("S001", digests[0])


def test_an_hour_of_a_real_recording(store, tmp_path):
    if not NSR001.exists():
        pytest.skip(f"needs {NSR001}")
    whole = read_rr_file(NSR001)
    hour = whole.t_s <= 3600
    recording = RrRecording(whole.t_s[hour], whole.rr_ms[hour], whole.digest)
    result = run(recording, store, tmp_path / "spool.db")
    stored = store.read(RR_INTERVAL, SUBJECT)
    assert result.packets_received == result.packets_sent
    assert np.max(np.abs(stored["rr_ms"] - recording.rr_ms)) <= HALF_TICK_MS
    wander_s = (stored.t_ns - START_NS) / NS_PER_S - recording.t_s
    assert np.percentile(np.abs(wander_s - np.median(wander_s)), 99) < 0.25
