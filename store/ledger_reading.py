"""What the store itself says: its samples counted and hashed by hour, and what explains its gaps."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from store.gaps import LONGEST_HOLD_NS, Spans, Witnesses
from store.ledger_digest import NS_PER_HOUR, Total, hourly_totals, sample_digest
from store.streams import BATTERY, COLLECTOR, HEART_RATE, LINK_STATE, RR_INTERVAL, STREAMS, Stream
from store.timeseries import Samples, TimeSeriesStore

DAY_NS = 24 * NS_PER_HOUR
LINK_BACK_NS = 60 * DAY_NS
"""Link states are few, and a pause may last for weeks."""
STATE_BACK_NS = 2 * DAY_NS
"""Battery and signs of life come at least daily while anything works."""

READERS = 2
"""Streams read at a time: reading waits for the disk or a server, and hashing lets others run."""

HourKey = tuple[str, str, int]
"""Stream name, sensor, hours since 1970."""


@dataclass(frozen=True)
class Held:
    """What the store holds of a subject in whole hours, read sample by sample.

    Attributes
    ----------
    totals : dict of HourKey to Total
        Hours with at least one sample.
    heart, beats : Samples
        Heart rate and RR intervals, from `LONGEST_HOLD_NS` before: what covers the first moments.
    """

    totals: dict[HourKey, Total]
    heart: Samples
    beats: Samples


def held_in(
    store: TimeSeriesStore, subject_id: str, start_ns: int, end_ns: int, streams: Collection[str]
) -> Held:
    """Read, count and hash samples.

    Parameters
    ----------
    start_ns, end_ns : int
        Full hours.
    streams : collection of str
        Names of declared streams to count; heart rate and beats are read in any case.
    """
    others = [STREAMS[name] for name in streams if STREAMS[name] not in (HEART_RATE, RR_INTERVAL)]
    found: dict[HourKey, Total] = {}

    def counted(part: tuple[Stream, int, int]) -> dict[HourKey, Total]:
        return _totals(store.read(part[0], subject_id, part[1], part[2]))

    with ThreadPoolExecutor(READERS) as readers:
        heart, beats = (
            readers.submit(store.read, stream, subject_id, start_ns - LONGEST_HOLD_NS, end_ns)
            for stream in (HEART_RATE, RR_INTERVAL)
        )
        parts = [part for stream in others for part in _reads(stream, start_ns, end_ns)]
        for totals in readers.map(counted, parts):
            found.update(totals)
    for samples in (heart.result(), beats.result()):
        if samples.stream.name in streams:
            found.update(_totals(samples, start_ns))
    return Held(found, heart.result(), beats.result())


def witnesses(  # noqa: PLR0913 - one call, every argument named
    store: TimeSeriesStore,
    subject_id: str,
    start_ns: int,
    end_ns: int,
    *,
    held: Held,
    waiting_since_ns: int | None,
    withdrawn: Sequence[tuple[int, int]] = (),
    rate_withdrawn: Sequence[tuple[int, int]] = (),
) -> Witnesses:
    """Return what explains the gaps of a subject in an interval, with the heartbeats read already."""
    known = store.extent(COLLECTOR, subject_id)
    return Witnesses(
        held.heart,
        held.beats,
        store.read(LINK_STATE, subject_id, start_ns - LINK_BACK_NS, end_ns),
        store.read(BATTERY, subject_id, start_ns - STATE_BACK_NS, end_ns),
        store.read(COLLECTOR, subject_id, start_ns - STATE_BACK_NS, end_ns),
        is_watched=known is not None and known[0] < start_ns - STATE_BACK_NS,
        waiting_since_ns=waiting_since_ns,
        withdrawn=_clipped(withdrawn, start_ns, end_ns),
        rate_withdrawn=_clipped(rate_withdrawn, start_ns, end_ns),
    )


def _clipped(spans: Sequence[tuple[int, int]], start_ns: int, end_ns: int) -> Spans:
    within = [
        (max(first_ns, start_ns), min(last_ns, end_ns))
        for first_ns, last_ns in spans
        if first_ns < end_ns and last_ns > start_ns
    ]
    return np.array(within, np.int64).reshape(-1, 2)


def _totals(samples: Samples, start_ns: int | None = None) -> dict[HourKey, Total]:
    first = 0 if start_ns is None else int(np.searchsorted(samples.t_ns, start_ns))
    t_ns, index = samples.t_ns[first:], samples.sensor_index[first:]
    values = {name: array[first:] for name, array in samples.values.items()}
    digests = sample_digest(samples.stream, t_ns, values)
    found: dict[HourKey, Total] = {}
    for k, sensor in enumerate(samples.sensors):
        rows = slice(None) if len(samples.sensors) == 1 else np.flatnonzero(index == k)
        for hour, total in hourly_totals(t_ns[rows], digests[rows]).items():
            found[samples.stream.name, sensor, hour] = total
    return found


def _reads(stream: Stream, start_ns: int, end_ns: int) -> Iterator[tuple[Stream, int, int]]:
    """Yield parts of an interval that fit into memory: an hour of raw frames, a day of anything else."""
    has_frames = any(column.dtype == "binary" for column in stream.columns)
    step_ns = NS_PER_HOUR if has_frames else DAY_NS
    for from_ns in range(start_ns, end_ns, step_ns):
        yield stream, from_ns, min(from_ns + step_ns, end_ns)
