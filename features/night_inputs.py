"""What a night is computed from: when it was, and the samples of every stream that it needs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date

from features.night_span import SIDE_NS, NightSpan
from store.nights import night_bounds_ns, night_of
from store.registry.people import ZoneHistory
from store.streams import (
    ACTIVITY_EPOCH,
    BATTERY,
    HEART_RATE,
    LINK_STATE,
    PP_INTERVAL,
    RR_INTERVAL,
    SLEEP_STAGE,
    STEP_COUNT,
    Stream,
)
from store.timeseries import Samples, SampleSource, merged
from store.units import NS_PER_S

MARGIN_NS = 300 * NS_PER_S
"""Read on both sides of a night: the rule for NN intervals looks 128 beats back and ahead, over noon too."""

INPUT_STREAMS: Mapping[Stream, int] = {
    RR_INTERVAL: MARGIN_NS,
    PP_INTERVAL: MARGIN_NS,
    ACTIVITY_EPOCH: SIDE_NS,
    STEP_COUNT: SIDE_NS,
    SLEEP_STAGE: SIDE_NS,
    LINK_STATE: SIDE_NS,
    BATTERY: SIDE_NS,
    HEART_RATE: SIDE_NS,
}
"""Every stream that a night is made of, and how far around the night it is read, nanoseconds."""

ONLY_WITHOUT: Mapping[Stream, tuple[Stream, ...]] = {HEART_RATE: (RR_INTERVAL, PP_INTERVAL)}
"""Read only where none of these was recorded: heart rate by the second tells no more of wear than beats."""

MOVEMENT_STREAMS: tuple[Stream, ...] = (ACTIVITY_EPOCH, STEP_COUNT, SLEEP_STAGE)
NIGHT_MAKERS: tuple[Stream, ...] = (RR_INTERVAL, PP_INTERVAL, *MOVEMENT_STREAMS)
"""Streams that make a night: between the first and last sample of these there may be rows."""

NIGHTS_BACK = 6
"""So many nights before its own a value of several nights may be made of."""
NS_PER_DAY = 86_400 * NS_PER_S


@dataclass(frozen=True)
class NightInputs:
    """Everything one night of one person is computed from, whatever store or file it came from.

    Attributes
    ----------
    subject_id : str
    span : NightSpan
    samples : mapping of stream name to Samples
        One entry for each of `INPUT_STREAMS`, from its margin before the night to its margin after.
    models : mapping of sensor id to str
        Maker and model of sensors that are known: whose counts they count, and where they are worn.
    """

    subject_id: str
    span: NightSpan
    samples: Mapping[str, Samples]
    models: Mapping[str, str] = field(default_factory=dict[str, str])

    def of(self, stream: Stream) -> Samples:
        """Return the samples of a stream, margins included."""
        return self.samples[stream.name]


def read_inputs(
    store: SampleSource, subject_id: str, span: NightSpan, models: Mapping[str, str]
) -> NightInputs:
    """Read one night from a store."""
    read: dict[str, Samples] = {}
    for stream, margin_ns in INPUT_STREAMS.items():
        if any(len(read[other.name]) for other in ONLY_WITHOUT.get(stream, ())):
            read[stream.name] = merged(stream, (), ())
        else:
            around = span.start_ns - margin_ns, span.end_ns + margin_ns
            read[stream.name] = store.read(stream, subject_id, *around)
    return NightInputs(subject_id, span, read, models)


def nights_with_data(store: SampleSource, subject_id: str, zones: ZoneHistory) -> list[NightSpan]:
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
