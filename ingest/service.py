"""A collector at work: radio to spool to store, until told to stop; and draining what one left behind."""

import asyncio
import signal
import sys
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ingest.collector import SILENT_AFTER_S, Collector, OnDeviceInfo
from ingest.forwarder import Forwarder
from ingest.radio import Radio
from ingest.records import Record, link_payload
from ingest.samples import values_in
from ingest.spool import Spool
from ingest.spool_file import SpoolCounts
from store.clock import Clock
from store.timeseries import TimeSeriesStore

DRAIN_BATCH = 10_000
"""Records looked at a time when a spool is searched for its sensors."""


@dataclass(frozen=True, slots=True)
class Collected:
    """What became of the records of one run.

    Attributes
    ----------
    received : mapping of stream name to int
        Samples in the records that arrived.
    refused : int
        Records that the full spool did not take.
    counts : SpoolCounts
        Of the spool since it was made.
    """

    received: Mapping[str, int]
    refused: int
    counts: SpoolCounts


class Tally:
    """Counts the samples in every record on its way into the spool."""

    def __init__(self, spool: Spool) -> None:
        self.received: Counter[str] = Counter()
        self._spool = spool

    def put(self, record: Record) -> None:
        """Count the record and spool it."""
        self.received.update(values_in(record))
        self._spool.put(record)


async def collect(  # noqa: PLR0913 - one call, every argument named
    worn: Mapping[str, str],
    *,
    store: TimeSeriesStore,
    spool: Spool,
    clock: Clock,
    radio: Radio,
    until: asyncio.Event,
    on_device_info: OnDeviceInfo | None = None,
    silent_after_s: float = SILENT_AFTER_S,
) -> Collected:
    """Collect from worn sensors until `until` is set, then forward what is spooled.

    Parameters
    ----------
    worn : mapping of sensor address to subject id
    until : asyncio.Event
    on_device_info, silent_after_s
        As `Collector` takes them.

    Raises
    ------
    BluetoothError
        If there is no usable Bluetooth.
    SpoolFullError, HomeError
        If the spool cannot write.
    """
    tally = Tally(spool)
    collector = Collector(worn, tally, clock, radio, on_device_info, silent_after_s=silent_after_s)
    forwarder = Forwarder(spool, store, clock)
    forwarder.start()
    stopper = asyncio.create_task(_stop_when(until, collector))
    try:
        await collector.run()
    finally:
        stopper.cancel()
        await asyncio.to_thread(forwarder.stop, drain=True)
    return Collected(tally.received, collector.refused, await asyncio.to_thread(spool.counts))


async def _stop_when(until: asyncio.Event, collector: Collector) -> None:
    await until.wait()
    collector.stop()


def stop_on_signals(until: asyncio.Event) -> None:
    """Set `until` on SIGINT and SIGTERM, where the platform's event loop can."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, until.set)


def drain(path: Path, store: TimeSeriesStore, clock: Clock) -> SpoolCounts:
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
    with Spool(path, clock, capacity_bytes=sys.maxsize) as spool:
        payload = link_payload("stopped", "drained after the collector ended")
        for subject_id, sensor_id in sorted(_waiting_sensors(spool)):
            spool.put(
                Record("link_state", subject_id, sensor_id, clock.now_ns(), clock.monotonic_ns(), payload)
            )
        forwarder = Forwarder(spool, store, clock)
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
