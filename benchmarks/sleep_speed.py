"""Sleep scorers beside pyActigraphy: first every minute, then the time, thirty days of minutes on one core.

The peer runs in the environment that `python -m benchmarks movement` makes; without it, its rows are out.
"""

import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.table import Row
from features.epochs import Epochs
from features.rhythm import clocked, cosinor, is_iv, ism_ivm, l5_m10, mean_day
from features.sleep import SCORERS, Hypnogram, roenneberg, score_counts, sleep_regularity_index
from features.sleep.scorers import FloatArray, paper_scale

_HERE = Path(__file__).resolve().parent
_PEERS = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evenkeel" / "peers-sleep"
_DAYS, _ROUNDS, _EDGE = 30, 9, 12
_FASTER = {"cole_kripke": 300, "sadeh": 1000, "scripps": 150, "oakley_40": 300, "roenneberg": 300, "sri": 700}
_SCORED = ("cole_kripke", "sadeh", "scripps", "oakley_40")
_Values = NDArray[np.int8] | NDArray[np.float64]
_START_NS = 1_767_571_200_000_000_000


def run(*, is_full: bool) -> list[Row]:
    """Compare minutes, then times; `is_full` makes no difference."""
    del is_full
    counts = _minutes()
    ours = _families(counts)
    seconds = {name: _seconds(score) for name, score in ours.items()}
    rhythm_s = _rhythm_seconds(counts)
    rows = [Row(f"{name}: this", taken * 1e3, "ms") for name, taken in seconds.items()]
    rows.append(Row("ten families together", (sum(seconds.values()) + rhythm_s) * 1e3, "ms", 6))
    peer = _peer(counts)
    if peer is None:
        print(f"no peers in {_PEERS}: their rows are left out; `python -m benchmarks movement` makes them")
        return rows
    for name, score in ours.items():
        rows.append(_differs(name, score(), peer[name]))
        times = float(peer[f"{name}_s"]) / seconds[name]
        rows.append(Row(f"{name}: pyActigraphy takes", times, "times", _FASTER[name], "higher"))
    return rows


def _minutes() -> FloatArray:
    """Return thirty days of somebody who sleeps at night and stirs, drawn once and for all."""
    random = np.random.default_rng(7)
    minute = np.arange(_DAYS * 1440) % 1440
    stirs = np.where(random.random(len(minute)) < 0.06, random.gamma(1.0, 60.0, len(minute)), 0.0)
    awake = random.gamma(0.9, 250.0, len(minute))
    return np.round(np.where(minute < 450, stirs, awake)).astype(np.float64)


def _families(counts: FloatArray) -> dict[str, Callable[[], _Values]]:
    def scored(name: str) -> Callable[[], _Values]:
        scorer = SCORERS[name]
        return lambda: score_counts(counts, scorer, paper_scale(scorer))

    night = Hypnogram(_START_NS, 60.0, np.asarray(scored("cole_kripke")(), np.int8), "cole_kripke")
    return {
        **{name: scored(name) for name in _SCORED},
        "roenneberg": lambda: _spread(roenneberg(counts, 60.0), len(counts)),
        "sri": lambda: np.array([sleep_regularity_index(night)[0]]),
    }


def _spread(bouts: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    asleep = np.zeros(count)
    for first, end in bouts.tolist():
        asleep[first:end] = 1
    return asleep


def _differs(name: str, ours: _Values, theirs: NDArray[np.float64]) -> Row:
    """Compare; beyond the edges they score wake and we see zeros, so these minutes are left out."""
    if name == "sri":  # theirs is the mean of clock times, ours pools all pairs: the same without gaps
        return Row("sri: pyActigraphy differs", float(abs(ours[0] - theirs[0])), "points", 0.25)
    inside = slice(_EDGE, -_EDGE)
    differing = int((ours[inside] != theirs[inside]).sum())
    # Its Sadeh takes the logarithm of the next minute, its Oakley calls the threshold wake: docs/sleep.md.
    goal = None if name in {"sadeh", "oakley_40"} else 0
    return Row(f"{name}: minutes in which pyActigraphy differs", differing, "min", goal)


def _rhythm_seconds(counts: FloatArray) -> float:
    starts_ns = _START_NS + 60_000_000_000 * np.arange(len(counts))
    held = clocked(Epochs(starts_ns, 60.0, {"counts": counts}, "counts"))
    return sum(
        _seconds(work)
        for work in (
            lambda: is_iv(held),
            lambda: ism_ivm(held),
            lambda: l5_m10(mean_day(held)[0]),
            lambda: cosinor(held),
        )
    )


def _peer(counts: FloatArray) -> dict[str, NDArray[np.float64]] | None:
    if not (_PEERS / "complete-rhythm").exists():
        return None
    with tempfile.TemporaryDirectory() as work:
        held, out = Path(work) / "in.npz", Path(work) / "out.npz"
        np.savez(held, allow_pickle=False, minutes=counts)
        one_core = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "1",
        }
        script = _HERE / "peers" / "score-sleep"
        subprocess.run(
            [_PEERS / "bin" / "python", "-W", "ignore", script, held, out], check=True, env=one_core
        )
        with np.load(out) as found:
            return {name: found[name] for name in found.files}


def _seconds(work: Callable[[], object]) -> float:
    work()
    taken: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)
