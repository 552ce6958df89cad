"""Answers of an InfluxDB: long ones, CSV in pieces of Arrow, into columns; single samples of JSON."""

import binascii
import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.csv
from numpy.typing import NDArray

from store.influx_lines import MISSING, bytes_of
from store.streams import DType, Stream

_BLOCK_BYTES = 1 << 20
"""Some 30,000 samples: enough for vectors, and little beside the arrays that they become."""

_PROOF_HEADER = b"name,tags,name\n"

# Arrow comes without type stubs.
_arrow: Any = cast("Any", pa)
_csv: Any = cast("Any", pyarrow.csv)
_ArrowInvalid: type[Exception] = _arrow.ArrowInvalid
_TYPES: Mapping[DType, Any] = {
    "float64": _arrow.float64(),
    "int64": _arrow.int64(),
    "utf8": _arrow.string(),
    "binary": _arrow.string(),
}
_EMPTY: Mapping[DType, Any] = {"float64": np.float64, "int64": np.int64, "utf8": object, "binary": object}

_ABSENT: Mapping[DType, Any] = {"float64": math.nan, "int64": 0, "utf8": "", "binary": b""}
_FROM_JSON: Mapping[DType, Callable[[Any], Any]] = {
    "float64": float,
    "int64": operator.index,
    "utf8": str,
    "binary": binascii.a2b_base64,
}


class BrokenOffError(Exception):
    """An answer ended without its proof."""


class ForeignValueError(Exception):
    """An answer has something else in a column than the stream declares."""


def columns_of(answer: Any, stream: Stream) -> list[NDArray[Any]]:  # noqa: ANN401 - a binary file
    """Return the times, then one array per column of the stream.

    Parameters
    ----------
    answer : binary file
        CSV of name, tags, time, missing and the columns of the stream, then the proof that it is complete.

    Raises
    ------
    BrokenOffError
        If it is not.
    ForeignValueError
    """
    header = answer.readline()
    if not header:
        raise BrokenOffError
    if header == _PROOF_HEADER:
        empty = (np.empty(0, _EMPTY[column.dtype]) for column in stream.columns)
        return [np.empty(0, np.int64), *empty]
    proof = _Proof()
    try:
        pieces = [_arrays_of(_table(block, stream, proof), stream) for block in _blocks(answer)]
    except (_ArrowInvalid, binascii.Error) as error:
        raise ForeignValueError(str(error)) from None
    if not proof.was_seen:
        raise BrokenOffError
    columns: list[NDArray[Any]] = []
    for k in range(1 + len(stream.columns)):
        columns.append(np.concatenate([piece[k] for piece in pieces]))
        for piece in pieces:  # freed one by one, so that only one column is held twice
            piece[k] = columns[k][:0]
    return columns


class _Proof:
    """What a reader of CSV calls for rows of another number of columns: notes the proof."""

    was_seen = False

    def __call__(self, row: Any) -> str:  # noqa: ANN401
        self.was_seen |= f"{row.text}\n".encode() == _PROOF_HEADER
        return "skip"


def _blocks(answer: Any) -> Iterator[bytes]:  # noqa: ANN401 - a binary file
    """Yield a CSV in pieces that end with a row.

    Arrow could read the answer itself, but would in a thread of its own; so an error of the connection ends
    the reading where somebody waits for it.
    """
    rest = b""
    while piece := answer.read(_BLOCK_BYTES):
        rest += piece
        end = len(rest)
        while (end := rest.rfind(b"\n", 0, end)) >= 0:
            if not rest.count(b'"', 0, end) % 2:  # else the line ends inside a text
                yield rest[: end + 1]
                rest = rest[end + 1 :]
                break
    if rest:
        raise BrokenOffError


def _table(block: bytes, stream: Stream, proof: _Proof) -> Any:  # noqa: ANN401 - an Arrow table
    types: Mapping[str, Any] = {
        "time": _arrow.int64(),
        MISSING: _arrow.dictionary(_arrow.int32(), _arrow.string()),
        **{column.name: _TYPES[column.dtype] for column in stream.columns},
    }
    return _csv.read_csv(
        _arrow.BufferReader(block),
        read_options=_csv.ReadOptions(
            use_threads=False, block_size=len(block) + 1, column_names=["name", "tags", *types]
        ),
        parse_options=_csv.ParseOptions(newlines_in_values=True, invalid_row_handler=proof),
        convert_options=_csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=[""], strings_can_be_null=False
        ),
    )


def _arrays_of(table: Any, stream: Stream) -> list[NDArray[Any]]:  # noqa: ANN401 - an Arrow table
    held = {name: table.column(name).combine_chunks() for name in table.column_names}
    arrays = [_as_numpy("int64", held["time"])]
    arrays.extend(_as_numpy(column.dtype, held[column.name]) for column in stream.columns)
    missing = held[MISSING]
    indices = missing.indices.to_numpy()
    names = stream.column_names()
    for k, combination in enumerate(missing.dictionary.to_pylist()):
        for name in combination.split(",") if combination else ():
            if name in names:
                _blank(arrays[1 + names.index(name)], indices == k)
    return arrays


def values_of(row: Sequence[Any], stream: Stream) -> dict[str, Any]:
    """Return the values of one sample by name: of a row of JSON, missing and then the columns of the stream.

    Raises
    ------
    ForeignValueError
    """
    missing: str = row[0] or ""
    try:
        return {
            column.name: _ABSENT[column.dtype]
            if value is None or (column.dtype == "float64" and column.name in missing.split(","))
            else _FROM_JSON[column.dtype](value)
            for column, value in zip(stream.columns, row[1:], strict=True)
        }
    except (TypeError, ValueError) as error:
        raise ForeignValueError(str(error)) from None


def _as_numpy(dtype: DType, held: Any) -> NDArray[Any]:  # noqa: ANN401 - an Arrow array
    """Return a column; what no point has is NaN, zero or empty."""
    if dtype == "float64":
        return held.to_numpy(zero_copy_only=False).copy()
    if dtype == "int64":
        return held.fill_null(0).to_numpy(zero_copy_only=False)
    texts = held.to_numpy(zero_copy_only=False)
    return bytes_of(texts) if dtype == "binary" else texts


def _blank(values: NDArray[Any], rows: NDArray[np.bool_]) -> None:
    if values.dtype == np.float64:
        values[rows] = np.nan
