"""The demonstration: simulated people with virtual straps, everything else as in a clinic.

Straps, air, collector, spool and store run in this process; the jobs and the dashboard are processes of
their own, started by the same commands that a clinic uses.
"""

import asyncio
import os
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from configs.settings import STORE_VARIABLE
from ingest.service import Collected, collect, stop_on_signals
from ingest.spool import Spool
from ingest.tasks import honour_cancellation
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.cohort import HISTORY_DAYS, MAKER, WRIST_MODEL, Member, cohort, register, write_history
from ingest.virtual.devices.live_wrist import LiveWrist
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
LIVE_WRISTS = 2
"""The adapter holds five links: with a third wrist somebody would wait for a turn."""
BEATS_AT_ONCE_S = 6 * 3600
"""Beats are made for six hours at a time; between two such stretches one interval is missing, as after a
slipped strap."""
COUNTED_STREAMS = (HEART_RATE, RR_INTERVAL, BATTERY, LINK_STATE)
STOP_TIMEOUT_S = 15
"""The dashboard closes in under a second; after this it is killed."""
READY_TIMEOUT_S = 60
"""Importing and binding take two to five seconds on a slow machine."""
LATE_NS = 5 * NS_PER_S
"""A strap that is later than this slept with the machine: what its heart did meanwhile is never sent."""
DEMO_USER = "demo"


