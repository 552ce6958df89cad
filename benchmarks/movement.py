"""Movement beside other packages: first the values, then the time, in one run on one core.

Thirty days of minutes for rhythm, a day at 50 Hz for raw acceleration; agcounts counts an hour of it. Peers
run in environments of their own, made once from `benchmarks/peers/`; where one cannot be made, its ratios are
left out and a line says so.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.table import Row
from features.activity import activity_table
from features.epochs import Epochs
from features.epochs.counts import actigraph_counts
from features.epochs.epochs import FloatArray
from features.epochs.raw import raw_epochs, raw_not_worn
from features.epochs.wear import choi_not_worn
from features.rhythm import ClockedValues, clocked, cosinor, is_iv, ism_ivm, l5_m10, mean_day

_HERE = Path(__file__).resolve().parent
_CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "evenkeel"
_DAYS, _DAY_MIN, _RATE_HZ = 30, 1440, 50
_ROUNDS = 9
_START_NS = 1_767_571_200_000_000_000
_FASTER = {"is_iv": 30, "ism_ivm": 20, "l5_m10": 80, "cosinor": 200}


def run(*, is_full: bool) -> list[Row]:
    """Compare values, then times; `is_full` makes no difference."""
    del is_full
    return [*_rhythm(), *_wear_and_activity(), *_raw()]


def _minutes() -> FloatArray:
    """Return thirty whole days of counts: bursts that follow the sun, drawn once and for all."""
    t_h = np.arange(_DAYS * _DAY_MIN) / 60
    level = np.maximum(5, 120 + 100 * np.cos(2 * np.pi * (t_h - 15) / 24))
    return np.round(np.random.default_rng(7).gamma(0.7, 1.0, len(t_h)) * level)


def _rhythm() -> list[Row]:
    minutes = _minutes()
    starts_ns = _START_NS + 60_000_000_000 * np.arange(len(minutes))
    epochs = Epochs(starts_ns, 60.0, {"counts": minutes}, "counts")
    held = clocked(epochs)
    week = ClockedValues(held.x[: 7 * _DAY_MIN], held.slot[: 7 * _DAY_MIN], 60.0)
    families: dict[str, Callable[[], dict[str, float]]] = {
        "is_iv": lambda: dict(zip(("is", "iv"), is_iv(held), strict=True)),
        "ism_ivm": lambda: dict(zip(("ism", "ivm"), ism_ivm(held), strict=True)),
        "l5_m10": lambda: _extremes(held),
        "cosinor": lambda: _cosinor(week),
    }
    peers: list[dict[str, Any]] = _peer_rows("peers-sleep", "rhythm", {"minutes": minutes}) or []
    rows = [Row("clock of 30 days of minutes, made once", _seconds(lambda: clocked(epochs)) * 1e3, "ms")]
    for family, score in families.items():
        ours, seconds = score(), _seconds(score)
        rows.append(Row(f"{family}: this", seconds * 1e3, "ms"))
        for peer in peers:
            if peer["family"] == family:
                rows += _beside(peer, ours, seconds)
    return rows


def _beside(peer: dict[str, Any], ours: dict[str, float], seconds: float) -> list[Row]:
    name, family, rows = peer["peer"], peer["family"], list[Row]()
    factors = _factors(name, _DAYS * 24)
    for value, theirs in peer["values"].items():
        apart = abs(theirs / (ours[value] * factors.get(value, 1.0)) - 1)
        # ISm is a mean of IS over bins whose divisors differ, so that no one factor relates the two.
        goal = None if family == "ism_ivm" else 1e-8
        rows.append(Row(f"{family}: {name} {value} differs", apart, "relative", goal))
    times = peer["seconds"] / seconds
    rows.append(Row(f"{family}: {name} takes", times, "times", _FASTER[family], "higher"))
    return rows


def _factors(peer: str, hours: int) -> dict[str, float]:
    """Return what pyActigraphy's divisors, one less than the population's, make of IS and IV."""
    if peer != "pyActigraphy":
        return {}
    sample = (hours - 1) / hours
    return {"is": 24 / 23 * sample, "iv": sample}


def _extremes(held: ClockedValues) -> dict[str, float]:
    found = l5_m10(mean_day(held)[0])
    return {"l5": found.l5, "m10": found.m10}


def _cosinor(held: ClockedValues) -> dict[str, float]:
    found = cosinor(held)
    return {"mesor": found.mesor, "amplitude": found.amplitude, "acrophase_h": found.acrophase_h}


def _wear_and_activity() -> list[Row]:
    minutes = _minutes()
    starts_ns = _START_NS + 60_000_000_000 * np.arange(len(minutes))
    epochs = Epochs(starts_ns, 60.0, {"axis1": minutes}, "axis1", device="actigraph")
    return [
        Row("Choi wear, 30 days", _seconds(lambda: choi_not_worn(minutes, 60.0)) * 1e3, "ms"),
        Row("activity of 30 days, all values", _seconds(lambda: activity_table(epochs)) * 1e3, "ms"),
    ]


def _raw() -> list[Row]:
    acc_g = _acceleration()

    def reduce() -> object:
        found = raw_epochs(acc_g, _RATE_HZ)
        return raw_not_worn(found)

    raw_s = _seconds(reduce)
    counts_s = _seconds(lambda: actigraph_counts(acc_g, _RATE_HZ))
    rows = [
        Row("a day at 50 Hz to ENMO, MAD, angle, SD and wear", raw_s, "s", 0.05),
        Row("a day at 50 Hz to ActiGraph counts", counts_s, "s", 0.3),
    ]
    peer = _peer_rows("peers-raw", "raw", {"acc_g": acc_g})
    if peer is None:
        return rows
    enmo_mg, counts = np.array(peer["enmo_mg"]), np.array(peer["counts"])
    ours = actigraph_counts(acc_g, _RATE_HZ)[: len(counts)]
    apart = np.abs(raw_epochs(acc_g, _RATE_HZ).enmo_mg - enmo_mg).max()
    return [
        *rows,
        Row("ENMO: skdh differs", float(apart), "mg", 1e-4),
        Row("ENMO, angle, SD and wear: skdh takes", peer["skdh_s"] / raw_s, "times", 20, "higher"),
        Row(
            "counts: minutes in which agcounts differs", float(np.sum((ours != counts).any(axis=1))), "min", 0
        ),
        Row("counts: agcounts takes", peer["agcounts_s"] / counts_s, "times", 60, "higher"),
    ]


def _acceleration() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a day at 50 Hz: walks and rests of an arm that also turns."""
    t_s = np.arange(86_400 * _RATE_HZ) / _RATE_HZ
    strength = np.clip(np.sin(2 * np.pi * t_s / 3000), 0, None)
    axes = np.column_stack(
        [
            0.3 * strength * np.sin(2 * np.pi * 1.9 * t_s) + 0.2 * np.sin(t_s / 400),
            0.2 * strength * np.sin(2 * np.pi * 0.7 * t_s + 1),
            0.9 + 0.4 * strength * np.sin(2 * np.pi * 2.3 * t_s),
        ]
    )
    return (axes + np.random.default_rng(7).normal(0, 0.01, axes.shape)).astype(np.float32)


