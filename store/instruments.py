"""Questionnaires and ratings: items, ranges, published bands and thresholds; the one table of them."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from store.errors import ConfigError

LOINC = "http://loinc.org"


@dataclass(frozen=True, slots=True)
class Band:
    """Totals from `lowest` up to the next band, the word a paper has for them, and that paper."""

    lowest: int
    word: str
    doi: str


@dataclass(frozen=True, slots=True)
class Instrument:
    """A scale.

    Attributes
    ----------
    highest : tuple of int
        Highest score of each item; the lowest is 0.
    doi : str
        Of the paper that introduced it.
    recall_days : int
        How many days it asks about.
    bands : tuple of Band
        By rising totals, from 0. For data sets and labels: no page shows them.
    threshold, threshold_doi : int, str
        Total at and above which an episode of its kind is taken to be there, and who says so.
    asks_oneself : bool
        Whether the person answers; else a clinician rates.
    crisis_item : int
        Item, from 1, beside which the fixed crisis information stands; 0 without one. Nothing is
        inferred from its answer.
    loinc, item_loincs, total_loinc : str, tuple of str, str
        LOINC codes of the panel, its items in order, and its total; empty where there are none.
    """

    name: str
    highest: tuple[int, ...]
    doi: str
    recall_days: int
    bands: tuple[Band, ...]
    threshold: int
    threshold_doi: str
    asks_oneself: bool
    crisis_item: int = 0
    loinc: str = ""
    item_loincs: tuple[str, ...] = ()
    total_loinc: str = ""

    @property
    def highest_total(self) -> int:
        """The sum of the highest scores."""
        return sum(self.highest)

    def band_of(self, total: int) -> Band:
        """Return the published band of a total."""
        return next(band for band in reversed(self.bands) if total >= band.lowest)


_PHQ9, _GAD7 = "10.1046/j.1525-1497.2001.016009606.x", "10.1001/archinte.166.10.1092"
_SNAITH, _TOHEN, _EMBLEM = "10.1192/bjp.148.5.599", "10.1001/archpsyc.57.9.841", "10.1002/mpr.1379"
_TWICE = 8
"""YMRS counts irritability, speech, content and behaviour (items 5, 6, 8, 9) double: 0 to 8, not 0 to 4."""

INSTRUMENTS: Mapping[str, Instrument] = MappingProxyType(
    {
        each.name: each
        for each in (
            Instrument(
                "PHQ-9",
                (3,) * 9,
                _PHQ9,
                14,
                (
                    Band(0, "minimal", _PHQ9),
                    Band(5, "mild", _PHQ9),
                    Band(10, "moderate", _PHQ9),
                    Band(15, "moderately severe", _PHQ9),
                    Band(20, "severe", _PHQ9),
                ),
                threshold=10,
                threshold_doi=_PHQ9,
                asks_oneself=True,
                crisis_item=9,
                loinc="44249-1",
                item_loincs=(
                    *("44250-9", "44255-8", "44259-0", "44254-1", "44251-7"),
                    *("44258-2", "44252-5", "44253-3", "44260-8"),
                ),
                total_loinc="44261-6",
            ),
            Instrument(
                "GAD-7",
                (3,) * 7,
                _GAD7,
                14,
                (
                    Band(0, "minimal", _GAD7),
                    Band(5, "mild", _GAD7),
                    Band(10, "moderate", _GAD7),
                    Band(15, "severe", _GAD7),
                ),
                threshold=10,
                threshold_doi=_GAD7,
                asks_oneself=True,
                loinc="69737-5",
                item_loincs=(
                    *("69725-0", "68509-9", "69733-4", "69734-2"),
                    *("69735-9", "69689-8", "69736-7"),
                ),
                total_loinc="70274-6",
            ),
            Instrument(
                "MADRS",
                (6,) * 10,
                "10.1192/bjp.134.4.382",
                7,
                (
                    Band(0, "absent", _SNAITH),
                    Band(7, "mild", _SNAITH),
                    Band(20, "moderate", _SNAITH),
                    Band(35, "severe", _SNAITH),
                ),
                threshold=20,
                threshold_doi=_SNAITH,
                asks_oneself=False,
                crisis_item=10,
            ),
            Instrument(
                "YMRS",
                (4, 4, 4, 4, _TWICE, _TWICE, 4, _TWICE, _TWICE, 4, 4),
                "10.1192/bjp.133.5.429",
                2,
                (
                    Band(0, "remission", _TOHEN),
                    Band(13, "symptoms", _TOHEN),
                    Band(25, "severe", _EMBLEM),
                ),
                # What trials of acute mania ask for; three in four of EMBLEM's patients there were severe.
                threshold=20,
                threshold_doi=_EMBLEM,
                asks_oneself=False,
            ),
        )
    }
)


def instrument_named(name: str) -> Instrument:
    """Return a scale by its name, whatever its case.

    Raises
    ------
    ConfigError
        If there is none.
    """
    known = INSTRUMENTS.get(name.upper())
    if known is None:
        raise ConfigError(f"{name!r} is no instrument; needed is one of {', '.join(INSTRUMENTS)}")
    return known
