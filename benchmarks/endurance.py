"""The collector over months, in virtual time: links that die, a thousand reconnects, a day of fifty straps.

Zombies and reconnects go through Bleak's Linux backend on the virtual Bluetooth service, the long day over
the virtual adapter, which is six times as fast. Each runs in a process of its own, so that what it leaves
behind is its own.
"""

import asyncio
import gc
import itertools
import multiprocessing
import os
import random
import statistics
import tempfile
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from dbus_fast import Message
from dbus_fast.aio.message_bus import MessageBus

from benchmarks.table import Row
from configs.settings import CollectorSettings
from ingest.collector import Collector
from ingest.decoders.heart_rate import decode_heart_rate, encode_heart_rate
from ingest.radio import Radio
from ingest.records import Record, parse_link_payload
from ingest.service import collect
from ingest.spool import Spool
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.bluez.bed import BUS_VARIABLE, VirtualBluetooth
from ingest.virtual.strap import VirtualStrap
from store.clock import VirtualClock
from store.sqlite import SqliteTimeSeries
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

Result = TypeVar("Result")
START_NS = 1_767_643_200 * NS_PER_S
PATIENCE_S = 30.0
ADVERTISING_INTERVAL_MS = 20
SETTINGS = CollectorSettings(connections_per_adapter=500)

TICK_S = 0.25
"""Virtual time that passes at once."""

TIMES_AS_FAST = 8
"""Virtual time against real, where links are made: they are made in real time, so it counts eightfold."""

HOPS = 12
"""Turns of the event loop that a notification needs at most from a strap to the spool."""

DROP_EVERY_S = 300
"""In the long day one link or another is lost so often."""

MOST_WAITING = 20_000
"""Records in the spool at which the long day waits for the forwarder."""


def zombies(count: int) -> list[Row]:
    """Let links fall silent while they stand, and see how soon that is noticed and mended."""
    found_s, back_s = _in_own_process(_zombies, count)
    return [
        Row(f"{len(found_s)} zombie links: noticed, median", float(np.median(found_s)), "virtual s"),
        Row("zombie links: noticed, p99", float(np.percentile(found_s, 99)), "virtual s", 20),
        Row("zombie links: streaming again, median", float(np.median(back_s)), "virtual s"),
        Row("zombie links: streaming again, p95", float(np.percentile(back_s, 95)), "virtual s", 60),
        Row("zombie links never mended", count - len(back_s), "links", 0),
    ]


def reconnects(count: int) -> list[Row]:
    """Lose a link again and again; return what more there is after the last one than after the tenth."""
    left, restarts = _in_own_process(_reconnects, count)
    rows = [Row(f"{count} reconnects leave behind: {what}", more, what, 0) for what, more in left.items()]
    return [*rows, Row("of them, restarts of the Bluetooth service", restarts, "restarts")]


def day(straps: int, hours: int) -> list[Row]:
    """Collect for hours of virtual time; return how much more memory that takes at its end."""
    sent, stored, drops, early_mb, late_mb = _in_own_process(_day, straps, hours)
    growth_pct = 100 * (late_mb / early_mb - 1)
    return [
        Row(f"{hours} virtual h of {straps} straps: notifications", sent, "notifications"),
        Row("of them not stored", sent - stored, "notifications", 0),
        Row("links lost and made anew meanwhile", drops, "links"),
        Row("resident memory after the first tenth", early_mb, "MB"),
        Row("memory growth from then to the end", growth_pct, "%", 5),
    ]


def _in_own_process(work: Callable[..., Result], *arguments: int) -> Result:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


class _Notes:
    """A spool that keeps only what has to be looked at: when frames came and links changed."""

    def __init__(self) -> None:
        self.frames: dict[str, list[tuple[int, int]]] = {}
        self.states: dict[str, list[tuple[int, str, str]]] = {}

    def put(self, record: Record) -> None:
        """Take a record."""
        if record.kind == "heart_rate_measurement":
            sequence = decode_heart_rate(record.payload).energy_kj or 0
            self.frames.setdefault(record.sensor_id, []).append((record.mono_ns, sequence))
        elif record.kind == "link_state":
            state = (record.mono_ns, *parse_link_payload(record.payload))
            self.states.setdefault(record.sensor_id, []).append(state)


def _beat(sequence: int) -> bytes:
    return encode_heart_rate(
        HeartRateMeasurement(60, skin_contact=True, energy_kj=sequence % 0x10000, rr_ms=(1000.0,))
    )


def _address(number: int) -> str:
    return f"C0:5E:00:00:{number >> 8:02X}:{number & 0xFF:02X}"


async def _started(air: Air, count: int) -> list[VirtualStrap]:
    straps = [
        VirtualStrap(air, _address(k), advertising_interval_ms=ADVERTISING_INTERVAL_MS) for k in range(count)
    ]
    for strap in straps:
        await strap.start()
    return straps


