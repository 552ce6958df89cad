"""Virtual wearables on live people: their hearts depend on the seed alone, whenever they are worn."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from ingest.virtual.air import Air
from ingest.virtual.devices.colmi import VirtualColmiRing
from ingest.virtual.devices.polar import VirtualPolarH10
from ingest.virtual.devices.worn_pinetime import WornPineTime
from ingest.virtual.packets import heart_rate_packets
from ingest.virtual.person import VirtualPerson
from ingest.virtual.strap import VirtualStrap
from store.clock import Clock
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

FIRST_BEAT_NS = 1_767_643_200 * NS_PER_S
"""2026-01-05T20:00:00Z, an evening awake: the simulated time at which every wearable is put on."""

BEATS_AT_ONCE_S = 3600
"""Beats are made for an hour at a time, which takes milliseconds; between two hours one interval is missing,
as after a slipped strap."""

LATE_NS = 5 * NS_PER_S
"""A wearable later than this slept with the machine: what its heart did meanwhile is never sent."""

STREAM_INTERVAL_S = 0.1
"""A frame of ECG holds half a second; sent at most so late."""


class Wearable(Protocol):
    """A virtual wearable that somebody wears.

    Attributes
    ----------
    address : str
    name : str
        As advertised.
    kind : str
        What it is, such as ``strap``.
    """

    address: str
    name: str
    kind: str

    async def wear(self) -> None:
        """Switch on and send as a worn one does, until cancelled; then switch off."""
        ...


class WornStrap:
    """A chest strap on a live person, one packet a second.

    Its energy field is the packet's sequence number modulo 65536. It advances each second, connected or not,
    so that what is lost, repeated or out of order shows at the far end.

    Parameters
    ----------
    air : Air
    address : str
        Static random address.
    number : int
        From 1; part of its name.
    seed : int
        Of its wearer.
    clock : Clock
    """

    kind = "strap"

    def __init__(self, air: Air, address: str, number: int, seed: int, clock: Clock) -> None:
        self.address = address
        self.name = f"Virtual strap {number}"
        self.strap = VirtualStrap(air, address, name=self.name, battery_pct=100 - seed % 60)
        self._person = _person(seed)
        self._clock = clock

    async def wear(self) -> None:
        """Send the heart as it beats, until cancelled."""
        await self.strap.start()
        try:
            async for measurement in _as_it_beats(self._person, self._clock):
                await self.strap.send(measurement)
        finally:
            await self.strap.stop()


class WornH10:
    """A Polar H10 on a live person: a chest strap that also sends ECG and acceleration once started.

    Heart rate is as from `WornStrap`; what its streams hold follows the time of day, too.

    Parameters
    ----------
    air, address, number, seed, clock
        As `WornStrap`.
    """

    kind = "polar_h10"

    def __init__(self, air: Air, address: str, number: int, seed: int, clock: Clock) -> None:
        self.address = address
        self.name = f"Polar H10 {number:08X}"
        self._person = _person(seed)
        self._clock = clock
        self.sensor = VirtualPolarH10(air, address, self._person, clock.now_ns, name=self.name)

    async def wear(self) -> None:
        """Send heart rate, and the streams that were started, until cancelled."""
        await self.sensor.start()
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._beat())
                both.create_task(self._measure())
        finally:
            await self.sensor.stop()

    async def _beat(self) -> None:
        async for measurement in _as_it_beats(self._person, self._clock):
            self.sensor.send(measurement)

    async def _measure(self) -> None:
        while True:
            await self._clock.sleep(STREAM_INTERVAL_S)
            self.sensor.send_due()


class WornRing:
    """A ring on a live person, which tells what it remembers when asked.

    Parameters
    ----------
    air, address, number, seed, clock
        As `WornStrap`.
    """

    kind = "colmi_ring"

    def __init__(self, air: Air, address: str, number: int, seed: int, clock: Clock) -> None:
        self.address = address
        self.name = f"R02_{number:04X}"
        self.ring = VirtualColmiRing(air, address, _person(seed), clock.now_ns, name=self.name)

    async def wear(self) -> None:
        """Answer, until cancelled."""
        await self.ring.start()
        try:
            await asyncio.Event().wait()
        finally:
            await self.ring.stop()


WearableFactory = Callable[[Air, str, int, int, Clock], Wearable]
"""Called with air, address, number of its kind from 1, seed and clock."""

KINDS: Mapping[str, WearableFactory] = {
    WornStrap.kind: WornStrap,
    WornH10.kind: WornH10,
    WornRing.kind: WornRing,
    WornPineTime.kind: WornPineTime,
}
"""What `evenkeel virtual` can wear. A new kind is an entry here and an option of the command."""


def wearables(wanted: Mapping[str, int], seed: int, air: Air, clock: Clock) -> list[Wearable]:
    """Return so many wearables of each kind, each on a person of its own.

    Parameters
    ----------
    wanted : mapping of kind to int
    seed : int
        The same seed gives the same addresses, people and packets; each wearable's own do not depend on how
        many others there are of its kind.
    air : Air
    clock : Clock
    """
    found: list[Wearable] = []
    taken: set[str] = set()
    for kind, count in wanted.items():
        chance = random.Random(f"{kind} {seed}")  # noqa: S311 - a simulation that can be repeated
        for number in range(1, count + 1):
            address = _address(chance)
            while address in taken:
                address = _address(chance)
            taken.add(address)
            found.append(KINDS[kind](air, address, number, chance.randrange(1 << 31), clock))
    return found


async def _as_it_beats(person: VirtualPerson, clock: Clock) -> AsyncIterator[HeartRateMeasurement]:
    """Yield each packet of a strap that is put on with the next second, when it is due."""
    start_ns = -(-clock.now_ns() // NS_PER_S) * NS_PER_S
    for offset_ns, measurement in live_packets(person):
        due_ns = start_ns + offset_ns
        while clock.now_ns() < due_ns:
            await clock.sleep((due_ns - clock.now_ns()) / NS_PER_S)
        if clock.now_ns() - due_ns < LATE_NS:
            yield measurement


def live_packets(person: VirtualPerson) -> Iterator[tuple[int, HeartRateMeasurement]]:
    """Yield (nanoseconds since it was put on, packet) for ever; `energy_kj` counts the packets.

    Examples
    --------
    >>> packets = live_packets(VirtualPerson(1, "UTC"))
    >>> [(t_ns // 10**9, packet.energy_kj) for t_ns, packet in itertools.islice(packets, 3)]
    [(1, 0), (2, 1), (3, 2)]
    """
    sequence = itertools.count()
    for start_s in itertools.count(0, BEATS_AT_ONCE_S):
        start_ns = FIRST_BEAT_NS + start_s * NS_PER_S
        beats = person.beats(start_ns, start_ns + BEATS_AT_ONCE_S * NS_PER_S)
        t_s = (beats.t_ns - start_ns) / NS_PER_S
        for packet in heart_rate_packets(t_s, np.asarray(beats.rr_ms)):
            counted = replace(packet.measurement, energy_kj=next(sequence) % 0x10000)
            yield start_s * NS_PER_S + packet.offset_ns, counted


def _person(seed: int) -> VirtualPerson:
    chance = random.Random(seed)  # noqa: S311 - a simulation that can be repeated
    return VirtualPerson(seed, "UTC", resting_hr_bpm=chance.uniform(48, 68), rmssd_ms=chance.uniform(22, 65))


def _address(chance: random.Random) -> str:
    """Return a static random address: its two highest bits are set (Core 5.4 Vol 6 Part B 1.3.2.1)."""
    octets = [chance.randrange(256) for _ in range(6)]
    octets[0] |= 0xC0
    return ":".join(f"{octet:02X}" for octet in octets)
