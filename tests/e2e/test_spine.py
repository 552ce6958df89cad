"""The whole thread from outside: the `evenkeel` command on recordings, good and bad."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.hrv import pnn50_pct, rmssd_ms, sdnn_ms
from features.nn import nn_from_rr
from store.types import RrSeries

START = "2026-01-05T20:00:00Z"
START_NS = 1_767_643_200_000_000_000
TIMEOUT_S = 300

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `evenkeel` with a home of its own."""

    def command(*words: object, status: int = 0) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "EVENKEEL_HOME": str(tmp_path / "home")}
        done = subprocess.run(
            [sys.executable, "-m", "evenkeel", *map(str, words)],
            env=environment,
            text=True,
            capture_output=True,
            timeout=TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        assert done.returncode == status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return command


def write_recording(path: Path, rr_ms: np.ndarray) -> Path:
    t_s = np.cumsum(rr_ms) / 1000
    pd.DataFrame({"t_s": t_s, "rr_ms": rr_ms}).to_csv(path, index=False)
    return path


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Five quiet hours, on the 1/1024 s grid of straps."""
    rr_ticks = np.random.default_rng(5).normal(1000, 40, 18_000).round()
    return write_recording(tmp_path / "five_hours.csv", rr_ticks * 1000 / 1024)


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """Ten quiet minutes."""
    return write_recording(tmp_path / "ten_minutes.csv", np.full(600, 1000.0))


def stored_beats(run: Run, subject: str, folder: Path) -> pd.DataFrame:
    run("samples", "--subject", subject, "--stream", "rr_interval", "--out", folder / "beats.csv")
    return pd.read_csv(folder / "beats.csv")


def test_a_heart_travels_from_strap_to_flag_and_export(run, recording, tmp_path):
    run("subject", "add", "S001", "--zone", "Europe/Berlin")
    run("replay", recording, "--subject", "S001", "--start", "2026-01-05T23:00:00Z")
    beats, source = stored_beats(run, "S001", tmp_path), pd.read_csv(recording)
    assert beats["rr_ms"].tolist() == source["rr_ms"].tolist()
    assert (np.diff(beats["t_ns"]) > 0).all()
    assert "1 nights computed" in run("features", "run").stdout
    assert "1 people judged" in run("flags", "run").stdout
    run("export", tmp_path / "export")
    nights = pd.read_parquet(tmp_path / "export" / "nights.parquet")
    assert nights["night"].tolist() == ["2026-01-06"]
    assert nights["rmssd_ms"][0] == pytest.approx(np.sqrt(np.mean(np.diff(source["rr_ms"]) ** 2)), rel=0.02)


def test_the_same_replay_again_changes_nothing_and_an_unstated_start_is_kept_for_it(run, short, tmp_path):
    run("subject", "add", "S001", "--zone", "UTC")
    run("replay", short, "--subject", "S001")
    first = stored_beats(run, "S001", tmp_path)
    assert len(first) == 600
    run("replay", short, "--subject", "S001")
    assert stored_beats(run, "S001", tmp_path).equals(first)


@pytest.mark.slow
def test_a_real_day_arrives_whole_and_its_hrv_is_the_reference(run, recordings, tmp_path):
    record = "nsr001"
    run("subject", "add", "S001", "--zone", "Europe/Berlin")
    run("replay", recordings / f"{record}.csv.gz", "--subject", "S001", "--speed", "max", "--start", START)
    beats, source = stored_beats(run, "S001", tmp_path), pd.read_csv(recordings / f"{record}.csv.gz")
    assert beats["rr_ms"].tolist() == source["rr_ms"].tolist()
    nn = nn_from_rr(RrSeries(beats["t_ns"].to_numpy(), beats["rr_ms"].to_numpy()), "median20")
    golden = json.loads((recordings / "golden_records.json").read_text()).get(record)
    if golden is None:  # no reference values: those of the recording itself
        t_ns = np.round(source["t_s"].to_numpy() * 1e9).astype(np.int64)
        direct = nn_from_rr(RrSeries(t_ns, source["rr_ms"].to_numpy()), "median20")
        golden = {"SDNN": sdnn_ms(direct), "RMSSD": rmssd_ms(direct), "pNN50": pnn50_pct(direct)}
    for name, function in {"SDNN": sdnn_ms, "RMSSD": rmssd_ms, "pNN50": pnn50_pct}.items():
        assert function(nn) == pytest.approx(golden[name], rel=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("record", ["healthy003", "e4_ibi"])
def test_real_gaps_and_finer_grids_arrive_within_the_straps_resolution(run, recordings, record, tmp_path):
    run("subject", "add", "S001", "--zone", "UTC")
    source = pd.read_csv(recordings / f"{record}.csv.gz", nrows=25_000)
    source.to_csv(tmp_path / "part.csv", index=False)
    run("replay", tmp_path / "part.csv", "--subject", "S001", "--start", START)
    beats = stored_beats(run, "S001", tmp_path)
    assert len(beats) == len(source)
    assert np.abs(beats["rr_ms"] - source["rr_ms"]).max() <= 1000 / 2048
    gap_s = np.diff(source["t_s"]) - source["rr_ms"][1:] / 1000
    stored_gap_s = np.diff(beats["t_ns"]) / 1e9 - beats["rr_ms"][1:] / 1000
    assert (gap_s > 3).any() == (record == "e4_ibi")
    assert (stored_gap_s[gap_s > 3] > 1.5).all()
    assert np.abs(stored_gap_s[gap_s <= 3]).max() < 4, "no gap grows by more than one packet's second"


BAD_FILES = (("t_s,rr_ms\n1.0,800\n2.0,-5\n", "line 3: rr_ms is -5"), ("", "bad.csv"))
"""Two of those that `tests/unit/test_recording.py` has."""


def test_bad_recordings_get_a_sentence_and_harm_nothing(run, short, tmp_path):
    run("subject", "add", "S001", "--zone", "UTC")
    run("replay", short, "--subject", "S001", "--start", START)
    before = stored_beats(run, "S001", tmp_path)
    for text, expected in BAD_FILES:
        (tmp_path / "bad.csv").write_text(text)
        assert expected in run("replay", tmp_path / "bad.csv", "--subject", "S001", status=2).stderr
    assert "evenkeel subject add NOBODY" in run("replay", short, "--subject", "NOBODY", status=2).stderr
    assert stored_beats(run, "S001", tmp_path).equals(before)


def test_an_interval_no_strap_can_send_is_named_and_the_rest_arrives(run, tmp_path):
    rr_ms = np.full(600, 1000.0)
    rr_ms[300] = 70_000.0
    run("subject", "add", "S001", "--zone", "UTC")
    path = write_recording(tmp_path / "pause.csv", rr_ms)
    done = run("replay", path, "--subject", "S001", "--start", START, status=3)
    assert "Interval 301 of pause.csv (70.0 s)" in done.stderr
    assert len(stored_beats(run, "S001", tmp_path)) == 599


def test_refusals_say_what_to_do(run, tmp_path, monkeypatch):
    assert "evenkeel sensor pair" in run("collect", status=2).stderr
    monkeypatch.setenv(
        "DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'no-bus'}"
    )  # also where there is one
    assert "No usable Bluetooth" in run("scan", "--seconds", 1, status=2).stderr
    (tmp_path / "file").write_text("")
    assert "--home DIR" in run("--home", tmp_path / "file" / "x", "subject", "list", status=2).stderr
    run("subject", "add", "S001", "--zone", "UTC")
    where = tmp_path / "nowhere" / "x.csv"
    words = ("samples", "--subject", "S001", "--stream", "rr_interval")
    assert "cannot be written" in run(*words, "--out", where, status=2).stderr
    assert "rr_interval" in run(*words[:-1], "pulse", "--out", where, status=2).stderr
    assert "not simulated" in run("demo", "--seconds", 1, status=2).stderr
    run("nonsense", status=2)


def test_collecting_again_after_a_crash_forwards_what_was_left(run):
    assert "0 frames spooled" in run("collect", "--drain").stdout


@pytest.mark.slow
def test_the_demonstration_counts_agree(run):
    done = run("demo", "--seconds", 4, "--days", 5)
    last = done.stdout.strip().splitlines()[-1]
    assert last.startswith("received = spooled = stored: heart_rate ")
    assert last.endswith("all agree")
    people = json.loads(run("subject", "list", "--format", "json").stdout)
    assert len(people) == 12
    assert all(person["is_simulated"] for person in people)
    assert "SIM-01" in run("subject", "list").stdout


def test_help_names_every_command(run):
    text = run("--help").stdout
    words = "subject scan collect replay samples features flags dashboard export demo doctor"
    for word in words.split():
        assert f" {word} " in text
    assert run("doctor").stdout.count("\n") >= 8
