"""Features, each declared once: columns, exports, the data dictionary and tests are made from these."""

from dataclasses import dataclass

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


_NIGHT_COVERAGE = 0.25
"""A quarter of the nocturnal hours: 18 of 72 five-minute windows. Scattered windows estimate the mean of a
night well (Rossi 2020, doi:10.3390/s20247122); fewer let one restless hour stand for the night."""

NIGHT_FEATURES: tuple[FeatureSpec, ...] = (
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
    ),
)


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
