"""The twelve simulated people of the demonstration, and their history."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from ingest.virtual.movement import MINUTE_NS, STEPS_S, epochs_of, movement_of, quarters_of
from ingest.virtual.person import Episode, VirtualPerson
from store.nights import local_ns, night_bounds_ns, night_of
from store.registry.people import People
from store.streams import ACTIVITY_EPOCH, BATTERY, HEART_RATE, RR_INTERVAL, STEP_COUNT
from store.timeseries import Batch, TimeSeriesStore
from store.units import NS_PER_S

HISTORY_DAYS = 90
MAKER = "evenkeel"
WRIST_MODEL = "virtual wrist, counts as an ActiGraph"
"""Whose scale its counts are on is told by the model."""
SPOT_S = 300
SPOT_HOURS = (13, 15, 17, 19, 21, 22, 23)
"""The evening before a night is sampled: five minutes at each of these local hours."""


@dataclass(frozen=True, slots=True)
class Member:
    """A simulated person, addresses of strap and wrist, the first and last day they were worn (days ago)."""

    subject_id: str
    display_name: str
    person: VirtualPerson
    sensor_id: str
    wrist_id: str
    first_day: int | None = None
    last_day: int = 0

    def has_history(self, days_ago: int) -> bool:
        """Say whether the person wore a strap at all so many days ago."""
        return self.last_day <= days_ago and (self.first_day is None or days_ago <= self.first_day)


def cohort(today: date, seed: int = 7) -> list[Member]:
    """Return the twelve: one who changed, one who stopped sending, one who is new, one who rarely wears it.

    Parameters
    ----------
    today : date
        Episodes are placed relative to it.
    seed : int
    """
    rng = np.random.default_rng(seed)
    zones = ("Europe/Berlin", "Europe/London", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "UTC")
    changed = Episode(
        today - timedelta(days=13),
        ramp_days=5,
        hr_frac=0.10,
        rmssd_frac=-0.42,
        activity_frac=-0.38,
        later_h=0.9,
    )
    members: list[Member] = []
    for k in range(12):
        person = VirtualPerson(
            seed=seed * 1000 + k,
            zone=zones[k % len(zones)],
            resting_hr_bpm=float(rng.uniform(50, 66)),
            rmssd_ms=float(rng.uniform(26, 62)),
            sleep_start_h=float(rng.uniform(10.3, 12.0)),
            sleep_h=float(rng.uniform(6.8, 8.3)),
            missing_frac=0.72 if k == 8 else float(rng.uniform(0.02, 0.09)),
            episode=changed if k == 0 else None,
            liveliness=float(np.random.default_rng([seed, k]).uniform(0.75, 1.35)),
        )
        members.append(
            Member(
                subject_id=f"SIM-{k + 1:02d}",
                display_name=f"Simulated person {k + 1}",
                person=person,
                sensor_id=f"C0:5E:00:00:00:{k + 1:02X}",
                wrist_id=f"C0:5E:00:00:01:{k + 1:02X}",
                first_day=11 if k == 10 else None,
                last_day=9 if k == 6 else 0,
            )
        )
    return members


def register(members: Sequence[Member], people: People) -> None:
    """Register the people, their straps and wrists, marked as simulated; idempotent."""
    for member in members:
        people.add_subject(
            member.subject_id, member.person.zone, display_name=member.display_name, is_simulated=True
        )
        for sensor_id, kind, model in (
            (member.sensor_id, "strap", "virtual strap"),
            (member.wrist_id, "wrist", WRIST_MODEL),
        ):
            people.register_sensor(
                sensor_id,
                name=f"Virtual {kind} {member.subject_id}",
                model=model,
                manufacturer=MAKER,
                is_simulated=True,
            )
            people.pair(sensor_id, member.subject_id)


def write_history(
    members: Sequence[Member],
    store: TimeSeriesStore,
    now_ns: int,
    days: int = HISTORY_DAYS,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write the history of everybody up to now; return the number of beats.

    Stretches that hold beats are left as they are, so that doing it again adds only what is missing.

    Parameters
    ----------
    now_ns : int
        Nothing later is written.
    days : int
        How far back it reaches.
    progress : callable(nights_done, nights_total)
    """
    total, done, beats = len(members) * days, 0, 0
    for member in members:
        today = night_of(now_ns, member.person.zone)
        batches: list[Batch] = []
        for days_ago in range(days, -1, -1):
            if member.has_history(days_ago):
                night = today - timedelta(days=days_ago)
                batches.extend(_night_batches(member, night, store, now_ns))
                batches.extend(_wrist_batches(member, night, store, now_ns))
            done += days_ago > 0
            progress(done, total)
        beats += sum(len(batch) for batch in batches if batch.stream is RR_INTERVAL)
        store.write(batches)
    return beats


