"""Movement around a night, when it was worn, and what is known of the sensor."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.epochs.wear import WearState
from features.movement.minutes import Minutes

_COUNTERS = ("actigraph", "actiwatch")
_ON_CHEST = ("h10", "h9", "h7", "h6", "chest", "strap")


@dataclass(frozen=True)
class Moved:
    """What one sensor recorded of movement.

    Attributes
    ----------
    minutes : Minutes
    state : (n,) int8
        `WearState` of each.
    sensor : str
        Empty without any.
    model : str
        Its maker and model, as far as known.
    has_epochs : bool
        False where there are steps alone.
    """

    minutes: Minutes
    state: NDArray[np.int8]
    sensor: str = ""
    model: str = ""
    has_epochs: bool = True

    @property
    def is_worn(self) -> NDArray[np.bool_]:
        """Where it was worn, (n,)."""
        return self.state == WearState.WORN

    @property
    def device(self) -> str:
        """Whose scale its counts are on, by maker and model; empty if unknown."""
        return next((known for known in _COUNTERS if known in self.model.lower()), "")

    @property
    def is_on_chest(self) -> bool:
        """Whether it is worn on the chest, where the angle tells sitting from lying at best."""
        return any(word in self.model.lower().split() for word in _ON_CHEST)
