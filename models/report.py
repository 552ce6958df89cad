"""An evaluation as Markdown, JSON and plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.channels import FloatArray
from models.detectors import DETECTORS
from models.evaluation import CORE, HORIZONS, Burden, Evaluation, Outcome, interval, permuted_lift
from models.injector import CONTROLS, INJECTOR_VERSION, SCENARIOS

GOALS: tuple[tuple[str, int, float], ...] = (
    ("hetero-moderate", 14, 0.60),
    ("hetero-moderate", 21, 0.75),
    ("hetero-severe", 14, 0.85),
    ("mania", 14, 0.75),
    ("hypersomnia", 14, 0.75),
    ("ramp-28", 35, 0.70),
    ("severe-wear-loss", 14, 0.65),
)
AT = 0.25
_POINTS = 0.02
_NOTE = """\
Healthy volunteers with simulated changes: this says how well a change of such a size is told from a person's
own ups and downs. It says nothing about patients, relapse or illness. No diagnosis, not for emergencies; the
absence of an alert is never reassurance.
"""


def summary(found: Evaluation) -> dict[str, Any]:
    """Return every figure of the report, for machines."""
    return {
        "seed": found.seed,
        "injector_version": INJECTOR_VERSION,
        "people": found.people,
        "people_with_episodes": found.people_with_episodes,
        "goals": [_goal(found, *goal) for goal in GOALS],
        "burden": [burden_row(name, budget, held) for (name, budget), held in found.burdens.items()],
        "forward": [burden_row("risk, later days", budget, held) for budget, held in found.forward.items()],
        "sensitivity": [sensitivity_row(key, held) for key, held in found.outcomes.items()],
        "paired": [_paired(found, name) for name in DETECTORS if name != "risk"],
        "permuted_lift_14d": permuted_lift(found.outcomes["risk", AT, CORE[0]], 14, seed=found.seed),
    }


def _goal(found: Evaluation, scenario: str, horizon: int, goal: float) -> dict[str, Any]:
    outcome = found.outcomes["risk", AT, scenario]
    reached = float(outcome.found(horizon).mean())
    return {
        "scenario": scenario,
        "days": horizon,
        "found": reached,
        "interval": interval(outcome.person, outcome.found(horizon)),
        "null": float(outcome.null(horizon).mean()),
        "goal": goal,
        "short_by": max(0.0, goal - reached),
    }


def burden_row(name: str, budget: float, held: Burden) -> dict[str, Any]:
    """Return the price of one detector at one budget."""
    people = held.of_people if len(held.of_people) else np.zeros(1)
    return {
        "detector": name,
        "budget": budget,
        "alerts": int(held.alerts.sum()),
        "expected": budget * float(held.monitored.sum()) / 30,
        "rate": held.rate,
        "person_mean": float(people.mean()),
        "person_median": float(np.median(people)),
        "person_p90": float(np.quantile(people, 0.9)),
        "person_max": float(people.max()),
        "per_100_people_week": 700 * float(held.alerts.sum()) / max(float(held.days.sum()), 1.0),
        "unmonitored_frac": 1 - float(held.monitored.sum()) / max(float(held.days.sum()), 1.0),
    }


def sensitivity_row(key: tuple[str, float, str], held: Outcome) -> dict[str, Any]:
    """Return what one detector found at one budget."""
    name, budget, scenario = key
    delays = held.delay_days[held.delay_days < HORIZONS[-1]]
    row: dict[str, Any] = {
        "detector": name,
        "budget": budget,
        "scenario": scenario,
        "episodes": len(held.person),
    }
    for horizon in HORIZONS:
        lift = held.found(horizon) - held.null(horizon)
        row[f"found_{horizon}d"] = float(held.found(horizon).mean())
        row[f"interval_{horizon}d"] = interval(held.person, held.found(horizon))
        row[f"null_{horizon}d"] = float(held.null(horizon).mean())
        row[f"lift_{horizon}d"] = float(lift.mean())
        row[f"lift_interval_{horizon}d"] = interval(held.person, lift)
    row["delay_median_iqr"] = _quartiles(delays)
    return row


def _quartiles(delays: FloatArray) -> list[float]:
    return [float(q) for q in np.quantile(delays, [0.5, 0.25, 0.75])] if len(delays) else []


def _paired(found: Evaluation, name: str) -> dict[str, Any]:
    """Compare the lift of the shipped detector with another's, episode by episode."""
    ours, other = found.outcomes["risk", AT, CORE[0]], found.outcomes[name, AT, CORE[0]]
    gain = (ours.found(14) - ours.null(14)) - (other.found(14) - other.null(14))
    low, high = interval(ours.person, gain)
    return {
        "detector": name,
        "lift_difference_14d": float(gain.mean()),
        "interval": (low, high),
        "rate_risk": found.burdens["risk", AT].rate,
        "rate_other": found.burdens[name, AT].rate,
    }


