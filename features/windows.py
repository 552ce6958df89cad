"""Five-minute windows of HRV: the grain between beats and nights."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from features.hrv import GATES, HRV_SPECS, entropy, hrv_table, segments_between
from store.streams import Column, Stream
from store.timeseries import Batch, TimeSeriesStore
from store.types import NnSeries
from store.units import NS_PER_S

WINDOW_FEATURES = (
    "mean_hr_bpm", "mean_nn_ms", "sdnn_ms", "rmssd_ms", "pnn50_pct", "ln_rmssd", "sd1_ms", "sd2_ms", "lf_ms2",
    "hf_ms2", "dfa_a1", "pip_pct", "sampen",
)  # fmt: skip
"""Of the values there are, those that nights are made of."""
_SPECS = tuple(spec for spec in HRV_SPECS if spec.name in WINDOW_FEATURES)
_SAMPEN = next(spec for spec in _SPECS if spec.name == "sampen")
_TABLE_SPECS = tuple(spec for spec in _SPECS if spec is not _SAMPEN)

WINDOW_STREAM = Stream(
    "hrv_window",
    "HRV of clock-aligned windows; the time is the window's start",
    (
        *(Column(spec.name, "float64", spec.formula, spec.unit) for spec in _SPECS),
        Column("coverage_frac", "float64", "Share of the window covered by NN intervals, 0-1"),
        Column("n_beats", "int64", "NN intervals that end in the window"),
        Column("n_differences", "int64", "Successive differences between intervals that share a beat"),
    ),
    family="features",
)


@dataclass(frozen=True)
class Windows:
    """Consecutive windows of one sensor.

    Attributes
    ----------
    start_ns : (n,) int64
        Starts, ascending; windows without any NN interval are left out.
    values : mapping of feature name to (n,) float64
        NaN where withheld for poor coverage.
    coverage_frac : (n,) float64
    n_beats, n_differences : (n,) int
    """

    start_ns: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float64]]
    coverage_frac: NDArray[np.float64]
    n_beats: NDArray[np.integer]
    n_differences: NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.start_ns)

    def between(self, start_ns: int, end_ns: int) -> "Windows":
        """Return the windows that start in `[start_ns, end_ns)`."""
        kept = (self.start_ns >= start_ns) & (self.start_ns < end_ns)
        values = {name: array[kept] for name, array in self.values.items()}
        return Windows(
            self.start_ns[kept],
            values,
            self.coverage_frac[kept],
            self.n_beats[kept],
            self.n_differences[kept],
        )

    def batch(self, subject_id: str, sensor_id: str) -> Batch:
        """Return these windows as samples."""
        columns = {
            **self.values,
            "coverage_frac": self.coverage_frac,
            "n_beats": self.n_beats,
            "n_differences": self.n_differences,
        }
        return Batch(WINDOW_STREAM, subject_id, sensor_id, self.start_ns, columns)


NO_WINDOWS = Windows(
    np.empty(0, np.int64),
    {name: np.empty(0) for name in WINDOW_FEATURES},
    np.empty(0),
    np.empty(0, np.int64),
    np.empty(0, np.int64),
)


def windows_of(nn: NnSeries, window_s: int) -> Windows:
    """Compute HRV in the windows of a series.

    A beat belongs to the window in which its interval ends. Windows are aligned to the UTC clock, and so to
    local hours of every zone.

    Parameters
    ----------
    nn : NnSeries of one sensor
    window_s : int
        Length of a window, seconds.
    """
    window_ns = window_s * NS_PER_S
    start_ns = np.unique(nn.t_ns // window_ns) * window_ns
    segments = segments_between(nn, start_ns, start_ns + window_ns)
    found = hrv_table(nn, segments, _TABLE_SPECS)
    # Alone, for the table computes the approximate entropy with it, which takes twice as long again.
    sampen = np.full(len(segments), np.nan)
    rows = np.flatnonzero(found.complete.passes(GATES[_SAMPEN.gate]))
    sampen[rows] = entropy(nn, segments.take(rows), with_apen=False).sampen
    return Windows(
        start_ns,
        {**found.values, _SAMPEN.name: sampen},
        found.complete.coverage_frac,
        found.complete.n_nn,
        found.complete.n_differences,
    )


def read_windows(store: TimeSeriesStore, subject_id: str, start_ns: int, end_ns: int) -> Windows:
    """Return the stored windows that start in `[start_ns, end_ns)`, of the sensor that saw most of it."""
    held = store.read(WINDOW_STREAM, subject_id, start_ns, end_ns)
    if len(held.sensors) > 1:
        covered = np.bincount(held.sensor_index, held["coverage_frac"], len(held.sensors))
        held = held.of_sensor(held.sensors[int(np.argmax(covered))])
    return Windows(
        held.t_ns,
        {name: held[name] for name in WINDOW_FEATURES},
        held["coverage_frac"],
        held["n_beats"],
        held["n_differences"],
    )
