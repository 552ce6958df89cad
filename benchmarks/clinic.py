"""A clinic for the dashboard's benchmark: a thousand simulated people, one with every minute of 90 days."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.app import create_app
from dashboard.caseload import read_patient
from features.epochs.wear import WearState
from features.movement.night_minutes import NightMinutes, minutes_batch
from features.nights import NIGHT_STREAM, night_key_ns, read_nights
from features.windows import WINDOW_STREAM
from store.installation import Installation
from store.nights import night_bounds_ns, night_of
from store.streams import HEART_RATE
from store.timeseries import NO_SENSOR, Batch
from store.units import NS_PER_S

PASSWORD = "correct horse battery staple"  # noqa: S105 - of simulated people on this machine
PATIENT, ZONE, NIGHTS = "P0001", "Europe/London", 90
_FIGURE_ROUNDS = 40


def build(home: Path, *, patients: int) -> None:
    """Make the installation."""
    installation, rng = Installation(home), np.random.default_rng(11)
    today = night_of(installation.clock.now_ns(), ZONE)
    with installation.registry() as registry, installation.timeseries() as store:
        batches: list[Batch] = []
        for number in range(1, patients + 1):
            subject_id = f"P{number:04d}"
            registry.people.add_subject(subject_id, ZONE, display_name=f"Person {number}", is_simulated=True)
            batches.append(_nights(subject_id, today, rng))
        store.write(batches)
        store.write(_minutes(today, rng))
        registry.accounts.add_user("lead", "lead", password=PASSWORD, patients="all")


def _nights(subject_id: str, today: Any, rng: np.random.Generator) -> Batch:  # noqa: ANN401 - a date
    days = [today - timedelta(days=k) for k in range(NIGHTS)][::-1]
    usual = {
        "rmssd_ms": np.exp(rng.normal(np.log(rng.uniform(25, 60)), 0.15, NIGHTS)),
        "mean_hr_bpm": rng.normal(rng.uniform(50, 68), 2, NIGHTS),
        "tst_min": rng.normal(430, 40, NIGHTS),
        "midpoint_h": np.mod(rng.normal(3.4, 0.6, NIGHTS), 24),
        "steps": rng.normal(8000, 2000, NIGHTS).clip(300),
    }
    is_lost = rng.random(NIGHTS) < 0.08
    columns: dict[str, Any] = {}
    for column in NIGHT_STREAM.columns:
        if column.dtype == "utf8":
            columns[column.name] = np.array([ZONE if column.name == "zone" else ""] * NIGHTS, object)
        elif column.dtype == "int64":
            columns[column.name] = np.zeros(NIGHTS, np.int64)
        else:
            columns[column.name] = np.where(is_lost, np.nan, usual.get(column.name, np.full(NIGHTS, np.nan)))
    columns["coverage_frac"] = np.where(is_lost, 0.1, rng.uniform(0.7, 1, NIGHTS))
    t_ns = np.array([night_key_ns(day) for day in days], np.int64)
    return Batch(NIGHT_STREAM, subject_id, NO_SENSOR, t_ns, columns)


def _minutes(today: Any, rng: np.random.Generator) -> list[Batch]:  # noqa: ANN401 - a date
    """Return movement and stages by the minute, windows, and two weeks of heart rate by the second."""
    nights: list[NightMinutes] = []
    windows: list[tuple[np.ndarray, np.ndarray]] = []
    for back in range(NIGHTS, 0, -1):
        night = today - timedelta(days=back - 1)
        start_ns, end_ns = night_bounds_ns(night, ZONE)
        count = (end_ns - start_ns) // (60 * NS_PER_S)
        hour = np.arange(count) / 60
        asleep = (hour > 11 + rng.normal(0, 0.5)) & (hour < 19 + rng.normal(0, 0.5))
        moved = np.where(asleep, rng.gamma(0.4, 2, count), rng.gamma(2, 25, count)).astype(np.float32)
        worn = rng.random(count // 60 + 1).repeat(60)[:count] > 0.06
        stage = np.where(asleep, 2 + (np.arange(count) // 30) % 3, 0).astype(np.int8)
        nights.append(
            NightMinutes(
                night_key_ns(night), start_ns, np.where(worn, moved, np.nan), np.where(worn, stage, -1),
                np.where(worn, WearState.WORN, WearState.NOT_WORN).astype(np.int8), "enmo_mg", "W1", "bench",
            )
        )  # fmt: skip
        at = np.arange(start_ns, end_ns, 300 * NS_PER_S)
        bpm = np.where(asleep[::5][: len(at)], 56, 78) + rng.normal(0, 5, len(at))
        windows.append((at, bpm))
    t_ns, bpm = (np.concatenate(parts) for parts in zip(*windows, strict=True))
    kept = rng.random(len(t_ns)) > 0.08
    of_window: dict[str, Any] = {
        c.name: np.full(int(kept.sum()), 300 if c.dtype == "int64" else 0.95) for c in WINDOW_STREAM.columns
    }
    of_window |= {"mean_hr_bpm": bpm[kept], "rmssd_ms": rng.normal(42, 8, int(kept.sum()))}
    last_ns = int(t_ns[-1])
    second = np.arange(last_ns - 16 * 86_400 * NS_PER_S, last_ns, NS_PER_S)
    of_heart = {
        "heart_rate_bpm": np.interp(second, t_ns, bpm) + rng.normal(0, 1.5, len(second)),
        "skin_contact": np.ones(len(second)),
        "energy_kj": np.full(len(second), np.nan),
    }
    return [
        minutes_batch(PATIENT, nights),
        Batch(WINDOW_STREAM, PATIENT, "W1", t_ns[kept], of_window),
        Batch(HEART_RATE, PATIENT, "W1", second, of_heart),
    ]


def figures_of(home: Path) -> float:
    """Return the 95th percentile of making a patient's figures from what is remembered, ms."""
    from dashboard.figures import marks_of
    from dashboard.movement import activity_card, move_grid, sleep_card
    from dashboard.rhythm import heart_card, heart_grid, worn_card
    from dashboard.trends import tiles, trend_charts
    from dashboard.zoom import zoom_card

    app = create_app(Installation(home))
    sources = app.sources
    patient = read_patient(sources, sources.registry.people.subjects([PATIENT])[0])
    times_ms: list[float] = []
    for _ in range(_FIGURE_ROUNDS):
        begun = time.perf_counter()
        marks = marks_of(patient.flags, [], patient.new_sensors)
        grid, moved = heart_grid(sources, patient), move_grid(sources, patient)
        made = [
            *tiles(patient, sources.settings.flags),
            *trend_charts(patient, marks),
            worn_card(sources, patient, grid, moved, marks),
            zoom_card(grid),
            heart_card(patient, grid, marks),
            activity_card(patient, moved, marks),
            sleep_card(patient, moved, marks),
        ]
        json_of = [part.to_plotly_json() for part in made]
        times_ms.append((time.perf_counter() - begun) * 1000 * bool(json_of))
    sources.close()
    return float(np.percentile(times_ms[1:], 95))


def peer_data(home: Path) -> dict[str, Any]:
    """Return for the peers: five markers of the patient, two rasters like ours, markers of everybody."""
    names = ("rmssd_ms", "mean_hr_bpm", "tst_min", "midpoint_h", "steps")
    with Installation(home).timeseries() as store:
        everybody = [read_nights(store, f"P{number:04d}") for number in range(1, 1001)]
    one = everybody[0]
    rng = np.random.default_rng(3)
    return {
        "days": np.array([day.isoformat() for day in one.nights]),
        "markers": np.stack([one.values[name] for name in names]),
        "heart": rng.normal(70, 12, (NIGHTS, 96)),
        "activity": rng.gamma(1, 30, (NIGHTS, 576)),
        "triage": np.stack([[each.values[name][-28:] for name in names[:4]] for each in everybody]),
    }
