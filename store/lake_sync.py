"""Bring a lake up to date with a store: write the months that changed, read them back, and compare.

Interrupted anywhere, it is taken up by running it again: the mark of the store is kept last.
"""

import io
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq

from store.lake import (
    FileNote,
    LakeFiles,
    LakeNote,
    file_name,
    month_bounds_ns,
    months,
    samples_of,
    table_of,
)
from store.ledger import Ledger
from store.ledger_digest import NS_PER_HOUR, Total, hourly_totals, sample_digest
from store.streams import STREAMS, WAVEFORM, Stream
from store.times import iso_time
from store.timeseries import Samples, TimeSeriesStore
from store.written import NEWEST

LAKE_STREAMS: tuple[Stream, ...] = tuple(
    stream for stream in STREAMS.values() if stream.family == "raw" and stream != WAVEFORM
)
"""Frames of waveforms stay in the store: a month of one ECG is gigabytes, and nothing is computed from it."""
_DAY_NS = 24 * NS_PER_HOUR
_parquet: Any = cast("Any", pq)

Hours = dict[str, tuple[int, int, int]]


@dataclass(frozen=True, slots=True)
class Synced:
    """How it went.

    Attributes
    ----------
    files, samples, bytes : int
        Written, or looked at by a check.
    erased : int
        Files of people who were erased, removed.
    failed : tuple of str
        One sentence for each file or hour that is not as the store or the ledger has it.
    """

    files: int = 0
    samples: int = 0
    bytes: int = 0
    failed: tuple[str, ...] = ()
    erased: int = 0


Month = tuple[str, Stream, str]
"""Subject, stream, month."""


