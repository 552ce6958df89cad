"""Samples of movement for tests."""

from collections.abc import Mapping
from datetime import date

import numpy as np
from numpy.typing import NDArray

from features.movement.night import MovementNight, movement_night
from features.night_inputs import INPUT_STREAMS
from features.night_span import SIDE_NS, NightSpan
from store.nights import local_ns, night_bounds_ns
from store.streams import ACTIVITY_EPOCH, SLEEP_STAGE, STEP_COUNT, Stream
from store.timeseries import Samples, merged
from store.units import NS_PER_S

ZONE = "Europe/Berlin"
MINUTE_NS = 60 * NS_PER_S


def samples(stream: Stream, t_ns: NDArray[np.int64], sensor: str = "W", **columns) -> Samples:
    """Return samples of one sensor; columns that are not given are missing."""
    if not len(t_ns):
        return merged(stream, (), ())
    held = [np.asarray(columns.get(c.name, np.full(len(t_ns), np.nan))) for c in stream.columns]
    return merged(stream, (sensor,), [[t_ns, *held]])


def minutes(start_ns: int, counts: NDArray[np.float64], sensor: str = "W", **columns) -> Samples:
    """Return epochs of a minute from a time on; NaN counts are not recorded at all."""
    t_ns = start_ns + np.arange(len(counts), dtype=np.int64) * MINUTE_NS
    kept = np.isfinite(counts)
    more = {name: held[kept] for name, held in columns.items()}
    length_s = np.full(int(kept.sum()), 60.0)
    return samples(ACTIVITY_EPOCH, t_ns[kept], sensor, epoch_s=length_s, counts=counts[kept], **more)


def stages(start_ns: int, *stretches: tuple[str, float], sensor: str = "R") -> Samples:
    """Return stages that follow each other, each of so many minutes."""
    lengths_s = np.array([60.0 * length for _, length in stretches])
    t_ns = start_ns + np.concatenate(([0], np.cumsum(lengths_s)[:-1])).astype(np.int64) * NS_PER_S
    words = np.array([word for word, _ in stretches], object)
    return samples(SLEEP_STAGE, t_ns, sensor, stage=words, duration_s=lengths_s)


def steps(ends_ns: NDArray[np.int64], counted: NDArray[np.float64], interval_s: float) -> Samples:
    """Return steps of intervals of one length."""
    lengths_s = np.full(len(ends_ns), interval_s)
    return samples(STEP_COUNT, ends_ns, "F", steps=counted, interval_s=lengths_s)


def somebody(
    first: date, days: int, zone: str = ZONE, seed: int = 0, asleep_h: tuple[float, float] = (23.0, 7.0)
):
    """Return (start_ns, counts) of minutes, midnight to midnight, of who sleeps at given hours."""
    rng = np.random.default_rng(seed)
    start_ns, end_ns = local_ns(first, 0, zone), local_ns(date.fromordinal(first.toordinal() + days), 0, zone)
    count = (end_ns - start_ns) // MINUTE_NS
    counts = np.round(rng.gamma(2.0, 350.0, count))
    for k in range(-1, days + 1):
        day = date.fromordinal(first.toordinal() + k)
        bed_ns = local_ns(day, 0, zone) + round(asleep_h[0] * 3600) * NS_PER_S
        up_ns = bed_ns + round((asleep_h[1] - asleep_h[0]) % 24 * 3600) * NS_PER_S
        low, high = (int(np.clip((at_ns - start_ns) // MINUTE_NS, 0, count)) for at_ns in (bed_ns, up_ns))
        counts[low:high] = np.where(rng.random(high - low) < 0.05, 40.0, 0.0)
    return start_ns, counts


def night(
    held: Mapping[str, Samples], morning: date, zone: str = ZONE, model: str = "ActiGraph"
) -> MovementNight:
    """Compute one night of what is held of each stream, by name; only what a night may see is shown to it."""
    span = NightSpan(morning, zone, *night_bounds_ns(morning, zone))
    seen = {
        stream.name: between(
            held.get(stream.name, merged(stream, (), ())), span.start_ns - SIDE_NS, span.end_ns + SIDE_NS
        )
        for stream in INPUT_STREAMS
    }
    return movement_night(seen, dict.fromkeys(("W", "R", "F"), model), span)


def between(held: Samples, start_ns: int, end_ns: int) -> Samples:
    """Return the samples of a half-open interval."""
    kept = (held.t_ns >= start_ns) & (held.t_ns < end_ns)
    values = {name: array[kept] for name, array in held.values.items()}
    return Samples(held.stream, held.t_ns[kept], held.sensors, held.sensor_index[kept], values)
