"""Services, characteristics and descriptors of a connected wearable, as bluetoothd puts them on the bus."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from bumble import att
from bumble.core import BaseBumbleError
from bumble.device import Peer
from bumble.gatt import GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR
from bumble.gatt_client import CharacteristicProxy, DescriptorProxy, ServiceProxy

from ingest.virtual.bluez.advertisement import uuid_text
from ingest.virtual.bluez.errors import (
    FAILED,
    NOT_CONNECTED,
    NOT_PERMITTED,
    NOT_SUPPORTED,
    BlueZError,
    att_error,
)
from ingest.virtual.bluez.tree import NOTHING, Answer, Exported, ObjectTree

_HIDDEN = "00001800-0000-1000-8000-00805f9b34fb"
"""Generic Access: bluetoothd keeps it for itself."""

_FLAGS = (
    "broadcast",
    "read",
    "write-without-response",
    "write",
    "notify",
    "indicate",
    "authenticated-signed-writes",
    "extended-properties",
)
"""Names of the property bits, lowest first, Bluetooth Core 5.4 Vol 3 Part G 3.3.1.1."""

_UNSUPPORTED = "Operation is not supported"


class RemoteService(Exported):
    """A service of a wearable."""

    interface = "org.bluez.GattService1"

    def __init__(self, device_path: str, proxy: ServiceProxy) -> None:
        path = f"{device_path}/service{proxy.handle:04x}"
        uuid = uuid_text(proxy.uuid)
        super().__init__(path, {"UUID": uuid, "Primary": True, "Device": device_path, "Includes": []})


class RemoteCharacteristic(Exported):
    """A characteristic of a wearable.

    Parameters
    ----------
    tree : ObjectTree
    service_path : str
    peer : Peer
    proxy : CharacteristicProxy
    """

    interface = "org.bluez.GattCharacteristic1"

    def __init__(
        self, tree: ObjectTree, service_path: str, peer: Peer, proxy: CharacteristicProxy[bytes]
    ) -> None:
        # Bumble's handle is that of the value, bluetoothd names the declaration, which is the one before.
        path = f"{service_path}/char{proxy.handle - 1:04x}"
        flags = [flag for bit, flag in enumerate(_FLAGS) if int(proxy.properties) >> bit & 1]
        told: dict[str, Any] = {"UUID": uuid_text(proxy.uuid), "Service": service_path, "Value": b""}
        told |= {"Flags": flags, "MTU": peer.connection.att_mtu}
        if {"notify", "indicate"} & set(flags):
            told["Notifying"] = False
        super().__init__(path, told)
        self.methods = {
            "ReadValue": self._read,
            "WriteValue": self._write,
            "StartNotify": self._start_notify,
            "StopNotify": self._stop_notify,
        }
        self._tree = tree
        self._peer = peer
        self._proxy = proxy
        self._listeners: set[str] = set()

    async def forget_client(self, client: str) -> None:
        """End the notifications of a client that left the bus; the connection stays."""
        if client in self._listeners:
            await self._remove_listener(client)

    async def _read(self, _client: str, _arguments: list[Any]) -> Answer:
        async with _exchange(self._peer):
            value = bytes(await self._proxy.read_value())
        # To a subscriber this looks like a notification; so it does with bluetoothd.
        self._tree.change(self, {"Value": value})
        return "ay", [value]

    async def _write(self, _client: str, arguments: list[Any]) -> Answer:
        value, options = arguments
        kind = options["type"].value if "type" in options else "request"
        needed = "write-without-response" if kind == "command" else "write"
        if needed not in self.properties["Flags"]:
            raise BlueZError(NOT_SUPPORTED, _UNSUPPORTED)
        async with _exchange(self._peer):
            await self._proxy.write_value(bytes(value), with_response=kind != "command")
        return NOTHING

    async def _start_notify(self, client: str, _arguments: list[Any]) -> Answer:
        if "Notifying" not in self.properties:
            raise BlueZError(NOT_SUPPORTED, _UNSUPPORTED)
        if client in self._listeners:
            return NOTHING
        is_first = not self._listeners
        self._listeners.add(client)
        if is_first:
            try:
                async with _exchange(self._peer):
                    await self._peer.subscribe(self._proxy, self._on_value)  # pyright: ignore[reportUnknownMemberType]
            except BlueZError:
                self._listeners.discard(client)
                raise
            self._tree.change(self, {"Notifying": True})
        return NOTHING

    async def _stop_notify(self, client: str, _arguments: list[Any]) -> Answer:
        if client not in self._listeners:
            raise BlueZError(FAILED, "No notify session started")
        await self._remove_listener(client)
        return NOTHING

    async def _remove_listener(self, client: str) -> None:
        self._listeners.discard(client)
        if not self._listeners:
            self._tree.change(self, {"Notifying": False})
            async with _exchange(self._peer):
                await self._peer.unsubscribe(self._proxy, self._on_value)  # pyright: ignore[reportUnknownMemberType]

    def _on_value(self, value: bytes) -> None:
        self._tree.change(self, {"Value": bytes(value)})


class RemoteDescriptor(Exported):
    """A descriptor of a wearable."""

    interface = "org.bluez.GattDescriptor1"

    def __init__(
        self, tree: ObjectTree, characteristic_path: str, peer: Peer, proxy: DescriptorProxy
    ) -> None:
        path = f"{characteristic_path}/desc{proxy.handle:04x}"
        uuid = uuid_text(proxy.type)
        super().__init__(path, {"UUID": uuid, "Characteristic": characteristic_path, "Value": b""})
        self.methods = {"ReadValue": self._read, "WriteValue": self._write}
        self._tree = tree
        self._peer = peer
        self._proxy = proxy

    async def _read(self, _client: str, _arguments: list[Any]) -> Answer:
        async with _exchange(self._peer):
            value = bytes(await self._proxy.read_value())
        self._tree.change(self, {"Value": value})
        return "ay", [value]

    async def _write(self, _client: str, arguments: list[Any]) -> Answer:
        if self._proxy.type == GATT_CLIENT_CHARACTERISTIC_CONFIGURATION_DESCRIPTOR:
            raise BlueZError(NOT_PERMITTED, "Write not permitted")  # StartNotify is the way
        async with _exchange(self._peer):
            await self._proxy.write_value(bytes(arguments[0]), with_response=True)
        return NOTHING


def remote_attributes(tree: ObjectTree, device_path: str, peer: Peer) -> list[Exported]:
    """Return what a wearable, its services discovered, puts on the bus; parents before their children."""
    found: list[Exported] = []
    for service in peer.services:
        if uuid_text(service.uuid) == _HIDDEN:
            continue
        found.append(RemoteService(device_path, service))
        service_path = found[-1].path
        for proxy in service.characteristics:
            characteristic = RemoteCharacteristic(tree, service_path, peer, proxy)
            found.append(characteristic)
            found += [
                RemoteDescriptor(tree, characteristic.path, peer, descriptor)
                for descriptor in proxy.descriptors
            ]
    return found


def own_cancellations() -> Callable[[], bool]:
    """Return a function that says whether this task was cancelled since.

    Bumble cancels what it waits for when a link is lost, which is no cancellation of the task.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    return lambda: task is not None and task.cancelling() > before


@asynccontextmanager
async def _exchange(peer: Peer) -> AsyncGenerator[None]:
    """Answer as bluetoothd does where an exchange with a wearable fails."""
    if peer.connection.handle not in peer.connection.device.connections:
        raise BlueZError(NOT_CONNECTED, "Not Connected")
    is_cancelled = own_cancellations()
    try:
        yield
    except att.ATT_Error as error:
        raise att_error(error.error_code) from error
    except (BaseBumbleError, TimeoutError) as error:
        raise BlueZError(FAILED, str(error)) from error
    except asyncio.CancelledError:
        if is_cancelled():
            raise
        text = "Operation failed with ATT error: 0x0e (Unlikely Error)"
        raise BlueZError(FAILED, text) from None
