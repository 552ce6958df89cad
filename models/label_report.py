"""An evaluation on labels of real people, as Markdown and JSON."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.evaluation import HORIZONS, Evaluation
from models.label_evaluation import ALL, LATE, LEARNED
from models.labels import NEEDED_EPISODES, NEEDED_PEOPLE
from models.report import AT, burden_row, burden_table, percent, rows_table, sensitivity_row, span_text

_METHOD = (
    "{people} people, {with_episodes} with an episode on days that can be judged. People are left out; "
    "weights and thresholds come from the others, and thresholds from inner folds that leave people out "
    "again. Brackets: 95 % interval, people drawn again."
)
_LEGEND = (
    "Found / in stretches of the same person without an episode (null), in %. "
    f"`{LATE}`: thresholds from the first 60 % of other people's days, three weeks before these."
)
_NOTE = """\
What this can and cannot say:

- An episode sets in when a scale passes its published threshold from below, or a flag ended with care being
  changed. Scales are filled in every few weeks: onsets, and delays with them, are known to within weeks.
- Episodes that only a flag told of were found by a flag: how many of those are found again is no sensitivity.
  They stand in a row of their own, and the row `all` holds them.
- Who fills in scales, and when, is no accident. People here are those of one clinic.
- No diagnosis, no risk of harm, not for emergencies; the absence of an alert is never reassurance.
"""


def label_summary(found: Evaluation, permuted: Evaluation) -> dict[str, Any]:
    """Return every figure of the report, for machines."""
    return {
        "seed": found.seed,
        "people": found.people,
        "people_with_episodes": found.people_with_episodes,
        "needed": {"episodes": NEEDED_EPISODES, "people": NEEDED_PEOPLE},
        "sensitivity": [sensitivity_row(key, held) for key, held in found.outcomes.items()],
        "burden": [burden_row(name, budget, held) for (name, budget), held in found.burdens.items()],
        "forward": [burden_row(f"{LEARNED}, later days", b, held) for b, held in found.forward.items()],
        "permuted": [
            sensitivity_row(key, held) for key, held in permuted.outcomes.items() if key[0] == LEARNED
        ],
    }


def label_markdown(found: Evaluation, held: dict[str, Any]) -> str:
    """Return the report."""
    at = [row for row in held["sensitivity"] if row["budget"] == AT]
    parts = [
        f"# Evaluation on labels, seed {found.seed}",
        _METHOD.format(people=found.people, with_episodes=found.people_with_episodes),
        _NOTE,
        f"## Found at {AT} alert episodes per 30 monitored days",
        _table(at),
        _LEGEND,
        "## Alerts far from any episode",
        burden_table([*held["burden"], *held["forward"]]),
        "## With onsets drawn by lot",
        _table([row for row in held["permuted"] if row["budget"] == AT and row["scenario"] == ALL]),
        "Learned and tested on onsets on which nothing happened: a lift here would be a leak.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _table(rows: Sequence[dict[str, Any]]) -> str:
    return rows_table(
        (
            "Method",
            "Episodes",
            "Count",
            *(f"{h} d" for h in HORIZONS),
            "Lift 14 d",
            "Delay, days (quartiles)",
        ),
        [
            (
                row["detector"],
                row["scenario"],
                str(row["episodes"]),
                *(f"{percent(row[f'found_{h}d'])} / {percent(row[f'null_{h}d'])}" for h in HORIZONS),
                f"{percent(row['lift_14d'])} {span_text(row['lift_interval_14d'])}",
                "{:.0f} ({:.0f} to {:.0f})".format(*row["delay_median_iqr"])
                if row["delay_median_iqr"]
                else "",
            )
            for row in rows
        ],
    )


def write_label_report(found: Evaluation, permuted: Evaluation, folder: Path) -> list[Path]:
    """Write labels.md and labels.json; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    held = label_summary(found, permuted)
    paths = [folder / name for name in ("labels.md", "labels.json")]
    paths[0].write_text(label_markdown(found, held), encoding="utf-8")
    paths[1].write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    return paths
