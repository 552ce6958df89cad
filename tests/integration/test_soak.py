"""Short versions of `benchmarks.collector`, and the Bluetooth service restarting under the collector."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from benchmarks import endurance, kill, load
from benchmarks.table import Row
from configs.settings import CollectorSettings
from ingest.collector import Collector
from ingest.decoders.battery import LEVEL_UUID, SERVICE_UUID
from ingest.link import LINK_LOST, Link
from ingest.profiles.standard import CLOCK_READ_INTERVAL_S, CurrentTimeProfile, HeartRateProfile
from ingest.radio import Radio
from ingest.virtual.bluez.bed import VirtualBluetooth
from ingest.virtual.strap import VirtualStrap
from store.clock import VirtualClock
from store.units import NS_PER_S
from tests.collecting import ONE, PATIENCE_S, START_NS, MemorySpool, beat, stopped, until, virtual_rig

Outage = Callable[[VirtualBluetooth], Awaitable[None]]


def assert_hold(rows: list[Row]) -> None:
    assert [row for row in rows if row.holds is False] == []


# The Bluetooth service


async def restart(bluetooth: VirtualBluetooth) -> None:
    """As `systemctl restart bluetooth` does: it says goodbye, and the bus stays."""
    await bluetooth.bluez.stop()
    await bluetooth.bluez.start(bluetooth.address)


async def die(bluetooth: VirtualBluetooth) -> None:
    """As `kill -9` of the service: nobody hears that links and objects are gone."""
    say, bluetooth.bluez._tree._send = bluetooth.bluez._tree._send, lambda _message: None
    await bluetooth.bluez.stop()
    bluetooth.bluez._tree._send = say
    await bluetooth.bluez.start(bluetooth.address)


@pytest.mark.parametrize(
    ("outage", "why"), [(restart, LINK_LOST), (die, "no heart rate measurement for 5 s")]
)
async def test_a_service_that_restarts_costs_one_new_connection(
    bluetooth: VirtualBluetooth, outage: Outage, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The new service knows no such link; Bleak waits 10 s for it to say that this has ended.
    monkeypatch.setattr("ingest.collector.DISCONNECT_TIMEOUT_S", 0.2)
    strap = VirtualStrap(bluetooth.air, ONE, advertising_interval_ms=20)
    await strap.start()
    clock, spool = VirtualClock(START_NS), MemorySpool()
    settings = CollectorSettings(silent_after_s=5)
    collector = Collector({ONE: "S001"}, spool, clock, Radio(), settings=settings)
    running = asyncio.create_task(collector.run())

    async def live() -> None:
        sequence = 0
        while True:
            await asyncio.sleep(0.01)
            clock.advance_to(clock.now_ns() + NS_PER_S // 4)
            await strap.send(beat(sequence))
            sequence += 1

    living = asyncio.create_task(live())
    try:
        for restarts in range(3):
            before = len(spool.frames(ONE))
            await until(lambda before=before: len(spool.frames(ONE)) > before + 3)
            assert [state for state, _ in spool.states(ONE)].count("connected") == restarts + 1
            await outage(bluetooth)
            await until(lambda n=restarts + 2: [s for s, _ in spool.states(ONE)].count("connected") == n)
        assert [reason for state, reason in spool.states(ONE) if state == "disconnected"] == [why] * 3
        await stopped(collector, running)
    finally:
        living.cancel()
        await asyncio.gather(living, return_exceptions=True)
        await strap.stop()


# A cancellation that a library loses


class HourlyLook(CurrentTimeProfile):
    """The clock of a wearable, where looking loses a cancellation as libraries do on Python 3.11."""

    service_uuid = SERVICE_UUID

    def __init__(self) -> None:
        self.looks = 0

    async def _look(self, port: Link) -> None:
        self.looks += 1
        if self.looks == 1:
            return
        try:
            await asyncio.sleep(PATIENCE_S)
        except asyncio.CancelledError:
            await port.client.read_gatt_char(LEVEL_UUID)  # it answers all the same


async def test_a_lost_cancellation_does_not_keep_a_profile_that_loops() -> None:
    async with virtual_rig() as rig:
        look = HourlyLook()
        collector = Collector(
            {ONE: "S001"}, rig.spool, rig.clock, rig.radio, profiles=(HeartRateProfile(), look),
            settings=CollectorSettings(silent_after_s=600),
        )  # fmt: skip
        running = asyncio.create_task(collector.run())
        await until(lambda: look.looks == 1)
        for _ in range(CLOCK_READ_INTERVAL_S // 300):
            await rig.second(ONE, 0)
            await rig.pass_s(300)
        await until(lambda: look.looks == 2)
        await stopped(collector, running)


# Short versions of the benchmarks


@pytest.mark.soak
def test_a_killed_collector_loses_nothing_that_it_had_spooled() -> None:
    rows = kill.kills(2, straps=2)
    assert_hold([row for row in rows if "restart" not in row.name])
    found = {row.name: row.value for row in rows}
    assert found["found in the spool after a kill"] > 0
    assert found["notifications while a collector lived"] > 10


@pytest.mark.soak
def test_every_notification_of_many_straps_is_stored() -> None:
    rows = load.many(12, 3)
    assert_hold([row for row in rows if "memory" not in row.name])
    assert rows[0].value >= 12 * 3


@pytest.mark.soak
def test_dead_links_are_found_and_made_anew() -> None:
    assert_hold(endurance.zombies(3))


@pytest.mark.soak
def test_reconnects_leave_nothing_behind() -> None:
    assert_hold(endurance.reconnects(12))


@pytest.mark.soak
def test_hours_take_no_more_memory() -> None:
    rows = endurance.day(3, 1)
    assert_hold([row for row in rows if "memory" not in row.name])
    assert rows[0].value == 3 * 3600