def _seconds(work: Callable[[], object]) -> float:
    work()
    taken: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.perf_counter()
        work()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken)


def _peer_rows(folder: str, kind: str, arrays: dict[str, np.ndarray[Any, Any]]) -> Any:  # noqa: ANN401 - JSON
    python = _environment(_CACHE / folder, kind)
    if python is None:
        return None
    with tempfile.TemporaryDirectory() as work:
        held, out = Path(work) / "in.npz", Path(work) / "out.json"
        np.savez(held, allow_pickle=False, **arrays)
        one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        subprocess.run(
            [python, "-W", "ignore", _HERE / "peers" / f"score-{kind}", held, out], check=True, env=one_core
        )
        return json.loads(out.read_text())


def _environment(folder: Path, kind: str) -> Path | None:
    """Return the Python of a peers' environment, made on first use; None, and a line, where that fails."""
    python, done = folder / "bin" / "python", folder / f"complete-{kind}"
    if done.exists():
        return python
    print(f"installing peers into {folder}, once ...", file=sys.stderr)
    pip = [python, "-m", "pip", "install", "--quiet"]
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([*pip, "-r", _HERE / "peers" / f"{kind}.txt"], check=True)
        if kind == "rhythm":
            subprocess.run([*pip, "--no-deps", "pyActigraphy==1.2.2"], check=True)
    except subprocess.CalledProcessError as error:
        print(f"peers of {kind} could not be installed ({error}); their ratios are left out", file=sys.stderr)
        return None
    done.touch()
    return python
