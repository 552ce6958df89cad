"""What a feature of a night is: one declaration for its column, its documentation and when it is shown."""

from dataclasses import dataclass
from typing import Literal


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
        Where it is defined; empty if here.
    family : str
        Features of one family share their coverage.
    min_coverage_frac : float
        Below this share (0-1) of the night, or of what the formula names, the value is withheld.
    is_log_scaled : bool
        Whether changes are relative, so that baselines are made of its logarithm.
    window_value : str
        The value of five-minute windows that it sums up; empty where it is made otherwise.
    summary : {"mean", "median"}
        How.
    is_clock_time : bool
        Whether it is a time of day, 0-24 h, which goes round: 23.9 and 0.1 are close.
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
    is_clock_time: bool = False

    @property
    def reference(self) -> str:
        """Where it is defined, for a reader."""
        return f"doi:{self.doi}" if self.doi else "none: defined here"
