"""Activity epochs: what five seconds of raw acceleration amount to.

Definitions: ENMO and z-angle as van Hees et al. (2013, doi:10.1371/journal.pone.0061691; 2015,
doi:10.1371/journal.pone.0142533), the angle from the medians of the axes in the epoch rather than of a
rolling window; MAD as Vähä-Ypyä et al. (2015, doi:10.1111/cpf.12127). ActiGraph counts need the signal
resampled to 30 Hz and filtered over minutes, across epochs and gaps; they are missing here.

Pure and vectorised: arrays in, arrays out.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from store.streams import ACTIVITY_EPOCH
from store.units import NS_PER_S

EPOCH_S = 5
EPOCH_NS = EPOCH_S * NS_PER_S

LEAST_SHARE_FRAC = 0.5
"""An epoch with less of its samples is not made: half of five seconds still shows posture and movement, and
`sample_count` tells those who need more."""

FORGIVEN_EPOCHS = 2
"""Samples that come so late, after a link ended within their epoch, are left out. Those further back came
after a clock was set back; their epochs replace the ones of the wrong time."""


@dataclass(frozen=True)
class Epochs:
    """Epochs in order of time.

    Attributes
    ----------
    start_ns : (k,) int64
        Multiples of the epoch's length, nanoseconds UTC.
    columns : (k, 7) float64
        Columns of `store.streams.ACTIVITY_EPOCH`.
    """

    start_ns: NDArray[np.int64]
    columns: NDArray[np.float64]


NO_EPOCHS = Epochs(np.zeros(0, np.int64), np.zeros((0, 7)))


def activity_epochs(
    t_ns: NDArray[np.int64], acc_g: NDArray[np.floating[Any]], period_s: NDArray[np.float64]
) -> Epochs:
    """Return the epochs of which at least `LEAST_SHARE_FRAC` is there.

    Parameters
    ----------
    t_ns : (n,) int64
        Ascending, nanoseconds UTC.
    acc_g : (n, 3) float
        Device frame, g, finite.
    period_s : (n,) float64
        How much time each sample stands for: the inverse of the nominal rate.

    Returns
    -------
    Epochs
        ENMO and MAD in mg >= 0, angle in degrees -90 to 90, SD in mg (population), counts NaN.
    """
    of_sample = t_ns // EPOCH_NS
    first = np.flatnonzero(np.diff(of_sample, prepend=-1))
    number, size = of_sample[first], np.diff(first, append=len(t_ns))
    columns = np.empty((len(number), len(ACTIVITY_EPOCH.columns)))
    for samples in np.unique(size).tolist():
        alike = np.flatnonzero(size == samples)
        columns[alike] = _columns(acc_g[first[alike, None] + np.arange(samples)])
    seconds = np.add.reduceat(period_s, first) if len(first) else period_s
    is_made = seconds >= LEAST_SHARE_FRAC * EPOCH_S * (1 - 1e-9)
    return Epochs(number[is_made] * EPOCH_NS, columns[is_made])


def _columns(acc_g: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Return the columns of epochs with the same number of samples, (epochs, samples, 3)."""
    axes = np.ascontiguousarray(np.moveaxis(acc_g, 2, 0), np.float64)
    norm = np.sqrt((axes**2).sum(axis=0))
    x, y, z = np.median(axes, axis=2)
    epochs, samples = norm.shape
    return np.column_stack(
        [
            np.full(epochs, float(EPOCH_S)),
            1000 * np.maximum(norm - 1, 0).mean(axis=1),
            1000 * np.abs(norm - norm.mean(axis=1, keepdims=True)).mean(axis=1),
            np.degrees(np.arctan2(z, np.hypot(x, y))),
            1000 * axes.std(axis=2).max(axis=0),
            np.full(epochs, nan),
            np.full(epochs, float(samples)),
        ]
    )


_Frame = tuple[NDArray[np.int64], NDArray[np.float32], float]
_NO_SAMPLES: _Frame = (np.zeros(0, np.int64), np.zeros((0, 3), np.float32), 0.0)


