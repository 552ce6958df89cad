"""Everybody's standing is computed before somebody asks, so that the first list of a morning is fast, too."""

import gc
import itertools
import logging
import threading
from collections.abc import Generator
from contextlib import contextmanager

from dashboard.caseload import read_each
from dashboard.gate import everybody
from dashboard.sources import Sources
from store.errors import StoreAccessError, StoreUnavailableError

EVERY_S = 20.0
TURNS = 150
"""Each turn computes a part of the people anew, and so many turns all of them: before they are forgotten all
at once, when somebody who opens the list would wait for a thousand. Of a thousand it is seven, a tenth of a
second: a larger part makes whoever opens a page meanwhile wait."""
_log = logging.getLogger("dashboard")


@contextmanager
def warmed(sources: Sources) -> Generator[None]:
    """Keep what the list needs at hand, in a thread of its own, until the block ends."""
    stop = threading.Event()
    thread = threading.Thread(target=_keep_warm, args=(sources, stop), name="warming", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keep_warm(sources: Sources, stop: threading.Event) -> None:
    for turn in itertools.count():
        warm_up(sources, stop, turn=turn)
        if turn == 0:
            _spare_collections()
        if stop.wait(EVERY_S):
            return


def _spare_collections() -> None:
    """Leave out of garbage collections what stays: to search it stops every thread for half a second."""
    gc.collect()
    gc.freeze()


def warm_up(sources: Sources, stop: threading.Event | None = None, *, turn: int = 0) -> None:
    """Compute what has changed of anybody, and from turn 1 on whose turn it is; forget who is gone.

    A store that is away is met again the next time.
    """
    try:
        people = everybody(sources)
        for gone in sources.remembered.keys() - {person.subject_id for person in people}:
            sources.remembered.pop(gone, None)
        in_turn = people[turn % TURNS :: TURNS] if turn else []
        for _ in itertools.chain(read_each(sources, people), read_each(sources, in_turn, max_age_ns=0)):
            if stop is not None and stop.is_set():
                return
    except (StoreAccessError, StoreUnavailableError) as error:
        _log.info("The list could not be prepared: %s", error)
