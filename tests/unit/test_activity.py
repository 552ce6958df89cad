"""Activity of days: against arctools, by hand, through a change of clocks, withheld where little is worn."""

import numpy as np
import pytest

from features.activity import ACTIVITY_SPECS, activity_table, bouts_of, intensity_gradient, thresholds_of
from features.epochs import Epochs, read_epochs
from features.epochs.wear import Wear, WearState, wear
from store.times import parse_time_ns
from tests.conftest import SHARED

DAY = 1440


def recording(
    values: np.ndarray, first: str = "2026-03-01T00:00:00Z", zone: str = "UTC", **more: np.ndarray
) -> Epochs:
    starts_ns = parse_time_ns(first, "test") + 60_000_000_000 * np.arange(len(values))
    return Epochs(starts_ns, 60.0, {"vectormagnitude": values, **more}, "vectormagnitude", zone, "actigraph")


def all_worn(epochs: Epochs) -> Wear:
    return Wear(np.where(epochs.is_recorded, WearState.WORN, WearState.UNKNOWN).astype(np.int8), "choi")


def test_arctools_published_numbers() -> None:
    path = SHARED / "data" / "actigraph_60s" / "TAS1D47140221_2018-11-30_60sec.csv.gz"
    if not path.exists():
        pytest.skip(f"no real recording: {path} is not there")
    epochs = read_epochs(path, "UTC", column="vectormagnitude")
    table = activity_table(epochs, wear(epochs), active=1853)
    assert int(table.is_valid.sum()) == 4
    record = table.record
    assert record["tac"] == pytest.approx(2_826_648, abs=0.5)
    assert record["tlac"] == pytest.approx(6429.838, abs=5e-4)
    assert (record["active_min"], record["active_bouts"], record["sedentary_bouts"]) == (499.5, 89, 89.5)
    assert record["astp"] == pytest.approx(0.1781782, abs=5e-8)
    assert record["satp"] == pytest.approx(0.0951622, abs=6e-8)


def test_bouts_run_across_midnight_between_valid_days_alone() -> None:
    x = np.zeros(3 * DAY)
    x[[100, DAY + 100, 2 * DAY + 100]] = 5000
    epochs = recording(x)
    together = activity_table(epochs, all_worn(epochs), active=1853).record
    assert together["sedentary_bouts"] * 3 == 4
    x[DAY + 200 : DAY + 400] = np.nan
    broken = recording(x)
    apart = activity_table(broken, all_worn(broken), active=1853)
    assert apart.is_valid.tolist() == [True, False, True]
    assert apart.record["sedentary_bouts"] * 2 == 4
    assert "worn 0.86 of the day, 0.9 needed" in apart.refusal(1)
    assert np.isnan(apart.values["tac"][1])


def test_values_of_a_day_by_hand() -> None:
    x = np.zeros(DAY)
    x[10:15], x[20:32], x[40] = 2000.0, 3000.0, 10.0
    epochs = recording(x, steps=np.full(DAY, 2.0))
    table = activity_table(epochs, all_worn(epochs))
    found = {name: float(values[0]) for name, values in table.values.items()}
    assert found["steps"] == 2880
    assert found["tac"] == 5 * 2000 + 12 * 3000 + 10
    assert found["tlac"] == pytest.approx(5 * np.log(2001) + 12 * np.log(3001) + np.log(11))
    assert (found["active_min"], found["active_bouts"], found["sedentary_bouts"]) == (17, 2, 3)
    assert (found["mvpa_min"], found["mvpa_bouted_min"]) == (12, 12)
    assert (found["longest_sedentary_min"], found["mean_active_bout_min"]) == (DAY - 32, 8.5)
    assert found["astp"] == 2 / 17
    assert found["satp"] == 3 / (DAY - 17)
    assert set(found) == {spec.name for spec in ACTIVITY_SPECS}


@pytest.mark.parametrize(("first", "hours"), [("2026-03-28T23:00:00Z", 23), ("2026-10-24T22:00:00Z", 25)])
def test_a_day_that_changes_clocks_is_as_long_as_it_is(first: str, hours: int) -> None:
    epochs = recording(np.full(hours * 60, 7.0), first, "Europe/Berlin")
    table = activity_table(epochs, all_worn(epochs))
    assert len(table.days) == 1
    assert table.wear_frac[0] == pytest.approx(1.0)
    assert table.values["wear_min"][0] == hours * 60


def test_a_charger_is_in_no_sum() -> None:
    x = np.full(DAY, 2000.0)
    epochs = recording(x)
    state = np.full(DAY, WearState.WORN, np.int8)
    state[:60] = WearState.CHARGING
    table = activity_table(epochs, Wear(state, "choi"))
    assert table.record["tac"] == (DAY - 60) * 2000
    assert table.record["wear_min"] == DAY - 60


def test_nothing_worn_is_withheld_and_a_device_without_bounds_says_so() -> None:
    epochs = recording(np.zeros(DAY))
    empty = activity_table(epochs)
    assert all(np.isnan(value) for value in empty.record.values())
    assert "no day was worn" in empty.record_refusal()
    starts_ns = epochs.start_ns
    other = Epochs(starts_ns, 60.0, {"counts": np.ones(DAY)}, "counts", device="actiwatch")
    table = activity_table(other)
    assert np.isnan(table.record["active_min"])
    assert "--active-threshold" in table.record_refusal()
    assert activity_table(other, active=1.0).record["active_min"] == DAY


def test_bounds_are_per_minute_for_sums_and_plain_for_means() -> None:
    half = np.arange(10) * 30_000_000_000
    counted = Epochs(half, 30.0, {"axis1": np.ones(10)}, "axis1", device="actigraph")
    assert thresholds_of(counted).active == 50
    assert thresholds_of(Epochs(half, 30.0, {"enmo_mg": np.ones(10)}, "enmo_mg")).moderate == 100.6


def test_intensity_gradient_of_a_power_law() -> None:
    middles = 12.5 + 25 * np.arange(20)
    minutes = np.round(1e7 * middles**-2.0)
    slope, intercept, r2 = intensity_gradient(np.repeat(middles, minutes.astype(int)), 1.0)
    assert slope == pytest.approx(-2, abs=0.01)
    assert intercept == pytest.approx(np.log(1e7), abs=0.05)
    assert r2 > 0.999
    assert np.isnan(intensity_gradient(np.zeros(5), 1.0)).all()


def test_unknown_epochs_are_in_no_bout_and_end_one() -> None:
    found = bouts_of(np.array([-1, 0, 0, -1, 0, 1, 1], np.int8))
    assert found.of(0).tolist() == [2, 1]
    assert found.of(1).tolist() == [2]
