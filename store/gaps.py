"""Gaps and their reasons: every nanosecond of a span is covered by heartbeats, or labelled.

Pure: samples in, labelled intervals out. A reason is given only on evidence that was recorded; what nothing
explains is `UNKNOWN`, never guessed. All intervals are half-open, in nanoseconds UTC.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from store.ledger_digest import NS_PER_HOUR
from store.timeseries import Samples
from store.units import NS_PER_S

Spans = NDArray[np.int64]
"""(k, 2) starts and ends; in any order and overlapping where not said otherwise."""

HOLD_NS = 30 * NS_PER_S
"""A sample covers what follows it for so long: the collector tears a link down that is silent for longer."""
LONGEST_HOLD_NS = 450 * NS_PER_S
"""A wearable that logs a value every five minutes covers them, and half as much again for its clock."""
HEARTBEAT_MISSED_NS = 150 * NS_PER_S
"""The collector gives a sign of life each minute; two missing ones say that it was not there."""
EMPTY_PCT = 5.0
"""A wearable that goes silent at or below this charge has run empty."""
CHARGED_PCT = 3.0
"""A charge that rose by this much between two readings was no noise: it was being charged."""
CHARGED_WITHIN_NS = 24 * NS_PER_HOUR
"""Between readings further apart than this, nobody can say when."""


_NOWHERE: Spans = np.empty((0, 2), np.int64)


class Reason(StrEnum):
    """Why there are no data, strongest first: the first that explains a moment is its reason."""

    WITHDRAWN = "withdrawn"
    PAUSED = "paused"
    COLLECTOR_DOWN = "collector down"
    STORE_DOWN = "store down"
    NOT_WORN = "not worn"
    BATTERY = "battery"
    CHARGING = "charging"
    OUT_OF_RANGE = "out of range"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without data, for one reason."""

    start_ns: int
    end_ns: int
    reason: Reason


@dataclass(frozen=True)
class Witnesses:
    """What was recorded of one subject, of all sensors.

    To know the state in which a span begins, link states, battery and collector reach back before it.

    Attributes
    ----------
    heart, beats, link, battery, collector : Samples
        Of HEART_RATE, RR_INTERVAL, LINK_STATE, BATTERY and COLLECTOR.
    is_watched : bool
        Whether a collector ever gave a sign of life before the first one in `collector`.
    waiting_since_ns : int or None
        Arrival of the oldest record that a spool still holds for the store.
    withdrawn : (k, 2) int64
        When the subject agreed neither to heart rate nor to RR intervals.
    rate_withdrawn : (k, 2) int64
        When the subject did not agree to heart rate. An optical wearable without RR intervals then leaves
        nothing.
    """

    heart: Samples
    beats: Samples
    link: Samples
    battery: Samples
    collector: Samples
    is_watched: bool = False
    waiting_since_ns: int | None = None
    withdrawn: Spans | None = None
    rate_withdrawn: Spans | None = None


def gaps_of(start_ns: int, end_ns: int, seen: Witnesses) -> list[Gap]:
    """Return every stretch of `[start_ns, end_ns)` without heart rate or beats of a worn sensor, and why.

    Parameters
    ----------
    start_ns, end_ns : int
        `end_ns` not after now: the future is no gap.
    """
    worn, unworn = _presence(seen.heart)
    beating = [_covered(one, np.ones(len(one), np.bool_)) for one in _by_sensor(seen.beats)]
    evidence = _evidence(seen, unworn, end_ns)
    return label_gaps(start_ns, end_ns, _joined(worn, *beating), evidence, at_last=_rate_alone(seen))


