"""Lanes: the records of one sensor that depend on each other, settled in order, apart from all others.

A heartbeat has its time only once later packets came, an epoch only once it is over; a battery level needs
nobody. So each record of a sensor goes down one lane, by what it says. A lane holds records back until all
their samples are known, and its state is that after the last record it let go: taken up again from there,
the records after it become the same samples.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, NamedTuple, Protocol

from ingest.arrivals import NOTHING_YET, Arrivals, ArrivalSamples
from ingest.beats import NO_BEATS, BeatState, BeatTimes
from ingest.epochs import NOTHING, EpochMaker, Epochs, EpochState
from ingest.frame_times import NO_FRAMES, FrameTimes
from ingest.readings.reading import Motion, Reading, Values
from ingest.records import Record
from ingest.rows import Sample
from store.errors import DataError
from store.streams import ACTIVITY_EPOCH, DEVICE_CLOCK, HEART_RATE, PP_INTERVAL, RR_INTERVAL, Stream
from store.units import NS_PER_S

LaneName = Literal["plain", "heart", "pulses", "motion"]

CLOCK_NOTED_EVERY_NS = 600 * NS_PER_S
"""A drift of 50 ppm is 30 ms in ten minutes; more points would say nothing new."""

LONGEST_HOLD = 4_096
"""Records a lane without a decision holds back at most, whatever a wearable sends."""


class Given(NamedTuple):
    """A record on its way, with what it says."""

    record_id: int
    record: Record
    reading: Reading


def lane_of(reading: Reading) -> LaneName:
    """Return the lane of a record that says `reading`.

    Raises
    ------
    DataError
        If it belongs to several.
    """
    lanes: list[LaneName] = []
    if reading.rr_ms:
        lanes.append("heart")
    if reading.pulses is not None:
        lanes.append("pulses")
    if reading.motion is not None or reading.waveform:
        lanes.append("motion")
    if reading.timed or reading.counter is not None:
        lanes.append("plain")
    if len(lanes) > 1:
        raise DataError(
            f"A record belongs to the lanes {', '.join(lanes)}; needed is one: correct its reader"
        )
    if lanes:
        return lanes[0]
    return "heart" if any(stream is HEART_RATE for stream, _ in reading.at_arrival) else "plain"


class LaneState(Protocol):
    """All that the samples of a lane's coming records depend on."""

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        ...


@dataclass(frozen=True, slots=True)
class PlainState:
    """What is remembered of arrivals."""

    arrivals: Arrivals = NOTHING_YET

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {"arrivals": self.arrivals.as_json()}


@dataclass(frozen=True, slots=True)
class ChainState:
    """Of the chain, and what is remembered of arrivals."""

    beats: BeatState = NO_BEATS
    arrivals: Arrivals = NOTHING_YET

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {"beats": self.beats.as_json(), "arrivals": self.arrivals.as_json()}


@dataclass(frozen=True, slots=True)
class MotionState:
    """Of clock and epochs, and what is remembered of arrivals."""

    times: FrameTimes = NO_FRAMES
    epochs: EpochState = NOTHING
    noted_ns: int = 0
    arrivals: Arrivals = NOTHING_YET

    def as_json(self) -> dict[str, Any]:
        """Return it as values that JSON can hold."""
        return {
            "times": self.times.as_json(),
            "epochs": self.epochs.as_json(),
            "noted_ns": self.noted_ns,
            "arrivals": self.arrivals.as_json(),
        }


def lane_state(name: LaneName, held: Mapping[str, Any]) -> LaneState:
    """Return the state of a lane that `as_json` gave; what is not in it is as of a new lane."""
    state: dict[str, Any] = {"arrivals": Arrivals.from_json(held.get("arrivals", {}))}
    match name:
        case "plain":
            return PlainState(**state)
        case "heart" | "pulses":
            if "beats" in held:
                state["beats"] = BeatState.from_json(held["beats"])
            return ChainState(**state)
        case "motion":
            if "times" in held:
                state["times"] = FrameTimes.from_json(held["times"])
            if "epochs" in held:
                state["epochs"] = EpochState.from_json(held["epochs"])
            return MotionState(noted_ns=held.get("noted_ns", 0), **state)


