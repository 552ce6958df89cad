"""What a night says beyond its windows' means, by hand-made nights."""

from dataclasses import replace
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from configs.settings import FeatureSettings
from features.hrv import HRV_SPECS, hrv_table, segments_between
from features.job import run_features
from features.movement.night import MovementNight
from features.movement.specs import MOVEMENT_FEATURES
from features.nights import NIGHT_STREAM, NightData, NightRow, night_row
from features.nn import nn_from_rr
from features.nocturnal import week_values
from features.windows import WINDOW_FEATURES, Windows, windows_of
from store.nights import local_ns, night_bounds_ns
from store.streams import ACTIVITY_EPOCH, PP_INTERVAL, RR_INTERVAL
from store.timeseries import Batch
from store.types import RrSeries
from store.units import NS_PER_S
from tests import movement as moving

ZONE = "Europe/Berlin"
NIGHT = date(2026, 3, 10)
SPAN = night_bounds_ns(NIGHT, ZONE)
WINDOW_NS = 300 * NS_PER_S
MIDNIGHT = 144
"""Windows from noon to midnight."""


def windows(bpm: np.ndarray, rmssd_ms: np.ndarray | float = 40.0, start_ns: int = SPAN[0]) -> Windows:
    t_ns = start_ns + WINDOW_NS * np.arange(len(bpm), dtype=np.int64)
    values = {name: np.full(len(bpm), np.nan) for name in WINDOW_FEATURES}
    values |= {"mean_hr_bpm": bpm, "rmssd_ms": np.broadcast_to(rmssd_ms, bpm.shape).astype(float)}
    count = np.full(len(bpm), 300)
    return Windows(t_ns, values, np.ones(len(bpm)), count, count)


def at(first: int, count: int, bpm: float = 60.0, rmssd_ms: np.ndarray | float = 40.0) -> Windows:
    """Some windows of the night, the first by its number from noon."""
    return windows(np.full(count, bpm), rmssd_ms, SPAN[0] + first * WINDOW_NS)


def row(
    of: Windows, night: date = NIGHT, settings: FeatureSettings | None = None, **more: object
) -> NightRow:
    data = NightData(night_bounds_ns(night, ZONE), {"A": (of, 300 * len(of))})
    return night_row("S1", night, ZONE, replace(data, **more), settings or FeatureSettings())


