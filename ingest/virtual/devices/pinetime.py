"""A virtual PineTime with InfiniTime: heart rate while measured, steps, movement, battery and clock."""

from datetime import datetime

from bumble.core import UUID
from bumble.device import Connection
from bumble.gatt import (
    GATT_BATTERY_LEVEL_CHARACTERISTIC,
    GATT_BATTERY_SERVICE,
    GATT_CURRENT_TIME_CHARACTERISTIC,
    GATT_CURRENT_TIME_SERVICE,
    GATT_DEVICE_INFORMATION_SERVICE,
    GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC,
    GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC,
    GATT_HEART_RATE_SERVICE,
    GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC,
    GATT_MODEL_NUMBER_STRING_CHARACTERISTIC,
    Characteristic,
    CharacteristicValue,
    Service,
)

from ingest.decoders.battery import encode_battery
from ingest.decoders.current_time import INFINITIME_BYTES, CurrentTime, encode_current_time
from ingest.decoders.date_time import DateTime
from ingest.decoders.device_information import encode_string
from ingest.decoders.heart_rate import encode_heart_rate
from ingest.decoders.pinetime import MOTION_UUID, SERVICE_UUID, STEPS_UUID, encode_motion, encode_steps
from ingest.virtual.air import Air
from ingest.virtual.devices.peripheral import Peripheral, readable, readable_and_notified
from store.types import HeartRateMeasurement

NAME = "InfiniTime"
AT_REST = (0, 0, 1024)


class VirtualPineTime(Peripheral):
    """A PineTime that behaves as the firmware does: it notifies a value only when it changes.

    Parameters
    ----------
    air : Air
    address : str
    name : str
    battery_pct : int
        0-100.
    maker, model : str
        What it says of itself.

    Attributes
    ----------
    shows : datetime
        What its clock shows, without a zone; the caller turns it on.
    steps : int
        Since midnight or the last reboot.
    """

    def __init__(
        self,
        air: Air,
        address: str,
        name: str = NAME,
        *,
        battery_pct: int = 80,
        maker: str = "PINE64",
        model: str = "PineTime",
    ) -> None:
        self._about = {
            GATT_MANUFACTURER_NAME_STRING_CHARACTERISTIC: maker,
            GATT_MODEL_NUMBER_STRING_CHARACTERISTIC: model,
            GATT_FIRMWARE_REVISION_STRING_CHARACTERISTIC: "1.15.0",
        }
        self.shows = datetime(2026, 1, 5, 20, 0)  # noqa: DTZ001 - the watch knows no zone
        self.steps = 0
        self._heart = readable_and_notified(
            GATT_HEART_RATE_MEASUREMENT_CHARACTERISTIC, encode_heart_rate(HeartRateMeasurement(0))
        )
        self._battery = readable_and_notified(GATT_BATTERY_LEVEL_CHARACTERISTIC, encode_battery(battery_pct))
        self._steps = readable_and_notified(STEPS_UUID, encode_steps(0))
        self._motion = readable_and_notified(MOTION_UUID, encode_motion(AT_REST))
        super().__init__(air, address, name, self._services(), [UUID(SERVICE_UUID)])

    @property
    def motion_subscribed(self) -> bool:
        """Whether someone receives its acceleration."""
        return self.is_subscribed(self._motion)

    def measure(self, heart_rate_bpm: int) -> int:
        """Show a heart rate, 0 while it has none; return how many centrals it went to."""
        return self._change(self._heart, encode_heart_rate(HeartRateMeasurement(heart_rate_bpm)))

    def walk(self, steps: int) -> int:
        """Count further steps; return how many centrals the count went to."""
        self.steps += steps
        return self._change(self._steps, encode_steps(self.steps))

    def begin_day(self) -> int:
        """Start counting steps at 0, as at midnight and after a reboot; return how many centrals heard it."""
        self.steps = 0
        return self._change(self._steps, encode_steps(0))

    def move(self, xyz: tuple[int, int, int]) -> int:
        """Look at the acceleration, 1024 to a g; return how many centrals it went to."""
        return self._change(self._motion, encode_motion(xyz))

    def _change(self, characteristic: Characteristic[bytes], value: bytes) -> int:
        if characteristic.value == value:
            return 0
        characteristic.value = value
        return self.notify(characteristic, value)

    def _read_clock(self, _connection: Connection) -> bytes:
        at = self.shows
        shown = CurrentTime(DateTime(at.year, at.month, at.day, at.hour, at.minute, at.second))
        date_time = encode_current_time(shown)[:7]
        return date_time.ljust(INFINITIME_BYTES, b"\0")

    def _services(self) -> list[Service]:
        clock = Characteristic[bytes](
            GATT_CURRENT_TIME_CHARACTERISTIC,
            Characteristic.Properties.READ,
            Characteristic.Permissions.READABLE,
            CharacteristicValue(read=self._read_clock),
        )
        return [
            Service(
                GATT_DEVICE_INFORMATION_SERVICE,
                [readable(uuid, encode_string(text)) for uuid, text in self._about.items()],
            ),
            Service(GATT_CURRENT_TIME_SERVICE, [clock]),
            Service(GATT_BATTERY_SERVICE, [self._battery]),
            Service(GATT_HEART_RATE_SERVICE, [self._heart]),
            Service(SERVICE_UUID, [self._steps, self._motion]),
        ]
