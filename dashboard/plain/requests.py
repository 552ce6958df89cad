"""What patients ask for through their own page: kept in the audit log, where nobody can lose it."""

from dataclasses import dataclass

from dashboard.sources import Sources

ASKED, ANSWERED = "withdrawal-ask", "consent-withdraw"
_MOST = 10_000


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to take part no longer, until somebody recorded the withdrawal."""

    subject_id: str
    by: str
    at_ns: int
    what: str


def open_requests(sources: Sources, subject_id: str | None = None) -> list[Request]:
    """Return the newest wish of each person (or of one) that nobody answered yet, newest first."""
    log = sources.registry.audit
    answered: dict[str, int] = {}
    for entry in log.search(action=ANSWERED, subject_id=subject_id, limit=_MOST):
        answered.setdefault(entry.subject_id, entry.seq)
    found: dict[str, Request] = {}
    for entry in log.search(action=ASKED, subject_id=subject_id, limit=_MOST):
        if entry.seq > answered.get(entry.subject_id, -1):
            asked = Request(entry.subject_id, entry.actor, entry.at_ns, entry.detail)
            found.setdefault(entry.subject_id, asked)
    return list(found.values())
