"""A power cut at every write, sync and deletion of the spool, and disks that are full or fail."""

import itertools
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from ingest import spool as spool_module
from ingest.decoders.polar_pmd import EcgFrame, StreamSettings, encode_frame, pack_record
from ingest.records import Record
from ingest.spool import Spool, SpoolFullError
from store.clock import VirtualClock
from store.errors import HomeError
from store.units import NS_PER_S
from tests.faulty_disk import faulty_disk, image, is_available
from tests.power_cuts import (
    CLOCK,
    START_NS,
    MemoryStore,
    Story,
    cut_everywhere,
    forward,
    frame,
    small_spool,
    stopped,
)

pytestmark = pytest.mark.skipif(not is_available(), reason="Python's SQLite does not show its functions")


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory in memory where there is one, for its files are made and synced a thousand times."""
    memory = Path("/dev/shm")  # noqa: S108 - a directory of its own is made in it
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as made:
        yield Path(made)


def test_power_cut_at_every_step_loses_nothing_and_repeats_nothing(folder: Path):
    story = Story(folder, rounds=6)
    assert story.settled > 20
    done = {step.what for step in story.disk.steps}
    assert done == {"write", "sync", "truncate", "delete"}
    assert cut_everywhere(story, folder) > 400


def test_the_noted_disk_is_the_real_one(folder: Path):
    story = Story(folder, rounds=2)
    copy = folder / "copy"
    copy.mkdir()
    image(story.disk.steps, copy, kept=lambda: True)
    assert (copy / "spool.sqlite").read_bytes() == (folder / "spool.sqlite").read_bytes()


def test_a_spool_that_does_not_sync_would_be_caught(folder: Path):
    """The test of the test: without syncs, a cut does lose what was told to be durable."""
    story = Story(folder, rounds=3)
    story.disk.steps = [step for step in story.disk.steps if step.what != "sync"]
    story.durable = [(max(0, at - 40), count) for at, count in story.durable]
    with pytest.raises((AssertionError, HomeError)):
        cut_everywhere(story, folder)


def filled(spool: Spool) -> int:
    """Put frames until there is no room; return how many the spool took, the last of them in memory only."""
    for number in itertools.count():
        spool.put(frame(number, "AA"))
        try:
            spool.flush()
        except SpoolFullError:
            return number + 1
    raise AssertionError


def test_full_disk_holds_back_says_so_and_recovers_by_itself(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "FULL_DISK_RETRY_S", 0.01)
    clock = VirtualClock(START_NS)
    with faulty_disk(folder) as disk, Spool(folder / "spool.sqlite", clock, least_free_bytes=0) as spool:
        assert spool.alarm is None
        disk.capacity_bytes = 150_000
        taken = filled(spool)
        assert spool.alarm is not None
        assert spool.alarm.since_ns == START_NS
        assert "make room" in spool.alarm.reason
        clock.advance_to(START_NS + 60 * NS_PER_S)
        assert spool.alarm.since_ns == START_NS
        disk.capacity_bytes = None
        assert spool.wait_beyond(taken - 1, 10)
        spool.put(frame(taken, "AA"))
        spool.flush()
        assert spool.alarm is None
        assert [r.mono_ns // NS_PER_S for _, r in spool.read(0, 10_000)] == list(range(taken + 1))


@pytest.fixture
def small_disk(folder: Path) -> Iterator[Path]:
    """A real file system of 12 MB."""
    place = folder / "small"
    place.mkdir()
    mounted = subprocess.run(
        ["/bin/mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here; that needs root")
    try:
        yield place
    finally:
        subprocess.run(["/bin/umount", str(place)], check=True)


def test_spool_that_filled_a_real_disk_can_be_forwarded_and_goes_on(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(spool_module, "FULL_DISK_RETRY_S", 0.01)
    store = MemoryStore()
    with Spool(small_disk / "spool.sqlite", CLOCK, least_free_bytes=6_000_000) as spool:
        taken = 0
        with suppress(SpoolFullError):
            for taken in itertools.count():
                spool.put(long_frame(taken))
                if taken % 10 == 9:
                    spool.flush()
        spool.flush()
        assert spool.alarm is not None
        assert "needed are 6000000" in spool.alarm.reason
        assert taken > 100
        forward(spool, store)
        spool.put(stopped(taken, "AA"))
        forward(spool, store)
        assert spool.is_empty()
        assert spool.alarm is None
        assert spool.counts().forwarded_frames == taken + 1


def test_disk_filled_by_others_is_noticed_and_waited_for(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "FULL_DISK_RETRY_S", 0.01)
    with Spool(small_disk / "spool.sqlite", CLOCK, least_free_bytes=0) as spool:
        spool.put(frame(0, "AA"))
        spool.flush()
        other = small_disk / "other"
        with suppress(OSError), other.open("wb") as file:
            file.write(bytes(13_000_000))
        taken = filled(spool)
        assert spool.alarm is not None
        other.unlink()
        assert spool.wait_beyond(taken, 10)
        spool.put(frame(taken, "AA"))
        spool.flush()
        assert spool.alarm is None
        assert [r.mono_ns // NS_PER_S for _, r in spool.read(0, 10_000)] == [0, *range(taken + 1)]


def test_room_that_others_make_is_noticed(small_disk: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spool_module, "FULL_DISK_RETRY_S", 0.01)
    other = small_disk / "other"
    other.write_bytes(bytes(8_000_000))
    with Spool(small_disk / "spool.sqlite", CLOCK, least_free_bytes=6_000_000) as spool:
        with pytest.raises(SpoolFullError):
            spool.put(frame(0, "AA"))
        other.unlink()
        for _ in range(1000):
            if spool.alarm is None:
                break
            threading.Event().wait(0.01)
        spool.put(frame(0, "AA"))


def long_frame(number: int) -> Record:
    """An electrocardiogram of 5 kB, which becomes no sample unless waveforms are kept."""
    sent = encode_frame(EcgFrame(START_NS, np.full(1600, number, np.int32)))
    return frame(number, "AA")._replace(kind="polar_pmd", payload=pack_record(StreamSettings(130), sent))


def test_disk_that_fails_stops_the_spool_and_keeps_what_was_durable(folder: Path):
    with faulty_disk(folder) as disk:
        spool = small_spool(folder)
        spool.put(frame(0, "AA"))
        spool.flush()
        disk.broken = True
        spool.put(frame(1, "AA"))
        with pytest.raises(HomeError, match="disk I/O error"):
            spool.flush()
        with pytest.raises(HomeError):
            spool.put(frame(2, "AA"))
        disk.broken = False
        with pytest.raises(HomeError):
            spool.close()
    with small_spool(folder) as spool:
        assert [r.mono_ns for _, r in spool.read(0, 10)] == [0]
