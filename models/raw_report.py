"""An evaluation with changes in raw samples, as Markdown, JSON and plots."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.channels import FloatArray, channel_named
from models.evaluation import HORIZONS, interval
from models.injector import CONTROLS, INJECTOR_VERSION
from models.raw_evaluation import RELATIVE, WATCHED, RawEvaluation
from models.raw_injector import RAW_INJECTOR_VERSION
from models.report import percent, rows_table, sensitivity_row, span_text

_SHOWN_WITHIN = {**dict.fromkeys(RELATIVE, 0.01), "tst_min": 5.0, "se_pct": 1.0, "midpoint_h": 0.1}
"""A value of which nothing is asked is told of where it changed by so much."""
_METHOD = """\
{people} people{simulated}, {with_episodes} of them with enough days for {episodes} onsets. Each change is put
into the samples (raw injector {raw_version}), every night that sees a part of it is computed again as
`features run` does, and judged by the shipped model as `flags run` does, to a budget of {budget} alert
episodes per 30 monitored days. Beside it the same change, with the same onsets and chances, is put into the
daily values (injector {version}). Nothing was written to the store, and nothing was tuned on this.
"""
_NOTE = """\
Simulated changes: this says how well a change of such a size is told from a person's own ups and downs. It
says nothing about patients, relapse or illness. No diagnosis, not for emergencies; the absence of an alert is
never reassurance.
"""
_EFFECTS = """\
Medians over the nights of which something was asked, those of a ramp with them. Off by: realised less asked,
10 to 90 % of nights. Values of which nothing is asked are told of where they moved. Lost: nights that the
change cost their value.
"""
_FOUND = """\
Lift: found in samples less null. Samples less daily: below 0, injecting after computing flatters. Delay:
median, in samples / in daily values. Brackets: 95 % interval, people drawn again.
"""


def raw_summary(found: RawEvaluation) -> dict[str, Any]:
    """Return every figure of the report, for machines."""
    return {
        "seed": found.setup.seed,
        "budget": found.setup.budget,
        "raw_injector_version": RAW_INJECTOR_VERSION,
        "injector_version": INJECTOR_VERSION,
        "people": found.people,
        "simulated": found.simulated,
        "people_with_episodes": len({one.subject for one in found.shown}),
        "onsets": len({(one.subject, one.onset) for one in found.shown}),
        "left_out": found.left_out,
        "effects": [row for name in found.setup.scenarios for row in _effects(found, name)],
        "found": [_found(found, name) for name in found.setup.scenarios],
    }


def _effects(found: RawEvaluation, scenario: str) -> list[dict[str, Any]]:
    """Return what was asked and came of each value, over the nights of which something was asked."""
    shown = [one for one in found.shown if one.scenario == scenario]
    if not shown:
        return []
    asked, raw, daily = (
        np.concatenate([getattr(one, part) for one in shown]) for part in ("asked", "raw", "daily")
    )
    lost = np.sum([one.lost for one in shown], axis=0)
    rows: list[dict[str, Any]] = []
    for k, name in enumerate(WATCHED):
        seen = np.isfinite(raw[:, k])
        if seen.any():
            off = (raw - asked)[seen, k]
            rows.append(
                {
                    "scenario": scenario,
                    "value": name,
                    "is_share": name in RELATIVE,
                    "nights": int(seen.sum()),
                    "lost_nights": int(lost[k]),
                    "asked_median": float(np.median(asked[seen, k])),
                    "raw_median": float(np.median(raw[seen, k])),
                    "raw_off_p10_p50_p90": [float(q) for q in np.quantile(off, [0.1, 0.5, 0.9])],
                    "daily_median": _median(daily[seen, k]),
                }
            )
    return rows


def _median(values: FloatArray) -> float | None:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else None


def _found(found: RawEvaluation, scenario: str) -> dict[str, Any]:
    raw, daily = (found.outcome(scenario, is_raw=is_raw) for is_raw in (True, False))
    row: dict[str, Any] = {"scenario": scenario}
    if len(raw.person):
        row["raw"] = sensitivity_row(("raw", found.setup.budget, scenario), raw)
        row["daily"] = sensitivity_row(("daily", found.setup.budget, scenario), daily)
        for horizon in HORIZONS:
            gain = raw.found(horizon) - daily.found(horizon)
            row[f"raw_less_daily_{horizon}d"] = float(gain.mean())
            row[f"raw_less_daily_interval_{horizon}d"] = interval(raw.person, gain)
    return row


def raw_markdown(held: dict[str, Any]) -> str:
    """Return the report."""
    simulated = f" ({held['simulated']} of them simulated)" if held["simulated"] else ""
    method = _METHOD.format(
        people=held["people"],
        simulated=simulated,
        with_episodes=held["people_with_episodes"],
        episodes=held["onsets"],
        raw_version=held["raw_injector_version"],
        version=held["injector_version"],
        budget=held["budget"],
    )
    rows = [row for row in held["found"] if "raw" in row]
    changes = [row for row in rows if row["scenario"] not in CONTROLS]
    controls = [row for row in rows if row["scenario"] in CONTROLS]
    parts = [
        f"# Changes in raw samples: raw injector {held['raw_injector_version']}, seed {held['seed']}",
        method,
        _NOTE,
        "## Asked, and what the markers show of it",
        _effect_table(held["effects"]),
        _EFFECTS,
        "## Found: changed in samples / in daily values / without the change (null), in %",
        _found_table(changes),
        _FOUND,
    ]
    if controls:
        parts += ["## Controls", _found_table(controls)]
    if held["left_out"]:
        parts += ["## Left out", "\n".join(f"- {why}" for why in held["left_out"].values())]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _effect_table(rows: Sequence[dict[str, Any]]) -> str:
    told = [
        row
        for row in rows
        if row["asked_median"] != 0 or abs(row["raw_median"]) >= _SHOWN_WITHIN[row["value"]]
    ]
    return rows_table(
        ("Scenario", "Value", "Asked", "In samples", "Off by", "In daily values", "Nights", "Lost"),
        [
            (
                row["scenario"],
                channel_named(row["value"]).label,
                _size(row, row["asked_median"]),
                _size(row, row["raw_median"]),
                "{} to {}".format(*(_number(row, row["raw_off_p10_p50_p90"][k]) for k in (0, 2))),
                _size(row, row["daily_median"]),
                str(row["nights"]),
                str(row["lost_nights"]),
            )
            for row in told
        ],
    )


def _size(row: dict[str, Any], value: float | None) -> str:
    if value is None:
        return ""
    unit = "%" if row["is_share"] else channel_named(row["value"]).unit
    return f"{_number(row, value)} {unit}"


def _number(row: dict[str, Any], value: float) -> str:
    scaled = 100 * value if row["is_share"] else value
    return f"{scaled:+.1f}" if row["value"] != "tst_min" else f"{scaled:+.0f}"


def _found_table(rows: Sequence[dict[str, Any]]) -> str:
    return rows_table(
        (
            "Scenario",
            "Episodes",
            *(f"{h} d" for h in HORIZONS),
            "Lift 14 d",
            "Samples less daily, 14 d",
            "Delay, days",
        ),
        [
            (
                row["scenario"],
                str(row["raw"]["episodes"]),
                *(_triple(row, horizon) for horizon in HORIZONS),
                f"{percent(row['raw']['lift_14d'])} {span_text(row['raw']['lift_interval_14d'])}",
                f"{100 * row['raw_less_daily_14d']:+.0f} {span_text(row['raw_less_daily_interval_14d'])}",
                " / ".join(_delay(row[part]["delay_median_iqr"]) for part in ("raw", "daily")),
            )
            for row in rows
        ],
    )


def _triple(row: dict[str, Any], horizon: int) -> str:
    shares = (row[part][f"found_{horizon}d"] for part in ("raw", "daily"))
    return " / ".join(percent(share) for share in (*shares, row["raw"][f"null_{horizon}d"]))


def _delay(quartiles: Sequence[float]) -> str:
    return f"{quartiles[0]:.0f}" if quartiles else "none"


def write_raw_report(found: RawEvaluation, folder: Path) -> list[Path]:
    """Write report.md, report.json and plots.html; return them."""
    folder.mkdir(parents=True, exist_ok=True)
    held = raw_summary(found)
    paths = [folder / name for name in ("report.md", "report.json", "plots.html")]
    paths[0].write_text(raw_markdown(held), encoding="utf-8")
    paths[1].write_text(json.dumps(held, indent=1) + "\n", encoding="utf-8")
    from models.raw_plots import write_raw_plots  # noqa: PLC0415 - slow to import

    write_raw_plots(held, paths[2])
    return paths