def label_gaps(
    start_ns: int,
    end_ns: int,
    covered: Spans,
    evidence: Mapping[Reason, Spans],
    *,
    at_last: Spans = _NOWHERE,
) -> list[Gap]:
    """Return what `covered` leaves of a span, cut where the reason changes.

    What no evidence explains is withdrawn `at_last`, and unknown elsewhere.

    Together with what is covered the gaps are the whole span; they are disjoint, sorted, and neighbours
    differ in reason.
    """
    if start_ns >= end_ns:
        return []
    covered, at_last = _merged(covered), _merged(at_last)
    evidence = {reason: _merged(spans) for reason, spans in evidence.items()}
    every = [covered, at_last, *evidence.values()]
    edges = np.unique(
        np.clip(np.concatenate([[start_ns, end_ns], *(s.ravel() for s in every)]), start_ns, end_ns)
    )
    at_ns = edges[:-1].astype(np.int64)
    reasons = list(Reason)
    label = np.full(len(at_ns), len(reasons) - 1)
    label[_within(at_ns, at_last)] = reasons.index(Reason.WITHDRAWN)
    for rank in reversed(range(len(reasons))):
        if reasons[rank] in evidence:
            label[_within(at_ns, evidence[reasons[rank]])] = rank
    label[_within(at_ns, covered)] = -1
    firsts = np.flatnonzero(np.r_[True, label[1:] != label[:-1]])
    starts_ns: list[int] = at_ns[firsts].tolist()
    ranks: list[int] = label[firsts].tolist()
    return [
        Gap(gap_start_ns, gap_end_ns, reasons[rank])
        for gap_start_ns, gap_end_ns, rank in zip(starts_ns, [*starts_ns[1:], end_ns], ranks, strict=True)
        if rank >= 0
    ]


def _evidence(seen: Witnesses, unworn: Spans, end_ns: int) -> dict[Reason, Spans]:
    links = _by_sensor(seen.link)
    batteries = _by_sensor(seen.battery)

    def between(begins: set[str], ends: set[str]) -> Spans:
        return _joined(*(_state_spans(link, begins, ends, end_ns) for link in links))

    off_body = _joined(*(off_body_spans(link, end_ns) for link in links))
    waiting = [] if seen.waiting_since_ns is None else [(seen.waiting_since_ns, end_ns)]
    return {
        Reason.WITHDRAWN: _joined() if seen.withdrawn is None else seen.withdrawn,
        Reason.PAUSED: between({"paused"}, {"resumed"}),
        Reason.COLLECTOR_DOWN: _joined(_silences(seen, end_ns), between({"stopped"}, {"started"})),
        Reason.STORE_DOWN: _joined(_refusals(seen.collector), _spans(waiting)),
        Reason.NOT_WORN: _joined(unworn, off_body),
        Reason.BATTERY: _joined(*(_empty_spans(battery, end_ns) for battery in batteries)),
        Reason.CHARGING: _joined(*(charging_spans(battery) for battery in batteries)),
        Reason.OUT_OF_RANGE: between({"started", "disconnected"}, {"connected", "stopped"}),
    }


def _rate_alone(seen: Witnesses) -> Spans:
    """Return when heart rate was withdrawn and nothing says that a wearable sends RR intervals besides."""
    if seen.rate_withdrawn is None:
        return _NOWHERE
    spans = seen.rate_withdrawn
    before = np.searchsorted(seen.beats.t_ns, spans[:, 0])
    return spans[before == np.searchsorted(seen.beats.t_ns, spans[:, 1])]


def _presence(heart: Samples) -> tuple[Spans, Spans]:
    """Return when a worn sensor saw a pulse, and when one sent without skin contact or pulse."""
    worn: list[Spans] = []
    unworn: list[Spans] = []
    for one in _by_sensor(heart):
        is_worn = (one["skin_contact"] != 0) & (one["heart_rate_bpm"] > 0)
        worn.append(_covered(one, is_worn))
        unworn.append(_covered(one, ~is_worn))
    return _joined(*worn), _joined(*unworn)


def _by_sensor(samples: Samples) -> list[Samples]:
    if len(samples.sensors) == 1:
        return [samples]
    return [samples.of_sensor(sensor) for sensor in samples.sensors]


