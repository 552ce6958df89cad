import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from ingest import forwarder as forwarder_module
from ingest.forwarder import Forwarder
from ingest.records import Record, link_payload
from ingest.settlement import Settlement
from ingest.spool import Spool, SpoolFullError
from store.clock import VirtualClock
from store.errors import DataError, HomeError, RejectedSamplesError, StoreUnavailableError
from store.ledger_digest import NS_PER_HOUR, sample_digest, total_of
from store.streams import RR_INTERVAL
from store.timeseries import AnyBatch, whose
from store.units import NS_PER_S

START_NS = 1_767_643_200 * NS_PER_S
CLOCK = VirtualClock(START_NS)
PATIENCE_S = 20


class FakeStore:
    """Samples in memory; fails as often as told, before or after it wrote; refuses what it is told to."""

    def __init__(self) -> None:
        self.refused: set[tuple[str, int]] = set()
        self.names_refused = False
        self.samples: dict[tuple[str, str, str], dict[int, tuple]] = {}
        self.failures: list[Exception] = []
        self.fails_after_writing = False
        self.writes = 0
        self.wrote = threading.Event()

    def write(self, batches: Sequence[AnyBatch]) -> int:
        if self.failures and not self.fails_after_writing:
            raise self.failures.pop(0)
        bad = [
            (number, row, "no such number")
            for number, batch in enumerate(batches)
            for row, t_ns in enumerate(batch.t_ns.tolist())
            if (batch.stream.name, t_ns) in self.refused
        ]
        if bad and not self.names_refused:
            raise DataError("one of these is no number")
        self._keep(batches, bad)
        self.writes += 1
        self.wrote.set()
        if bad:
            raise RejectedSamplesError("some are no numbers", tuple(bad))
        if self.failures:
            raise self.failures.pop(0)
        return sum(map(len, batches))

    def _keep(self, batches: Sequence[AnyBatch], bad: list[tuple[int, int, str]]) -> None:
        dropped = {(number, row) for number, row, _ in bad}
        for number, batch in enumerate(batches):
            # As text, so that missing values compare equal.
            columns = [map(str, batch.values[name].tolist()) for name in batch.stream.column_names()]
            rows = zip(batch.t_ns.tolist(), zip(*columns, strict=True), strict=True)
            for row, (t_ns, values) in enumerate(rows):
                if (number, row) not in dropped:
                    self.samples.setdefault((batch.stream.name, *whose(batch, row)), {})[t_ns] = values

    def times(self, stream: str, sensor: str = "AA") -> list[int]:
        return sorted(self.samples.get((stream, "S1", sensor), {}))


def beat(second: float, payload: bytes = bytes.fromhex("103c0004")) -> Record:
    at_ns = round(second * NS_PER_S)
    return Record("heart_rate_measurement", "S1", "AA", START_NS + at_ns, at_ns, payload)


def stopped(second: float) -> Record:
    at_ns = round(second * NS_PER_S)
    payload = link_payload("stopped", "a test")
    return Record("link_state", "S1", "AA", START_NS + at_ns, at_ns, payload)


@pytest.fixture
def spool(tmp_path: Path):
    with Spool(tmp_path / "spool.sqlite", CLOCK) as opened:
        yield opened


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def forward(spool: Spool, store: FakeStore) -> Forwarder:
    forwarder = Forwarder(spool, store, CLOCK, first_retry_s=0.01)  # pyright: ignore[reportArgumentType]
    forwarder.start()
    return forwarder


def put(spool: Spool, records: list[Record]) -> None:
    for record in records:
        spool.put(record)


def test_draining_stores_everything_and_empties_the_spool(spool: Spool, store: FakeStore):
    forwarder = forward(spool, store)
    put(spool, [*(beat(second) for second in range(1, 31)), stopped(31)])
    forwarder.stop()
    assert spool.is_empty()
    assert len(store.times("heart_rate")) == 30
    assert store.times("rr_interval") == [START_NS + second * NS_PER_S for second in range(1, 31)]
    counts = spool.counts()
    assert counts.forwarded_values == counts.spooled_values
    assert forwarder.state.stored_samples == 61
    assert forwarder.held == {}


