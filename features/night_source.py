"""Where workers read samples: a store or a lake, named so that any process can open it."""

from dataclasses import dataclass
from pathlib import Path

from store.lake import Lake
from store.places import FilePlace, open_place, place_of
from store.sqlite_reading import SqliteReader
from store.timeseries import SampleSource


@dataclass(frozen=True, slots=True)
class SourcePlace:
    """Names a source; holds no secret.

    Attributes
    ----------
    url : str
        Of a store, absolute, or of a lake.
    is_lake : bool
    """

    url: str
    is_lake: bool = False


def open_source(place: SourcePlace) -> SampleSource:
    """Open a source to read from, and no more; the token of an InfluxDB comes from the environment."""
    if place.is_lake:
        return Lake(place.url)
    found = place_of(place.url, Path("/"))
    if isinstance(found, FilePlace):
        return SqliteReader(found.path)
    return open_place(found)
