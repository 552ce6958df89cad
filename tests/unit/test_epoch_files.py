"""Epoch files of every known kind become epochs on a grid of UTC; what is wrong is said in a sentence."""

import gzip
import sqlite3
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.epochs import Epochs, read_epochs
from store.errors import ConfigError, DataError, RecordingError
from store.local_time import local_wall_ns, utc_of_local
from store.times import parse_time_ns
from tests.conftest import SHARED

START_NS = 1_767_643_200_000_000_000
MINUTE_NS = 60_000_000_000


def written(folder: Path, text: str, name: str = "epochs.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def local_ns(*texts: str) -> np.ndarray:
    return np.array(texts, "datetime64[ns]").astype(np.int64)


def test_a_gap_is_a_gap_and_zero_is_a_value(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "time,counts\n2026-01-05T20:00,5\n2026-01-05T20:01,0\n2026-01-05T20:04,\n2026-01-05T20:05,7\n",
    )
    epochs = read_epochs(path, "Europe/Berlin")
    np.testing.assert_array_equal(epochs.values, [5, 0, np.nan, np.nan, np.nan, 7])
    assert epochs.epoch_s == 60
    assert epochs.start_ns[0] == parse_time_ns("2026-01-05T19:00:00Z", "expected")


def test_parquet_offsets_and_our_own_nanoseconds_say_the_same_times(tmp_path: Path) -> None:
    utc = pd.date_range("2026-01-05T20:00", periods=5, freq="30s", tz="UTC")
    frame = pd.DataFrame({"enmo_mg": np.arange(5.0)})
    frame.assign(time=utc.tz_convert("Asia/Kolkata")).to_parquet(tmp_path / "zoned.parquet")
    frame.assign(t_ns=utc.as_unit("ns").asi8).to_parquet(tmp_path / "ns.parquet")
    frame.assign(time=[t.isoformat() for t in utc.tz_convert("Asia/Kolkata")]).to_csv(tmp_path / "iso.csv")
    for name in ("zoned.parquet", "ns.parquet", "iso.csv"):
        epochs = read_epochs(tmp_path / name, "America/Lima")
        assert (epochs.start_ns[0], epochs.epoch_s, epochs.column) == (START_NS, 30, "enmo_mg"), name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no table"),
        ("time,counts\n", "no rows"),
        ("time,counts\n2026-01-01T00:00:00,abc\n", "row 1 is 'abc'"),
        ("time,counts\n2026-01-01T00:00:00,1\nyesterday,1\n", "row 2 is 'yesterday'"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-01T00:00:00,2\n", "comes after"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:00:00,2\n", "comes twice"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:01:00,-2\n", "below 0"),
        ("time,counts\n2026-01-02T00:00:00,1\n2026-01-02T00:01:00,inf\n", "needed is a number"),
        ("time,counts\n2026-01-02T00:00:00,1\n", "one row"),
        ("time,counts\n2026-01-02T00:00:00Z,1\n2026-01-02T00:01:00,1\n", "carry an offset"),
        ("time,colour\n2026-01-02T00:00:00,red\n", "counts, enmo_mg or steps"),
        ("when,counts\n1,1\n", "needed is time"),
        ("time,counts\n1970-01-02T00:00:00,1\n1970-01-02T00:00:01,1\n2026-01-02T00:01:00,1\n", "wrong date"),
        ("\0\0\0\0", "is no text"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(RecordingError) as refused:
        read_epochs(written(tmp_path, text), "UTC")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_cannot_be_had_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "time,counts\n2026-01-01T00:00,1\n2026-01-01T00:01,2\n2026-01-01T00:02,2\n")
    with pytest.raises(ConfigError, match="Mars/Olympus"):
        read_epochs(path, "Mars/Olympus")
    with pytest.raises(ConfigError, match="whole multiple"):
        read_epochs(path, "UTC", epoch_s=90)
    with pytest.raises(RecordingError, match="steps"):
        read_epochs(path, "UTC", column="steps")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_epochs(tmp_path / "nowhere.csv", "UTC")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"time,counts\n" * 99)[:-9])
    with pytest.raises(RecordingError, match="damaged"):
        read_epochs(tmp_path / "cut.csv.gz", "UTC")


