"""What records of the Bluetooth SIG's own services say, and those of the link itself."""

from math import nan

from ingest.decoders.battery import decode_battery
from ingest.decoders.current_time import (
    FRACTIONS_PER_S,
    LOCAL_TIME_BYTES,
    decode_current_time,
    decode_local_time,
)
from ingest.decoders.date_time import DateTime
from ingest.decoders.heart_rate import decode_heart_rate
from ingest.decoders.ieee11073 import NoNumber, Number
from ingest.decoders.oximeter import (
    ContinuousMeasurement,
    DeviceStatus,
    MeasurementStatus,
    SpotCheckMeasurement,
    decode_continuous,
    decode_spot_check,
)
from ingest.decoders.running import decode_running
from ingest.decoders.thermometer import decode_temperature
from ingest.heartbeat import CollectorStatus
from ingest.readings.reading import Reading
from ingest.records import Record, parse_link_payload
from store.errors import DataError, FrameError
from store.streams import (
    BATTERY,
    BODY_TEMPERATURE,
    COLLECTOR,
    DEVICE_CLOCK,
    HEART_RATE,
    LINK_STATE,
    RUNNING,
    SIGNAL,
    SPO2,
    Stream,
)
from store.times import iso_time
from store.units import NS_PER_S

FRESH_WITHIN_S = 60
"""A measurement that carries a time is taken as of its arrival if its clock, in some time zone, showed the
arrival to a minute: clocks that an app once set are that good."""

_ZONES_S = (*range(-12 * 3600, 14 * 3600 + 1, 1800), 20700, 31500, 45900)
"""All half hours from UTC, and those of Nepal, Eucla and the Chatham Islands."""

_NOBODY_MEASURED = (
    MeasurementStatus.DEMONSTRATION
    | MeasurementStatus.TESTING
    | MeasurementStatus.UNAVAILABLE
    | MeasurementStatus.INVALID
)
_NOBODY_WORE_IT = (
    DeviceStatus.EQUIPMENT_MALFUNCTION
    | DeviceStatus.SENSOR_UNCONNECTED_TO_USER
    | DeviceStatus.SENSOR_MALFUNCTION
    | DeviceStatus.SENSOR_DISCONNECTED
)


def read_heart_rate(record: Record) -> Reading:
    """Return the heart rate at arrival and the RR intervals."""
    heart = decode_heart_rate(record.payload)
    values = (float(heart.heart_rate_bpm), _or_missing(heart.skin_contact), _or_missing(heart.energy_kj))
    return Reading(at_arrival=((HEART_RATE, values),), rr_ms=heart.rr_ms)


def read_battery(record: Record) -> Reading:
    """Return the battery level at arrival."""
    return _one(BATTERY, float(decode_battery(record.payload)))


def read_link_state(record: Record) -> Reading:
    """Return the change of the link at arrival."""
    try:
        state = parse_link_payload(record.payload)
    except (ValueError, KeyError, TypeError):
        raise FrameError("A link state is not JSON with state and reason", record.payload) from None
    return Reading(at_arrival=((LINK_STATE, state),))


def read_signal(record: Record) -> Reading:
    """Return how strong the wearable was heard before its connection."""
    if len(record.payload) != 1:
        raise FrameError("A signal strength is one signed byte of dBm", record.payload)
    return _one(SIGNAL, float(int.from_bytes(record.payload, signed=True)))


def read_collector(record: Record) -> Reading:
    """Return how the collector stood at that moment."""
    status = CollectorStatus.from_payload(record.payload)
    values = (float(status.spool_bytes), float(status.waiting_frames), status.store_down_s)
    return Reading(at_arrival=((COLLECTOR, values),))


def read_running(record: Record) -> Reading:
    """Return speed and cadence at arrival."""
    running = decode_running(record.payload)
    return _one(
        RUNNING,
        running.speed_m_s,
        float(running.cadence_per_min),
        _or_missing(running.stride_m),
        _or_missing(running.distance_m),
        float(running.is_running),
    )


