"""HRV of a plain RR file: the windows or the whole record, as a table, without any database."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from features.hrv import (
    GATES,
    HRV_SPECS,
    QUICK_SPECS,
    UNDEFINED,
    HrvTable,
    Segments,
    clock_windows,
    hrv_table,
    record_values,
    segments_between,
)
from features.nn import cleaning_rule
from store.errors import ConfigError
from store.recording import FARTHEST_S, RrRecording
from store.types import NnSeries, RrSeries
from store.units import NS_PER_MS, NS_PER_S

PULSE_PREFIX = "prv_"
"""Pulse rate variability is not heart rate variability, and its columns never carry the same names."""

LONGEST_WITH_ENTROPIES_S = 7200.0
"""Longer windows come without entropies unless asked for: their time grows with the square of the beats."""

MOST_WINDOWS = 1_000_000


@dataclass(frozen=True)
class ScoredWindows:
    """The windows of a recording.

    Attributes
    ----------
    rr : RrSeries
    nn : NnSeries
        What the rule kept.
    rule : str
    table : HrvTable
    prefix : str
        Before the name of each value: `prv_` for pulse intervals, else empty.
    too_short_for : dict of gate to reason
        What no window can have, for each is too short.
    frame : DataFrame
        A row per window, empty ones included: `start_s, n_beats, n_nn, coverage_frac, valid_diff_frac`, a
        column per value, and `withheld`: why values of this window are missing, by family (docs/hrv.md).
    """

    rr: RrSeries
    nn: NnSeries
    rule: str
    table: HrvTable
    prefix: str
    too_short_for: dict[str, str]
    frame: pd.DataFrame


def series_of(recording: RrRecording) -> RrSeries:
    """Return a recording as a series; its time zero is the epoch."""
    return RrSeries(np.round(recording.t_s * NS_PER_S).astype(np.int64), recording.rr_ms)


def score_windows(
    recording: RrRecording,
    rule: str,
    window_s: float,
    step_s: float,
    origin_s: float = 0.0,
    *,
    with_entropies: bool = False,
) -> ScoredWindows:
    """Compute the values of the windows `origin + k step`.

    A beat belongs to the window in which its interval ends; windows are half-open.

    Parameters
    ----------
    recording : RrRecording
    rule : str
        Of `features.nn.CLEANING_RULES`.
    window_s, step_s, origin_s : float
    with_entropies : bool
        Also for windows longer than two hours.

    Raises
    ------
    ConfigError
        If the window or the step has no length, there are more than a million windows, or the rule is not
        registered.
    """
    rr = series_of(recording)
    _refuse_windows(rr, window_s, step_s, origin_s)
    nn = cleaning_rule(rule)(rr)
    starts, ends = clock_windows(rr.t_ns, _ns(window_s), _ns(step_s), _ns(origin_s))
    has_entropies = with_entropies or window_s <= LONGEST_WITH_ENTROPIES_S
    table = hrv_table(nn, segments_between(nn, starts, ends), HRV_SPECS if has_entropies else QUICK_SPECS)
    prefix = PULSE_PREFIX if recording.is_pulse else ""
    too_short_for = {
        name: f"windows of {window_s:g} s, {gate.length_s:g} needed"
        for name, gate in GATES.items()
        if window_s < gate.length_s
    }
    columns: dict[str, Any] = {
        "start_s": starts / NS_PER_S,
        "n_beats": np.searchsorted(rr.t_ns, ends) - np.searchsorted(rr.t_ns, starts),
        "n_nn": table.complete.n_nn,
        "coverage_frac": table.complete.coverage_frac,
        "valid_diff_frac": table.complete.valid_diff_frac,
        **{prefix + name: values for name, values in table.values.items()},
        "withheld": _reasons(table, too_short_for),
    }
    return ScoredWindows(rr, nn, rule, table, prefix, too_short_for, pd.DataFrame(columns))


def _refuse_windows(rr: RrSeries, window_s: float, step_s: float, origin_s: float) -> None:
    if not all(1 / NS_PER_S <= length_s < FARTHEST_S for length_s in (window_s, step_s)):
        raise ConfigError(f"--window {window_s:g} and --step {step_s:g}: needed are lengths above 0 s")
    if not np.isfinite(origin_s) or abs(origin_s) > FARTHEST_S:
        raise ConfigError(f"--t0 {origin_s:g}: needed is a time in seconds near those of the file")
    n_windows = float(rr.t_ns[-1] - rr.t_ns[0]) / NS_PER_S / step_s
    if n_windows > MOST_WINDOWS:
        raise ConfigError(
            f"--step {step_s:g}: {n_windows:,.0f} windows from the first beat to the last, at most "
            f"{MOST_WINDOWS:,} are scored at once; choose a longer step or split the file"
        )


def _reasons(table: HrvTable, too_short_for: dict[str, str]) -> list[str]:
    """Return for each row why values are missing: each reason once, after the families it holds for."""
    passes = {name: table.complete.passes(gate) for name, gate in GATES.items()}
    gate_of = {spec.name: spec.gate for spec in HRV_SPECS}
    undefined = {
        name: np.isnan(values) & passes[gate_of[name]]
        for name, values in table.values.items()
        if gate_of[name] not in too_short_for
    }
    sentences: list[str] = []
    for row in range(len(table.segments)):
        by_reason: dict[str, list[str]] = {}
        for name, gate in GATES.items():
            if not passes[name][row] and name not in too_short_for:
                by_reason.setdefault(table.complete.refusal(gate, row), []).append(name)
        for name, is_undefined in undefined.items():
            if is_undefined[row]:
                by_reason.setdefault(UNDEFINED, []).append(name)
        sentences.append("; ".join(f"{' '.join(names)}: {why}" for why, names in by_reason.items()))
    return sentences


def score_record(recording: RrRecording, rule: str, *, with_entropies: bool = False) -> dict[str, Any]:
    """Return the values of a whole recording, ready for JSON; None where missing, and `withheld` says why.

    Raises
    ------
    ConfigError
        If the rule is not registered.
    """
    rr = series_of(recording)
    nn = cleaning_rule(rule)(rr)
    start_ns = rr.t_ns[:1] - np.round(rr.rr_ms[:1] * NS_PER_MS).astype(np.int64)
    span: Segments = segments_between(nn, start_ns, rr.t_ns[-1:] + 1)
    table, of_record = record_values(nn, span, with_entropies=with_entropies)
    prefix = PULSE_PREFIX if recording.is_pulse else ""
    values = {name: float(found[0]) for name, found in table.values.items()} | of_record
    too_short = table.complete.refusal(GATES["record"], 0)
    withheld = table.withheld(0) | {
        name: too_short or UNDEFINED for name, value in of_record.items() if np.isnan(value)
    }
    return {
        "n_beats": len(rr),
        "n_nn": len(nn),
        "rule": rule,
        "hours": float(span.length_ms[0]) / 3_600_000,
        "coverage_frac": float(table.complete.coverage_frac[0]),
        "valid_diff_frac": float(table.complete.valid_diff_frac[0]),
        **{prefix + name: None if np.isnan(value) else value for name, value in values.items()},
        "withheld": {prefix + name: why for name, why in withheld.items()},
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

    def as_json() -> None:
        path.write_text(json.dumps(_rows(frame), indent=1) + "\n")

    def as_csv() -> None:
        frame.to_csv(path, index=False)

    def as_parquet() -> None:
        frame.to_parquet(path, index=False)

    writers: dict[str, Callable[[], None]] = {
        ".csv": as_csv,
        ".csv.gz": as_csv,
        ".parquet": as_parquet,
        ".json": as_json,
    }
    for ending, write in writers.items():
        if path.name.endswith(ending):
            write()
            return
    raise ConfigError(f"{path} ends in none of {', '.join(writers)}; name the format by its ending")


def _rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _ns(seconds: float) -> int:
    return round(seconds * NS_PER_S)
