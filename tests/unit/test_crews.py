"""Whoever computes, and whoever of them is killed: the table is that of one process, bit for bit."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from features import dask_crew
from features.dask_crew import DaskCrew
from features.executors import PoolCrew
from features.job import run_features
from features.night_source import SourcePlace
from store.errors import StoreUnavailableError
from tests.unit.test_incremental import SETTINGS, night_batches, table

NIGHTS = 12
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(installation, store, registry) -> SourcePlace:
    registry.people.add_subject("S1", "Europe/Berlin")
    store.write([batch for day in range(NIGHTS) for batch in night_batches(day, hours=0.5)])
    run_features(store, registry, SETTINGS, now_ns=1)
    return SourcePlace(str(installation.store_place()))


def ending(pids: Callable[[], list[int]]) -> Callable[[str, int, int], None]:
    """Return a `progress` that kills a worker when the third night is done."""

    def progress(_subject: str, done: int, _total: int) -> None:
        if done == 3:
            os.kill(pids()[0], signal.SIGKILL)

    return progress


def test_a_process_that_is_killed_changes_nothing(store, registry, place):
    reference = table(store)
    killed: list[int] = []

    def workers() -> list[int]:
        killed.extend(each.pid for each in multiprocessing.active_children() if each.pid)
        return killed

    crew = PoolCrew(place, SETTINGS, 2)
    more = {"is_all": True, "crew": crew, "progress": ending(workers)}
    done = run_features(store, registry, SETTINGS, now_ns=2, **more)
    assert (done.nights, done.failed, len(killed) > 0) == (NIGHTS, (), True)
    assert table(store) == reference
    assert multiprocessing.active_children() == []


def test_processes_go_when_the_run_is_killed(installation, place):
    """Nobody else would ever end them."""
    words = [sys.executable, "-m", "evenkeel", "--home", str(installation.home), "features", "run", "--all"]
    with subprocess.Popen([*words, "--workers", "2"], cwd=ROOT, stderr=subprocess.DEVNULL) as run:
        children = Path(f"/proc/{run.pid}/task/{run.pid}/children")
        if not children.exists():
            run.kill()
            pytest.skip("this kernel does not tell who is whose child")
        pids = wait_for(lambda: [pid for pid in children.read_text().split() if reads_samples(pid)])
        run.kill()
    wait_for(lambda: not any(reads_samples(pid) for pid in pids))


def reads_samples(pid: str) -> bool:
    """Say whether a process has the store open."""
    try:
        return any(each.readlink().name == "samples.sqlite" for each in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def wait_for(look):
    give_up_s = time.monotonic() + 60
    while not (seen := look()):
        assert time.monotonic() < give_up_s
        threading.Event().wait(0.05)
    return seen


@pytest.fixture(scope="module")
def cluster():
    """A Dask cluster of two worker processes, each with a nurse that starts it again."""
    distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
    ) as made:
        yield made


def test_a_cluster_computes_the_same_while_a_worker_is_killed(store, registry, place, cluster):
    reference = table(store)
    crew = DaskCrew(cluster.scheduler_address, place, SETTINGS)

    def workers() -> list[int]:
        return [nanny.process.pid for nanny in cluster.workers.values()]

    more = {"is_all": True, "crew": crew, "progress": ending(workers)}
    done = run_features(store, registry, SETTINGS, now_ns=2, **more)
    assert (done.nights, done.failed) == (NIGHTS, ())
    assert table(store) == reference


def test_a_cluster_that_is_not_there_is_named(store, registry, place, monkeypatch):
    monkeypatch.setattr(dask_crew, "CONNECT_TIMEOUT_S", 0.2)
    crew = DaskCrew("tcp://127.0.0.1:9", place, SETTINGS)
    with pytest.raises(StoreUnavailableError, match=r"tcp://127.0.0.1:9 cannot be reached"):
        run_features(store, registry, SETTINGS, now_ns=2, is_all=True, crew=crew)
