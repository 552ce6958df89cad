"""The forwarder: a thread that turns spooled records into stored samples, and only then lets go of them."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

from ingest.consent import Gate
from ingest.records import Record
from ingest.rows import SensorKey
from ingest.samples import Folded, SampleFold
from ingest.settlement import Settlement, Settler
from ingest.spool import Spool, SpoolFullError
from ingest.storing import store_all_it_takes
from store.clock import Clock
from store.errors import EvenkeelError
from store.timeseries import TimeSeriesStore

BATCH_RECORDS = 2_000
"""Records per write: large enough that the two syncs of a batch cost little, small enough to take 50 ms."""

LINGER_S = 0.2
"""Pause after a batch that took all there was. Nobody looks at a dashboard more often, and a sensor at one
packet a second would else cost an SD card two syncs for each packet."""

LINGER_PER_RECORD_S = 0.004
LONGEST_LINGER_S = 0.7
"""The more records a batch had, the longer the pause: of 200 sensors, a commit then serves a hundred packets,
not thirty, and what they sent is stored within the second all the same."""

SETTLED_TOGETHER_RECORDS, SETTLED_TOGETHER_BATCHES = 1_000, 8
"""Stored records leave the spool once there are so many of them, after so many batches, or when no record
waits: of 200 sensors, each then has its state and its counters written every five seconds and not with every
packet. What has not left at a crash is stored once more, as the same samples."""

IDLE_WAIT_S = 0.25
"""Committed records wake the thread at once; this only bounds how long it takes to notice `stop`."""

FIRST_RETRY_S, LONGEST_RETRY_S = 0.5, 30.0
"""Pauses between attempts double: a busy store is back within a second, one that is down within minutes."""

STORE_FAILURES = (EvenkeelError, OSError)
"""What a store raises when it cannot write just now. Anything else is a bug and ends the thread."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ForwarderState:
    """How forwarding goes.

    Attributes
    ----------
    failing_since_ns : int or None
        When the store, or the spool's disk, began to refuse; None while all is well.
    last_error : str
        Why it last refused, empty if it never did.
    stored_samples : int
        Samples written since the start; those written again after a retry count once.
    """

    failing_since_ns: int | None = None
    last_error: str = ""
    stored_samples: int = 0


