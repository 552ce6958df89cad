"""The command that scores a plain RR file: columns, reasons, refusals, the drawing."""

import gzip
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evenkeel import app
from features.hrv import HRV_SPECS
from features.hrv_file import score_windows
from features.hrv_plot import plot_path
from store.errors import EvenkeelError
from store.recording import RrRecording, read_rr_file

NAMES = [spec.name for spec in HRV_SPECS]
LEADING = ["start_s", "n_beats", "n_nn", "coverage_frac", "valid_diff_frac"]


def intervals(n: int = 800) -> np.ndarray:
    beat = np.arange(n)
    return np.round(900 + 40 * np.sin(beat / 2.2) + 30 * np.sin(beat / 17) + beat % 7)


def written(path, rr_ms, column="rr_ms", *, with_time=True):
    frame = pd.DataFrame({column: rr_ms})
    if with_time:
        frame.insert(0, "t_s", np.cumsum(rr_ms) / 1000)
    frame.assign(beat="N").to_csv(path, index=False)
    return path


def run(*words):
    return CliRunner().invoke(app, ["hrv", *map(str, words)], catch_exceptions=True)


def scored(tmp_path, file, *words) -> pd.DataFrame:
    out = tmp_path / "out.csv"
    done = run(file, "--out", out, *words)
    assert done.exit_code == 0, done.output
    return pd.read_csv(out)


def test_a_row_per_window_with_every_declared_value(tmp_path):
    table = scored(tmp_path, written(tmp_path / "a.csv", intervals()), "--clean", "none")
    assert list(table.columns) == [*LEADING, *NAMES, "withheld"]
    assert table["start_s"].tolist() == [0, 300, 600]
    assert table["n_beats"].sum() == 800
    assert np.isfinite(table.loc[1, [n for n in NAMES if n not in ("hti", "tinn_ms")]].astype(float)).all()


def test_without_times_intervals_follow_each_other(tmp_path):
    timed = scored(tmp_path, written(tmp_path / "a.csv", intervals()))
    plain = scored(tmp_path, written(tmp_path / "b.csv", intervals(), with_time=False))
    pd.testing.assert_frame_equal(timed, plain, rtol=1e-9)


def test_pulse_intervals_never_carry_the_names_of_heartbeats(tmp_path):
    heart = scored(tmp_path, written(tmp_path / "a.csv", intervals()))
    for column in ("pp_ms", "ppi_ms"):
        file = written(tmp_path / "b.csv", intervals(), column)
        pulse = scored(tmp_path, file)
        assert not set(NAMES) & set(pulse.columns)
        np.testing.assert_array_equal(pulse["prv_rmssd_ms"], heart["rmssd_ms"])
        of_record = json.loads(run(file, "--record").output)
        assert "prv_sdann_ms" in of_record
        assert not set(NAMES) & (of_record.keys() | of_record["withheld"].keys())


def test_empty_windows_are_rows_and_say_why(tmp_path):
    rr_ms = intervals(330)
    t_s = np.concatenate([np.cumsum(rr_ms), 900_000 + np.cumsum(rr_ms)]) / 1000
    pd.DataFrame({"t_s": t_s, "rr_ms": np.tile(rr_ms, 2)}).to_csv(tmp_path / "a.csv", index=False)
    table = scored(tmp_path, tmp_path / "a.csv")
    assert table["n_beats"].tolist() == [330, 0, 0, 330]
    assert table.loc[1, NAMES].isna().all()
    assert "coverage 0.00" in table.loc[1, "withheld"]
    assert pd.isna(table.loc[0, "withheld"])


@pytest.mark.parametrize("ending", [".csv", ".csv.gz", ".parquet", ".json"])
def test_every_format_holds_the_same_table(tmp_path, ending):
    file = written(tmp_path / "a.csv", intervals())
    expected = scored(tmp_path, file)
    out = tmp_path / ("b" + ending)
    assert run(file, "--out", out).exit_code == 0
    read = {".parquet": pd.read_parquet, ".json": pd.read_json}.get(ending, pd.read_csv)(out)
    np.testing.assert_allclose(read["rmssd_ms"].astype(float), expected["rmssd_ms"], rtol=1e-9)
    if ending == ".csv.gz":
        assert gzip.decompress(out.read_bytes()).startswith(b"start_s,")
    if ending == ".json":
        assert all("NaN" not in line for line in out.read_text().splitlines())


def test_windows_start_at_t0_and_may_overlap(tmp_path):
    table = scored(
        tmp_path, written(tmp_path / "a.csv", intervals()), "--t0", 10, "--step", 60, "--window", 120
    )
    assert (np.diff(table["start_s"]) == 60).all()
    assert ((table["start_s"] - 10) % 60 == 0).all()


