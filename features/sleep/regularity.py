"""How alike days are: spread of onsets, social jet lag, sleep regularity index."""

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from features.sleep.hypnogram import Hypnogram, SleepStage, StageArray
from store.local_time import local_wall_ns
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

MIN_NIGHTS = 5
MIN_PAIRED_DAYS = 5.0
_FREE_NIGHTS, _WORK_NIGHTS = 2, 3
_NAN = float("nan")


def circular_mean_h(clock: FloatArray) -> float:
    """Return the mean of clock times in hours, 0-24; NaN of none, or where they cancel out."""
    turned = np.exp(2j * np.pi * np.asarray(clock, np.float64) / 24)
    centre = turned.mean() if len(turned) else 0j
    return float(np.angle(centre) * 24 / (2 * np.pi) % 24) if abs(centre) > 1e-9 else _NAN


def circular_sd_min(clock: FloatArray) -> float:
    """Return sqrt(-2 ln R) of clock times, as minutes of the day; NaN below `MIN_NIGHTS`."""
    if len(clock) < MIN_NIGHTS:
        return _NAN
    r = abs(np.exp(2j * np.pi * np.asarray(clock, np.float64) / 24).mean())
    return float(np.sqrt(max(-2 * np.log(max(r, 1e-300)), 0.0)) * 1440 / (2 * np.pi))


def social_jet_lag_h(midpoint_h: FloatArray, nights: Sequence[date]) -> float:
    """Return mean midpoint of free nights minus that of work nights, -12 to 12 h.

    Free are nights that end on Saturday or Sunday: who works on other days has to say so some other way.
    NaN with fewer than 2 free or 3 work nights. doi:10.1080/07420520500545979
    """
    is_free = np.array([night.weekday() >= 5 for night in nights], np.bool_)
    if is_free.sum() < _FREE_NIGHTS or (~is_free).sum() < _WORK_NIGHTS:
        return _NAN
    late = circular_mean_h(midpoint_h[is_free]) - circular_mean_h(midpoint_h[~is_free])
    return float((late + 12) % 24 - 12)


def sleep_regularity_index(scored: Hypnogram) -> tuple[float, float]:
    """Return the SRI of elapsed time, and how many days of pairs it is made of.

    Pooled: every pair of epochs 24 h of UTC apart that are both scored counts the same.
    `SRI = 200 P(same) - 100`: 100 for days all alike, 0 for days at random. It depends on the scorer: never
    compare SRIs of different ones. doi:10.1038/s41598-017-03171-4

    Returns
    -------
    sri : float
        NaN with less than `MIN_PAIRED_DAYS`.
    paired_days : float
    """
    per_day = round(86_400 / scored.epoch_s)
    return _agreement(scored.stage[:-per_day], scored.stage[per_day:], scored.epoch_s)


def sleep_regularity_index_clock(scored: Hypnogram, zone: str) -> tuple[float, float]:
    """Return the SRI of the local clock, and days of pairs: 23 or 25 hours apart where clocks change.

    An hour that exists twice counts the first time; one that does not exist has no pair.
    """
    starts_ns = scored.start_ns + np.arange(len(scored), dtype=np.int64) * scored.epoch_ns
    slot = local_wall_ns(starts_ns, zone) // scored.epoch_ns
    if not len(slot):
        return _NAN, 0.0
    first = int(slot.min())
    stage = np.full(int(slot.max()) - first + 1, SleepStage.UNSCORED, np.int8)
    stage[slot[::-1] - first] = scored.stage[::-1]
    per_day = 86_400 * NS_PER_S // scored.epoch_ns
    return _agreement(stage[:-per_day], stage[per_day:], scored.epoch_s)


def _agreement(today: StageArray, tomorrow: StageArray, epoch_s: float) -> tuple[float, float]:
    is_pair = (today >= 0) & (tomorrow >= 0)
    pairs = int(np.count_nonzero(is_pair))
    days = pairs * epoch_s / 86_400
    if days < MIN_PAIRED_DAYS:
        return _NAN, days
    same = int(np.count_nonzero(is_pair & ((today > 0) == (tomorrow > 0))))
    return 200 * same / pairs - 100, days
