"""PHQ-9 and GAD-7 out of FHIR QuestionnaireResponse, R4 and R5, by their LOINC codes; pure.

Only what is needed is read, and that strictly: an answer that can be understood in two ways is refused, one
that is missing is never taken as 0. https://hl7.org/fhir/R5/questionnaireresponse.html
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

from store.errors import RecordingError
from store.instruments import INSTRUMENTS, LOINC, Instrument

Resource = Mapping[str, Any]

_BY_LOINC = {known.loinc: known for known in INSTRUMENTS.values() if known.loinc}
_WEIGHTS = (
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/questionnaire-ordinalValue",
)
"""Extensions that hold the score of an answer: of R4, R5, and the one before R4."""
_LOINC_ANSWERS: Mapping[str, int] = MappingProxyType(
    {"LA6568-5": 0, "LA6569-3": 1, "LA6570-1": 2, "LA6571-9": 3}
)
"""LOINC answer list LL358-3: not at all, several days, more than half the days, nearly every day."""
_WHOLE = ("completed", "amended")


@dataclass(frozen=True, slots=True)
class Response:
    """One filled-in questionnaire; `authored` as written, `items` empty where only the total is known."""

    subject_id: str
    instrument: str
    authored: str
    items: tuple[int, ...]
    total: int | None


def responses_in(held: object) -> list[object]:
    """Return each response a file holds: alone, in a list, or in a Bundle among other resources."""
    if _mapping(held).get("resourceType") == "Bundle":
        resources = [_mapping(entry.get("resource")) for entry in _list(_mapping(held).get("entry"))]
        return [each for each in resources if each.get("resourceType") == "QuestionnaireResponse"]
    return cast("list[object]", held) if isinstance(held, list) else [held]


def parsed_response(resource: Resource) -> Response:
    """Read one QuestionnaireResponse.

    Raises
    ------
    RecordingError
        If it is not a whole PHQ-9 or GAD-7 by LOINC code of a named patient.
    """
    if resource.get("resourceType") != "QuestionnaireResponse":
        raise RecordingError(f"it is a {resource.get('resourceType')!r}; needed is a QuestionnaireResponse")
    if (status := resource.get("status")) not in _WHOLE:
        raise RecordingError(f"its status is {status!r}; needed is {' or '.join(_WHOLE)}")
    answers = _answers(resource)
    known = _instrument(resource, answers)
    scores = {code: _score(known, code, answers[code]) for code in known.item_loincs if code in answers}
    missing = [f"{number} ({code})" for number, code in enumerate(known.item_loincs, 1) if code not in scores]
    total = (
        _score(known, known.total_loinc, answers[known.total_loinc]) if known.total_loinc in answers else None
    )
    if missing and (scores or total is None):
        raise RecordingError(
            f"{known.name}: item {', '.join(missing)} has no answer; needed are all {len(known.highest)}"
        )
    authored = resource.get("authored")
    if not isinstance(authored, str):
        raise RecordingError(f"{known.name}: it does not say when it was authored; needed is the day")
    return Response(_subject_id(resource), known.name, authored, tuple(scores.values()), total)


def _subject_id(resource: Resource) -> str:
    """Return the id a reference or an identifier of the patient ends with."""
    subject = _mapping(resource.get("subject"))
    reference, value = subject.get("reference"), _mapping(subject.get("identifier")).get("value")
    if isinstance(reference, str) and (
        match := re.search(r"(?:^|/)Patient/([^/]+)(?:/_history/.*)?$", reference)
    ):
        return match[1]
    if isinstance(value, str) and value:
        return value
    raise RecordingError(
        f"its subject is {reference!r}; needed is a reference such as Patient/S001, or an identifier"
    )


def _instrument(resource: Resource, answers: Mapping[str, Sequence[Resource]]) -> Instrument:
    """Return the scale that the questionnaire's address names, or whose items are answered."""
    address = str(resource.get("questionnaire", ""))
    named = [known for loinc, known in _BY_LOINC.items() if re.search(rf"(?<!\d){loinc}(?!\d)", address)]
    found = [
        known
        for known in _BY_LOINC.values()
        if known in named or any(code in answers for code in (*known.item_loincs, known.total_loinc))
    ]
    if len(found) != 1:
        codes = ", ".join(f"{known.name} (LOINC {loinc})" for loinc, known in _BY_LOINC.items())
        seen = (
            " and ".join(known.name for known in found)
            or f"{address or 'no address'} without items of either"
        )
        raise RecordingError(f"it is {seen}; needed is one of {codes}, items by their LOINC codes")
    return found[0]


def _answers(resource: Resource) -> dict[str, Sequence[Resource]]:
    """Return what is answered to each LOINC code, however deep it is nested."""
    found: dict[str, Sequence[Resource]] = {}
    for item in _items(resource):
        answer = _list(item.get("answer"))
        for code in _codes(item) if answer else ():
            if code in found:
                raise RecordingError(f"item {code} is there twice; needed is one answer")
            found[code] = answer
    return found


def _items(holder: Resource) -> Iterator[Resource]:
    for item in _list(holder.get("item")):
        yield item
        yield from _items(item)
        for answer in _list(item.get("answer")):
            yield from _items(answer)


def _codes(item: Resource) -> set[str]:
    """Return the LOINC-like codes an item goes by: at the end of its linkId or definition, or as its code."""
    addresses = [item.get("linkId"), item.get("definition")]
    ends = [re.search(r"(?<![\w-])(\d{1,7}-\d)$", text) for text in addresses if isinstance(text, str)]
    coded = [str(each.get("code")) for each in _list(item.get("code")) if each.get("system") == LOINC]
    return {match[1] for match in ends if match} | set(coded)


def _score(known: Instrument, code: str, answer: Sequence[Resource]) -> int:
    said = {value for each in answer for value in _values(each)}
    if len(answer) != 1 or len(said) != 1:
        seen = " and ".join(f"{value:g}" for value in sorted(said)) or "nothing that has a score"
        raise RecordingError(f"{known.name}: item {code} says {seen}; needed is one score")
    value = said.pop()
    if not value.is_integer():
        raise RecordingError(f"{known.name}: item {code} is {value:g}; needed is a whole number")
    return int(value)


def _values(answer: Resource) -> Iterator[float]:
    """Return every score one answer states."""
    coding = _mapping(answer.get("valueCoding"))
    extensions = [*_list(answer.get("extension")), *_list(coding.get("extension"))]
    numbers = [each.get("valueDecimal") for each in extensions if each.get("url") in _WEIGHTS]
    numbers += [answer.get("valueInteger"), answer.get("valueDecimal")]
    yield from (
        float(each) for each in numbers if isinstance(each, int | float) and not isinstance(each, bool)
    )
    code = coding.get("code")
    if not isinstance(code, str):
        return
    if code in _LOINC_ANSWERS:
        yield float(_LOINC_ANSWERS[code])
    elif coding.get("system") != LOINC and re.fullmatch(r"[0-9]", code):
        yield float(code)


def _list(value: object) -> list[Resource]:
    if not isinstance(value, list):
        return []
    return [_mapping(each) for each in cast("list[object]", value)]


def _mapping(value: object) -> Resource:
    return cast("Resource", value) if isinstance(value, dict) else {}
