"""The collector killed again and again while straps stream and the store comes and goes.

Every packet carries its number, its strap notes when it was sent and whether somebody listened, and after
each kill the spool is looked at: what was in it then has to be in the store at the end, once and in order.

A collector that dies while it subscribes is subscribed all the same, until the Bluetooth service notices that
nobody is there: it answers a request a moment after the one who made it was killed. What a strap sends then
is heard by no collector, living or dead. So each next one starts once the service has let go of the one
before, and only what was sent between a start and the kill that follows is held against a collector.
"""

import random
import sqlite3
import tempfile
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bed import Bed, Sent, bed
from benchmarks.load import FOR_EVER, collector, end_well, environment, installed, stored
from benchmarks.table import Row
from ingest.decoders.heart_rate import decode_heart_rate
from store.clock import SystemClock
from store.installation import Installation
from store.places import InfluxPlace
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S
from tests.influxd import OwnInfluxServer, influxd_binary

PACKETS_PER_S = 8
SHORTEST_LIFE_S, LONGEST_LIFE_S = 0.5, 6.0
"""From before its first connection to well within the stream; on a machine that takes long to start one, the
longest is twice as long as it takes until all straps are heard."""

LAST_LIFE_S = 5.0
"""With all straps heard."""

STOP_TIMEOUT_S = 60
RESTARTS = 5

UNDER_WAY_NS = NS_PER_S // 4
"""What was sent so shortly before a kill may not be on the spool's disk yet: nobody was told that it is."""


@dataclass
class _Killed:
    """What was noted at the kills.

    Attributes
    ----------
    lives_ns : list of (int, int)
        When each collector was started and killed, the last one stopped, on the monotonic clock.
    spooled : list of set of int
        Sequence numbers of each strap that were ever found in the spool.
    restarts : int
        Of the store.
    """

    spooled: list[set[int]]
    lives_ns: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    restarts: int = 0


def kills(count: int, straps: int = 8) -> list[Row]:
    """Kill the collector `count` times; InfluxDB is killed and restarted meanwhile, where there is one."""
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        server = _Store(folder, stack)
        worn = stack.enter_context(bed(straps, folder / "sent"))
        killed = _kill_again_and_again(worn, folder, server, count)
        sent = worn.end()
        with server.open() as store:
            return _rows(sent, killed, store)


class _Store:
    """The store: an InfluxDB of our own that may be down, or the embedded one, which always works."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        binary = influxd_binary()
        self._home = folder / "home"
        self._server: OwnInfluxServer | None = None
        self._url = ""
        if binary is not None:
            place = folder / "influxd"
            place.mkdir()
            server = self._server = OwnInfluxServer(binary, place)
            stack.callback(server.kill)
            self._bucket = server.new_buckets()
            self._url = str(InfluxPlace(server.url, server.org, self._bucket))
        self._is_down = False

    @property
    def environment(self) -> dict[str, str]:
        """What a collector has to know of it."""
        if self._server is None:
            return {}
        return {"EVENKEEL_STORE_URL": self._url, "EVENKEEL_INFLUX_TOKEN": self._server.token}

    def set_down(self, *, is_down: bool) -> bool:
        """End it or start it; return whether it was started again."""
        if self._server is None or is_down == self._is_down:
            return False
        self._is_down = is_down
        if is_down:
            self._server.kill()
        else:
            self._server.start()
        return not is_down

    def open(self) -> AbstractContextManager[TimeSeriesStore]:
        """Open it for reading."""
        if self._server is None:
            return Installation(self._home, SystemClock()).timeseries()
        return self._server.open(self._bucket)


def _kill_again_and_again(worn: Bed, folder: Path, store: _Store, count: int) -> _Killed:
    chance = random.Random(0)  # noqa: S311 - repeatable moments
    home = installed(folder, worn.addresses)
    environ = environment(home, worn.bus, **store.environment)
    killed = _Killed([set() for _ in worn.addresses])
    worn.send(PACKETS_PER_S, FOR_EVER)
    longest_s = LONGEST_LIFE_S
    for number in range(count):
        killed.restarts += store.set_down(is_down=_is_down(number, count))
        started_ns = time.monotonic_ns()
        with collector(environ, folder / "log") as running:
            if number == 0:
                worn.wait_until_heard()
                longest_s = max(longest_s, 2 * (time.monotonic_ns() - started_ns) / NS_PER_S)
            else:
                time.sleep(chance.uniform(SHORTEST_LIFE_S, longest_s))
            killed.lives_ns.append((started_ns, time.monotonic_ns()))
            running.kill()
            running.wait()
        worn.wait_until_left()
        for ever, now in zip(killed.spooled, _in_spool(home, len(worn.addresses)), strict=True):
            ever.update(now)
    killed.restarts += store.set_down(is_down=False)
    killed.lives_ns.append(_end_well(worn, environ, folder / "log"))
    return killed


def _is_down(number: int, count: int) -> bool:
    """Say whether the store is to be down: the second half of each of as many stretches as it restarts."""
    stretch = count / RESTARTS
    return number % stretch >= stretch / 2


def _end_well(worn: Bed, environ: Mapping[str, str], log: Path) -> tuple[int, int]:
    """Let a last collector live, end it as a service manager does, and forward the rest; return its life."""
    started_ns = time.monotonic_ns()
    with collector(environ, log) as running:
        worn.wait_until_heard()
        time.sleep(LAST_LIFE_S)
        stopped_ns = time.monotonic_ns()
        end_well(running, log)
    with collector(environ, log, "--drain") as draining:
        if draining.wait(STOP_TIMEOUT_S):
            raise SystemExit(log.read_text()[-2000:])
    return started_ns, stopped_ns


def _in_spool(home: Path, straps: int) -> list[set[int]]:
    """Return what is on disk in the spool of a dead collector: each strap's sequence numbers."""
    found: list[set[int]] = [set() for _ in range(straps)]
    path = home / "spool" / "collector.sqlite"
    if not path.exists():
        return found
    query = "SELECT subject_id, payload FROM {} WHERE kind = 'heart_rate_measurement'"
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        for table in ("records", "quarantine"):
            for subject_id, payload in database.execute(query.format(table)):
                sequence = decode_heart_rate(payload).energy_kj
                if sequence is not None:
                    found[int(subject_id.removeprefix("V"))].add(sequence)
    return found


