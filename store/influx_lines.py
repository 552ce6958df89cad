"""Samples as InfluxDB line protocol, encoded in bulk.

A measurement is a stream, its tags are `subject` and `sensor`, its fields the columns. A missing value has no
field; which ones are missing says the string field `missing`, which every point has. It keeps a sample whose
values are all missing, and because InfluxDB merges the fields of points of the same time, it is also what
makes a value that was replaced by a missing one disappear. Text is text and bytes are base64 text.
Identifiers become tags through `tag_of`, so that none needs, or breaks, the escapes of line protocol.
"""

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, cast
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from store.streams import Column, Stream
from store.timeseries import AnyBatch

SUBJECT, SENSOR, MISSING = "subject", "sensor", "missing"
"""The tags, and the field that names missing columns."""

FIRST_NS, LAST_NS = -(2**63) + 2, 2**63 - 2
"""Times that InfluxDB can hold: 1677-09-21 to 2262-04-11."""

_RESERVED = {"time", SUBJECT, SENSOR, MISSING}
_EMPTY_TAG = "%"
_NEEDS_QUOTING = re.compile(r"[^\w.:/+@-]")

# Arrow comes without type stubs.
_arrow: Any = cast("Any", pa)
_compute: Any = cast("Any", pyarrow.compute)


@dataclass(frozen=True)
class Lines:
    """Samples as text, one line each, that knows where each line comes from.

    Attributes
    ----------
    text : bytes
    ends : (n,) int64
        Where each line ends in `text`.
    origin : (n, 2) int64
        Position of the batch, and of the sample in it, of each line.
    """

    text: bytes
    ends: NDArray[np.int64]
    origin: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def halves(self) -> "tuple[Lines, Lines]":
        """Return the first and the second half of the lines."""
        middle = len(self) // 2
        cut = int(self.ends[middle - 1])
        return (
            Lines(self.text[:cut], self.ends[:middle], self.origin[:middle]),
            Lines(self.text[cut:], self.ends[middle:] - cut, self.origin[middle:]),
        )


def joined(parts: Sequence[Lines]) -> Lines:
    """Return the lines of several parts, in order."""
    if len(parts) == 1:
        return parts[0]
    starts = np.cumsum([0, *(len(part.text) for part in parts)])
    return Lines(
        b"".join(part.text for part in parts),
        np.concatenate([part.ends + start for part, start in zip(parts, starts, strict=False)]),
        np.concatenate([part.origin for part in parts]),
    )


def lines_of(batch: AnyBatch, position: int, start: int, stop: int) -> Lines:
    """Encode samples `start` to `stop` of the batch at `position` of a write."""
    rows = slice(start, stop)
    values = {name: _arrow_of(column, batch.values[name][rows]) for name, column in _columns(batch.stream)}
    incomplete = {name: array for name, array in values.items() if array.null_count}
    pieces: list[Any] = [_heads(batch, rows), f" {MISSING}=" + ("" if incomplete else '""')]
    if incomplete:
        pieces.append(_names_of_missing(incomplete))
    for name, column in _columns(batch.stream):
        pieces.extend(_field(column, values[name]))
    pieces.extend([" ", _text(_arrow.array(batch.t_ns[rows])), "\n"])
    lines = _concatenated(pieces)
    offsets = np.frombuffer(lines.buffers()[1], np.int64, len(lines) + 1)
    origin = np.column_stack([np.full(stop - start, position), np.arange(start, stop)])
    return Lines(lines.buffers()[2].to_pybytes()[: offsets[-1]], offsets[1:], origin)


def _heads(batch: AnyBatch, rows: slice) -> Any:  # noqa: ANN401 - an Arrow array, or the text of all rows
    """Return how lines begin, the tags in the order of the alphabet: the server would sort those of each."""
    heads = [
        f"{batch.stream.name},{SENSOR}={tag_of(sensor_id)},{SUBJECT}={tag_of(subject_id)}"
        for subject_id, sensor_id in batch.series
    ]
    if len(heads) == 1:
        return heads[0]
    return _arrow.array(heads, _arrow.large_string()).take(_arrow.array(batch.index[rows]))


