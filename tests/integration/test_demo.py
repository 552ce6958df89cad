"""The demonstration in this process, with quick stand-ins for its jobs and its dashboard."""

import asyncio
import socket
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from blockbuster import BlockBuster

from ingest.records import Record
from ingest.spool import Spool
from ingest.virtual import demo as module
from ingest.virtual.demo import DemoOutcome, run_demo
from store.errors import ConfigError, RefusedError
from store.installation import Installation
from store.streams import RR_INTERVAL
from store.units import NS_PER_S

PATIENCE_S = 20.0
BEAT = bytes.fromhex("103c0004")
COUNTS = {"heart_rate": 5, "rr_interval": 6, "battery": 1, "link_state": 3}
NOTHING = {"received": {}, "spooled": {}, "stored": {}}

SERVE = """
import socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
while True:
    server.accept()[0].close()
"""
SERVE_ONCE = SERVE.replace("while True:", "for _ in range(1):") + "sys.exit(5)"


@pytest.fixture(autouse=True)
def _may_block(_no_blocking_call: BlockBuster) -> None:
    # Opening and closing the installation happens before and after anything is live.
    _no_blocking_call.deactivate()


@pytest.fixture
def home(tmp_path: Path) -> Installation:
    return Installation(tmp_path / "home")


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Process]]:
    """Let other programs stand in for `evenkeel ...`, by the first word; return those that were started."""

    def use(**programs: str) -> list[Process]:
        started: list[Process] = []

        async def start(_show: object, *words: str) -> Process:
            program = programs.get(words[0], "")
            process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, words[-1])
            started.append(process)
            return process

        monkeypatch.setattr(module._Show, "_start", start)
        return started

    return use


def run(home: Installation, **options) -> DemoOutcome:
    async def limited() -> DemoOutcome:
        async with asyncio.timeout(PATIENCE_S):
            return await run_demo(home, **{"seconds": 3.0, "port": None, "days": 1, **options})

    return asyncio.run(limited())


def ended(started: list[Process]) -> bool:
    return all(process.returncode is not None for process in started)


def test_what_is_received_is_spooled_and_stored(home, port, stand_in, capsys) -> None:
    started = stand_in(dashboard=SERVE)
    outcome = run(home, port=port)
    assert outcome.agrees()
    assert outcome.was_live
    assert outcome.received["heart_rate"] >= 2
    assert ended(started)
    assert f"http://127.0.0.1:{port}/sign-in/once/" in capsys.readouterr().err


def test_what_a_killed_one_left_is_forwarded_by_the_next(home, port, stand_in) -> None:
    stand_in(dashboard=SERVE)
    old_ns = home.clock.now_ns() - 3600 * NS_PER_S
    left = Record("heart_rate_measurement", "SIM-01", "C0:5E:00:00:00:01", old_ns, 0, BEAT)
    with Spool(home.spool_path("demo"), home.clock) as spool:
        spool.put(left)
    assert run(home, port=port, seconds=4.0).agrees()
    with Spool(home.spool_path("demo"), home.clock) as spool:
        assert spool.is_empty()
    with home.timeseries() as store:
        assert store.count(RR_INTERVAL, "SIM-01", old_ns, old_ns + 1) == 1


def test_a_dashboard_that_ends_ends_it_with_a_sentence(home, port, stand_in) -> None:
    started = stand_in(dashboard=SERVE_ONCE)
    with pytest.raises(ConfigError, match="dashboard ended with status 5 while the demonstration ran"):
        run(home, port=port, seconds=None)
    assert ended(started)


def test_a_job_that_fails_ends_it_with_a_sentence(home, port, stand_in) -> None:
    stand_in(features="import sys; sys.exit(3)")
    with pytest.raises(ConfigError, match="`evenkeel features run` ended with status 3"):
        run(home, port=port)
    with Spool(home.spool_path("demo"), home.clock) as spool:
        assert spool.is_empty()


