"""On the body or off it, from what a wearable sends: a state with hysteresis, never a reason to drop data."""

from dataclasses import dataclass

from ingest.decoders.heart_rate import decode_heart_rate
from ingest.decoders.polar_control import Measurement
from ingest.decoders.polar_pmd import PpiFrame, decode_frame, unpack_record
from ingest.records import Kind, LinkState
from store.errors import FrameError
from store.units import NS_PER_S

OFF_BODY_AFTER_S = 10
"""A strap that dries or slips loses contact for seconds at a time; off the body it is for minutes."""

ON_BODY_AFTER_S = 3
"""Electrodes that are touched while the strap is put on make contact for a beat or two."""

HIGHEST_BPM = 250
"""No heart beats faster. 255, the most that a byte holds, is what some sensors send in place of nothing."""

WORN = ""
"""In place of a reason why a frame cannot come from a worn sensor."""


@dataclass
class _Evidence:
    """What frames of one kind say: for how long they have contradicted what is believed."""

    is_worn: bool = True
    against_since_ns: int | None = None


class Wear:
    """Whether one wearable is on the body, judged frame by frame.

    It is taken to be worn until frames of one kind say otherwise for `OFF_BODY_AFTER_S` without a break, and
    to be worn again once those say so for `ON_BODY_AFTER_S`. Each kind counts by itself, for an optical
    sensor without a contact bit goes on to report a heart rate on the table.
    """

    def __init__(self) -> None:
        self._evidence: dict[Kind, _Evidence] = {}

    def judge(self, kind: Kind, payload: bytes, mono_ns: int) -> tuple[LinkState, str] | None:
        """Take in a frame; return the new state and its reason if this frame changes it.

        Parameters
        ----------
        kind : Kind
            Frames of a kind that says nothing about wear are ignored.
        payload : bytes
        mono_ns : int
            Arrival on the monotonic clock.
        """
        why_not = _why_not_worn(kind, payload)
        if why_not is None:
            return None
        was_worn = self._is_worn
        self._weigh(self._evidence.setdefault(kind, _Evidence()), mono_ns, is_worn=why_not == WORN)
        if self._is_worn == was_worn:
            return None
        return ("on_body", "") if self._is_worn else ("off_body", why_not)

    @property
    def _is_worn(self) -> bool:
        return all(evidence.is_worn for evidence in self._evidence.values())

    def _weigh(self, held: _Evidence, mono_ns: int, *, is_worn: bool) -> None:
        if is_worn == held.is_worn:
            held.against_since_ns = None
            return
        if held.against_since_ns is None:
            held.against_since_ns = mono_ns
        needed_s = OFF_BODY_AFTER_S if held.is_worn else ON_BODY_AFTER_S
        if mono_ns - held.against_since_ns >= needed_s * NS_PER_S:
            held.is_worn, held.against_since_ns = is_worn, None


def _why_not_worn(kind: Kind, payload: bytes) -> str | None:
    """Return why a frame cannot come from a worn sensor, `WORN` if it can, None if it does not tell."""
    try:
        match kind:
            case "heart_rate_measurement":
                return _by_heart_rate(payload)
            case "polar_pmd":
                return _by_intervals(payload)
            case _:
                return None
    except FrameError:  # kept as it is; the forwarder quarantines it
        return None


def _by_heart_rate(payload: bytes) -> str:
    heart = decode_heart_rate(payload)
    if heart.skin_contact is False:
        return "no skin contact"
    if heart.heart_rate_bpm == 0 or heart.heart_rate_bpm > HIGHEST_BPM:
        return f"{heart.heart_rate_bpm} bpm"
    return WORN


def _by_intervals(payload: bytes) -> str | None:
    _, frame = unpack_record(payload)
    if frame[:1] != bytes([Measurement.PPI]):
        return None
    decoded = decode_frame(frame)
    if not isinstance(decoded, PpiFrame) or not decoded.pulses:
        return None
    if all(pulse.skin_contact is False for pulse in decoded.pulses):
        return "no skin contact"
    if all(pulse.skin_contact is None and pulse.is_blocked for pulse in decoded.pulses):
        return "every interval blocked"
    return WORN
