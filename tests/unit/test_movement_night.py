"""Sleep, wear and activity of one night: of counts, the angle of the arm, the wearable's own stages."""

import itertools
from datetime import date, timedelta

import numpy as np
import pytest

from features.epochs.wear import WearState
from features.movement.specs import MOVEMENT_FAMILIES, MOVEMENT_FEATURES, names_of
from features.sleep.angle import sustained_inactivity
from store.nights import local_ns, night_bounds_ns
from store.streams import ACTIVITY_EPOCH, BATTERY, LINK_STATE, RR_INTERVAL
from store.timeseries import Samples
from store.units import NS_PER_S
from tests.movement import MINUTE_NS, ZONE, minutes, night, samples, somebody, stages, steps

MONDAY = date(2026, 3, 9)
TUESDAY = date(2026, 3, 10)
H_NS = 3600 * NS_PER_S


def counted(first: date = MONDAY - timedelta(days=1), days: int = 4, **more) -> dict[str, Samples]:
    return {"activity_epoch": minutes(*somebody(first, days, **more))}


def test_every_value_is_there_or_says_why():
    for found in (night(counted(), TUESDAY), night({}, TUESDAY), night(counted(days=2), TUESDAY)):
        names = {spec.name for spec in MOVEMENT_FEATURES if spec.family not in {"rhythm", "regularity"}}
        assert set(found.values) == names
        assert {name for name, value in found.values.items() if np.isnan(value)} == set(found.why)
        assert all(found.why.values())
    assert {spec.family for spec in MOVEMENT_FEATURES} == set(MOVEMENT_FAMILIES)


def test_counts_of_a_known_maker_are_scored():
    found = night(counted(), TUESDAY)
    assert (found.source, found.minutes.scorer, found.minutes.movement) == (
        "roenneberg",
        "cole_kripke",
        "counts",
    )
    assert found.values["onset_h"] == pytest.approx(23.0, abs=0.25)
    assert found.values["offset_h"] == pytest.approx(7.0, abs=0.25)
    assert found.values["tst_min"] == pytest.approx(480, abs=25)
    assert found.values["tib_min"] >= found.values["spt_min"] >= found.values["tst_min"]
    assert found.values["se_pct"] == pytest.approx(100 * found.values["tst_min"] / found.values["tib_min"])
    assert found.why["sol_min"] == "nothing tells when somebody went to bed"
    assert found.values["wear_min"] == 1440
    assert found.values["naps"] == 0


def test_counts_of_an_unknown_scale_give_the_period_and_no_minutes_asleep():
    found = night(counted(), TUESDAY, model="Nobody's band")
    assert found.values["onset_h"] == pytest.approx(23.0, abs=0.25)
    assert {"tst_min", "waso_min", "se_pct", "awakenings"} <= set(found.why)
    assert "the scale of these counts is not known" in found.why["tst_min"]
    assert "no bound is published for this counts" in found.why["mvpa_min"]


def test_the_same_whatever_else_was_recorded():
    """Later and earlier days, and how many, change nothing of a night that was seen whole."""
    long = night({"activity_epoch": minutes(*somebody(MONDAY - timedelta(days=6), 14))}, TUESDAY)
    start_ns, counts = somebody(MONDAY - timedelta(days=6), 14)
    skipped = 4 * 1440
    short = night(
        {"activity_epoch": minutes(start_ns + skipped * MINUTE_NS, counts[skipped : skipped + 6 * 1440])},
        TUESDAY,
    )
    assert long.values == pytest.approx(short.values, nan_ok=True, abs=0)
    assert np.array_equal(long.minutes.stage, short.minutes.stage)


def test_sleep_by_day_is_of_the_date_on_which_it_ends():
    found = night(counted(asleep_h=(8.5, 15.5)), TUESDAY)
    assert found.values["onset_h"] == pytest.approx(8.5, abs=0.25)
    assert found.values["offset_h"] == pytest.approx(15.5, abs=0.25)


def test_a_night_that_is_cut_off_is_withheld():
    start_ns, counts = somebody(MONDAY, 3)
    late = 23 * 60 + 30
    found = night({"activity_epoch": minutes(start_ns + late * MINUTE_NS, counts[late:])}, TUESDAY)
    assert found.why["tst_min"] == "it begins where recording or wear begins"
    nothing = night({"activity_epoch": minutes(start_ns, counts[:600])}, TUESDAY)
    assert nothing.why["tst_min"].startswith("no main sleep that ends on this date; ")


def test_five_hours_of_zeros_are_not_worn_and_never_sleep():
    start_ns, counts = somebody(MONDAY, 3)
    counts[22 * 60 : 33 * 60] = 0.0
    found = night({"activity_epoch": minutes(start_ns, counts)}, TUESDAY)
    assert found.values["not_worn_min"] == pytest.approx(660, abs=60)
    assert np.isnan(found.values["tst_min"])
    assert not (found.minutes.stage[10 * 60 : 20 * 60] > 0).any()


