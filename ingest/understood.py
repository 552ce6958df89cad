"""What this version understands of wearables, as `evenkeel devices` lists it."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass

from ingest.profiles.profile import Profile, Tried

TRIED: dict[Tried, str] = {
    "virtual": "tried with a virtual device over virtual air",
    "vectors": "tried with frames from its specification",
}
NO_RADIO = "None of them was tried on a real radio with a real wearable yet."

_INDENT = " " * 4
_SIG_UUID = ("0000", "-0000-1000-8000-00805f9b34fb")


@dataclass(frozen=True, slots=True)
class Understood:
    """One service of wearables.

    Attributes
    ----------
    name : str
    service : str
        Its number if the Bluetooth SIG gave it one, else its UUID.
    reads : str
        What it brings, in a few words.
    streams : tuple of str
        Where its samples go.
    reference : str
        Its specification.
    tried : {"virtual", "vectors"}
        How far it was tried.
    """

    name: str
    service: str
    reads: str
    streams: tuple[str, ...]
    reference: str
    tried: Tried

    def text(self) -> str:
        """Return it as a few lines."""
        streams = ", ".join(self.streams) or "none: it describes the wearable"
        lines = (
            f"{self.name} ({self.service}): {self.reads}",
            f"{_INDENT}streams: {streams}",
            f"{_INDENT}by {self.reference}",
            f"{_INDENT}{TRIED[self.tried]}",
        )
        return "\n".join(lines)

    def as_json(self) -> dict[str, object]:
        """Return it as values that JSON can hold."""
        return asdict(self)


def understood(profiles: Iterable[Profile]) -> list[Understood]:
    """Return what these profiles understand, in their order."""
    return [
        Understood(
            profile.name,
            _short(profile.service_uuid),
            profile.reads,
            tuple(stream.name for stream in profile.streams),
            profile.reference,
            profile.tried,
        )
        for profile in profiles
    ]


def _short(uuid: str) -> str:
    start, end = _SIG_UUID
    return f"0x{uuid[4:8].upper()}" if uuid.startswith(start) and uuid.endswith(end) else uuid
