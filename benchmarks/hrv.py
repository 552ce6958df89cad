"""HRV of real recordings beside other packages: first the values, then the time, in one run on one core.

Peers run in an environment of their own, made once from `benchmarks/peers/hrv.txt`. They compute one window a
call, as they are made to; ours computes the same windows in one call, as jobs do. Where a peer computes other
values (spectra with another window, band edges or unit), its difference stands in the table without a goal.
Times are those of the processor, so that what else the machine does is not counted on either side.
"""

import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import peer_python
from benchmarks.table import Row
from features.hrv import (
    FloatArray,
    Segments,
    beats,
    clock_windows,
    entropy,
    geometry,
    hrv_table,
    lomb,
    scaling,
    segments_between,
    welch,
)
from features.hrv_file import series_of
from features.nn import nn_from_rr, verdicts
from store.recording import read_rr_file
from store.types import NnSeries
from store.units import NS_PER_MS, NS_PER_S

_HERE = Path(__file__).resolve().parent
_RECORDINGS = Path(os.environ.get("EVENKEEL_RECORDINGS", _HERE.parent.parent / "shared" / "data" / "rr"))
_RECORDS = ("nsr001", "nsr002", "nsr004", "nsr020", "nsr033", "nsr054", "healthy000", "healthy003", "chf209")
_WINDOW_NS = 300 * NS_PER_S
_MONTH_WINDOWS = 8640
_ROUNDS = 15

_Family = Callable[[NnSeries, Segments], dict[str, FloatArray]]


