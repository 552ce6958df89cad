import gzip
import time
from pathlib import Path

import numpy as np
import pytest

from store import recording as recording_module
from store.errors import RecordingError
from store.recording import read_rr_file

GOOD = "t_s,rr_ms\n1.0,800\n1.81,810.5\n"


def rows(apart_s: float, rr_ms: float) -> str:
    return "t_s,rr_ms\n" + "".join(f"{k * apart_s},{rr_ms}\n" for k in range(1, 30))


@pytest.fixture
def write(tmp_path: Path):
    def written(content: str | bytes, name: str = "heart.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return written


def test_columns_are_read_as_they_stand(write):
    recording = read_rr_file(write(GOOD))
    assert recording.t_s.tolist() == [1.0, 1.81]
    assert recording.rr_ms.tolist() == [800.0, 810.5]
    assert len(recording) == 2
    assert not recording.t_s.flags.writeable
    assert not recording.rr_ms.flags.writeable


def test_further_columns_and_their_order_do_not_matter(write):
    recording = read_rr_file(write("\ufeffbeat,rr_ms,t_s\nN,800,1\nV,700,2\n"))
    assert recording.t_s.tolist() == [1.0, 2.0]
    assert recording.rr_ms.tolist() == [800.0, 700.0]


@pytest.mark.parametrize(("apart_s", "rr_ms"), [(0.2, 200), (2.5, 2500), (15, 800)])
def test_fast_slow_and_interrupted_hearts_are_read(write, apart_s, rr_ms):
    assert len(read_rr_file(write(rows(apart_s, rr_ms)))) == 29


def test_windows_line_ends_and_spaces_after_commas_do_not_matter(write):
    recording = read_rr_file(write("t_s, rr_ms\r\n1.0, 800\r\n1.81, 810.5\r\n"))
    assert recording.rr_ms.tolist() == [800.0, 810.5]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_too_large_to_be_a_recording_is_not_read_to_its_end(write, monkeypatch, pack):
    monkeypatch.setattr(recording_module, "LARGEST_BYTES", 1 << 20)
    path = write(pack(b"t_s,rr_ms\n" + b"0" * (1 << 21)))
    with pytest.raises(RecordingError, match="more than 1 MB of text"):
        read_rr_file(path)


def test_compressed_copy_has_the_same_digest(write):
    plain, packed = write(GOOD), write(gzip.compress(GOOD.encode()), "heart.csv.gz")
    assert read_rr_file(plain).digest == read_rr_file(packed).digest
    assert read_rr_file(plain).digest != read_rr_file(write(GOOD + "3,900\n")).digest


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1: no column t_s and rr_ms in ''"),
        ("time,rr_ms\n1,800\n", "line 1: no column t_s in 'time,rr_ms'"),
        ("t_s,rr_ms\n", "no rows after line 1"),
        ("t_s,rr_ms\n1.0,800\n2.0,abc\n", "line 3: rr_ms is 'abc'; needed is a number"),
        ("t_s,rr_ms\n1.0,800\nx,800\n", "line 3: t_s is 'x'"),
        ("t_s,rr_ms\n1.0,800\n2.0\n", "line 3: rr_ms is ''"),
        ("t_s,rr_ms\n1.0,800\n\n", "line 3: t_s is ''"),
        ("t_s,rr_ms\n1.0,800\n2.0,-5\n", "line 3: rr_ms is -5; needed is more than 0"),
        ("t_s,rr_ms\n1.0,0\n", "line 2: rr_ms is 0"),
        ("t_s,rr_ms\n1.0,nan\n", "line 2: rr_ms is nan; needed is a finite number"),
        ("t_s,rr_ms\n1.0,inf\n", "line 2: rr_ms is inf"),
        ("t_s,rr_ms\nnan,800\n", "line 2: t_s is nan"),
        ("t_s,rr_ms\n2.0,800\n1.0,810\n", "line 3: t_s is 1 after 2; needed is a later time"),
        ("t_s,rr_ms\n2.0,800\n2.0,810\n", "line 3: t_s is 2 after 2"),
        ('t_s,rr_ms,note\n1.0,800,"a\nb"\n2.0,-1,\n', "line 4: rr_ms is -1"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "byte 0 is not text"),
        (b"\x1f\x8bnot really", "damaged gzip"),
        (rows(0.8, 0.8), "half of rr_ms are 0.8 or less; needed are milliseconds"),
        (rows(800, 800), "t_s grows by 800 a beat while rr_ms is 800; needed are seconds"),
    ],
)
def test_anything_else_is_refused_with_one_clear_sentence(write, content, said):
    with pytest.raises(RecordingError) as refused:
        read_rr_file(write(content))
    assert str(refused.value).startswith("heart.csv")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_file_and_directory_are_refused(tmp_path: Path):
    with pytest.raises(RecordingError, match=r"none\.csv: there is no such file"):
        read_rr_file(tmp_path / "none.csv")
    with pytest.raises(RecordingError, match="cannot be read"):
        read_rr_file(tmp_path)


def test_a_day_is_read_fast(write):
    t_s = np.cumsum(np.full(110_000, 0.8))
    path = write("t_s,rr_ms\n" + "".join(f"{t:.4f},800.0\n" for t in t_s))
    best_s = min(_duration_s(path) for _ in range(3))
    assert best_s < 0.6, f"{best_s:.2f} s for a day"


def _duration_s(path: Path) -> float:
    start_s = time.perf_counter()
    read_rr_file(path)
    return time.perf_counter() - start_s


def test_a_plain_list_of_intervals_follows_itself_where_that_is_allowed(write):
    path = write("rr_ms\n800\n810.5\n")
    recording = read_rr_file(path, may_be_plain=True)
    assert recording.t_s.tolist() == pytest.approx([0.8, 1.6105])
    assert not recording.is_pulse
    with pytest.raises(RecordingError, match="no column t_s"):
        read_rr_file(path)


def test_pulse_intervals_say_that_they_are(write):
    assert read_rr_file(write("t_s,pp_ms\n1.0,800\n"), may_be_plain=True).is_pulse
    assert not read_rr_file(write("t_s,pp_ms,rr_ms\n1.0,800,801\n"), may_be_plain=True).is_pulse
