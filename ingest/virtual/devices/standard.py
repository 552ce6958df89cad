"""Virtual devices of the standard services beyond heart rate: foot pod, oximeter, thermometer."""

from bumble.core import UUID
from bumble.gatt import Service

from ingest.decoders import current_time, oximeter, running, thermometer
from ingest.decoders.current_time import CurrentTime, LocalTime, encode_current_time, encode_local_time
from ingest.decoders.date_time import DateTime
from ingest.decoders.oximeter import ContinuousMeasurement, SpotCheckMeasurement
from ingest.decoders.running import RunningFeature, RunningMeasurement
from ingest.decoders.thermometer import TemperatureMeasurement
from ingest.virtual.air import Air
from ingest.virtual.devices.peripheral import Peripheral, indicated, notified, readable


class VirtualFootPod(Peripheral):
    """A foot pod: Running Speed and Cadence."""

    def __init__(self, air: Air, address: str, name: str = "evenkeel foot pod") -> None:
        self._measurement = notified(running.MEASUREMENT_UUID)
        can = RunningFeature(measures_stride=True, measures_distance=True, tells_running=True)
        feature = readable(running.FEATURE_UUID, running.encode_running_feature(can))
        services = [Service(running.SERVICE_UUID, [self._measurement, feature])]
        super().__init__(air, address, name, services, [UUID(running.SERVICE_UUID)])

    def send(self, measurement: RunningMeasurement) -> int:
        """Notify a measurement; return how many centrals it went to."""
        return self.notify(self._measurement, running.encode_running(measurement))


class VirtualOximeter(Peripheral):
    """A pulse oximeter that measures continuously and on the spot."""

    def __init__(self, air: Air, address: str, name: str = "evenkeel oximeter") -> None:
        self._continuous = notified(oximeter.CONTINUOUS_UUID)
        self._spot_check = indicated(oximeter.SPOT_CHECK_UUID)
        services = [Service(oximeter.SERVICE_UUID, [self._continuous, self._spot_check])]
        super().__init__(air, address, name, services, [UUID(oximeter.SERVICE_UUID)])

    def send(self, measurement: ContinuousMeasurement) -> int:
        """Notify a continuous measurement; return how many centrals it went to."""
        return self.notify(self._continuous, oximeter.encode_continuous(measurement))

    async def send_spot_check(self, measurement: SpotCheckMeasurement) -> int:
        """Indicate a spot-check measurement; return how many centrals confirmed it."""
        return await self.indicate(self._spot_check, oximeter.encode_spot_check(measurement))


class VirtualThermometer(Peripheral):
    """A thermometer with a clock that knows its zone: two hours ahead of UTC."""

    ZONE = LocalTime(zone_quarters=4, dst_quarters=4)

    def __init__(self, air: Air, address: str, shows: DateTime, name: str = "evenkeel thermometer") -> None:
        self._measurement = indicated(thermometer.MEASUREMENT_UUID)
        clock = [
            readable(current_time.CURRENT_TIME_UUID, encode_current_time(CurrentTime(shows))),
            readable(current_time.LOCAL_TIME_UUID, encode_local_time(self.ZONE)),
        ]
        services = [
            Service(thermometer.SERVICE_UUID, [self._measurement]),
            Service(current_time.SERVICE_UUID, clock),
        ]
        super().__init__(air, address, name, services, [UUID(thermometer.SERVICE_UUID)])

    async def send(self, measurement: TemperatureMeasurement) -> int:
        """Indicate a measurement; return how many centrals confirmed it."""
        return await self.indicate(self._measurement, thermometer.encode_temperature(measurement))
