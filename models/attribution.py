"""What each channel adds to a score: signed, and to the digit what the model did.

A score is a weighted sum of evidence, and evidence the logarithm of a sum of likelihood ratios over onsets,
courses and patterns. By `log sum exp v = sum r v + entropy(r)`, with r the share of each, it is linear in
them. Each is `log p(values | sizes) - penalty(sizes)` at the likeliest sizes, and the first term a sum over
values, each against what earlier ones foretold: a sum over channels. What remains belongs to no channel:
intercept, how far the sizes are from those of the pattern, how many changes were looked for, and the limit.
"""

from collections.abc import Sequence

import numpy as np

from models.advance import COURSE_STATES, STATES, Track, Weights
from models.channels import CHANNELS, GROUPS, FloatArray
from models.course import PRIOR, Filter, empty_filter, follow, sizes_of, weighed
from models.kernel import own_spread

_COURSE = STATES.index("course")
_OF_PATTERN = tuple(STATES.index(name) for name in COURSE_STATES)


def channel_parts(track: Track, t: int, weights: Weights) -> FloatArray:
    """Return what each channel (channels,) adds to the score of day t; negative speaks against a change."""
    known = _known(track, t, weights)
    told = np.empty((len(known.onset), len(PRIOR)))
    if weighed(known, t, int(track.segment[t]), told) < 0:
        return np.zeros(len(CHANNELS))
    shares = _shares(told, weights)
    total = np.zeros(len(CHANNELS))
    for change, pattern in np.argwhere(shares > 0).tolist():
        pull, precision = known.pull[:, change], known.precision[:, change]
        sizes = np.empty(len(GROUPS))
        sizes_of(pull.sum(axis=0), precision.sum(axis=0), pattern, sizes)
        added = pull @ sizes - (precision @ sizes) @ sizes / 2
        total += shares[change, pattern] * added
    return total


def rest_of(score: float, parts: FloatArray | Sequence[float]) -> float:
    """Return what no channel adds."""
    return float(score - np.sum(parts))


def _known(track: Track, t: int, weights: Weights) -> Filter:
    """Follow the sensor of day t from its first day: what was known then is not kept."""
    known, begin = empty_filter(), int(track.segment[t])
    for day in range(begin, t + 1):
        follow(known, track.scaled[day], own_spread(track.spread, day, begin), day, begin, weights.noise)
    return known


def _shares(told: FloatArray, weights: Weights) -> FloatArray:
    """Return by how much the score rises with each likelihood ratio; it falls with none."""
    shares = np.zeros_like(told)
    for pattern, state in enumerate(_OF_PATTERN):
        likely = np.exp(told[:, pattern] - told[:, pattern].max())
        shares[:, pattern] += _weight(weights, state) * likely / likely.sum()
    likely = np.exp(told - told.max()) * PRIOR
    return shares + _weight(weights, _COURSE) * likely / likely.sum()


def _weight(weights: Weights, state: int) -> float:
    return float(weights.weight[state] / weights.scale[state])
