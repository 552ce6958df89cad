"""Wearables on live people: the same from the same seed, each packet with the next number."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from bleak import BleakClient, BleakScanner

from ingest.decoders.heart_rate import MEASUREMENT_UUID, decode_heart_rate
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.person import VirtualPerson
from ingest.virtual.worn import BEATS_AT_ONCE_S, KINDS, WornStrap, live_packets, wearables
from store.clock import VirtualClock
from store.units import NS_PER_S

START_NS = 1_767_643_200_000_000_000


def made(wanted: dict[str, int], seed: int) -> list[tuple[str, str, str]]:
    return [(one.address, one.name, one.kind) for one in wearables(wanted, seed, Air(), VirtualClock(0))]


async def test_the_same_seed_gives_the_same_wearables() -> None:
    assert made({"strap": 5}, 3) == made({"strap": 5}, 3)
    assert made({"strap": 2}, 3) == made({"strap": 5}, 3)[:2]
    assert not set(made({"strap": 5}, 3)) & set(made({"strap": 5}, 4))


async def test_addresses_are_static_random_and_differ() -> None:
    addresses = [address for address, _, _ in made({"strap": 300}, 0)]
    assert len(set(addresses)) == 300
    assert all(int(address[:2], 16) >= 0xC0 for address in addresses)


@pytest.mark.parametrize("kind", KINDS)
async def test_names_fit_into_a_scan_response(kind: str) -> None:
    wearable = KINDS[kind](Air(), "C0:FF:EE:00:00:01", 1000, 1, VirtualClock(0))
    assert 0 < len(wearable.name.encode()) <= 29
    assert wearable.kind == kind


def test_each_packet_has_the_next_number_also_from_one_hour_to_the_next() -> None:
    packets = list(itertools.islice(live_packets(VirtualPerson(5, "UTC")), 2 * BEATS_AT_ONCE_S + 20))
    assert [packet.energy_kj for _, packet in packets] == list(range(len(packets)))
    seconds = [t_ns // NS_PER_S for t_ns, _ in packets]
    steps = [b - a for a, b in itertools.pairwise(seconds)]
    assert set(steps) <= {1, 2, 3}
    assert steps.count(1) >= len(steps) - 4
    assert packets == list(itertools.islice(live_packets(VirtualPerson(5, "UTC")), len(packets)))


def test_the_number_goes_round_after_sixteen_bits() -> None:
    a_day = itertools.islice(live_packets(VirtualPerson(5, "UTC")), 0xFFFE, 0x10002)
    assert [packet.energy_kj for _, packet in a_day] == [0xFFFE, 0xFFFF, 0, 1]


@dataclass
class Wearing:
    """A strap that is worn, and somebody who listens to it."""

    worn: WornStrap
    adapter: VirtualAdapter
    clock: VirtualClock
    heard: list[int | None] = field(default_factory=list)

    async def pass_s(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance_to(self.clock.now_ns() + NS_PER_S)
            for _ in range(30):  # until what was sent has arrived
                await asyncio.sleep(0)

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        client_class = self.adapter.radio.client
        device = await BleakScanner.find_device_by_address(
            self.worn.address, timeout=10, backend=self.adapter.radio.scanner
        )
        async with BleakClient(device, backend=client_class) as client:
            await client.start_notify(MEASUREMENT_UUID, self._hear)
            yield

    def _hear(self, _source: object, frame: bytearray) -> None:
        self.heard.append(decode_heart_rate(bytes(frame)).energy_kj)


@pytest.fixture
async def wearing() -> AsyncIterator[Wearing]:
    air, clock = Air(), VirtualClock(START_NS)
    adapter = VirtualAdapter(air)
    await adapter.start()
    worn = WornStrap(air, "C0:FF:EE:00:00:01", 1, 5, clock)
    task = asyncio.create_task(worn.wear())
    yield Wearing(worn, adapter, clock)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not worn.strap.connected


async def test_the_number_advances_each_second_connected_or_not(wearing: Wearing) -> None:
    async with wearing.listening():
        await wearing.pass_s(5)
    await wearing.pass_s(7)
    async with wearing.listening():
        await wearing.pass_s(3)
    assert wearing.heard == [0, 1, 2, 3, 11, 12, 13]


async def test_what_a_sleeping_machine_missed_is_never_sent(wearing: Wearing) -> None:
    async with wearing.listening():
        await wearing.pass_s(5)
        wearing.clock.advance_to(wearing.clock.now_ns() + 1000 * NS_PER_S)
        await wearing.pass_s(2)
    # Packet n is due at n + 2 s; the strap woke at 1006 s and still sent what was due less than 5 s before.
    assert wearing.heard == [0, 1, 2, 3, *range(1000, 1006)]
