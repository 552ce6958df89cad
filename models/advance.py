"""The causal step of a person: states of every detector on one day, compiled."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from models.channels import (
    CHANNELS,
    COUNTED,
    GROUP_OF,
    LONE_SD_FRAC,
    MIN_CHANNELS,
    NAMES,
    POPULATION_SD,
    FloatArray,
)
from models.course import PRIOR, Filter, follow, weighed
from models.kernel import (
    BASELINE_DAYS,
    CLIP_SD,
    GAP_DAYS,
    MIN_VALID,
    WINDOWS,
    IntArray,
    baseline_end,
    baseline_row,
    log_ratio,
    median_of,
    own_spread,
    window_means,
)
from models.patterns import PATTERNS, SHIFTS, SPREADS

WINDOW_STATES = tuple(f"{p.name}_{w}d" for p in PATTERNS for w in WINDOWS.tolist())
ANY_STATES = tuple(f"any_{w}d" for w in WINDOWS.tolist())
COURSE_STATES = tuple(f"{p.name}_course" for p in PATTERNS)
OTHER_STATES = ("composite_fast", "composite_slow", "mewma", "variance", "phase", "nightsignal")
STATES = (*WINDOW_STATES, *ANY_STATES, *OTHER_STATES, *COURSE_STATES, "course", "wear_loss")
_N_WINDOW = len(WINDOW_STATES)
_FIRST_OTHER = _N_WINDOW + len(ANY_STATES)
_FIRST_COURSE = _FIRST_OTHER + len(OTHER_STATES)
LAMBDAS = (0.2, 0.07)
COMPOSITE_ROOTS = (np.sqrt(4.0 / 0.5), 2 * np.sqrt(4.0 / 0.5))
"""By which the composites are scaled to SD."""
_WEAR_LAMBDA = 0.15
_VARIANCE_DAYS, _VARIANCE_VALID = 14, 7
SCORE_PRIOR_DAYS = 15.0
"""Weight of the population (0) beside a person's own usual state, in days."""
STATE_LOW, STATE_HIGH = -4.0, 10.0
HIGHEST_SCORE = 6.0
"""Odds of 400 to 1: more days of the same change add evidence, but make nothing worse."""
_HEART = np.array([c.group == "heart" for c in CHANNELS])
SIGNS: FloatArray = np.array([1.0, -1.0, -1.0, -1.0])
_VARIED: NDArray[np.bool_] = np.array(
    [name in {"tst_min", "steps", "midpoint_h", "mean_hr_bpm"} for name in NAMES]
)
_NO_SHIFT: FloatArray = np.zeros(len(CHANNELS))
_PHASE = NAMES.index("midpoint_h")


class Weights(NamedTuple):
    """What is learned from a population: covariances of windows, noise of days, and the linear risk."""

    covariance: FloatArray
    noise: FloatArray
    centre: FloatArray
    scale: FloatArray
    weight: FloatArray
    intercept: float


class Track(NamedTuple):
    """All of a person, a row per day; row t is made of rows up to t.

    `scaled` are the values by the sensor that leads, and `segment` its first day; `is_other` are days of
    another, and `is_recorded` those with enough values, whichever it was. `usual`, `spread` and `counted` of
    row e are those of the days before e. `onset` is the day on which a change most likely set in, -1 where no
    day was looked at.
    """

    scaled: FloatArray
    segment: IntArray
    is_other: NDArray[np.bool_]
    is_recorded: NDArray[np.bool_]
    usual: FloatArray
    spread: FloatArray
    counted: FloatArray
    daily: FloatArray
    smooth: FloatArray
    means: FloatArray
    valid: FloatArray
    raw: FloatArray
    state: FloatArray
    score: FloatArray
    onset: IntArray
    is_monitored: NDArray[np.bool_]


def empty_track(capacity: int) -> Track:
    """Return a track with room for so many days."""
    n, c, w = capacity, len(CHANNELS), len(WINDOWS)

    def nan(*shape: int) -> FloatArray:
        return np.full(shape, np.nan)

    return Track(
        nan(n, c),
        np.zeros(n, np.int64),
        np.zeros(n, np.bool_),
        np.zeros(n, np.bool_),
        nan(n + 1, c),
        nan(n + 1, c),
        np.zeros((n + 1, c)),
        nan(n, c),
        np.zeros((n, c + len(LAMBDAS) + 1)),
        nan(n, w, c),
        np.zeros((n, w, c)),
        nan(n, len(STATES)),
        nan(n, len(STATES)),
        nan(n),
        np.full(n, -1, np.int64),
        np.zeros(n, np.bool_),
    )


def first_days(track: Track, n: int) -> Track:
    """Return the first `n` days; the rows of a baseline are one more."""
    cut = {name: held[: n + len(held) - len(track.scaled)] for name, held in track._asdict().items()}
    return Track(**cut)


