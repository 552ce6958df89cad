"""The distribution: our generic top-level names are ours alone, and the wheel holds what runs."""

import importlib.metadata
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = {"configs", "dashboard", "evenkeel", "features", "ingest", "models", "store"}


def test_no_other_distribution_owns_one_of_our_names():
    for distribution in importlib.metadata.distributions():
        if distribution.name == "evenkeel":
            continue
        owned = {path.parts[0].removesuffix(".py") for path in distribution.files or ()}
        assert not owned & OURS, f"{distribution.name} also installs {owned & OURS}"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_holds_our_packages_with_their_data_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].removesuffix(".py") for name in names if ".dist-info" not in name} == OURS
    for needed in (
        "configs/evenkeel.toml",
        "dashboard/assets/evenkeel.css",
        "store/registry/migrations/env.py",
    ):
        assert needed in names


def test_the_wheel_imports_and_runs_away_from_the_checkout(wheel, tmp_path):
    """Every module of the unpacked wheel imports, without the checkout on the path."""
    zipfile.ZipFile(wheel).extractall(tmp_path / "unpacked")
    code = f"""
import pathlib, runpy, sys
sys.path = [{str(tmp_path / "unpacked")!r}] + [p for p in sys.path if p != {str(REPOSITORY)!r}]
import importlib
root = pathlib.Path(sys.path[0])
for path in sorted(root.rglob("*.py")):
    name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
    if "migrations" not in name:
        module = importlib.import_module(name)
        assert module.__file__.startswith(str(root)), module.__file__
from store.installation import Installation
with Installation(root / "home").registry() as registry:
    print(registry.people.add_subject("S1", "UTC"))
"""
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], cwd=tmp_path, text=True, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "S1" in done.stdout


def test_versions_are_pinned_without_addresses():
    text = (REPOSITORY / "constraints.txt").read_text()
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", pin) for pin in pins)
    assert "://" not in text
    pinned = {re.sub(r"[-_.]+", "-", pin.split("==")[0]).lower() for pin in pins}
    for requirement in importlib.metadata.requires("evenkeel") or ():
        name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=; ]", requirement)[0]).lower()
        assert name in pinned | {"evenkeel"}, f"{name} is not in constraints.txt"
