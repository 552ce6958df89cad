"""Battery Level (0x2A19)."""

from store.errors import DataError, FrameError

REFERENCE = "Bluetooth Battery Service 1.1, 3.1; GATT Specification Supplement, Battery Level"
SERVICE_UUID = "0000180f-0000-1000-8000-00805f9b34fb"
LEVEL_UUID = "00002a19-0000-1000-8000-00805f9b34fb"


def decode_battery(frame: bytes) -> int:
    """Return the remaining charge in percent, 0-100.

    Raises
    ------
    FrameError
        If the frame is not one byte of 0-100.
    """
    if len(frame) != 1:
        raise FrameError(f"A battery level has {len(frame)} bytes; needed is 1", frame)
    if frame[0] > 100:
        raise FrameError(f"A battery level says {frame[0]} %; needed is 0-100 %", frame)
    return frame[0]


def encode_battery(level_pct: int) -> bytes:
    """Return the frame for a charge of 0-100 %; anything else raises `DataError`."""
    if not 0 <= level_pct <= 100:
        raise DataError(f"A battery level of {level_pct} % cannot be sent; needed is 0-100 %")
    return bytes([level_pct])


VECTORS = ((b"\x00", 0), (b"\x55", 85), (b"\x64", 100))
