"""Streams: what kinds of samples there are, each declared once.

A *sample* is (stream, subject, sensor, time, values). A stream names its columns with unit, type and
meaning; tables, exports and the data dictionary are made from these declarations.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from store.errors import UnknownError

DType = Literal["float64", "int64", "utf8", "binary"]


@dataclass(frozen=True, slots=True)
class Column:
    """One value of a sample.

    Attributes
    ----------
    name : str
        Ends in its unit (`rr_ms`, `level_pct`) unless it has none.
    dtype : {"float64", "int64", "utf8", "binary"}
        Only float64 may be missing (NaN).
    meaning : str
        One sentence for a data dictionary.
    unit : str
        Empty if the value has none.
    """

    name: str
    dtype: DType
    meaning: str
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Stream:
    """A kind of sample: name, columns and meaning."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    def column_names(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(column.name for column in self.columns)


HEART_RATE = Stream(
    "heart_rate",
    "Heart rate as the wearable reports it, one sample per frame received",
    (
        Column("heart_rate_bpm", "float64", "Heart rate averaged by the wearable", "beats/min"),
        Column("skin_contact", "float64", "1 worn, 0 not worn, missing where the wearable cannot tell"),
        Column(
            "energy_kj",
            "float64",
            "Energy counter of the wearable; a sequence number in virtual straps",
            "kJ",
        ),
    ),
)
RR_INTERVAL = Stream(
    "rr_interval",
    "Time between consecutive heartbeats, as measured; the time is the end of the interval",
    (Column("rr_ms", "float64", "Interval between consecutive beats, nothing removed or rounded", "ms"),),
)
BATTERY = Stream(
    "battery",
    "Battery level of the wearable",
    (Column("level_pct", "float64", "Remaining charge, 0-100", "%"),),
)
LINK_STATE = Stream(
    "link_state",
    "Every change of the radio link, so that gaps have reasons",
    (
        Column("state", "utf8", "connected, disconnected, started or stopped"),
        Column("reason", "utf8", "Why, in a few words"),
    ),
)

STREAMS: dict[str, Stream] = {s.name: s for s in (HEART_RATE, RR_INTERVAL, BATTERY, LINK_STATE)}


def stream_named(name: str, streams: Iterable[Stream] = STREAMS.values()) -> Stream:
    """Return the declared stream of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    known = {stream.name: stream for stream in streams}
    if name not in known:
        raise UnknownError(f"No stream is called {name!r}; there are: {', '.join(sorted(known))}")
    return known[name]
