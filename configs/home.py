"""The one directory under which an installation keeps everything."""

import os
from pathlib import Path

import platformdirs

HOME_VARIABLE = "EVENKEEL_HOME"


def home_directory(asked: Path | None = None) -> Path:
    """Return the directory asked for, else `$EVENKEEL_HOME`, else the platform's data directory."""
    if asked is not None:
        return _expanded(asked)
    if named := os.environ.get(HOME_VARIABLE):
        return _expanded(Path(named))
    return Path(platformdirs.user_data_dir("evenkeel", appauthor=False))


def is_home_chosen(asked: Path | None = None) -> bool:
    """Say whether the user named a directory, by option or environment."""
    return asked is not None or bool(os.environ.get(HOME_VARIABLE))


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser().absolute()
    except RuntimeError:  # ~somebody who is not there is a name like any other, as in a shell
        return path.absolute()