def read_continuous_oximetry(record: Record) -> Reading:
    """Return saturation and pulse rate at arrival; nothing where the oximeter says they are nobody's."""
    return _oximetry(decode_continuous(record.payload))


def read_spot_check_oximetry(record: Record) -> Reading:
    """Return saturation and pulse rate at arrival.

    Raises
    ------
    DataError
        Also if they come from the oximeter's memory, or were measured at another time: when is not known.
    """
    measured = decode_spot_check(record.payload)
    if measured.status is not None and measured.status & MeasurementStatus.FROM_STORAGE:
        raise _stale("SpO2", record, measured.measured_at)
    if measured.measured_at is not None and not measured.is_clock_unset:
        _check_fresh("SpO2", record, measured.measured_at)
    return _oximetry(measured)


def read_temperature(record: Record) -> Reading:
    """Return the temperature at arrival; nothing where the thermometer sent no number.

    Raises
    ------
    DataError
        Also if it was measured at another time: when is not known.
    """
    measured = decode_temperature(record.payload)
    if measured.measured_at is not None:
        _check_fresh("temperature", record, measured.measured_at)
    return Reading() if measured.temperature_c is None else _one(BODY_TEMPERATURE, measured.temperature_c)


def read_current_time(record: Record) -> Reading:
    """Return how far the wearable's clock is ahead; nothing where it does not know its date or its zone.

    The payload is the Current Time, followed by the Local Time Information of a wearable that has it.
    """
    payload = record.payload
    # Current Time alone has 9 or 10 bytes, with Local Time Information 11 or 12.
    has_zone = len(payload) > 10
    current = decode_current_time(payload[:-LOCAL_TIME_BYTES] if has_zone else payload)
    offset_s = decode_local_time(payload[-LOCAL_TIME_BYTES:]).offset_s if has_zone else None
    shown = current.shown.as_if_utc()
    if shown is None or offset_s is None:
        return Reading()
    wearable_s = shown.timestamp() - offset_s + current.fraction_256 / FRACTIONS_PER_S
    return _one(DEVICE_CLOCK, wearable_s - record.wall_ns / NS_PER_S)


def _oximetry(measured: ContinuousMeasurement | SpotCheckMeasurement) -> Reading:
    if (measured.status or 0) & _NOBODY_MEASURED or (measured.device_status or 0) & _NOBODY_WORE_IT:
        return Reading()
    spo2_pct = _number_or_missing(measured.normal.spo2_pct)
    pulse_bpm = _number_or_missing(measured.normal.pulse_rate_bpm)
    if spo2_pct != spo2_pct and pulse_bpm != pulse_bpm:  # noqa: PLR0124 - both are missing
        return Reading()
    return _one(SPO2, spo2_pct, pulse_bpm)


def _check_fresh(what: str, record: Record, measured_at: DateTime) -> None:
    """Raise unless the clock, in some time zone, showed the time of arrival; one without a date may pass."""
    if 0 in (measured_at.year, measured_at.month, measured_at.day):
        return
    shown = measured_at.as_if_utc()
    if shown is None:
        raise _stale(what, record, measured_at)
    ahead_s = shown.timestamp() - record.wall_ns / NS_PER_S
    if min(abs(ahead_s - zone_s) for zone_s in _ZONES_S) > FRESH_WITHIN_S:
        raise _stale(what, record, measured_at)


def _stale(what: str, record: Record, measured_at: DateTime | None) -> DataError:
    clock = "at an unknown time" if measured_at is None else f"when its clock showed {measured_at.text()}"
    return DataError(
        f"{what} of {record.sensor_id}, arrived {iso_time(record.wall_ns)}, was measured {clock}; when that "
        f"was is not known, needed is a clock right to {FRESH_WITHIN_S} s: set the wearable's clock, and "
        "measure while it is connected"
    )


def _one(stream: Stream, *values: float) -> Reading:
    return Reading(at_arrival=((stream, values),))


def _number_or_missing(number: Number) -> float:
    return nan if isinstance(number, NoNumber) else number


def _or_missing(value: float | None) -> float:
    return nan if value is None else float(value)
