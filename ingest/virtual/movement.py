"""How a simulated person moves: minutes of a day that follow their sleep, their walks and their charger.

A day is a function of the person and the date, as beats are. Counts are on the scale of the axis 1 of an
ActiGraph, and acceleration follows from them. Nothing here is real data.
"""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from ingest.virtual.person import VirtualPerson
from store.nights import local_ns
from store.streams import ACTIVITY_EPOCH
from store.units import NS_PER_S

FloatArray = NDArray[np.float64]

EPOCH_S = 60
MINUTE_NS = EPOCH_S * NS_PER_S
STEPS_S = 900
"""Steps are logged by quarters of an hour, as bands do."""
MG_PER_COUNT = 0.022
REST_MG = 1.5
CHARGED_EVERY_DAYS = 3
_MOVEMENT, _DAY_OFF = 5, 6
"""What of a person's chances is drawn; beats and sleep draw others."""


@dataclass(frozen=True)
class MovementDay:
    """Minutes of a local day, 1,380 to 1,500 of them.

    Attributes
    ----------
    start_ns : (n,) int64
    columns : mapping of column of ACTIVITY_EPOCH to (n,) float64
    steps : (n,) float64
    is_recorded : (n,) bool
        False on the charger, and where it was not put on at all.
    charged_ns : (int, int) or None
        From when to when it was on the charger.
    """

    start_ns: NDArray[np.int64]
    columns: dict[str, FloatArray]
    steps: FloatArray
    is_recorded: NDArray[np.bool_]
    charged_ns: tuple[int, int] | None


def movement_of(person: VirtualPerson, day: date) -> MovementDay:
    """Return the movement of a local day, from midnight to midnight."""
    rng = np.random.default_rng([person.seed, day.toordinal(), _MOVEMENT])
    begin_ns, end_ns = local_ns(day, 0, person.zone), local_ns(day, 24, person.zone)
    start_ns = np.arange(begin_ns, end_ns, MINUTE_NS, dtype=np.int64)
    hour = (start_ns - begin_ns) / (3600 * NS_PER_S)
    asleep, drowsy = _sleep(person, day, start_ns / NS_PER_S)
    steps = np.where(asleep, 0.0, _walks(person, day, hour, rng))
    counts = np.where(asleep, _stirs(len(hour), rng), _awake(person, day, len(hour), rng))
    counts = np.round(np.where(drowsy & ~asleep, 0.6 * counts, counts))
    counts = np.where(steps > 0, np.round(steps * 44 * rng.lognormal(0, 0.12, len(hour))), counts)
    off = _off(person, day, hour, rng)
    counts, steps = np.where(off.on_table, 0.0, counts), np.where(off.on_table, 0.0, steps)
    columns = _acceleration(counts, asleep, off.on_table, rng)
    charged_ns = None
    if off.charged is not None:
        charged_ns = begin_ns + off.charged[0] * MINUTE_NS, begin_ns + off.charged[1] * MINUTE_NS
    return MovementDay(start_ns, columns, np.where(off.is_recorded, steps, 0.0), off.is_recorded, charged_ns)


