"""Quantiles of a centred window that moves along a series."""

import numpy as np

from features.hrv.compiled import compiled
from features.nn.artefact import FloatArray


@compiled
def rolling_quantiles(values: FloatArray, half: int, fractions: FloatArray) -> FloatArray:
    """Return quantiles, (q, n), of the 2 `half` + 1 values centred on each; at the ends, of those there are.

    Interpolated linearly between order statistics. NaN values are passed over; a window of nothing else
    gives NaN. The window is kept sorted, so that a step costs one move of what lies between what leaves and
    what enters.
    """
    n = len(values)
    found = np.full((len(fractions), n), np.nan)
    ordered = np.full(2 * half + 2, np.inf)
    size = 0
    for entering in range(n + half):
        leaving = entering - 2 * half - 1
        size += _replace(
            ordered,
            size,
            values[leaving] if leaving >= 0 else np.nan,
            values[entering] if entering < n else np.nan,
        )
        if entering >= half and size:
            for q in range(len(fractions)):
                place = fractions[q] * (size - 1)
                low = int(place)
                high = min(low + 1, size - 1)
                found[q, entering - half] = ordered[low] + (ordered[high] - ordered[low]) * (place - low)
    return found


@compiled
def _replace(ordered: FloatArray, size: int, old: float, new: float) -> int:
    """Take `old` out of the sorted values and put `new` in; NaN is none. Return how many more there are."""
    # The infinity behind the last value serves where nothing leaves.
    hole = size if np.isnan(old) else _count_below(ordered, old)
    target = size if np.isnan(new) else _count_below(ordered, new)
    if target > hole:
        for k in range(hole, target - 1):
            ordered[k] = ordered[k + 1]
        ordered[target - 1] = np.inf if np.isnan(new) else new
    elif not np.isnan(new):
        for k in range(hole, target, -1):
            ordered[k] = ordered[k - 1]
        ordered[target] = new
    return int(not np.isnan(new)) - int(not np.isnan(old))


@compiled
def _count_below(ordered: FloatArray, value: float) -> int:
    """Count over the whole array, infinities too: without a branch this is faster here than to bisect."""
    count = 0
    for k in range(len(ordered)):
        count += ordered[k] < value
    return count
