"""An installation: one directory with samples, registry, spool and secrets, and how to open each."""

import secrets
from pathlib import Path

from configs.settings import Settings, SettingsError, load_settings
from store.clock import Clock, SystemClock
from store.errors import ConfigError, HomeError
from store.registry.registry import Registry
from store.sqlite import SqliteTimeSeries
from store.timeseries import TimeSeriesStore


class Installation:
    """Everything evenkeel keeps, under one directory that only its owner may read.

    Parameters
    ----------
    home : Path
        Made if it does not exist.

    Raises
    ------
    HomeError
        If the directory cannot be made or written.
    ConfigError
        If a setting is wrong.
    """

    def __init__(self, home: Path, clock: Clock | None = None) -> None:
        self.home = home
        self.clock: Clock = clock or SystemClock()
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            probe = home / ".writable"
            probe.touch(mode=0o600)
            probe.unlink()
        except OSError as error:
            raise HomeError(
                f"{home} cannot be written ({error.strerror}); needed is a directory of your own: "
                "name one with --home DIR or EVENKEEL_HOME"
            ) from None
        try:
            self.settings: Settings = load_settings(home)
        except SettingsError as error:
            raise ConfigError(str(error)) from None

    def timeseries(self) -> TimeSeriesStore:
        """Open the store of samples."""
        return SqliteTimeSeries(self.home / "samples.sqlite")

    def registry(self) -> Registry:
        """Open the registry."""
        return Registry(f"sqlite:///{self.home / 'registry.sqlite'}", self.clock)

    def spool_path(self, name: str = "collector") -> Path:
        """Return where a collector keeps frames until the store has them."""
        directory = self.home / "spool"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory / f"{name}.sqlite"

    def secret(self, name: str) -> bytes:
        """Return a random secret of this installation, made on first use and readable by its owner only."""
        directory = self.home / "secrets"
        directory.mkdir(mode=0o700, exist_ok=True)
        path = directory / name
        if not path.exists():
            fresh = directory / f".{name}.{secrets.token_hex(4)}"
            fresh.touch(mode=0o600)
            fresh.write_bytes(secrets.token_bytes(32))
            fresh.rename(path)
        return path.read_bytes()
