"""The store on InfluxDB against the other ways in and out of the same server, in one run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import influxdb_client
import numpy as np
import pandas as pd
import urllib3
from influxdb_client.client.write_api import SYNCHRONOUS
from numpy.typing import NDArray

from benchmarks.table import Row
from store.influx import BODY_ROWS, IN_FLIGHT, InfluxTimeSeries
from store.influx_lines import lines_of
from store.streams import RR_INTERVAL
from store.timeseries import Batch
from tests.influxd import ABSENT, OwnInfluxServer, influxd_binary

START_NS = 1_767_643_200_123_456_789
MONTH = 2_900_000
"""RR intervals of a patient-month."""
READER = "read"
TURNS = 5
"""Each way has its turn so often, and its best counts: other work on the machine only makes one slower."""
_influx: Any = cast("Any", influxdb_client)


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` reads a whole patient-month by both ways instead of a fifth of it (2 minutes)."""
    binary = influxd_binary()
    if binary is None:
        raise SystemExit(ABSENT)
    with tempfile.TemporaryDirectory() as folder:
        server = OwnInfluxServer(binary, Path(folder))
        try:
            bucket = server.new_buckets()
            return [
                *_writes(server, bucket, 400_000 if is_full else 200_000),
                *_reads(server, bucket, is_full),
            ]
        finally:
            server.kill()


