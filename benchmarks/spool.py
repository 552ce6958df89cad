"""The spool: bytes for a month without a store, records a second, power cuts, and the fold behind it."""

import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from ingest.decoders.heart_rate import encode_heart_rate
from ingest.decoders.polar_pmd import AccelerationFrame, StreamSettings, encode_frame, pack_record
from ingest.epochs import activity_epochs
from ingest.records import Kind, Record
from ingest.samples import SampleFold
from ingest.spool import Spool
from ingest.virtual.packets import heart_rate_packets
from ingest.virtual.person import VirtualPerson
from store.clock import VirtualClock
from store.units import NS_PER_S
from tests.power_cuts import Story, cut_everywhere

START_NS = 1_767_643_200_000_000_000
ACC_HZ, ACC_SAMPLES = 50, 36
MONTH_DAYS = 30
CAPACITY_BYTES = 2e9


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` takes six hours of frames and many more power cuts."""
    hours = 6 if is_full else 1
    heart, motion = list(_heart(hours)), list(_motion(hours))
    return [
        *_size("heart rate and intervals", heart, hours),
        *_size("and acceleration at 50 Hz", heart + motion, hours),
        *_speed(heart),
        *_fold("heart rate", heart, hours),
        *_fold("acceleration at 50 Hz", motion, hours),
        _epochs(),
        *_power_cuts(60 if is_full else 12),
    ]


def _heart(hours: int) -> Iterable[Record]:
    """Yield the packets of a virtual person's strap."""
    beats = VirtualPerson(1, "UTC").beats(START_NS, START_NS + hours * 3600 * NS_PER_S)
    for packet in heart_rate_packets((beats.t_ns - START_NS) / NS_PER_S, beats.rr_ms):
        yield _record("heart_rate_measurement", packet.offset_ns, encode_heart_rate(packet.measurement))


def _motion(hours: int) -> Iterable[Record]:
    """Yield compressed frames of a wrist that moves now and then."""
    random = np.random.default_rng(0)
    settings = StreamSettings(ACC_HZ, 16, 8, 1.0)
    for number in range(1, hours * 3600 * ACC_HZ // ACC_SAMPLES):
        at_ns = number * ACC_SAMPLES * NS_PER_S // ACC_HZ
        spread = 120 if random.random() < 0.1 else 6
        counts = np.rint(random.normal([0, 300, 950], spread, (ACC_SAMPLES, 3))).astype(np.int32)
        frame = encode_frame(AccelerationFrame(START_NS + at_ns, counts, 1, is_compressed=True))
        yield _record("polar_pmd", at_ns + int(random.integers(0, 50_000_000)), pack_record(settings, frame))


def _record(kind: Kind, at_ns: int, payload: bytes) -> Record:
    return Record(kind, "S001", "C0:5E:00:00:00:01", START_NS + at_ns, at_ns, payload)


def _size(what: str, records: list[Record], hours: int) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder) / "spool.sqlite", VirtualClock(START_NS))
        empty_bytes = spool.used_bytes()
        _put(spool, records)
        used_bytes = spool.used_bytes() - empty_bytes
        spool.close()
        file_bytes = (Path(folder) / "spool.sqlite").stat().st_size
    month_bytes = file_bytes * MONTH_DAYS * 24 / hours
    return [
        Row(f"{what}: a record", used_bytes / len(records), "bytes"),
        Row(f"{what}: 30 days of one strap", month_bytes / 1e9, "GB", CAPACITY_BYTES / 1e9),
    ]


def _put(spool: Spool, records: list[Record]) -> None:
    for number, record in enumerate(records, start=1):
        spool.put(record)
        if number % 10_000 == 0:
            spool.flush()
    spool.flush()


def _speed(records: list[Record]) -> list[Row]:
    """Durable records a second, many at a time and one by one."""
    one_by_one = records[:300]
    with tempfile.TemporaryDirectory() as folder:
        with Spool(Path(folder) / "many.sqlite", VirtualClock(START_NS)) as spool:
            many_s = _seconds(lambda: _put(spool, records)) / len(records)
        with Spool(Path(folder) / "single.sqlite", VirtualClock(START_NS)) as spool:
            single_s = _seconds(lambda: [_put(spool, [record]) for record in one_by_one]) / len(one_by_one)
    return [
        Row("durable records, as they come", 1 / many_s, "records/s", 4_000, "higher"),
        Row("the same, to one commit for each record", single_s / many_s, "times", 2, "higher"),
    ]


def _fold(what: str, records: list[Record], hours: int) -> list[Row]:
    fold = SampleFold({})
    numbered = list(enumerate(records, start=1))
    pieces = [numbered[k : k + 2000] for k in range(0, len(numbered), 2000)]
    took_s = _seconds(lambda: [fold.add(piece) for piece in pieces])
    return [
        Row(f"fold of {what}", len(records) / took_s, "records/s"),
        Row(f"fold of {what}: a day of one wearable", took_s * 24 / hours, "s"),
    ]


def _epochs() -> Row:
    count = 24 * 3600 * ACC_HZ
    acc_g = np.random.default_rng(0).normal([0, 0.3, 0.95], 0.05, (count, 3)).astype(np.float32)
    t_ns = START_NS + np.arange(count) * (NS_PER_S // ACC_HZ)
    period_s = np.full(count, 1 / ACC_HZ)
    took_s = min(_seconds(lambda: activity_epochs(t_ns, acc_g, period_s)) for _ in range(2))
    return Row("epochs of a whole day at 50 Hz at once", took_s, "s")


def _power_cuts(rounds: int) -> list[Row]:
    """Count cuts; one that loses, repeats or reorders anything raises."""
    cuts, steps = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(3):
            place = Path(folder) / str(seed)
            place.mkdir()
            story = Story(place, rounds=rounds // 3, seed=seed)
            cuts += cut_everywhere(story, place, seed=seed)
            steps += len(story.disk.steps)
    return [
        Row("writes, syncs and deletions, each cut off", steps, "steps"),
        Row("power cuts survived, nothing lost or twice", cuts, "cuts", 4 * steps, "higher"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s
