"""Detectors to compare with: known from the literature, or from common sense; none of them ships."""

from collections.abc import Callable
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from models.advance import STATES, Track
from models.channels import CHANNELS, FloatArray
from models.kernel import BASELINE_DAYS, GAP_DAYS, MIN_VALID

_CUSUM_SLACK, _CUSUM_CAP = 0.75, 12.0
"""Daily deviations hang together: a smaller slack saturates (docs/evidence.md)."""
_HAZARD = 1 / 60
_MAX_RUN = 60
_DIRECTED = np.array(
    [{"heart": 1.0, "vagal": -1.0, "sleep": -1.0, "movement": -1.0}.get(c.group, 0) for c in CHANNELS]
)
_TREES, _REFIT_DAYS = 20, 56
_COMPONENTS = 3
_NIGHTSIGNAL = STATES.index("nightsignal")
_BETTING = 0.5


def night_signal(track: Track) -> FloatArray:
    """Return beats above usual on both of the last nights (Alavi 2022, doi:10.1038/s41591-021-01593-2)."""
    return track.raw[: len(track.scaled), _NIGHTSIGNAL]


def composite_of_day(track: Track) -> FloatArray:
    """Return the signed mean deviation of each day; NaN without any."""
    signed = track.daily * _DIRECTED
    held = np.isfinite(signed) & (_DIRECTED != 0)
    total, count = np.where(held, signed, 0.0).sum(axis=1), held.sum(axis=1)
    return np.where(count > 0, total / np.sqrt(np.maximum(count, 1)), np.nan)


def cusum(track: Track) -> FloatArray:
    """Return the capped one-sided CUSUM of the composite (Page 1954)."""
    return _run(composite_of_day(track), _cusum_step)


def _cusum_step(state: float, value: float) -> float:
    return min(max(state + value - _CUSUM_SLACK, 0.0), _CUSUM_CAP)


def _run(values: FloatArray, step: Callable[[float, float], float]) -> FloatArray:
    state, found = 0.0, np.full(len(values), np.nan)
    for t in np.flatnonzero(np.isfinite(values)):
        state = step(state, float(values[t]))
        found[t] = state
    return found


def bocpd(track: Track) -> FloatArray:
    """Return the expected mean since the last change point, Gaussian (Adams 2007, arXiv:0710.3742)."""
    values = composite_of_day(track)
    found = np.full(len(values), np.nan)
    chance, total, count = np.ones(1), np.zeros(1), np.zeros(1)
    for t in np.flatnonzero(np.isfinite(values)):
        mean, variance = total / (count + 1), 1 + 1 / (count + 1)
        fit = np.exp(-((values[t] - mean) ** 2) / (2 * variance)) / np.sqrt(variance)
        grown = chance * fit * (1 - _HAZARD)
        chance = np.concatenate([[(chance * fit).sum() * _HAZARD], grown])[:_MAX_RUN]
        chance /= chance.sum()
        total = np.concatenate([[0.0], total + values[t]])[:_MAX_RUN]
        count = np.concatenate([[0.0], count + 1])[:_MAX_RUN]
        found[t] = float((chance * total / (count + 1)).sum())
    return found


def conformal(track: Track) -> FloatArray:
    """Return the logarithm of a betting CUSUM on conformal p-values of the composite."""
    values = composite_of_day(track)
    found, wealth = np.full(len(values), np.nan), 0.0
    for t in np.flatnonzero(np.isfinite(values)):
        past = values[max(0, t - GAP_DAYS - BASELINE_DAYS + 1) : max(0, t - GAP_DAYS + 1)]
        past = past[np.isfinite(past)]
        if len(past) >= MIN_VALID:
            p = (1 + (past >= values[t]).sum()) / (len(past) + 1)
            wealth = max(0.0, wealth + float(np.log(_BETTING * p ** (_BETTING - 1))))
            found[t] = wealth
    return found


def isolation_forest(track: Track) -> FloatArray:
    """Return the smoothed anomaly against own past days, refitted every eight weeks (Liu 2008)."""
    from sklearn.ensemble import IsolationForest  # noqa: PLC0415 - slow to import, and only to compare

    rows = np.nan_to_num(track.daily)
    found = np.full(len(rows), np.nan)
    for start, past in _refits(track):
        model = cast("Any", IsolationForest(n_estimators=_TREES, random_state=0)).fit(rows[past])
        stop = min(start + _REFIT_DAYS, len(rows))
        found[start:stop] = -model.score_samples(rows[start:stop])
    return _smooth(np.where(np.isfinite(track.daily).any(axis=1), found, np.nan))


def pca(track: Track) -> FloatArray:
    """Return the smoothed residual beyond three own components, refitted every eight weeks."""
    rows = np.nan_to_num(track.daily)
    found = np.full(len(rows), np.nan)
    for start, past in _refits(track):
        centre = rows[past].mean(axis=0)
        axes = np.linalg.svd(rows[past] - centre, full_matrices=False)[2]
        new = rows[start : min(start + _REFIT_DAYS, len(rows))] - centre
        left = new - new @ axes[:_COMPONENTS].T @ axes[:_COMPONENTS]
        found[start : start + len(new)] = np.sqrt((left**2).sum(axis=1))
    return _smooth(np.where(np.isfinite(track.daily).any(axis=1), found, np.nan))


def _refits(track: Track) -> list[tuple[int, NDArray[np.intp]]]:
    """Return from which day on a fit is used, and the days it rests on."""
    held: NDArray[np.bool_] = np.asarray(np.isfinite(track.daily).any(axis=1))
    fits: list[tuple[int, NDArray[np.intp]]] = []
    for start in range(0, len(held), _REFIT_DAYS):
        past = np.flatnonzero(held[: max(0, start - GAP_DAYS + 1)])
        if len(past) >= MIN_VALID:
            fits.append((start, past))
    return fits


def _smooth(values: FloatArray) -> FloatArray:
    state, found = np.nan, np.full(len(values), np.nan)
    for t in np.flatnonzero(np.isfinite(values)):
        state = values[t] if np.isnan(state) else state + 0.2 * (values[t] - state)
        found[t] = state
    return found


def missingness(track: Track) -> FloatArray:
    """Return the share of values missing in the last fortnight: what is lost when nothing is looked at."""
    missing = np.isnan(track.scaled).mean(axis=1)
    total = np.concatenate([[0.0], np.cumsum(missing)])
    end = np.arange(1, len(missing) + 1)
    first = np.maximum(end - 14, 0)
    return (total[end] - total[first]) / (end - first)


def own_mean(track: Track) -> FloatArray:
    """Return the mean of the person's own scores until a week ago: who somebody is, not what changed."""
    score = track.score
    held = np.isfinite(score)
    total, count = np.cumsum(np.where(held, score, 0.0)), np.cumsum(held)
    mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return np.concatenate([np.full(GAP_DAYS, np.nan), mean])[: len(score)]


def time_only(track: Track) -> FloatArray:
    """Return the days since the record began."""
    return np.arange(len(track.scaled), dtype=np.float64)