def row_bytes(batch: AnyBatch) -> int:
    """Return about how long the line of a sample of this batch is, for the longest of its texts."""
    widths = [
        max((len(value) for value in batch.values[column.name]), default=0)
        if column.dtype in {"utf8", "binary"}
        else 20
        for column in batch.stream.columns
    ]
    return 100 + sum(20 + 4 * width // 3 for width in widths)


def field_names(stream: Stream) -> list[str]:
    """Return the fields of a stream, safe to stand in a query between double quotes.

    Raises
    ------
    ValueError
        If the declaration of the stream is unsuitable, which is a bug.
    """
    return [name for name, _ in _columns(stream)]


def measurement_of(stream: Stream) -> str:
    """Return the measurement of a stream, safe to stand in a query between double quotes."""
    if not stream.name.isidentifier():
        raise ValueError(stream.name)
    return stream.name


def tag_of(identifier: str) -> str:
    """Return an identifier as a tag: letters and digits of any script stay, the rest is per cent encoded.

    >>> tag_of("Zoë, 1"), identifier_of("Zoë%2C%201")
    ('Zoë%2C%201', 'Zoë, 1')
    """
    return _NEEDS_QUOTING.sub(lambda found: quote(found.group(), safe=""), identifier) or _EMPTY_TAG


def identifier_of(tag: str) -> str:
    """Return the identifier that `tag_of` made a tag of."""
    return "" if tag == _EMPTY_TAG else unquote(tag)


def bytes_of(texts: NDArray[Any]) -> NDArray[Any]:
    """Return what texts of a binary column stand for."""
    decoded = np.empty(len(texts), object)
    decoded[:] = [a2b_base64(text) for text in texts]
    return decoded


def _columns(stream: Stream) -> list[tuple[str, Column]]:
    for column in stream.columns:
        if not column.name.isidentifier() or column.name in _RESERVED:
            raise ValueError(column.name)
    measurement_of(stream)
    return [(column.name, column) for column in stream.columns]


def _arrow_of(column: Column, values: NDArray[Any]) -> Any:  # noqa: ANN401 - an Arrow array
    """Return values as Arrow; missing ones are null."""
    if column.dtype == "binary":
        return _arrow.array([b2a_base64(value, newline=False) for value in values], _arrow.large_binary())
    if column.dtype == "utf8":
        return _arrow.array(values, _arrow.large_string())
    return _arrow.array(values, from_pandas=column.dtype == "float64")


def _field(column: Column, values: Any) -> list[Any]:  # noqa: ANN401 - an Arrow array
    """Return the pieces of the text of a field; null where the value is missing."""
    if column.dtype == "float64":
        pieces = [f",{column.name}=", _text(values)]
        return [_concatenated(pieces, keep_null=True)] if values.null_count else pieces
    if column.dtype == "int64":
        return [f",{column.name}=", _text(values), "i"]
    if column.dtype == "utf8":
        values = _compute.replace_substring(values, "\\", "\\\\")
        values = _compute.replace_substring(values, '"', '\\"')
    return [f',{column.name}="', _text(values), '"']


def _names_of_missing(incomplete: dict[str, Any]) -> Any:  # noqa: ANN401 - an Arrow array
    named = [_compute.if_else(values.is_null(), f"{name},", "") for name, values in incomplete.items()]
    return _concatenated(['"', _compute.utf8_rtrim(_concatenated(named), ","), '"'])


def _text(values: Any) -> Any:  # noqa: ANN401 - Arrow arrays
    return _compute.cast(values, _arrow.large_string())


def _concatenated(pieces: Sequence[Any], *, keep_null: bool = False) -> Any:  # noqa: ANN401 - Arrow arrays
    """Return the pieces, arrays and texts, joined row by row; null counts as empty unless kept."""
    large: list[Any] = []
    for is_text, neighbours in groupby(pieces, lambda piece: isinstance(piece, str)):
        if is_text:
            large.append(_arrow.scalar("".join(neighbours), _arrow.large_string()))
        else:
            large.extend(map(_text, neighbours))
    handling = "emit_null" if keep_null else "replace"
    empty = _arrow.scalar("", _arrow.large_string())
    return _compute.binary_join_element_wise(*large, empty, null_handling=handling, null_replacement="")
