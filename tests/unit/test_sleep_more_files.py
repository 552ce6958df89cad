"""Sleep of files that hold an angle, or a heart rate beside counts."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.epochs import Epochs
from features.sleep import SCORERS, Periods
from features.sleep_by_angle import score_angle
from features.sleep_file import score_sleep
from features.sleep_stages_file import HeartRate, read_heart_rate, with_stages
from store.errors import ConfigError, RecordingError
from store.nights import local_ns
from store.units import NS_PER_S
from tests.movement import ZONE
from tests.unit.test_movement_night import MONDAY, arm


def angles(days: int = 4, **more) -> Epochs:
    held = arm(MONDAY, days, **more)
    columns = {"z_angle_deg": held["z_angle_deg"], "sd_mg": held["sd_mg"]}
    return Epochs(held.t_ns, 5.0, columns, "z_angle_deg", ZONE)


def test_a_week_of_angles_has_a_row_a_night():
    found = score_angle(angles())
    assert len(found.frame) == 5
    whole = found.frame[found.frame["withheld"] == ""]
    assert len(whole) == 3
    assert whole["onset_h"].to_numpy() == pytest.approx([23.0] * 3, abs=0.2)
    assert whole["tst_min"].to_numpy() == pytest.approx([480] * 3, abs=15)
    assert found.frame["naps"].isna().all()
    assert found.frame["sol_min"].isna().all()
    assert set(found.frame["period_source"]) == {"hdcza"}
    assert any("not proven on people" in note for note in found.notes)


def test_what_was_not_worn_is_no_sleep():
    epochs = angles()
    deg, sd_mg = epochs.values.copy(), epochs.columns["sd_mg"].copy()
    table = slice(20 * 720, 34 * 720)  # a night on a table
    deg[table], sd_mg[table] = 3.0, 1.0
    found = score_angle(
        Epochs(epochs.start_ns, 5.0, {"z_angle_deg": deg, "sd_mg": sd_mg}, "z_angle_deg", ZONE)
    )
    row = found.frame.set_index("night").loc[(MONDAY + timedelta(days=1)).isoformat()]
    assert np.isnan(row["tst_min"])


def test_minutes_of_angles_are_refused():
    with pytest.raises(ConfigError, match=r"needed are 6 s or less"):
        score_angle(angles().lengthened(60))


def watch(stir: float = 0.05) -> tuple[Epochs, Epochs, HeartRate, Periods]:
    """Counts of 30 s and their minutes, a heart that beats all night, and a session in bed."""
    rng = np.random.default_rng(4)
    start_ns = local_ns(MONDAY, 20, ZONE)
    t_ns = start_ns + np.arange(1440, dtype=np.int64) * 30 * NS_PER_S
    counts = np.where(rng.random(1440) < stir, rng.gamma(2, 40, 1440), 0.0)
    counts[:240] = rng.gamma(2, 60, 240)
    short = Epochs(t_ns, 30.0, {"counts": counts}, "counts", ZONE)
    bpm_ns = start_ns + np.arange(0, 12 * 3600, 5, dtype=np.int64) * NS_PER_S
    bpm = 55 + 4 * np.sin(bpm_ns / NS_PER_S / 900) + rng.normal(0, 1, len(bpm_ns))
    bed = Periods(np.array([t_ns[240]]), np.array([t_ns[-2]]), "sessions")
    return short, short.lengthened(60), HeartRate(bpm_ns, bpm), bed


def test_counts_and_a_heart_rate_give_stages():
    short, minutes, heart, bed = watch()
    scored = score_sleep(minutes, SCORERS["cole_kripke"], bed, 1.0)
    found = with_stages(scored, short, heart)
    row = found.frame.iloc[0]
    assert row["nrem_min"] + row["rem_min"] == pytest.approx(row["tst_min"])
    assert row["nrem_min"] > row["rem_min"] >= 0
    assert row["scorer"] == "cole_kripke+evenkeel_stages"
    assert row["tib_min"] == scored.frame.iloc[0]["tib_min"]
    assert any("of another device they mean little" in note for note in found.notes)


def test_a_heart_rate_with_holes_gives_sleep_and_wake_alone():
    short, minutes, heart, bed = watch()
    scored = score_sleep(minutes, SCORERS["cole_kripke"], bed, 1.0)
    kept = np.arange(len(heart.t_ns)) < 0.6 * len(heart.t_ns)
    found = with_stages(scored, short, HeartRate(heart.t_ns[kept], heart.bpm[kept]))
    assert found.frame.iloc[0]["tst_min"] == scored.frame.iloc[0]["tst_min"]
    assert "rem_min" not in found.frame or np.isnan(found.frame.iloc[0]["rem_min"])
    assert any("80 % of both needed" in note for note in found.notes)


def test_heart_rates_are_read_or_refused(tmp_path: Path):
    path = tmp_path / "heart.csv"
    pd.DataFrame({"time": ["2026-03-09T20:00:05", "2026-03-09T20:00:00"], "heart_rate_bpm": [60, 61]}).to_csv(
        path
    )
    found = read_heart_rate(path, ZONE)
    assert found.bpm.tolist() == [61, 60]
    assert found.t_ns[0] == local_ns(MONDAY, 20, ZONE)
    path.write_text("time,bpm\n")
    with pytest.raises(RecordingError, match="no column heart_rate_bpm"):
        read_heart_rate(path, ZONE)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_heart_rate(tmp_path / "none.csv", ZONE)
