"""The least that a program on Bleak can do with many wearables: subscribe, and drop what comes.

What it takes of the processor is the share of Bleak and D-Bus in what a collector takes.
"""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress

from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError
from bleak_retry_connector import establish_connection

from ingest.decoders.battery import LEVEL_UUID
from ingest.decoders.heart_rate import MEASUREMENT_UUID

AT_ONCE = 20
"""Connected after one scan."""


async def _listen(addresses: Sequence[str]) -> None:
    missing, clients = set(addresses), list[BleakClient]()
    while missing:
        for device in await _found(missing):
            with suppress(BleakError):  # the next scan hears it again
                clients.append(await _subscribed(device))
                missing.discard(device.address)
    await asyncio.Event().wait()


async def _found(wanted: set[str]) -> list[BLEDevice]:
    """Return some that are wanted: the Bluetooth service forgets what waits long for its connection."""
    found: dict[str, BLEDevice] = {}
    async with BleakScanner() as scanner:
        async for device, _ in scanner.advertisement_data():
            if device.address in wanted:
                found[device.address] = device
            if len(found) == min(len(wanted), AT_ONCE):
                break
    return list(found.values())


async def _subscribed(device: BLEDevice) -> BleakClient:
    client = await establish_connection(BleakClient, device, device.address)
    for uuid in (MEASUREMENT_UUID, LEVEL_UUID):
        await client.start_notify(uuid, _drop)
    return client


def _drop(_source: BleakGATTCharacteristic, _frame: bytearray) -> None: ...


if __name__ == "__main__":
    asyncio.run(_listen(sys.argv[1:]))
