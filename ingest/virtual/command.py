"""Virtual wearables as a process of their own, which other programs find like real ones."""

import asyncio
import json
from collections.abc import Callable, Mapping

from ingest.service import stop_on_signals
from ingest.virtual.air import Air
from ingest.virtual.bluez.bed import VirtualBluetooth
from ingest.virtual.bluez.device import Behaviour
from ingest.virtual.worn import wearables
from store.clock import Clock
from store.errors import ConfigError


async def run_virtual(
    wanted: Mapping[str, int],
    *,
    seed: int,
    adapters: int,
    behaviour: Behaviour,
    clock: Clock,
    announce: Callable[[str], None],
) -> None:
    """Wear virtual wearables until SIGINT or SIGTERM.

    Parameters
    ----------
    wanted : mapping of kind to int
        How many of each, see `ingest.virtual.worn.KINDS`.
    seed : int
        The same seed gives the same addresses and people.
    adapters : int
        1-9.
    behaviour : Behaviour
    clock : Clock
    announce : callable of str
        Called once, when all are up, with one line of JSON: `bus`, the address for
        `DBUS_SYSTEM_BUS_ADDRESS`; `sensors`, a list of `address`, `name` and `kind`.

    Raises
    ------
    ConfigError
        If there is no `dbus-daemon`, or it ends while the wearables are worn.
    """
    until = asyncio.Event()
    stop_on_signals(until)
    async with VirtualBluetooth(Air(seed=seed), behaviour, adapters=adapters) as bluetooth:
        worn = wearables(wanted, seed, bluetooth.air, clock)
        ending = {asyncio.create_task(wearable.wear()) for wearable in worn}
        ending |= {asyncio.create_task(_until_set(until)), asyncio.create_task(bluetooth.bluez.wait_ended())}
        try:
            sensors = [{"address": one.address, "name": one.name, "kind": one.kind} for one in worn]
            announce(json.dumps({"bus": bluetooth.address, "sensors": sensors}))
            ended, _ = await asyncio.wait(ending, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                task.result()
        finally:
            for task in ending:
                task.cancel()
            await asyncio.gather(*ending, return_exceptions=True)
    if not until.is_set():
        raise ConfigError(
            "The message bus of the virtual wearables ended; somebody stopped it. Start them again"
        )


async def _until_set(event: asyncio.Event) -> None:
    await event.wait()
