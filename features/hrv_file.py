"""HRV of a plain RR file: the windows or the whole record, as a table, without any database."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.hrv import HrvTable, clock_windows, hrv_table, record_values, segments_between
from features.nn import cleaning_rule
from store.errors import ConfigError
from store.recording import RrRecording
from store.types import NnSeries, RrSeries
from store.units import NS_PER_S

PULSE_PREFIX = "prv_"
"""Pulse rate variability is not heart rate variability, and its columns never carry the same names."""


@dataclass(frozen=True)
class ScoredWindows:
    """The windows of a recording.

    Attributes
    ----------
    nn : NnSeries
        What the rule kept.
    table : HrvTable
    frame : DataFrame
        A row per window, empty ones included: `start_s, n_beats, n_nn, coverage_frac, valid_diff_frac`, a column
        per value, and `withheld`, the reasons.
    """

    rr: RrSeries
    nn: NnSeries
    table: HrvTable
    frame: pd.DataFrame


def series_of(recording: RrRecording) -> RrSeries:
    """Return a recording as a series; its time zero is the epoch."""
    return RrSeries(np.round(recording.t_s * NS_PER_S).astype(np.int64), recording.rr_ms)


def score_windows(
    recording: RrRecording, rule: str, window_s: float, step_s: float, origin_s: float = 0.0
) -> ScoredWindows:
    """Compute the values of the windows `origin + k step`.

    A beat belongs to the window in which its interval ends; windows are half-open.

    Raises
    ------
    ConfigError
        If the window or the step has no length, or the rule is not registered.
    """
    if not (window_s > 0 and step_s > 0):
        raise ConfigError(f"--window {window_s:g} and --step {step_s:g}: needed are lengths above 0 s")
    rr = series_of(recording)
    nn = cleaning_rule(rule)(rr)
    starts, ends = clock_windows(rr.t_ns, _ns(window_s), _ns(step_s), _ns(origin_s))
    table = hrv_table(nn, segments_between(nn, starts, ends))
    n_beats = np.searchsorted(rr.t_ns, ends) - np.searchsorted(rr.t_ns, starts)
    prefix = PULSE_PREFIX if recording.is_pulse else ""
    columns: dict[str, Any] = {
        "start_s": starts / NS_PER_S,
        "n_beats": n_beats,
        "n_nn": table.complete.n_nn,
        "coverage_frac": table.complete.coverage_frac,
        "valid_diff_frac": table.complete.valid_diff_frac,
        **{prefix + name: values for name, values in table.values.items()},
        "withheld": [reasons(table, row) for row in range(len(starts))],
    }
    return ScoredWindows(rr, nn, table, pd.DataFrame(columns))


def reasons(table: HrvTable, row: int) -> str:
    """Return why values of a row are missing: each reason once, with the values it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name, why in table.withheld(row).items():
        by_reason.setdefault(why, []).append(name)
    return "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items())


def score_record(recording: RrRecording, rule: str, *, with_entropies: bool = False) -> dict[str, Any]:
    """Return the values of a whole recording, ready for JSON; a missing value is None, its reason in `withheld`.

    Raises
    ------
    ConfigError
        If the rule is not registered.
    """
    rr = series_of(recording)
    nn = cleaning_rule(rule)(rr)
    table, of_record = record_values(nn, with_entropies=with_entropies)
    prefix = PULSE_PREFIX if recording.is_pulse else ""
    values = {name: float(values[0]) for name, values in table.values.items()} | of_record
    return {
        "n_beats": len(rr),
        "n_nn": len(nn),
        "rule": rule,
        "hours": float(recording.t_s[-1] - recording.t_s[0] + recording.rr_ms[0] / 1000) / 3600,
        "coverage_frac": float(table.complete.coverage_frac[0]),
        "valid_diff_frac": float(table.complete.valid_diff_frac[0]),
        **{prefix + name: None if np.isnan(value) else value for name, value in values.items()},
        "withheld": table.withheld(0),
    }


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table as `.csv`, `.csv.gz`, `.parquet` or `.json`, by the ending of the name.

    Raises
    ------
    ConfigError
        If the name ends in something else.
    OSError
        If the file cannot be written.
    """
    writers: dict[str, Callable[[], Any]] = {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".csv.gz": lambda: frame.to_csv(path, index=False),
        ".parquet": lambda: frame.to_parquet(path, index=False),
        ".json": lambda: path.write_text(json.dumps(_rows(frame), indent=1) + "\n"),
    }
    for ending, write in writers.items():
        if path.name.endswith(ending):
            write()
            return
    raise ConfigError(f"{path} ends in none of {', '.join(writers)}; name the format by its ending")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if value != value else value for name, value in row.items()}  # noqa: PLR0124 - NaN
        for row in frame.to_dict("records")
    ]


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
