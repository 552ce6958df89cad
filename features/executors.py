"""Who computes nights: this process, several on this machine, or a Dask cluster. All give the same result.

Only tasks and results travel, never samples: each worker reads what it needs itself, and writes nothing.
"""

import multiprocessing
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol

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


class Crew(Protocol):
    """Computes nights."""

    def run(self, tasks: Sequence[NightTask], models: Mapping[str, str]) -> Iterator[NightDone]:
        """Yield what comes of each task, in any order.

        Parameters
        ----------
        tasks : sequence of NightTask
        models : mapping of sensor id to str
            Maker and model.

        Raises
        ------
        DeviceError, ConfigError
            If samples cannot be read.
        """
        ...


class SerialCrew:
    """One night after the other in the process that asks."""

    def __init__(self, source: SampleSource, settings: FeatureSettings) -> None:
        self._source = source
        self._settings = settings

    def run(self, tasks: Sequence[NightTask], models: Mapping[str, str]) -> Iterator[NightDone]:
        """Yield what comes of each task, in order."""
        for task in tasks:
            yield work(self._source, task, self._settings, models)


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

    def run(self, tasks: Sequence[NightTask], models: Mapping[str, str]) -> Iterator[NightDone]:
        """Yield what comes of each task, as it comes."""
        waiting = deque(tasks)
        suspects: deque[tuple[NightTask, int]] = deque()
        while waiting or suspects:
            # After a worker died its neighbours are suspect, too: one at a time tells who it was.
            lost = yield from self._until_broken(waiting, suspects, models)
            for task, tries in lost:
                if tries < TRIES:
                    suspects.append((task, tries))
                else:
                    yield NightDone(
                        task, failure=f"its worker process was ended {tries} times while at it alone"
                    )

    def _until_broken(
        self,
        waiting: deque[NightTask],
        suspects: deque[tuple[NightTask, int]],
        models: Mapping[str, str],
    ) -> Generator[NightDone, None, list[tuple[NightTask, int]]]:
        """Work in one pool until all is done or a process dies; return the tasks that were lost with it."""
        running: dict[Future[NightDone], tuple[NightTask, int]] = {}
        with _pool(self._place, self._settings, models, self._workers) as pool:
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
                return list(running.values())
            finally:
                for future in running:
                    future.cancel()
        return []

    def _hand_out(
        self,
        pool: ProcessPoolExecutor,
        waiting: deque[NightTask],
        suspects: deque[tuple[NightTask, int]],
        running: dict[Future[NightDone], tuple[NightTask, int]],
    ) -> None:
        if suspects:
            if not running:
                task, tries = suspects[0]
                running[pool.submit(_work_here, task)] = (task, tries + 1)
                suspects.popleft()
            return
        while waiting and len(running) < AHEAD * self._workers:
            running[pool.submit(_work_here, waiting[0])] = (waiting[0], 0)
            waiting.popleft()


def _pool(
    place: SourcePlace, settings: FeatureSettings, models: Mapping[str, str], workers: int
) -> ProcessPoolExecutor:
    # Spawned, not forked: connections and threads of this process are not theirs.
    return ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_open_here,
        initargs=(place, settings, models),
    )


_here: tuple[SampleSource, FeatureSettings, Mapping[str, str]] | None = None
"""What a worker process reads from."""


def _open_here(place: SourcePlace, settings: FeatureSettings, models: Mapping[str, str]) -> None:
    global _here  # noqa: PLW0603 - one process, one source
    _here = open_source(place), settings, models


def _work_here(task: NightTask) -> NightDone:
    if _here is None:
        raise RuntimeError(task)
    source, settings, models = _here
    return work(source, task, settings, models)
