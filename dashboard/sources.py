"""What the pages are made from: the samples, the registry, the clock and the settings."""

import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from configs.settings import Settings
from dashboard.pulse import PulseBoard
from store.clock import Clock
from store.installation import Installation
from store.registry.registry import Registry
from store.timeseries import TimeSeriesStore

PAGE_ANSWER_TIMEOUT_S = 5.0
"""Nobody waits longer for a page; a store that hangs is said to, and the next page asks it again."""


@dataclass(frozen=True, slots=True)
class Sources:
    """Open handles on one installation, shared by every request.

    Attributes
    ----------
    pulses : PulseBoard
        The newest heart rates, read once for everybody who looks.
    remembered : dict
        What was computed of each person, by subject, with the version it is of.
    computing : threading.Lock
        Held while that is done, so that nobody computes what somebody else is at.
    """

    store: TimeSeriesStore
    registry: Registry
    clock: Clock
    settings: Settings
    secret: bytes
    home: Path
    pulses: PulseBoard = field(default_factory=PulseBoard)
    remembered: dict[str, tuple[Any, int, Any]] = field(default_factory=dict[str, tuple[Any, int, Any]])
    computing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def open(cls, installation: Installation) -> "Sources":
        """Open an installation for reading and for the dashboard's own sessions and audit."""
        return cls(
            store=installation.timeseries(answer_timeout_s=PAGE_ANSWER_TIMEOUT_S),
            registry=installation.registry(),
            clock=installation.clock,
            settings=installation.settings,
            secret=installation.secret("dashboard"),
            home=installation.home,
        )

    def close(self) -> None:
        """Release files and connections."""
        self.store.close()
        self.registry.close()
