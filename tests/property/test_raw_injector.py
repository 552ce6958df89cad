"""Laws of changes in raw samples: nothing without an effect, nothing before it, and beats that could be."""

from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.hrv import beats
from features.hrv.segments import whole
from features.night_span import NightSpan
from features.nn import nn_from_rr, shares_beat
from models.channels import CHANNELS, NAMES
from models.daily import Days
from models.injector import CONTROLS, SCENARIOS, injected
from models.raw_beats import changed_beats
from models.raw_injector import (
    MINUTE_NS,
    RAW_INJECTOR_VERSION,
    SWAPPED,
    RawNight,
    effects_of,
    injected_samples,
)
from store.nights import local_ns, night_bounds_ns
from store.streams import (
    ACTIVITY_EPOCH,
    BATTERY,
    HEART_RATE,
    RR_INTERVAL,
    SLEEP_STAGE,
    STEP_COUNT,
)
from store.timeseries import Samples
from store.types import RrSeries
from store.units import NS_PER_MS, NS_PER_S
from tests.movement import ZONE, samples, somebody, stages, steps
from tests.movement import minutes as epochs

NIGHT = date(2026, 1, 14)
HOUR_NS = 3600 * NS_PER_S
SEEDS = st.integers(0, 10_000)
SHARES = st.floats(-0.35, 0.35)
EFFECTS = ("heart", "vagal", "movement", "sleep_min", "phase_h")


def heart(seed: int, seconds: float, holes: int = 0) -> RrSeries:
    """Return beats that breathe and drift, some early, with holes in which nothing was recorded."""
    rng = np.random.default_rng(seed)
    count = round(seconds / 0.9)
    breath = np.sin(np.cumsum(rng.normal(1.4, 0.1, count)))
    rr_ms = 900 + 40 * breath + np.cumsum(rng.normal(0, 2, count)) + rng.normal(0, 12, count)
    rr_ms = np.clip(rr_ms, 450, 1500)
    early = rng.random(count) < 0.004
    rr_ms[early] *= 0.65
    t_ns = np.round(np.cumsum(rr_ms) * NS_PER_MS).astype(np.int64) + 1_768_000_000 * NS_PER_S
    for at in rng.integers(1, count, holes):
        t_ns[at:] += int(rng.integers(1, 3600)) * NS_PER_S
    return RrSeries(t_ns, rr_ms)


def values(held: RrSeries):
    nn = nn_from_rr(held)
    return beats(nn, whole(nn))


def begins_ns(held) -> np.ndarray:
    return held.t_ns - np.round(held.rr_ms * NS_PER_MS).astype(np.int64)


@settings(max_examples=20)
@given(seed=SEEDS, holes=st.integers(0, 30))
def test_beats_without_an_effect_come_back_to_the_bit(seed, holes):
    rr = heart(seed, 600, holes)
    same = changed_beats(rr.t_ns, rr.rr_ms, 0.0, 0.0)
    assert same.t_ns.tobytes() == rr.t_ns.tobytes()
    assert same.rr_ms.tobytes() == rr.rr_ms.tobytes()


@settings(max_examples=40)
@given(seed=SEEDS, holes=st.integers(0, 60), faster=SHARES, vagal=st.floats(-0.7, 0.7))
def test_changed_beats_could_be_and_lie_where_beats_were(seed, holes, faster, vagal):
    rr = heart(seed, 900, holes)
    new = changed_beats(rr.t_ns, rr.rr_ms, faster, vagal)
    assert (np.diff(new.t_ns) > 0).all()
    begins = begins_ns(new)
    assert (begins[1:] >= new.t_ns[:-1] - 5 * NS_PER_MS).all()
    fastest = 300 if vagal == 0 or faster <= 0 else 200
    assert new.rr_ms.min() > fastest
    assert new.rr_ms.max() < 2700
    # The union of what was recorded holds all that was made of it.
    is_first = ~shares_beat(rr.t_ns, rr.rr_ms)
    runs_from, runs_to = begins_ns(rr)[is_first], rr.t_ns[np.append(is_first[1:], True)]
    at = np.searchsorted(runs_from, begins + 5 * NS_PER_MS, side="right") - 1
    assert (at >= 0).all()
    assert (new.t_ns <= runs_to[at]).all()


