"""Wearables of the standard services and a PineTime, over virtual air, through the real collector."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import numpy as np
import pytest

from configs.settings import CollectorSettings
from ingest.collector import Collector
from ingest.decoders.date_time import DateTime
from ingest.decoders.device_information import DeviceInformation
from ingest.decoders.oximeter import ContinuousMeasurement, Oximetry, SpotCheckMeasurement
from ingest.decoders.running import RunningMeasurement
from ingest.decoders.thermometer import TemperatureMeasurement
from ingest.profiles.pinetime import STILL_AFTER_S
from ingest.readings import reading_of
from ingest.readings.reading import Count
from ingest.records import Record, parse_link_payload
from ingest.samples import SampleFold
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.devices.peripheral import Peripheral
from ingest.virtual.devices.pinetime import VirtualPineTime
from ingest.virtual.devices.standard import VirtualFootPod, VirtualOximeter, VirtualThermometer
from ingest.virtual.devices.worn_pinetime import WALK_S, WornPineTime
from store.clock import VirtualClock
from store.streams import BATTERY, BODY_TEMPERATURE, DEVICE_CLOCK, RUNNING, SPO2, STEP_COUNT
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000  # 2026-01-05T20:00:00Z
ADDRESS = "C0:FF:EE:00:00:07"
PATIENCE_S = 10.0


@dataclass
class MemorySpool:
    records: list[Record] = field(default_factory=list)

    def put(self, record: Record) -> None:
        self.records.append(record)


@dataclass
class Rig:
    air: Air
    clock: VirtualClock
    adapter: VirtualAdapter
    spool: MemorySpool = field(default_factory=MemorySpool)
    told: list[DeviceInformation] = field(default_factory=list)

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.spool.records if record.kind == kind]

    def states(self) -> list[str]:
        return [parse_link_payload(record.payload)[0] for record in self.of("link_state")]

    @asynccontextmanager
    async def collecting(self, device: Peripheral, **settings: object) -> AsyncIterator[Collector]:
        await device.start()
        collector = Collector(
            {ADDRESS: "S001"}, self.spool, self.clock, self.adapter.radio,
            lambda _sensor_id, information: self.told.append(information),
            settings=CollectorSettings.model_validate(settings),
        )  # fmt: skip
        running = asyncio.create_task(collector.run())
        try:
            yield collector
        finally:
            collector.stop()
            async with asyncio.timeout(PATIENCE_S):
                await running
            await device.stop()


@pytest.fixture
async def rig() -> Rig:
    air = Air()
    adapter = VirtualAdapter(air)
    await adapter.start()
    return Rig(air, VirtualClock(START_NS), adapter)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


async def until_confirmed(indicate: Callable[[], Awaitable[int]]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await indicate():  # noqa: ASYNC110 - nothing tells when it is subscribed
            await asyncio.sleep(0.001)


async def pass_time(rig: Rig, seconds: float) -> None:
    """Let time pass in steps, so that whoever waits for a part of it is woken."""
    for _ in range(round(seconds)):
        rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S)
        await asyncio.sleep(0)


async def test_a_foot_pod(rig: Rig) -> None:
    pod = VirtualFootPod(rig.air, ADDRESS)
    async with rig.collecting(pod):
        await until(
            lambda: pod.send(RunningMeasurement(3.0, 90, is_running=True, stride_m=2.0, distance_m=12.5))
        )
        await until(lambda: rig.of("rsc_measurement"))
    assert reading_of(rig.of("rsc_measurement")[0]).at_arrival == ((RUNNING, (3.0, 90.0, 2.0, 12.5, 1.0)),)


async def test_an_oximeter_notifies_and_indicates(rig: Rig) -> None:
    probe = VirtualOximeter(rig.air, ADDRESS)
    async with rig.collecting(probe):
        await until(lambda: probe.send(ContinuousMeasurement(Oximetry(97.5, 72.0))))
        await until_confirmed(lambda: probe.send_spot_check(SpotCheckMeasurement(Oximetry(96.0, 71.0))))
        await until(lambda: rig.of("plx_continuous") and rig.of("plx_spot_check"))
    assert reading_of(rig.of("plx_continuous")[0]).at_arrival == ((SPO2, (97.5, 72.0)),)
    assert reading_of(rig.of("plx_spot_check")[0]).at_arrival == ((SPO2, (96.0, 71.0)),)


async def test_a_thermometer_and_its_clock(rig: Rig) -> None:
    shows = DateTime(2026, 1, 5, 22, 0, 3)
    meter = VirtualThermometer(rig.air, ADDRESS, shows)
    async with rig.collecting(meter):
        await until_confirmed(lambda: meter.send(TemperatureMeasurement(36.4, measured_at=shows)))
        await until(lambda: rig.of("temperature_measurement") and rig.of("current_time"))
        await asyncio.sleep(0)
        await pass_time(rig, 3600)
        await until(lambda: len(rig.of("current_time")) == 2)
    assert reading_of(rig.of("temperature_measurement")[0]).at_arrival == ((BODY_TEMPERATURE, (36.4,)),)
    first, second = (reading_of(record).at_arrival for record in rig.of("current_time"))
    assert first == ((DEVICE_CLOCK, (3.0,)),)
    assert second == ((DEVICE_CLOCK, (3.0 - 3600,)),)


async def test_a_pinetime(rig: Rig) -> None:
    watch = VirtualPineTime(rig.air, ADDRESS)
    watch.walk(1200)
    async with rig.collecting(watch):
        await until(lambda: watch.motion_subscribed)
        assert watch.measure(64) == 1
        assert watch.walk(3) == 1
        assert watch.move((10, -1024, 0)) == 1
        assert watch.move((10, -1024, 0)) == 0
        assert watch.begin_day() == 1
        await until(lambda: len(rig.of("pinetime_steps")) == 3 and rig.of("pinetime_motion") and rig.told)
        assert [reading_of(record).counter for record in rig.of("pinetime_steps")] == [
            Count(STEP_COUNT, 1200), Count(STEP_COUNT, 1203), Count(STEP_COUNT, 0),
        ]  # fmt: skip
    assert [record.payload for record in rig.of("heart_rate_measurement")] == [b"\x00\x40"]
    assert len(rig.of("pinetime_motion")) == 1
    assert reading_of(rig.of("battery_level")[0]).at_arrival == ((BATTERY, (80.0,)),)
    # InfiniTime's nine bytes, without a zone: kept, and no sample.
    assert [len(record.payload) for record in rig.of("current_time")] == [9]
    assert reading_of(rig.of("current_time")[0]).at_arrival == ()
    assert rig.told == [
        DeviceInformation(manufacturer_name="PINE64", model_number="PineTime", firmware_revision="1.15.0")
    ]


async def test_a_worn_pinetime_becomes_steps_epochs_and_heart_rate(rig: Rig) -> None:
    worn = WornPineTime(rig.air, ADDRESS, 1, 5, rig.clock)
    async with rig.collecting(worn.watch):
        await until(lambda: worn.watch.motion_subscribed)
        wearing = asyncio.create_task(worn.wear())
        for _ in range(620):
            rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S // 10)
            for _ in range(20):
                await asyncio.sleep(0)
        assert not wearing.done(), wearing.exception()
        wearing.cancel()
        await asyncio.gather(wearing, return_exceptions=True)
        await until(lambda: "disconnected" in rig.states())
    folded = SampleFold({}).add(enumerate(rig.spool.records))
    assert folded.quarantined == []
    batches = {sourced.batch.stream.name: sourced.batch for sourced in folded.batches}
    assert batches["step_count"].values["steps"].sum() == worn.watch.steps == 2 * len(WALK_S)
    epochs = batches["activity_epoch"]
    since_s = (epochs.t_ns - START_NS) // NS_PER_S % 60
    walks = (since_s >= WALK_S.start) & (since_s < WALK_S.stop)
    mad_mg = epochs.values["mad_mg"]
    assert len(mad_mg) >= 11
    assert walks.sum() == 4
    assert mad_mg[walks].min() > 100
    # A look that arrives late puts some of the walk into the epoch after it.
    assert np.median(mad_mg[~walks]) < 10
    assert (batches["heart_rate"].values["heart_rate_bpm"] > 40).all()


async def test_a_pinetime_that_measures_no_heart_is_no_dead_link(rig: Rig) -> None:
    watch = VirtualPineTime(rig.air, ADDRESS)
    async with rig.collecting(watch, silent_after_s=10):
        await until(lambda: watch.motion_subscribed)
        await pass_time(rig, STILL_AFTER_S - 10)
        assert "disconnected" not in rig.states()
        assert watch.connected
        await pass_time(rig, 30)
        await until(lambda: "disconnected" in rig.states())


async def test_without_acceleration_a_pinetime_is_asked_for_steps_only(rig: Rig) -> None:
    watch = VirtualPineTime(rig.air, ADDRESS)
    async with rig.collecting(watch, acceleration_hz=0):
        await until(lambda: watch.walk(1))
        await until(lambda: len(rig.of("pinetime_steps")) >= 2)
        assert not watch.motion_subscribed
        assert watch.move((1, 2, 3)) == 0
