"""Nights computed by a Dask cluster that stands elsewhere; needs the extra `dask`."""

import functools
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import distributed

from configs.settings import FeatureSettings
from features.code_version import code_version
from features.executors import AHEAD
from features.night_source import SourcePlace, open_source
from features.night_work import NightDone, work
from features.plan import NightTask
from store.errors import ConfigError, StoreUnavailableError
from store.timeseries import SampleSource

CONNECT_TIMEOUT_S = 10
_WAKE_S = 5.0
# Dask comes without complete types.
_dask: Any = cast("Any", distributed)


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

    def run(self, tasks: Sequence[NightTask], models: Mapping[str, str]) -> Iterator[NightDone]:
        """Yield what comes of each task, as it comes."""
        waiting = deque(tasks)
        try:
            client = _dask.Client(self._address, timeout=CONNECT_TIMEOUT_S, set_as_default=False)
        except (OSError, TimeoutError) as error:
            raise StoreUnavailableError(
                f"The Dask scheduler {self._address} cannot be reached ({error}); start it, or leave out "
                "--scheduler"
            ) from None
        with client:
            running: dict[Any, NightTask] = {}
            known = client.scatter(dict(models), broadcast=True) if tasks else None
            while waiting or running:
                room = AHEAD * max(sum(client.nthreads().values()), 1) - len(running)
                for _ in range(min(room, len(waiting))):
                    task = waiting.popleft()
                    asked = (self._place, self._settings, code_version(), task, known)
                    running[client.submit(_work_there, *asked, pure=False)] = task
                yield from self._finished(running)

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
