"""From stored movement to rows: weeks, people without beats, and the same values in any order."""

import itertools
from datetime import date, timedelta

import numpy as np
import pytest

from configs.settings import FeatureSettings
from features.epochs import Epochs
from features.job import run_features
from features.movement.night_minutes import MINUTES_STREAM, NightMinutes, minutes_of_samples
from features.movement.week import WeekNight, week_of
from features.night_writer import NIGHTS_A_WRITE
from features.nights import NIGHT_STREAM, night_of_key
from features.rhythm import rhythm
from features.specs import NIGHT_FEATURES
from store.nights import local_ns
from store.timeseries import Batch, Samples
from tests.movement import MINUTE_NS, ZONE, between, minutes, somebody

MONDAY = date(2026, 3, 9)
DAYS = 12


@pytest.fixture
def subject(registry) -> str:
    registry.people.register_sensor("W", model="GT9X Link", manufacturer="ActiGraph")
    return registry.people.add_subject("S1", ZONE).subject_id


def batch(held: Samples, subject_id: str = "S1") -> Batch:
    return Batch(held.stream, subject_id, "W", held.t_ns, held.values)


def rows(store, registry) -> Samples:
    run_features(store, registry, FeatureSettings(), now_ns=1)
    return store.read(NIGHT_STREAM, "S1")


def plain(held: Samples) -> dict[str, list[object]]:
    """Return what has to be the same in any run, so that it can be compared to the last bit."""
    return {
        name: [repr(value) for value in held[name].tolist()]
        for name in held.stream.column_names()
        if name not in {"job_id", "computed_ns"}
    }


def test_who_wears_no_strap_has_nights_too(store, registry, subject):
    store.write([batch(minutes(*somebody(MONDAY, DAYS)))])
    held = rows(store, registry)
    assert len(held) == DAYS + 1
    week = dict(
        zip(held.stream.column_names(), (held[name][8] for name in held.stream.column_names()), strict=True)
    )
    assert (week["sleep_source"], week["sleep_scorer"], week["movement"]) == (
        "roenneberg",
        "cole_kripke",
        "counts",
    )
    assert week["tst_min"] == pytest.approx(480, abs=25)
    assert week["sri_7d"] > 85
    assert week["is_7d"] > 0.8
    assert week["week_days"] == 7
    assert week["week_nights"] == 7
    assert "rmssd_asleep_ms" in week["withheld_more"]
    assert "no RR intervals recorded" in week["withheld"]


def test_every_missing_value_has_its_reason(store, registry, subject):
    store.write([batch(minutes(*somebody(MONDAY, DAYS)))])
    held = rows(store, registry)
    for k in range(len(held)):
        said = " ".join(held[name][k] for name in ("withheld", "withheld_more", "withheld_movement"))
        for spec in NIGHT_FEATURES:
            if np.isnan(held[spec.name][k]):
                assert spec.name in said or f"all of {spec.family}" in said, (spec.name, said)


def test_any_order_of_arrival_gives_the_same_rows(store, registry, subject, installation, tmp_path):
    whole = minutes(*somebody(MONDAY, DAYS))
    starts = [local_ns(MONDAY + timedelta(days=k), 0, ZONE) for k in range(0, DAYS + 1, 4)]
    parts = [batch(between(whole, a, b)) for a, b in itertools.pairwise(starts)]
    for part in [parts[k] for k in (2, 0, 1)]:
        store.write([part])
        rows(store, registry)
    shuffled = plain(rows(store, registry))
    kept = [each.stage.tolist() for each in minutes_of_samples(store.read(MINUTES_STREAM, "S1"))]
    registry.people.add_subject("S2", ZONE)
    store.write([Batch(whole.stream, "S2", "W", whole.t_ns, whole.values)])
    run_features(store, registry, FeatureSettings(), now_ns=1, subjects=["S2"])
    once = {
        name: [text.replace("S2", "S1") for text in column]
        for name, column in plain(store.read(NIGHT_STREAM, "S2")).items()
    }
    assert shuffled == once
    assert kept == [each.stage.tolist() for each in minutes_of_samples(store.read(MINUTES_STREAM, "S2"))]


