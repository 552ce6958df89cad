"""How to collect from the services that the Bluetooth SIG specified."""

from ingest.decoders import (
    battery,
    current_time,
    device_information,
    heart_rate,
    oximeter,
    pinetime,
    running,
    thermometer,
)
from ingest.decoders.device_information import FIELDS, decode_device_information
from ingest.profiles.profile import Port, Quiet, Tried, Watch
from ingest.tasks import honour_cancellation
from store.streams import (
    BATTERY,
    BODY_TEMPERATURE,
    DEVICE_CLOCK,
    HEART_RATE,
    RR_INTERVAL,
    RUNNING,
    SPO2,
    Stream,
)

CLOCK_READ_INTERVAL_S = 3600
"""Crystals of wearables drift by seconds a day; once an hour shows that, and a clock that was set."""


class HeartRateProfile(Quiet):
    """Heart Rate: the stream that has to keep coming."""

    name = "Heart Rate"
    service_uuid = heart_rate.SERVICE_UUID
    reads = "heart rate, RR intervals, skin contact, energy"
    streams: tuple[Stream, ...] = (HEART_RATE, RR_INTERVAL)
    reference = heart_rate.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe."""
        is_there = await port.subscribe(heart_rate.MEASUREMENT_UUID, "heart_rate_measurement")
        if not is_there or _sends_changes_only(port):
            return ()
        return (Watch("heart_rate_measurement", port.settings.silent_after_s),)


def _sends_changes_only(port: Port) -> bool:
    """Say whether silence is no sign of a dead link.

    A PineTime sends a heart rate only when it changes, and only while its wearer measures.
    """
    return port.client.services.get_service(pinetime.SERVICE_UUID) is not None


class BatteryProfile(Quiet):
    """Battery: the level now, and each time it changes."""

    name = "Battery"
    service_uuid = battery.SERVICE_UUID
    reads = "battery level"
    streams: tuple[Stream, ...] = (BATTERY,)
    reference = battery.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Read, then subscribe.

        BlueZ delivers the answer to a read as a notification too, once subscribed; in this order the level
        is kept once.
        """
        level = await port.read(battery.LEVEL_UUID)
        if level is not None:
            port.keep("battery_level", level)
        await port.subscribe(battery.LEVEL_UUID, "battery_level")
        return ()


class DeviceInformationProfile(Quiet):
    """Device Information: who made it, which model, which firmware."""

    name = "Device Information"
    service_uuid = device_information.SERVICE_UUID
    reads = "manufacturer, model, serial number, revisions"
    streams: tuple[Stream, ...] = ()
    reference = device_information.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Read what there is and describe the wearable with it."""
        values = {uuid: value for uuid in FIELDS if (value := await port.read(uuid)) is not None}
        port.describe(decode_device_information(values))
        return ()


class RunningProfile(Quiet):
    """Running Speed and Cadence: foot pods and some straps, while they move."""

    name = "Running Speed and Cadence"
    service_uuid = running.SERVICE_UUID
    reads = "speed, cadence, stride, distance"
    streams: tuple[Stream, ...] = (RUNNING,)
    reference = running.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe; a sensor at rest falls silent, so nothing has to keep coming."""
        await port.subscribe(running.MEASUREMENT_UUID, "rsc_measurement")
        return ()


class PulseOximeterProfile(Quiet):
    """Pulse Oximeter: continuous and spot-check measurements, whichever it has."""

    name = "Pulse Oximeter"
    service_uuid = oximeter.SERVICE_UUID
    reads = "oxygen saturation, pulse rate"
    streams: tuple[Stream, ...] = (SPO2,)
    reference = oximeter.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe to both; a probe that is put away falls silent, so nothing has to keep coming."""
        await port.subscribe(oximeter.CONTINUOUS_UUID, "plx_continuous")
        await port.subscribe(oximeter.SPOT_CHECK_UUID, "plx_spot_check")
        return ()


class ThermometerProfile(Quiet):
    """Health Thermometer: a temperature whenever it is measured."""

    name = "Health Thermometer"
    service_uuid = thermometer.SERVICE_UUID
    reads = "body temperature"
    streams: tuple[Stream, ...] = (BODY_TEMPERATURE,)
    reference = thermometer.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe to the indications."""
        await port.subscribe(thermometer.MEASUREMENT_UUID, "temperature_measurement")
        return ()


class CurrentTimeProfile(Quiet):
    """Current Time: what the wearable's clock shows, now and once an hour; it is read, never set.

    InfiniTime has this service, without a time zone, and asks for the same of us besides: it is a client of
    the Current Time service, too. This collector serves no time, so a PineTime keeps the clock that its
    companion app set.
    """

    name = "Current Time"
    service_uuid = current_time.SERVICE_UUID
    reads = "how far its clock is off"
    streams: tuple[Stream, ...] = (DEVICE_CLOCK,)
    reference = current_time.REFERENCE
    tried: Tried = "virtual"

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Look at its clock."""
        await self._look(port)
        return ()

    async def attend(self, port: Port) -> None:
        """Look at its clock again every hour."""
        while True:
            await port.clock.sleep(CLOCK_READ_INTERVAL_S)
            await self._look(port)
            honour_cancellation()

    async def _look(self, port: Port) -> None:
        # The zone first, so that as little as possible passes between the reading and its stamp.
        zone = await port.read(current_time.LOCAL_TIME_UUID)
        shown = await port.read(current_time.CURRENT_TIME_UUID)
        if shown is not None:
            port.keep("current_time", shown + (zone or b""))
