"""The collector over virtual air: every frame stamped and kept, every change of the link on record."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode

from configs.settings import CollectorSettings
from ingest import adapters
from ingest.collector import COLLECTOR_STOPPED, LINK_LOST, Collector
from ingest.decoders.device_information import DeviceInformation
from ingest.decoders.heart_rate import MEASUREMENT_UUID, encode_heart_rate
from ingest.keeper import NO_ROOM, ROOM_AGAIN, Keeper
from ingest.link import ATTEND_RETRY_S
from ingest.radio import Radio
from ingest.readings import reading_of
from ingest.virtual.backend import VirtualClient
from ingest.watchdog import FIRST_FRAME_S
from store.clock import VirtualClock
from store.errors import BluetoothError, HomeError, StoreUnavailableError
from store.registry.wearing import Wearing
from store.streams import SIGNAL
from store.units import NS_PER_S
from tests.collecting import (
    ONE,
    PATIENCE_S,
    START_NS,
    TWO,
    WORN,
    MemorySpool,
    Rig,
    beat,
    settle,
    stopped,
    until,
    virtual_rig,
)

SILENT_AFTER_S = CollectorSettings().silent_after_s


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with virtual_rig() as made:
        yield made


async def test_frames_are_stamped_and_kept_in_order_for_their_wearer(rig: Rig) -> None:
    collector, running = await rig.start(WORN)
    for sequence in range(5):
        await rig.second(ONE, sequence)
        await rig.second(TWO, 100 + sequence)
    await stopped(collector, running)
    frames = [r for r in rig.spool.records if r.kind == "heart_rate_measurement"]
    assert [(r.subject_id, r.sensor_id, r.payload) for r in frames] == [
        (WORN[address], address, encode_heart_rate(beat(base + sequence)))
        for sequence in range(5)
        for address, base in ((ONE, 0), (TWO, 100))
    ]
    assert [r.wall_ns for r in frames] == [START_NS + n * NS_PER_S for n in range(1, 11)]
    assert [r.mono_ns for r in frames] == [n * NS_PER_S for n in range(1, 11)]
    assert collector.received == {
        "heart_rate_measurement": 10,
        "battery_level": 2,
        "link_state": 8,
        "signal": 2,
    }
    assert collector.refused == 0


async def test_link_states_tell_the_whole_story(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert rig.spool.states(ONE) == [
        ("started", ""),
        ("connected", ""),
        ("disconnected", COLLECTOR_STOPPED),
        ("stopped", ""),
    ]
    assert not rig.straps[ONE].connected


async def test_how_strong_it_was_heard_is_noted_at_each_connection(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    await rig.straps[ONE].drop()
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await stopped(collector, running)
    noted = [reading_of(r).at_arrival for r in rig.spool.records if r.kind == "signal"]
    assert noted == [((SIGNAL, (-50.0,)),)] * 2


async def test_what_the_sensor_says_about_itself_is_reported_once(rig: Rig) -> None:
    said: list[tuple[str, DeviceInformation]] = []
    collector, running = await rig.start({ONE: "S001"}, on_device_info=lambda *info: said.append(info))
    await rig.second(ONE, 0)
    await rig.straps[ONE].drop()
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await stopped(collector, running)
    about = DeviceInformation(
        manufacturer_name="evenkeel",
        model_number="virtual strap",
        serial_number=ONE,
        firmware_revision="1.0",
    )
    assert said == [(ONE, about)]


async def test_after_an_outage_only_the_outage_is_missing(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    strap = rig.straps[ONE]
    for sequence in range(3):
        await rig.second(ONE, sequence)
    strap.vanish()
    for sequence in range(3, 6):
        rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S)
        await strap.send(beat(sequence))
    await until(lambda: ("disconnected", LINK_LOST) in rig.spool.states(ONE))
    strap.reappear()
    await until(lambda: strap.battery_subscribed)
    for sequence in range(6, 9):
        await rig.second(ONE, sequence)
    await stopped(collector, running)
    assert rig.spool.frames(ONE) == [encode_heart_rate(beat(n)) for n in (0, 1, 2, 6, 7, 8)]
    assert [state for state, _ in rig.spool.states(ONE)] == [
        "started",
        "connected",
        "disconnected",
        "connected",
        "disconnected",
        "stopped",
    ]


async def test_one_sensor_out_of_range_does_not_hold_up_the_other(rig: Rig) -> None:
    rig.straps[TWO].vanish()
    collector = Collector(WORN, rig.spool, rig.clock, rig.radio)
    running = asyncio.create_task(collector.run())
    await until(lambda: rig.straps[ONE].subscribed)
    await rig.second(ONE, 0)
    rig.straps[TWO].reappear()
    await until(lambda: rig.straps[TWO].subscribed)
    await rig.second(TWO, 0)
    await rig.second(ONE, 1)
    await stopped(collector, running)


async def test_a_silent_link_is_given_up_and_made_anew(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    await rig.straps[ONE].send_battery(50)
    await until(lambda: rig.spool.frames(ONE, "battery_level")[-1:] == [b"\x32"])
    rig.clock.advance_to(rig.clock.now_ns() + round(SILENT_AFTER_S * NS_PER_S) - 1)
    await settle()
    assert rig.straps[ONE].connected
    rig.clock.advance_to(rig.clock.now_ns() + 1)
    await until(lambda: ("disconnected", "no heart rate measurement for 15 s") in rig.spool.states(ONE))
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await rig.second(ONE, 1)
    await stopped(collector, running)
    assert len(rig.spool.frames(ONE)) == 2


async def test_how_long_silence_may_last_is_a_setting(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"}, settings=CollectorSettings(silent_after_s=7.5))
    await rig.second(ONE, 0)
    rig.clock.advance_to(rig.clock.now_ns() + round(7.5 * NS_PER_S) - 1)
    await settle()
    assert rig.straps[ONE].connected
    rig.clock.advance_to(rig.clock.now_ns() + 1)
    await until(lambda: ("disconnected", "no heart rate measurement for 7.5 s") in rig.spool.states(ONE))
    await stopped(collector, running)


async def test_a_registry_that_fails_does_not_end_the_collection(rig: Rig, caplog) -> None:
    threads: list[str] = []

    def refuse(*_told: object) -> None:
        threads.append(threading.current_thread().name)
        raise StoreUnavailableError("the registry is locked")

    collector, running = await rig.start({ONE: "S001"}, on_device_info=refuse)
    await until(lambda: "the registry is locked" in caplog.text)
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert threads != [threading.main_thread().name]


async def test_a_sensor_that_never_sends_is_tried_less_and_less_often(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    waits_s = []
    for _ in range(4):
        rig.clock.advance_to(rig.clock.now_ns() + round(FIRST_FRAME_S * NS_PER_S))
        await until(lambda: not rig.straps[ONE].connected)
        await asyncio.sleep(0.05)
        left_s = 0.0
        while not rig.straps[ONE].battery_subscribed:
            rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S // 10)
            left_s += 0.1
            await asyncio.sleep(0.01)
        await settle()
        waits_s.append(left_s)
    await stopped(collector, running)
    for wait_s, longest_s in zip(waits_s, (1, 2, 4, 8), strict=True):
        assert longest_s / 2 <= wait_s <= longest_s + 2


async def test_stop_leaves_no_task_and_no_link(rig: Rig) -> None:
    before = asyncio.all_tasks()
    collector, running = await rig.start(WORN)
    await stopped(collector, running)
    await until(lambda: asyncio.all_tasks() <= before)
    assert not any(strap.connected for strap in rig.straps.values())


async def test_stop_is_clean_at_any_moment(rig: Rig) -> None:
    before = asyncio.all_tasks()
    for step in range(24):
        collector = Collector(WORN, rig.spool, rig.clock, rig.radio)
        running = asyncio.create_task(collector.run())
        await asyncio.sleep(step * 0.004)
        await stopped(collector, running)
        await until(lambda: not any(strap.connected for strap in rig.straps.values()))
        # The straps advertise again in tasks of their own.
        await until(lambda: asyncio.all_tasks() <= before)
        assert [state for state, _ in rig.spool.states(ONE)][-1] == "stopped"


async def test_cancelling_the_run_leaves_the_sensors_too(rig: Rig) -> None:
    _, running = await rig.start({ONE: "S001"})
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not rig.straps[ONE].connected)
    assert rig.spool.states(ONE)[-2:] == [("disconnected", COLLECTOR_STOPPED), ("stopped", "")]


async def test_a_full_spool_is_a_gap_with_a_reason_and_said_once_a_minute(rig: Rig, caplog) -> None:
    collector, running = await rig.start({ONE: "S001"})
    rig.spool.is_full = True
    for sequence in range(61):
        rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S)
        await rig.straps[ONE].send(beat(sequence))
        await until(lambda expected=sequence + 2: collector.refused == expected)
    rig.spool.is_full = False
    await rig.second(ONE, 61)
    await stopped(collector, running)
    assert collector.received["heart_rate_measurement"] == 62
    assert collector.refused == 61
    assert rig.spool.frames(ONE) == [encode_heart_rate(beat(61))]
    assert rig.spool.states(ONE)[2:4] == [
        ("disconnected", NO_ROOM),
        ("connected", f"{ROOM_AGAIN}; 61 frames lost"),
    ]
    stamps = [record.wall_ns for record in rig.spool.records if record.kind == "link_state"][2:4]
    assert stamps == [START_NS + NS_PER_S, START_NS + 62 * NS_PER_S]
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == [
        "The spool is full; free some space; 1 records refused since the start",
        "The spool is full; free some space; 61 records refused since the start",
    ]


def test_a_signal_that_is_refused_makes_no_gap(clock: VirtualClock) -> None:
    spool, worn = MemorySpool(is_full=True), Wearing(ONE, "S001", START_NS, None)
    keeper = Keeper(spool, clock, pytest.fail)
    keeper.note_signal(worn, -60)
    assert keeper.refused == 1
    spool.is_full = False
    keeper.note_link(worn, "stopped")
    assert spool.states(ONE) == [("stopped", "")]


async def test_a_link_lost_while_the_spool_is_full_is_told_later(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    rig.spool.is_full = True
    await rig.straps[ONE].send(beat(0))
    await until(lambda: collector.refused == 2)
    rig.straps[ONE].vanish()
    await until(lambda: collector.refused == 3)
    rig.spool.is_full = False
    await stopped(collector, running)
    assert collector.refused == 1
    assert rig.spool.states(ONE) == [
        ("started", ""),
        ("connected", ""),
        ("disconnected", NO_ROOM),
        ("disconnected", LINK_LOST),
        ("stopped", ""),
    ]


async def test_a_failed_spool_ends_the_run(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    rig.spool.has_failed = True
    await rig.straps[ONE].send(beat(0))
    with pytest.raises(HomeError, match="check the disk"):
        await asyncio.wait_for(running, PATIENCE_S)
    assert collector.refused == 3  # the frame, and the two changes of the link that follow
    await until(lambda: not rig.straps[ONE].connected)


def radio_with(rig: Rig, behaviour: type[VirtualClient]) -> Radio:
    """Return the rig's radio with a client that behaves otherwise."""
    assert rig.radio.client is not None
    bound = {"adapter_in_use": rig.radio.client.adapter_in_use}
    return Radio(rig.radio.scanner, type("BoundClient", (behaviour,), bound))


