"""Profiles: how the collector talks to what a wearable offers.

A profile applies to every wearable that has its service. It subscribes, asks, and hands frames on exactly as
they came; what they mean is the decoders' and readings' business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from bleak import BleakClient

from configs.settings import CollectorSettings
from ingest.decoders.device_information import DeviceInformation
from ingest.records import Kind
from store.clock import Clock
from store.streams import Stream

Tried = Literal["virtual", "vectors"]


@dataclass(frozen=True, slots=True)
class Watch:
    """A kind of record that has to keep coming while the link stands.

    Attributes
    ----------
    kind : Kind
    silent_after_s : float
        Silent for longer, the link is a zombie: it is torn down and made anew.
    """

    kind: Kind
    silent_after_s: float


class Port(Protocol):
    """One connected wearable, as a profile sees it."""

    @property
    def client(self) -> BleakClient:
        """The connection, for reads and writes."""
        ...

    @property
    def clock(self) -> Clock:
        """The only source of time."""
        ...

    @property
    def settings(self) -> CollectorSettings:
        """What the operator chose."""
        ...

    @property
    def worn_since_ns(self) -> int:
        """When this person began to wear it, nanoseconds UTC; 0 if nobody knows.

        What its memory holds from before is somebody else's: a log that reaches further back is cut, or its
        record carries this time so that its reader cuts it.
        """
        ...

    @property
    def memory(self) -> Mapping[str, int]:
        """What `remember` kept for this wearable, also over restarts of the collector."""
        ...

    def remember(self, key: str, value: int) -> None:
        """Keep a number for this person's wearable, such as up to when its memory was downloaded.

        It is on disk only after every frame kept before it; after a frame that the full spool refused it is
        not kept at all, so that a cursor never passes what was lost.
        """
        ...

    def keep(self, kind: Kind, payload: bytes) -> None:
        """Stamp a frame with this moment and spool it; never waits."""
        ...

    def note(self, state: str, reason: str) -> None:
        """Record a change of the link's state, such as `off_body`."""
        ...

    def describe(self, information: DeviceInformation) -> None:
        """Tell the registry what the wearable says about itself."""
        ...

    async def subscribe(self, uuid: str, on_frame: Kind | Callable[[bytes], None]) -> bool:
        """Subscribe to a characteristic: frames are kept as that kind, or given to the function.

        Both happen in the notification's own synchronous callback. Returns False if the wearable has no such
        characteristic.
        """
        ...

    async def read(self, uuid: str) -> bytes | None:
        """Return a characteristic's value, or None if the wearable has none or does not let us read it."""
        ...


class Profile(Protocol):
    """How to collect from wearables that have a service.

    Attributes
    ----------
    name : str
    service_uuid : str
        Lower case, 128 bit.
    reads : str
        What it brings, in a few words, for `evenkeel devices`.
    streams : tuple of Stream
        Where its samples go.
    reference : str
        Its specification.
    tried : {"virtual", "vectors"}
        How far it was tried: end to end with a virtual device over virtual air, or its frames only. None was
        tried on a real radio.
    """

    name: str
    service_uuid: str
    reads: str
    streams: tuple[Stream, ...]
    reference: str
    tried: Tried

    async def start(self, port: Port) -> tuple[Watch, ...]:
        """Subscribe and start streams; return what has to keep coming. Heart rate starts first."""
        ...

    async def attend(self, port: Port) -> None:
        """Run while the link stands (cancelled when it ends); returns at once if there is nothing to do."""
        ...

    async def stop(self, port: Port) -> None:
        """Leave the wearable as it was found, such as by stopping its streams; bounded by the collector."""
        ...


class Quiet:
    """What most profiles have in common: nothing to attend to, and nothing to stop that the link does not."""

    async def attend(self, port: Port) -> None:
        """Return at once."""

    async def stop(self, port: Port) -> None:
        """Do nothing."""
