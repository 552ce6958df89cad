"""How likely a person's last weeks are under a change of known course, whenever it set in: what the score is.

A daily value is a level of the person's own, a part of which a fifth fades every day, and noise of the day;
these hang together between channels, and a Kalman filter foretells each value from earlier ones. On every
third day a change may have set in. What a unit of it would do to what is foretold is followed beside the
filter, by the same gains, so that likelihoods of sizes that vary as in `models.patterns` are exact (Willsky
1976, doi:10.1109/TAC.1976.1101146). A day on which much is far off tells less than its distance says, as
under Student's t: one night of illness is no change. Compiled; a day uses itself and earlier ones.
"""

from typing import NamedTuple

import numpy as np

from features.hrv.compiled import compiled
from models.channels import CHANNELS, GROUP_OF, GROUPS, POPULATION_SD, FloatArray
from models.kernel import CLIP_SD, IntArray, factor, solve
from models.patterns import SIZE_ROOTS, SIZES, UNIT_SHIFTS

KEEPS: FloatArray = np.array([0.0, 0.8])
"""Share of each part of the noise that is left a day later: noise of the day, and what lasts for days."""
LEVEL_VARIANCE, LEVEL_WALK = 9.0, 0.0003
"""Of the level, in population SD: hardly known at first, later it moves by a third of an SD in a year."""
_FREEDOM = 2.0
"""Of Student's t: the fewer, the less a wild day counts."""
RAMPS_DAYS: IntArray = np.array([8, 28], np.int64)
"""A change sets in within a week, or creeps in; then it holds."""
ONSET_STEP, LONGEST_DAYS, FIRST_ONSET = 3, 28, 18
"""Days between onsets, days after which one is no longer looked for, and of a sensor before the first."""
PRIOR: FloatArray = np.array([4.0, 1.0, 1.0]) / 6
"""Shares of the patterns: those of the scenarios of training."""
_N, _PARTS = len(CHANNELS), len(KEEPS)
_LEVEL = _PARTS * _N
_SIZE = _LEVEL + _N
_SLOTS, _COURSES, _GROUPS = LONGEST_DAYS // ONSET_STEP + 1, len(RAMPS_DAYS), len(GROUPS)
_NEVER = -(10**6)
_KEEP_OF_STATE: FloatArray = np.concatenate([np.repeat(KEEPS, _N), np.ones(_N)])


def _weights_of_days() -> FloatArray:
    """Return how much of a change is there so many days after its onset, courses x days."""
    day = np.arange(LONGEST_DAYS)
    return np.stack([np.clip((day + 1) / r, 0, 1) for r in RAMPS_DAYS.tolist()])


COURSES: FloatArray = _weights_of_days()


class Filter(NamedTuple):
    """All that is known after a day.

    `mean` and `spread` are of the states: the parts of the noise, part after part, in own SD, then levels,
    in population SD from `centre`. `ratio` is the own SD as part of the population's. A change is an onset
    and a course. `reply`, states x changes x groups, is by how much a unit of a change in a group has moved
    the states. `pull` and `precision`, channels x changes x groups (x groups), are what the values of each
    channel say of the sizes.
    """

    mean: FloatArray
    spread: FloatArray
    centre: FloatArray
    ratio: FloatArray
    onset: IntArray
    reply: FloatArray
    pull: FloatArray
    precision: FloatArray


def empty_filter() -> Filter:
    """Return the filter before the first day."""
    changes = _SLOTS * _COURSES
    return Filter(
        np.zeros(_SIZE),
        np.zeros((_SIZE, _SIZE)),
        np.full(_N, np.nan),
        np.ones(_N),
        np.full(changes, _NEVER, np.int64),
        np.zeros((_SIZE, changes, _GROUPS)),
        np.zeros((_N, changes, _GROUPS)),
        np.zeros((_N, changes, _GROUPS, _GROUPS)),
    )