async def test_an_answer_to_a_read_is_no_second_sample(rig: Rig) -> None:
    class EchoingClient(VirtualClient):
        """Delivers the answer to a read as a notification too, as BlueZ does to a subscriber."""

        async def start_notify(
            self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **options: object
        ) -> None:
            self.callbacks = {**getattr(self, "callbacks", {}), characteristic.handle: callback}
            await super().start_notify(characteristic, callback, **options)

        async def read_gatt_char(self, characteristic: BleakGATTCharacteristic, **options) -> bytearray:
            value = await super().read_gatt_char(characteristic, **options)
            if callback := getattr(self, "callbacks", {}).get(characteristic.handle):
                callback(value)
            return value

    rig.radio = radio_with(rig, EchoingClient)
    collector, running = await rig.start({ONE: "S001"})
    await rig.straps[ONE].send_battery(99)
    await until(lambda: len(rig.spool.frames(ONE, "battery_level")) > 1)
    await stopped(collector, running)
    assert rig.spool.frames(ONE, "battery_level") == [b"\x64", b"\x63"]


async def test_an_attempt_that_fails_does_not_end_the_one_that_stands(rig: Rig) -> None:
    attempts: list[str] = []

    class FailingOnce(VirtualClient):
        async def connect(self, *args, **options) -> None:
            await super().connect(*args, **options)
            attempts.append(self.address)
            if len(attempts) == 1:
                await self.disconnect()
                raise BleakError("failed to discover services, device disconnected")

    rig.radio = radio_with(rig, FailingOnce)
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert attempts == [ONE, ONE]
    assert [state for state, _ in rig.spool.states(ONE)] == [
        "started",
        "connected",
        "disconnected",
        "stopped",
    ]


