"""A virtual Bluetooth adapter for Bleak: its `backend=` classes over a Bumble host, no D-Bus, no hardware.

Bleak takes a backend as a class, so each `VirtualAdapter` makes a pair of its own, bound to itself.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import cast

from bleak.args import SizedBuffer
from bleak.assigned_numbers import gatt_char_props_to_strs
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback, BaseBleakScanner
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.exc import BleakDeviceNotFoundError, BleakError, BleakGATTProtocolError
from bleak.uuids import normalize_uuid_str
from bumble import att, hci
from bumble.core import UUID, AdvertisingData, BaseBumbleError
from bumble.device import Connection, Peer
from bumble.gatt_client import CharacteristicProxy, DescriptorProxy

from ingest.radio import Radio
from ingest.virtual.air import Air, AirDevice

ADAPTER_ADDRESS = "F0:00:00:00:00:01"

LARGEST_MTU = 517
"""What BlueZ asks for: the largest attribute value, 512 bytes, with its header."""

SMALLEST_MTU = 23
"""ATT_MTU of an LE link before it is exchanged."""

_NAMES = (AdvertisingData.SHORTENED_LOCAL_NAME, AdvertisingData.COMPLETE_LOCAL_NAME)
_SERVICE_LISTS = {
    AdvertisingData.INCOMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS: 2,
    AdvertisingData.INCOMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
    AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS: 16,
}


class VirtualAdapter:
    """A Bluetooth adapter on virtual air.

    Parameters
    ----------
    air : Air
    address : str
        Static random address.

    Attributes
    ----------
    radio : Radio
        Bleak's backend classes, bound to this adapter.
    """

    def __init__(self, air: Air, address: str = ADAPTER_ADDRESS) -> None:
        self.device = AirDevice(air, "evenkeel adapter", address)
        self.connect_lock = asyncio.Lock()
        self._scanners: set[VirtualScanner] = set()
        self.device.host.on("advertising_report", self._on_report)
        adapter = self

        class BoundScanner(VirtualScanner):
            adapter_in_use = adapter

        class BoundClient(VirtualClient):
            adapter_in_use = adapter

        self.radio = Radio(BoundScanner, BoundClient)

    async def start(self) -> None:
        """Switch on; scanning and connecting need it."""
        await self.device.power_on()

    async def add_scanner(self, scanner: "VirtualScanner") -> None:
        """Report advertisements to `scanner`."""
        self._scanners.add(scanner)
        if not self.device.scanning:
            await self.device.start_scanning(legacy=True)

    async def remove_scanner(self, scanner: "VirtualScanner") -> None:
        """Stop reporting to `scanner`; scanning ends with the last one."""
        self._scanners.discard(scanner)
        if self.device.scanning and not self._scanners:
            await self.device.stop_scanning(legacy=True)

    def _on_report(self, report: hci.HCI_LE_Advertising_Report_Event.Report) -> None:
        for scanner in list(self._scanners):
            scanner.on_report(report)


class VirtualScanner(BaseBleakScanner):
    """Bleak's scanner on a `VirtualAdapter`; advertisement and scan response are merged, as BlueZ does."""

    adapter_in_use: VirtualAdapter

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None,
        service_uuids: list[str] | None,
        scanning_mode: str = "active",  # noqa: ARG002 - Bleak passes it by position; all scans are active here
        **_platform_options: object,
    ) -> None:
        super().__init__(detection_callback, service_uuids)
        self._heard: dict[str, dict[int, bytes]] = {}

    async def start(self) -> None:
        """Start scanning."""
        self.seen_devices = {}
        self._heard = {}
        await self.adapter_in_use.add_scanner(self)

    async def stop(self) -> None:
        """Stop scanning."""
        await self.adapter_in_use.remove_scanner(self)

    def on_report(self, report: hci.HCI_LE_Advertising_Report_Event.Report) -> None:
        """Merge a report into what is known of its sender and tell those who listen."""
        address = report.address.to_string(with_type_qualifier=False)
        fields = self._heard.setdefault(address, {})
        fields.update(AdvertisingData.from_bytes(report.data).ad_structures)
        name = next((fields[kind].decode(errors="replace") for kind in _NAMES if kind in fields), None)
        advertisement = AdvertisementData(
            local_name=name,
            manufacturer_data={},
            service_data={},
            service_uuids=_advertised_services(fields),
            tx_power=None,
            rssi=report.rssi,
            platform_data=(report,),
        )
        if self.is_allowed_uuid(advertisement.service_uuids):
            details = {"address": report.address}
            device = self.create_or_update_device(address, address, name, details, advertisement)
            self.call_detection_callbacks(device, advertisement)


