"""Sleep or wake, minute by minute, from activity counts: the classic scorers in the form of their papers.

A window at the edge of a recording, or of a gap, sees zeros beyond it, as ActiLife does; an epoch without a
count is UNSCORED. Counts of one device are not counts of another: the scale is explicit (`count_scale_of`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from features.epochs.epochs import Epochs
from features.hrv.compiled import compiled
from features.sleep.hypnogram import BoolArray, Hypnogram, SleepStage, StageArray, runs_of
from store.errors import ConfigError, UnknownError

FloatArray = NDArray[np.float64]

SCORED_EPOCH_S = 60.0
"""All of them were made for minutes."""

ZERO_RUN_H = 5.0
"""A run of zeros this long is a wearable on a table, or a broken one: nobody lies still for so long."""

_BLIP_MIN, _STILL_MIN = 2, 30
"""Up to 2 minutes of movement between 30 of zeros do not end a run: a table is touched. In the recordings at
hand that parts worn nights (longest run 3.8 h) from wearables put away (8 h and more)."""

_SLEEP_IF_BELOW = 1.0
_LONG_AGO = -1000
_COLE_KRIPKE_WEIGHTS = 0.001 * np.array([106, 54, 58, 76, 230, 74, 67], np.float64)
_SCRIPPS_WEIGHTS = 0.204 * np.array(
    [0.0064, 0.0074, 0.0112, 0.0112, 0.0118, 0.0118, 0.0128, 0.0188, 0.0280, 0.0664, 0.0300, 0.0112, 0.0100]
)
_OAKLEY_WEIGHTS = np.array([0.04, 0.20, 1.00, 0.20, 0.04])


@dataclass(frozen=True, slots=True)
class CountScale:
    """What counts are multiplied by, and then cut to, before they are scored."""

    factor: float = 1.0
    cap: float = np.inf

    def applied(self, counts: FloatArray) -> FloatArray:
        """Return scaled counts, (n,)."""
        return np.minimum(counts * self.factor, self.cap)


ACTILIFE_SCALE = CountScale(0.01, 300.0)
"""Axis 1 by 100, at most 300: what ActiLife's own export is exact with."""

_PER_2_S = CountScale(1 / 30)
"""The mean of the 2-s parts of a minute, which Cole's and Kripke's weights are for."""

_COUNT_SCALES: Mapping[tuple[str, str], CountScale] = MappingProxyType(
    {
        ("cole_kripke", "actigraph"): ACTILIFE_SCALE,
        ("scripps", "actigraph"): ACTILIFE_SCALE,
        ("sadeh", "actigraph"): CountScale(1.0, 300.0),
    }
)
"""By family of scorer and device, where it is not that of the paper."""


@dataclass(frozen=True)
class Scorer:
    """A way to tell sleep from wake.

    Attributes
    ----------
    name, family : str
        Scorers of a family share their count scales.
    is_asleep : function of (n,) scaled counts without NaN to (n,) bool
    formula, doi : str
    rescores : bool
        Whether Webster's rules follow.
    scale : CountScale or None
        Where it is part of the definition, whatever the device.
    trusts_sessions : bool
        Whether zeros in a session that somebody declared are scored as they are, however long they last.
    """

    name: str
    family: str
    is_asleep: Callable[[FloatArray], BoolArray]
    formula: str
    doi: str
    rescores: bool = False
    scale: CountScale | None = None
    trusts_sessions: bool = False


def cole_kripke(counts: FloatArray) -> BoolArray:
    """Return where 0.001 (106 54 58 76 230 74 67) . (A-4 ... A+2) < 1, (n,)."""
    return weighted(counts, _COLE_KRIPKE_WEIGHTS, 4) < _SLEEP_IF_BELOW


def scripps(counts: FloatArray) -> BoolArray:
    """Return where the Scripps index of A-10 ... A+2 is below 1, (n,)."""
    return weighted(counts, _SCRIPPS_WEIGHTS, 10) < _SLEEP_IF_BELOW


def sadeh(counts: FloatArray) -> BoolArray:
    """Return where Sadeh's PS = 7.601 - 0.065 MW5 - 1.08 NAT - 0.056 SD6 - 0.703 ln(A + 1) >= 0, (n,).

    MW5: mean of 11 minutes around; NAT: those of them with 50 <= A < 100; SD6: standard deviation (n - 1) of
    the last six minutes, this one included.
    """
    out = np.empty(len(counts), np.bool_)
    _sadeh_kernel(counts, out)
    return out


def oakley(threshold: float) -> Callable[[FloatArray], BoolArray]:
    """Return the scorer that calls wake what exceeds the threshold: 20 (high), 40 (medium) or 80 (low)."""
    return lambda counts: weighted(counts, _OAKLEY_WEIGHTS, 2) <= threshold


