"""PHQ-9 and GAD-7 as they are asked: free to use, print and show (Pfizer: no permission required)."""

from collections.abc import Mapping
from types import MappingProxyType

ANSWERS = ("Not at all", "Several days", "More than half the days", "Nearly every day")
QUESTION = "Over the last 2 weeks, how often have you been bothered by any of the following problems?"
ITEMS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "PHQ-9": (
            "Little interest or pleasure in doing things",
            "Feeling down, depressed, or hopeless",
            "Trouble falling or staying asleep, or sleeping too much",
            "Feeling tired or having little energy",
            "Poor appetite or overeating",
            "Feeling bad about yourself, or that you are a failure or have let yourself or your family down",
            "Trouble concentrating on things, such as reading the newspaper or watching television",
            (
                "Moving or speaking so slowly that other people could have noticed; or the opposite, being "
                "so fidgety or restless that you have been moving around a lot more than usual"
            ),
            "Thoughts that you would be better off dead, or of hurting yourself in some way",
        ),
        "GAD-7": (
            "Feeling nervous, anxious, or on edge",
            "Not being able to stop or control worrying",
            "Worrying too much about different things",
            "Trouble relaxing",
            "Being so restless that it is hard to sit still",
            "Becoming easily annoyed or irritable",
            "Feeling afraid, as if something awful might happen",
        ),
    }
)
CRISIS_ITEM = ("PHQ-9", 9)
"""Whoever answers it above 0 is shown the fixed crisis information; nothing is inferred from the answer."""
