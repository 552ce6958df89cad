"""A wearable as bluetoothd knows it: seen, connected, its services resolved, and forgotten."""

import asyncio
import random
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bumble import hci
from bumble.core import BaseBumbleError
from bumble.device import Connection, Peer

from ingest.virtual.air import AirDevice
from ingest.virtual.bluez.advertisement import uuid_text
from ingest.virtual.bluez.errors import ABORTED, CANCELED, FAILED, NO_SLOT, NOT_READY, BlueZError
from ingest.virtual.bluez.gatt import RemoteCharacteristic, remote_attributes
from ingest.virtual.bluez.tree import NOTHING, Answer, Exported, ObjectTree

LARGEST_MTU = 517
"""What bluetoothd asks for: the largest attribute value, 512 bytes, with its header."""

LOST_AFTER_S = 0.05
"""After this a connection that fails is lost. 2 s were seen; short, so that tests are."""


@dataclass
class Behaviour:
    """How the service behaves where real ones differ or a test wants it otherwise; may change at any time.

    Attributes
    ----------
    connect_timeout_s : float
        Until the kernel gives up a connection request.
    disconnect_delay_s : float
        bluetoothd keeps a link for 2 s after `Disconnect`, 2.7 s with all that follows; nothing, so that
        tests are fast.
    forget_after_s : float
        Until a device that is not paired, neither heard nor connected, leaves the bus.
    slots : int or None
        Connections that an adapter holds, if it has a limit; five and seven are usual.
    failing_connects_frac : float
        Share of connections that are lost before their services are known, 0-1; about 0.1 was seen.
    seed : int
        Of those losses.
    """

    connect_timeout_s: float = 20.0
    disconnect_delay_s: float = 0.0
    forget_after_s: float = 30.0
    slots: int | None = None
    failing_connects_frac: float = 0.0
    seed: int = 0
    _faults: defaultdict[str, deque[BlueZError]] = field(
        default_factory=lambda: defaultdict[str, deque[BlueZError]](deque), repr=False
    )

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)  # noqa: S311 - losses that a test can repeat

    def refuse(self, member: str, error: BlueZError) -> None:
        """Answer the next call of a method, such as ``Connect``, with an error; may be said several times."""
        self._faults[member].append(error)

    def let_pass(self, member: str) -> None:
        """Raise the error with which to answer this call of a method, if there is one."""
        waiting = self._faults.get(member)
        if waiting:
            raise waiting.popleft()

    def is_failing(self) -> bool:
        """Say whether the connection just made is one of those that fail."""
        return self.failing_connects_frac > 0 and self._random.random() < self.failing_connects_frac


class Central:
    """An adapter's radio, one connection request at a time.

    Parameters
    ----------
    radio : AirDevice
    tree : ObjectTree
    behaviour : Behaviour

    Attributes
    ----------
    is_powered : bool
    """

    def __init__(self, radio: AirDevice, tree: ObjectTree, behaviour: Behaviour) -> None:
        self.radio = radio
        self.tree = tree
        self.behaviour = behaviour
        self.is_powered = True
        self._requesting = asyncio.Lock()

    async def connect(self, address: hci.Address) -> Connection:
        """Connect to a wearable.

        Raises
        ------
        BlueZError
            If it does not answer, or the adapter is off or has no slot left.
        """
        async with self._requesting:
            if not self.is_powered:
                raise BlueZError(NOT_READY, "Resource Not Ready")
            slots = self.behaviour.slots
            if slots is not None and len(self.radio.connections) >= slots:
                raise BlueZError(FAILED, NO_SLOT)
            try:
                async with asyncio.timeout(self.behaviour.connect_timeout_s):
                    return await self.radio.connect_to(address)
            except (BaseBumbleError, TimeoutError) as error:
                raise BlueZError(FAILED, ABORTED) from error


