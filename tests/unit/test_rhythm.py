"""Rhythm: against CosinorPy, by hand, with gaps, and withheld where too few days are behind a value."""

import numpy as np
import pytest

from features.epochs import Epochs
from features.epochs.wear import Wear, WearState
from features.rhythm import (
    RHYTHM_SPECS,
    ClockedValues,
    clocked,
    cosinor,
    cosinor_of,
    is_iv,
    ism_ivm,
    l5_m10,
    mean_day,
    rhythm,
)
from store.errors import ConfigError
from store.times import parse_time_ns

DAY = 1440


def recording(values: np.ndarray, first: str = "2026-01-05T00:00:00Z", zone: str = "UTC") -> Epochs:
    starts_ns = parse_time_ns(first, "test") + 60_000_000_000 * np.arange(len(values))
    return Epochs(starts_ns, 60.0, {"counts": values}, "counts", zone)


def noisy_days(days: int, seed: int = 0) -> np.ndarray:
    t_h = np.arange(days * DAY) / 60
    drawn = np.random.default_rng(seed).gamma(1.0, 1.0, days * DAY)
    return drawn * (120 + 100 * np.cos(2 * np.pi * (t_h - 15) / 24))


def worn_as_recorded(epochs: Epochs) -> Wear:
    return Wear(np.where(epochs.is_recorded, WearState.WORN, WearState.UNKNOWN).astype(np.int8), "recorded")


def test_cosinor_equals_cosinorpy() -> None:
    t_h = np.arange(0, 72, 0.5)
    x = 100 + 40 * np.cos(2 * np.pi * (t_h - 15.25) / 24) + 7 * np.sin(t_h * t_h)
    found = cosinor_of(t_h, x)
    sine, cosine = -29.73828424666636, -26.326802179690596  # CosinorPy 3.1
    assert found.mesor == pytest.approx(99.73409326245942, rel=1e-12)
    assert found.amplitude == pytest.approx(np.hypot(sine, cosine), rel=1e-12)
    assert found.acrophase_h == pytest.approx(np.arctan2(sine, cosine) * 12 / np.pi % 24, rel=1e-12)
    assert found.r2 == pytest.approx(0.9719056557572792, rel=1e-12)
    assert found.mesor_se == pytest.approx(0.402117388391008, rel=1e-10)
    assert found.amplitude_se == pytest.approx(0.5686798643286123, rel=1e-10)
    assert found.acrophase_rad == pytest.approx(-2 * np.pi * found.acrophase_h / 24 + 2 * np.pi)


def test_cosinor_with_gaps_is_least_squares_of_what_is_there() -> None:
    x = noisy_days(4)
    x[500:2600] = np.nan
    found = cosinor(clocked(recording(x)))
    angle = 2 * np.pi * np.arange(len(x)) / DAY
    there = np.isfinite(x)
    design = np.column_stack([np.ones(len(x)), np.cos(angle), np.sin(angle)])[there]
    m, b, g = np.linalg.lstsq(design, x[there], rcond=None)[0]
    assert found.mesor == pytest.approx(m, rel=1e-10)
    assert found.amplitude == pytest.approx(np.hypot(b, g), rel=1e-10)
    assert found.n == there.sum()


def test_is_and_iv_equal_witting() -> None:
    x = noisy_days(7)
    hours = x.reshape(-1, 60).mean(axis=1)
    profile = hours.reshape(7, 24).mean(axis=0)
    n = len(hours)
    spread = ((hours - hours.mean()) ** 2).sum()
    stability, variability = is_iv(clocked(recording(x)))
    assert stability == pytest.approx(n * ((profile - hours.mean()) ** 2).sum() / (24 * spread), rel=1e-12)
    assert variability == pytest.approx(n * (np.diff(hours) ** 2).sum() / ((n - 1) * spread), rel=1e-12)


def test_gaps_take_no_part_in_is_and_iv() -> None:
    x = noisy_days(6)
    x[2 * DAY : 3 * DAY] = np.nan
    stability, variability = is_iv(clocked(recording(x)))
    without = is_iv(clocked(recording(np.concatenate([x[: 2 * DAY], x[3 * DAY :]]))))
    assert stability == pytest.approx(without[0], rel=1e-12)
    hours = x.reshape(-1, 60).mean(axis=1)
    assert variability == pytest.approx(np.nanmean(np.diff(hours) ** 2) / np.nanvar(hours), rel=1e-12)


