"""Commands for what the registry holds besides people: the audit log, consent, assessments, care teams."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from store.cli import subject_app
from store.command import EXIT_PARTLY, finish, note, open_installation, say

if TYPE_CHECKING:
    from store.registry.annotations import Annotation

audit_app = typer.Typer(help="Who did what, in a log that only grows.", no_args_is_help=True)

assessment_app = typer.Typer(
    help="Questionnaires and ratings: PHQ-9, GAD-7, MADRS, YMRS.", no_args_is_help=True
)
annotation_app = typer.Typer(
    help="What a person's numbers may show: medications, events.", no_args_is_help=True
)
team_app = typer.Typer(help="Care teams: who is in one sees its patients.", no_args_is_help=True)
registry_app = typer.Typer(help="The database of people, users and the audit log.", no_args_is_help=True)

OPERATOR = "operator"
"""Whoever may run commands here; who that was, the machine's own log knows."""

_SubjectId = Annotated[str, typer.Argument(metavar="SUBJECT", help="Whose: a subject's id.")]
_TeamName = Annotated[str, typer.Argument(metavar="TEAM", help="Name of the care team.")]
_Format = Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")]


@audit_app.command("verify")
def audit_verify(context: typer.Context, output: _Format = "text") -> None:
    """Check that no entry was altered, removed or cut off the end; status 3 if one was."""
    from dataclasses import asdict

    with open_installation(context).registry() as registry:
        verdict = registry.audit.verify()
    if output == "json":
        say(json.dumps(asdict(verdict), indent=1))
    elif verdict.first_broken_seq is None:
        say(f"The audit log is whole: {verdict.entries:,} entries")
        if not verdict.is_end_known and verdict.entries:
            note("No newest entry was noted yet, so entries cut off the end could not be missed")
    if verdict.first_broken_seq is not None:
        note(f"The audit log is broken at entry {verdict.first_broken_seq}: {verdict.reason}")
        raise typer.Exit(EXIT_PARTLY)


@audit_app.command("search")
def audit_search(
    context: typer.Context,
    *,
    actor: Annotated[str | None, typer.Option(help="Who did it.")] = None,
    action: Annotated[str | None, typer.Option(help="What was done, such as view or sign-in.")] = None,
    subject: Annotated[str | None, typer.Option(help="To whose data.")] = None,
    since: Annotated[str | None, typer.Option(help="Since when, ISO 8601.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many at most.")] = 100,
    output: _Format = "text",
) -> None:
    """Show the newest entries that have all that is asked for, newest first."""
    from dataclasses import asdict

    from store.times import iso_time, parse_time_ns

    since_ns = None if since is None else parse_time_ns(since, "--since")
    with open_installation(context).registry() as registry:
        found = registry.audit.search(
            actor=actor, action=action, subject_id=subject, since_ns=since_ns, limit=limit
        )
    lines = [
        f"{e.seq}  {iso_time(e.at_ns)}  {e.actor}  {e.action}{'' if e.is_allowed else ' REFUSED'}  "
        f"{e.subject_id}  {e.detail}".rstrip()
        for e in found
    ]
    _show([asdict(e) for e in found], lines or ["No such entry"], output)


@subject_app.command("move")
def subject_move(
    context: typer.Context,
    subject_id: _SubjectId,
    zone: Annotated[str, typer.Option(help="IANA time zone, such as Europe/Berlin.")],
    since: Annotated[str, typer.Option("--from", help="Since when, ISO 8601; past or to come.")],
) -> None:
    """Record in which time zone a person lives from a time on, until the next move that is known."""
    from store.times import iso_time, parse_time_ns

    from_ns = parse_time_ns(since, "--from")
    with open_installation(context).registry() as registry:
        registry.people.move_subject(subject_id, zone, from_ns)
        detail = f"{zone} from {iso_time(from_ns)}"
        registry.audit.append(OPERATOR, "subject-move", subject_id=subject_id, detail=detail)
    say(f"{subject_id} lives in {detail} on")


@subject_app.command("consent")
def subject_consent(
    context: typer.Context,
    subject_id: _SubjectId,
    stream: Annotated[str, typer.Option(help="Which stream, or all.")] = "all",
) -> None:
    """Record that a person agrees to a stream being collected from now on."""
    _decide(context, subject_id, stream, is_granted=True)
    say(f"{subject_id} agrees to {stream}")


@subject_app.command("withdraw")
def subject_withdraw(
    context: typer.Context,
    subject_id: _SubjectId,
    stream: Annotated[str, typer.Option(help="Which stream, or all.")] = "all",
) -> None:
    """Record that a person no longer agrees: from now on nothing of that stream is stored.

    What waits in a spool is cleared of it; what was stored until now stays.
    """
    _decide(context, subject_id, stream, is_granted=False)
    say(f"{subject_id} no longer agrees to {stream}")


