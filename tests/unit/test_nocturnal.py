"""What a night says beyond its windows' means, by hand-made nights."""

from datetime import date

import numpy as np
import pytest

from configs.settings import FeatureSettings
from features.job import run_features
from features.nights import NIGHT_STREAM
from features.nocturnal import day_values, still_values, week_values
from features.windows import WINDOW_FEATURES, Windows
from store.nights import local_ns, night_bounds_ns
from store.streams import ACTIVITY_EPOCH, PP_INTERVAL, RR_INTERVAL
from store.timeseries import Batch
from store.units import NS_PER_S

ZONE = "Europe/Berlin"
NIGHT = date(2026, 3, 10)
SPAN = night_bounds_ns(NIGHT, ZONE)
NEEDED = 0.25


def windows(bpm: np.ndarray, rmssd_ms: np.ndarray | float = 40.0, start_ns: int = SPAN[0]) -> Windows:
    t_ns = start_ns + 300 * NS_PER_S * np.arange(len(bpm), dtype=np.int64)
    values = {name: np.full(len(bpm), np.nan) for name in WINDOW_FEATURES}
    values |= {"mean_hr_bpm": bpm, "rmssd_ms": np.broadcast_to(rmssd_ms, bpm.shape).astype(float)}
    count = np.full(len(bpm), 300)
    return Windows(t_ns, values, np.ones(len(bpm)), count, count)


def hours(n: int = 288) -> np.ndarray:
    """Clock time of the middle of each five minutes from noon on."""
    return 12 + (np.arange(n) + 0.5) / 12


def nocturnal(of: Windows) -> np.ndarray:
    return (of.start_ns >= local_ns(NIGHT, 0, ZONE)) & (of.start_ns < local_ns(NIGHT, 6, ZONE))


def test_a_cosine_of_the_day_is_found_again():
    day = windows(65 + 8 * np.cos(2 * np.pi * (hours() - 15.5) / 24))
    found, why = day_values(day, nocturnal(day), SPAN, 300, NEEDED)
    assert found["hr_mesor_bpm"] == pytest.approx(65)
    assert found["hr_amplitude_bpm"] == pytest.approx(8)
    assert found["hr_acrophase_h"] == pytest.approx(15.5)
    assert found["hr_cosinor_r2"] == pytest.approx(1)
    assert why == ""


def test_the_fall_at_night_compares_with_the_rest_of_the_day():
    day = windows(np.where(nocturnal(windows(np.zeros(288))), 54.0, 72.0))
    found, _ = day_values(day, nocturnal(day), SPAN, 300, NEEDED)
    assert found["hr_dip_pct"] == pytest.approx(25)
    assert found["lowest_hr_bpm"] == 54


def test_a_strap_worn_at_night_only_has_no_rhythm_and_says_so():
    full = windows(np.full(288, 60.0))
    kept = nocturnal(full)
    night = full.between(int(full.start_ns[kept][0]), int(full.start_ns[kept][-1]) + 1)
    found, why = day_values(night, nocturnal(night), SPAN, 300, NEEDED)
    assert found["lowest_hr_bpm"] == 60
    assert np.isnan([found["hr_dip_pct"], found["hr_mesor_bpm"], found["hr_acrophase_h"]]).all()
    assert why.startswith("hr_dip_pct, hr_mesor_bpm")
    assert "0 % of the emptiest quarter" in why


def test_the_least_moving_third_is_taken():
    night = windows(np.full(9, 60.0), np.arange(9) * 10.0)
    motion_ns = SPAN[0] + 5 * NS_PER_S * np.arange(9 * 60, dtype=np.int64)
    enmo_mg = np.repeat(np.array([9.0, 1, 8, 2, 7, 3, 6, 5, 4]), 60)
    found = still_values(night, np.ones(9, bool), motion_ns, enmo_mg, 300)
    assert found["rmssd_still_ms"] == pytest.approx(np.mean([10, 30, 50]))


def test_without_movement_nothing_is_called_still():
    night = windows(np.full(9, 60.0))
    found = still_values(night, np.ones(9, bool), np.empty(0, np.int64), np.empty(0), 300)
    assert np.isnan(list(found.values())).all()
    barely = SPAN[0] + 5 * NS_PER_S * np.arange(100, dtype=np.int64)  # two windows of nine
    found = still_values(night, np.ones(9, bool), barely, np.ones(100), 300)
    assert np.isnan(list(found.values())).all()


def test_a_week_needs_three_nights():
    nan = float("nan")
    assert np.isnan(week_values([3.0, nan, 3.2])["ln_rmssd_7d"])
    found = week_values([9.0, 3.0, nan, 3.2, 3.4, nan, nan, nan])
    assert found["ln_rmssd_7d"] == pytest.approx(3.2), "the eighth night back is not of this week"
    assert found["ln_rmssd_cv_7d_pct"] == pytest.approx(100 * 0.2 / 3.2)


def beats(start_ns: int, hours_: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rr_ms = 900 + rng.normal(0, 12, int(hours_ * 4000))
    return start_ns + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64), rr_ms


def test_a_run_writes_them_all_and_pulse_never_mixes_with_heart(store, registry):
    registry.people.add_subject("S1", ZONE)
    for k in range(4):
        start_ns = local_ns(date(2026, 3, 10 + k), 0, ZONE)
        t_ns, rr_ms = beats(start_ns, 6.2, k)
        store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": rr_ms})])
        moved_ns = start_ns + 5 * NS_PER_S * np.arange(6 * 720, dtype=np.int64)
        held = {name: np.full(len(moved_ns), 1.0) for name in ACTIVITY_EPOCH.column_names()}
        store.write([Batch(ACTIVITY_EPOCH, "S1", "A", moved_ns, held)])
        pulse = {"pp_ms": rr_ms / 2, "error_ms": rr_ms * 0, "is_blocked": rr_ms * 0, "skin_contact": rr_ms}
        store.write([Batch(PP_INTERVAL, "S1", "B", start_ns + np.cumsum(rr_ms / 2 * 1e6).astype(int), pulse)])
    run_features(store, registry, FeatureSettings(), now_ns=1)
    nights = store.read(NIGHT_STREAM, "S1")
    assert np.isnan(nights["ln_rmssd_7d"][:2]).all()
    assert nights["ln_rmssd_7d"][3] == pytest.approx(nights["ln_rmssd"].mean())
    assert nights["mean_hr_bpm"] == pytest.approx(66.7, abs=0.1)
    assert nights["prv_mean_hr_bpm"] == pytest.approx(133.3, abs=1.5)
    assert np.isfinite(nights["rmssd_still_ms"]).all()
    assert not any(nights["withheld"])
    assert all("hr_mesor_bpm" in why for why in nights["withheld_more"])
    again = nights.values
    run_features(store, registry, FeatureSettings(), now_ns=1)
    for name, values in store.read(NIGHT_STREAM, "S1").values.items():
        if name != "job_id":
            np.testing.assert_array_equal(values, again[name])
