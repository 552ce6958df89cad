"""When a value may be shown: how much of a stretch has to be there, by what the value is made of.

The limits are measured: beats were removed from complete five-minute windows of ten recordings, and a limit
is where the median error of a family stays near 5 % (RMSSD: half of the differences; SDNN: 70 % covered;
spectra and entropies: 90 %, no hole beyond 5 s). Lengths are those of the Task Force (1996,
doi:10.1161/01.CIR.93.5.1043), but 15 instead of 20 minutes for the geometric values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv.beats import Beats
from features.hrv.compiled import compiled
from features.hrv.segments import FloatArray, Segments
from store.types import NnSeries
from store.units import NS_PER_MS


@dataclass(frozen=True, slots=True)
class Gate:
    """What a family of values needs; 0 (or infinity for the gap) where it does not matter.

    Attributes
    ----------
    coverage_frac : float
        Share of the stretch covered by NN intervals.
    valid_diff_frac : float
        Share of its successive differences that exist.
    differences, beats : int
    longest_gap_s : float
    length_s : float
        Of the stretch itself.
    """

    coverage_frac: float = 0.0
    valid_diff_frac: float = 0.0
    differences: int = 0
    beats: int = 0
    longest_gap_s: float = np.inf
    length_s: float = 0.0


GATES: Mapping[str, Gate] = {
    "level": Gate(coverage_frac=0.50),
    "spread": Gate(coverage_frac=0.70),
    "differences": Gate(valid_diff_frac=0.50, differences=30),
    "poincare": Gate(coverage_frac=0.70, valid_diff_frac=0.50, differences=30),
    "geometry": Gate(coverage_frac=0.70, length_s=900),
    "hf": Gate(coverage_frac=0.90, longest_gap_s=5, length_s=60),
    "lf": Gate(coverage_frac=0.90, longest_gap_s=5, length_s=120),
    "vlf": Gate(coverage_frac=0.90, longest_gap_s=5, length_s=300),
    "nonlinear": Gate(coverage_frac=0.90, beats=200),
    "record": Gate(length_s=600),
}
"""By the name a spec gives; "record" is two windows of five minutes."""


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of m stretches is there.

    Attributes
    ----------
    coverage_frac : (m,) float64
        Share covered by NN intervals, 0-1.
    valid_diff_frac : (m,) float64
        Differences there are, of those there would be at the mean NN interval, 0-1.
    n_nn, n_differences : (m,) int64
    longest_gap_s : (m,) float64
        Longest time without NN intervals, the edges of the stretch included.
    length_s : (m,) float64
    """

    coverage_frac: FloatArray
    valid_diff_frac: FloatArray
    n_nn: NDArray[np.int64]
    n_differences: NDArray[np.int64]
    longest_gap_s: FloatArray
    length_s: FloatArray

    def passes(self, gate: Gate) -> NDArray[np.bool_]:
        """Say for each stretch, (m,), whether values behind the gate may be shown."""
        return np.asarray(
            (self.coverage_frac >= gate.coverage_frac)
            & (self.valid_diff_frac >= gate.valid_diff_frac)
            & (self.n_differences >= gate.differences)
            & (self.n_nn >= gate.beats)
            & (self.longest_gap_s <= gate.longest_gap_s)
            & (self.length_s >= gate.length_s),
            np.bool_,
        )

    def refusal(self, gate: Gate, row: int) -> str:
        """Return why a stretch does not pass, value seen and value needed; empty if it does."""
        checks = (
            (self.length_s[row], gate.length_s, "length {:.0f} s, {:.0f} needed"),
            (self.coverage_frac[row], gate.coverage_frac, "coverage {:.2f}, {:.2f} needed"),
            (self.valid_diff_frac[row], gate.valid_diff_frac, "valid differences {:.2f}, {:.2f} needed"),
            (self.n_differences[row], gate.differences, "{:.0f} differences, {:.0f} needed"),
            (self.n_nn[row], gate.beats, "{:.0f} beats, {:.0f} needed"),
            (-self.longest_gap_s[row], -gate.longest_gap_s, "gap of {:.1f} s, at most {:.0f} allowed"),
        )
        for seen, needed, sentence in checks:
            if seen < needed:
                return sentence.format(abs(seen), abs(needed))
        return ""


def completeness(nn: NnSeries, segments: Segments, found: Beats) -> Completeness:
    """Measure how much of each span is there."""
    length_ms = np.maximum(segments.length_ms, 1e-6)
    gap_ms = np.empty(len(segments))
    _gap_kernel(nn.t_ns, nn.nn_ms, segments.first, segments.last, segments.start_ns, segments.end_ns, gap_ms)
    expected = np.where(found.n_nn > 0, found.n_differences * found.mean_nn_ms, 0.0) / length_ms
    return Completeness(
        np.minimum(found.nn_total_ms / length_ms, 1.0),
        np.minimum(expected, 1.0),
        found.n_nn,
        found.n_differences,
        gap_ms / 1000,
        segments.length_ms / 1000,
    )


@compiled
def _gap_kernel(  # noqa: PLR0913, PLR0917 - one loop over its arrays
    t_ns: NDArray[np.int64],
    nn_ms: FloatArray,
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    start_ns: NDArray[np.int64],
    end_ns: NDArray[np.int64],
    out: FloatArray,
) -> None:
    for k in range(len(first)):
        longest = 0.0
        until_ns = start_ns[k]
        for i in range(first[k], last[k]):
            longest = max(longest, (t_ns[i] - until_ns) / NS_PER_MS - nn_ms[i])
            until_ns = t_ns[i]
        out[k] = max(longest, (end_ns[k] - until_ns) / NS_PER_MS)
