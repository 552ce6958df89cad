"""One connection to one worn sensor: runs the profiles of what it offers, and keeps every frame."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import cast, get_args

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.exc import BleakGATTProtocolError

from configs.settings import CollectorSettings
from ingest.decoders.device_information import DeviceInformation
from ingest.keeper import Keeper
from ingest.memory import WearableMemory
from ingest.profiles.profile import Profile
from ingest.radio import BLEAK_FAILURES
from ingest.records import Kind, LinkState, Record
from ingest.tasks import honour_cancellation, until_first
from ingest.watchdog import Watchdog
from ingest.wear import Wear
from store.clock import Clock
from store.errors import EvenkeelError
from store.registry.wearing import Wearing

SETUP_TIMEOUT_S = 30
"""Subscribing and reading take a second or two; a peer that leaves meanwhile can hang BlueZ for 25 s."""

LEAVE_TIMEOUT_S = 5
"""To stop a wearable's streams takes two or three round trips; one that is gone does not hold up the stop."""

ATTEND_RETRY_S = 60
"""A download that failed is tried again, but not so often that it keeps the link from its live streams."""

LINK_LOST = "link lost"
PASSED_ON = "no longer worn by this person"

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Seat:
    """One worn sensor.

    Attributes
    ----------
    wearing : Wearing
        Who wears it, with the end of that as soon as it is known.
    is_muted : bool
        Whether what it still sends is none of ours: it is being left because the patient paused, or no longer
        wears it.
    """

    wearing: Wearing
    is_muted: bool = False


@dataclass(frozen=True)
class Equipment:
    """What all links of a collector share.

    Attributes
    ----------
    clock : Clock
    settings : CollectorSettings
    profiles : tuple of Profile
        In the order in which they start.
    keeper : Keeper
    memory : WearableMemory
    describe : callable
        Called with what a wearable says about itself: (sensor_id, information).
    """

    clock: Clock
    settings: CollectorSettings
    profiles: tuple[Profile, ...]
    keeper: Keeper
    memory: WearableMemory
    describe: Callable[[str, DeviceInformation], Awaitable[None]]


