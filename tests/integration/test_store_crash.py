"""The embedded store after a crash: what was acknowledged is there, whole writes only; and older files."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.nights import NIGHT_STREAM
from features.windows import WINDOW_STREAM
from store.sqlite import SqliteTimeSeries
from store.sqlite_connection import SqliteConnection
from store.sqlite_layout import LAYOUT
from store.streams import RR_INTERVAL
from store.timeseries import Batch

REPOSITORY = Path(__file__).resolve().parents[2]
A_WRITE = 500
WRITER = f"""
import sys
from pathlib import Path
import numpy as np
from store.sqlite import SqliteTimeSeries
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import Batch
with SqliteTimeSeries(Path(sys.argv[1])) as store:
    for k in range(10**9):
        t_ns = np.arange(k * {A_WRITE}, (k + 1) * {A_WRITE})
        beats = {{name: t_ns / 1.0 for name in HEART_RATE.column_names()}}
        store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {{"rr_ms": t_ns / 1.0}}),
                     Batch(HEART_RATE, "S1", "A", t_ns, beats)])
        print(k, flush=True)
"""


def killed_while_writing(path: Path, acknowledgements: int) -> int:
    """Let another process write until it is killed; return how many writes it was told are durable."""
    command = [sys.executable, "-P", "-c", WRITER, str(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, env={"PYTHONPATH": str(REPOSITORY)}, stdout=-1) as writer:
        assert writer.stdout is not None
        for _ in range(acknowledgements):
            assert writer.stdout.readline()
        writer.send_signal(signal.SIGKILL)
        return acknowledgements + len(writer.stdout.read().split())


def whole_writes(path: Path) -> int:
    """Return how many writes a file holds, having seen that it holds nothing else."""
    with SqliteTimeSeries(path) as store:
        assert store.faults() == []
        found = store.read(RR_INTERVAL, "S1")
    np.testing.assert_array_equal(found.t_ns, np.arange(len(found)))
    np.testing.assert_array_equal(found["rr_ms"], found.t_ns)
    assert len(found) % A_WRITE == 0
    return len(found) // A_WRITE


def with_wal(path: Path, target: Path, wal: bytes) -> Path:
    """Copy a database file and give it another write-ahead log."""
    target.mkdir()
    shutil.copyfile(path, target / path.name)
    (target / f"{path.name}-wal").write_bytes(wal)
    return target / path.name


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A file as `kill -9` left it, and how many writes were acknowledged."""
    path = tmp_path_factory.mktemp("crash") / "samples.sqlite"
    acknowledged = killed_while_writing(path, 30)
    assert Path(f"{path}-wal").stat().st_size > 0
    return path, acknowledged


def test_after_kill_9_everything_acknowledged_is_there(crashed, tmp_path):
    path, acknowledged = crashed
    copy = with_wal(path, tmp_path / "copy", Path(f"{path}-wal").read_bytes())
    assert whole_writes(copy) in (acknowledged, acknowledged + 1)  # one more was durable but not told
    with SqliteTimeSeries(copy) as store:
        store.write([Batch(RR_INTERVAL, "S2", "A", np.array([1]), {"rr_ms": np.array([1.0])})])
        assert store.subjects(RR_INTERVAL) == ["S1", "S2"]


@pytest.mark.parametrize("garbage", [b"\x00" * 5000, b"\xff" * 4096, b"torn", b"\x37\x7f\x06\x82" * 2000])
def test_a_torn_end_of_the_log_takes_nothing_acknowledged_along(crashed, tmp_path, garbage):
    """A power cut in the middle of a write leaves part of it, or nonsense, behind what was synced."""
    path, acknowledged = crashed
    copy = with_wal(path, tmp_path / "copy", Path(f"{path}-wal").read_bytes() + garbage)
    assert whole_writes(copy) >= acknowledged


