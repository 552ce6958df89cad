"""The whole bed: air, adapters, `org.bluez`, and the bus on which any program finds it."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

from ingest.virtual.air import Air
from ingest.virtual.bluez.bus import PrivateBus
from ingest.virtual.bluez.device import Behaviour
from ingest.virtual.bluez.service import BlueZ

BUS_VARIABLE = "DBUS_SYSTEM_BUS_ADDRESS"
"""Where programs look for the bus; set it to `VirtualBluetooth.address`."""

MOST_ADAPTERS = 9
"""`hci0` to `hci8`: what programs look through."""


class VirtualBluetooth:
    """Bluetooth without hardware, for programs that use the Linux service.

    Parameters
    ----------
    air : Air
        Where the wearables are.
    behaviour : Behaviour
    adapters : int
        1-9.

    Examples
    --------
    ::

        air = Air()
        strap = VirtualStrap(air, "C0:FF:EE:00:00:01")
        async with VirtualBluetooth(air) as bluetooth:
            os.environ[BUS_VARIABLE] = bluetooth.address
            await strap.start()
            found = await BleakScanner.discover(1)
    """

    def __init__(self, air: Air, behaviour: Behaviour | None = None, *, adapters: int = 1) -> None:
        if not 1 <= adapters <= MOST_ADAPTERS:
            raise ValueError(f"{adapters} adapters; needed are 1 to {MOST_ADAPTERS}")
        self.air = air
        self.behaviour = behaviour or Behaviour()
        self.addresses = tuple(f"F0:00:00:00:00:{number:02X}" for number in range(1, adapters + 1))
        self.bluez = BlueZ(air, self.behaviour, self.addresses)
        self.bus = PrivateBus()

    @property
    def address(self) -> str:
        """Of the bus."""
        return self.bus.address

    async def start(self) -> None:
        """Start the bus and the service.

        Raises
        ------
        ConfigError
            If there is no `dbus-daemon`.
        """
        async with AsyncExitStack() as undo:
            undo.push_async_callback(self.stop)
            await self.bus.start()
            await self.bluez.start(self.bus.address)
            undo.pop_all()

    async def stop(self) -> None:
        """End both; nothing is left behind."""
        try:
            await self.bluez.stop()
        finally:
            await self.bus.stop()

    async def crash(self) -> None:
        """Let the bus die, and with it every link: bluetoothd ends when its bus does."""
        await self.bus.stop_daemon()
        await self.bluez.stop()

    async def recover(self) -> None:
        """Come back after `crash`, at the same address, knowing nothing of what was."""
        await self.bus.start()
        await self.bluez.start(self.bus.address)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
