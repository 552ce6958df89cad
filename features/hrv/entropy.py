"""Sample, approximate and multiscale entropy of NN intervals.

Templates never cross a removed interval. Counts are exact: a pair matches if the largest difference is at
most r, ties included, as in the definitions.

References
----------
Richman & Moorman (2000). Am J Physiol 278, H2039-H2049. doi:10.1152/ajpheart.2000.278.6.H2039
Pincus (1991). PNAS 88, 2297-2301. doi:10.1073/pnas.88.6.2297
Costa et al. (2002). Phys Rev Lett 89, 068102. doi:10.1103/PhysRevLett.89.068102
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from store.types import NnSeries

TOLERANCE_SD = 0.2
"""r in units of the standard deviation (n - 1); templates have 2 intervals, m = 2."""

MULTISCALE_TOLERANCE_SD = 0.15
MULTISCALE_LARGEST = 20


@dataclass(frozen=True, slots=True)
class Entropy:
    """Values of m spans; NaN where undefined: too short, constant, or no match.

    Attributes
    ----------
    sampen, apen : (m,) float64
        Nats.
    """

    sampen: FloatArray
    apen: FloatArray


def entropy(nn: NnSeries, segments: Segments, *, with_apen: bool = True) -> Entropy:
    """Compute sample and approximate entropy, m = 2, r = 0.2 SD, of every span.

    Without `with_apen` the latter is NaN, and the former takes less than half the time.
    """
    table = np.empty((2, len(segments)))
    _entropy_kernel(nn.nn_ms, nn.follows_previous, segments.first, segments.last, with_apen, table)
    return Entropy(*table)


def multiscale_entropy(nn: NnSeries, n_scales: int = MULTISCALE_LARGEST) -> FloatArray:
    """Return the sample entropy of a series averaged over 1 to `n_scales` intervals, (n_scales,) nats.

    r is 0.15 SD of the series itself at every scale (Costa 2002). Averages never cross a removed interval.
    Takes time as the square of the number of intervals: a second for a day.
    """
    found = np.full(n_scales, np.nan)
    if len(nn) < 2:
        return found
    r_ms = MULTISCALE_TOLERANCE_SD * float(np.std(nn.nn_ms, ddof=1))
    for scale in range(1, n_scales + 1):
        coarse, follows = _coarse_grained(nn, scale)
        counts = np.zeros(2, np.int64)
        if len(coarse) > 3 and r_ms > 0:
            _match_counts(coarse, follows, r_ms, counts, np.zeros((2, 0), np.int64))
            found[scale - 1] = -np.log(counts[1] / counts[0]) if counts[1] else np.nan
    return found


def _coarse_grained(nn: NnSeries, scale: int) -> tuple[FloatArray, NDArray[np.bool_]]:
    """Return means of `scale` consecutive intervals, and which follow the one before without a break."""
    run = np.cumsum(~nn.follows_previous)
    first_of_run = np.flatnonzero(np.diff(run, prepend=-1))
    place = np.arange(len(nn)) - first_of_run[np.cumsum(np.diff(run, prepend=-1) != 0) - 1]
    ends = np.flatnonzero((place + 1) % scale == 0)
    total = np.concatenate([[0.0], np.cumsum(nn.nn_ms)])
    means = (total[ends + 1] - total[ends + 1 - scale]) / scale
    return means, np.asarray(place[ends] >= 2 * scale - 1, np.bool_)


@compiled
def _entropy_kernel(
    nn_ms: FloatArray,
    follows: NDArray[np.bool_],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    with_apen: bool,  # noqa: FBT001 - compiled functions take no keywords
    out: FloatArray,
) -> None:
    for k in range(len(first)):
        x = nn_ms[first[k] : last[k]]
        n = len(x)
        out[:, k] = np.nan
        if n < 4:
            continue
        r_ms = TOLERANCE_SD * np.sqrt(np.sum((x - x.mean()) ** 2) / (n - 1))
        if not r_ms > 0:
            continue
        joined = follows[first[k] : last[k]]
        pairs = np.zeros(2, np.int64)
        per_template = np.zeros((2, n if with_apen else 0), np.int64)
        _match_counts(x, joined, r_ms, pairs, per_template)
        if pairs[1]:
            out[0, k] = -np.log(pairs[1] / pairs[0])
        if with_apen:
            out[1, k] = _phi(per_template[0], joined, 2) - _phi(per_template[1], joined, 3)


@compiled
def _phi(matches: NDArray[np.int64], joined: NDArray[np.bool_], length: int) -> float:
    """Mean log share of the templates of a length that match each, itself included (Pincus)."""
    n_templates = 0
    total = 0.0
    for i in range(len(matches) - length + 1):
        is_whole = True
        for j in range(1, length):
            is_whole &= joined[i + j]
        if is_whole:
            n_templates += 1
            total += np.log(matches[i] + 1)
    return total / n_templates - np.log(n_templates) if n_templates else np.nan


@compiled
def _match_counts(
    x: FloatArray,
    joined: NDArray[np.bool_],
    r: float,
    pairs: NDArray[np.int64],
    per_template: NDArray[np.int64],
) -> None:
    """Count matches of templates of 2 and 3.

    `pairs` gets those of Richman & Moorman: templates of 2 that can be continued, and those of 3.
    `per_template` gets, for each template, its matches of 2 and of 3 (Pincus), unless it is empty.

    Whether |x_i - x_j| <= r is asked of ranks: the values within r of x_i have consecutive ranks, so one
    unsigned comparison of small integers decides, exactly, and many pairs at once.
    """
    n = len(x)
    order = np.argsort(x, kind="mergesort")
    rank = np.empty(n, np.uint32)
    low = np.empty(n, np.uint32)
    width = np.empty(n, np.uint32)
    for at in range(n):
        rank[order[at]] = at
    below, above = 0, 0
    for at in range(n):
        centre = x[order[at]]
        while abs(x[order[below]] - centre) > r:
            below += 1
        above = max(above, at)
        while above + 1 < n and abs(x[order[above + 1]] - centre) <= r:
            above += 1
        low[order[at]] = below
        width[order[at]] = above - below
    if n <= 65_535:
        _count(
            rank.astype(np.uint16),
            low.astype(np.uint16),
            width.astype(np.uint16),
            joined,
            pairs,
            per_template,
        )
    else:
        _count(rank, low, width, joined, pairs, per_template)


@compiled
def _count(
    rank: NDArray[np.unsignedinteger],
    low: NDArray[np.unsignedinteger],
    width: NDArray[np.unsignedinteger],
    joined: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    per_template: NDArray[np.int64],
) -> None:
    if per_template.shape[1]:
        _count_lags(rank, low, width, joined, pairs, per_template)
    else:
        _count_pairs(rank, low, width, joined, pairs)


@compiled
def _count_lags(
    rank: NDArray[np.unsignedinteger],
    low: NDArray[np.unsignedinteger],
    width: NDArray[np.unsignedinteger],
    joined: NDArray[np.bool_],
    pairs: NDArray[np.int64],
    per_template: NDArray[np.int64],
) -> None:
    # Neighbouring steps of the inner loops are independent and of one small type, so they run many at once.
    n = len(rank)
    two, three = np.zeros(n, rank.dtype), np.zeros(n, rank.dtype)  # 1 where such a template starts
    for i in range(n - 1):
        two[i] = joined[i + 1]
    for i in range(n - 2):
        three[i] = joined[i + 1] and joined[i + 2]
    near = np.zeros(n, rank.dtype)
    earlier_two, later_two = np.zeros(n, rank.dtype), np.zeros(n, rank.dtype)
    earlier_three, later_three = np.zeros(n, rank.dtype), np.zeros(n, rank.dtype)
    continued = np.zeros(n, rank.dtype)
    for lag in range(1, n - 1):
        m = n - lag
        rank_later, two_later, three_later = rank[lag:], two[lag:], three[lag:]
        later_two_at, later_three_at = later_two[lag:], later_three[lag:]
        for i in range(m):
            near[i] = rank.dtype.type(rank_later[i] - low[i]) <= width[i]
        near[m] = 0  # the next value of the last one is not compared
        near_next, near_after = near[1:], near[2:]
        for i in range(m - 1):
            hit = rank.dtype.type(near[i] & near_next[i] & two[i] & two_later[i])
            earlier_two[i] += hit
            later_two_at[i] += hit
            continued[i] += rank.dtype.type(hit & three[i] & three_later[i])
        for i in range(m - 2):
            hit = rank.dtype.type(near[i] & near_next[i] & near_after[i] & three[i] & three_later[i])
            earlier_three[i] += hit
            later_three_at[i] += hit
    for i in range(n):
        pairs[0] += continued[i]
        pairs[1] += earlier_three[i]
        per_template[0, i] = np.int64(earlier_two[i]) + np.int64(later_two[i])
        per_template[1, i] = np.int64(earlier_three[i]) + np.int64(later_three[i])


@compiled
def _count_pairs(
    rank: NDArray[np.unsignedinteger],
    low: NDArray[np.unsignedinteger],
    width: NDArray[np.unsignedinteger],
    joined: NDArray[np.bool_],
    pairs: NDArray[np.int64],
) -> None:
    n = len(rank)
    three = np.zeros(n, rank.dtype)
    for i in range(n - 2):
        three[i] = joined[i + 1] and joined[i + 2]
    near = np.zeros(n, rank.dtype)
    for lag in range(1, n - 2):
        m = n - lag
        rank_later, three_later = rank[lag:], three[lag:]
        for i in range(m):
            near[i] = rank.dtype.type(rank_later[i] - low[i]) <= width[i]
        near_next, near_after = near[1:], near[2:]
        # One lag has fewer matches than there are intervals, so that the small type holds them.
        continued, matched = rank.dtype.type(0), rank.dtype.type(0)
        for i in range(m - 2):
            hit = rank.dtype.type(near[i] & near_next[i] & three[i] & three_later[i])
            continued = rank.dtype.type(continued + hit)
            matched = rank.dtype.type(matched + (hit & near_after[i]))
        pairs[0] += continued
        pairs[1] += matched