@asynccontextmanager
async def _bluetooth(straps: int) -> AsyncGenerator[tuple[VirtualBluetooth, list[VirtualStrap]]]:
    """Yield a Bluetooth service that Bleak takes for the machine's, and straps in its air."""
    async with VirtualBluetooth(Air()) as bluetooth:
        os.environ[BUS_VARIABLE] = bluetooth.address
        worn = await _started(bluetooth.air, straps)
        yield bluetooth, worn
        for strap in worn:
            await strap.stop()


@asynccontextmanager
async def _alongside(*work: Coroutine[object, object, object]) -> AsyncGenerator[None]:
    """Run these while the context is open; what one of them raises is raised."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error


@asynccontextmanager
async def _collecting(straps: Sequence[VirtualStrap], clock: VirtualClock) -> AsyncGenerator[_Notes]:
    """Run a collector on this machine's Bluetooth for all straps, once all are connected."""
    notes = _Notes()
    worn = {strap.address: f"S{k:03d}" for k, strap in enumerate(straps)}
    collector = Collector(worn, notes, clock, Radio(), settings=SETTINGS)
    running = asyncio.create_task(collector.run())
    try:
        await _until(lambda: running.done() or all(strap.battery_subscribed for strap in straps))
        yield notes
    finally:
        collector.stop()
        await running


async def _until(condition: Callable[[], object], patience_s: float = PATIENCE_S) -> None:
    async with asyncio.timeout(patience_s):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.002)


# Zombies


def _zombies(count: int) -> tuple[list[float], list[float]]:
    return asyncio.run(_let_links_die(count))


async def _let_links_die(count: int) -> tuple[list[float], list[float]]:
    clock, random_ = VirtualClock(START_NS), random.Random(0)  # noqa: S311 - repeatable moments
    async with _bluetooth(count) as (_, straps), AsyncExitStack() as stack:
        silent: set[VirtualStrap] = set()
        await stack.enter_async_context(_alongside(_send_each_second(straps, silent, clock)))
        notes = await stack.enter_async_context(_collecting(straps, clock))
        since_ns: dict[str, int] = {}

        async def die(strap: VirtualStrap) -> None:
            await clock.sleep(random_.uniform(0, 6 * count))
            since_ns[strap.address] = notes.frames[strap.address][-1][0]
            silent.add(strap)
            await _until(lambda: not strap.subscribed)
            silent.discard(strap)  # a strap that is met again sends again

        await asyncio.gather(*(die(strap) for strap in straps))
        await _until(lambda: all(_back_ns(notes, at, since) for at, since in since_ns.items()))
        found = [_found_ns(notes, at, since) - since for at, since in since_ns.items()]
        back = [_back_ns(notes, at, since) - since for at, since in since_ns.items()]
    return [each / NS_PER_S for each in found], [each / NS_PER_S for each in back]


