"""How the days of people without a change hang together: between channels, and from day to day."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from models.advance import Track
from models.channels import CHANNELS, POPULATION_SD, FloatArray
from models.kernel import CLIP_SD, GAP_DAYS

LAGS = 36
"""Days between two values: five weeks."""
_STEPS = 1500
_MIN_NOISE, _MIN_SEEN_FRAC = 0.03, 0.02


class Products(NamedTuple):
    """Mean products of values so many days apart, lags x channels x channels, and of how many each is."""

    mean: FloatArray
    number: FloatArray


def spread_of_days(track: Track) -> FloatArray:
    """Return the own spread known on each day, (days, channels); the population's until there is one."""
    end = np.maximum(np.arange(len(track.scaled)) + 1 - GAP_DAYS, 0)
    spread = track.spread[end]
    for j, column in enumerate(spread.T):
        known = np.flatnonzero(np.isfinite(column))
        at = np.searchsorted(known, np.arange(len(column)), side="right") - 1
        column[:] = np.where(at >= 0, column[known[at]] if len(known) else 0.0, POPULATION_SD[j])
    return spread


def middle_of(values: FloatArray) -> FloatArray:
    """Return the median of each channel; 0 where there is no value."""
    held = [column[np.isfinite(column)] for column in values.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in held])


def deviations(track: Track) -> FloatArray:
    """Return the distance of each value from the person's middle of all days, in own SD."""
    return (track.scaled - middle_of(track.scaled)) / spread_of_days(track)


def products_of(people: Sequence[FloatArray]) -> Products:
    """Return the products of days up to five weeks apart; no day counts for more than `CLIP_SD`."""
    size = len(CHANNELS)
    sums, counts = np.zeros((2, LAGS, size, size))
    for far in people:
        known = np.isfinite(far)
        z, seen = np.where(known, np.clip(far, -CLIP_SD, CLIP_SD), 0.0), known.astype(np.float64)
        for lag in range(min(LAGS, len(z))):
            sums[lag] += z[lag:].T @ z[: len(z) - lag]
            counts[lag] += seen[lag:].T @ seen[: len(z) - lag]
    sums, counts = sums + sums.transpose(0, 2, 1), counts + counts.transpose(0, 2, 1)
    return Products(sums / np.maximum(counts, 1), counts)


def noise_of(people: Sequence[FloatArray], kernels: FloatArray) -> FloatArray:
    """Return the covariance of channels in each part of the noise, parts x channels x channels.

    Parameters
    ----------
    people : sequence of (days, channels) float64
        Deviations in own SD; NaN where there is no value.
    kernels : (parts, LAGS) float64
        How alike two days are in each part, by the days between them.
    """
    products = products_of(people)
    parts = _fitted(products.mean, products.number / products.number.max(), kernels)
    seen = np.diag(products.number[0])
    unseen = seen < _MIN_SEEN_FRAC * seen.max()
    parts[:, unseen] = 0.0
    parts[:, :, unseen] = 0.0
    parts[0] += np.diag(np.where(unseen, 1.0, _MIN_NOISE))
    return parts


def _fitted(products: FloatArray, weight: FloatArray, kernels: FloatArray) -> FloatArray:
    """Fit by projected gradients: each part stays a covariance."""
    parts = np.repeat(0.2 * np.eye(products.shape[1])[None], len(kernels), axis=0)
    for _ in range(_STEPS):
        left = np.tensordot(kernels.T, parts, 1) - products
        parts -= np.tensordot(kernels, weight * left, 1) / (kernels**2).sum()
        values, vectors = np.linalg.eigh((parts + parts.transpose(0, 2, 1)) / 2)
        parts = (vectors * np.maximum(values, 0)[:, None]) @ vectors.transpose(0, 2, 1)
    return parts
