"""From stored RR intervals to night rows and the export."""

import json
from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from configs.settings import FeatureSettings
from features.export import export_nights
from features.job import run_features
from features.nights import NIGHT_STREAM, nocturnal_bounds_ns, read_nights
from features.nn import nn_from_rr
from features.specs import NIGHT_FEATURES, spec_named
from features.windows import WINDOW_FEATURES, WINDOW_STREAM, read_windows, windows_of
from store.errors import UnknownError
from store.nights import local_ns
from store.streams import RR_INTERVAL
from store.timeseries import Batch
from store.types import RrSeries
from store.units import NS_PER_S

NIGHT = date(2026, 1, 6)


def beats(
    start_ns: int, hours: float, sensor: str = "A", subject: str = "S1", spread_ms: float = 20.0
) -> Batch:
    rng = np.random.default_rng(3)
    rr_ms = rng.normal(1000, spread_ms, int(hours * 3600))
    t_ns = start_ns + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64)
    return Batch(RR_INTERVAL, subject, sensor, t_ns, {"rr_ms": rr_ms})


@pytest.fixture
def subject(registry) -> str:
    return registry.people.add_subject("S1", "Europe/Berlin").subject_id


def run(store, registry, now_ns=1):
    return run_features(store, registry, FeatureSettings(), now_ns=now_ns)


def test_a_full_night_becomes_one_row_with_provenance(store, registry, subject):
    store.write([beats(local_ns(NIGHT, 0, "Europe/Berlin"), 6)])
    done = run(store, registry)
    assert (done.nights, done.withheld, done.failed) == (1, 0, ())
    nights = read_nights(store, subject)
    assert nights.nights == (NIGHT,)
    assert nights.values["rmssd_ms"][0] == pytest.approx(20 * np.sqrt(2), rel=0.05)
    assert nights.values["mean_hr_bpm"][0] == pytest.approx(60, rel=0.01)
    assert nights.coverage_frac[0] == pytest.approx(1.0, abs=0.02)
    row = store.latest(NIGHT_STREAM, subject)
    assert row is not None
    assert (row["source_sensor"], row["zone"], row["withheld"]) == ("A", "Europe/Berlin", "")
    assert row["job_id"] == done.job_id
    assert row["beats_used"] <= row["beats_received"] == 6 * 3600


def test_too_little_of_a_night_is_withheld_with_a_reason(store, registry, subject):
    store.write([beats(local_ns(NIGHT, 1, "Europe/Berlin"), 1.2)])
    assert run(store, registry).withheld == 1
    nights = read_nights(store, subject)
    assert np.isnan(nights.values["rmssd_ms"][0])
    assert "19 % of the nocturnal windows valid, 25 % needed; check wear" in nights.reasons[0]
    assert 0 < nights.coverage_frac[0] < 0.25


def test_two_sensors_are_never_mixed(store, registry, subject):
    midnight_ns = local_ns(NIGHT, 0, "Europe/Berlin")
    store.write([beats(midnight_ns, 6, "A", spread_ms=10), beats(midnight_ns + 500, 3, "B", spread_ms=60)])
    run(store, registry)
    assert read_nights(store, subject).values["rmssd_ms"][0] == pytest.approx(10 * np.sqrt(2), rel=0.05)
    windows = read_windows(store, subject, midnight_ns, midnight_ns + 6 * 3600 * NS_PER_S)
    assert len(windows) >= 71


def test_running_again_changes_nothing_but_who_computed_it(store, registry, subject):
    store.write([beats(local_ns(NIGHT, 0, "Europe/Berlin"), 6)])
    run(store, registry, 1)
    first = store.read(NIGHT_STREAM, subject)
    run(store, registry, 2)
    second = store.read(NIGHT_STREAM, subject)
    for name in set(NIGHT_STREAM.column_names()) - {"job_id", "computed_ns"}:
        np.testing.assert_array_equal(first[name], second[name])


