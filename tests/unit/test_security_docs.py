"""`docs/security.md` against the code: every requirement once, every test there, every page in its table."""

import re
from pathlib import Path

from dashboard.routes import ROLES

TESTS = Path(__file__).parent
TEXT = (TESTS.parents[1] / "docs" / "security.md").read_text()
LEVELS_ONE_AND_TWO = 253
"""Requirements of levels 1 and 2 in ASVS 5.0.0."""
FILES = {
    "security": "test_dashboard_security.py",
    "matrix": "test_dashboard_matrix.py",
    "plain": "test_plain_pages.py",
    "provider": "test_provider.py",
    "serving": "test_serving.py",
    "registry": "test_registry.py",
    "commands": "test_registry_commands.py",
    "deploy": "test_deploy.py",
    "packaging": "test_packaging.py",
}


def requirements(text: str) -> list[str]:
    """The numbers named in a text; `10.4.1-11` is eleven of them."""
    found = []
    for section, first, last in re.findall(r"\b(\d{1,2}\.\d{1,2})\.(\d{1,2})(?:-(\d{1,2}))?\b", text):
        found += [f"{section}.{number}" for number in range(int(first), int(last or first) + 1)]
    return found


def test_every_requirement_of_both_levels_is_named_once():
    named = requirements(TEXT.split("## OWASP ASVS 5.0, level 2")[1])
    assert sorted({one for one in named if named.count(one) > 1}) == []
    assert len(named) == LEVELS_ONE_AND_TWO


def test_every_test_it_names_is_there():
    named = re.findall(r"`(\w+)::(test_\w+)`", TEXT)
    missing = [test for file, test in named if f"def {test}(" not in (TESTS / FILES[file]).read_text()]
    assert len(named) > 50
    assert missing == []


def test_its_table_says_what_the_routes_say():
    addresses = {
        "triage": "/",
        "flag": "/flags/N",
        "patient": "/patient/S",
        "summary": "/patient/S/summary",
        "assessments": "/patient/S/assessments",
    }
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in TEXT.splitlines()
        if line[:1] == "|"
    ]
    order = rows[0][1:]
    for page, roles in ROLES.items():
        address = addresses.get(page, f"/{page}")
        (row,) = [row for row in rows if f"`{address}`" in row[0] and len(row) == len(order) + 1]
        assert {role for role, cell in zip(order, row[1:], strict=True) if cell != "-"} == roles, page
