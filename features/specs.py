"""Features, each declared once: columns, exports, the data dictionary and tests are made from these."""

from typing import Literal

from features.feature import FeatureSpec
from features.hrv import HRV_SPECS
from features.movement.specs import MOVEMENT_FEATURES
from store.errors import UnknownError

_TASK_FORCE = "10.1161/01.CIR.93.5.1043"


_NIGHT_COVERAGE = 0.25
"""A quarter of the nocturnal hours: 18 of 72 five-minute windows. Scattered windows estimate the mean of a
night well (Rossi 2020, doi:10.3390/s20247122); fewer let one restless hour stand for the night."""

CORE_FEATURES: tuple[FeatureSpec, ...] = (
    FeatureSpec(
        "mean_hr_bpm",
        "beats/min",
        "Mean heart rate",
        "How fast the heart beat in the nocturnal hours, mean of the five-minute windows",
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
        "Average time between normal beats in the nocturnal hours",
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
    label: str,
    meaning: str,
    summary: Literal["mean", "median"] = "mean",
    *,
    is_log: bool = False,
) -> FeatureSpec:
    spec = next(each for each in HRV_SPECS if each.name == of)
    return FeatureSpec(
        name,
        spec.unit,
        label,
        meaning,
        f"{summary} over valid windows of {spec.formula}",
        spec.doi,
        "hrv_more",
        _NIGHT_COVERAGE,
        is_log,
        of,
        summary,
    )


def _made(  # noqa: PLR0913, PLR0917 - a row of a table
    name: str,
    unit: str,
    label: str,
    meaning: str,
    formula: str,
    doi: str,
    family: str,
    *,
    is_log: bool = False,
    is_clock: bool = False,
) -> FeatureSpec:
    return FeatureSpec(
        name, unit, label, meaning, formula, doi, family, _NIGHT_COVERAGE, is_log, is_clock_time=is_clock
    )


_CORNELISSEN = "10.1186/1742-4682-11-16"
_PLEWS = "10.1007/s40279-013-0071-8"
_BEN_DOV = "10.1001/archinte.167.19.2116"
_STILLNESS = "10.3390/s20247122"
_OPTICAL = "10.1016/j.ijcard.2012.03.119"
_DEFINED_HERE = ""

MORE_FEATURES: tuple[FeatureSpec, ...] = (
    _summary(
        "ln_rmssd",
        "ln_rmssd",
        "ln RMSSD",
        "Beat-to-beat variability on a logarithmic scale, on which changes of any person are alike in size",
    ),
    _summary(
        "rmssd_median_ms",
        "rmssd_ms",
        "RMSSD, median",
        "RMSSD of the middle one of the nocturnal windows, which single restless windows do not move",
        "median",
        is_log=True,
    ),
    _summary(
        "mean_hr_median_bpm",
        "mean_hr_bpm",
        "Heart rate, median",
        "Rate of the middle one of the nocturnal windows, which single restless windows do not move",
        "median",
    ),
    _summary(
        "sd1_ms",
        "sd1_ms",
        "SD1",
        "Width of the cloud of each interval against the next: changes from beat to beat",
        is_log=True,
    ),
    _summary(
        "sd2_ms",
        "sd2_ms",
        "SD2",
        "Length of the cloud of each interval against the next: changes over many beats",
        is_log=True,
    ),
    _summary(
        "lf_ms2",
        "lf_ms2",
        "LF power",
        "Variability in waves of 7 to 25 s, mostly of the regulation of blood pressure",
        is_log=True,
    ),
    _summary(
        "hf_ms2",
        "hf_ms2",
        "HF power",
        "Variability in waves of 2.5 to 7 s, those of breathing: the vagus nerve",
        is_log=True,
    ),
    _summary(
        "dfa_a1",
        "dfa_a1",
        "DFA alpha 1",
        "How intervals hang together over 4 to 16 beats: near 0.5 at random, near 1.5 as a smooth drift",
    ),
    _summary(
        "pip_pct",
        "pip_pct",
        "Inflection points",
        "Share of intervals at which the heart changes between slowing and quickening",
    ),
    _summary(
        "sampen",
        "sampen",
        "Sample entropy",
        "How hard the next interval is to foretell from the two before; low is regular",
    ),
    _made(
        "lowest_hr_bpm",
        "beats/min",
        "Lowest heart rate",
        "Mean rate of those five minutes of the nocturnal hours in which the heart beat slowest",
        "min over nocturnal windows of 60000 / mean NN",
        _DEFINED_HERE,
        "day",
    ),
    _made(
        "hr_dip_pct",
        "%",
        "Fall of heart rate at night",
        "How much slower the heart beats in the nocturnal hours than in the others from noon to noon",
        "100 (1 - mean HR of the nocturnal hours / mean HR of the other hours)",
        _BEN_DOV,
        "day",
    ),
    _made(
        "hr_mesor_bpm",
        "beats/min",
        "Level of the 24-h rhythm",
        "Heart rate about which the daily rhythm swings, whatever hours were recorded",
        "M of M + A cos(2 pi (t - phi) / 24 h), least squares on five-minute means, t on the local clock",
        _CORNELISSEN,
        "day",
    ),
    _made(
        "hr_amplitude_bpm",
        "beats/min",
        "Amplitude of the 24-h rhythm",
        "How far the daily rhythm lifts the heart rate above its level at the peak",
        "A of that fit",
        _CORNELISSEN,
        "day",
    ),
    _made(
        "hr_acrophase_h",
        "h",
        "Peak of the 24-h rhythm",
        "Local clock time at which the daily rhythm of the heart rate is highest, 0-24",
        "phi of that fit",
        _CORNELISSEN,
        "day",
        is_clock=True,
    ),
    _made(
        "hr_cosinor_r2",
        "",
        "R2 of the 24-h rhythm",
        "How much of the variance of the five-minute heart rates the daily rhythm explains, 0-1",
        "1 - residual / total sum of squares",
        _CORNELISSEN,
        "day",
    ),
    _made(
        "rmssd_still_ms",
        "ms",
        "RMSSD when still",
        "Beat-to-beat variability of the night without the windows that movement may have disturbed",
        "mean RMSSD of the third of valid nocturnal windows with the least mean ENMO",
        _STILLNESS,
        "still",
        is_log=True,
    ),
    _made(
        "mean_hr_still_bpm",
        "beats/min",
        "Heart rate when still",
        "Rate of the night without the windows that movement may have disturbed",
        "mean HR of the same windows",
        _STILLNESS,
        "still",
    ),
    _made(
        "rmssd_asleep_ms",
        "ms",
        "RMSSD asleep",
        "Beat-to-beat variability of sleep alone, at whatever hours it was",
        "mean RMSSD of the valid windows wholly inside sleep",
        _DEFINED_HERE,
        "asleep",
        is_log=True,
    ),
    _made(
        "mean_hr_asleep_bpm",
        "beats/min",
        "Heart rate asleep",
        "How fast the heart beat in sleep alone, at whatever hours it was",
        "mean HR of the same windows",
        _DEFINED_HERE,
        "asleep",
    ),
    _made(
        "ln_rmssd_7d",
        "ln(ms)",
        "ln RMSSD, 7 nights",
        "Level of ln RMSSD in the week up to this night, of this night's sensor alone",
        "mean of the valid ones of the last 7 nights, at least 3",
        _PLEWS,
        "week",
    ),
    _made(
        "ln_rmssd_cv_7d_pct",
        "%",
        "ln RMSSD, variation over 7 nights",
        "How much ln RMSSD went up and down from night to night in that week",
        "100 SD (n - 1) / mean of the same nights",
        _PLEWS,
        "week",
    ),
    _made(
        "prv_mean_hr_bpm",
        "beats/min",
        "Pulse rate",
        "How fast the pulse was in the nocturnal hours, from an optical sensor",
        "as mean_hr_bpm, of pulse intervals",
        _OPTICAL,
        "pulse",
    ),
    _made(
        "prv_sdnn_ms",
        "ms",
        "SDNN of the pulse",
        "Spread of pulse intervals in five minutes; not to be compared with that of heartbeats",
        "as sdnn_ms, of pulse intervals",
        _OPTICAL,
        "pulse",
        is_log=True,
    ),
    _made(
        "prv_rmssd_ms",
        "ms",
        "RMSSD of the pulse",
        "Change from one pulse interval to the next; not to be compared with that of heartbeats",
        "as rmssd_ms, of pulse intervals",
        _OPTICAL,
        "pulse",
        is_log=True,
    ),
    _made(
        "prv_ln_rmssd",
        "ln(ms)",
        "ln RMSSD of the pulse",
        "Change from one pulse interval to the next, on a logarithmic scale",
        "as ln_rmssd, of pulse intervals",
        _OPTICAL,
        "pulse",
    ),
)
"""Where there is enough for them; `withheld_more` says why one is missing."""

NIGHT_FEATURES = (*CORE_FEATURES, *MORE_FEATURES, *MOVEMENT_FEATURES)


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
