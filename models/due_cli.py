"""The command that cron or a timer calls: whatever is due, in order."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from features.cli import keep_reports, run_features_command
from ingest.ledger_cli import check_ledger
from models.cli import run_flags_command
from store.command import finish, note, open_installation, say
from store.errors import DeviceError

if TYPE_CHECKING:
    from store.installation import Installation
    from store.job_report import JobReport

LEDGER_EVERY_H = 20
"""With --watch the store is read against the ledger once a day, not every round."""


def run_due(  # noqa: PLR0917 - each an option
    context: typer.Context,
    workers: Annotated[int, typer.Option(help="Processes that compute.", min=1, max=256)] = 1,
    ledger_days: Annotated[
        int, typer.Option(help="Check so many days of the store against the ledger; 0 leaves it out.", min=0)
    ] = 40,
    watch: Annotated[bool, typer.Option("--watch", help="Keep going until SIGTERM or Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(help="Minutes between rounds of --watch.", min=0.1)] = 15.0,
    summary: Annotated[Path | None, typer.Option(help="Write how it went to this JSON file.")] = None,
    metrics: Annotated[
        Path | None, typer.Option(help="Write it to this file for Prometheus (textfile collector).")
    ] = None,
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Do what is due: check the ledger, compute changed nights, judge people whose nights changed.

    For cron, the systemd timer in deploy/, Airflow or Kubernetes. Exit status:
    0 all done, 2 refused (a setting, the disk, the store), 3 some of it failed,
    each named; run it again and it takes up what is left.
    """
    installation = open_installation(context)
    failed: tuple[str, ...] = ()
    checked_ns: int | None = None
    while True:
        now_ns = installation.clock.now_ns()
        is_due = checked_ns is None or now_ns - checked_ns > LEDGER_EVERY_H * 3600 * 10**9
        try:
            reports = _round(installation, workers, ledger_days if is_due else 0)
        except DeviceError as error:  # a store that cannot be reached just now
            if not watch:
                raise
            note(str(error))
        else:
            checked_ns = now_ns if is_due else checked_ns
            keep_reports(reports, summary, metrics)
            failed = tuple(f"{report.job}: {sentence}" for report in reports for sentence in report.failed)
            _show(reports, output)
            if not watch:
                break
            for sentence in failed:
                note(sentence)
        asyncio.run(installation.clock.sleep(60 * every))
    finish(failed)


def _round(installation: "Installation", workers: int, ledger_days: int) -> "list[JobReport]":
    reports = [check_ledger(installation, ledger_days)] if ledger_days else []
    reports.append(run_features_command(installation, workers=workers))
    reports.append(run_flags_command(installation))
    return reports


def _show(reports: "list[JobReport]", output: str) -> None:
    if output == "json":
        say(json.dumps({report.job: report.as_json() for report in reports}))
        return
    for report in reports:
        counts = ", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in report.counts.items())
        say(f"{report.job}: {counts}, failed {len(report.failed)}")
