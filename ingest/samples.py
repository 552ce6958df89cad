"""From records to samples: a pure fold, so that forwarding again after a crash gives the same samples.

What a record says (`ingest.readings`) decides its lane (`ingest.lanes`). Each lane of a sensor settles its
records in order once all their samples are known, and they may then leave the spool; a link state settles
all, so that nothing waits for ever.

Heart rate that a ring kept for every five minutes is left out where live heart rate of the same sensor had
arrived in those five minutes, so that a download fills gaps and repeats nothing. The fold cannot take back a
logged value that was stored before live samples of the same five minutes came, and it remembers 128 separate
stretches of live heart rate, no more.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from math import inf
from typing import Any, Self

import numpy as np

from ingest.lanes import Given, Lane, LaneName, LaneState, lane_of, lane_state, make_lane
from ingest.readings import reading_of
from ingest.readings.reading import Reading
from ingest.records import Record
from ingest.rows import Rows, Sample, SensorKey, SourcedBatch
from store.errors import DataError
from store.streams import LINK_STATE, PP_INTERVAL, RR_INTERVAL

LATEST_NS = 2**63 - 1
RECENT_RECORDS = 1_024
"""A record is counted when it arrives and when it is spooled, and becomes samples soon after: it is decoded
once. More than come from 200 wearables in the seconds between, and a few megabytes at most."""
_INFINITE = frozenset({inf, -inf})


def values_in(record: Record) -> Mapping[str, int]:
    """Return how many samples of each stream a record brings by itself; none if it cannot be decoded.

    Epochs and differences of counters are made of several records, and waveforms may not be kept: those are
    not among them. Logged heart rate is, though some may be left out.
    """
    try:
        reading = checked_reading(record)
    except DataError:
        return {}
    counts = {stream.name: 1 for stream, _ in reading.at_arrival}
    for timed in reading.timed:
        counts[timed.stream.name] = counts.get(timed.stream.name, 0) + 1
    if reading.rr_ms:
        counts[RR_INTERVAL.name] = len(reading.rr_ms)
    if reading.pulses is not None and reading.pulses.values:
        counts[PP_INTERVAL.name] = len(reading.pulses.values)
    return counts


@dataclass(frozen=True, slots=True)
class SensorState:
    """All that the samples of a sensor's coming records depend on.

    Attributes
    ----------
    lanes : mapping of LaneName to LaneState
        Of each lane after its last settled record.
    """

    lanes: Mapping[LaneName, LaneState] = field(default_factory=dict[LaneName, LaneState])

    def as_json(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        return {"lanes": {name: lane.as_json() for name, lane in self.lanes.items()}}

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return the state that `as_json` gave."""
        return cls({name: lane_state(name, lane) for name, lane in held["lanes"].items()})


@dataclass(slots=True)
class Folded:
    """What some records added.

    Attributes
    ----------
    batches : list of SourcedBatch
        Samples to write before anything is acknowledged.
    settled : list of int
        Ids of the records that may then leave the spool, ascending.
    states : dict of SensorKey to SensorState
        After the last settled records, of each sensor that has one.
    quarantined : list of (int, str)
        Ids of records that could not be decoded, and why.
    """

    batches: list[SourcedBatch] = field(default_factory=list[SourcedBatch])
    settled: list[int] = field(default_factory=list[int])
    states: dict[SensorKey, SensorState] = field(default_factory=dict[SensorKey, SensorState])
    quarantined: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


class SampleFold:
    """Turns records into samples, in order.

    Parameters
    ----------
    states : mapping of SensorKey to SensorState
        As of the records settled so far. Those after them have to be added, again if need be.
    keep_waveforms : bool
        Whether raw frames of fast signals become samples too.
    """

    def __init__(self, states: Mapping[SensorKey, SensorState], *, keep_waveforms: bool = False) -> None:
        self._keep_waveforms = keep_waveforms
        self._sensors = {
            key: _SensorFold(state, keep_waveforms=keep_waveforms) for key, state in states.items()
        }

    def held(self) -> Mapping[SensorKey, int]:
        """Return how many records of each sensor wait for later ones; its next link state settles all."""
        return {key: sensor.held for key, sensor in self._sensors.items() if sensor.held}

    def add(self, records: Iterable[tuple[int, Record]]) -> Folded:
        """Take the next records of all sensors, as (id, record), and return what they add.

        A `started` link state from before the sensor's newest sample begins anew, as if there had been
        nothing: the past is being replayed, and the same records have to become the same samples.
        """
        folded, rows = Folded(), Rows()
        touched: set[SensorKey] = set()
        for record_id, record in records:
            try:
                reading = checked_reading(record)
                lane = lane_of(reading)
            except DataError as error:
                folded.quarantined.append((record_id, str(error)))
                continue
            key = (record.subject_id, record.sensor_id)
            if key not in self._sensors:
                self._sensors[key] = _SensorFold(SensorState(), keep_waveforms=self._keep_waveforms)
            rows.add(key, self._sensors[key].take(lane, Given(record_id, record, reading)))
            touched.add(key)
        for key in sorted(touched):
            if settled := self._sensors[key].let_go():
                folded.settled += settled
                folded.states[key] = self._sensors[key].state
        folded.settled.sort()
        folded.batches = rows.batches()
        return folded


