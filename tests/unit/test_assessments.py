"""Files of scales: CSV and FHIR read strictly, a bad row named and no other lost, and what is exported."""

import json
import re
from datetime import date
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from evenkeel import app
from features.export import export_nights
from store.assessment_files import read_assessments
from store.errors import EvenkeelError, RecordingError
from store.installation import Installation
from store.instruments import INSTRUMENTS
from store.questionnaire_response import Response, parsed_response
from store.registry.assessments import scored

PHQ, GAD = INSTRUMENTS["PHQ-9"], INSTRUMENTS["GAD-7"]
WEIGHT_R4 = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
WEIGHT_R5 = "http://hl7.org/fhir/StructureDefinition/itemWeight"
LOINC_ANSWERS = ("LA6568-5", "LA6569-3", "LA6570-1", "LA6571-9")


def coded(score: int) -> dict:
    return {"valueCoding": {"system": "http://loinc.org", "code": LOINC_ANSWERS[score]}}


def weighted(score: int, url: str = WEIGHT_R4) -> dict:
    return {"valueCoding": {"code": "x", "extension": [{"url": url, "valueDecimal": score}]}}


ANSWERS = {
    "integer": lambda score: {"valueInteger": score},
    "decimal": lambda score: {"valueDecimal": float(score)},
    "LOINC answer": coded,
    "R4 ordinal": weighted,
    "R5 weight": lambda score: weighted(score, WEIGHT_R5),
    "own code": lambda score: {"valueCoding": {"system": "urn:ours", "code": str(score)}},
    "both alike": lambda score: {
        "valueCoding": coded(score)["valueCoding"]
        | {"extension": weighted(score)["valueCoding"]["extension"]}
    },
}


def response(scores, known=PHQ, *, answer=coded, link="/{}", **changed) -> dict:
    items = [
        {"linkId": link.format(code), "answer": [answer(score)]}
        for code, score in zip(known.item_loincs, scores, strict=True)
    ]
    made = {
        "resourceType": "QuestionnaireResponse",
        "status": "completed",
        "questionnaire": f"http://loinc.org/q/{known.loinc}|2.69",
        "subject": {"reference": "Patient/S1"},
        "authored": "2026-03-02",
        "item": items,
    }
    return made | changed


def installed(tmp_path: Path, *subjects: str) -> Installation:
    installation = Installation(tmp_path / "home")
    with installation.registry() as registry:
        for subject_id in subjects:
            registry.people.add_subject(subject_id, "Asia/Tokyo")
    return installation


def imported(installation, path: Path, *words: str) -> tuple[int, str, list[str]]:
    result = CliRunner().invoke(
        app, ["--home", str(installation.home), "assessment", "import", str(path), *words]
    )
    if isinstance(result.exception, EvenkeelError):
        return 2, "", [str(result.exception)]
    return result.exit_code, result.stdout.strip(), result.stderr.splitlines()


@pytest.mark.parametrize("known", INSTRUMENTS.values(), ids=lambda known: known.name)
def test_the_table_of_scales_hangs_together(known):
    assert [band.lowest for band in known.bands] == sorted({0, *(band.lowest for band in known.bands)})
    assert known.bands[-1].lowest <= known.highest_total
    assert known.band_of(known.highest_total) == known.bands[-1]
    assert known.threshold in range(1, known.highest_total + 1)
    assert len(known.item_loincs) in {0, len(known.highest)}
    for doi in (known.doi, known.threshold_doi, *(band.doi for band in known.bands)):
        assert re.fullmatch(r"10\.\d{4,5}/\S+", doi)


@pytest.mark.parametrize(
    ("name", "total", "word"),
    [
        ("PHQ-9", 4, "minimal"),
        ("PHQ-9", 5, "mild"),
        ("PHQ-9", 14, "moderate"),
        ("PHQ-9", 15, "moderately severe"),
        ("PHQ-9", 20, "severe"),
        ("GAD-7", 9, "mild"),
        ("GAD-7", 15, "severe"),
        ("MADRS", 6, "absent"),
        ("MADRS", 34, "moderate"),
        ("MADRS", 35, "severe"),
        ("YMRS", 12, "remission"),
        ("YMRS", 25, "severe"),
    ],
)
def test_bands_are_those_of_the_papers(name, total, word):
    assert INSTRUMENTS[name].band_of(total).word == word


@pytest.mark.parametrize("known", [PHQ, GAD], ids=lambda known: known.name)
@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("link", ["{}", "/{}", "/group/{}"])
def test_every_way_to_write_an_answer_is_the_same_score(known, answer, link):
    scores = tuple(k % 4 for k in range(len(known.highest)))
    found = parsed_response(response(scores, known, answer=answer, link=link))
    assert found == Response("S1", known.name, "2026-03-02", scores, None)


