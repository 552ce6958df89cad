"""A PineTime on a live person: movement ten times a second, steps, and a heart rate that changes."""

import itertools
import math
import random
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import numpy as np

from ingest.decoders.pinetime import COUNTS_PER_G, NOMINAL_HZ
from ingest.virtual.air import Air
from ingest.virtual.devices.pinetime import VirtualPineTime
from ingest.virtual.person import VirtualPerson
from store.clock import Clock
from store.units import NS_PER_S

PUT_ON_NS = 1_767_643_200 * NS_PER_S
"""2026-01-05T20:00:00Z, an evening awake: the simulated time at which it is put on."""

ZONE = ZoneInfo("UTC")
"""Of its wearer; held here so that no file is read later, in the event loop."""

LOOK_INTERVAL_NS = round(NS_PER_S / NOMINAL_HZ)
LOOKS_PER_S = round(NOMINAL_HZ)

WALK_S = range(20, 40)
"""Of every minute its wearer walks these seconds."""

STEPS_PER_S = 2
"""A brisk walk; whole steps in a second, so that their number is plain."""

STEP_G = 0.3
NOISE_G = 0.002
BEATS_AT_ONCE_S = 3600
BEATS_AVERAGED = 8

LATE_NS = 5 * NS_PER_S
"""Later than this the machine slept: what would have been sent meanwhile never is."""


class WornPineTime:
    """A PineTime whose wearer walks twenty seconds of every minute.

    Parameters
    ----------
    air : Air
    address : str
        Static random address.
    number : int
        From 1; part of its name.
    seed : int
        Of its wearer and of its sensor's noise.
    clock : Clock
    """

    kind = "pinetime"

    def __init__(self, air: Air, address: str, number: int, seed: int, clock: Clock) -> None:
        self.address = address
        self.name = f"InfiniTime {number}"
        self.watch = VirtualPineTime(air, address, self.name, battery_pct=100 - seed % 60)
        self._seed = seed
        self._clock = clock

    async def wear(self) -> None:
        """Move, walk and live, until cancelled; then switch off."""
        await self.watch.start()
        try:
            start_ns = -(-self._clock.now_ns() // NS_PER_S) * NS_PER_S
            heart_bpm = _heart_bpm(self._seed)
            for look, xyz in enumerate(_looks(self._seed)):
                due_ns = start_ns + look * LOOK_INTERVAL_NS
                while self._clock.now_ns() < due_ns:
                    await self._clock.sleep((due_ns - self._clock.now_ns()) / NS_PER_S)
                second, tenth = divmod(look, LOOKS_PER_S)
                is_late = self._clock.now_ns() - due_ns >= LATE_NS
                bpm = next(heart_bpm) if tenth == 0 else None
                if is_late:
                    continue
                self.watch.move(xyz)
                if bpm is not None:
                    self.watch.measure(bpm)
                if second % 60 in WALK_S and tenth % (LOOKS_PER_S // STEPS_PER_S) == 0:
                    self.watch.walk(1)
        finally:
            await self.watch.stop()


def _looks(seed: int) -> Iterator[tuple[int, int, int]]:
    """Yield what its sensor shows, look by look: gravity on a hanging arm, a swing while walking, noise."""
    noise = random.Random(seed)  # noqa: S311 - a simulation that can be repeated
    for look in itertools.count():
        is_walking = look // LOOKS_PER_S % 60 in WALK_S
        swing_g = (
            STEP_G * math.sin(2 * math.pi * STEPS_PER_S * look / LOOKS_PER_S + 0.5) if is_walking else 0.0
        )
        turned = 0.3 * math.sin(2 * math.pi * look / (97 * LOOKS_PER_S))
        along_g = (math.sin(turned), math.cos(turned) + swing_g, 0.0)
        x, y, z = (round(COUNTS_PER_G * (part + noise.gauss(0, NOISE_G))) for part in along_g)
        yield x, y, z


def _heart_bpm(seed: int) -> Iterator[int]:
    """Yield a heart rate for each second since it was put on."""
    person = VirtualPerson(seed, ZONE.key)
    for start_s in itertools.count(0, BEATS_AT_ONCE_S):
        start_ns = PUT_ON_NS + start_s * NS_PER_S
        beats = person.beats(start_ns, start_ns + BEATS_AT_ONCE_S * NS_PER_S)
        ends_ns = start_ns + NS_PER_S * np.arange(1, BEATS_AT_ONCE_S + 1)
        for last in np.searchsorted(beats.t_ns, ends_ns, "right").tolist():
            recent_ms = beats.rr_ms[max(last - BEATS_AVERAGED, 0) : max(last, 1)]
            yield round(60_000 / float(np.mean(recent_ms)))
