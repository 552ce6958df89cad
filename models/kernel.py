"""One day further: baselines, window means and pattern likelihoods of a person, compiled.

Everything of day t is computed by `advance` from days up to t alone. A batch is a loop over it, and so both
give the same bits.
"""

import numpy as np
from numpy.typing import NDArray

from features.hrv.compiled import compiled
from models.channels import FloatArray

IntArray = NDArray[np.int64]
WINDOWS: IntArray = np.array([3, 7, 14, 21], np.int64)
"""Days over which a change is looked for; a longer one finds slower and smaller changes, later."""
GAP_DAYS = 7
"""The baseline leaves out the last week, and the days of the window: a change does not hide itself."""
BASELINE_DAYS = 84
MIN_VALID = 14
"""Fewer valid days give no baseline: learning."""
PRIOR_DAYS = 10.0
"""Weight of the population's spread beside the person's own, in days."""
CLIP_SD = 2.5
"""One wild day moves a window by no more than so many SD."""
_MAD_TO_SD = 1.4826


@compiled
def median_of(values: FloatArray) -> float:
    """Return the median of finite values; NaN of none. `values` is put into another order."""
    n = len(values)
    if n == 0:
        return np.nan
    middle = n // 2
    _select(values, middle)
    below = values[middle] if n % 2 else values[:middle].max()
    return (below + values[middle]) / 2


@compiled
def _select(values: FloatArray, k: int) -> None:
    """Put the k-th smallest value at k, smaller ones before it (Hoare's selection): no need to sort all."""
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if k <= j:
            high = j
        elif k >= i:
            low = i
        else:
            return


@compiled
def baseline_row(  # noqa: PLR0913, PLR0917 - arrays of one loop
    scaled: FloatArray,
    segment: IntArray,
    end: int,
    population_sd: FloatArray,
    usual: FloatArray,
    spread: FloatArray,
    count: FloatArray,
) -> None:
    """Fill row `end` with median, shrunk spread and number of the days before `end`, of one sensor."""
    first = max(0, end - BASELINE_DAYS)
    if end > 0:
        first = max(first, segment[end - 1])
    held = np.empty(BASELINE_DAYS)
    for j in range(scaled.shape[1]):
        n = 0
        for s in range(first, end):
            if not np.isnan(scaled[s, j]):
                held[n] = scaled[s, j]
                n += 1
        count[end, j] = n
        if n < MIN_VALID:
            continue
        usual[end, j] = median_of(held[:n])
        for s in range(n):
            held[s] = abs(held[s] - usual[end, j])
        own = _MAD_TO_SD * median_of(held[:n])
        prior = population_sd[j]
        spread[end, j] = np.sqrt((n * own * own + PRIOR_DAYS * prior * prior) / (n + PRIOR_DAYS))


@compiled
def baseline_end(t: int, window: int) -> int:
    """Return the day before which the baseline ends that a window up to day t is compared with."""
    return t + 1 - max(window, GAP_DAYS)


@compiled
def own_spread(spread: FloatArray, t: int, begin: int) -> FloatArray:
    """Return the spread known on day t of a sensor worn from day `begin`; NaN where there is none yet."""
    own = np.empty(spread.shape[1])
    own[:] = np.nan
    end = baseline_end(t, GAP_DAYS)
    if end > begin:
        own[:] = spread[end]
    return own


@compiled
def window_means(  # noqa: PLR0913, PLR0917 - arrays of one loop
    scaled: FloatArray,
    segment: IntArray,
    t: int,
    window: int,
    usual: FloatArray,
    spread: FloatArray,
    means: FloatArray,
    valid: FloatArray,
) -> None:
    """Fill how far the last `window` days are from the baseline before them, in SD, and the days in it."""
    end = baseline_end(t, window)
    means[:] = np.nan
    valid[:] = 0.0
    # Before the first day of the sensor of today there is no baseline to compare with.
    if end <= 0 or segment[end - 1] != segment[t]:
        return
    for j in range(scaled.shape[1]):
        if np.isnan(usual[end, j]):
            continue
        total = 0.0
        n = 0
        for s in range(max(0, t - window + 1), t + 1):
            if not np.isnan(scaled[s, j]):
                z = (scaled[s, j] - usual[end, j]) / spread[end, j]
                total += min(max(z, -CLIP_SD), CLIP_SD)
                n += 1
        valid[j] = n
        if n:
            means[j] = total / n


@compiled
def factor(matrix: FloatArray, q: int) -> float:
    """Replace the lower triangle by its Cholesky factor; return the logarithm of the determinant."""
    log_det = 0.0
    for i in range(q):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                matrix[i, i] = np.sqrt(total)
                log_det += 2 * np.log(matrix[i, i])
            else:
                matrix[i, j] = total / matrix[j, j]
    return log_det


@compiled
def solve(factor: FloatArray, q: int, right: FloatArray) -> None:
    """Solve in place, given the Cholesky factor."""
    for i in range(q):
        for k in range(i):
            right[i] -= factor[i, k] * right[k]
        right[i] /= factor[i, i]
    for i in range(q - 1, -1, -1):
        for k in range(i + 1, q):
            right[i] -= factor[k, i] * right[k]
        right[i] /= factor[i, i]


@compiled
def log_ratio(  # noqa: PLR0913, PLR0917 - arrays of one loop
    means: FloatArray,
    valid: FloatArray,
    lone: FloatArray,
    window: int,
    covariance: FloatArray,
    shift: FloatArray,
    pattern: FloatArray,
) -> float:
    """Return how much likelier the means are under a pattern than without, as a logarithm.

    Both are normal: without a change the means of a window scatter about 0 with `covariance`; under it
    about `shift` with `pattern` more. Channels without a value fall out exactly.
    """
    size = len(means)
    at = np.empty(size, np.int64)
    q = 0
    for j in range(size):
        if valid[j] > 0:
            at[q] = j
            q += 1
    if q == 0:
        return np.nan
    usual, changed = np.empty((q, q)), np.empty((q, q))
    off0, off1 = np.empty(q), np.empty(q)
    for a in range(q):
        off0[a] = means[at[a]]
        off1[a] = means[at[a]] - shift[at[a]]
        for b in range(q):
            usual[a, b] = covariance[at[a], at[b]]
            changed[a, b] = usual[a, b] + pattern[at[a], at[b]]
        # The covariance is that of nearly full windows; fewer days leave more noise.
        thin = lone[at[a]] * max(0.0, 1 / valid[at[a]] - 1 / (0.8 * window))
        usual[a, a] += thin
        changed[a, a] += thin
    log0, log1 = factor(usual, q), factor(changed, q)
    solved0, solved1 = off0.copy(), off1.copy()
    solve(usual, q, solved0)
    solve(changed, q, solved1)
    value = (log0 - log1) / 2
    for a in range(q):
        value += (off0[a] * solved0[a] - off1[a] * solved1[a]) / 2
    return value
