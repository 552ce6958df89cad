"""A patient's own page: what is collected, since when, who looked; pause; ask to take part no longer."""

from collections import Counter
from collections.abc import Mapping, Sequence

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import BadRequest

from dashboard.gate import audit, signed_in_user, visible_people, worn_sensors
from dashboard.plain.forms import attempt, field
from dashboard.plain.requests import ASKED, open_requests
from dashboard.routes import MY_DATA_PATH
from dashboard.sources import Sources
from dashboard.words import date_text, local_time
from ingest.pauses import PAUSE_FILE, Pauses, read_pauses, write_pauses
from store.errors import ConfigError
from store.registry.people import Subject
from store.streams import COLLECTOR, DEVICE_CLOCK, LINK_STATE, SIGNAL, STREAMS
from store.units import NS_PER_S

PAUSES_H: Mapping[str, int] = {"1": 1, "8": 8, "24": 24, "168": 168}
TECHNICAL = frozenset({LINK_STATE.name, SIGNAL.name, DEVICE_CLOCK.name, COLLECTOR.name})
_LOOKS_READ, _LOOKS_SHOWN = 2000, 14
_LOOKS = frozenset({"view", "view assessments", "view flag"})


def my_data_pages(sources: Sources) -> Blueprint:
    """Return the page `/my-data`."""
    pages = Blueprint("my_data", __name__)
    pages.add_url_rule(MY_DATA_PATH, "show", lambda: _show(sources), methods=["GET"])
    pages.add_url_rule(MY_DATA_PATH, "act", lambda: _act(sources), methods=["POST"])
    return pages


def _self(sources: Sources) -> Subject:
    """Return whose account this is; a patient sees exactly one person."""
    people = visible_people(sources)
    if len(people) != 1:
        raise BadRequest
    return people[0]


def _show(sources: Sources) -> str:
    subject, now_ns = _self(sources), sources.clock.now_ns()
    audit(sources, signed_in_user().name, "view own", subject_id=subject.subject_id)
    pauses = _pauses(sources)
    ends = pauses.until_ns.get(subject.subject_id)
    return render_template(
        "plain/my_data.html",
        title="My data · evenkeel",
        subject=subject,
        streams=_streams(sources, subject),
        sensors=worn_sensors(sources, subject),
        is_paused=pauses.is_paused(subject.subject_id, now_ns),
        paused_until=_moment(ends, subject.zone) if ends is not None else "",
        may_resume=subject.subject_id in pauses.until_ns,
        decisions=[
            (_moment(each.at_ns, subject.zone), each.stream, each.is_granted)
            for each in sources.registry.consents.history(subject.subject_id)
        ],
        looks=_looks(sources, subject),
        asked=[_moment(each.at_ns, subject.zone) for each in open_requests(sources, subject.subject_id)],
        hours=PAUSES_H,
    )


def _streams(sources: Sources, subject: Subject) -> Sequence[Mapping[str, str | bool]]:
    """Return what is held of a person, stream by stream, the technical ones last."""
    found: list[Mapping[str, str | bool]] = []
    for stream in STREAMS.values():
        extent = sources.store.extent(stream, subject.subject_id)
        if extent is None:
            continue
        first, last = (date_text(local_time(t_ns, subject.zone).date()) for t_ns in extent)
        told = {
            "name": stream.name.replace("_", " "),
            "meaning": stream.meaning,
            "first": first,
            "last": last,
        }
        is_given = sources.registry.consents.is_given(subject.subject_id, stream.name)
        found.append({**told, "is_given": is_given, "is_technical": stream.name in TECHNICAL})
    return sorted(found, key=lambda each: bool(each["is_technical"]))


def _looks(sources: Sources, subject: Subject) -> list[tuple[str, str, int]]:
    """Return who opened the person's data, newest day first: in which role, and how often."""
    roles = {user.name: user.role for user in sources.registry.accounts.users()}
    entries = sources.registry.audit.search(subject_id=subject.subject_id, limit=_LOOKS_READ)
    looks: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        if entry.action in _LOOKS and entry.is_allowed:
            day = date_text(local_time(entry.at_ns, subject.zone).date())
            looks[day, roles.get(entry.actor, "somebody")] += 1
    return [(day, role, times) for (day, role), times in looks.items()][:_LOOKS_SHOWN]


def _moment(at_ns: int, zone: str) -> str:
    when = local_time(at_ns, zone)
    return f"{date_text(when.date())}, {when:%H:%M}"


def _pauses(sources: Sources) -> Pauses:
    return read_pauses(sources.home / PAUSE_FILE).holding(sources.clock.now_ns())


def _act(sources: Sources) -> ResponseReturnValue:
    actions = {"pause": _pause, "resume": _resume, "withdraw": _ask}
    action = field("action")
    if action not in actions:
        raise BadRequest
    subject = _self(sources)
    return attempt(lambda: actions[action](sources, subject), MY_DATA_PATH)


def _pause(sources: Sources, subject: Subject) -> str:
    hours = PAUSES_H.get(field("hours"))
    until_ns = None if hours is None else sources.clock.now_ns() + hours * 3600 * NS_PER_S
    held = dict(_pauses(sources).until_ns)
    write_pauses(sources.home / PAUSE_FILE, Pauses({**held, subject.subject_id: until_ns}))
    said = "until you resume" if until_ns is None else f"until {_moment(until_ns, subject.zone)}"
    audit(sources, signed_in_user().name, "pause", subject_id=subject.subject_id, detail=said)
    return f"Paused {said}: nothing is collected from you"


def _resume(sources: Sources, subject: Subject) -> str:
    held = dict(_pauses(sources).until_ns)
    if held.pop(subject.subject_id, 0) == 0:
        raise ConfigError("You are not paused by yourself; your clinic can tell you more")
    write_pauses(sources.home / PAUSE_FILE, Pauses(held))
    audit(sources, signed_in_user().name, "resume", subject_id=subject.subject_id)
    return "Collecting goes on"


def _ask(sources: Sources, subject: Subject) -> str:
    if field("sure") != "yes":
        raise ConfigError("Tick the box to ask for it; nothing was changed")
    what = "erase" if field("erase") == "yes" else "stop"
    if not open_requests(sources, subject.subject_id):
        audit(sources, signed_in_user().name, ASKED, subject_id=subject.subject_id, detail=what)
    held = dict(_pauses(sources).until_ns)
    write_pauses(sources.home / PAUSE_FILE, Pauses({**held, subject.subject_id: None}))
    return "Your clinic sees your wish. Until they have answered, nothing is collected from you"
