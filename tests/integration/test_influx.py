"""What the store on InfluxDB does beyond the contract of all stores, with a real server."""

import io
import ipaddress
import json
import logging
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from store.clock import SystemClock
from store.errors import DataError, RejectedSamplesError, StoreAccessError, StoreUnavailableError
from store.influx import InfluxTimeSeries
from store.influx_errors import Refusal, refusal_of
from store.influx_lines import lines_of
from store.influx_tables import BrokenOffError, columns_of
from store.streams import HEART_RATE, LINK_STATE, RR_INTERVAL, WAVEFORM, Column, Stream
from store.timeseries import Batch, MixedBatch
from store.units import NS_PER_S
from tests.influxd import OwnInfluxServer, needed_binary

WRONG_TOKEN = "wrong-" + "t" * 40
HOUR_NS = 3600 * NS_PER_S
BEYOND_NS = 2**63 - 1
"""A time that InfluxDB cannot hold: it refuses the line, and with it the whole body."""


@pytest.fixture
def bucket(influx) -> str:
    return influx.new_buckets()


@pytest.fixture
def store(influx, bucket):
    with influx.open(bucket) as opened:
        yield opened


def rr(t_ns: list[int], rr_ms: list[float], sensor: str = "A", subject: str = "S1") -> Batch:
    return Batch(RR_INTERVAL, subject, sensor, np.array(t_ns, np.int64), {"rr_ms": np.array(rr_ms, float)})


def test_a_bad_line_loses_only_itself(store):
    many = np.arange(3000)
    bad = [0, 1234, 1235, 2999]
    t_ns = many.copy()
    t_ns[bad] = BEYOND_NS
    batches = [rr([1, 2], [1, 2], "B"), rr(t_ns.tolist(), many.tolist()), rr([BEYOND_NS], [1], "C")]
    with pytest.raises(
        RejectedSamplesError, match=r"5 of 3003 samples.*rr_interval of S1, sensor A"
    ) as caught:
        store.write(batches)
    assert [(k, row) for k, row, _ in caught.value.rejected] == [*((1, row) for row in bad), (2, 0)]
    assert "time outside range" in caught.value.rejected[0][2]
    found = store.read(RR_INTERVAL, "S1", sensor_id="A")
    assert found["rr_ms"].tolist() == [value for value in many.tolist() if value not in bad]
    assert store.count(RR_INTERVAL, "S1", sensor_id="B") == 2


def test_a_conflict_of_types_loses_only_what_conflicts(influx, bucket, store):
    """Another program wrote whole numbers; InfluxDB takes the rest of a body and drops ours."""
    influx.write_lines(f"{bucket}-raw", "rr_interval,subject=S9,sensor=Z rr_ms=1i 5")
    pulse = {"heart_rate_bpm": np.arange(100.0), "skin_contact": np.ones(100), "energy_kj": np.ones(100)}
    batches = [rr([1, 2], [1, 2]), Batch(HEART_RATE, "S1", "A", np.arange(100), pulse)]
    with pytest.raises(RejectedSamplesError, match=r"2 of 102 .*field type conflict") as caught:
        store.write(batches)
    assert [(k, row) for k, row, _ in caught.value.rejected] == [(0, 0), (0, 1)]
    assert store.count(HEART_RATE, "S1") == 100


def test_samples_older_than_the_bucket_keeps_are_named(influx, bucket, store):
    """What a clock that is years behind would send, or an import of old recordings."""
    rule = {"type": "expire", "everySeconds": 7 * 86400, "shardGroupDurationSeconds": 86400}
    influx.api(
        "PATCH",
        f"/api/v2/buckets/{influx.bucket_id(f'{bucket}-raw')}",
        {"retentionRules": [rule]},
    )
    now_ns = SystemClock().now_ns()
    times = [now_ns - 400 * 24 * HOUR_NS, now_ns, now_ns + 1000 * 24 * HOUR_NS]
    with pytest.raises(RejectedSamplesError, match=r"1 of 3 .*retention policy") as caught:
        store.write([rr(times, [1, 2, 3])])
    assert [row for _, row, _ in caught.value.rejected] == [0]
    assert store.read(RR_INTERVAL, "S1").t_ns.tolist() == times[1:]


