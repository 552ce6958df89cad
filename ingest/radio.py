"""The Bluetooth radio that a collector or a scan uses: this machine's own, or a virtual one."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from bleak import BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, BaseBleakScanner
from bleak.exc import BleakError
from bleak_retry_connector import close_stale_connections_by_address

from store.errors import BluetoothError

ADVICE = (
    "plug in a Bluetooth 4.0 (or newer) adapter, start the Bluetooth service "
    "(`systemctl start bluetooth`) and let this user reach it, or use the virtual straps"
)

BLEAK_FAILURES = (BleakError, OSError, EOFError)
"""What Bleak raises, or lets through from D-Bus and sockets, when the radio or a peer fails; `TimeoutError`
is an `OSError`."""


@dataclass(frozen=True)
class Radio:
    """Bleak's two backend classes; None is Bleak's own for this platform.

    Attributes
    ----------
    scanner : type of BaseBleakScanner or None
    client : type of BaseBleakClient or None
    """

    scanner: type[BaseBleakScanner] | None = None
    client: type[BaseBleakClient] | None = None

    def scanner_for(self, on_advertisement: Callable[[BLEDevice, AdvertisementData], None]) -> BleakScanner:
        """Return a scanner, not yet started, that reports every advertisement to `on_advertisement`."""
        return BleakScanner(on_advertisement, backend=self.scanner)

    async def close_stale_connection(self, address: str) -> None:
        """Drop a connection that a collector which died left in the Bluetooth service.

        A wearable that is still connected does not advertise, so it would never be seen again.
        """
        if self.client is None:
            await close_stale_connections_by_address(address)

    def client_options(self) -> dict[str, Any]:
        """Return the keyword arguments that make a `BleakClient` use this radio."""
        return {} if self.client is None else {"backend": self.client}


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
    """

    address: str
    name: str
    rssi_dbm: int
    services: tuple[str, ...]


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


async def scan(radio: Radio, seconds: float) -> list[Sighting]:
    """Listen for `seconds` and return everything heard, strongest first.

    Raises
    ------
    BluetoothError
        If there is no usable Bluetooth.
    """
    heard: dict[str, Sighting] = {}

    def note(device: BLEDevice, advertisement: AdvertisementData) -> None:
        heard[device.address] = Sighting(
            device.address,
            advertisement.local_name or device.name or "",
            advertisement.rssi,
            tuple(advertisement.service_uuids),
        )

    with bluetooth_errors():
        async with radio.scanner_for(note):
            await asyncio.sleep(seconds)
    return sorted(heard.values(), key=lambda sighting: (-sighting.rssi_dbm, sighting.address))
