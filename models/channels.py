"""Channels: the daily values that detectors compare with a person's own past, each declared once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Scale = Literal["log", "log_offset", "linear"]


@dataclass(frozen=True, slots=True)
class Channel:
    """One daily value and how changes of it are measured.

    Attributes
    ----------
    name, unit, label : str
    columns : tuple of str
        Columns of a nightly or daily table that hold it, best first.
    scale : {"log", "log_offset", "linear"}
        Whether a change is relative, relative above an offset (counts, where little is not nothing), or
        a difference.
    population_sd : float
        Within-person robust SD on that scale, to which the SD of a person with few days is shrunk: the
        median of the LifeSnaps people of docs/evidence.md.
    low, high : float
        A value outside is no measurement and counts as missing.
    offset : float
        Added before the logarithm.
    group : str
        Channels of one group change together; "" takes no part in phenotypes.
    lone_sd_frac : float
        Share of the variance of one day that is noise of that day, against what lasts.
    """

    name: str
    unit: str
    label: str
    columns: tuple[str, ...]
    scale: Scale
    population_sd: float
    low: float
    high: float
    offset: float = 0.0
    group: str = ""
    lone_sd_frac: float = 0.8

    @property
    def digits(self) -> int:
        """Digits behind the point that are worth saying."""
        return int(self.scale == "linear" and self.population_sd < 5)


CHANNELS: tuple[Channel, ...] = (
    Channel(
        "resting_hr_bpm",
        "beats/min",
        "Resting heart rate",
        ("resting_hr_bpm", "lowest_hr_bpm"),
        "log",
        0.034,
        25,
        150,
        group="heart",
        lone_sd_frac=0.2,
    ),
    Channel(
        "rmssd_ms",
        "ms",
        "RMSSD",
        ("rmssd_ms", "prv_rmssd_ms"),
        "log",
        0.19,
        2,
        300,
        group="vagal",
        lone_sd_frac=0.6,
    ),
    Channel(
        "mean_hr_bpm",
        "beats/min",
        "Heart rate at night",
        ("sleeping_hr_bpm", "mean_hr_asleep_bpm", "mean_hr_bpm", "prv_mean_hr_bpm"),
        "log",
        0.059,
        25,
        150,
        group="heart",
        lone_sd_frac=0.7,
    ),
    Channel(
        "tst_min",
        "min",
        "Time asleep",
        ("tst_min",),
        "linear",
        65.0,
        30,
        1200,
        group="sleep",
        lone_sd_frac=0.95,
    ),
    Channel(
        "steps",
        "steps",
        "Steps",
        ("steps", "steps_n"),
        "log_offset",
        0.376,
        500,
        200_000,
        1500,
        group="movement",
        lone_sd_frac=0.85,
    ),
    Channel(
        "active_min",
        "min",
        "Active time",
        ("active_min",),
        "log_offset",
        0.294,
        20,
        1440,
        30,
        group="movement",
        lone_sd_frac=0.85,
    ),
    Channel(
        "breathing_rate_bpm",
        "breaths/min",
        "Breathing rate",
        ("breathing_rate_bpm",),
        "linear",
        0.59,
        5,
        40,
    ),
    Channel(
        "skin_temperature_c",
        "deg C",
        "Skin temperature at night",
        ("skin_temperature_c",),
        "linear",
        0.436,
        28,
        42,
    ),
    Channel(
        "se_pct",
        "%",
        "Sleep efficiency",
        ("se_pct",),
        "linear",
        2.5,
        20,
        100,
        lone_sd_frac=0.9,
    ),
    Channel(
        "midpoint_h",
        "h",
        "Middle of sleep",
        ("midpoint_h", "sleep_midpoint_h"),
        "linear",
        0.75,
        -12,
        36,
        group="",
        lone_sd_frac=0.7,
    ),
)
NAMES = tuple(channel.name for channel in CHANNELS)
GROUPS = ("heart", "vagal", "sleep", "movement")
GROUP_OF: NDArray[np.int64] = np.array(
    [GROUPS.index(channel.group) if channel.group else -1 for channel in CHANNELS], np.int64
)
"""Group of each channel; -1 for none."""
POPULATION_SD: FloatArray = np.array([channel.population_sd for channel in CHANNELS])
LONE_SD_FRAC: FloatArray = np.array([channel.lone_sd_frac for channel in CHANNELS])
OF_HEART = np.array([channel.group in {"heart", "vagal"} for channel in CHANNELS])
"""What a chest strap alone gives."""
OF_DAYS = np.array([channel.group in {"sleep", "movement"} for channel in CHANNELS])
"""What only a wearable that follows sleep or movement gives."""
COUNTED: NDArray[np.bool_] = np.array([channel.name != "midpoint_h" for channel in CHANNELS])
"""When somebody slept says nothing that counts beside how long they did."""
MIN_CHANNELS = 3
"""A monitored day has three channels: fewer cannot tell a change of the body from one of the sensor."""


def channel_named(name: str) -> Channel:
    """Return the channel of that name."""
    return CHANNELS[NAMES.index(name)]


def channel_matrix(columns: Mapping[str, FloatArray], length: int) -> FloatArray:
    """Return days x channels in the unit of each, from columns of a table; the best column of a day wins."""
    held = np.full((length, len(CHANNELS)), np.nan)
    for k, channel in enumerate(CHANNELS):
        for name in channel.columns:
            if name in columns:
                values = np.asarray(columns[name], np.float64)
                usable = np.isnan(held[:, k]) & (values >= channel.low) & (values <= channel.high)
                held[usable, k] = values[usable]
    return held


def is_recorded(values: FloatArray) -> NDArray[np.bool_]:
    """Say of each day (n, channels) whether it has enough values to be judged."""
    return np.isfinite(values[:, COUNTED]).sum(axis=1) >= MIN_CHANNELS


def to_scale(values: FloatArray) -> FloatArray:
    """Return days x channels on the scale on which changes of each channel are measured."""
    scaled = np.asarray(values, np.float64).copy()
    for k, channel in enumerate(CHANNELS):
        if channel.scale != "linear":
            scaled[..., k] = np.log(scaled[..., k] + channel.offset)
    return scaled


def from_scale(scaled: float, channel: Channel) -> float:
    """Return a value of one channel in its unit."""
    return float(scaled if channel.scale == "linear" else np.exp(scaled) - channel.offset)
