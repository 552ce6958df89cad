"""The newest heart rate of a person, and whether it is still a current one."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from store.streams import BATTERY, HEART_RATE, LINK_STATE, SIGNAL, Stream
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
FEW = 3
"""So many people are asked for one by one."""
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


class _Board(Generic[_Newest]):
    """The newest samples of one stream by subject, each with the time at which it was read."""

    def __init__(self, stream: Stream, made: Callable[[Mapping[str, Any]], _Newest]) -> None:
        self.stream = stream
        self._made = made
        self._held: dict[str, tuple[int, _Newest | None]] = {}

    def held(self, subject_id: str) -> _Newest | None:
        """Return what was read last, however old that is."""
        return self._held.get(subject_id, (0, None))[1]

    def is_fresh(self, subject_id: str, now_ns: int, within_s: float) -> bool:
        """Say whether somebody was asked for lately."""
        read_ns = self._held.get(subject_id, (-1, None))[0]
        return read_ns >= 0 and 0 <= now_ns - read_ns < within_s * NS_PER_S

    def keep(self, subject_id: str, now_ns: int, sample: Mapping[str, Any] | None) -> None:
        """Note what was read."""
        self._held[subject_id] = now_ns, None if sample is None else self._made(sample)

    def of(self, store: TimeSeriesStore, subject_id: str, now_ns: int, within_s: float) -> _Newest | None:
        """Return the newest of a person, at most `within_s` old."""
        if not self.is_fresh(subject_id, now_ns, within_s):
            self.keep(subject_id, now_ns, store.latest(self.stream, subject_id))
        return self.held(subject_id)


class PulseBoard:
    """The newest that the store holds of everybody, read once for all who look, however many pages ask."""

    def __init__(self) -> None:
        self._pulses = _Board(HEART_RATE, _pulse)
        self._batteries = _Board(BATTERY, _battery)
        self._links = _Board(LINK_STATE, _link)
        self._signals = _Board(SIGNAL, _signal)

    def of(
        self, store: TimeSeriesStore, subject_id: str, now_ns: int, *, within_s: float | None = None
    ) -> Pulse | None:
        """Return the newest pulse of a person, at most `within_s` old.

        Where that is not said: at most `BOARD_S`, and of who is silent a minute.
        """
        limit_s = self._limit_s(subject_id, now_ns) if within_s is None else within_s
        return self._pulses.of(store, subject_id, now_ns, limit_s)

    def read_ahead(
        self,
        store: TimeSeriesStore,
        subject_ids: Collection[str],
        now_ns: int,
        *,
        within_s: float | None = None,
    ) -> None:
        """Read the pulses of many, who are asked for next, in one question where it would take several."""
        old = [
            each
            for each in subject_ids
            if not self._pulses.is_fresh(each, now_ns, within_s or self._limit_s(each, now_ns))
        ]
        if len(old) > FEW:
            newest = store.latest_of_all(self._pulses.stream)
            for subject_id in old:
                self._pulses.keep(subject_id, now_ns, newest.get(subject_id))

    def _limit_s(self, subject_id: str, now_ns: int) -> float:
        pulse = self._pulses.held(subject_id)
        return SILENT_BOARD_S if pulse is None or not pulse.is_recent(now_ns) else BOARD_S

    def battery_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> Battery | None:
        """Return the newest charge reported for a person's wearable, at most `BOARD_S` old."""
        return self._batteries.of(store, subject_id, now_ns, BOARD_S)

    def link_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> LinkState | None:
        """Return the newest change of the link to a person's wearable, at most `BOARD_S` old."""
        return self._links.of(store, subject_id, now_ns, BOARD_S)

    def signal_of(self, store: TimeSeriesStore, subject_id: str, now_ns: int) -> Signal | None:
        """Return how strong a person's wearable was heard last, at most `BOARD_S` old."""
        return self._signals.of(store, subject_id, now_ns, BOARD_S)


def _pulse(sample: Mapping[str, Any]) -> Pulse:
    bpm, contact = np.array([sample["heart_rate_bpm"]]), np.array([sample["skin_contact"]])
    seen = float(without_contact_removed(bpm, contact)[0])
    return Pulse(int(sample["t_ns"]), seen if np.isfinite(seen) else None, str(sample["sensor"]))


def _battery(sample: Mapping[str, Any]) -> Battery:
    return Battery(int(sample["t_ns"]), float(sample["level_pct"]))


def _link(sample: Mapping[str, Any]) -> LinkState:
    return LinkState(int(sample["t_ns"]), str(sample["state"]))


def _signal(sample: Mapping[str, Any]) -> Signal:
    return Signal(int(sample["t_ns"]), float(sample["rssi_dbm"]))


def newest_pulse(store: TimeSeriesStore, subject_id: str) -> Pulse | None:
    """Return the newest heart rate of a person, or None if there never was one."""
    held = store.latest(HEART_RATE, subject_id)
    return None if held is None else _pulse(held)


def newest_battery(store: TimeSeriesStore, subject_id: str) -> Battery | None:
    """Return the newest charge reported for a person's wearable, or None if there never was one."""
    held = store.latest(BATTERY, subject_id)
    return None if held is None else _battery(held)


def newest_link(store: TimeSeriesStore, subject_id: str) -> LinkState | None:
    """Return the newest change of the link to a person's wearable, or None if there never was one."""
    held = store.latest(LINK_STATE, subject_id)
    return None if held is None else _link(held)


def newest_signal(store: TimeSeriesStore, subject_id: str) -> Signal | None:
    """Return how strong a person's wearable was heard last, or None if that was never noted."""
    held = store.latest(SIGNAL, subject_id)
    return None if held is None else _signal(held)


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
