"""Between the radio and the spool: counts every record, and makes a spool without room a gap with a reason.

While the spool refuses, frames are lost and counted. For each wearable that lost some, the record shows the
link as ended at the first one lost and as standing again once there is room, so that the gap is explained
and no beats are joined across it. These few records wait in memory until the spool takes them.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from ingest.records import Kind, LinkState, Record, link_payload, parse_link_payload
from ingest.spool import SpoolFullError
from store.clock import Clock
from store.errors import HomeError
from store.registry.wearing import Wearing
from store.units import NS_PER_S

REFUSAL_LOG_INTERVAL_S = 60
"""A full disk refuses several frames a second; one line a minute says as much."""

OWED_LIMIT = 10_000
"""Changes of links that may wait for room in the spool: weeks of them for a few wearables."""

UNKNOWN_RSSI = 127
"""What a radio says, in either sign, that does not know."""

NO_ROOM = "no room in the spool"
ROOM_AGAIN = "room in the spool again"

_log = logging.getLogger(__name__)


class RecordSink(Protocol):
    """Where records go: the spool."""

    def put(self, record: Record) -> None:
        """Take a record without blocking; raises `SpoolFullError` (no room) or `HomeError` (disk failed)."""
        ...


class Keeper:
    """Puts records into the spool.

    Parameters
    ----------
    spool : RecordSink
    clock : Clock
        Stamps changes of links.
    on_failure : callable
        Called with the error if the spool's disk failed, each time.

    Attributes
    ----------
    received : Counter of record kind
        Records given to it.
    """

    def __init__(self, spool: RecordSink, clock: Clock, on_failure: Callable[[HomeError], None]) -> None:
        self.received: Counter[Kind] = Counter()
        self._lost = 0
        self._spool = spool
        self._clock = clock
        self._on_failure = on_failure
        self._owed: deque[Record] = deque(maxlen=OWED_LIMIT)
        self._losses: dict[tuple[str, str], int] = {}
        self._logged_ns: int | None = None

    @property
    def refused(self) -> int:
        """Records that the spool did not take: frames that are lost, and changes of links that still wait."""
        return self._lost + len(self._owed)

    def keep(self, record: Record) -> bool:
        """Spool a record; return whether it was taken. Never waits, never raises."""
        self.received[record.kind] += 1
        return self._put(record)

    def keep_now(self, kind: Kind, wearing: Wearing, payload: bytes) -> bool:
        """Spool something that was made here, stamped with this moment."""
        wall_ns, mono_ns = self._clock.now_ns(), self._clock.monotonic_ns()
        return self.keep(Record(kind, wearing.subject_id, wearing.sensor_id, wall_ns, mono_ns, payload))

    def note_link(self, wearing: Wearing, state: LinkState, reason: str = "") -> None:
        """Record, and say in the log, that a link has changed."""
        if state not in ("started", "stopped"):
            why = f": {reason}" if reason else ""
            _log.info("%s of %s %s%s", wearing.sensor_id, wearing.subject_id, state, why)
        self.keep_now("link_state", wearing, link_payload(state, reason))

    def note_signal(self, wearing: Wearing, rssi_dbm: int) -> None:
        """Record how strong a wearable was heard; what a radio does not tell is no record."""
        if abs(rssi_dbm) < UNKNOWN_RSSI:
            self.keep_now("signal", wearing, rssi_dbm.to_bytes(1, signed=True))

    def _put(self, record: Record) -> bool:
        try:
            if self._owed or self._losses:
                self._settle(record)
            self._spool.put(record)
        except SpoolFullError as error:
            self._refuse(record, error)
        except HomeError as error:
            self._lost += 1
            self._on_failure(error)
        else:
            return True
        return False

    def _settle(self, record: Record) -> None:
        """Spool what is owed, and that the links stand which lost frames."""
        while self._owed:
            self._spool.put(self._owed[0])
            self._owed.popleft()
        for key, count in list(self._losses.items()):
            again = link_payload("connected", f"{ROOM_AGAIN}; {count} frames lost")
            self._spool.put(Record("link_state", *key, record.wall_ns, record.mono_ns, again))
            self.received["link_state"] += 1
            del self._losses[key]

    def _refuse(self, record: Record, error: SpoolFullError) -> None:
        key = (record.subject_id, record.sensor_id)
        if record.kind == "link_state":
            self._owe(record)
            if parse_link_payload(record.payload)[0] == "disconnected":
                self._losses.pop(key, None)  # the link has ended indeed
            return
        self._lost += 1
        if record.kind not in {"collector", "signal"}:
            self._note_loss(key, record)
        if self._logged_ns is None or record.mono_ns - self._logged_ns >= REFUSAL_LOG_INTERVAL_S * NS_PER_S:
            self._logged_ns = record.mono_ns
            _log.error("%s; %d records refused since the start", error, self._lost)

    def _note_loss(self, key: tuple[str, str], record: Record) -> None:
        if key not in self._losses:
            ended = link_payload("disconnected", NO_ROOM)
            self._owe(Record("link_state", *key, record.wall_ns, record.mono_ns, ended))
            self.received["link_state"] += 1
        self._losses[key] = self._losses.get(key, 0) + 1

    def _owe(self, record: Record) -> None:
        if len(self._owed) == OWED_LIMIT:
            self._lost += 1
        self._owed.append(record)
