"""The commands activity, rhythm and wear over plain files: rows, reasons, plots and refusals."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from features.activity import ACTIVITY_SPECS
from features.epochs import Epochs
from features.epochs.wear import wear as find_wear
from features.movement_cli import activity, rhythm, wear
from features.movement_plot import write_actogram
from features.rhythm import RHYTHM_SPECS
from store.errors import ConfigError, EvenkeelError
from tests.conftest import REPOSITORY

MINUTES = 1440


@pytest.fixture
def week(tmp_path: Path) -> Path:
    """Five days of one-minute counts, day and night, and 7 h on a table."""
    t_h = np.arange(5 * MINUTES) / 60
    counts = np.round(
        np.maximum(0, 500 * np.cos(2 * np.pi * (t_h - 15) / 24) + 200) + 7 * (t_h * 60 % 11 == 0)
    )
    counts[3 * MINUTES + 600 : 3 * MINUTES + 1020] = 0
    times = pd.date_range("2026-03-27", periods=len(counts), freq="1min").strftime("%Y-%m-%dT%H:%M:%S")
    path = tmp_path / "week.csv"
    pd.DataFrame({"time": times, "counts": counts}).to_csv(path, index=False)
    return path


def ran(command: object, *words: object) -> str:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def test_activity_writes_a_row_per_day_or_one(week: Path, tmp_path: Path) -> None:
    ran(activity, week, "--active-threshold", 100, "--out", tmp_path / "days.csv")
    days = pd.read_csv(tmp_path / "days.csv")
    assert {spec.name for spec in ACTIVITY_SPECS} <= set(days.columns)
    assert days["is_valid"].tolist() == [True, True, True, False, True]
    assert np.isnan(days["tac"][3])
    assert days["withheld"][3].startswith("worn 0.71 of the day")
    ran(activity, week, "--active-threshold", 100, "--record", "--out", tmp_path / "record.parquet")
    record = pd.read_parquet(tmp_path / "record.parquet")
    assert record["valid_days"].tolist() == [4]
    assert record["active_min"][0] == pytest.approx(days["active_min"].mean())


def test_rhythm_writes_one_row_or_one_per_day(week: Path, tmp_path: Path) -> None:
    said = ran(rhythm, week, "--zone", "UTC", "--out", tmp_path / "rhythm.csv")
    row = pd.read_csv(tmp_path / "rhythm.csv").iloc[0]
    assert {spec.name for spec in RHYTHM_SPECS} <= set(row.index)
    assert row["acrophase_h"] == pytest.approx(15, abs=0.5)
    assert "1 row written" in said
    ran(rhythm, week, "--daily", "--out", tmp_path / "daily.csv")
    assert len(pd.read_csv(tmp_path / "daily.csv")) == 5


def test_wear_writes_stretches_in_local_time(week: Path, tmp_path: Path) -> None:
    said = ran(wear, week, "--zone", "Europe/Berlin", "--out", tmp_path / "wear.csv")
    rows = pd.read_csv(tmp_path / "wear.csv")
    assert rows["state"].tolist() == ["worn", "not_worn", "worn"]
    assert rows["minutes"].sum() == 5 * MINUTES
    assert rows["start"][0] == "2026-03-27T00:00:00+01:00"
    assert "runs on" in said or "ran on" in said


def test_plot_is_one_page_without_a_network(week: Path, tmp_path: Path) -> None:
    ran(wear, week, "--plot", tmp_path / "week.html")
    page = (tmp_path / "week.html").read_text()
    assert "Actogram of week.csv" in page
    assert "src=" not in page.split("<body>")[1].split("<script")[0]
    with pytest.raises(ConfigError, match="html"):
        ran(wear, week, "--plot", tmp_path / "week.png")


def test_sleep_is_drawn_where_it_was(tmp_path: Path) -> None:
    starts_ns = 1_767_571_200_000_000_000 + 60_000_000_000 * np.arange(2 * MINUTES)
    epochs = Epochs(starts_ns, 60.0, {"heart_rate_bpm": np.full(2 * MINUTES, 60.0)}, "heart_rate_bpm")
    asleep = np.arange(2 * MINUTES) % MINUTES < 420
    for name, marked in (("without.html", None), ("with.html", asleep)):
        write_actogram(epochs, find_wear(epochs), "x", tmp_path / name, marked)
        assert ('"name":"asleep"' in (tmp_path / name).read_text()) == (marked is not None)


def test_without_out_values_and_reasons_are_shown(week: Path) -> None:
    said = ran(activity, week, "--record")
    assert "--active-threshold" in said
    assert "valid_days" in said


def test_refusals(week: Path, tmp_path: Path) -> None:
    for words in (
        (week, "--zone", "Mars/Olympus"),
        (week, "--wear-rule", "guess"),
        (week, "--column", "steps"),
        (week, "--out", tmp_path / "rows.txt"),
        (week, "--out", tmp_path / "nowhere" / "rows.csv"),
        (tmp_path / "nothing.csv",),
    ):
        with pytest.raises(EvenkeelError):
            ran(rhythm, *words)


def test_the_document_says_what_the_declarations_say() -> None:
    command = [sys.executable, "tools/write-movement-reference", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0, (
        "run tools/write-movement-reference"
    )


def test_every_value_is_declared_once() -> None:
    names = [spec.name for spec in (*ACTIVITY_SPECS, *RHYTHM_SPECS)]
    assert len(set(names)) == len(names)
    assert all(spec.doi.startswith("10.") and spec.formula for spec in (*ACTIVITY_SPECS, *RHYTHM_SPECS))
