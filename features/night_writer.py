"""Takes computed nights in any order, completes and keeps them in order.

Of each night the windows and the row are written first and then its state, so that a night whose state is
new has all the rest. A crash between leaves nights that the next plan finds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from features.job import FeatureRun
from features.movement.night_minutes import MINUTES_STREAM
from features.night_state import NIGHT_STATE, NightState, state_batch
from features.night_work import NightDone, own_hash
from features.nights import NIGHT_STREAM, NightRow, Provenance, night_batch
from features.plan import Basis, NightTask, SubjectPlan, followers, week_hash
from features.weeks import with_weeks
from features.windows import WINDOW_STREAM
from store.ledger import Ledger, Use
from store.timeseries import TimeSeriesStore

NIGHTS_A_WRITE = 30
"""A month of one person is kept at a time, and lost at most if the process is killed."""


@dataclass
class _Waiting:
    """Nights of one person that are being computed."""

    plan: SubjectPlan
    order: list[NightTask]
    done: dict[int, NightDone] = field(default_factory=dict[int, NightDone])

    def ready(self) -> int:
        """Return how many nights from the first on are done."""
        for k, task in enumerate(self.order):
            if task.key_ns not in self.done:
                return k
        return len(self.order)


class NightWriter:
    """Keeps what comes of tasks.

    Parameters
    ----------
    store : TimeSeriesStore
    basis : Basis
    job : (str, int)
        Id and time of the run.
    ledger : Ledger, optional
    """

    def __init__(
        self, store: TimeSeriesStore, basis: Basis, job: tuple[str, int], ledger: Ledger | None
    ) -> None:
        self._store, self._basis, self._ledger = store, basis, ledger
        self._provenance = Provenance(basis.code_version, basis.settings_hash, *job)
        self._run = FeatureRun(job[0])
        self._failed: list[str] = []
        self._people: dict[str, None] = {}
        self._waiting: dict[str, _Waiting] = {}
        self._made: dict[str, set[int]] = {}

    def outcome(self) -> FeatureRun:
        """Return how it went so far."""
        return replace(self._run, failed=tuple(self._failed), changed_subjects=tuple(self._people))

    def remove_vanished(self, plans: Sequence[SubjectPlan]) -> None:
        """Remove rows that no night belongs to, with their windows and states, before anything is written."""
        for one in plans:
            for key_ns in one.vanished:
                state = one.states.pop(key_ns, None)
                self._remove(
                    one.subject_id, key_ns, None if state is None else (state.start_ns, state.end_ns)
                )
                self._changed(one.subject_id, removed=1)

    def expect(self, plan: SubjectPlan, tasks: Sequence[NightTask]) -> None:
        """Announce tasks of one person, ascending."""
        self._waiting[plan.subject_id] = _Waiting(plan, list(tasks))
        for task in tasks:
            state = plan.states.get(task.key_ns)
            if state is not None and not state.is_of(task.span):
                # Its windows may lie in what is another night now, which is written in its turn.
                self._remove(plan.subject_id, task.key_ns, (state.start_ns, state.end_ns))
                del plan.states[task.key_ns]

    def forget(self, plans: Sequence[SubjectPlan]) -> None:
        """Let go of people of whom everything is done."""
        for one in plans:
            self._waiting.pop(one.subject_id, None)
            self._made.pop(one.subject_id, None)

    def take(self, night: NightDone) -> None:
        """Take what came of one task; keep a month, or the rest, of the person."""
        waiting = self._waiting[night.task.subject_id]
        waiting.done[night.task.key_ns] = night
        ready = waiting.ready()
        if ready >= NIGHTS_A_WRITE or ready == len(waiting.order):
            self._keep(waiting.plan, [waiting.done.pop(task.key_ns) for task in waiting.order[:ready]])
            del waiting.order[:ready]

    def followers(self, plan: SubjectPlan) -> list[NightTask]:
        """Return nights of a person that were not computed in this run and that one of them changes.

        A night whose own samples turned out to be the same was only looked at: it may be among them.
        """
        made = self._made.get(plan.subject_id, set())
        return [task for task in followers(plan) if task.key_ns not in made]

    def _keep(self, plan: SubjectPlan, nights: Sequence[NightDone]) -> None:
        made = self._made.setdefault(plan.subject_id, set())
        made.update(night.task.key_ns for night in nights if night.result is not None or night.failure)
        failed = [night for night in nights if night.failure or (night.result and night.result.failure)]
        for night in failed:
            self._fail(plan, night)
        has_failed = {night.task.key_ns for night in failed}
        sound = [night for night in nights if night.task.key_ns not in has_failed]
        rows = [night.result.row for night in sound if night.result and night.result.row is not None]
        batches = [batch for night in sound if night.result for batch in night.result.batches]
        for night in sound:
            self._set_state(plan, night)
            if night.result is not None:
                self._remove_stale(plan.subject_id, night)
        if rows:
            completed = with_weeks(self._store, plan.subject_id, rows)
            self._store.write([*batches, night_batch(completed, self._provenance)])
            self._count(plan.subject_id, completed)
        self._note_used([use for night in sound if night.result for use in night.result.uses])
        if sound:
            states = {night.task.key_ns: plan.states[night.task.key_ns] for night in sound}
            self._store.write([state_batch(plan.subject_id, states)])
        unchanged = sum(night.result is None for night in sound)
        self._run = replace(self._run, unchanged=self._run.unchanged + unchanged)

    def _set_state(self, plan: SubjectPlan, night: NightDone) -> None:
        key_ns, span = night.task.key_ns, night.task.span
        before = plan.states.get(key_ns)
        if night.result is None and before is not None:
            basis = self._basis
            plan.states[key_ns] = replace(before, store_id=basis.store_id, mark=basis.mark)
            return
        row = night.result.row if night.result else None
        plan.states[key_ns] = NightState(
            start_ns=span.start_ns,
            end_ns=span.end_ns,
            zone=span.zone,
            settings_hash=self._basis.settings_hash,
            code_version=self._basis.code_version,
            models=night.models,
            store_id=self._basis.store_id,
            mark=self._basis.mark,
            input_hash=night.input_hash,
            own_hash="" if row is None else own_hash(row),
            week_hash=week_hash(plan.states, span.night),
            has_row=int(row is not None),
        )

    def _fail(self, plan: SubjectPlan, night: NightDone) -> None:
        """Tell of a failure; what was known of the night does not hold any more, so it goes."""
        why = night.failure or (night.result.failure if night.result else "")
        task = night.task
        self._remove(plan.subject_id, task.key_ns, (task.span.start_ns, task.span.end_ns))
        plan.states.pop(task.key_ns, None)
        self._failed.append(f"{task.subject_id}, night {task.span.night}: {why}")
        oldest_ns = min(self._run.oldest_waiting_ns or task.span.end_ns, task.span.end_ns)
        self._run = replace(self._run, oldest_waiting_ns=oldest_ns)

    def _remove_stale(self, subject_id: str, night: NightDone) -> None:
        """Remove windows that the night has no more, and its row if it has none now."""
        result, span = night.result, night.task.span
        if result is None:
            return
        held = self._store.read(WINDOW_STREAM, subject_id, span.start_ns, span.end_ns)
        pairs = zip(held.sensor_index.tolist(), held.t_ns.tolist(), strict=True)
        stale: set[tuple[str, int]] = {(held.sensors[k], t_ns) for k, t_ns in pairs}
        for batch in result.batches:
            if batch.stream == WINDOW_STREAM:
                stale -= {(batch.sensor_id, t_ns) for t_ns in batch.t_ns.tolist()}
        if stale:
            self._remove(subject_id, night.task.key_ns, (span.start_ns, span.end_ns))
        elif result.row is None:
            self._remove(subject_id, night.task.key_ns, None)

    def _remove(self, subject_id: str, key_ns: int, span_ns: tuple[int, int] | None) -> None:
        # The state first: without it the night is found again, however little of the rest was removed.
        self._store.delete(NIGHT_STATE, subject_id, key_ns, key_ns + 1)
        for stream in (NIGHT_STREAM, MINUTES_STREAM):
            self._store.delete(stream, subject_id, key_ns, key_ns + 1)
        if span_ns is not None:
            self._store.delete(WINDOW_STREAM, subject_id, *span_ns)

    def _count(self, subject_id: str, rows: Sequence[NightRow]) -> None:
        withheld = sum(bool(row.withheld) for row in rows)
        self._run = replace(
            self._run, nights=self._run.nights + len(rows), withheld=self._run.withheld + withheld
        )
        self._changed(subject_id)

    def _changed(self, subject_id: str, removed: int = 0) -> None:
        self._people[subject_id] = None
        self._run = replace(self._run, removed=self._run.removed + removed)

    def _note_used(self, uses: Sequence[Use]) -> None:
        if self._ledger is not None and uses:
            self._ledger.note_used("features", uses)
