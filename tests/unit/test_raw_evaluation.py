"""Changes in raw samples from end to end: samples, markers, verdict, report; and nothing written but that."""

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.settings import FeatureSettings
from evenkeel import app
from features.job import run_features, sensor_models
from features.night_inputs import INPUT_STREAMS, NightInputs
from features.nights import NIGHT_STREAM, read_nights
from models.channels import NAMES
from models.daily import Days
from models.injector import SCENARIOS
from models.nightly import sensor_names
from models.raw_evaluation import chosen_scenarios
from models.raw_injector import effects_of
from models.raw_nights import REACH, RawPerson, read_person, recomputed
from store.errors import ConfigError, DataError
from store.installation import Installation
from store.nights import local_ns
from store.registry.people import ZoneHistory
from store.streams import RR_INTERVAL, SLEEP_STAGE, STEP_COUNT
from store.timeseries import Batch
from store.units import NS_PER_S

ZONE, FIRST, NIGHTS, ONSET = "Europe/Berlin", date(2026, 1, 5), 70, 50
SETTINGS = FeatureSettings()
MINUTE_NS = 60 * NS_PER_S


def night_batches(night: date) -> list[Batch]:
    """Return two hours of beats from one o'clock, a ring's sleep, and the steps of the day that begins."""
    rng = np.random.default_rng(night.toordinal())
    count = 7200
    breath = np.sin(np.cumsum(rng.normal(1.4, 0.1, count)))
    level_ms = 1000 * np.exp(rng.normal(0, 0.02))
    rr_ms = level_ms + 45 * np.exp(rng.normal(0, 0.1)) * breath + rng.normal(0, 10, count)
    t_ns = local_ns(night, 1, ZONE) + np.round(np.cumsum(rr_ms) * 1e6).astype(np.int64)
    bed_ns = local_ns(night, 0, ZONE) - int(rng.integers(20, 80)) * MINUTE_NS
    length_s = np.array([120.0, 8, 200, 6, float(rng.integers(80, 140))]) * 60
    stages_ns = bed_ns + (np.cumsum(length_s) - length_s).astype(np.int64) * NS_PER_S
    words = np.array(["light", "awake", "deep", "awake", "rem"], object)
    begin_ns, end_ns = local_ns(night, 0, ZONE), local_ns(night, 24, ZONE)
    ends_ns = np.arange(begin_ns, end_ns, 15 * MINUTE_NS) + 15 * MINUTE_NS
    is_day = (ends_ns > begin_ns + 8 * 60 * MINUTE_NS) & (ends_ns < begin_ns + 22 * 60 * MINUTE_NS)
    counted = np.where(is_day, rng.poisson(140 * np.exp(rng.normal(0, 0.2)), len(ends_ns)), 0)
    return [
        Batch(RR_INTERVAL, "S1", "strap", t_ns, {"rr_ms": rr_ms}),
        Batch(SLEEP_STAGE, "S1", "ring", stages_ns, {"stage": words, "duration_s": length_s}),
        Batch(
            STEP_COUNT,
            "S1",
            "ring",
            ends_ns,
            {"steps": counted.astype(float), "interval_s": np.full(len(ends_ns), 900.0)},
        ),
    ]


@pytest.fixture(scope="module")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """A clinic of one simulated person, of whom every night is computed."""
    made = Installation(tmp_path_factory.mktemp("raw"))
    with made.registry() as registry, made.timeseries() as store:
        registry.people.add_subject("S1", ZONE, is_simulated=True)
        store.write([b for k in range(NIGHTS) for b in night_batches(FIRST + timedelta(days=k))])
        run_features(store, registry, SETTINGS, now_ns=1)
    return made


def recomputed_days(made: Installation, *names: str) -> tuple[RawPerson, dict[str, Days]]:
    with made.registry() as registry, made.timeseries() as store:
        people = registry.people
        person = read_person(store, "S1", people.zone_history("S1"), sensor_names(people.sensors()))
        asked = {k: effects_of(person.days, ONSET, k, np.random.default_rng(3)) for k in names}
        return person, recomputed(store, person, asked, SETTINGS, sensor_models(registry), NIGHTS)


def test_the_change_reaches_the_markers_of_its_nights_and_of_no_other(clinic):
    person, changed = recomputed_days(clinic, "moderate", "severe-wear-loss")
    was, now = person.days.values, changed["moderate"].values
    assert was[: ONSET - REACH].tobytes() == now[: ONSET - REACH].tobytes()
    full = slice(ONSET + 7, NIGHTS - 1)
    shares = {name: now[full, NAMES.index(name)] / was[full, NAMES.index(name)] - 1 for name in NAMES}
    assert np.median(shares["resting_hr_bpm"]) == pytest.approx(0.05, abs=0.005)
    assert np.median(shares["mean_hr_bpm"]) == pytest.approx(0.05, abs=0.005)
    assert np.median(shares["rmssd_ms"]) == pytest.approx(-0.15, abs=0.02)
    assert np.nanmedian(shares["steps"]) == pytest.approx(-0.25, abs=0.005)
    tst = NAMES.index("tst_min")
    assert np.median((now - was)[full, tst]) == pytest.approx(-60, abs=3)
    lost = np.isnan(changed["severe-wear-loss"].values[:, NAMES.index("rmssd_ms")])
    assert 0.15 < lost[ONSET:].mean() < 0.65
    assert not lost[:ONSET].any()


