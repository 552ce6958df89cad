"""A collector over virtual air: two straps, an adapter, a spool in memory and a clock that stands still."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ingest.collector import Collector
from ingest.radio import Radio
from ingest.records import Record, parse_link_payload
from ingest.roster import Roster
from ingest.spool import SpoolFullError
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.strap import VirtualStrap
from store.clock import VirtualClock
from store.errors import HomeError
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000
ONE, TWO = "C0:FF:EE:00:00:01", "C0:FF:EE:00:00:02"
WORN = {ONE: "S001", TWO: "S002"}
PATIENCE_S = 10.0


@dataclass
class MemorySpool:
    """Keeps records in memory; refuses while full."""

    records: list[Record] = field(default_factory=list)
    is_full: bool = False
    has_failed: bool = False

    def put(self, record: Record) -> None:
        if self.has_failed:
            raise HomeError("The spool failed; check the disk")
        if self.is_full:
            raise SpoolFullError("The spool is full; free some space")
        self.records.append(record)

    def frames(self, sensor_id: str, kind: str = "heart_rate_measurement") -> list[bytes]:
        return [r.payload for r in self.records if (r.kind, r.sensor_id) == (kind, sensor_id)]

    def states(self, sensor_id: str) -> list[tuple[str, str]]:
        return [parse_link_payload(payload) for payload in self.frames(sensor_id, "link_state")]


@dataclass
class Rig:
    air: Air
    radio: Radio
    clock: VirtualClock
    spool: MemorySpool
    straps: dict[str, VirtualStrap]

    async def start(
        self, worn: Mapping[str, str] | Roster, **options
    ) -> tuple[Collector, asyncio.Task[None]]:
        collector = Collector(worn, self.spool, self.clock, self.radio, **options)
        running = asyncio.create_task(collector.run())
        now = worn.worn(self.clock.now_ns()) if isinstance(worn, Roster) else worn
        await until(lambda: all(self.straps[address].battery_subscribed for address in now))
        await settle()
        return collector, running

    async def pass_s(self, seconds: float) -> None:
        """Let time pass, and all that then happens happen."""
        self.clock.advance_to(self.clock.now_ns() + round(seconds * NS_PER_S))
        await settle()

    async def second(self, sensor_id: str, sequence: int) -> None:
        """Let a second pass and the strap send."""
        received = len(self.spool.frames(sensor_id))
        self.clock.advance_to(self.clock.now_ns() + NS_PER_S)
        assert await self.straps[sensor_id].send(beat(sequence)) == 1
        await until(lambda: len(self.spool.frames(sensor_id)) == received + 1)


def beat(sequence: int) -> HeartRateMeasurement:
    return HeartRateMeasurement(60, skin_contact=True, energy_kj=sequence, rr_ms=(1000.0,))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - any condition, not only an event
            await asyncio.sleep(0.001)


async def settle() -> None:
    """Let everything that is ready run."""
    for _ in range(20):
        await asyncio.sleep(0)


async def stopped(collector: Collector, running: Awaitable[None]) -> None:
    collector.stop()
    async with asyncio.timeout(PATIENCE_S):
        await running


@asynccontextmanager
async def virtual_rig() -> AsyncGenerator[Rig]:
    air = Air()
    adapter = VirtualAdapter(air)
    await adapter.start()
    straps = {address: VirtualStrap(air, address, advertising_interval_ms=20) for address in WORN}
    for strap in straps.values():
        await strap.start()
    yield Rig(air, adapter.radio, VirtualClock(START_NS), MemorySpool(), straps)
    for strap in straps.values():
        strap.reappear()
        await strap.stop()