class Link:
    """A connected wearable; the `Port` of its profiles."""

    def __init__(self, equipment: Equipment, seat: Seat) -> None:
        self._equipment = equipment
        self._seat = seat
        self._clock = equipment.clock
        self._client: BleakClient | None = None
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._watchdog = Watchdog(self._clock.monotonic_ns())
        self._wear = Wear()
        self._has_lost_frames = False
        self._refused: list[Profile] = []
        self._information: DeviceInformation | None = None

    # What profiles see

    @property
    def client(self) -> BleakClient:
        """The connection."""
        if self._client is None:
            raise RuntimeError("A profile may use the connection only while it stands")
        return self._client

    @property
    def clock(self) -> Clock:
        """The only source of time."""
        return self._clock

    @property
    def settings(self) -> CollectorSettings:
        """Of the collector."""
        return self._equipment.settings

    @property
    def worn_since_ns(self) -> int:
        """When this person began to wear it."""
        return self._seat.wearing.from_ns

    @property
    def memory(self) -> Mapping[str, int]:
        """What is remembered of this person's wearable."""
        worn = self._seat.wearing
        return self._equipment.memory.of(worn.subject_id, worn.sensor_id)

    def remember(self, key: str, value: int) -> None:
        """Remember a number, unless a frame that it may speak of was lost or none of ours."""
        if not self._has_lost_frames:
            worn = self._seat.wearing
            self._equipment.memory.remember(worn.subject_id, worn.sensor_id, key, value)

    def keep(self, kind: Kind, payload: bytes) -> None:
        """Stamp a frame and spool it; ends the link where somebody else wears the sensor by now."""
        wall_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        worn = self._seat.wearing
        if worn.has_ended(wall_ns) or self._seat.is_muted:
            self._has_lost_frames = True  # so that no cursor passes it
            if worn.has_ended(wall_ns):
                self.end(PASSED_ON)
            return
        record = Record(kind, worn.subject_id, worn.sensor_id, wall_ns, mono_ns, payload)
        self._has_lost_frames |= not self._equipment.keeper.keep(record)
        self._watchdog.heard(kind, mono_ns)
        change = self._wear.judge(kind, payload, mono_ns)
        if change is not None:
            self._equipment.keeper.note_link(worn, *change)

    def note(self, state: str, reason: str) -> None:
        """Record a change of the link's state."""
        if state not in get_args(LinkState):
            raise ValueError(f"{state!r} is no state of a link; there are {', '.join(get_args(LinkState))}")
        self._equipment.keeper.note_link(self._seat.wearing, cast("LinkState", state), reason)

    def describe(self, information: DeviceInformation) -> None:
        """Tell the registry what the wearable says about itself, once its streams have started."""
        self._information = information

    async def subscribe(self, uuid: str, on_frame: Kind | Callable[[bytes], None]) -> bool:
        """Subscribe to a characteristic; frames are stamped in the notification's own callback."""
        characteristic = self.client.services.get_characteristic(uuid)
        if characteristic is None or not {"notify", "indicate"} & set(characteristic.properties):
            return False

        def on_notification(_source: BleakGATTCharacteristic, frame: bytearray) -> None:
            if callable(on_frame):
                on_frame(bytes(frame))
            else:
                self.keep(on_frame, bytes(frame))

        await self.client.start_notify(characteristic, on_notification)
        return True

    async def read(self, uuid: str) -> bytes | None:
        """Return a characteristic's value, or None if there is none or it may not be read."""
        characteristic = self.client.services.get_characteristic(uuid)
        if characteristic is None or "read" not in characteristic.properties:
            return None
        try:
            return bytes(await self.client.read_gatt_char(characteristic))
        except BleakGATTProtocolError:
            return None

    # What the collector sees

    @property
    def _sensor_id(self) -> str:
        return self._seat.wearing.sensor_id

    @property
    def has_sent(self) -> bool:
        """Whether any frame came that the link is there for."""
        return self._watchdog.has_heard

    def end(self, reason: str) -> None:
        """End the link; the first reason stands."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def collect(self, client: BleakClient) -> str:
        """Collect over a connection until it is lost, silent or ended; return why it ended."""
        self._client = client
        self._watchdog = Watchdog(self._clock.monotonic_ns())
        started: list[Profile] = []
        try:
            await until_first(self._collect(started), self._until_ended())
            return await self._ended
        finally:
            await self._leave(started)

    async def _collect(self, started: list[Profile]) -> None:
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                running = await self._start(started)
        except BLEAK_FAILURES as error:
            self.end(f"set-up failed: {said(error)}")
            return
        honour_cancellation()
        async with asyncio.TaskGroup() as attending:
            attending.create_task(self._watch_silence())
            attending.create_task(self._tell())
            for profile in running:
                attending.create_task(self._attend(profile))
            for profile in self._refused:
                attending.create_task(self._start_late(profile))
        await self._until_ended()

    async def _until_ended(self) -> None:
        await asyncio.shield(self._ended)

    async def _start(self, started: list[Profile]) -> list[Profile]:
        """Start the profile of every service that the wearable has; return those that it did not refuse."""
        running: list[Profile] = []
        refusal = ""
        offered = {service.uuid for service in self.client.services}
        for profile in self._equipment.profiles:
            if profile.service_uuid not in offered:
                continue
            started.append(profile)
            try:
                self._watchdog.watch(await profile.start(self), self._clock.monotonic_ns())
            except (BleakGATTProtocolError, EvenkeelError) as error:
                # The wearable refuses one service; its others are as good as ever.
                refusal = f"{profile.name} not started ({said(error)})"
                _log.warning("%s: %s; tried again every %d s", self._sensor_id, refusal, ATTEND_RETRY_S)
                self._refused.append(profile)
            else:
                running.append(profile)
        if not running:
            self.end(f"set-up failed: {refusal}" if refusal else "it offers no service that is understood")
        elif refusal:
            self.note("connected", refusal)
        return running

    async def _start_late(self, profile: Profile) -> None:
        """Try again to start what the wearable refused, for as long as the link stands."""
        while True:
            await self._clock.sleep(ATTEND_RETRY_S)
            try:
                self._watchdog.watch(await profile.start(self), self._clock.monotonic_ns())
            except (*BLEAK_FAILURES, EvenkeelError):  # said once; if the link is gone, that ends it
                honour_cancellation()
                continue
            self.note("connected", f"{profile.name} started after all")
            attending = (self._watch_silence(), self._attend(profile))
            await asyncio.gather(*attending)
            return

    async def _attend(self, profile: Profile) -> None:
        while True:
            try:
                await profile.attend(self)
            except (*BLEAK_FAILURES, EvenkeelError) as error:
                honour_cancellation()
                _log.warning("%s: %s failed (%s)", self._sensor_id, profile.name, said(error))
                await self._clock.sleep(ATTEND_RETRY_S)
            else:
                return

    async def _tell(self) -> None:
        if self._information is not None:
            await self._equipment.describe(self._sensor_id, self._information)

    async def _watch_silence(self) -> None:
        while (wait_s := self._watchdog.look_again_s(self._clock.monotonic_ns())) is not None:
            await self._clock.sleep(max(wait_s, 0))
            why = self._watchdog.verdict(self._clock.monotonic_ns())
            if why is not None:
                self.end(why)
                return

    async def _leave(self, started: list[Profile]) -> None:
        """Stop what the profiles started, while the wearable can still hear it."""
        try:
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                for profile in reversed(started):
                    if not self.client.is_connected:
                        return
                    try:
                        await profile.stop(self)
                    except (BleakGATTProtocolError, EvenkeelError) as error:
                        _log.warning("%s: %s not stopped (%s)", self._sensor_id, profile.name, said(error))
        except BLEAK_FAILURES as error:
            _log.warning("%s: left without stopping its streams (%s)", self._sensor_id, said(error))


def said(error: Exception) -> str:
    """Return what an error of the radio or a peer says, on one line."""
    if isinstance(error, BleakGATTProtocolError):  # as text it is a pair of its code and this
        return str(error.args[-1])
    return str(error) or type(error).__name__
