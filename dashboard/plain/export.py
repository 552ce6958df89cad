"""The research export of a researcher's own case-load: made in the background, fetched once it is whole."""

import json
import shutil
import threading
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from flask import Blueprint, current_app, render_template, send_file
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from configs.settings import settings_hash
from dashboard.gate import audit, signed_in_user, visible_people
from dashboard.plain.forms import attempt, field
from dashboard.routes import EXPORT_PATH
from dashboard.sources import Sources
from dashboard.words import age_text
from features.export import export_nights
from features.nights import NIGHT_STREAM
from store.errors import ConfigError
from store.ledger import open_ledger
from store.registry.jobs import JobRun
from store.units import NS_PER_S

KIND = "export"
FOLDER = "exports"
KEPT_S = 7 * 86_400
"""After a week an export is made again: people withdraw, and nights are mended."""
SLOW_S = 600
"""A run that is older was killed: even a thousand people take a minute."""
_LISTED = 200


@dataclass(frozen=True, slots=True)
class Made:
    """One export as the page lists it."""

    run: JobRun
    age: str
    state: str
    is_ready: bool
    people: int
    purpose: str
    size: str


def export_pages(sources: Sources) -> Blueprint:
    """Return the pages `/export` and `/export/ID.zip`."""
    pages = Blueprint("export", __name__)

    def fetch(job_id: str) -> ResponseReturnValue:
        return _fetch(sources, job_id)

    pages.add_url_rule(EXPORT_PATH, "show", lambda: _show(sources), methods=["GET"])
    pages.add_url_rule(
        EXPORT_PATH, "start", lambda: attempt(lambda: _start(sources), EXPORT_PATH), methods=["POST"]
    )
    pages.add_url_rule(f"{EXPORT_PATH}/<job_id>.zip", "fetch", fetch, methods=["GET"])
    return pages


def _show(sources: Sources) -> str:
    audit(sources, signed_in_user().name, "list exports")
    people = visible_people(sources)
    made = _made(sources)
    return render_template(
        "plain/export.html",
        title="Export · evenkeel",
        real=sum(not subject.is_simulated for subject in people),
        simulated=sum(subject.is_simulated for subject in people),
        made=made,
        is_running=any(each.state == "being made" for each in made),
        columns=NIGHT_STREAM.columns,
        kept_days=KEPT_S // 86_400,
    )


def _start(sources: Sources) -> str:
    user, purpose = signed_in_user(), field("purpose")
    if field("agree") != "yes" or len(purpose) < 4:
        raise ConfigError("Name the study, and agree to its terms; nothing was exported")
    if any(each.state == "being made" for each in _made(sources)):
        raise ConfigError("An export of yours is being made; wait for it")
    people = visible_people(sources)
    chosen = [s for s in people if field("who") == "all" or not s.is_simulated]
    if not chosen:
        raise ConfigError("There is nobody to export in your case-load")
    _forget_old(sources)
    job_id = sources.registry.jobs.start(KIND, version("evenkeel"), settings_hash(sources.settings.features))
    folder = sources.home / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    ids = [subject.subject_id for subject in chosen]
    _note_path(sources, job_id).write_text(
        json.dumps({"by": user.name, "people": len(ids), "purpose": purpose})
    )
    audit(sources, user.name, "export", detail=f"{job_id}: {len(ids)} people, for {purpose}")
    simulated = {subject.subject_id for subject in chosen if subject.is_simulated}
    logger = current_app.logger

    def work() -> None:
        try:
            _make(sources, job_id, ids, simulated)
        except Exception:  # the rim of a thread: told to whoever runs evenkeel, and on the page
            logger.exception("Export %s failed", job_id)
            sources.registry.jobs.end(job_id, {"failed": 1})

    threading.Thread(target=work, name=f"export-{job_id[:8]}", daemon=True).start()
    said = "1 person" if len(ids) == 1 else f"{len(ids)} people"
    return f"Exporting {said}; the file is listed below when it is whole"


def _make(sources: Sources, job_id: str, ids: Sequence[str], simulated: set[str]) -> None:
    """Write the files, and pack them; the zip appears under its name once it is whole."""
    folder = sources.home / FOLDER / job_id
    try:
        ledger = open_ledger(sources.home, sources.clock)
        now_ns = sources.clock.now_ns()
        done = export_nights(
            sources.store,
            folder,
            now_ns,
            simulated=simulated,
            ledger=ledger,
            only=frozenset(ids),
            assessments=sources.registry.assessments.all(),
        )
        fresh = folder.with_suffix(".part")
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_DEFLATED) as packed:
            for name in done.files:
                packed.write(folder / name, f"evenkeel-export/{name}")
        fresh.chmod(0o600)
        fresh.replace(_zip_path(sources, job_id))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sources.registry.jobs.end(job_id, {"nights": done.nights, "subjects": done.subjects})


def _fetch(sources: Sources, job_id: str) -> ResponseReturnValue:
    user = signed_in_user()
    note, path = _note(sources, job_id), _zip_path(sources, job_id)
    if note.get("by") != user.name or not path.exists():
        audit(sources, user.name, "export-fetch", is_allowed=False, detail=job_id)
        raise NotFound
    audit(sources, user.name, "export-fetch", detail=f"{job_id}: {note.get('people')} people")
    return send_file(
        path, mimetype="application/zip", as_attachment=True, download_name=f"evenkeel-{job_id[:8]}.zip"
    )


def _made(sources: Sources) -> list[Made]:
    """Return the exports of whoever asks, newest first."""
    user, now_ns = signed_in_user(), sources.clock.now_ns()
    found: list[Made] = []
    for run in sources.registry.jobs.recent(_LISTED, kind=KIND):
        note = _note(sources, run.job_id)
        if note.get("by") != user.name:
            continue
        path = _zip_path(sources, run.job_id)
        is_ready = run.ended_ns is not None and path.exists()
        is_slow = now_ns - run.started_ns > SLOW_S * NS_PER_S
        if is_ready:
            state = f"{run.summary.get('nights', 0)} nights of {run.summary.get('subjects', 0)} people"
        elif run.ended_ns is not None or is_slow:
            state = "failed; whoever runs evenkeel finds why in its log"
        else:
            state = "being made"
        size = f"{path.stat().st_size / 1e6:.1f} MB" if is_ready else ""
        age = age_text(now_ns - run.started_ns)
        found.append(Made(run, age, state, is_ready, int(str(note["people"])), str(note["purpose"]), size))
    return found


def _note(sources: Sources, job_id: str) -> Mapping[str, object]:
    """Return who asked for an export, for what; empty once it is forgotten."""
    try:
        held: Mapping[str, object] = json.loads(_note_path(sources, job_id).read_text())
    except (OSError, ValueError):
        return {}
    return held


def _note_path(sources: Sources, job_id: str) -> Path:
    return sources.home / FOLDER / f"{job_id}.json"


def _zip_path(sources: Sources, job_id: str) -> Path:
    return sources.home / FOLDER / f"{job_id}.zip"


def _forget_old(sources: Sources) -> None:
    now_ns = sources.clock.now_ns()
    for run in sources.registry.jobs.recent(_LISTED, kind=KIND):
        if now_ns - run.started_ns > KEPT_S * NS_PER_S:
            _zip_path(sources, run.job_id).unlink(missing_ok=True)
            _note_path(sources, run.job_id).unlink(missing_ok=True)
