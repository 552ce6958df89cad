"""The adapters: which of them hears a wearable and has a connection left for it.

Each adapter scans or connects, never both, and holds only so many connections. One task scans with each, and
only while some wearable is looked for. A wearable is given a connection, a `Slot`, at the moment it is heard;
where there are more wearables than connections, they take turns.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NoReturn

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from ingest.radio import BLEAK_FAILURES, Radio, bluetooth_errors
from ingest.tasks import honour_cancellation, until_first
from store.clock import Clock
from store.errors import BluetoothError
from store.units import NS_PER_S

SCAN_SILENT_S = 90
"""Scans can fall silent for good (service restart, USB reset). Somebody's device advertises every few seconds
in most homes; habluetooth restarts its scanners after the same time."""

SCAN_RETRY_S = 10
"""A Bluetooth service that restarts is back within this."""

SCAN_STOP_TIMEOUT_S = 10
"""Stopping takes milliseconds; a Bluetooth service that hangs must not hold up the adapter for good."""

TURN_S = 900
"""How long a connection may be kept while another wearable waits for one: three windows of 5 min."""

LATELY_S = 30
"""A wearable that waits and was not heard for so long has left, and keeps no connection from others."""

_log = logging.getLogger(__name__)


@dataclass(eq=False)
class Slot:
    """One connection of an adapter, held by a wearable until released.

    Attributes
    ----------
    adapter : Adapter
    device : BLEDevice
        As just heard; the Bluetooth service forgets it soon.
    rssi_dbm : int
        How strong it was heard.
    since_ns : int
        Monotonic.
    turn_is_over : callable
        Set by the holder: called once when others wait for the connection.
    """

    adapter: "Adapter"
    device: BLEDevice
    rssi_dbm: int
    since_ns: int
    turn_is_over: Callable[[], None] = lambda: None
    is_ending: bool = False

    def release(self) -> None:
        """Give the connection back."""
        self.adapter.held.discard(self)


@dataclass(eq=False)
class Adapter:
    """One Bluetooth adapter.

    Attributes
    ----------
    radio : Radio
    connections : int
        How many it can hold.
    lock : Lock
        Held by whoever scans or connects.
    held : set of Slot
    heard_ns : int
        When any advertisement was last heard.
    granted : Event
        Set when a wearable was given a connection, so that the scan makes way for it.
    """

    radio: Radio
    connections: int
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    held: set[Slot] = field(default_factory=set[Slot])
    heard_ns: int = 0
    granted: asyncio.Event = field(default_factory=asyncio.Event)
    has_failed: bool = False

    @property
    def free(self) -> int:
        """How many more connections it can hold."""
        return self.connections - len(self.held)

    def next_turn(self, now_ns: int) -> Slot | None:
        """Return the connection held longest, if its turn is over."""
        staying = [slot for slot in self.held if not slot.is_ending]
        longest = min(staying, key=lambda slot: slot.since_ns, default=None)
        if longest is None or now_ns - longest.since_ns < TURN_S * NS_PER_S:
            return None
        return longest


@dataclass(eq=False)
class _Want:
    """A wearable that is looked for.

    Attributes
    ----------
    slot : Future of Slot
    on_wait : callable
        Called with the reason, once, when it is heard but no connection is free.
    waiting_since_ns : int or None
    heard_ns : int or None
    """

    slot: asyncio.Future[Slot]
    on_wait: Callable[[str], None]
    waiting_since_ns: int | None = None
    heard_ns: int | None = None

    def comes_before(self, other: "_Want", now_ns: int) -> bool:
        """Say whether it has waited longer, and was heard lately."""
        if self.waiting_since_ns is None or self.heard_ns is None or self.slot.done():
            return False
        if now_ns - self.heard_ns > LATELY_S * NS_PER_S:
            return False
        return other.waiting_since_ns is None or self.waiting_since_ns < other.waiting_since_ns


class Adapters:
    """All adapters that the collector uses.

    Parameters
    ----------
    radio : Radio or sequence of Radio
        A single radio of this machine stands for all its adapters, or for those of `addresses`.
    clock : Clock
    connections : int
        How many each adapter can hold.
    addresses : sequence of str
    """

    def __init__(
        self,
        radio: Radio | Sequence[Radio],
        clock: Clock,
        *,
        connections: int,
        addresses: Sequence[str] = (),
    ) -> None:
        self._radio = radio
        self._clock = clock
        self._connections = connections
        self._addresses = addresses
        self._adapters: list[Adapter] = []
        self._wanted: dict[str, _Want] = {}
        self._someone_is_wanted = asyncio.Event()
        self._has_worked = False

    async def slot_for(self, sensor_id: str, on_wait: Callable[[str], None]) -> Slot:
        """Wait until an adapter hears the wearable and has a connection for it.

        Parameters
        ----------
        sensor_id : str
            Its address, in capitals.
        on_wait : callable
            Called with a reason if it is heard but has to wait for others.

        Returns
        -------
        Slot
            To be released by the caller.
        """
        want = _Want(asyncio.get_running_loop().create_future(), on_wait)
        self._wanted[sensor_id] = want
        self._someone_is_wanted.set()
        try:
            return await want.slot
        except asyncio.CancelledError:
            if want.slot.done() and not want.slot.cancelled():
                want.slot.result().release()
            raise
        finally:
            del self._wanted[sensor_id]
            if not self._wanted:
                self._someone_is_wanted.clear()

    async def close_stale_connection(self, sensor_id: str) -> None:
        """Drop a connection to the wearable that a collector which died has left."""
        radio = self._radio if isinstance(self._radio, Radio) else self._radio[0]
        await radio.close_stale_connection(sensor_id)

    async def run(self) -> None:
        """Scan whenever a wearable is looked for, until cancelled.

        Raises
        ------
        BluetoothError
            If no adapter works when it starts; one that fails later is waited for.
        """
        radios = self._radio
        if isinstance(radios, Radio):
            with bluetooth_errors():
                radios = await radios.adapters(self._addresses)
        self._adapters = [Adapter(radio, self._connections) for radio in radios]
        await until_first(*(self._scan(adapter) for adapter in self._adapters))

    async def _scan(self, adapter: Adapter) -> NoReturn:
        while True:
            honour_cancellation()
            await self._someone_is_wanted.wait()
            try:
                async with adapter.lock:
                    await self._scan_until_granted(adapter)
            except BluetoothError as error:
                honour_cancellation()
                adapter.has_failed = True
                if not self._has_worked and all(each.has_failed for each in self._adapters):
                    raise
                _log.warning("%s; next scan with %s in %d s", error, adapter.radio, SCAN_RETRY_S)
                await self._clock.sleep(SCAN_RETRY_S)
                adapter.radio = await _relocated(adapter.radio)

    async def _scan_until_granted(self, adapter: Adapter) -> None:
        """Scan until somebody has to connect, or nobody at all is heard any more."""
        adapter.granted.clear()
        scanner = adapter.radio.scanner_for(partial(self._on_advertisement, adapter))
        with bluetooth_errors():
            await scanner.start()
            try:
                adapter.heard_ns = self._clock.monotonic_ns()
                self._has_worked = True
                honour_cancellation()
                await until_first(adapter.granted.wait(), self._until_silent(adapter))
            finally:
                # Also where it raises or hangs: the next start tells whether the adapter works.
                async with asyncio.timeout(SCAN_STOP_TIMEOUT_S):
                    await scanner.stop()

    async def _until_silent(self, adapter: Adapter) -> None:
        while True:
            left_ns = adapter.heard_ns + SCAN_SILENT_S * NS_PER_S - self._clock.monotonic_ns()
            if left_ns <= 0:
                _log.info("%s heard nothing for %d s: scanning anew", adapter.radio, SCAN_SILENT_S)
                return
            await self._clock.sleep(left_ns / NS_PER_S)

    def _on_advertisement(
        self, adapter: Adapter, device: BLEDevice, advertisement: AdvertisementData
    ) -> None:
        now_ns = self._clock.monotonic_ns()
        adapter.heard_ns = now_ns
        want = self._wanted.get(device.address.upper())
        if want is None or want.slot.done():
            return
        want.heard_ns = now_ns
        before = sum(other.comes_before(want, now_ns) for other in self._wanted.values())
        if adapter.free <= before:
            self._let_wait(want, adapter, now_ns)
            return
        slot = Slot(adapter, device, advertisement.rssi, now_ns)
        adapter.held.add(slot)
        want.slot.set_result(slot)
        adapter.granted.set()

    def _let_wait(self, want: _Want, adapter: Adapter, now_ns: int) -> None:
        if want.waiting_since_ns is None:
            want.waiting_since_ns = now_ns
            want.on_wait(f"waits for a connection: {adapter.radio} holds {adapter.connections}")
        waiting = sum(other.waiting_since_ns is not None for other in self._wanted.values())
        if waiting > adapter.free + sum(slot.is_ending for slot in adapter.held):
            slot = adapter.next_turn(now_ns)
            if slot is not None:
                slot.is_ending = True
                slot.turn_is_over()


async def _relocated(radio: Radio) -> Radio:
    try:
        return await radio.relocated()
    except BLEAK_FAILURES:
        return radio
