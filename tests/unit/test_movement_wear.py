"""Wear by each rule: a device in a drawer, on a charger, on a still sleeper, and where nothing tells."""

import numpy as np
import pytest

from features.epochs import Epochs, read_epochs
from features.epochs.wear import RULES, WearState, choi_not_worn, long_zero_runs, usual_rule, wear
from store.errors import ConfigError
from tests.conftest import SHARED, START_NS


def minutes(device: str = "", **columns: np.ndarray) -> Epochs:
    length = len(next(iter(columns.values())))
    starts_ns = START_NS + 60_000_000_000 * np.arange(length)
    return Epochs(starts_ns, 60.0, columns, next(iter(columns)), device=device)


def counts(*parts: tuple[int, float]) -> np.ndarray:
    return np.concatenate([np.full(length, float(value)) for length, value in parts])


@pytest.mark.parametrize(
    ("parts", "off"),
    [
        ([(30, 9), (90, 0), (30, 9)], 90),
        ([(30, 9), (89, 0), (30, 9)], 0),
        (
            [(30, 9), (45, 0), (2, 50), (43, 0), (30, 9)],
            90,
        ),  # two minutes of artefact, 30 still before and after
        ([(30, 9), (45, 0), (3, 50), (45, 0), (30, 9)], 0),  # three are movement
        ([(30, 9), (80, 0), (2, 50), (29, 0), (1, 5), (50, 0), (30, 9)], 0),  # not still for 30 min after
        ([(30, 9), (80, 0), (10, np.nan), (80, 0), (30, 9)], 0),  # a gap is not zeros
        ([(200, 0)], 200),
    ],
)
def test_choi(parts: list[tuple[int, float]], off: int) -> None:
    assert int(choi_not_worn(counts(*parts), 60.0).sum()) == off


def test_choi_in_shorter_epochs_is_the_same_time() -> None:
    parts = [(30, 9), (45, 0), (2, 50), (43, 0), (30, 9)]
    assert int(choi_not_worn(counts(*[(4 * n, v) for n, v in parts]), 15.0).sum()) == 4 * 90


def test_choi_on_a_real_week() -> None:
    path = SHARED / "data" / "actigraph_60s" / "TAS1D47140221_2018-11-30_60sec.csv.gz"
    if not path.exists():
        pytest.skip(f"no real recording: {path} is not there")
    epochs = read_epochs(path, "UTC", column="vectormagnitude")
    assert usual_rule(epochs) == "choi"
    assert int(wear(epochs).is_worn.sum()) == 9233


def test_five_hours_of_zeros_are_never_rest() -> None:
    x = counts((10, 5), (299, 0), (10, 5), (300, 0), (10, 5))
    assert np.flatnonzero(long_zero_runs(x, 60.0))[[0, -1]].tolist() == [319, 618]
    state = wear(minutes("actiwatch", counts=x)).state
    assert int((state == WearState.NOT_WORN).sum()) == 300


def test_gaps_are_unknown_and_a_charger_is_a_charger() -> None:
    x = counts((100, 5), (20, np.nan), (100, 5))
    charging = counts((200, 0), (20, 1))
    state = wear(minutes("actigraph", counts=x, is_charging=charging)).state
    assert (state[100:120] == WearState.UNKNOWN).all()
    assert (state[200:] == WearState.CHARGING).all()
    assert int((state == WearState.WORN).sum()) == 180


def test_pulse_lapses_are_wear_and_its_absence_is_none() -> None:
    heart = counts((60, 60), (10, np.nan), (60, 60), (30, 0), (60, 60))
    state = wear(minutes(steps=np.zeros(220), heart_rate_bpm=heart)).state
    assert (state[:130] == WearState.WORN).all()
    assert (state[130:160] == WearState.NOT_WORN).all()


def test_steps_tell_a_lost_day_but_not_a_night() -> None:
    state = wear(minutes(steps=counts((10, 5), (9 * 60, 0), (10, 5), (17 * 60, 0)))).state
    assert (state[:560] == WearState.WORN).all()
    assert (state[570:] == WearState.UNKNOWN).all()


def test_epochs_with_spread_and_angle() -> None:
    sd_mg = counts((120, 40), (180, 3))
    state = wear(minutes(enmo_mg=np.ones(300), sd_mg=sd_mg, z_angle_deg=np.zeros(300))).state
    assert (state[:90] == WearState.WORN).all()
    assert (state[180:] == WearState.NOT_WORN).all()
    turned = np.where(np.arange(300) % 50 < 25, 0.0, 5.0)
    assert (wear(minutes(enmo_mg=np.ones(300), sd_mg=sd_mg, z_angle_deg=turned)).is_worn).all()


def test_a_rule_that_does_not_exist_or_apply_is_refused() -> None:
    plain = minutes(counts=np.ones(9))
    with pytest.raises(ConfigError, match="guess"):
        wear(plain, "guess")
    for rule in ("heart_rate", "accelerometer"):
        with pytest.raises(ConfigError, match="needs"):
            wear(plain, rule)
    assert set(RULES) >= {wear(plain).rule}
