"""All HRV values of many stretches, each shown only where enough of the stretch is there."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from features.hrv.beats import Beats, Fragmentation, beats, fragmentation
from features.hrv.entropy import Entropy, entropy, multiscale_entropy
from features.hrv.gates import GATES, Completeness, completeness
from features.hrv.histogram import Geometry, geometry
from features.hrv.lomb import lomb
from features.hrv.scaling import Scaling, scaling
from features.hrv.segments import FloatArray, Segments, clock_windows, segments_between, whole
from features.hrv.specs import HRV_SPECS, QUICK_SPECS, HrvSpec
from features.hrv.spectrum import Spectrum, welch
from store.types import NnSeries
from store.units import NS_PER_MS, NS_PER_S

UNDEFINED = "undefined for constant, too few or unmatched intervals"

MIN_RECORD_WINDOW_FRAC = 0.5
_RECORD_WINDOW_NS = 300 * NS_PER_S


@dataclass(frozen=True)
class HrvTable:
    """Values of m stretches.

    Attributes
    ----------
    segments : Segments
    complete : Completeness
    values : mapping of name to (m,) float64
        One entry per spec; NaN where withheld or undefined, never infinite.
    """

    segments: Segments
    complete: Completeness
    values: Mapping[str, FloatArray] = field(repr=False)

    def withheld(self, row: int) -> dict[str, str]:
        """Return why values of a stretch are missing, by name."""
        refusals = {name: self.complete.refusal(gate, row) for name, gate in GATES.items()}
        return {
            spec.name: refusals[spec.gate] or UNDEFINED
            for spec in HRV_SPECS
            if spec.name in self.values and np.isnan(self.values[spec.name][row])
        }


def hrv_table(nn: NnSeries, segments: Segments, specs: tuple[HrvSpec, ...] = HRV_SPECS) -> HrvTable:
    """Compute the values of every span; what no spec asks for, or a gate withholds, is not computed.

    Parameters
    ----------
    nn : NnSeries of one sensor
    segments : Segments of it
    specs : tuple of HrvSpec
    """
    found = beats(nn, segments)
    complete = completeness(nn, segments, found)
    passes = {name: complete.passes(gate) for name, gate in GATES.items()}
    values: dict[str, FloatArray] = {}
    for family, names in _FAMILIES:
        asked = [spec for spec in specs if spec.name in names]
        if not asked:
            continue
        rows = np.flatnonzero(np.any([passes[spec.gate] for spec in asked], axis=0))
        computed = family(nn, segments.take(rows)) if len(rows) else None
        for spec in asked:
            column = np.full(len(segments), np.nan)
            if computed is not None:
                column[rows] = getattr(computed, spec.name.removeprefix("lomb_"))
            values[spec.name] = np.where(passes[spec.gate] & np.isfinite(column), column, np.nan)
    return HrvTable(segments, complete, {spec.name: values[spec.name] for spec in specs})


_BEATS = (
    "mean_nn_ms", "mean_hr_bpm", "sdnn_ms", "cvnn", "rmssd_ms", "ln_rmssd", "sdsd_ms", "pnn50_pct",
    "pnn20_pct", "sd1_ms", "sd2_ms", "ellipse_ms2", "guzik_pct", "porta_pct", "hf_is_limited",
)  # fmt: skip
_SPECTRUM = (
    "vlf_ms2", "lf_ms2", "hf_ms2", "total_ms2", "lf_hf", "lf_nu_pct", "hf_nu_pct", "lf_peak_hz", "hf_peak_hz",
)  # fmt: skip
_Family = Callable[[NnSeries, Segments], Beats | Geometry | Spectrum | Entropy | Scaling | Fragmentation]
_FAMILIES: tuple[tuple[_Family, tuple[str, ...]], ...] = (
    (beats, _BEATS),
    (geometry, ("hti", "tinn_ms", "stress_index")),
    (welch, _SPECTRUM),
    (lomb, ("lomb_vlf_ms2", "lomb_lf_ms2", "lomb_hf_ms2", "lomb_lf_hf")),
    (entropy, ("sampen", "apen")),
    (scaling, ("dfa_a1", "dfa_a2")),
    (fragmentation, ("pip_pct", "ials", "pss_pct", "pas_pct")),
)
"""What computes which values together."""


def record_values(
    nn: NnSeries, span: Segments | None = None, *, with_entropies: bool = False
) -> tuple[HrvTable, dict[str, float]]:
    """Return the values of a whole record as one stretch, and those that only a long record has.

    Parameters
    ----------
    nn : NnSeries
    span : Segments, optional
        One stretch: where the recording begins and ends, should its ends have been removed. Default: where
        the NN intervals do.
    with_entropies : bool
        Also SampEn, ApEn and multiscale entropy, whose time grows with the square of the beats: some ten
        seconds for a day. Without it they are left out.
    """
    segments = whole(nn) if span is None else span
    table = hrv_table(nn, segments, HRV_SPECS if with_entropies else QUICK_SPECS)
    sdann_ms, sdnni_ms = sdann_sdnni_ms(nn, int(segments.start_ns[0]))
    values = {"sdann_ms": sdann_ms, "sdnni_ms": sdnni_ms}
    if with_entropies:
        passes = table.complete.passes(GATES["nonlinear"])[0]
        scales = multiscale_entropy(nn) if passes else np.full(20, np.nan)
        values |= {"mse_1_5": float(scales[:5].sum()), "mse_6_20": float(scales[5:].sum())}
    return table, values


def sdann_sdnni_ms(nn: NnSeries, origin_ns: int) -> tuple[float, float]:
    """Return the SD of the means, and the mean of the SDs, of 5-minute clock windows at least half covered.

    Windows are by the clock, so that a gap does not shift what follows. A beat that ends exactly between two
    windows belongs to the earlier one, as its interval lies there.

    References
    ----------
    Task Force of the ESC and NASPE (1996). Circulation 93, 1043-1065. doi:10.1161/01.CIR.93.5.1043
    """
    starts, ends = clock_windows(nn.t_ns - 1, _RECORD_WINDOW_NS, _RECORD_WINDOW_NS, origin_ns)
    found = beats(nn, segments_between(nn, starts + 1, ends + 1))
    covered = found.nn_total_ms >= MIN_RECORD_WINDOW_FRAC * _RECORD_WINDOW_NS / NS_PER_MS
    kept = covered & (found.n_nn >= 2)
    means_ms, spreads_ms = found.mean_nn_ms[kept], found.sdnn_ms[kept]
    sdann_ms = float(np.std(means_ms, ddof=1)) if len(means_ms) > 1 else np.nan
    return sdann_ms, float(np.mean(spreads_ms)) if len(spreads_ms) else np.nan
