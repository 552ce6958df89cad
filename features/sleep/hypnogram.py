"""Sleep and wake on an even grid of epochs; what was not scored says so and is neither."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from store.errors import DataError
from store.types import read_only
from store.units import NS_PER_S

StageArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]


class SleepStage(IntEnum):
    """State of one epoch. UNSCORED is a state, not a missing number: nobody knows what happened there."""

    UNSCORED = -1
    WAKE = 0
    ASLEEP = 1
    """Sleep of no named stage."""
    LIGHT = 2
    DEEP = 3
    REM = 4
    NREM = 5
    """Light or deep."""


@dataclass(frozen=True)
class Hypnogram:
    """States of consecutive epochs.

    Attributes
    ----------
    start_ns : int
        Start of the first epoch, nanoseconds UTC.
    epoch_s : float
    stage : (n,) int8
        Values of `SleepStage`.
    scorer : str
        Who scored: a name of `SCORERS`, a model, a vendor.
    """

    start_ns: int
    epoch_s: float
    stage: StageArray
    scorer: str

    def __post_init__(self) -> None:
        stage = read_only(np.asarray(self.stage, np.int8))
        if stage.ndim != 1 or not self.epoch_s > 0:
            raise DataError(
                f"Hypnogram of shape {stage.shape}, epochs of {self.epoch_s:g} s; needed: one row, above 0 s"
            )
        if len(stage) and not (stage.min() >= SleepStage.UNSCORED and stage.max() <= SleepStage.NREM):
            raise DataError(f"Hypnogram holds state {stage.min()} or {stage.max()}; needed are -1 to 5")
        object.__setattr__(self, "stage", stage)

    def __len__(self) -> int:
        return len(self.stage)

    @property
    def epoch_ns(self) -> int:
        """Length of an epoch in nanoseconds."""
        return round(self.epoch_s * NS_PER_S)

    @property
    def end_ns(self) -> int:
        """End of the last epoch, nanoseconds UTC."""
        return self.start_ns + len(self) * self.epoch_ns

    @property
    def is_asleep(self) -> BoolArray:
        """Where any stage of sleep was scored, (n,)."""
        return self.stage > SleepStage.WAKE

    @property
    def is_scored(self) -> BoolArray:
        """Where sleep or wake was scored, (n,)."""
        return self.stage != SleepStage.UNSCORED

    def between(self, start_ns: int, end_ns: int) -> "Hypnogram":
        """Return the epochs that begin in the half-open span; outside of the recording they are UNSCORED."""
        first = -((self.start_ns - start_ns) // self.epoch_ns)
        last = -((self.start_ns - end_ns) // self.epoch_ns)
        stage = np.full(max(last - first, 0), SleepStage.UNSCORED, np.int8)
        low, high = min(max(first, 0), len(self)), max(min(last, len(self)), 0)
        if high > low:
            stage[low - first : high - first] = self.stage[low:high]
        return Hypnogram(self.start_ns + first * self.epoch_ns, self.epoch_s, stage, self.scorer)


def runs_of(holds: BoolArray) -> NDArray[np.int64]:
    """Return the half-open runs of True, (k, 2)."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], holds, [False])).view(np.int8)))
    return edges.astype(np.int64).reshape(-1, 2)
