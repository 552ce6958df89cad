"""What changes in raw samples come to on real recordings: beats of a day, and nights of movement.

Goals stand where the injector alone decides. How long sleep is found to be is the scorer's to say: by counts
it takes more off a night that lost its edges than was asked, for what is left of its first bout may be short.
"""

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from benchmarks.table import Row
from features.epochs.files import read_epochs
from features.night_span import NightSpan
from features.nn import nn_from_rr
from features.windows import windows_of
from models.raw_beats import changed_beats
from models.raw_injector import MINUTE_NS, RawNight, injected_samples
from store.nights import night_bounds_ns, night_of
from store.recording import read_rr_file
from store.streams import ACTIVITY_EPOCH
from store.timeseries import Samples, merged
from store.types import RrSeries
from tests.movement import night

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
DAYS = ("nsr001", "nsr002", "nsr004", "nsr020", "nsr033", "nsr054", "healthy000", "healthy003")
FAILING = ("chf201", "chf209", "chf220")
"""Heart failure: many beats out of turn."""
SIZES = {"moderate": (0.05, -0.15), "severe": (0.08, -0.25), "slower and calmer": (-0.05, 0.20)}
SLEEP_MIN = (-90, -60, 60, 90)
ZONE = "Europe/Berlin"
WINDOW_S = 300


def run(*, is_full: bool) -> list[Row]:  # noqa: ARG001 - there is one version
    """Measure, in a minute; goals are within half a point of heart rate and 2 of RMSSD."""
    if not (SHARED / "rr").is_dir():
        raise SystemExit(f"real recordings are needed: {SHARED / 'rr'} is not there")
    return [*_beats("healthy days", DAYS), *_beats("heart failure", FAILING), *_sleep()]


def _beats(what: str, names: tuple[str, ...]) -> list[Row]:
    rows: list[Row] = []
    for size, (heart, vagal) in SIZES.items():
        found = np.array([_effect(name, heart, vagal) for name in names])
        for k, (value, asked) in enumerate({"heart rate": heart, "RMSSD": vagal}.items()):
            rows += [
                Row(
                    f"{what}, {size}: {value}, asked {100 * asked:+.1f} %", 100 * np.median(found[:, k]), "%"
                ),
                Row(
                    "... farthest off of any recording",
                    100 * float(np.abs(found[:, k] - asked).max()),
                    "points",
                    2.0 if k else 0.5,
                ),
            ]
    return rows


def _effect(name: str, heart: float, vagal: float) -> tuple[float, float]:
    """Return the change of the mean of five-minute windows of a recording: heart rate and RMSSD."""
    read = read_rr_file(SHARED / "rr" / f"{name}.csv.gz")
    t_ns = np.round(read.t_s * 1e9).astype(np.int64)
    new = changed_beats(t_ns, read.rr_ms, heart, vagal)
    was, now = (
        windows_of(nn_from_rr(series), WINDOW_S).values
        for series in (RrSeries(t_ns, read.rr_ms), RrSeries(new.t_ns, new.rr_ms))
    )
    hr, rmssd = (np.nanmean(now[k]) / np.nanmean(was[k]) - 1 for k in ("mean_hr_bpm", "rmssd_ms"))
    return float(hr), float(rmssd)


def _sleep() -> list[Row]:
    rows: list[Row] = []
    recordings = [_counts(path) for path in sorted((SHARED / "actigraph_60s").glob("TAS*.csv.gz"))]
    for asked in SLEEP_MIN:
        off = np.array([gain - asked for held in recordings for gain in _gains(held, asked)])
        low, high = np.quantile(off, [0.1, 0.9])
        rows += [
            Row(
                f"{len(off)} nights of counts: asleep, asked {asked:+d} min",
                asked + float(np.median(off)),
                "min",
            ),
            Row("... 10 % of nights are below", float(low), "min off"),
            Row("... and 10 % above", float(high), "min off"),
        ]
    return rows


def _counts(path: Path) -> Samples:
    read = read_epochs(path, ZONE)
    kept = np.isfinite(read.values)
    values = {name: np.full(int(kept.sum()), np.nan) for name in ACTIVITY_EPOCH.column_names()}
    values |= {"counts": read.values[kept], "epoch_s": np.full(int(kept.sum()), read.epoch_s)}
    return merged(ACTIVITY_EPOCH, ["W"], [[read.start_ns[kept], *values.values()]])


def _gains(held: Samples, asked: int) -> list[float]:
    """Return by how much each night got longer."""
    first, last = (night_of(int(held.t_ns[k]), ZONE) for k in (0, -1))
    gains: list[float] = []
    for k in range(1, (last - first).days):
        morning = first + timedelta(days=k)
        was = night({held.stream.name: held}, morning)
        if np.isfinite(was.values["tst_min"]):
            nights = [_asked(held, morning + timedelta(days=d), asked if d == 0 else 0) for d in (-1, 0, 1)]
            now = night(injected_samples({held.stream.name: held}, nights), morning)
            gains.append(now.values["tst_min"] - was.values["tst_min"])
    return [gain for gain in gains if np.isfinite(gain)]


def _asked(held: Samples, morning: date, asked: int) -> RawNight:
    found = night({held.stream.name: held}, morning).minutes
    span = NightSpan(morning, ZONE, *night_bounds_ns(morning, ZONE))
    if found.sleep_ns == (0, 0):
        return RawNight(span)
    low, high = ((at_ns - found.start_ns) // MINUTE_NS for at_ns in found.sleep_ns)
    one = RawNight(span, found.sleep_ns, found.stage[max(low, 0) : high] > 0)
    return replace(one, sleep_min=float(asked))
