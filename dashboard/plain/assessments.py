"""Scales of one patient: PHQ-9, GAD-7, MADRS and YMRS item by item, and those written down before."""

from flask import Blueprint, flash, redirect, render_template, request
from flask.typing import ResponseReturnValue

from dashboard.gate import audit, may_write, signed_in_user, visible_subject
from dashboard.plain.forms import field
from dashboard.plain.questionnaires import FORMS, choices_of
from dashboard.routes import assessments_path
from dashboard.sources import Sources
from dashboard.words import date_text, local_time
from store.errors import ConfigError
from store.instruments import INSTRUMENTS
from store.registry.assessments import Assessment, scored
from store.registry.people import Subject

_PATH = "/patient/<subject_id>/assessments"
_SHOW_CRISIS = "crisis"


def assessment_pages(sources: Sources) -> Blueprint:
    """Return the page `/patient/SUBJECT/assessments`."""
    pages = Blueprint("assessments", __name__)

    def show(subject_id: str) -> ResponseReturnValue:
        subject = _subject(sources, subject_id)
        audit(sources, signed_in_user().name, "view assessments", subject_id=subject_id)
        return _form(sources, subject, request.args.get("scale", "PHQ-9"))

    def keep(subject_id: str) -> ResponseReturnValue:
        may_write(sources)
        return _keep(sources, _subject(sources, subject_id))

    pages.add_url_rule(_PATH, "show", show, methods=["GET"])
    pages.add_url_rule(_PATH, "keep", keep, methods=["POST"])
    return pages


def _subject(sources: Sources, subject_id: str) -> Subject:
    # The gate has asked already; whoever changes it must not open this page by mistake.
    subject = visible_subject(sources, subject_id)
    if subject is None:
        raise LookupError(subject_id)
    return subject


def _form(sources: Sources, subject: Subject, scale: str, message: str = "") -> ResponseReturnValue:
    if scale not in FORMS:
        return redirect(assessments_path(subject.subject_id), 303)
    held = sources.registry.assessments.of_subject(subject.subject_id)
    return render_template(
        "plain/assessments.html",
        title=f"Assessments of {subject.subject_id} · evenkeel",
        subject=subject,
        scale=scale,
        scales=tuple(FORMS),
        items=choices_of(scale),
        crisis_item=INSTRUMENTS[scale].crisis_item,
        question=FORMS[scale].question,
        given=request.form,
        today=local_time(sources.clock.now_ns(), subject.zone).date().isoformat(),
        message=message,
        shows_crisis=_SHOW_CRISIS in request.args and INSTRUMENTS[scale].crisis_item > 0,
        held=[_held(each) for each in reversed(held)],
    )


def _held(each: Assessment) -> dict[str, str]:
    return {
        "day": date_text(each.on),
        "instrument": each.instrument,
        "total": f"{each.total} of {INSTRUMENTS[each.instrument].highest_total}",
        "items": " ".join(str(score) for score in each.items) or "only the total is known",
    }


def _keep(sources: Sources, subject: Subject) -> ResponseReturnValue:
    scale, user = field("scale"), signed_in_user()
    if scale not in FORMS:
        return redirect(assessments_path(subject.subject_id), 303)
    answers = [field(f"item{number}") for number in range(1, len(FORMS[scale].items) + 1)]
    try:
        if missing := [str(number) for number, text in enumerate(answers, start=1) if not text]:
            raise ConfigError(f"Item {', '.join(missing)} has no answer; nothing was kept")  # noqa: TRY301
        new = scored(subject.subject_id, scale, field("on"), items=" ".join(answers))
        if new.on.isoformat() > local_time(sources.clock.now_ns(), subject.zone).date().isoformat():
            raise ConfigError(f"{new.on} is still to come; nothing was kept")  # noqa: TRY301
        is_new = sources.registry.assessments.put(new, by=user.name, is_correction=field("correct") == "yes")
    except ConfigError as error:
        said = str(error).replace(
            "give --correct to replace it", "nothing was kept: tick the box below to replace it"
        )
        return _form(sources, subject, scale, said)
    if is_new:
        detail = f"{scale} {new.on}: {new.total}"
        audit(sources, user.name, "assessment", subject_id=subject.subject_id, detail=detail)
    flash(f"{scale} of {date_text(new.on)} is kept" if is_new else "Kept already, as it is", "done")
    path = f"{assessments_path(subject.subject_id)}?scale={scale}"
    item = INSTRUMENTS[scale].crisis_item
    is_crisis = item > 0 and new.items[item - 1] > 0
    return redirect(f"{path}&{_SHOW_CRISIS}" if is_crisis else path, 303)
