"""Arrow arrays of plain values, made of their buffers.

`pyarrow.array` imports pandas to find out whether it was given something of pandas: much of the time that
a command takes to start, and more memory than all else that a collector holds.
"""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from store.streams import DType

# Arrow comes without complete types.
_arrow: Any = cast("Any", pa)
TYPES: dict[DType, Any] = {
    "float64": _arrow.float64(),
    "int64": _arrow.int64(),
    "utf8": _arrow.string(),
    "binary": _arrow.binary(),
}


def array_of(values: NDArray[Any], dtype: DType) -> Any:  # noqa: ANN401 - an Arrow array
    """Return a column as an Arrow array; NaN becomes null.

    Examples
    --------
    >>> array_of(np.array([1.5, np.nan]), "float64").to_pylist()
    [1.5, None]
    """
    if dtype in {"float64", "int64"} and values.dtype == dtype:
        missing = np.isnan(values) if dtype == "float64" else np.zeros(0, np.bool_)
        present = np.packbits(~missing, bitorder="little") if missing.any() else None
        return _made(TYPES[dtype], len(values), [present, np.ascontiguousarray(values)])
    if dtype == "utf8" and all(type(value) is str for value in values):
        return _of_bytes([value.encode() for value in values], dtype)
    if dtype == "binary" and all(type(value) is bytes for value in values):
        return _of_bytes(list(values), dtype)
    return _arrow.array(values, type=TYPES[dtype], from_pandas=dtype == "float64")


def parameter_of(value: object) -> Any:  # noqa: ANN401 - an Arrow array
    """Return a parameter of a query as an array of one.

    Examples
    --------
    >>> [parameter_of(value).to_pylist() for value in (7, "Zoë", b"x", 0.5)]
    [[7], ['Zoë'], [b'x'], [0.5]]
    """
    dtype: DType
    match value:
        case int():
            dtype = "int64"
        case float():
            dtype = "float64"
        case str():
            dtype = "utf8"
        case bytes():
            dtype = "binary"
        case _:
            return _arrow.array([value])
    is_text = dtype in {"utf8", "binary"}
    return array_of(np.array([value], object if is_text else dtype), dtype)


def _of_bytes(parts: Sequence[bytes], dtype: DType) -> Any:  # noqa: ANN401 - an Arrow array
    ends = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    if ends[-1] > np.iinfo(np.int32).max:
        raise OverflowError(f"{ends[-1]} bytes in one column")
    return _made(
        TYPES[dtype], len(parts), [None, ends.astype(np.int32), np.frombuffer(b"".join(parts), np.uint8)]
    )


def _made(arrow_type: Any, length: int, buffers: Sequence[NDArray[Any] | None]) -> Any:  # noqa: ANN401
    held = [None if each is None else _arrow.py_buffer(each) for each in buffers]
    return _arrow.Array.from_buffers(arrow_type, length, held)