def _sleep(person: VirtualPerson, day: date, t_s: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where the person sleeps, and where they lie down or get up."""
    asleep, drowsy = np.zeros(len(t_s), np.bool_), np.zeros(len(t_s), np.bool_)
    for night in (day, day + timedelta(days=1)):
        onset_s, offset_s = person.sleep_s(night)
        drowsy |= (t_s > onset_s - 1500) & (t_s < offset_s + 300)
        asleep |= (t_s >= onset_s) & (t_s < offset_s)
        # Up once to four times, for minutes; the same ones on both days that share the night.
        wakes = np.random.default_rng([person.seed, night.toordinal(), _MOVEMENT, 1])
        for _ in range(int(wakes.integers(1, 5))):
            at_s = onset_s + wakes.uniform(0.15, 0.95) * (offset_s - onset_s)
            asleep &= ~((t_s >= at_s) & (t_s < at_s + 60 * wakes.integers(2, 11)))
    return asleep, drowsy


def _stirs(count: int, rng: np.random.Generator) -> FloatArray:
    """Return the counts of sleep: none, but for a turn now and then."""
    return np.where(rng.random(count) < 0.07, rng.gamma(1.1, 70.0, count), 0.0)


def _awake(person: VirtualPerson, day: date, count: int, rng: np.random.Generator) -> FloatArray:
    """Return the counts of sitting, standing and doing things, in spells of a quarter of an hour or so."""
    spell = np.repeat(rng.normal(0, 0.5, -(-count // 17)), 17)[:count]
    level = 520.0 * person.liveliness * person.activity_of(day)
    return level * np.exp(spell + rng.normal(0, 0.6, count))


def _walks(person: VirtualPerson, day: date, hour: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the steps of walks: there and back on working days, a few short ones, sometimes a long one."""
    share = person.liveliness * person.activity_of(day)
    is_free = day.weekday() >= 5
    begins = [*rng.uniform(9, 21, rng.poisson(9 * share))]
    lengths = [*rng.gamma(2.0, 2.5, len(begins))]
    if not is_free:
        begins += [*rng.normal((8.0, 17.3), 0.4)]
        lengths += [*rng.normal(14 * share, 3, 2)]
    if rng.random() < (0.5 if is_free else 0.25) * share:
        begins.append(rng.uniform(10, 19))
        lengths.append(rng.uniform(25, 60))
    steps = np.zeros(len(hour))
    for begin, length in zip(begins, lengths, strict=True):
        walking = (hour >= begin) & (hour < begin + max(length, 1.0) / 60)
        cadence = rng.normal(102, 9)
        steps[walking] = np.round(np.clip(cadence + rng.normal(0, 6, int(walking.sum())), 40, 135))
    return steps


@dataclass(frozen=True)
class _Off:
    is_recorded: NDArray[np.bool_]
    on_table: NDArray[np.bool_]
    charged: tuple[int, int] | None


def _off(person: VirtualPerson, day: date, hour: FloatArray, rng: np.random.Generator) -> _Off:
    """Return when it was charged, lay on a table, or was not put on that day."""
    is_recorded, on_table = np.ones(len(hour), np.bool_), np.zeros(len(hour), np.bool_)
    # Drawn from the day's own, so that a day not worn changes no other.
    if np.random.default_rng([person.seed, day.toordinal(), _DAY_OFF]).random() < person.missing_frac:
        return _Off(~is_recorded, on_table, None)
    charged = None
    if (day.toordinal() + person.seed) % CHARGED_EVERY_DAYS == 0:
        first = round(60 * rng.uniform(17.5, 20.0))
        charged = first, first + int(rng.integers(50, 95))
        is_recorded[slice(*charged)] = False
    if rng.random() < 0.12:
        first = round(60 * rng.uniform(12.0, 15.0))
        on_table[first : first + int(rng.integers(75, 160))] = True
    return _Off(is_recorded, on_table, charged)


def _acceleration(
    counts: FloatArray, asleep: NDArray[np.bool_], on_table: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, FloatArray]:
    n = len(counts)
    enmo_mg = REST_MG + MG_PER_COUNT * counts * rng.lognormal(0, 0.10, n)
    held = np.repeat(rng.uniform(-75, 75, n), rng.integers(8, 46, n))[:n]  # a sleeper turns within the hour
    turning = np.clip(-15 + rng.normal(0, 22, n), -85, 85)
    angle = np.where(asleep, held + rng.normal(0, 0.3, n), turning)
    angle = np.where(on_table, 2.0 + rng.normal(0, 0.03, n), angle)
    quiet_mg = np.where(on_table, 1.4, 3.0) * rng.lognormal(0, 0.05, n)
    return {
        "epoch_s": np.full(n, float(EPOCH_S)),
        "enmo_mg": enmo_mg,
        "mad_mg": 1.1 * enmo_mg,
        "z_angle_deg": angle,
        "sd_mg": quiet_mg + np.where(counts > 0, 1.4 * enmo_mg, 0.0),
        "counts": counts,
        "sample_count": np.full(n, EPOCH_S * 30.0),
    }


def epochs_of(day: MovementDay, until_ns: int) -> tuple[NDArray[np.int64], dict[str, FloatArray]]:
    """Return times and columns of ACTIVITY_EPOCH of the minutes that were recorded and are over."""
    kept = day.is_recorded & (day.start_ns + MINUTE_NS <= until_ns)
    return day.start_ns[kept], {c.name: day.columns[c.name][kept] for c in ACTIVITY_EPOCH.columns}


def quarters_of(day: MovementDay, until_ns: int) -> tuple[NDArray[np.int64], FloatArray]:
    """Return the ends of the quarters of an hour that are over and recorded whole, and their steps."""
    per_quarter = STEPS_S // EPOCH_S
    count = len(day.steps) // per_quarter
    whole = day.is_recorded[: count * per_quarter].reshape(count, per_quarter).all(axis=1)
    ends_ns = day.start_ns[: count * per_quarter : per_quarter] + STEPS_S * NS_PER_S
    kept = whole & (ends_ns <= until_ns)
    return ends_ns[kept], day.steps[: count * per_quarter].reshape(count, per_quarter).sum(axis=1)[kept]
