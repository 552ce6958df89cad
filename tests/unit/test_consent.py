"""What a person does not agree to is not kept: not stored, not spooled, stream by stream."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.consent import Gate
from ingest.decoders.heart_rate import decode_heart_rate
from ingest.forwarder import Forwarder
from ingest.records import Record, link_payload
from ingest.service import Tally
from ingest.spool import Spool
from store.clock import VirtualClock
from store.errors import StoreUnavailableError
from store.installation import Installation
from store.ledger_run import PULSE
from store.registry.consents import ALL, Agreed, Consent
from store.registry.registry import Registry
from store.streams import HEART_RATE, LINK_STATE, RR_INTERVAL, STREAMS
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

PACKET = bytes.fromhex("163c0004")  # worn, 60 beats a minute, an interval of 1000 ms
POISON = bytes.fromhex("ff00")


@pytest.fixture
def registry(installation: Installation) -> Iterator[Registry]:
    with installation.registry() as opened:
        opened.people.add_subject("S1", "UTC")
        yield opened


@pytest.fixture
def spool(installation: Installation, clock: VirtualClock) -> Iterator[Spool]:
    with Spool(installation.spool_path(), clock) as opened:
        yield opened


@pytest.fixture
def gate(registry: Registry, clock: VirtualClock) -> Gate:
    return Gate(registry.consents, clock)


def put(sink: Spool | Tally, clock: VirtualClock, count: int, payload: bytes = PACKET) -> None:
    for _ in range(count):
        clock.advance_to(clock.now_ns() + NS_PER_S)
        mono_ns = clock.monotonic_ns()
        sink.put(Record("heart_rate_measurement", "S1", "AA", clock.now_ns(), mono_ns, payload))


def end(sink: Spool | Tally, clock: VirtualClock) -> None:
    payload = link_payload("stopped", "")
    sink.put(Record("link_state", "S1", "AA", clock.now_ns(), clock.monotonic_ns(), payload))


def drain(spool: Spool, store: TimeSeriesStore, clock: VirtualClock, gate: Gate | None) -> None:
    forwarder = Forwarder(spool, store, clock, first_retry_s=0.001, gate=gate)
    forwarder.start()
    forwarder.stop()


def withdraw(registry: Registry, stream: str = ALL) -> None:
    registry.consents.record("S1", stream, is_granted=False, by="a test")


def held(store: TimeSeriesStore) -> tuple[int, int]:
    return store.count(HEART_RATE, "S1"), store.count(RR_INTERVAL, "S1")


def test_a_withdrawn_stream_is_neither_spooled_nor_stored_and_the_others_go_on(
    spool, gate, registry, store, clock
):
    tally = Tally(spool, gate)
    put(tally, clock, 12)
    withdraw(registry, "rr_interval")
    withdrawn_ns = clock.now_ns()
    gate.refresh()
    put(tally, clock, 8)
    end(tally, clock)
    spool.flush()
    late = [r for _, r in spool.read(0, 100) if r.wall_ns > withdrawn_ns and r.kind != "link_state"]
    assert [decode_heart_rate(record.payload).rr_ms for record in late] == [()] * 8
    assert tally.received == {"heart_rate": 20, "rr_interval": 12, "link_state": 1}
    drain(spool, store, clock, gate)
    assert held(store) == (20, 0)
    assert spool.is_empty()


def test_who_withdrew_does_not_keep_back_what_others_sent_in_the_same_moment(
    spool, gate, registry, store, clock
):
    registry.people.add_subject("S2", "UTC")
    gate.refresh()
    for _ in range(5):
        clock.advance_to(clock.now_ns() + NS_PER_S)
        at = clock.now_ns(), clock.monotonic_ns()
        for subject_id in ("S1", "S2"):
            spool.put(Record("heart_rate_measurement", subject_id, f"of {subject_id}", *at, PACKET))
    withdraw(registry)
    drain(spool, store, clock, gate)
    assert {series.subject_id for series in store.series()} == {"S2"}
    assert store.count(HEART_RATE, "S2") == 5


def test_what_arrived_before_the_news_of_a_withdrawal_is_not_stored(spool, gate, registry, store, clock):
    put(spool, clock, 3)
    withdraw(registry)
    put(spool, clock, 3)
    end(spool, clock)
    drain(spool, store, clock, gate)
    assert store.series() == []
    counts = spool.counts()
    assert (counts.withheld_frames, counts.waiting_frames) == (7, 0)


def test_a_spool_is_cleared_of_what_was_withdrawn_while_the_store_is_away(spool, gate, registry, clock):
    class Away:
        def write(self, _batches):
            raise StoreUnavailableError("the store is away")

    forwarder = Forwarder(spool, Away(), clock, first_retry_s=0.001, gate=gate)  # pyright: ignore[reportArgumentType]
    put(spool, clock, 5)
    put(spool, clock, 1, POISON)
    spool.flush()
    drain_until_failing(forwarder)
    withdraw(registry, "rr_interval")
    forwarder_again = Forwarder(spool, Away(), clock, first_retry_s=0.001, gate=gate)  # pyright: ignore[reportArgumentType]
    drain_until_failing(forwarder_again)
    waiting = [record.payload for _, record in spool.read(0, 100)]
    assert [decode_heart_rate(payload) for payload in waiting] == [
        decode_heart_rate(bytes.fromhex("063c"))
    ] * 5
    assert spool.counts().withheld_frames == 1  # nobody can tell what the undecodable frame held


def drain_until_failing(forwarder: Forwarder) -> None:
    forwarder.start()
    forwarder.stop()
    assert forwarder.state.failing_since_ns is not None


def test_quarantined_frames_of_a_withdrawn_stream_go_too(spool, gate, registry, store, clock):
    put(spool, clock, 1, POISON)
    drain(spool, store, clock, gate)
    assert len(spool.quarantined()) == 1
    withdraw(registry)
    drain(spool, store, clock, gate)
    assert spool.quarantined() == []
    counts = spool.counts()
    assert (counts.spooled_frames, counts.quarantined_frames, counts.withheld_frames) == (1, 0, 1)


def test_what_was_withdrawn_while_no_collector_ran_is_cleared_at_the_next_start(
    spool, registry, store, clock
):
    put(spool, clock, 4)
    end(spool, clock)
    spool.flush()
    withdraw(registry, "heart_rate")
    drain(spool, store, clock, Gate(registry.consents, clock))
    assert held(store) == (0, 4)
    assert store.count(LINK_STATE, "S1") == 1


def test_nothing_is_kept_of_somebody_who_never_decided(spool, registry, store, clock):
    gate = Gate(registry.consents, clock)
    nobody = Record("heart_rate_measurement", "S2", "BB", clock.now_ns(), clock.monotonic_ns(), PACKET)
    Tally(spool, gate).put(nobody)
    spool.put(nobody)
    drain(spool, store, clock, gate)
    assert store.series() == []


def test_what_is_agreed_to_again_is_kept_from_then_on_only(spool, gate, registry, store, clock):
    put(spool, clock, 2)
    drain(spool, store, clock, gate)
    clock.advance_to(clock.now_ns() + 1)
    withdraw(registry)
    put(spool, clock, 2)
    clock.advance_to(clock.now_ns() + 1)
    registry.consents.record("S1", ALL, is_granted=True, by="a test")
    put(spool, clock, 2)
    end(spool, clock)
    drain(spool, store, clock, gate)
    assert store.count(HEART_RATE, "S1") == 4


def test_who_agrees_to_no_pulse_has_withdrawn_as_far_as_gaps_go(registry, clock):
    withdraw(registry, "rr_interval")
    assert registry.consents.withdrawn("S1", PULSE) == []
    at_ns = clock.now_ns() + NS_PER_S
    clock.advance_to(at_ns)
    withdraw(registry, "heart_rate")
    assert registry.consents.withdrawn("S1", PULSE) == [(at_ns, (1 << 63) - 1)]


def test_who_agrees_to_one_stream_has_its_gaps_explained_and_nothing_else(registry, clock):
    registry.people.add_subject("S2", "UTC", agrees_to=("battery",))
    agreed = registry.consents.agreed()
    given_to = {name for name in STREAMS if agreed.allows("S2", name, clock.now_ns())}
    assert given_to == {"battery", "link_state", "signal", "collector"}
    clock.advance_to(clock.now_ns() + 1)
    registry.consents.record("S2", "link_state", is_granted=False, by="a test")
    assert not registry.consents.is_given("S2", "link_state")


decisions = st.lists(
    st.tuples(st.sampled_from([ALL, "heart_rate", "rr_interval"]), st.booleans(), st.integers(0, 20)),
    max_size=8,
)


@given(decisions, st.integers(0, 20))
def test_a_sample_is_kept_if_it_was_agreed_to_then_and_is_now(made, now):
    history = [Consent("S1", stream, yes, at, "x") for stream, yes, at in sorted(made, key=lambda d: d[2])]

    def holds(at: int) -> bool:
        told = [each for each in history if each.at_ns in (history[0].at_ns, *range(at + 1))]
        told = [each for each in told if each.stream in (ALL, "heart_rate")]
        return bool(told) and told[-1].is_granted

    t_ns = np.arange(21)
    kept = Agreed({"S1": history}).allowed("S1", "heart_rate", t_ns, now)
    assert kept.tolist() == [holds(now) and holds(int(at)) for at in t_ns]
