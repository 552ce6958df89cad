"""Reconcile everything: every night, and whenever somebody asks."""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

from store.ledger import Ledger, Reconciled
from store.ledger_reading import DAY_NS
from store.streams import HEART_RATE, RR_INTERVAL, STREAMS
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

STILL_WATCHED_NS = 30 * DAY_NS
"""Who had data within a month is expected to have some today; a recording of last year is not."""


PULSE = (HEART_RATE.name, RR_INTERVAL.name)
"""What covers time: who agrees to neither has withdrawn, as far as gaps go."""


def reconcile_all(  # noqa: PLR0913 - one call, every argument named
    ledger: Ledger,
    store: TimeSeriesStore,
    *,
    now_ns: int,
    subjects: Collection[str] | None = None,
    since_ns: int | None = None,
    withdrawn: Callable[[str, Sequence[str]], Sequence[tuple[int, int]]] = lambda _subject_id, _streams: (),
    recount: Callable[[], object] = lambda: None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Reconciled:
    """Reconcile every day of everybody, read from the store sample by sample.

    Parameters
    ----------
    subjects : collection of str, optional
        Only these people.
    since_ns : int, optional
        Only UTC days that end after it.
    withdrawn : callable
        Gives when a subject agreed to none of some streams: `Consents.withdrawn`.
    recount : callable
        Copies the spools' counters into the ledger: see `Ledger.reconcile`. Called first, too.
    progress : callable(days_done, days_total)
    """
    recount()
    streams: dict[str, set[str]] = {who: set() for who in ledger.subjects()}
    for series in store.series():
        if series.stream.name in STREAMS:
            streams.setdefault(series.subject_id, set()).add(series.stream.name)
    plan: list[tuple[str, date, tuple[int, int]]] = []
    for who in sorted(streams):
        watched_ns = _watched_ns(ledger, store, who, streams[who], now_ns)
        if watched_ns is not None and (subjects is None or who in subjects):
            plan.extend((who, day, watched_ns) for day in _days(*watched_ns, since_ns))
    done = Reconciled()
    for number, (who, day, watched_ns) in enumerate(plan, start=1):
        done += ledger.reconcile(
            store,
            who,
            day,
            streams=streams[who],
            watched_ns=watched_ns,
            withdrawn=withdrawn(who, PULSE),
            rate_withdrawn=withdrawn(who, [HEART_RATE.name]),
            recount=recount,
        )
        progress(number, len(plan))
    return done


def _watched_ns(
    ledger: Ledger, store: TimeSeriesStore, subject_id: str, streams: Collection[str], now_ns: int
) -> tuple[int, int] | None:
    """Return from when to when a subject's data are expected; None if there never were any."""
    extents = [store.extent(STREAMS[name], subject_id) for name in streams]
    extents.append(ledger.extent_ns(subject_id))
    known = [extent for extent in extents if extent is not None]
    if not known:
        return None
    first_ns, last_ns = min(first for first, _ in known), max(last for _, last in known)
    return first_ns, max(last_ns, now_ns) if now_ns - last_ns < STILL_WATCHED_NS else last_ns


def _days(first_ns: int, last_ns: int, since_ns: int | None) -> Iterator[date]:
    day = _date(first_ns if since_ns is None else max(first_ns, since_ns))
    while day <= _date(last_ns):
        yield day
        day += timedelta(days=1)


def _date(t_ns: int) -> date:
    return datetime.fromtimestamp(t_ns // NS_PER_S, UTC).date()
