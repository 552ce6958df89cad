"""What the spool keeps: one frame, or one change of the link, exactly as it arrived."""

import json
from typing import Literal, NamedTuple

Kind = Literal[
    "heart_rate_measurement",
    "battery_level",
    "link_state",
    "signal",
    "rsc_measurement",
    "plx_continuous",
    "plx_spot_check",
    "temperature_measurement",
    "current_time",
    "polar_pmd",
    "pinetime_steps",
    "pinetime_motion",
    "colmi_heart_rate_log",
    "colmi_steps_log",
    "colmi_sleep_log",
    "colmi_spo2_log",
    "colmi_hrv_log",
    "colmi_battery",
    "collector",
]
LinkState = Literal[
    "started", "connected", "disconnected", "off_body", "on_body", "paused", "resumed", "stopped"
]


class Record(NamedTuple):
    """One frame of a wearable, or one change of its link, stamped on arrival.

    Attributes
    ----------
    kind : Kind
        The characteristic the payload came from, or what was noted here: `link_state`, `signal`,
        `collector`.
    subject_id, sensor_id : str
        Who wore which sensor when the frame arrived.
    wall_ns : int
        Arrival, nanoseconds UTC.
    mono_ns : int
        Arrival on the host's monotonic clock; comparable within one run of the collector.
    payload : bytes
        The frame as received, a link state as JSON, or a signal strength as a signed byte.
    """

    kind: Kind
    subject_id: str
    sensor_id: str
    wall_ns: int
    mono_ns: int
    payload: bytes


def link_payload(state: LinkState, reason: str) -> bytes:
    """Return the payload of a `link_state` record."""
    return json.dumps({"state": state, "reason": reason}).encode()


def parse_link_payload(payload: bytes) -> tuple[str, str]:
    """Return (state, reason) of a `link_state` record."""
    held = json.loads(payload)
    return str(held["state"]), str(held["reason"])