def sync_lake(
    store: TimeSeriesStore,
    url: str,
    *,
    ledger: Ledger | None = None,
    erased: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Synced:
    """Write every month of a subject and stream that changed since the last time; remove who was erased.

    What a store no longer holds stays in the lake, which outlives a store's retention.

    Parameters
    ----------
    url : str
        Where the lake is, or is made.
    erased : collection of str
        People of whom nothing is to be kept.
    ledger : Ledger, optional
        Hours that it has sealed are compared with what was written.
    progress : callable(months_done, months_total)

    Raises
    ------
    StoreUnavailableError
        If a file cannot be written or read back.
    """
    files = LakeFiles(url)
    note = files.read_note() or LakeNote(secrets.token_hex(8))
    same = note.store_id == store.store_id()
    mark = store.written_since(NEWEST, LAKE_STREAMS).mark  # before anything is read
    todo = list(_changed(store, note.mark) if same and note.mark else _all(store))
    note = replace(note, revision=note.revision + 1, store_id=store.store_id())
    done: Synced = Synced(erased=_without(files, note, erased))
    by_subject: dict[str, list[Month]] = {}
    for month in todo:
        by_subject.setdefault(month[0], []).append(month)
    worked = 0
    for subject_id, wanted in sorted(by_subject.items()):
        known = files.read_files(subject_id)
        for month in wanted:
            done = _write_month(store, files, known, month, note.revision, done)
            worked += 1
            progress(worked, len(todo))
        files.write_files(subject_id, known)
        note.subjects[subject_id] = _extents(known)
        note.changed[subject_id] = max(
            (at for file in known.values() for _, _, at in file.hours.values()), default=0
        )
        if ledger is not None:
            done = replace(done, failed=(*done.failed, *_against_ledger(ledger, subject_id, known)))
    if not todo and not done.erased:
        note = replace(note, revision=note.revision - 1)
    files.write_note(replace(note, mark=0 if done.failed else mark))
    return done


def check_lake(
    url: str,
    *,
    ledger: Ledger | None = None,
    erased: Collection[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Synced:
    """Read every file of a lake and compare it with what was written, and with the ledger."""
    files = LakeFiles(url)
    note = files.read_note() or LakeNote("")
    still = [who for who in sorted(erased) if who in note.subjects or files.files_of(who)]
    done: Synced = Synced(
        failed=tuple(f"{who} was erased and is still here; run evenkeel lake sync" for who in still)
    )
    for number, subject_id in enumerate(sorted(note.subjects), 1):
        known = files.read_files(subject_id)
        for name, file in known.items():
            wrong = _differences(files, name, file)
            count = sum(held[0] for held in file.hours.values())
            done = Synced(done.files + 1, done.samples + count, done.bytes, (*done.failed, *wrong))
        if ledger is not None:
            done = replace(done, failed=(*done.failed, *_against_ledger(ledger, subject_id, known)))
        progress(number, len(note.subjects))
    return done


def _without(files: LakeFiles, note: LakeNote, erased: Collection[str]) -> int:
    """Remove people from a lake and from its note, which is written after; return how many files."""
    # Everybody, noted or not: a sync that was interrupted leaves files that no note names.
    removed = sum(map(files.erase, erased))
    for subject_id in erased:
        note.subjects.pop(subject_id, None)
        note.changed.pop(subject_id, None)
    return removed


def _all(store: TimeSeriesStore) -> Iterator[Month]:
    for stream in LAKE_STREAMS:
        for subject_id in store.subjects(stream):
            extent = store.extent(stream, subject_id)
            if extent is not None:
                yield from ((subject_id, stream, month) for month in months(extent[0], extent[1] + 1))


def _changed(store: TimeSeriesStore, mark: int) -> Iterator[Month]:
    for stream in LAKE_STREAMS:
        for subject_id, stretches in store.written_since(mark, [stream]).stretches.items():
            touched = {month for start, end, _ in stretches.tolist() for month in months(start, end)}
            yield from ((subject_id, stream, month) for month in sorted(touched))


def _write_month(
    store: TimeSeriesStore,
    files: LakeFiles,
    known: dict[str, FileNote],
    month: Month,
    revision: int,
    done: Synced,
) -> Synced:
    subject_id, stream, named = month
    name = file_name(stream.name, subject_id, named)
    days = [held for held in _days(store, stream, subject_id, named) if len(held)]
    if not days:
        return done
    content = _packed(days, subject_id)
    before: Mapping[str, tuple[int, int, int]] = known[name].hours if name in known else {}
    hours: Hours = {}
    for held in days:
        for key, total in _hours(held).items():
            same = key in before and before[key][:2] == (total.count, total.digest)
            hours[key] = (total.count, total.digest, before[key][2] if same else revision)
    files.write(name, content)
    known[name] = FileNote(int(days[0].t_ns[0]), int(days[-1].t_ns[-1]), hours)
    wrong = _differences(files, name, known[name])
    samples = sum(map(len, days))
    return replace(
        done,
        files=done.files + 1,
        samples=done.samples + samples,
        bytes=done.bytes + len(content),
        failed=(*done.failed, *wrong),
    )


def _days(store: TimeSeriesStore, stream: Stream, subject_id: str, month: str) -> Iterator[Samples]:
    start_ns, end_ns = month_bounds_ns(month)
    for at_ns in range(start_ns, end_ns, _DAY_NS):
        yield store.read(stream, subject_id, at_ns, at_ns + _DAY_NS)


def _packed(days: Sequence[Samples], subject_id: str) -> bytes:
    target = io.BytesIO()
    tables = [table_of(held, subject_id) for held in days]
    with _parquet.ParquetWriter(target, tables[0].schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
    return target.getvalue()


def _hours(held: Samples) -> dict[str, Total]:
    digests = sample_digest(held.stream, held.t_ns, held.values)
    found: dict[str, Total] = {}
    for k, sensor in enumerate(held.sensors):
        rows = np.flatnonzero(held.sensor_index == k)
        for hour, total in hourly_totals(held.t_ns[rows], digests[rows]).items():
            found[f"{sensor} {hour}"] = total
    return found


def _differences(files: LakeFiles, name: str, file: FileNote) -> list[str]:
    """Read a file and say where it holds something else than it should."""
    stream = STREAMS[name.partition("/")[0].removeprefix("stream=")]
    opened = files.parquet(name)
    found: dict[str, Total] = {}
    for k in range(opened.num_row_groups):
        held = samples_of(stream, [opened.read_row_group(k)])
        for key, total in _hours(held).items():
            found[key] = found.get(key, Total()) + total
    wanted = {key: Total(count, digest) for key, (count, digest, _) in file.hours.items()}
    return [
        f"{name}, sensor and hour {key}: {found.get(key, Total()).count:,} samples, "
        f"{wanted.get(key, Total()).count:,} needed, the same to the last bit; run evenkeel lake sync again"
        for key in sorted(found.keys() | wanted.keys())
        if found.get(key) != wanted.get(key)
    ]


def _against_ledger(ledger: Ledger, subject_id: str, known: dict[str, FileNote]) -> list[str]:
    """Say which hours differ from what the ledger has sealed."""
    wrong: list[str] = []
    sealed = ledger.sealed(subject_id)
    for name, file in known.items():
        stream = name.partition("/")[0].removeprefix("stream=")
        for key, (count, digest, _) in file.hours.items():
            sensor, _, hour = key.rpartition(" ")
            seal = sealed.get((stream, sensor, int(hour)))
            if seal is not None and seal != Total(count, digest):
                at = iso_time(int(hour) * NS_PER_HOUR)
                wrong.append(
                    f"{stream} of {subject_id}, sensor {sensor}, hour from {at}: {count:,} samples in the "
                    f"lake, {seal.count:,} proven by the ledger; look with evenkeel ledger --check"
                )
    return wrong


def _extents(known: dict[str, FileNote]) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, file in known.items():
        stream = name.partition("/")[0].removeprefix("stream=")
        first, last = found.get(stream, (file.first_ns, file.last_ns))
        found[stream] = min(first, file.first_ns), max(last, file.last_ns)
    return found
