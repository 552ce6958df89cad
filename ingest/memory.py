"""What the collector remembers of each wearable, such as up to when its memory was downloaded."""

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn, cast

from store.clock import Clock
from store.errors import EvenkeelError, HomeError

SAVE_RETRY_S = 60
"""Where it could not be written the disk is full or failing; someone has to mend it."""

_log = logging.getLogger(__name__)

_Numbers = dict[str, dict[str, int]]


class WearableMemory:
    """A few numbers for each person's wearable, in a small file.

    Parameters
    ----------
    path : Path or None
        Where they are kept over restarts; None keeps them in this process only.
    before_saving : callable
        Called in a thread before they are written: makes sure that what they speak of is on disk.

    Raises
    ------
    HomeError
        If the file is there but cannot be read.
    """

    def __init__(self, path: Path | None = None, before_saving: Callable[[], None] = lambda: None) -> None:
        self._path = path
        self._before_saving = before_saving
        self._held: _Numbers = {} if path is None else _loaded(path)
        self._changed = asyncio.Event()

    def of(self, subject_id: str, sensor_id: str) -> Mapping[str, int]:
        """Return what is remembered of a person's wearable."""
        return MappingProxyType(self._held.get(_key(subject_id, sensor_id), {}))

    def remember(self, subject_id: str, sensor_id: str, key: str, value: int) -> None:
        """Remember a number from now on."""
        self._held.setdefault(_key(subject_id, sensor_id), {})[key] = value
        self._changed.set()

    async def save_changes(self, clock: Clock) -> NoReturn:
        """Write to disk what was remembered, as soon as it is, until cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            text = json.dumps(self._held, indent=1)
            try:
                await asyncio.to_thread(self._save, text)
            except EvenkeelError as error:
                _log.warning("%s; tried again in %d s", error, SAVE_RETRY_S)
                await clock.sleep(SAVE_RETRY_S)
                self._changed.set()

    def _save(self, text: str) -> None:
        self._before_saving()
        if self._path is not None:
            _write(self._path, text)


def forget_wearables(path: Path, subject_id: str) -> None:
    """Remove what a file remembers of a person's wearables; no collector may be using it.

    Raises
    ------
    HomeError
        If the file cannot be read or written.
    """
    held = _loaded(path)
    kept = {key: numbers for key, numbers in held.items() if not key.startswith(_key(subject_id, ""))}
    if kept != held:
        _write(path, json.dumps(kept, indent=1))


def _key(subject_id: str, sensor_id: str) -> str:
    return f"{subject_id} {sensor_id}"


def _write(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.fresh")
    try:
        with fresh.open("w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except OSError as error:
        raise HomeError(f"{path} cannot be written ({error.strerror}); make room on the disk") from None


def _loaded(path: Path) -> _Numbers:
    try:
        return cast("_Numbers", json.loads(path.read_text()))
    except FileNotFoundError:
        return {}
    except ValueError:
        # Forgetting only makes a wearable send again what is stored already, which replaces itself.
        _log.warning("%s is damaged; wearables are asked again for all that they have stored", path)
        return {}
    except OSError as error:
        raise HomeError(f"{path} cannot be read ({error.strerror}); make it yours") from None
