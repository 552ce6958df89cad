"""Frames whose flags say which fields follow: the size they promise, and walking through them."""

from collections.abc import Sequence

from store.errors import DataError, FrameError


def check_flags(what: str, frame: bytes, reserved: int) -> int:
    """Return the flags, the first byte of a frame.

    Raises
    ------
    FrameError
        If there is none, or a reserved flag is set: it may stand for a field that we do not know.
    """
    if not frame:
        raise FrameError(f"{what} has 0 bytes; needed are flags and values", frame)
    if frame[0] & reserved:
        raise FrameError(f"{what} sets the reserved flags 0x{frame[0] & reserved:02x}; needed is 0", frame)
    return frame[0]


def check_size(what: str, frame: bytes, fixed: int, optional: Sequence[tuple[int, int]]) -> None:
    """Require the size that the flags promise.

    Parameters
    ----------
    what : str
        The sentence begins with it.
    frame : bytes
        Its first byte holds the flags.
    fixed : int
        Bytes that are always there, flags included.
    optional : sequence of (flag, size in bytes)

    Raises
    ------
    FrameError
        If the frame has any other size.
    """
    needed = fixed + sum(size for flag, size in optional if frame[0] & flag)
    if len(frame) != needed:
        raise FrameError(
            f"{what} with flags 0x{frame[0]:02x} has {len(frame)} bytes; needed are {needed}", frame
        )


def unsigned(value: int, size_bytes: int, name: str) -> bytes:
    """Return a number's bytes, the least first.

    Raises
    ------
    DataError
        If it does not fit.
    """
    if not 0 <= value < 1 << 8 * size_bytes:
        raise DataError(f"{name} {value} does not fit; needed is 0-{(1 << 8 * size_bytes) - 1}")
    return value.to_bytes(size_bytes, "little")
