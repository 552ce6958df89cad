"""What each person's flags were last judged from: only people whose nights changed are judged again."""

from hashlib import sha256
from pathlib import Path

import numpy as np

from features.code_version import version_of
from features.nights import NIGHT_STREAM
from store.ledger_digest import sample_digest, total_of
from store.streams import Column, Stream
from store.timeseries import NO_SENSOR, Batch, TimeSeriesStore

JUDGED = Stream(
    "judged",
    "What a person's flags were last judged from; there is one sample a person",
    (Column("judged_hash", "utf8", "Hash of the nights, the settings and the code"),),
    family="flags",
)
_WHO_AND_WHEN = ("job_id", "computed_ns", "code_version", "input_hash")
"""Columns of a row that change without any value doing so."""


def judged_hash(store: TimeSeriesStore, subject_id: str, settings_hash: str) -> str:
    """Return the hash of all that a person's flags are made from."""
    held = store.read(NIGHT_STREAM, subject_id)
    values = {
        name: np.zeros_like(array) if array.dtype != object else np.full(len(array), "", object)
        for name, array in held.values.items()
        if name in _WHO_AND_WHEN
    }
    total = total_of(sample_digest(NIGHT_STREAM, held.t_ns, {**held.values, **values}))
    said = f"{total.count} {total.digest:x} {settings_hash} {version_of(Path(__file__).parent)}"
    return sha256(said.encode()).hexdigest()[:16]


def last_judged(store: TimeSeriesStore, subject_id: str) -> str:
    """Return the hash of when the person was judged last; empty if never."""
    held = store.latest(JUDGED, subject_id)
    return "" if held is None else str(held["judged_hash"])


def note_judged(store: TimeSeriesStore, subject_id: str, hashed: str) -> None:
    """Keep the hash, after the flags."""
    value = {"judged_hash": np.array([hashed], object)}
    store.write([Batch(JUDGED, subject_id, NO_SENSOR, np.zeros(1, np.int64), value)])
