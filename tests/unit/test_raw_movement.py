"""Raw acceleration: ENMO, angle, spread, calibration, counts and steps, each against what is known of it."""

import numpy as np
import pytest

from features.epochs.counts import RATES_HZ, actigraph_counts
from features.epochs.raw import autocalibration, raw_epochs, raw_not_worn
from features.epochs.steps import steps_of
from features.epochs.wear import usual_rule
from store.errors import CoverageError, DataError

AGCOUNTS = {
    30: [[1108, 1258, 1081], [1113, 1293, 1085], [1113, 1293, 1085]],
    40: [[1097, 1258, 1070], [1104, 1290, 1076], [1104, 1290, 1076]],
    50: [[1098, 1264, 1064], [1107, 1296, 1068], [1107, 1296, 1068]],
    60: [[1108, 1258, 1081], [1113, 1293, 1085], [1113, 1293, 1085]],
    70: [[1107, 1262, 1066], [1116, 1292, 1072], [1116, 1292, 1072]],
    80: [[1109, 1262, 1067], [1116, 1294, 1077], [1116, 1294, 1077]],
    90: [[1108, 1258, 1081], [1113, 1293, 1085], [1113, 1293, 1085]],
    100: [[1105, 1261, 1070], [1111, 1292, 1078], [1111, 1292, 1078]],
}
"""Counts that agcounts 0.2.6 gives of `shaken`, epochs of 20 s."""


def shaken(rate_hz: int, seconds: int = 60) -> np.ndarray:
    t = np.arange(rate_hz * seconds) / rate_hz
    strength = 1 + np.sin(2 * np.pi * t / 20)
    x, y = 0.3 * np.sin(2 * np.pi * 1.9 * t), 0.2 * np.sin(2 * np.pi * 0.7 * t + 1)
    return np.column_stack([strength * x, strength * y, 0.9 + strength * 0.4 * np.sin(2 * np.pi * 2.3 * t)])


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_counts_equal_agcounts(rate_hz: int) -> None:
    assert actigraph_counts(shaken(rate_hz), rate_hz, 20).tolist() == AGCOUNTS[rate_hz]


def test_counts_leave_out_an_incomplete_epoch_and_refuse_other_rates() -> None:
    assert actigraph_counts(shaken(50)[:-10], 50, 20).shape == (2, 3)
    assert actigraph_counts(np.zeros((0, 3)), 50).shape == (0, 3)
    assert actigraph_counts(np.full((3000, 3), 0.57), 50, 20).sum() == 0
    with pytest.raises(DataError, match="33 Hz"):
        actigraph_counts(shaken(30), 33)
    with pytest.raises(DataError, match="finite"):
        actigraph_counts(np.full((900, 3), np.nan), 30)


def test_epochs_equal_their_definitions() -> None:
    acc_g = shaken(50) + np.random.default_rng(1).normal(0, 0.01, (3000, 3))
    found = raw_epochs(acc_g, 50.0)
    parts = acc_g.reshape(12, 250, 3)
    norm = np.linalg.norm(parts, axis=2)
    x, y, z = parts.mean(axis=1).T
    expected = {
        "enmo_mg": 1000 * np.maximum(norm - 1, 0).mean(axis=1),
        "mad_mg": 1000 * np.abs(norm - norm.mean(axis=1, keepdims=True)).mean(axis=1),
        "z_angle_deg": np.degrees(np.arctan2(z, np.hypot(x, y))),
        "sd_mg": 1000 * parts.std(axis=1),
        "low_g": parts.min(axis=1),
        "high_g": parts.max(axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(found, name), values, rtol=1e-9, atol=1e-9, err_msg=name)


def test_epochs_of_a_rate_that_is_no_whole_number_stay_in_step() -> None:
    found = raw_epochs(np.tile([0.0, 0.0, 2.0], (31_250, 1)), 31.25)
    assert len(found) == 200
    np.testing.assert_allclose(found.enmo_mg, 1000)
    with pytest.raises(DataError, match="three columns"):
        raw_epochs(np.zeros((9, 2)), 50.0)


def test_raw_epochs_are_epochs_from_a_time() -> None:
    found = raw_epochs(shaken(50), 50.0).as_epochs(1_767_643_200_000_000_000, "Europe/Berlin")
    assert (len(found), found.epoch_s, found.column, found.zone) == (12, 5.0, "enmo_mg", "Europe/Berlin")
    assert usual_rule(found) == "accelerometer"


def test_a_sample_that_is_no_number_withholds_its_epoch_alone() -> None:
    acc_g = shaken(50)
    acc_g[600, 1] = np.nan
    assert np.flatnonzero(np.isnan(raw_epochs(acc_g, 50.0).enmo_mg)).tolist() == [2]


def test_a_sensor_on_a_table_is_not_worn_and_a_turn_is_wear() -> None:
    rng = np.random.default_rng(2)
    acc_g = rng.normal([0, 0, 1], 0.003, (10 * 3600 * 4, 3))
    acc_g[: 10 * 3600] += rng.normal(0, 0.05, (10 * 3600, 3))
    off = raw_not_worn(raw_epochs(acc_g, 10.0))
    hours = off.reshape(4, -1).mean(axis=1)
    assert hours[0] == 0
    assert hours[2:].tolist() == [1, 1]
    acc_g[10 * 3600 * 3] += 0.2
    acc_g[10 * 3600 * 3 + 9] -= [0.2, 0, 0]
    acc_g[10 * 3600 * 3 + 12] -= [0, 0.2, 0]
    assert not raw_not_worn(raw_epochs(acc_g, 10.0)).reshape(4, -1)[3, :300].any()


def test_autocalibration_finds_gain_and_offset() -> None:
    rng = np.random.default_rng(3)
    towards = rng.normal(size=(120, 3))
    towards /= np.linalg.norm(towards, axis=1, keepdims=True)
    still_g = np.repeat(towards, 300, axis=0) + rng.normal(0, 0.002, (36_000, 3))
    gain, offset_g = np.array([1.02, 0.97, 1.01]), np.array([0.03, -0.02, 0.015])
    found = autocalibration(still_g / gain - offset_g, 30.0)
    np.testing.assert_allclose(found.gain, gain, atol=1e-3)
    np.testing.assert_allclose(found.offset_g, offset_g, atol=1e-3)
    assert found.error_before_mg > 20
    assert found.error_after_mg < 1
    with pytest.raises(CoverageError, match="both sides"):
        autocalibration(np.tile([0.0, 0.0, 1.0], (9000, 1)), 30.0)


@pytest.mark.parametrize("rate_hz", [25.0, 50.0, 100.0])
@pytest.mark.parametrize("cadence_hz", [1.4, 1.8, 2.5])
def test_steps_of_a_walk_and_of_rest(rate_hz: float, cadence_hz: float) -> None:
    t = np.arange(round(rate_hz * 180)) / rate_hz
    walks = (t >= 60) & (t < 120)
    z = 1 + walks * 0.25 * np.sin(2 * np.pi * cadence_hz * t)
    noise = np.random.default_rng(4).normal(0, 0.01, (len(t), 3))
    steps = steps_of(np.column_stack([np.zeros_like(t), np.zeros_like(t), z]) + noise, rate_hz)
    assert steps[[0, 2]].max() <= 1
    assert steps[1] == pytest.approx(60 * cadence_hz, abs=2)
