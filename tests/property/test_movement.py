"""Laws of movement: what must not change when a sensor is turned, or a recording moved by days."""

from zoneinfo import available_timezones

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial.transform import Rotation

from features.activity import activity_table, bouts_of
from features.epochs import Epochs
from features.epochs.raw import raw_epochs
from features.epochs.wear import choi_not_worn
from features.rhythm import clocked, cosinor, is_iv, l5_m10, mean_day
from store.local_time import local_wall_ns, utc_of_local

ZONES = sorted(available_timezones())
MINUTE_NS = 60_000_000_000
DAY = 1440
signals = arrays.arrays(np.float64, (200, 3), elements=st.floats(-3, 3, width=32))
days_of_counts = arrays.arrays(np.float64, (4 * 24,), elements=st.floats(0, 5000, width=32))


def hourly(values: np.ndarray, first_h: int = 0) -> Epochs:
    starts_ns = 60 * MINUTE_NS * (first_h + np.arange(len(values)))
    return Epochs(starts_ns, 3600.0, {"counts": values}, "counts")


@given(signals, st.integers(0, 1000))
def test_enmo_and_mad_do_not_depend_on_how_the_sensor_lies(acc_g: np.ndarray, seed: int) -> None:
    turned = acc_g @ Rotation.random(rng=np.random.default_rng(seed)).as_matrix().T
    found, again = raw_epochs(acc_g, 20.0), raw_epochs(turned, 20.0)
    np.testing.assert_allclose(again.enmo_mg, found.enmo_mg, atol=1e-7)
    np.testing.assert_allclose(again.mad_mg, found.mad_mg, atol=1e-7)
    assert (np.abs(found.z_angle_deg) <= 90).all()


@given(days_of_counts, st.integers(-3000, 3000))
def test_a_shift_by_whole_days_changes_no_rhythm(values: np.ndarray, days: int) -> None:
    here, there = clocked(hourly(values)), clocked(hourly(values, 24 * days))
    assert str(is_iv(here)) == str(is_iv(there))
    assert str(cosinor(here)) == str(cosinor(there))


@given(days_of_counts, st.floats(0.01, 100))
def test_a_change_of_unit_changes_no_shape(values: np.ndarray, factor: float) -> None:
    here, there = clocked(hourly(values)), clocked(hourly(values * factor))
    np.testing.assert_allclose(is_iv(there), is_iv(here), rtol=1e-6)
    found, scaled = l5_m10(mean_day(here)[0]), l5_m10(mean_day(there)[0])
    np.testing.assert_allclose([scaled.l5, scaled.m10], [factor * found.l5, factor * found.m10], rtol=1e-9)


@given(days_of_counts)
def test_is_iv_and_ra_stay_in_their_ranges(values: np.ndarray) -> None:
    stability, variability = is_iv(clocked(hourly(values)))
    assert np.isnan(stability) or 0 <= stability <= 1 + 1e-9
    assert np.isnan(variability) or 0 <= variability <= 4.1
    ra = l5_m10(mean_day(clocked(hourly(values)))[0]).ra
    assert np.isnan(ra) or -1e-9 <= ra <= 1 + 1e-9


@given(arrays.arrays(np.int8, st.integers(0, 300), elements=st.integers(-1, 1)))
def test_bouts_hold_every_known_epoch_once(state: np.ndarray) -> None:
    found = bouts_of(state)
    assert int(found.of(0).sum()) == int((state == 0).sum())
    assert int(found.of(1).sum()) == int((state == 1).sum())
    assert (found.first[1:] >= found.end[:-1]).all()


@given(st.lists(st.tuples(st.integers(1, 120), st.sampled_from([0.0, 0.0, 7.0])), min_size=1, max_size=12))
def test_choi_does_not_depend_on_the_direction_of_time(parts: list[tuple[int, float]]) -> None:
    counts = np.concatenate([np.full(length, value) for length, value in parts])
    np.testing.assert_array_equal(choi_not_worn(counts, 60.0), choi_not_worn(counts[::-1], 60.0)[::-1])


@given(
    st.sampled_from(ZONES),
    st.integers(0, 60 * 365 * 24 * 60),
    st.integers(3, 200),
)
def test_a_clock_on_the_wall_of_any_zone_is_read_back(zone: str, first_min: int, halves: int) -> None:
    t_ns = MINUTE_NS * (first_min - first_min % 30 + 30 * np.arange(halves))
    wall = local_wall_ns(t_ns, zone)
    again, notes = utc_of_local(wall, zone)
    if not notes and (np.diff(again) > 0).all():
        np.testing.assert_array_equal(local_wall_ns(again, zone), wall)
        begins_in_doubt = again[0] != t_ns[0]
        assert begins_in_doubt or (again == t_ns).all()


@given(st.sampled_from(ZONES), st.integers(0, 55 * 365))
def test_days_of_any_zone_hold_every_epoch_once(zone: str, first_day: int) -> None:
    starts_ns = first_day * DAY * MINUTE_NS + 30 * MINUTE_NS * np.arange(48 * 4)
    epochs = Epochs(starts_ns, 1800.0, {"counts": np.ones(48 * 4)}, "counts", zone)
    table = activity_table(epochs, active=1.0, min_wear_frac=0.0)
    assert float(table.values["tac"].sum()) == 48 * 4
    assert (table.wear_frac <= 1 + 1e-9).all()