def test_items_in_groups_any_order_and_with_codes_of_their_own_are_found():
    scores = (3, 2, 1, 0, 3, 2, 1)
    held = response(scores, GAD, answer=weighted)
    for number, item in enumerate(held["item"]):
        code = item.pop("linkId")[1:]
        item |= {"linkId": f"q{number}", "code": [{"system": "http://loinc.org", "code": code}]}
    held["item"] = [{"linkId": "group", "item": held["item"][::-1]}]
    held["questionnaire"] = "Questionnaire/ours"
    held["subject"] = {"identifier": {"system": "urn:study", "value": "S7"}}
    assert parsed_response(held) == Response("S7", "GAD-7", "2026-03-02", scores, None)


def test_a_total_alone_is_taken_and_beside_items_compared(tmp_path):
    total = {"linkId": PHQ.total_loinc, "answer": [{"valueDecimal": 11}]}
    alone = response((0,) * 9) | {"item": [total]}
    assert parsed_response(alone) == Response("S1", "PHQ-9", "2026-03-02", (), 11)
    both = response((1,) * 9)
    both["item"].append(total)
    path = tmp_path / "one.json"
    path.write_text(json.dumps(both))
    found = read_assessments(path, lambda _who, _t_ns: "UTC")
    assert found.read == ()
    assert "the items add up to 9, the total says 11" in found.rejected[0]


def changed_item(at: int, **changed) -> dict:
    held = response((1,) * 9)
    held["item"][at] |= changed
    return held


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({"resourceType": "Observation"}, "it is a 'Observation'"),
        (response((1,) * 9, status="in-progress"), "its status is 'in-progress'"),
        (response((1,) * 9, authored=None), "does not say when"),
        (response((1,) * 9, subject={"reference": "urn:uuid:1"}), "its subject is 'urn:uuid:1'"),
        (response((1,) * 9, questionnaire=f"http://loinc.org/q/{GAD.loinc}"), "it is PHQ-9 and GAD-7"),
        (response((1,) * 9, item=[], questionnaire="http://x/y"), "http://x/y without items of either"),
        (response((1,) * 9, item=[]), "has no answer; needed are all 9"),
        (changed_item(8, answer=[]), "item 9 (44260-8) has no answer"),
        (changed_item(0, answer=[coded(1), coded(2)]), "item 44250-9 says 1 and 2"),
        (changed_item(0, answer=[{"valueString": "often"}]), "says nothing that has a score"),
        (changed_item(0, answer=[{"valueBoolean": True}]), "says nothing that has a score"),
        (changed_item(0, answer=[{"valueInteger": True}]), "says nothing that has a score"),
        (changed_item(0, answer=[{"valueDecimal": 1.5}]), "is 1.5; needed is a whole number"),
        (changed_item(0, answer=[{"valueDecimal": float("inf")}]), "is inf; needed is a whole number"),
        (changed_item(1, linkId="/44250-9"), "item 44250-9 is there twice"),
        (
            changed_item(0, answer=[{"valueInteger": 2} | coded(1)]),
            "item 44250-9 says 1 and 2",
        ),
    ],
)
def test_what_can_be_understood_in_two_ways_or_none_is_refused(held, said):
    with pytest.raises(RecordingError, match=re.escape(said)):
        parsed_response(held)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(held=_JSON, at=st.sampled_from(["item", "subject", "authored", "status", "questionnaire", "answer"]))
def test_no_json_does_more_than_be_refused(held, at):
    made = response((1,) * 9)
    if at == "answer":
        made["item"][0]["answer"] = held
    else:
        made[at] = held
    try:
        found = parsed_response(made)
    except RecordingError:
        return
    assert len(found.items) == 9


def test_a_bundle_is_imported_once_and_its_days_are_those_of_the_person(tmp_path):
    installation = installed(tmp_path, "S1", "S2")
    entries = [
        response((1,) * 9, authored="2026-03-02T20:30:00Z"),  # already the 3rd in Tokyo
        response((2,) * 7, GAD, subject={"reference": "https://clinic.example/fhir/Patient/S2/_history/3"}),
        {"resourceType": "Patient", "id": "S1"},
    ]
    path = tmp_path / "bundle.json"
    path.write_text(json.dumps({"resourceType": "Bundle", "entry": [{"resource": each} for each in entries]}))
    assert imported(installation, path) == (0, "2 of 2 assessments are new, 0 refused", [])
    assert imported(installation, path) == (0, "0 of 2 assessments are new, 0 refused", [])
    with installation.registry() as registry:
        assert registry.assessments.all() == [
            scored("S1", "PHQ-9", "2026-03-03", items="1 " * 9),
            scored("S2", "GAD-7", "2026-03-02", items="2 " * 7),
        ]


