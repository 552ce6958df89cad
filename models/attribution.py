"""What each channel adds to a score: signed, and to the digit what the model did.

A score is a mean over days of logits, a logit a weighted sum of states. A state of any pattern in a window is
the logarithm of a mean of likelihood ratios. By `log mean exp x = sum r x + entropy(r) - log n`, with r the
share of each pattern, it is linear in the patterns, and each of these is a sum over channels. A composite is
a mean of channels. What remains belongs to no channel: intercept, the person's own usual level, and limits.
"""

from collections.abc import Sequence

import numpy as np

from models.advance import (
    ANY_STATES,
    COMPOSITE_ROOTS,
    KEEP,
    LAMBDAS,
    SIGNS,
    STATES,
    Track,
    Weights,
    channel_groups,
)
from models.channels import LONE_SD_FRAC, FloatArray
from models.kernel import GAP_DAYS, WINDOWS, log_ratio
from models.patterns import PATTERNS, SHIFTS, SPREADS

_FIRST_ANY = STATES.index(ANY_STATES[0])
_COMPOSITES = (STATES.index("composite_fast"), STATES.index("composite_slow"))
_NEGLIGIBLE = 1e-9
"""Days that weigh less in the smoothed score are left to the rest."""


def channel_parts(track: Track, t: int, weights: Weights) -> FloatArray:
    """Return what each channel (channels,) adds to the score of day t; negative speaks against a change."""
    composites = _composite_parts(track, t)
    total = np.zeros(track.scaled.shape[1])
    for day, share in _smoothing(track, t):
        total += share * _window_parts(track, day, weights)
        total += share * _composite_added(composites[:, day], track, day, weights)
    return total


def rest_of(score: float, parts: FloatArray | Sequence[float]) -> float:
    """Return what no channel adds: the intercept, what is usual for this person, and limits."""
    return float(score - np.sum(parts))


def _smoothing(track: Track, t: int) -> list[tuple[int, float]]:
    """Return the days behind the smoothed score of day t, and the weight of each."""
    days: list[tuple[int, float]] = []
    left = 1.0
    day: int | None = t
    while day is not None and left > _NEGLIGIBLE:
        now = (1 - KEEP) / float(track.score[day, 2])
        days.append((day, left * now))
        left *= 1 - now
        before = range(day - 1, max(day - 1 - 2 * GAP_DAYS, -1), -1)
        same = (s for s in before if track.is_monitored[s] and track.segment[s] == track.segment[day])
        day = next(same, None)
    return days


def _weight(weights: Weights, state: int) -> float:
    return float(weights.weight[state] / weights.scale[state])


def _window_parts(track: Track, t: int, weights: Weights) -> FloatArray:
    total = np.zeros(track.scaled.shape[1])
    n = len(WINDOWS)
    for w in range(n):
        own = track.state[t, w : len(PATTERNS) * n : n]
        held = np.flatnonzero(np.isfinite(own))
        if not len(held):
            continue
        likely = np.exp(own[held] - own[held].max())
        for p, share in zip(held.tolist(), (likely / likely.sum()).tolist(), strict=True):
            total += _weight(weights, _FIRST_ANY + w) * share * pattern_shares(track, t, p, w, weights)
    return total


def pattern_shares(track: Track, t: int, pattern: int, window: int, weights: Weights) -> FloatArray:
    """Return what each channel adds to a pattern in a window; with a constant they sum to it exactly."""
    shares = np.zeros(track.scaled.shape[1])
    log_ratio(
        track.means[t, window],
        track.valid[t, window],
        LONE_SD_FRAC,
        int(WINDOWS[window]),
        weights.covariance[window],
        SHIFTS[pattern],
        SPREADS[pattern],
        shares,
    )
    return shares


def _composite_added(composites: FloatArray, track: Track, t: int, weights: Weights) -> FloatArray:
    """Return what channels add by way of the composites, (2, channels) on day t."""
    total = np.zeros(track.scaled.shape[1])
    for k, state in enumerate(_COMPOSITES):
        if np.isfinite(track.state[t, state]):
            total += _weight(weights, state) * COMPOSITE_ROOTS[k] * composites[k]
    return total


def _composite_parts(track: Track, t: int) -> FloatArray:
    """Return each channel's part of both smoothed composites, (2, days, channels), for days up to t."""
    group = channel_groups()
    daily = track.daily[: t + 1]
    held = np.isfinite(daily) & (group >= 0)
    counts = np.stack([held[:, group == g].sum(axis=1) for g in range(len(SIGNS))], axis=1)
    groups = (counts > 0).sum(axis=1)
    each = np.where(held, np.nan_to_num(daily) * SIGNS[group] / np.maximum(counts[:, group], 1), 0.0)
    each /= np.maximum(groups, 1)[:, None]
    parts = np.zeros((len(LAMBDAS), t + 1, daily.shape[1]))
    for s in range(t + 1):
        is_same = s > 0 and track.segment[s] == track.segment[s - 1]
        for k, keep in enumerate(LAMBDAS):
            before = parts[k, s - 1] if is_same else np.zeros(daily.shape[1])
            parts[k, s] = before + keep * (each[s] - before) if groups[s] else before
    return parts
