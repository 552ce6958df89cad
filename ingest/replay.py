"""Replay: a recorded heart goes through a virtual strap, the air, the collector and the spool to the store.

The same classes as live; only the strap, the air and the clock are virtual. The clock is moved to each
packet's time, and on only when the collector has stamped the packet: stamps are exact, and the same replay
again makes the same samples bit for bit.
"""

import asyncio
import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from configs.settings import CollectorSettings
from ingest.collector import Collector
from ingest.consent import Gate
from ingest.forwarder import Forwarder
from ingest.records import Kind, Record, parse_link_payload
from ingest.spool import Spool
from ingest.spool_file import SpoolCounts
from ingest.virtual.air import Air
from ingest.virtual.backend import VirtualAdapter
from ingest.virtual.packets import Packet, heart_rate_packets, unsendable_beats
from ingest.virtual.strap import VirtualStrap
from store.clock import Clock, VirtualClock
from store.errors import ConfigError, RefusedError, SensorError
from store.recording import RrRecording
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

SILENT_AFTER_S = 30
"""Of the collector that receives the recording."""

STRAP_OFF_AFTER_S = SILENT_AFTER_S - 10
"""Straps switch off some time after they lose the heart; here before the collector gives up the link, so that
a long gap is a strap that left, at a time that does not depend on this machine."""

STRAP_ON_BEFORE_S = 1
"""A strap is put on before it sends; connecting takes no virtual time."""

ADVERTISING_INTERVAL_MS = 20.0
"""The shortest there is: each gap of a recording waits for one advertisement."""

PACKET_TIMEOUT_S = 10.0
"""A packet takes well under a millisecond; a busy machine may pause for seconds."""

CONNECT_TIMEOUT_S = 60.0
"""Connecting takes a tenth of a second; this leaves room for the collector's own second attempt."""

FLUSH_EVERY_PACKETS = 5_000
"""The air is faster than a disk; waiting for it now and then keeps the spool's queue short."""

