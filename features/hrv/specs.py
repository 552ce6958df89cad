"""Every HRV value of a stretch of NN intervals, declared once: unit, formula, source, and what it needs."""

from dataclasses import dataclass

_TASK_FORCE = "10.1161/01.CIR.93.5.1043"
_POINCARE = "10.1109/10.959330"
_COSTA = "10.3389/fphys.2017.00255"
_SCARGLE = "10.1086/160554"


@dataclass(frozen=True, slots=True)
class HrvSpec:
    """What a value is and what it needs.

    Attributes
    ----------
    name : str
        Ends in the unit, unless it has none.
    unit : str
    formula : str
        One line; d are successive differences between intervals that share a beat.
    doi : str
    gate : str
        Of `features.hrv.gates.GATES`.
    """

    name: str
    unit: str
    formula: str
    doi: str
    gate: str


HRV_SPECS: tuple[HrvSpec, ...] = (
    HrvSpec("mean_nn_ms", "ms", "mean NN", _TASK_FORCE, "level"),
    HrvSpec("mean_hr_bpm", "beats/min", "60000 / mean NN", _TASK_FORCE, "level"),
    HrvSpec("sdnn_ms", "ms", "sqrt(sum (NN - mean NN)^2 / (n - 1))", _TASK_FORCE, "spread"),
    HrvSpec("cvnn", "", "SDNN / mean NN", _TASK_FORCE, "spread"),
    HrvSpec("rmssd_ms", "ms", "sqrt(mean d^2)", _TASK_FORCE, "differences"),
    HrvSpec("ln_rmssd", "ln(ms)", "ln RMSSD", "10.1111/j.1600-0838.2012.01497.x", "differences"),
    HrvSpec("sdsd_ms", "ms", "standard deviation (n - 1) of d", _TASK_FORCE, "differences"),
    HrvSpec("pnn50_pct", "%", "100 #(|d| > 50 ms) / #d", _TASK_FORCE, "differences"),
    HrvSpec("pnn20_pct", "%", "100 #(|d| > 20 ms) / #d", "10.1136/heart.87.4.378", "differences"),
    HrvSpec("sd1_ms", "ms", "SDSD / sqrt 2", _POINCARE, "differences"),
    HrvSpec("sd2_ms", "ms", "sqrt(2 SDNN^2 - SDSD^2 / 2)", _POINCARE, "poincare"),
    HrvSpec("ellipse_ms2", "ms^2", "pi SD1 SD2", _POINCARE, "poincare"),
    HrvSpec("guzik_pct", "%", "100 sum (d > 0)^2 / sum d^2 (C1d)", "10.1515/BMT.2006.054", "differences"),
    HrvSpec("porta_pct", "%", "100 #(d < 0) / #(d != 0)", "10.1152/ajpregu.00129.2008", "differences"),
    HrvSpec("hti", "", "n / height of the histogram, bins of 1/128 s", _TASK_FORCE, "geometry"),
    HrvSpec("tinn_ms", "ms", "base of the best triangle on that histogram", _TASK_FORCE, "geometry"),
    HrvSpec(
        "stress_index",
        "%/s^2",
        "AMo / (2 Mo MxDMn), bins of 50 ms",
        "10.12710/cardiometry.2017.10.6676",
        "spread",
    ),
    HrvSpec("vlf_ms2", "ms^2", "Welch power in 0.0033-0.04 Hz", _TASK_FORCE, "vlf"),
    HrvSpec("lf_ms2", "ms^2", "Welch power in 0.04-0.15 Hz", _TASK_FORCE, "lf"),
    HrvSpec("hf_ms2", "ms^2", "Welch power in 0.15-0.40 Hz", _TASK_FORCE, "hf"),
    HrvSpec("total_ms2", "ms^2", "VLF + LF + HF", _TASK_FORCE, "vlf"),
    HrvSpec("lf_hf", "", "LF / HF", _TASK_FORCE, "lf"),
    HrvSpec("lf_nu_pct", "%", "100 LF / (LF + HF)", _TASK_FORCE, "lf"),
    HrvSpec("hf_nu_pct", "%", "100 HF / (LF + HF)", _TASK_FORCE, "lf"),
    HrvSpec("lf_peak_hz", "Hz", "frequency of the highest density in LF", _TASK_FORCE, "lf"),
    HrvSpec("hf_peak_hz", "Hz", "frequency of the highest density in HF", _TASK_FORCE, "hf"),
    HrvSpec(
        "hf_is_limited", "", "1 where mean HR < 48: HF reaches beyond half the heart rate", _TASK_FORCE, "hf"
    ),
    HrvSpec("lomb_vlf_ms2", "ms^2", "Lomb-Scargle power in 0.0033-0.04 Hz", _SCARGLE, "vlf"),
    HrvSpec("lomb_lf_ms2", "ms^2", "Lomb-Scargle power in 0.04-0.15 Hz", _SCARGLE, "lf"),
    HrvSpec("lomb_hf_ms2", "ms^2", "Lomb-Scargle power in 0.15-0.40 Hz", _SCARGLE, "hf"),
    HrvSpec("lomb_lf_hf", "", "lomb LF / lomb HF", _SCARGLE, "lf"),
    HrvSpec(
        "sampen", "nats", "-ln(A / B), m = 2, r = 0.2 SDNN", "10.1152/ajpheart.2000.278.6.H2039", "nonlinear"
    ),
    HrvSpec("apen", "nats", "phi(2) - phi(3), r = 0.2 SDNN", "10.1073/pnas.88.6.2297", "nonlinear"),
    HrvSpec("dfa_a1", "", "slope of log fluctuation over 4-16 beats", "10.1063/1.166141", "nonlinear"),
    HrvSpec("dfa_a2", "", "slope of log fluctuation over 16-64 beats", "10.1063/1.166141", "nonlinear"),
    HrvSpec("pip_pct", "%", "100 inflection points / n", _COSTA, "nonlinear"),
    HrvSpec("ials", "", "runs / differences in runs", _COSTA, "nonlinear"),
    HrvSpec("pss_pct", "%", "100 - 100 intervals in runs of 3 or more / n", _COSTA, "nonlinear"),
    HrvSpec("pas_pct", "%", "100 intervals in alternations of 4 or more / n", _COSTA, "nonlinear"),
)

QUICK_SPECS = tuple(spec for spec in HRV_SPECS if spec.name not in ("sampen", "apen"))
"""All but those whose time grows with the square of the beats."""

RECORD_SPECS: tuple[HrvSpec, ...] = (
    HrvSpec(
        "sdann_ms", "ms", "standard deviation (n - 1) of the means of 5-minute windows", _TASK_FORCE, "record"
    ),
    HrvSpec("sdnni_ms", "ms", "mean of the standard deviations of 5-minute windows", _TASK_FORCE, "record"),
    HrvSpec(
        "mse_1_5",
        "nats",
        "sum of SampEn (r = 0.15 SDNN) at scales 1-5",
        "10.1103/PhysRevLett.89.068102",
        "nonlinear",
    ),
    HrvSpec(
        "mse_6_20",
        "nats",
        "sum of SampEn (r = 0.15 SDNN) at scales 6-20",
        "10.1103/PhysRevLett.89.068102",
        "nonlinear",
    ),
)
"""Only of long records."""