@pytest.mark.parametrize("counts", [0.0, 400.0])
def test_all_zero_and_never_zero(counts):
    found = night({"activity_epoch": minutes(local_ns(MONDAY, 0, ZONE), np.full(3 * 1440, counts))}, TUESDAY)
    assert np.isnan(found.values["tst_min"])
    assert found.values["wear_min"] == (0 if counts == 0 else 1440)


def test_wear_charging_and_unknown_are_told_apart():
    start_ns, counts = somebody(MONDAY, 3)
    noon_ns = local_ns(MONDAY, 12, ZONE)
    counts[14 * 60 : 16 * 60] = np.nan  # charged, and an hour of which nothing is known
    held = {"activity_epoch": minutes(start_ns, counts)}
    held["battery"] = samples(BATTERY, noon_ns + np.array([2, 3]) * H_NS, level_pct=np.array([20.0, 90.0]))
    held["link_state"] = samples(
        LINK_STATE,
        noon_ns + np.array([5, 6]) * H_NS,
        state=np.array(["off_body", "on_body"], object),
        reason=np.array(["", ""], object),
    )
    found = night(held, TUESDAY).values
    assert [found[name] for name in ("charging_min", "unknown_min", "not_worn_min", "wear_min")] == [
        60,
        60,
        60,
        1260,
    ]


def test_a_pulse_outweighs_a_still_hand():
    start_ns, counts = somebody(MONDAY, 3)
    counts[22 * 60 : 33 * 60] = 0.0
    beats_ns = start_ns + np.arange(22 * 60, 33 * 60) * MINUTE_NS
    held = {
        "activity_epoch": minutes(start_ns, counts),
        "rr_interval": samples(RR_INTERVAL, beats_ns, rr_ms=np.full(len(beats_ns), 1000.0)),
    }
    found = night(held, TUESDAY)
    assert found.values["not_worn_min"] == 0
    assert found.values["tst_min"] > 400


def test_the_wearables_own_sleep_is_passed_through():
    bed_ns = local_ns(MONDAY, 23, ZONE)
    held = counted() | {
        "sleep_stage": stages(
            bed_ns, ("awake", 10), ("light", 180), ("deep", 90), ("awake", 20), ("rem", 100)
        )
    }
    found = night(held, TUESDAY)
    assert (found.source, found.minutes.scorer) == ("vendor", "vendor")
    values = {
        name: found.values[name] for name in ("tib_min", "tst_min", "sol_min", "waso_min", "awakenings")
    }
    assert values == {"tib_min": 400, "tst_min": 370, "sol_min": 10, "waso_min": 20, "awakenings": 1}
    assert [found.values[n] for n in names_of("stages")] == [180, 90, 270, 100]
    assert found.minutes.stage[11 * 60 + 15] == 2  # light
    assert found.minutes.stage[60] == 0  # worn and awake


def test_a_split_sleep_is_a_night_and_a_nap():
    bed_ns = local_ns(TUESDAY, 0, ZONE)
    night_ns, nap_ns = bed_ns, bed_ns + 15 * H_NS
    both = stages(night_ns, ("asleep", 300)), stages(nap_ns, ("asleep", 90))
    t_ns = np.concatenate([each.t_ns for each in both])
    joined = samples(
        both[0].stream,
        t_ns,
        "R",
        stage=np.array(["asleep", "asleep"], object),
        duration_s=np.array([18_000.0, 5_400.0]),
    )
    found = night(counted() | {"sleep_stage": joined}, TUESDAY).values
    assert (found["tst_min"], found["naps"], found["nap_min"]) == (300, 1, 90)


def arm(first: date, days: int, asleep_h: tuple[float, float] = (23.0, 7.0)) -> Samples:
    """Epochs of 5 s of an arm that lies still for a quarter of an hour or so while asleep, and else never."""
    rng = np.random.default_rng(1)
    start_ns = local_ns(first, 0, ZONE)
    count = days * 17_280
    angle = rng.uniform(-70, 70, count)
    sd_mg = rng.uniform(20, 80, count)
    for day, quarter in itertools.product(range(-1, days), range(int((asleep_h[1] - asleep_h[0]) % 24 * 4))):
        low = round((day * 24 + asleep_h[0] + quarter / 4) * 720)
        part = slice(max(low, 0), max(low + 180, 0))
        size = len(angle[part])
        angle[part] = rng.uniform(-70, 70) + rng.normal(0, 0.05, size)
        sd_mg[part] = 3.0
    t_ns = start_ns + np.arange(count, dtype=np.int64) * 5 * NS_PER_S
    return samples(
        ACTIVITY_EPOCH,
        t_ns,
        epoch_s=np.full(count, 5.0),
        enmo_mg=sd_mg / 2,
        z_angle_deg=angle,
        sd_mg=sd_mg,
    )