def test_ism_and_ivm_are_means_over_bins() -> None:
    held = clocked(recording(noisy_days(3)))
    bins = [m for m in range(1, 61) if DAY % m == 0]
    found = [is_iv(held, 60.0 * m) for m in bins]
    assert ism_ivm(held) == pytest.approx(np.mean(found, axis=0), rel=1e-12)


def test_l5_and_m10_go_round_at_midnight() -> None:
    day = np.full(DAY, 10.0)
    night = (np.arange(300) + 22 * 60 + 30) % DAY
    day[night] = 1.0
    day[8 * 60 : 18 * 60] = 50.0
    found = l5_m10(day)
    assert (found.l5, found.l5_onset_h) == (1.0, 22.5)
    assert (found.m10, found.m10_onset_h) == (50.0, 8.0)
    assert found.ra == 49 / 51
    day[7] = np.nan
    assert np.isnan(l5_m10(day).l5)


def test_l5_and_m10_equal_every_window() -> None:
    day = mean_day(clocked(recording(noisy_days(5))))[0]
    windows = {width: [np.roll(day, -k)[:width].mean() for k in range(DAY)] for width in (300, 600)}
    found = l5_m10(day)
    assert found.l5 == pytest.approx(min(windows[300]), rel=1e-12)
    assert found.m10 == pytest.approx(max(windows[600]), rel=1e-12)
    assert found.l5_onset_h * 60 == np.argmin(windows[300])
    assert found.m10_onset_h * 60 == np.argmax(windows[600])


def test_a_peak_keeps_its_clock_time_through_a_change_of_clocks() -> None:
    epochs = recording(np.zeros(20 * DAY), "2026-03-19T23:00:00Z", "Europe/Berlin")
    wall = clocked(epochs).slot / 60
    x = 100 + 50 * np.cos(2 * np.pi * (wall - 15) / 24)
    shown = Epochs(epochs.start_ns, 60.0, {"counts": x}, "counts", "Europe/Berlin")
    found = rhythm(shown, worn_as_recorded(shown))
    assert found.values["acrophase_h"] == pytest.approx(15, abs=1e-9)
    assert found.values["phase_shift_h"] == pytest.approx(0, abs=1e-9)
    assert found.values["cosinor_r2"] == pytest.approx(1)
    assert len(found.daily) == 21  # one of them had 23 hours


def test_phase_shifts_are_of_neighbouring_days() -> None:
    t_h = np.arange(DAY) / 60
    days = [100 + 50 * np.cos(2 * np.pi * (t_h - peak) / 24) for peak in (23.0, 1.0, 0.5)]
    epochs = recording(np.concatenate([*days, np.full(DAY, np.nan), days[0]]))
    daily = rhythm(epochs, worn_as_recorded(epochs)).daily
    np.testing.assert_allclose([each.phase_shift_h for each in daily], [np.nan, 2, -0.5, np.nan, np.nan])


def test_too_little_is_withheld_with_its_reason() -> None:
    epochs = recording(noisy_days(2)[: 2 * DAY - 60])
    found = rhythm(epochs, worn_as_recorded(epochs))
    assert found.withheld["is"] == "2.0 worn days, 3 needed"
    assert np.isnan(found.values["is"])
    assert np.isfinite(found.values["l5"])
    holed = noisy_days(4).reshape(4, DAY)
    holed[:, 600:660] = np.nan
    epochs = recording(holed.ravel())
    found = rhythm(epochs, worn_as_recorded(epochs))
    assert "60 epochs of the day were never worn" in found.withheld["m10"]
    assert np.isfinite(found.values["iv"])


def test_all_zero_and_constant_recordings_have_no_rhythm() -> None:
    for level in (0.0, 7.0, 0.1):
        epochs = recording(np.full(5 * DAY, level))
        found = rhythm(epochs, worn_as_recorded(epochs))
        assert np.isnan(found.values["is"])
        assert "constant" in found.withheld["is"]
    nobody = recording(np.zeros(5 * DAY))
    assert rhythm(nobody).days == 0
    assert set(rhythm(nobody).withheld) == {spec.name for spec in RHYTHM_SPECS}


def test_epochs_that_do_not_divide_a_day_are_refused() -> None:
    odd = Epochs(np.arange(5) * 7_000_000_000, 7.0, {"counts": np.ones(5)}, "counts")
    with pytest.raises(ConfigError, match="7 s"):
        clocked(odd)
    with pytest.raises(ConfigError, match="multiples"):
        is_iv(ClockedValues(np.ones(9), np.arange(9), 60.0), 90.0)
