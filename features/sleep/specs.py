"""Every value of sleep, declared once: unit, formula, source, and how much has to be scored."""

from dataclasses import dataclass

NEARLY_ALL = 0.95
"""Minutes that were not scored are neither sleep nor wake; more than 24 of 8 hours would shift totals."""

_ACTILIFE = "ActiLife 6 manual"
_AASM = "AASM scoring manual"


@dataclass(frozen=True, slots=True)
class SleepSpec:
    """What a value is and what it needs.

    Attributes
    ----------
    name : str
        Ends in the unit, unless it has none.
    unit : str
    formula : str
        One line; a period is `[in bed, out of bed)`.
    source : str
        A DOI, or what defines it.
    min_coverage_frac : float
        Share of the period, of the day (naps) or of nights that has to be scored, 0-1.
    family : {"period", "stages", "day", "record"}
    """

    name: str
    unit: str
    formula: str
    source: str
    min_coverage_frac: float
    family: str


_REGULARITY = "10.1016/j.smrv.2015.06.003"
_SRI = "10.1038/s41598-017-03171-4"
_CIRCULAR = "circular standard deviation of {}, at least 5 nights"


def _period(name: str, unit: str, formula: str, source: str = _ACTILIFE) -> SleepSpec:
    return SleepSpec(name, unit, formula, source, NEARLY_ALL, "period")


def _stage(name: str, formula: str) -> SleepSpec:
    return SleepSpec(name, "min", formula, _AASM, NEARLY_ALL, "stages")


def _record(name: str, unit: str, formula: str, source: str = _REGULARITY) -> SleepSpec:
    return SleepSpec(name, unit, formula, source, 0.0, "record")


SLEEP_SPECS: tuple[SleepSpec, ...] = (
    SleepSpec("tib_min", "min", "length of the period (time in bed)", _ACTILIFE, 0.0, "period"),
    _period("spt_min", "min", "from onset to offset (sleep period time)", _AASM),
    _period("tst_min", "min", "minutes asleep in the period (total sleep time)"),
    _period("sol_min", "min", "from in bed to the first minute asleep (sleep onset latency)"),
    _period("waso_min", "min", "minutes awake from onset to the end of the period (wake after sleep onset)"),
    _period("se_pct", "%", "100 TST / TIB (sleep efficiency)"),
    _period("awakenings", "", "runs of wake after onset"),
    _period("movement_index_pct", "%", "100 epochs with a count above 0 / epochs with a count"),
    _period("fragmentation_index_pct", "%", "100 bouts of sleep of 1 min / bouts of sleep"),
    _period("sleep_fragmentation_index_pct", "%", "sum of the two above"),
    _period("onset_h", "h", "local clock time of the first minute asleep, 0-24", _AASM),
    _period("offset_h", "h", "local clock time after the last minute asleep, 0-24", _AASM),
    _period("midpoint_h", "h", "local clock time half-way from onset to offset, 0-24", _AASM),
    _stage("light_min", "minutes of light sleep (N1, N2)"),
    _stage("deep_min", "minutes of deep sleep (N3)"),
    _stage("nrem_min", "minutes of sleep that is not REM"),
    _stage("rem_min", "minutes of REM sleep"),
    SleepSpec("naps", "", "other periods that end on the same day, 15 min or longer", _AASM, 0.80, "day"),
    SleepSpec("nap_min", "min", "minutes asleep in them", _AASM, 0.80, "day"),
    _record("onset_sd_min", "min", _CIRCULAR.format("onsets")),
    _record("offset_sd_min", "min", _CIRCULAR.format("offsets")),
    _record("mean_midpoint_h", "h", "circular mean of midpoints, at least 5 nights"),
    _record(
        "social_jet_lag_h",
        "h",
        "mean midpoint of nights that end on Saturday or Sunday, minus that of the others; at least 2 and 3",
        "10.1080/07420520500545979",
    ),
    _record("sri", "", "200 P(same state 24 h of elapsed time apart) - 100; at least 5 days of pairs", _SRI),
    _record("sri_clock", "", "the same, 24 h apart on the local clock", _SRI),
)
"""In the order of the columns."""


def specs_of(*families: str) -> tuple[SleepSpec, ...]:
    """Return the specs of some families, in the order of the columns."""
    return tuple(spec for spec in SLEEP_SPECS if spec.family in families)
