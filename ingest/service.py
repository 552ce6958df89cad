"""A collector at work: radio to spool to store, until told to stop; and draining what one left behind."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from configs.settings import CollectorSettings
from ingest.collector import Collector, OnDeviceInfo
from ingest.consent import Gate
from ingest.forwarder import Forwarder
from ingest.heartbeat import CollectorStatus
from ingest.memory import WearableMemory
from ingest.radio import Radio
from ingest.records import Record, link_payload
from ingest.roster import Roster
from ingest.samples import values_in
from ingest.spool import Spool
from ingest.spool_file import SpoolCounts
from store.clock import Clock
from store.timeseries import TimeSeriesStore
from store.units import NS_PER_S

_DEFAULTS = CollectorSettings()

DRAIN_BATCH = 10_000
"""Records looked at a time when a spool is searched for its sensors."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of the records of one run.

    Attributes
    ----------
    received : mapping of stream name to int
        Samples in the records that arrived and were taken.
    refused : int
        Records that the full spool did not take.
    counts : SpoolCounts
        Of the spool since it was made.
    """

    received: Mapping[str, int]
    refused: int
    counts: SpoolCounts


class Tally:
    """Counts the samples in every record on its way into the spool; keeps out what may not be kept."""

    def __init__(self, spool: Spool, gate: Gate | None = None) -> None:
        self.received: Counter[str] = Counter()
        self._spool, self._gate = spool, gate

    def put(self, record: Record) -> None:
        """Spool what may be kept of the record, and count it."""
        if self._gate is None:
            self._spool.put(record)
            admitted = record
        else:
            admitted = self._gate.admit(record, self._spool.put)
        if admitted is not None:
            for stream, count in values_in(admitted).items():
                self.received[stream] += count


async def collect(  # noqa: PLR0913 - one call, every argument named
    worn: Mapping[str, str] | Roster,
    *,
    store: TimeSeriesStore,
    spool: Spool,
    clock: Clock,
    radio: Radio,
    until: asyncio.Event,
    on_device_info: OnDeviceInfo | None = None,
    settings: CollectorSettings = _DEFAULTS,
    memory_path: Path | None = None,
    gate: Gate | None = None,
) -> Collected:
    """Collect from worn sensors until `until` is set, then forward what is spooled.

    Parameters
    ----------
    worn : mapping of sensor address to subject id, or Roster
    until : asyncio.Event
    on_device_info, settings
        As `Collector` takes them.
    memory_path : Path, optional
        File in which to remember up to when the memory of wearables was downloaded.
    gate : Gate, optional
        What may be kept of each person; without it, everything may.

    Raises
    ------
    BluetoothError
        If there is no usable Bluetooth.
    SpoolFullError, HomeError
        If the spool cannot write.
    """
    tally = Tally(spool, gate)
    forwarder = Forwarder(spool, store, clock, keep_waveforms=settings.keep_waveforms, gate=gate)
    collector = Collector(
        worn,
        tally,
        clock,
        radio,
        on_device_info,
        settings=settings,
        status=lambda: _status(spool, forwarder, clock),
        memory=await asyncio.to_thread(WearableMemory, memory_path, spool.flush),
    )
    forwarder.start()
    stopper = asyncio.create_task(_stop_when(until, collector))
    try:
        await collector.run()
    finally:
        stopper.cancel()
        await asyncio.to_thread(forwarder.stop, drain=True)
    return Collected(tally.received, collector.refused, await asyncio.to_thread(spool.counts))


def _status(spool: Spool, forwarder: Forwarder, clock: Clock) -> CollectorStatus:
    since_ns = forwarder.state.failing_since_ns
    down_s = 0.0 if since_ns is None else max(0, clock.now_ns() - since_ns) / NS_PER_S
    return CollectorStatus(spool.used_bytes(), spool.counts().waiting_frames, down_s)


async def _stop_when(until: asyncio.Event, collector: Collector) -> None:
    await until.wait()
    collector.stop()


def stop_on_signals(until: asyncio.Event) -> None:
    """Set `until` on SIGINT and SIGTERM, where the platform's event loop can."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, until.set)


def drain(
    path: Path,
    store: TimeSeriesStore,
    clock: Clock,
    *,
    keep_waveforms: bool = False,
    gate: Gate | None = None,
) -> SpoolCounts:
    """Forward everything that a collector which is gone left in its spool.

    Each sensor gets a `stopped` record first, so that no beat waits for a packet that will never come.

    Raises
    ------
    RefusedError
        If a collector is still using the spool.
    SpoolFullError, HomeError
        If the spool cannot write.
    """
    # Without limit: a spool that is full has to be drained, and the `stopped` records need room.
    with Spool(path, clock, capacity_bytes=sys.maxsize, least_free_bytes=0) as spool:
        payload = link_payload("stopped", "drained after the collector ended")
        for subject_id, sensor_id in sorted(_waiting_sensors(spool)):
            spool.put(
                Record("link_state", subject_id, sensor_id, clock.now_ns(), clock.monotonic_ns(), payload)
            )
        forwarder = Forwarder(spool, store, clock, keep_waveforms=keep_waveforms, gate=gate)
        forwarder.start()
        forwarder.stop(drain=True)
        return spool.counts()


def _waiting_sensors(spool: Spool) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    after_id = 0
    while records := spool.read(after_id, DRAIN_BATCH):
        found.update((record.subject_id, record.sensor_id) for _, record in records)
        after_id = records[-1][0]
    return found
