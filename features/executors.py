"""Who computes nights: this process, several on this machine, or a Dask cluster. All give the same result.

Only tasks and results travel, never samples: each worker reads what it needs itself, and writes nothing.
"""

import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from threadpoolctl import threadpool_limits

from configs.settings import FeatureSettings
from features.night_source import SourcePlace, open_source
from features.night_work import NightDone, work
from features.plan import NightTask
from store.timeseries import SampleSource

AHEAD = 4
"""Tasks for each worker that are given out at a time: none waits, and little is lost with a worker."""
TRIES = 2
"""A night that ends its worker, alone, so often is named and left out."""
_WAKE_S = 5.0


Compute = Callable[[Sequence[NightTask]], Iterator[NightDone]]
"""Yields what comes of each task, in any order.

Raises `DeviceError` or `ConfigError` if samples cannot be read.
"""


class Crew(Protocol):
    """Computes nights."""

    def at_work(self, models: Mapping[str, str]) -> AbstractContextManager[Compute]:
        """Lend what computes, ready for any number of calls, one after the other.

        Parameters
        ----------
        models : mapping of sensor id to str
            Maker and model.
        """
        ...


class SerialCrew:
    """One night after the other in the process that asks, in order."""

    def __init__(self, source: SampleSource, settings: FeatureSettings) -> None:
        self._source = source
        self._settings = settings

    @contextmanager
    def at_work(self, models: Mapping[str, str]) -> Generator[Compute]:
        """Lend what computes."""
        with _one_thread():
            yield lambda tasks: (work(self._source, task, self._settings, models) for task in tasks)


class PoolCrew:
    """Processes of this machine. One that is killed costs time, and changes nothing.

    Parameters
    ----------
    place : SourcePlace
        Where each process reads.
    settings : FeatureSettings
    workers : int
    beat : callable
        Called at least every few seconds.
    """

    def __init__(
        self,
        place: SourcePlace,
        settings: FeatureSettings,
        workers: int,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._place, self._settings, self._workers, self._beat = place, settings, workers, beat

    @contextmanager
    def at_work(self, models: Mapping[str, str]) -> Generator[Compute]:
        """Lend what computes; its processes are started when they are needed, and once."""
        pool = _Pool(lambda: _processes(self._place, self._settings, models, self._workers))
        try:
            yield lambda tasks: self._compute(pool, tasks)
        finally:
            pool.close()

    def _compute(self, pool: "_Pool", tasks: Sequence[NightTask]) -> Iterator[NightDone]:
        waiting = deque(tasks)
        suspects: deque[tuple[NightTask, int]] = deque()
        while waiting or suspects:
            # After a worker died its neighbours are suspect, too: one at a time tells who it was.
            lost = yield from self._until_broken(pool, waiting, suspects)
            for task, tries in lost:
                if tries < TRIES:
                    suspects.append((task, tries))
                else:
                    yield NightDone(
                        task, failure=f"its worker process was ended {tries} times while at it alone"
                    )

    def _until_broken(
        self, pool: "_Pool", waiting: deque[NightTask], suspects: deque[tuple[NightTask, int]]
    ) -> Generator[NightDone, None, list[tuple[NightTask, int]]]:
        """Work until all is done or a process dies; return the tasks that were lost with it."""
        running: dict[Future[NightDone], tuple[NightTask, int]] = {}
        try:
            while waiting or suspects or running:
                self._hand_out(pool, waiting, suspects, running)
                done, _ = wait(running, timeout=_WAKE_S, return_when=FIRST_COMPLETED)
                self._beat()
                for future in done:
                    night = future.result()
                    del running[future]
                    yield night
        except BrokenProcessPool:
            pool.close()
            return list(running.values())
        finally:
            for future in running:
                future.cancel()
        return []

    def _hand_out(
        self,
        pool: "_Pool",
        waiting: deque[NightTask],
        suspects: deque[tuple[NightTask, int]],
        running: dict[Future[NightDone], tuple[NightTask, int]],
    ) -> None:
        if suspects:
            if not running:
                task, tries = suspects[0]
                running[pool.submit(task)] = (task, tries + 1)
                suspects.popleft()
            return
        while waiting and len(running) < AHEAD * self._workers:
            running[pool.submit(waiting[0])] = (waiting[0], 0)
            waiting.popleft()


class _Pool:
    """Processes that are started when the first task comes, and again after one of them died."""

    def __init__(self, start: Callable[[], ProcessPoolExecutor]) -> None:
        self._start = start
        self._processes: ProcessPoolExecutor | None = None

    def submit(self, task: NightTask) -> Future[NightDone]:
        if self._processes is None:
            self._processes = self._start()
        return self._processes.submit(_work_here, task)

    def close(self) -> None:
        if self._processes is not None:
            self._processes.shutdown(cancel_futures=True)
        self._processes = None


def _processes(
    place: SourcePlace, settings: FeatureSettings, models: Mapping[str, str], workers: int
) -> ProcessPoolExecutor:
    # Spawned, not forked: connections and threads of this process are not theirs.
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open_here,
        initargs=(place, settings, models),
    )


def _one_thread() -> threadpool_limits:
    """Keep linear algebra from threads of its own: its matrices are small, other nights want the cores."""
    return threadpool_limits(1, user_api="blas")


_here: tuple[SampleSource, FeatureSettings, Mapping[str, str]] | None = None
"""What a worker process reads from."""


def _open_here(place: SourcePlace, settings: FeatureSettings, models: Mapping[str, str]) -> None:
    global _here  # noqa: PLW0603 - one process, one source
    threading.Thread(target=end_with_parent, daemon=True).start()
    _one_thread()
    _here = open_source(place), settings, models


def end_with_parent() -> None:
    """Wait until whoever gives out tasks has gone, killed too, and go: nobody else would end this process."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _work_here(task: NightTask) -> NightDone:
    if _here is None:
        raise RuntimeError(task)
    source, settings, models = _here
    return work(source, task, settings, models)