class Lane(Protocol):
    """One lane of one sensor."""

    arrivals: ArrivalSamples

    def take(self, given: Given) -> list[Sample]:
        """Add the next record, and return all samples that are now known."""
        ...

    def close(self) -> list[Sample]:
        """Return what is known without further records, for the link has changed; nothing is held then."""
        ...

    def let_go(self) -> list[int]:
        """Return the ids of the records all of whose samples are known; `state` is then after them."""
        ...

    @property
    def held(self) -> int:
        """How many records are held back."""
        ...

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample; 0 if there was none."""
        ...

    @property
    def state(self) -> LaneState:
        """After the last record that was let go; it never changes."""
        ...


def make_lane(
    name: LaneName, state: LaneState | None, is_live: Callable[[int], bool], *, keep_waveforms: bool
) -> Lane:
    """Return a lane as it was when it had that `state`; empty for a new one.

    Parameters
    ----------
    name : LaneName
    state : LaneState or None
    is_live : callable
        Whether a five-minute slot holds live heart rate of the sensor.
    keep_waveforms : bool
    """
    match state or lane_state(name, {}):
        case ChainState() as chain:
            arrivals = ArrivalSamples(chain.arrivals, is_live, keep_waveforms=keep_waveforms)
            return _ChainLane(PP_INTERVAL if name == "pulses" else RR_INTERVAL, arrivals, chain)
        case MotionState() as motion:
            return _MotionLane(
                ArrivalSamples(motion.arrivals, is_live, keep_waveforms=keep_waveforms), motion
            )
        case PlainState() as plain:
            return _PlainLane(ArrivalSamples(plain.arrivals, is_live, keep_waveforms=keep_waveforms))
        case other:
            raise TypeError(other)


class _PlainLane:
    """Records that need no neighbours: let go at once."""

    def __init__(self, arrivals: ArrivalSamples) -> None:
        self.arrivals = arrivals
        self._done: list[int] = []
        self.held = 0

    def take(self, given: Given) -> list[Sample]:
        """Return the record's samples."""
        self._done.append(given.record_id)
        return self.arrivals.take(*given)

    def close(self) -> list[Sample]:
        """Return nothing: nothing is held."""
        return []

    def let_go(self) -> list[int]:
        """Return the ids of the records taken since the last call."""
        done, self._done = self._done, []
        return done

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample at arrival."""
        return self.arrivals.newest_ns

    @property
    def state(self) -> PlainState:
        """What is remembered of arrivals."""
        return PlainState(self.arrivals.state)


class _Interval(NamedTuple):
    record_id: int
    values: Values


@dataclass(frozen=True, slots=True)
class _Pending:
    record_id: int
    arrivals: Arrivals


class _ChainLane:
    """Intervals between beats or pulses, which `BeatTimes` places."""

    def __init__(self, stream: Stream, arrivals: ArrivalSamples, state: ChainState) -> None:
        self.arrivals = arrivals
        self._stream = stream
        self._beats = BeatTimes(state.beats)
        self._intervals: deque[_Interval] = deque()
        self._pending: deque[_Pending] = deque()
        self._settled = arrivals.state

    def take(self, given: Given) -> list[Sample]:
        """Return the samples at arrival, and every interval whose time is now known."""
        rows = _intervals_of(given.reading)
        self._intervals.extend(_Interval(given.record_id, row) for row in rows)
        record = given.record
        beats = self._beats.feed(record.wall_ns, record.mono_ns, [_length_ms(row) for row in rows])
        samples = self._placed(beat.t_ns for beat in beats) + self.arrivals.take(*given)
        self._pending.append(_Pending(given.record_id, self.arrivals.state))
        return samples

    def close(self) -> list[Sample]:
        """Return every interval that was held back."""
        return self._placed(beat.t_ns for beat in self._beats.close())

    def let_go(self) -> list[int]:
        """Return the ids of the records whose intervals are all placed."""
        done = [self._pending.popleft() for _ in range(len(self._pending) - self._beats.held)]
        if done:
            self._settled = done[-1].arrivals
        return [pending.record_id for pending in done]

    @property
    def held(self) -> int:
        """How many records wait for later ones."""
        return len(self._pending)

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample."""
        return max(self.arrivals.newest_ns, self._beats.state.last_ns or 0)

    @property
    def state(self) -> ChainState:
        """Of the chain, and what is remembered of arrivals."""
        return ChainState(self._beats.state, self._settled)

    def _placed(self, times_ns: Iterable[int]) -> list[Sample]:
        placed: list[Sample] = []
        for t_ns in times_ns:
            record_id, values = self._intervals.popleft()
            placed.append(Sample(self._stream, t_ns, values, record_id))
        return placed


