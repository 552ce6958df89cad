"""From records to samples: a pure fold, so that forwarding again after a crash gives the same samples.

A record becomes one sample at its arrival (heart rate, battery, link state); the RR intervals of a heart
rate packet become samples at their beat times, which `ingest.beats` finds. Records are settled, and may
leave the spool, in order per sensor once all their samples are known.
"""

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any, Self

import numpy as np

from ingest.beats import BeatState, BeatTimes
from ingest.decoders.battery import decode_battery
from ingest.decoders.heart_rate import decode_heart_rate
from ingest.records import Record, parse_link_payload
from store.errors import DataError, FrameError
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL, STREAMS, Stream
from store.timeseries import Batch
from store.units import NS_PER_MS

SAME_ARRIVAL_NS = NS_PER_MS
"""Samples of one stream and sensor need distinct times. A record that arrives at or up to this long before
the previous sample's time (coarse host clocks, virtual time) gets the nanosecond after it; one that arrives
longer before it came after a clock step, and keeps its time."""

SensorKey = tuple[str, str]
"""Subject and sensor id."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What one record says.

    Attributes
    ----------
    stream : Stream
        The stream of its one sample at arrival.
    values : tuple
        One per column of `stream`.
    rr_ms : tuple of float
        RR intervals, oldest first; their times are not in the record.
    """

    stream: Stream
    values: tuple[float | str, ...]
    rr_ms: tuple[float, ...] = ()


def reading_of(record: Record) -> Reading:
    """Return what a record says.

    Raises
    ------
    DataError
        If its payload is not what its kind should hold, or the kind is unknown.
    """
    match record.kind:
        case "heart_rate_measurement":
            heart = decode_heart_rate(record.payload)
            contact = nan if heart.skin_contact is None else float(heart.skin_contact)
            energy_kj = nan if heart.energy_kj is None else float(heart.energy_kj)
            return Reading(HEART_RATE, (float(heart.heart_rate_bpm), contact, energy_kj), heart.rr_ms)
        case "battery_level":
            return Reading(BATTERY, (float(decode_battery(record.payload)),))
        case "link_state":
            return Reading(LINK_STATE, _link_state(record.payload))
    raise DataError(
        f"A record of {record.sensor_id} has the kind {record.kind!r}, which this version does not know; "
        "forward it with the version that spooled it"
    )


def _link_state(payload: bytes) -> tuple[str, str]:
    try:
        return parse_link_payload(payload)
    except (ValueError, KeyError, TypeError):
        raise FrameError("A link state is not JSON with state and reason", payload) from None


def values_in(record: Record) -> Mapping[str, int]:
    """Return how many samples of each stream a record will become; none if it cannot be decoded."""
    try:
        return _values_of(reading_of(record))
    except DataError:
        return {}


def _values_of(reading: Reading) -> Mapping[str, int]:
    if reading.rr_ms:
        return {reading.stream.name: 1, RR_INTERVAL.name: len(reading.rr_ms)}
    return {reading.stream.name: 1}