def _samples(n: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(0)
    rr_ms = rng.integers(600, 1200, n) * 1000 / 1024
    return START_NS + np.cumsum((rr_ms * 1e6).astype(np.int64)), rr_ms


def _batch(subject: str, n: int) -> Batch:
    t_ns, rr_ms = _samples(n)
    return Batch(RR_INTERVAL, subject, "C0:5E:00:00:00:01", t_ns, {"rr_ms": rr_ms})


def _per_s(n: int, work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return n / (time.perf_counter() - began_s)


def _writes(server: OwnInfluxServer, bucket: str, n: int) -> list[Row]:
    raw = f"{bucket}-raw"
    client = _influx.InfluxDBClient(server.url, server.token, org=server.org, timeout=600_000)
    write = client.write_api(write_options=SYNCHRONOUS)
    ready = [
        lines_of(_batch("ready", n), 0, start, min(start + BODY_ROWS, n)).text
        for start in range(0, n, BODY_ROWS)
    ]
    pool = urllib3.PoolManager(maxsize=IN_FLIGHT)
    url = f"{server.url}/api/v2/write?org={server.org}&bucket={raw}&precision=ns"
    headers = {"Authorization": f"Token {server.token}"}

    def post(text: bytes) -> None:
        answer = pool.request("POST", url, body=text, headers=headers)
        if answer.status != 204:
            raise RuntimeError(answer.data)

    def post_ready() -> None:
        with ThreadPoolExecutor(IN_FLIGHT) as senders:
            list(senders.map(post, ready))

    few = n // 5
    with client, server.open(bucket) as store:
        store.write([_batch("warm", n)])
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "ours": (n, lambda: store.write([_batch("ours", n)])),
            "ready": (n, post_ready),
            "frames": (few, lambda: _write_frames(write, raw, few)),
            "points": (few, lambda: _write_points(write, raw, few)),
        }
        rates: dict[str, float] = dict.fromkeys(ways, 0.0)
        for turn in range(TURNS * len(ways)):  # in changing order, for the server is busy for a while after
            way = list(ways)[(turn + turn // len(ways)) % len(ways)]
            count, work = ways[way]
            rates[way] = max(rates[way], _per_s(count, work))
    ours = rates["ours"]
    return [
        Row(f"influx: write {n:,} samples, durable", ours, "samples/s"),
        Row("influx: ... as many times as `Point` objects", ours / rates["points"], "x", 5, "higher"),
        Row("influx: ... as many times as DataFrames", ours / rates["frames"], "x", 3, "higher"),
        Row("influx: ... of what the server takes of ready lines", ours / rates["ready"], "x", 0.9, "higher"),
    ]


def _write_points(write: Any, bucket: str, n: int) -> None:  # noqa: ANN401 - the client has no types
    batch = _batch("points", n)
    for start in range(0, n, 5000):
        rows = slice(start, start + 5000)
        points = [
            _influx.Point("rr_interval")
            .tag("subject", batch.subject_id)
            .tag("sensor", batch.sensor_id)
            .field("missing", "")
            .field("rr_ms", rr_ms)
            .time(t_ns, _influx.WritePrecision.NS)
            for t_ns, rr_ms in zip(
                batch.t_ns[rows].tolist(), batch.values["rr_ms"][rows].tolist(), strict=True
            )
        ]
        write.write(bucket, record=points)


def _write_frames(write: Any, bucket: str, n: int) -> None:  # noqa: ANN401
    batch = _batch("frames", n)
    for start in range(0, n, 50_000):
        rows = slice(start, start + 50_000)
        columns = {"missing": "", "rr_ms": batch.values["rr_ms"][rows]}
        tags = {"subject": batch.subject_id, "sensor": batch.sensor_id}
        frame = pd.DataFrame(columns | tags, index=pd.to_datetime(batch.t_ns[rows], utc=True))
        write.write(
            bucket,
            record=frame,
            data_frame_measurement_name="rr_interval",
            data_frame_tag_columns=["subject", "sensor"],
        )


def _reads(server: OwnInfluxServer, bucket: str, is_full: bool) -> list[Row]:  # noqa: FBT001
    with server.open(bucket) as store:
        store.write([_batch(READER, MONTH)])
    compared = MONTH if is_full else MONTH // 5
    month = _in_another_process("store", server, bucket, MONTH)
    ours, theirs = zip(
        *(
            (
                _in_another_process("store", server, bucket, compared),
                _in_another_process("data_frame", server, bucket, compared),
            )
            for _ in range(1 if is_full else 2)
        ),
        strict=True,
    )
    ratio = min(t["seconds"] for t in theirs) / min(t["seconds"] for t in ours)
    return [
        Row(f"influx: read a patient-month, {MONTH:,} samples", month["seconds"], "s"),
        Row("influx: ... peak of the reader", month["peak_mb"], "MB", 300),
        Row("influx: ... samples that differ from what was written", month["differ"], "samples", 0),
        Row(f"influx: `query_data_frame` takes as long, {compared:,} samples", ratio, "x", 12, "higher"),
        Row("influx: ... its peak", theirs[0]["peak_mb"], "MB"),
        Row("influx: ... its times that differ", theirs[0]["differ"], "samples"),
    ]


def _in_another_process(way: str, server: OwnInfluxServer, bucket: str, n: int) -> dict[str, float]:
    """Read the first `n` samples, and return how long it took, the memory and how many are not as written."""
    environment = {**os.environ, "EVENKEEL_INFLUX_TOKEN": server.token}
    command = [sys.executable, "-m", "benchmarks.store_influx", way, server.url, server.org, bucket, str(n)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def _read_by_store(url: str, org: str, bucket: str, end_ns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    token = os.environ["EVENKEEL_INFLUX_TOKEN"]
    with InfluxTimeSeries(url, org=org, token=token, bucket=bucket) as store:
        found = store.read(RR_INTERVAL, READER, START_NS, end_ns)
    return found.t_ns, found["rr_ms"]


def _read_by_data_frame(url: str, org: str, bucket: str, end_ns: int) -> tuple[NDArray[Any], NDArray[Any]]:
    client = _influx.InfluxDBClient(url, os.environ["EVENKEEL_INFLUX_TOKEN"], org=org, timeout=600_000)
    query = (
        f'from(bucket:"{bucket}-raw") |> range(start: time(v: {START_NS}), stop: time(v: {end_ns})) '
        f'|> filter(fn: (r) => r._measurement == "rr_interval" and r.subject == "{READER}") '
        '|> pivot(rowKey: ["_time"], columnKey: ["_field"], valueColumn: "_value")'
    )
    with client:
        frame = client.query_api().query_data_frame(query)
    times = frame["_time"].dt.tz_localize(None).to_numpy().astype("datetime64[ns]").astype(np.int64)
    return times, frame["rr_ms"].to_numpy()


def _read(way: str, url: str, org: str, bucket: str, n: int) -> dict[str, float]:
    end_ns = int(_samples(MONTH)[0][n - 1]) + 1
    read = _read_by_store if way == "store" else _read_by_data_frame
    began_s = time.perf_counter()
    times, values = read(url, org, bucket, end_ns)
    seconds = time.perf_counter() - began_s
    peak_mb = _peak_mb()
    t_ns, rr_ms = (array[:n] for array in _samples(MONTH))
    is_wrong = (times != t_ns) | (values != rr_ms) if len(times) == n else np.ones(n, bool)
    return {"seconds": seconds, "peak_mb": peak_mb, "differ": float(is_wrong.sum())}


def _peak_mb() -> float:
    """Return the most memory this process had; `getrusage` would count what its parent had before."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line]
    return int(line.split()[1]) * 1024 / 1e6


def main(arguments: Sequence[str]) -> None:
    """Read in a process of its own: way, URL, organisation, buckets, number of samples."""
    way, url, org, bucket, n = arguments
    print(json.dumps(_read(way, url, org, bucket, int(n))))


if __name__ == "__main__":
    main(sys.argv[1:])