def test_records_are_forwarded_as_they_come(spool: Spool, store: FakeStore):
    forwarder = forward(spool, store)
    spool.put(beat(1))
    assert store.wrote.wait(PATIENCE_S)
    assert store.times("heart_rate") == [START_NS + NS_PER_S]
    forwarder.stop()


def test_held_records_stay_in_the_spool_and_are_taken_up_again(spool: Spool, store: FakeStore):
    put(spool, [beat(second) for second in range(1, 6)])
    forwarder = forward(spool, store)
    forwarder.stop()
    assert forwarder.held == {("S1", "AA"): 5}
    assert spool.counts().waiting_frames == 5
    assert store.times("rr_interval") == []
    spool.put(stopped(6))
    forward(spool, store).stop()
    assert spool.is_empty()
    assert len(store.times("rr_interval")) == 5
    assert len(store.times("heart_rate")) == 5


def test_failing_store_is_tried_again_until_it_takes_the_samples(spool: Spool, store: FakeStore):
    store.failures = [StoreUnavailableError("busy"), OSError("gone"), StoreUnavailableError("still busy")]
    forwarder = forward(spool, store)
    put(spool, [beat(1), stopped(2)])
    assert store.wrote.wait(PATIENCE_S)
    forwarder.stop()
    assert spool.is_empty()
    assert forwarder.state.failing_since_ns is None
    assert forwarder.state.last_error == "still busy"


def test_what_the_store_does_is_said_once(spool: Spool, store: FakeStore, caplog):
    store.failures = [StoreUnavailableError("busy"), StoreUnavailableError("busy")]
    forwarder = forward(spool, store)
    put(spool, [beat(1), stopped(2)])
    assert store.wrote.wait(PATIENCE_S)
    forwarder.stop()
    assert [record.getMessage() for record in caplog.records] == [
        "busy; what is received waits in the spool",
        "The store takes samples again",
    ]


def test_store_that_stays_away_shows_and_stops_nobody(spool: Spool, store: FakeStore):
    store.failures = [StoreUnavailableError("the disk is full")] * 1_000_000
    forwarder = forward(spool, store)
    put(spool, [beat(1), stopped(2)])
    waiting = threading.Event()
    for _ in range(PATIENCE_S * 100):
        if forwarder.state.failing_since_ns is not None:
            break
        waiting.wait(0.01)
    assert forwarder.state.failing_since_ns == START_NS
    assert forwarder.state.last_error == "the disk is full"
    forwarder.stop()
    assert not spool.is_empty()
    assert spool.counts().forwarded_frames == 0


def test_crash_between_write_and_acknowledgement_repeats_the_same_samples(spool: Spool, store: FakeStore):
    records = [*(beat(second + 0.001 * second) for second in range(1, 40)), stopped(41)]
    put(spool, records)
    spool.flush()
    store.fails_after_writing = True
    store.failures = [MemoryError("killed here")]
    crashed = forward(spool, store)
    with pytest.raises(MemoryError, match="killed here"):
        crashed.stop()
    assert crashed.state.last_error == "killed here"
    assert spool.counts().waiting_frames == 40
    written = {key: dict(samples) for key, samples in store.samples.items()}
    assert len(written["rr_interval", "S1", "AA"]) == 39
    forward(spool, store).stop()
    assert spool.is_empty()
    assert store.samples == written


def test_poisoned_frame_is_quarantined_and_the_rest_goes_on(spool: Spool, store: FakeStore):
    put(spool, [beat(1), beat(2, payload=b"\xff"), stopped(3)])
    forward(spool, store).stop()
    assert spool.is_empty()
    assert [q.record.payload for q in spool.quarantined()] == [b"\xff"]
    counts = spool.counts()
    assert (counts.forwarded_frames, counts.quarantined_frames) == (2, 1)