class VirtualClient(BaseBleakClient):
    """Bleak's client on a `VirtualAdapter`; raises what Bleak's own backends raise."""

    adapter_in_use: VirtualAdapter

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None,
        timeout: float,
        services: set[str] | None = None,
        **_platform_options: object,
    ) -> None:
        super().__init__(address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._device = address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        self._wanted_services = services
        self._connection: Connection | None = None
        self._peer: Peer | None = None
        self._notified: dict[int, Callable[[bytes], None]] = {}

    @property
    def name(self) -> str:
        """Advertised name, or the address with dashes."""
        known = self._device.name if self._device is not None else None
        return known or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """Negotiated ATT MTU, bytes."""
        return self._connection.att_mtu if self._connection is not None else SMALLEST_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link stands."""
        return self._connection is not None

    async def connect(  # Bleak's signature: it passes `pair` by position, a retrying caller a timeout
        self,
        pair: bool,  # noqa: FBT001
        timeout: float | None = None,  # noqa: ASYNC109
        **_platform_options: object,
    ) -> None:
        """Connect and discover services.

        Raises
        ------
        TimeoutError
            If the peripheral does not answer in time.
        BleakError
            If it leaves during discovery.
        """
        if self._connection is not None:
            raise BleakError("Client is already connected")
        async with asyncio.timeout(timeout or self._timeout):
            address = await self._peer_address()
            # A controller has one LE Create Connection at a time.
            async with self.adapter_in_use.connect_lock:
                try:
                    self._connection = await self.adapter_in_use.device.connect_to(address)
                except BaseBumbleError as error:
                    raise BleakError(str(error)) from error
            self._connection.on("disconnection", self._on_disconnection)
            self._peer = Peer(self._connection)
            try:
                await self._set_up(pair=pair)
            except BaseException:
                await self.disconnect()
                raise

    async def disconnect(self) -> None:
        """Disconnect; nothing happens if the link is gone already."""
        if self._connection is not None:
            try:
                await self._connection.disconnect()
            except hci.HCI_Error:
                self._on_disconnection(hci.HCI_ErrorCode.UNKNOWN_CONNECTION_IDENTIFIER_ERROR)

    async def pair(self, *_args: object, **_platform_options: object) -> None:
        """Pair without confirmation."""
        async with self._operation():
            await self._connected_peer().connection.pair()

    async def unpair(self) -> None:
        """Forget the keys, if any, and disconnect."""
        keystore = self.adapter_in_use.device.keystore
        if keystore is not None:
            await keystore.delete(self.address)
        await self.disconnect()

    async def read_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        *,
        use_cached: bool = False,
        **_platform_options: object,
    ) -> bytearray:
        """Read a characteristic from the peripheral."""
        del use_cached  # nothing is cached
        async with self._operation():
            return bytearray(await _proxy(characteristic).read_value())

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, *, use_cached: bool = False, **_platform_options: object
    ) -> bytearray:
        """Read a descriptor from the peripheral."""
        del use_cached  # nothing is cached
        async with self._operation():
            return bytearray(await _descriptor_proxy(descriptor).read_value())

    async def write_gatt_char(
        self,
        characteristic: BleakGATTCharacteristic,
        data: SizedBuffer,
        response: bool,  # noqa: FBT001 - Bleak's signature
    ) -> None:
        """Write a characteristic."""
        async with self._operation():
            await _proxy(characteristic).write_value(bytes(data), with_response=response)

    async def write_gatt_descriptor(self, descriptor: BleakGATTDescriptor, data: SizedBuffer) -> None:
        """Write a descriptor."""
        async with self._operation():
            await _descriptor_proxy(descriptor).write_value(bytes(data), with_response=True)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **_platform_options: object
    ) -> None:
        """Call `callback` with each notification."""
        if not {"notify", "indicate"} & set(characteristic.properties):
            raise BleakError(f"Characteristic {characteristic} has neither notify nor indicate")

        def on_value(value: bytes) -> None:
            callback(bytearray(value))

        async with self._operation():
            self._notified[characteristic.handle] = on_value
            peer = self._connected_peer()
            await peer.subscribe(_proxy(characteristic), on_value)  # pyright: ignore[reportUnknownMemberType]

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End the notifications of a characteristic."""
        on_value = self._notified.pop(characteristic.handle, None)
        if on_value is not None:
            async with self._operation():
                peer = self._connected_peer()
                await peer.unsubscribe(_proxy(characteristic), on_value)  # pyright: ignore[reportUnknownMemberType]

    async def _peer_address(self) -> hci.Address:
        if self._device is None:
            self._device = await self._find_device()
        return cast("hci.Address", self._device.details["address"])

    async def _find_device(self) -> BLEDevice:
        found: asyncio.Future[BLEDevice] = asyncio.get_running_loop().create_future()

        def note(device: BLEDevice, _advertisement: AdvertisementData) -> None:
            if device.address == self.address and not found.done():
                found.set_result(device)

        scanner = self.adapter_in_use.radio.scanner_for(note)
        try:
            async with scanner, asyncio.timeout(self._timeout):
                return await found
        except TimeoutError:
            message = f"Device with address {self.address} was not found"
            raise BleakDeviceNotFoundError(self.address, message) from None

    async def _set_up(self, *, pair: bool) -> None:
        async with self._operation():
            peer = self._connected_peer()
            if pair:
                await peer.connection.pair()
            await peer.request_mtu(LARGEST_MTU)
            await peer.discover_all()
            self.services = self._collect_services(peer)

    def _collect_services(self, peer: Peer) -> BleakGATTServiceCollection:
        collection = BleakGATTServiceCollection()
        for found in peer.services:
            if self._wanted_services is not None and _uuid_text(found.uuid) not in self._wanted_services:
                continue
            service = BleakGATTService(found, found.handle, _uuid_text(found.uuid))
            collection.add_service(service)
            for proxy in found.characteristics:
                characteristic = BleakGATTCharacteristic(
                    proxy,
                    proxy.handle,
                    _uuid_text(proxy.uuid),
                    sorted(gatt_char_props_to_strs(int(proxy.properties))),
                    lambda: self.mtu_size - 3,
                    service,
                )
                collection.add_characteristic(characteristic)
                for descriptor in proxy.descriptors:
                    uuid = _uuid_text(descriptor.type)
                    held = BleakGATTDescriptor(descriptor, descriptor.handle, uuid, characteristic)
                    collection.add_descriptor(held)
        return collection

    def _connected_peer(self) -> Peer:
        if self._peer is None:
            raise BleakError("Not connected")
        return self._peer

    def _on_disconnection(self, _reason: int) -> None:
        if self._connection is None:
            return
        self._connection = self._peer = self.services = None
        self._notified.clear()
        if self._disconnected_callback is not None:
            self._disconnected_callback()

    @asynccontextmanager
    async def _operation(self) -> AsyncGenerator[None]:
        """Translate what Bumble raises during an exchange into what Bleak's own backends raise."""
        connection = self._connected_peer().connection
        task = asyncio.current_task()
        cancellations = task.cancelling() if task is not None else 0
        try:
            yield
        except att.ATT_Error as error:
            raise BleakGATTProtocolError(error.error_code) from error
        except BaseBumbleError as error:
            raise BleakError(str(error)) from error
        except asyncio.CancelledError:
            # Bumble cancels the request under way when the link is lost; that is no cancellation of ours.
            if self._connection is connection or (task is not None and task.cancelling() > cancellations):
                raise
            raise BleakError("Disconnected during the operation") from None


def _proxy(characteristic: BleakGATTCharacteristic) -> CharacteristicProxy[bytes]:
    return cast("CharacteristicProxy[bytes]", characteristic.obj)


def _descriptor_proxy(descriptor: BleakGATTDescriptor) -> DescriptorProxy:
    return cast("DescriptorProxy", descriptor.obj)


def _uuid_text(uuid: UUID) -> str:
    return normalize_uuid_str(uuid.to_hex_str("-" if len(uuid.uuid_bytes) == 16 else ""))


def _advertised_services(fields: dict[int, bytes]) -> list[str]:
    return [
        _uuid_text(UUID.from_bytes(held[start : start + size]))
        for kind, size in _SERVICE_LISTS.items()
        for held in [fields.get(kind, b"")]
        for start in range(0, len(held) - size + 1, size)
    ]
