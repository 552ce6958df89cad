"""Samples in an InfluxDB 2: the store for many people, or for several machines.

A measurement per stream, tagged with subject and sensor, in a bucket per family of streams. Samples go in as
bulk line protocol, two bodies on their way while the next is encoded, and come out as a CSV stream of
InfluxQL with bound parameters: the fastest and exact ways (`docs/store.md`). A write is durable when the
server acknowledges it: its log is synced before.
"""

import re
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from store.clock import Clock, SystemClock
from store.closing import Closing
from store.errors import DataError, RejectedSamplesError
from store.influx_client import ANSWER_TIMEOUT_S, InfluxConnection
from store.influx_lines import (
    FIRST_NS,
    LAST_NS,
    MISSING,
    SENSOR,
    SUBJECT,
    Lines,
    field_names,
    identifier_of,
    joined,
    lines_of,
    measurement_of,
    row_bytes,
    tag_of,
)
from store.influx_tables import BrokenOffError, ForeignValueError, columns_of, values_of
from store.influx_written import WRITTEN, note_of, query_of, written_of
from store.streams import FAMILIES, STREAMS, Column, DType, Family, Stream
from store.times import exact_time
from store.timeseries import AnyBatch, Batch, Samples, Series, check_computed, merged, whose
from store.written import Written

BODY_ROWS = 25_000
"""Lines a request: the server takes them within a few per cent as fast as 100,000, which need four times the
memory and time on a slow uplink."""
BODY_BYTES = 4 << 20
"""Of long lines, such as frames of a waveform, fewer."""

IN_FLIGHT = 2
"""Bodies on their way at a time: the server parses one while it syncs its log for the other."""

_DTYPES: Mapping[str, DType] = {"float": "float64", "integer": "int64", "string": "utf8"}
_KEY = re.compile(rf"(?P<stream>\w+),{SENSOR}=(?P<sensor>[^,\\]+),{SUBJECT}=(?P<subject>[^,\\]+)")
_NAMED_REJECTED = 3

Rejected = tuple[int, int, str]