async def test_the_adapter_does_one_thing_at_a_time(rig: Rig) -> None:
    busy: list[str] = []
    overlaps: list[str] = []

    class WatchedClient(VirtualClient):
        async def connect(self, *args, **options) -> None:
            if busy or self.adapter_in_use.device.scanning:
                overlaps.append(self.address)
            busy.append(self.address)
            await super().connect(*args, **options)
            busy.remove(self.address)

    rig.radio = radio_with(rig, WatchedClient)
    collector, running = await rig.start(WORN)
    await stopped(collector, running)
    assert overlaps == []


async def test_a_connect_that_takes_long_is_no_silence(rig: Rig) -> None:
    class SlowClient(VirtualClient):
        async def connect(self, *args, **options) -> None:
            await super().connect(*args, **options)
            rig.clock.advance_to(rig.clock.now_ns() + round(2 * FIRST_FRAME_S * NS_PER_S))

    rig.radio = radio_with(rig, SlowClient)
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert [state for state, _ in rig.spool.states(ONE)] == [
        "started",
        "connected",
        "disconnected",
        "stopped",
    ]


async def test_without_bluetooth_the_run_ends_with_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    spool = MemorySpool()
    with pytest.raises(BluetoothError, match=r"^No usable Bluetooth"):
        await Collector({ONE: "S001"}, spool, VirtualClock(START_NS), Radio()).run()
    assert [state for state, _ in spool.states(ONE)] == ["started", "stopped"]


