"""Off the body is a state, judged from what a wearable sends, with hysteresis."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.decoders.heart_rate import encode_heart_rate
from ingest.decoders.polar_pmd import PpiFrame, Pulse, StreamSettings, encode_frame, pack_record
from ingest.records import Kind
from ingest.wear import OFF_BODY_AFTER_S, ON_BODY_AFTER_S, Wear
from store.types import HeartRateMeasurement
from store.units import NS_PER_S

HEART, PMD = "heart_rate_measurement", "polar_pmd"


def heart(bpm: int = 60, *, contact: bool | None = None) -> bytes:
    return encode_heart_rate(HeartRateMeasurement(bpm, skin_contact=contact, energy_kj=None, rr_ms=()))


def intervals(*, contact: bool | None, blocked: bool = False) -> bytes:
    pulse = Pulse(60, 1000, 10, is_blocked=blocked, skin_contact=contact)
    return pack_record(StreamSettings(), encode_frame(PpiFrame(None, (pulse, pulse))))


def changes(frames: list[tuple[Kind, bytes]]) -> list[tuple[int, str, str]]:
    """Send one frame a second; return (second, state, reason) of each change."""
    wear = Wear()
    judged = [(second, wear.judge(*frame, second * NS_PER_S)) for second, frame in enumerate(frames)]
    return [(second, *change) for second, change in judged if change is not None]


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ((HEART, heart(contact=False)), "no skin contact"),
        ((HEART, heart(0)), "0 bpm"),
        ((HEART, heart(255)), "255 bpm"),
        ((PMD, intervals(contact=False)), "no skin contact"),
        ((PMD, intervals(contact=None, blocked=True)), "every interval blocked"),
    ],
)
def test_off_and_on_with_hysteresis(frame: tuple[Kind, bytes], reason: str) -> None:
    worn = (frame[0], heart(contact=True) if frame[0] == HEART else intervals(contact=True))
    told = changes([worn] * 5 + [frame] * 20 + [worn] * 20)
    assert told == [
        (5 + OFF_BODY_AFTER_S, "off_body", reason),
        (25 + ON_BODY_AFTER_S, "on_body", ""),
    ]


def test_contact_that_comes_back_in_time_is_no_change() -> None:
    off, on = (HEART, heart(contact=False)), (HEART, heart(contact=True))
    assert changes(([off] * OFF_BODY_AFTER_S + [on]) * 5) == []


def test_a_heart_rate_on_the_table_does_not_hide_that_intervals_say_otherwise() -> None:
    frames = [(HEART, heart(72)), (PMD, intervals(contact=False))] * 20
    assert [state for _, state, _ in changes(frames)] == ["off_body"]


@pytest.mark.parametrize(
    "frame",
    [
        ("battery_level", b"\x00"),
        (HEART, b""),
        (PMD, b"\x01"),
        (PMD, pack_record(StreamSettings(), b"\x02" + bytes(20))),
        (HEART, heart(180)),
        (PMD, intervals(contact=True, blocked=True)),
    ],
)
def test_frames_that_say_nothing_against_it(frame: tuple[Kind, bytes]) -> None:
    assert changes([frame] * 30) == []


@given(st.lists(st.booleans(), max_size=200))
def test_states_alternate_and_begin_with_off(contacts: list[bool]) -> None:
    told = [state for _, state, _ in changes([(HEART, heart(contact=contact)) for contact in contacts])]
    assert told == ["off_body", "on_body"] * (len(told) // 2) + ["off_body"] * (len(told) % 2)