@assessment_app.command("add")
def assessment_add(
    context: typer.Context,
    subject_id: _SubjectId,
    *,
    instrument: Annotated[str, typer.Option(help="PHQ-9, GAD-7, MADRS or YMRS.")],
    on: Annotated[str, typer.Option(help="Day it is about, YYYY-MM-DD.")],
    items: Annotated[str, typer.Option(help="Score of each item in order, with commas.")] = "",
    total: Annotated[int | None, typer.Option(help="Total; checked against the items if both are.")] = None,
    correct: Annotated[bool, typer.Option(help="Replace what is held of that day.")] = False,
) -> None:
    """Record a filled-in scale."""
    from store.registry.assessments import scored

    new = scored(subject_id, instrument, on, items=items, total=total)
    with open_installation(context).registry() as registry:
        is_new = registry.assessments.put(new, by=OPERATOR, is_correction=correct)
        if is_new:
            registry.audit.append(
                OPERATOR,
                "assessment",
                subject_id=subject_id,
                detail=f"{new.instrument} {new.on}: {new.total}",
            )
    say(f"{new.instrument} of {subject_id} on {new.on}: {new.total}{'' if is_new else ', held already'}")


@assessment_app.command("import")
def assessment_import(
    context: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV: subject_id, instrument, on, and items, total or both. Or .json, .ndjson: FHIR "
            "QuestionnaireResponse, R4 or R5."
        ),
    ],
    correct: Annotated[bool, typer.Option(help="Replace what is held of the same days.")] = False,
) -> None:
    """Record the scales of a file; importing it again changes nothing.

    A row that cannot be used is named, and loses no other. Exit status 3: there was one.
    """
    from store.assessment_files import read_assessments

    with open_installation(context).registry() as registry:

        def zone_at(subject_id: str, t_ns: int) -> str:
            registry.people.subject(subject_id)
            return registry.people.zone_history(subject_id).at(t_ns)

        found = read_assessments(file, zone_at)
        taken = registry.assessments.put_each(
            [each for _, each in found.read], by=OPERATOR, is_correction=correct
        )
        refused = [f"{found.read[at][0]}: {why}" for at, why in taken.refused]
        rejected = (*found.rejected, *refused)
        total = len(found.read) + len(found.rejected)
        detail = f"{taken.count} of {total} from {file.name}, {len(rejected)} refused"
        registry.audit.append(OPERATOR, "assessment-import", detail=detail)
        # Whom a refused row names may be somebody's name: the log says where it stood.
        for sentence in rejected:
            where = f"{file.name}, {sentence.split(':')[0]}"
            registry.audit.append(OPERATOR, "assessment-import", is_allowed=False, detail=where)
    say(f"{taken.count} of {total} assessments are new, {len(rejected)} refused")
    finish(rejected)


@assessment_app.command("list")
def assessment_list(
    context: typer.Context,
    subject_id: Annotated[
        str | None, typer.Argument(metavar="[SUBJECT]", help="Whose: a subject's id; without it everybody's.")
    ] = None,
    output: _Format = "text",
) -> None:
    """List scales, by person and day."""
    with open_installation(context).registry() as registry:
        if subject_id is None:
            held = registry.assessments.all()
        else:
            registry.people.subject(subject_id)
            held = registry.assessments.of_subject(subject_id)
        registry.audit.append(OPERATOR, "view", subject_id=subject_id or "", detail="assessments")
    rows = [
        {
            "subject_id": a.subject_id,
            "instrument": a.instrument,
            "on": a.on.isoformat(),
            "total": a.total,
            "items": a.items,
        }
        for a in held
    ]
    lines = [
        f"{a.subject_id}  {a.on}  {a.instrument}  {a.total}  {' '.join(map(str, a.items))}".rstrip()
        for a in held
    ]
    _show(rows, lines or ["None yet; see: evenkeel assessment import"], output)


@team_app.command("add")
def team_add(context: typer.Context, team: _TeamName) -> None:
    """Make a care team."""
    with open_installation(context).registry() as registry:
        registry.teams.add(team)
        registry.audit.append(OPERATOR, "team-add", detail=team)
    say(f"Care team {team}")


@team_app.command("list")
def team_list(context: typer.Context, output: _Format = "text") -> None:
    """List care teams, their members and patients."""
    with open_installation(context).registry() as registry:
        teams = registry.teams.all()
    rows = [{"name": t.name, "members": t.members, "patients": t.patients} for t in teams]
    lines = [
        f"{t.name}  members: {', '.join(t.members) or 'none'}  patients: {', '.join(t.patients) or 'none'}"
        for t in teams
    ]
    _show(rows, lines or ["None yet; make one with: evenkeel team add NAME"], output)