def test_a_frame_longer_than_influx_takes_is_refused_alone(store):
    frames = np.array([b"\x00" * 600, b"\x00" * (1 << 20), b"\xff" * 600], object)
    values = {"signal": np.array(["ecg_uv"] * 3, object), "rate_hz": np.ones(3), "sample_count": np.ones(3)}
    with pytest.raises(RejectedSamplesError, match="too long") as caught:
        store.write([Batch(WAVEFORM, "S1", "A", np.array([1, 2, 3]), {**values, "frame": frames})])
    assert [row for _, row, _ in caught.value.rejected] == [1]
    assert store.read(WAVEFORM, "S1")["frame"].tolist() == [frames[0], frames[2]]


def test_of_many_sensors_the_refused_sample_is_named_with_its_own(store):
    values = {"signal": np.array(["ecg_uv"] * 3, object), "rate_hz": np.ones(3), "sample_count": np.ones(3)}
    values["frame"] = np.array([b"a", b"\x00" * (1 << 20), b"c"], object)
    series = (("S1", "A"), ("S2", "B"))
    sent = MixedBatch(WAVEFORM, series, np.array([0, 1, 1]), np.arange(1, 4), values)
    with pytest.raises(RejectedSamplesError, match=r"waveform of S2, sensor B, time 2 ns: .*long") as caught:
        store.write([rr([1], [1]), sent])
    assert [(k, row) for k, row, _ in caught.value.rejected] == [(1, 1)]
    assert store.read(WAVEFORM, "S2")["frame"].tolist() == [b"c"]


def test_an_answer_about_something_else_is_no_refusal_of_lines():
    """A proxy's error page must not end in thousands of samples thrown away one by one."""
    assert refusal_of(400, "<html>Bad Request</html>") is None
    assert refusal_of(400, json.dumps({"code": "invalid", "message": "failed to decode gzip"})) is None
    assert refusal_of(422, json.dumps({"message": "something"})) is None
    parse = {"code": "invalid", "message": "unable to parse 'a b': missing fields\nunable to parse 'c': x"}
    assert refusal_of(400, json.dumps(parse)) == Refusal("missing fields", 2)


def test_families_have_buckets_of_their_own(influx, bucket, store):
    made = Stream("made_of_samples", "", (Column("x", "float64", ""),), "features")
    batch = Batch(made, "S1", "-", np.array([1]), {"x": np.array([1.0])})
    assert store.write([batch, rr([1], [1])]) == 2
    raw_alone = influx.new_token("read", f"{bucket}-raw")
    with influx.open(bucket, token=raw_alone) as reader:
        assert reader.count(RR_INTERVAL, "S1") == 1
        with pytest.raises(StoreAccessError, match=f"no bucket {bucket}-features, or the token"):
            reader.read(made, "S1")


def test_tokens_may_do_what_they_are_for(influx, bucket, store):
    with influx.open(bucket, token=influx.new_token("write", f"{bucket}-raw")) as gateway:
        assert gateway.write([]) == 0
        assert gateway.write([rr([1, 2], [1, 2])]) == 2
        with pytest.raises(StoreAccessError, match="token has no right to read"):
            gateway.read(RR_INTERVAL, "S1")
    with influx.open(bucket, token=influx.new_token("read", f"{bucket}-raw")) as reader:
        assert reader.read(RR_INTERVAL, "S1")["rr_ms"].tolist() == [1, 2]
        for batches in ([rr([3], [3])], []):
            with pytest.raises(StoreAccessError, match=f"no right to bucket {bucket}-raw"):
                reader.write(batches)


@pytest.mark.parametrize("ask", ["read", "count", "latest", "extent"])
def test_what_is_not_there_never_reads_as_no_data(influx, ask):
    """InfluxDB answers a query to a bucket that does not exist with success and nothing."""
    with influx.open("nowhere") as store, pytest.raises(StoreAccessError, match="no bucket nowhere-raw"):
        getattr(store, ask)(RR_INTERVAL, "S1")


def test_half_an_answer_is_no_answer():
    """As CSV a query that fails ends like one that succeeds, but for the proof."""
    rows = b"name,tags,time,missing,rr_ms\nrr_interval,,1,,812.5\nrr_interval,,2,rr_ms,\n"
    proof = b"\nname,tags,name\ndatabases,,evenkeel-raw\n"
    times, rr_ms = columns_of(io.BytesIO(rows + proof), RR_INTERVAL)
    assert times.tolist() == [1, 2]
    np.testing.assert_array_equal(rr_ms, [812.5, np.nan])
    for broken in (rows, rows[:40], b"", b"error\nsomething\n"):
        with pytest.raises(BrokenOffError):
            columns_of(io.BytesIO(broken), RR_INTERVAL)