class InfluxTimeSeries(Closing):
    """The `TimeSeriesStore` on an InfluxDB 2. Opening it asks the server nothing, so it may be down.

    Parameters
    ----------
    url : str
        Scheme, host and port. TLS is verified, against SSL_CERT_FILE if the environment has it.
    org : str
    token : str
        Needs the rights of what is done with it: writing alone reads nothing.
    bucket : str
        What the names of the buckets begin with: `BUCKET-raw`, `BUCKET-features` and `BUCKET-flags`.
    answer_timeout_s : float
        How long the server may be silent.
    clock : Clock, optional
        Says when something was written.
    """

    def __init__(
        self,
        url: str,
        *,
        org: str,
        token: str,
        bucket: str,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        self._store_id = sha256(f"{url} {org} {bucket}".encode()).hexdigest()[:16]
        self._connection = InfluxConnection(url, org, token, answer_timeout_s)
        self._buckets: dict[Family, str] = {family: f"{bucket}-{family}" for family in FAMILIES}

    def write(self, batches: Sequence[AnyBatch]) -> int:
        """Write `batches`; durable when it returns. Return the number of samples.

        Raises
        ------
        RejectedSamplesError
            If the server will never take some; all others are durable.
        StoreUnavailableError
            If it cannot be reached or fails; any part may be stored.
        StoreAccessError
            If it does not let us.
        """
        rejected: list[Rejected] = []
        with self._connection.held_open():
            if not batches:
                self._connection.write(self._buckets["raw"], b"")
            for refused in _sent(self._send, self._bodies(batches), _in_flight(batches)):
                rejected.extend(refused)
            # After the samples: a write that fails before is not acknowledged, and is written again.
            if note := note_of(batches, self._clock.now_ns()):
                self._connection.write(self._buckets["raw"], note)
        if rejected:
            raise _rejection(batches, rejected)
        return sum(map(len, batches))

    def read(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> Samples:
        """Return the samples, sorted by (time, sensor).

        Raises
        ------
        StoreUnavailableError, StoreAccessError
            As every method that reads.
        DataError
            If another program wrote something that the stream does not declare.
        """
        sensors: list[str] = []
        parts: list[list[NDArray[Any]]] = []
        with self._connection.held_open():
            for sensor in self._sensors(stream, subject_id, sensor_id):
                series = Series(stream, subject_id, sensor)
                part = self._columns(series, _WITHIN, _span(start_ns, end_ns))
                if len(part[0]):
                    sensors.append(sensor)
                    parts.append(part)
        return merged(stream, sensors, parts)

    def count(
        self,
        stream: Stream,
        subject_id: str,
        start_ns: int | None = None,
        end_ns: int | None = None,
        *,
        sensor_id: str | None = None,
    ) -> int:
        """Return how many samples `read` would return."""
        query = f"{_select(stream, [f'count({MISSING})'])} AND {_WITHIN}"
        parameters = {SUBJECT: tag_of(subject_id), **_span(start_ns, end_ns)}
        if sensor_id is not None:
            query, parameters[SENSOR] = f"{query} AND {_OF_SENSOR}", tag_of(sensor_id)
        with self._connection.held_open():
            found = self._connection.rows(self._bucket(stream), query, parameters)
        return int(found[0]["values"][0][1]) if found else 0

    def latest(self, stream: Stream, subject_id: str) -> Mapping[str, Any] | None:
        """Return the newest sample (`t_ns`, `sensor`, values), or None if there is none."""
        of_subject = f"{SUBJECT} = ${SUBJECT} AND "
        return self._newest(stream, of_subject, {SUBJECT: tag_of(subject_id)}).get(subject_id)

    def latest_of_all(self, stream: Stream) -> dict[str, Mapping[str, Any]]:
        """Return the newest sample of everyone, by subject, as `latest` does of one."""
        return self._newest(stream, "", {})

    def _newest(
        self, stream: Stream, chosen: str, parameters: Mapping[str, str]
    ) -> dict[str, Mapping[str, Any]]:
        fields = ", ".join([MISSING, *field_names(stream)])
        query = (
            f"SELECT {fields} FROM {_quoted(stream)} WHERE {chosen}time >= {FIRST_NS} "  # noqa: S608
            f"GROUP BY {SUBJECT}, {SENSOR} ORDER BY time DESC LIMIT 1"
        )
        with self._connection.held_open():
            found = self._connection.rows(self._bucket(stream), query, parameters)
        newest: dict[str, Mapping[str, Any]] = {}
        for held in found:
            subject_id, sensor = (identifier_of(held["tags"][tag]) for tag in (SUBJECT, SENSOR))
            t_ns, *row = held["values"][0]
            if subject_id in newest and (-t_ns, sensor) > _age(newest[subject_id]):
                continue
            try:
                newest[subject_id] = {"t_ns": t_ns, "sensor": sensor, **values_of(row, stream)}
            except ForeignValueError as error:
                raise self._foreign(Series(stream, subject_id, sensor), error) from None
        return newest

    def extent(self, stream: Stream, subject_id: str) -> tuple[int, int] | None:
        """Return the times of the first and last sample, or None if there is none."""
        ends: list[int] = []
        with self._connection.held_open():
            for end in ("first", "last"):
                query = _select(stream, [f"{end}({MISSING})"])
                found = self._connection.rows(self._bucket(stream), query, {SUBJECT: tag_of(subject_id)})
                ends.extend(int(held["values"][0][0]) for held in found)
        return (ends[0], ends[-1]) if ends else None

    def subjects(self, stream: Stream) -> list[str]:
        """Return the ids of everyone with at least one sample, sorted."""
        # Tag values outlive the points that had them; series do not.
        query = f"SHOW SERIES FROM {_quoted(stream)}"
        with self._connection.held_open():
            held = self._connection.rows(self._bucket(stream), query, {})
        keys = [key for answer in held for (key,) in answer["values"]]
        return sorted({series.subject_id for series in _series_among({stream.name: stream}, keys)})

    def series(self) -> list[Series]:
        """Return every series with at least one sample, sorted by (stream, subject, sensor)."""
        found: list[Series] = []
        with self._connection.held_open():
            for family, bucket in self._buckets.items():
                streams = self._held_streams(family)
                for held in self._connection.rows(bucket, "SHOW SERIES", {}):
                    found.extend(_series_among(streams, [key for (key,) in held["values"]]))
        return sorted(found, key=lambda s: (s.stream.name, s.subject_id, s.sensor_id))

    def store_id(self) -> str:
        """Return what tells this store from any other."""
        return self._store_id

    def written_since(self, mark: int, streams: Collection[Stream], subject_id: str | None = None) -> Written:
        """Return which days of some streams, as measured, were written to after a mark."""
        query, parameters = query_of(mark, [measurement_of(stream) for stream in streams], subject_id)
        now_ns = self._clock.now_ns()
        with self._connection.held_open():
            return written_of(self._connection.rows(self._buckets["raw"], query, parameters), now_ns)

    def delete(self, stream: Stream, subject_id: str, start_ns: int, end_ns: int) -> None:
        """Remove what was computed of a subject in an interval."""
        check_computed(stream)
        # Tags never hold a quotation mark or a backslash: `tag_of`.
        predicate = f'_measurement="{measurement_of(stream)}" AND {SUBJECT}="{tag_of(subject_id)}"'
        with self._connection.held_open():
            # The server removes the last nanosecond, too.
            self._connection.delete(
                self._bucket(stream), predicate, exact_time(start_ns), exact_time(end_ns - 1)
            )

    def erase(self, subject_id: str) -> dict[str, int]:
        """Remove every sample of a person; return how many, by stream.

        The server hides them at once, and drops them from its files when it compacts those.

        Raises
        ------
        StoreUnavailableError, StoreAccessError
        """
        removed: dict[str, int] = {}
        for series in self.series():
            if series.subject_id == subject_id and series.stream.name not in removed:
                removed[series.stream.name] = self.count(series.stream, subject_id)
        predicate = f'{SUBJECT}="{tag_of(subject_id)}"'
        with self._connection.held_open():
            for bucket in self._buckets.values():
                self._connection.delete(bucket, predicate, exact_time(FIRST_NS), exact_time(LAST_NS))
        return removed

    def close(self) -> None:
        """Release connections, once nobody uses them."""
        self._connection.close()

    def _bucket(self, stream: Stream) -> str:
        return self._buckets[stream.family]

    def _bodies(self, batches: Sequence[AnyBatch]) -> Iterator[tuple[str, Lines]]:
        """Encode batches into bodies of requests, in order within each bucket."""
        for bucket in self._buckets.values():
            parts: list[Lines] = []
            for position, batch in enumerate(batches):
                if self._bucket(batch.stream) != bucket:
                    continue
                for part in _parts_of(batch, position):
                    if parts and _is_too_much([*parts, part]):
                        yield bucket, joined(parts)
                        parts = []
                    parts.append(part)
            if parts:
                yield bucket, joined(parts)

    def _send(self, bucket: str, lines: Lines) -> list[Rejected]:
        """Write lines; halve what the server refuses until the bad lines are found. Return those."""
        refusal = self._connection.write(bucket, lines.text)
        if refusal is None:
            return []
        if len(lines) == 1 or refusal.refused >= len(lines):
            return [(int(batch), int(row), refusal.reason) for batch, row in lines.origin]
        first, second = lines.halves()
        return [*self._send(bucket, first), *self._send(bucket, second)]

    def _sensors(self, stream: Stream, subject_id: str, sensor_id: str | None = None) -> list[str]:
        query = f"SHOW TAG VALUES FROM {_quoted(stream)} WITH KEY = {SENSOR} WHERE {SUBJECT} = ${SUBJECT}"
        found = self._tags(stream, query, {SUBJECT: tag_of(subject_id)})
        return [sensor for sensor in found if sensor_id in (None, sensor)]

    def _tags(self, stream: Stream, query: str, parameters: Mapping[str, str]) -> list[str]:
        found = self._connection.rows(self._bucket(stream), query, parameters)
        return sorted(identifier_of(tag) for held in found for _, tag in held["values"])

    def _columns(self, series: Series, where: str, parameters: Mapping[str, int]) -> list[NDArray[Any]]:
        stream, bucket = series.stream, self._bucket(series.stream)
        query = f"{_select(stream, [MISSING, *field_names(stream)])} AND {_OF_SENSOR} AND {where}"
        tags = {SUBJECT: tag_of(series.subject_id), SENSOR: tag_of(series.sensor_id)}
        with self._connection.table(bucket, query, {**tags, **parameters}) as answer:
            try:
                return columns_of(answer, stream)
            except BrokenOffError:
                raise self._connection.broke_off(bucket) from None
            except ForeignValueError as error:
                raise self._foreign(series, error) from None

    def _foreign(self, series: Series, error: ForeignValueError) -> DataError:
        return DataError(
            f"{series.stream.name} of {series.subject_id}, sensor {series.sensor_id}, holds in "
            f"{self._bucket(series.stream)} what the stream does not declare ({error}); another program "
            "wrote it: delete that"
        )

    def _held_streams(self, family: Family) -> dict[str, Stream]:
        """Return the streams as their measurements have them, with what declarations say of each column."""
        streams: dict[str, Stream] = {}
        for held in self._connection.rows(self._buckets[family], "SHOW FIELD KEYS", {}):
            if held["name"] == WRITTEN:
                continue
            declared = STREAMS.get(held["name"], Stream(held["name"], "", ()))
            said = {column.name: column for column in declared.columns}
            columns = tuple(
                said.get(field, Column(field, _DTYPES[kind], ""))
                for field, kind in held["values"]
                if field != MISSING and kind in _DTYPES
            )
            streams[declared.name] = Stream(declared.name, declared.meaning, columns, family)
        return streams


_OF_SENSOR = f"{SENSOR} = ${SENSOR}"
_WITHIN = "time >= $start AND time <= $last"


def _age(sample: Mapping[str, Any]) -> tuple[int, str]:
    """Return what sorts samples: the newest first, of one time the first sensor."""
    return -sample["t_ns"], sample["sensor"]


def _quoted(stream: Stream) -> str:
    return f'"{measurement_of(stream)}"'


def _select(stream: Stream, fields: Iterable[str]) -> str:
    """Return a query of a subject's samples; names come from declarations, all values are parameters."""
    return f"SELECT {', '.join(fields)} FROM {_quoted(stream)} WHERE {SUBJECT} = ${SUBJECT}"  # noqa: S608


def _span(start_ns: int | None, end_ns: int | None) -> dict[str, int]:
    """Return the parameters of a half-open interval; nothing is before the first or after the last time."""
    last_ns = LAST_NS if end_ns is None else end_ns - 1
    return {
        "start": FIRST_NS if start_ns is None else max(start_ns, FIRST_NS),
        "last": max(min(last_ns, LAST_NS), FIRST_NS - 1),
    }


def _parts_of(batch: AnyBatch, position: int) -> Iterator[Lines]:
    rows = max(1, min(BODY_ROWS, BODY_BYTES // row_bytes(batch)))
    for start in range(0, len(batch), rows):
        yield lines_of(batch, position, start, min(start + rows, len(batch)))


def _is_too_much(parts: Sequence[Lines]) -> bool:
    return sum(map(len, parts)) > BODY_ROWS or sum(len(part.text) for part in parts) > BODY_BYTES


def _in_flight(batches: Sequence[AnyBatch]) -> int:
    """Return how many bodies may overtake each other: where a time occurs twice, the later sample wins."""
    series = [(batch.stream.name, *series) for batch in batches for series in batch.series]
    is_each_once = len(set(series)) == len(series)
    return IN_FLIGHT if is_each_once and all(map(_has_each_time_once, batches)) else 1


def _has_each_time_once(batch: AnyBatch) -> bool:
    if isinstance(batch, Batch):
        return bool(np.all(np.diff(batch.t_ns) > 0))
    return len(np.unique(np.column_stack([batch.index, batch.t_ns]), axis=0)) == len(batch)


def _sent(
    send: Callable[[str, Lines], list[Rejected]], bodies: Iterable[tuple[str, Lines]], in_flight: int
) -> Generator[list[Rejected]]:
    """Send bodies, so many at a time, each encoded meanwhile; yield what was refused of each, in order."""
    waiting: deque[Future[list[Rejected]]] = deque()
    with ThreadPoolExecutor(in_flight, "influx-sender") as senders:
        for body in bodies:
            if len(waiting) == in_flight:
                yield waiting.popleft().result()
            waiting.append(senders.submit(send, *body))
        while waiting:
            yield waiting.popleft().result()


def _rejection(batches: Sequence[AnyBatch], rejected: Sequence[Rejected]) -> RejectedSamplesError:
    named = "; ".join(f"{_told(batches[k], row)}: {reason}" for k, row, reason in rejected[:_NAMED_REJECTED])
    others = f"; and {len(rejected) - _NAMED_REJECTED} more" if len(rejected) > _NAMED_REJECTED else ""
    return RejectedSamplesError(
        f"{len(rejected)} of {sum(map(len, batches))} samples were refused by InfluxDB for ever, the others "
        f"are stored ({named}{others})",
        tuple(rejected),
    )


def _told(batch: AnyBatch, row: int) -> str:
    subject_id, sensor_id = whose(batch, row)
    return f"{batch.stream.name} of {subject_id}, sensor {sensor_id}, time {int(batch.t_ns[row])} ns"


def _series_among(streams: Mapping[str, Stream], keys: Sequence[str]) -> Iterator[Series]:
    """Yield the series of keys such as `rr_interval,sensor=A,subject=S1`, without those of other programs."""
    for key in keys:
        found = _KEY.fullmatch(key)
        if found and found["stream"] in streams:
            subject_id, sensor_id = identifier_of(found["subject"]), identifier_of(found["sensor"])
            yield Series(streams[found["stream"]], subject_id, sensor_id)
