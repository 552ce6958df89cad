"""From spools to the ledger: what each one took in, what the store acknowledged to it, and what waits."""

import sqlite3
from contextlib import closing
from pathlib import Path

from ingest.spool_file import BUSY_TIMEOUT_S, SpoolFile
from ingest.spool_hours import hours
from store.ledger import Ledger


def feed_from(spool: SpoolFile, ledger: Ledger) -> None:
    """Copy the counters of an open spool, such as one that is about to be removed."""
    # What waits is read first: what is settled between the two then counts as waiting, and no hour that is
    # still moving is judged.
    waiting = spool.waiting_since_ns()
    ledger.copy_counters(str(spool.spool_id), spool.hours(), waiting)


class Feed:
    """Copies the counters of every spool of an installation when called, also while others use them.

    Parameters
    ----------
    ledger : Ledger
    directory : Path
        Where the spools are.
    """

    def __init__(self, ledger: Ledger, directory: Path) -> None:
        self._ledger = ledger
        self._directory = directory
        self._failed: dict[Path, str] = {}

    @property
    def failed(self) -> tuple[str, ...]:
        """One sentence for each spool that could not be read the last time."""
        return tuple(self._failed.values())

    def __call__(self) -> None:
        """Copy them all."""
        self._failed.clear()
        seen: list[str] = []
        for path in sorted(self._directory.glob("*.sqlite")):
            try:
                seen.append(_feed_file(self._ledger, path))
            except sqlite3.Error as error:
                if path.exists():  # else a replay has ended meanwhile, and fed the ledger itself
                    self._failed[path] = (
                        f"The counters of the spool {path} cannot be read ({error}); forward what it holds "
                        "with evenkeel collect --drain, then ask again"
                    )
        if not self._failed:
            self._ledger.keep_waiting(seen)


def _feed_file(ledger: Ledger, path: Path) -> str:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as database:
        database.execute("BEGIN")
        name = str(database.execute("SELECT spool_id FROM identity").fetchone()[0])
        counters = hours(database, 0)
        waiting = database.execute(
            "SELECT subject_id, sensor_id, min(wall_ns) FROM records GROUP BY subject_id, sensor_id"
        ).fetchall()
    ledger.copy_counters(name, counters, {(who, sensor): since_ns for who, sensor, since_ns in waiting})
    return name
