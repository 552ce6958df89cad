"""What a record says by itself: samples at its arrival, samples with their own time, and counters."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from ingest.readings.reading import Count, Reading, Values
from ingest.records import Record
from ingest.rows import Sample
from store.streams import HEART_RATE, WAVEFORM, Stream
from store.units import NS_PER_MS, NS_PER_S

SAME_ARRIVAL_NS = NS_PER_MS
"""Samples of one stream and sensor need distinct times. A record that arrives at or up to this long before
the previous sample's time (coarse host clocks, virtual time) gets the nanosecond after it; one that arrives
longer before it came after a clock step, and keeps its time."""

SLOT_NS = 300 * NS_PER_S
"""Rings keep one heart rate for each five minutes."""

LONGEST_RUNS = 128
"""Stretches of live heart rate that are remembered. A week of a ring with a break in every waking hour has
fewer; past that the oldest are forgotten, and a log of them would be kept beside the live samples."""

Run = tuple[int, int]
"""First and last slot of a stretch."""


@dataclass(frozen=True, slots=True)
class LiveSlots:
    """The five-minute slots in which a live heart rate arrived, as runs, newest last."""

    runs: tuple[Run, ...] = ()

    def __contains__(self, slot: int) -> bool:
        return any(first <= slot <= last for first, last in reversed(self.runs))

    def with_slot(self, slot: int) -> "LiveSlots":
        """Return these slots and `slot`."""
        if not self.runs:
            return LiveSlots(((slot, slot),))
        first, last = self.runs[-1]
        if first <= slot <= last:
            return self
        if slot == last + 1:
            return LiveSlots((*self.runs[:-1], (first, slot)))
        return LiveSlots((*self.runs, (slot, slot))[-LONGEST_RUNS:])


class Arrivals(NamedTuple):
    """All that the samples which need no neighbours depend on.

    Attributes
    ----------
    stamps_ns : mapping of stream name to int
        Time of the newest sample at arrival.
    counts : mapping of stream name to (int, int)
        Newest total of a counter, and when it arrived on the monotonic clock.
    live : LiveSlots
    """

    stamps_ns: Mapping[str, int] = MappingProxyType[str, int]({})
    counts: Mapping[str, tuple[int, int]] = MappingProxyType[str, tuple[int, int]]({})
    live: LiveSlots = LiveSlots()

    def as_json(self) -> dict[str, Any]:
        """Return this as values that JSON can hold."""
        held = {"stamps_ns": dict(self.stamps_ns), "counts": dict(self.counts), "live": self.live.runs}
        return {name: value for name, value in held.items() if value}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return what `as_json` made."""
        return cls(
            dict(held.get("stamps_ns", {})),
            {name: (total, mono_ns) for name, (total, mono_ns) in held.get("counts", {}).items()},
            LiveSlots(tuple((first, last) for first, last in held.get("live", ()))),
        )


NOTHING_YET = Arrivals()
"""Of a sensor that has sent nothing."""


class ArrivalSamples:
    """Makes the samples of records that need no neighbours.

    Parameters
    ----------
    state : Arrivals
        Of an earlier object.
    is_live : callable
        Whether a slot holds live heart rate of the same sensor.
    keep_waveforms : bool
    """

    def __init__(self, state: Arrivals, is_live: Callable[[int], bool], *, keep_waveforms: bool) -> None:
        self.state = state
        self._is_live = is_live
        self._keep_waveforms = keep_waveforms

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample; 0 if there was none."""
        return max(self.state.stamps_ns.values(), default=0)

    def forget_counts(self) -> None:
        """Begin to count anew: somebody else may have worn the sensor meanwhile."""
        self.state = self.state._replace(counts={})

    def take(self, record_id: int, record: Record, reading: Reading) -> list[Sample]:
        """Return the samples of the next record."""
        samples = [self._stamped(record_id, record, *part) for part in reading.at_arrival]
        if reading.counter is not None:
            samples += self._counted(record_id, record, reading.counter)
        if self._keep_waveforms:
            samples += [self._stamped(record_id, record, WAVEFORM, row) for row in reading.waveform]
        if not reading.timed:
            return samples
        return samples + [
            Sample(timed.stream, timed.t_ns, timed.values, record_id)
            for timed in reading.timed
            if timed.stream is not HEART_RATE or not self._is_live(timed.t_ns // SLOT_NS)
        ]

    def stamp(self, stream: Stream, wall_ns: int) -> int:
        """Return the time of a sample of `stream` that arrived at `wall_ns`."""
        previous_ns = self.state.stamps_ns.get(stream.name)
        if previous_ns is not None and wall_ns <= previous_ns <= wall_ns + SAME_ARRIVAL_NS:
            wall_ns = previous_ns + 1
        stamps_ns = {**self.state.stamps_ns, stream.name: wall_ns}
        self.state = Arrivals(stamps_ns, self.state.counts, self.state.live)
        return wall_ns

    def _stamped(self, record_id: int, record: Record, stream: Stream, values: Values) -> Sample:
        if stream is HEART_RATE and _is_worn(values):
            live = self.state.live.with_slot(record.wall_ns // SLOT_NS)
            if live is not self.state.live:
                self.state = self.state._replace(live=live)
        return Sample(stream, self.stamp(stream, record.wall_ns), values, record_id)

    def _counted(self, record_id: int, record: Record, count: Count) -> list[Sample]:
        before = self.state.counts.get(count.stream.name)
        counts = {**self.state.counts, count.stream.name: (count.total, record.mono_ns)}
        self.state = self.state._replace(counts=counts)
        if before is None:
            return []
        total, mono_ns = before
        counted = count.total - total if count.total >= total else count.total
        interval_s = max(record.mono_ns - mono_ns, 0) / NS_PER_S
        return [self._stamped(record_id, record, count.stream, (float(counted), interval_s))]


def _is_worn(heart_rate: Values) -> bool:
    bpm, skin_contact = heart_rate[0], heart_rate[1]
    return isinstance(bpm, float) and not math.isnan(bpm) and bpm > 0 and skin_contact != 0
