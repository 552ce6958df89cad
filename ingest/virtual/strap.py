"""A virtual chest strap: a Bluetooth peripheral that truly speaks ATT and GATT, on virtual air."""

import struct

from bumble import att, hci
from bumble.core import UUID, AdvertisingData
from bumble.device import Connection
from bumble.gatt import (
    GATT_BATTERY_LEVEL_CHARACTERISTIC,
    GATT_BATTERY_SERVICE,
    GATT_BODY_SENSOR_LOCATION_CHARACTERISTIC,
    GATT_DEVICE_INFORMATION_SERVICE,
    GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC,
    GATT_HEART_RATE_CONTROL_POINT_CHARACTERISTIC,
    GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC,
    GATT_HEART_RATE_SERVICE,
    GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC,
    GATT_MODEL_NUMBER_STRING_CHARACTERISTIC,
    GATT_SERIAL_NUMBER_STRING_CHARACTERISTIC,
    Characteristic,
    CharacteristicValue,
    Service,
)

from ingest.decoders.battery import encode_battery
from ingest.decoders.device_information import encode_string
from ingest.decoders.heart_rate import encode_heart_rate
from ingest.virtual.air import NOTIFICATION_OPCODE, Air, AirDevice
from store.types import HeartRateMeasurement

MANUFACTURER = "evenkeel"
MODEL = "virtual strap"
FIRMWARE = "1.0"

CHEST = 1
"""Body Sensor Location, Heart Rate Service 1.0 section 3.2."""

RESET_ENERGY = b"\x01"
"""The only command of the Heart Rate Control Point, Heart Rate Service 1.0 section 3.3."""

CONTROL_POINT_NOT_SUPPORTED = 0x80
"""Error for every other command, same section."""

ADVERTISING_INTERVAL_MS = 100.0
"""Straps advertise about ten times a second until they are connected."""

_PROPERTIES = Characteristic.Properties
_READABLE = Characteristic.Permissions.READABLE
_WRITEABLE = Characteristic.Permissions.WRITEABLE
_NO_PERMISSIONS = Characteristic.Permissions(0)