class RemoteDevice(Exported):
    """A wearable.

    Parameters
    ----------
    central : Central
        Of the adapter that heard it.
    adapter_path : str
    address : Address
    forget : callable
        Called when the device should leave the bus.
    """

    interface = "org.bluez.Device1"

    def __init__(
        self,
        central: Central,
        adapter_path: str,
        address: hci.Address,
        forget: Callable[["RemoteDevice"], None],
    ) -> None:
        text = address.to_string(with_type_qualifier=False)
        states = ("Paired", "Bonded", "Trusted", "Blocked", "LegacyPairing", "Connected", "ServicesResolved")
        told: dict[str, Any] = {"Address": text, "Alias": text.replace(":", "-"), "Adapter": adapter_path}
        told |= {"AddressType": "random" if address.is_random else "public", "UUIDs": []}
        told |= dict.fromkeys(states, False)
        super().__init__(f"{adapter_path}/dev_{text.replace(':', '_')}", told)
        self.methods = {"Connect": self._connect, "Disconnect": self._disconnect, "Pair": self._pair}
        self._central = central
        self._address = address
        self._forget = forget
        self._attempt: asyncio.Task[Connection] | None = None
        self._connection: Connection | None = None
        self._resolving: asyncio.Task[None] | None = None
        self._attributes: list[Exported] = []
        self._forgetting: asyncio.TimerHandle | None = None

    @property
    def is_connected(self) -> bool:
        """Whether the link stands."""
        return self._connection is not None

    def heard(self, advertised: dict[str, Any], rssi_dbm: int, *, is_new: bool) -> None:
        """Take what an advertisement told, and put the device on the bus if it is new.

        As with bluetoothd's filter `DuplicateData` off: the signal strength is told each time, the rest when
        it changes.
        """
        changed = self._changed(advertised) | {"RSSI": rssi_dbm}
        if is_new:
            self.properties.update(changed)
            self._central.tree.add(self)
        else:
            self._central.tree.change(self, changed)
        if not self.is_connected:
            self._forget_later()

    def unheard(self) -> None:
        """Forget the signal strength: discovery ended."""
        if "RSSI" in self.properties:
            self._central.tree.change(self, {}, without=("RSSI", "TxPower"))

    async def leave(self) -> None:
        """Drop the link, if any, and give up connecting."""
        attempt, connection = self._attempt, self._connection
        if attempt is not None:
            attempt.cancel()
            await asyncio.wait({attempt})  # whoever asked may connect again as soon as they have the answer
        if connection is not None:
            with suppress(hci.HCI_Error, BaseBumbleError):
                await connection.disconnect()
            self._on_disconnection(hci.HCI_ErrorCode.CONNECTION_TERMINATED_BY_LOCAL_HOST_ERROR)

    async def forget_client(self, client: str) -> None:
        """End the notifications of a client that left the bus. The link outlives it, as with bluetoothd."""
        for attribute in self._attributes:
            if isinstance(attribute, RemoteCharacteristic):
                with suppress(BlueZError):
                    await attribute.forget_client(client)

    def close(self) -> None:
        """Take the device and all that it has off the bus."""
        if self._forgetting is not None:
            self._forgetting.cancel()
        self._drop_attributes()
        self._central.tree.remove(self)

    def set_property(self, name: str, value: object) -> None:
        """Take what a client may set."""
        if name not in ("Trusted", "Blocked", "Alias"):
            super().set_property(name, value)
        self._central.tree.change(self, {name: value})

    def _changed(self, advertised: dict[str, Any]) -> dict[str, Any]:
        merged = dict(advertised)
        for name in ("ManufacturerData", "ServiceData"):
            if name in advertised:
                merged[name] = self.properties.get(name, {}) | advertised[name]
        if "UUIDs" in advertised:
            merged["UUIDs"] = list(dict.fromkeys([*self.properties["UUIDs"], *advertised["UUIDs"]]))
        return {name: value for name, value in merged.items() if self.properties.get(name) != value}

    async def _connect(self, _client: str, _arguments: list[Any]) -> Answer:
        if self.is_connected:
            return NOTHING
        if self._attempt is not None:
            raise BlueZError(FAILED, "Operation already in progress")
        self._remember()
        attempt = self._attempt = asyncio.create_task(self._central.connect(self._address))
        try:
            await asyncio.wait({attempt})
        finally:
            attempt.cancel()
            self._attempt = None
            self._forget_later()
        if attempt.cancelled():
            raise BlueZError(FAILED, CANCELED)
        try:
            connection = attempt.result()
        except BlueZError as error:
            if error.text == NO_SLOT:
                self._forget(self)  # adapters out of slots make the device vanish from the bus
            raise
        self._on_connection(connection)
        return NOTHING

    async def _disconnect(self, _client: str, _arguments: list[Any]) -> Answer:
        if self._attempt is None and self.is_connected and self._central.behaviour.disconnect_delay_s > 0:
            await asyncio.sleep(self._central.behaviour.disconnect_delay_s)
        await self.leave()
        return NOTHING

    async def _pair(self, client: str, arguments: list[Any]) -> Answer:
        await self._connect(client, arguments)
        if self._connection is None:
            raise BlueZError("org.bluez.Error.AuthenticationFailed", "Authentication Failed")
        await self._connection.pair()
        self._central.tree.change(self, {"Paired": True, "Bonded": True})
        return NOTHING

    def _on_connection(self, connection: Connection) -> None:
        if connection.handle not in self._central.radio.connections:
            raise BlueZError(FAILED, ABORTED)
        self._connection = connection
        self._remember()
        connection.on("disconnection", self._on_disconnection)
        self._central.tree.change(self, {"Connected": True})
        self._resolving = asyncio.create_task(self._resolve(connection))

    def _on_disconnection(self, _reason: int) -> None:
        if self._connection is None:
            return
        self._connection = None
        if self._resolving is not None:
            self._resolving.cancel()
        self._drop_attributes()
        self._central.tree.change(self, {"ServicesResolved": False, "Connected": False})
        self._forget_later()

    async def _resolve(self, connection: Connection) -> None:
        """Discover the services and put them on the bus; a link on which that fails is dropped."""
        try:
            if self._central.behaviour.is_failing():
                await asyncio.sleep(LOST_AFTER_S)
                await connection.disconnect()
                return
            peer = Peer(connection)
            await peer.request_mtu(LARGEST_MTU)
            await peer.discover_all()
        except (BaseBumbleError, hci.HCI_Error, TimeoutError):
            await self.leave()
            return
        for attribute in remote_attributes(self._central.tree, self.path, peer):
            self._attributes.append(attribute)
            self._central.tree.add(attribute)
        found = [uuid_text(service.uuid) for service in peer.services]
        uuids = list(dict.fromkeys([*self.properties["UUIDs"], *found]))
        self._central.tree.change(self, {"UUIDs": uuids, "ServicesResolved": True})

    def _drop_attributes(self) -> None:
        for attribute in reversed(self._attributes):
            self._central.tree.remove(attribute)
        self._attributes.clear()

    def _remember(self) -> None:
        if self._forgetting is not None:
            self._forgetting.cancel()
            self._forgetting = None

    def _forget_later(self) -> None:
        self._remember()
        if not self.is_connected and self._attempt is None and not self.properties["Paired"]:
            loop = asyncio.get_running_loop()
            self._forgetting = loop.call_later(self._central.behaviour.forget_after_s, self._forget, self)