async def _send_each_second(
    straps: Sequence[VirtualStrap], silent: set[VirtualStrap], clock: VirtualClock
) -> None:
    """Let time pass, and every strap send once a second unless its link is to be silent."""
    due_ns = {strap: clock.now_ns() + k * NS_PER_S // len(straps) for k, strap in enumerate(straps)}
    for _ in itertools.count():
        clock.advance_to(clock.now_ns() + round(TICK_S * NS_PER_S))
        for strap, at_ns in due_ns.items():
            if at_ns <= clock.now_ns():
                due_ns[strap] += NS_PER_S
                if strap not in silent:
                    await strap.send_frame(_beat(at_ns // NS_PER_S))
        await asyncio.sleep(TICK_S / TIMES_AS_FAST)


def _found_ns(notes: _Notes, sensor_id: str, since_ns: int) -> int:
    """Return when the link was given up after a silence, 0 if it has not been."""
    given_up = (at_ns for at_ns, state, _ in notes.states[sensor_id] if state == "disconnected")
    return next((at_ns for at_ns in given_up if at_ns > since_ns), 0)


def _back_ns(notes: _Notes, sensor_id: str, since_ns: int) -> int:
    """Return when the first frame of the next link came, 0 if none has."""
    found_ns = _found_ns(notes, sensor_id, since_ns)
    return next((at_ns for at_ns, _ in notes.frames[sensor_id] if 0 < found_ns < at_ns), 0)


# Reconnects


def _reconnects(count: int) -> tuple[dict[str, int], int]:
    return asyncio.run(_lose_links(count))


async def _lose_links(count: int) -> tuple[dict[str, int], int]:
    clock, restarts = VirtualClock(START_NS), 0
    async with _bluetooth(4) as (bluetooth, straps), AsyncExitStack() as stack:
        stack.push_async_callback(_settle)
        await stack.enter_async_context(_alongside(_send_each_second(straps, set(), clock)))
        notes = await stack.enter_async_context(_collecting(straps, clock))
        early: dict[str, int] = {}
        for number in range(count):
            strap = straps[number % len(straps)]
            if number % 100 == 50:
                restarts += 1
                await _met_again(notes, straps, _restart(bluetooth))
            else:
                await _met_again(notes, [strap], strap.drop())
            if number == min(10, count // 4):
                early = await _held(bluetooth.address)
        late = await _held(bluetooth.address)
    return {what: max(late[what] - early[what], 0) for what in early}, restarts


async def _restart(bluetooth: VirtualBluetooth) -> None:
    await bluetooth.bluez.stop()
    await bluetooth.bluez.start(bluetooth.address)


async def _met_again(notes: _Notes, straps: Sequence[VirtualStrap], outage: Awaitable[None]) -> None:
    """Let an outage happen, and wait until each of these straps streams again over a new link."""

    def links(strap: VirtualStrap) -> int:
        return sum(state == "connected" for _, state, _ in notes.states[strap.address])

    before = {strap: links(strap) for strap in straps}
    await outage
    await _until(lambda: all(links(strap) > before[strap] and strap.battery_subscribed for strap in straps))
    frames = {strap: len(notes.frames[strap.address]) for strap in straps}
    await _until(lambda: all(len(notes.frames[strap.address]) > frames[strap] for strap in straps))


async def _settle() -> None:
    """Let Bleak close what it has open, after its bus has gone."""
    await asyncio.sleep(0.2)


async def _held(bus_address: str) -> dict[str, int]:
    """Return what this process and the message bus hold open, at a quiet moment."""
    await asyncio.sleep(0.5)
    gc.collect()
    bus = await MessageBus(bus_address=bus_address).connect()
    answer = await bus.call(
        Message(
            destination="org.freedesktop.DBus",
            path="/org/freedesktop/DBus",
            interface="org.freedesktop.DBus.Debug.Stats",
            member="GetStats",
        )
    )
    if answer.error_name:
        raise SystemExit("This dbus-daemon does not count; needed is one that was built with statistics")
    stats = {name: variant.value for name, variant in answer.body[0].items()}
    held = {
        "match rules": int(stats["MatchRules"]),
        "connections to the bus": int(stats["ActiveConnections"]),
        "tasks": len(asyncio.all_tasks()),
        "file descriptors": len(list(Path("/proc/self/fd").iterdir())),  # noqa: ASYNC240 - not a disk
    }
    bus.disconnect()
    return held


# The long day


def _day(straps: int, hours: int) -> tuple[int, int, int, float, float]:
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_collect_for(Path(folder), straps, hours))


async def _collect_for(folder: Path, count: int, hours: int) -> tuple[int, int, int, float, float]:
    clock, air, until = VirtualClock(START_NS), Air(), asyncio.Event()
    adapter = VirtualAdapter(air)
    await adapter.start()
    straps = await _started(air, count)
    worn = {strap.address: f"S{k:03d}" for k, strap in enumerate(straps)}
    with SqliteTimeSeries(folder / "samples.sqlite") as store, Spool(folder / "spool.sqlite", clock) as spool:
        collecting = asyncio.create_task(
            collect(
                worn, store=store, spool=spool, clock=clock, radio=adapter.radio, until=until,
                settings=SETTINGS,
            )
        )  # fmt: skip
        await _until(lambda: collecting.done() or all(strap.battery_subscribed for strap in straps))
        sent, drops, memory_mb = await _live(straps, hours * 3600, clock, spool)
        until.set()
        stored = (await collecting).counts.forwarded_values["heart_rate"]
    for strap in straps:
        await strap.stop()
    tenth = max(len(memory_mb) // 10, 1)
    early_mb, late_mb = statistics.median(memory_mb[tenth : 2 * tenth]), statistics.median(memory_mb[-tenth:])
    return sent, stored, drops, early_mb, late_mb


async def _live(
    straps: Sequence[VirtualStrap], seconds: int, clock: VirtualClock, spool: Spool
) -> tuple[int, int, list[float]]:
    """Let seconds pass; return notifications sent, links dropped, and the resident memory of each minute."""
    random_ = random.Random(0)  # noqa: S311 - repeatable drops
    sent, drops, memory_mb = 0, 0, list[float]()
    for second in range(1, seconds + 1):
        clock.advance_to(START_NS + second * NS_PER_S)
        for strap in straps:
            sent += await strap.send_frame(_beat(second))
        for _ in range(HOPS):
            await asyncio.sleep(0)
        if second % DROP_EVERY_S == 0:
            drops += 1
            strap = random_.choice(straps)
            await strap.drop()
            await _until(lambda strap=strap: strap.battery_subscribed)
        if second % 60 == 0:
            memory_mb.append(resident_mb(os.getpid()))
            await _let_forwarder_catch_up(spool)
    return sent, drops, memory_mb


async def _let_forwarder_catch_up(spool: Spool) -> None:
    while True:
        counts = await asyncio.to_thread(spool.counts)
        if counts.waiting_frames <= MOST_WAITING:
            return
        await asyncio.sleep(0.05)


def resident_mb(process_id: int) -> float:
    """Return the resident memory of a process."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"Process {process_id} has ended")