@compiled
def weighted(counts: FloatArray, weights: FloatArray, before: int) -> FloatArray:
    """Return sum_j weights[j] counts[i - before + j], (n,), with zeros beyond the edges."""
    n, k = len(counts), len(weights)
    out = np.zeros(n)
    for j in range(k):  # a weight at a time: each pass is one the processor can do in parallel
        shift = j - before
        low = max(0, -shift)
        high = max(low, min(n, n - shift))
        here, there = out[low:high], counts[low + shift : high + shift]
        weight = weights[j]
        for i in range(len(here)):
            here[i] += weight * there[i]
    return out


@compiled
def _sadeh_kernel(counts: FloatArray, out: BoolArray) -> None:
    n = len(counts)
    total = 0.0
    near = 0
    for i in range(-5, n):
        if i + 5 < n:
            total += counts[i + 5]
            near += 50.0 <= counts[i + 5] < 100.0
        if i >= 6:
            total -= counts[i - 6]
            near -= 50.0 <= counts[i - 6] < 100.0
        if i < 0:
            continue
        score = 7.601 - 0.065 * total / 11 - 1.08 * near
        # What follows only takes away: a minute that is awake already needs neither root nor logarithm.
        if score >= 0:
            score -= 0.056 * _spread_of_six(counts, i)
        if score >= 0 and counts[i] > 0:
            score -= 0.703 * np.log(counts[i] + 1)
        out[i] = score >= 0


@compiled
def _spread_of_six(counts: FloatArray, i: int) -> float:
    first = max(i - 5, 0)
    mean = 0.0
    for j in range(first, i + 1):
        mean += counts[j]
    mean /= 6
    squares = (5 - (i - first)) * mean * mean
    for j in range(first, i + 1):
        squares += (counts[j] - mean) ** 2
    return np.sqrt(squares / 5)


def webster(stage: StageArray) -> StageArray:
    """Return minutes rescored by Webster's five rules, (n,), doi:10.1093/sleep/5.4.389.

    After 4, 10 or 15 minutes of wake the next 1, 3 or 4 of sleep become wake (where so many follow); up to 6
    minutes between 10 of wake on either side become wake, and up to 10 between 20. All rules look at the
    scores as they were. UNSCORED minutes end a run.
    """
    out = stage.copy()
    _wake_after_wake(stage, out)
    _wake_between_wake(stage, out)
    return out


@compiled
def _wake_after_wake(stage: StageArray, out: StageArray) -> None:
    n = len(stage)
    awake = 0  # minutes of wake right before
    i = 0
    while i < n:
        end = i + 1
        while end < n and stage[end] == stage[i]:
            end += 1
        if stage[i] > 0:
            wake = _minutes_rescored(awake, end - i)
            out[i : i + wake] = 0
        awake = end - i if stage[i] == 0 else 0
        i = end


@compiled
def _minutes_rescored(awake: int, asleep: int) -> int:
    if awake >= 15 and asleep >= 4:
        return 4
    if awake >= 10 and asleep >= 3:
        return 3
    return 1 if awake >= 4 else 0


@compiled
def _wake_between_wake(stage: StageArray, out: StageArray) -> None:
    ten_ended, twenty_ended = _LONG_AGO, _LONG_AGO  # where the last wake of so many minutes ended
    i = 0
    while i < len(stage):
        begun = i
        i = _end_of_wake(stage, begun)
        if i - begun >= 10:
            if begun - ten_ended <= 6:
                out[ten_ended:begun] = 0
            ten_ended = i
        if i - begun >= 20:
            if begun - twenty_ended <= 10:
                out[twenty_ended:begun] = 0
            twenty_ended = i
        if i == begun:
            if stage[i] < 0:
                ten_ended, twenty_ended = _LONG_AGO, _LONG_AGO
            i += 1


@compiled
def _end_of_wake(stage: StageArray, begun: int) -> int:
    i = begun
    while i < len(stage) and stage[i] == 0:
        i += 1
    return i


