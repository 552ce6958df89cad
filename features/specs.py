"""Features, each declared once: columns, exports, the data dictionary and tests are made from these."""

from dataclasses import dataclass
from typing import Literal

from features.hrv import HRV_SPECS
from store.errors import UnknownError

_TASK_FORCE = "10.1161/01.CIR.93.5.1043"


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """What a feature is and when it may be shown.

    Attributes
    ----------
    name : str
        Ends in the unit.
    unit, label : str
        For axes and tables.
    meaning, formula : str
        One sentence each, for the data dictionary.
    doi : str
        Where it is defined.
    family : str
        Features of one family share their coverage.
    min_coverage_frac : float
        Below this share of the night (0-1) the value is withheld.
    is_log_scaled : bool
        Whether changes are relative, so that baselines are made of its logarithm.
    window_value : str
        The value of five-minute windows that it sums up; empty where it is made otherwise.
    summary : {"mean", "median"}
        How.
    """

    name: str
    unit: str
    label: str
    meaning: str
    formula: str
    doi: str
    family: str
    min_coverage_frac: float
    is_log_scaled: bool
    window_value: str = ""
    summary: Literal["mean", "median"] = "mean"


_NIGHT_COVERAGE = 0.25
"""A quarter of the nocturnal hours: 18 of 72 five-minute windows. Scattered windows estimate the mean of a
night well (Rossi 2020, doi:10.3390/s20247122); fewer let one restless hour stand for the night."""

CORE_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "mean_hr_bpm",
        "beats/min",
        "Mean heart rate",
        "Mean heart rate of the nocturnal hours",
        "mean over valid windows of 60000 / mean NN",
        _TASK_FORCE,
        "hrv",
        _NIGHT_COVERAGE,
        is_log_scaled=False,
        window_value="mean_hr_bpm",
    ),
    FeatureSpec(
        "mean_nn_ms",
        "ms",
        "Mean NN",
        "Mean interval between normal beats in the nocturnal hours",
        "mean over valid windows of the mean NN interval",
        _TASK_FORCE,
        "hrv",
        _NIGHT_COVERAGE,
        is_log_scaled=False,
        window_value="mean_nn_ms",
    ),
    FeatureSpec(
        "sdnn_ms",
        "ms",
        "SDNN (5 min)",
        "Standard deviation of NN intervals, mean of the five-minute windows (SDNN index)",
        "mean over valid windows of sqrt(sum (NN - mean NN)^2 / (n - 1))",
        _TASK_FORCE,
        "hrv",
        _NIGHT_COVERAGE,
        is_log_scaled=True,
        window_value="sdnn_ms",
    ),
    FeatureSpec(
        "rmssd_ms",
        "ms",
        "RMSSD",
        "Root mean square of successive NN differences, mean of the five-minute windows",
        "mean over valid windows of sqrt(mean d^2), d between intervals that share a beat",
        _TASK_FORCE,
        "hrv",
        _NIGHT_COVERAGE,
        is_log_scaled=True,
        window_value="rmssd_ms",
    ),
    FeatureSpec(
        "pnn50_pct",
        "%",
        "pNN50",
        "Share of successive NN differences above 50 ms, mean of the five-minute windows",
        "mean over valid windows of 100 * #(|d| > 50 ms) / #d",
        _TASK_FORCE,
        "hrv",
        _NIGHT_COVERAGE,
        is_log_scaled=False,
        window_value="pnn50_pct",
    ),
)
"""Of every night; `withheld` says why one is missing."""


def _summary(
    name: str,
    of: str,
    unit: str,
    label: str,
    summary: Literal["mean", "median"] = "mean",
    *,
    is_log: bool = False,
) -> FeatureSpec:
    spec = next(each for each in HRV_SPECS if each.name == of)
    return FeatureSpec(
        name,
        unit,
        label,
        f"{label}, {summary} of the five-minute windows of the nocturnal hours",
        f"{summary} over valid windows of {spec.formula}",
        spec.doi,
        "hrv_more",
        _NIGHT_COVERAGE,
        is_log,
        of,
        summary,
    )


def _made(name: str, unit: str, label: str, formula: str, doi: str, family: str) -> FeatureSpec:
    return FeatureSpec(name, unit, label, label, formula, doi, family, _NIGHT_COVERAGE, is_log_scaled=False)


_NELSON = "10.1186/1742-4682-11-16"
_PLEWS = "10.1007/s40279-013-0071-8"
_OPTICAL = "10.1016/j.ijcard.2012.03.119"