@pytest.mark.parametrize("names_refused", [False, True])
def test_one_sample_that_the_store_refuses_costs_one_record(
    spool: Spool, store: FakeStore, *, names_refused: bool
):
    """A heart rate and an interval of different frames are refused; all others are stored, and counted."""
    store.names_refused = names_refused
    store.refused = {("heart_rate", START_NS + 7 * NS_PER_S), ("rr_interval", START_NS + 21 * NS_PER_S)}
    put(spool, [*(beat(second) for second in range(1, 31)), stopped(31)])
    forward(spool, store).stop()
    assert spool.is_empty()
    wanted = [START_NS + second * NS_PER_S for second in range(1, 31)]
    assert store.times("heart_rate") == [t_ns for t_ns in wanted if t_ns != START_NS + 7 * NS_PER_S]
    assert store.times("rr_interval") == [t_ns for t_ns in wanted if t_ns != START_NS + 21 * NS_PER_S]
    quarantined = spool.quarantined()
    assert [q.record for q in quarantined] == [beat(7), beat(21)]
    assert {q.error for q in quarantined} == {
        "no such number" if names_refused else "one of these is no number"
    }
    counts = spool.counts()
    assert (counts.forwarded_frames, counts.quarantined_frames) == (29, 2)
    assert counts.forwarded_values == {"heart_rate": 29, "rr_interval": 29, "link_state": 1}
    acknowledged = {hour.stream: (hour.spooled, hour.acknowledged) for hour in spool.hours()}
    assert acknowledged == {"heart_rate": (30, 29), "rr_interval": (30, 29), "link_state": (1, 1)}


def test_refused_sample_of_a_record_that_waits_is_remembered_until_it_settles(spool: Spool, store: FakeStore):
    store.refused = {("heart_rate", START_NS + 2 * NS_PER_S)}
    forwarder = forward(spool, store)
    put(spool, [beat(second) for second in range(1, 5)])
    assert store.wrote.wait(PATIENCE_S)
    assert spool.quarantined() == []
    spool.put(stopped(6))
    forwarder.stop()
    assert [q.record for q in spool.quarantined()] == [beat(2)]
    assert len(store.times("rr_interval")) == 4


def test_full_disk_while_letting_go_writes_nothing_twice(
    spool: Spool, store: FakeStore, monkeypatch: pytest.MonkeyPatch
):
    failures = [SpoolFullError("the disk is full")] * 3
    settle = Spool.settle

    def failing(self: Spool, settlement: Settlement) -> None:
        if failures:
            raise failures.pop()
        settle(self, settlement)

    monkeypatch.setattr(Spool, "settle", failing)
    put(spool, [beat(1), stopped(2)])
    spool.flush()
    forwarder = forward(spool, store)
    while not spool.is_empty():
        threading.Event().wait(0.005)
    forwarder.stop()
    assert forwarder.state.last_error == "the disk is full"
    assert [(h.stream, h.acknowledged) for h in spool.hours()] == [
        ("heart_rate", 1), ("link_state", 1), ("rr_interval", 1)
    ]  # fmt: skip


