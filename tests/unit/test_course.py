"""The likelihood of a change whenever it set in: against all values at once, and channel by channel."""

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from models.advance import STATES
from models.attribution import channel_parts, rest_of
from models.channels import CHANNELS, GROUP_OF, GROUPS, NAMES, POPULATION_SD, from_scale
from models.course import (
    COURSES,
    KEEPS,
    LEVEL_VARIANCE,
    LEVEL_WALK,
    PRIOR,
    empty_filter,
    follow,
    sizes_of,
    weighed,
)
from models.daily import Days
from models.injector import injected
from models.kernel import own_spread
from models.monitor import followed
from models.patterns import SIZE_ROOTS, SIZES, UNIT_SHIFTS
from models.risk import shipped_model

WEIGHTS = shipped_model().weights
N = len(CHANNELS)


def days_of(z: np.ndarray) -> Days:
    """Return days so many population SD from what is usual."""
    usual = np.array([62.0, 45, 60, 420, 9000, 190, 15, 33.5, 92, 3.5])
    middle = [
        np.log(v + c.offset) if c.scale != "linear" else v for v, c in zip(usual, CHANNELS, strict=True)
    ]
    scaled = np.array(middle) + z * POPULATION_SD
    values = np.array([[from_scale(v, c) for v, c in zip(row, CHANNELS, strict=True)] for row in scaled])
    return Days("S1", date(2026, 1, 1), values, np.full(len(z), -1, np.int64))


def person(n: int = 110, seed: int = 3) -> Days:
    random = np.random.default_rng(seed)
    return days_of(np.where(random.random((n, N)) < 0.15, np.nan, 0.6 * random.normal(size=(n, N))))


def all_at_once(values: np.ndarray, ratio: np.ndarray, onset: int, ramp: int, pattern: int) -> float:
    """Return the log likelihood ratio of a change from the covariance of all values together."""
    day, channel = np.nonzero(np.isfinite(values))
    lag, same = np.abs(day[:, None] - day), channel[:, None] == channel
    walked = LEVEL_VARIANCE + LEVEL_WALK * np.minimum(day[:, None], day)
    covariance = np.where(same, walked, 0.0)
    for keep, part in zip(KEEPS, WEIGHTS.noise, strict=True):
        kept = np.where(lag == 0, 1.0, keep**lag)
        covariance += np.outer(ratio[channel], ratio[channel]) * kept * part[np.ix_(channel, channel)]
    since = day - onset
    weight = np.where(since >= 0, COURSES[ramp, np.maximum(since, 0)], 0.0)
    of_size = np.eye(len(GROUPS))[GROUP_OF[channel]] * (GROUP_OF[channel] >= 0)[:, None]
    shape = of_size * (UNIT_SHIFTS[channel] * weight)[:, None]
    changed = covariance + shape @ SIZE_ROOTS[pattern] @ SIZE_ROOTS[pattern].T @ shape.T
    x = values[day, channel]

    def log_likelihood(off: np.ndarray, spread: np.ndarray) -> float:
        return -(off @ np.linalg.solve(spread, off) + np.linalg.slogdet(spread)[1]) / 2

    return log_likelihood(x - shape @ SIZES[pattern], changed) - log_likelihood(x, covariance)


@pytest.mark.parametrize("pattern", range(len(PRIOR)))
def test_a_filter_day_by_day_is_the_likelihood_of_all_values_at_once(pattern: int):
    """Days are quiet here: none is cut or trusted less."""
    random = np.random.default_rng(5)
    values = np.where(random.random((45, N)) < 0.3, np.nan, 0.3 * random.normal(size=(45, N)))
    values[0] = 0.0  # the first value of each is what others are told from
    ratio = random.uniform(0.8, 1.3, N)
    known, told = empty_filter(), np.empty((len(empty_filter().onset), len(PRIOR)))
    for t, row in enumerate(values):
        follow(known, row * POPULATION_SD, ratio * POPULATION_SD, t, 0, WEIGHTS.noise)
    weighed(known, 44, 0, told)
    for change in np.flatnonzero(np.isfinite(told[:, 0])).tolist():
        onset = int(known.onset[change])
        expected = all_at_once(values, ratio, onset, change % len(COURSES), pattern)
        assert told[change, pattern] == pytest.approx(expected, rel=1e-6, abs=1e-9), onset


