"""What one record says: values where they belong, missing ones missing, and nothing that nobody measured."""

from datetime import UTC, datetime
from math import isnan
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.current_time import CurrentTime, LocalTime, encode_current_time, encode_local_time
from ingest.decoders.date_time import DateTime
from ingest.decoders.ieee11073 import NoNumber
from ingest.decoders.oximeter import (
    ContinuousMeasurement,
    DeviceStatus,
    MeasurementStatus,
    Oximetry,
    SpotCheckMeasurement,
    encode_continuous,
    encode_spot_check,
)
from ingest.decoders.running import RunningMeasurement, encode_running
from ingest.decoders.thermometer import TemperatureMeasurement, encode_temperature
from ingest.readings import READERS, reading_of
from ingest.readings.reading import Count, Reading
from ingest.records import Kind, Record, link_payload
from store.errors import DataError, FrameError
from store.streams import (
    BATTERY,
    BODY_TEMPERATURE,
    DEVICE_CLOCK,
    HEART_RATE,
    LINK_STATE,
    RUNNING,
    SIGNAL,
    SPO2,
    STEP_COUNT,
)

ARRIVAL = datetime(2026, 3, 2, 21, 4, 5, tzinfo=UTC)
ARRIVAL_NS = int(ARRIVAL.timestamp()) * 10**9


def record(kind: Kind, payload: bytes) -> Record:
    return Record(kind, "S001", "C0:FF:EE:00:00:01", ARRIVAL_NS, 0, payload)


def said(kind: Kind, payload: bytes) -> Reading:
    return reading_of(record(kind, payload))


def clock(hour: int, minute: int, second: int, *, day: int = 2) -> DateTime:
    return DateTime(2026, 3, day, hour, minute, second)


def continuous(measurement: ContinuousMeasurement) -> Reading:
    return said("plx_continuous", encode_continuous(measurement))


def spot_check(measurement: SpotCheckMeasurement) -> Reading:
    return said("plx_spot_check", encode_spot_check(measurement))


def temperature(measurement: TemperatureMeasurement) -> Reading:
    return said("temperature_measurement", encode_temperature(measurement))


@pytest.mark.parametrize("kind", READERS)
def test_every_reader_belongs_to_a_kind_of_record(kind: str):
    assert kind in get_args(Kind)


@pytest.mark.parametrize("kind", READERS)
@given(payload=st.binary(max_size=40))
def test_any_payload_is_read_or_refused(kind: Kind, payload: bytes):
    try:
        reading = said(kind, payload)
    except DataError:
        return
    for stream, values in reading.at_arrival:
        assert len(values) == len(stream.columns)


def test_an_unknown_kind_is_refused_by_name():
    with pytest.raises(DataError, match="'from_the_future'"):
        said("from_the_future", b"")  # type: ignore[arg-type]


def test_heart_rate_with_its_intervals():
    reading = said("heart_rate_measurement", bytes.fromhex("1e480a0000040002"))
    assert reading == Reading(((HEART_RATE, (72.0, 1.0, 10.0)),), rr_ms=(1000.0, 500.0))


def test_what_a_strap_does_not_say_is_missing():
    ((_, (bpm, contact, energy_kj)),) = said("heart_rate_measurement", b"\x00\x48").at_arrival
    assert bpm == 72.0
    assert isnan(contact)
    assert isnan(energy_kj)


def test_battery_and_link_state():
    assert said("battery_level", b"\x55").at_arrival == ((BATTERY, (85.0,)),)
    state = said("link_state", link_payload("disconnected", "link lost"))
    assert state.at_arrival == ((LINK_STATE, ("disconnected", "link lost")),)


def test_signal_strength():
    assert said("signal", b"\xce").at_arrival == ((SIGNAL, (-50.0,)),)
    for payload in (b"", b"-50"):
        with pytest.raises(FrameError, match="one signed byte"):
            said("signal", payload)


@pytest.mark.parametrize("payload", [b"", b"{}", b"[]", b"null", b'{"state": "connected"}', b"\xff"])
def test_a_link_state_that_is_none_is_refused(payload: bytes):
    with pytest.raises(FrameError, match="link state"):
        said("link_state", payload)


def test_running():
    full = encode_running(RunningMeasurement(3.0, 90, is_running=True, stride_m=1.25, distance_m=123.4))
    assert said("rsc_measurement", full).at_arrival == ((RUNNING, (3.0, 90.0, 1.25, 123.4, 1.0)),)
    ((_, values),) = said("rsc_measurement", encode_running(RunningMeasurement(1.5, 55))).at_arrival
    assert values[:2] == (1.5, 55.0)
    assert isnan(values[2])
    assert isnan(values[3])
    assert values[4] == 0.0


def test_saturation_and_pulse():
    assert continuous(ContinuousMeasurement(Oximetry(97.5, 72.0))).at_arrival == ((SPO2, (97.5, 72.0)),)


@pytest.mark.parametrize("none", NoNumber)
def test_no_number_becomes_missing_and_two_of_them_nothing(none: NoNumber):
    ((_, (spo2_pct, pulse_bpm)),) = continuous(ContinuousMeasurement(Oximetry(none, 72.0))).at_arrival
    assert isnan(spo2_pct)
    assert pulse_bpm == 72.0
    assert continuous(ContinuousMeasurement(Oximetry(none, none))) == Reading()
    assert temperature(TemperatureMeasurement(none)) == Reading()


