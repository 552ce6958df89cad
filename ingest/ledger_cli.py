"""The command that says how complete the data are, and checks the store."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from store.command import EXIT_PARTLY, finish, note, open_installation, progress_bar, say

if TYPE_CHECKING:
    from ingest.ledger_feed import Feed
    from store.installation import Installation
    from store.job_report import JobReport
    from store.ledger import Disagreement, Ledger, Reconciled
    from store.ledger_report import StreamDay, SubjectDay


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

    Everybody has a line with a block for each day; of one person (--subject)
    each day has one with a block for each hour. Days are UTC. "Proven" are
    hours that the store holds exactly as it acknowledged them, to the last bit.
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
    days, streams = book.coverage(subject, since_ns or 0), book.completeness(subject, since_ns or 0)
    if output == "json":
        _show_json(days, streams, found)
    else:
        from ingest.ledger_screen import DAYS_SHOWN, screen

        for line in screen(days, streams, found, days_shown=DAYS_SHOWN if since is None else None):
            say(line)
    finish(feed.failed)
    if found:
        raise typer.Exit(EXIT_PARTLY)


def check_ledger(installation: "Installation", days: int) -> "JobReport":
    """Compare the last days of the store with the ledger, as a job; return how it went."""
    from store.job_report import JobReport
    from store.ledger import open_ledger
    from store.times import iso_time
    from store.units import NS_PER_S

    started_ns = installation.clock.now_ns()
    since_ns = started_ns - days * 86_400 * NS_PER_S
    book = open_ledger(installation.home, installation.clock)
    feed = _feed_of(installation, book)
    done = _check(installation, book, feed, None, since_ns, "")
    wrong = tuple(
        f"{one.finding.value}: {one.subject_id} {one.stream} {one.sensor_id}, "
        f"hour of {iso_time(one.hour_ns)}: {one.stored:,} samples stored, {one.expected:,} expected"
        for one in done.disagreements
    )
    counts = {"hours_checked": done.hours, "samples_checked": done.samples}
    return JobReport("ledger", "", started_ns, installation.clock.now_ns(), counts, (*feed.failed, *wrong))


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
) -> "Reconciled":
    from store.ledger_run import reconcile_all

    with (
        installation.timeseries() as store,
        installation.registry() as registry,
        progress_bar("Reading the store", "days") as update,
    ):
        known = {subject.subject_id for subject in registry.people.subjects()}
        done = reconcile_all(
            book,
            store,
            now_ns=installation.clock.now_ns(),
            subjects=subjects,
            since_ns=since_ns,
            withdrawn=lambda who, streams: registry.consents.withdrawn(who, streams) if who in known else [],
            recount=feed,
            progress=update,
        )
        if why and done.disagreements:
            book.accept(store, done.disagreements, why)
    note(f"{done.samples:,} samples in {done.hours:,} hours of streams read and compared")
    if why:
        note(f"{len(done.disagreements):,} hours accepted as the store has them: {why}")
    return done


def _show_json(
    days: Sequence["SubjectDay"],
    streams: Sequence["StreamDay"],
    found: Sequence["Disagreement"],
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
