"""Sleep as the wearable itself scored it, passed through: stretches of stages become sessions."""

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType

import numpy as np

from features.sleep.hypnogram import Hypnogram, SleepStage
from features.sleep.period import JOINED_MIN
from store.timeseries import Samples
from store.units import NS_PER_S

EPOCH_S = 30
STAGES: Mapping[str, SleepStage] = MappingProxyType(
    {
        "awake": SleepStage.WAKE,
        "asleep": SleepStage.ASLEEP,
        "light": SleepStage.LIGHT,
        "deep": SleepStage.DEEP,
        "rem": SleepStage.REM,
        "unknown": SleepStage.UNSCORED,
    }
)
"""Words of the stream `sleep_stage`."""


def sessions_of(stretches: Samples) -> tuple[Hypnogram, ...]:
    """Return the sessions of one sensor, in order: stretches less than an hour apart are of one.

    Where stretches overlap, the later one holds from its beginning.
    """
    length_ns = (stretches["duration_s"] * NS_PER_S).astype(np.int64)
    ends_ns = np.maximum.accumulate(stretches.t_ns + length_ns) if len(stretches) else stretches.t_ns
    far_ns = round(JOINED_MIN * 60) * NS_PER_S
    first = np.flatnonzero(np.append(True, stretches.t_ns[1:] - ends_ns[:-1] >= far_ns)[: len(stretches)])
    bounds = [*first.tolist(), len(stretches)]
    return tuple(_session(stretches, length_ns, low, high) for low, high in pairwise(bounds))


def _session(
    stretches: Samples, length_ns: "np.ndarray[tuple[int], np.dtype[np.int64]]", low: int, high: int
) -> Hypnogram:
    start_ns, epoch_ns = int(stretches.t_ns[low]), EPOCH_S * NS_PER_S
    from_ns = stretches.t_ns[low:high] - start_ns
    begins = np.rint(from_ns / epoch_ns).astype(np.int64)
    ends = np.rint((from_ns + length_ns[low:high]) / epoch_ns).astype(np.int64)
    stage = np.full(max(int(ends.max()), 1), SleepStage.UNSCORED, np.int8)
    for first, end, word in zip(begins.tolist(), ends.tolist(), stretches["stage"][low:high], strict=True):
        stage[first:end] = STAGES.get(str(word), SleepStage.UNSCORED)
    return Hypnogram(start_ns, EPOCH_S, stage, "vendor")
