"""The collector: finds worn sensors, stays connected to them and spools every frame as it arrives.

One task scans, one task supervises each sensor. Bluetooth fails all the time, so retry is the normal path:
a sensor is used only when freshly seen, adapters connect to one at a time and never while scanning, and a
link that falls silent is given up and made anew.
"""

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn, Protocol

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakGATTProtocolError
from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

from ingest.decoders.battery import LEVEL_UUID, decode_battery
from ingest.decoders.device_information import FIELDS, DeviceInformation, decode_device_information
from ingest.decoders.heart_rate import MEASUREMENT_UUID
from ingest.radio import BLEAK_FAILURES, Radio, bluetooth_errors
from ingest.records import Kind, LinkState, Record, link_payload
from ingest.spool import SpoolFullError
from store.clock import Clock
from store.errors import BluetoothError, EvenkeelError, FrameError, HomeError
from store.units import NS_PER_S

SILENT_AFTER_S = 30.0
"""A strap sends once a second; wrist sensors may take 25 s to their first heart rate. A link silent for
longer is dead, whatever the adapter says. The setting `collector.silent_after_s` has the same default."""

CONNECT_ATTEMPTS = 2
"""BlueZ fails about one connect in ten with nothing wrong; more attempts in a row would keep the adapter from
the other sensors."""

SETUP_TIMEOUT_S = 30
"""Subscribing and reading take a second or two; a peer that leaves meanwhile can hang BlueZ for 25 s."""

DISCONNECT_TIMEOUT_S = 10
"""BlueZ takes 2.7 s; sensors are left in parallel, so this bounds the whole stop."""

SCAN_ROUND_S = 60
"""Scans can fall silent for good (service restart, USB reset), so none lasts longer."""

SCAN_RETRY_S = 10
"""A Bluetooth service that restarts is back within this."""

FIRST_BACKOFF_S = 1
LONGEST_BACKOFF_S = 60
"""After failures in a row the wait doubles up to this: a wearer who comes home waits a minute at most."""

REFUSAL_LOG_INTERVAL_S = 60
"""A full disk refuses several frames a second; one line a minute says as much."""

LINK_LOST = "link lost"
COLLECTOR_STOPPED = "collector stopped"

OnDeviceInfo = Callable[[str, DeviceInformation, int | None], None]
"""Called with (sensor_id, what it says about itself, battery_pct or None) on its first connection."""

_log = logging.getLogger(__name__)


class RecordSink(Protocol):
    """Where records go: the spool."""

    def put(self, record: Record) -> None:
        """Take a record without blocking; raises `SpoolFullError` (no room) or `HomeError` (disk failed)."""
        ...


@dataclass(eq=False)
class _Link:
    """One connection to one sensor.

    Attributes
    ----------
    heard_ns : int
        When it last sent heart rate, or was connected, on the monotonic clock.
    has_sent : bool
    ended : Future of str
        Why the link ended, once it has.
    """

    subject_id: str
    sensor_id: str
    heard_ns: int
    has_sent: bool = False
    ended: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    def end(self, reason: str) -> None:
        """End the link; the first reason stands."""
        if not self.ended.done():
            self.ended.set_result(reason)


