"""Baseline, rule and standing: personal, causal, and silent about what it cannot know."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import FlagSettings
from features.nights import Nights
from features.specs import NIGHT_FEATURES
from models.baseline import personal_band
from models.rule import CLEARED_NIGHTS, flags_of
from models.standing import State, standing
from store.errors import DataError
from store.registry.flags import StoredFlag
from store.types import Flag

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


noisy = st.lists(st.one_of(st.just(float("nan")), st.floats(15, 120)), min_size=30, max_size=110)


@settings(max_examples=60, deadline=None)
@given(rmssd=noisy, cut=st.integers(1, 109), later=noisy)
def test_the_future_changes_no_past_flag(rmssd, cut, later):
    past = np.array(rmssd[:cut])
    one, other = nights_of(np.array(rmssd)), nights_of(np.concatenate([past, later]))
    hr = 60 + np.sin(np.arange(300))
    one, other = (
        nights_of(one.values["rmssd_ms"], hr[: len(one)]),
        nights_of(other.values["rmssd_ms"], hr[: len(other)]),
    )
    until = FIRST + timedelta(days=len(past))
    assert [f for f in flags_of(one, SETTINGS) if f.night < until] == [
        f for f in flags_of(other, SETTINGS) if f.night < until
    ]


def test_steady_people_are_not_flagged():
    """200 simulated years of 12 % night-to-night noise: at most one false flag in two years each."""
    flags = sum(len(flags_of(nights_of(usual(365, seed)), SETTINGS)) for seed in range(200))
    assert flags <= 100


def test_a_sustained_drop_is_flagged_once_with_its_reason():
    rmssd = usual(90)
    rmssd[76:] *= 0.5
    flags = flags_of(nights_of(rmssd), SETTINGS)
    assert len(flags) == 1
    flag = flags[0]
    assert FIRST + timedelta(days=79) <= flag.night <= FIRST + timedelta(days=83)
    assert flag.since == FIRST + timedelta(days=76)
    assert flag.direction == "below"
    assert flag.score >= flag.threshold == SETTINGS.nights_outside
    assert flag.contributions[0].feature == "rmssd_ms"
    assert "RMSSD below own band on 5 of" in flag.reason
    assert 0 < flag.coverage_frac <= 1


def test_one_bad_night_and_missing_nights_are_no_flag():
    rmssd = usual(90)
    rmssd[60] *= 0.3
    rmssd[70:80] = np.nan
    assert flags_of(nights_of(rmssd), SETTINGS) == []


def test_a_change_back_and_again_is_a_second_flag():
    rmssd = usual(160)
    rmssd[60:67] *= 0.45
    rmssd[110:117] *= 0.45
    flags = flags_of(nights_of(rmssd), SETTINGS)
    assert len(flags) == 2
    assert (flags[1].night - flags[0].night).days > 30
    assert SETTINGS.nights_outside > CLEARED_NIGHTS


def stored(flag: Flag, state: str = "open") -> StoredFlag:
    return StoredFlag(1, state, 0, flag)


def test_every_way_to_stand():
    today = FIRST + timedelta(days=89)
    full = nights_of(usual(90))
    assert standing(full, [], today, SETTINGS).state is State.IN_RANGE
    assert standing(full, [], today + timedelta(days=2), SETTINGS).state is State.IN_RANGE
    gone = standing(full, [], today + timedelta(days=9), SETTINGS)
    assert gone.state is State.NO_RECENT_DATA
    assert gone.reason == "No night with enough data since 31 Mar"
    assert standing(nights_of(np.empty(0)), [], today, SETTINGS).state is State.NO_RECENT_DATA
    assert standing(nights_of(usual(10)), [], FIRST + timedelta(days=9), SETTINGS).state is State.LEARNING
    sparse = usual(90)
    sparse[-7:-2] = np.nan
    assert standing(nights_of(sparse), [], today, SETTINGS).state is State.NOT_ENOUGH_DATA
    rmssd = usual(90)
    rmssd[76:] *= 0.5
    changed = nights_of(rmssd)
    flag = flags_of(changed, SETTINGS)[0]
    seen = standing(changed, [stored(flag)], today, SETTINGS)
    assert (seen.state, seen.since) == (State.CHANGED, flag.since)
    assert standing(changed, [stored(flag, "resolved")], today, SETTINGS).state is State.IN_RANGE


def test_missing_data_is_never_a_flag():
    with pytest.raises(DataError, match="never a flag"):
        Flag("S1", FIRST, FIRST, 5, 5, "below", (), 0.0, "rule", "hash")
