"""The motion service of InfiniTime, the firmware of the PineTime: step counter and raw acceleration."""

import struct

from store.errors import DataError, FrameError

REFERENCE = "InfiniTime doc/MotionService.md; src/components/ble/MotionService.cpp, src/drivers/Bma421.cpp"
SERVICE_UUID = "00030000-78fc-48fe-8e23-433b3a1942d0"
STEPS_UUID = "00030001-78fc-48fe-8e23-433b3a1942d0"
MOTION_UUID = "00030002-78fc-48fe-8e23-433b3a1942d0"

COUNTS_PER_G = 1024
"""The BMA421 is read with 12 bits over +-2 g."""

NOMINAL_HZ = 10.0
"""The watch looks at its sensor ten times a second, and notifies only a change."""

_MOTION = struct.Struct("<hhh")
_STEPS_BYTES = 4


def decode_steps(frame: bytes) -> int:
    """Return the step counter: it starts again at 0 at midnight of the watch's clock and when it reboots.

    Raises
    ------
    FrameError
        If the frame is not four bytes.
    """
    if len(frame) != _STEPS_BYTES:
        raise FrameError(f"A step counter has {len(frame)} bytes; needed are {_STEPS_BYTES}", frame)
    return int.from_bytes(frame, "little")


def encode_steps(steps: int) -> bytes:
    """Return the four bytes of a counter of 0-4294967295; anything else raises `DataError`."""
    if not 0 <= steps < 1 << 32:
        raise DataError(f"A step counter of {steps} cannot be sent; needed is 0-{(1 << 32) - 1}")
    return steps.to_bytes(_STEPS_BYTES, "little")


def decode_motion(frame: bytes) -> tuple[int, int, int]:
    """Return x, y and z as the sensor counts them, `COUNTS_PER_G` to a g.

    Raises
    ------
    FrameError
        If the frame is not six bytes.
    """
    if len(frame) != _MOTION.size:
        raise FrameError(f"A motion value has {len(frame)} bytes; needed are {_MOTION.size}", frame)
    return _MOTION.unpack(frame)


def encode_motion(xyz: tuple[int, int, int]) -> bytes:
    """Return the six bytes of three counts of -32768 to 32767; anything else raises `DataError`."""
    if not all(-0x8000 <= count <= 0x7FFF for count in xyz):
        raise DataError(f"A motion value of {xyz} cannot be sent; needed are three of -32768 to 32767")
    return _MOTION.pack(*xyz)


STEPS_VECTORS = ((b"\0\0\0\0", 0), (bytes.fromhex("e8030000"), 1000), (b"\xff" * 4, 4294967295))
MOTION_VECTORS = (
    (bytes.fromhex("000000000004"), (0, 0, 1024)),
    (bytes.fromhex("00fc01000080"), (-1024, 1, -32768)),
)