class Collector:
    """Collect from worn sensors until stopped.

    Parameters
    ----------
    worn : mapping of sensor address to subject id
        Who wears which sensor; a sensor's id is its Bluetooth address.
    spool : RecordSink
        Receives every record, from within the notification callback.
    clock : Clock
        Stamps the records and times silence and back-off.
    radio : Radio
    on_device_info : OnDeviceInfo, optional
        Called in a thread of its own, for it may wait for a disk; where it fails, collecting goes on.
    silent_after_s : float
        A link on which no heart rate came for so long is made anew.

    Attributes
    ----------
    received : Counter of record kind
        Records made, counted before the spool sees them.
    refused : int
        Of those, how many the spool did not take, being full. They are lost; this is their count.
    """

    def __init__(
        self,
        worn: Mapping[str, str],
        spool: RecordSink,
        clock: Clock,
        radio: Radio,
        on_device_info: OnDeviceInfo | None = None,
        *,
        silent_after_s: float = SILENT_AFTER_S,
    ) -> None:
        self.received: Counter[Kind] = Counter()
        self.refused = 0
        self._worn = {address.upper(): subject_id for address, subject_id in worn.items()}
        self._spool = spool
        self._clock = clock
        self._radio = radio
        self._on_device_info = on_device_info
        self._silent_after_s = silent_after_s
        self._described: set[str] = set()
        self._stopping = asyncio.Event()
        self._adapter = asyncio.Lock()
        self._wanted: dict[str, asyncio.Future[BLEDevice]] = {}
        self._someone_is_wanted = asyncio.Event()
        self._someone_was_seen = asyncio.Event()
        self._bluetooth_works = False
        self._spool_failure: HomeError | None = None
        self._refusal_logged_ns: int | None = None
        self._jitter = random.Random()  # noqa: S311 - spreads reconnects, guards nothing

    async def run(self) -> None:
        """Collect until `stop`; leaves every sensor before it returns.

        Raises
        ------
        BluetoothError
            If there is no usable Bluetooth when it starts; one that fails later is waited for.
        HomeError
            If the spool's disk failed.
        """
        for sensor_id in self._worn:
            self._note_link(sensor_id, "started", "")
        tasks = [asyncio.create_task(self._supervise(sensor_id)) for sensor_id in self._worn]
        tasks += [asyncio.create_task(self._scan()), asyncio.create_task(self._until_stopped())]
        try:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for sensor_id in self._worn:
                self._note_link(sensor_id, "stopped", "")

    def stop(self) -> None:
        """Ask `run` to leave every sensor and return."""
        self._stopping.set()

    async def _until_stopped(self) -> None:
        await self._stopping.wait()
        if self._spool_failure is not None:
            raise self._spool_failure

    # Seeing

    async def _scan(self) -> NoReturn:
        """Scan whenever a sensor is wanted and nobody connects."""
        while True:
            honour_cancellation()
            await self._someone_is_wanted.wait()
            try:
                async with self._adapter:
                    await self._scan_until_seen()
            except BluetoothError as error:
                if not self._bluetooth_works:
                    raise
                _log.warning("%s; next scan in %d s", error, SCAN_RETRY_S)
                await self._clock.sleep(SCAN_RETRY_S)

    async def _scan_until_seen(self) -> None:
        self._someone_was_seen.clear()
        with bluetooth_errors():
            async with self._radio.scanner_for(self._on_advertisement):
                self._bluetooth_works = True
                honour_cancellation()
                with suppress(TimeoutError):
                    async with asyncio.timeout(SCAN_ROUND_S):
                        await self._someone_was_seen.wait()

    def _on_advertisement(self, device: BLEDevice, _advertisement: AdvertisementData) -> None:
        sighting = self._wanted.get(device.address.upper())
        if sighting is not None and not sighting.done():
            sighting.set_result(device)
            self._someone_was_seen.set()

    async def _seen(self, sensor_id: str) -> BLEDevice:
        """Wait until the sensor advertises; the device is fresh, for the Bluetooth service forgets."""
        sighting: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()
        self._wanted[sensor_id] = sighting
        self._someone_is_wanted.set()
        try:
            return await sighting
        finally:
            del self._wanted[sensor_id]
            if not self._wanted:
                self._someone_is_wanted.clear()

    # Staying connected

    async def _supervise(self, sensor_id: str) -> NoReturn:
        """See, connect, collect; again and again."""
        failures = 0
        with suppress(*BLEAK_FAILURES):
            await self._radio.close_stale_connection(sensor_id)
        while True:
            device = await self._seen(sensor_id)
            try:
                has_sent = await self._collect_from(device, sensor_id)
            except BLEAK_FAILURES as error:
                _log.warning("%s: %s", sensor_id, _said(error))
                has_sent = False
            honour_cancellation()
            failures = 0 if has_sent else failures + 1
            if failures:
                longest_s = min(FIRST_BACKOFF_S * 2 ** (failures - 1), LONGEST_BACKOFF_S)
                await self._clock.sleep(longest_s * self._jitter.uniform(0.5, 1))

    async def _collect_from(self, device: BLEDevice, sensor_id: str) -> bool:
        """Connect and collect until the link ends; return whether it sent anything."""
        link = _Link(self._worn[sensor_id], sensor_id, self._clock.monotonic_ns())
        client = await self._connect(device, link)
        link.heard_ns = self._clock.monotonic_ns()
        self._note_link(sensor_id, "connected", "")
        reason = COLLECTOR_STOPPED
        try:
            async with asyncio.timeout(SETUP_TIMEOUT_S):
                told = await self._set_up(client, link)
            if told is not None:
                await self._describe(link.sensor_id, *told)
            honour_cancellation()
            reason = await self._until_ended(link)
        except BLEAK_FAILURES as error:
            reason = f"set-up failed: {_said(error)}"
            raise
        finally:
            await _disconnect(client)
            self._note_link(sensor_id, "disconnected", reason)
        return link.has_sent

    async def _connect(self, device: BLEDevice, link: _Link) -> BleakClient:
        def on_disconnect(client: BleakClient) -> None:
            if client is connected:
                link.end(LINK_LOST)

        # Attempts that fail inside establish_connection call back too; only the one that stands counts.
        connected: BleakClient | None = None
        async with self._adapter:
            connected = await establish_connection(
                BleakClientWithServiceCache,
                device,
                device.name or device.address,
                disconnected_callback=on_disconnect,
                max_attempts=CONNECT_ATTEMPTS,
                **self._radio.client_options(),
            )
        return connected

    async def _set_up(self, client: BleakClient, link: _Link) -> tuple[DeviceInformation, int | None] | None:
        """Subscribe to heart rate first, for every second counts; return what a new sensor says it is."""

        def on_heart_rate(_source: BleakGATTCharacteristic, frame: bytearray) -> None:
            self._keep_frame("heart_rate_measurement", link, frame)

        def on_battery(_source: BleakGATTCharacteristic, frame: bytearray) -> None:
            self._keep_frame("battery_level", link, frame)

        await client.start_notify(MEASUREMENT_UUID, on_heart_rate)
        information: DeviceInformation | None = None
        if link.sensor_id not in self._described:
            information = await _read_device_information(client)
        # BlueZ delivers the answer to a read as a notification too, once subscribed: so read, then subscribe.
        level = await _read(client, LEVEL_UUID)
        if level is not None:
            self._keep_frame("battery_level", link, level)
        battery = client.services.get_characteristic(LEVEL_UUID)
        if battery is not None and "notify" in battery.properties:
            await client.start_notify(battery, on_battery)
        return None if information is None else (information, _battery_pct(level))

    async def _describe(
        self, sensor_id: str, information: DeviceInformation, battery_pct: int | None
    ) -> None:
        self._described.add(sensor_id)
        if self._on_device_info is None:
            return
        try:
            await asyncio.to_thread(self._on_device_info, sensor_id, information, battery_pct)
        except EvenkeelError as error:
            _log.warning("%s: what it says about itself was not kept (%s)", sensor_id, error)

    async def _until_ended(self, link: _Link) -> str:
        """Wait until the link is lost or silent; return which."""
        watch = asyncio.create_task(self._watch_silence(link))
        try:
            return await link.ended
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch_silence(self, link: _Link) -> None:
        while True:
            left_ns = link.heard_ns + round(self._silent_after_s * NS_PER_S) - self._clock.monotonic_ns()
            if left_ns <= 0:
                link.end(f"no data for {self._silent_after_s:g} s")
                return
            await self._clock.sleep(left_ns / NS_PER_S)

    # Keeping

    def _keep_frame(self, kind: Kind, link: _Link, frame: bytearray) -> None:
        wall_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        if kind == "heart_rate_measurement":
            link.heard_ns, link.has_sent = mono_ns, True
        self._keep(Record(kind, link.subject_id, link.sensor_id, wall_ns, mono_ns, bytes(frame)))

    def _note_link(self, sensor_id: str, state: LinkState, reason: str) -> None:
        wall_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        payload = link_payload(state, reason)
        if state in ("connected", "disconnected"):
            why = f": {reason}" if reason else ""
            _log.info("%s of %s %s%s", sensor_id, self._worn[sensor_id], state, why)
        self._keep(Record("link_state", self._worn[sensor_id], sensor_id, wall_ns, mono_ns, payload))

    def _keep(self, record: Record) -> None:
        self.received[record.kind] += 1
        try:
            self._spool.put(record)
        except SpoolFullError as error:
            self._refuse(record, error)
        except HomeError as error:
            self.refused += 1
            self._spool_failure = error
            self.stop()

    def _refuse(self, record: Record, error: SpoolFullError) -> None:
        self.refused += 1
        logged_ns = self._refusal_logged_ns
        if logged_ns is None or record.mono_ns - logged_ns >= REFUSAL_LOG_INTERVAL_S * NS_PER_S:
            self._refusal_logged_ns = record.mono_ns
            _log.error("%s; %d records refused since the start", error, self.refused)


