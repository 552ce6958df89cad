"""`evenkeel store`, `backup` and `restore` as an operator runs them, and an InfluxDB made from nothing."""

import sys
from pathlib import Path

import numpy as np
import pytest

import evenkeel
from features.nights import NIGHT_STREAM
from store.errors import EvenkeelError, StoreUnavailableError
from store.influx import InfluxTimeSeries
from store.influx_setup import FAMILIES, ROLES, keep_token, prepare_influx
from store.installation import Installation
from store.places import InfluxPlace, token_in
from store.streams import RR_INTERVAL, Stream
from store.timeseries import Batch
from tests.influxd import ABSENT, OwnInfluxServer, influxd_binary

FLAG_STREAM = Stream("flag_of_a_test", "", RR_INTERVAL.columns, "flags")
STREAM_OF = {"raw": RR_INTERVAL, "features": NIGHT_STREAM, "flags": FLAG_STREAM}


class UntouchedInfluxServer(OwnInfluxServer):
    """A server that nobody has set up."""

    def api(self, method, path, body=None):
        return None if path == "/api/v2/setup" else super().api(method, path, body)


@pytest.fixture
def untouched(tmp_path: Path):
    binary = influxd_binary()
    if binary is None:
        pytest.skip(ABSENT)
    (tmp_path / "influxd").mkdir()
    server = UntouchedInfluxServer(binary, tmp_path / "influxd")
    yield server
    server.kill()