def test_a_whole_record_is_json_with_reasons(tmp_path):
    file = written(tmp_path / "a.csv", intervals())
    values = json.loads(run(file, "--record", "--clean", "median20").output)
    assert {"hti", "tinn_ms", "sdann_ms", "sdnni_ms", "rmssd_ms"} <= values.keys()
    assert values["rule"] == "median20"
    assert values["tinn_ms"] is None
    assert "900 needed" in values["withheld"]["tinn_ms"]
    assert "sampen" not in values
    assert json.loads(run(file, "--record", "--entropies").output)["sampen"] > 0


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_beats_are_scored_and_withheld(tmp_path, n):
    file = written(tmp_path / "a.csv", intervals(n))
    table = scored(tmp_path, file, "--clean", "none")
    assert table["n_beats"].tolist() == [n]
    assert table.loc[0, NAMES].isna().all()
    assert table.loc[0, "withheld"]
    assert run(file, "--record").exit_code == 0
    assert run(file).exit_code == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("1,800\n2,inf\n", "line 3: rr_ms is inf"),
        ("1,800\n2,nan\n", "line 3: rr_ms is nan"),
        ("nan,800\n", "line 2: t_s is nan"),
        ("2,800\n1,800\n", "sort the rows by t_s"),
        ("1,800\n1,800\n", "t_s is 1 after 1"),
        ("1,-800\n", "rr_ms is -800"),
        ("1750000000000,800\n", "t_s is 1.75e+12"),
        ("".join(f"{k},0.8\n" for k in range(20)), "needed are milliseconds"),
        ("".join(f"{800 * k},800\n" for k in range(20)), "needed are seconds"),
        ("", "no rows"),
        ("1,eight\n", "rr_ms is 'eight'"),
    ],
)
def test_what_is_no_recording_is_refused_in_one_sentence(tmp_path, rows, said):
    (tmp_path / "a.csv").write_text("t_s,rr_ms\n" + rows)
    done = subprocess.run(
        [sys.executable, "-m", "evenkeel", "hrv", str(tmp_path / "a.csv")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--window", "0"), "above 0 s"),
        (("--window", "nan"), "above 0 s"),
        (("--step", "inf"), "above 0 s"),
        (("--step", "1e-6"), "windows from the first beat"),
        (("--t0", "nan"), "--t0"),
        (("--clean", "best"), "median20"),
        (("--out", "x.xlsx"), ".parquet"),
        (("--plot", "x.png"), ".html"),
    ],
)
def test_what_cannot_be_asked_for_is_refused(tmp_path, words, said):
    done = run(written(tmp_path / "a.csv", intervals(40)), *words)
    assert isinstance(done.exception, EvenkeelError)
    assert said in str(done.exception)


def test_long_windows_leave_entropies_out_unless_asked(tmp_path):
    recording = read_rr_file(written(tmp_path / "a.csv", intervals(900)))
    assert "sampen" not in score_windows(recording, "none", 8000, 8000).frame
    assert "sampen" in score_windows(recording, "none", 8000, 8000, with_entropies=True).frame


def test_a_table_for_people(tmp_path):
    done = run(written(tmp_path / "a.csv", intervals()))
    lines = done.stdout.splitlines()
    assert "800 RR intervals" in lines[0]
    assert len(lines) == 3 + 3
    assert all(len(line) <= 100 for line in lines)


def test_the_drawing_needs_no_network(tmp_path):
    file = written(tmp_path / "night <1>.csv", intervals())
    assert run(file, "--plot", tmp_path).exit_code == 0
    page = (tmp_path / "night <1>.hrv.html").read_text()
    assert "night &lt;1&gt;.csv" in page
    assert "<script src" not in page
    assert "SD1" in page
    assert plot_path(tmp_path / "x.html", "y.csv") == tmp_path / "x.html"


@pytest.mark.parametrize("n", [1, 3, 30])
def test_anything_can_be_drawn(tmp_path, n):
    file = written(tmp_path / "a.csv", np.full(n, 250.0))
    assert run(file, "--plot", tmp_path / "a.html").exit_code == 0


# --- real recordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "column", "power_ms2"),
    [("ec57_tp2", "hf_ms2", 612.5), ("ec57_tp3", "lf_ms2", 2450.0), ("ec57_tp4", "vlf_ms2", 39200.0)],
)
def test_power_of_the_standard_patterns(recordings, pattern, column, power_ms2):
    found = score_windows(read_rr_file(recordings / f"{pattern}.csv.gz"), "none", 300, 300)
    assert found.frame[column].head(24).mean() == pytest.approx(power_ms2, rel=0.02)


def test_values_of_3245_consumer_recordings(recordings):
    """The app's own SDNN, RMSSD and pNN50, within its rounding."""
    frame = pd.read_csv(recordings / "welltory.csv.gz")
    off = {"sdnn_ms": [], "rmssd_ms": [], "pnn50_pct": []}
    theirs = {"sdnn_ms": "SDNN", "rmssd_ms": "RMSSD", "pnn50_pct": "pNN50"}
    lowered = {column.lower(): column for column in frame.columns}
    from features.hrv import beats, whole
    from features.hrv_file import series_of
    from features.nn import nn_from_rr

    for _, row in frame.iterrows():
        rr_ms = np.array([float(v) for v in str(row["rr_data"]).replace(",", " ").split()])
        recording = RrRecording(np.cumsum(rr_ms) / 1000, rr_ms, "")
        nn = nn_from_rr(series_of(recording), "none")
        found = beats(nn, whole(nn))
        for name, column in theirs.items():
            off[name].append(abs(getattr(found, name)[0] - row[lowered[column.lower()]]))
    for name, errors in off.items():
        assert max(errors) <= 0.0051, name
