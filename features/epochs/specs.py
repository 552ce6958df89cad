"""What a value of movement is: one declaration for its column, its documentation and when it is shown."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MovementSpec:
    """A value of a day or of a recording.

    Attributes
    ----------
    name : str
        Ends in the unit, unless it has none or that of what was recorded.
    unit : str
    formula : str
        One line; x are the epochs used.
    doi : str
    min_days : int
        Worn days that a recording needs.
    min_coverage_frac : float
        Share of worn epochs that a day, or a recording without valid days, needs, 0-1.
    """

    name: str
    unit: str
    formula: str
    doi: str
    min_days: int = 1
    min_coverage_frac: float = 0.0
