"""Advertisements as Device1 properties: by the specification, and never stumbling over what is on the air."""

from hypothesis import given
from hypothesis import strategies as st

from ingest.virtual.bluez.advertisement import advertised_properties

HEART_RATE = "0000180d-0000-1000-8000-00805f9b34fb"
PMD = "fb005c80-02e7-f387-1cad-8acd2d8df0c8"


def test_the_fields_of_a_strap() -> None:
    payload = bytes.fromhex("02010605030d180f18040948313006ff6b00010203020af40319400304160d18f8")
    assert advertised_properties(payload) == {
        "AdvertisingFlags": b"\x06",
        "UUIDs": [HEART_RATE, "0000180f-0000-1000-8000-00805f9b34fb"],
        "Name": "H10",
        "Alias": "H10",
        "ManufacturerData": {0x006B: b"\x01\x02\x03"},
        "TxPower": -12,
        "Appearance": 0x0340,
        "ServiceData": {HEART_RATE: b"\xf8"},
    }


def test_a_vendor_uuid_is_written_most_significant_first() -> None:
    payload = bytes([17, 0x07]) + bytes.fromhex(PMD.replace("-", ""))[::-1]
    assert advertised_properties(payload) == {"UUIDs": [PMD]}


def test_a_field_that_is_too_short_is_left_out() -> None:
    assert advertised_properties(bytes.fromhex("02ff6b02030d0216f801190109010a")) == {"UUIDs": []}


@given(st.binary(max_size=255))
def test_anything_on_the_air_is_survived(payload: bytes) -> None:
    told = advertised_properties(payload)
    assert all(len(uuid) == 36 for uuid in told.get("UUIDs", []))
    assert all(0 <= company <= 0xFFFF for company in told.get("ManufacturerData", {}))
