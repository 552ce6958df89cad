"""One row of a benchmark, and how a table of them is shown and kept."""

import json
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Row:
    """One measured figure and what it should be.

    Attributes
    ----------
    name : str
    value : float
    unit : str
    goal : float or None
        None for a figure without one.
    better : {"lower", "higher"}
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    better: Literal["lower", "higher"] = "lower"

    @property
    def holds(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        if self.goal is None:
            return None
        # Of numpy's numbers, too, a plain truth, which JSON can hold.
        return bool(self.value <= self.goal if self.better == "lower" else self.value >= self.goal)


def show(rows: Iterable[Row]) -> None:
    """Print a table."""
    print(f"{'':58s}{'value':>12s} {'unit':14s}{'goal':>14s}  holds")
    for row in rows:
        sign = "<=" if row.better == "lower" else ">="
        goal = "" if row.goal is None else f"{sign} {row.goal:,.6g}"
        holds = {None: "", True: "yes", False: "NO"}[row.holds]
        print(f"{row.name:58s}{row.value:12,.6g} {row.unit:14s}{goal:>14s}  {holds}", flush=True)


def keep(rows: Iterable[Row], path: Path) -> None:
    """Write a table as JSON, with the machine it was made on."""
    machine = {"python": platform.python_version(), "system": platform.platform()}
    held = {
        "machine": machine,
        "rows": [{**asdict(row), "value": float(row.value), "holds": row.holds} for row in rows],
    }
    path.write_text(json.dumps(held, indent=1) + "\n")
