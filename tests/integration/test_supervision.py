"""The collector over months: turns, adapters, pauses, sensors passed on, heartbeats, profiles, no leaks."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
from bleak import BleakClient
from bleak.exc import BleakError, BleakGATTProtocolError

from configs.settings import CollectorSettings
from ingest.adapters import SCAN_RETRY_S, SCAN_SILENT_S, TURN_S
from ingest.collector import HEARTBEAT_INTERVAL_S, LINK_LOST, PAUSED, ROSTER_INTERVAL_S, TURN_OVER, Collector
from ingest.decoders.battery import SERVICE_UUID as BATTERY_SERVICE
from ingest.decoders.heart_rate import encode_heart_rate
from ingest.heartbeat import CollectorStatus
from ingest.link import ATTEND_RETRY_S, PASSED_ON
from ingest.memory import WearableMemory
from ingest.pauses import NOBODY, Pauses
from ingest.profiles.profile import Port, Watch
from ingest.profiles.standard import HeartRateProfile
from ingest.radio import Radio
from ingest.records import parse_link_payload
from ingest.roster import Roster
from ingest.virtual.backend import VirtualAdapter
from ingest.wear import OFF_BODY_AFTER_S, ON_BODY_AFTER_S
from store.errors import BluetoothError
from store.registry.wearing import Wearing
from store.types import HeartRateMeasurement
from store.units import NS_PER_S
from tests.collecting import (
    ONE,
    PATIENCE_S,
    START_NS,
    TWO,
    WORN,
    Rig,
    beat,
    settle,
    stopped,
    until,
    virtual_rig,
)

WAITS = "waits for a connection: the adapter holds 1"


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    async with virtual_rig() as made:
        yield made


class Situation:
    """Who wears what and who has paused, as a test changes it."""

    def __init__(self, *wearings: Wearing) -> None:
        self.wearings = list(wearings)
        self.pauses = NOBODY

    def roster(self) -> Roster:
        return Roster(lambda: list(self.wearings), lambda: self.pauses)


async def following(rig: Rig) -> None:
    """Let the collector read the roster again."""
    await rig.pass_s(ROSTER_INTERVAL_S)
    await asyncio.sleep(0.05)  # it reads in a thread


# Turns and adapters


async def test_more_sensors_than_connections_take_turns(rig: Rig, caplog) -> None:
    caplog.set_level("INFO", "ingest")
    settings = CollectorSettings(connections_per_adapter=1, silent_after_s=600)
    collector = Collector(WORN, rig.spool, rig.clock, rig.radio, settings=settings)
    running = asyncio.create_task(collector.run())
    held: list[str] = []
    await until(lambda: any(strap.battery_subscribed for strap in rig.straps.values()))
    for _ in range(4):
        (now,) = [address for address in WORN if rig.straps[address].battery_subscribed]
        other = TWO if now == ONE else ONE
        held.append(now)
        why = ("disconnected", WAITS)
        await until(lambda other=other, why=why: rig.spool.states(other)[-1] == why)
        for _ in range(2):
            await rig.pass_s(TURN_S / 2 - 2)
            await rig.second(now, 0)
        await asyncio.sleep(0.1)
        assert rig.straps[now].connected
        await rig.pass_s(3)
        await until(lambda other=other: rig.straps[other].battery_subscribed)
        assert ("disconnected", TURN_OVER) in rig.spool.states(now)
    await stopped(collector, running)
    assert held in ([ONE, TWO, ONE, TWO], [TWO, ONE, TWO, ONE])
    assert f"disconnected: {WAITS}" in caplog.text


async def test_a_connection_given_up_goes_to_the_one_that_waits(rig: Rig) -> None:
    settings = CollectorSettings(connections_per_adapter=1)
    collector, running = await rig.start({ONE: "S001"}, settings=settings)
    await stopped(collector, running)
    rig.straps[TWO].vanish()
    collector = Collector(WORN, rig.spool, rig.clock, rig.radio, settings=settings)
    running = asyncio.create_task(collector.run())
    await until(lambda: rig.straps[ONE].battery_subscribed)
    rig.straps[TWO].reappear()
    await until(lambda: len(rig.spool.states(TWO)) > 1)
    rig.straps[ONE].vanish()
    await until(lambda: rig.straps[TWO].battery_subscribed)
    assert ("disconnected", LINK_LOST) in rig.spool.states(ONE)
    await stopped(collector, running)


async def test_a_second_adapter_takes_what_the_first_cannot_hold(rig: Rig) -> None:
    second = VirtualAdapter(rig.air, "F0:00:00:00:00:02")
    await second.start()
    settings = CollectorSettings(connections_per_adapter=1)
    collector = Collector(WORN, rig.spool, rig.clock, (rig.radio, second.radio), settings=settings)
    running = asyncio.create_task(collector.run())
    await until(lambda: all(strap.battery_subscribed for strap in rig.straps.values()))
    assert len(second.device.connections) == 1
    await rig.second(ONE, 0)
    await rig.second(TWO, 0)
    await stopped(collector, running)


async def test_one_adapter_that_never_works_does_not_end_the_run(rig: Rig, monkeypatch) -> None:
    broken = VirtualAdapter(rig.air, "F0:00:00:00:00:02")

    async def fail(_self: object) -> None:
        raise BleakError("no such adapter")

    monkeypatch.setattr(broken.radio.scanner, "start", fail)
    collector = Collector(WORN, rig.spool, rig.clock, (broken.radio, rig.radio))
    running = asyncio.create_task(collector.run())
    await until(lambda: all(strap.battery_subscribed for strap in rig.straps.values()))
    await stopped(collector, running)
    collector = Collector(WORN, rig.spool, rig.clock, (broken.radio, broken.radio))
    with pytest.raises(BluetoothError, match="no such adapter"):
        await asyncio.wait_for(collector.run(), PATIENCE_S)


async def test_a_deaf_scanner_is_started_anew_though_it_cannot_be_stopped(rig: Rig, monkeypatch) -> None:
    scanner = rig.radio.scanner
    assert scanner is not None
    starts: list[object] = []
    hear, stop = scanner.on_report, scanner.stop

    async def start(self) -> None:
        starts.append(self)
        await type(self).__mro__[1].start(self)

    async def failing_stop(self) -> None:
        await stop(self)
        if self is starts[0]:
            raise BleakError("no discovery started")

    monkeypatch.setattr(scanner, "start", start)
    monkeypatch.setattr(scanner, "stop", failing_stop)
    monkeypatch.setattr(scanner, "on_report", lambda self, r: None if self is starts[0] else hear(self, r))
    collector = Collector({ONE: "S001"}, rig.spool, rig.clock, rig.radio)
    running = asyncio.create_task(collector.run())
    await until(lambda: starts)
    await asyncio.sleep(0.05)
    await rig.pass_s(SCAN_SILENT_S - 1)
    await asyncio.sleep(0.05)
    assert len(starts) == 1
    for _ in range(1 + SCAN_RETRY_S):
        await rig.pass_s(1)
        await asyncio.sleep(0.02)
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await stopped(collector, running)


# Off the body


async def test_off_the_body_is_a_state_and_every_frame_is_kept(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})
    off = HeartRateMeasurement(0, skin_contact=False, energy_kj=None, rr_ms=())
    sent = [beat(0)] * 3 + [off] * (OFF_BODY_AFTER_S + 5) + [beat(1)] * (ON_BODY_AFTER_S + 5)
    for number, measurement in enumerate(sent, start=1):
        rig.clock.advance_to(START_NS + number * NS_PER_S)
        await rig.straps[ONE].send(measurement)
        await until(lambda number=number: len(rig.spool.frames(ONE)) == number)
    await stopped(collector, running)
    assert rig.spool.frames(ONE) == [encode_heart_rate(measurement) for measurement in sent]
    assert rig.spool.states(ONE)[2:-2] == [("off_body", "no skin contact"), ("on_body", "")]
    stamps = [record.wall_ns - START_NS for record in rig.spool.records if record.kind == "link_state"]
    assert stamps[2] == (4 + OFF_BODY_AFTER_S) * NS_PER_S


# Pauses


async def test_a_pause_leaves_the_sensor_and_nothing_is_kept(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", 0), Wearing(TWO, "S002", 0))
    collector, running = await rig.start(situation.roster())
    await rig.second(ONE, 0)
    situation.pauses = Pauses({"S001": rig.clock.now_ns() + 3600 * NS_PER_S})
    await following(rig)
    await until(lambda: rig.spool.states(ONE)[-1] == ("paused", PAUSED))
    assert rig.spool.states(ONE)[-2] == ("disconnected", PAUSED)
    assert not rig.straps[ONE].connected
    await rig.second(TWO, 0)
    held = len(rig.spool.frames(ONE))
    await following(rig)
    await asyncio.sleep(0.1)
    assert (await rig.straps[ONE].send(beat(1)), len(rig.spool.frames(ONE))) == (0, held)
    rig.clock.advance_to(rig.clock.now_ns() + 3600 * NS_PER_S)
    await until(lambda: ("resumed", "") in rig.spool.states(ONE))
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await rig.second(ONE, 2)
    await stopped(collector, running)


async def test_a_pause_lasts_over_a_restart(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", 0))
    situation.pauses = Pauses({"*": None})
    collector = Collector(situation.roster(), rig.spool, rig.clock, rig.radio)
    running = asyncio.create_task(collector.run())
    await until(lambda: len(rig.spool.states(ONE)) == 2)
    for _ in range(3):
        await following(rig)
    assert not rig.straps[ONE].connected
    await stopped(collector, running)
    assert rig.spool.states(ONE) == [("started", ""), ("paused", PAUSED), ("stopped", "")]


# Pairing


async def test_a_sensor_passed_on_never_mixes_two_people(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", START_NS))
    collector, running = await rig.start(situation.roster())
    await rig.second(ONE, 0)
    handover_ns = START_NS + 5 * NS_PER_S
    situation.wearings = [Wearing(ONE, "S001", START_NS, handover_ns), Wearing(ONE, "S002", handover_ns)]
    await following(rig)
    await rig.second(ONE, 1)
    rig.clock.advance_to(handover_ns)
    await rig.straps[ONE].send(beat(2))
    await until(lambda: ("disconnected", PASSED_ON) in rig.spool.states(ONE))
    await following(rig)
    await until(lambda: rig.straps[ONE].battery_subscribed)
    await settle()
    await rig.second(ONE, 3)
    await stopped(collector, running)
    frames = [r for r in rig.spool.records if r.kind == "heart_rate_measurement"]
    expected = [("S001", 0), ("S001", 1), ("S002", 3)]
    assert [(r.subject_id, r.payload) for r in frames] == [
        (subject, encode_heart_rate(beat(number))) for subject, number in expected
    ]
    assert all((r.wall_ns >= handover_ns) == (r.subject_id == "S002") for r in frames)
    links = [
        (r.subject_id, parse_link_payload(r.payload)[0]) for r in rig.spool.records if r.kind == "link_state"
    ]
    told = ("started", "connected", "disconnected", "stopped")
    assert links == [(subject, state) for subject in ("S001", "S002") for state in told]


async def test_a_sensor_that_is_no_longer_worn_is_not_connected_to_again(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", 0))
    collector, running = await rig.start(situation.roster())
    end_ns = START_NS + 3 * NS_PER_S
    situation.wearings = [Wearing(ONE, "S001", 0, end_ns)]
    await following(rig)
    rig.clock.advance_to(end_ns)  # a second before the roster is read again
    await rig.straps[ONE].send(beat(0))
    await until(lambda: rig.spool.states(ONE)[-1] == ("disconnected", PASSED_ON))
    await asyncio.sleep(0.2)
    assert rig.spool.states(ONE)[-1] == ("disconnected", PASSED_ON)
    await following(rig)
    await until(lambda: rig.spool.states(ONE)[-1] == ("stopped", PASSED_ON))
    await stopped(collector, running)
    assert rig.spool.frames(ONE) == []


async def test_what_comes_while_a_sensor_is_left_is_nobodys(rig: Rig, monkeypatch) -> None:
    situation = Situation(Wearing(ONE, "S001", START_NS))
    collector, running = await rig.start(situation.roster())
    await rig.second(ONE, 0)
    disconnect = BleakClient.disconnect

    async def slow(client: BleakClient) -> None:
        await rig.straps[ONE].send(beat(1))  # BlueZ takes seconds, and the strap sends on
        await settle()
        await disconnect(client)

    monkeypatch.setattr(BleakClient, "disconnect", slow)
    # The registry was away: that S001 no longer wears it is known only now.
    situation.wearings = [Wearing(ONE, "S001", START_NS, START_NS + NS_PER_S)]
    await following(rig)
    await until(lambda: rig.spool.states(ONE)[-1] == ("stopped", PASSED_ON))
    await stopped(collector, running)
    assert rig.spool.frames(ONE) == [encode_heart_rate(beat(0))]


async def test_who_began_earlier_than_was_known_goes_on(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", START_NS))
    collector, running = await rig.start(situation.roster())
    situation.wearings = [Wearing(ONE, "S001", START_NS - NS_PER_S)]
    await following(rig)
    await rig.second(ONE, 0)
    assert rig.spool.states(ONE) == [("started", ""), ("connected", "")]
    await stopped(collector, running)


async def test_a_cancellation_that_a_library_loses_does_not_hold_up_the_stop(rig: Rig, monkeypatch) -> None:
    has_begun = asyncio.Event()

    async def losing(_radio: Radio, _address: str) -> None:
        has_begun.set()
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(PATIENCE_S)

    monkeypatch.setattr(Radio, "close_stale_connection", losing)
    rig.straps[ONE].vanish()
    collector = Collector({ONE: "S001"}, rig.spool, rig.clock, rig.radio)
    running = asyncio.create_task(collector.run())
    await has_begun.wait()
    collector.stop()
    await asyncio.wait_for(running, 2)


async def test_sensors_paired_and_unpaired_meanwhile_are_followed(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", 0))
    collector, running = await rig.start(situation.roster())
    situation.wearings = [Wearing(TWO, "S002", 0)]
    await following(rig)
    await until(lambda: rig.straps[TWO].battery_subscribed)
    assert not rig.straps[ONE].connected
    assert rig.spool.states(ONE)[-2:] == [("disconnected", PASSED_ON), ("stopped", PASSED_ON)]
    await rig.second(TWO, 0)
    await stopped(collector, running)


# Heartbeats


async def test_a_heartbeat_a_minute_for_everyone_who_has_not_paused(rig: Rig) -> None:
    situation = Situation(Wearing(ONE, "S001", 0), Wearing(TWO, "S002", 0))
    situation.pauses = Pauses({"S002": None})
    status = CollectorStatus(4096, 7, 1.5)
    collector = Collector(situation.roster(), rig.spool, rig.clock, rig.radio, status=lambda: status)
    running = asyncio.create_task(collector.run())
    await until(lambda: rig.straps[ONE].battery_subscribed)
    for beats in (1, 2, 3):
        await rig.pass_s(HEARTBEAT_INTERVAL_S)
        await until(lambda beats=beats: len(rig.spool.frames(ONE, "collector")) == beats)
    await stopped(collector, running)
    assert rig.spool.frames(TWO, "collector") == []
    assert {CollectorStatus.from_payload(p) for p in rig.spool.frames(ONE, "collector")} == {status}
    assert json.loads(status.payload())["waiting_frames"] == 7


# Profiles


class Probe:
    """A profile that notes what is asked of it, and fails where it is told to."""

    name = "probe"
    service_uuid = BATTERY_SERVICE
    reads = "nothing"

    def __init__(self, failing: str = "", error: Exception | None = None) -> None:
        self.failing, self.error = failing, error
        self.calls: list[str] = []
        self.port: Port | None = None

    async def start(self, port: Port) -> tuple[Watch, ...]:
        self.port = port
        await self._called("start", port)
        return ()

    async def attend(self, port: Port) -> None:
        await self._called("attend", port)

    async def stop(self, port: Port) -> None:
        await self._called("stop", port)

    async def _called(self, name: str, port: Port) -> None:
        self.calls.append(f"{name}{'' if port.client.is_connected else ' too late'}")
        if name == self.failing and self.error is not None:
            raise self.error


async def with_probe(rig: Rig, probe: Probe, **options) -> tuple[Collector, asyncio.Task[None]]:
    profiles = (HeartRateProfile(), probe)
    collector = Collector({ONE: "S001"}, rig.spool, rig.clock, rig.radio, profiles=profiles, **options)
    running = asyncio.create_task(collector.run())
    await until(lambda: rig.straps[ONE].subscribed and probe.calls)
    await settle()
    return collector, running


async def test_a_profile_starts_attends_and_stops_while_the_wearable_can_hear(rig: Rig) -> None:
    probe = Probe()
    collector, running = await with_probe(rig, probe)
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert probe.calls == ["start", "attend", "stop"]


@pytest.mark.parametrize("failing", ["start", "stop"])
async def test_a_service_that_is_refused_does_not_cost_the_others(rig: Rig, failing: str, caplog) -> None:
    probe = Probe(failing, BleakGATTProtocolError(0x80))
    collector, running = await with_probe(rig, probe)
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert f"probe not {'started' if failing == 'start' else 'stopped'}" in caplog.text
    assert rig.spool.states(ONE)[-2:] == [("disconnected", "collector stopped"), ("stopped", "")]


async def test_a_service_that_is_refused_is_not_attended_to(rig: Rig) -> None:
    probe = Probe("start", BleakGATTProtocolError(0x80))
    collector, running = await with_probe(rig, probe)
    await rig.second(ONE, 0)
    await stopped(collector, running)
    assert probe.calls == ["start", "stop"]


async def test_a_wearable_that_refuses_everything_is_left_and_tried_again(rig: Rig) -> None:
    probe = Probe("start", BleakGATTProtocolError(0x80))
    collector = Collector({ONE: "S001"}, rig.spool, rig.clock, rig.radio, profiles=(probe,))
    running = asyncio.create_task(collector.run())
    await until(lambda: "disconnected" in dict(rig.spool.states(ONE)))
    assert "set-up failed: probe not started" in dict(rig.spool.states(ONE))["disconnected"]
    await rig.pass_s(1)
    await until(lambda: probe.calls.count("start") > 1)
    await stopped(collector, running)


async def test_what_a_profile_attends_to_is_tried_again(rig: Rig) -> None:
    probe = Probe("attend", BleakError("busy"))
    settings = CollectorSettings(silent_after_s=600)
    collector, running = await with_probe(rig, probe, settings=settings)
    await rig.second(ONE, 0)
    await rig.pass_s(ATTEND_RETRY_S)
    await until(lambda: probe.calls.count("attend") == 2)
    await stopped(collector, running)


async def test_a_bug_in_a_profile_ends_the_run(rig: Rig) -> None:
    profiles = (HeartRateProfile(), Probe("attend", ZeroDivisionError("a bug")))
    collector = Collector({ONE: "S001"}, rig.spool, rig.clock, rig.radio, profiles=profiles)
    with pytest.raises(ExceptionGroup) as raised:
        await asyncio.wait_for(collector.run(), PATIENCE_S)
    assert raised.group_contains(ZeroDivisionError, match="a bug")
    await until(lambda: not rig.straps[ONE].connected)


async def test_a_cursor_never_passes_a_frame_that_was_refused(rig: Rig) -> None:
    probe, memory = Probe(), WearableMemory()
    collector, running = await with_probe(rig, probe, memory=memory)
    assert probe.port is not None
    probe.port.keep("colmi_steps_log", b"monday")
    probe.port.remember("day", 1)
    rig.spool.is_full = True
    probe.port.keep("colmi_steps_log", b"tuesday")
    probe.port.remember("day", 2)
    rig.spool.is_full = False
    assert dict(memory.of("S001", ONE)) == {"day": 1} == dict(probe.port.memory)
    await stopped(collector, running)


async def test_a_cursor_never_passes_a_frame_that_came_in_a_pause(rig: Rig) -> None:
    probe, memory = Probe(), WearableMemory()
    collector, running = await with_probe(rig, probe, memory=memory)
    assert probe.port is not None
    probe.port.remember("day", 1)
    collector._seats[ONE].is_muted = True
    probe.port.keep("colmi_steps_log", b"tuesday")
    probe.port.remember("day", 2)
    assert dict(memory.of("S001", ONE)) == {"day": 1}
    await stopped(collector, running)


# Months


async def test_reconnects_leave_nothing_behind(rig: Rig) -> None:
    collector, running = await rig.start({ONE: "S001"})

    def held() -> tuple[int, int]:
        return len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    counts: list[tuple[int, int]] = []
    for number in range(25):
        await rig.second(ONE, number)
        counts.append(held())
        await rig.straps[ONE].drop()
        await until(lambda: rig.straps[ONE].battery_subscribed)
        await settle()
    await stopped(collector, running)
    assert max(counts[5:]) <= max(counts[:5])
    assert rig.spool.states(ONE).count(("disconnected", LINK_LOST)) == 25
