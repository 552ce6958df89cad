"""Sleep: scorers by hand and beside each other, periods, values of nights, regularity, a vendor's logs."""

import gzip
import json
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from evenkeel import app
from features.epochs import Epochs, read_epochs
from features.sleep import (
    SCORERS,
    SLEEP_SPECS,
    CountScale,
    Hypnogram,
    SleepStage,
    circular_mean_h,
    circular_sd_min,
    count_scale_of,
    hdcza,
    periods_of,
    roenneberg,
    score_counts,
    score_epochs,
    scorer_named,
    sleep_regularity_index,
    sleep_regularity_index_clock,
    sleep_values,
    social_jet_lag_h,
    webster,
    zero_runs,
)
from features.sleep.fitbit import hypnogram_of
from features.sleep_file import read_sessions, score_fitbit, score_sleep
from store.errors import ConfigError, EvenkeelError, RecordingError, UnknownError
from store.fitbit import fitbit_logs
from store.units import NS_PER_S
from tests.conftest import REPOSITORY, SHARED

MINUTE_NS = 60 * NS_PER_S
UTC_START = 1_767_643_200 * NS_PER_S  # 2026-01-05T20:00:00Z
WAKE, ASLEEP, UNSCORED = SleepStage.WAKE, SleepStage.ASLEEP, SleepStage.UNSCORED


def minutes(counts, start_ns=UTC_START, zone="UTC", device="actigraph"):
    start = start_ns + np.arange(len(counts), dtype=np.int64) * MINUTE_NS
    return Epochs(start, 60.0, {"counts": np.asarray(counts, float)}, "counts", zone, device)


def scored(text, start_ns=UTC_START):
    stage = [{"s": 1, "w": 0, ".": -1}[letter] for letter in text]
    return Hypnogram(start_ns, 60.0, np.array(stage, np.int8), "test")


def person(days, seed=3, *, sleeps=lambda minute: minute < 7 * 60):
    """Counts of someone who sleeps when `sleeps` says so of the minute of the day, and sometimes stirs."""
    random = np.random.default_rng(seed)
    minute = np.arange(days * 1440) % 1440
    awake = random.gamma(2.0, 400.0, len(minute))
    asleep = np.where(random.random(len(minute)) < 0.05, 60.0, 0.0)
    return np.where(sleeps(minute), asleep, awake)


@pytest.mark.parametrize("name", SCORERS)
def test_lying_still_is_sleep_and_running_is_wake(name):
    still, running = np.zeros(60), np.full(60, 20_000.0)
    scorer = SCORERS[name]
    scale = count_scale_of(scorer, "actigraph")
    assert (score_counts(still, scorer, scale) == ASLEEP).all()
    assert (score_counts(running, scorer, scale)[5:-5] == WAKE).all()


def test_cole_kripke_by_hand():
    """One burst counts at once (230), one minute later (76) and four later (106); elsewhere too little."""
    counts = np.zeros(20)
    counts[10] = 1000 / 76 + 0.01
    stage = score_counts(counts, SCORERS["cole_kripke_actilife"], CountScale())
    assert np.flatnonzero(stage == WAKE).tolist() == [10, 11, 14]


def test_sadeh_by_hand():
    """All alike: MW5 = a, NAT = 11 inside [50, 100), SD = 0."""
    stage = score_counts(np.full(30, 49.0), SCORERS["sadeh"], CountScale())
    assert stage[12] == (7.601 - 0.065 * 49 - 0.703 * np.log(50) >= 0) == ASLEEP
    assert score_counts(np.full(30, 50.0), SCORERS["sadeh"], CountScale())[12] == WAKE  # 11 times 1.08 less


def test_oakley_calls_wake_only_what_exceeds_its_threshold():
    counts = np.zeros(9)
    counts[4] = 40.0
    assert (score_counts(counts, SCORERS["oakley_40"], CountScale()) == ASLEEP).all()
    assert score_counts(counts + (counts > 0), SCORERS["oakley_40"], CountScale())[4] == WAKE