@team_app.command("member")
def team_member(
    context: typer.Context,
    team: _TeamName,
    user: Annotated[str, typer.Argument(help="Name a user signs in with.")],
    remove: Annotated[bool, typer.Option(help="They leave the team.")] = False,
) -> None:
    """Put a user into a care team: they see its patients."""
    with open_installation(context).registry() as registry:
        registry.teams.set_member(team, user, is_in=not remove)
        registry.audit.append(OPERATOR, "team-member", detail=f"{user} {_way(remove=remove)} {team}")
    say(f"{user} {_way(remove=remove)} {team}")


@team_app.command("patient")
def team_patient(
    context: typer.Context,
    team: _TeamName,
    subject_id: _SubjectId,
    remove: Annotated[bool, typer.Option(help="The team no longer cares for them.")] = False,
) -> None:
    """Put a patient into the care of a team."""
    with open_installation(context).registry() as registry:
        registry.teams.set_patient(team, subject_id, is_in=not remove)
        detail = f"{_way(remove=remove)} {team}"
        registry.audit.append(OPERATOR, "team-patient", subject_id=subject_id, detail=detail)
    say(f"{subject_id} {_way(remove=remove)} {team}")


@annotation_app.command("add")
def annotation_add(
    context: typer.Context,
    subject_id: _SubjectId,
    *,
    kind: Annotated[Literal["medication", "life_event"], typer.Option(help="What it is.")],
    text: Annotated[str, typer.Option(help="In a few words; kept in the registry only.")],
    start: Annotated[str, typer.Option("--from", help="First day, YYYY-MM-DD.")],
    end: Annotated[
        str | None, typer.Option("--to", help="Last day; without it one day, or still so.")
    ] = None,
) -> None:
    """Note a medication or an event that a person's numbers may show."""
    from store.errors import ConfigError
    from store.registry.annotations import Annotation
    from store.times import parse_day

    if not text.strip():
        raise ConfigError("--text is empty; needed is what happened, in a few words")
    last = None if end is None else parse_day(end, "--to")
    new = Annotation(subject_id, kind, parse_day(start, "--from"), text.strip(), last)
    with open_installation(context).registry() as registry:
        registry.annotations.add(new, by=OPERATOR)
        registry.audit.append(OPERATOR, "annotate", subject_id=subject_id, detail=kind)
    say(f"{subject_id}: {_annotation_line(new)}")


@annotation_app.command("list")
def annotation_list(context: typer.Context, subject_id: _SubjectId, output: _Format = "text") -> None:
    """List a person's medications and events, by start."""
    with open_installation(context).registry() as registry:
        registry.people.subject(subject_id)
        found = registry.annotations.of_subject(subject_id)
        registry.audit.append(OPERATOR, "view", subject_id=subject_id, detail="annotations")
    rows = [
        {
            "kind": each.kind,
            "from": each.start.isoformat(),
            "to": None if each.end is None else each.end.isoformat(),
            "text": each.text,
        }
        for each in found
    ]
    _show(rows, [_annotation_line(each) for each in found] or ["None yet: evenkeel annotation add"], output)


def _annotation_line(each: "Annotation") -> str:
    until = "" if each.end is None else f" to {each.end}"
    return f"{each.start}{until}  {each.kind.replace('_', ' ')}  {each.text}"


@registry_app.command("encrypt")
def registry_encrypt(context: typer.Context) -> None:
    """Encrypt names and notes with the newest key of EVENKEEL_REGISTRY_KEY (or the file _FILE names).

    To change the key, put the new one in the first line and the old one after it, and run this.
    """
    with open_installation(context).registry() as registry:
        count = registry.seal_names()
        registry.audit.append(OPERATOR, "encrypt", detail=f"{count} texts")
    say(f"{count} names and notes encrypted anew; all of them are under the newest key")


def _decide(context: typer.Context, subject_id: str, stream: str, *, is_granted: bool) -> None:
    with open_installation(context).registry() as registry:
        registry.consents.record(subject_id, stream, is_granted=is_granted, by=OPERATOR)
        action = "consent-grant" if is_granted else "consent-withdraw"
        registry.audit.append(OPERATOR, action, subject_id=subject_id, detail=stream)


def _way(*, remove: bool) -> str:
    return "leaves" if remove else "joins"


def _show(rows: Sequence[Mapping[str, object]], lines: Sequence[str], output: str) -> None:
    say(json.dumps(rows, indent=1) if output == "json" else "\n".join(lines))
