"""From which value on a minute is active, and from which moderate: explicit per device and column."""

from dataclasses import dataclass

from features.epochs.epochs import SUMMED, Epochs


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Bounds of one kind of value; None where none is published.

    Attributes
    ----------
    active, moderate : float or None
        Per minute for summed columns, plain for means.
    doi : str
    """

    active: float | None = None
    moderate: float | None = None
    doi: str = ""


_PUBLISHED: dict[tuple[str, str], Thresholds] = {
    ("actigraph", "axis1"): Thresholds(100.0, 1952.0, "10.1097/00005768-199805000-00021"),
    ("actigraph", "counts"): Thresholds(100.0, 1952.0, "10.1097/00005768-199805000-00021"),
    ("actigraph", "vectormagnitude"): Thresholds(1853.0, 2690.0, "10.1016/j.jsams.2011.04.003"),
    ("", "enmo_mg"): Thresholds(44.8, 100.6, "10.1111/sms.12795"),
    ("", "steps"): Thresholds(1.0, 100.0, "10.1136/bjsports-2017-097628"),
}
"""ActiGraph: Freedson 1998 (hip, axis 1, for which plain counts are taken); of a wrist's vector
magnitude 1853 as arctools, and Sasaki 2011. ENMO: Hildebrand 2017, 2014 (wrist of adults). Steps: one a
minute; a cadence of 100."""


def thresholds_of(epochs: Epochs, active: float | None = None, moderate: float | None = None) -> Thresholds:
    """Return the bounds for the scored column, per epoch of the recording; what is asked for wins.

    Counts of devices other than ActiGraph have no bounds of their own: values that need one are withheld
    until it is named.
    """
    known = (
        _PUBLISHED.get((epochs.device, epochs.column)) or _PUBLISHED.get(("", epochs.column)) or Thresholds()
    )
    share = epochs.epoch_s / 60 if epochs.column in SUMMED else 1.0
    active = known.active if active is None else active
    moderate = known.moderate if moderate is None else moderate
    return Thresholds(
        None if active is None else active * share, None if moderate is None else moderate * share, known.doi
    )
