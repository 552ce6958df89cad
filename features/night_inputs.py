"""What a night is computed from: when it was, and the samples of every stream that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date

from store.nights import night_bounds_ns, night_of
from store.registry.people import ZoneHistory
from store.streams import ACTIVITY_EPOCH, PP_INTERVAL, RR_INTERVAL, Stream
from store.timeseries import Samples, TimeSeriesStore
from store.units import NS_PER_S

MARGIN_NS = 300 * NS_PER_S
"""Read on both sides of a night: the rule for NN intervals looks 128 beats back and ahead, over noon too."""

INPUT_STREAMS: Mapping[Stream, int] = {RR_INTERVAL: MARGIN_NS, PP_INTERVAL: MARGIN_NS, ACTIVITY_EPOCH: 0}
"""Every stream that a night is made of, and how far around the night it is read, nanoseconds."""

NIGHT_MAKERS: tuple[Stream, ...] = (RR_INTERVAL, PP_INTERVAL)
"""Streams that make a night: between the first and last sample of these there may be rows."""


@dataclass(frozen=True, slots=True)
class NightSpan:
    """A night to compute: its zone, and from when to when, half-open, nanoseconds UTC."""

    night: date
    zone: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True)
class NightInputs:
    """Everything one night of one person is computed from, whatever store or file it came from.

    Attributes
    ----------
    subject_id : str
    span : NightSpan
    samples : mapping of stream name to Samples
        One entry for each of `INPUT_STREAMS`, from its margin before the night to its margin after.
    """

    subject_id: str
    span: NightSpan
    samples: Mapping[str, Samples]

    def of(self, stream: Stream) -> Samples:
        """Return the samples of a stream, margins included."""
        return self.samples[stream.name]


def read_inputs(store: TimeSeriesStore, subject_id: str, span: NightSpan) -> NightInputs:
    """Read one night from a store."""
    read = {
        stream.name: store.read(stream, subject_id, span.start_ns - margin_ns, span.end_ns + margin_ns)
        for stream, margin_ns in INPUT_STREAMS.items()
    }
    return NightInputs(subject_id, span, read)


def nights_with_data(store: TimeSeriesStore, subject_id: str, zones: ZoneHistory) -> list[NightSpan]:
    """Return the nights from the first beat or pulse to the last, without holes in time.

    Who travels west meets the same date again: that night lasts until the later noon.
    """
    extents = [store.extent(stream, subject_id) for stream in NIGHT_MAKERS]
    known = [extent for extent in extents if extent is not None]
    if not known:
        return []
    at_ns, last_ns = min(first for first, _ in known), max(last for _, last in known)
    found: dict[date, NightSpan] = {}
    while at_ns <= last_ns:
        zone = zones.at(at_ns)
        night = night_of(at_ns, zone)
        start_ns, end_ns = night_bounds_ns(night, zone)
        met = found.get(night, NightSpan(night, zone, start_ns, end_ns))
        found[night] = replace(met, end_ns=end_ns)
        at_ns = end_ns
    return list(found.values())