def test_a_week_does_not_depend_on_where_a_write_ends(store, registry, subject):
    days = NIGHTS_A_WRITE + 6
    store.write([batch(minutes(*somebody(MONDAY, days)))])
    held = rows(store, registry)
    last = night_of_key(int(held.t_ns[-2]))
    registry.people.add_subject("S2", ZONE)
    start_ns, counts = somebody(MONDAY, days)
    skipped = (days - 12) * 1440
    store.write([batch(minutes(start_ns + skipped * MINUTE_NS, counts[skipped:]), "S2")])
    run_features(store, registry, FeatureSettings(), now_ns=1, subjects=["S2"])
    other = store.read(NIGHT_STREAM, "S2")
    assert night_of_key(int(other.t_ns[-2])) == last
    for name in ("is_7d", "iv_7d", "acrophase_7d_h", "sri_7d", "onset_sd_7d_min", "week_days"):
        assert held[name][-2] == other[name][-2], name


def week_night(night: date, source: str = "hdcza", sensor: str = "W", onset_h: float = 23.0) -> WeekNight:
    start_ns = local_ns(night - timedelta(days=1), 12, ZONE)
    activity = np.where((np.arange(1440) >= 660) & (np.arange(1440) < 1140), 2.0, 30.0)
    stage = ((np.arange(1440) >= 660) & (np.arange(1440) < 1140)).astype(np.int8)
    held = NightMinutes(0, start_ns, activity, stage, np.ones(1440), "enmo_mg", sensor, "van_hees")
    return WeekNight(night, ZONE, held, source, onset_h, 7.0, 3.0)


def test_a_week_of_one_sensor_and_scorer_alone():
    week = [week_night(MONDAY + timedelta(days=k)) for k in range(7)]
    found = week_of(week)
    assert found.why == {}
    assert found.values["sri_7d"] == 100
    assert found.values["is_7d"] == pytest.approx(1)
    assert found.values["social_jet_lag_7d_h"] == pytest.approx(0, abs=1e-9)
    changed = [week_night(each.night, "vendor", "X") if k < 3 else each for k, each in enumerate(week)]
    less = week_of(changed)
    assert less.days == pytest.approx(4)
    assert less.nights == 4
    assert less.why["is_7d"] == "4.0 of the last 7 days worn with sensor W, 5 needed"
    assert less.why["onset_sd_7d_min"].startswith("4 of the last 7 nights with sleep by van_hees, 5 needed")


def test_the_rhythm_of_a_week_is_that_of_the_command():
    """Noon to noon over seven nights, against the same minutes scored as one recording."""
    week = [week_night(date(2026, 3, 25) + timedelta(days=k)) for k in range(7)]  # clocks change on the 29th
    rng = np.random.default_rng(5)
    counts = [
        len(
            np.arange(local_ns(w.night - timedelta(days=1), 12, ZONE), local_ns(w.night, 12, ZONE), MINUTE_NS)
        )
        for w in week
    ]
    week = [
        WeekNight(
            w.night,
            w.zone,
            NightMinutes(
                0, w.minutes.start_ns, rng.gamma(2.0, 9.0, n), np.zeros(n), np.ones(n), "counts", "W", "x"
            ),
            "",
            23.0,
            7.0,
            3.0,
        )
        for w, n in zip(week, counts, strict=True)
    ]
    x = np.concatenate([each.minutes.activity for each in week]).astype(float)
    first_ns = week[0].minutes.start_ns
    epochs = Epochs(
        first_ns + np.arange(len(x), dtype=np.int64) * MINUTE_NS, 60.0, {"counts": x}, "counts", ZONE
    )
    command = rhythm(epochs).values
    values = week_of(week).values
    for ours, theirs in (
        ("is_7d", "is"),
        ("iv_7d", "iv"),
        ("ra_7d", "ra"),
        ("acrophase_7d_h", "acrophase_h"),
        ("m10_onset_7d_h", "m10_onset_h"),
    ):
        assert values[ours] == pytest.approx(command[theirs], rel=1e-12)
