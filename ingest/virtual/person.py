"""A simulated person: a heart that follows the day, sleep, breathing, activity and slow drifts.

Every value is a function of the person and the stretch of time asked for: a stretch has the same beats
whenever it is made, and neighbouring ones share sleep, activity and drifts, so that history and live data
belong together. Nothing here is real data, and nothing made from it may be shown without saying so.
"""

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from store.nights import local_ns
from store.types import RrSeries, read_only
from store.units import NS_PER_S

GRID_HZ = 2.0
"""The instantaneous rate is integrated on a half-second grid: eight steps to a breath."""
BREATH_HZ = 0.25
MAYER_HZ = 0.10
_SLOW_HZ = np.geomspace(1 / 5400, 0.06, 14)
"""1/f: equal power per octave between one and a half hours and 17 seconds."""


@dataclass(frozen=True, slots=True)
class Episode:
    """A sustained change of a simulated person, from a date on, reached over a ramp of days."""

    onset: date
    ramp_days: int
    hr_frac: float
    rmssd_frac: float
    activity_frac: float = 0.0
    later_h: float = 0.0

    def weight(self, day: date) -> float:
        """Return how far the change has come on a day, 0-1."""
        return float(np.clip(((day - self.onset).days + 1) / self.ramp_days, 0, 1))


