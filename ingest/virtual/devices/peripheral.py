"""A virtual Bluetooth peripheral with any services: it advertises, connects, notifies and indicates."""

import struct
from collections.abc import Sequence

from bumble import hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection
from bumble.gatt import Characteristic, Service

from ingest.virtual.air import NOTIFICATION_OPCODE, Air, AirDevice
from ingest.virtual.strap import ADVERTISING_INTERVAL_MS

_PROPERTIES = Characteristic.Properties
_READABLE = Characteristic.Permissions.READABLE
_NO_PERMISSIONS = Characteristic.Permissions(0)
_GENERAL_DISCOVERABLE_WITHOUT_CLASSIC = bytes([0x06])
_NOTIFIES, _INDICATES = 0x01, 0x02


def notified(uuid: str | UUID) -> Characteristic[bytes]:
    """Return a characteristic that only notifies."""
    return Characteristic[bytes](uuid, _PROPERTIES.NOTIFY, _NO_PERMISSIONS, b"")


def indicated(uuid: str | UUID) -> Characteristic[bytes]:
    """Return a characteristic that only indicates."""
    return Characteristic[bytes](uuid, _PROPERTIES.INDICATE, _NO_PERMISSIONS, b"")


def readable(uuid: str | UUID, value: bytes) -> Characteristic[bytes]:
    """Return a characteristic that is only read."""
    return Characteristic[bytes](uuid, _PROPERTIES.READ, _READABLE, value)


def readable_and_notified(uuid: str | UUID, value: bytes) -> Characteristic[bytes]:
    """Return a characteristic that is read and notifies."""
    return Characteristic[bytes](uuid, _PROPERTIES.READ | _PROPERTIES.NOTIFY, _READABLE, value)


class Peripheral:
    """A wearable on virtual air.

    Parameters
    ----------
    air : Air
    address : str
        Static random address, such as ``F0:F1:F2:F3:F4:F5``.
    name : str
        As advertised in its scan response, at most 29 bytes.
    services : sequence of Service
    advertised : sequence of UUID
        Services that its advertisement names; at most 28 bytes.
    """

    def __init__(
        self, air: Air, address: str, name: str, services: Sequence[Service], advertised: Sequence[UUID]
    ) -> None:
        self.address = address
        self.name = name
        self._air = air
        self._device = AirDevice(air, name, address)
        self._device.advertising_interval_min = ADVERTISING_INTERVAL_MS
        self._device.advertising_interval_max = ADVERTISING_INTERVAL_MS
        self._device.advertising_data = _advertisement(advertised)
        self._device.scan_response_data = bytes(
            AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, name.encode())])
        )
        self._device.add_services(list(services))
        self._is_powered = False

    @property
    def connected(self) -> bool:
        """Whether a central is connected, as far as the wearable knows."""
        return bool(self._device.connections)

    def is_subscribed(self, characteristic: Characteristic[bytes]) -> bool:
        """Say whether someone receives a characteristic."""
        return any(self._subscribers(characteristic, _NOTIFIES | _INDICATES))

    async def start(self) -> None:
        """Switch on: advertise, and again after each connection."""
        if not self._is_powered:
            await self._device.power_on()
            self._is_powered = True
        await self._device.start_advertising(auto_restart=True)

    async def stop(self) -> None:
        """Switch off: leave every central and fall silent."""
        await self._device.stop_advertising()
        for connection in list(self._device.connections.values()):
            await connection.disconnect(hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    def vanish(self) -> None:
        """Go out of range."""
        self._air.vanish(self._device.controller)

    def reappear(self) -> None:
        """Come back into range."""
        self._air.reappear(self._device.controller)

    def notify(self, characteristic: Characteristic[bytes], value: bytes) -> int:
        """Notify a value; return how many centrals it went to."""
        # Bumble's notify_subscribers makes a task for each packet and connection; a PDU is all it takes.
        subscribers = self._subscribers(characteristic, _NOTIFIES)
        header = struct.pack("<BH", NOTIFICATION_OPCODE, characteristic.handle)
        for connection in subscribers:
            pdu = header + value[: connection.att_mtu - len(header)]
            self._device.gatt_server.send_gatt_pdu(connection, pdu)
        return len(subscribers)

    async def indicate(self, characteristic: Characteristic[bytes], value: bytes) -> int:
        """Indicate a value, wait until each central confirmed it; return how many there were."""
        subscribers = self._subscribers(characteristic, _INDICATES)
        for connection in subscribers:
            await self._device.gatt_server.indicate_subscriber(connection, characteristic, value)
        return len(subscribers)

    def _subscribers(self, characteristic: Characteristic[bytes], wish: int) -> list[Connection]:
        cccds = self._device.gatt_server.subscribers
        off = b"\x00\x00"
        return [
            connection
            for connection in self._device.connections.values()
            if cccds.get(connection, {}).get(characteristic.handle, off)[0] & wish
        ]


def _advertisement(advertised: Sequence[UUID]) -> bytes:
    fields = [(AdvertisingData.FLAGS, _GENERAL_DISCOVERABLE_WITHOUT_CLASSIC)]
    for size, kind in (
        (2, AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS),
        (16, AdvertisingData.COMPLETE_LIST_OF_128_BIT_SERVICE_CLASS_UUIDS),
    ):
        listed = b"".join(uuid.to_bytes() for uuid in advertised if len(uuid.to_bytes()) == size)
        if listed:
            fields.append((kind, listed))
    return bytes(AdvertisingData(fields))
