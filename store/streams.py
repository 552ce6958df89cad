"""Streams: what kinds of samples there are, each declared once.

A *sample* is (stream, subject, sensor, time, values). A stream names its columns with unit, type and
meaning; tables, exports and the data dictionary are made from these declarations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from store.errors import UnknownError

DType = Literal["float64", "int64", "utf8", "binary"]
Family = Literal["raw", "features", "flags"]
FAMILIES: tuple[Family, ...] = ("raw", "features", "flags")


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a sample.

    Attributes
    ----------
    name : str
        Ends in its unit (`rr_ms`, `level_pct`) unless it has none.
    dtype : {"float64", "int64", "utf8", "binary"}
        Only float64 may be missing (NaN).
    meaning : str
        One sentence for a data dictionary.
    unit : str
        Empty if the value has none.
    """

    name: str
    dtype: DType
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of sample: name, columns and meaning.

    Attributes
    ----------
    name, meaning : str
    columns : tuple of Column
    family : {"raw", "features", "flags"}
        What is kept apart, and for how long is decided apart: samples as measured, what was computed from
        them, and what was concluded.
    """

    name: str
    meaning: str
    columns: tuple[Column, ...]
    family: Family = "raw"

    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


HEART_RATE = Stream(
    "heart_rate",
    "Heart rate as the wearable reports it, one sample per frame received",
    (
        Column("heart_rate_bpm", "float64", "Heart rate averaged by the wearable", "beats/min"),
        Column("skin_contact", "float64", "1 worn, 0 not worn, missing where the wearable cannot tell"),
        Column(
            "energy_kj",
            "float64",
            "Energy counter of the wearable; a sequence number in virtual straps",
            "kJ",
        ),
    ),
)
RR_INTERVAL = Stream(
    "rr_interval",
    "Time between consecutive heartbeats, as measured; the time is the end of the interval",
    (Column("rr_ms", "float64", "Interval between consecutive beats, nothing removed or rounded", "ms"),),
)
BATTERY = Stream(
    "battery",
    "Battery level of the wearable",
    (Column("level_pct", "float64", "Remaining charge, 0-100", "%"),),
)
LINK_STATE = Stream(
    "link_state",
    "Every change of the radio link, so that gaps have reasons",
    (
        Column(
            "state",
            "utf8",
            "started, connected, disconnected, off_body, on_body, paused, resumed or stopped",
        ),
        Column("reason", "utf8", "Why, in a few words"),
    ),
)
SIGNAL = Stream(
    "signal",
    "Signal strength of the wearable as it was heard before each connection",
    (Column("rssi_dbm", "float64", "Received signal strength; nearer to 0 is stronger", "dBm"),),
)
PP_INTERVAL = Stream(
    "pp_interval",
    "Time between consecutive pulses, from an optical wearable; never mixed with RR intervals",
    (
        Column("pp_ms", "float64", "Interval between consecutive pulses", "ms"),
        Column("error_ms", "float64", "Error that the wearable estimates, missing where it does not", "ms"),
        Column("is_blocked", "float64", "1 where the wearable says that movement spoilt the interval"),
        Column("skin_contact", "float64", "1 worn, 0 not worn, missing where the wearable cannot tell"),
    ),
)
ACTIVITY_EPOCH = Stream(
    "activity_epoch",
    "Movement in one epoch; the time is its start",
    (
        Column("epoch_s", "float64", "Length of the epoch", "s"),
        Column("enmo_mg", "float64", "Mean of max(|a| - 1 g, 0)", "mg"),
        Column("mad_mg", "float64", "Mean absolute deviation of |a| from its mean in the epoch", "mg"),
        Column("z_angle_deg", "float64", "Angle of the z axis to the horizontal, -90 to 90", "deg"),
        Column("sd_mg", "float64", "Largest standard deviation of the three axes", "mg"),
        Column("counts", "float64", "Movement counts, missing where the rate does not allow them"),
        Column("sample_count", "float64", "Raw samples in the epoch"),
    ),
)
STEP_COUNT = Stream(
    "step_count",
    "Steps in an interval; the time is its end",
    (
        Column("steps", "float64", "Steps in the interval"),
        Column("interval_s", "float64", "Length of the interval", "s"),
    ),
)
RUNNING = Stream(
    "running",
    "Speed and cadence as a foot pod or strap reports them",
    (
        Column("speed_m_s", "float64", "Instantaneous speed", "m/s"),
        Column("cadence_per_min", "float64", "Steps of one foot per minute", "1/min"),
        Column("stride_m", "float64", "Stride length, missing where not sent", "m"),
        Column("distance_m", "float64", "Total distance, missing where not sent", "m"),
        Column("is_running", "float64", "1 running, 0 walking"),
    ),
)
SPO2 = Stream(
    "spo2",
    "Oxygen saturation",
    (
        Column("spo2_pct", "float64", "Saturation as measured", "%"),
        Column("pulse_rate_bpm", "float64", "Pulse rate, missing where not sent", "beats/min"),
    ),
)
BODY_TEMPERATURE = Stream(
    "body_temperature",
    "Temperature from a thermometer",
    (Column("temperature_c", "float64", "Temperature", "degC"),),
)
SLEEP_STAGE = Stream(
    "sleep_stage",
    "Sleep as the wearable itself scored it; the time is the start of the stretch",
    (
        Column("stage", "utf8", "awake, light, deep, rem, asleep or unknown, as the vendor says"),
        Column("duration_s", "float64", "Length of the stretch", "s"),
    ),
)
VENDOR_HRV = Stream(
    "vendor_hrv",
    "Heart rate variability as the wearable itself computed it, by the vendor's undocumented method",
    (Column("hrv_ms", "float64", "The vendor's value", "ms"),),
)
DEVICE_CLOCK = Stream(
    "device_clock",
    "The wearable's clock against this machine's",
    (Column("offset_s", "float64", "Wearable minus machine", "s"),),
)
WAVEFORM = Stream(
    "waveform",
    "Raw frames of fast signals (ECG, acceleration), one frame a sample; kept only where asked",
    (
        Column("signal", "utf8", "ecg_uv, acc_mg or acc_g"),
        Column("rate_hz", "float64", "Samples per second", "Hz"),
        Column("sample_count", "float64", "Samples in the frame; the time is that of the last one"),
        Column("frame", "binary", "Little-endian int32, samples by channels"),
    ),
)
COLLECTOR = Stream(
    "collector",
    "Heartbeat of the collector, so that its absence is told from a wearable's silence",
    (
        Column("spool_bytes", "float64", "Held by the spool", "B"),
        Column("waiting_frames", "float64", "Frames that the store does not have yet"),
        Column("store_down_s", "float64", "How long the store has been refusing, 0 while it takes", "s"),
    ),
)

STREAMS: dict[str, Stream] = {
    s.name: s
    for s in (
        HEART_RATE, RR_INTERVAL, PP_INTERVAL, BATTERY, LINK_STATE, SIGNAL, ACTIVITY_EPOCH, STEP_COUNT,
        RUNNING, SPO2, BODY_TEMPERATURE, SLEEP_STAGE, VENDOR_HRV, DEVICE_CLOCK, WAVEFORM, COLLECTOR,
    )
}  # fmt: skip


def stream_named(name: str, streams: Iterable[Stream] = STREAMS.values()) -> Stream:
    """Return the declared stream of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    known = {stream.name: stream for stream in streams}
    if name not in known:
        raise UnknownError(f"No stream is called {name!r}; there are: {', '.join(sorted(known))}")
    return known[name]