def test_longer_epochs_begin_at_multiples_and_miss_what_misses_a_part() -> None:
    starts_ns = START_NS + 15_000_000_000 * np.arange(1, 14)
    columns = {"counts": np.arange(1.0, 14.0), "z_angle_deg": np.r_[np.arange(10.0), np.nan, 5, 6]}
    minutes = Epochs(starts_ns, 15, columns, "counts").lengthened(60)
    assert minutes.start_ns.tolist() == [START_NS + MINUTE_NS, START_NS + 2 * MINUTE_NS]
    np.testing.assert_array_equal(minutes.values, [4 + 5 + 6 + 7, 8 + 9 + 10 + 11])
    np.testing.assert_array_equal(minutes.columns["z_angle_deg"], [4.5, np.nan])


def test_heart_rate_needs_no_more_than_one_sample_a_minute(tmp_path: Path) -> None:
    rows = (("20:00:05", 60), ("20:00:10", 66), ("20:02:30", 70), ("20:03:05", 80))
    text = "time,heart_rate_bpm\n" + "".join(f"2026-01-05T{at},{bpm}\n" for at, bpm in rows)
    epochs = read_epochs(written(tmp_path, text), "UTC", epoch_s=60)
    np.testing.assert_array_equal(epochs.values, [np.nan, 70])
    assert epochs.start_ns[0] == START_NS + MINUTE_NS


def test_epochs_are_even_and_whole() -> None:
    for starts, columns in (([0, 60, 180], [1, 2, 3]), ([0, 60, 120], [1, 2]), ([], [])):
        with pytest.raises(DataError):
            Epochs(
                np.array(starts, np.int64) * 1_000_000_000, 60, {"counts": np.array(columns, float)}, "counts"
            )


def test_a_clock_on_the_wall_shows_the_autumn_hour_twice() -> None:
    wall = local_ns(
        "2026-10-25T01:30", "2026-10-25T02:00", "2026-10-25T02:30", "2026-10-25T02:00", "2026-10-25T02:30",
        "2026-10-25T03:00",
    )  # fmt: skip
    t_ns, notes = utc_of_local(wall, "Europe/Berlin")
    assert np.diff(t_ns).tolist() == [30 * MINUTE_NS] * 5
    assert notes == ()


def test_a_recorder_runs_on_through_a_change_and_says_so() -> None:
    for first, offset_h in (("2026-03-29T00:00", 1), ("2026-10-25T00:00", 2)):
        wall = local_ns(first)[0] + 30 * MINUTE_NS * np.arange(12)
        t_ns, (note,) = utc_of_local(wall, "Europe/Berlin")
        assert (wall - t_ns == offset_h * 60 * MINUTE_NS).all()
        assert f"UTC+{offset_h} h" in note


def test_the_skipped_hour_of_a_clock_on_the_wall_is_no_gap() -> None:
    wall = local_ns("2026-03-29T01:00", "2026-03-29T01:30", "2026-03-29T03:00", "2026-03-29T03:30")
    t_ns, notes = utc_of_local(wall, "Europe/Berlin")
    assert np.diff(t_ns).tolist() == [30 * MINUTE_NS] * 3
    assert notes == ()
    np.testing.assert_array_equal(local_wall_ns(t_ns, "Europe/Berlin"), wall)


ACTIGRAPH = """------------ Data File Created By ActiGraph GT3X+ date format {form} Filter Normal
Serial Number: TAS1D00000000
Start Time 10:00:00
Start Date {day}
Epoch Period (hh:mm:ss) 00:01:00
Download Time 00:32:29
Download Date 1/1/2007
Current Memory Address: 0
Current Battery Voltage: 4.04     Mode = 12
--------------------------------------------------
Axis1,Axis2,Axis3,Steps
3,4,12,1
0,0,0,0
"""


@pytest.mark.parametrize(("form", "day"), [("M/d/yyyy", "7/13/2018"), ("dd/MM/yyyy", "13/07/2018")])
def test_actigraph_without_times_counts_from_its_start(tmp_path: Path, form: str, day: str) -> None:
    epochs = read_epochs(written(tmp_path, ACTIGRAPH.format(form=form, day=day)), "UTC")
    assert epochs.start_ns[0] == parse_time_ns("2018-07-13T10:00:00Z", "expected")
    assert (epochs.device, epochs.column) == ("actigraph", "axis1")
    assert epochs.columns["vectormagnitude"].tolist() == [13, 0]


