"""The shipped model over nightly rows, and a flag in words."""

from datetime import date, timedelta

import numpy as np
from typer.testing import CliRunner

from evenkeel import app
from features.nights import Nights
from features.specs import NIGHT_FEATURES
from models.clinic import chance_words, days_of_nights, explained, replayed
from models.risk import load_model
from store.types import Contribution, Flag
from tests.clinic import build_clinic


def nights_of(n: int, change_at: int, seed: int = 0) -> Nights:
    random = np.random.default_rng(seed)
    values = {spec.name: np.full(n, np.nan) for spec in NIGHT_FEATURES}
    changed = np.arange(n) >= change_at
    values["mean_hr_bpm"] = np.exp(random.normal(np.log(60), 0.04, n) + 0.12 * changed)
    values["lowest_hr_bpm"] = np.exp(random.normal(np.log(54), 0.03, n) + 0.12 * changed)
    values["rmssd_ms"] = np.exp(random.normal(np.log(45), 0.12, n) - 0.4 * changed)
    dates = tuple(date(2026, 1, 1) + timedelta(days=k) for k in range(n))
    return Nights("S1", dates, values, np.full(n, 0.9), ("",) * n, ("UTC",) * n)


def test_nights_of_a_chest_strap_alone_are_judged():
    found, states = replayed(nights_of(120, 90), load_model(), 0.25, 1.0)
    assert states["judged"] > 90
    assert [one for one in found if "2026-04-01" <= one.night <= "2026-04-20"]
    assert all("own usual" in one.reasons for one in found)


def test_a_night_without_a_row_is_a_hole_and_nothing_is_nothing():
    days = days_of_nights(nights_of(40, 99))
    assert len(days) == 40
    assert np.isfinite(days.values).sum(axis=1).tolist() == [3] * 40
    empty = Nights("S1", (), {}, np.empty(0), (), ())
    assert replayed(empty, load_model(), 0.25, 1.0) == ([], {})


def test_chance_is_said_in_tenths():
    assert chance_words(0.84) == "about 8 in 10 such alerts are chance"


def test_a_flag_is_explained_in_own_values_and_never_as_a_diagnosis():
    contribution = Contribution("rmssd_ms", 31.0, 44.0, 36.0, 53.0, -3.2, 6, 7)
    flag = Flag(
        "S1",
        date(2026, 3, 9),
        date(2026, 3, 3),
        6,
        5,
        "below",
        (contribution,),
        0.9,
        "rule/1",
        "abc",
        "RMSSD low",
    )
    text = "\n".join(explained(flag, state="open"))
    assert "31.00, usual 44.00, own band 36.00 to 53.00; outside on 6 of 7 nights, -3.2 SD" in text
    assert "Since 2026-03-03" in text
    assert "90 %" in text
    assert "Not a diagnosis" in text


def test_the_commands(tmp_path):
    build_clinic(tmp_path)
    runner = CliRunner()
    home = ["--home", str(tmp_path)]
    told = runner.invoke(app, [*home, "backtest", "--subject", "V02"])
    assert told.exit_code == 0, told.output
    assert "alerts at 0.25 per patient-month" in told.output
    listed = runner.invoke(app, [*home, "flags", "list"]).output
    number = listed.split()[0]
    assert "own normal" in runner.invoke(app, [*home, "flags", "explain", number]).output
