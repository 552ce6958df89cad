"""The gate between wearables and the store: what a person does not agree to is not kept, stream by stream.

Decisions are in the registry. They are read after records have left the spool and before samples of them are
stored, so that nothing which arrived after a withdrawal is ever stored, however late the news of it. Frames
are cut where they arrive, and once more in the spool when something was withdrawn.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ingest.records import Record
from ingest.redaction import redacted
from ingest.rows import SourcedBatch
from ingest.samples import Folded
from store.clock import Clock
from store.registry.consents import Consents
from store.timeseries import AnyBatch


class Gate:
    """What may be kept of each person, as the registry says.

    Parameters
    ----------
    consents : Consents
    clock : Clock

    Raises
    ------
    EvenkeelError
        If the registry cannot be read.
    """

    def __init__(self, consents: Consents, clock: Clock) -> None:
        self._consents, self._clock = consents, clock
        self._lock = threading.Lock()
        self._agreed = consents.agreed()
        self._to_review = {who for who in self._agreed.decided if not self._agreed.agrees_to_all(who)}

    def refresh(self) -> None:
        """Read again what was decided.

        Raises
        ------
        EvenkeelError
            If the registry cannot be read; then nobody can tell what may be stored.
        """
        before, now = self._agreed, self._consents.agreed(self._agreed)
        if now is before:
            return
        changed = {who for who in before.decided if before.decided[who] != now.decided.get(who)}
        with self._lock:  # whoever is admitting a record has put it into the spool, where it is reviewed
            self._agreed = now
            self._to_review |= changed

    def admit(self, record: Record, put: Callable[[Record], None]) -> Record | None:
        """Put what may be kept of a record into the spool; return that, or None if nothing may."""
        with self._lock:
            admitted = self.judge(record)
            if admitted is not None:
                put(admitted)
            return admitted

    def judge(self, record: Record) -> Record | None:
        """Return what may be kept of a record now."""
        agreed, subject_id = self._agreed, record.subject_id
        if agreed.agrees_to_all(subject_id):
            return record
        now_ns = self._clock.now_ns()
        return redacted(record, lambda stream: agreed.allows(subject_id, stream, now_ns))

    def is_open(self, subject_id: str, stream: str) -> bool:
        """Say whether a stream of a person may be kept now."""
        return self._agreed.allows(subject_id, stream, self._clock.now_ns())

    def knows(self, subject_id: str) -> bool:
        """Say whether a person ever decided anything; who was erased did not."""
        return subject_id in self._agreed.decided

    def take_reviews(self) -> set[str]:
        """Return the people of whom something may lie in the spool that may no longer; each once."""
        with self._lock:
            found, self._to_review = self._to_review, set[str]()
            return found

    def ask_again(self, subjects: set[str]) -> None:
        """Have people reviewed again whose review failed."""
        with self._lock:
            self._to_review |= subjects

    def screened(self, folded: Folded) -> Folded:
        """Return what was folded without the samples that may not be stored."""
        return replace(folded, batches=self._screened(folded.batches))

    def kept(self, batch: AnyBatch) -> NDArray[np.bool_]:
        """Return which samples of a batch may be stored."""
        kept = np.ones(len(batch), np.bool_)
        now_ns = self._clock.now_ns()
        for number, (subject_id, _) in enumerate(batch.series):
            if not self._agreed.agrees_to_all(subject_id):
                rows = batch.index == number
                kept[rows] = self._agreed.allowed(subject_id, batch.stream.name, batch.t_ns[rows], now_ns)
        return kept

    def _screened(self, batches: Sequence[SourcedBatch]) -> list[SourcedBatch]:
        screened: list[SourcedBatch] = []
        for sourced in batches:
            rows = self.kept(sourced.batch)
            if rows.all():
                screened.append(sourced)
            elif rows.any():
                screened.append(sourced.part(rows))
        return screened