def test_awd_marks_are_no_counts(tmp_path: Path) -> None:
    text = "case\r\n05-Jan-2026\r\n20:00\r\n 2 \r\n40\r\nV1\r\nM\r\n17 M\r\n0\r\n4, 230\r\n\r\n"
    epochs = read_epochs(written(tmp_path, text, "case.AWD"), "UTC")
    assert epochs.values.tolist() == [17, 0, 4]
    assert (epochs.epoch_s, int(epochs.start_ns[0])) == (30, START_NS)


def test_agd_counts_ticks(tmp_path: Path) -> None:
    ticks = 621_355_968_000_000_000 + START_NS // 100
    with sqlite3.connect(tmp_path / "some.agd") as database:
        database.execute("CREATE TABLE settings (settingName TEXT, settingValue TEXT)")
        database.execute("INSERT INTO settings VALUES ('epochlength', '10')")
        database.execute("CREATE TABLE data (dataTimestamp INTEGER, axis1 REAL, steps REAL)")
        rows = [(ticks, 1, 0), (ticks + 10**8, 2, 1), (ticks + 4 * 10**8, 3, 0)]
        database.executemany("INSERT INTO data VALUES (?, ?, ?)", rows)
    database.close()
    epochs = read_epochs(tmp_path / "some.agd", "UTC")
    np.testing.assert_array_equal(epochs.values, [1, 2, np.nan, np.nan, 3])
    assert int(epochs.start_ns[0]) == START_NS


RESPIRONICS = """"Actiware Export File  (Version 05.00 )"
"Epoch Length:","30","seconds",""
"Line","Date","Time","Off-Wrist Status","Activity","Marker","Interval Status",

"1","{first}","23:59:00","0","7","0","ACTIVE",
"2","{first}","23:59:30","1","0","0","EXCLUDED",
"3","{second}","00:00:00","0","9","0","REST"
"""


@pytest.mark.parametrize(("first", "second"), [("04/07/2015", "05/07/2015"), ("7/4/2015", "7/5/2015")])
def test_respironics_days_and_months_are_told_apart_by_what_follows(
    tmp_path: Path, first: str, second: str
) -> None:
    text = RESPIRONICS.format(first=first, second=second)
    epochs = read_epochs(written(tmp_path, text), "UTC")
    np.testing.assert_array_equal(epochs.values, [7, np.nan, 9])
    assert epochs.start_ns[0] == parse_time_ns("2015-07-04T23:59:00Z", "expected")


def test_ezacti_starts_where_its_name_says(tmp_path: Path) -> None:
    epochs = read_epochs(written(tmp_path, "1.5\n0.0\n", "case_20260105200000_epoch15.txt"), "UTC")
    assert (epochs.values.tolist(), epochs.epoch_s, int(epochs.start_ns[0])) == ([1.5, 0], 15, START_NS)
    with pytest.raises(RecordingError, match="needed is a name"):
        read_epochs(written(tmp_path, "1.5\n0.0\n", "case.txt"), "UTC")


REAL = {
    "device_files/example_01.AWD.gz": ("actiwatch", 60, 18401, "1918-01-23T13:58:00Z", 2_596_555),
    "device_files/test_sample.agd.gz": ("actigraph", 10, 5394, "2019-04-15T15:00:00Z", 1_063_504),
    "device_files/test_sample.mtn.gz": ("motionwatch", 5, 5978, "2018-05-23T17:30:00Z", 109_065),
    "device_files/test_sample_rpx_eng.csv.gz": ("respironics", 30, 20160, "2015-07-04T09:45:00Z", 3_780_329),
    "device_files/test_sample_atr.txt.gz": ("acttrust", 60, 5760, "1918-01-01T09:00:00Z", 14_166_918),
    "device_files/test_sample_tal.txt.gz": ("tempatilumi", 60, 10080, "2000-01-01T00:00:00Z", 788_482),
    "actigraph_60s/TAS1D47140221_2018-11-30_60sec.csv.gz": (
        "actigraph", 60, 10080, "2018-07-13T10:00:00Z", 10_240_814,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str) -> None:
    path = SHARED / "data" / name
    if not path.exists():
        pytest.skip(f"no real recording: {path} is not there")
    epochs = read_epochs(path, "UTC")
    device, epoch_s, count, first, total = REAL[name]
    assert (epochs.device, epochs.epoch_s, len(epochs)) == (device, epoch_s, count)
    assert epochs.start_ns[0] == parse_time_ns(first, name)
    assert np.nansum(epochs.values) == total