def _spans_ns(person: VirtualPerson, night: date) -> list[tuple[int, int]]:
    """Return from when to when the strap is worn, spots of the evening first; none in a night without."""
    worn_ns = person.worn_ns(night)
    if worn_ns is None:
        return []
    evening = night - timedelta(days=1)
    spots_ns = [local_ns(evening, hour, person.zone) for hour in SPOT_HOURS]
    ends_ns = [(at_ns, at_ns + SPOT_S * NS_PER_S) for at_ns in spots_ns]
    return [*(spot_ns for spot_ns in ends_ns if spot_ns[1] <= worn_ns[0]), worn_ns]


def _night_batches(member: Member, night: date, store: TimeSeriesStore, now_ns: int) -> list[Batch]:
    zone, who = member.person.zone, (member.subject_id, member.sensor_id)

    def is_empty(start_ns: int, end_ns: int) -> bool:
        return not store.count(RR_INTERVAL, who[0], start_ns, end_ns, sensor_id=who[1])

    bounds_ns = night_bounds_ns(night, zone)
    latest_ns = min(now_ns, bounds_ns[1])
    due = [span_ns for span_ns in _spans_ns(member.person, night) if span_ns[1] <= latest_ns]
    # One look at the whole night is nearly always enough; where live beats are, the rest is still missing.
    missing = due if is_empty(*bounds_ns) else [span_ns for span_ns in due if is_empty(*span_ns)]
    if not missing:
        return []
    worn = [member.person.beats(*span_ns) for span_ns in missing]
    last_ns = np.array([beats.t_ns[-1] for beats in worn], np.int64)
    rates = {
        "heart_rate_bpm": [round(60_000 / float(beats.rr_ms[-8:].mean())) for beats in worn],
        "skin_contact": np.ones(len(worn)),
        "energy_kj": np.full(len(worn), np.nan),
    }
    level_pct = 100.0 - (night.toordinal() * 3 + member.person.seed * 7) % 85
    t_ns = np.concatenate([beats.t_ns for beats in worn])
    rr_ms = np.concatenate([beats.rr_ms for beats in worn])
    return [
        Batch(RR_INTERVAL, *who, t_ns, {"rr_ms": rr_ms}),
        Batch(HEART_RATE, *who, last_ns, {name: np.asarray(v, np.float64) for name, v in rates.items()}),
        Batch(BATTERY, *who, last_ns[-1:], {"level_pct": np.array([level_pct])}),
    ]


def _wrist_batches(member: Member, day: date, store: TimeSeriesStore, now_ns: int) -> list[Batch]:
    """Return movement, steps and charge of a local day, but for what is there already."""
    zone, who = member.person.zone, (member.subject_id, member.wrist_id)
    begin_ns, end_ns = local_ns(day, 0, zone), local_ns(day, 24, zone)
    until_ns = min(now_ns, end_ns)
    moved = movement_of(member.person, day)
    t_ns, columns = epochs_of(moved, until_ns)
    held_ns = store.read(ACTIVITY_EPOCH, who[0], begin_ns, end_ns, sensor_id=who[1]).t_ns
    is_new = ~np.isin(t_ns // MINUTE_NS, held_ns // MINUTE_NS)
    if not is_new.any():
        return []
    ends_ns, steps = quarters_of(moved, until_ns)
    batches = [
        Batch(ACTIVITY_EPOCH, *who, t_ns[is_new], {name: held[is_new] for name, held in columns.items()}),
        Batch(
            STEP_COUNT,
            *who,
            ends_ns,
            {"steps": steps, "interval_s": np.full(len(steps), float(STEPS_S))},
        ),
    ]
    if moved.charged_ns is not None and moved.charged_ns[1] <= until_ns:
        level_pct = np.array([14.0 + member.person.seed % 9, 100.0])
        batches.append(Batch(BATTERY, *who, np.array(moved.charged_ns), {"level_pct": level_pct}))
    return batches
