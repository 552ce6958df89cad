"""A collector at work over virtual air, told to stop or killed, and what is forwarded afterwards."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from ingest.forwarder import Forwarder
from ingest.radio import Radio
from ingest.records import Record, link_payload
from ingest.service import collect, drain, stop_on_signals
from ingest.spool import Spool
from ingest.spool_file import read_counts
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.strap import VirtualStrap
from store.clock import VirtualClock
from store.errors import RefusedError, StoreUnavailableError
from store.sqlite import SqliteTimeSeries
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL, SIGNAL
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
ADDRESS = "C0:FF:EE:00:00:01"
WORN = {ADDRESS: "S001"}
PATIENCE_S = 10.0
BEAT = bytes.fromhex("103c0004")


def beat(sequence: int) -> HeartRateMeasurement:
    return HeartRateMeasurement(60, skin_contact=True, energy_kj=sequence, rr_ms=(1000.0,))


def frame(second: int, payload: bytes = BEAT, sensor: str = ADDRESS) -> Record:
    at_ns = second * NS_PER_S
    return Record("heart_rate_measurement", "S001", sensor, START_NS + at_ns, at_ns, payload)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spool.sqlite"


@pytest.fixture
def store(tmp_path: Path):
    with SqliteTimeSeries(tmp_path / "samples.sqlite") as opened:
        yield opened


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(START_NS)


@pytest.fixture
async def worn() -> AsyncIterator[tuple[Radio, VirtualStrap]]:
    air = Air()
    adapter = VirtualAdapter(air)
    await adapter.start()
    strap = VirtualStrap(air, ADDRESS, advertising_interval_ms=20)
    await strap.start()
    yield adapter.radio, strap
    await strap.stop()


async def test_what_is_received_is_spooled_and_stored(worn, path, store, clock) -> None:
    radio, strap = worn
    stop = asyncio.Event()
    spool = await asyncio.to_thread(Spool, path, clock)
    running = asyncio.create_task(
        collect(WORN, store=store, spool=spool, clock=clock, radio=radio, until=stop)
    )
    await until(lambda: strap.battery_subscribed)
    for sequence in range(30):
        clock.advance_to(clock.now_ns() + NS_PER_S)
        await strap.send(beat(sequence))
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    stop.set()
    done = await running
    await asyncio.to_thread(spool.close)
    received = {"heart_rate": 30, "rr_interval": 30, "battery": 1, "link_state": 4, "signal": 1}
    assert dict(done.received) == done.counts.spooled_values == done.counts.forwarded_values == received
    assert (done.refused, done.counts.waiting_frames) == (0, 0)
    streams = (HEART_RATE, RR_INTERVAL, BATTERY, LINK_STATE, SIGNAL)
    held = await asyncio.to_thread(lambda: {s.name: store.count(s, "S001") for s in streams})
    assert held == received


async def test_a_store_that_is_away_is_said_and_costs_nothing(
    worn, path, store, clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    radio, strap = worn
    write, is_away = store.write, threading.Event()

    def write_if_there(batches):
        if is_away.is_set():
            raise StoreUnavailableError("the store is away")
        return write(batches)

    monkeypatch.setattr(store, "write", write_if_there)
    is_away.set()
    stop = asyncio.Event()
    spool = await asyncio.to_thread(Spool, path, clock)
    running = asyncio.create_task(
        collect(WORN, store=store, spool=spool, clock=clock, radio=radio, until=stop)
    )
    await until(lambda: strap.battery_subscribed)
    await until(lambda: "the store is away" in caplog.text)
    stop.set()
    done = await running
    await asyncio.to_thread(spool.close)
    assert caplog.text.count("the store is away") == 1
    assert done.counts.waiting_frames == done.counts.spooled_frames > 0
    is_away.clear()
    counts = await asyncio.to_thread(drain, path, store, clock)
    assert counts.waiting_frames == 0


async def test_links_are_told_as_they_change(worn, path, store, clock, caplog) -> None:
    radio, strap = worn
    caplog.set_level(logging.INFO, "ingest")
    stop = asyncio.Event()
    spool = await asyncio.to_thread(Spool, path, clock)
    running = asyncio.create_task(
        collect(WORN, store=store, spool=spool, clock=clock, radio=radio, until=stop)
    )
    await until(lambda: strap.battery_subscribed)
    await strap.drop()
    await until(lambda: "link lost" in caplog.text)
    stop.set()
    await running
    await asyncio.to_thread(spool.close)
    told = [record.getMessage() for record in caplog.records if record.name == "ingest.keeper"]
    assert told[:2] == [f"{ADDRESS} of S001 connected", f"{ADDRESS} of S001 disconnected: link lost"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_signals_ask_to_stop(number: signal.Signals) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    os.kill(os.getpid(), number)
    await asyncio.wait_for(stop.wait(), PATIENCE_S)
    for each in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().remove_signal_handler(each)


def left_by_a_killed_collector(path: Path, store: SqliteTimeSeries, clock: VirtualClock) -> None:
    """Leave a spool with beats held back, one sensor whose beats were forwarded in part."""
    spool = Spool(path, clock)
    started = link_payload("started", "")
    spool.put(Record("link_state", "S001", ADDRESS, START_NS, 0, started))
    for second in range(1, 20):
        spool.put(frame(second))
    forwarder = Forwarder(spool, store, clock)
    forwarder.start()
    forwarder.stop()
    for second in range(20, 26):
        spool.put(frame(second))
    for second in range(20, 24):
        spool.put(frame(second, sensor="C0:FF:EE:00:00:02"))
    spool.put(frame(26, payload=b"\xff"))
    spool.close()


def test_draining_after_a_crash_forwards_the_held_beats_too(path, store, clock) -> None:
    left_by_a_killed_collector(path, store, clock)
    assert store.count(RR_INTERVAL, "S001") < 29
    clock.advance_to(START_NS + 100 * NS_PER_S)
    counts = drain(path, store, clock)
    assert (counts.waiting_frames, counts.quarantined_frames) == (0, 1)
    assert counts.forwarded_values == counts.spooled_values
    one = store.read(RR_INTERVAL, "S001", sensor_id=ADDRESS).t_ns
    assert one.tolist() == [START_NS + second * NS_PER_S for second in range(1, 26)]
    assert store.count(RR_INTERVAL, "S001") == 29
    links = store.read(LINK_STATE, "S001", sensor_id=ADDRESS)
    assert links["reason"].tolist()[-1] == "drained after the collector ended"
    again = drain(path, store, clock)
    assert again == counts
    assert store.count(RR_INTERVAL, "S001") == 29


def test_a_spool_at_its_limit_can_still_be_drained(path, store, clock, monkeypatch) -> None:
    left_by_a_killed_collector(path, store, clock)
    monkeypatch.setattr(Spool.__init__, "__kwdefaults__", {"capacity_bytes": 1, "least_free_bytes": 0})
    assert drain(path, store, clock).waiting_frames == 0


def test_a_spool_in_use_is_not_drained(path, store, clock) -> None:
    with Spool(path, clock) as spool:
        spool.put(frame(1))
        with pytest.raises(RefusedError, match="in use by another evenkeel process"):
            drain(path, store, clock)
    assert read_counts(path).waiting_frames == 1


def test_draining_nothing_is_fine(path, store, clock) -> None:
    assert drain(path, store, clock).spooled_frames == 0