@settings(max_examples=15)
@given(seed=SEEDS, faster=SHARES, vagal=st.floats(-0.5, 0.4))
def test_mean_and_rmssd_are_what_was_asked_each_apart(seed, faster, vagal):
    rr = heart(seed, 3600)
    new = changed_beats(rr.t_ns, rr.rr_ms, faster, vagal)
    was, now = values(rr), values(RrSeries(new.t_ns, new.rr_ms))
    assert now.mean_hr_bpm[0] / was.mean_hr_bpm[0] == pytest.approx(1 + faster, abs=0.006)
    assert now.rmssd_ms[0] / was.rmssd_ms[0] == pytest.approx(1 + vagal, abs=0.05)
    assert new.t_ns[-1] == rr.t_ns[-1]


@settings(max_examples=15)
@given(seed=SEEDS, faster=SHARES)
def test_a_pulse_that_is_lost_every_few_beats_gets_the_rate_that_was_asked(seed, faster):
    rr = heart(seed, 900, holes=120)
    new = changed_beats(rr.t_ns, rr.rr_ms, faster, 0.0)
    assert rr.rr_ms[new.row].mean() / new.rr_ms.mean() == pytest.approx(1 + faster, abs=0.015)
    assert rr.rr_ms[new.row] / new.rr_ms == pytest.approx(1 + faster, abs=0.4)


