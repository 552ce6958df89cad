"""Nights computed by a Dask cluster that stands elsewhere; needs the extra `dask`."""

import functools
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from typing import Any, cast

import distributed

from configs.settings import FeatureSettings
from features.code_version import code_version
from features.executors import AHEAD, Compute
from features.night_source import SourcePlace, open_source
from features.night_work import NightDone, work
from features.plan import NightTask
from store.errors import ConfigError, StoreUnavailableError
from store.timeseries import SampleSource

CONNECT_TIMEOUT_S = 10
WORKERS_TIMEOUT_S = 60
"""A cluster that grows on demand starts its first worker within this time."""
_WAKE_S = 5.0
# Dask comes without complete types.
_dask: Any = cast("Any", distributed)
_LOST: tuple[type[BaseException], ...] = (CancelledError, OSError)
"""What becomes of a future when its scheduler goes."""


class DaskCrew:
    """Workers of a cluster, each with evenkeel of the same version and access to the same samples.

    Dask gives a night to another worker when one dies, and gives the night up after several did.

    Parameters
    ----------
    address : str
        Of the scheduler, such as `tcp://host:8786`, or `tls://` with certificates in Dask's configuration.
    place : SourcePlace
        Where each worker reads.
    settings : FeatureSettings
    beat : callable
        Called at least every few seconds.
    """

    def __init__(
        self,
        address: str,
        place: SourcePlace,
        settings: FeatureSettings,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        self._address, self._place, self._settings, self._beat = address, place, settings, beat

    @contextmanager
    def at_work(self, models: Mapping[str, str]) -> Generator[Compute]:
        """Lend what computes, by one connection to the scheduler.

        Raises
        ------
        StoreUnavailableError
            If it cannot be reached, or has no workers.
        """
        try:
            client = _dask.Client(self._address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise StoreUnavailableError(
                f"The Dask scheduler {self._address} cannot be reached ({error}); start it, or leave out "
                "--scheduler"
            ) from None
        with client, client.as_current():
            self._wait_for_workers(client)
            # As a task, not as data: if the worker that holds it dies, it is made again.
            known = client.submit(dict, sorted(models.items()), pure=False)
            yield lambda tasks: self._compute(client, tasks, known)

    def _wait_for_workers(self, client: Any) -> None:  # noqa: ANN401 - of Dask
        for _ in range(round(WORKERS_TIMEOUT_S / _WAKE_S)):
            if client.nthreads():
                return
            self._beat()
            with suppress(TimeoutError):
                client.wait_for_workers(1, timeout=_WAKE_S)
        raise StoreUnavailableError(
            f"The Dask scheduler {self._address} has had no worker for {WORKERS_TIMEOUT_S} s; start some: "
            f"dask worker {self._address}"
        )

    def _compute(self, client: Any, tasks: Sequence[NightTask], known: Any) -> Iterator[NightDone]:  # noqa: ANN401
        waiting = deque(tasks)
        running: dict[Any, NightTask] = {}
        while waiting or running:
            room = AHEAD * max(sum(client.nthreads().values()), 1) - len(running)
            for _ in range(min(room, len(waiting))):
                task = waiting.popleft()
                asked = (self._place, self._settings, code_version(), task, known)
                running[client.submit(_work_there, *asked, pure=False)] = task
            try:
                yield from self._finished(running)
            except _LOST as error:
                raise StoreUnavailableError(
                    f"The Dask scheduler {self._address} was lost ({error}); run it again, and it takes up "
                    "what is left"
                ) from None

    def _finished(self, running: dict[Any, NightTask]) -> Iterator[NightDone]:
        """Wait a while for some, and yield them."""
        try:
            done = _dask.wait(list(running), timeout=_WAKE_S, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = ()
        self._beat()
        for future in done:
            task = running.pop(future)
            try:
                yield future.result()
            except _dask.KilledWorker as error:
                yield NightDone(task, failure=f"the cluster lost its worker several times ({error})")


def _work_there(
    place: SourcePlace, settings: FeatureSettings, code: str, task: NightTask, models: Mapping[str, str]
) -> NightDone:
    if code_version() != code:
        raise ConfigError(
            f"A worker of the cluster has evenkeel {code_version()}, needed is {code}: install the same "
            "version of it, and of its libraries, everywhere"
        )
    return work(_opened(place), task, settings, models)


@functools.cache
def _opened(place: SourcePlace) -> SampleSource:
    return open_source(place)
