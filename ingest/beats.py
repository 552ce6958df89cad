"""When each heartbeat happened, from packets that carry RR intervals but no time.

A strap sends about once a second the RR intervals that ended since its last packet. Only the arrival of a
packet is known, and radio and host delay it. But intervals of one *segment* share their beats, so their sum
is an exact time axis, and a packet can be late, never early: the smallest *lag* (arrival minus newest beat)
of many packets shows where that axis lies. Each segment is placed by the smallest lag of its first seconds
and afterwards slewed too slowly to disturb the difference of neighbouring beats.

A pure fold over the sequence of arrivals: no clock is read, so the same sequence gives the same times, bit
by bit, also when it is interrupted and taken up again from a saved state. Integer nanoseconds throughout.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

from store.units import NS_PER_MS, NS_PER_S

OPENING_NS = 10 * NS_PER_S
"""How long a new segment is watched before it is placed. At one packet a second about ten lags are seen, one
of which is nearly always small; longer would only delay what the dashboard shows."""

LONGEST_OPENING = 64
"""Records after which a segment is placed even before `OPENING_NS`: bounds what a sensor can hold back."""

LAG_GROUP, LAG_GROUPS = 30, 10
"""The smallest lag is taken over the last 10 groups of 30 packets, about five minutes. A heart near 60/min
keeps step with the packets for minutes, and a shorter window then mistakes the phase for delay."""

SLEW_NS = 3 * NS_PER_MS
"""Most that one beat is moved: two neighbours still share a beat within the 5 ms that features allow."""

BREAK_NS = 10 * NS_PER_MS
"""A segment that would begin earlier begins this long after the last beat: more than the 5 ms within which
neighbours count as sharing a beat."""

GAP_NS = 5 * NS_PER_S
"""A packet later than this was not delayed: beats are missing. Delivery 2.5 s late, after the 1 s that a beat
may wait for its packet, stays well below; smaller gaps are found as suspects, a few packets later."""

SUSPECT_NS = 1500 * NS_PER_MS
"""A packet later than this may be delayed, or beats are missing; the next packets tell."""

NORMAL_NS = 1250 * NS_PER_MS
"""Once a packet is no later than this, what seemed missing was a delay: a beat may wait 1 s for its packet,
so that much is no sign of anything."""

SUSPECT_PACKETS = 6
"""So many late packets in a row are not a delay: a host catches up within a second or two."""

CLOCK_STEP_NS = NS_PER_S
"""Wall time that moves this far against monotonic time was set, and old and new arrivals do not compare."""


class Beat(NamedTuple):
    """The end of one RR interval, nanoseconds UTC, and its length as sent."""

    t_ns: int
    rr_ms: float


class Segment(NamedTuple):
    """A run of RR intervals without a missing beat.

    Attributes
    ----------
    offset_ns : int
        Wall minus monotonic time at its first packet.
    chain_ns : int
        Newest beat on the segment's own axis: the arrival of its first packet plus all RR since.
    anchor_ns : int
        Beat time minus chain.
    lags_ns : tuple of int
        Smallest arrival minus chain of each of the last `LAG_GROUPS` groups of packets, newest last.
    grouped : int
        Packets in the newest group.
    """

    offset_ns: int
    chain_ns: int
    anchor_ns: int
    lags_ns: tuple[int, ...]
    grouped: int

    def extended(self, wall_ns: int, span_ns: int) -> Self:
        """Return the segment with one more packet: its arrival and the sum of its RR intervals."""
        chain_ns = self.chain_ns + span_ns
        lag_ns = wall_ns - chain_ns
        if self.grouped < LAG_GROUP:
            lags_ns, grouped = (*self.lags_ns[:-1], min(self.lags_ns[-1], lag_ns)), self.grouped + 1
        else:
            lags_ns, grouped = (*self.lags_ns[1 - LAG_GROUPS :], lag_ns), 1
        return type(self)(self.offset_ns, chain_ns, self.anchor_ns, lags_ns, grouped)


class BeatState(NamedTuple):
    """All that the times of coming beats depend on.

    Attributes
    ----------
    last_ns : int or None
        Time of the last beat emitted.
    segment : Segment or None
        The open segment, None if the next packet opens one.
    """

    last_ns: int | None = None
    segment: Segment | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        segment = self.segment
        return {
            "last_ns": self.last_ns,
            "segment": segment
            and {
                "offset_ns": segment.offset_ns,
                "chain_ns": segment.chain_ns,
                "anchor_ns": segment.anchor_ns,
                "lags_ns": list(segment.lags_ns),
                "grouped": segment.grouped,
            },
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return the state that `as_json` gave."""
        last_ns, segment = held["last_ns"], held["segment"]
        if segment is None:
            return cls(last_ns)
        return cls(last_ns, Segment(**segment)._replace(lags_ns=tuple(segment["lags_ns"])))


