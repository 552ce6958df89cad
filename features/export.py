"""The research export: nights as Parquet, a data dictionary made from the specs, and what the files are."""

import csv
import json
from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

from features.nights import NIGHT_STREAM, night_of_key
from features.specs import NIGHT_FEATURES
from store.ledger import Ledger
from store.times import iso_time
from store.timeseries import TimeSeriesStore

_README = """evenkeel {version}, exported {when}

nights.parquet        one row per subject and night; a night is named by the date of its morning
data_dictionary.csv   every column: unit, meaning, formula, reference (DOI, or that it is defined here),
                      minimum coverage

Subjects appear under their pseudonyms; names never leave the registry. An empty value was withheld, mostly
because too little of the night was recorded: the columns `withheld` and `withheld_more` say why. Nothing is
interpolated. Rows with `is_simulated` belong to nobody: leave them out of any study.
Research software, not a medical device.
"""


@dataclass(frozen=True, slots=True)
class Export:
    """What was written."""

    nights: int
    subjects: int
    files: tuple[str, ...]


def export_nights(
    store: TimeSeriesStore,
    directory: Path,
    now_ns: int,
    *,
    simulated: Collection[str] = (),
    ledger: Ledger | None = None,
    only: Collection[str] | None = None,
) -> Export:
    """Write the nights of everybody, their data dictionary and a README into a directory.

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
    with (directory / "data_dictionary.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(dictionary[0]))
        writer.writeheader()
        writer.writerows(dictionary)
    (directory / "data_dictionary.json").write_text(json.dumps(dictionary, indent=1) + "\n")
    (directory / "README.txt").write_text(_README.format(version=version("evenkeel"), when=iso_time(now_ns)))
    if ledger is not None:
        for subject_id in subjects:
            ledger.note_exported(subject_id)
    files = ("nights.parquet", "data_dictionary.csv", "data_dictionary.json", "README.txt")
    return Export(len(table), len(subjects), files)


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
