"""The `org.bluez` service: adapters on a bus, and calls from its clients."""

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply
from dbus_fast.aio.message_bus import MessageBus

from ingest.virtual.air import Air
from ingest.virtual.bluez.adapter import Adapter
from ingest.virtual.bluez.device import Behaviour
from ingest.virtual.bluez.errors import BlueZError
from ingest.virtual.bluez.outbox import Outbox
from ingest.virtual.bluez.tree import ObjectTree

NAME = "org.bluez"
_BUS, _BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
_ANSWERED_BY_THE_LIBRARY = ("org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable")


class BlueZ:
    """A Bluetooth service.

    Parameters
    ----------
    air : Air
        Where its adapters listen.
    behaviour : Behaviour
    adapter_addresses : tuple of str
        One for each adapter, ``hci0`` first; static random addresses.

    Attributes
    ----------
    behaviour : Behaviour
    adapters : list of Adapter
    calls : Counter of str
        How often each method was called, such as ``Connect``.
    clients : set of str
        Bus names of the programs that called, until they have left the bus and nothing is done for them.
    """

    def __init__(self, air: Air, behaviour: Behaviour, adapter_addresses: tuple[str, ...]) -> None:
        self.behaviour = behaviour
        self.calls: Counter[str] = Counter()
        self.clients: set[str] = set()
        self.adapters: list[Adapter] = []
        self._air = air
        self._addresses = adapter_addresses
        self._bus: MessageBus | None = None
        self._outbox: Outbox | None = None
        self._ended: asyncio.Task[Any] | None = None
        self._tree = ObjectTree(self._send)
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, bus_address: str) -> None:
        """Switch the adapters on and answer on a bus.

        Raises
        ------
        RuntimeError
            If another service has the name; a private bus has none.
        """
        bus = self._bus = await MessageBus(bus_address=bus_address).connect()
        bus.add_message_handler(self._on_message)
        rule = f"type='signal',sender='{_BUS}',member='NameOwnerChanged'"
        await bus.call(
            Message(
                destination=_BUS,
                path=_BUS_PATH,
                interface=_BUS,
                member="AddMatch",
                signature="s",
                body=[rule],
            )
        )
        if await bus.request_name(NAME, NameFlag.DO_NOT_QUEUE) is not RequestNameReply.PRIMARY_OWNER:
            raise RuntimeError(f"Another {NAME} is on {bus_address}")
        self._outbox = Outbox(bus)
        self._ended = asyncio.create_task(bus.wait_for_disconnect())
        for number, address in enumerate(self._addresses):
            adapter = Adapter(self._tree, self._air, f"hci{number}", address, self.behaviour)
            await adapter.start()
            self.adapters.append(adapter)

    async def stop(self) -> None:
        """Leave every wearable and the bus, if that is still there."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for adapter in self.adapters:
            await adapter.stop()
        self.adapters.clear()
        if self._outbox is not None:
            await self._outbox.close()
        if self._bus is not None:
            self._bus.disconnect()
            await self.wait_ended()
        self._outbox = self._bus = None

    async def wait_ended(self) -> None:
        """Return when the connection to the bus is gone."""
        if self._ended is not None:
            await asyncio.wait({self._ended})
            self._ended.exception()  # looked at, for it is no matter how it ended

    def _send(self, message: Message) -> None:
        if self._outbox is not None:
            self._outbox.put(message)

    def _on_message(self, message: Message) -> bool | None:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self._run(self._forget_client(message.body[0]))
        elif (
            message.message_type is MessageType.METHOD_CALL
            and message.interface not in _ANSWERED_BY_THE_LIBRARY
        ):
            self.calls[message.member or ""] += 1
            self.clients.add(message.sender or "")
            self._run(self._answer(message))
            return True
        return None

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Message) -> None:
        try:
            self.behaviour.let_pass(call.member or "")
            signature, body = await self._tree.call(call)
        except BlueZError as error:
            self._send(Message.new_error(call, error.name, error.text))
        except Exception:
            # A caller that gets no answer waits 25 s and blames the radio.
            self._send(Message.new_error(call, "org.bluez.Error.Failed", "a bug in the virtual service"))
            raise
        else:
            self._send(Message.new_method_return(call, signature, body))

    async def _forget_client(self, client: str) -> None:
        try:
            for adapter in list(self.adapters):
                await adapter.forget_client(client)
        finally:
            self.clients.discard(client)