_COLE, _KRIPKE_2010 = "10.1093/sleep/15.5.461", "10.1111/j.1365-2869.2010.00835.x"
_OAKLEY_REPORT = "Oakley 1997, Mini-Mitter technical report"
SCORERS: Mapping[str, Scorer] = MappingProxyType(
    {
        scorer.name: scorer
        for scorer in (
            Scorer(
                "cole_kripke",
                "cole_kripke",
                cole_kripke,
                "0.001 (106 54 58 76 230 74 67) . (A-4 ... A+2) < 1, then Webster's rules",
                _COLE,
                rescores=True,
            ),
            Scorer(
                "cole_kripke_actilife",
                "cole_kripke",
                cole_kripke,
                "the same on axis 1 / 100, at most 300, without Webster's rules: as ActiLife scores",
                _COLE,
                scale=ACTILIFE_SCALE,
                trusts_sessions=True,
            ),
            Scorer(
                "sadeh",
                "sadeh",
                sadeh,
                "7.601 - 0.065 MW5 - 1.08 NAT - 0.056 SD6 - 0.703 ln(A + 1) >= 0",
                "10.1093/sleep/17.3.201",
            ),
            Scorer(
                "scripps",
                "scripps",
                scripps,
                "0.204 (0.0064 0.0074 0.0112 0.0112 0.0118 0.0118 0.0128 0.0188 0.028 0.0664 0.03 "
                "0.0112 0.01) . (A-10 ... A+2) < 1",
                _KRIPKE_2010,
            ),
            *(
                Scorer(
                    f"oakley_{threshold}",
                    "oakley",
                    oakley(threshold),
                    f"(0.04 0.2 1 0.2 0.04) . (A-2 ... A+2) <= {threshold}",
                    _OAKLEY_REPORT,
                )
                for threshold in (20, 40, 80)
            ),
        )
    }
)


def scorer_named(name: str) -> Scorer:
    """Return the scorer of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    if name not in SCORERS:
        raise UnknownError(f"No sleep scorer is called {name!r}; there are: {', '.join(SCORERS)}, van_hees")
    return SCORERS[name]


def paper_scale(scorer: Scorer) -> CountScale:
    """Return the scale of the counts that a paper's weights are for."""
    return scorer.scale or (_PER_2_S if scorer.family == "cole_kripke" else CountScale())


def count_scale_of(scorer: Scorer, device: str) -> CountScale | None:
    """Return the scale of a device's counts for a scorer; None if the device is not known."""
    if scorer.scale is not None:
        return scorer.scale
    if device in {"actigraph", "actiwatch"}:
        return _COUNT_SCALES.get((scorer.family, device), paper_scale(scorer))
    return None


def score_counts(counts: FloatArray, scorer: Scorer, scale: CountScale) -> StageArray:
    """Score one-minute counts: WAKE, ASLEEP, or UNSCORED where the count is NaN.

    Parameters
    ----------
    counts : (n,) float64
        Of the device; NaN where nothing was recorded.
    scorer : Scorer
    scale : CountScale

    Returns
    -------
    stage : (n,) int8
    """
    scaled = np.empty(len(counts))
    _scaled(np.asarray(counts, np.float64), scale.factor, scale.cap, scaled)
    asleep = scorer.is_asleep(scaled).astype(np.int8)
    asleep[np.isnan(counts)] = SleepStage.UNSCORED
    return webster(asleep) if scorer.rescores else asleep


@compiled
def _scaled(counts: FloatArray, factor: float, cap: float, out: FloatArray) -> None:
    for i in range(len(counts)):
        out[i] = 0.0 if np.isnan(counts[i]) else min(counts[i] * factor, cap)


def score_epochs(epochs: Epochs, scorer: Scorer, scale: CountScale) -> Hypnogram:
    """Score a recording.

    Raises
    ------
    ConfigError
        If its epochs are not minutes.
    """
    if epochs.epoch_s != SCORED_EPOCH_S:
        raise ConfigError(
            f"Scorer {scorer.name} is made for epochs of 60 s, these are of {epochs.epoch_s:g} s; "
            "ask for --epoch 60"
        )
    stage = score_counts(epochs.values, scorer, scale)
    return Hypnogram(int(epochs.start_ns[0]), epochs.epoch_s, stage, scorer.name)


def zero_runs(counts: FloatArray, epoch_s: float) -> BoolArray:
    """Return the epochs in runs of zeros of `ZERO_RUN_H` or more, (n,): never sleep.

    Stretches of at least 30 minutes of zeros with at most 2 minutes of counts between them are one run.
    """
    per_minute = 60 / epoch_s
    still = runs_of(counts == 0)
    still = still[still[:, 1] - still[:, 0] >= _STILL_MIN * per_minute]
    is_unworn = np.zeros(len(counts), np.bool_)
    if not len(still):
        return is_unworn
    gaps = still[1:, 0] - still[:-1, 1]
    known = np.concatenate(([0], np.cumsum(np.isfinite(counts))))
    is_blip = (gaps <= _BLIP_MIN * per_minute) & (known[still[1:, 0]] - known[still[:-1, 1]] == gaps)
    ends = np.flatnonzero(np.append(~is_blip, True))
    starts = np.append(0, ends[:-1] + 1)
    for first, end in zip(still[starts, 0].tolist(), still[ends, 1].tolist(), strict=True):
        is_unworn[first:end] = (end - first) * epoch_s >= ZERO_RUN_H * 3600
    return is_unworn
