"""Sleep of a plain file of angles: a row per night by HDCZA and sustained inactivity, no database."""

from datetime import timedelta

import numpy as np

from features.epochs import Epochs
from features.epochs.epochs import FloatArray
from features.epochs.wear import wear
from features.sleep import Hypnogram, Periods
from features.sleep.angle import (
    ANGLE_SCORER,
    LONGEST_EPOCH_S,
    minute_stages,
    night_by_angle,
    sustained_inactivity,
)
from features.sleep.period import calm_change_deg
from features.sleep_file import ScoredSleep, scored_periods
from store.errors import ConfigError
from store.nights import night_of
from store.units import NS_PER_S

ANGLE_COLUMN = "z_angle_deg"
_MINUTE_NS = 60 * NS_PER_S


def score_angle(epochs: Epochs, sessions: Periods | None = None) -> ScoredSleep:
    """Score a recording of the angle of a wrist; minutes outside of the periods found are awake where worn.

    Parameters
    ----------
    epochs : Epochs
        Of `z_angle_deg`; with `sd_mg` it is known when it was not worn.
    sessions : Periods, optional
        No search for sleep.

    Raises
    ------
    ConfigError
        If epochs are too long.
    """
    if epochs.epoch_s > LONGEST_EPOCH_S:
        raise ConfigError(
            f"{ANGLE_SCORER} is made for epochs of 5 s, these are of {epochs.epoch_s:g} s; needed are "
            f"{LONGEST_EPOCH_S:g} s or less, and angles that were not averaged"
        )
    worn = wear(epochs, "" if "sd_mg" in epochs.columns else "recorded")
    deg = np.where(worn.is_worn, epochs.values, np.nan)
    first = int(epochs.start_ns[0]) // _MINUTE_NS
    of_minute = epochs.start_ns // _MINUTE_NS - first
    count = int(of_minute[-1]) + 1
    found = sessions or _periods(deg, epochs)
    is_known = minute_stages(np.where(np.isfinite(deg), 0, -1).astype(np.int8), of_minute, count)
    inside = found.hold(first * _MINUTE_NS + np.arange(count, dtype=np.int64) * _MINUTE_NS)
    still = minute_stages(sustained_inactivity(deg, epochs.epoch_s), of_minute, count)
    stage = np.where(inside, still, is_known)
    scored = Hypnogram(first * _MINUTE_NS, 60.0, stage.astype(np.int8), ANGLE_SCORER)
    notes = (
        "Periods by HDCZA from the angle of a wrist: not proven on people here, for want of a reference",
        f"Wear by the rule {worn.rule}: {100 * worn.is_worn.mean():.1f} % of the epochs worn",
    )
    return scored_periods(scored, found, epochs, notes)


def _periods(deg: FloatArray, epochs: Epochs) -> Periods:
    """Return the period of each night of the recording, in whole minutes."""
    smooth, start_ns = calm_change_deg(deg, epochs.epoch_s), int(epochs.start_ns[0])
    night, last = night_of(start_ns, epochs.zone), night_of(epochs.end_ns - 1, epochs.zone)
    spans: list[tuple[int, int]] = []
    while night <= last:
        found = night_by_angle(smooth, start_ns, epochs.epoch_s, night, epochs.zone)
        if found is not None:
            low, high = (at_ns // _MINUTE_NS * _MINUTE_NS for at_ns in found)
            if high > low and (not spans or low >= spans[-1][1]):
                spans.append((low, high))
        night += timedelta(days=1)
    starts, ends = np.array(spans, np.int64).reshape(-1, 2).T
    return Periods(starts, ends, "hdcza")
