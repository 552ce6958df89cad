"""What each cleaning rule does to RMSSD on annotated recordings; makes the tables of docs/artefacts.md.

Protocol. The recordings, in the order of their names, are dealt out alternately (no subject is in both
halves): the rule and its parameters were chosen on the first half and on recordings without annotations, not
on the second. Truth is the annotation: an interval is normal if both its beats are N, L or R (sinus rhythm).
A window is clean if all of its intervals are. Errors are |RMSSD / true RMSSD - 1| in per cent, medians over
windows; the truth of an injected window is the window before the injection, of a naturally disturbed one that
without its bad intervals. `KNOWN` leaves out exactly what was touched: no rule can be expected to err less.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.environments import peer_python
from benchmarks.table import Row
from features.hrv.gates import GATES
from features.nn import is_normal
from features.nn.bracket import bracket
from features.nn.lipponen_tarvainen import beat_artefacts

REPOSITORY = Path(__file__).resolve().parent.parent
RECORDINGS = REPOSITORY.parent / "shared" / "data" / "rr"
PAGE = REPOSITORY / "docs" / "artefacts.md"
BEGIN, END = "<!-- python -m benchmarks artefacts -->", "<!-- end -->"

KNOWN = "known"
RULES = ("bracket", KNOWN, "median20", "lipponen_tarvainen", "none")
SINUS = ("N", "L", "R")
WINDOWS_S = (300, 120, 60)
"""Five minutes; shorter where a recording has fewer than three such windows without a bad interval."""
ENOUGH_WINDOWS = 3
LONG_RECORDING_S = 7200
OVERLAP_STEP_S = 60
"""Half-hour recordings are looked at every minute, so that there is something to take a median of."""
APART_BEATS = 4
MANY_BAD = 30
PAUSE_FACTOR = 1.5
FIRST_SEED = 6000
GRIDS_MS = {"128 Hz": 1000 / 128, "10 ms": 10.0}
CHANGED_PCT = 0.5
KINDS = {
    "ectopic": (0.15, 0.35),
    "missed": (0, 0),
    "extra": (0.3, 0.7),
    "misplaced": (0.10, 0.25),
    "nudged": (0.05, 0.10),
    "run": (0.30, 0.45),
}
"""By which share of an interval a beat is moved, or where an extra one falls."""
RATES = {
    "ectopic": (0.01, 0.05),
    "missed": (0.01, 0.05),
    "extra": (0.01, 0.05),
    "misplaced": (0.01, 0.05),
    "nudged": (0.05,),
    "run": (0.01,),
}
RUN_BEATS = 3
HARDER = ("nudged", "run")
"""What no goal was set for."""

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
Span = tuple[int, int]


@dataclass(frozen=True)
class Recording:
    """An annotated recording: beat times (n + 1,) in ms and which of the n intervals are sinus beats."""

    name: str
    beat_ms: FloatArray
    is_sinus: BoolArray

    @property
    def rr_ms(self) -> FloatArray:
        """Intervals, (n,) ms."""
        return np.diff(self.beat_ms)

    @property
    def is_pause(self) -> BoolArray:
        """Whether an interval is half as long again as the median of the eleven around it, (n,)."""
        median_ms = pd.Series(self.rr_ms).rolling(11, center=True, min_periods=1).median().to_numpy()
        return self.rr_ms > PAUSE_FACTOR * median_ms

    def windows(self, length_s: int) -> list[Span]:
        """Return the windows as `[first, last)` of the intervals that end in each."""
        end_s: FloatArray = self.beat_ms[1:] / 1000
        begin_s, until_s = float(end_s[0]), float(end_s[-1])
        step_s = length_s if until_s - begin_s > LONG_RECORDING_S else min(OVERLAP_STEP_S, length_s)
        starts = np.arange(begin_s // length_s * length_s, until_s - length_s + 1, step_s)
        first: list[int] = np.searchsorted(end_s, starts).tolist()
        last: list[int] = np.searchsorted(end_s, starts + length_s).tolist()
        # A window that beats cover for less than nine tenths (900 of 1000 ms in a second) says little.
        return [
            (a, b)
            for a, b in zip(first, last, strict=True)
            if self.beat_ms[b] - self.beat_ms[a] > 900 * length_s
        ]

    def clean_windows(self) -> tuple[int, list[Span]]:
        """Return the windows without a bad interval, and their length in seconds."""
        length_s, clean = 0, list[Span]()
        for length_s in WINDOWS_S:
            clean = [(a, b) for a, b in self.windows(length_s) if self.is_sinus[a:b].all()]
            if len(clean) >= ENOUGH_WINDOWS:
                break
        return length_s, clean


def halves() -> tuple[list[Path], list[Path]]:
    """Return the recordings to choose on, and those to report on."""
    found = sorted([*RECORDINGS.glob("mitdb*.csv.gz"), *RECORDINGS.glob("nsr*_annotated.csv.gz")])
    return found[::2], found[1::2]


def read(path: Path) -> Recording:
    """Read an annotated recording; beats follow each other without a gap."""
    frame = pd.read_csv(path, keep_default_na=False)
    rr_ms = frame["rr_ms"].to_numpy(np.float64)
    beat_ms = frame["t_s"].iloc[0] * 1000 + np.concatenate([[-rr_ms[0], 0], np.cumsum(rr_ms[1:])])
    is_sinus = frame["beat"].isin(SINUS) & frame["previous_beat"].isin(SINUS)
    return Recording(path.name.split(".")[0].removesuffix("_annotated"), beat_ms, is_sinus.to_numpy())


def rmssd_ms(rr_ms: FloatArray, keep: BoolArray, span: Span) -> float:
    """Return RMSSD of the kept intervals of a window; NaN where the gate of the features withholds it."""
    first, last = span
    both = keep[first + 1 : last] & keep[first : last - 1]
    gate = GATES["differences"]
    if both.sum() < max(gate.differences, gate.valid_diff_frac * len(both)):
        return np.nan
    return float(np.sqrt(np.mean(np.diff(rr_ms[first:last])[both] ** 2)))


def injected(beat_ms: FloatArray, spans: list[Span], kind: str, rate: float, seed: int) -> FloatArray:
    """Return beat times with artefacts in a share of the beats of each window, at least 4 beats apart."""
    rng = np.random.default_rng([seed, spans[0][0]])
    low, high = KINDS[kind]
    moved, dropped, added = beat_ms.copy(), list[int](), list[float]()
    for span in spans:
        for beat in _places(span, rate, rng):
            before, after = np.diff(beat_ms[beat - 1 : beat + 2])
            share = rng.uniform(low, high)
            if kind == "missed":
                dropped.append(beat)
            elif kind == "extra":
                added.append(beat_ms[beat] + share * after)
            elif kind == "run":
                moved[beat : beat + RUN_BEATS] = moved[beat - 1] + (1 - share) * before * np.arange(
                    1, RUN_BEATS + 1
                )
            elif kind == "ectopic":
                moved[beat] -= share * before
            else:
                moved[beat] += rng.choice([-1, 1]) * share * min(before, after)
    return np.sort(np.concatenate([np.delete(moved, dropped), added]))


def _places(span: Span, rate: float, rng: np.random.Generator) -> list[int]:
    first, last = span
    wanted = max(1, round(rate * (last - first)))
    chosen: list[int] = []
    for beat in rng.permutation(np.arange(first + 3, last - 3)).tolist():
        if len(chosen) < wanted and all(abs(beat - other) >= APART_BEATS for other in chosen):
            chosen.append(beat)
    return chosen


def apart(spans: list[Span]) -> Iterator[list[Span]]:
    """Deal windows out into groups that do not overlap."""
    left = spans
    while left:
        group, later = [left[0]], list[Span]()
        for span in left[1:]:
            (group if span[0] >= group[-1][1] else later).append(span)
        yield group
        left = later


def kept(recording: Recording, beat_ms: FloatArray, rule: str) -> BoolArray:
    """Say which intervals between beats, those of the recording or made from them, a rule keeps."""
    if rule != KNOWN:
        return is_normal(np.diff(beat_ms), rule)
    if beat_ms is recording.beat_ms:
        return recording.is_sinus
    place = np.searchsorted(recording.beat_ms, beat_ms)
    is_untouched = np.isin(beat_ms, recording.beat_ms)
    return is_untouched[1:] & is_untouched[:-1] & (np.diff(place) == 1)


def assess(recording: Recording, rule: str, repeats: int) -> dict[str, str | float]:
    """Return one row of a table: errors in per cent, and what was withheld."""
    length_s, clean = recording.clean_windows()
    everything = np.ones(len(recording.rr_ms), np.bool_)
    truth = {span: rmssd_ms(recording.rr_ms, everything, span) for span in clean}
    undisturbed = _undisturbed(recording.beat_ms, clean, rule)
    row: dict[str, str | float] = {
        "record": recording.name,
        "clean": f"{len(clean)} x {length_s} s" if clean else "0",
        "RMSSD ms": _median(list(truth.values())),
        "none": _median(undisturbed),
        "changed": _share([error > CHANGED_PCT for error in undisturbed]),
    }
    for name, grid_ms in GRIDS_MS.items():
        on_grid_ms = np.round(recording.beat_ms / grid_ms) * grid_ms
        row[name] = _median(_undisturbed(on_grid_ms, clean, rule))
    for kind, rates in RATES.items():
        for rate in rates:
            errors = [
                error
                for seed in range(FIRST_SEED, FIRST_SEED + repeats)
                for error in _injected_errors(recording, rule, truth, kind, rate, seed)
            ]
            row[f"{kind} {rate:.0%}"] = _median(errors)
    return row | _natural(recording, kept(recording, recording.beat_ms, rule))


def _undisturbed(beat_ms: FloatArray, spans: list[Span], rule: str) -> list[float]:
    """Return what a rule changes in windows in which nothing is wrong, with beats on the grid of a sensor."""
    rr_ms = np.diff(beat_ms)
    everything = np.ones(len(rr_ms), np.bool_)
    keep = everything if rule == KNOWN else is_normal(rr_ms, rule)
    return [_error_pct(rmssd_ms(rr_ms, keep, span), rmssd_ms(rr_ms, everything, span)) for span in spans]


def _injected_errors(
    recording: Recording, rule: str, truth: Mapping[Span, float], kind: str, rate: float, seed: int
) -> Iterator[float]:
    for group in apart(list(truth)):
        beat_ms = injected(recording.beat_ms, group, kind, rate, seed)
        rr_ms, keep = np.diff(beat_ms), kept(recording, beat_ms, rule)
        for first, last in group:
            # The outer beats of a window are never touched.
            edges = np.searchsorted(beat_ms, recording.beat_ms[[first, last]])
            found = rmssd_ms(rr_ms, keep, (int(edges[0]), int(edges[1])))
            yield _error_pct(found, truth[first, last])


def _natural(recording: Recording, keep: BoolArray) -> dict[str, str | float]:
    few, many, without_pauses = list[float](), list[float](), list[float]()
    for first, last in recording.windows(WINDOWS_S[0]):
        bad = int((~recording.is_sinus[first:last]).sum())
        if not bad:
            continue
        found = rmssd_ms(recording.rr_ms, keep, (first, last))
        truth = rmssd_ms(recording.rr_ms, recording.is_sinus, (first, last))
        (few if bad <= MANY_BAD else many).append(_error_pct(found, truth))
        if bad <= MANY_BAD:
            truth = rmssd_ms(recording.rr_ms, recording.is_sinus & ~recording.is_pause, (first, last))
            without_pauses.append(_error_pct(found, truth))
    return {
        "natural 1-30": _median(few),
        "no pauses": _median(without_pauses),
        "worst": max((error for error in few if error == error), default=np.nan),  # noqa: PLR0124 - NaN
        "withheld": f"{int(np.isnan(few).sum())}/{len(few)}",
        "> 30 bad, withheld": f"{int(np.isnan(many).sum())}/{len(many)}",
        "shown, error": _median(many),
    }


def _error_pct(found: float, truth: float) -> float:
    return 100 * abs(found / truth - 1)


def _median(values: list[float]) -> float:
    there = [value for value in values if value == value]  # noqa: PLR0124 - NaN
    return float(np.median(there)) if there else np.nan


def _share(happened: list[bool]) -> str:
    return f"{sum(happened)}/{len(happened)}"


def tables(paths: list[Path], repeats: int) -> dict[str, list[dict[str, str | float]]]:
    """Return the rows of each rule."""
    recordings = [read(path) for path in paths]
    return {rule: [assess(one, rule, repeats) for one in recordings] for rule in RULES}


def _markdown(rows: list[dict[str, str | float]]) -> str:
    def cell(value: str | float) -> str:
        if isinstance(value, str):
            return value
        return "-" if np.isnan(value) else f"{value:.1f}"

    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([cell(row[name]) for name in names] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def run(*, is_full: bool) -> list[Row]:
    """Measure; `is_full` injects five times instead of twice. Writes the tables into docs/artefacts.md."""
    repeats = 5 if is_full else 2
    chosen, reported = (tables(paths, repeats) for paths in halves())
    text = ""
    for rule in RULES:
        title = "Exactly what was touched or is annotated" if rule == KNOWN else f"`{rule}`"
        text += f"\n### {title}\n\nReported half:\n\n{_markdown(reported[rule])}\n"
        text += f"\nHalf it was chosen on:\n\n{_markdown(chosen[rule])}\n"
    page = PAGE.read_text()
    before, after = page.split(BEGIN)[0], page.split(END)[1]
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    return [
        *_goals("reported", reported["bracket"]),
        *_goals("chosen", chosen["bracket"]),
        *_beside_neurokit2(),
    ]


def _goals(half: str, rows: list[dict[str, str | float]]) -> Iterator[Row]:
    undisturbed = ["none", *GRIDS_MS]
    disturbed = [f"{kind} {rate:.0%}" for kind in RATES if kind not in HARDER for rate in RATES[kind]]
    for name in [*undisturbed, *disturbed, "natural 1-30"]:
        worst, record = max((float(row[name]), str(row["record"])) for row in rows if row[name] == row[name])
        goal = 0.5 if name in undisturbed else 3.0
        yield Row(f"bracket, {half} half, {name}: worst, {record}", worst, "%", goal)


_PEER = """
import json, sys, warnings
import numpy as np, neurokit2
warnings.simplefilter("ignore")
peaks = np.array(json.load(sys.stdin))
found, _ = neurokit2.signal_fixpeaks(peaks, 10**9, method="Kubios", iterative=False)
print(json.dumps([list(map(int, found[name])) for name in ("ectopic", "missed", "extra", "longshort")]))
"""


def _beside_neurokit2() -> Iterator[Row]:
    """Compare Lipponen and Tarvainen's classes, and time both rules; neurokit2's time: benchmarks/hrv.py."""
    rr_ms = max((read(path).rr_ms for half in halves() for path in half), key=len)
    peaks = np.concatenate([[0], np.cumsum(np.round(rr_ms * 1e6).astype(np.int64))])
    answer = subprocess.run(
        [peer_python("hrv"), "-c", _PEER],
        input=json.dumps(peaks.tolist()),
        capture_output=True,
        text=True,
        check=True,
    )
    expected = np.zeros(len(peaks), np.uint8)
    for artefact, beats in zip((5, 6, 7, 8), json.loads(answer.stdout.splitlines()[-1]), strict=True):
        expected[beats] = artefact
    differ = float((beat_artefacts(rr_ms) != expected).sum())
    yield Row("flags that differ from neurokit2's", differ, "beats", 0)
    for name, call in (("bracket", bracket), ("lipponen_tarvainen", beat_artefacts)):
        yield Row(f"{name}, {len(rr_ms):,} beats", 1000 * _fastest_s(call, rr_ms), "ms")


def _fastest_s(call: Callable[[FloatArray], object], rr_ms: FloatArray) -> float:
    marks: list[float] = []
    call(rr_ms)
    for _ in range(7):
        start_s = time.process_time()
        call(rr_ms)
        marks.append(time.process_time() - start_s)
    return min(marks)
