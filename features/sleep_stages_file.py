"""Stages of one's own files: the shipped model on counts of 30 s and a heart rate, in periods of sleep."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.epochs import Epochs
from features.epochs.epochs import FloatArray
from features.sleep import Hypnogram, SleepStage
from features.sleep.stages import (
    EPOCH_S,
    StageModel,
    heart_rate_variation,
    predict_stages,
    shipped_model,
    stage_features,
)
from features.sleep_file import ScoredSleep, local_times_ns, scored_periods
from store.errors import ConfigError, RecordingError
from store.units import NS_PER_S

__all__ = ["EPOCH_S", "HeartRate", "read_heart_rate", "with_stages"]

_CAVEAT = (
    "Stages: counts are taken to be on the scale of the watch that the model was made with (its card: "
    "features/sleep/model/stages.json); of another device they mean little"
)
_LEAST_KNOWN = 0.8
_BETWEEN_S = 300.0
"""Across longer gaps between samples the variation of heart rate would be that of a line drawn by us."""


@dataclass(frozen=True)
class HeartRate:
    """Samples in order of time.

    Attributes
    ----------
    t_ns : (n,) int64
    bpm : (n,) float64
    """

    t_ns: NDArray[np.int64]
    bpm: FloatArray


def read_heart_rate(path: Path, zone: str) -> HeartRate:
    """Read a table of `time, heart_rate_bpm`, local times of the zone unless they carry an offset.

    Raises
    ------
    ConfigError
        If the file cannot be read.
    RecordingError
        If it is no such table.
    """
    try:
        frame = pd.read_csv(path)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise RecordingError(
            f"{path.name} is no table ({str(error)[:60]}); needed: time,heart_rate_bpm"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror or error}); name another file") from None
    missing = [name for name in ("time", "heart_rate_bpm") if name not in frame]
    if missing or not len(frame):
        what = f"no column {missing[0]}" if missing else "no rows"
        raise RecordingError(f"{path.name} has {what}; needed: time,heart_rate_bpm and a row a sample")
    bpm = pd.to_numeric(frame["heart_rate_bpm"], errors="coerce").to_numpy(np.float64)
    t_ns = local_times_ns(frame["time"].astype(str), zone, path.name)
    kept = np.isfinite(bpm) & (bpm > 0)
    order = np.argsort(t_ns[kept], kind="stable")
    return HeartRate(t_ns[kept][order], bpm[kept][order])


def with_stages(scored: ScoredSleep, short: Epochs, heart: HeartRate) -> ScoredSleep:
    """Return a recording with wake, NREM and REM of 30 s inside its periods; elsewhere as it was scored.

    A period in which counts or heart rate are known for less than 80 % keeps sleep and wake alone, and a note
    says so.

    Parameters
    ----------
    scored : ScoredSleep
        Of minutes.
    short : Epochs
        Counts of 30 s, on the scale of the model's card.
    heart : HeartRate
    """
    model, minutes = shipped_model(), scored.hypnogram
    first_ns, count = int(short.start_ns[0]), len(short)
    minute = (short.start_ns - minutes.start_ns) // minutes.epoch_ns
    inside = (minute >= 0) & (minute < len(minutes))
    stage = np.full(count, SleepStage.UNSCORED, np.int8)
    stage[inside] = minutes.stage[minute[inside]]
    notes = [_CAVEAT]
    for start_ns, end_ns in zip(
        scored.periods.start_ns.tolist(), scored.periods.end_ns.tolist(), strict=True
    ):
        low, high = (
            int(np.clip(-((first_ns - at_ns) // short.epoch_ns), 0, count)) for at_ns in (start_ns, end_ns)
        )
        staged, why = _staged(model, short, heart, low, high)
        if staged is None:
            notes.append(f"No stages from {pd.Timestamp(start_ns, tz='UTC').tz_convert(short.zone)}: {why}")
        else:
            stage[low:high] = staged.stage
    whole = Hypnogram(first_ns, EPOCH_S, stage, f"{minutes.scorer}+evenkeel_stages")
    return scored_periods(whole, scored.periods, replace(short, notes=()), (*scored.notes, *notes))


def _staged(
    model: StageModel, short: Epochs, heart: HeartRate, low: int, high: int
) -> tuple[Hypnogram | None, str]:
    if high <= low:
        return None, "no epochs"
    known = float(np.isfinite(short.values[low:high]).mean())
    variation = _variation(heart, short.start_ns[low:high])
    seen = float(np.isfinite(variation).mean())
    if min(known, seen) < _LEAST_KNOWN:
        said = f"counts in {int(100 * known)} %, heart rate in {int(100 * seen)} % of it"
        return None, f"{said}, {100 * _LEAST_KNOWN:.0f} % of both needed"
    names, features = stage_features(short.values, variation, low)
    if names != model.names:
        raise RecordingError("The shipped model was made for other features; install evenkeel again")
    return predict_stages(model, features, int(short.start_ns[low])), ""


def _variation(heart: HeartRate, start_ns: NDArray[np.int64]) -> FloatArray:
    """Return the variation of heart rate around epochs, (n,); NaN inside gaps between samples."""
    if len(heart.t_ns) < 2:
        return np.full(len(start_ns), np.nan)
    at_s = np.asarray((start_ns - start_ns[0]) / NS_PER_S, np.float64)
    t_s = np.asarray((heart.t_ns - start_ns[0]) / NS_PER_S, np.float64)
    near = np.clip(np.searchsorted(t_s, at_s), 1, len(t_s) - 1)
    is_seen = (
        (t_s[near] - t_s[near - 1] <= _BETWEEN_S)
        & (at_s >= t_s[0] - _BETWEEN_S)
        & (at_s <= t_s[-1] + _BETWEEN_S)
    )
    return np.where(is_seen, heart_rate_variation(t_s, heart.bpm, at_s), np.nan)