@dataclass(frozen=True, slots=True)
class DemoOutcome:
    """How many samples of each stream were received, spooled and stored.

    Attributes
    ----------
    received, spooled, stored : mapping of stream name to int
    refused : int
        Records that the spool did not take.
    was_live : bool
        Whether the dashboard was up before the end.
    """

    received: Mapping[str, int]
    spooled: Mapping[str, int]
    stored: Mapping[str, int]
    refused: int
    was_live: bool

    def agrees(self) -> bool:
        """Say whether every sample received was spooled and stored; once live, there has to be one."""
        names = [stream.name for stream in COUNTED_STREAMS]
        counts = [
            (self.received.get(name, 0), self.spooled.get(name, 0), self.stored.get(name, 0))
            for name in names
        ]
        is_enough = counts[0][0] > 0 or not self.was_live
        return self.refused == 0 and is_enough and all(a == b == c for a, b, c in counts)

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
        If the installation holds real people, or another demonstration runs there.
    ConfigError
        If the port is taken, or a job or the dashboard failed.
    """
    until = asyncio.Event()
    stop_on_signals(until)
    started_ns = installation.clock.now_ns()
    with installation.registry() as registry, installation.timeseries() as store:
        _refuse_real_people(installation, registry)
        await asyncio.to_thread(_name_others, installation, registry, store)
        members = cohort(datetime.fromtimestamp(started_ns // NS_PER_S, UTC).date())
        register(members, registry.people)
        live = members[:LIVE_STRAPS]
        with Spool(installation.spool_path("demo"), installation.clock) as spool:
            before = spool.counts().spooled_values
            show = _Show(installation, registry, store, until, started_ns)
            done = await _until_both_end(
                asyncio.create_task(_collect_live(live, installation, store, spool, until)),
                asyncio.create_task(show.run(members, days, seconds, port)),
                until,
            )
            spooled = {name: n - before.get(name, 0) for name, n in spool.counts().spooled_values.items()}
        stored = {
            stream.name: sum(
                store.count(stream, member.subject_id, started_ns, sensor_id=sensor_id)
                for member in live
                for sensor_id in (member.sensor_id, member.wrist_id)
            )
            for stream in COUNTED_STREAMS
        }
    return DemoOutcome(done.received, spooled, stored, done.refused, show.was_live)


async def _until_both_end(
    collecting: asyncio.Task[Collected], showing: asyncio.Task[None], until: asyncio.Event
) -> Collected:
    """Wait for both; when one ends, so does the other, and in good order, for the spool is closed next."""
    try:
        await asyncio.wait({collecting, showing}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        until.set()
        await asyncio.gather(collecting, showing, return_exceptions=True)
    showing.result()
    return collecting.result()


def _name_others(installation: Installation, registry: Registry, store: TimeSeriesStore) -> None:
    """Say so if simulated people are about to be added to a store of others, which is left as it is."""
    known = {subject.subject_id for subject in registry.people.subjects()}
    others = [subject_id for subject_id in store.subjects(RR_INTERVAL) if subject_id not in known]
    if others:
        note(
            f"{installation.store_place()} also holds {len(others)} people of another installation "
            f"({others[0]}, ...); simulated people are added beside them"
        )


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
    """Wear the virtual straps and wrists and collect from them over virtual air."""
    air = Air()
    adapter = VirtualAdapter(air)
    await adapter.start()
    clock = installation.clock
    wrists = [LiveWrist(air, m.wrist_id, m.person, clock, MAKER, WRIST_MODEL) for m in live[:LIVE_WRISTS]]
    wearing = [asyncio.create_task(_wear(member, air, clock)) for member in live]
    wearing += [asyncio.create_task(wrist.wear()) for wrist in wrists]
    try:
        return await collect(
            {member.sensor_id: member.subject_id for member in live}
            | {member.wrist_id: member.subject_id for member in live[:LIVE_WRISTS]},
            store=store,
            spool=spool,
            clock=installation.clock,
            radio=adapter.radio,
            until=until,
            settings=installation.settings.collector,
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
        honour_cancellation()
        while True:
            # The next whole second: no beat is older than the strap is worn.
            start_ns = -(-clock.now_ns() // NS_PER_S) * NS_PER_S
            beats = member.person.beats(start_ns, start_ns + BEATS_AT_ONCE_S * NS_PER_S)
            t_s = (beats.t_ns - start_ns) / NS_PER_S
            for packet in heart_rate_packets(t_s, np.asarray(beats.rr_ms)):
                due_ns = start_ns + packet.offset_ns
                if clock.now_ns() - due_ns > LATE_NS:
                    break
                await clock.sleep((due_ns - clock.now_ns()) / NS_PER_S)
                await strap.send(packet.measurement)
    finally:
        await strap.stop()


class _Stopped(Exception):  # noqa: N818 - no error: the user has seen enough
    """The demonstration was told to stop."""


class _Show:
    """History, jobs and dashboard of the demonstration.

    Attributes
    ----------
    was_live : bool
        Whether the dashboard came up.
    """

    def __init__(
        self,
        installation: Installation,
        registry: Registry,
        store: TimeSeriesStore,
        until: asyncio.Event,
        started_ns: int,
    ) -> None:
        self.was_live = False
        self._installation = installation
        self._registry = registry
        self._store = store
        self._until = until
        self._started_ns = started_ns

    async def run(
        self, members: Sequence[Member], days: int, seconds: float | None, port: int | None
    ) -> None:
        """Fill the history, run the jobs, then serve the dashboard until it is time to stop."""
        chosen = self._installation.settings.dashboard
        _port_to_serve(chosen.host, port, chosen.port)  # better refused now than after the history
        note(f"evenkeel demonstration in {self._installation.home}: everybody in it is simulated")
        with suppress(_Stopped):
            await asyncio.to_thread(self._write_history, members, days)
            await self._command("features", "run")
            await self._command("flags", "run")
            async with self._dashboard(chosen.host, _port_to_serve(chosen.host, port, chosen.port)) as served:
                self.was_live = True
                if await self._has_ended(served, seconds):
                    raise ConfigError(
                        f"The dashboard ended with status {served.returncode} while the demonstration ran; "
                        "what it said is above; start the demonstration again"
                    )

    def _write_history(self, members: Sequence[Member], days: int) -> None:
        def update_or_stop(done: int, total: int) -> None:
            if self._until.is_set():
                raise _Stopped
            update(done, total)

        note(f"Simulating {days} days of history for {len(members)} people")
        with progress_bar("History", "nights") as update:
            # Up to where the live beats begin, so that the two never mix.
            write_history(members, self._store, self._started_ns, days, update_or_stop)

    async def _command(self, *words: str) -> None:
        process = await self._start(*words)
        if not await self._has_ended(process):
            await _end(process)
            raise _Stopped
        if process.returncode:
            raise ConfigError(
                f"`evenkeel {' '.join(words)}` ended with status {process.returncode}; see above"
            )

    async def _has_ended(self, process: Process, within_s: float | None = None) -> bool:
        """Wait until the process ends, the time is over or all is to stop; say whether the process ended."""
        waits = {asyncio.create_task(process.wait()), asyncio.create_task(self._until.wait())}
        await asyncio.wait(waits, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        return process.returncode is not None

    @asynccontextmanager
    async def _dashboard(self, host: str, port: int) -> AsyncGenerator[Process]:
        accounts = self._registry.accounts
        # In threads, for the registry waits for the disk while the straps are live.
        user = await asyncio.to_thread(accounts.add_user, DEMO_USER, "lead", password=None, patients="all")
        process = await self._start("dashboard", "--host", host, "--port", str(port))
        try:
            await self._until_listening(process, host, port)
            link = await asyncio.to_thread(accounts.create_link, user)
            note(f"Sign in:   http://{_in_url(host)}:{port}/sign-in/once/{link}  (works once)")
            note("Ctrl-C stops everything")
            yield process
        finally:
            await _end(process)

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
        # -P: a folder called `store` or `features` where the user happens to stand is none of ours.
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "ingest.virtual.leash",
            "--home",
            str(self._installation.home),
            *words,
            env={**os.environ, STORE_VARIABLE: self._installation.store_url},
            stdin=asyncio.subprocess.PIPE,
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


def _port_to_serve(host: str, asked: int | None, usual: int) -> int:
    """Return the port asked for; without one the usual, or any free one if that is taken.

    Raises
    ------
    ConfigError
        If it cannot be listened on. Somebody else's server there would answer in the dashboard's place.
    """
    said = ""
    for port in (usual, 0) if asked is None else (asked,):
        try:
            # As the dashboard will: an address that an earlier one has just left is free.
            with socket.create_server((host, port), family=_family(host)) as probe:
                return int(probe.getsockname()[1])
        except OSError as error:
            said = os.strerror(error.errno) if error.errno else str(error)
    if asked is not None:
        raise ConfigError(
            f"Port {asked} on {host} cannot be listened on ({said}); choose another with --port"
        )
    raise ConfigError(f"No port on {host} can be listened on ({said}); choose another host in evenkeel.toml")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