@compiled
def advance(track: Track, known: Filter, t: int, weights: Weights) -> None:
    """Compute day t; everything before it is there already, and `known` is that of the day before."""
    end = baseline_end(t, GAP_DAYS)
    if end >= 0:
        baseline_row(
            track.scaled, track.segment, end, POPULATION_SD, track.usual, track.spread, track.counted
        )
    present, ready = _deviations(track, t, max(end, 0))
    track.is_monitored[t] = present >= MIN_CHANNELS and ready >= MIN_CHANNELS
    _smoothed(track, t)
    _wear(track, t)
    begin = track.segment[t]
    follow(known, track.scaled[t], own_spread(track.spread, t, begin), t, begin, weights.noise)
    if track.is_monitored[t]:
        _window_states(track, t, weights)
        _other_states(track, t, weights)
        _course_states(track, known, t)
    _own_scale(track, t)
    _risk(track, t, weights)


@compiled
def _deviations(track: Track, t: int, end: int) -> tuple[int, int]:
    """Fill the deviations of today in SD; return how many channels have a value, and a baseline, too."""
    present, ready = 0, 0
    same_sensor = end > 0 and track.segment[end - 1] == track.segment[t]
    for j in range(track.scaled.shape[1]):
        if np.isnan(track.scaled[t, j]) or not COUNTED[j]:
            has_value = False
        else:
            has_value = True
            present += 1
        if same_sensor and not np.isnan(track.usual[end, j]):
            if has_value:
                ready += 1
            if not np.isnan(track.scaled[t, j]):
                z = (track.scaled[t, j] - track.usual[end, j]) / track.spread[end, j]
                track.daily[t, j] = min(max(z, -CLIP_SD), CLIP_SD)
    return present, ready


@compiled
def _smoothed(track: Track, t: int) -> None:
    """Move the exponentially weighted means on by what today has; what it lacks stays."""
    c = track.scaled.shape[1]
    if t > 0 and track.segment[t] == track.segment[t - 1]:
        track.smooth[t] = track.smooth[t - 1]
    elif t > 0:
        track.smooth[t, -1] = track.smooth[t - 1, -1]
    sums, counts = np.zeros(len(SIGNS)), np.zeros(len(SIGNS))
    for j in range(c):
        z = track.daily[t, j]
        if not np.isnan(z):
            track.smooth[t, j] += LAMBDAS[0] * (z - track.smooth[t, j])
            if GROUP_OF[j] >= 0:
                sums[GROUP_OF[j]] += z
                counts[GROUP_OF[j]] += 1
    groups = np.count_nonzero(counts)
    if groups:
        composite = (SIGNS * sums / np.maximum(counts, 1)).sum() / groups
        for k in range(len(LAMBDAS)):
            track.smooth[t, c + k] += LAMBDAS[k] * (composite - track.smooth[t, c + k])


@compiled
def _wear(track: Track, t: int) -> None:
    """Follow the share of days without data, against the person's own."""
    is_missing = 0.0 if track.is_recorded[t] else 1.0
    track.smooth[t, -1] += _WEAR_LAMBDA * (is_missing - track.smooth[t, -1])
    lost, n = 0.0, 0
    for s in range(max(0, t - GAP_DAYS - BASELINE_DAYS + 1), t - GAP_DAYS + 1):
        lost += not track.is_recorded[s]
        n += 1
    if n >= MIN_VALID:
        usual = (lost + 1) / (n + 4)
        track.raw[t, -1] = (track.smooth[t, -1] - usual) / np.sqrt(usual * (1 - usual) * 0.08)


@compiled
def _window_states(track: Track, t: int, weights: Weights) -> None:
    n = len(WINDOWS)
    for w in range(n):
        means, valid = track.means[t, w], track.valid[t, w]
        window_means(track.scaled, track.segment, t, WINDOWS[w], track.usual, track.spread, means, valid)
        for p in range(len(SHIFTS)):
            track.raw[t, p * n + w] = log_ratio(
                means, valid, LONE_SD_FRAC, WINDOWS[w], weights.covariance[w], SHIFTS[p], SPREADS[p]
            )


@compiled
def _other_states(track: Track, t: int, weights: Weights) -> None:
    c = track.scaled.shape[1]
    track.raw[t, _FIRST_OTHER] = track.smooth[t, c] * COMPOSITE_ROOTS[0]
    track.raw[t, _FIRST_OTHER + 1] = track.smooth[t, c + 1] * COMPOSITE_ROOTS[1]
    track.raw[t, _FIRST_OTHER + 2] = _t2(track, t, weights.covariance[1])
    track.raw[t, _FIRST_OTHER + 3] = _variance(track, t)
    if track.counted[baseline_end(t, GAP_DAYS), _PHASE] >= MIN_VALID:
        track.raw[t, _FIRST_OTHER + 4] = abs(track.smooth[t, _PHASE]) * 2
    track.raw[t, _FIRST_OTHER + 5] = _night_signal(track, t)


