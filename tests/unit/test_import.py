"""Exports of vendors: whose clock each kind of file is of is declared, and the same again changes nothing."""

import gzip
import json

import numpy as np
import pytest
from typer.testing import CliRunner

from evenkeel import app
from ingest.vendor_export import EXPORTS, ExportFile
from store.errors import RecordingError
from store.fitbit import fitbit_series
from store.installation import Installation
from store.streams import HEART_RATE, SLEEP_STAGE, STEP_COUNT
from store.timeseries import Batch
from store.units import NS_PER_S

JULY_NOON_UTC_NS = 1_593_604_800 * NS_PER_S  # 2020-07-01T12:00:00Z
LOG = {
    "logId": 7,
    "startTime": "2020-07-01T23:00:00.000",
    "endTime": "2020-07-02T00:00:00.000",
    "timeInBed": 60,
    "minutesAsleep": 45,
    "levels": {
        "data": [
            {"dateTime": "2020-07-01T23:00:00.000", "level": "wake", "seconds": 600},
            {"dateTime": "2020-07-01T23:10:00.000", "level": "light", "seconds": 3000},
        ],
        "shortData": [{"dateTime": "2020-07-01T23:30:00.000", "level": "wake", "seconds": 60}],
    },
}


def made(kind: str, name: str, text: str, zone: str = "Europe/Oslo", person: str = "") -> list[Batch]:
    (found,) = [each for each in EXPORTS[kind] if each.pattern.split("*")[0] in name]
    return list(found.batches(ExportFile(text, name, ("S1", "X"), zone, person)))


def test_sleep_is_local_and_short_awakenings_lie_over_it():
    (batch,) = made("fitbit", "sleep.json", json.dumps([LOG]))
    assert batch.stream is SLEEP_STAGE
    assert batch.t_ns[0] == JULY_NOON_UTC_NS + 9 * 3600 * NS_PER_S  # 23:00 in Oslo is 21:00 UTC
    assert batch.values["stage"].tolist() == ["awake", "light", "awake", "light"]
    assert batch.values["duration_s"].tolist() == [600, 1200, 60, 1740]


def test_steps_and_heart_rate_are_in_utc_whatever_the_zone():
    steps = json.dumps([{"dateTime": "2020-07-01 12:00:00", "value": "12"}])
    for zone in ("Europe/Oslo", "Asia/Kolkata"):
        (batch,) = made("fitbit", "steps-2020-07-01.json", steps, zone)
        assert batch.stream is STEP_COUNT
        assert batch.t_ns.tolist() == [JULY_NOON_UTC_NS + 60 * NS_PER_S]  # its end
    rows = [
        {"dateTime": "07/01/20 12:00:05", "value": {"bpm": 61, "confidence": 3}},
        {"dateTime": "07/01/20 12:00:10", "value": {"bpm": 70, "confidence": 0}},
        {"dateTime": "07/01/20 12:00:05", "value": {"bpm": 62, "confidence": 3}},
    ]
    (heart,) = made("fitbit", "heart_rate-2020-07-01.json", json.dumps(rows))
    assert heart.stream is HEART_RATE
    assert heart.values["heart_rate_bpm"].tolist() == [62]
    assert heart.t_ns.tolist() == [JULY_NOON_UTC_NS + 5 * NS_PER_S]


def test_fitabase_is_local_and_of_one_person():
    minutes = ",".join(f"Steps{k:02d}" for k in range(60))
    hours = ("11/6/2016 12:00:00 AM", "11/6/2016 1:00:00 AM", "11/6/2016 2:00:00 AM")
    rows = "\n".join(f"{who},{hour},{','.join(['1'] * 60)}" for who in (5, 6) for hour in hours)
    text = f"Id,ActivityHour,{minutes}\n{rows}\n"
    (batch,) = made("fitabase", "minuteStepsWide_merged.csv", text, "America/New_York", "5")
    assert len(batch) == 180
    # Clocks go back at 2, and the hour from 1 to 2 comes once: the vendor's times ran on.
    assert (np.diff(batch.t_ns) > 0).all()
    with pytest.raises(RecordingError, match=r"2 people \(5, ...\); say with --id"):
        made("fitabase", "minuteStepsWide_merged.csv", text)
    with pytest.raises(RecordingError, match="time in row 1 is 'soon'"):
        made("fitabase", "heartrate_seconds.csv", "Id,Time,Value\n5,soon,60\n")
    sleep = "Id,date,value,logId\n5,4/12/2016 2:47:30 AM,3,1\n5,4/12/2016 2:48:30 AM,1,1\n"
    (night,) = made("fitabase", "minuteSleep_merged.csv", sleep)
    assert night.values["stage"].tolist() == ["awake", "asleep"]


@pytest.mark.parametrize("text", ["", "[1]", '[{"dateTime": "x", "value": "1"}]', '[{"value": 1}]'])
def test_what_is_no_series_says_so(text):
    with pytest.raises(RecordingError, match=r"steps\.json is no Fitbit series"):
        fitbit_series(text, "steps.json")


def test_the_command_takes_a_folder_and_again_changes_nothing(tmp_path):
    def told(*words: str) -> str:
        done = CliRunner().invoke(app, ["--home", str(tmp_path / "home"), *words])
        assert done.exit_code == 0, done.output
        return done.output

    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "sleep.json.gz").write_bytes(gzip.compress(json.dumps([LOG]).encode()))
    (folder / "steps.json").write_text(json.dumps([{"dateTime": "2020-07-01 12:00:00", "value": "12"}]))
    (folder / "sleep_score.csv").write_text("")
    told("subject", "add", "S1", "--zone", "Europe/Oslo")
    first = told("import", "fitbit", str(folder), "--subject", "S1")
    assert "sleep, local times of Europe/Oslo: 4 samples" in first
    assert "steps, times in UTC: 1 samples" in first
    with Installation(tmp_path / "home").timeseries() as store:
        before = store.count(SLEEP_STAGE, "S1")
        told("import", "fitbit", str(folder), "--subject", "S1")
        assert store.count(SLEEP_STAGE, "S1") == before == 4


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("import", "garmin", ".", "--subject", "S1"), "No export is called 'garmin'"),
        (("import", "fitbit", ".", "--subject", "S9"), "S9"),
        (("import", "fitbit", "{}", "--subject", "S1"), "holds no file of a fitbit export"),
    ],
)
def test_the_command_refuses_in_one_sentence(tmp_path, words, said):
    home = ["--home", str(tmp_path / "home")]
    (tmp_path / "empty").mkdir()
    CliRunner().invoke(app, [*home, "subject", "add", "S1", "--zone", "UTC"])
    done = CliRunner().invoke(app, [*home, *(word.format(tmp_path / "empty") for word in words)])
    assert done.exit_code != 0
    assert said in str(done.exception)