def test_days_without_data_are_nights_without_values(store, registry, subject):
    for day in (NIGHT, NIGHT + timedelta(days=3)):
        store.write([beats(local_ns(day, 0, "Europe/Berlin"), 6)])
    run(store, registry)
    nights = read_nights(store, subject)
    assert [night.day for night in nights.nights] == [6, 7, 8, 9]
    assert np.isfinite(nights.values["rmssd_ms"]).tolist() == [True, False, False, True]
    assert nights.reasons[1] == "No data received"


def test_days_without_data_are_not_counted_as_computed(store, registry, subject):
    for day in (NIGHT, NIGHT + timedelta(days=40)):
        store.write([beats(local_ns(day, 0, "Europe/Berlin"), 6)])
    assert run(store, registry).nights == 2


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe"])
def test_windows_do_not_feel_where_nights_meet(store, registry, zone):
    """Night by night, noon included, windows are those of the whole series, bit for bit."""
    registry.people.add_subject("S1", zone)
    start_ns = local_ns(date(2026, 4, 3), 20, zone)
    rr_ms = beats(start_ns, 72).values["rr_ms"].copy()
    for day in (4, 5, 6):  # two long intervals after noon are artefacts only for who sees the beats before
        t_ns = start_ns + np.cumsum(rr_ms) * 1e6
        after = np.searchsorted(t_ns, local_ns(date(2026, 4, day), 12, zone))
        rr_ms[after : after + 2] = 1300.0
    t_ns = start_ns + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64)
    recorded = Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": rr_ms})
    store.write([recorded])
    run_features(store, registry, FeatureSettings(), now_ns=1)
    whole = windows_of(nn_from_rr(RrSeries(recorded.t_ns, recorded.values["rr_ms"])), 300)
    held = store.read(WINDOW_STREAM, "S1")
    assert held.t_ns.tolist() == whole.start_ns.tolist()
    for name in WINDOW_FEATURES:
        np.testing.assert_array_equal(held[name], whole.values[name])
    np.testing.assert_array_equal(held["n_differences"], whole.n_differences)


def test_no_hour_is_lost_on_a_journey(store, registry, subject, clock):
    """Westward the same date comes twice, eastward noon comes early: every beat is in a window."""
    start_ns = clock.now_ns()
    for hours, zone in ((30, "America/Los_Angeles"), (90, "Asia/Tokyo")):
        clock.advance_to(start_ns + hours * 3600 * NS_PER_S)
        registry.people.add_subject("S1", zone)
    recorded = beats(start_ns, 144, spread_ms=5)
    store.write([recorded])
    run(store, registry)
    assert store.read(WINDOW_STREAM, subject)["n_beats"].sum() == len(recorded)
    nights = read_nights(store, subject)
    assert len(set(nights.nights)) == len(nights)
    assert nights.zones[0] == "Europe/Berlin"
    assert nights.zones[-1] == "Asia/Tokyo"


def test_a_value_is_withheld_by_its_own_share_of_windows(store, registry, subject):
    """With 60 % of every window RMSSD is valid and SDNN is not, and the reason says so."""
    midnight_ns = local_ns(NIGHT, 0, "Europe/Berlin")
    full = beats(midnight_ns, 6)
    kept = (full.t_ns - midnight_ns) % (300 * NS_PER_S) < 180 * NS_PER_S
    store.write([Batch(RR_INTERVAL, subject, "A", full.t_ns[kept], {"rr_ms": full.values["rr_ms"][kept]})])
    assert run(store, registry).withheld == 1
    nights = read_nights(store, subject)
    assert np.isfinite(nights.values["rmssd_ms"][0])
    assert np.isnan(nights.values["sdnn_ms"][0])
    assert nights.reasons[0] == (
        "sdnn_ms withheld for S1, night 2026-01-06: 0 % of the nocturnal windows valid, 25 % needed; "
        "check wear"
    )


def test_nocturnal_hours_that_the_clocks_left_out_have_no_values(store, registry, subject):
    store.write([beats(local_ns(date(2026, 3, 29), 0, "Europe/Berlin"), 6)])
    settings = FeatureSettings(night_start_h=2, night_end_h=3)
    assert run_features(store, registry, settings, now_ns=1).withheld == 1
    assert read_nights(store, subject).coverage_frac.tolist() == [0.0]