NO_BEATS = BeatState()
"""Of a sensor that has sent none."""


class _Arrival(NamedTuple):
    wall_ns: int
    mono_ns: int
    rr_ms: tuple[float, ...]
    rr_ns: tuple[int, ...]

    @property
    def offset_ns(self) -> int:
        return self.wall_ns - self.mono_ns

    @property
    def span_ns(self) -> int:
        return sum(self.rr_ns)


class BeatTimes:
    """The beats of one sensor: records in, beats with times out.

    Beats come out in the order of their RR intervals, each exactly once, with strictly increasing times.
    Some records are held back until the ones after them tell where their beats belong; `state` is the
    state before those.

    Parameters
    ----------
    state : BeatState
        A `state` of an earlier object; what it held back has to be fed again.

    Examples
    --------
    >>> beats = BeatTimes()
    >>> beats.feed(1_000_000_000, 0, (800.0,)), beats.held
    ([], 1)
    >>> beats.close()
    [Beat(t_ns=1000000000, rr_ms=800.0)]
    """

    def __init__(self, state: BeatState = NO_BEATS) -> None:
        self._state = state
        self._segment = state.segment
        self._opening: list[_Arrival] = []
        self._suspects: list[_Arrival] = []

    @property
    def state(self) -> BeatState:
        """State after the last record all of whose beats were emitted."""
        return self._state

    @property
    def held(self) -> int:
        """How many of the newest records are held back, and not part of `state`."""
        return len(self._opening) + len(self._suspects)

    def feed(self, wall_ns: int, mono_ns: int, rr_ms: Sequence[float] = ()) -> list[Beat]:
        """Take the next record of the sensor and return the beats whose times are now known.

        Parameters
        ----------
        wall_ns, mono_ns : int
            Arrival of the record.
        rr_ms : sequence of float
            Its RR intervals, oldest first, finite; empty if it has none.
        """
        # At least one: two beats never share a time, also where an optical sensor sends an interval of 0.
        rr_ns = tuple(max(1, round(rr * NS_PER_MS)) for rr in rr_ms)
        return self._take(_Arrival(wall_ns, mono_ns, tuple(rr_ms), rr_ns))

    def close(self) -> list[Beat]:
        """End the segment, because the link changed, and return all beats held back."""
        beats: list[Beat] = []
        while self._segment is not None:
            beats += self._end_segment()
        return beats

    def _take(self, arrival: _Arrival) -> list[Beat]:
        segment = self._segment
        if segment is None:
            return self._open(arrival) if arrival.rr_ns else []
        if abs(arrival.offset_ns - segment.offset_ns) > CLOCK_STEP_NS:
            return self.close() + self._take(arrival)
        if not arrival.rr_ns:
            return self._take_without_beats(arrival)
        late_ns = self._lateness_ns(segment, arrival)
        # A strap that is behind when it connects catches up; later, RR cannot outrun the clock that far.
        if late_ns > GAP_NS or (late_ns < -GAP_NS and not self._opening):
            return self._end_segment() + self._take(arrival)
        if self._suspects or late_ns > SUSPECT_NS:
            return self._suspect(arrival, late_ns)
        return self._continue([arrival])

    def _lateness_ns(self, segment: Segment, arrival: _Arrival) -> int:
        """Return how much later than the least delayed of its segment a packet with beats came."""
        chain_ns = segment.chain_ns + sum(a.span_ns for a in self._suspects) + arrival.span_ns
        return arrival.wall_ns - chain_ns - min(segment.lags_ns)

    def _open(self, arrival: _Arrival) -> list[Beat]:
        self._segment = Segment(arrival.offset_ns, arrival.wall_ns, 0, (0,), 1)
        self._opening = [arrival]
        return []

    def _take_without_beats(self, arrival: _Arrival) -> list[Beat]:
        if not self._suspects:
            return self._continue([arrival])
        self._suspects.append(arrival)
        waited_ns = arrival.wall_ns - self._suspects[0].wall_ns
        if waited_ns >= OPENING_NS or len(self._suspects) >= LONGEST_OPENING:
            return self._end_segment()
        return []

    def _suspect(self, arrival: _Arrival, late_ns: int) -> list[Beat]:
        self._suspects.append(arrival)
        if late_ns <= NORMAL_NS:
            delayed, self._suspects = self._suspects, []
            return self._continue(delayed)
        if sum(bool(a.rr_ns) for a in self._suspects) >= SUSPECT_PACKETS:
            return self._end_segment()
        return []

    def _continue(self, arrivals: list[_Arrival]) -> list[Beat]:
        if not self._opening:
            return [beat for arrival in arrivals for beat in self._slewed(arrival)]
        for arrival in arrivals:
            self._extend(arrival)
        self._opening += arrivals
        watched_ns = arrivals[-1].wall_ns - self._opening[0].wall_ns
        if watched_ns >= OPENING_NS or len(self._opening) >= LONGEST_OPENING:
            return self._place()
        return []

    def _slewed(self, arrival: _Arrival) -> list[Beat]:
        """Emit the beats of the next packet, each moved a little towards where the smallest lag is zero."""
        chain_ns = self._open_segment.chain_ns
        segment = self._extend(arrival)
        anchor_ns, goal_ns = segment.anchor_ns, min(segment.lags_ns)
        beats: list[Beat] = []
        for rr_ms, rr_ns in zip(arrival.rr_ms, arrival.rr_ns, strict=True):
            most_ns = min(SLEW_NS, rr_ns // 2)
            anchor_ns += max(-most_ns, min(goal_ns - anchor_ns, most_ns))
            chain_ns += rr_ns
            beats.append(Beat(chain_ns + anchor_ns, rr_ms))
        if beats:
            moved = segment if anchor_ns == segment.anchor_ns else segment._replace(anchor_ns=anchor_ns)
            self._settle(beats[-1].t_ns, moved)
        return beats

    def _place(self) -> list[Beat]:
        """Emit what was held since the segment opened, on the axis that its smallest lag shows."""
        segment, held, self._opening = self._open_segment, self._opening, []
        anchor_ns = min(segment.lags_ns)
        chain_ns = held[0].wall_ns - held[0].span_ns
        if self._state.last_ns is not None:
            anchor_ns += max(0, self._state.last_ns + BREAK_NS - (chain_ns + anchor_ns))
        beats: list[Beat] = []
        for arrival in held:
            for rr_ms, rr_ns in zip(arrival.rr_ms, arrival.rr_ns, strict=True):
                chain_ns += rr_ns
                beats.append(Beat(chain_ns + anchor_ns, rr_ms))
        self._settle(beats[-1].t_ns, segment._replace(anchor_ns=anchor_ns))
        return beats

    def _end_segment(self) -> list[Beat]:
        """Emit the beats of the open segment; the packets suspected of following a gap open the next."""
        beats = self._place() if self._opening else []
        suspects, self._suspects = self._suspects, []
        self._settle(self._state.last_ns, None)
        for suspect in suspects:
            beats += self._take(suspect)
        return beats

    @property
    def _open_segment(self) -> Segment:
        assert self._segment is not None  # noqa: S101 - callers have checked it
        return self._segment

    def _extend(self, arrival: _Arrival) -> Segment:
        if arrival.rr_ns:
            self._segment = self._open_segment.extended(arrival.wall_ns, arrival.span_ns)
        return self._open_segment

    def _settle(self, last_ns: int | None, segment: Segment | None) -> None:
        self._segment = segment
        self._state = BeatState(last_ns, segment)