def honour_cancellation() -> None:
    """Raise if this task was cancelled while a library worked for it.

    `asyncio.wait_for`, which libraries use, loses a cancellation that comes together with the result before
    Python 3.12 (gh-86296); without this, `run` would wait for such a task for ever.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


async def _disconnect(client: BleakClient) -> None:
    try:
        async with asyncio.timeout(DISCONNECT_TIMEOUT_S):
            await client.disconnect()
    except BLEAK_FAILURES as error:
        _log.warning("%s: not disconnected cleanly (%s)", client.address, _said(error))


async def _read(client: BleakClient, uuid: str) -> bytearray | None:
    """Return a characteristic's value, or None if the sensor has none or does not let us read it."""
    characteristic = client.services.get_characteristic(uuid)
    if characteristic is None or "read" not in characteristic.properties:
        return None
    try:
        return await client.read_gatt_char(characteristic)
    except BleakGATTProtocolError:
        return None


async def _read_device_information(client: BleakClient) -> DeviceInformation:
    values = {uuid: bytes(value) for uuid in FIELDS if (value := await _read(client, uuid)) is not None}
    try:
        return decode_device_information(values)
    except FrameError as error:
        _log.warning("%s: %s", client.address, error)
        return DeviceInformation()


def _battery_pct(level: bytearray | None) -> int | None:
    try:
        return None if level is None else decode_battery(bytes(level))
    except FrameError:
        return None


def _said(error: BaseException) -> str:
    return str(error) or type(error).__name__