def test_the_scale_of_counts_is_part_of_the_answer():
    counts = np.full(60, 3000.0)
    scorer = SCORERS["cole_kripke"]
    assert score_counts(counts, scorer, CountScale(0.0001))[30] == ASLEEP
    assert score_counts(counts, scorer, CountScale(0.01))[30] == WAKE
    assert count_scale_of(scorer, "something new") is None


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("wwwwss", "wwwwws"),
        ("wwwsss", "wwwsss"),
        ("w" * 10 + "s" * 20, "w" * 13 + "s" * 17),
        ("w" * 15 + "s" * 20, "w" * 19 + "s" * 16),
        ("w" * 10 + "s" * 6 + "w" * 10, "w" * 26),
        ("w" * 20 + "s" * 10 + "w" * 20, "w" * 50),
        ("w" * 10 + "." + "s" * 6 + "w" * 10, "w" * 10 + "." + "s" * 6 + "w" * 10),
    ],
)
def test_websters_rules(before, after):
    assert webster(scored(before).stage).tolist() == scored(after).stage.tolist()


def test_a_gap_is_not_scored():
    counts = np.zeros(100)
    counts[40:60] = np.nan
    stage = score_counts(counts, SCORERS["cole_kripke"], CountScale())
    assert np.flatnonzero(stage == UNSCORED).tolist() == list(range(40, 60))


def test_five_hours_of_zeros_are_never_sleep():
    counts = np.ones(1000)
    counts[100:399] = 0
    assert not zero_runs(counts, 60.0).any()
    counts[399] = 0
    assert np.flatnonzero(zero_runs(counts, 60.0)).tolist() == list(range(100, 400))
    counts[200:202] = 5  # somebody moved the table
    assert zero_runs(counts, 60.0).sum() == 300
    counts[200:203] = np.nan
    assert not zero_runs(counts, 60.0).any()


def test_a_scorer_that_does_not_exist_is_named_with_those_that_do():
    with pytest.raises(UnknownError, match="'cole'; there are: cole_kripke, "):
        scorer_named("cole")


def test_only_minutes_are_scored():
    short = Epochs(UTC_START + np.arange(9) * 30 * NS_PER_S, 30.0, {"counts": np.zeros(9)}, "counts")
    with pytest.raises(ConfigError, match="of 30 s"):
        score_epochs(short, SCORERS["sadeh"], CountScale())


def test_the_values_of_a_short_night_by_hand():
    night = scored("wws" + "sswws" + "wsssw" + "ww")
    found = sleep_values(night, night.start_ns, night.end_ns, "UTC").values
    shown = ("tib_min", "spt_min", "tst_min", "sol_min", "waso_min", "awakenings")
    assert [found[name] for name in shown] == [15, 10, 7, 2, 6, 3]
    assert found["se_pct"] == pytest.approx(100 * 7 / 15)
    assert found["fragmentation_index_pct"] == pytest.approx(100 / 3)  # bouts of 3, 1 and 3 minutes
    assert found["onset_h"] == pytest.approx(20 + 2 / 60)
    assert found["midpoint_h"] == pytest.approx(20 + 7 / 60)


def test_too_many_unscored_minutes_withhold_all_but_the_length():
    night = scored("s" * 94 + "." * 6)
    found = sleep_values(night, night.start_ns, night.end_ns, "UTC")
    assert found.values["tib_min"] == 100
    assert np.isnan([found.values[name] for name in ("tst_min", "waso_min", "se_pct", "onset_h")]).all()
    assert "94.0 % of the period scored, 95 % needed" in found.withheld
    beyond = sleep_values(night, night.start_ns - 100 * MINUTE_NS, night.end_ns, "UTC")
    assert beyond.coverage_frac == 0.47


def test_a_night_awake_has_no_onset():
    night = scored("w" * 60)
    found = sleep_values(night, night.start_ns, night.end_ns, "UTC")
    assert (found.values["tst_min"], found.values["se_pct"], found.onset_ns) == (0, 0, None)
    assert np.isnan(found.values["waso_min"])