def test_a_bad_row_of_a_table_is_named_and_loses_no_other(tmp_path):
    installation = installed(tmp_path, "S1", "S2")
    with installation.registry() as registry:
        registry.consents.record("S2", is_granted=False, by="test")
    path = tmp_path / "scales.csv"
    path.write_text(
        "subject_id,instrument,on,items,total\n"
        'S1,PHQ-9,2026-03-02,"1,1,1,1,1,1,1,1,1",9\n'
        "S1,MADRS,2026-13-03,,20\n"
        "S9,MADRS,2026-03-03,,20\n"
        "S2,MADRS,2026-03-03,,20\n"
        "S1,PHQ-9,2026-03-02,,10\n"
        "S1,YMRS,2999-01-01,,10\n"
        "S1,YMRS,2026-03-04,1,1,1,1,1\n"
        "S1,madrs,2026-03-04,,20\n"
    )
    status, said, refused = imported(installation, path)
    assert (status, said) == (3, "2 of 8 assessments are new, 6 refused")
    expected = {
        3: "YYYY-MM-DD",
        4: "No subject is called 'S9'",
        5: "S2 agrees to nothing being kept",
        6: "--correct",
        7: "still to come",
        8: "more cells than there are columns",
    }
    for number, words in expected.items():
        assert any(line.startswith(f"line {number}: ") and words in line for line in refused), (
            number,
            refused,
        )
    with installation.registry() as registry:
        assert [(each.instrument, each.total) for each in registry.assessments.all()] == [
            ("PHQ-9", 9),
            ("MADRS", 20),
        ]
        entries = registry.audit.search(action="assessment-import")
    assert [entry.is_allowed for entry in entries].count(False) == 6
    assert "S9" not in " ".join(f"{entry.subject_id} {entry.detail}" for entry in entries)


def test_a_corrected_file_replaces_what_is_held(tmp_path):
    installation, path = installed(tmp_path, "S1"), tmp_path / "scales.csv"
    for total in (20, 21):
        path.write_text(f"subject_id,instrument,on,total\nS1,MADRS,2026-03-02,{total}\n")
        words = ("--correct",) if total == 21 else ()
        assert imported(installation, path, *words) == (0, "1 of 1 assessments are new, 0 refused", [])
    with installation.registry() as registry:
        assert [each.total for each in registry.assessments.all()] == [21]


def test_lines_of_responses_are_each_their_own(tmp_path):
    installation, path = installed(tmp_path, "S1"), tmp_path / "responses.ndjson"
    lines = [json.dumps(response((1,) * 9)), "{", "", "[]", json.dumps(response((1,) * 7, GAD))]
    path.write_text("\n".join(lines))
    status, said, refused = imported(installation, path)
    assert (status, said) == (3, "2 of 4 assessments are new, 2 refused")
    assert [line.split(":")[0] for line in refused] == ["line 2", "line 4"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.csv", "who,when\n", "has no column instrument, on, subject_id"),
        ("a.json", "{", "is no JSON"),
        ("a.json", '{"resourceType": "Bundle"}', "holds no QuestionnaireResponse"),
        ("a.csv", None, "cannot be read"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path, name, text, said):
    installation, path = installed(tmp_path, "S1"), tmp_path / name
    if text is not None:
        path.write_text(text)
    status, _, sentences = imported(installation, path)
    assert status == 2
    assert said in sentences[0]


def test_what_is_exported_can_be_imported_again(tmp_path, store, registry):
    for subject_id in ("S1", "S2", "V1"):
        registry.people.add_subject(subject_id, "UTC")
    held = [
        scored("S1", "PHQ-9", "2026-01-02", items="1 2 3 0 1 2 3 0 1"),
        scored("S2", "MADRS", "2026-01-02", total=20),
        scored("V1", "YMRS", "2026-01-03", total=7),
    ]
    done = export_nights(store, tmp_path, 0, simulated={"V1"}, only={"S1", "V1"}, assessments=held)
    table = pd.read_csv(tmp_path / "assessments.csv", keep_default_na=False)
    assert done.assessments == len(table) == 2
    assert table["band"].tolist() == ["moderate", "remission"]
    assert table["is_simulated"].tolist() == [False, True]
    documented = pd.read_csv(tmp_path / "assessments_dictionary.csv", keep_default_na=False)
    assert documented["column"].tolist()[: len(table.columns)] == table.columns.tolist()
    again = read_assessments(tmp_path / "assessments.csv", lambda _who, _t_ns: "UTC")
    assert [each for _, each in again.read] == [held[0], held[2]]
    assert again.read[0][1].on == date(2026, 1, 2)