def markdown(found: Evaluation, held: dict[str, Any]) -> str:
    """Return the report."""
    permuted = float(held["permuted_lift_14d"])
    parts = [
        f"# Evaluation: injector {INJECTOR_VERSION}, seed {found.seed}",
        _method(found),
        _NOTE,
        f"## Goals at {AT} alert episodes per 30 monitored days",
        _goal_table(held["goals"]),
        "## Alerts in days without a change",
        burden_table([row for row in held["burden"] if row["detector"] == "risk"] + held["forward"]),
        "Later days: thresholds of the first 60 % of other people's days, counted three weeks after these.",
        f"## The shipped detector at {AT}: every scenario",
        _scenario_table(held["sensitivity"]),
        "Found / without the change (null), in %. `wear-loss` must not be found as a change.",
        f"## Controls at {AT}: no more than the null and 2 points",
        _control_table(held["sensitivity"]),
        f"## Detectors at {AT}",
        _detector_table(held),
        f"Lift left when lots say which window had the change: {100 * permuted:+.1f} points.",
    ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _method(found: Evaluation) -> str:
    return (
        f"{found.people} people, {found.people_with_episodes} with enough days for episodes. "
        "People are left out, thresholds come from inner folds that leave people out again. "
        "Brackets: 95 % interval, people "
        "drawn again."
    )


def rows_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(value: float) -> str:
    """Return a share as whole percent."""
    return f"{100 * value:.0f}"


def span_text(pair: Sequence[float]) -> str:
    """Return an interval of shares in percent; nothing where it is not known."""
    return "" if np.isnan(pair[0]) else f"[{100 * pair[0]:.0f} to {100 * pair[1]:.0f}]"


def _goal_table(goals: Sequence[dict[str, Any]]) -> str:
    return rows_table(
        ("Scenario", "Within", "Found %", "Null %", "Goal %", "Short by"),
        [
            (
                g["scenario"],
                f"{g['days']} d",
                f"{percent(g['found'])} {span_text(g['interval'])}",
                percent(g["null"]),
                percent(g["goal"]),
                f"{100 * g['short_by']:.0f} points" if g["short_by"] > 0 else "reached",
            )
            for g in goals
        ],
    )


def burden_table(rows: Sequence[dict[str, Any]]) -> str:
    """Return prices as a table."""
    return rows_table(
        (
            "",
            "Budget",
            "Alerts",
            "Expected",
            "Rate",
            "Person mean",
            "median",
            "p90",
            "max",
            "Per 100 people, week",
        ),
        [
            (
                row["detector"],
                f"{row['budget']:.2f}",
                str(row["alerts"]),
                f"{row['expected']:.1f}",
                f"{row['rate']:.2f}",
                *(f"{row[f'person_{what}']:.2f}" for what in ("mean", "median", "p90", "max")),
                f"{row['per_100_people_week']:.1f}",
            )
            for row in rows
        ],
    )


def _scenario_table(rows: Sequence[dict[str, Any]]) -> str:
    ours = [row for row in rows if row["detector"] == "risk" and row["budget"] == AT]
    return rows_table(
        ("Scenario", "Episodes", *(f"{h} d" for h in HORIZONS), "Lift 14 d", "Delay, days (quartiles)"),
        [
            (
                row["scenario"],
                str(row["episodes"]),
                *(f"{percent(row[f'found_{h}d'])} / {percent(row[f'null_{h}d'])}" for h in HORIZONS),
                f"{percent(row['lift_14d'])} {span_text(row['lift_interval_14d'])}",
                "{:.0f} ({:.0f} to {:.0f})".format(*row["delay_median_iqr"])
                if row["delay_median_iqr"]
                else "",
            )
            for row in ours
            if row["scenario"] in SCENARIOS
        ],
    )


def _control_table(rows: Sequence[dict[str, Any]]) -> str:
    ours = [
        row
        for row in rows
        if row["detector"] == "risk" and row["budget"] == AT and row["scenario"] in CONTROLS
    ]
    return rows_table(
        ("Control", "Episodes", "Found 14 d %", "Null %", "Difference", "Holds"),
        [
            (
                row["scenario"],
                str(row["episodes"]),
                percent(row["found_14d"]),
                percent(row["null_14d"]),
                f"{100 * row['lift_14d']:+.1f} {span_text(row['lift_interval_14d'])}",
                "yes" if row["lift_14d"] <= _POINTS else "no",
            )
            for row in ours
        ],
    )


def _detector_table(held: dict[str, Any]) -> str:
    sensitivity = {(r["detector"], r["scenario"]): r for r in held["sensitivity"] if r["budget"] == AT}
    rates = {r["detector"]: r["rate"] for r in held["burden"] if r["budget"] == AT}
    paired = {r["detector"]: r for r in held["paired"]}
    rows: list[Sequence[str]] = []
    for name, detector in DETECTORS.items():
        cells = [
            f"{percent(sensitivity[name, s]['found_14d'])} / {percent(sensitivity[name, s]['null_14d'])}"
            for s in CORE
        ]
        gain = paired.get(name)
        less = f"{percent(gain['lift_difference_14d'])} {span_text(gain['interval'])}" if gain else ""
        rows.append((name, detector.use, f"{rates[name]:.2f}", *cells, less))
    return rows_table(("Detector", "Use", "Rate", *(f"{s} 14 d" for s in CORE), "Risk leads by (lift)"), rows)


def write_report(found: Evaluation, folder: Path) -> list[Path]:
    """Write report.md, report.json and plots.html; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    held = summary(found)
    paths = [folder / name for name in ("report.md", "report.json", "plots.html")]
    paths[0].write_text(markdown(found, held), encoding="utf-8")
    paths[1].write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    from models.report_plots import write_plots  # noqa: PLC0415 - slow to import

    write_plots(held, paths[2])
    return paths
