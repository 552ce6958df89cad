"""Documents that say what the code says."""

import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def test_the_reference_is_up_to_date():
    command = [sys.executable, "tools/write-reference", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0, "run tools/write-reference"


def test_the_default_settings_are_up_to_date():
    command = [sys.executable, "tools/write-default-settings", "--check"]
    assert subprocess.run(command, cwd=REPOSITORY, check=False).returncode == 0, (
        "run tools/write-default-settings"
    )


def test_every_file_the_readme_names_is_there():
    for document in ("README.md", "CONTRIBUTING.md"):
        text = (REPOSITORY / document).read_text()
        named = re.findall(r"`((?:[a-z_]+/)+[a-z_.{},-]+\.(?:py|toml|md))`", text) + re.findall(
            r"\]\(([^)#:]+)\)", text
        )
        for name in named:
            assert (REPOSITORY / name).exists(), f"{document} names {name}"
