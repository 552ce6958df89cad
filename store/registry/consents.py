"""What each person agreed to have collected, stream by stream, and since when not any more."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine

from store.clock import Clock
from store.errors import UnknownError
from store.registry import schema
from store.streams import COLLECTOR, LINK_STATE, SIGNAL, STREAMS, stream_named

ALL = "all"
"""Every stream, those of later versions too."""

ABOUT_COLLECTING = frozenset({LINK_STATE.name, SIGNAL.name, COLLECTOR.name})
"""Why there are gaps: kept while a person agrees to anything, unless these are withdrawn by name."""

Spans = list[tuple[int, int]]
EVER_NS, NEVER_NS = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Consent:
    """One decision: `stream` (or ALL) may be collected from `at_ns` on, or no longer; who wrote it down."""

    subject_id: str
    stream: str
    is_granted: bool
    at_ns: int
    recorded_by: str


class Agreed:
    """What everybody had decided at one moment: which samples may be kept.

    Parameters
    ----------
    decided : mapping of subject id to sequence of Consent
        In the order in which they hold.
    version : tuple of int
        Tells one moment from another.
    """

    def __init__(self, decided: Mapping[str, Sequence[Consent]], version: tuple[int, ...] = ()) -> None:
        self.version = version
        self.decided = {subject_id: tuple(history) for subject_id, history in decided.items()}
        self._spans: dict[tuple[str, str], Spans] = {}
        self._to_all = frozenset(who for who, history in self.decided.items() if _is_to_all(history))

    def agrees_to_all(self, subject_id: str) -> bool:
        """Say whether someone agreed to everything once and never took anything back."""
        return subject_id in self._to_all

    def allows(self, subject_id: str, stream: str, at_ns: int) -> bool:
        """Say whether a stream may be kept that arrives at a time; without any decision it may not."""
        spans = self._spans_of(subject_id, stream)
        return any(start_ns <= at_ns < end_ns for start_ns, end_ns in spans)

    def allowed(
        self, subject_id: str, stream: str, t_ns: NDArray[np.int64], now_ns: int
    ) -> NDArray[np.bool_]:
        """Return which samples may still be stored: agreed to when they were made, and now."""
        is_kept = np.zeros(len(t_ns), np.bool_)
        if self.allows(subject_id, stream, now_ns):
            for start_ns, end_ns in self._spans_of(subject_id, stream):
                is_kept |= (t_ns >= start_ns) & (t_ns < end_ns)
        return is_kept

    def _spans_of(self, subject_id: str, stream: str) -> Spans:
        key = (subject_id, stream)
        if key not in self._spans:
            self._spans[key] = given_spans(self.decided.get(subject_id, ()), [stream])
        return self._spans[key]


_VERSION = sa.select(sa.func.coalesce(sa.func.max(schema.consent.c.consent_id), 0), sa.func.count())


class Consents:
    """The decisions of one registry; none is ever changed, a later one takes its place."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._writing = engine.execution_options(is_writing=True)
        self._clock = clock

    def record(
        self, subject_id: str, stream: str = ALL, *, is_granted: bool, by: str, at_ns: int | None = None
    ) -> None:
        """Write down a decision, for now or `at_ns`.

        Raises
        ------
        UnknownError
            If there is no such subject or stream.
        """
        if stream != ALL:
            stream_named(stream)
        now_ns = self._clock.now_ns()
        decided = Consent(subject_id, stream, is_granted, now_ns if at_ns is None else at_ns, by)
        s = schema.subject.c.subject_id
        with self._writing.begin() as connection:
            if connection.execute(sa.select(s).where(s == subject_id)).first() is None:
                raise UnknownError(f"No subject is called {subject_id!r}; see: evenkeel subject list")
            insert_consent(connection, decided, now_ns)

    def history(self, subject_id: str) -> list[Consent]:
        """Return a person's decisions in the order in which they hold."""
        with self._engine.connect() as connection:
            return histories(connection, [subject_id]).get(subject_id, [])

    def agreed(self, before: Agreed | None = None) -> Agreed:
        """Return what everybody has decided so far; `before` itself if nothing was decided since."""
        with self._engine.connect() as connection:
            version = tuple(connection.execute(_VERSION).one())
            if before is not None and before.version == version:
                return before
            return Agreed(histories(connection), version)

    def is_given(self, subject_id: str, stream: str, at_ns: int | None = None) -> bool:
        """Say whether a stream may be collected now, or at a time; without any decision it may not."""
        t_ns = self._clock.now_ns() if at_ns is None else at_ns
        spans = given_spans(self.history(subject_id), [stream])
        return any(start_ns <= t_ns < end_ns for start_ns, end_ns in spans)

    def withdrawn(self, subject_id: str, streams: Sequence[str] = tuple(STREAMS)) -> Spans:
        """Return when none of some streams was to be collected: half-open, ns UTC."""
        edges = [EVER_NS, *(t for span in given_spans(self.history(subject_id), streams) for t in span)]
        pairs = zip(edges[::2], [*edges[1::2], NEVER_NS], strict=True)
        return [(start_ns, end_ns) for start_ns, end_ns in pairs if start_ns < end_ns]


def insert_consent(connection: Connection, decided: Consent, now_ns: int) -> None:
    """Add a decision."""
    connection.execute(
        sa.insert(schema.consent).values(
            subject_id=decided.subject_id,
            stream=decided.stream,
            is_granted=decided.is_granted,
            at_ns=decided.at_ns,
            recorded_by=decided.recorded_by,
            recorded_ns=now_ns,
        )
    )


def histories(connection: Connection, only: Iterable[str] | None = None) -> dict[str, list[Consent]]:
    """Return the decisions of everybody, or of `only`, by subject."""
    c = schema.consent.c
    query = sa.select(c.subject_id, c.stream, c.is_granted, c.at_ns, c.recorded_by)
    query = query.order_by(c.at_ns, c.consent_id)
    if only is not None:
        query = query.where(c.subject_id.in_(list(only)))
    found: dict[str, list[Consent]] = {}
    for row in connection.execute(query):
        found.setdefault(row[0], []).append(Consent(*row))
    return found


def given_spans(history: Sequence[Consent], streams: Sequence[str] = tuple(STREAMS)) -> Spans:
    """Return when at least one of `streams` may be collected: half-open, sorted, disjoint.

    What is decided first, at enrolment, holds for all time before it, too: who agrees then agrees to the
    recordings brought along.
    """
    spans: Spans = []
    otherwise, decided = False, dict[str, bool]()
    since_ns: int | None = None
    for each in history:
        if each.stream == ALL:
            otherwise, decided = each.is_granted, {}
        else:
            decided[each.stream] = each.is_granted
        is_given = any(_is_given(stream, decided, otherwise=otherwise) for stream in streams)
        at_ns = EVER_NS if each.at_ns == history[0].at_ns else each.at_ns
        if is_given and since_ns is None:
            since_ns = at_ns
        elif not is_given and since_ns is not None:
            if since_ns < at_ns:
                spans.append((since_ns, at_ns))
            since_ns = None
    return spans if since_ns is None else [*spans, (since_ns, NEVER_NS)]


def _is_to_all(history: Sequence[Consent]) -> bool:
    return bool(history) and all(each.is_granted for each in history) and history[0].stream == ALL


def _is_given(stream: str, decided: Mapping[str, bool], *, otherwise: bool) -> bool:
    if stream in ABOUT_COLLECTING and stream not in decided:
        return otherwise or any(decided.values())
    return decided.get(stream, otherwise)