def _time(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    found = beats(nn, segments)
    return {"sdnn_ms": found.sdnn_ms, "rmssd_ms": found.rmssd_ms}


def _time_and_geometry(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    return _time(nn, segments) | {"hti": geometry(nn, segments).hti}


def _welch(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    found = welch(nn, segments)
    return {"lf_ms2": found.lf_ms2, "hf_ms2": found.hf_ms2}


def _lomb(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    found = lomb(nn, segments)
    return {"lf_ms2": found.lf_ms2, "hf_ms2": found.hf_ms2}


def _sampen(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    return {"sampen": entropy(nn, segments, with_apen=False).sampen}


def _dfa(nn: NnSeries, segments: Segments) -> dict[str, FloatArray]:
    found = scaling(nn, segments)
    return {"dfa_a1": found.dfa_a1, "dfa_a2": found.dfa_a2}


_FAMILIES: dict[str, _Family] = {
    "time": _time,
    "time, geometry": _time_and_geometry,
    "welch": _welch,
    "lomb": _lomb,
    "sampen": _sampen,
    "dfa": _dfa,
}
_FASTER = {
    ("neurokit2", "time, geometry"): 500,
    ("hrv-analysis", "time"): 25,
    ("neurokit2", "welch"): 150,
    ("hrv-analysis", "welch"): 10,
    ("neurokit2", "lomb"): 50,
    ("hrv-analysis", "lomb"): 20,
    ("neurokit2", "sampen"): 20,
    ("antropy", "sampen"): 5,
    ("hrv-analysis", "sampen"): 300,
    ("neurokit2", "dfa"): 400,
    ("fathon", "dfa"): 200,
    ("neurokit2", "artefacts"): 100,
}
_ALIKE = {"sdnn_ms": 1e-9, "rmssd_ms": 1e-6, "hti": 1e-9, "sampen": 1e-9, "dfa_a1": 1e-9, "dfa_a2": 1e-9}
"""Largest relative difference where both mean the same; RMSSD here is of differences rounded to 1e-6 ms."""


def run(*, is_full: bool) -> list[Row]:
    """Compare values, then times; `is_full` takes more windows.

    Raises
    ------
    SystemExit
        If there are no recordings.
    """
    if not _RECORDINGS.is_dir():
        raise SystemExit(f"no recordings in {_RECORDINGS}; name their folder in EVENKEEL_RECORDINGS")
    series = {name: _raw(name) for name in _RECORDS}
    windows = _clean_windows(series, 20 if is_full else 3)
    day_ms = series["nsr001"].nn_ms
    peers = _peers(windows, day_ms)
    nn, segments = _chain(windows)
    rows: list[Row] = []
    for family, score in _FAMILIES.items():
        ours = score(nn, segments)
        seconds = _seconds(lambda score=score: score(nn, segments)) / len(segments)
        rows.append(Row(f"{family}: this, a window", seconds * 1e6, "us"))
        for peer in (found for found in peers if found["family"] == family):
            rows += _beside(peer, ours, seconds)
    day_s = _seconds(lambda: verdicts(day_ms, "lipponen_tarvainen"))
    peer = next(found for found in peers if found["family"] == "artefacts")
    goal = _FASTER["neurokit2", "artefacts"]
    rows += [
        Row(f"Lipponen-Tarvainen: this, {len(day_ms):,} beats", day_s * 1e3, "ms"),
        Row("Lipponen-Tarvainen: neurokit2 takes", peer["seconds"] / day_s, "times", goal, "higher"),
    ]
    return [*rows, *_month(series)]


def _raw(name: str) -> NnSeries:
    return nn_from_rr(series_of(read_rr_file(_RECORDINGS / f"{name}.csv.gz")), "none")


def _clean_windows(series: dict[str, NnSeries], each: int) -> list[FloatArray]:
    """Return intervals of windows in which nothing is missing or left out, as far apart as there are."""
    chosen: list[FloatArray] = []
    for raw in series.values():
        starts, ends = clock_windows(raw.t_ns, _WINDOW_NS, _WINDOW_NS)
        segments = segments_between(raw, starts, ends)
        found = hrv_table(raw, segments, ()).complete
        is_whole = (found.n_differences == found.n_nn - 1) & (found.coverage_frac > 0.99)
        rows = np.flatnonzero(is_whole)[:: max(1, int(is_whole.sum()) // each)][:each]
        chosen += [raw.nn_ms[segments.first[row] : segments.last[row]] for row in rows]
    return chosen


def _chain(windows: list[FloatArray]) -> tuple[NnSeries, Segments]:
    """Return the windows one after the other, with a pause between them."""
    times = [
        400 * k * NS_PER_S + np.round(np.cumsum(rr) * NS_PER_MS).astype(np.int64)
        for k, rr in enumerate(windows)
    ]
    follows = [np.arange(len(rr)) > 0 for rr in windows]
    nn = NnSeries(np.concatenate(times), np.concatenate(windows), np.concatenate(follows))
    starts = 400 * NS_PER_S * np.arange(len(windows))
    return nn, segments_between(nn, starts, starts + 400 * NS_PER_S)


def _seconds(work: Callable[[], object]) -> float:
    work()
    taken: list[float] = []
    for _ in range(_ROUNDS):
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return statistics.median(taken)


def _beside(peer: dict[str, Any], ours: dict[str, FloatArray], seconds: float) -> list[Row]:
    rows: list[Row] = []
    name, family = peer["peer"], peer["family"]
    for value in peer["values"][0]:
        theirs = np.array([found[value] for found in peer["values"]])
        apart = np.abs(theirs / ours[value] - 1)
        goal = None if (name, value) == ("neurokit2", "dfa_a1") else _ALIKE.get(value)
        kind = "largest" if goal else "median"
        amount = float(apart.max() if goal else np.median(apart))
        rows.append(Row(f"{family}: {name} {value} differs, {kind}", amount, "relative", goal))
    times = peer["seconds"] / seconds
    rows.append(Row(f"{family}: {name} takes", times, "times", _FASTER[name, family], "higher"))
    return rows


def _month(series: dict[str, NnSeries]) -> list[Row]:
    """Score thirty patient-days, recordings in turn."""
    scored, taken_s = 0, 0.0
    while scored < _MONTH_WINDOWS:
        for raw in series.values():
            starts, ends = clock_windows(raw.t_ns, _WINDOW_NS, _WINDOW_NS)
            starts, ends = starts[: _MONTH_WINDOWS - scored], ends[: _MONTH_WINDOWS - scored]
            begun = time.process_time()
            hrv_table(raw, segments_between(raw, starts, ends))
            taken_s += time.process_time() - begun
            scored += len(starts)
    return [Row(f"all families, 30 patient-days ({scored:,} windows of real RR)", taken_s, "s", 4.0)]


def _peers(windows: list[FloatArray], day_ms: FloatArray) -> list[dict[str, Any]]:
    python = peer_python("hrv")
    with tempfile.TemporaryDirectory() as folder:
        held, out = Path(folder) / "windows.npz", Path(folder) / "values.json"
        edges = np.concatenate([[0], np.cumsum([len(rr) for rr in windows])])
        np.savez(held, rr_ms=np.concatenate(windows), edges=edges, day_ms=day_ms)
        one_core = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        one_core.pop("NUMBA_CACHE_DIR", None)
        subprocess.run(
            [python, "-W", "ignore", _HERE / "peers" / "score-windows", held, out], check=True, env=one_core
        )
        return json.loads(out.read_text())
