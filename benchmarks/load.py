"""Many wearables at once: what a collector in a process of its own stores, and takes of the machine."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bed import Bed, Sent, bed
from benchmarks.endurance import resident_mb
from benchmarks.table import Row
from store.clock import SystemClock
from store.installation import Installation
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

SETTLE_S = 3.0
"""After all straps are connected, before anything is measured; and after the last packet, to be stored."""

BURST_S = 10
FOR_EVER = 1_000_000
STOP_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class _Measured:
    """What came of a stretch with all straps connected.

    Attributes
    ----------
    notified, lost : int
        Notifications, and of them those that are not in the store once and in order, with their interval.
    per_s : float
        Notifications a second in that stretch.
    cpu_pct, memory_mb : float
        Of the collector: percent of one core, and resident at its end.
    """

    notified: int
    lost: int
    per_s: float
    cpu_pct: float
    memory_mb: float


def many(straps: int, seconds: int, *, cpu_goal_pct: float | None = None) -> list[Row]:
    """Collect from straps at one packet a second; what Bleak alone takes of that stands beside it."""
    found = _collect(straps, 1.0, seconds)
    return [
        Row(f"{straps} straps at 1 Hz: notifications", found.notified, "notifications"),
        Row(f"{straps} straps: of them not stored", found.lost, "notifications", 0),
        Row(f"{straps} straps: the collector", found.cpu_pct, "% of one core", cpu_goal_pct),
        Row(
            f"{straps} straps: a bare Bleak client beside it", _bare_cpu_pct(straps, seconds), "% of one core"
        ),
        Row(f"{straps} straps: its resident memory", found.memory_mb, "MB", 150),
    ]


def burst(straps: int, per_s: int) -> list[Row]:
    """Collect from straps that send more than any wearable does."""
    found = _collect(straps, per_s / straps, BURST_S)
    return [
        Row(f"burst from {straps} straps for {BURST_S} s", found.per_s, "notif./s", 0.98 * per_s, "higher"),
        Row("burst: of them not stored", found.lost, "notifications", 0),
        Row("burst: the collector", found.cpu_pct, "% of one core"),
        Row("burst: its resident memory", found.memory_mb, "MB"),
    ]


def installed(folder: Path, addresses: list[str]) -> Path:
    """Make an installation in which everybody, `V0` onwards, wears a strap; return its directory."""
    home = folder / "home"
    with Installation(home, SystemClock()).registry() as registry:
        for number, address in enumerate(addresses):
            registry.people.add_subject(f"V{number}", "UTC")
            registry.people.pair(address, f"V{number}")
    return home


def environment(home: Path, bus: str, **more: str) -> Mapping[str, str]:
    """Return what a collector has to know."""
    chosen = {"EVENKEEL_HOME": str(home), "DBUS_SYSTEM_BUS_ADDRESS": bus}
    chosen["EVENKEEL_COLLECTOR__CONNECTIONS_PER_ADAPTER"] = "500"
    return os.environ | chosen | more


@contextmanager
def collector(environment: Mapping[str, str], log: Path, *words: str) -> Generator[subprocess.Popen[bytes]]:
    """Run `evenkeel collect` as a process of its own, killed at the end if it still runs."""
    with log.open("ab") as said:
        command = [sys.executable, "-m", "evenkeel", "collect", *words]
        running = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=said, stderr=said
        )
        with running:
            try:
                yield running
            finally:
                running.kill()


def stored(store: TimeSeriesStore, subject_id: str) -> tuple[NDArray[np.int64], int]:
    """Return the sequence numbers of someone's packets by time, and how many RR intervals there are."""
    sequence = store.read(HEART_RATE, subject_id)["energy_kj"].astype(np.int64)
    return sequence, store.count(RR_INTERVAL, subject_id)


def _collect(straps: int, hz: float, seconds: int) -> _Measured:
    with tempfile.TemporaryDirectory() as place, bed(straps, Path(place) / "sent") as worn:
        folder = Path(place)
        home = installed(folder, worn.addresses)
        with collector(environment(home, worn.bus), folder / "log") as running:
            began_ns, ended_ns, cpu_pct, memory_mb = _measure(worn, running.pid, hz, seconds)
            end_well(running, folder / "log")
        sent = worn.end()
        with Installation(home, SystemClock()).timeseries() as store:
            lost = sum(_not_stored(each, stored(store, f"V{k}")) for k, each in enumerate(sent))
    heard_ns = np.concatenate([each.sent_ns[each.listeners > 0] for each in sent])
    within = np.count_nonzero((heard_ns >= began_ns) & (heard_ns < ended_ns))
    per_s = within * NS_PER_S / (ended_ns - began_ns)
    return _Measured(len(heard_ns), lost, per_s, cpu_pct, memory_mb)


def _bare_cpu_pct(straps: int, seconds: int) -> float:
    """Return what a program takes that subscribes to as many straps and drops what they send."""
    with tempfile.TemporaryDirectory() as place, bed(straps, Path(place) / "sent") as worn:
        command = [sys.executable, "-m", "benchmarks.bare_client", *worn.addresses]
        environ = os.environ | {"DBUS_SYSTEM_BUS_ADDRESS": worn.bus}
        with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL) as running:
            try:
                return _measure(worn, running.pid, 1.0, seconds)[2]
            finally:
                running.kill()


def _measure(worn: Bed, process_id: int, hz: float, seconds: int) -> tuple[int, int, float, float]:
    """Return when a stretch began and ended, and what the collector took meanwhile."""
    worn.send(1, FOR_EVER)
    worn.wait_until_heard()
    time.sleep(SETTLE_S)
    before_s, began_ns = _cpu_s(process_id), time.monotonic_ns()
    worn.send(hz, round(hz * seconds))
    worn.wait_for("sent")
    ended_ns = time.monotonic_ns()
    cpu_pct = 100 * (_cpu_s(process_id) - before_s) * NS_PER_S / (ended_ns - began_ns)
    memory_mb = resident_mb(process_id)
    time.sleep(SETTLE_S)
    return began_ns, ended_ns, cpu_pct, memory_mb


def end_well(running: subprocess.Popen[bytes], log: Path) -> None:
    """End a collector as a service manager does; raises `SystemExit` unless it ends well."""
    running.send_signal(signal.SIGTERM)
    if running.wait(STOP_TIMEOUT_S):
        raise SystemExit(log.read_text()[-2000:])


def _not_stored(sent: Sent, held: tuple[NDArray[np.int64], int]) -> int:
    """Count the notifications that are not stored once and in order, and intervals that are not one each."""
    sequence, intervals = held
    expected = sent.sequence[sent.listeners > 0]
    if np.array_equal(expected, sequence):
        return abs(intervals - len(expected))
    return max(len(np.setxor1d(expected, sequence)), abs(len(expected) - len(sequence)), 1)


def _cpu_s(process_id: int) -> float:
    """Return the time that a process, all its threads, has had on any core."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
