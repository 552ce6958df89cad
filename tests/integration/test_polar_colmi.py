"""A Polar strap and a Colmi ring over virtual air, through the real collector."""

import asyncio
import gc
import logging
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from configs.settings import CollectorSettings
from ingest.collector import Collector
from ingest.decoders.colmi_logs import decode_heart_rate_log, decode_steps_log, unpack_log
from ingest.decoders.polar_control import Measurement, Status
from ingest.decoders.polar_pmd import unpack_record
from ingest.link import Link
from ingest.memory import WearableMemory
from ingest.profiles.colmi import ANSWER_WITHIN_S, ATTEMPTS
from ingest.profiles.polar import WAVES_SILENT_AFTER_S
from ingest.readings import reading_of
from ingest.records import Record, parse_link_payload
from ingest.roster import Roster
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.devices.colmi import VirtualColmiRing
from ingest.virtual.devices.peripheral import Peripheral
from ingest.virtual.devices.polar import (
    FACTOR_G,
    VirtualPolar,
    VirtualPolarH10,
    VirtualVeritySense,
    acceleration_mg,
    beats,
    ecg_uv,
)
from ingest.virtual.person import VirtualPerson
from store.clock import VirtualClock
from store.registry.wearing import Wearing
from store.streams import BATTERY, HEART_RATE, SLEEP_STAGE, SPO2, STEP_COUNT, VENDOR_HRV
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000  # 2026-01-05T20:00:00Z
TODAY = date(2026, 1, 5)
ADDRESS = "C0:FF:EE:00:00:08"
PATIENCE_S = 10.0
PERSON = VirtualPerson(11, "UTC")
ZoneInfo(PERSON.zone)  # read once from its file, and not within the event loop
DAY_LOGS = ("colmi_heart_rate_log", "colmi_steps_log", "colmi_hrv_log")


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
    memory: WearableMemory = field(default_factory=WearableMemory)
    worn_since_ns: int = 0

    def of(self, kind: str) -> list[Record]:
        return [record for record in self.spool.records if record.kind == kind]

    def states(self) -> list[str]:
        return [parse_link_payload(record.payload)[0] for record in self.of("link_state")]

    def days_of(self, kind: str) -> list[date]:
        return [unpack_log(record.payload)[0].day for record in self.of(kind)]

    @asynccontextmanager
    async def collecting(self, device: Peripheral, **settings: object) -> AsyncIterator[Collector]:
        await device.start()
        worn = Wearing(ADDRESS, "S001", self.worn_since_ns)
        collector = Collector(
            Roster(lambda: [worn]), self.spool, self.clock, self.adapter.radio,
            settings=CollectorSettings.model_validate(settings), memory=self.memory,
        )  # fmt: skip
        running = asyncio.create_task(collector.run())
        try:
            yield collector
        finally:
            collector.stop()
            async with asyncio.timeout(PATIENCE_S):
                await running
            await device.stop()

    async def pass_time(self, seconds: float, step_s: float = 1.0) -> None:
        """Let time pass in steps, so that whoever waits for a part of it is woken."""
        for _ in range(round(seconds / step_s)):
            self.clock.advance_to(self.clock.now_ns() + round(step_s * NS_PER_S))
            await asyncio.sleep(0.002)

    async def until_after(self, condition: Callable[[], object], step_s: float = 1.0) -> None:
        """Let time pass until something holds."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await self.pass_time(step_s, step_s)


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


# Polar


def h10(rig: Rig, *, compressed: bool = False) -> VirtualPolarH10:
    return VirtualPolarH10(rig.air, ADDRESS, PERSON, rig.clock.now_ns, compressed=compressed)


async def stream(rig: Rig, strap: VirtualPolar, seconds: int) -> int:
    """Let the strap measure; return how many frames it sent."""
    sent = 0
    for _ in range(seconds):
        rig.clock.advance_to(rig.clock.now_ns() + NS_PER_S)
        sent += strap.send_due()
        strap.send(HeartRateMeasurement(60))
        await asyncio.sleep(0)
    await until(lambda: len(rig.of("polar_pmd")) >= sent)
    return sent


@pytest.mark.parametrize("compressed", [False, True])
async def test_acceleration_comes_as_it_was_and_is_stopped_before_leaving(
    rig: Rig, *, compressed: bool
) -> None:
    strap = h10(rig, compressed=compressed)
    strap.clock_offset_ns = -7 * 365 * 86_400 * NS_PER_S  # off its strap, an H10 begins again in 2019
    async with rig.collecting(strap, acceleration_hz=60):
        await until(lambda: strap.running)
        began_ns = rig.clock.now_ns()
        assert strap.running == {Measurement.ACCELERATION}
        sent = await stream(rig, strap, 20)
    assert strap.running == frozenset()
    records = rig.of("polar_pmd")
    assert len(records) == sent == 20 * 50 // 36
    settings, _ = unpack_record(records[0].payload)
    factor = pytest.approx(FACTOR_G, rel=1e-6) if compressed else pytest.approx(float("nan"), nan_ok=True)
    assert (settings.rate_hz, settings.resolution_bits, settings.range_g, settings.factor) == (
        50,
        16,
        8,
        factor,
    )
    motions = [reading_of(record).motion for record in records]
    for number, motion in enumerate(motions):
        assert motion is not None
        t_ns = began_ns + (np.arange(36) + number * 36) * NS_PER_S // 50
        true_g = acceleration_mg(PERSON, t_ns) / 1000
        assert motion.device_ns == t_ns[-1] + strap.clock_offset_ns
        assert np.abs(motion.acc_g - true_g).max() <= (FACTOR_G / 2 + 1e-6 if compressed else 1e-6)
        assert 0.9 < np.linalg.norm(motion.acc_g, axis=1).mean() < 1.1


async def test_ecg_is_streamed_only_where_waveforms_are_kept(rig: Rig) -> None:
    strap = h10(rig)
    async with rig.collecting(strap, acceleration_hz=0, keep_waveforms=True):
        await until(lambda: strap.running)
        began_ns = rig.clock.now_ns()
        await stream(rig, strap, 3)
        assert strap.running == {Measurement.ECG}
    waves = [row for record in rig.of("polar_pmd") for row in reading_of(record).waveform]
    assert [wave[:3] for wave in waves] == [("ecg_uv", 130.0, 73.0)] * 5
    t_ns = began_ns + np.arange(5 * 73) * NS_PER_S // 130
    sent_uv = np.concatenate([np.frombuffer(frame, "<i4") for *_, frame in waves if isinstance(frame, bytes)])
    per_frame = [ecg_uv(PERSON, t_ns[at : at + 73]) for at in range(0, len(t_ns), 73)]
    assert np.array_equal(sent_uv, np.concatenate(per_frame))
    assert 1000 < sent_uv.max() < 1200  # R peaks, in microvolts


async def test_an_optical_sensor_sends_intervals_and_movement(rig: Rig) -> None:
    sense = VirtualVeritySense(rig.air, ADDRESS, PERSON, rig.clock.now_ns)
    async with rig.collecting(sense, acceleration_hz=50, keep_waveforms=True):
        await until(lambda: len(sense.running) == 2)
        began_ns = rig.clock.now_ns()
        await stream(rig, sense, 40)
    assert sense.running == frozenset()
    readings = [reading_of(record) for record in rig.of("polar_pmd")]
    intervals_ms = [row[0] for reading in readings if reading.pulses for row in reading.pulses.values]
    _, true_ms = beats(PERSON, began_ns, began_ns + 40 * NS_PER_S)
    assert intervals_ms == [round(rr_ms) for rr_ms in true_ms]
    motions = [reading.motion for reading in readings if reading.motion]
    assert len(motions) == 40 * 52 // 36
    assert {motion.rate_hz for motion in motions} == {52.0}


async def test_nothing_is_streamed_where_nothing_is_asked_for(rig: Rig) -> None:
    strap = h10(rig)
    async with rig.collecting(strap, acceleration_hz=0):
        await until(lambda: rig.of("battery_level"))
        await rig.pass_time(5)
        assert strap.running == frozenset()


async def test_a_stream_that_was_left_running_is_started_anew(rig: Rig, caplog) -> None:
    caplog.set_level(logging.WARNING)
    strap = h10(rig)
    async with rig.collecting(strap):
        await until(lambda: strap.running)
        strap.vanish()
        await until(lambda: "disconnected" in rig.states())
        assert strap.running == {Measurement.ACCELERATION}  # it takes the battery of a real one
        strap.reappear()
        await rig.until_after(lambda: rig.states().count("connected") == 2)
        before = len(rig.of("polar_pmd"))
        await until(lambda: strap.running)
        await rig.until_after(lambda: strap.send_due() and len(rig.of("polar_pmd")) > before)
    assert strap.running == frozenset()
    assert [command[0] for command in strap.commands] == [1, 2, 1, 2, 3, 2, 3]
    assert "stream" not in caplog.text


async def test_a_refused_stream_leaves_the_others_and_heart_rate(rig: Rig, caplog) -> None:
    strap = h10(rig)
    strap.refusals[Measurement.ACCELERATION] = Status.DEVICE_IN_CHARGER
    async with rig.collecting(strap, keep_waveforms=True):
        await until(lambda: strap.running == {Measurement.ECG})
        await stream(rig, strap, 2)
    assert len(rig.of("heart_rate_measurement")) == 2
    assert "No ACCELERATION stream" in caplog.text
    assert "DEVICE_IN_CHARGER" in caplog.text


async def test_a_control_point_that_never_answers_does_not_cost_heart_rate(rig: Rig, caplog) -> None:
    strap = h10(rig)
    strap.is_mute = True
    async with rig.collecting(strap):
        await until(lambda: strap.commands)
        await rig.until_after(lambda: "No answer about GET_SETTINGS ACCELERATION in 5 s" in caplog.text)
        for _ in range(3):
            assert strap.send(HeartRateMeasurement(60)) == 1
        await until(lambda: len(rig.of("heart_rate_measurement")) == 3)
        assert "disconnected" not in rig.states()


async def test_a_silent_stream_makes_the_link_anew(rig: Rig) -> None:
    strap = h10(rig)
    async with rig.collecting(strap):
        await until(lambda: strap.running)
        await stream(rig, strap, 3)
        for _ in range(round(WAVES_SILENT_AFTER_S) + 2):  # heart rate goes on, acceleration does not
            strap.send(HeartRateMeasurement(60))
            await rig.pass_time(1)
        await until(lambda: "disconnected" in rig.states())
    reasons = [parse_link_payload(record.payload)[1] for record in rig.of("link_state")]
    assert "no polar pmd for 30 s" in reasons


# Ring


def ring_of(rig: Rig, no_data: tuple[date, ...] = ()) -> VirtualColmiRing:
    return VirtualColmiRing(rig.air, ADDRESS, PERSON, rig.clock.now_ns, no_data=no_data)


def timed(records: list[Record]) -> dict[tuple[str, int], tuple]:
    return {
        (sample.stream.name, sample.t_ns): sample.values
        for record in records
        for sample in reading_of(record).timed
    }


def last_days(count: int) -> list[date]:
    return [TODAY - timedelta(days=ago) for ago in range(count - 1, -1, -1)]


async def test_a_week_is_downloaded_at_first(rig: Rig) -> None:
    ring = ring_of(rig)
    ring.clock_offset_s = 3600  # as an app in Berlin leaves it
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
        assert abs(ring.clock_offset_s) <= 1
    assert reading_of(rig.of("colmi_battery")[0]).at_arrival == ((BATTERY, (64.0,)),)
    for kind in DAY_LOGS:
        assert rig.days_of(kind) == last_days(7)
    assert rig.days_of("colmi_sleep_log") == rig.days_of("colmi_spo2_log") == [TODAY]
    samples = timed(rig.spool.records)
    for day in last_days(7):
        log = ring.heart_rate_log(day)
        assert log is not None
        midnight_ns = round(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * NS_PER_S
        for slot, bpm in enumerate(log.heart_rate_bpm):
            got = samples.get((HEART_RATE.name, midnight_ns + slot * 300 * NS_PER_S))
            assert (got[0] if got else 0) == bpm
    streams = {name for name, _ in samples}
    assert streams == {s.name for s in (HEART_RATE, STEP_COUNT, SLEEP_STAGE, SPO2, VENDOR_HRV)}
    assert max(t_ns for _, t_ns in samples) <= START_NS


async def test_a_further_download_continues_where_the_last_one_ended(rig: Rig) -> None:
    ring = ring_of(rig)
    async with rig.collecting(ring, log_download_min=30):
        await until(lambda: rig.of("colmi_spo2_log"))
        first = len(rig.spool.records)
        await rig.until_after(lambda: len(rig.of("colmi_spo2_log")) == 2, step_s=60)
        again = rig.spool.records[first:]
    for kind in DAY_LOGS:
        assert [unpack_log(r.payload)[0].day for r in again if r.kind == kind] == [TODAY]
    merged = timed(rig.spool.records)
    assert merged | timed(again) == merged  # the same samples replace themselves


async def test_what_was_stored_while_away_is_filled_in(rig: Rig) -> None:
    ring = ring_of(rig)
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    seen = len(rig.spool.records)
    rig.clock.advance_to(START_NS + 3 * 86_400 * NS_PER_S)
    async with rig.collecting(ring):
        await until(lambda: len(rig.of("colmi_spo2_log")) == 2)
    for kind in DAY_LOGS:
        days = [unpack_log(r.payload)[0].day for r in rig.spool.records[seen:] if r.kind == kind]
        # The day of the last download was not over, so it comes again.
        assert days == [TODAY + timedelta(days=ahead) for ahead in range(4)]
    times_ns = sorted(t_ns for name, t_ns in timed(rig.spool.records) if name == HEART_RATE.name)
    assert set(np.diff(times_ns)) == {300 * NS_PER_S}


async def test_days_without_data_are_passed_over_and_remembered(rig: Rig) -> None:
    empty = (TODAY - timedelta(days=3), TODAY)
    ring = ring_of(rig, no_data=empty)
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    for kind in DAY_LOGS:
        assert rig.days_of(kind) == [day for day in last_days(7) if day not in empty]
        assert rig.memory.of("S001", ADDRESS)[kind] == (TODAY - timedelta(days=1) - date(1970, 1, 1)).days


async def test_a_lossy_ring_gives_whole_logs_or_none_and_no_gap_is_passed(rig: Rig, caplog) -> None:
    ring = ring_of(rig)
    ring.loss_frac = 0.05
    async with rig.collecting(ring, log_download_min=30):
        await rig.until_after(lambda: "not downloaded" in caplog.text and rig.of("colmi_steps_log"), step_s=5)
        remembered = dict(rig.memory.of("S001", ADDRESS))
        for kind in DAY_LOGS:
            whole = [day for day in rig.days_of(kind) if day < TODAY]
            until_day = date(1970, 1, 1) + timedelta(days=remembered.get(kind, 0))
            assert not whole or until_day == max(whole)
        ring.loss_frac = 0.0
        await rig.until_after(lambda: TODAY in rig.days_of("colmi_heart_rate_log"), step_s=30)
        await rig.until_after(lambda: TODAY in rig.days_of("colmi_hrv_log"), step_s=30)
    for kind in DAY_LOGS:
        days = rig.days_of(kind)
        assert sorted(set(days)) == last_days(7)
        assert days == sorted(days)
    for record in rig.of("colmi_heart_rate_log"):
        assert decode_heart_rate_log(unpack_log(record.payload)[1]) is not None


async def test_a_ring_that_never_answers_is_left_for_the_next_time(rig: Rig, caplog) -> None:
    ring = ring_of(rig)
    ring.loss_frac = 1.0
    async with rig.collecting(ring):
        await rig.until_after(lambda: "clock was not set" in caplog.text)
        assert "No answer about its clock in 10 s" in caplog.text
        assert len(ring.requests) == ATTEMPTS
        assert rig.clock.now_ns() - START_NS >= ATTEMPTS * ANSWER_WITHIN_S * NS_PER_S
        assert not rig.of("colmi_heart_rate_log")
        ring.loss_frac = 0.0
        await rig.until_after(lambda: rig.of("colmi_spo2_log"), step_s=60)
    assert rig.states().count("disconnected") == 1  # at the end only


async def test_what_another_person_left_in_the_ring_is_not_taken(rig: Rig) -> None:
    rig.worn_since_ns = START_NS - 30 * 3600 * NS_PER_S  # yesterday, 14:00
    ring = ring_of(rig)
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    for kind in DAY_LOGS:
        assert rig.days_of(kind) == last_days(2)
    samples = timed(rig.spool.records)
    assert min(t_ns for name, t_ns in samples if name == HEART_RATE.name) == rig.worn_since_ns
    assert min(t_ns for _, t_ns in samples) >= rig.worn_since_ns


async def test_who_wore_the_ring_before_it_was_paired_gets_those_days_too(rig: Rig) -> None:
    rig.worn_since_ns = START_NS - 30 * 3600 * NS_PER_S
    ring = ring_of(rig)
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    rig.spool.records.clear()
    rig.worn_since_ns -= 2 * 86_400 * NS_PER_S
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    for kind in DAY_LOGS:
        assert rig.days_of(kind) == last_days(4)
    rig.spool.records.clear()
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
    for kind in DAY_LOGS:
        assert rig.days_of(kind) == last_days(1)


async def test_days_are_not_asked_for_around_midnight(rig: Rig) -> None:
    midnight_ns = round(datetime(2026, 1, 6, tzinfo=UTC).timestamp()) * NS_PER_S
    rig.clock.advance_to(midnight_ns - 20 * NS_PER_S)
    ring = ring_of(rig)
    async with rig.collecting(ring):
        await until(lambda: "connected" in rig.states())
        await rig.pass_time(70)
        assert not ring.requests
        await rig.until_after(lambda: rig.of("colmi_spo2_log"))
    assert (
        rig.days_of("colmi_steps_log")[-1] == date(2026, 1, 6) or rig.days_of("colmi_steps_log")[-1] == TODAY
    )
    for record in rig.of("colmi_steps_log"):
        header, answer = unpack_log(record.payload)
        log = decode_steps_log(answer)
        assert log is not None
        assert log.day == header.day


async def test_links_that_ended_are_forgotten(rig: Rig, monkeypatch) -> None:
    links: list[weakref.ref[Link]] = []
    collect = Link.collect

    async def noted(link: Link, client) -> str:
        links.append(weakref.ref(link))
        return await collect(link, client)

    monkeypatch.setattr(Link, "collect", noted)
    ring = ring_of(rig)
    async with rig.collecting(ring):
        await until(lambda: rig.of("colmi_spo2_log"))
        ring.vanish()
        await until(lambda: "disconnected" in rig.states())
        ring.reappear()
        await rig.until_after(lambda: len(links) == 2)
        await until(lambda: rig.states().count("connected") == 2)
        await rig.pass_time(5)
        gc.collect()
        assert links[0]() is None
        assert links[1]() is not None
