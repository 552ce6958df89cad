"""Which hours were written to since when: what tells a job that something it worked on has changed.

A store notes each write of samples as measured by itself, so that no writer can forget to: collector, replay,
import, copy and restore all come through `write`. A mark is a number that later writes exceed; whoever asks
with a mark gets the stretches of time written to since, and the mark to ask with the next time.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

START, END, MARK = 0, 1, 2
"""Columns of `Written.stretches`."""


NEWEST = 2**62
"""Later than any mark: whoever asks with it is told the newest mark and nothing else."""


@dataclass(frozen=True)
class Written:
    """Where something was written since a mark.

    Attributes
    ----------
    mark : int
        To ask with the next time. Everything that was written when the question was asked is in this answer
        or has at most this mark.
    stretches : mapping of subject id to (k, 3) int64
        Start and end of a stretch, half-open, nanoseconds UTC, and its mark. A write may touch more than it
        changes, so that a stretch says where to look.
    """

    mark: int
    stretches: Mapping[str, NDArray[np.int64]] = field(default_factory=dict[str, NDArray[np.int64]])

    def of(self, subject_id: str) -> NDArray[np.int64]:
        """Return the stretches of one subject, (k, 3)."""
        return self.stretches.get(subject_id, np.empty((0, 3), np.int64))


def by_subject(subjects: NDArray[np.object_], stretches: NDArray[np.int64]) -> dict[str, NDArray[np.int64]]:
    """Return rows grouped by subject.

    Parameters
    ----------
    subjects : (n,) of str
    stretches : (n, 3) int64
    """
    if not len(subjects):
        return {}
    who, index = np.unique(subjects.astype(str), return_inverse=True)
    order = np.argsort(index, kind="stable")
    ends = np.cumsum(np.bincount(index, minlength=len(who)))
    return dict(zip(who.tolist(), np.split(stretches[order], ends[:-1]), strict=True))
