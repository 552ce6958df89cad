"""Codecs of Bluetooth characteristics: bytes in, frozen values out; no I/O.

`DECODERS` lists every one with its specification and frames known from it, so that one suite tests all.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.decoders import (
    battery,
    colmi_big_data,
    colmi_logs,
    colmi_packets,
    current_time,
    device_information,
    heart_rate,
    oximeter,
    pinetime,
    polar_control,
    polar_pmd,
    running,
    thermometer,
)


@dataclass(frozen=True, slots=True)
class Decoder:
    """A characteristic and how to read it.

    Attributes
    ----------
    characteristic_uuids : tuple of str
        All whose values have this form.
    reference : str
        The specification.
    decode : callable
        bytes -> value; raises `FrameError` for bytes that the specification does not allow.
    encode : callable
        value -> bytes, the inverse of `decode`; raises `DataError` for a value that no frame can hold.
    vectors : tuple of (bytes, value)
        Frames and what they mean, each the canonical encoding of its value.
    """

    characteristic_uuids: tuple[str, ...]
    reference: str
    decode: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]
    vectors: tuple[tuple[bytes, Any], ...]


DECODERS: Mapping[str, Decoder] = {
    "heart_rate_measurement": Decoder(
        (heart_rate.MEASUREMENT_UUID,),
        heart_rate.REFERENCE,
        heart_rate.decode_heart_rate,
        heart_rate.encode_heart_rate,
        heart_rate.VECTORS,
    ),
    "battery_level": Decoder(
        (battery.LEVEL_UUID,),
        battery.REFERENCE,
        battery.decode_battery,
        battery.encode_battery,
        battery.VECTORS,
    ),
    "device_information_string": Decoder(
        tuple(device_information.FIELDS),
        device_information.REFERENCE,
        device_information.decode_string,
        device_information.encode_string,
        device_information.STRING_VECTORS,
    ),
    "rsc_measurement": Decoder(
        (running.MEASUREMENT_UUID,),
        running.REFERENCE,
        running.decode_running,
        running.encode_running,
        running.VECTORS,
    ),
    "rsc_feature": Decoder(
        (running.FEATURE_UUID,),
        running.REFERENCE,
        running.decode_running_feature,
        running.encode_running_feature,
        running.FEATURE_VECTORS,
    ),
    "plx_continuous": Decoder(
        (oximeter.CONTINUOUS_UUID,),
        oximeter.REFERENCE,
        oximeter.decode_continuous,
        oximeter.encode_continuous,
        oximeter.CONTINUOUS_VECTORS,
    ),
    "plx_spot_check": Decoder(
        (oximeter.SPOT_CHECK_UUID,),
        oximeter.REFERENCE,
        oximeter.decode_spot_check,
        oximeter.encode_spot_check,
        oximeter.SPOT_CHECK_VECTORS,
    ),
    "temperature_measurement": Decoder(
        (thermometer.MEASUREMENT_UUID,),
        thermometer.REFERENCE,
        thermometer.decode_temperature,
        thermometer.encode_temperature,
        thermometer.VECTORS,
    ),
    "current_time": Decoder(
        (current_time.CURRENT_TIME_UUID,),
        current_time.REFERENCE,
        current_time.decode_current_time,
        current_time.encode_current_time,
        current_time.CURRENT_TIME_VECTORS,
    ),
    "local_time_information": Decoder(
        (current_time.LOCAL_TIME_UUID,),
        current_time.REFERENCE,
        current_time.decode_local_time,
        current_time.encode_local_time,
        current_time.LOCAL_TIME_VECTORS,
    ),
    "pinetime_steps": Decoder(
        (pinetime.STEPS_UUID,),
        pinetime.REFERENCE,
        pinetime.decode_steps,
        pinetime.encode_steps,
        pinetime.STEPS_VECTORS,
    ),
    "pinetime_motion": Decoder(
        (pinetime.MOTION_UUID,),
        pinetime.REFERENCE,
        pinetime.decode_motion,
        pinetime.encode_motion,
        pinetime.MOTION_VECTORS,
    ),
    "polar_features": Decoder(
        (polar_control.CONTROL_UUID,),
        polar_control.REFERENCE,
        polar_control.decode_features,
        polar_control.encode_features,
        polar_control.FEATURE_VECTORS,
    ),
    "polar_control_point": Decoder(
        (polar_control.CONTROL_UUID,),
        polar_control.REFERENCE,
        polar_control.decode_control_point,
        polar_control.encode_control_point,
        polar_control.CONTROL_VECTORS,
    ),
    "polar_pmd": Decoder(
        (polar_pmd.DATA_UUID,),
        polar_control.REFERENCE,
        polar_pmd.decode_frame,
        polar_pmd.encode_frame,
        polar_pmd.VECTORS,
    ),
    "colmi_packet": Decoder(
        (colmi_packets.WRITE_UUID, colmi_packets.NOTIFY_UUID),
        colmi_packets.REFERENCE,
        colmi_packets.decode_packet,
        colmi_packets.encode_packet,
        colmi_packets.PACKET_VECTORS,
    ),
    "colmi_battery": Decoder(
        (colmi_packets.NOTIFY_UUID,),
        colmi_packets.REFERENCE,
        colmi_packets.decode_charge,
        colmi_packets.encode_charge,
        colmi_packets.CHARGE_VECTORS,
    ),
    "colmi_heart_rate_log": Decoder(
        (colmi_packets.NOTIFY_UUID,),
        colmi_packets.REFERENCE,
        colmi_logs.decode_heart_rate_log,
        colmi_logs.encode_heart_rate_log,
        colmi_logs.HEART_RATE_VECTORS,
    ),
    "colmi_steps_log": Decoder(
        (colmi_packets.NOTIFY_UUID,),
        colmi_packets.REFERENCE,
        colmi_logs.decode_steps_log,
        colmi_logs.encode_steps_log,
        colmi_logs.STEPS_VECTORS,
    ),
    "colmi_hrv_log": Decoder(
        (colmi_packets.NOTIFY_UUID,),
        colmi_packets.REFERENCE,
        colmi_logs.decode_hrv_log,
        colmi_logs.encode_hrv_log,
        colmi_logs.HRV_VECTORS,
    ),
    "colmi_sleep_log": Decoder(
        (colmi_big_data.NOTIFY_UUID,),
        colmi_big_data.REFERENCE,
        colmi_big_data.decode_sleep,
        colmi_big_data.encode_sleep,
        colmi_big_data.SLEEP_VECTORS,
    ),
    "colmi_spo2_log": Decoder(
        (colmi_big_data.NOTIFY_UUID,),
        colmi_big_data.REFERENCE,
        colmi_big_data.decode_spo2,
        colmi_big_data.encode_spo2,
        colmi_big_data.SPO2_VECTORS,
    ),
}
