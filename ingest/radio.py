"""The Bluetooth radios that a collector or a scan uses: this machine's adapters, or virtual ones."""

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from bleak import BleakAdapter, BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError
from bleak_retry_connector import close_stale_connections_by_address
from bluetooth_adapters import get_bluetooth_adapter_details
from bluetooth_adapters.dbus import is_docker_env

from ingest.decoders.battery import SERVICE_UUID, decode_battery
from store.errors import BluetoothError, FrameError

_log = logging.getLogger(__name__)

ADVICE = (
    "plug in a Bluetooth 4.0 (or newer) adapter, start the Bluetooth service "
    "(`systemctl start bluetooth`) and let this user reach it, or use the virtual straps"
)

BLEAK_FAILURES = (BleakError, OSError, EOFError)
"""What Bleak raises, or lets through from D-Bus and sockets, when the radio or a peer fails; `TimeoutError`
is an `OSError`."""


@dataclass(frozen=True)
class Radio:
    """One Bluetooth adapter: Bleak's two backend classes, and which adapter they use.

    Attributes
    ----------
    scanner : type of BaseBleakScanner or None
        None is Bleak's own for this platform.
    client : type of BaseBleakClient or None
    address : str
        Bluetooth address of the adapter; empty is the platform's default adapter.
    hci : str
        Name that BlueZ gives the adapter at the moment, such as hci0.
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None
    address: str = ""
    hci: str = ""

    def scanner_for(self, on_advertisement: Callable[[BLEDevice, AdvertisementData], None]) -> BleakScanner:
        """Return a scanner, not yet started, that reports every advertisement to `on_advertisement`."""
        if self.hci:
            return BleakScanner(on_advertisement, backend=self.scanner, bluez={"adapter": self.hci})
        return BleakScanner(on_advertisement, backend=self.scanner)

    async def adapters(self, wanted: Sequence[str] = ()) -> tuple["Radio", ...]:
        """Return one radio for each adapter of this machine.

        Parameters
        ----------
        wanted : sequence of str
            Only adapters with these addresses; none means all that are switched on. Addresses stay the same
            where names such as hci0 change with each unplugging.

        Raises
        ------
        BluetoothError
            If none of those wanted is there.
        """
        if self.scanner is not None or sys.platform != "linux":
            return (self,)
        found = await bluez_adapters()
        chosen = {at: of for at, of in found.items() if at in wanted or (of.is_powered and not wanted)}
        for address in wanted:
            if address not in found:
                _log.warning("There is no adapter %s (collector.adapters); plug it in, or unset it", address)
        if wanted and not chosen:
            seen = ", ".join(found) or "none"
            raise BluetoothError(
                f"None of the adapters in collector.adapters ({', '.join(wanted)}) is there, only: {seen}"
            )
        return tuple(Radio(address=at, hci=of.hci) for at, of in sorted(chosen.items())) or (self,)

    async def relocated(self) -> "Radio":
        """Return this radio under the name that its adapter has by now."""
        if not self.address:
            return self
        found = (await bluez_adapters()).get(self.address)
        return self if found is None else replace(self, hci=found.hci)

    async def close_stale_connection(self, address: str) -> None:
        """Drop a connection that a collector which died left in the Bluetooth service.

        A wearable that is still connected does not advertise, so it would never be seen again.
        """
        if self.client is None:
            # Waits until Bleak has read the state of BlueZ: before, it seems that nothing is connected.
            await BleakAdapter.get()
            await close_stale_connections_by_address(address)

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments that make a `BleakClient` use this radio."""
        return {} if self.client is None else {"backend": self.client}

    def __str__(self) -> str:
        """Return what to call it in a message."""
        return f"adapter {self.address}" if self.address else "the adapter"


@dataclass(frozen=True, slots=True)
class BluezAdapter:
    """An adapter as BlueZ shows it: its name of the moment, and whether it is switched on."""

    hci: str
    is_powered: bool


async def bluez_adapters() -> dict[str, BluezAdapter]:
    """Return the adapters that BlueZ knows, by address; empty where there is no BlueZ."""
    await asyncio.to_thread(is_docker_env)  # looks at the disk once, else in the midst of the event loop
    details = await get_bluetooth_adapter_details()
    held = {hci: of["org.bluez.Adapter1"] for hci, of in details.items() if "org.bluez.Adapter1" in of}
    return {
        str(of["Address"]).upper(): BluezAdapter(hci, bool(of.get("Powered"))) for hci, of in held.items()
    }


@dataclass(frozen=True, slots=True)
class Sighting:
    """One wearable heard during a scan.

    Attributes
    ----------
    address : str
        Bluetooth address (on macOS a UUID that only this machine knows).
    name : str
        As advertised; empty if it has none.
    rssi_dbm : int
        Signal strength of the last advertisement; nearer to 0 is stronger.
    services : tuple of str
        Advertised 128-bit service UUIDs.
    battery_pct : int or None
        Where the advertisement tells it, 0-100.
    """

    address: str
    name: str
    rssi_dbm: int
    services: tuple[str, ...]
    battery_pct: int | None = None


@contextmanager
def bluetooth_errors() -> Generator[None]:
    """Turn what Bleak raises where there is no usable Bluetooth into one sentence.

    Raises
    ------
    BluetoothError
    """
    try:
        yield
    except BLEAK_FAILURES as error:
        raise BluetoothError(f"No usable Bluetooth on this machine ({_cause(error)}); {ADVICE}") from error


def _cause(error: BaseException) -> str:
    if isinstance(error, OSError):
        return f"the Bluetooth service cannot be reached: {error.strerror or error}"
    # Bleak's own error carries (message, reason).
    return str(error.args[0]) if error.args else type(error).__name__


@asynccontextmanager
async def listening(radios: Sequence[Radio]) -> AsyncGenerator[Mapping[str, Sighting]]:
    """Listen with every adapter while the context is open; yields what was heard so far, by address.

    Raises
    ------
    BluetoothError
        If there is no usable Bluetooth.
    """
    heard: dict[str, Sighting] = {}

    def note(device: BLEDevice, advertisement: AdvertisementData) -> None:
        heard[device.address] = _sighting(device, advertisement, heard.get(device.address))

    async with AsyncExitStack() as stack:
        with bluetooth_errors():
            for radio in radios:
                await stack.enter_async_context(radio.scanner_for(note))
        yield heard


async def scan(radio: Radio, seconds: float) -> list[Sighting]:
    """Listen for `seconds` and return everything heard, strongest first.

    Raises
    ------
    BluetoothError
        If there is no usable Bluetooth.
    """
    async with listening([radio]) as heard:
        await asyncio.sleep(seconds)
    return strongest_first(heard.values())


def strongest_first(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Return sightings by signal strength, then address."""
    return sorted(sightings, key=lambda sighting: (-sighting.rssi_dbm, sighting.address))


def _sighting(device: BLEDevice, advertisement: AdvertisementData, before: Sighting | None) -> Sighting:
    battery_pct = _battery_pct(advertisement)
    if battery_pct is None and before is not None:
        battery_pct = before.battery_pct
    services = dict.fromkeys((*advertisement.service_uuids, *(before.services if before else ())))
    name = advertisement.local_name or device.name or (before.name if before else "")
    return Sighting(device.address, name, advertisement.rssi, tuple(services), battery_pct)


def _battery_pct(advertisement: AdvertisementData) -> int | None:
    """Return the battery level that an advertisement carries as data of the Battery service."""
    try:
        return decode_battery(advertisement.service_data[SERVICE_UUID])
    except (KeyError, FrameError):
        return None
