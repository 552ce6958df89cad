"""An installation: one directory with samples, registry, spool and secrets, and how to open each."""

import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

from configs.settings import Settings, SettingsError, load_settings
from store.clock import Clock, SystemClock
from store.errors import ConfigError, HomeError
from store.places import Place, open_place, place_of, registry_place
from store.registry.registry import Registry
from store.registry.sealing import Seals
from store.timeseries import TimeSeriesStore

_SECRET_BYTES = 32


class Installation:
    """Everything evenkeel keeps, under one directory that only its owner may read.

    Parameters
    ----------
    home : Path
        Made if it does not exist.
    store_url : str, optional
        Where the samples are, instead of what the settings say.

    Raises
    ------
    HomeError
        If the directory cannot be made or written.
    ConfigError
        If a setting is wrong.
    """

    def __init__(self, home: Path, clock: Clock | None = None, *, store_url: str | None = None) -> None:
        self.home = home
        self.clock: Clock = clock or SystemClock()
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=home):
                pass
        except OSError as error:
            raise HomeError(
                f"{home} cannot be written ({error.strerror}); needed is a directory of your own: "
                "name one with --home DIR or EVENKEEL_HOME"
            ) from None
        try:
            self.settings: Settings = load_settings(home)
        except SettingsError as error:
            raise ConfigError(str(error)) from None
        self.store_url = store_url or self.settings.store.url

    def store_place(self) -> Place:
        """Return where the samples are.

        Raises
        ------
        ConfigError
            If `store.url` names no place.
        """
        return place_of(self.store_url, self.home)

    def timeseries(self, *, answer_timeout_s: float | None = None) -> TimeSeriesStore:
        """Open the store of samples.

        Parameters
        ----------
        answer_timeout_s : float, optional
            How long a server may be silent before a read or write fails.

        Raises
        ------
        ConfigError
            If `store.url` names none, or its token is missing.
        """
        return open_place(self.store_place(), answer_timeout_s=answer_timeout_s)

    def registry(self) -> Registry:
        """Open the registry.

        Raises
        ------
        ConfigError
            If `registry.url` names none, or a key for it cannot be used.
        """
        place = registry_place(self.settings.registry.url, self.home)
        return Registry(place, self.clock, home=self.home, seals=Seals.from_environment())

    def spool_path(self, name: str = "collector") -> Path:
        """Return where a collector keeps frames until the store has them."""
        return self._directory("spool") / f"{name}.sqlite"

    def secret(self, name: str) -> bytes:
        """Return a random secret of this installation, made on first use and readable by its owner only."""
        path = self._directory("secrets") / name
        if not path.exists():
            fresh = path.with_name(f".{name}.{secrets.token_hex(4)}")
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(_SECRET_BYTES))
            with suppress(FileExistsError):  # another process was faster: its secret holds for both
                path.hardlink_to(fresh)
            fresh.unlink()
        held = path.read_bytes()
        if len(held) != _SECRET_BYTES:
            raise HomeError(
                f"{path} holds {len(held)} bytes, {_SECRET_BYTES} needed; delete it and a new one is made "
                "(everybody signs in again)"
            )
        return held

    def keep_secret(self, name: str, text: str) -> Path:
        """Write a secret for whoever owns the installation, replacing an older one; return where it is."""
        path = self._directory("secrets") / name
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"{text}\n")
        return path

    def _directory(self, name: str) -> Path:
        path = self.home / name
        try:
            path.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"{path} cannot be made ({error.strerror}); needed is a directory, or nothing of that name"
            ) from None
        return path