@pytest.mark.parametrize(
    "bit",
    [
        MeasurementStatus.DEMONSTRATION,
        MeasurementStatus.TESTING,
        MeasurementStatus.UNAVAILABLE,
        MeasurementStatus.INVALID,
    ],
)
def test_what_nobody_measured_is_no_sample(bit: MeasurementStatus):
    status = bit | MeasurementStatus.ONGOING
    assert continuous(ContinuousMeasurement(Oximetry(97.0, 72.0), status=status)) == Reading()


@pytest.mark.parametrize(
    "bit",
    [
        DeviceStatus.EQUIPMENT_MALFUNCTION,
        DeviceStatus.SENSOR_UNCONNECTED_TO_USER,
        DeviceStatus.SENSOR_MALFUNCTION,
        DeviceStatus.SENSOR_DISCONNECTED,
    ],
)
def test_what_was_measured_on_nobody_is_no_sample(bit: DeviceStatus):
    assert continuous(ContinuousMeasurement(Oximetry(97.0, 72.0), device_status=int(bit))) == Reading()


def test_a_questionable_measurement_is_kept_as_measured():
    measured = ContinuousMeasurement(
        Oximetry(88.0, 72.0),
        status=int(MeasurementStatus.QUESTIONABLE),
        device_status=int(DeviceStatus.LOW_PERFUSION),
    )
    assert continuous(measured).at_arrival == ((SPO2, (88.0, 72.0)),)


@pytest.mark.parametrize(
    "shows",
    [
        pytest.param(clock(21, 4, 5), id="UTC"),
        pytest.param(clock(22, 3, 30, day=2), id="UTC+1, half a minute late"),
        pytest.param(clock(2, 49, 5, day=3), id="Nepal"),
        pytest.param(clock(11, 34, 5), id="UTC-9:30"),
        pytest.param(DateTime(0, 0, 0, 0, 3, 7), id="no date: the clock was never set"),
    ],
)
def test_a_measurement_of_now_counts_as_of_its_arrival(shows: DateTime):
    assert temperature(TemperatureMeasurement(36.4, measured_at=shows)).at_arrival == (
        (BODY_TEMPERATURE, (36.4,)),
    )
    assert spot_check(SpotCheckMeasurement(Oximetry(97.0, 72.0), shows)).at_arrival == ((SPO2, (97.0, 72.0)),)


@pytest.mark.parametrize(
    "shows",
    [
        pytest.param(clock(20, 45, 0), id="19 minutes ago"),
        pytest.param(DateTime(2000, 1, 1, 0, 3, 7), id="another year"),
        pytest.param(DateTime(2026, 2, 30, 0, 0, 0), id="in no calendar"),
    ],
)
def test_a_measurement_of_another_time_is_refused_rather_than_put_at_its_arrival(shows: DateTime):
    with pytest.raises(DataError, match="set the wearable's clock") as refused:
        temperature(TemperatureMeasurement(36.4, measured_at=shows))
    assert shows.text() in str(refused.value)
    assert "2026-03-02T21:04:05Z" in str(refused.value)
    with pytest.raises(DataError, match="SpO2 of C0:FF:EE:00:00:01"):
        spot_check(SpotCheckMeasurement(Oximetry(97.0, 72.0), shows))


def test_a_clock_that_says_it_was_never_set_is_not_asked():
    measured = SpotCheckMeasurement(Oximetry(97.0, 72.0), DateTime(2000, 1, 1, 0, 3, 7), is_clock_unset=True)
    assert spot_check(measured).at_arrival == ((SPO2, (97.0, 72.0)),)


def test_a_measurement_from_memory_is_refused():
    status = int(MeasurementStatus.FROM_STORAGE)
    for shows in (None, clock(21, 4, 5)):
        with pytest.raises(DataError, match="SpO2"):
            spot_check(SpotCheckMeasurement(Oximetry(97.0, 72.0), shows, status=status))


def test_how_far_the_wearables_clock_is_ahead():
    shown = encode_current_time(CurrentTime(clock(23, 4, 7), fraction_256=128))
    zone = encode_local_time(LocalTime(zone_quarters=4, dst_quarters=4))
    assert said("current_time", shown + zone).at_arrival == ((DEVICE_CLOCK, (2.5,)),)


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(encode_current_time(CurrentTime(clock(23, 4, 7))), id="no zone"),
        pytest.param(encode_current_time(CurrentTime(clock(23, 4, 7))) + b"\x80\xff", id="unknown zone"),
        pytest.param(encode_current_time(CurrentTime(DateTime(0, 0, 0, 0, 0, 0))) + b"\0\0", id="no date"),
        pytest.param(bytes.fromhex("ea0703021504050000"), id="InfiniTime"),
    ],
)
def test_a_clock_without_zone_or_date_says_nothing(payload: bytes):
    assert said("current_time", payload) == Reading()


def test_infinitimes_clock_with_a_zone_is_understood():
    assert said("current_time", bytes.fromhex("ea07030215040500ff") + b"\0\0").at_arrival == (
        (DEVICE_CLOCK, (0.0,)),
    )


def test_steps_are_a_count():
    assert said("pinetime_steps", bytes.fromhex("e8030000")) == Reading(counter=Count(STEP_COUNT, 1000))


def test_motion_is_in_g():
    motion = said("pinetime_motion", bytes.fromhex("00fc00020004")).motion
    assert motion is not None
    assert motion.acc_g.dtype == np.float32
    np.testing.assert_array_equal(motion.acc_g, [[-1.0, 0.5, 1.0]])
    assert motion.rate_hz == 10.0
    assert motion.device_ns is None