@pytest.mark.parametrize("kept_frac", [0.0, 0.001, 0.25, 0.5, 0.77, 0.999])
def test_a_log_cut_short_leaves_whole_writes_only(crashed, tmp_path, kept_frac):
    """What a disk lost that had promised to keep it is gone, but nothing is half there."""
    path, acknowledged = crashed
    wal = Path(f"{path}-wal").read_bytes()
    copy = with_wal(path, tmp_path / "copy", wal[: int(kept_frac * len(wal))])
    assert whole_writes(copy) <= acknowledged + 1


# Files of an older layout.


def file_of_layout_1(path: Path) -> None:
    """Make a file as version 0.1 did."""
    connection = SqliteConnection(path, is_read_only=False)
    connection.rows("PRAGMA journal_mode=WAL")
    key = "series_id INTEGER NOT NULL, t_ns INTEGER NOT NULL"
    is_keyed = "PRIMARY KEY (series_id, t_ns)) WITHOUT ROWID"
    for statement in (
        "CREATE TABLE series (series_id INTEGER PRIMARY KEY, stream TEXT, subject_id TEXT, sensor_id TEXT)",
        f"CREATE TABLE samples_rr_interval ({key}, rr_ms REAL, {is_keyed}",
        f"CREATE TABLE samples_night ({key}, coverage_frac REAL, zone TEXT, {is_keyed}",
        "INSERT INTO series VALUES (1, 'rr_interval', 'S1', 'A'), (2, 'night', 'S1', '-')",
        "INSERT INTO samples_rr_interval VALUES (1, 10, 800.5), (1, 20, NULL)",
        "INSERT INTO samples_night VALUES (2, 30, 0.5, 'UTC')",
        "PRAGMA user_version=1",
    ):
        connection.execute(statement)
    connection.close()


def test_an_older_file_is_kept_and_brought_up_to_date(tmp_path):
    path, kept = tmp_path / "samples.sqlite", tmp_path / "samples.sqlite.layout-1"
    file_of_layout_1(path)
    with SqliteTimeSeries(path) as store:
        assert {s.stream.name: s.stream.family for s in store.series()} == {
            "night": "features",
            "rr_interval": "raw",
        }
        np.testing.assert_array_equal(store.read(RR_INTERVAL, "S1")["rr_ms"], [800.5, np.nan])
        found = store.read(NIGHT_STREAM, "S1")
        assert (found["zone"].tolist(), found["coverage_frac"].tolist()) == (["UTC"], [0.5])
    assert kept.stat().st_mode & 0o077 == 0
    for file, layout in ((path, LAYOUT), (kept, 1)):
        connection = SqliteConnection(file, is_read_only=True)
        assert connection.rows("PRAGMA user_version") == [(layout,)]
        assert connection.rows("SELECT count(*) FROM samples_rr_interval") == [(2,)]
        connection.close()
    before = kept.read_bytes()
    SqliteTimeSeries(path).close()
    assert kept.read_bytes() == before


def test_a_write_waits_for_the_disk(tmp_path):
    """Only a power cut would show it otherwise."""
    with SqliteTimeSeries(tmp_path / "samples.sqlite") as store:
        assert store._writer.rows("PRAGMA synchronous") == [(2,)]


def test_a_fresh_file_leaves_no_older_one(tmp_path):
    SqliteTimeSeries(tmp_path / "samples.sqlite").close()
    SqliteTimeSeries(tmp_path / "samples.sqlite").close()
    assert [path.name for path in tmp_path.iterdir()] == ["samples.sqlite"]


def test_opening_again_writes_nothing(tmp_path):
    """Each of three processes opens the file; none has a reason to wake the disk."""
    path = tmp_path / "samples.sqlite"
    with SqliteTimeSeries(path) as first:
        first.write([Batch(WINDOW_STREAM, "S1", "A", np.array([], np.int64), _nothing(WINDOW_STREAM))])
        size = Path(f"{path}-wal").stat().st_size
        SqliteTimeSeries(path).close()
        assert Path(f"{path}-wal").stat().st_size == size


def _nothing(stream):
    return {column.name: np.array([]) for column in stream.columns}
