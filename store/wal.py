"""Put an SQLite file into WAL mode, also when several processes open a fresh one at the same moment."""

import threading
from collections.abc import Callable

ATTEMPTS = 300
PAUSE_S = 0.1
"""SQLite refuses at once to change the journal mode while another connection is about to do the same,
whatever busy timeout is set. The other needs milliseconds; half a minute means that something is stuck."""


def switch_to_wal(ask: Callable[[str], object], refused: type[Exception]) -> None:
    """Run the switch through `ask`, again while the file is locked.

    Parameters
    ----------
    ask : callable
        Runs one statement.
    refused : type of Exception
        What `ask` raises; raised if the file stays locked, or at once for any other reason.
    """
    for attempt in range(ATTEMPTS):
        try:
            ask("PRAGMA journal_mode=WAL")
        except refused as error:
            if "locked" not in str(error) or attempt == ATTEMPTS - 1:
                raise
            threading.Event().wait(PAUSE_S)
        else:
            return