@dataclass(frozen=True)
class VirtualPerson:
    """Physiology of one simulated person.

    Attributes
    ----------
    seed : int
    zone : str
        IANA zone in which the person lives.
    resting_hr_bpm : float
        Heart rate in the middle of sleep, 45-75.
    rmssd_ms : float
        Usual nightly RMSSD, 15-90.
    sleep_start_h, sleep_h : float
        Usual bedtime (hours after noon) and sleep length on working days.
    missing_frac : float
        Share of nights on which the strap is not worn.
    episode : Episode or None
    liveliness : float
        How much the person moves, about 1.
    """

    seed: int
    zone: str
    resting_hr_bpm: float = 56.0
    rmssd_ms: float = 42.0
    sleep_start_h: float = 11.0
    sleep_h: float = 7.5
    missing_frac: float = 0.05
    episode: Episode | None = field(default=None)
    liveliness: float = 1.0

    def worn_ns(self, night: date) -> tuple[int, int] | None:
        """Return from when to when the strap was worn in a night, or None if it was not.

        It goes on around bedtime and comes off some time in the early morning.
        """
        rng = self._rng(night, 1)
        if rng.random() < self.missing_frac:
            return None
        midnight_ns = local_ns(night, 0, self.zone)
        on_s, off_s = rng.normal(0, 1200), rng.normal(5.4 * 3600, 1800)
        return midnight_ns + round(on_s) * NS_PER_S, midnight_ns + round(off_s) * NS_PER_S

    def beats(self, start_ns: int, end_ns: int) -> RrSeries:
        """Return the intervals that end in `[start_ns, end_ns)`.

        Windows are made one by one: the first interval of a window does not join the last of the one before.
        """
        grid_s = np.arange(0, (end_ns - start_ns) / NS_PER_S + 1 / GRID_HZ, 1 / GRID_HZ)
        t_s = start_ns / NS_PER_S + grid_s
        rate_hz = 1.0 / self._interval_s(t_s, start_ns)
        phase: NDArray[np.float64] = np.concatenate(
            [[0.0], np.cumsum((rate_hz[1:] + rate_hz[:-1]) / 2) / GRID_HZ]
        )
        rng = np.random.default_rng([self.seed, start_ns // NS_PER_S])
        turns = np.arange(int(phase[-1])) + rng.random()
        beat_s = np.asarray(np.interp(turns, phase, grid_s), np.float64)
        beat_s = _with_ectopic_beats(beat_s[beat_s < (end_ns - start_ns) / NS_PER_S], rng)
        ticks = np.round(beat_s * 1024)  # a strap counts in 1/1024 s
        t_ns = start_ns + np.round(ticks[1:] * (NS_PER_S / 1024)).astype(np.int64)
        return RrSeries(t_ns, np.diff(ticks) * (1000 / 1024))

    def _interval_s(self, t_s: NDArray[np.float64], start_ns: int) -> NDArray[np.float64]:
        day = _day(start_ns, self.zone)
        asleep = self._asleep(t_s, day)
        hr_bpm, tone = self._levels(t_s, day, asleep)
        slow, breath, mayer = self._rhythms(t_s)
        vagal_s = tone * (self.rmssd_ms / 1000) * np.exp(0.25 * slow)
        return (60.0 / hr_bpm) * (1 + 0.03 * slow) + vagal_s * (1.1 * breath + 0.5 * mayer)

    def _asleep(self, t_s: NDArray[np.float64], day: date) -> NDArray[np.float64]:
        total = np.zeros(len(t_s))
        for night in (day, day + timedelta(days=1)):
            onset_s, offset_s = self.sleep_s(night)
            total += _sigmoid((t_s - onset_s) / 600) * _sigmoid((offset_s - t_s) / 600)
        return np.clip(total, 0, 1)

    def sleep_s(self, night: date) -> tuple[float, float]:
        """Return when the person falls asleep in a night and wakes up, seconds of UTC."""
        rng = self._rng(night, 2)
        later_h = 0.9 if night.weekday() >= 5 else 0.0  # mornings of Saturday and Sunday
        noon_s = local_ns(night - timedelta(days=1), 12, self.zone) / NS_PER_S
        if self.episode is not None:
            later_h += self.episode.later_h * self.episode.weight(night)
        onset_s = noon_s + (self.sleep_start_h + later_h + rng.normal(0, 0.4)) * 3600
        return onset_s, onset_s + (self.sleep_h + rng.normal(0, 0.5) + later_h / 2) * 3600

    def activity_of(self, day: date) -> float:
        """Return how much the person moves on a day, relative to usual."""
        changed = 1.0
        if self.episode is not None:
            changed += self.episode.activity_frac * self.episode.weight(day)
        return changed * float(np.exp(self._rng(day, 7).normal(0, 0.16)))

    def _levels(
        self, t_s: NDArray[np.float64], day: date, asleep: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        night = self._rng(day, 3)
        hr_frac, rmssd_frac = night.normal(0, 0.025), float(np.exp(night.normal(0, 0.11)))
        if self.episode is not None:
            weight = self.episode.weight(day)
            hr_frac += self.episode.hr_frac * weight
            rmssd_frac *= 1 + self.episode.rmssd_frac * weight
        midnight_s = local_ns(day, 0, self.zone) / NS_PER_S
        circadian = np.cos(2 * np.pi * ((t_s - midnight_s) / 86_400 - 16 / 24))
        # From 18:00 on the day is the next one, but the evening's activity is still today's.
        active_bpm = self._activity_bpm(t_s, day - timedelta(days=1)) + self._activity_bpm(t_s, day)
        awake_bpm = self.resting_hr_bpm + 16 + 5 * circadian + active_bpm
        resting_bpm = self.resting_hr_bpm + 1.5 * circadian
        hr_bpm = (1 + hr_frac) * (asleep * resting_bpm + (1 - asleep) * awake_bpm)
        return hr_bpm, rmssd_frac * (0.6 + 0.4 * asleep)

    def _activity_bpm(self, t_s: NDArray[np.float64], day: date) -> NDArray[np.float64]:
        rng = self._rng(day, 4)
        added = np.zeros(len(t_s))
        for _ in range(rng.poisson(6)):
            begin_s = local_ns(day, 7, self.zone) / NS_PER_S + rng.random() * 14 * 3600
            length_s, height_bpm = rng.gamma(2, 500), rng.gamma(2, 9)
            added += height_bpm * _sigmoid((t_s - begin_s) / 20) * _sigmoid((begin_s + length_s - t_s) / 60)
        return added

    def _rhythms(
        self, t_s: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        phases = _phases(self.seed)
        angle = (
            2 * np.pi * np.outer(_SLOW_HZ, t_s - t_s[0]) + (phases[:14] + _turns(_SLOW_HZ, t_s[0]))[:, None]
        )
        slow = np.sin(angle).sum(axis=0) / np.sqrt(len(_SLOW_HZ) / 2)
        breath_hz = BREATH_HZ * (0.92 + 0.16 * phases[14] / (2 * np.pi))
        breath = np.sin(2 * np.pi * breath_hz * (t_s % 86_400) + 1.2 * slow)
        mayer = np.sin(2 * np.pi * MAYER_HZ * (t_s % 86_400) + 2.0 * slow)
        return slow, breath, mayer

    def _rng(self, day: date, what: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, day.toordinal(), what])


@lru_cache(maxsize=64)
def _phases(seed: int) -> NDArray[np.float64]:
    return read_only(np.random.default_rng(seed).random(15) * 2 * np.pi)


def _turns(hz: NDArray[np.float64], t_s: float) -> NDArray[np.float64]:
    return 2 * np.pi * ((hz * t_s) % 1.0)


def _sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-np.clip(x, -40, 40)))


def _day(t_ns: int, zone: str) -> date:
    """Return the local date that a time's sleep and mood belong to: from 18:00 on, the next one."""
    moment = datetime.fromtimestamp(t_ns // NS_PER_S, ZoneInfo(zone))
    return (moment + timedelta(hours=6)).date()


def _with_ectopic_beats(beat_s: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Move about one beat in 700 forward by 30 % of its interval: early, with a compensatory pause."""
    is_early = rng.random(len(beat_s)) < 1 / 700
    is_early[:1] = False
    moved = beat_s.copy()
    moved[1:] -= np.where(is_early[1:], 0.30 * np.diff(beat_s), 0.0)
    return moved
