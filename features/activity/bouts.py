"""Runs of one state, and how states follow each other: what fragmentation of activity is made of."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

UNKNOWN, SEDENTARY, ACTIVE = -1, 0, 1


@dataclass(frozen=True)
class Bouts:
    """Runs of one state.

    Attributes
    ----------
    first, end : (b,) int64
        Half-open, in epochs.
    state : (b,) int8
        `SEDENTARY` or `ACTIVE`; unknown epochs are in no bout and end one.
    """

    first: NDArray[np.int64]
    end: NDArray[np.int64]
    state: NDArray[np.int8]

    @property
    def length(self) -> NDArray[np.int64]:
        """Epochs of each, (b,)."""
        return self.end - self.first

    def of(self, state: int) -> NDArray[np.int64]:
        """Return the lengths of the bouts of a state, in epochs."""
        return self.length[self.state == state]


def bouts_of(state: NDArray[np.int8]) -> Bouts:
    """Return the bouts of a sequence of states.

    Examples
    --------
    >>> bouts_of(np.array([1, 1, 0, -1, 0], np.int8)).length.tolist()
    [2, 1, 1]
    """
    first = np.flatnonzero(np.diff(state, prepend=np.int8(-2)))
    end = np.append(first[1:], len(state)).astype(np.int64)
    held = state[first] != UNKNOWN
    return Bouts(first[held], end[held], state[first][held])