def _intervals_of(reading: Reading) -> tuple[Values, ...]:
    return reading.pulses.values if reading.pulses else tuple((rr_ms,) for rr_ms in reading.rr_ms)


def _length_ms(interval: Values) -> float:
    """Return how long an interval takes on the chain: none for a pulse that was missed."""
    ms = interval[0]
    return ms if isinstance(ms, float) and isfinite(ms) and ms > 0 else 0.0


class _MotionLane:
    """Raw acceleration becomes epochs; raw frames of it and of other fast signals may be kept as they are."""

    def __init__(self, arrivals: ArrivalSamples, state: MotionState) -> None:
        self.arrivals = arrivals
        self._times = state.times
        self._epochs = EpochMaker(state.epochs)
        self._noted_ns = state.noted_ns
        self._newest_id = 0
        self._pending: list[int] = []
        self._done: list[int] = []
        self._settled = self._now()

    def take(self, given: Given) -> list[Sample]:
        """Return the samples at arrival, and every epoch that is now over."""
        samples = self.arrivals.take(*given)
        if given.reading.motion is not None and len(given.reading.motion.acc_g):
            samples += self._moved(given, given.reading.motion)
        self._newest_id = given.record_id
        self._pending.append(given.record_id)
        if len(self._pending) >= LONGEST_HOLD:
            samples += self.close()
        self._settle_if_decided()
        return samples

    def close(self) -> list[Sample]:
        """Return the epoch that is going on, if enough of it is there."""
        samples = self._made(self._epochs.close(), self._newest_id)
        self._settle_if_decided()
        return samples

    def let_go(self) -> list[int]:
        """Return the records up to the one that ended an epoch; the rest of that one is in the state."""
        done, self._done = self._done, []
        return done

    def _settle_if_decided(self) -> None:
        if not self._epochs.is_holding:
            self._done += self._pending
            self._pending = []
            self._settled = self._now()

    @property
    def held(self) -> int:
        """How many records wait for the end of an epoch."""
        return len(self._pending)

    @property
    def newest_ns(self) -> int:
        """Time of the newest sample."""
        return max(self.arrivals.newest_ns, self._times.last_ns or 0)

    @property
    def state(self) -> MotionState:
        """Of clock and epochs, and what is remembered of arrivals."""
        return self._settled

    def _now(self) -> MotionState:
        return MotionState(self._times, self._epochs.state, self._noted_ns, self.arrivals.state)

    def _moved(self, given: Given, motion: Motion) -> list[Sample]:
        record = given.record
        self._times, t_ns = self._times.placed(
            record.wall_ns, record.mono_ns, motion.device_ns, len(motion.acc_g), motion.rate_hz
        )
        samples = self._made(self._epochs.feed(t_ns, motion.acc_g, 1 / motion.rate_hz), given.record_id)
        is_due = not 0 <= record.wall_ns - self._noted_ns < CLOCK_NOTED_EVERY_NS
        if motion.device_ns is not None and is_due:
            self._noted_ns = record.wall_ns
            ahead_ns = motion.device_ns - int(t_ns[-1])
            at_ns = self.arrivals.stamp(DEVICE_CLOCK, record.wall_ns)
            samples.append(Sample(DEVICE_CLOCK, at_ns, (ahead_ns / NS_PER_S,), given.record_id))
        return samples

    def _made(self, epochs: Epochs, record_id: int) -> list[Sample]:
        rows: list[list[float]] = epochs.columns.tolist()
        return [
            Sample(ACTIVITY_EPOCH, t_ns, tuple(row), record_id)
            for t_ns, row in zip(epochs.start_ns.tolist(), rows, strict=True)
        ]
