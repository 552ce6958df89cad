"""A small made-up clinic: a few people in every state, two users, ninety nights, seeded."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from configs.settings import FlagSettings
from features.nights import NightRow, Nights, Provenance, night_batch, read_nights
from features.specs import NIGHT_FEATURES
from features.windows import WINDOW_FEATURES, Windows
from models.flagging import flags_of
from models.nightly import verdict_of_nights
from models.risk import load_model
from store.clock import Clock
from store.installation import Installation
from store.nights import night_bounds_ns, night_of
from store.streams import BATTERY, HEART_RATE
from store.timeseries import Batch
from store.types import Flag
from store.units import NS_PER_S

PASSWORD = "correct horse battery staple"
NIGHTS = 90
ZONE = "Europe/Berlin"
WINDOW_S = 300


@dataclass(frozen=True)
class Person:
    """How one made-up person's nights look."""

    subject_id: str
    display_name: str = ""
    nights: int = NIGHTS
    ends_days_ago: int = 0
    changes_at: int | None = None
    missing: float = 0.06


PEOPLE = (
    Person("V01", "Amber Wren", changes_at=-7, missing=0.0),
    Person("V02", "Bruno Teal"),
    Person("V03", "", nights=0),
    Person("V04", "Dov Heron", nights=12),
    Person("V05", "Elif Crane"),
    Person("V06", "Carla Finch", ends_days_ago=6),
    Person("V07", "Goran Swift", missing=0.62),
    Person("V08", "Hannelore von Rallenstein-Hohenfels"),
)


def build_clinic(home: Path, clock: Clock | None = None, people: tuple[Person, ...] = PEOPLE) -> Installation:
    """Make an installation: `lead` sees everybody, `narrow` sees V02 only; V01 and V02 wear a sensor."""
    installation = Installation(home, clock)
    now_ns = installation.clock.now_ns()
    today = night_of(now_ns, ZONE)
    with installation.registry() as registry, installation.timeseries() as store:
        for number, person in enumerate(people):
            registry.people.add_subject(
                person.subject_id, ZONE, display_name=person.display_name, is_simulated=True
            )
            if person.nights:
                _write_nights(store, person, today, np.random.default_rng(number))
                flags = replayed(read_nights(store, person.subject_id), installation.settings.flags)
                kept = flags[-1:] if person.changes_at is not None else []
                registry.flags.put(person.subject_id, kept)
        for subject_id in ("V01", "V02"):
            sensor_id = f"F0:F1:00:00:00:{subject_id[1:]}"
            registry.people.register_sensor(
                sensor_id, name="Virtual strap", manufacturer="evenkeel", model="Strap V", is_simulated=True
            )
            registry.people.pair(sensor_id, subject_id)
        registry.accounts.add_user("lead", "lead", password=PASSWORD, patients="all")
        registry.accounts.add_user("narrow", "clinician", password=PASSWORD, patients=["V02"])
    return installation


def replayed(nights: Nights, settings: FlagSettings) -> list[Flag]:
    """Return the flags of changes that the job would raise over these nights."""
    verdict = verdict_of_nights(nights, load_model(), settings.budget)
    assert verdict is not None
    return [flag for flag in flags_of(verdict, settings) if flag.kind == "change"]


def write_heart_rate(
    store, subject_id: str, at_ns: int, bpm: list[float], *, sensor_id: str = "", battery_pct: float = 84.0
) -> None:
    """Write one sample a second, the last of them at `at_ns`, and a battery level."""
    t_ns = at_ns - np.arange(len(bpm))[::-1] * NS_PER_S
    values = {
        "heart_rate_bpm": np.array(bpm, float),
        "skin_contact": np.ones(len(bpm)),
        "energy_kj": np.full(len(bpm), np.nan),
    }
    sensor_id = sensor_id or f"F0:F1:00:00:00:{subject_id[1:]}"
    battery = Batch(BATTERY, subject_id, sensor_id, t_ns[-1:], {"level_pct": np.array([battery_pct])})
    store.write([Batch(HEART_RATE, subject_id, sensor_id, t_ns, values), battery])


def _write_nights(store, person: Person, today: date, rng: np.random.Generator) -> None:
    last = today - timedelta(days=person.ends_days_ago)
    days = [last - timedelta(days=k) for k in range(person.nights)][::-1]
    rmssd = np.exp(rng.normal(np.log(rng.uniform(28, 55)), 0.13, len(days)))
    bpm = rng.normal(rng.uniform(52, 66), 1.8, len(days))
    if person.changes_at is not None:
        rmssd[person.changes_at :] *= 0.62
        bpm[person.changes_at :] += 6
    coverage = np.clip(rng.normal(0.93, 0.06, len(days)), 0, 1)
    coverage[rng.random(len(days)) < person.missing] = 0.1
    coverage[-1] = 0.94
    rows = [
        _row(person.subject_id, *values)
        for values in zip(days, rmssd.tolist(), bpm.tolist(), coverage.tolist(), strict=True)
    ]
    rows = [row for at, row in enumerate(rows) if len(rows) < 30 or at not in (40, 41, 42)]
    store.write([night_batch(rows, Provenance("0.1.0", "settings", "job", 0))])
    for day, level, beat in list(zip(days, rmssd.tolist(), bpm.tolist(), strict=True))[-3:]:
        store.write([_windows(day, level, beat, rng).batch(person.subject_id, "F0:F1:00:00:00:00")])


def _row(subject_id: str, night: date, rmssd_ms: float, mean_hr_bpm: float, coverage_frac: float) -> NightRow:
    is_enough = coverage_frac >= 0.25
    values = {
        "mean_hr_bpm": mean_hr_bpm,
        "lowest_hr_bpm": 0.9 * mean_hr_bpm,
        "mean_nn_ms": 60000 / mean_hr_bpm,
        "sdnn_ms": 1.3 * rmssd_ms,
        "rmssd_ms": rmssd_ms,
        "pnn50_pct": 0.5 * rmssd_ms,
    }
    if not is_enough:
        values = {}
    values = dict.fromkeys((spec.name for spec in NIGHT_FEATURES), float("nan")) | values
    said = "" if is_enough else "10 % of the nocturnal windows valid, 25 % needed; check wear"
    return NightRow(
        subject_id, night, ZONE, values, coverage_frac, said, "", "F0:F1:00:00:00:00", 60, 20000, 19000
    )


def _windows(night: date, rmssd_ms: float, bpm: float, rng: np.random.Generator) -> Windows:
    start_ns, end_ns = night_bounds_ns(night, ZONE)
    t_ns = np.arange(start_ns, end_ns, WINDOW_S * NS_PER_S)
    hour = np.linspace(12, 36, len(t_ns))
    awake = 1 / (1 + np.exp(-(np.abs(hour - 27) - 4.2) * 2.5))
    heart_rate = bpm + 16 * awake + rng.normal(0, 2.2, len(t_ns))
    spread = rmssd_ms * (1.05 - 0.4 * awake) * np.exp(rng.normal(0, 0.12, len(t_ns)))
    kept = ~((hour > 18.2) & (hour < 19.6))
    n = int(kept.sum())
    values = {
        "mean_hr_bpm": heart_rate[kept],
        "mean_nn_ms": 60000 / heart_rate[kept],
        "sdnn_ms": 1.3 * spread[kept],
        "rmssd_ms": spread[kept],
        "pnn50_pct": np.clip(0.5 * spread[kept], 0, 100),
    }
    values = {name: np.full(n, np.nan) for name in WINDOW_FEATURES} | values
    return Windows(t_ns[kept], values, np.full(n, 0.96), np.full(n, 300), np.full(n, 290))