async def test_bluetooth_that_fails_later_is_waited_for(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    collector, running = await rig.start({ONE: "S001"})
    await rig.second(ONE, 0)
    scanner = rig.radio.scanner
    assert scanner is not None
    working_start = scanner.start
    tried = asyncio.Event()

    async def failing_start(_self) -> None:
        tried.set()
        raise EOFError("the bus is gone")

    monkeypatch.setattr(scanner, "start", failing_start)
    await rig.straps[ONE].drop()
    await asyncio.wait_for(tried.wait(), PATIENCE_S)
    await settle()
    monkeypatch.setattr(scanner, "start", working_start)
    rig.clock.advance_to(rig.clock.now_ns() + adapters.SCAN_RETRY_S * NS_PER_S)
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await rig.second(ONE, 1)
    await stopped(collector, running)


async def test_heart_rate_that_is_refused_at_first_is_started_later_over_the_same_link(rig: Rig) -> None:
    refusals: list[str] = []

    class Reluctant(VirtualClient):
        async def start_notify(
            self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **options: object
        ) -> None:
            if characteristic.uuid == MEASUREMENT_UUID and len(refusals) < 2:
                refusals.append(characteristic.uuid)
                raise BleakGATTProtocolError(BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION)
            await super().start_notify(characteristic, callback, **options)

    rig.radio = radio_with(rig, Reluctant)
    collector, running = await rig.start({ONE: "S001"})
    assert len(refusals) == 1
    await rig.pass_s(ATTEND_RETRY_S)
    assert len(refusals) == 2
    await rig.pass_s(ATTEND_RETRY_S)
    await until(lambda: rig.spool.states(ONE)[-1] == ("connected", "Heart Rate started after all"))
    await rig.second(ONE, 7)
    states = rig.spool.states(ONE)
    assert [state for state, _ in states] == ["started", "connected", "connected", "connected"]
    assert states[2][1].startswith("Heart Rate not started (")
    await rig.pass_s(16)  # and it is watched from then on
    await until(lambda: ("disconnected", "no heart rate measurement for 15 s") in rig.spool.states(ONE))
    await stopped(collector, running)
