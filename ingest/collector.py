"""The collector: finds worn sensors, stays connected to them and spools every frame as it arrives.

Bluetooth fails all the time, so retry is the normal path: one task supervises each worn sensor and finds,
connects and collects, again and again. `ingest.adapters` says over which adapter, `ingest.link` runs one
connection, `ingest.keeper` spools, and `ingest.roster` says who wears what and who has paused.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NoReturn

from bleak import BleakClient
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from configs.settings import CollectorSettings
from ingest.adapters import Adapters, Slot
from ingest.decoders.device_information import DeviceInformation
from ingest.heartbeat import CollectorStatus
from ingest.keeper import Keeper, RecordSink
from ingest.link import LINK_LOST, PASSED_ON, Equipment, Link, Seat, said
from ingest.memory import WearableMemory
from ingest.profiles import PROFILES
from ingest.profiles.profile import Profile
from ingest.radio import BLEAK_FAILURES, Radio
from ingest.records import Kind
from ingest.roster import Roster
from ingest.tasks import honour_cancellation, until_first
from store.clock import Clock
from store.errors import EvenkeelError, HomeError
from store.registry.wearing import Wearing

CONNECT_ATTEMPTS = 2
"""BlueZ fails about one connect in ten with nothing wrong; more attempts in a row would keep the adapter from
the other sensors."""

DISCONNECT_TIMEOUT_S = 10
"""BlueZ takes 2.7 s; sensors are left in parallel, so this bounds the whole stop."""

FIRST_BACKOFF_S = 1
LONGEST_BACKOFF_S = 60
"""After failures in a row the wait doubles up to this: a wearer who comes home waits a minute at most."""

ROSTER_INTERVAL_S = 2
"""How often pairings and the pause file are read: a patient who pauses sees it happen, and a sensor that is
passed on (with 5 s notice, `store.cli.HANDOVER_S`) is known of in time."""

HEARTBEAT_INTERVAL_S = 60
"""The ledger tells a collector that is down from a wearable out of range to the minute."""

COLLECTOR_STOPPED = "collector stopped"
PAUSED = "paused by the patient"
TURN_OVER = "others wait for its connection"

OnDeviceInfo = Callable[[str, DeviceInformation], None]
"""Called with (sensor_id, what it says about itself), once and when that changes."""

_DEFAULTS = CollectorSettings()
_log = logging.getLogger(__name__)


@dataclass(eq=False)
class _Seat(Seat):
    """One worn sensor under supervision.

    Attributes
    ----------
    task : Task or None
        None while paused.
    leave_reason : str
        Why the link ends if the task is cancelled.
    """

    task: asyncio.Task[NoReturn] | None = None
    leave_reason: str = COLLECTOR_STOPPED


class Collector:
    """Collect from worn sensors until stopped.

    Parameters
    ----------
    worn : mapping of sensor address to subject id, or Roster
        Who wears which sensor; a sensor's id is its Bluetooth address. A roster is read again as it runs.
    spool : RecordSink
        Receives every record, from within the notification callback.
    clock : Clock
        Stamps the records and times silence and back-off.
    radio : Radio or sequence of Radio
        The adapters; a single radio of this machine stands for those that the settings choose.
    on_device_info : OnDeviceInfo, optional
        Called in a thread of its own, for it may wait for a disk; where it fails, collecting goes on.
    settings : CollectorSettings
    profiles : sequence of Profile
        How to collect from each service, in the order in which they start.
    status : callable, optional
        Returns how the collector stands, for a heartbeat a minute; called in a thread.
    memory : WearableMemory, optional
        Remembers for profiles; without it, until the end of the run.
    """

    def __init__(  # noqa: PLR0913 - the parts of a collector, most of them named
        self,
        worn: Mapping[str, str] | Roster,
        spool: RecordSink,
        clock: Clock,
        radio: Radio | Sequence[Radio],
        on_device_info: OnDeviceInfo | None = None,
        *,
        settings: CollectorSettings = _DEFAULTS,
        profiles: Sequence[Profile] = PROFILES,
        status: Callable[[], CollectorStatus] | None = None,
        memory: WearableMemory | None = None,
    ) -> None:
        self._clock = clock
        self._keeper = Keeper(spool, clock, self._fail)
        self._memory = memory or WearableMemory()
        self._equipment = Equipment(
            clock, settings, tuple(profiles), self._keeper, self._memory, self._describe
        )
        self._roster = worn if isinstance(worn, Roster) else Roster.fixed(worn)
        self._adapters = Adapters(
            radio, clock, connections=settings.connections_per_adapter, addresses=settings.adapters
        )
        self._on_device_info = on_device_info
        self._status = status
        self._told: dict[str, DeviceInformation] = {}
        self._seats: dict[str, _Seat] = {}
        self._stopping = asyncio.Event()
        self._failure: BaseException | None = None
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, guards nothing

    @property
    def received(self) -> Counter[Kind]:
        """Records made, by kind."""
        return self._keeper.received

    @property
    def refused(self) -> int:
        """Of those, how many the spool did not take, being full. They are lost; this is their count."""
        return self._keeper.refused

    async def run(self) -> None:
        """Collect until `stop`; leaves every sensor before it returns.

        Raises
        ------
        BluetoothError
            If there is no usable Bluetooth when it starts; one that fails later is waited for.
        HomeError
            If the spool's disk failed.
        """
        try:
            await self._settle()
            work = [self._adapters.run(), self._until_stopped(), self._memory.save_changes(self._clock)]
            if not self._roster.is_fixed:
                work.append(self._follow())
            if self._status is not None:
                work.append(self._beat(self._status))
            await until_first(*work)
        finally:
            await self._leave(list(self._seats), COLLECTOR_STOPPED)

    def stop(self) -> None:
        """Ask `run` to leave every sensor and return."""
        self._stopping.set()

    async def _until_stopped(self) -> None:
        await self._stopping.wait()
        if self._failure is not None:
            raise self._failure

    def _fail(self, error: BaseException) -> None:
        """End the run with an error; the first one stands."""
        self._failure = self._failure or error
        self.stop()

    # Who is supervised

    async def _follow(self) -> NoReturn:
        """Follow the roster."""
        while True:
            await self._clock.sleep(ROSTER_INTERVAL_S)
            await self._roster.refresh()
            honour_cancellation()
            await self._settle()

    async def _settle(self) -> None:
        """Supervise those who wear a sensor now and have not paused, and nobody else."""
        now_ns = self._clock.now_ns()
        worn = self._roster.worn(now_ns)
        gone = [at for at, seat in self._seats.items() if not _continues(seat.wearing, worn.get(at))]
        for sensor_id in gone:
            # The end may be news: what still comes while the sensor is left is not this person's.
            self._seats[sensor_id].is_muted = True
        await self._leave(gone, PASSED_ON)
        for sensor_id, wearing in worn.items():
            if sensor_id not in self._seats:
                self._seats[sensor_id] = _Seat(wearing)
                self._keeper.note_link(wearing, "started")
            self._seats[sensor_id].wearing = wearing
        seats = list(self._seats.values())
        has_paused = [self._roster.is_paused(seat.wearing.subject_id, now_ns) for seat in seats]
        await asyncio.gather(
            *(self._pause(s) for s, is_paused in zip(seats, has_paused, strict=True) if is_paused)
        )
        for seat, is_paused in zip(seats, has_paused, strict=True):
            if not is_paused:
                self._take_up(seat)

    async def _pause(self, seat: _Seat) -> None:
        if seat.is_muted and seat.task is None:
            return
        seat.is_muted = True
        await _end(seat, PAUSED)
        self._keeper.note_link(seat.wearing, "paused", PAUSED)

    def _take_up(self, seat: _Seat) -> None:
        if seat.task is not None:
            return
        if seat.is_muted:
            self._keeper.note_link(seat.wearing, "resumed")
        seat.is_muted, seat.leave_reason = False, COLLECTOR_STOPPED
        seat.task = asyncio.create_task(self._supervise(seat))
        seat.task.add_done_callback(self._on_supervised)

    def _on_supervised(self, task: asyncio.Task[NoReturn]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(error)

    async def _leave(self, sensor_ids: Sequence[str], reason: str) -> None:
        """Leave sensors, all at the same time."""
        await asyncio.gather(*(_end(self._seats[sensor_id], reason) for sensor_id in sensor_ids))
        for sensor_id in sensor_ids:
            wearing = self._seats.pop(sensor_id).wearing
            self._keeper.note_link(wearing, "stopped", "" if reason == COLLECTOR_STOPPED else reason)

    # Staying connected

    async def _supervise(self, seat: _Seat) -> NoReturn:
        """Find, connect, collect; again and again."""
        failures = 0
        sensor_id = seat.wearing.sensor_id
        try:
            await self._adapters.close_stale_connection(sensor_id)
        except BLEAK_FAILURES as error:
            _log.warning("%s: a connection left from before may stand (%s)", sensor_id, said(error))
        honour_cancellation()
        while True:
            if seat.wearing.has_ended(self._clock.now_ns()):
                await self._clock.sleep(ROSTER_INTERVAL_S)  # the roster takes the seat away meanwhile
                continue
            slot = await self._adapters.slot_for(sensor_id, lambda why: self._note_wait(seat, why))
            try:
                has_sent = await self._collect_over(slot, seat)
            except BLEAK_FAILURES as error:
                _log.warning("%s: %s", sensor_id, said(error))
                has_sent = False
            finally:
                slot.release()
            honour_cancellation()
            failures = 0 if has_sent else failures + 1
            if failures:
                longest_s = min(FIRST_BACKOFF_S * 2 ** (failures - 1), LONGEST_BACKOFF_S)
                await self._clock.sleep(longest_s * self._jitter.uniform(0.5, 1))

    def _note_wait(self, seat: _Seat, why: str) -> None:
        self._keeper.note_link(seat.wearing, "disconnected", why)

    async def _collect_over(self, slot: Slot, seat: _Seat) -> bool:
        """Connect and collect until the link ends; return whether it sent anything."""
        link = Link(self._equipment, seat)
        slot.turn_is_over = lambda: link.end(TURN_OVER)
        client = await self._connect(slot, link)
        self._keeper.note_link(seat.wearing, "connected")
        self._keeper.note_signal(seat.wearing, slot.rssi_dbm)
        reason = ""
        try:
            honour_cancellation()
            reason = await link.collect(client)
        finally:
            await _disconnect(client)
            self._keeper.note_link(seat.wearing, "disconnected", reason or seat.leave_reason)
        return link.has_sent

    async def _connect(self, slot: Slot, link: Link) -> BleakClient:
        def on_disconnect(client: BleakClient) -> None:
            if client is connected:
                link.end(LINK_LOST)

        # Attempts that fail inside establish_connection call back too; only the one that stands counts.
        connected: BleakClient | None = None
        device = slot.device
        async with slot.adapter.lock:
            connected = await establish_connection(
                BleakClientWithServiceCache,
                device,
                device.name or device.address,
                disconnected_callback=on_disconnect,
                max_attempts=CONNECT_ATTEMPTS,
                # It outlives a restart of the Bluetooth service, and would hand out objects that are gone.
                use_services_cache=False,
                **slot.adapter.radio.client_options(),
            )
        return connected

    # Beside the links

    async def _describe(self, sensor_id: str, information: DeviceInformation) -> None:
        """Pass on what a wearable says about itself, if that is new."""
        if self._on_device_info is None or self._told.get(sensor_id) == information:
            return
        try:
            await asyncio.to_thread(self._on_device_info, sensor_id, information)
            self._told[sensor_id] = information
        except EvenkeelError as error:
            _log.warning("%s: what it says about itself was not kept (%s)", sensor_id, error)

    async def _beat(self, status: Callable[[], CollectorStatus]) -> NoReturn:
        """Record once a minute, for everyone who has not paused, that the collector is up."""
        while True:
            await self._clock.sleep(HEARTBEAT_INTERVAL_S)
            try:
                payload = (await asyncio.to_thread(status)).payload()
            except HomeError as error:
                self._fail(error)
                continue
            for seat in self._seats.values():
                if seat.task is not None:
                    self._keeper.keep_now("collector", seat.wearing, payload)


def _continues(before: Wearing, now: Wearing | None) -> bool:
    """Say whether the same person goes on wearing a sensor; that they began earlier may be news."""
    return now is not None and now.subject_id == before.subject_id and now.from_ns <= before.from_ns


async def _end(seat: _Seat, reason: str) -> None:
    """End a seat's task in good order; a second call only waits for it."""
    task = seat.task
    if task is not None:
        if not task.cancelling():
            seat.leave_reason = reason
            task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        seat.task = None


async def _disconnect(client: BleakClient) -> None:
    try:
        async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
            await client.disconnect()
    except BLEAK_FAILURES as error:
        _log.warning("%s: not disconnected cleanly (%s)", client.address, said(error))
