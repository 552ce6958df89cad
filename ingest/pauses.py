"""The patient's pause: a small file in the installation's directory that anybody there can read and write.

One line a person: the subject id, and if it is not to last for ever the time at which it ends, as in
``S001 2026-03-02T14:00:00Z``. ``*`` stands for everybody, and so does an empty file (``touch pause``).
Without the file nobody is paused.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from store.errors import ConfigError, HomeError
from store.times import iso_time, parse_time_ns
from store.units import NS_PER_S

PAUSE_FILE = "pause"
"""Its name in the installation's directory."""

EVERYBODY = "*"

_UNITS_S = {"min": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Pauses:
    """Who is paused, and until when.

    Attributes
    ----------
    until_ns : mapping of subject id to int or None
        End of the pause, nanoseconds UTC; None for no end. The key `EVERYBODY` is everybody.
    """

    until_ns: Mapping[str, int | None] = field(default_factory=dict[str, int | None])

    def is_paused(self, subject_id: str, now_ns: int) -> bool:
        """Say whether nothing may be collected from a person."""
        ends = [self.until_ns[key] for key in (EVERYBODY, subject_id) if key in self.until_ns]
        return any(end_ns is None or now_ns < end_ns for end_ns in ends)

    def holding(self, now_ns: int) -> "Pauses":
        """Return those that have not ended."""
        kept = {key: end for key, end in self.until_ns.items() if end is None or now_ns < end}
        return Pauses(kept)

    def to_text(self) -> str:
        """Return the text of the file."""
        lines = [key if end is None else f"{key} {iso_time(end)}" for key, end in self.until_ns.items()]
        return "".join(f"{line}\n" for line in lines)


NOBODY = Pauses()


def parse_pauses(text: str) -> Pauses:
    """Read the text of the file.

    Raises
    ------
    ConfigError
        If a line is not a subject id, or a subject id and a time.
    """
    until_ns: dict[str, int | None] = {}
    for line in text.splitlines():
        match line.split():
            case []:
                continue
            case [key]:
                until_ns[key] = None
            case [key, end]:
                until_ns[key] = parse_time_ns(end, f"The end of the pause of {key}")
            case _:
                raise ConfigError(f"The pause file has the line {line!r}; needed is SUBJECT, or SUBJECT TIME")
    return Pauses(until_ns or {EVERYBODY: None})


def parse_duration_ns(text: str) -> int:
    """Return how long 90min, 2h or 1d is, in nanoseconds.

    Raises
    ------
    ConfigError
        If it is no such duration.

    Examples
    --------
    >>> parse_duration_ns("2h") // 1_000_000_000
    7200
    """
    found = re.fullmatch(r"(\d{1,6})\s*(min|h|d)", text.strip())
    if found is None or int(found[1]) == 0:
        raise ConfigError(f"{text!r} is no duration; needed is one such as 90min, 2h or 1d")
    return int(found[1]) * _UNITS_S[found[2]] * NS_PER_S


def read_pauses(path: Path) -> Pauses:
    """Return who is paused; nobody if there is no file.

    Raises
    ------
    ConfigError
        If the file cannot be read or understood. Somebody wanted to pause: take it as a pause of everybody.
    """
    try:
        return parse_pauses(path.read_text())
    except FileNotFoundError:
        return NOBODY
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"The pause file {path} cannot be read ({error}); make it readable") from None


def write_pauses(path: Path, pauses: Pauses) -> None:
    """Write who is paused, at once and whole; nobody removes the file.

    Raises
    ------
    HomeError
        If it cannot be written.
    """
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if not pauses.until_ns:
            path.unlink(missing_ok=True)
            return
        fresh.write_text(pauses.to_text())
        fresh.replace(path)
    except OSError as error:
        raise HomeError(f"{path} cannot be written ({error.strerror}); make room, or make it yours") from None