class VirtualStrap:
    """A chest strap with the Heart Rate, Battery and Device Information services.

    Parameters
    ----------
    air : Air
    address : str
        Static random address, such as ``F0:F1:F2:F3:F4:F5``; also its serial number.
    name : str
        As advertised in its scan response, at most 29 bytes.
    battery_pct : int
        0-100.
    advertising_interval_ms : float
        20 or more.
    """

    def __init__(
        self,
        air: Air,
        address: str,
        name: str = "evenkeel strap",
        *,
        battery_pct: int = 100,
        advertising_interval_ms: float = ADVERTISING_INTERVAL_MS,
    ) -> None:
        self.address = address
        self.name = name
        self.energy_resets = 0
        self._air = air
        self._device = AirDevice(air, name, address)
        self._device.advertising_interval_min = advertising_interval_ms
        self._device.advertising_interval_max = advertising_interval_ms
        self._device.advertising_data = _advertisement()
        self._device.scan_response_data = bytes(
            AdvertisingData([(AdvertisingData.COMPLETE_LOCAL_NAME, name.encode())])
        )
        self._heart_rate = Characteristic[bytes](
            GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC, _PROPERTIES.NOTIFY, _NO_PERMISSIONS, b""
        )
        self._battery = Characteristic[bytes](
            GATT_BATTERY_LEVEL_CHARACTERISTIC,
            _PROPERTIES.READ | _PROPERTIES.NOTIFY,
            _READABLE,
            encode_battery(battery_pct),
        )
        self._device.add_services(self._services())
        self._is_powered = False

    @property
    def subscribed(self) -> bool:
        """Whether someone receives its heart rate."""
        return any(self._subscribers(self._heart_rate))

    @property
    def battery_subscribed(self) -> bool:
        """Whether someone receives its battery level."""
        return any(self._subscribers(self._battery))

    @property
    def connected(self) -> bool:
        """Whether a central is connected, as far as the strap knows."""
        return bool(self._device.connections)

    async def start(self) -> None:
        """Switch on: advertise, and again after each connection."""
        if not self._is_powered:
            await self._device.power_on()
            self._is_powered = True
        await self._device.start_advertising(auto_restart=True)

    async def stop(self) -> None:
        """Switch off: leave every central and fall silent, as a strap does off the body."""
        await self._device.stop_advertising()
        await self.drop()

    async def drop(self) -> None:
        """Leave every central; it may connect again at once."""
        for connection in list(self._device.connections.values()):
            await connection.disconnect(hci.HCI_REMOTE_USER_TERMINATED_CONNECTION_ERROR)

    def vanish(self) -> None:
        """Go out of range."""
        self._air.vanish(self._device.controller)

    def reappear(self) -> None:
        """Come back into range."""
        self._air.reappear(self._device.controller)

    async def send(self, measurement: HeartRateMeasurement) -> int:
        """Notify a heart rate measurement; return how many centrals it went to."""
        return await self.send_frame(encode_heart_rate(measurement))

    async def send_frame(self, frame: bytes) -> int:
        """Notify any bytes as heart rate measurement; return how many centrals they went to."""
        return self._notify(self._heart_rate, frame)

    async def send_battery(self, level_pct: int) -> int:
        """Set and notify the battery level, 0-100; return how many centrals it went to."""
        frame = encode_battery(level_pct)
        self._battery.value = frame
        return self._notify(self._battery, frame)

    def _notify(self, characteristic: Characteristic[bytes], value: bytes) -> int:
        # Bumble's notify_subscribers makes a task for each packet and connection; a PDU is all it takes.
        subscribers = self._subscribers(characteristic)
        for connection in subscribers:
            header = struct.pack("<BH", NOTIFICATION_OPCODE, characteristic.handle)
            pdu = header + value[: connection.att_mtu - len(header)]
            self._device.gatt_server.send_gatt_pdu(connection, pdu)
        return len(subscribers)

    def _subscribers(self, characteristic: Characteristic[bytes]) -> list[Connection]:
        cccds = self._device.gatt_server.subscribers
        off = b"\x00\x00"
        return [
            connection
            for connection in self._device.connections.values()
            if cccds.get(connection, {}).get(characteristic.handle, off)[0] & 0x01
        ]

    def _write_control_point(self, _connection: Connection, value: bytes) -> None:
        if value != RESET_ENERGY:
            raise att.ATT_Error(CONTROL_POINT_NOT_SUPPORTED)
        self.energy_resets += 1

    def _services(self) -> list[Service]:
        location = _read_only(GATT_BODY_SENSOR_LOCATION_CHARACTERISTIC, bytes([CHEST]))
        control_point = Characteristic[bytes](
            GATT_HEART_RATE_CONTROL_POINT_CHARACTERISTIC,
            _PROPERTIES.WRITE,
            _WRITEABLE,
            CharacteristicValue(write=self._write_control_point),
        )
        about = {
            GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC: MANUFACTURER,
            GATT_MODEL_NUMBER_STRING_CHARACTERISTIC: MODEL,
            GATT_SERIAL_NUMBER_STRING_CHARACTERISTIC: self.address,
            GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC: FIRMWARE,
        }
        return [
            Service(GATT_HEART_RATE_SERVICE, [self._heart_rate, location, control_point]),
            Service(GATT_BATTERY_SERVICE, [self._battery]),
            Service(
                GATT_DEVICE_INFORMATION_SERVICE,
                [_read_only(uuid, encode_string(text)) for uuid, text in about.items()],
            ),
        ]


def _advertisement() -> bytes:
    general_discoverable_without_classic = bytes([0x06])
    services = GATT_HEART_RATE_SERVICE.to_bytes() + GATT_BATTERY_SERVICE.to_bytes()
    return bytes(
        AdvertisingData(
            [
                (AdvertisingData.FLAGS, general_discoverable_without_classic),
                (AdvertisingData.COMPLETE_LIST_OF_16_BIT_SERVICE_CLASS_UUIDS, services),
            ]
        )
    )


def _read_only(uuid: UUID, value: bytes) -> Characteristic[bytes]:
    return Characteristic[bytes](uuid, _PROPERTIES.READ, _READABLE, value)