def _covered(one: Samples, chosen: NDArray[np.bool_]) -> Spans:
    """Return what some samples of one sensor cover: each until the next one, or as long as it holds."""
    step_ns = np.diff(one.t_ns)
    usual_ns = int(np.median(step_ns[:: 1 + len(step_ns) // 1000])) if len(one) > 1 else 0
    hold_ns = max(HOLD_NS, min(usual_ns * 3 // 2, LONGEST_HOLD_NS))
    goes_on = chosen[:-1] & chosen[1:] & (step_ns <= hold_ns)
    first = chosen & ~np.r_[False, goes_on]
    last = chosen & ~np.r_[goes_on, False]
    ends_ns = one.t_ns + np.minimum(np.r_[step_ns, hold_ns], hold_ns)
    return np.column_stack([one.t_ns[first], ends_ns[last]])


def _state_spans(link: Samples, begins: set[str], ends: set[str], end_ns: int) -> Spans:
    spans: list[tuple[int, int]] = []
    since_ns: int | None = None
    for t_ns, state in zip(link.t_ns.tolist(), link["state"], strict=True):
        if state in begins and since_ns is None:
            since_ns = t_ns
        elif state in ends and since_ns is not None:
            spans.append((since_ns, t_ns))
            since_ns = None
    if since_ns is not None:
        spans.append((since_ns, max(since_ns, end_ns)))
    return _spans(spans)


def off_body_spans(link: Samples, end_ns: int) -> Spans:
    """Return when one sensor said that it was not worn, (k, 2).

    A strap that was taken off switches off: it stays not worn until it is back.
    """
    return _state_spans(link, {"off_body"}, {"on_body", "connected"}, end_ns)


def _silences(seen: Witnesses, end_ns: int) -> Spans:
    """Return when no sensor of the subject had a sign of life from a collector, once there had been one."""
    beats_ns = np.unique(seen.collector.t_ns)
    if not len(beats_ns) and not seen.is_watched:
        return _joined()
    since_ns = np.r_[np.full(int(seen.is_watched), np.iinfo(np.int64).min), beats_ns].astype(np.int64)
    until_ns = np.r_[since_ns[1:], max(end_ns, int(since_ns[-1]))]
    is_long = until_ns.astype(np.float64) - since_ns > HEARTBEAT_MISSED_NS
    return np.column_stack([since_ns, until_ns])[is_long]


def _refusals(collector: Samples) -> Spans:
    down_ns = np.nan_to_num(collector["store_down_s"] * NS_PER_S).astype(np.int64)
    is_down = down_ns > 0
    return np.column_stack([collector.t_ns - down_ns, collector.t_ns])[is_down]


def _empty_spans(battery: Samples, end_ns: int) -> Spans:
    until_ns = np.r_[battery.t_ns[1:], max(end_ns, int(battery.t_ns[-1]))]
    return np.column_stack([battery.t_ns, until_ns])[battery["level_pct"] <= EMPTY_PCT]


def charging_spans(battery: Samples) -> Spans:
    """Return when the charge of one sensor rose, (k, 2): it was on the charger."""
    is_charging = np.diff(battery["level_pct"]) >= CHARGED_PCT
    is_charging &= np.diff(battery.t_ns) <= CHARGED_WITHIN_NS
    return np.column_stack([battery.t_ns[:-1], battery.t_ns[1:]])[is_charging]


def _merged(spans: Spans) -> Spans:
    """Return the same time as sorted spans that neither overlap nor touch."""
    spans = spans[spans[:, 0] < spans[:, 1]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    reached_ns = np.maximum.accumulate(spans[:, 1])
    begins = np.flatnonzero(np.r_[True, spans[1:, 0] > reached_ns[:-1]][: len(spans)])
    ends = np.r_[begins[1:], len(spans)][: len(begins)] - 1
    return np.column_stack([spans[begins, 0], reached_ns[ends]])


def _within(at_ns: NDArray[np.int64], spans: Spans) -> NDArray[np.bool_]:
    """Return which times lie in any of some merged spans."""
    opened = np.searchsorted(spans[:, 0], at_ns, side="right")
    closed = np.searchsorted(spans[:, 1], at_ns, side="right")
    return opened > closed


def _spans(pairs: list[tuple[int, int]]) -> Spans:
    return np.array(pairs, np.int64).reshape(-1, 2)


def _joined(*parts: Spans) -> Spans:
    return np.concatenate([_NOWHERE, *parts])


def gap_hours(gaps: Sequence[Gap]) -> dict[Reason, float]:
    """Return the hours of gaps by reason, reasons without any left out."""
    found: Counter[Reason] = Counter()
    for gap in gaps:
        found[gap.reason] += gap.end_ns - gap.start_ns
    return {reason: found[reason] / NS_PER_HOUR for reason in Reason if reason in found}
