"""Flag review: who waits for a look, what was done about each flag, and how often flags turn out right."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from flask import Blueprint, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest, NotFound

from dashboard.gate import audit, may_write, signed_in_user, visible_people, visible_subject
from dashboard.plain.forms import attempt, field
from dashboard.routes import CARERS, FLAGS_PATH, flag_path
from dashboard.sources import Sources
from dashboard.words import age_text, date_text, day_text, digits_apart, local_time, number_text, span_text
from models.attribution import rest_of
from models.channels import NAMES, channel_named
from models.clinic import chance_words
from store.errors import ConfigError, UnknownError
from store.registry.accounts import User
from store.registry.flags import LONGEST_SNOOZE_DAYS, NS_PER_DAY, FlagEvent, Outcome, StoredFlag
from store.registry.people import Subject
from store.types import Contribution, Flag
from store.units import NS_PER_S

SNOOZES_DAYS = (1, 3, 7, LONGEST_SNOOZE_DAYS)
OUTCOMES: Mapping[Outcome, str] = MappingProxyType[Outcome, str](
    {
        "contacted": "Spoke with the patient",
        "care_changed": "Care was changed",
        "explained": "Explained by something known (travel, illness, medication)",
        "data_problem": "A problem of the data or the wearable",
        "no_action": "Looked at, nothing to do",
    }
)
ACTED: frozenset[str] = frozenset({"contacted", "care_changed"})
"""Outcomes after which a flag was of use; of those that remain, a clinic decides itself which were false."""
FALSE: frozenset[str] = frozenset({"data_problem", "no_action"})
"""Outcomes that count against the false-alert budget."""
BUDGET_DAYS = 90
VIEWS = MappingProxyType(
    {
        "waiting": "Waiting",
        "mine": "Mine",
        "acknowledged": "Acknowledged",
        "snoozed": "Snoozed",
        "resolved": "Resolved",
    }
)
_SHOWN_AT_ONCE = 200


@dataclass(frozen=True, slots=True)
class Row:
    """One flag as the list shows it."""

    stored: StoredFlag
    subject: Subject
    waiting: str
    is_escalated: bool
    until: str


@dataclass(frozen=True, slots=True)
class Budget:
    """How flags turned out in the last ninety days, against what the clinic accepts."""

    raised: int
    outcomes: Mapping[str, int]
    patients: int
    false_a_month: float
    accepted_a_month: float

    @property
    def resolved(self) -> int:
        """How many were resolved."""
        return sum(self.outcomes.values())

    @property
    def acted(self) -> int:
        """How many led to something."""
        return sum(self.outcomes.get(name, 0) for name in ACTED)

    @property
    def is_kept(self) -> bool:
        """Whether false flags are within the budget."""
        return self.false_a_month <= self.accepted_a_month


def flag_pages(sources: Sources) -> Blueprint:
    """Return the pages `/flags` and `/flags/ID`."""
    pages = Blueprint("flags", __name__)
    pages.add_url_rule(FLAGS_PATH, "list", lambda: _list(sources), methods=["GET"])

    def show(flag_id: int) -> ResponseReturnValue:
        return _one(sources, flag_id)

    def act(flag_id: int) -> ResponseReturnValue:
        return _act(sources, flag_id)

    one = f"{FLAGS_PATH}/<int:flag_id>"
    pages.add_url_rule(one, "show", show, methods=["GET"])
    pages.add_url_rule(one, "act", act, methods=["POST"])
    return pages


def _list(sources: Sources) -> ResponseReturnValue:
    user = signed_in_user()
    audit(sources, user.name, "list flags")
    people = {subject.subject_id: subject for subject in visible_people(sources)}
    flags = [s for s in sources.registry.flags.all() if s.flag.subject_id in people]
    rows = _rows(sources, flags, people)
    views = {name: [row for row in rows if _is_in(name, row, user)] for name in VIEWS}
    chosen = request.args.get("show", "waiting")
    shown = views.get(chosen)
    if shown is None:
        return redirect(FLAGS_PATH, 303)
    return render_template(
        "plain/flags.html",
        title="Flags · evenkeel",
        views=[(name, label, len(views[name])) for name, label in VIEWS.items()],
        chosen=chosen,
        rows=shown[:_SHOWN_AT_ONCE],
        hidden=max(0, len(shown) - _SHOWN_AT_ONCE),
        escalated=sum(row.is_escalated for row in rows),
        escalate_after_h=sources.settings.dashboard.escalate_after_h,
        budget=_budget(sources, flags, len(people)),
        outcomes=OUTCOMES,
        day_text=day_text,
    )


def _is_in(view: str, row: Row, user: User) -> bool:
    state = row.stored.state
    if view == "mine":
        return row.stored.assigned_to == user.name and state != "resolved"
    return state == {"waiting": "open"}.get(view, view)


def _rows(sources: Sources, flags: Sequence[StoredFlag], people: Mapping[str, Subject]) -> list[Row]:
    """Return the flags as rows: escalated ones first, then the newest."""
    now_ns, opened = sources.clock.now_ns(), sources.registry.flags.opened_ns()
    limit_ns = sources.settings.dashboard.escalate_after_h * 3600 * NS_PER_S
    rows: list[Row] = []
    for stored in flags:
        subject = people[stored.flag.subject_id]
        since_ns = opened.get(stored.flag_id) if stored.state == "open" else None
        waiting = "" if since_ns is None else age_text(now_ns - since_ns).removesuffix(" ago")
        until_ns = stored.snoozed_until_ns if stored.state == "snoozed" else None
        until = "" if until_ns is None else _moment(until_ns, subject.zone)
        is_escalated = since_ns is not None and now_ns - since_ns > limit_ns
        rows.append(Row(stored, subject, waiting, is_escalated, until))
    return sorted(rows, key=lambda row: not row.is_escalated)


def _budget(sources: Sources, flags: Sequence[StoredFlag], patients: int) -> Budget:
    """Count the flags of changes of the last ninety nights, and how those ended that are resolved."""
    since = local_time(sources.clock.now_ns() - BUDGET_DAYS * NS_PER_DAY, "UTC").date()
    recent = [s for s in flags if s.flag.night >= since and s.flag.kind == "change"]
    ends = sources.registry.flags.outcomes()
    outcomes = Counter(ends[s.flag_id] for s in recent if s.state == "resolved" and s.flag_id in ends)
    false = sum(outcomes[name] for name in FALSE)
    months = patients * BUDGET_DAYS / 30
    return Budget(
        len(recent),
        outcomes,
        patients,
        false / months if months else 0.0,
        sources.settings.flags.budget,
    )


def _visible(sources: Sources, flag_id: int) -> tuple[StoredFlag, Subject]:
    """Return a flag and whose it is; somebody else's answers as one that does not exist."""
    try:
        stored = sources.registry.flags.one(flag_id)
    except UnknownError:
        audit(sources, signed_in_user().name, "view flag", is_allowed=False, detail=f"flag {flag_id}")
        raise NotFound from None
    subject = visible_subject(sources, stored.flag.subject_id)
    if subject is None:
        raise NotFound
    return stored, subject


