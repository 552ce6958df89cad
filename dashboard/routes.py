"""The pages there are, by address."""

import re
from dataclasses import dataclass
from typing import Literal

from store.registry.people import SUBJECT_ID

PageName = Literal["triage", "patient", "live"]

TRIAGE_PATH, LIVE_PATH, SIGN_IN_PATH = "/", "/live", "/sign-in"
_PATIENT = re.compile(rf"/patient/({SUBJECT_ID.pattern})/?")


@dataclass(frozen=True, slots=True)
class Route:
    """One page, and of whom it is (empty: of nobody in particular)."""

    page: PageName
    subject_id: str = ""

    def title(self) -> str:
        """Return the title of the browser's window."""
        name = {"triage": "Patients", "live": "Live", "patient": self.subject_id}[self.page]
        return f"{name} · evenkeel"


def route_of(path: object) -> Route | None:
    """Return the page at an address, or None if there is none or it is no text.

    >>> route_of("/patient/S014")
    Route(page='patient', subject_id='S014')
    """
    if not isinstance(path, str):
        return None
    if path == TRIAGE_PATH:
        return Route("triage")
    if path in (LIVE_PATH, f"{LIVE_PATH}/"):
        return Route("live")
    found = _PATIENT.fullmatch(path)
    return Route("patient", found[1]) if found else None


def patient_path(subject_id: str) -> str:
    """Return the address of a patient's page."""
    return f"/patient/{subject_id}"
