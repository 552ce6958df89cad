"""What stands around the jobs: leases, reports, explanations, the commands that a scheduler calls."""

import json
import os
from datetime import timedelta

import numpy as np
import pytest
from typer.testing import CliRunner

import evenkeel
from configs.settings import FeatureSettings
from features.executors import PoolCrew
from features.explain import explain, lines_of
from features.job import run_features, sensor_models
from features.night_source import SourcePlace
from features.nights import NIGHT_STREAM
from store.clock import SystemClock
from store.errors import BusyError, StoreUnavailableError, UnknownError
from store.job_report import JobReport, metrics_text, write_json
from store.registry.leases import LASTS_S, has_ended, this_process
from store.timeseries import Batch
from store.units import NS_PER_S
from tests.unit.test_incremental import FIRST, night_batches

SETTINGS = FeatureSettings()


@pytest.fixture
def subject(registry, store) -> str:
    registry.people.add_subject("S1", "Europe/Berlin")
    store.write(night_batches(0, hours=6))
    run_features(store, registry, SETTINGS, now_ns=1)
    return "S1"


def elsewhere(pid: int = 1) -> str:
    return json.dumps({"host": "another", "pid": pid, "place": "another boot", "start": "7"})


def test_one_holds_a_lease_until_it_is_silent(registry, clock):
    leases = registry.leases
    assert leases.take("features", elsewhere(1)) is None
    held = leases.take("features", elsewhere(2))
    assert "process 1 on another" in str(held)
    assert leases.take("flags", elsewhere(2)) is None
    clock.advance_to(clock.now_ns() + (LASTS_S - 1) * NS_PER_S)
    assert leases.beat("features", elsewhere(1))
    clock.advance_to(clock.now_ns() + (LASTS_S - 1) * NS_PER_S)
    assert leases.take("features", elsewhere(2)) is not None
    clock.advance_to(clock.now_ns() + 2 * NS_PER_S)
    assert leases.take("features", elsewhere(2)) is None
    assert not leases.beat("features", elsewhere(1))
    leases.release("features", elsewhere(1))
    assert leases.beat("features", elsewhere(2))


def test_a_lease_of_a_process_that_died_here_is_free_at_once(registry):
    dead = {**json.loads(this_process()), "start": "another process had this number"}
    assert has_ended(json.dumps(dead))
    assert not has_ended(this_process())
    assert not has_ended(elsewhere())
    assert registry.leases.take("features", json.dumps(dead)) is None
    assert registry.leases.take("features", this_process()) is None


def test_who_cannot_wait_is_told_who_is_at_work(registry):
    registry.leases.take("features", elsewhere())
    with pytest.raises(BusyError, match="process 1 on another"), registry.leases.held("features", wait_s=0):
        pass
    with registry.leases.held("flags", wait_s=0) as beat:
        beat()
    assert registry.leases.take("flags", elsewhere()) is None


def test_a_report_is_json_and_metrics(tmp_path):
    report = JobReport("features", "j1", 0, 5 * NS_PER_S, {"nights": 2}, ("S1, night: why",), 2 * NS_PER_S)
    write_json(tmp_path / "s.json", [report])
    said = json.loads((tmp_path / "s.json").read_text())["features"]
    assert (said["status"], said["seconds"], said["nights"]) == (3, 5.0, 2)
    assert said["oldest_waiting_since"] == "1970-01-01T00:00:02Z"
    lines = metrics_text([report]).splitlines()
    assert 'evenkeel_job_done{job="features",what="nights"} 2' in lines
    assert 'evenkeel_job_oldest_waiting_seconds{job="features"} 3' in lines
    assert 'evenkeel_job_failed{job="features"} 1' in lines
    assert [path.name for path in tmp_path.iterdir()] == ["s.json"]