class _SensorFold:
    """The lanes of one sensor, each made when its first record comes."""

    def __init__(self, state: SensorState, *, keep_waveforms: bool) -> None:
        self._keep_waveforms = keep_waveforms
        self._done: list[int] = []
        self._lanes: dict[LaneName, Lane] = {}
        for name, held in state.lanes.items():
            self._lanes[name] = self._made_lane(name, held)

    @property
    def held(self) -> int:
        """How many records wait for later ones."""
        return sum(lane.held for lane in self._lanes.values())

    @property
    def state(self) -> SensorState:
        """Of each lane, after the last record it let go."""
        return SensorState({name: lane.state for name, lane in self._lanes.items()})

    def take(self, name: LaneName, given: Given) -> list[Sample]:
        """Add the next record to its lane, and return all samples that are now known."""
        samples: list[Sample] = []
        if any(stream is LINK_STATE for stream, _ in given.reading.at_arrival):
            samples += self._closed(given)
        if name not in self._lanes:
            self._lanes[name] = self._made_lane(name, None)
        return samples + self._lanes[name].take(given)

    def let_go(self) -> list[int]:
        """Return the ids of the records all of whose samples are known."""
        done, self._done = self._done, []
        for lane in self._lanes.values():
            done += lane.let_go()
        return done

    def _closed(self, given: Given) -> list[Sample]:
        """End what waits for more, for the link has changed; begin anew where the past is replayed."""
        samples = [sample for lane in self._lanes.values() for sample in lane.close()]
        if given.reading.at_arrival[0][1][0] == "started":
            self._done = self.let_go()
            if given.record.wall_ns < max((lane.newest_ns for lane in self._lanes.values()), default=0):
                self._lanes = {}
            elif "plain" in self._lanes:
                self._lanes["plain"].arrivals.forget_counts()
        return samples

    def _made_lane(self, name: LaneName, state: LaneState | None) -> Lane:
        return make_lane(name, state, self._is_live, keep_waveforms=self._keep_waveforms)

    def _is_live(self, slot: int) -> bool:
        return any(slot in lane.arrivals.state.live for lane in self._lanes.values())


@lru_cache(RECENT_RECORDS)
def checked_reading(record: Record) -> Reading:
    """Return what a record says, if a store can hold it.

    Raises
    ------
    DataError
        If not, or if its reader fails: one record that nobody can read must not stop all others.
    """
    try:
        reading = reading_of(record)
        _check(record, reading)
    except DataError:
        raise
    except Exception as error:  # the boundary of one record: quarantined with its bytes
        raise DataError(
            f"A {record.kind} record of {record.sensor_id} cannot be read by this version "
            f"({type(error).__name__}: {error}); report it with its bytes"
        ) from error
    return reading


def _check(record: Record, reading: Reading) -> None:
    rows = [values for _, values in reading.at_arrival]
    rows += [timed.values for timed in reading.timed]
    if reading.pulses:
        rows += reading.pulses.values
    if not (_INFINITE.isdisjoint(reading.rr_ms) and all(map(_INFINITE.isdisjoint, rows))):
        raise DataError(
            f"A {record.kind} record of {record.sensor_id} holds infinity; needed: finite numbers"
        )
    if any(not 0 <= timed.t_ns <= LATEST_NS for timed in reading.timed):
        raise DataError(
            f"A {record.kind} record of {record.sensor_id} is of a time outside 1970 to 2262; check its clock"
        )
    motion = reading.motion
    if motion is not None and not (motion.rate_hz > 0 and np.isfinite(motion.acc_g).all()):
        raise DataError(
            f"A {record.kind} record of {record.sensor_id} holds acceleration at {motion.rate_hz} Hz that is "
            "not all finite; needed are finite numbers at a positive rate"
        )
