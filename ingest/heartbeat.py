"""The collector's own pulse: a record a minute, so that its absence is told from a wearable's silence."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from store.errors import FrameError


@dataclass(frozen=True, slots=True)
class CollectorStatus:
    """How the collector stands; the payload of a record of kind `collector`.

    Attributes
    ----------
    spool_bytes : int
        Held by the spool.
    waiting_frames : int
        Spooled frames that the store does not have yet.
    store_down_s : float
        How long the store has been refusing; 0 while it takes.
    """

    spool_bytes: int
    waiting_frames: int
    store_down_s: float

    def payload(self) -> bytes:
        """Return it as the payload of a record."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_payload(cls, payload: bytes) -> Self:
        """Return what a payload says.

        Raises
        ------
        FrameError
            If it is not what `payload` made.
        """
        try:
            held = json.loads(payload)
            return cls(int(held["spool_bytes"]), int(held["waiting_frames"]), float(held["store_down_s"]))
        except (ValueError, KeyError, TypeError):
            message = "A collector's status is not JSON with spool_bytes, waiting_frames and store_down_s"
            raise FrameError(message, payload) from None
