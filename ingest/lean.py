"""Keep out of a process that runs for months what it never uses."""

import sys
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType


class _Absent:
    """Says that a package is not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == self._name:
            raise ModuleNotFoundError(f"{fullname} is left out of this process", name=fullname)
        return None


@contextmanager
def without_pandas() -> Generator[None]:
    """Let nothing import pandas meanwhile.

    Arrow and the client of InfluxDB import it wherever it is installed, only to recognise a table of it that
    they may be handed. That takes 45 MB and a second, and a collector has none.
    """
    absent = _Absent("pandas")
    sys.meta_path.insert(0, absent)
    try:
        yield
    finally:
        sys.meta_path.remove(absent)
