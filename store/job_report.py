"""How a run of a job went, for people, programs and monitoring."""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store.times import iso_time
from store.units import NS_PER_S


@dataclass(frozen=True)
class JobReport:
    """What one run did.

    Attributes
    ----------
    job : str
        Its kind: ledger, features or flags.
    job_id : str
        As in the rows it wrote; empty for a job that keeps no runs.
    started_ns, ended_ns : int
    counts : mapping of str to int
        What was done, by name.
    failed : tuple of str
        One sentence for each thing that could not be done.
    oldest_waiting_ns : int
        Since when the oldest thing waits that is still to be done; 0 if nothing does.
    """

    job: str
    job_id: str
    started_ns: int
    ended_ns: int
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    failed: tuple[str, ...] = ()
    oldest_waiting_ns: int = 0

    @property
    def status(self) -> int:
        """Exit status: 0, or 3 if something failed."""
        return 3 if self.failed else 0

    def as_json(self) -> dict[str, Any]:
        """Return it for other programs."""
        return {
            "job": self.job,
            "job_id": self.job_id,
            "started_at": iso_time(self.started_ns),
            "seconds": round((self.ended_ns - self.started_ns) / NS_PER_S, 3),
            **self.counts,
            "failed": list(self.failed),
            "oldest_waiting_since": iso_time(self.oldest_waiting_ns) if self.oldest_waiting_ns else None,
            "status": self.status,
        }


def write_json(path: Path, reports: Sequence[JobReport]) -> None:
    """Write reports as one JSON object by job, whole or not at all."""
    _replace(path, json.dumps({report.job: report.as_json() for report in reports}, indent=1) + "\n")


def write_metrics(path: Path, reports: Sequence[JobReport]) -> None:
    """Write reports as Prometheus text, whole or not at all: for the textfile collector of node_exporter."""
    _replace(path, metrics_text(reports))


def metrics_text(reports: Sequence[JobReport]) -> str:
    """Return reports in the text format of Prometheus.

    Examples
    --------
    >>> print(metrics_text([JobReport("flags", "", 0, 2_000_000_000, {"new": 1})]).splitlines()[2])
    evenkeel_job_done{job="flags",what="new"} 1
    """
    lines: list[str] = []
    for name, meaning, values in _metrics(reports):
        lines += [f"# HELP {name} {meaning}", f"# TYPE {name} gauge"]
        lines += [f"{name}{{{labels}}} {value:.15g}" for labels, value in values]
    return "\n".join(lines) + "\n"


def _metrics(reports: Sequence[JobReport]) -> list[tuple[str, str, list[tuple[str, float]]]]:
    labels = [f'job="{report.job}"' for report in reports]
    done = [
        (f'{label},what="{what}"', float(count))
        for label, report in zip(labels, reports, strict=True)
        for what, count in report.counts.items()
    ]
    ages = [
        (report.ended_ns - report.oldest_waiting_ns) / NS_PER_S if report.oldest_waiting_ns else 0.0
        for report in reports
    ]
    by_job: list[tuple[str, str, list[float]]] = [
        ("failed", "What the last run could not do", [float(len(report.failed)) for report in reports]),
        ("oldest_waiting_seconds", "Age of the oldest night that is still to be computed", ages),
        (
            "duration_seconds",
            "How long the last run took",
            [(report.ended_ns - report.started_ns) / NS_PER_S for report in reports],
        ),
        ("ended_timestamp_seconds", "When the last run ended", [r.ended_ns / NS_PER_S for r in reports]),
        (
            "status",
            "Exit status of the last run: 0 all done, 3 some failed",
            [float(r.status) for r in reports],
        ),
    ]
    return [
        ("evenkeel_job_done", "What the last run did", done),
        *(
            (f"evenkeel_job_{name}", meaning, list(zip(labels, values, strict=True)))
            for name, meaning, values in by_job
        ),
    ]


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        fresh.write_text(text)
        os.replace(fresh, path)  # noqa: PTH105 - over what is there
    finally:
        fresh.unlink(missing_ok=True)
