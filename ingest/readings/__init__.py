"""What the payload of each kind of record says; `READERS` has one function per kind."""

from collections.abc import Callable, Mapping

from ingest.readings import colmi, pinetime, polar, standard
from ingest.readings.reading import Reading
from ingest.records import Kind, Record
from store.errors import DataError

Reader = Callable[[Record], Reading]
"""Pure; raises `DataError` (mostly `FrameError`) for a payload that is not what its kind should hold."""

READERS: Mapping[Kind, Reader] = {
    "heart_rate_measurement": standard.read_heart_rate,
    "battery_level": standard.read_battery,
    "link_state": standard.read_link_state,
    "signal": standard.read_signal,
    "rsc_measurement": standard.read_running,
    "plx_continuous": standard.read_continuous_oximetry,
    "plx_spot_check": standard.read_spot_check_oximetry,
    "temperature_measurement": standard.read_temperature,
    "current_time": standard.read_current_time,
    "pinetime_steps": pinetime.read_steps,
    "pinetime_motion": pinetime.read_motion,
    "polar_pmd": polar.read_polar,
    "colmi_heart_rate_log": colmi.read_colmi_heart_rate,
    "colmi_steps_log": colmi.read_colmi_steps,
    "colmi_sleep_log": colmi.read_colmi_sleep,
    "colmi_spo2_log": colmi.read_colmi_spo2,
    "colmi_hrv_log": colmi.read_colmi_hrv,
    "colmi_battery": colmi.read_colmi_battery,
    "collector": standard.read_collector,
}


def reading_of(record: Record) -> Reading:
    """Return what a record says.

    Raises
    ------
    DataError
        If its payload is not what its kind should hold, or the kind is unknown.
    """
    reader = READERS.get(record.kind)
    if reader is None:
        raise DataError(
            f"A record of {record.sensor_id} has the kind {record.kind!r}, which this version does not know; "
            "forward it with the version that spooled it"
        )
    return reader(record)
