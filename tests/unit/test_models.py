"""Baseline, rule and standing: personal, causal, and silent about what it cannot know."""

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.settings import FlagSettings
from features.nights import NightRow, Nights, Provenance, night_batch
from features.specs import NIGHT_FEATURES
from models.baseline import personal_band
from models.job import run_flags
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


def test_a_reason_speaks_of_the_nights_outside_only():
    """Five of fourteen nights far below, the others a little above: it is still the five that count."""
    wide = FlagSettings(judged_nights=14, nights_outside=5)
    rmssd = usual(90)
    rmssd[76:90] = 40 * np.exp(0.1)
    rmssd[[77, 79, 81, 83, 85]] = 15.0
    flag = flags_of(nights_of(rmssd), wide)[-1]
    lead = flag.contributions[0]
    assert lead.value == 15.0
    assert lead.value < lead.low < lead.usual < lead.high
    assert lead.z < -wide.band_sd
    assert "RMSSD below own band on 5 of 14 nights (median of these 15 ms" in flag.reason


def test_every_flag_has_a_reason_whatever_the_settings():
    tight = FlagSettings(judged_nights=3, nights_outside=3)
    rmssd = usual(90)
    rmssd[76:] *= 0.4
    assert all(flag.contributions and flag.reason for flag in flags_of(nights_of(rmssd), tight))
    assert FlagSettings.model_fields["nights_outside"].metadata[0].ge > CLEARED_NIGHTS


def test_one_change_is_one_flag_though_nights_arrive_late_or_settings_change(store, registry):
    registry.people.add_subject("S1", "UTC")
    rmssd = usual(90)
    rmssd[76:] *= 0.5
    for missing, band_sd in (((77, 78), 2.0), ((), 2.0), ((), 2.1)):
        held = rmssd.copy()
        held[list(missing)] = np.nan
        rows = [row_of(nights_of(held), at) for at in range(len(held))]
        store.write([night_batch(rows, Provenance("0", "hash", "job", 0))])
        run_flags(store, registry, FlagSettings(band_sd=band_sd))
    (one,) = registry.flags.all()
    assert one.flag.night == FIRST + timedelta(days=82), "the flag of the first run, which knew less"


def row_of(nights: Nights, at: int) -> NightRow:
    values = {name: float(held[at]) for name, held in nights.values.items()}
    return NightRow(
        "S1", nights.nights[at], "UTC", values, float(nights.coverage_frac[at]), "", "", "A", 1, 1, 1
    )


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


def test_nobody_without_a_band_is_in_range():
    """Twenty nights are more than a baseline needs, but the newest do not count yet; old nights never do."""
    young = standing(nights_of(usual(20)), [], FIRST + timedelta(days=19), SETTINGS)
    assert (young.state, young.since) == (State.LEARNING, FIRST)
    assert young.reason == "12 of 14 nights for an own band; the last 7 do not count yet"
    back = usual(200)
    back[30:193] = np.nan
    returned = standing(nights_of(back), [], FIRST + timedelta(days=199), SETTINGS)
    assert returned.state is State.LEARNING
    assert returned.reason.startswith("0 of 14")
    fresh = standing(nights_of(usual(23)), [], FIRST + timedelta(days=22), SETTINGS)
    assert fresh.state is State.LEARNING
    assert fresh.reason == "2 nights with a first own band, 5 needed to judge"


def test_in_range_says_how_nearly():
    today = FIRST + timedelta(days=89)
    calm = np.full(90, 40.0)
    assert standing(nights_of(calm), [], today, SETTINGS).reason.startswith("RMSSD and heart rate keep")
    calm[-3:] = 20.0
    said = standing(nights_of(calm), [], today, SETTINGS)
    assert (said.state, said.reason) == (
        State.IN_RANGE,
        "Outside the own band on 3 of the last 7 nights; 5 raise a flag",
    )
    calm[-14:] = 20.0
    assert standing(nights_of(calm), [], today, SETTINGS).reason.endswith(
        "7 of the last 7 nights, flagged before"
    )


def test_missing_data_is_never_a_flag():
    with pytest.raises(DataError, match="never a flag"):
        Flag("S1", FIRST, FIRST, 5, 5, "below", (), 0.0, "rule", "hash")