@compiled
def follow(
    known: Filter, scaled: FloatArray, own_sd: FloatArray, t: int, begin: int, noise: FloatArray
) -> None:
    """Take in day t.

    Parameters
    ----------
    known : Filter
        Of the day before; changed in place.
    scaled : (channels,) float64
        Values of the day on the scale of each channel; NaN where there is none.
    own_sd : (channels,) float64
        Spread of the person's own days; NaN where it is not known: that of before stays, at first the
        population's.
    t, begin : int
        Day, and first day of the sensor of that day; on it all is forgotten.
    noise : (parts, channels, channels) float64
        Covariance of each part of the noise, in own SD.
    """
    if t == begin:
        _restart(known, noise)
    else:
        _pass_a_day(known, noise)
    if (t - begin) % ONSET_STEP == 0:
        _look_from(known, t, (t - begin) // ONSET_STEP % _SLOTS)
    for c in range(_N):
        if not np.isnan(own_sd[c]):
            known.ratio[c] = own_sd[c] / POPULATION_SD[c]
    _take_in(known, scaled, t)


@compiled
def _restart(known: Filter, noise: FloatArray) -> None:
    known.mean[:] = 0.0
    known.spread[:] = 0.0
    known.centre[:] = np.nan
    known.ratio[:] = 1.0
    known.onset[:] = _NEVER
    _add_noise(known, noise, 0.0)
    for i in range(_LEVEL, _SIZE):
        known.spread[i, i] = LEVEL_VARIANCE


@compiled
def _pass_a_day(known: Filter, noise: FloatArray) -> None:
    """Let parts of the noise fade and new noise come in."""
    for i in range(_SIZE):
        known.mean[i] *= _KEEP_OF_STATE[i]
        for j in range(_SIZE):
            known.spread[i, j] *= _KEEP_OF_STATE[i] * _KEEP_OF_STATE[j]
        known.reply[i] *= _KEEP_OF_STATE[i]
    _add_noise(known, noise, 1.0)
    for i in range(_LEVEL, _SIZE):
        known.spread[i, i] += LEVEL_WALK


@compiled
def _add_noise(known: Filter, noise: FloatArray, kept: float) -> None:
    for p in range(_PARTS):
        new = 1 - kept * KEEPS[p] ** 2
        for i in range(_N):
            for j in range(_N):
                known.spread[p * _N + i, p * _N + j] += new * noise[p, i, j]


@compiled
def _look_from(known: Filter, t: int, slot: int) -> None:
    """Look for changes that set in today, in place of the oldest."""
    for change in range(slot * _COURSES, (slot + 1) * _COURSES):
        known.onset[change] = t
        known.reply[:, change] = 0.0
        known.pull[:, change] = 0.0
        known.precision[:, change] = 0.0


@compiled
def _take_in(known: Filter, scaled: FloatArray, t: int) -> None:
    """Take in the values of a day, one after another, then what they say of each change."""
    gains, off, variance = np.empty((_N, _SIZE)), np.zeros(_N), np.zeros(_N)
    count, distance = 0, 0.0
    for c in range(_N):
        if not np.isnan(scaled[c]):
            off[c], variance[c] = _take_value(known, c, scaled[c], gains[c])
            count += 1
            distance += off[c] ** 2 / variance[c]
    if count:
        trust = min(1.0, (_FREEDOM + count) / (_FREEDOM + distance))
        _weigh(known, t, gains, off, variance, trust)


@compiled
def _take_value(known: Filter, c: int, scaled: float, gain: FloatArray) -> tuple[float, float]:
    """Take in a value; return how far off it was and the variance foretold, and fill the gain."""
    if np.isnan(known.centre[c]):
        known.centre[c] = scaled
    level, ratio = _LEVEL + c, known.ratio[c]
    gain[:] = known.spread[level]
    off = (scaled - known.centre[c]) / POPULATION_SD[c] - known.mean[level]
    for part in range(c, _LEVEL, _N):
        gain += ratio * known.spread[part]
        off -= ratio * known.mean[part]
    variance = gain[level] + ratio * gain[c:_LEVEL:_N].sum()
    _add_product(known.spread, -1 / variance, gain, gain)
    # A wild value moves what is known of the person by no more than so many SD, and a change alike.
    held = min(1.0, CLIP_SD * np.sqrt(variance) / max(abs(off), 1e-12))
    gain *= held / variance
    known.mean[:] += gain * off
    return off, variance


@compiled
def _weigh(
    known: Filter, t: int, gains: FloatArray, off: FloatArray, variance: FloatArray, trust: float
) -> None:
    """Add what a day says of each change: what of `off` a unit of it would have brought."""
    weight = np.zeros(len(known.onset))
    for change in range(len(weight)):
        since = t - known.onset[change]
        if since < LONGEST_DAYS:
            weight[change] = COURSES[change % _COURSES, since]
    reply = known.reply.reshape(_SIZE, -1)
    for c in range(_N):
        if variance[c] > 0:
            brought = _brought(known, c, weight, reply)
            _count_in(known, c, brought, off[c], trust / variance[c])
            _add_product(reply, 1.0, gains[c], brought)


@compiled
def _add_product(matrix: FloatArray, scale: float, column: FloatArray, row: FloatArray) -> None:
    for i in range(len(column)):
        times = scale * column[i]
        for j in range(len(row)):
            matrix[i, j] += times * row[j]


@compiled
def _brought(known: Filter, c: int, weight: FloatArray, reply: FloatArray) -> FloatArray:
    brought = -reply[_LEVEL + c]
    for part in range(c, _LEVEL, _N):
        brought -= known.ratio[c] * reply[part]
    if GROUP_OF[c] >= 0:
        brought[GROUP_OF[c] :: _GROUPS] += UNIT_SHIFTS[c] * weight
    return brought


@compiled
def _count_in(known: Filter, c: int, brought: FloatArray, off: float, scale: float) -> None:
    """Add a value of a channel to what is known of the sizes of each change."""
    for h in range(len(brought)):
        change, g = divmod(h, _GROUPS)
        known.pull[c, change, g] += scale * off * brought[h]
        for k in range(_GROUPS):
            known.precision[c, change, g, k] += scale * brought[h] * brought[change * _GROUPS + k]


@compiled
def sizes_of(pull: FloatArray, precision: FloatArray, pattern: int, sizes: FloatArray) -> float:
    """Return the log likelihood ratio of a pattern of unknown sizes, and fill the likeliest sizes.

    `pull` and `precision`, (groups,) and (groups, groups), are sums over channels.
    """
    usual, root = SIZES[pattern], SIZE_ROOTS[pattern]
    rooted, half, matrix = np.zeros(_GROUPS), np.zeros((_GROUPS, _GROUPS)), np.eye(_GROUPS)
    value = 0.0
    for i in range(_GROUPS):
        left = pull[i]
        for j in range(_GROUPS):
            left -= precision[i, j] * usual[j]
        value += usual[i] * (pull[i] + left) / 2
        for j in range(_GROUPS):
            rooted[j] += root[i, j] * left
    # In units of the root sizes are independent, and as likely as each other.
    _multiply(precision, root, half)
    _multiply(root.T, half, matrix)
    moved = rooted.copy()
    value -= factor(matrix, _GROUPS) / 2
    solve(matrix, _GROUPS, moved)
    for i in range(_GROUPS):
        value += rooted[i] * moved[i] / 2
        sizes[i] = usual[i]
        for j in range(_GROUPS):
            sizes[i] += root[i, j] * moved[j]
    return value


@compiled
def _multiply(one: FloatArray, other: FloatArray, added: FloatArray) -> None:
    for i in range(_GROUPS):
        for j in range(_GROUPS):
            for k in range(_GROUPS):
                added[i, j] += one[i, k] * other[k, j]


@compiled
def weighed(known: Filter, t: int, begin: int, told: FloatArray) -> int:
    """Fill the log likelihood ratios of day t, changes x patterns; return the likeliest onset.

    Those of onsets that are not looked at are minus infinity; the onset is -1 without any.
    """
    sizes, pull, precision = np.empty(_GROUPS), np.empty(_GROUPS), np.empty((_GROUPS, _GROUPS))
    best, likeliest = -np.inf, -1
    told[:] = -np.inf
    for change in range(len(told)):
        onset = known.onset[change]
        if t - onset >= LONGEST_DAYS or onset - begin < FIRST_ONSET:
            continue
        pull[:] = 0.0
        precision[:] = 0.0
        for c in range(_N):
            pull += known.pull[c, change]
            precision += known.precision[c, change]
        for p in range(len(PRIOR)):
            told[change, p] = sizes_of(pull, precision, p, sizes)
            if told[change, p] + np.log(PRIOR[p]) > best:
                best, likeliest = told[change, p] + np.log(PRIOR[p]), onset
    return likeliest
