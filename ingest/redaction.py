"""What of a record may be kept when a person agrees to some streams only."""

from collections.abc import Callable
from dataclasses import replace

from ingest.decoders.heart_rate import decode_heart_rate, encode_heart_rate
from ingest.readings.reading import Reading
from ingest.records import Record
from ingest.samples import checked_reading
from store.errors import DataError
from store.streams import ACTIVITY_EPOCH, HEART_RATE, PP_INTERVAL, RR_INTERVAL, WAVEFORM

Allows = Callable[[str], bool]
"""Whether a stream, by name, may be kept."""


def redacted(record: Record, allows: Allows) -> Record | None:
    """Return a record without what may not be kept; None if nothing may, or if nobody can tell what it holds.

    A frame of which one part may be kept, and which cannot be written without the other, stays whole: what
    becomes a sample is decided once more before it is stored.
    """
    try:
        reading = checked_reading(record)
    except DataError:
        return None
    brought = _streams_of(reading)
    kept = {stream for stream in brought if allows(stream)}
    if not kept:
        return None
    if kept == brought or record.kind != "heart_rate_measurement":
        return record
    return record._replace(payload=_heart_rate(record.payload, kept))


def _streams_of(reading: Reading) -> set[str]:
    """Return every stream whose samples may come of a reading."""
    brought = {stream.name for stream, _ in reading.at_arrival}
    brought |= {timed.stream.name for timed in reading.timed}
    if reading.counter is not None:
        brought.add(reading.counter.stream.name)
    parts = {
        RR_INTERVAL.name: reading.rr_ms,
        PP_INTERVAL.name: reading.pulses is not None,
        ACTIVITY_EPOCH.name: reading.motion is not None,
        WAVEFORM.name: reading.waveform,
    }
    return brought | {name for name, part in parts.items() if part}


def _heart_rate(frame: bytes, kept: set[str]) -> bytes:
    said = decode_heart_rate(frame)
    if RR_INTERVAL.name not in kept:
        said = replace(said, rr_ms=())
    if HEART_RATE.name not in kept:
        said = replace(said, heart_rate_bpm=0, energy_kj=None)
    return encode_heart_rate(said)