PROGRESS_EVERY_PACKETS = 100


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What became of a recording.

    Attributes
    ----------
    beats : int
        RR intervals in the recording.
    unsendable : tuple of int
        Indices of those that no strap can send (64 s or longer); they were left out, and are gaps.
    packets_sent, packets_received : int
        Heart rate packets that left the strap, and that the collector stamped.
    spooled_frames, forwarded_frames, quarantined_frames, waiting_frames : int
        Records in the spool, link states and battery levels included: all, stored, undecodable, and left
        behind because the store failed (the spool's file is kept then).
    """

    beats: int
    unsendable: tuple[int, ...]
    packets_sent: int
    packets_received: int
    spooled_frames: int
    forwarded_frames: int
    quarantined_frames: int
    waiting_frames: int


def replay_address(subject_id: str, digest: str) -> str:
    """Return the address of the virtual strap that replays a recording for a subject, always the same.

    Parameters
    ----------
    subject_id : str
    digest : str
        Of the recording.

    Returns
    -------
    str
        A static random Bluetooth address: its two highest bits are set (Bluetooth Core 5.4, Vol 6 Part B,
        1.3.2.1).

    Examples
    --------
    >>> replay_address("S001", "ab" * 32)
    'F7:97:A4:A0:40:40'
    """
    octets = bytearray(hashlib.sha256(f"{subject_id}\n{digest}".encode()).digest()[:6])
    octets[0] |= 0xC0
    return octets.hex(":").upper()


async def replay(  # noqa: PLR0913 - one call, every argument named
    recording: RrRecording,
    *,
    subject_id: str,
    sensor_id: str,
    start_ns: int,
    store: TimeSeriesStore,
    spool_path: Path,
    speed: float | None = None,
    progress: Callable[[float], None] = lambda _done_frac: None,
    on_stored: Callable[[Spool], None] = lambda _spool: None,
    gate: Gate | None = None,
) -> ReplayResult:
    """Replay a recording into a store as if it happened from `start_ns` on.

    Parameters
    ----------
    recording : RrRecording
    subject_id : str
        Who wears the strap.
    sensor_id : str
        The strap's Bluetooth address: see `replay_address`.
    start_ns : int
        Time zero of the recording, nanoseconds UTC. A beat that ended at 0.695 s leaves the strap a second
        after it.
    store : TimeSeriesStore
    spool_path : Path
        A file that does not exist; removed unless the store refused some of a whole recording.
    speed : float or None
        So many times as fast as it happened; None is as fast as this machine can.
    progress : callable
        Called with the share that has been sent, 0-1.
    on_stored : callable
        Called with the spool before it is removed, to copy what it counted.
    gate : Gate, optional
        What may be stored of the person; without it, everything may.

    When it is interrupted, what was sent so far is stored as a replay to the end would have stored it, so
    that one to the end completes it.

    Raises
    ------
    SensorError
        If strap and collector lose each other.
    SpoolFullError, HomeError
        If the spool cannot write.
    RefusedError
        If there is a file at `spool_path`.
    """
    begin_ns = start_ns + min(0, math.floor(recording.t_s[0])) * NS_PER_S
    clock = VirtualClock(begin_ns)
    spool = await asyncio.to_thread(_new_spool, spool_path, clock)
    forwarder = Forwarder(spool, store, clock, gate=gate)
    forwarder.start()
    run = _Run(spool, clock, subject_id, sensor_id, start_ns)
    is_whole = False
    try:
        await run.send_all(recording, speed, progress)
        is_whole = True
    finally:
        counts = await asyncio.to_thread(_store_all, forwarder, spool, on_stored, is_whole=is_whole)
    return ReplayResult(
        beats=len(recording),
        unsendable=tuple(unsendable_beats(recording.rr_ms).tolist()),
        packets_sent=run.sent,
        packets_received=run.received,
        spooled_frames=counts.spooled_frames,
        forwarded_frames=counts.forwarded_frames,
        quarantined_frames=counts.quarantined_frames,
        waiting_frames=counts.waiting_frames,
    )


class _Run:
    """One recording on its way from the strap to the spool."""

    def __init__(
        self, spool: Spool, clock: VirtualClock, subject_id: str, sensor_id: str, start_ns: int
    ) -> None:
        self.sent = 0
        self._spool = spool
        self._clock = clock
        self._start_ns = start_ns
        self._what = f"The replay for {subject_id}"
        self._tap = _Tap(spool)
        air = Air()
        self._adapter = VirtualAdapter(air)
        self._strap = VirtualStrap(air, sensor_id, advertising_interval_ms=ADVERTISING_INTERVAL_MS)
        settings = CollectorSettings(silent_after_s=SILENT_AFTER_S)
        worn = {sensor_id: subject_id}
        self._collector = Collector(worn, self._tap, clock, self._adapter.radio, settings=settings)

    @property
    def received(self) -> int:
        """Heart rate packets that the collector stamped."""
        return self._collector.received["heart_rate_measurement"]

    async def send_all(
        self, recording: RrRecording, speed: float | None, progress: Callable[[float], None]
    ) -> None:
        """Send every packet of the recording and see each one spooled."""
        await self._adapter.start()
        collecting = asyncio.create_task(self._collector.run())
        pace = _Pace(speed)
        try:
            for packet in heart_rate_packets(recording.t_s, recording.rr_ms):
                await pace.wait(packet.offset_ns)
                await self._send(packet)
                if self.sent % PROGRESS_EVERY_PACKETS == 0:
                    progress(_share(recording, packet.offset_ns))
                if self.sent % FLUSH_EVERY_PACKETS == 0:
                    await asyncio.to_thread(self._spool.flush)
        except BaseException:
            self._tap.cut()
            raise
        finally:
            self._collector.stop()
            await collecting
            await self._strap.stop()
        progress(1.0)

    async def _send(self, packet: Packet) -> None:
        due_ns = self._start_ns + packet.offset_ns
        if self._strap.subscribed and due_ns - self._clock.now_ns() > STRAP_OFF_AFTER_S * NS_PER_S:
            self._clock.advance_to(self._clock.now_ns() + STRAP_OFF_AFTER_S * NS_PER_S)
            await self._switch_off()
        if not self._strap.subscribed:
            self._clock.advance_to(due_ns - STRAP_ON_BEFORE_S * NS_PER_S)
            await self._switch_on()
        self._clock.advance_to(due_ns)
        stamped = self._tap.expect("heart_rate_measurement")
        if await self._strap.send(packet.measurement) != 1:
            raise SensorError(f"{self._what}: the collector left the strap at packet {self.sent}; try again")
        await self._within(PACKET_TIMEOUT_S, stamped, f"packet {self.sent} was not received")
        self.sent += 1

    async def _switch_on(self) -> None:
        # The battery level is the last thing the collector reads before it only listens.
        settled = self._tap.expect("battery_level")
        await self._strap.start()
        await self._within(CONNECT_TIMEOUT_S, settled, "the collector did not connect to the strap")

    async def _switch_off(self) -> None:
        noted = self._tap.expect("link_state", "disconnected")
        await self._strap.stop()
        await self._within(CONNECT_TIMEOUT_S, noted, "the collector did not notice that the strap left")

    async def _within(self, timeout_s: float, event: Awaitable[None], otherwise: str) -> None:
        try:
            async with asyncio.timeout(timeout_s):
                await event
        except TimeoutError:
            raise SensorError(
                f"{self._what}: {otherwise} within {timeout_s:g} s; try again on a less busy machine"
            ) from None


class _Tap:
    """Passes records on to the spool, and says so to the one who waits for it."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._is_cut = False
        self._kind: Kind = "link_state"
        self._state: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    def expect(self, kind: Kind, state: str | None = None) -> asyncio.Future[None]:
        """Return a future that is done with the next record of that kind (and link state)."""
        self._kind, self._state = kind, state
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def cut(self) -> None:
        """Let nothing more through: that the strap is left now is no part of the recording."""
        self._is_cut = True

    def put(self, record: Record) -> None:
        """Spool the record; the one who waits hears of a spool that refuses, too."""
        if self._is_cut:
            return
        waiter = self._waiter if self._waiter is not None and not self._waiter.done() else None
        try:
            self._spool.put(record)
        except ConfigError as error:
            if waiter is not None:
                waiter.set_exception(error)
            raise
        if waiter is not None and self._is_expected(record):
            waiter.set_result(None)

    def _is_expected(self, record: Record) -> bool:
        if record.kind != self._kind:
            return False
        return self._state is None or parse_link_payload(record.payload)[0] == self._state


class _Pace:
    """Waits so that packets leave `speed` times as fast as they were recorded."""

    def __init__(self, speed: float | None) -> None:
        self._speed = speed
        self._zero_s: float | None = None

    async def wait(self, offset_ns: int) -> None:
        """Wait until it is time for the packet at `offset_ns`; the first one leaves at once."""
        if self._speed is None:
            return
        loop = asyncio.get_running_loop()
        due_s = offset_ns / NS_PER_S / self._speed
        if self._zero_s is None:
            self._zero_s = loop.time() - due_s
        await asyncio.sleep(self._zero_s + due_s - loop.time())


def _share(recording: RrRecording, offset_ns: int) -> float:
    first_s, last_s = float(recording.t_s[0]), float(recording.t_s[-1])
    return (
        min(max((offset_ns / NS_PER_S - first_s) / (last_s - first_s), 0.0), 1.0) if last_s > first_s else 1.0
    )


def forget_interrupted(path: Path, clock: Clock) -> None:
    """Remove the spool that a killed replay left: the recording still holds all that was in it.

    Forwarding it instead would end the beats there, some at other times than the whole recording gives them.

    Raises
    ------
    RefusedError
        If the replay is still running.
    HomeError
        If the file cannot be used.
    """
    if path.exists():
        Spool(path, clock).close(remove=True)


def _new_spool(path: Path, clock: VirtualClock) -> Spool:
    if path.exists():
        raise RefusedError(
            f"The spool {path} of a replay exists; needed is a new file: another replay is running, or one "
            "was interrupted: remove the file then, and replay again"
        )
    return Spool(path, clock)


def _store_all(
    forwarder: Forwarder, spool: Spool, on_stored: Callable[[Spool], None], *, is_whole: bool
) -> SpoolCounts:
    """Forward what is spooled; remove the spool unless it holds what only a store that works can take."""
    is_done = not is_whole
    try:
        forwarder.stop(drain=True)
        counts = spool.counts()
        on_stored(spool)
        is_done = is_done or spool.is_empty()
    finally:
        spool.close(remove=is_done)
    return counts
