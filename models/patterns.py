"""Patterns of change that detectors look for, as shifts of daily values and how much these vary."""

from dataclasses import dataclass

import numpy as np

from models.channels import CHANNELS, GROUP_OF, GROUPS, POPULATION_SD, Channel, FloatArray

SHIFT_SD_FRAC = 0.5
"""Nobody changes by the book: each part of a pattern varies by this share of it, independently."""
SIZE_SD_FRAC = 0.4
"""... and that of the whole pattern by this share, as it sets in slowly or is met on some days only."""
SIZE_FRAC = 0.75
"""Mean size met in a window, as part of the full one."""
REFERENCE_STEPS = 8500.0
REFERENCE_ACTIVE_MIN = 170.0
"""A usual day, about which relative changes of movement become shifts on the offset logarithmic scale."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A direction of change.

    Attributes
    ----------
    name, words : str
        `words` is what a clinician reads: what the body does, never what a person has.
    heart, vagal, movement : float
        Relative change of heart rate, RMSSD, and of steps and active time.
    sleep_min : float
    """

    name: str
    words: str
    heart: float
    vagal: float
    sleep_min: float
    movement: float


PATTERNS: tuple[Pattern, ...] = (
    Pattern("arousal", "faster heart, less sleep, less movement", 0.05, -0.15, -60, -0.25),
    Pattern("activation", "much less sleep, more movement", 0.04, -0.15, -120, 0.40),
    Pattern("withdrawal", "more sleep, less movement", 0.02, -0.05, 90, -0.40),
)


def shift_of(pattern: Pattern) -> FloatArray:
    """Return the shift of each channel in population SD."""
    shifts = [_channel_shift(pattern, channel) for channel in CHANNELS]
    return SIZE_FRAC * np.array(shifts, np.float64) / POPULATION_SD


def _channel_shift(pattern: Pattern, channel: Channel) -> float:
    match channel.group:
        case "heart":
            return float(np.log1p(pattern.heart))
        case "vagal":
            return float(np.log1p(pattern.vagal))
        case "sleep":
            return pattern.sleep_min
        case "movement":
            usual = REFERENCE_STEPS if channel.name == "steps" else REFERENCE_ACTIVE_MIN
            changed = usual * (1 + pattern.movement)
            return float(np.log((changed + channel.offset) / (usual + channel.offset)))
        case _:
            return 0.0


def spread_of(pattern: Pattern) -> FloatArray:
    """Return the covariance that a pattern adds: parts vary by group, the whole varies together."""
    shift = shift_of(pattern)
    added = (SIZE_SD_FRAC**2) * np.outer(shift, shift)
    for group in {c.group for c in CHANNELS if c.group}:
        part = np.where([c.group == group for c in CHANNELS], shift, 0.0)
        added += (SHIFT_SD_FRAC**2) * np.outer(part, part)
    return added


SHIFTS: FloatArray = np.stack([shift_of(pattern) for pattern in PATTERNS])
SPREADS: FloatArray = np.stack([spread_of(pattern) for pattern in PATTERNS])
UNIT_SHIFTS: FloatArray = SHIFTS[0] / SIZE_FRAC
"""Shift of each channel by a change of size 1 in its group: that of the first pattern."""
_FIRST_OF_GROUP = [int(np.flatnonzero(g == GROUP_OF)[0]) for g in range(len(GROUPS))]
SIZES: FloatArray = SHIFTS[:, _FIRST_OF_GROUP] / UNIT_SHIFTS[_FIRST_OF_GROUP]
"""Mean size of each pattern in each group, patterns x groups."""


def _root_of(sizes: FloatArray) -> FloatArray:
    """Return the Cholesky factor of the covariance of sizes, which is that of `spread_of`."""
    parts = (SHIFT_SD_FRAC * np.diag(sizes)) ** 2
    varied = parts + SIZE_SD_FRAC**2 * np.outer(sizes, sizes)
    return np.asarray(np.linalg.cholesky(varied), np.float64)


SIZE_ROOTS: FloatArray = np.stack([_root_of(sizes) for sizes in SIZES])