def test_what_channels_add_to_a_score_is_what_the_model_did():
    """What remains is intercept, unlikely sizes and the number of changes looked for, worked out by hand."""
    days = injected(person(), 80, "mania", np.random.default_rng(1))
    track = followed(days, WEIGHTS)
    at = int(np.flatnonzero(track.is_monitored & (np.arange(len(days)) > 90))[0])
    known, told = empty_filter(), np.empty((len(empty_filter().onset), len(PRIOR)))
    for t in range(at + 1):
        follow(known, track.scaled[t], own_spread(track.spread, t, 0), t, 0, WEIGHTS.noise)
    weighed(known, at, 0, told)
    share = np.exp(told - told.max()) * PRIOR
    share /= share.sum()
    evidence = 0.0
    for change, pattern in np.argwhere(share > 0):
        pull, precision = known.pull[:, change].sum(axis=0), known.precision[:, change].sum(axis=0)
        sizes, root = np.empty(len(GROUPS)), SIZE_ROOTS[pattern]
        sizes_of(pull, precision, pattern, sizes)
        far = np.linalg.solve(root, sizes - SIZES[pattern])
        penalty = (far @ far + np.linalg.slogdet(np.eye(len(GROUPS)) + root.T @ precision @ root)[1]) / 2
        r = share[change, pattern]
        evidence += r * (np.log(PRIOR[pattern]) - np.log(r) - penalty)
    k = STATES.index("course")
    slope = WEIGHTS.weight[k] / WEIGHTS.scale[k]
    rest = WEIGHTS.intercept + slope * (evidence - WEIGHTS.centre[k])
    parts = channel_parts(track, at, WEIGHTS)
    assert rest_of(float(track.score[at]), parts) == pytest.approx(rest, abs=1e-6)
    assert parts[NAMES.index("tst_min")] > 1 > parts[NAMES.index("skin_temperature_c")]


def test_a_channel_without_values_adds_nothing():
    days = injected(person(), 80, "severe", np.random.default_rng(1))
    lost = NAMES.index("rmssd_ms")
    days.values[:, lost] = np.nan
    track = followed(days, WEIGHTS)
    parts = channel_parts(track, int(np.flatnonzero(track.is_monitored)[-1]), WEIGHTS)
    assert parts[lost] == 0
    assert parts[NAMES.index("tst_min")] > 0


def test_one_wild_day_is_no_change_and_a_week_is():
    def highest(ill_days: int) -> float:
        days = injected(person(seed=7), 80, "illness-1-night", np.random.default_rng(0))
        for t in range(81, 80 + ill_days):
            days.values[t] = injected(person(seed=7), t, "illness-1-night", np.random.default_rng(0)).values[
                t
            ]
        return float(np.nanmax(followed(days, WEIGHTS).score[80:95]))

    usual = float(np.nanmax(followed(person(seed=7), WEIGHTS).score[80:95]))
    assert highest(1) < usual + 2
    assert highest(7) > usual + 5


def test_the_likeliest_onset_is_near_the_day_it_set_in():
    for seed in range(4):
        track = followed(injected(person(seed=seed), 75, "abrupt", np.random.default_rng(2)), WEIGHTS)
        assert abs(int(track.onset[np.flatnonzero(track.is_monitored[:93])[-1]]) - 75) <= 5


def test_another_sensor_begins_anew():
    days = person()
    other = replace(days, source=np.where(np.arange(len(days)) < 60, 0, 1))
    track = followed(other, WEIGHTS)
    alone = followed(replace(days, values=days.values[60:], source=days.source[60:]), WEIGHTS)
    np.testing.assert_array_equal(track.score[60:], alone.score)