def test_a_single_beat_is_a_night_without_values(store, registry, subject):
    at_ns = np.array([local_ns(NIGHT, 3, "Europe/Berlin")])
    store.write([Batch(RR_INTERVAL, subject, "A", at_ns, {"rr_ms": np.array([800.0])})])
    done = run(store, registry)
    assert (done.nights, done.withheld, done.failed) == (1, 1, ())


def test_people_who_are_not_registered_are_left_alone(store, registry, subject):
    store.write([beats(local_ns(NIGHT, 0, "UTC"), 6, subject="GHOST")])
    assert run(store, registry).nights == 0


def test_nocturnal_hours_follow_the_wall_clock_over_a_change():
    start_ns, end_ns = nocturnal_bounds_ns(date(2026, 3, 29), "Europe/Berlin", FeatureSettings())
    assert (end_ns - start_ns) / NS_PER_S / 3600 == 5
    late = FeatureSettings(night_start_h=22, night_end_h=7)
    start_ns, end_ns = nocturnal_bounds_ns(date(2026, 1, 6), "Europe/Berlin", late)
    assert (end_ns - start_ns) / NS_PER_S / 3600 == 9


def test_the_export_documents_every_column(store, registry, subject, tmp_path):
    store.write([beats(local_ns(NIGHT, 0, "Europe/Berlin"), 6)])
    run(store, registry)
    done = export_nights(store, tmp_path / "out", now_ns=1_767_643_200_000_000_000)
    table = pd.read_parquet(tmp_path / "out" / "nights.parquet")
    dictionary = pd.read_csv(tmp_path / "out" / "data_dictionary.csv", keep_default_na=False)
    assert done.nights == len(table) == 1
    assert table["night"].tolist() == ["2026-01-06"]
    assert dictionary["column"].tolist() == table.columns.tolist()
    assert (dictionary["meaning"] != "").all()
    references = dict(zip(dictionary["column"], dictionary["reference"], strict=True))
    assert references["hr_dip_pct"] == "doi:10.1001/archinte.167.19.2116"
    assert references["lowest_hr_bpm"] == "none: defined here"
    documented = json.loads((tmp_path / "out" / "data_dictionary.json").read_text())
    assert [row["column"] for row in documented] == table.columns.tolist()


def test_an_export_tells_virtual_people_from_real_ones(store, registry, subject, tmp_path):
    for who in ("S1", "V1"):
        registry.people.add_subject(who, "Europe/Berlin")
        store.write([beats(local_ns(NIGHT, 0, "Europe/Berlin"), 6, subject=who)])
    run(store, registry)
    export_nights(store, tmp_path, now_ns=0, simulated={"V1"})
    table = pd.read_parquet(tmp_path / "nights.parquet")
    assert dict(zip(table["subject_id"], table["is_simulated"], strict=True)) == {"S1": False, "V1": True}


def test_an_export_of_nothing_has_the_same_columns(store, registry, subject, tmp_path):
    export_nights(store, tmp_path / "none", now_ns=0)
    store.write([beats(local_ns(NIGHT, 0, "Europe/Berlin"), 6)])
    run(store, registry)
    export_nights(store, tmp_path / "one", now_ns=0)
    names = [
        pd.read_parquet(tmp_path / where / "nights.parquet").columns.tolist() for where in ("none", "one")
    ]
    assert names[0] == names[1]


def test_every_feature_says_what_it_is():
    defined_here = {"lowest_hr_bpm", "rmssd_asleep_ms", "mean_hr_asleep_bpm", "charging_min", "unknown_min"}
    for spec in NIGHT_FEATURES:
        assert not spec.meaning.lower().startswith(spec.label.lower()), spec.name
        assert len(spec.meaning.split()) >= 6, spec.name
        assert spec.formula
        assert spec.reference.startswith("doi:10.") != (spec.name in defined_here), spec.name
        assert 0 < spec.min_coverage_frac <= 1
    with pytest.raises(UnknownError, match="rmssd_ms"):
        spec_named("nonsense")
