"""A spool at work, and a power cut after every write, sync, truncation and deletion of its disk.

What was told to be on disk is counted by the sequence number that each frame carries, and what the store got
by the ledger's own counters.
"""

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ingest.forwarder import Forwarder
from ingest.records import Record, link_payload
from ingest.spool import Spool
from store.clock import VirtualClock
from store.ledger_digest import HourCounters, sample_digest, total_of
from store.streams import STREAMS
from store.timeseries import AnyBatch, whose
from store.units import NS_PER_S
from tests.faulty_disk import FaultyDisk, faulty_disk, image

START_NS = 1_767_643_200 * NS_PER_S
STRAPS = ("AA", "BB")
Value = tuple[int, tuple[object, ...]]


class MemoryStore:
    """Samples in memory, and at which step of the spool's disk each was written."""

    def __init__(self, disk: FaultyDisk | None = None) -> None:
        self.writes: list[tuple[int, Sequence[AnyBatch]]] = []
        self._disk = disk

    def write(self, batches: Sequence[AnyBatch]) -> int:
        self.writes.append((len(self._disk.steps) if self._disk else 0, batches))
        return sum(map(len, batches))

    def before(self, step: int) -> "MemoryStore":
        """Return the store as it was when the disk had done so many steps."""
        store = MemoryStore()
        store.writes = [(0, batches) for at, batches in self.writes if at <= step]
        return store

    def rows(self, stream: str, sensor: str) -> dict[int, tuple[object, ...]]:
        found: dict[int, tuple[object, ...]] = {}
        for batch in (b for _, batches in self.writes for b in batches):
            columns = [batch.values[name].tolist() for name in batch.stream.column_names()]
            for row, (t_ns, values) in enumerate(
                zip(batch.t_ns.tolist(), zip(*columns, strict=True), strict=True)
            ):
                if (batch.stream.name, whose(batch, row)[1]) == (stream, sensor):
                    found[t_ns] = values
        return dict(sorted(found.items()))


def frame(number: int, sensor: str) -> Record:
    """A heart rate with its sequence number and one interval."""
    at_ns = number * NS_PER_S
    payload = bytes([0x18, 60]) + number.to_bytes(2, "little") + (1024).to_bytes(2, "little")
    return Record("heart_rate_measurement", "S1", sensor, START_NS + at_ns, at_ns, payload)


def stopped(number: int, sensor: str) -> Record:
    at_ns = number * NS_PER_S
    return Record("link_state", "S1", sensor, START_NS + at_ns, at_ns, link_payload("stopped", "a test"))


def forward(spool: Spool, store: MemoryStore) -> None:
    forwarder = Forwarder(spool, store, CLOCK, first_retry_s=0.001)  # pyright: ignore[reportArgumentType]
    forwarder.start()
    forwarder.stop()


CLOCK = VirtualClock(START_NS)


class Story:
    """A spool at work on a noted disk: what was put, what was told to be durable, what was stored."""

    def __init__(self, folder: Path, *, rounds: int = 8, seed: int = 0) -> None:
        self.durable: list[tuple[int, int]] = [(0, 0)]
        random = np.random.default_rng(seed)
        with faulty_disk(folder) as self.disk:
            self.store = MemoryStore(self.disk)
            with small_spool(folder) as spool:
                spool._database.execute("PRAGMA wal_autocheckpoint = 12")
                put = 0
                for _ in range(rounds):
                    for _ in range(int(random.integers(3, 9))):
                        for sensor in STRAPS:
                            spool.put(frame(put // len(STRAPS), sensor))
                            put += 1
                    spool.flush()
                    self.durable.append((len(self.disk.steps), put))
                    if random.random() < 0.7:
                        forward(spool, self.store)
                self.settled = spool.counts().forwarded_frames
        self.frames = put

    def durable_after(self, step: int) -> int:
        return max(count for at, count in self.durable if at <= step)


def small_spool(folder: Path) -> Spool:
    return Spool(folder / "spool.sqlite", CLOCK, least_free_bytes=0)


def recover(story: Story, step: int, folder: Path) -> None:
    """Open what is left, forward it, and count."""
    store = story.store.before(step)
    with small_spool(folder) as spool:
        counts = spool.counts()
        survived = counts.spooled_frames
        assert survived >= story.durable_after(step)
        assert survived <= story.frames
        assert counts.waiting_frames == len(spool.read(0, story.frames))
        for sensor in STRAPS:
            spool.put(stopped(1000, sensor))
        forward(spool, store)
        assert spool.is_empty()
        hours = spool.hours()
    for place, sensor in enumerate(STRAPS):
        wanted = (survived + 1 - place) // len(STRAPS)
        rows = store.rows("heart_rate", sensor)
        assert [values[2] for values in rows.values()] == list(range(wanted))
        assert len(store.rows("rr_interval", sensor)) == wanted
    assert_ledger_is_exact(hours, store)


def assert_ledger_is_exact(hours: Sequence[HourCounters], store: MemoryStore) -> None:
    """The spool's counters are those of the samples that the store holds."""
    for name, stream in STREAMS.items():
        for sensor in STRAPS:
            rows = store.rows(name, sensor)
            mine = [hour for hour in hours if (hour.stream, hour.sensor_id) == (name, sensor)]
            assert sum(hour.acknowledged for hour in mine) == len(rows), (name, sensor)
            assert sum(hour.spooled for hour in mine) == len(rows), (name, sensor)
            assert sum(hour.rewritten for hour in mine) == 0
            if rows:
                columns = zip(stream.column_names(), zip(*rows.values(), strict=True), strict=True)
                digests = sample_digest(stream, np.array(list(rows)), {n: np.array(v) for n, v in columns})
                assert sum(hour.digest for hour in mine) % 2**64 == total_of(digests).digest


def happens(random: np.random.Generator, chance_frac: float) -> bool:
    return random.random() < chance_frac


def cut_everywhere(story: Story, folder: Path, *, seed: int = 0) -> int:
    """Recover from a power cut after every step, in the ways a disk can fail; return how many there were."""
    cuts = 0
    for step in range(len(story.disk.steps) + 1):
        random = np.random.default_rng((seed, step))
        for kept_frac, torn in ((1.0, None), (0.0, None), (1.0, random), (0.5, random)):
            left = folder / "left"
            left.mkdir()
            image(story.disk.steps[:step], left, kept=partial(happens, random, kept_frac), torn=torn)
            recover(story, step, left)
            shutil.rmtree(left)
            cuts += 1
    return cuts
