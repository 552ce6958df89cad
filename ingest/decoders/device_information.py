"""Device Information (0x180A): who made the wearable, which model, which firmware."""

from collections.abc import Mapping
from dataclasses import dataclass

from store.errors import DataError, FrameError

REFERENCE = "Bluetooth Device Information Service 1.1, 3.1-3.6"
SERVICE_UUID = "0000180a-0000-1000-8000-00805f9b34fb"
MODEL_NUMBER_UUID = "00002a24-0000-1000-8000-00805f9b34fb"
SERIAL_NUMBER_UUID = "00002a25-0000-1000-8000-00805f9b34fb"
FIRMWARE_REVISION_UUID = "00002a26-0000-1000-8000-00805f9b34fb"
HARDWARE_REVISION_UUID = "00002a27-0000-1000-8000-00805f9b34fb"
SOFTWARE_REVISION_UUID = "00002a28-0000-1000-8000-00805f9b34fb"
MANUFACTURER_NAME_UUID = "00002a29-0000-1000-8000-00805f9b34fb"

FIELDS: Mapping[str, str] = {
    MODEL_NUMBER_UUID: "model_number",
    SERIAL_NUMBER_UUID: "serial_number",
    FIRMWARE_REVISION_UUID: "firmware_revision",
    HARDWARE_REVISION_UUID: "hardware_revision",
    SOFTWARE_REVISION_UUID: "software_revision",
    MANUFACTURER_NAME_UUID: "manufacturer_name",
}
"""Field of `DeviceInformation` by characteristic."""

LONGEST_VALUE_BYTES = 512
"""No attribute value is longer (Bluetooth Core 5.4, Vol 3 Part F, 3.2.9)."""


@dataclass(frozen=True, slots=True)
class DeviceInformation:
    """What a wearable says about itself; None where it has no such characteristic."""

    manufacturer_name: str | None = None
    model_number: str | None = None
    serial_number: str | None = None
    firmware_revision: str | None = None
    hardware_revision: str | None = None
    software_revision: str | None = None


def decode_device_information(values: Mapping[str, bytes]) -> DeviceInformation:
    """Return what the characteristics say; those of other services are ignored.

    Parameters
    ----------
    values : mapping of characteristic UUID (lower case, 128 bit) to value as read

    Raises
    ------
    FrameError
        If a value is not UTF-8.
    """
    known = {FIELDS[uuid]: decode_string(value) for uuid, value in values.items() if uuid in FIELDS}
    return DeviceInformation(**known)


def decode_string(frame: bytes) -> str:
    """Return the text of a UTF-8 characteristic; without the zero bytes that some firmware appends.

    Raises
    ------
    FrameError
        If the bytes are not UTF-8 or more than an attribute can hold.
    """
    if len(frame) > LONGEST_VALUE_BYTES:
        raise FrameError(f"A device text has {len(frame)} bytes; needed are 0-{LONGEST_VALUE_BYTES}", frame)
    try:
        return frame.decode().rstrip("\0")
    except UnicodeDecodeError as error:
        raise FrameError(
            f"A device text holds {frame[error.start : error.end].hex()} at byte {error.start}; "
            "needed is UTF-8",
            frame,
        ) from None


def encode_string(text: str) -> bytes:
    """Return the UTF-8 bytes of a text of up to 512 bytes; a longer one raises `DataError`."""
    value = text.encode()
    if len(value) > LONGEST_VALUE_BYTES:
        raise DataError(
            f"A device text of {len(value)} bytes cannot be sent; needed are 0-{LONGEST_VALUE_BYTES}"
        )
    return value


STRING_VECTORS = ((b"", ""), (b"Polar H10", "Polar H10"), (b"\xc2\xb5-Strap", "µ-Strap"))
