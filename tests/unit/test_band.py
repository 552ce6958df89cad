"""The band that charts show: personal, lagged, and silent about what it cannot know."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import FlagSettings
from features.nights import Nights
from features.specs import NIGHT_FEATURES
from models.baseline import band_of_leader, personal_band
from models.sensors import led

SETTINGS = FlagSettings()
FIRST = date(2026, 1, 1)


def nights_of(rmssd_ms: np.ndarray, mean_hr_bpm: np.ndarray | None = None) -> Nights:
    n = len(rmssd_ms)
    hr = np.full(n, 60.0) + np.random.default_rng(1).normal(0, 1, n) if mean_hr_bpm is None else mean_hr_bpm
    hr = np.where(np.isnan(rmssd_ms), np.nan, hr)
    values = {spec.name: np.full(n, np.nan) for spec in NIGHT_FEATURES} | {
        "rmssd_ms": rmssd_ms,
        "mean_hr_bpm": hr,
    }
    dates = tuple(FIRST + timedelta(days=k) for k in range(n))
    return Nights("S1", dates, values, np.where(np.isnan(rmssd_ms), 0.1, 0.9), ("",) * n, ("UTC",) * n)


def usual(n: int, seed: int = 0) -> np.ndarray:
    return 40 * np.exp(np.random.default_rng(seed).normal(0, 0.12, n))


def test_a_band_is_the_median_and_robust_spread_of_lagged_nights():
    values = usual(90)
    band = personal_band(values, is_log_scaled=False, settings=SETTINGS)
    at = 80
    window = values[at - 49 : at - 7]
    spread = 1.4826 * np.median(np.abs(window - np.median(window)))
    assert band.usual[at] == np.median(window)
    assert band.high[at] == pytest.approx(np.median(window) + 2 * spread)
    assert band.z[at] == pytest.approx((values[at] - np.median(window)) / spread)
    assert band.valid_nights[at] == 42


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.one_of(st.just(float("nan")), st.floats(15, 120)), min_size=1, max_size=110))
def test_a_band_leaves_missing_nights_out(values):
    band = personal_band(np.array(values), is_log_scaled=False, settings=SETTINGS)
    for at in np.flatnonzero(np.isfinite(band.usual)):
        window = np.array(values)[max(0, at - 49) : max(0, at - 7)]
        assert band.usual[at] == np.nanmedian(window)
        assert band.valid_nights[at] == np.isfinite(window).sum() >= SETTINGS.min_valid_nights


def test_learning_until_enough_nights():
    band = personal_band(usual(40), is_log_scaled=True, settings=SETTINGS)
    ready = np.flatnonzero(np.isfinite(band.usual))
    assert ready[0] == SETTINGS.min_valid_nights + SETTINGS.gap_days
    sparse = usual(90)
    sparse[::2] = np.nan
    sparse[1::4] = np.nan
    band = personal_band(sparse, is_log_scaled=True, settings=SETTINGS)
    assert np.isnan(band.usual).all(), "a quarter of 42 nights is fewer than 14"


def test_a_constant_person_has_a_band_all_the_same():
    band = personal_band(np.full(60, 50.0), is_log_scaled=False, settings=SETTINGS)
    assert band.high[-1] > band.usual[-1] > band.low[-1]
    assert band.z[-1] == 0


def test_zero_has_no_logarithm_and_counts_as_missing():
    values = usual(90)
    values[::5] = 0.0
    missing = np.where(values == 0, np.nan, values)
    one, other = (personal_band(v, is_log_scaled=True, settings=SETTINGS) for v in (values, missing))
    np.testing.assert_array_equal(one.z, other.z)
    np.testing.assert_array_equal(one.low, other.low)


def test_nights_that_are_all_zero_have_a_band_of_zero():
    """pNN50 of older hearts is often nothing at all."""
    values = np.zeros(90)
    values[-1] = 3.0
    band = personal_band(values, is_log_scaled=False, settings=SETTINGS)
    assert band.usual[-1] == band.high[-1] == 0
    assert band.z[-2] == 0
    assert band.z[-1] == np.inf


def test_a_band_is_of_one_sensor_and_begins_again_with_another():
    source = np.array([0] * 40 + [1, 0] * 5 + [1] * 40)
    values = np.where(source == 0, 50.0, 80.0) + np.random.default_rng(1).normal(0, 1, len(source))
    who = led(source, np.ones(len(source), np.bool_))
    band = band_of_leader(values, who, is_log_scaled=False, settings=SETTINGS)
    (begin,) = who.taken_over
    assert begin == 50
    assert np.nanmax(band.usual[:begin]) < 53, "no night by the other is in it"
    assert np.isnan(band.z[:begin][source[:begin] == 1]).all()
    assert np.isnan(band.usual[begin : begin + SETTINGS.min_valid_nights]).all()
    alone = personal_band(values[begin:], is_log_scaled=False, settings=SETTINGS)
    assert np.array_equal(band.usual[begin:], alone.usual, equal_nan=True)
    assert band.usual[-1] > 77
