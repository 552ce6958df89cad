"""The demonstration: simulated people with virtual straps, everything else as in a clinic.

Straps, air, collector, spool and store run in this process; the jobs and the dashboard are processes of
their own, started by the same commands that a clinic uses.
"""

import asyncio
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ingest.service import Collected, collect, stop_on_signals
from ingest.spool import Spool
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.cohort import HISTORY_DAYS, Member, cohort, register, write_history
from ingest.virtual.packets import heart_rate_packets
from ingest.virtual.strap import VirtualStrap
from store.clock import Clock
from store.command import note, progress_bar
from store.errors import ConfigError, RefusedError
from store.installation import Installation
from store.registry.registry import Registry
from store.streams import BATTERY, HEART_RATE, LINK_STATE, RR_INTERVAL
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

LIVE_STRAPS = 3
BEATS_AT_ONCE_S = 6 * 3600
"""Beats are made for six hours at a time; between two such stretches one interval is missing, as after a
slipped strap."""
COUNTED_STREAMS = (HEART_RATE, RR_INTERVAL, BATTERY, LINK_STATE)
STOP_TIMEOUT_S = 15
"""The dashboard closes in under a second; after this it is killed."""
READY_TIMEOUT_S = 60
"""Importing and binding take two to five seconds on a slow machine."""
DEMO_USER = "demo"


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """How many samples of each stream were received, spooled and stored."""

    received: Mapping[str, int]
    spooled: Mapping[str, int]
    stored: Mapping[str, int]
    refused: int

    def agrees(self) -> bool:
        """Say whether every sample received was spooled and stored, and something was received."""
        names = [stream.name for stream in COUNTED_STREAMS]
        counts = [
            (self.received.get(name, 0), self.spooled.get(name, 0), self.stored.get(name, 0))
            for name in names
        ]
        return self.refused == 0 and counts[0][0] > 0 and all(a == b == c for a, b, c in counts)

    def line(self) -> str:
        """Return the counts as one line."""
        stages = (self.received, self.spooled, self.stored)
        parts = [
            f"{stream.name} {' = '.join(str(stage.get(stream.name, 0)) for stage in stages)}"
            for stream in COUNTED_STREAMS
        ]
        verdict = "all agree" if self.agrees() else "THEY DIFFER"
        return f"received = spooled = stored: {', '.join(parts)}: {verdict}"


