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
from features.specs import NIGHT_FEATURES, spec_named
from features.windows import read_windows
from store.errors import UnknownError
from store.nights import local_ns
from store.streams import RR_INTERVAL
from store.timeseries import Batch
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
    documented = json.loads((tmp_path / "out" / "data_dictionary.json").read_text())
    assert [row["column"] for row in documented] == table.columns.tolist()


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
    for spec in NIGHT_FEATURES:
        assert spec.meaning
        assert spec.formula
        assert spec.doi.startswith("10.")
        assert 0 < spec.min_coverage_frac <= 1
    with pytest.raises(UnknownError, match="rmssd_ms"):
        spec_named("nonsense")
