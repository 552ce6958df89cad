"""A real InfluxDB dies, hangs, has a full disk or locks us out, and not a sample is lost."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest.forwarder import Forwarder
from ingest.records import Record, link_payload
from ingest.spool import Spool
from store.clock import SystemClock, VirtualClock
from store.errors import StoreUnavailableError
from store.influx import InfluxTimeSeries
from store.streams import HEART_RATE, RR_INTERVAL
from store.timeseries import Batch
from store.units import NS_PER_S
from tests.influxd import OwnInfluxServer, needed_binary

START_NS = 1_767_643_200 * NS_PER_S
CLOCK = VirtualClock(START_NS)
PATIENCE_S = 60
RECORDS = 6000
"""Three writes of the forwarder."""


def rr(first: int, count: int) -> Batch:
    values = np.arange(first, first + count)
    return Batch(RR_INTERVAL, "S1", "A", START_NS + values, {"rr_ms": values.astype(float)})


def beats(first: int, end: int) -> Iterator[Record]:
    """Frames of a heart that beats once a second, then the end of the link, which settles all."""
    frame = bytes.fromhex("103c0004")
    for k in range(first, end):
        yield Record("heart_rate_measurement", "S1", "AA", START_NS + k * NS_PER_S, k * NS_PER_S, frame)
    end_ns = end * NS_PER_S - 1
    yield Record("link_state", "S1", "AA", START_NS + end_ns, end_ns, link_payload("stopped", "a test"))


def wait_until(happens) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not happens():
        assert time.monotonic() < give_up_s
        time.sleep(0.02)


class Thread:
    """A spool full of beats that is being forwarded to a store."""

    def __init__(self, folder: Path, store: InfluxTimeSeries, count: int = RECORDS) -> None:
        self.store = store
        self.count = 0
        self.spool = Spool(folder / "spool.sqlite", CLOCK)
        if count:
            self.put(count)
        self.forwarder = Forwarder(self.spool, store, CLOCK, first_retry_s=0.02)
        self.forwarder.start()

    def put(self, count: int) -> None:
        for record in beats(self.count, self.count + count):
            self.spool.put(record)
        self.spool.flush()
        self.count += count

    def wait_for_failure(self) -> str:
        wait_until(lambda: self.forwarder.state.failing_since_ns is not None)
        return self.forwarder.state.last_error

    def check_that_all_arrives(self) -> None:
        wait_until(self.spool.is_empty)
        assert self.forwarder.state.failing_since_ns is None
        heart_rate, found = self.store.read(HEART_RATE, "S1"), self.store.read(RR_INTERVAL, "S1")
        assert heart_rate.t_ns.tolist() == [START_NS + k * NS_PER_S for k in range(self.count)]
        assert len(found) == self.count
        self.close()

    def close(self) -> None:
        self.forwarder.stop(drain=False)
        self.spool.close()


@pytest.mark.slow
def test_killed_and_restarted_in_the_middle_of_writing(fragile_influx):
    """Every acknowledged sample is there after a restart; the write that failed is simply written again."""
    acknowledged: list[int] = []
    with fragile_influx.open(fragile_influx.new_buckets()) as store:

        def write() -> None:
            for k in range(0, 10_000_000, 5000):
                try:
                    store.write([rr(k, 5000)])
                except StoreUnavailableError:
                    return
                acknowledged.append(k)

        for _ in range(2):
            writer = threading.Thread(target=write)
            written = len(acknowledged)
            writer.start()
            wait_until(lambda: len(acknowledged) >= written + 5)  # noqa: B023
            fragile_influx.kill()
            writer.join()
            with pytest.raises(StoreUnavailableError, match="cannot be reached"):
                store.read(RR_INTERVAL, "S1")
            fragile_influx.start()
        found = store.read(RR_INTERVAL, "S1")
        last = max(acknowledged) + 5000
        assert found.t_ns[:last].tolist() == list(range(START_NS, START_NS + last))


def test_the_forwarder_outlives_a_killed_server(fragile_influx, tmp_path):
    bucket = fragile_influx.new_buckets()
    fragile_influx.kill()
    with fragile_influx.open(bucket) as store:
        thread = Thread(tmp_path, store)
        assert "cannot be reached; needed is a running InfluxDB" in thread.wait_for_failure()
        fragile_influx.start()
        thread.check_that_all_arrives()


def test_the_forwarder_outlives_a_server_that_hangs(fragile_influx, tmp_path):
    with fragile_influx.open(fragile_influx.new_buckets(), answer_timeout_s=0.3) as store:
        fragile_influx.pause()
        thread = Thread(tmp_path, store)
        assert "did not answer within 0.3 s" in thread.wait_for_failure()
        with pytest.raises(StoreUnavailableError, match=r"did not answer within 0\.3 s"):
            store.read(RR_INTERVAL, "S1")
        fragile_influx.resume()
        thread.check_that_all_arrives()


def test_slow_answers_are_waited_for(fragile_influx):
    """Shorter than the limit, a pause costs nothing but time."""
    with fragile_influx.open(fragile_influx.new_buckets(), answer_timeout_s=20) as store:
        fragile_influx.pause()
        threading.Timer(0.4, fragile_influx.resume).start()
        assert store.write([rr(0, 100)]) == 100
        fragile_influx.pause()
        threading.Timer(0.4, fragile_influx.resume).start()
        assert len(store.read(RR_INTERVAL, "S1")) == 100


def read_for_ever(store: InfluxTimeSeries, count: int) -> None:
    while True:
        assert len(store.read(RR_INTERVAL, "S1")) == count


def test_a_server_that_dies_while_it_answers_gives_no_half_answer(fragile_influx):
    with fragile_influx.open(fragile_influx.new_buckets()) as store:
        for k in range(0, 600_000, 100_000):
            store.write([rr(k, 100_000)])
        killer = threading.Timer(0.15, fragile_influx.kill)
        killer.start()
        with pytest.raises(StoreUnavailableError, match=r"broke off|cannot be reached"):
            read_for_ever(store, 600_000)
        killer.join()
        fragile_influx.start()
        assert store.count(RR_INTERVAL, "S1") == 600_000


def test_the_forwarder_goes_on_once_its_token_is_good_again(influx, tmp_path):
    """An operator who unlocks a token, or gives it a right that it lacked, needs to restart nothing."""
    bucket = influx.new_buckets()
    token = influx.new_token("write", f"{bucket}-raw")
    held = next(
        a for a in influx.api("GET", "/api/v2/authorizations")["authorizations"] if a["token"] == token
    )
    influx.api("PATCH", f"/api/v2/authorizations/{held['id']}", {"status": "inactive"})
    with influx.open(bucket, token=token) as store, influx.open(bucket) as reader:
        thread = Thread(tmp_path, store)
        assert "token" in thread.wait_for_failure()
        influx.api("PATCH", f"/api/v2/authorizations/{held['id']}", {"status": "active"})
        thread.store = reader
        thread.check_that_all_arrives()


def test_samples_the_server_never_takes_are_kept_aside_with_their_bytes(influx, tmp_path):
    """A gateway whose clock is years behind: what it stamps is older than the bucket keeps."""
    bucket = influx.new_buckets()
    rule = {"type": "expire", "everySeconds": 7 * 86400, "shardGroupDurationSeconds": 86400}
    path = f"/api/v2/buckets/{influx.bucket_id(f'{bucket}-raw')}"
    influx.api("PATCH", path, {"retentionRules": [rule]})
    now_ns = SystemClock().now_ns()
    with influx.open(bucket) as store:
        thread = Thread(tmp_path, store, 0)
        for k, record in enumerate(beats(0, 20)):
            behind_ns = 20 * 365 * 86400 * NS_PER_S if 5 <= k < 10 else 0
            arrived_ns = now_ns + record.wall_ns - START_NS - behind_ns
            thread.spool.put(record._replace(wall_ns=arrived_ns))
        thread.spool.flush()
        wait_until(thread.spool.is_empty)
        aside = thread.spool.quarantined()
        assert [held.record.payload for held in aside] == [bytes.fromhex("103c0004")] * 5
        assert all("retention policy" in held.error for held in aside)
        assert store.count(HEART_RATE, "S1") == 15
        thread.close()


def test_the_forwarder_waits_for_a_bucket_to_be_made(influx, tmp_path):
    bucket = f"{influx.new_buckets()}-late"
    with influx.open(bucket) as store:
        thread = Thread(tmp_path, store)
        assert f'bucket "{bucket}-raw" not found' in thread.wait_for_failure()
        influx.api("POST", "/api/v2/buckets", {"orgID": influx.org_id, "name": f"{bucket}-raw"})
        thread.check_that_all_arrives()


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system with little room."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["/bin/mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("only root can mount a small file system here")
    yield folder
    subprocess.run(["/bin/umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_loses_nothing(small_disk, tmp_path):
    """InfluxDB refuses from the first write that fails until it is restarted, with room or without."""
    server = OwnInfluxServer(needed_binary(), small_disk)
    try:
        with server.open(server.new_buckets()) as store:
            thread = Thread(tmp_path, store, 2000)
            wait_until(thread.spool.is_empty)
            ballast = small_disk / "ballast"
            fill(ballast)
            thread.put(RECORDS)
            assert f"disk of InfluxDB at {server.url} is full" in thread.wait_for_failure()
            ballast.unlink()
            server.kill()
            server.start()
            thread.check_that_all_arrives()
    finally:
        server.kill()


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(b"\0" * 65536):
                pass
        except OSError:
            return