MORE_FEATURES: tuple[FeatureSpec, ...] = (
    _summary("ln_rmssd", "ln_rmssd", "ln(ms)", "ln RMSSD"),
    _summary("rmssd_median_ms", "rmssd_ms", "ms", "RMSSD, median", "median", is_log=True),
    _summary("mean_hr_median_bpm", "mean_hr_bpm", "beats/min", "Heart rate, median", "median"),
    _summary("sd1_ms", "sd1_ms", "ms", "SD1", is_log=True),
    _summary("sd2_ms", "sd2_ms", "ms", "SD2", is_log=True),
    _summary("lf_ms2", "lf_ms2", "ms^2", "LF power", is_log=True),
    _summary("hf_ms2", "hf_ms2", "ms^2", "HF power", is_log=True),
    _summary("dfa_a1", "dfa_a1", "", "DFA alpha 1"),
    _summary("pip_pct", "pip_pct", "%", "Inflection points"),
    _made(
        "lowest_hr_bpm",
        "beats/min",
        "Lowest heart rate of five minutes at night",
        "min over nocturnal windows",
        "10.1161/01.CIR.93.5.1043",
        "day",
    ),
    _made(
        "hr_dip_pct",
        "%",
        "Fall of heart rate at night",
        "100 (1 - mean HR of the nocturnal hours / mean HR of the other hours)",
        "10.1097/HJH.0b013e32831d0d4d",
        "day",
    ),
    _made(
        "hr_mesor_bpm",
        "beats/min",
        "Level of the heart's 24-h rhythm",
        "M of M + A cos(2 pi (t - phi) / 24 h), least squares on five-minute means",
        _NELSON,
        "day",
    ),
    _made(
        "hr_amplitude_bpm",
        "beats/min",
        "Amplitude of the heart's 24-h rhythm",
        "A of that fit",
        _NELSON,
        "day",
    ),
    _made(
        "hr_acrophase_h",
        "h",
        "Clock time of the peak of the heart's 24-h rhythm",
        "phi of that fit",
        _NELSON,
        "day",
    ),
    _made(
        "hr_cosinor_r2",
        "",
        "Share of variance that rhythm explains",
        "1 - residual / total sum of squares",
        _NELSON,
        "day",
    ),
    _made(
        "rmssd_still_ms",
        "ms",
        "RMSSD of the least-moving windows",
        "mean RMSSD of the third of nocturnal windows with the least ENMO",
        "10.3390/s20247122",
        "still",
    ),
    _made(
        "mean_hr_still_bpm",
        "beats/min",
        "Heart rate of the least-moving windows",
        "mean HR of the same windows",
        "10.3390/s20247122",
        "still",
    ),
    _made(
        "ln_rmssd_7d",
        "ln(ms)",
        "ln RMSSD, mean of 7 nights",
        "mean of the valid ones of the last 7 nights, at least 3",
        _PLEWS,
        "week",
    ),
    _made(
        "ln_rmssd_cv_7d_pct",
        "%",
        "ln RMSSD, coefficient of variation of 7 nights",
        "100 SD (n - 1) / mean of the same",
        _PLEWS,
        "week",
    ),
    _made(
        "prv_mean_hr_bpm",
        "beats/min",
        "Pulse rate from light",
        "as mean_hr_bpm, of pulse intervals",
        _OPTICAL,
        "pulse",
    ),
    _made(
        "prv_sdnn_ms", "ms", "SDNN of pulse intervals", "as sdnn_ms, of pulse intervals", _OPTICAL, "pulse"
    ),
    _made(
        "prv_rmssd_ms", "ms", "RMSSD of pulse intervals", "as rmssd_ms, of pulse intervals", _OPTICAL, "pulse"
    ),
    _made(
        "prv_ln_rmssd",
        "ln(ms)",
        "ln RMSSD of pulse intervals",
        "as ln_rmssd, of pulse intervals",
        _OPTICAL,
        "pulse",
    ),
)
"""Where there is enough for them; `withheld_more` says why one is missing."""

NIGHT_FEATURES = (*CORE_FEATURES, *MORE_FEATURES)


def spec_named(name: str) -> FeatureSpec:
    """Return the spec of that name.

    Raises
    ------
    UnknownError
        If there is none; the message lists those there are.
    """
    for spec in NIGHT_FEATURES:
        if spec.name == name:
            return spec
    raise UnknownError(
        f"No feature is called {name!r}; there are: {', '.join(s.name for s in NIGHT_FEATURES)}"
    )
