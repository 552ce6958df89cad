"""Polar's compressed frames: one reference sample, then blocks of differences packed bit by bit.

A block is its width in bits, its number of samples and the differences of all channels, each of that width,
least significant bit first, the last byte filled with zeros. Read most significant bit first, as is easily
done by mistake, only widths of whole bytes come out right.
"""

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError, FrameError

WIDEST_BITS = 32
_LARGEST_BLOCK = 255


def decode_delta(frame: bytes, start: int, channels: int, value_bytes: int) -> NDArray[np.int32]:
    """Return the samples of a compressed frame.

    Sums wrap at 32 bits, as the vendor's own arithmetic does.

    Parameters
    ----------
    frame : bytes
        The whole frame, for the error to show.
    start : int
        Where the reference sample begins.
    channels : int
    value_bytes : int
        Size of one channel of the reference sample, 1-4.

    Returns
    -------
    (n, channels) int32
        Oldest first; n is 1 or more.

    Raises
    ------
    FrameError
        If the frame is cut off, or a width is not 1-32 bits.
    """
    position = start + channels * value_bytes
    if len(frame) < position:
        raise FrameError(
            f"A compressed frame has {len(frame)} bytes; its reference sample needs {position}", frame
        )
    steps = [
        np.array(
            [
                [
                    int.from_bytes(frame[at : at + value_bytes], "little", signed=True)
                    for at in range(start, position, value_bytes)
                ]
            ],
            np.int64,
        )
    ]
    while position < len(frame):
        block, position = _block(frame, position, channels)
        steps.append(block)
    # Up to 200 bytes of differences cannot overflow 64 bits; the cast wraps.
    return np.cumsum(np.concatenate(steps), axis=0).astype(np.int32)


def _block(frame: bytes, position: int, channels: int) -> tuple[NDArray[np.int64], int]:
    if len(frame) < position + 2:
        raise FrameError(f"A compressed frame ends within a block's header at byte {position}", frame)
    width_bits, count = frame[position], frame[position + 1]
    if not 1 <= width_bits <= WIDEST_BITS:
        raise FrameError(
            f"A compressed block has differences of {width_bits} bits; needed are 1-{WIDEST_BITS}", frame
        )
    values = count * channels
    end = position + 2 + -(-values * width_bits // 8)
    if len(frame) < end:
        raise FrameError(
            f"A compressed block of {count} samples of {width_bits} bits ends at byte {end}; "
            f"the frame has {len(frame)}",
            frame,
        )
    packed = np.frombuffer(frame, np.uint8, end - position - 2, position + 2)
    bits = np.unpackbits(packed, count=values * width_bits, bitorder="little").reshape(values, width_bits)
    weights = np.int64(1) << np.arange(width_bits, dtype=np.int64)
    weights[-1] = -weights[-1]  # two's complement: the top bit counts negative
    return (bits @ weights).reshape(count, channels), end


def encode_delta(samples: NDArray[np.int32], value_bytes: int, *, block_samples: int = 30) -> bytes:
    """Return samples compressed, each block as narrow as its differences allow.

    Parameters
    ----------
    samples : (n, channels) int32
        n is 1 or more.
    value_bytes : int
        Size of one channel of the reference sample, 1-4.
    block_samples : int
        1-255; a new width can begin after so many.

    Raises
    ------
    DataError
        If there is no sample, or the first one does not fit its size.
    """
    if samples.ndim != 2 or not samples.size:
        raise DataError(f"Samples of shape {samples.shape} cannot be compressed; needed are rows of channels")
    if not 1 <= block_samples <= _LARGEST_BLOCK:
        raise DataError(f"Blocks of {block_samples} samples cannot be sent; needed are 1-{_LARGEST_BLOCK}")
    try:
        packed = b"".join(int(value).to_bytes(value_bytes, "little", signed=True) for value in samples[0])
    except OverflowError:
        raise DataError(
            f"The first sample {samples[0].tolist()} does not fit {value_bytes} bytes a channel"
        ) from None
    # Differences wrap like the sums that undo them.
    steps = np.diff(samples.astype(np.int32), axis=0)
    for first in range(0, len(steps), block_samples):
        packed += _encode_block(steps[first : first + block_samples].astype(np.int64))
    return packed


def _encode_block(steps: NDArray[np.int64]) -> bytes:
    # n bits hold -2**(n-1) to 2**(n-1) - 1.
    width_bits = 1 + int(np.where(steps < 0, ~steps, steps).max()).bit_length()
    bits = (steps.reshape(-1, 1) >> np.arange(width_bits)) & 1
    return bytes([width_bits, len(steps)]) + np.packbits(bits.astype(np.uint8), bitorder="little").tobytes()