def test_rows_of_other_samples_than_there_are_now_are_refused(clinic):
    with clinic.registry() as registry, clinic.timeseries() as store:
        person = read_person(store, "S1", ZoneHistory((0,), (ZONE,)), {})
        night = person.nights.nights[ONSET]
        stale = {**person.hashes, night: "of other samples"}
        asked = {"moderate": effects_of(person.days, ONSET, "moderate", np.random.default_rng(3))}
        other = RawPerson(person.nights, person.days, person.spans, person.sleeps, stale, {})
        with pytest.raises(DataError, match=f"S1, night {night}.*run `evenkeel features run` first"):
            recomputed(store, other, asked, SETTINGS, sensor_models(registry), NIGHTS)


def held(made: Installation) -> dict[str, bytes]:
    """Return everything that the store holds of the person and that a run could change."""
    with made.timeseries() as store:
        streams = (*INPUT_STREAMS, NIGHT_STREAM)
        read = {stream.name: store.read(stream, "S1") for stream in streams}
        assert len(read_nights(store, "S1")) >= NIGHTS
    return {
        name: b"".join([one.t_ns.tobytes(), *(repr(each.tolist()).encode() for each in one.values.values())])
        for name, one in read.items()
    }


def run(made: Installation, out: Path, *more: str):
    words = ["--home", str(made.home), "evaluate", "--raw", "--out", str(out), "--onsets", "1", *more]
    return CliRunner().invoke(app, words)


def test_the_command_reports_what_was_asked_and_found_and_leaves_the_store_alone(clinic, tmp_path):
    before = held(clinic)
    asked = [
        word for name in ("severe", "illness-1-night", "hetero-moderate") for word in ("--scenario", name)
    ]
    told = run(clinic, tmp_path / "one", *asked)
    assert told.exit_code == 0, told.output
    assert held(clinic) == before
    report = json.loads((tmp_path / "one" / "report.json").read_text())
    effects = {(row["scenario"], row["value"]): row for row in report["effects"]}
    assert effects["severe", "mean_hr_bpm"]["asked_median"] == pytest.approx(0.08)
    assert effects["severe", "mean_hr_bpm"]["raw_median"] == pytest.approx(0.08, abs=0.006)
    assert effects["severe", "rmssd_ms"]["daily_median"] == pytest.approx(-0.25)
    assert (report["people"], report["simulated"], report["onsets"]) == (1, 1, 1)
    for value in ("mean_hr_bpm", "rmssd_ms", "steps"):  # the same is drawn for both
        hetero = effects["hetero-moderate", value]
        assert hetero["daily_median"] == pytest.approx(hetero["asked_median"], abs=1e-9)
        assert hetero["raw_median"] == pytest.approx(hetero["asked_median"], abs=0.01)
    severe, ill, _ = report["found"]
    assert severe["raw"]["found_35d"] == severe["daily"]["found_35d"] == 1.0
    assert severe["raw"]["null_35d"] == 0.0
    assert ill["raw"]["found_7d"] == ill["raw"]["null_7d"]
    text = (tmp_path / "one" / "report.md").read_text()
    assert "| severe | Heart rate at night | +8.0 % |" in text
    assert "Off by" in text
    assert "illness-1-night" in text.split("## Controls")[1]
    assert "1 people (1 of them simulated)" in text
    assert (tmp_path / "one" / "plots.html").stat().st_size > 100_000


def test_it_is_the_same_with_two_workers_and_another_seed_is_another_onset(clinic, tmp_path):
    written = []
    for k, (seed, workers) in enumerate((("1", "1"), ("1", "2"), ("4", "1"))):
        more = ["--scenario", "illness-1-night", "--seed", seed, "--workers", workers]
        told = run(clinic, tmp_path / str(k), *more)
        assert told.exit_code == 0, told.output
        written.append(json.loads((tmp_path / str(k) / "report.json").read_text())["effects"])
    assert written[0] == written[1] != written[2]


@pytest.mark.parametrize(
    ("more", "error"),
    [
        (["--scenario", "nothing"], ConfigError),
        (["--labels"], ConfigError),
        (["daily.csv"], ConfigError),
    ],
)
def test_what_cannot_be_is_refused(clinic, tmp_path, more, error):
    refused = run(clinic, tmp_path, *more)
    assert isinstance(refused.exception, error)


def test_scenarios_are_those_of_the_injector_each_once():
    assert set(chosen_scenarios(())) >= {"hetero-moderate", "moderate", "menstrual", "device-swap"}
    assert chosen_scenarios(["mild", "mild"]) == ("mild",)
    with pytest.raises(ConfigError, match="needed is one of mild"):
        chosen_scenarios(["relapse"])
    assert "phase-delay" in SCENARIOS


def test_who_cannot_be_taken_is_named(clinic, tmp_path, monkeypatch):
    def other(inputs: NightInputs) -> tuple[dict[str, int], str]:
        return {}, f"other samples of {inputs.span.night}"

    monkeypatch.setattr("models.raw_nights.counted", other)
    refused = run(clinic, tmp_path, "--scenario", "illness-1-night")
    assert isinstance(refused.exception, DataError)
    assert "S1, night" in str(refused.exception)


def test_nobody_with_enough_nights_is_said(tmp_path):
    made = Installation(tmp_path)
    refused = run(made, tmp_path / "out")
    assert isinstance(refused.exception, DataError)
    assert "nine weeks" in str(refused.exception)