def _one(sources: Sources, flag_id: int) -> ResponseReturnValue:
    stored, subject = _visible(sources, flag_id)
    audit(
        sources, signed_in_user().name, "view flag", subject_id=subject.subject_id, detail=f"flag {flag_id}"
    )
    now_ns = sources.clock.now_ns()
    row = _rows(sources, [stored], {subject.subject_id: subject})[0]
    history = sources.registry.flags.history(flag_id)
    carers = _carers(sources, subject.subject_id)
    return render_template(
        "plain/flag.html",
        title=f"Flag {flag_id} · evenkeel",
        row=row,
        stored=stored,
        flag=stored.flag,
        subject=subject,
        contributions=[_contribution(each) for each in stored.flag.contributions],
        rest=_rest(stored.flag),
        chance=chance_words(stored.flag.chance_frac),
        history=[_event(event, subject.zone) for event in history],
        carers=carers,
        leads=[user.name for user in carers if user.role == "lead"],
        snoozes=[(days, _day(now_ns + days * NS_PER_DAY, subject.zone)) for days in SNOOZES_DAYS],
        outcomes=OUTCOMES,
        others=[s for s in sources.registry.flags.of_subject(subject.subject_id) if s.flag_id != flag_id][:5],
        escalate_after_h=sources.settings.dashboard.escalate_after_h,
        day_text=day_text,
        date_text=date_text,
    )


def _carers(sources: Sources, subject_id: str) -> list[User]:
    """Return who looks after a patient and may sign in."""
    accounts = sources.registry.accounts
    return [
        user
        for user in accounts.users()
        if user.role in CARERS and not user.is_disabled and accounts.can(user, subject_id)
    ]