@compiled
def _t2(track: Track, t: int, covariance: FloatArray) -> float:
    """Return Hotelling's T2 of the smoothed deviations, in SD above what chance gives."""
    c = track.scaled.shape[1]
    valid = np.zeros(c)
    q = 0
    for j in range(c):
        if track.counted[baseline_end(t, GAP_DAYS), j] >= MIN_VALID:
            valid[j] = 7.0
            q += 1
    # With a pattern that changes nothing but scatter the ratio is a function of T2 alone.
    ratio = log_ratio(track.smooth[t, :c], valid, LONE_SD_FRAC, 7, covariance, _NO_SHIFT, covariance)
    if np.isnan(ratio):
        return np.nan
    t2 = 4 * (ratio + q * np.log(2.0) / 2)
    return (t2 - q) / np.sqrt(2.0 * q)


@compiled
def _variance(track: Track, t: int) -> float:
    """Return how much more the last fortnight goes up and down than the baseline did, in SD."""
    total, channels = 0.0, 0
    for j in range(track.scaled.shape[1]):
        if not _VARIED[j]:
            continue
        n, mean, square = 0, 0.0, 0.0
        for s in range(max(0, t - _VARIANCE_DAYS + 1), t + 1):
            z = track.daily[s, j]
            if not np.isnan(z):
                n += 1
                mean += z
                square += z * z
        if n >= _VARIANCE_VALID:
            variance = (square - mean * mean / n) / (n - 1)
            total += np.log(max(variance, 0.05)) * np.sqrt((n - 1) / 2)
            channels += 1
    return total / np.sqrt(channels) if channels else np.nan


@compiled
def _night_signal(track: Track, t: int) -> float:
    """Return by how many beats per minute both of the last two nights exceed the usual heart rate."""
    end = baseline_end(t, GAP_DAYS)
    for j in range(track.scaled.shape[1]):
        if _HEART[j] and not np.isnan(track.scaled[t, j]) and not np.isnan(track.usual[end, j]):
            usual = np.exp(track.usual[end, j])
            for s in range(t - 1, max(t - 4, -1), -1):
                if not np.isnan(track.scaled[s, j]):
                    lower = min(track.scaled[t, j], track.scaled[s, j])
                    return np.exp(lower) - usual
    return np.nan


@compiled
def _course_states(track: Track, known: Filter, t: int) -> None:
    """Fill the evidence for each pattern, all onsets together, and for any."""
    told = np.empty((len(known.onset), len(PRIOR)))
    track.onset[t] = weighed(known, t, track.segment[t], told)
    if track.onset[t] < 0:
        return
    any_pattern = 0.0
    highest = told.max()
    for p in range(len(PRIOR)):
        likely = np.exp(told[:, p] - highest).sum()
        track.raw[t, _FIRST_COURSE + p] = highest + np.log(likely)
        any_pattern += PRIOR[p] * likely
    track.raw[t, _FIRST_COURSE + len(PRIOR)] = highest + np.log(any_pattern)
    for k in range(_FIRST_COURSE, _FIRST_COURSE + len(PRIOR) + 1):
        track.state[t, k] = track.raw[t, k]


@compiled
def _own_scale(track: Track, t: int) -> None:
    """Take from each state what is usual for this person, as far as that is known."""
    held = np.empty(BASELINE_DAYS)
    for k in range(_FIRST_COURSE):
        if np.isnan(track.raw[t, k]):
            continue
        n = 0
        for s in range(max(0, t - GAP_DAYS - BASELINE_DAYS + 1), t - GAP_DAYS + 1):
            if not np.isnan(track.raw[s, k]):
                held[n] = min(max(track.raw[s, k], STATE_LOW), STATE_HIGH)
                n += 1
        usual = median_of(held[:n]) if n else 0.0
        own = min(max(track.raw[t, k], STATE_LOW), STATE_HIGH) - usual * n / (n + SCORE_PRIOR_DAYS)
        track.state[t, k] = min(max(own, STATE_LOW), STATE_HIGH)
    _any_pattern(track, t)
    track.state[t, -1] = track.raw[t, -1]


@compiled
def _any_pattern(track: Track, t: int) -> None:
    """Join the patterns of each window: the likelihood ratio of their equal mixture, as a logarithm."""
    windows = len(WINDOWS)
    patterns = len(SHIFTS)
    for w in range(windows):
        total, n = 0.0, 0
        for p in range(patterns):
            own = track.state[t, p * windows + w]
            if not np.isnan(own):
                total += np.exp(own)
                n += 1
        if n:
            track.state[t, _N_WINDOW + w] = np.log(total / n)


@compiled
def _risk(track: Track, t: int, weights: Weights) -> None:
    """Fill the score: the logit of today, to a limit."""
    if not track.is_monitored[t]:
        return
    logit = weights.intercept
    for k in range(len(weights.weight)):
        if not np.isnan(track.state[t, k]):
            logit += weights.weight[k] * (track.state[t, k] - weights.centre[k]) / weights.scale[k]
    track.score[t] = min(logit, HIGHEST_SCORE)


@compiled
def advance_all(track: Track, known: Filter, n: int, weights: Weights) -> None:
    """Compute the first `n` days, one after another."""
    for t in range(n):
        advance(track, known, t, weights)