def test_the_angle_of_a_wrist_is_scored():
    found = night({"activity_epoch": arm(MONDAY, 3)}, TUESDAY, model="Polar Verity Sense")
    assert (found.source, found.minutes.scorer, found.minutes.movement) == ("hdcza", "van_hees", "enmo_mg")
    assert found.values["onset_h"] == pytest.approx(23.0, abs=0.2)
    assert found.values["tst_min"] == pytest.approx(480, abs=15)
    assert "HDCZA finds one period" in found.why["naps"]
    by_day = night({"activity_epoch": arm(MONDAY, 3, (8.0, 15.0))}, TUESDAY, model="Polar Verity Sense")
    assert by_day.values["onset_h"] == pytest.approx(8.0, abs=0.2)
    assert by_day.values["offset_h"] == pytest.approx(15.0, abs=0.2)


def test_the_angle_of_a_chest_is_not():
    found = night({"activity_epoch": arm(MONDAY, 3)}, TUESDAY, model="Polar Electro Oy Polar H10")
    assert "is worn on the chest" in found.why["tst_min"]
    assert np.isfinite(found.values["tac"])


def test_sustained_inactivity_by_hand():
    angle = np.concatenate([np.zeros(61), np.full(60, 6.0), [np.nan], np.full(30, 6.0)])
    stage = sustained_inactivity(angle, 5.0)
    # 61 epochs of which the first has no predecessor: 60 steps of 5 s are not longer than 5 min.
    assert stage[:61].tolist() == [0] * 61
    assert stage[121] == -1
    assert sustained_inactivity(np.zeros(62), 5.0)[1:].tolist() == [1] * 61


def test_steps_are_of_the_local_day_before():
    start_ns = local_ns(MONDAY, 0, ZONE)
    ends_ns = start_ns + np.arange(1, 2 * 96 + 1, dtype=np.int64) * 900 * NS_PER_S
    per_quarter = np.where(np.arange(192) < 96, 100.0, 7.0)
    found = night({"step_count": steps(ends_ns, per_quarter, 900.0)}, TUESDAY).values
    assert found["steps"] == 9600
    later = night({"step_count": steps(ends_ns, per_quarter, 900.0)}, TUESDAY + timedelta(days=1)).values
    assert later["steps"] == 96 * 7
    half = night({"step_count": steps(ends_ns[48:], per_quarter[48:], 900.0)}, TUESDAY)
    assert half.why["steps"] == "steps were counted in 50 % of the day before, 67 % needed; check wear"


def test_steps_that_stay_zero_for_sixteen_hours_are_unknown():
    ends_ns = local_ns(MONDAY, 0, ZONE) + np.arange(1, 3 * 1440 + 1, dtype=np.int64) * MINUTE_NS
    found = night({"step_count": steps(ends_ns, np.zeros(len(ends_ns)), 60.0)}, TUESDAY)
    assert np.isnan(found.values["steps"])
    assert found.values["unknown_min"] == 1440


@pytest.mark.parametrize("morning", [date(2026, 3, 29), date(2026, 10, 25)])
def test_nights_in_which_clocks_change_have_their_hours(morning):
    found = night({"activity_epoch": minutes(*somebody(morning - timedelta(days=2), 4))}, morning)
    start_ns, end_ns = night_bounds_ns(morning, ZONE)
    assert len(found.minutes) == (end_ns - start_ns) // MINUTE_NS
    assert found.values["wear_min"] == len(found.minutes)
    assert found.values["tst_min"] == pytest.approx(480, abs=25)
    assert set(found.minutes.wear.tolist()) == {WearState.WORN}


def test_an_arm_on_a_table_is_not_worn_and_a_still_hour_of_sleep_is():
    held = arm(MONDAY, 3)
    sd_mg, deg = held["sd_mg"].copy(), held["z_angle_deg"].copy()
    noon = 12 * 720
    table, still_hour = slice(noon + 720, noon + 3 * 720), slice(noon + 14 * 720, noon + 15 * 720)
    for part in (table, still_hour):
        sd_mg[part], deg[part] = 2.0, 10.0
    values = dict(held.values) | {"sd_mg": sd_mg, "z_angle_deg": deg}
    changed = Samples(held.stream, held.t_ns, held.sensors, held.sensor_index, values)
    found = night({"activity_epoch": changed}, TUESDAY, model="Polar Verity Sense")
    assert (found.minutes.wear[70:170] == WearState.NOT_WORN).all()
    assert (found.minutes.wear[10 * 60 : 20 * 60] == WearState.WORN).all()
    assert found.values["tst_min"] > 400
