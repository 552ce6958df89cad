"""What a night was last computed from, kept beside its row, so that only what changed is computed again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.night_span import NightSpan
from store.streams import Column, Stream
from store.timeseries import NO_SENSOR, Batch, TimeSeriesStore
from store.written import END, MARK, START

NIGHT_STATE = Stream(
    "night_state",
    "What a night was last computed from; the time is that of its row in `night`, which may be missing",
    (
        Column("start_ns", "int64", "Start of the night, nanoseconds UTC", "ns"),
        Column("end_ns", "int64", "End of the night, nanoseconds UTC", "ns"),
        Column("zone", "utf8", "IANA zone"),
        Column("settings_hash", "utf8", "Hash of the feature settings"),
        Column("code_version", "utf8", "Version of evenkeel and hash of the code of its features"),
        Column("models", "utf8", "Sensors that it was made of and their models, as JSON"),
        Column("store_id", "utf8", "Store that the samples were read from"),
        Column("mark", "int64", "Mark of that store before they were read"),
        Column("input_hash", "utf8", "Hash of the samples"),
        Column("own_hash", "utf8", "Hash of the row before values of several nights joined it"),
        Column("week_hash", "utf8", "Hash of that of the nights before"),
        Column("has_row", "int64", "1 where the night has a row"),
    ),
    family="features",
)
JOB_MARK = Stream(
    "job_mark",
    "Mark of a store up to which every night of everybody was brought up to date",
    (
        Column("store_id", "utf8", "The store"),
        Column("mark", "int64", "Its mark"),
        Column("made_by", "utf8", "Hash of settings, code, people and sensors; empty while a run is at work"),
    ),
    family="features",
)
EVERYBODY = "-"
"""Subject of what is about everybody."""


@dataclass(frozen=True, slots=True)
class NightState:
    """What one night was last computed from; see `NIGHT_STATE`."""

    start_ns: int
    end_ns: int
    zone: str
    settings_hash: str
    code_version: str
    models: str
    store_id: str
    mark: int
    input_hash: str
    own_hash: str
    week_hash: str
    has_row: int

    def is_of(self, span: NightSpan) -> bool:
        """Say whether it was computed as the same hours of the same zone."""
        return (self.start_ns, self.end_ns, self.zone) == (span.start_ns, span.end_ns, span.zone)


def read_states(store: TimeSeriesStore, subject_id: str) -> dict[int, NightState]:
    """Return the states of a person's nights by the time of their rows."""
    held = store.read(NIGHT_STATE, subject_id)
    columns = [held[name].tolist() for name in NIGHT_STATE.column_names()]
    return {t_ns: NightState(*row) for t_ns, *row in zip(held.t_ns.tolist(), *columns, strict=True)}


def state_batch(subject_id: str, states: Mapping[int, NightState]) -> Batch:
    """Return states as samples."""
    columns = {
        name: np.array([getattr(state, name) for state in states.values()])
        for name in NIGHT_STATE.column_names()
    }
    return Batch(NIGHT_STATE, subject_id, NO_SENSOR, np.array(list(states), np.int64), columns)


@dataclass(frozen=True, slots=True)
class JobMark:
    """Up to where everybody's nights were brought up to date, and by what; see `JOB_MARK`."""

    mark: int = 0
    made_by: str = ""


def read_mark(store: TimeSeriesStore, store_id: str) -> JobMark:
    """Return up to which mark of a store everything was worked on; 0 if it never was."""
    held = store.latest(JOB_MARK, EVERYBODY)
    if held is None or held["store_id"] != store_id:
        return JobMark()
    return JobMark(int(held["mark"]), str(held.get("made_by", "")))


def mark_batch(store_id: str, done: JobMark) -> Batch:
    """Return the mark as a sample; there is one."""
    values = {
        "store_id": np.array([store_id], object),
        "mark": np.array([done.mark]),
        "made_by": np.array([done.made_by], object),
    }
    return Batch(JOB_MARK, EVERYBODY, NO_SENSOR, np.zeros(1, np.int64), values)


def touched_marks(spans: Sequence[NightSpan], stretches: NDArray[np.int64], margin_ns: int) -> dict[int, int]:
    """Return the newest mark that touches each span, by position; spans that nothing touches are left out.

    Parameters
    ----------
    spans : sequence of NightSpan
        Ascending.
    stretches : (k, 3) int64
        Start, end, mark.
    margin_ns : int
        How far around a night it is read.
    """
    starts = np.array([span.start_ns - margin_ns for span in spans], np.int64)
    ends = np.array([span.end_ns + margin_ns for span in spans], np.int64)
    first = np.searchsorted(ends, stretches[:, START], side="right")
    last = np.searchsorted(starts, stretches[:, END], side="left")
    found = np.zeros(len(spans), np.int64)
    for k in range(int((last - first).max(initial=0))):
        at = first + k
        inside = at < last
        np.maximum.at(found, at[inside], stretches[inside, MARK])
    return {int(position): int(found[position]) for position in np.flatnonzero(found)}
