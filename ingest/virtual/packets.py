"""What a chest strap sends for a given heart: beats in, one heart rate packet a second out. Pure."""

import itertools
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ingest.decoders.heart_rate import RR_TICKS_PER_S
from store.types import HeartRateMeasurement
from store.units import NS_PER_MS, NS_PER_S

LONGEST_RR_TICKS = 0xFFFF
"""An RR field has 16 bits: 63.999 s."""

RR_PER_PACKET = 8
"""A notification holds 20 bytes at the default MTU; flags, 8-bit heart rate and energy take four."""

BEATS_AVERAGED = 5
"""Heart rate follows the last few RR intervals, as straps do."""

LONGEST_WAIT_S = 3
"""For this long after a beat the strap keeps sending, without RR: a long RR interval is no reason to fall
silent. After it the strap has lost the heart."""

FURTHER_PACKET_NS = 10 * NS_PER_MS
"""A second packet of the same second leaves in the next connection event, so no two packets share a time."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet and when it leaves the strap.

    Attributes
    ----------
    offset_ns : int
        Nanoseconds since the recording's time zero: a whole second, or shortly after one.
    measurement : HeartRateMeasurement
        `energy_kj` is the packet's sequence number modulo 65536, so that loss, repetition and reordering
        show at the far end.
    """

    offset_ns: int
    measurement: HeartRateMeasurement


def unsendable_beats(rr_ms: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of the RR intervals that no strap can send: 0 or more than 65535 in 1/1024 s."""
    ticks = _ticks(rr_ms)
    return np.flatnonzero((ticks < 1) | (ticks > LONGEST_RR_TICKS))


def heart_rate_packets(t_s: NDArray[np.float64], rr_ms: NDArray[np.float64]) -> Iterator[Packet]:
    """Yield the packets that a chest strap sends for these beats, in order.

    At each whole second the strap sends the RR intervals that ended since the second before, each rounded
    to 1/1024 s on its own. While no beat ends it sends packets without RR for `LONGEST_WAIT_S`, then
    nothing until beats return. It starts with the first beat and ends with the last.

    Parameters
    ----------
    t_s : (n,) float64
        End of each interval, seconds, ascending.
    rr_ms : (n,) float64
        The intervals; those that `unsendable_beats` names are left out.

    Yields
    ------
    Packet

    Examples
    --------
    >>> beats = heart_rate_packets(np.array([0.75, 1.5, 2.25]), np.array([750.0, 750.0, 750.0]))
    >>> [(p.offset_ns // 10**9, p.measurement.heart_rate_bpm, p.measurement.rr_ms) for p in beats]
    [(1, 80, (750.0,)), (2, 80, (750.0,)), (3, 80, (750.0,))]
    """
    sequence = itertools.count()
    recent: deque[float] = deque(maxlen=BEATS_AVERAGED)
    last_s = -np.inf
    sent_second: int | None = None
    for second, ended_s, rr in _by_second(t_s, rr_ms):
        for waiting in _waiting_seconds(sent_second, second, last_s):
            yield Packet(waiting * NS_PER_S, _measurement(recent, next(sequence), ()))
        if second > last_s + LONGEST_WAIT_S:
            recent.clear()
        for part, start in enumerate(range(0, len(rr), RR_PER_PACKET)):
            few = rr[start : start + RR_PER_PACKET]
            recent.extend(few)
            offset_ns = second * NS_PER_S + part * FURTHER_PACKET_NS
            yield Packet(offset_ns, _measurement(recent, next(sequence), few))
        last_s, sent_second = ended_s, second


def _ticks(rr_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.rint(rr_ms * (RR_TICKS_PER_S / 1000))


def _by_second(
    t_s: NDArray[np.float64], rr_ms: NDArray[np.float64]
) -> Iterator[tuple[int, float, tuple[float, ...]]]:
    """Yield (second at which they are sent, end of the last of them, RR in ms) for each second with beats."""
    sendable = np.ones(len(t_s), np.bool_)
    sendable[unsendable_beats(rr_ms)] = False
    ended_s = t_s[sendable]
    sent_ms = _ticks(rr_ms[sendable]) * (1000 / RR_TICKS_PER_S)
    seconds = np.ceil(ended_s).astype(np.int64)
    starts = np.flatnonzero(np.diff(seconds, prepend=seconds[:1] - 1))
    for start, end in itertools.pairwise([*starts.tolist(), len(seconds)]):
        yield int(seconds[start]), float(ended_s[end - 1]), tuple(sent_ms[start:end].tolist())


def _waiting_seconds(sent_second: int | None, next_second: int, last_s: float) -> range:
    """Return the whole seconds between two packets with beats at which the strap still sends without any."""
    if sent_second is None:
        return range(0)
    return range(sent_second + 1, min(next_second, math.floor(last_s + LONGEST_WAIT_S) + 1))


def _measurement(recent: deque[float], sequence: int, rr_ms: tuple[float, ...]) -> HeartRateMeasurement:
    mean_ms = sum(recent) / len(recent)
    return HeartRateMeasurement(
        heart_rate_bpm=min(max(round(60_000 / mean_ms), 1), 255),
        skin_contact=True,
        energy_kj=sequence % 0x10000,
        rr_ms=rr_ms,
    )