@pytest.mark.parametrize(
    ("sleeps", "clock_h"),
    [
        (lambda m: m < 420, 3.5),
        (lambda m: (m > 540) & (m < 1020), 13.0),
        (lambda m: (m > 1320) | (m < 360), 2.0),
    ],
)
def test_whoever_sleeps_by_day_has_nights_too(sleeps, clock_h):
    found = score_sleep(
        minutes(person(8, sleeps=sleeps), UTC_START + 4 * 60 * MINUTE_NS), SCORERS["cole_kripke"]
    )
    nights = found.frame[found.frame["withheld"] == ""]
    assert len(nights) >= 6
    assert nights["night"].is_unique
    assert circular_mean_h(nights["midpoint_h"].to_numpy()) == pytest.approx(clock_h, abs=0.25)


def test_a_recording_that_begins_in_sleep_knows_no_onset():
    counts = person(4)
    counts[:420] = np.where(np.arange(420) % 45 > 41, 60, 0)
    found = score_sleep(minutes(counts, UTC_START + 6 * 60 * MINUTE_NS), SCORERS["cole_kripke"])
    first = found.frame.iloc[0]
    assert "begins where recording or wear begins" in first["withheld"]
    assert np.isnan(first["tst_min"])


def test_a_nap_is_no_night_where_the_night_was_not_seen():
    counts = person(3, sleeps=lambda m: (m < 420) | ((m > 600) & (m < 660)))
    counts[1440 - 240 : 1440 + 500] = np.nan
    found = score_sleep(minutes(counts, UTC_START + 4 * 60 * MINUTE_NS), SCORERS["cole_kripke"]).frame
    row = found[found["night"] == "2026-01-07"].iloc[0]
    assert "no night found" in row["withheld"]
    assert np.isnan(row["midpoint_h"])


def test_split_sleep_is_a_night_and_a_nap():
    halves = person(6, sleeps=lambda m: (m < 240) | ((m > 840) & (m < 960)))
    found = score_sleep(minutes(halves, UTC_START + 16 * 60 * MINUTE_NS), SCORERS["cole_kripke"]).frame
    middle = found.iloc[2:-1]
    assert (middle["naps"] == 1).all()
    assert middle["nap_min"].between(90, 125).all()
    assert middle["tst_min"].between(200, 245).all()


@pytest.mark.parametrize("counts", [np.zeros(4000), np.full(4000, 900.0), np.full(4000, np.nan), np.ones(1)])
def test_recordings_without_any_sleep(counts):
    found = score_sleep(minutes(counts), SCORERS["cole_kripke"])
    assert len(found.periods) == 0
    assert found.frame["tst_min"].isna().all()
    assert found.frame["withheld"].str.contains("no night found").all()


def test_roenneberg_ends_a_bout_at_the_best_correlation():
    counts = np.full(3 * 1440, 500.0)
    counts[1440 : 1440 + 480] = 0
    counts[1440 + 200 : 1440 + 205] = 500
    assert roenneberg(counts, 60.0).tolist() == [[1440, 1920]]


def test_still_is_below_fifteen_percent_of_the_day_around():
    """A third of the day at 0 and the rest at 500 make a mean of 333, and a bound of 50."""
    counts = np.tile(np.where(np.arange(1440) < 480, 0.0, 500.0), 5)
    counts[2880 - 60 : 2880] = 60.0
    assert roenneberg(counts, 60.0)[:, 0].tolist() == [0, 1440, 2880, 4320, 5760]
    counts[2880 - 60 : 2880] = 30.0
    assert roenneberg(counts, 60.0)[:, 0].tolist() == [0, 1440, 2820, 4320, 5760]