@dataclass(frozen=True, slots=True)
class SensorState:
    """All that the samples of a sensor's coming records depend on.

    Attributes
    ----------
    beats : BeatState
    stamps_ns : mapping of stream name to int
        Time of the newest sample at arrival.
    """

    beats: BeatState = field(default_factory=BeatState)
    stamps_ns: Mapping[str, int] = field(default_factory=dict[str, int])

    def as_json(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        return {"beats": self.beats.as_json(), "stamps_ns": dict(self.stamps_ns)}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return the state that `as_json` gave."""
        return cls(BeatState.from_json(held["beats"]), dict(held["stamps_ns"]))


@dataclass(slots=True)
class Folded:
    """What some records added.

    Attributes
    ----------
    batches : list of Batch
        Samples to write before anything is acknowledged.
    settled : list of int
        Ids of the records that may then leave the spool.
    states : dict of SensorKey to SensorState
        After the last settled record, of each sensor that has one.
    values : Counter of stream name
        Samples that the settled records became, now or earlier.
    quarantined : list of (int, str)
        Ids of records that could not be decoded, and why.
    """

    batches: list[Batch] = field(default_factory=list[Batch])
    settled: list[int] = field(default_factory=list[int])
    states: dict[SensorKey, SensorState] = field(default_factory=dict[SensorKey, SensorState])
    values: Counter[str] = field(default_factory=Counter[str])
    quarantined: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


class SampleFold:
    """Turns records into samples, in order.

    Parameters
    ----------
    states : mapping of SensorKey to SensorState
        As of the records settled so far. Those after them have to be added, again if need be.
    """

    def __init__(self, states: Mapping[SensorKey, SensorState]) -> None:
        self._sensors = {key: _SensorFold(state) for key, state in states.items()}

    def held(self) -> Mapping[SensorKey, int]:
        """Return how many records of each sensor wait for later ones; its next link state settles all."""
        return {key: len(sensor.pending) for key, sensor in self._sensors.items() if sensor.pending}

    def add(self, records: Iterable[tuple[int, Record]]) -> Folded:
        """Take the next records of all sensors, as (id, record), and return what they add.

        A `started` link state from before the sensor's newest sample begins anew, as if there had been
        nothing: the past is being replayed, and the same records have to become the same samples.
        """
        folded, rows = Folded(), _Rows()
        touched: set[SensorKey] = set()
        for record_id, record in records:
            try:
                reading = reading_of(record)
            except DataError as error:
                folded.quarantined.append((record_id, str(error)))
                continue
            key = (record.subject_id, record.sensor_id)
            if key not in self._sensors:
                self._sensors[key] = _SensorFold(SensorState())
            self._sensors[key].take(record_id, record, reading, rows)
            touched.add(key)
        for key in sorted(touched):
            self._sensors[key].settle(key, folded)
        folded.batches = rows.batches()
        return folded


class _Rows:
    """Samples by stream and sensor, while they are collected."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, SensorKey], tuple[list[int], list[tuple[float | str, ...]]]] = {}

    def add(self, stream: Stream, key: SensorKey, t_ns: int, values: tuple[float | str, ...]) -> None:
        times_ns, rows = self._rows.setdefault((stream.name, key), ([], []))
        times_ns.append(t_ns)
        rows.append(values)

    def batches(self) -> list[Batch]:
        return [
            Batch(
                STREAMS[name],
                subject_id,
                sensor_id,
                np.array(times_ns, np.int64),
                dict(zip(STREAMS[name].column_names(), map(np.array, zip(*rows, strict=True)), strict=True)),
            )
            for (name, (subject_id, sensor_id)), (times_ns, rows) in self._rows.items()
        ]


@dataclass(frozen=True, slots=True)
class _Pending:
    record_id: int
    values: Mapping[str, int]
    stamps_ns: Mapping[str, int]


class _SensorFold:
    """The fold of one sensor's records."""

    def __init__(self, state: SensorState) -> None:
        self._beats = BeatTimes(state.beats)
        self._stamps_ns: Mapping[str, int] = state.stamps_ns
        self.pending: deque[_Pending] = deque()

    def take(self, record_id: int, record: Record, reading: Reading, rows: _Rows) -> None:
        """Add the record's sample at arrival, and all beats whose times are now known."""
        key = (record.subject_id, record.sensor_id)
        if reading.stream is LINK_STATE:
            beats = self._beats.close()
            if reading.values[0] == "started" and record.wall_ns < self._newest_ns():
                self._beats, self._stamps_ns = BeatTimes(), dict[str, int]()
        else:
            beats = self._beats.feed(record.wall_ns, record.mono_ns, reading.rr_ms)
        for t_ns, rr_ms in beats:
            rows.add(RR_INTERVAL, key, t_ns, (rr_ms,))
        rows.add(reading.stream, key, self._stamp_ns(reading.stream, record.wall_ns), reading.values)
        self.pending.append(_Pending(record_id, _values_of(reading), self._stamps_ns))

    def settle(self, key: SensorKey, folded: Folded) -> None:
        """Hand over the records all of whose samples are known."""
        settled = [self.pending.popleft() for _ in range(len(self.pending) - self._beats.held)]
        if not settled:
            return
        folded.settled += [record.record_id for record in settled]
        for record in settled:
            folded.values.update(record.values)
        folded.states[key] = SensorState(self._beats.state, settled[-1].stamps_ns)

    def _stamp_ns(self, stream: Stream, wall_ns: int) -> int:
        previous_ns = self._stamps_ns.get(stream.name)
        if previous_ns is not None and wall_ns <= previous_ns <= wall_ns + SAME_ARRIVAL_NS:
            wall_ns = previous_ns + 1
        self._stamps_ns = {**self._stamps_ns, stream.name: wall_ns}
        return wall_ns

    def _newest_ns(self) -> int:
        return max(self._beats.state.last_ns or 0, *self._stamps_ns.values(), 0)
