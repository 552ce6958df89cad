"""The newest heart rate of a person, and whether it is still a current one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from store.streams import BATTERY, HEART_RATE, LINK_STATE, SIGNAL
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

LIVE_WITHIN_S = 15
"""Straps send about once a second and the collector writes within seconds; older is no current heart rate."""
SILENT_WITHIN_S = 300
"""For five minutes a wearable that went silent stays in the live list, marked as silent, then it leaves."""
BOARD_S = 3
SILENT_BOARD_S = 60
"""A list of a thousand people must not ask the store a thousand times each few seconds."""
LIVE_BOARD_S = 0.9
"""The live list moves once a second; fifty who look at it ask the store no more than one does."""
AHEAD_WITHIN_S = 60
"""Clocks of gateways differ by seconds; a sample from further ahead has a wrong clock."""

_Newest = TypeVar("_Newest")


@dataclass(frozen=True, slots=True)
class Pulse:
    """The newest sample of heart rate.

    Attributes
    ----------
    at_ns : int
    heart_rate_bpm : float or None
        None if the wearable saw no pulse or no skin.
    sensor_id : str
    """

    at_ns: int
    heart_rate_bpm: float | None
    sensor_id: str

    def is_live(self, now_ns: int) -> bool:
        """Say whether this is the heart rate of now."""
        return not self.is_ahead(now_ns) and now_ns - self.at_ns <= LIVE_WITHIN_S * NS_PER_S

    def is_ahead(self, now_ns: int) -> bool:
        """Say whether the sample is from the future, so that a clock is wrong."""
        return self.at_ns - now_ns >= AHEAD_WITHIN_S * NS_PER_S

    def is_recent(self, now_ns: int) -> bool:
        """Say whether the wearable was streaming within the last minutes."""
        return now_ns - self.at_ns <= SILENT_WITHIN_S * NS_PER_S


@dataclass(frozen=True, slots=True)
class Battery:
    """The newest charge of a wearable, 0-100 %."""

    at_ns: int
    level_pct: float


@dataclass(frozen=True, slots=True)
class LinkState:
    """The newest change of a person's radio link."""

    at_ns: int
    state: str


@dataclass(frozen=True, slots=True)
class Signal:
    """How strong a wearable was heard before its last connection, dBm."""

    at_ns: int
    rssi_dbm: float


class PulseBoard:
    """The newest that the store holds of everybody, read once for all who look, however many pages ask."""

    def __init__(self) -> None:
        self._pulses: dict[str, tuple[int, Pulse | None]] = {}
        self._batteries: dict[str, tuple[int, Battery | None]] = {}
        self._links: dict[str, tuple[int, LinkState | None]] = {}
        self._signals: dict[str, tuple[int, Signal | None]] = {}

    def of(
        self, store: TimeSeriesStore, subject_id: str, now_ns: int, *, within_s: float | None = None
    ) -> Pulse | None:
        """Return the newest pulse of a person, at most `within_s` old.

        Where that is not said: at most `BOARD_S`, and of who is silent a minute.
        """
        if within_s is None:
            _, pulse = self._pulses.get(subject_id, (0, None))
            within_s = SILENT_BOARD_S if pulse is None or not pulse.is_recent(now_ns) else BOARD_S
        return _held(self._pulses, newest_pulse, store, subject_id, now_ns, within_s)

    def battery_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> Battery | None:
        """Return the newest charge reported for a person's wearable, at most `BOARD_S` old."""
        return _held(self._batteries, newest_battery, store, subject_id, now_ns, BOARD_S)

    def link_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> LinkState | None:
        """Return the newest change of the link to a person's wearable, at most `BOARD_S` old."""
        return _held(self._links, newest_link, store, subject_id, now_ns, BOARD_S)

    def signal_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> Signal | None:
        """Return how strong a person's wearable was heard last, at most `BOARD_S` old."""
        return _held(self._signals, newest_signal, store, subject_id, now_ns, BOARD_S)


def _held(
    board: dict[str, tuple[int, _Newest | None]],
    read: Callable[[TimeSeriesStore, str], _Newest | None],
    store: TimeSeriesStore,
    subject_id: str,
    now_ns: int,
    within_s: float,
) -> _Newest | None:
    held = board.get(subject_id)
    if held is not None and 0 <= now_ns - held[0] < within_s * NS_PER_S:
        return held[1]
    newest = read(store, subject_id)
    board[subject_id] = now_ns, newest
    return newest


def newest_pulse(store: TimeSeriesStore, subject_id: str) -> Pulse | None:
    """Return the newest heart rate of a person, or None if there never was one."""
    held = store.latest(HEART_RATE, subject_id)
    if held is None:
        return None
    bpm, contact = np.array([held["heart_rate_bpm"]]), np.array([held["skin_contact"]])
    seen = float(without_contact_removed(bpm, contact)[0])
    return Pulse(int(held["t_ns"]), seen if np.isfinite(seen) else None, str(held["sensor"]))


def newest_battery(store: TimeSeriesStore, subject_id: str) -> Battery | None:
    """Return the newest charge reported for a person's wearable, or None if there never was one."""
    held = store.latest(BATTERY, subject_id)
    return None if held is None else Battery(int(held["t_ns"]), float(held["level_pct"]))


def newest_link(store: TimeSeriesStore, subject_id: str) -> LinkState | None:
    """Return the newest change of the link to a person's wearable, or None if there never was one."""
    held = store.latest(LINK_STATE, subject_id)
    return None if held is None else LinkState(int(held["t_ns"]), str(held["state"]))


def newest_signal(store: TimeSeriesStore, subject_id: str) -> Signal | None:
    """Return how strong a person's wearable was heard last, or None if that was never noted."""
    held = store.latest(SIGNAL, subject_id)
    return None if held is None else Signal(int(held["t_ns"]), float(held["rssi_dbm"]))


def read_pulses(
    store: TimeSeriesStore, subject_id: str, start_ns: int, end_ns: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return times (n,) and heart rates (n,), NaN without pulse or skin, of the sensor heard last."""
    held = store.read(HEART_RATE, subject_id, start_ns, end_ns)
    if len(held.sensors) > 1:
        held = held.of_sensor(held.sensors[int(held.sensor_index[-1])])
    return held.t_ns, without_contact_removed(held["heart_rate_bpm"], held["skin_contact"])


def without_contact_removed(bpm: NDArray[np.float64], contact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return heart rates (n,) with NaN where there is no pulse (0) or the wearable knows it is off the skin.

    An unknown contact (NaN) counts as worn.
    """
    return np.where((bpm > 0) & (contact != 0), bpm, np.nan)