@dataclass(frozen=True)
class EpochState:
    """All that coming epochs depend on.

    Attributes
    ----------
    next_epoch : int or None
        Number of the first epoch that is not decided; None before the first sample.
    t_ns : (n,) int64
        Samples of that epoch.
    acc_g : (n, 3) float32
    period_s : float
    """

    next_epoch: int | None
    t_ns: NDArray[np.int64]
    acc_g: NDArray[np.float32]
    period_s: float

    def as_json(self) -> dict[str, Any]:
        """Return the state as values that JSON can hold."""
        return {
            "next_epoch": self.next_epoch,
            "t_ns": _packed(self.t_ns, "<i8"),
            "acc_g": _packed(self.acc_g, "<f4"),
            "period_s": self.period_s,
        }

    @classmethod
    def from_json(cls, held: Mapping[str, Any]) -> Self:
        """Return the state that `as_json` gave."""
        acc_g = _unpacked(held["acc_g"], "<f4").reshape(-1, 3)
        return cls(held["next_epoch"], _unpacked(held["t_ns"], "<i8"), acc_g, held["period_s"])


NOTHING = EpochState(None, *_NO_SAMPLES)


class EpochMaker:
    """Makes epochs of frames as they come: each is decided by the first sample after it.

    Between two decisions frames are held back; `state` is that of the last decision, and what was fed since
    has to be fed again.

    Parameters
    ----------
    state : EpochState
        A `state` of an earlier object.
    """

    def __init__(self, state: EpochState = NOTHING) -> None:
        self.state = state
        self.is_holding = False
        self._next_epoch = state.next_epoch
        self._frames: list[_Frame] = []
        if len(state.t_ns):
            self._frames.append((state.t_ns, state.acc_g, state.period_s))

    def feed(self, t_ns: NDArray[np.int64], acc_g: NDArray[np.float32], period_s: float) -> Epochs:
        """Take the samples of the next frame; return the epochs that are decided by it.

        Parameters
        ----------
        t_ns : (n,) int64
            At least one, strictly increasing, and later than those before unless a clock was set.
        acc_g : (n, 3) float32
        period_s : float
            Inverse of the nominal rate.
        """
        decided = NO_EPOCHS
        first, newest = int(t_ns[0]) // EPOCH_NS, int(t_ns[-1]) // EPOCH_NS
        if self._next_epoch is not None and first < self._next_epoch - FORGIVEN_EPOCHS:
            decided = self.close()
            self._next_epoch = None
        if self._next_epoch is None:
            self._next_epoch = first
        begin = int(np.searchsorted(t_ns, self._next_epoch * EPOCH_NS))
        if begin < len(t_ns):
            self._frames.append((t_ns[begin:], acc_g[begin:], period_s))
        self.is_holding = True
        if newest > self._next_epoch:
            decided = _joined(decided, self._decide(newest))
        return decided

    def close(self) -> Epochs:
        """Decide the epoch that is going on; what still comes of it is left out."""
        if not self._frames:
            self.is_holding = False
            return NO_EPOCHS
        return self._decide(int(self._frames[-1][0][-1]) // EPOCH_NS + 1)

    def _decide(self, next_epoch: int) -> Epochs:
        """Make the epochs before `next_epoch` and keep the samples after them."""
        if not self._frames:
            self._next_epoch, self.is_holding = next_epoch, False
            self.state = EpochState(next_epoch, *_NO_SAMPLES)
            return NO_EPOCHS
        t_ns = np.concatenate([t for t, _, _ in self._frames])
        acc_g = np.concatenate([acc for _, acc, _ in self._frames])
        period_s = np.repeat([p for _, _, p in self._frames], [len(t) for t, _, _ in self._frames])
        end = int(np.searchsorted(t_ns, next_epoch * EPOCH_NS))
        rest = (t_ns[end:], acc_g[end:], float(period_s[-1]))
        self._frames = [rest] if end < len(t_ns) else []
        self._next_epoch, self.is_holding = next_epoch, False
        self.state = EpochState(next_epoch, *rest)
        return activity_epochs(t_ns[:end], acc_g[:end], period_s[:end])


def _joined(early: Epochs, late: Epochs) -> Epochs:
    return Epochs(np.r_[early.start_ns, late.start_ns], np.vstack([early.columns, late.columns]))


def _packed(array: NDArray[Any], dtype: str) -> str:
    return base64.b64encode(array.astype(dtype).tobytes()).decode()


def _unpacked(text: str, dtype: str) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype)