def test_a_value_is_explained_down_to_the_beats_that_were_removed(store, registry, subject):
    asked = (subject, FIRST, "rmssd_ms")
    zones, models = registry.people.zone_history(subject), sensor_models(registry)
    found = explain(store, zones, SETTINGS, asked, models)
    assert found.is_same
    assert found.differs == []
    assert sum(window.received for window in found.windows) > 19_000
    assert all(window.used == window.received - len(window.removed) for window in found.windows)
    text = "\n".join(lines_of(found))
    assert "Again" in text
    assert "the same" in text
    json.dumps(found.as_json())


def test_samples_that_changed_since_are_said(store, registry, subject):
    beats = night_batches(0, hours=6, seed=3)[0]
    store.write([Batch(beats.stream, "S1", "A", beats.t_ns[:9000], {"rr_ms": beats.values["rr_ms"][:9000]})])
    zones, models = registry.people.zone_history(subject), sensor_models(registry)
    found = explain(store, zones, SETTINGS, (subject, FIRST, "rmssd_ms"), models)
    assert not found.is_same
    assert found.differs[0].startswith("samples ")
    withheld = explain(store, zones, SETTINGS, (subject, FIRST, "ln_rmssd_7d"), models)
    assert "1 of the last 7 nights" in withheld.reason
    with pytest.raises(UnknownError, match="no row"):
        explain(store, zones, SETTINGS, (subject, FIRST + timedelta(days=9), "rmssd_ms"), models)


def test_processes_compute_the_same(installation, store, registry, subject):
    reference = store.read(NIGHT_STREAM, subject)
    crew = PoolCrew(SourcePlace(str(installation.store_place())), SETTINGS, 1)
    assert run_features(store, registry, SETTINGS, now_ns=2, is_all=True, crew=crew).nights == 1
    found = store.read(NIGHT_STREAM, subject)
    for name in set(NIGHT_STREAM.column_names()) - {"job_id", "computed_ns"}:
        np.testing.assert_array_equal(found[name], reference[name])


def test_what_is_due_is_done_in_order_and_reported(
    installation, store, registry, subject, tmp_path, monkeypatch
):
    monkeypatch.setenv("EVENKEEL_HOME", str(installation.home))
    metrics, summary = tmp_path / "m.prom", tmp_path / "s.json"
    words = ["run-due", "--format", "json", "--metrics", str(metrics), "--summary", str(summary)]
    done = CliRunner().invoke(evenkeel.app, words)
    assert done.exit_code == 0, done.output
    assert list(json.loads(summary.read_text())) == ["ledger", "features", "flags"]
    assert json.loads(summary.read_text())["flags"]["people"] == 1
    assert "evenkeel_job_ended_timestamp_seconds" in metrics.read_text()
    again = CliRunner().invoke(evenkeel.app, words)
    assert json.loads(summary.read_text())["flags"]["people"] == 0, again.output


def test_a_store_that_cannot_be_reached_ends_no_watch(installation, registry, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(installation.home))
    rounds: list[str] = []

    def one_round(*_):
        rounds.append("asked")
        if len(rounds) == 1:
            raise StoreUnavailableError("The store at nowhere does not answer; start it")
        return [JobReport("features", "j", 0, 1, {"nights": 7})]

    async def pause(_clock, seconds):
        assert seconds == 900
        if len(rounds) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr("models.due_cli._round", one_round)
    monkeypatch.setattr(SystemClock, "sleep", pause)
    done = CliRunner().invoke(evenkeel.app, ["run-due", "--watch"])
    assert "nowhere does not answer" in done.output
    assert "features: nights 7, failed 0" in done.output
    rounds.clear()
    assert isinstance(CliRunner().invoke(evenkeel.app, ["run-due"]).exception, StoreUnavailableError)


def test_a_run_that_finds_another_at_work_says_so_with_status_3(installation, registry, subject, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(installation.home))
    real = json.dumps({**json.loads(elsewhere()), "pid": os.getpid()})
    with installation.registry() as now:
        now.leases._clock = SystemClock()
        now.leases.take("features", real)
    done = CliRunner().invoke(evenkeel.app, ["features", "run", "--wait", "0"])
    assert done.exit_code == 3
    assert "is at work" in done.output