class Forwarder:
    """Forward records from a spool to a store until stopped.

    Every record is written to the store before the spool forgets it; what is written again after a crash
    replaces the same samples. While the store fails, records wait in the spool and writing is tried again
    for ever.

    Parameters
    ----------
    spool : Spool
    store : TimeSeriesStore
    clock : Clock
        Dates failures.
    first_retry_s : float
        Pause after the first failure.
    keep_waveforms : bool
        Whether raw frames of fast signals are stored too.
    gate : Gate, optional
        What may be stored of each person; without it, everything may.
    """

    def __init__(
        self,
        spool: Spool,
        store: TimeSeriesStore,
        clock: Clock,
        *,
        first_retry_s: float = FIRST_RETRY_S,
        keep_waveforms: bool = False,
        gate: Gate | None = None,
    ) -> None:
        self._spool = spool
        self._store = store
        self._clock = clock
        self._first_retry_s = first_retry_s
        self._keep_waveforms = keep_waveforms
        self._gate = gate
        self._stopping = threading.Event()
        self._is_draining = False
        self._bug: Exception | None = None
        self._state = ForwarderState()
        self._held: dict[SensorKey, int] = {}
        self._pending, self._pending_batches = Settlement(), 0
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    @property
    def state(self) -> ForwarderState:
        """How forwarding goes."""
        return self._state

    @property
    def held(self) -> dict[SensorKey, int]:
        """Records of each sensor that wait for later ones; its next link state settles all."""
        return self._held

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, drain: bool = True) -> None:
        """End the thread, and raise what ended it if it was a bug.

        Parameters
        ----------
        drain : bool
            First forward all that was put into the spool; given up at the first failure of the store. What
            is not forwarded stays in the spool: see `Spool.is_empty`.

        Raises
        ------
        SpoolFullError, HomeError
            If `drain` and the spool could not write what was put into it.
        """
        try:
            if drain:
                self._spool.flush()
        finally:
            self._is_draining = drain
            self._stopping.set()
            self._thread.join()
        if self._bug is not None:
            raise self._bug

    def _run(self) -> None:
        try:
            self._forward()
        except Exception as error:  # noqa: BLE001 - the thread's boundary: `stop` raises it
            self._bug = error
            _log.error("Forwarding ended by a bug (%s)", type(error).__name__)
            self._note_failure(error)

    def _forward(self) -> None:
        fold = SampleFold(self._spool.states(), keep_waveforms=self._keep_waveforms)
        settler = Settler()
        last_id = 0
        records: list[tuple[int, Record]] = []

        def read() -> int:
            nonlocal records
            self._heed_withdrawals()
            records = self._spool.read(last_id, BATCH_RECORDS)
            return 0

        while not self._stopping.is_set() or self._is_draining:
            was_stopping = self._stopping.is_set()  # what was spooled before that, is read
            if not self._has_done(read):
                return
            if not records:
                if not self._has_settled() or was_stopping:
                    return
                self._spool.wait_beyond(last_id, IDLE_WAIT_S)
                continue
            if not self._has_stored(fold.add(records), settler):
                return
            last_id = records[-1][0]
            self._held = dict(fold.held())
            if len(records) < BATCH_RECORDS:
                self._stopping.wait(_linger_s(len(records)))
        self._has_settled()

    def _has_stored(self, folded: Folded, settler: Settler) -> bool:
        """Store the samples, and let go of records when it is time; False if stopped while either failed."""
        settlement = Settlement()

        def store() -> int:
            nonlocal settlement
            # After the records were read: what arrived after a withdrawal is not among them, or not kept.
            self._heed_withdrawals()
            kept = folded if self._gate is None else self._gate.screened(folded)
            stored = store_all_it_takes(self._store, [sourced.batch for sourced in kept.batches])
            settlement = settler.settle(kept, stored.refusals)
            return stored.samples

        if not self._has_done(store):
            return False
        self._pending += settlement
        self._pending_batches += 1
        is_due = (
            len(self._pending) >= SETTLED_TOGETHER_RECORDS
            or self._pending_batches >= SETTLED_TOGETHER_BATCHES
        )
        return not is_due or self._has_settled()

    def _has_settled(self) -> bool:
        """Let go of the records whose samples are stored; False if stopped while that failed."""
        return self._has_done(self._settle)

    def _settle(self) -> int:
        if self._pending:
            self._spool.settle(self._pending)
        self._pending, self._pending_batches = Settlement(), 0
        return 0

    def _heed_withdrawals(self) -> None:
        """Read what people decided, and clear the spool of what they no longer agree to."""
        if self._gate is None:
            return
        self._gate.refresh()
        subjects = self._gate.take_reviews()
        if not subjects:
            return
        erased = {who for who in subjects if not self._gate.knows(who)}
        try:
            self._settle()  # so that nothing is remembered of someone who was erased
            for subject_id in erased:
                self._spool.forget(subject_id)
            with suppress(SpoolFullError):  # what waits in memory is judged when it is forwarded
                self._spool.flush()
            cleared = self._spool.review(subjects, self._gate.judge)
        except BaseException:
            self._gate.ask_again(subjects)
            raise
        if cleared:
            _log.info("%d frames in the spool held what is no longer agreed to; cleared", cleared)

    def _has_done(self, attempt: Callable[[], int]) -> bool:
        """Try until it works; `attempt` returns how many samples it stored. False if stopped meanwhile."""
        for pause_s in _pauses_s(self._first_retry_s):
            try:
                stored = attempt()
            except STORE_FAILURES as error:
                self._note_failure(error)
                if self._stopping.wait(pause_s):
                    return False
            else:
                self._note_success(stored)
                return True
        return False

    def _note_failure(self, error: Exception) -> None:
        since_ns = self._state.failing_since_ns
        if since_ns is None:
            since_ns = self._clock.now_ns()
            _log.warning("%s; what is received waits in the spool", error)
        self._state = replace(self._state, failing_since_ns=since_ns, last_error=str(error))

    def _note_success(self, stored: int) -> None:
        if self._state.failing_since_ns is not None:
            _log.warning("The store takes samples again")
        self._state = ForwarderState(None, self._state.last_error, self._state.stored_samples + stored)


def _linger_s(records: int) -> float:
    """Return how long to pause after a batch of so many records."""
    return min(LINGER_S + LINGER_PER_RECORD_S * records, LONGEST_LINGER_S)


def _pauses_s(first_s: float) -> Iterator[float]:
    """Yield pauses that double up to `LONGEST_RETRY_S`, for ever."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_RETRY_S)