async def test_collecting_stops_at_any_moment(home) -> None:
    stumbled: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: stumbled.append(context))
    live = module.cohort(date(2026, 1, 20))[:3]
    with home.timeseries() as store, Spool(home.spool_path("demo"), home.clock) as spool:
        for turns in [*range(0, 100, 4), *range(100, 800, 50)]:
            until = asyncio.Event()
            collecting = asyncio.create_task(module._collect_live(live, home, store, spool, until))
            for _ in range(turns):
                await asyncio.sleep(0)
            until.set()
            await asyncio.wait_for(collecting, PATIENCE_S)
    assert stumbled == []


@pytest.mark.parametrize("stage", ["features", "flags"])
def test_stopped_during_a_job_the_counts_agree(home, port, stand_in, monkeypatch, stage) -> None:
    started = stand_in(**{stage: "import time; time.sleep(60)"})
    stops: list[asyncio.Event] = []
    monkeypatch.setattr(module, "stop_on_signals", stops.append)

    async def stop_when_started(show: object, process: Process, within_s: float | None = None) -> bool:
        if len(started) == ("features", "flags").index(stage) + 1:
            stops[0].set()
        return await has_ended(show, process, within_s)

    has_ended = module._Show._has_ended
    monkeypatch.setattr(module._Show, "_has_ended", stop_when_started)
    outcome = run(home, port=port, seconds=None)
    assert outcome.agrees()
    assert not outcome.was_live
    assert ended(started)


def test_stopped_during_the_history_the_counts_agree(home, port, stand_in, monkeypatch) -> None:
    started = stand_in()
    monkeypatch.setattr(module, "stop_on_signals", asyncio.Event.set)
    outcome = run(home, port=port, seconds=None, days=90)
    assert outcome.agrees()
    assert started == []


def test_a_port_that_somebody_else_serves_is_refused_at_once(home, stand_in) -> None:
    started = stand_in(dashboard=SERVE)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(ConfigError, match=f"^Port {taken} on 127.0.0.1 cannot be listened on"):
            run(home, port=taken)
        assert module._port_to_serve("127.0.0.1", None, taken) != taken
    assert started == []


def test_a_port_just_left_is_free(port) -> None:
    with socket.create_server(("127.0.0.1", port)) as server:
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first keeps the address for a minute
        client.close()
    assert module._port_to_serve("127.0.0.1", None, port) == port


def test_real_people_are_refused(home) -> None:
    with home.registry() as registry:
        registry.people.add_subject("S001", "UTC")
    with pytest.raises(RefusedError, match=r"1 people who are not simulated \(S001"):
        run(home)


def test_two_at_once_in_one_home_are_refused(home, stand_in) -> None:
    stand_in()
    with (
        Spool(home.spool_path("demo"), home.clock),
        pytest.raises(RefusedError, match="in use by another evenkeel process"),
    ):
        run(home)


@pytest.mark.parametrize(
    ("changed", "agrees"),
    [
        ({}, True),
        ({"stored": {**COUNTS, "rr_interval": 5}}, False),
        ({"spooled": {**COUNTS, "battery": 2}}, False),
        ({"refused": 1}, False),
        (NOTHING, False),
        (NOTHING | {"was_live": False}, True),
    ],
)
def test_counts_agree_only_if_all_are_the_same(changed, agrees) -> None:
    told = {"received": COUNTS, "spooled": COUNTS, "stored": COUNTS, "refused": 0, "was_live": True}
    outcome = DemoOutcome(**{**told, **changed})
    assert outcome.agrees() is agrees
    assert outcome.line().endswith("all agree" if agrees else "THEY DIFFER")


def test_a_child_ends_with_the_process_that_started_it() -> None:
    program = (
        "import threading; from ingest.virtual import leash; print('up', flush=True); "
        "leash.runpy.run_module = lambda *_a, **_k: threading.Event().wait(); leash.main()"
    )
    with subprocess.Popen(
        [sys.executable, "-P", "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        try:
            child.stdout.readline()
            assert child.poll() is None
            child.stdin.close()
            assert child.wait(PATIENCE_S) != 0
        finally:
            child.kill()