def test_periods_less_than_an_hour_apart_are_one():
    bouts = np.array([[0, 100], [159, 300], [360, 400]], np.int64)
    joined = periods_of(bouts, UTC_START, 60.0, "roenneberg")
    assert ((joined.end_ns - joined.start_ns) // MINUTE_NS).tolist() == [300, 40]
    moments = UTC_START + MINUTE_NS * np.array([-1, 0, 299, 300, 359, 360, 399, 400])
    assert joined.hold(moments).tolist() == [False, True, True, False, False, True, True, False]


def test_the_angle_of_a_resting_arm_finds_its_night():
    random = np.random.default_rng(5)
    angle = random.uniform(-80, 80, 17_280)
    night = slice(6_000, 12_000)
    angle[night] = 20 + np.repeat(random.uniform(-60, 60, 50), 120) + random.normal(0, 0.01, 6_000)
    ((first, end),) = hdcza(angle, 5.0, np.zeros(17_280, np.int64)).tolist()
    assert abs(first - 6_000) < 60
    assert abs(end - 12_000) < 60


def test_regularity_of_days_all_alike_and_of_days_upside_down():
    day = "s" * 480 + "w" * 960
    assert sleep_regularity_index(scored(day * 7)) == (100.0, 6.0)
    assert sleep_regularity_index(scored(("s" * 1440 + "w" * 1440) * 4))[0] == -100.0
    assert np.isnan(sleep_regularity_index(scored(day * 5))[0])


def test_gaps_leave_regularity_as_it_was():
    day = "s" * 480 + "w" * 960
    holed = day * 3 + "." * 500 + day * 4
    aligned = scored(day * 3 + "." * 1440 + day * 7)
    assert sleep_regularity_index(aligned) == (100.0, 8.0)
    assert sleep_regularity_index(scored(holed))[0] < 100  # a shift by 500 minutes is seen


def test_the_clock_and_elapsed_time_part_where_clocks_change():
    """One hour of 23: someone who follows the clock on the wall is regular by it, not by elapsed time."""
    zone = ZoneInfo("Europe/Berlin")
    start = datetime(2026, 3, 25, tzinfo=zone)
    start_ns = round(start.timestamp()) * NS_PER_S
    t = [datetime.fromtimestamp(start_ns // NS_PER_S + 60 * k, zone) for k in range(8 * 1440)]
    night = scored("".join("s" if moment.hour < 7 else "w" for moment in t), start_ns)
    assert sleep_regularity_index_clock(night, "Europe/Berlin")[0] == 100.0
    assert sleep_regularity_index(night)[0] < 100.0


def test_clock_times_go_round():
    assert circular_mean_h(np.array([23.0, 1.0])) % 24 == pytest.approx(0, abs=1e-9)
    alike = circular_sd_min(np.array([23.9, 0.1, 0.0, 23.8, 0.2]))
    assert alike == pytest.approx(60 * np.std([-0.1, 0.1, 0, -0.2, 0.2]), rel=1e-3)
    assert np.isnan(circular_sd_min(np.array([1.0] * 4)))


def test_social_jet_lag_is_signed_and_needs_both_kinds_of_nights():
    week = [date(2026, 1, day) for day in range(5, 12)]  # Monday to Sunday
    late = np.array([3, 3, 3, 3, 3, 5, 5.0])
    assert social_jet_lag_h(late, week) == pytest.approx(2)
    assert social_jet_lag_h((late - 4) % 24, week) == pytest.approx(2)
    assert np.isnan(social_jet_lag_h(late[:6], week[:6]))


def log_of(parts, start="2020-03-29T01:06:00", minutes_in_bed=439, end="2020-03-29T08:25:30", log_id=1):
    return {
        "logId": log_id,
        "startTime": start,
        "endTime": end,
        "timeInBed": minutes_in_bed,
        "minutesAsleep": 1,
        "levels": {"data": [{"dateTime": at, "level": level, "seconds": s} for at, level, s in parts]},
    }


def test_the_hour_that_never_was_is_not_in_bed():
    parts = [("2020-03-29T01:06:00", "light", 22_710), ("2020-03-29T07:24:30", "unknown", 3660)]
    (log,) = fitbit_logs(json.dumps([log_of(parts)] * 2), "Europe/Oslo", "sleep.json")
    assert len(log.levels) * 0.5 == pytest.approx(379.5, abs=0.5)
    assert hypnogram_of(log).is_scored.mean() > 0.995
    elsewhere = fitbit_logs(json.dumps([log_of(parts)]), "UTC", "sleep.json")[0]
    assert len(elsewhere.levels) * 0.5 == 439
    assert elsewhere.start_ns - log.start_ns == 3600 * NS_PER_S


@pytest.mark.parametrize("text", ["", "[1]", '[{"logId": 1}]', "{}x", '[{"logId": 1, "startTime": "soon"}]'])
def test_what_is_no_fitbit_export_says_so(text):
    with pytest.raises(RecordingError, match="no Fitbit sleep export"):
        fitbit_logs(text, "UTC", "sleep.json")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("in_bed\n2026-01-05T20:00\n", "no column out_bed"),
        ("in_bed,out_bed\n", "no rows"),
        ("in_bed,out_bed\nlate,2026-01-06T06:00\n", "'late'"),
        ("in_bed,out_bed\n2026-01-06T06:00,2026-01-05T23:00\n", "row 1"),
        (
            "in_bed,out_bed\n2026-01-05T23:00,2026-01-06T06:00\n2026-01-06T05:00,2026-01-06T07:00\n",
            "row 2",
        ),
        ("", "no table"),
    ],
)
def test_sessions_that_cannot_be(tmp_path, text, match):
    path = tmp_path / "sessions.csv"
    path.write_text(text)
    with pytest.raises(RecordingError, match=match):
        read_sessions(path, "UTC")


def test_sessions_are_scored_as_declared(tmp_path):
    path = tmp_path / "sessions.csv"
    path.write_text("in_bed,out_bed\n2026-01-06T00:00,2026-01-06T07:00\n2026-01-06T08:00,2026-01-06T09:00\n")
    epochs = minutes(person(3), UTC_START + 4 * 60 * MINUTE_NS)
    found = score_sleep(epochs, SCORERS["cole_kripke"], read_sessions(path, "UTC"))
    assert found.frame["tib_min"].tolist() == [420, 60]
    assert found.frame["tst_min"].iloc[1] == 0


def test_zeros_in_a_declared_session_are_named_where_another_program_is_reproduced(tmp_path):
    path = tmp_path / "sessions.csv"
    path.write_text("in_bed,out_bed\n2026-01-06T00:00,2026-01-06T07:00\n")
    sessions = read_sessions(path, "UTC")
    counts = person(2)
    counts[: 7 * 60] = 0
    epochs = minutes(counts, UTC_START + 4 * 60 * MINUTE_NS)
    theirs = score_sleep(epochs, SCORERS["cole_kripke_actilife"], sessions)
    assert theirs.frame["se_pct"].iloc[0] > 99
    assert "7.0 h of a run of zeros" in theirs.notes[0]
    ours = score_sleep(epochs, SCORERS["cole_kripke"], sessions)
    assert np.isnan(ours.frame["tst_min"].iloc[0])


def test_actilife_export_to_the_minute():
    """Every session of the export: period, latency, wake, awakenings and both fragmentation indices."""
    folder = SHARED / "data" / "actigraph_60s"
    exports = sorted(folder.glob("BatchSleepExportDetails*.csv*"))
    if not exports:
        pytest.skip(f"no real recordings: {folder} is not there")
    compared = 0
    for name, rows in pd.read_csv(exports[0]).groupby("File Name"):
        path = folder / str(name).replace(" (", "_").replace(")60sec.agd", "_60sec.csv.gz")
        epochs = read_epochs(path, "UTC", epoch_s=60)
        night = score_epochs(epochs, SCORERS["cole_kripke_actilife"], CountScale(0.01, 300))
        for _, row in rows.iterrows():
            begin, end = (pd.Timestamp(row[f"{side} Bed Time"]).as_unit("ns").value for side in ("In", "Out"))
            ours = sleep_values(night, begin, end, "UTC", counts=epochs.values).values
            assert ours["tib_min"] == row["Total Sleep Time"]
            assert ours["sol_min"] == row["Latency"]
            assert ours["waso_min"] == row["WASO"]
            assert ours["awakenings"] == row["Number of Awakenings"]
            assert ours["movement_index_pct"] == pytest.approx(row["Movement Index"], rel=6e-4)
            assert ours["fragmentation_index_pct"] == pytest.approx(row["Fragmentation Index"], rel=6e-4)
            compared += 1
    assert compared >= 9


def test_fitbit_minutes_asleep_from_its_stages():
    folder = SHARED / "data" / "pmdata"
    paths = sorted(folder.glob("p*/fitbit/sleep.json.gz"))
    if not paths:
        pytest.skip(f"no real recordings: {folder} is not there")
    logs = [
        log
        for path in paths
        for log in fitbit_logs(gzip.decompress(path.read_bytes()).decode(), "Europe/Oslo", path.name)
    ]
    off = np.array([hypnogram_of(log).is_asleep.sum() / 2 - log.minutes_asleep for log in logs])
    assert len(logs) > 500
    assert np.abs(off).max() <= 3.5
    assert abs(off.mean()) < 0.5


def test_a_fitbit_export_becomes_a_row_per_log(tmp_path: Path):
    path = tmp_path / "sleep.json"
    parts = [("2020-06-01T23:00:00", "wake", 600), ("2020-06-01T23:10:00", "deep", 3000)]
    path.write_text(json.dumps([log_of(parts, "2020-06-01T23:00:00", 60, "2020-06-02T00:00:00")]))
    found = score_fitbit(path, "Europe/Oslo").frame.iloc[0]
    assert (found["tst_min"], found["sol_min"], found["deep_min"], found["rem_min"]) == (50, 10, 50, 0)
    assert found["in_bed"] == "2020-06-01T23:00:00+02:00"
    assert "nothing tells awake from not worn" in score_fitbit(path, "Europe/Oslo").record["withheld"]


def test_the_document_names_every_scorer_and_every_column():
    text = (REPOSITORY / "docs" / "sleep.md").read_text()
    for scorer in SCORERS.values():
        assert f"| `{scorer.name}` | {scorer.formula} |" in text
    for spec in SLEEP_SPECS:
        assert f"| `{spec.name}` | {spec.unit} | {spec.formula} |" in text


def told(*words):
    return CliRunner().invoke(app, ["sleep", *map(str, words)])


def test_the_command_writes_a_row_per_night(tmp_path):
    path, out = tmp_path / "week.csv", tmp_path / "nights.csv"
    times = pd.date_range("2026-01-05T16:00", periods=6 * 1440, freq="1min")
    counts = np.roll(person(6), -16 * 60)
    pd.DataFrame({"time": times, "counts": counts}).to_csv(path, index=False)
    done = told(path, "--zone", "Europe/Berlin", "--scorer", "sadeh", "--out", out)
    assert done.exit_code == 0, done.output
    assert "name the factor with --count-scale" in done.stderr
    nights = pd.read_csv(out)
    assert nights["night"].tolist()[:3] == ["2026-01-06", "2026-01-07", "2026-01-08"]
    assert (nights["scorer"] == "sadeh").all()
    record = told(path, "--zone", "Europe/Berlin", "--record")
    assert "onset_sd_min" in record.output
    drawn = tmp_path / "week.html"
    assert told(path, "--zone", "Europe/Berlin", "--plot", drawn).exit_code == 0
    assert "asleep" in drawn.read_text()


@pytest.mark.parametrize(
    ("text", "more", "match"),
    [
        ("time,counts\n", (), "no rows"),
        ("time,counts\n2026-01-01T00:00:00,abc\n", (), "abc"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-01T00:00:00,2\n", (), "comes after"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:01:00,2\n", ("--scorer", "x"), "there are"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:01:00,2\n", ("--epoch", "30"), "30 s"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:01:00,2\n", ("--count-scale", "0"), "above 0"),
    ],
)
def test_what_cannot_be_scored_is_said_in_one_sentence(tmp_path, text, more, match):
    path = tmp_path / "bad.csv"
    path.write_text(text)
    done = told(path, "--zone", "UTC", *more)
    assert isinstance(done.exception, EvenkeelError)
    assert match in str(done.exception)
    assert "\n" not in str(done.exception)
