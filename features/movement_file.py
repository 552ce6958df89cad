"""Wear, activity and rhythm of a plain epoch file as tables, without any database."""

import pandas as pd

from features.activity import ACTIVITY_SPECS, ActivityTable
from features.epochs.epochs import Epochs
from features.epochs.wear import Wear, WearState
from features.rhythm import RHYTHM_SPECS, Rhythm
from store.local_time import local_wall_ns


def wear_frame(epochs: Epochs, worn: Wear) -> pd.DataFrame:
    """Return a row per stretch of one state: local start and end, `state`, `minutes`, `rule`."""
    state = pd.Series(worn.state)
    first = (state != state.shift()).to_numpy().nonzero()[0]
    ends = [*first[1:].tolist(), len(state)]
    starts_ns = epochs.start_ns[first]
    ends_ns = [int(epochs.start_ns[0]) + end * epochs.epoch_ns for end in ends]
    return pd.DataFrame(
        {
            "start": local_texts(starts_ns.tolist(), epochs.zone),
            "end": local_texts(ends_ns, epochs.zone),
            "state": [WearState(int(code)).name.lower() for code in worn.state[first]],
            "minutes": [(end - int(k)) * epochs.epoch_s / 60 for k, end in zip(first, ends, strict=True)],
            "rule": worn.rule,
        }
    )


def local_texts(t_ns: list[int], zone: str) -> list[str]:
    """Return times with their offset, such as 2026-01-05T20:00:00+01:00."""
    return [pd.Timestamp(t, tz="UTC").tz_convert(zone).isoformat(timespec="seconds") for t in t_ns]


def days_frame(epochs: Epochs, table: ActivityTable) -> pd.DataFrame:
    """Return a row per local day."""
    return pd.DataFrame(
        {
            "day": [day.isoformat() for day in table.days],
            "zone": epochs.zone,
            "column": epochs.column,
            "epoch_s": epochs.epoch_s,
            "is_valid": table.is_valid,
            "wear_frac": table.wear_frac,
            **{spec.name: table.values[spec.name] for spec in ACTIVITY_SPECS},
            "withheld": [table.refusal(day) for day in range(len(table.days))],
        }
    )


def record_frame(epochs: Epochs, table: ActivityTable) -> pd.DataFrame:
    """Return one row: the mean of valid days, ratios of all their bouts together."""
    row = {
        "zone": epochs.zone,
        "column": epochs.column,
        "epoch_s": epochs.epoch_s,
        "days": len(table.days),
        "valid_days": int(table.is_valid.sum()),
        **{spec.name: table.record[spec.name] for spec in ACTIVITY_SPECS},
        "withheld": table.record_refusal(),
    }
    return pd.DataFrame([row])


def rhythm_frame(epochs: Epochs, found: Rhythm) -> pd.DataFrame:
    """Return one row: the rhythm of the recording."""
    by_reason: dict[str, list[str]] = {}
    for name, why in found.withheld.items():
        by_reason.setdefault(why, []).append(name)
    row = {
        "zone": epochs.zone,
        "column": epochs.column,
        "epoch_s": epochs.epoch_s,
        "days": found.days,
        "coverage_frac": found.coverage_frac,
        **{spec.name: found.values[spec.name] for spec in RHYTHM_SPECS},
        "withheld": "; ".join(f"{', '.join(names)}: {why}" for why, names in by_reason.items()),
    }
    return pd.DataFrame([row])


def daily_rhythm_frame(epochs: Epochs, found: Rhythm) -> pd.DataFrame:
    """Return a row per local day: its cosinor and how far its phase moved."""
    return pd.DataFrame(
        [
            {
                "day": day.day.isoformat(),
                "zone": epochs.zone,
                "column": epochs.column,
                "coverage_frac": day.coverage_frac,
                "mesor": day.mesor,
                "amplitude": day.amplitude,
                "acrophase_h": day.acrophase_h,
                "phase_shift_h": day.phase_shift_h,
            }
            for day in found.daily
        ]
    )


def span_text(epochs: Epochs) -> str:
    """Return from when to when a recording is, and of what, for people."""
    first, last = local_texts([int(epochs.start_ns[0]), epochs.end_ns], epochs.zone)
    days = (local_wall_ns(epochs.start_ns[[0, -1]], epochs.zone) // 86_400_000_000_000).tolist()
    device = f", {epochs.device}" if epochs.device else ""
    what = f"{epochs.column} in epochs of {epochs.epoch_s:g} s{device}"
    return f"{what}: {first} to {last}, {days[1] - days[0] + 1} days"
