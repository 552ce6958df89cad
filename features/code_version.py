"""Which code made a value: the version of evenkeel, and a hash of all that its features are made by."""

import functools
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path

_PACKAGE = Path(__file__).parent
_ENDS = ("cli", "plot", "file", "files")
_AROUND = frozenset(
    {
        "code_version",
        "dask_crew",
        "executors",
        "explain",
        "export",
        "job",
        "night_source",
        "night_state",
        "plan",
    }
)
"""Modules that decide what is computed, or show it, and change no value."""
_LIBRARIES = ("numba", "numpy", "scikit-learn", "scipy")
"""Another version of these may round the last bit differently."""


def code_version() -> str:
    """Return the version of evenkeel with a hash of its features' code, such as `0.1.0+4f0c21d9`."""
    return version_of(_PACKAGE)


@functools.cache
def version_of(package: Path) -> str:
    """Return the version of evenkeel with a hash of the code in a directory and of the libraries it needs."""
    mixed = sha256()
    for path in sorted(package.rglob("*")):
        if path.suffix in {".py", ".json"} and _makes_values(path):
            mixed.update(path.relative_to(package).as_posix().encode())
            mixed.update(path.read_bytes())
    for name in _LIBRARIES:
        mixed.update(f"{name} {version(name)}".encode())
    return f"{version('evenkeel')}+{mixed.hexdigest()[:8]}"


def _makes_values(path: Path) -> bool:
    return path.stem not in _AROUND and path.stem.split("_")[-1] not in _ENDS
