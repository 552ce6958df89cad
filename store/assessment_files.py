"""Files of filled-in scales: CSV, or FHIR as JSON or NDJSON; a bad row loses no other."""

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from store.errors import EvenkeelError, RecordingError
from store.questionnaire_response import parsed_response, responses_in
from store.registry.assessments import Assessment, scored
from store.times import parse_time_ns

_NEEDED = ("subject_id", "instrument", "on")
_PER_LINE = frozenset({".ndjson", ".jsonl"})

ZoneAt = Callable[[str, int], str]
"""Tells the zone of a subject at a time; raises UnknownError for who is not registered."""


@dataclass(frozen=True, slots=True)
class ReadFile:
    """What a file holds: assessments with where each stood, and a sentence for each row that is none."""

    read: tuple[tuple[str, Assessment], ...]
    rejected: tuple[str, ...]


def read_assessments(path: Path, zone_at: ZoneAt) -> ReadFile:
    """Read a file: JSON and NDJSON by their name's end, anything else as CSV.

    Raises
    ------
    RecordingError
        If nothing in it can be read: no text, no such columns, no QuestionnaireResponse.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise RecordingError(f"{path} cannot be read ({error}); needed is a file in UTF-8") from None
    suffix = path.suffix.lower()
    if suffix == ".json":
        return _collected(_from_json(text, path), zone_at)
    if suffix in _PER_LINE:
        lines = enumerate(text.splitlines(), start=1)
        return _collected(((f"line {number}", line) for number, line in lines if line.strip()), zone_at)
    return _from_csv(text, path)


def _from_csv(text: str, path: Path) -> ReadFile:
    rows = csv.DictReader(text.splitlines())
    if missing := set(_NEEDED) - set(rows.fieldnames or ()):
        raise RecordingError(
            f"{path} has no column {', '.join(sorted(missing))}; needed are {', '.join(_NEEDED)}, and items "
            "or total (or a name that ends in .json or .ndjson)"
        )
    read: list[tuple[str, Assessment]] = []
    rejected: list[str] = []
    for row in rows:
        where = f"line {rows.line_num}"
        held = {name: (value or "").strip() for name, value in row.items() if isinstance(name, str)}
        if len(held) != len(row):
            rejected.append(
                f"{where}: it has more cells than there are columns; put items in quotation marks"
            )
            continue
        who, instrument, on = (held[name] for name in _NEEDED)
        try:
            found = scored(who, instrument, on, items=held.get("items", ""), total=held.get("total"))
        except EvenkeelError as error:
            rejected.append(f"{where}: {error}")
        else:
            read.append((where, found))
    return ReadFile(tuple(read), tuple(rejected))


def _from_json(text: str, path: Path) -> Iterator[tuple[str, object]]:
    """Return each response of a file: alone, in a list, or in a Bundle; its other resources are not ours."""
    try:
        held: object = json.loads(text)
    except json.JSONDecodeError as error:
        raise RecordingError(
            f"{path} is no JSON ({error}); needed is a QuestionnaireResponse or Bundle"
        ) from None
    several = responses_in(held)
    if not several:
        raise RecordingError(f"{path} holds no QuestionnaireResponse; needed is one at least")
    return ((f"response {number}", each) for number, each in enumerate(several, start=1))


def _collected(responses: Iterable[tuple[str, object]], zone_at: ZoneAt) -> ReadFile:
    read: list[tuple[str, Assessment]] = []
    rejected: list[str] = []
    for where, held in responses:
        try:
            read.append((where, _assessment(held, zone_at)))
        except EvenkeelError as error:
            rejected.append(f"{where}: {error}")
    return ReadFile(tuple(read), tuple(rejected))


def _assessment(held: object, zone_at: ZoneAt) -> Assessment:
    if isinstance(held, str):
        try:
            held = json.loads(held)
        except json.JSONDecodeError as error:
            raise RecordingError(
                f"it is no JSON ({error}); needed is one QuestionnaireResponse a line"
            ) from None
    if not isinstance(held, dict):
        raise RecordingError("it is no JSON object; needed is a QuestionnaireResponse")
    said = parsed_response(cast("dict[str, Any]", held))
    on = _day(said.subject_id, said.authored, zone_at)
    return scored(
        said.subject_id, said.instrument, on, items=" ".join(map(str, said.items)), total=said.total
    )


def _day(subject_id: str, authored: str, zone_at: ZoneAt) -> str:
    """Return the day a response was authored in the person's own zone; a day without a time is that day."""
    if "T" not in authored:
        return authored
    t_ns = parse_time_ns(authored, "authored")
    zone = ZoneInfo(zone_at(subject_id, t_ns))
    return datetime.fromisoformat(authored).astimezone(zone).date().isoformat()
