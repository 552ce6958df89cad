"""A wrist sensor on a simulated person, live: it moves and walks as their day has it, ten looks a second."""

import math
import random
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from ingest.decoders.pinetime import COUNTS_PER_G, NOMINAL_HZ
from ingest.tasks import honour_cancellation
from ingest.virtual.air import Air
from ingest.virtual.devices.pinetime import VirtualPineTime
from ingest.virtual.movement import MINUTE_NS, MovementDay, movement_of
from ingest.virtual.person import VirtualPerson
from store.clock import Clock
from store.units import NS_PER_S

SWING_HZ = 2.0
NOISE_G = 0.002
LOOK_INTERVAL_NS = round(NS_PER_S / NOMINAL_HZ)
LATE_NS = 5 * NS_PER_S
"""Later than this the machine slept: what would have been sent meanwhile never is."""


@dataclass(frozen=True, slots=True)
class _Minute:
    is_recorded: bool
    enmo_mg: float
    angle_deg: float
    steps: int


class LiveWrist:
    """A wrist sensor with the services of a PineTime.

    Parameters
    ----------
    air : Air
    address : str
        Static random address.
    person : VirtualPerson
    clock : Clock
    maker, model : str
        What it says of itself.
    """

    def __init__(
        self, air: Air, address: str, person: VirtualPerson, clock: Clock, maker: str, model: str
    ) -> None:
        self.watch = VirtualPineTime(air, address, "Virtual wrist", battery_pct=81, maker=maker, model=model)
        self._person = person
        self._clock = clock
        self._zone = ZoneInfo(person.zone)
        self._day: tuple[date, MovementDay] | None = None
        self._minute_at(clock.now_ns())  # made here, for it reads the zone from disk

    async def wear(self) -> None:
        """Move and walk, until cancelled; then switch off."""
        await self.watch.start()
        noise = random.Random(self._person.seed)  # noqa: S311 - a simulation that can be repeated
        try:
            honour_cancellation()
            due_ns = -(-self._clock.now_ns() // NS_PER_S) * NS_PER_S
            while True:
                await self._clock.sleep(max(due_ns - self._clock.now_ns(), 0) / NS_PER_S)
                if self._clock.now_ns() - due_ns < LATE_NS:
                    self._look(due_ns, noise)
                due_ns += LOOK_INTERVAL_NS
        finally:
            await self.watch.stop()

    def _look(self, at_ns: int, noise: random.Random) -> None:
        minute = self._minute_at(at_ns)
        if not minute.is_recorded:
            return
        # The mean of what exceeds 1 g of a swing of amplitude a is a / pi.
        swing = math.pi * minute.enmo_mg / 1000 * math.sin(2 * math.pi * SWING_HZ * at_ns / NS_PER_S)
        angle = math.radians(minute.angle_deg)
        along = ((1 + swing) * math.cos(angle), 0.0, (1 + swing) * math.sin(angle))
        x, y, z = (round(COUNTS_PER_G * (part + noise.gauss(0, NOISE_G))) for part in along)
        self.watch.move((x, y, z))
        if taken := _steps_between(minute.steps, at_ns % MINUTE_NS, LOOK_INTERVAL_NS):
            self.watch.walk(taken)

    def _minute_at(self, at_ns: int) -> _Minute:
        today = datetime.fromtimestamp(at_ns // NS_PER_S, self._zone).date()
        if self._day is None or self._day[0] != today:
            self._day = today, movement_of(self._person, today)
        held = self._day[1]
        at = min((at_ns - int(held.start_ns[0])) // MINUTE_NS, len(held.start_ns) - 1)
        return _Minute(
            bool(held.is_recorded[at]),
            float(held.columns["enmo_mg"][at]),
            float(held.columns["z_angle_deg"][at]),
            round(float(held.steps[at])),
        )


def _steps_between(steps: int, since_ns: int, length_ns: int) -> int:
    """Return how many of a minute's steps fall into a look, evenly spread and none lost."""
    return steps * (since_ns + length_ns) // MINUTE_NS - steps * since_ns // MINUTE_NS
