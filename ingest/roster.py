"""Who wears which sensor, and who has paused: what the collector goes by, read again while it runs."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

from ingest.pauses import EVERYBODY, NOBODY, Pauses, read_pauses
from store.errors import ConfigError, EvenkeelError
from store.registry.people import People
from store.registry.wearing import Wearing

_log = logging.getLogger(__name__)


class Roster:
    """Who wears which sensor now, and who has paused.

    Parameters
    ----------
    wearings : callable
        Returns who wears what, now and soon. Called in a thread, for it may wait for a database.
    pauses : callable
        Returns who has paused; likewise.
    is_fixed : bool
        Whether both always return the same.

    Raises
    ------
    EvenkeelError
        If who wears what cannot be read.
    """

    def __init__(
        self,
        wearings: Callable[[], Sequence[Wearing]],
        pauses: Callable[[], Pauses] = lambda: NOBODY,
        *,
        is_fixed: bool = False,
    ) -> None:
        self.is_fixed = is_fixed
        self._read_wearings, self._read_pauses = wearings, pauses
        self._wearings, self._pauses = wearings(), NOBODY
        self._complaints: tuple[str, ...] = ()
        self._read()

    @classmethod
    def fixed(cls, worn: Mapping[str, str]) -> Self:
        """Return a roster that never changes: sensor address to subject id."""
        wearings = [Wearing(sensor.upper(), subject, 0) for sensor, subject in worn.items()]
        return cls(lambda: wearings, is_fixed=True)

    async def refresh(self) -> None:
        """Read again; while that fails, what was last read holds."""
        await asyncio.to_thread(self._read)

    def worn(self, now_ns: int) -> dict[str, Wearing]:
        """Return what is worn at a time, by sensor."""
        return {each.sensor_id: each for each in self._wearings if each.covers(now_ns)}

    def is_paused(self, subject_id: str, now_ns: int) -> bool:
        """Say whether nothing may be collected from a person at a time."""
        return self._pauses.is_paused(subject_id, now_ns)

    def _read(self) -> None:
        complaints: list[str] = []
        try:
            self._pauses = self._read_pauses()
        except ConfigError as error:
            # Somebody wanted to pause, and it cannot be told who: better too little is collected.
            self._pauses = Pauses({EVERYBODY: None})
            complaints.append(f"{error}; until then everybody is paused")
        try:
            self._wearings = self._read_wearings()
        except EvenkeelError as error:
            complaints.append(f"{error}; until then everybody wears what they wore")
        for complaint in complaints:
            if complaint not in self._complaints:
                _log.warning("%s", complaint)
        self._complaints = tuple(complaints)


def registry_roster(people: People, pause_path: Path) -> Roster:
    """Return the roster of an installation, which follows its registry and its pause file.

    Raises
    ------
    EvenkeelError
        If the registry cannot be read.
    """
    return Roster(people.wearings, lambda: read_pauses(pause_path))