def recording(seed: int, days: int = 4) -> dict[str, Samples]:
    """Return what a strap and a wrist recorded of somebody, from the midnight two days before `NIGHT`."""
    first = NIGHT - timedelta(days=2)
    start_ns, counts = somebody(first, days, seed=seed)
    rng = np.random.default_rng(seed)
    beats_of = [heart(seed + k, 7200) for k in range(days)]
    worn_ns = [local_ns(first + timedelta(days=k), 2, ZONE) for k in range(days)]
    t_ns = np.concatenate([at + b.t_ns - b.t_ns[0] for at, b in zip(worn_ns, beats_of, strict=True)])
    quarter = np.arange(1, days * 96) * 15 * MINUTE_NS + start_ns
    each = np.ones(len(counts) // 5)
    sleep = [local_ns(first + timedelta(days=k), 0, ZONE) - HOUR_NS for k in range(1, days)]
    slept = [stages(at, ("light", 240), ("awake", 10), ("deep", 230)) for at in sleep]
    held = (
        samples(RR_INTERVAL, t_ns, "A", rr_ms=np.concatenate([b.rr_ms for b in beats_of])),
        epochs(start_ns, counts, enmo_mg=counts / 40, sd_mg=counts / 20, mad_mg=counts / 30),
        steps(quarter, rng.poisson(80, len(quarter)).astype(float), 900.0),
        samples(HEART_RATE, start_ns + np.arange(len(each)) * 5 * MINUTE_NS, "W", heart_rate_bpm=60 * each),
        samples(BATTERY, np.array([start_ns]), "A", level_pct=np.array([80.0])),
        Samples(
            SLEEP_STAGE,
            np.concatenate([s.t_ns for s in slept]),
            ("R",),
            np.zeros(3 * len(slept), np.intp),
            {name: np.concatenate([s[name] for s in slept]) for name in ("stage", "duration_s")},
        ),
    )
    return {one.stream.name: one for one in held}


def night(morning: date, **asked) -> RawNight:
    """Return a night of who sleeps from 23 to 7 o'clock but for ten minutes."""
    span = NightSpan(morning, ZONE, *night_bounds_ns(morning, ZONE))
    sleep_ns = local_ns(morning, 0, ZONE) - HOUR_NS, local_ns(morning, 7, ZONE)
    is_asleep = np.ones(480, np.bool_)
    is_asleep[240:250] = False
    return RawNight(span, sleep_ns, is_asleep, **asked)


def calendar(**asked) -> list[RawNight]:
    """Return three nights, of the second of which something is asked."""
    return [night(NIGHT - timedelta(days=1)), night(NIGHT, **asked), night(NIGHT + timedelta(days=1))]


def is_same(one: Samples, other: Samples) -> bool:
    """Say whether two hold the same samples of the same sensors, to the bit."""
    named = [[held.sensors[k] for k in held.sensor_index] for held in (one, other)]
    return (
        named[0] == named[1]
        and one.t_ns.tobytes() == other.t_ns.tobytes()
        and all(
            array.tolist() == other[name].tolist() if array.dtype == object
            else array.tobytes() == other[name].tobytes()
            for name, array in one.values.items()
        )
    )  # fmt: skip


def part(held: Samples, low: int, high: int) -> Samples:
    rows = (held.t_ns >= low) & (held.t_ns < high)
    kept = {name: array[rows] for name, array in held.values.items()}
    return Samples(held.stream, held.t_ns[rows], held.sensors, held.sensor_index[rows], kept)


def shuffled(held: Samples, seed: int) -> Samples:
    order = np.random.default_rng(seed).permutation(len(held))
    kept = {name: array[order] for name, array in held.values.items()}
    return Samples(held.stream, held.t_ns[order], held.sensors, held.sensor_index[order], kept)


ASKED = st.fixed_dictionaries(
    {
        "heart": SHARES,
        "vagal": SHARES,
        "movement": st.floats(-0.8, 0.8),
        "sleep_min": st.floats(-150, 150),
        "phase_h": st.floats(-3, 3),
        "is_lost": st.booleans(),
        "is_swapped": st.booleans(),
    }
)


@settings(max_examples=15)
@given(seed=SEEDS)
def test_without_an_effect_every_sample_comes_back_whatever_its_order(seed):
    held = recording(seed)
    same = injected_samples({name: shuffled(one, seed) for name, one in held.items()}, calendar())
    assert same.keys() == held.keys()
    assert all(is_same(same[name], one) for name, one in held.items())


@settings(max_examples=30)
@given(seed=SEEDS, asked=ASKED)
def test_other_nights_stay_to_the_bit_and_order_does_not_matter(seed, asked):
    held = recording(seed)
    changed = injected_samples(held, calendar(**asked))
    again = injected_samples({name: shuffled(one, seed + 1) for name, one in held.items()}, calendar(**asked))
    noon_ns, end_ns = night_bounds_ns(NIGHT, ZONE)
    day_ns = local_ns(NIGHT - timedelta(days=1), 0, ZONE)
    for name, one in held.items():
        assert is_same(changed[name], again[name]), name
        assert (np.diff(changed[name].t_ns) > 0).all(), name
        begin_ns = day_ns if one.stream in {STEP_COUNT, ACTIVITY_EPOCH} else noon_ns
        for low, high in ((0, begin_ns), (end_ns + 15 * MINUTE_NS, 2 * end_ns)):
            assert is_same(part(one, low, high), part(changed[name], low, high)), name
    assert is_same(changed["battery"], held["battery"])


@settings(max_examples=15)
@given(seed=SEEDS, gained=st.integers(-200, 200))
def test_sleep_has_as_many_minutes_more_or_less_as_asked(seed, gained):
    held = recording(seed)
    changed = injected_samples(held, calendar(sleep_min=float(gained)))
    low, high = night_bounds_ns(NIGHT, ZONE)

    def asleep_min(one: Samples) -> float:
        inside = part(one, low, high)
        return float(inside["duration_s"][inside["stage"] != "awake"].sum()) / 60

    wanted = max(gained, 60 - 470)
    assert asleep_min(changed["sleep_stage"]) - asleep_min(held["sleep_stage"]) == pytest.approx(
        wanted, abs=2
    )
    half_ns = 450 * NS_PER_S  # an interval is of the day in which its middle lies
    day_ns = local_ns(NIGHT, 0, ZONE) + half_ns, local_ns(NIGHT + timedelta(days=1), 0, ZONE) + half_ns
    had, has = (float(part(one["step_count"], *day_ns)["steps"].sum()) for one in (held, changed))
    assert had == pytest.approx(has, abs=1.01)


def test_a_shorter_night_moves_at_its_edges_as_by_day():
    held = recording(1)
    changed = injected_samples(held, calendar(sleep_min=-60.0))
    fell_asleep_ns = local_ns(NIGHT, 0, ZONE) - HOUR_NS
    counts = [part(one["activity_epoch"], fell_asleep_ns, fell_asleep_ns + 30 * MINUTE_NS)["counts"]
              for one in (held, changed)]  # fmt: skip
    assert np.median(counts[0]) == 0
    assert np.median(counts[1]) > 300


@settings(max_examples=15)
@given(seed=SEEDS, share=st.floats(-0.9, 1.0))
def test_steps_of_the_day_before_are_scaled_to_the_step_and_sleep_keeps_its_movement(seed, share):
    held = recording(seed)
    changed = injected_samples(held, calendar(movement=share))
    half_ns = 450 * NS_PER_S
    day = local_ns(NIGHT - timedelta(days=1), 0, ZONE) + half_ns, local_ns(NIGHT, 0, ZONE) + half_ns
    was, now = (float(part(one["step_count"], *day)["steps"].sum()) for one in (held, changed))
    assert now == pytest.approx(was * (1 + share), abs=1.01)
    asleep = local_ns(NIGHT - timedelta(days=1), 0, ZONE), local_ns(NIGHT - timedelta(days=1), 7, ZONE)
    assert is_same(part(held["activity_epoch"], *asleep), part(changed["activity_epoch"], *asleep))


def worn_by_day(seed: int) -> dict[str, Samples]:
    """Return beats from noon to noon and further, with a hole each hour."""
    noon_ns = night_bounds_ns(NIGHT, ZONE)[0]
    rr = heart(seed, 26 * 3600)
    t_ns = rr.t_ns - rr.t_ns[0] + noon_ns - HOUR_NS
    rng = np.random.default_rng(seed)
    kept = (t_ns // NS_PER_S) % 3600 > rng.integers(60, 1200)
    return {"rr_interval": samples(RR_INTERVAL, t_ns[kept], "A", rr_ms=rr.rr_ms[kept])}


@settings(max_examples=15)
@given(seed=SEEDS, sleep_min=st.integers(-150, 150), phase_h=st.floats(-3, 3))
def test_no_beat_overlaps_another_wherever_it_was_taken_from(seed, sleep_min, phase_h):
    held = worn_by_day(seed)
    new = injected_samples(held, calendar(sleep_min=float(sleep_min), phase_h=phase_h))["rr_interval"]
    begins_ns = new.t_ns - np.round(new["rr_ms"] * NS_PER_MS).astype(np.int64)
    assert (begins_ns[1:] >= new.t_ns[:-1] - 6 * NS_PER_MS).all()
    assert len(new) > 0.9 * len(held["rr_interval"])


@settings(max_examples=15)
@given(seed=SEEDS, sleep_min=st.integers(-150, 150))
def test_sleep_takes_beats_along_and_never_to_where_nothing_was_worn(seed, sleep_min):
    held = worn_by_day(seed)
    new = injected_samples(held, calendar(sleep_min=float(sleep_min)))["rr_interval"]
    old_ns = held["rr_interval"].t_ns
    after = np.clip(np.searchsorted(old_ns, new.t_ns), 1, len(old_ns) - 1)
    nearest_ns = np.minimum(np.abs(new.t_ns - old_ns[after]), np.abs(new.t_ns - old_ns[after - 1]))
    assert nearest_ns.max() <= 10 * NS_PER_S
    assert abs(sleep_min) < 2 or not is_same(new, held["rr_interval"])


def test_a_lost_night_holds_nothing_and_a_new_device_all_of_it_under_its_own_name():
    held = recording(3)
    lost = injected_samples(held, calendar(is_lost=True))
    new = injected_samples(held, calendar(is_swapped=True))
    noons = night_bounds_ns(NIGHT, ZONE)
    for name in ("rr_interval", "activity_epoch", "heart_rate", "sleep_stage"):
        assert len(part(held[name], *noons)) > 0
        assert len(part(lost[name], *noons)) == 0
        inside = part(new[name], *noons)
        assert {inside.sensors[k] for k in inside.sensor_index} == {f"{held[name].sensors[0]}{SWAPPED}"}
        assert new[name].t_ns.tobytes() == held[name].t_ns.tobytes()


@pytest.mark.parametrize("later_h", [2.0, -1.5])
def test_a_night_that_is_turned_round_loses_at_most_the_beats_at_its_cuts(later_h):
    held = recording(4)
    turned = injected_samples(held, calendar(phase_h=later_h))
    assert len(turned["activity_epoch"]) == len(held["activity_epoch"])
    assert turned["step_count"]["steps"].sum() == held["step_count"]["steps"].sum()
    assert len(held["rr_interval"]) - len(turned["rr_interval"]) <= 3
    onset_ns = local_ns(NIGHT, 0, ZONE) - HOUR_NS
    assert onset_ns + round(later_h * 60) * MINUTE_NS in turned["sleep_stage"].t_ns


def people_days(seed: int, n: int = 100) -> Days:
    rng = np.random.default_rng(seed)
    usual = np.array([55, 40, 58, 420, 8000, 120, 15, 34, 92, 3.0])
    held = usual * rng.lognormal(0, 0.08, (n, len(CHANNELS)))
    held[rng.random(n) < 0.1] = np.nan
    return Days("S1", date(2026, 1, 1), held, np.zeros(n, np.int64))


@pytest.mark.parametrize("name", [*SCENARIOS, *CONTROLS])
def test_the_same_is_asked_as_of_daily_values_and_nothing_before_the_onset(name):
    days, onset = people_days(5), 50
    asked = effects_of(days, onset, name, np.random.default_rng(9))
    again = effects_of(days, onset, name, np.random.default_rng(9))
    daily = injected(days, onset, name, np.random.default_rng(9))
    assert all(getattr(asked, part).tobytes() == getattr(again, part).tobytes() for part in EFFECTS)
    assert name == "menstrual" or not asked.is_any[:onset].any()
    assert asked.is_any.any()
    column = {
        each: NAMES.index(each) for each in ("mean_hr_bpm", "rmssd_ms", "tst_min", "steps", "midpoint_h")
    }
    was, now = days.values, daily.values
    relative = {"mean_hr_bpm": asked.heart, "rmssd_ms": asked.vagal, "steps": asked.movement}
    for each, share in relative.items():
        at = column[each]
        seen = np.isfinite(was[:, at]) & np.isfinite(now[:, at])
        assert now[seen, at] / was[seen, at] - 1 == pytest.approx(share[seen], abs=1e-9), each
    for each, more in {"tst_min": asked.sleep_min, "midpoint_h": asked.phase_h}.items():
        at = column[each]
        seen = np.isfinite(was[:, at]) & np.isfinite(now[:, at])
        assert now[seen, at] - was[seen, at] == pytest.approx(more[seen], abs=1e-9), each
    # Days that the wearable lost are the same ones.
    counted = np.isfinite(was[:, column["rmssd_ms"]])
    assert (np.isnan(now[:, column["rmssd_ms"]]) & counted).tolist() == (asked.is_lost & counted).tolist()


def test_no_night_is_left_with_less_than_an_hour_of_sleep():
    short = replace(night(NIGHT, sleep_min=-1000.0))
    first, last = short.edges_min()
    start_ns, end_ns = short.changed_sleep_ns()
    assert first < 0 > last
    assert 55 <= (end_ns - start_ns) / MINUTE_NS <= 75


def test_version_1_gives_what_it_gave_when_it_was_frozen():
    """Whoever changes what comes out makes a new version: figures of two versions cannot be compared."""
    asked = {"heart": 0.05, "vagal": -0.15, "movement": -0.25, "sleep_min": -60.0, "phase_h": 0.5}
    new = injected_samples(recording(1), calendar(**asked))
    assert RAW_INJECTOR_VERSION == "1"
    assert {name: len(one) for name, one in new.items()} == {
        "rr_interval": 32_400,
        "activity_epoch": 5_760,
        "step_count": 383,
        "heart_rate": 1_152,
        "battery": 1,
        "sleep_stage": 9,
    }
    assert new["rr_interval"]["rr_ms"].mean() == pytest.approx(886.774930, abs=1e-6)
    assert np.nansum(new["activity_epoch"]["counts"]) == pytest.approx(2_516_868.25)
    assert new["step_count"]["steps"].sum() == 28_648