def motion(first: int, enmo_mg: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Epochs of 5 s from a window on, one value for all those of a window."""
    start_ns = SPAN[0] + first * WINDOW_NS
    t_ns = start_ns + 5 * NS_PER_S * np.arange(60 * len(enmo_mg), dtype=np.int64)
    return t_ns, np.repeat(np.array(enmo_mg), 60)


@pytest.mark.parametrize(
    ("night", "zone"),
    [
        (NIGHT, ZONE),
        (date(2026, 3, 29), ZONE),
        (date(2026, 10, 25), ZONE),
        (date(2026, 4, 5), "Australia/Lord_Howe"),
    ],
    ids=["no change", "spring", "autumn", "half an hour"],
)
def test_a_cosine_of_the_clock_is_found_again(night, zone):
    span_ns = night_bounds_ns(night, zone)
    middle_s = np.arange(span_ns[0], span_ns[1], WINDOW_NS) / NS_PER_S + 150
    shown = [datetime.fromtimestamp(s, UTC).astimezone(ZoneInfo(zone)) for s in middle_s]
    clock_h = np.array([each.hour + each.minute / 60 + each.second / 3600 for each in shown])
    day = windows(65 + 8 * np.cos(2 * np.pi * (clock_h - 15.5) / 24), start_ns=span_ns[0])
    data = NightData(span_ns, {"A": (day, 90_000)})
    found = night_row("S1", night, zone, data, FeatureSettings())
    assert found.values["hr_mesor_bpm"] == pytest.approx(65, abs=1e-9)
    assert found.values["hr_amplitude_bpm"] == pytest.approx(8, abs=1e-9)
    assert found.values["hr_acrophase_h"] == pytest.approx(15.5, abs=1e-9)
    assert found.values["hr_cosinor_r2"] == pytest.approx(1)
    assert not {"hr_mesor_bpm", "hr_acrophase_h"} & set(found.withheld_more.replace(",", "").split())


def test_the_fall_at_night_compares_with_the_rest_of_the_day():
    bpm = np.full(288, 72.0)
    bpm[MIDNIGHT : MIDNIGHT + 72] = 54
    found = row(windows(bpm))
    assert found.values["hr_dip_pct"] == pytest.approx(25)
    assert found.values["lowest_hr_bpm"] == 54


@pytest.mark.parametrize(
    ("at_night", "by_day", "shown"), [(27, 45, "both"), (26, 45, ""), (27, 44, "lowest")]
)
def test_the_nocturnal_hours_and_the_others_are_each_measured_by_their_own_length(at_night, by_day, shown):
    """From 22 to 7 o'clock there are 108 windows, and 180 besides."""
    bpm = np.full(288, np.nan)
    bpm[120 : 120 + at_night] = 50
    bpm[:by_day] = 70
    found = row(windows(bpm), settings=FeatureSettings(night_start_h=22, night_end_h=7))
    assert np.isfinite(found.values["lowest_hr_bpm"]) == (shown != "")
    assert np.isfinite(found.values["hr_dip_pct"]) == (shown == "both")
    if shown == "lowest":
        assert "hr_dip_pct withheld for S1, night 2026-03-10: heart rate in 24 % of the windows of" in (
            found.withheld_more
        )


def test_a_strap_worn_at_night_only_has_no_rhythm_and_says_so():
    found = row(at(MIDNIGHT, 72))
    assert found.values["lowest_hr_bpm"] == 60
    assert np.isnan([found.values[name] for name in ("hr_dip_pct", "hr_mesor_bpm", "hr_acrophase_h")]).all()
    assert (
        "hr_mesor_bpm, hr_amplitude_bpm, hr_acrophase_h, hr_cosinor_r2 withheld for S1, night 2026-03-10: "
        "heart rate in 0 % of the windows of the emptiest quarter of the day, 25 % needed; check wear"
    ) in found.withheld_more


def test_a_constant_heart_rate_has_a_level_but_no_peak():
    found = row(windows(np.full(288, 60.0)))
    assert (found.values["hr_mesor_bpm"], found.values["hr_amplitude_bpm"]) == (60, 0)
    assert np.isnan(found.values["hr_acrophase_h"])
    assert (
        "hr_acrophase_h, hr_cosinor_r2 withheld for S1, night 2026-03-10: undefined, for the heart rate is "
        "the same in all 288 windows, a change needed; check wear"
    ) in found.withheld_more


def test_the_least_moving_third_is_taken():
    enmo_mg = [9.0, 1, 8, 2, 7, 3, 6, 5, 4] * 2
    found = row(at(MIDNIGHT, 18, rmssd_ms=np.tile(np.arange(9) * 10.0, 2)), motion=motion(MIDNIGHT, enmo_mg))
    assert found.values["rmssd_still_ms"] == pytest.approx(np.mean([10, 30, 50]))
    assert found.values["mean_hr_still_bpm"] == 60


def test_stillness_needs_a_quarter_of_the_night_with_movement_and_beats():
    found = row(at(MIDNIGHT, 24), motion=motion(MIDNIGHT, [1.0] * 17))
    assert np.isfinite(found.values["rmssd_ms"])
    assert np.isnan([found.values["rmssd_still_ms"], found.values["mean_hr_still_bpm"]]).all()
    assert (
        "rmssd_still_ms, mean_hr_still_bpm withheld for S1, night 2026-03-10: 23 % of the nocturnal windows "
        "valid and with movement, 25 % needed; check wear"
    ) in found.withheld_more


def test_what_was_never_recorded_is_said_in_a_few_words():
    found = row(at(MIDNIGHT, 72))
    assert "mean_hr_still_bpm withheld for S1, night 2026-03-10: no movement recorded" in found.withheld_more
    assert (
        "prv_ln_rmssd withheld for S1, night 2026-03-10: no pulse intervals recorded" in found.withheld_more
    )
    assert "mean_hr_asleep_bpm withheld for S1, night 2026-03-10: sleep is not scored" in found.withheld_more
    nobody = row(at(MIDNIGHT, 72), movement=moving.night({}, NIGHT))
    assert (
        "sleep is not scored: no movement recorded, and the wearable scored no sleep" in nobody.withheld_more
    )
    assert "recorded" not in found.withheld
    assert np.isnan(found.prv_coverage_frac)


def test_every_missing_value_has_a_reason():
    found = row(at(MIDNIGHT, 20), motion=motion(MIDNIGHT, [1.0]), pulse={"B": at(MIDNIGHT, 9)})
    said = found.withheld + found.withheld_more
    week = {"ln_rmssd_7d", "ln_rmssd_cv_7d_pct"}  # the job adds them
    week |= {spec.name for spec in MOVEMENT_FEATURES}  # theirs are tested with them
    missing = {name for name, value in found.values.items() if np.isnan(value)} - week
    assert {name for name in missing if name not in said} == set()
    assert "% of the nocturnal windows with valid pulse intervals, 25 % needed; check wear" in said


def test_the_share_of_valid_pulse_windows_is_told():
    found = row(at(MIDNIGHT, 72), pulse={"B": at(MIDNIGHT, 36)})
    assert found.prv_coverage_frac == 0.5
    assert found.values["prv_rmssd_ms"] == 40


def slept(start_ns, end_ns) -> MovementNight:
    return replace(moving.night({}, NIGHT), asleep=(start_ns, end_ns), source="hdcza")


def test_only_windows_wholly_inside_sleep_are_asleep():
    rmssd_ms = np.where(np.arange(72) < 12, 20.0, 60.0)
    rmssd_ms[12] = 1000  # half of it awake
    start_ns = SPAN[0] + MIDNIGHT * WINDOW_NS
    late_ns = start_ns + 20 * WINDOW_NS
    ends = [start_ns + 7 * WINDOW_NS + 1, start_ns + 12 * WINDOW_NS + WINDOW_NS // 2, late_ns + 4 * WINDOW_NS]
    asleep = (np.array([start_ns, ends[0], late_ns]), np.array(ends))
    found = row(at(MIDNIGHT, 72, rmssd_ms=rmssd_ms), movement=slept(*asleep))
    assert found.values["rmssd_asleep_ms"] == pytest.approx((12 * 20 + 4 * 60) / 16)
    assert found.values["mean_hr_asleep_bpm"] == 60
    assert "asleep" not in found.withheld_more


def test_sleep_without_beats_has_no_values():
    start_ns = SPAN[0] + MIDNIGHT * WINDOW_NS
    asleep = (np.array([start_ns]), np.array([start_ns + 72 * WINDOW_NS]))
    found = row(at(MIDNIGHT, 17), movement=slept(*asleep))
    assert np.isnan(found.values["rmssd_asleep_ms"])
    assert "23 % of the windows of sleep valid, 25 % needed; check wear" in found.withheld_more
    none = row(at(MIDNIGHT, 72), movement=slept(np.empty(0, np.int64), np.empty(0, np.int64)))
    assert "no sleep that holds 3 whole windows" in none.withheld_more


def test_a_week_needs_three_nights():
    nan = float("nan")
    values, why = week_values([3.0, nan, 3.2])
    assert np.isnan(values["ln_rmssd_7d"])
    assert why["ln_rmssd_7d"] == "2 of the last 7 nights valid, 3 needed; check wear"
    values, why = week_values([9.0, 3.0, nan, 3.2, 3.4, nan, nan, nan])
    assert values["ln_rmssd_7d"] == pytest.approx(3.2), "the eighth night back is not of this week"
    assert values["ln_rmssd_cv_7d_pct"] == pytest.approx(100 * 0.2 / 3.2)
    assert why == {}


def test_a_spread_relative_to_nothing_is_undefined():
    values, why = week_values([0.0, 0.0, 0.0])
    assert values["ln_rmssd_7d"] == 0
    assert np.isnan(values["ln_rmssd_cv_7d_pct"])
    assert why.keys() == {"ln_rmssd_cv_7d_pct"}


def test_windows_have_the_sample_entropy_of_the_table():
    t_ns, rr_ms = beats(0, 0.5, 1)
    is_worn = (t_ns < 700 * NS_PER_S) | (t_ns > 880 * NS_PER_S)  # most of one window is missing
    nn = nn_from_rr(RrSeries(t_ns[is_worn], rr_ms[is_worn]))
    found = windows_of(nn, 300)
    spec = next(each for each in HRV_SPECS if each.name == "sampen")
    table = hrv_table(nn, segments_between(nn, found.start_ns, found.start_ns + WINDOW_NS), (spec,))
    np.testing.assert_array_equal(found.values["sampen"], table.values["sampen"])
    assert np.isfinite(found.values["sampen"]).sum() >= 4
    assert np.isnan(found.values["sampen"]).any()


def beats(start_ns: int, hours_: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    rr_ms = 900 + rng.normal(0, 12, int(hours_ * 4000))
    return start_ns + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64), rr_ms


def heart(night: date, sensor: str = "A") -> Batch:
    t_ns, rr_ms = beats(local_ns(night, 0, ZONE), 6.2, night.day)
    return Batch(RR_INTERVAL, "S1", sensor, t_ns, {"rr_ms": rr_ms})


def pulse(night: date, sensor: str = "B", **columns: object) -> Batch:
    t_ns, pp_ms = beats(local_ns(night, 0, ZONE), 6.2, night.day)
    held = {"pp_ms": pp_ms, "error_ms": pp_ms * 0, "is_blocked": pp_ms * 0, "skin_contact": pp_ms * np.nan}
    return Batch(PP_INTERVAL, "S1", sensor, t_ns, held | columns)


@pytest.fixture
def run(store, registry):
    registry.people.add_subject("S1", ZONE)

    def write_and_run(*batches: Batch):
        store.write(list(batches))
        done = run_features(store, registry, FeatureSettings(), now_ns=1)
        return done, store.read(NIGHT_STREAM, "S1")

    return write_and_run


def test_a_run_writes_them_all_and_pulse_never_mixes_with_heart(run):
    batches = []
    for k in range(4):
        night = date(2026, 3, 10 + k)
        moved_ns = local_ns(night, 0, ZONE) + 5 * NS_PER_S * np.arange(6 * 720, dtype=np.int64)
        held = {name: np.full(len(moved_ns), 1.0) for name in ACTIVITY_EPOCH.column_names()}
        quick = pulse(night)
        quick_ns = local_ns(night, 0, ZONE) + np.cumsum(quick.values["pp_ms"] / 2 * 1e6).astype(int)
        halved = quick.values | {"pp_ms": quick.values["pp_ms"] / 2}
        batches += [heart(night), Batch(ACTIVITY_EPOCH, "S1", "A", moved_ns, held)]
        batches.append(replace(quick, t_ns=quick_ns, values=halved))
    _, nights = run(*batches)
    assert np.isnan(nights["ln_rmssd_7d"][:2]).all()
    assert nights["ln_rmssd_7d"][3] == pytest.approx(nights["ln_rmssd"].mean())
    assert nights["mean_hr_bpm"] == pytest.approx(66.7, abs=0.1)
    assert nights["prv_mean_hr_bpm"] == pytest.approx(133.3, abs=1.5)
    assert np.isfinite(nights["rmssd_still_ms"]).all()
    assert (nights["sampen"] > 1).all()
    assert not any(nights["withheld"])
    assert all("hr_mesor_bpm" in why for why in nights["withheld_more"])
    assert "2 of the last 7 nights with sensor A valid, 3 needed; check wear" in nights["withheld_more"][1]
    assert "7d" not in nights["withheld_more"][2]
    _, again = run()
    for name, values in again.values.items():
        if name != "job_id":
            np.testing.assert_array_equal(values, nights[name])


def test_an_optical_sensor_alone_has_a_row_of_pulse_values(run):
    done, nights = run(pulse(NIGHT))
    assert (done.nights, done.withheld, done.failed) == (1, 1, ())
    assert nights["prv_mean_hr_bpm"] == pytest.approx(66.7, abs=0.1)
    assert nights["prv_coverage_frac"] == pytest.approx(1)
    assert np.isnan(nights["mean_hr_bpm"]).all()
    assert (nights["coverage_frac"][0], nights["source_sensor"][0]) == (0, "")
    assert nights["withheld"][0] == (
        "mean_hr_bpm, mean_nn_ms, sdnn_ms, rmssd_ms, pnn50_pct withheld for S1, night 2026-03-10: "
        "no RR intervals recorded"
    )
    assert "prv_" not in nights["withheld_more"][0]


def test_nights_are_planned_from_both_streams(run):
    done, nights = run(pulse(date(2026, 3, 9)), heart(NIGHT), pulse(date(2026, 3, 12)))
    assert done.nights == 3
    assert np.isfinite(nights["prv_rmssd_ms"]).tolist() == [True, False, True]
    assert np.isfinite(nights["rmssd_ms"]).tolist() == [False, True, False]


def test_bad_pulses_cost_no_heart(run):
    pp_ms = pulse(NIGHT).values["pp_ms"].copy()
    pp_ms[100] = 0
    done, nights = run(heart(NIGHT), pulse(NIGHT, pp_ms=pp_ms))
    assert (done.nights, done.withheld, done.failed) == (1, 0, ())
    assert np.isnan(nights["prv_rmssd_ms"]).all()
    assert "pulse intervals of B cannot be used (" in nights["withheld_more"][0]
    assert "not a positive number of milliseconds" in nights["withheld_more"][0]


def test_bad_pulses_of_one_sensor_cost_none_of_another(run):
    pp_ms = pulse(NIGHT).values["pp_ms"] * 0
    _, nights = run(pulse(NIGHT, "C"), pulse(NIGHT, "B", pp_ms=pp_ms))
    assert np.isfinite(nights["prv_rmssd_ms"]).all()
    assert "pulse intervals of B cannot be used (" in nights["withheld_more"][0]


def test_bad_pulses_alone_are_a_night_that_failed(run):
    done, nights = run(pulse(NIGHT, pp_ms=pulse(NIGHT).values["pp_ms"] * 0))
    assert len(nights) == done.nights == 0
    assert "S1, night 2026-03-10: pulse intervals of B cannot be used" in done.failed[0]


def test_pulses_of_a_sensor_off_the_skin_are_left_out(run):
    whole = pulse(NIGHT)
    is_first = np.arange(len(whole)) < len(whole) / 2
    pp_ms = np.where(is_first, whole.values["pp_ms"], 600.0)
    _, nights = run(pulse(NIGHT, pp_ms=pp_ms, skin_contact=np.where(is_first, 1.0, 0.0)))
    assert nights["prv_mean_hr_bpm"] == pytest.approx(66.7, abs=0.1)
    assert nights["prv_coverage_frac"] == pytest.approx(0.5, abs=0.03)


def test_a_sensor_off_the_skin_all_night_says_to_check_wear(run):
    off = pulse(NIGHT).values["pp_ms"] * 0
    _, nights = run(pulse(NIGHT, skin_contact=off))
    assert nights["prv_coverage_frac"].tolist() == [0]
    assert (
        "0 % of the nocturnal windows with valid pulse intervals, 25 % needed; check wear"
        in (nights["withheld_more"][0])
    )


def test_a_week_never_mixes_sensors(run):
    of_night = dict(zip(range(10, 16), "AAABBB", strict=True))
    _, nights = run(*(heart(date(2026, 3, day), sensor) for day, sensor in of_night.items()))
    assert np.isfinite(nights["ln_rmssd_7d"]).tolist() == [False, False, True, False, False, True]
    assert nights["ln_rmssd_7d"][5] == pytest.approx(nights["ln_rmssd"][3:].mean())
    assert "1 of the last 7 nights with sensor B valid, 3 needed" in nights["withheld_more"][3]