@pytest.fixture
def run(monkeypatch, capsys):
    """Run one command line; return its status and what it said."""

    def run(*words: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["evenkeel", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            evenkeel.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out + said.err

    return run


def one(stream: Stream) -> Batch:
    values = {
        column.name: np.array(["x"], object) if column.dtype == "utf8" else np.array([1], column.dtype)
        for column in stream.columns
    }
    return Batch(stream, "S1", "A", np.array([1_767_643_200_000_000_000]), values)


def may(ask) -> bool:
    try:
        ask()
    except EvenkeelError:
        return False
    return True


def test_an_untouched_influxdb_is_made_ready_once(untouched, tmp_path):
    place, folder = InfluxPlace(untouched.url, "our clinic", "ward"), tmp_path / "secrets"
    days = {"raw": 0, "features": 400, "flags": 0}
    first = prepare_influx(place, folder, days)
    assert len(first.made) == 7  # organisation, two buckets more, four tokens
    assert [path for path in folder.iterdir() if path.stat().st_mode & 0o077] == []
    held = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(set(held.values())) == len(ROLES) + 1
    assert prepare_influx(place, folder, days).made == ()
    assert {path.name: path.read_text() for path in folder.iterdir()} == held
    assert prepare_influx(place, folder, days | {"raw": 30}).made == (
        "retention of bucket ward-raw: 30 days",
    )
    first.token_files["jobs"].unlink()
    assert prepare_influx(place, folder, days).made == (
        "retention of bucket ward-raw: for ever",
        "token of the jobs",
    )
    _each_token_may_do_its_part_and_no_more(place, folder)
    _a_token_of_no_administrator_is_refused(place, folder, tmp_path)


def _each_token_may_do_its_part_and_no_more(place: InfluxPlace, folder: Path) -> None:
    for role, grants in ROLES.items():
        token = token_in(folder / f"influx-{role}.token")
        with InfluxTimeSeries(place.url, org=place.org, token=token, bucket=place.bucket) as store:
            for family in FAMILIES:
                stream = STREAM_OF[family]
                can = {
                    "write": may(lambda store=store, stream=stream: store.write([one(stream)])),
                    "read": may(lambda store=store, stream=stream: store.read(stream, "S1")),
                }
                assert can == {action: (action, family) in grants for action in can}, (role, family)


def _a_token_of_no_administrator_is_refused(place: InfluxPlace, folder: Path, tmp_path: Path) -> None:
    nothing = dict.fromkeys(FAMILIES, 0)
    keep_token(tmp_path / "wrong", "wrong")
    for path in (tmp_path / "wrong", folder / "influx-jobs.token"):
        with pytest.raises(EvenkeelError, match="--admin-token-file"):
            prepare_influx(place, tmp_path / "elsewhere", nothing, path)
    with pytest.raises(EvenkeelError, match=r"was set up before.*--admin-token-file"):
        prepare_influx(place, tmp_path / "elsewhere", nothing)


def test_a_server_that_is_not_there_is_named(tmp_path):
    with pytest.raises(StoreUnavailableError, match=r"127\.0\.0\.1:1 cannot be reached"):
        prepare_influx(InfluxPlace("http://127.0.0.1:1"), tmp_path, dict.fromkeys(FAMILIES, 0))


def test_from_embedded_to_influxdb_and_into_a_backup(untouched, tmp_path, run, monkeypatch):
    """Made, moved, looked at, backed up and restored, with what the commands themselves say to set."""
    home = tmp_path / "home"
    monkeypatch.setenv("EVENKEEL_HOME", str(home))
    with Installation(home).timeseries() as store:
        store.write([one(RR_INTERVAL), one(NIGHT_STREAM)])
    url = f"{untouched.url}?org=clinic"
    monkeypatch.setenv("EVENKEEL_STORE_URL", url)
    assert run("store", "check")[0] == 2  # no token yet
    status, said = run("store", "init")
    assert (status, "Made token of the gateway" in said) == (0, True)
    for path in (home / "secrets").iterdir():
        assert path.read_text().strip() not in said
    monkeypatch.setenv("EVENKEEL_INFLUX_TOKEN_FILE", str(home / "secrets" / "influx-operator.token"))
    copied = run("store", "copy", "--from", "sqlite:///samples.sqlite", "--to", url)
    assert copied == (0, "2 samples in 2 series: 2 written, 0 were there\n")
    status, said = run("store", "check")
    assert status == 0
    assert [line.split()[:2] for line in said.splitlines()] == [
        [f"{url}&bucket=evenkeel"],
        ["night", "1"],
        ["rr_interval", "1"],
    ]
    assert run("store", "check", "--against", "sqlite:///samples.sqlite")[0] == 0
    assert run("backup", tmp_path / "backup")[0] == 0
    assert run("backup", "--check", tmp_path / "backup")[0] == 0
    assert run("restore", tmp_path / "backup", "--into", tmp_path / "new")[0] == 0
    assert run("store", "check", "--against", f"sqlite:///{tmp_path}/new/samples.sqlite")[0] == 0


def test_what_differs_is_named_and_ends_with_status_3(tmp_path, run, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path))
    with Installation(tmp_path).timeseries() as store:
        store.write([one(RR_INTERVAL)])
    Installation(tmp_path, store_url="sqlite:///empty.sqlite").timeseries().close()
    status, said = run("store", "check", "--against", "sqlite:///empty.sqlite")
    assert (status, "rr_interval of S1, sensor A, hour from 2026-01-05T20:00:00Z: 1 missing" in said) == (
        3,
        True,
    )
    assert run("backup", tmp_path.with_name("kept"))[0] == 0
    (tmp_path.with_name("kept") / "samples.sqlite").unlink()
    assert run("backup", "--check", tmp_path.with_name("kept")) == (3, "samples.sqlite is missing\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["store", "copy", "--from", "sqlite:///a", "--to", "sqlite:///a"], "needed are two"),
        (["store", "copy", "--from", "sqlite:///a", "--to", "sqlite:///b"], "There is no store"),
        (["store", "check", "--against", "sqlite:///b"], "There is no store"),
        (["store", "copy", "--from", "ftp://a", "--to", "sqlite:///b"], "begins with 'ftp'"),
        (["backup", "--check", "/nowhere"], "no whole backup"),
        (["restore", "/nowhere", "--into", "new"], "no whole backup"),
        (
            ["restore", "/nowhere", "--into", "new", "--registry", "postgresql+psycopg://u:s3cret@h/d"],
            "PGPASSFILE",
        ),
        (["restore", "/nowhere", "--into", "new", "--registry", "sqlite:///x"], "begins with 'sqlite'"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(tmp_path, run, monkeypatch, words, said):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path))
    status, printed = run(*words)
    assert status == 2
    assert said in printed
    assert "s3cret" not in printed
    assert list(tmp_path.glob("?")) == []


def test_a_damaged_file_is_found(tmp_path, run, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path))
    t_ns = np.arange(20_000)
    with Installation(tmp_path).timeseries() as store:
        store.write([Batch(RR_INTERVAL, "S1", "A", t_ns, {"rr_ms": t_ns / 7})])
    assert run("store", "check")[0] == 0
    held = bytearray((tmp_path / "samples.sqlite").read_bytes())
    page = len(held) // 2 // 4096 * 4096
    held[page : page + 2048] = b"\xff" * 2048
    (tmp_path / "samples.sqlite").write_bytes(held)
    status, said = run("store", "check")
    assert (status, "samples.sqlite" in said) == (3, True)


def test_init_of_an_embedded_store_makes_the_file(tmp_path, run, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path))
    assert run("store", "init") == (
        0,
        f"The store is sqlite:///{tmp_path}/samples.sqlite; nothing else is needed\n",
    )
    assert (tmp_path / "samples.sqlite").exists()


def test_the_settings_that_come_along_may_name_another_store(tmp_path, run, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path / "home"))
    Installation(tmp_path / "home").timeseries().close()
    (tmp_path / "home" / "evenkeel.toml").write_text("[store]\nurl = 'sqlite:///moved.sqlite'\n")
    assert run("backup", tmp_path / "backup")[0] == 0
    assert "set store.url" in run("restore", tmp_path / "backup", "--into", tmp_path / "new")[1]
