"""The command that says how complete the data are, and checks the store."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from store.command import EXIT_PARTLY, finish, note, open_installation, progress_bar, say

if TYPE_CHECKING:
    from ingest.ledger_feed import Feed
    from store.installation import Installation
    from store.ledger import Disagreement, Ledger
    from store.ledger_report import StreamDay, SubjectDay

DAYS_SHOWN = 14
"""Days of each person on the screen, the newest, unless --since asks for others."""
SHOWN_H = 1 / 3600
"""Shorter gaps, such as between connecting and the first packet, are left to the JSON."""


def ledger(
    context: typer.Context,
    subject: Annotated[list[str] | None, typer.Option(help="Only this person (may be repeated).")] = None,
    since: Annotated[str | None, typer.Option(help="Only from this day on, such as 2026-01-05.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="First read the store and compare; status 3 if it disagrees.")
    ] = False,
    accept: Annotated[
        str, typer.Option(help="Why what --check finds is right: it is sealed as the store has it now.")
    ] = "",
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Show how complete each person's data are and why not, and prove that the store lost nothing.

    Days are UTC. "Proven" are hours that the store holds exactly as it acknowledged them, to the last bit.
    """
    from store.errors import ConfigError
    from store.ledger import open_ledger
    from store.times import parse_time_ns

    if accept and not check:
        raise ConfigError("--accept says why what --check finds is right; give both")
    since_ns = None if since is None else parse_time_ns(since, "--since")
    installation = open_installation(context)
    with installation.registry() as registry:
        for subject_id in subject or ():
            registry.people.subject(subject_id)
    book = open_ledger(installation.home, installation.clock)
    feed = _feed_of(installation, book)
    if check:
        _check(installation, book, feed, subject, since_ns, accept)
    else:
        feed()
    found = book.disagreements(subject, since_ns or 0)
    show = _show_json if output == "json" else _show_text
    show(
        book.coverage(subject, since_ns or 0), book.completeness(subject, since_ns or 0), found, since is None
    )
    finish(feed.failed)
    if found:
        raise typer.Exit(EXIT_PARTLY)


def _feed_of(installation: "Installation", book: "Ledger") -> "Feed":
    from ingest.ledger_feed import Feed

    return Feed(book, installation.spool_path().parent)


def _check(
    installation: "Installation",
    book: "Ledger",
    feed: "Feed",
    subjects: Sequence[str] | None,
    since_ns: int | None,
    why: str,
) -> None:
    from store.ledger_run import reconcile_all

    with installation.timeseries() as store, progress_bar("Reading the store", "days") as update:
        done = reconcile_all(
            book,
            store,
            now_ns=installation.clock.now_ns(),
            subjects=subjects,
            since_ns=since_ns,
            recount=feed,
            progress=update,
        )
        if why and done.disagreements:
            book.accept(store, done.disagreements, why)
    note(f"{done.samples:,} samples in {done.hours:,} hours of streams read and compared")
    if why:
        note(f"{len(done.disagreements):,} hours accepted as the store has them: {why}")


def _show_json(
    days: Sequence["SubjectDay"],
    streams: Sequence["StreamDay"],
    found: Sequence["Disagreement"],
    is_short: bool,  # noqa: ARG001 - everything, however much it is
) -> None:
    from store.times import iso_time

    def plain(held: Any) -> dict[str, Any]:  # noqa: ANN401 - any dataclass
        return {**asdict(held), "day": held.day.isoformat()}

    shown: dict[str, Any] = {
        "days": [
            {**plain(day), "covered_h": round(day.covered_h, 4), "gap_hours": day.gap_hours} for day in days
        ],
        "streams": [plain(row) for row in streams],
        "disagreements": [{**asdict(one), "hour": iso_time(one.hour_ns)} for one in found],
    }
    say(json.dumps(shown, indent=1))


def _show_text(
    days: Sequence["SubjectDay"],
    streams: Sequence["StreamDay"],
    found: Sequence["Disagreement"],
    is_short: bool,
) -> None:
    from store.times import iso_time

    for who, of_person in groupby(days, key=lambda day: day.subject_id):
        lines = list(of_person)
        say(f"{who}\n  day (UTC)     covered         stored  proven  used      gaps")
        for day in lines[-DAYS_SHOWN if is_short else 0 :]:
            rows = [row for row in streams if (row.subject_id, row.day) == (who, day.day)]
            say(_day_line(day, rows))
    for one in found:
        say(
            f"{one.finding.value.upper()}: {one.subject_id} {one.stream} {one.sensor_id}, hour of "
            f"{iso_time(one.hour_ns)}: {one.stored:,} samples stored, {one.expected:,} expected"
        )
    if not days:
        say("Nothing has been reconciled yet; do it with: evenkeel ledger --check")
        return
    newest_ns = max(day.reconciled_ns for day in days)
    say(f"Last reconciled {iso_time(newest_ns)}; hours that disagree: {len(found):,}")


def _day_line(day: "SubjectDay", rows: Sequence["StreamDay"]) -> str:
    hours = sum(row.hours for row in rows)
    proven = f"{sum(row.proven_hours for row in rows) / hours:6.0%}" if hours else "     -"
    stored, used = sum(row.stored for row in rows), sum(row.used for row in rows)
    whole_h = day.covered_h + sum(day.gap_hours.values())
    share = f"{day.covered_h / whole_h:4.0%}" if whole_h else "   -"
    gaps = ", ".join(
        f"{why} {_duration(lost_h)}" for why, lost_h in day.gap_hours.items() if lost_h > SHOWN_H
    )
    return f"  {day.day}  {day.covered_h:5.1f} h {share} {stored:12,}  {proven}  {used:8,}  {gaps}".rstrip()


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
