"""The research export: nights as Parquet, scales as CSV, what every column means, and what the files are."""

import csv
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd

from features.nights import NIGHT_STREAM, night_of_key
from features.specs import NIGHT_FEATURES
from store.instruments import INSTRUMENTS
from store.ledger import Ledger
from store.registry.assessments import Assessment
from store.times import iso_time
from store.timeseries import TimeSeriesStore

_README = """evenkeel {version}, exported {when}

nights.parquet        one row per subject and night; a night is named by the date of its morning
data_dictionary.csv   every column: unit, meaning, formula, reference (DOI, or that it is defined here),
                      minimum coverage
assessments.csv       scales as filled in, one row each; `evenkeel assessment import` reads it as it is
assessments_dictionary.csv
                      its columns, and the published band and threshold of every scale with its DOI

Subjects appear under their pseudonyms; names never leave the registry. An empty value was withheld, mostly
because too little of the night was recorded: the columns `withheld` and `withheld_more` say why. Nothing is
interpolated. Rows with `is_simulated` belong to nobody: leave them out of any study.
Research software, not a medical device.
"""


FILES = (
    "nights.parquet",
    "data_dictionary.csv",
    "data_dictionary.json",
    "assessments.csv",
    "assessments_dictionary.csv",
    "README.txt",
)
_SCALE_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "subject_id": "Pseudonym of the person",
        "is_simulated": "True for a virtual person of the demonstration: no data of anybody",
        "instrument": f"Scale: {', '.join(INSTRUMENTS)}",
        "on": "Day it is about, in the person's zone",
        "total": "Sum of the items, or as it was written down",
        "highest_total": "Highest total the scale can have",
        "band": "Published word for the total: a convention of its paper, no diagnosis of this person",
        "items": "Score of each item in the order of the scale; empty where only the total is known",
    }
)


@dataclass(frozen=True, slots=True)
class Export:
    """What was written."""

    nights: int
    subjects: int
    assessments: int
    files: tuple[str, ...]


def export_nights(  # noqa: PLR0913 - what is left out is given by name
    store: TimeSeriesStore,
    directory: Path,
    now_ns: int,
    *,
    simulated: Collection[str] = (),
    ledger: Ledger | None = None,
    only: Collection[str] | None = None,
    assessments: Iterable[Assessment] = (),
) -> Export:
    """Write the nights and scales of everybody, what their columns mean and a README into a directory.

    Parameters
    ----------
    now_ns : int
        Written into the README.
    simulated : collection of str
        Ids of virtual people; their rows say so.
    ledger : Ledger, optional
        Learns that what the nights were made of has been exported.
    only : collection of str, optional
        Ids of the people to write, instead of everybody.
    assessments : iterable of Assessment
        Filled-in scales; those of the people to write are.

    Raises
    ------
    OSError
        If a file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    subjects = [who for who in store.subjects(NIGHT_STREAM) if only is None or who in only]
    frames = [_frame(store, subject_id, is_simulated=subject_id in simulated) for subject_id in subjects]
    table = pd.concat(frames, ignore_index=True) if frames else _empty()
    table.to_parquet(directory / "nights.parquet", index=False)
    dictionary = _dictionary()
    _write_rows(directory / "data_dictionary.csv", list(dictionary[0]), dictionary)
    (directory / "data_dictionary.json").write_text(json.dumps(dictionary, indent=1) + "\n")
    (directory / "README.txt").write_text(_README.format(version=version("evenkeel"), when=iso_time(now_ns)))
    scales = [_scale_row(each, simulated) for each in assessments if only is None or each.subject_id in only]
    _write_rows(directory / "assessments.csv", list(_SCALE_COLUMNS), scales)
    _write_rows(
        directory / "assessments_dictionary.csv", ["column", "meaning", "reference"], _scale_dictionary()
    )
    if ledger is not None:
        for subject_id in subjects:
            ledger.note_exported(subject_id)
    return Export(len(table), len(subjects), len(scales), FILES)


def _write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def _scale_row(each: Assessment, simulated: Collection[str]) -> dict[str, object]:
    known = INSTRUMENTS[each.instrument]
    return {
        "subject_id": each.subject_id,
        "is_simulated": each.subject_id in simulated,
        "instrument": each.instrument,
        "on": each.on.isoformat(),
        "total": each.total,
        "highest_total": known.highest_total,
        "band": known.band_of(each.total).word,
        "items": " ".join(map(str, each.items)),
    }


def _scale_dictionary() -> list[dict[str, str]]:
    """Return the columns, then what stands in them for each scale."""
    rows = [{"column": name, "meaning": said, "reference": ""} for name, said in _SCALE_COLUMNS.items()]
    for known in INSTRUMENTS.values():
        count = f"{len(known.highest)} items about {known.recall_days} days, total 0 to {known.highest_total}"
        rows.append({"column": f"instrument={known.name}", "meaning": count, "reference": f"doi:{known.doi}"})
        rows += [
            {
                "column": f"band={band.word}, {known.name}",
                "meaning": f"total of {band.lowest} or more, below the next band",
                "reference": f"doi:{band.doi}",
            }
            for band in known.bands
        ]
    return rows


def _frame(store: TimeSeriesStore, subject_id: str, *, is_simulated: bool) -> pd.DataFrame:
    held = store.read(NIGHT_STREAM, subject_id)
    columns = {name: held[name] for name in NIGHT_STREAM.column_names() if name != "computed_ns"}
    return pd.DataFrame(
        {
            "subject_id": np.full(len(held), subject_id, object),
            "is_simulated": np.full(len(held), is_simulated),
            "night": [night_of_key(int(t)).isoformat() for t in held.t_ns],
            **columns,
            "computed_at": [iso_time(int(t)) for t in held["computed_ns"]],
        }
    )


def _empty() -> pd.DataFrame:
    names = [name for name in NIGHT_STREAM.column_names() if name != "computed_ns"]
    return pd.DataFrame(columns=["subject_id", "is_simulated", "night", *names, "computed_at"])


def _dictionary() -> list[dict[str, str]]:
    formulas = {spec.name: spec for spec in NIGHT_FEATURES}
    rows = [
        _entry("subject_id", "", "Pseudonym of the person"),
        _entry("is_simulated", "", "True for a virtual person of the demonstration: no data of anybody"),
        _entry("night", "", "Date of the morning on which the night ends, in the person's zone"),
    ]
    for column in NIGHT_STREAM.columns:
        spec = formulas.get(column.name)
        if column.name == "computed_ns":
            rows.append(_entry("computed_at", "", "When the row was computed, ISO 8601 UTC"))
        elif spec is None:
            rows.append(_entry(column.name, column.unit, column.meaning))
        else:
            needed = str(spec.min_coverage_frac)
            rows.append(_entry(spec.name, spec.unit, spec.meaning, spec.formula, spec.reference, needed))
    return rows


def _entry(
    name: str, unit: str, meaning: str, formula: str = "", reference: str = "", min_coverage_frac: str = ""
) -> dict[str, str]:
    return {
        "column": name,
        "unit": unit,
        "meaning": meaning,
        "formula": formula,
        "reference": reference,
        "min_coverage_frac": min_coverage_frac,
    }