def test_counters_and_hashes_are_those_of_what_is_stored(spool: Spool, store: FakeStore):
    put(spool, [*(beat(3590 + second) for second in range(20)), stopped(3612)])
    forward(spool, store).stop()
    hours = [h for h in spool.hours() if h.stream == "rr_interval"]
    assert [(h.hour - START_NS // NS_PER_HOUR, h.acknowledged, h.rewritten) for h in hours] == [
        (0, 10, 0),
        (1, 10, 0),
    ]
    for hour in hours:
        t_ns = np.array([t for t in store.times("rr_interval") if t // NS_PER_HOUR == hour.hour])
        digests = sample_digest(RR_INTERVAL, t_ns, {"rr_ms": np.full(10, 1000.0)})
        assert hour.digest == total_of(digests).digest
    assert spool.hours(hours[1].hour) == [h for h in spool.hours() if h.hour == hours[1].hour]


def test_stop_without_draining_leaves_the_rest(spool: Spool, store: FakeStore):
    forwarder = Forwarder(spool, store, CLOCK)  # pyright: ignore[reportArgumentType]
    put(spool, [beat(second) for second in range(1, 10)])
    spool.flush()
    forwarder._stopping.set()
    forwarder.start()
    forwarder.stop(drain=False)
    assert store.writes == 0
    assert spool.counts().waiting_frames == 9


def test_thread_ends_even_if_the_spool_cannot_be_flushed(
    spool: Spool, store: FakeStore, monkeypatch: pytest.MonkeyPatch
):
    forwarder = forward(spool, store)

    def refuse() -> None:
        raise SpoolFullError("no room")

    monkeypatch.setattr(spool, "flush", refuse)
    with pytest.raises(SpoolFullError):
        forwarder.stop()
    assert not forwarder._thread.is_alive()


def test_a_spool_that_cannot_be_read_for_a_moment_is_read_again(
    spool: Spool, store: FakeStore, monkeypatch: pytest.MonkeyPatch
):
    read, failures = spool.read, [HomeError("The spool failed (disk I/O error); check the disk")]

    def failing_once(after_id: int, limit: int) -> list[tuple[int, Record]]:
        if failures:
            raise failures.pop()
        return read(after_id, limit)

    monkeypatch.setattr(spool, "read", failing_once)
    put(spool, [beat(1), stopped(2)])
    forwarder = Forwarder(spool, store, CLOCK, first_retry_s=0.001)  # pyright: ignore[reportArgumentType]
    forwarder.start()
    assert store.wrote.wait(PATIENCE_S)
    forwarder.stop()
    assert spool.is_empty()


def test_pauses_double_up_to_a_limit():
    pauses_s = forwarder_module._pauses_s(0.5)
    assert [next(pauses_s) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_records_of_several_batches_leave_the_spool_together(
    spool: Spool, store: FakeStore, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(forwarder_module, "BATCH_RECORDS", 5)
    settled: list[int] = []
    settle = spool.settle

    def counted(settlement: Settlement) -> None:
        settled.append(len(settlement.forwarded))
        settle(settlement)

    monkeypatch.setattr(spool, "settle", counted)
    put(spool, [*(beat(second) for second in range(1, 100)), stopped(100)])
    spool.flush()
    forward(spool, store).stop()
    assert spool.is_empty()
    assert sum(settled) == 100
    assert len(settled) == 3  # twenty batches, eight at a time
    assert len(store.times("rr_interval")) == 99
    (counted_hour,) = [hour for hour in spool.hours() if hour.stream == "rr_interval"]
    assert (counted_hour.acknowledged, counted_hour.rewritten) == (99, 0)


def test_what_is_spooled_just_before_a_stop_is_forwarded(
    spool: Spool, store: FakeStore, monkeypatch: pytest.MonkeyPatch
):
    """The stop comes when the forwarder has just found nothing to read."""
    forwarder = Forwarder(spool, store, CLOCK)  # pyright: ignore[reportArgumentType]
    stopping: list[threading.Thread] = []
    read = spool.read

    def read_and_stop(after_id: int, limit: int) -> list[tuple[int, Record]]:
        found = read(after_id, limit)
        if not found and not stopping:
            spool.put(stopped(1))
            stopping.append(threading.Thread(target=forwarder.stop))
            stopping[0].start()
            assert forwarder._stopping.wait(PATIENCE_S)
        return found

    monkeypatch.setattr(spool, "read", read_and_stop)
    forwarder.start()
    forwarder._thread.join(PATIENCE_S)
    stopping[0].join(PATIENCE_S)
    assert spool.is_empty()


def test_a_pause_grows_with_what_a_batch_held_and_stays_within_the_second():
    pauses_s = [forwarder_module._linger_s(records) for records in range(2_000)]
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[1] < 0.25
    assert max(pauses_s) < 1
