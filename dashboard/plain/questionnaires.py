"""Scales as they are asked or rated.

PHQ-9 and GAD-7 are free to use, print and show (Pfizer: no permission required). Of MADRS and YMRS, whose
anchors are their owners', only the titles of items stand here: they are rated by the published manual.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from store.instruments import INSTRUMENTS


@dataclass(frozen=True, slots=True)
class Form:
    """What a page asks: a question above the items, and a word for each score where scores have words."""

    question: str
    items: tuple[str, ...]
    answers: tuple[str, ...] = ()

    def choices(self, highest: int) -> tuple[str, ...]:
        """Return what to choose from for an item, from 0 up."""
        if self.answers:
            return tuple(f"{word} ({score})" for score, word in enumerate(self.answers))
        return tuple(str(score) for score in range(highest + 1))


_TWO_WEEKS = "Over the last 2 weeks, how often have you been bothered by any of the following problems?"
_OFTEN = ("Not at all", "Several days", "More than half the days", "Nearly every day")

FORMS: Mapping[str, Form] = MappingProxyType(
    {
        "PHQ-9": Form(
            _TWO_WEEKS,
            (
                "Little interest or pleasure in doing things",
                "Feeling down, depressed, or hopeless",
                "Trouble falling or staying asleep, or sleeping too much",
                "Feeling tired or having little energy",
                "Poor appetite or overeating",
                (
                    "Feeling bad about yourself, or that you are a failure or have let yourself or your "
                    "family down"
                ),
                "Trouble concentrating on things, such as reading the newspaper or watching television",
                (
                    "Moving or speaking so slowly that other people could have noticed; or the opposite, "
                    "being so fidgety or restless that you have been moving around a lot more than usual"
                ),
                "Thoughts that you would be better off dead, or of hurting yourself in some way",
            ),
            _OFTEN,
        ),
        "GAD-7": Form(
            _TWO_WEEKS,
            (
                "Feeling nervous, anxious, or on edge",
                "Not being able to stop or control worrying",
                "Worrying too much about different things",
                "Trouble relaxing",
                "Being so restless that it is hard to sit still",
                "Becoming easily annoyed or irritable",
                "Feeling afraid, as if something awful might happen",
            ),
            _OFTEN,
        ),
        "MADRS": Form(
            "Rated by a clinician from an interview about the last 7 days, by the published manual: 0 is not "
            "present, 6 the most.",
            (
                "Apparent sadness",
                "Reported sadness",
                "Inner tension",
                "Reduced sleep",
                "Reduced appetite",
                "Concentration difficulties",
                "Lassitude",
                "Inability to feel",
                "Pessimistic thoughts",
                "Suicidal thoughts",
            ),
        ),
        "YMRS": Form(
            "Rated by a clinician from an interview about the last 48 hours, by the published manual; items "
            "5, 6, 8 and 9 count double.",
            (
                "Elevated mood",
                "Increased motor activity and energy",
                "Sexual interest",
                "Sleep",
                "Irritability",
                "Speech: rate and amount",
                "Language and thought disorder",
                "Content",
                "Disruptive or aggressive behavior",
                "Appearance",
                "Insight",
            ),
        ),
    }
)


def choices_of(scale: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return each item of a scale with what to choose from."""
    form, highest = FORMS[scale], INSTRUMENTS[scale].highest
    return [(text, form.choices(most)) for text, most in zip(form.items, highest, strict=True)]
