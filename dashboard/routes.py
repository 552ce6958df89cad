"""The pages there are, by address, and which roles open each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from store.registry.accounts import Role
from store.registry.people import SUBJECT_ID

PageName = Literal[
    "triage",
    "patient",
    "summary",
    "assessments",
    "live",
    "flags",
    "flag",
    "quality",
    "export",
    "admin",
    "my-data",
    "account",
    "help",
]

TRIAGE_PATH, LIVE_PATH, SIGN_IN_PATH, SIGN_OUT_PATH = "/", "/live", "/sign-in", "/sign-out"
OIDC_PATH, OIDC_RETURN_PATH = f"{SIGN_IN_PATH}/oidc", f"{SIGN_IN_PATH}/oidc/return"
FLAGS_PATH, QUALITY_PATH, EXPORT_PATH = "/flags", "/quality", "/export"
ADMIN_PATH, MY_DATA_PATH, ACCOUNT_PATH, HELP_PATH = "/admin", "/my-data", "/account", "/help"

CARERS: frozenset[Role] = frozenset({"clinician", "lead"})
"""Who looks after patients: reads names, acts on flags, writes down scales."""
READERS: frozenset[Role] = CARERS | frozenset[Role]({"researcher"})
"""Who reads patients' data, each of the own case-load; a researcher reads no name."""
EVERYBODY: frozenset[Role] = frozenset(get_args(Role))

ROLES: Mapping[PageName, frozenset[Role]] = MappingProxyType[PageName, frozenset[Role]](
    {
        "triage": READERS,
        "patient": READERS,
        "summary": READERS,
        "assessments": CARERS,
        "live": READERS,
        "flags": CARERS,
        "flag": CARERS,
        "quality": READERS | frozenset[Role]({"admin"}),
        "export": frozenset[Role]({"researcher"}),
        "admin": frozenset[Role]({"admin"}),
        "my-data": frozenset[Role]({"patient"}),
        "account": EVERYBODY,
        "help": EVERYBODY,
    }
)
"""Which roles open a page. An administrator gives access and reads no patient; a patient reads the own
data."""

DASH_PAGES: frozenset[PageName] = frozenset({"triage", "patient", "summary", "live"})
"""Pages that Dash draws; the others are made whole on the server (`dashboard/plain`)."""

HOME: Mapping[Role, str] = MappingProxyType({"admin": ADMIN_PATH, "patient": MY_DATA_PATH})
"""Where `/` leads those who have no list of patients."""

_SUBJECT = f"(?P<subject>{SUBJECT_ID.pattern})"
_PAGES: tuple[tuple[re.Pattern[str], PageName], ...] = (
    (re.compile("/"), "triage"),
    (re.compile(f"/patient/{_SUBJECT}/?"), "patient"),
    (re.compile(f"/patient/{_SUBJECT}/summary"), "summary"),
    (re.compile(f"/patient/{_SUBJECT}/assessments"), "assessments"),
    (re.compile("/live/?"), "live"),
    (re.compile("/flags"), "flags"),
    (re.compile(r"/flags/[1-9]\d{0,8}"), "flag"),
    (re.compile("/quality"), "quality"),
    (re.compile(r"/export(/[0-9a-f]{32}\.zip)?"), "export"),
    (re.compile("/admin(/audit)?"), "admin"),
    (re.compile("/my-data"), "my-data"),
    (re.compile("/account"), "account"),
    (re.compile("/help"), "help"),
)
_TITLES: Mapping[PageName, str] = MappingProxyType(
    {"triage": "Patients", "flag": "Flag", "my-data": "My data"}
)


@dataclass(frozen=True, slots=True)
class Route:
    """One page, and of whom it is (empty: of nobody in particular)."""

    page: PageName
    subject_id: str = ""

    @property
    def roles(self) -> frozenset[Role]:
        """Who may open it."""
        return ROLES[self.page]

    def title(self) -> str:
        """Return the title of the browser's window."""
        return f"{self.subject_id or _TITLES.get(self.page, self.page.capitalize())} · evenkeel"


def route_of(path: object) -> Route | None:
    """Return the page at an address, or None if there is none or it is no text.

    >>> route_of("/patient/S014")
    Route(page='patient', subject_id='S014')
    """
    if not isinstance(path, str):
        return None
    for pattern, page in _PAGES:
        if found := pattern.fullmatch(path):
            return Route(page, found.groupdict().get("subject") or "")
    return None


def home_of(role: Role) -> str:
    """Return the address of the page that a role begins with."""
    return HOME.get(role, TRIAGE_PATH)


def patient_path(subject_id: str) -> str:
    """Return the address of a patient's page."""
    return f"/patient/{subject_id}"


def flag_path(flag_id: int) -> str:
    """Return the address at which a flag is reviewed."""
    return f"{FLAGS_PATH}/{flag_id}"


def assessments_path(subject_id: str) -> str:
    """Return the address at which a patient's scales are written down."""
    return f"{patient_path(subject_id)}/assessments"


def summary_path(subject_id: str) -> str:
    """Return the address of a patient's sheet to print."""
    return f"{patient_path(subject_id)}/summary"