def _rows(sent: list[Sent], killed: _Killed, store: TimeSeriesStore) -> list[Row]:
    held = [stored(store, f"V{k}") for k in range(len(sent))]
    lives_ns = np.array(killed.lives_ns)
    accounts = [
        account(each, sequence, lives_ns, spooled)
        for each, (sequence, _), spooled in zip(sent, held, killed.spooled, strict=True)
    ]
    total = {name: sum(account[name] for account in accounts) for name in accounts[0]}
    intervals = sum(abs(count - len(sequence)) for sequence, count in held)
    youngest_ms = max(account["late_ms"] for account in accounts)
    return [
        Row("kill -9 of the collector", len(lives_ns) - 1, "kills"),
        Row("of them while straps were streaming", _while_streaming(sent, lives_ns[:-1, 1]), "kills"),
        Row("kill -9 and restart of the store meanwhile", killed.restarts, "restarts", RESTARTS, "higher"),
        Row("notifications while a collector lived", total["notified"], "notifications"),
        Row("sent after its death, before the service let go", total["dead"], "notifications"),
        Row("found in the spool after a kill", sum(map(len, killed.spooled)), "notifications"),
        Row("of them not stored in the end", total["spooled_lost"], "notifications", 0),
        Row("sent 0.25 s or more before a kill, not stored", total["lost"], "notifications", 0),
        Row("sent nearer to a kill and not stored", total["under_way"], "notifications"),
        Row("the oldest of those, before its kill", youngest_ms, "ms"),
        Row("stored twice", total["twice"], "samples", 0),
        Row("out of order", total["disorder"], "samples", 0),
        Row("stored though never sent", total["invented"], "samples", 0),
        Row("RR intervals more or fewer than packets", intervals, "samples", 0),
        Row("links lost while the collector lived", total["links_lost"], "links", 0),
    ]


def account(
    sent: Sent, sequence: NDArray[np.int64], lives_ns: NDArray[np.int64], spooled: set[int]
) -> dict[str, int]:
    """Compare what a strap sent with what is stored of it.

    Parameters
    ----------
    sent : Sent
    sequence : (n,) int64
        As stored, by time.
    lives_ns : (m, 2) int64
        When each collector was started and when it was killed; nobody was subscribed at any of the starts.
    spooled : set of int
        Sequence numbers that were found in the spool after a kill.
    """
    life = np.searchsorted(lives_ns[:, 0], sent.sent_ns, side="right") - 1
    left_ns = np.where(life >= 0, lives_ns[life, 1] - sent.sent_ns, 0)
    has_listener = sent.listeners > 0
    notified = has_listener & (left_ns > 0)
    missing = notified & ~np.isin(sent.sequence, sequence)
    is_near = left_ns < UNDER_WAY_NS
    is_lost_link = notified[:-1] & ~has_listener[1:] & (left_ns[1:] > 0) & (life[1:] == life[:-1])
    return {
        "notified": int(notified.sum()),
        "dead": int((has_listener & ~notified).sum()),
        "spooled_lost": len(spooled - set(sequence.tolist())),
        "lost": int((missing & ~is_near).sum()),
        "under_way": int((missing & is_near).sum()),
        "late_ms": int(left_ns[missing].max(initial=0) // 1_000_000),
        "twice": len(sequence) - len(np.unique(sequence)),
        "disorder": int((np.diff(sequence) < 0).sum()),
        "invented": int((~np.isin(sequence, sent.sequence[has_listener])).sum()),
        "links_lost": int(is_lost_link.sum()),
    }


def _while_streaming(sent: list[Sent], at_ns: NDArray[np.int64]) -> int:
    heard_ns = np.sort(np.concatenate([each.sent_ns[each.listeners > 0] for each in sent]))
    last = np.searchsorted(heard_ns, at_ns) - 1
    return int(((last >= 0) & (at_ns - heard_ns[last] < UNDER_WAY_NS)).sum())