async def run_demo(
    installation: Installation, *, seconds: float | None, port: int | None, days: int = HISTORY_DAYS
) -> DemoOutcome:
    """Run the demonstration with `days` of history until `seconds` after all is up, or SIGINT or SIGTERM.

    Raises
    ------
    RefusedError
        If the installation holds real people.
    """
    until = asyncio.Event()
    stop_on_signals(until)
    started_ns = installation.clock.now_ns()
    with installation.registry() as registry, installation.timeseries() as store:
        _refuse_real_people(installation, registry)
        members = cohort(datetime.fromtimestamp(started_ns // NS_PER_S, UTC).date())
        register(members, registry.people)
        live = members[:LIVE_STRAPS]
        with Spool(installation.spool_path("demo"), installation.clock) as spool:
            before = spool.counts().spooled_values
            collecting = asyncio.create_task(_collect_live(live, installation, store, spool, until))
            show = _Show(installation, registry, store, until, days)
            showing = asyncio.create_task(show.run(members, seconds, port))
            await asyncio.wait({collecting, showing}, return_when=asyncio.FIRST_COMPLETED)
            until.set()
            await showing
            done = await collecting
            spooled = {name: n - before.get(name, 0) for name, n in spool.counts().spooled_values.items()}
        stored = {
            stream.name: sum(
                store.count(stream, member.subject_id, started_ns, sensor_id=member.sensor_id)
                for member in live
            )
            for stream in COUNTED_STREAMS
        }
    return DemoOutcome(done.received, spooled, stored, done.refused)


def _refuse_real_people(installation: Installation, registry: Registry) -> None:
    real = [subject.subject_id for subject in registry.people.subjects() if not subject.is_simulated]
    if real:
        raise RefusedError(
            f"{installation.home} holds {len(real)} people who are not simulated ({real[0]}, ...); the "
            "demonstration needs a directory of its own: evenkeel --home DIR demo"
        )


async def _collect_live(
    live: Sequence[Member],
    installation: Installation,
    store: TimeSeriesStore,
    spool: Spool,
    until: asyncio.Event,
) -> Collected:
    """Wear the virtual straps and collect from them over virtual air."""
    air = Air()
    adapter = VirtualAdapter(air)
    await adapter.start()
    wearing = [asyncio.create_task(_wear(member, air, installation.clock)) for member in live]
    try:
        return await collect(
            {member.sensor_id: member.subject_id for member in live},
            store=store,
            spool=spool,
            clock=installation.clock,
            radio=adapter.radio,
            until=until,
        )
    finally:
        for task in wearing:
            task.cancel()
        await asyncio.gather(*wearing, return_exceptions=True)


async def _wear(member: Member, air: Air, clock: Clock) -> None:
    """Send one person's heartbeats as they happen, for ever."""
    strap = VirtualStrap(air, member.sensor_id, name=f"Virtual strap {member.subject_id}", battery_pct=87)
    await strap.start()
    try:
        while True:
            start_ns = clock.now_ns() // NS_PER_S * NS_PER_S
            beats = member.person.beats(start_ns, start_ns + BEATS_AT_ONCE_S * NS_PER_S)
            t_s = (beats.t_ns - start_ns) / NS_PER_S
            for packet in heart_rate_packets(t_s, np.asarray(beats.rr_ms)):
                await clock.sleep((start_ns + packet.offset_ns - clock.now_ns()) / NS_PER_S)
                await strap.send(packet.measurement)
    finally:
        await strap.stop()


class _Stopped(Exception):  # noqa: N818 - no error: the user has seen enough
    """The demonstration was told to stop."""


class _Show:
    """History, jobs and dashboard of the demonstration."""

    def __init__(
        self,
        installation: Installation,
        registry: Registry,
        store: TimeSeriesStore,
        until: asyncio.Event,
        days: int,
    ) -> None:
        self._installation = installation
        self._registry = registry
        self._store = store
        self._until = until
        self._days = days

    async def run(self, members: Sequence[Member], seconds: float | None, port: int | None) -> None:
        """Fill the history, run the jobs, then serve the dashboard until it is time to stop."""
        note(f"evenkeel demonstration in {self._installation.home}: everybody in it is simulated")
        with suppress(_Stopped):
            await asyncio.to_thread(self._write_history, members)
            await self._command("features", "run")
            await self._command("flags", "run")
            async with self._dashboard(port):
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._until.wait(), seconds)

    def _write_history(self, members: Sequence[Member]) -> None:
        def update_or_stop(done: int, total: int) -> None:
            if self._until.is_set():
                raise _Stopped
            update(done, total)

        note(f"Simulating {self._days} days of history for {len(members)} people")
        with progress_bar("History", "nights") as update:
            now_ns = self._installation.clock.now_ns()
            write_history(members, self._store, now_ns, self._days, update_or_stop)

    async def _command(self, *words: str) -> None:
        process = await self._start(*words)
        ended = asyncio.create_task(process.wait())
        stopped = asyncio.create_task(self._until.wait())
        await asyncio.wait({ended, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if not ended.done():
            await _end(process)
            raise _Stopped
        if process.returncode:
            raise ConfigError(
                f"`evenkeel {' '.join(words)}` ended with status {process.returncode}; see above"
            )

    @asynccontextmanager
    async def _dashboard(self, port: int | None) -> AsyncGenerator[None]:
        chosen = self._installation.settings.dashboard
        served = port or _free_port(chosen.host, chosen.port)
        process = await self._start("dashboard", "--host", chosen.host, "--port", str(served))
        try:
            await self._until_listening(process, chosen.host, served)
            link = self._one_time_link()
            note(f"\nDashboard  http://{chosen.host}:{served}/")
            note(f"Sign in    http://{chosen.host}:{served}/sign-in/once/{link}  (works once)")
            note("Ctrl-C stops everything\n")
            yield
        finally:
            await _end(process)

    def _one_time_link(self) -> str:
        user = self._registry.accounts.add_user(DEMO_USER, "lead", password=None, patients="all")
        return self._registry.accounts.create_link(user)

    async def _until_listening(self, process: Process, host: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        give_up_s = loop.time() + READY_TIMEOUT_S
        while loop.time() < give_up_s and process.returncode is None:
            if self._until.is_set():
                raise _Stopped
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            await asyncio.sleep(0.1)
        raise ConfigError(f"The dashboard did not come up on port {port}; choose another with --port")

    async def _start(self, *words: str) -> Process:
        # A session of its own, so that Ctrl-C reaches this process first and it can stop the others in order.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "evenkeel",
            "--home",
            str(self._installation.home),
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sys.stderr,
            start_new_session=True,
        )


async def _end(process: Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _free_port(host: str, wanted: int) -> int:
    """Return the wanted port, or any free one if it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    raise ConfigError(f"No port of {host} can be listened on; choose another address in evenkeel.toml")