def _contribution(each: Contribution) -> Mapping[str, str]:
    label, unit, digits = _named(each.feature)
    digits = max(digits, digits_apart(each.value, each.low, each.high))
    return {
        "label": label,
        "share": f"{each.share:+.2f}",
        "value": f"{number_text(each.value, digits)} {unit}".strip(),
        "band": span_text(each.low, each.high, digits),
        "usual": number_text(each.usual, digits),
        "z": f"{each.z:+.1f}",
        "nights": f"{each.nights_outside} of {each.nights_judged}",
    }


def _named(feature: str) -> tuple[str, str, int]:
    """Return label, unit and digits of what contributed to a flag."""
    if feature in NAMES:
        channel = channel_named(feature)
        return channel.label, channel.unit, channel.digits
    # A rule of another version judged what this one has no words for.
    return feature.replace("_", " "), "", 0


def _rest(flag: Flag) -> str:
    """Return what belongs to no channel, so that the table sums to the score; empty without a model."""
    if not flag.model_version or flag.kind == "contact":
        return ""
    return f"{rest_of(flag.score, [each.share for each in flag.contributions]):+.2f}"


def _event(event: FlagEvent, zone: str) -> Mapping[str, str]:
    said = {
        "raised": "raised it",
        "worsened": "saw it get worse",
        "acknowledged": "acknowledged it",
        "assigned": f"gave it to {event.assigned_to}",
        "snoozed": f"let it rest until {_moment(event.until_ns or 0, zone)}",
        "resolved": f"resolved it{_outcome(event)}",
        "reopened": "opened it again",
    }[event.action]
    return {"when": _moment(event.at_ns, zone), "who": event.actor, "what": said, "reason": event.reason}


def _outcome(event: FlagEvent) -> str:
    return next((f" ({label.lower()})" for name, label in OUTCOMES.items() if name == event.outcome), "")


def _moment(at_ns: int, zone: str) -> str:
    when = local_time(at_ns, zone)
    return f"{date_text(when.date())}, {when:%H:%M}"


def _day(at_ns: int, zone: str) -> str:
    return day_text(local_time(at_ns, zone).date())


def _act(sources: Sources, flag_id: int) -> ResponseReturnValue:
    user = may_write(sources)
    _, subject = _visible(sources, flag_id)
    actions: Mapping[str, Callable[[Sources, int, User], str]] = {
        "acknowledge": _acknowledge,
        "assign": _assign,
        "snooze": _snooze,
        "resolve": _resolve,
        "reopen": _reopen,
    }
    action = field("action")
    if action not in actions:
        raise BadRequest

    def act() -> str:
        said = actions[action](sources, flag_id, user)
        audit(
            sources,
            user.name,
            f"flag-{action}",
            subject_id=subject.subject_id,
            detail=f"flag {flag_id}: {said}",
        )
        return said

    return attempt(act, flag_path(flag_id))


def _acknowledge(sources: Sources, flag_id: int, user: User) -> str:
    sources.registry.flags.acknowledge(flag_id, by=user.name)
    return "Acknowledged"


def _assign(sources: Sources, flag_id: int, user: User) -> str:
    to = field("to")
    stored = sources.registry.flags.one(flag_id)
    if to not in {carer.name for carer in _carers(sources, stored.flag.subject_id)}:
        raise ConfigError(f"{to!r} does not look after {stored.flag.subject_id}; choose somebody who does")
    sources.registry.flags.assign(flag_id, to, by=user.name)
    return f"Given to {to}"


def _snooze(sources: Sources, flag_id: int, user: User) -> str:
    text = field("days")
    days = int(text) if text.isascii() and text.isdigit() and len(text) <= 3 else 0
    until_ns = sources.clock.now_ns() + days * NS_PER_DAY
    sources.registry.flags.snooze(flag_id, until_ns, field("reason"), by=user.name)
    return f"Rests for {days} day{'s' if days != 1 else ''}"


def _resolve(sources: Sources, flag_id: int, user: User) -> str:
    outcome = field("outcome")
    for name, label in OUTCOMES.items():
        if name == outcome:
            sources.registry.flags.resolve(flag_id, name, by=user.name, reason=field("reason"))
            return f"Resolved: {label[0].lower()}{label[1:]}"
    raise ConfigError("A flag is resolved with an outcome; choose how it ended")


def _reopen(sources: Sources, flag_id: int, user: User) -> str:
    sources.registry.flags.reopen(flag_id, by=user.name, reason=field("reason"))
    return "Open again"
