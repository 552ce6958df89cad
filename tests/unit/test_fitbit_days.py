"""Daily values of a Fitbit archive."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest

from models.daily import days_of, known_mapping
from models.fitbit_days import ACTIVE_FILES, fitbit_days, read_archives
from store.errors import RecordingError


def log(day: str, start: str, end: str, asleep: int) -> dict[str, object]:
    return {"dateOfSleep": day, "startTime": start, "endTime": end, "minutesAsleep": asleep, "efficiency": 90}


def archive() -> dict[str, str]:
    """Two days: a night and a nap, steps by the minute, a day on which the vendor has no resting rate."""

    def counts(*values: int) -> list[dict[str, str]]:
        times = ("2020-01-02 00:00:00", "2020-01-02 18:30:00", "2020-01-03 09:00:00")
        return [{"dateTime": t, "value": str(v)} for t, v in zip(times, values, strict=True)]

    resting = [
        {"dateTime": "2020-01-02 00:00:00", "value": {"value": 61.5}},
        {"dateTime": "2020-01-03 00:00:00", "value": {"value": 0.0}},
    ]
    sleep = [
        log("2020-01-02", "2020-01-01T23:00:00.000", "2020-01-02T07:00:00.000", 440),
        log("2020-01-02", "2020-01-02 14:00:00", "2020-01-02T15:00:00.000", 55),
    ]
    held = {"resting_heart_rate": resting, "sleep": sleep, "steps": counts(4000, 3000, 900)}
    return {
        name: json.dumps(logs)
        for name, logs in (held | dict.fromkeys(ACTIVE_FILES, counts(10, 20, 30))).items()
    }


def test_a_day_has_its_night_and_not_its_nap():
    first, second = fitbit_days(archive(), "p1").set_index("date").to_dict("index").values()
    assert first == pytest.approx(
        {
            "resting_hr_bpm": 61.5,
            "tst_min": 440,
            "se_pct": 90,
            "midpoint_h": 3.0,
            "steps": 7000,
            "active_min": 90,
            "subject": "p1",
        }
    )
    assert np.isnan([second["resting_hr_bpm"], second["tst_min"]]).all(), "0 is no resting heart rate"
    assert (second["steps"], second["active_min"]) == (900, 90)
    (days,) = days_of(fitbit_days(archive(), "p1"), known_mapping(None))
    assert len(days) == 2


def test_what_is_missing_is_missing_and_what_is_none_is_named():
    held = fitbit_days({"steps": archive()["steps"]}, "p1")
    assert sorted(held.columns) == ["date", "steps", "subject"]
    with pytest.raises(RecordingError, match=r"sleep\.json of p1"):
        fitbit_days({"sleep": '[{"dateOfSleep": "2020-01-02"}]'}, "p1")


def test_an_archive_is_a_folder_for_each_person_packed_or_not(tmp_path):
    for who, is_packed in (("p1", False), ("p2", True)):
        folder = tmp_path / who / "fitbit"
        folder.mkdir(parents=True)
        for name, text in archive().items():
            packed = gzip.compress(text.encode()) if is_packed else text.encode()
            (folder / f"{name}.json{'.gz' if is_packed else ''}").write_bytes(packed)
    table = read_archives(tmp_path).drop(columns="subject")
    pd.testing.assert_frame_equal(table[:2], table[2:])
    (tmp_path / "p1" / "fitbit" / "sleep.json").write_bytes(b"\xff")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_archives(tmp_path)
    with pytest.raises(RecordingError, match="no folder with Fitbit files"):
        read_archives(tmp_path / "p1" / "fitbit")