def test_what_other_programs_wrote_is_named_or_left_alone(influx, bucket, store):
    store.write([rr([1], [1])])
    influx.write_lines(f"{bucket}-raw", 'weather,place=Basel degrees=3 1\nlink_state,subject=S1 reason="x" 1')
    assert [(s.stream.name, s.subject_id) for s in store.series()] == [("rr_interval", "S1")]
    influx.write_lines(f"{bucket}-raw", 'heart_rate,subject=S1,sensor=A heart_rate_bpm="fast",missing="" 5')
    with pytest.raises(DataError, match=r"heart_rate of S1, sensor A.*another program"):
        store.read(HEART_RATE, "S1")


def test_who_may_not_is_told_so(influx, bucket, caplog):
    """And nothing that is said, logged or shown holds the token."""
    said: list[str] = []
    with influx.open(bucket, token=WRONG_TOKEN) as store:
        caplog.set_level(logging.DEBUG, "urllib3")  # the client turned it down
        for ask in (lambda: store.write([rr([1], [1])]), lambda: store.read(RR_INTERVAL, "S1")):
            with pytest.raises(
                StoreAccessError, match=r"does not know the token.*EVENKEEL_INFLUX_TOKEN"
            ) as caught:
                ask()
            said.append(f"{caught.value!r} {caught.value.__cause__!r} {caught.getrepr(showlocals=True)}")
        said += [repr(store), str(vars(store)), caplog.text]
        assert "/api/v2/write" in caplog.text
    assert WRONG_TOKEN not in " ".join(said)


def test_what_does_not_exist_is_named(influx, bucket):
    with (
        influx.open("nowhere") as store,
        pytest.raises(StoreAccessError, match=r"bucket .*nowhere-raw.*init"),
    ):
        store.write([rr([1], [1])])
    with (
        InfluxTimeSeries(influx.url, org="nobody", token=influx.token, bucket=bucket) as store,
        pytest.raises(StoreAccessError, match=r"organization name .*nobody.*not found"),
    ):
        store.write([rr([1], [1])])


def test_a_server_that_is_not_there(influx):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
        with InfluxTimeSeries(url, org="o", token="t", bucket="b") as store:
            for ask in (lambda: store.write([rr([1], [1])]), lambda: store.read(RR_INTERVAL, "S1")):
                with pytest.raises(StoreUnavailableError, match=rf"{url} cannot be reached.*start it"):
                    ask()


def test_certificates_are_verified(tmp_path, monkeypatch):
    certificate = _certificate(tmp_path)
    server = OwnInfluxServer(needed_binary(), tmp_path, certificate=certificate)
    try:
        bucket = server.new_buckets()
        with (
            server.open(bucket) as store,
            pytest.raises(StoreAccessError, match=r"cannot be trusted.*self.signed"),
        ):
            store.write([rr([1], [1])])
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        with server.open(bucket) as store:
            assert store.write([rr([1], [1])]) == 1
            assert len(store.read(RR_INTERVAL, "S1")) == 1
        plain = server.url.replace("https", "http")
        with (
            InfluxTimeSeries(plain, org=server.org, token=server.token, bucket=bucket) as store,
            pytest.raises(StoreUnavailableError),
        ):
            store.write([rr([1], [1])])
    finally:
        server.kill()


def _certificate(folder: Path) -> Path:
    """Make a certificate of this machine, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.fromtimestamp(SystemClock().now_ns() / NS_PER_S, UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return path


def test_lines_say_what_they_hold():
    values = {"state": np.array(['a "b"\\'], object), "reason": np.array(["x\ny"], object)}
    lines = lines_of(Batch(LINK_STATE, "S 1", "é", np.array([-5]), values), 7, 0, 1)
    assert lines.text.decode() == (
        'link_state,sensor=é,subject=S%201 missing="",state="a \\"b\\"\\\\",reason="x\ny" -5\n'
    )
    assert lines.origin.tolist() == [[7, 0]]
    nan = np.array([np.nan, 1.5])
    pulse = {"heart_rate_bpm": np.array([60.0, np.nan]), "skin_contact": nan, "energy_kj": np.full(2, np.nan)}
    assert lines_of(Batch(HEART_RATE, "S1", "A", np.array([1, 2]), pulse), 0, 0, 2).text.decode() == (
        'heart_rate,sensor=A,subject=S1 missing="skin_contact,energy_kj",heart_rate_bpm=60 1\n'
        'heart_rate,sensor=A,subject=S1 missing="heart_rate_bpm,energy_kj",skin_contact=1.5 2\n'
    )
