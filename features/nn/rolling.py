"""Quantiles of a centred window that moves along a series."""

import numpy as np

from features.hrv.compiled import compiled
from features.nn.artefact import FloatArray


@compiled
def rolling_quantiles(values: FloatArray, half: int, fractions: FloatArray) -> FloatArray:
    """Return quantiles, (q, n), of the 2 `half` + 1 values centred on each; at the ends, of those there are.

    Interpolated linearly between order statistics. NaN and infinite values are passed over; a window of
    nothing else gives NaN. The window is kept sorted between two infinities.
    """
    n, width, q_count = len(values), 2 * half + 1, len(fractions)
    found = np.full((q_count, n), np.nan)
    padded = np.full(n + 2 * width, np.inf)
    for i in range(n):
        padded[width + i] = values[i] if abs(values[i]) < np.inf else np.inf
    window = np.full(width + 2, np.inf)
    window[0] = -np.inf
    following = window.copy()
    low, weight = np.zeros(q_count, np.int64), np.zeros(q_count)
    size, placed = 0, 0
    for entering in range(n + half):
        leaves, enters = padded[entering], padded[entering + width]
        size += int(enters < np.inf) - int(leaves < np.inf)
        _replace(window, leaves, enters, following)
        window, following = following, window
        if entering < half or not size:
            continue
        if size != placed:
            placed = size
            for q in range(q_count):
                place = fractions[q] * (size - 1)
                low[q] = int(place)
                weight[q] = place - low[q]
        for q in range(q_count):
            below = window[1 + low[q]]
            step = window[2 + low[q]] - below if weight[q] > 0 else 0.0
            found[q, entering - half] = below + step * weight[q]
    return found


@compiled
def _replace(ordered: FloatArray, old: float, new: float, out: FloatArray) -> None:
    """Write the sorted values without `old` and with `new` to `out`; infinity is none.

    Each place is worked out on its own, without a branch: the machine does several at once and never guesses.
    """
    for k in range(1, len(ordered) - 1):
        before = ordered[k - 1] if ordered[k - 1] < old else ordered[k]
        here = ordered[k] if ordered[k] < old else ordered[k + 1]
        smaller = min(new, here)
        out[k] = max(before, smaller)
