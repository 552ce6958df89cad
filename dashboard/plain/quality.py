"""Data quality of a case-load: what was recorded, why the rest was not, how wearables and gateways stand."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from types import MappingProxyType

from flask import Blueprint, render_template, request

from dashboard.caseload import newest_data_ns
from dashboard.gate import audit, signed_in_user, visible_people
from dashboard.pulse import Battery, newest_battery, newest_pulse
from dashboard.routes import QUALITY_PATH
from dashboard.sources import Sources
from dashboard.words import MISSING, age_text, day_text, local_time
from features.nights import read_nights
from store.gaps import Reason
from store.ledger import open_ledger
from store.ledger_report import SubjectDay
from store.registry.people import Subject
from store.streams import COLLECTOR, DEVICE_CLOCK
from store.units import NS_PER_S

DAYS = 28
AT_ONCE = 100
"""People a page shows: reading of each takes milliseconds."""
GATEWAY_SILENT_S = 180
"""A collector gives a sign of life each minute; three missing ones are a gateway that is away."""
LOW_PCT = 20
LATE_S = 48 * 3600
DRIFT_S = 2.0
"""A clock that is off by more blurs what belongs together; a strap of good make stays well below."""
REASONS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.WITHDRAWN: "consent withdrawn",
        Reason.PAUSED: "paused by the patient",
        Reason.COLLECTOR_DOWN: "gateway away",
        Reason.STORE_DOWN: "store away",
        Reason.NOT_WORN: "not worn",
        Reason.BATTERY: "battery empty",
        Reason.CHARGING: "charging",
        Reason.OUT_OF_RANGE: "out of range",
        Reason.UNKNOWN: "unknown",
    }
)


@dataclass(frozen=True, slots=True)
class Cell:
    """One day of one person: how much there is (0-1; None: nobody watched), and in words."""

    share: float | None
    said: str

    @property
    def level(self) -> str:
        """The class that fills it."""
        if self.share is None:
            return "none"
        return "nil" if self.share < 0.005 else f"q{min(3, int(self.share * 4))}"


@dataclass(frozen=True, slots=True)
class Row:
    """One person: days, hours lost by reason, and what wearable and gateway last said."""

    subject: Subject
    cells: tuple[Cell, ...]
    mean_share: float | None
    lost: str
    battery: str
    is_battery_low: bool
    synced: str
    is_late: bool
    gateway: str
    is_gateway_away: bool
    drift: str
    is_adrift: bool

    @property
    def needs_a_look(self) -> bool:
        """Whether something should be done about the wearable or the gateway."""
        return self.is_battery_low or self.is_late or self.is_gateway_away or self.is_adrift


def quality_pages(sources: Sources) -> Blueprint:
    """Return the page `/quality`."""
    pages = Blueprint("quality", __name__)
    pages.add_url_rule(QUALITY_PATH, "page", lambda: _page(sources), methods=["GET"])
    return pages


def _page(sources: Sources) -> str:
    audit(sources, signed_in_user().name, "list quality")
    people = visible_people(sources)
    asked = request.args.get("from", "0")
    first = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 7 else 0
    shown = people[first : first + AT_ONCE]
    now_ns = sources.clock.now_ns()
    today = local_time(now_ns, "UTC").date()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    known = _ledger_days(sources, [subject.subject_id for subject in shown], now_ns)
    rows = [_row(sources, subject, days, known.get(subject.subject_id, {})) for subject in shown]
    return render_template(
        "plain/quality.html",
        title="Data quality · evenkeel",
        rows=sorted(rows, key=lambda row: (not row.needs_a_look, row.mean_share or 0.0)),
        days=days,
        first=first,
        total=len(people),
        at_once=AT_ONCE,
        day_text=day_text,
        attention=sum(row.needs_a_look for row in rows),
        silent_min=GATEWAY_SILENT_S // 60,
        drift_s=DRIFT_S,
    )


def _ledger_days(
    sources: Sources, subjects: Sequence[str], now_ns: int
) -> Mapping[str, Mapping[date, SubjectDay]]:
    since_ns = now_ns - DAYS * 86_400 * NS_PER_S
    found: dict[str, dict[date, SubjectDay]] = {}
    for day in open_ledger(sources.home, sources.clock).coverage(subjects, since_ns):
        found.setdefault(day.subject_id, {})[day.day] = day
    return found


def _row(sources: Sources, subject: Subject, days: Sequence[date], known: Mapping[date, SubjectDay]) -> Row:
    now_ns, subject_id, store = sources.clock.now_ns(), subject.subject_id, sources.store
    nights = read_nights(store, subject_id)
    nightly = dict(zip(nights.nights, nights.coverage_frac.tolist(), strict=True))
    cells = tuple(_cell(day, known.get(day), nightly.get(day)) for day in days)
    shares = [cell.share for cell in cells if cell.share is not None]
    pulse, battery = newest_pulse(store, subject_id), newest_battery(store, subject_id)
    newest_ns = newest_data_ns(sources, subject_id, pulse, nights)
    gateway, clock = store.latest(COLLECTOR, subject_id), store.latest(DEVICE_CLOCK, subject_id)
    gateway_s = None if gateway is None else (now_ns - int(gateway["t_ns"])) / NS_PER_S
    drift_s = None if clock is None else float(clock["offset_s"])
    return Row(
        subject=subject,
        cells=cells,
        mean_share=sum(shares) / len(shares) if shares else None,
        lost=_lost(known.values()),
        battery=_battery_text(battery, now_ns),
        is_battery_low=battery is not None and battery.level_pct < LOW_PCT,
        synced="never" if newest_ns is None else age_text(now_ns - newest_ns),
        is_late=newest_ns is None or now_ns - newest_ns > LATE_S * NS_PER_S,
        gateway=_gateway_text(gateway, gateway_s),
        is_gateway_away=gateway_s is not None and gateway_s > GATEWAY_SILENT_S,
        drift=MISSING if drift_s is None else f"{drift_s:+.1f} s",
        is_adrift=drift_s is not None and abs(drift_s) > DRIFT_S,
    )


def _battery_text(battery: Battery | None, now_ns: int) -> str:
    if battery is None:
        return MISSING
    age_ns = now_ns - battery.at_ns
    return f"{battery.level_pct:.0f} %{f', {age_text(age_ns)}' if age_ns > LATE_S * NS_PER_S else ''}"


def _gateway_text(newest: Mapping[str, object] | None, silent_s: float | None) -> str:
    """Say how the collector that watches a person stands."""
    if newest is None or silent_s is None:
        return "never heard"
    if silent_s > GATEWAY_SILENT_S:
        return f"away, heard {age_text(round(silent_s) * NS_PER_S)}"
    waiting = float(str(newest["waiting_frames"]))
    return "running" if waiting < 1 else f"running, {waiting:.0f} frames wait"


def _cell(day: date, known: SubjectDay | None, night_frac: float | None) -> Cell:
    """Return the day as the ledger knows it, else the night that ended on it as features found it."""
    if known is not None and known.end_ns > known.start_ns:
        watched_h = (known.end_ns - known.start_ns) / (3600 * NS_PER_S)
        lost = ", ".join(f"{REASONS[reason]} {hours:.1f} h" for reason, hours in _by_size(known.gap_hours))
        said = f"{day_text(day)}: {known.covered_h:.1f} of {watched_h:.1f} h"
        return Cell(known.covered_h / watched_h, f"{said}{f'; {lost}' if lost else ''}")
    if night_frac is not None and math.isfinite(night_frac):
        return Cell(night_frac, f"{day_text(day)}: {100 * night_frac:.0f} % of the night")
    return Cell(None, f"{day_text(day)}: nothing known")


def _by_size(hours: Mapping[Reason, float]) -> list[tuple[Reason, float]]:
    return sorted(((r, h) for r, h in hours.items() if h >= 0.05), key=lambda each: -each[1])


def _lost(days: Iterable[SubjectDay]) -> str:
    """Say how many hours went missing, by reason, most first."""
    total: defaultdict[Reason, float] = defaultdict(float)
    for day in days:
        for reason, hours in day.gap_hours.items():
            total[reason] += hours
    return ", ".join(f"{REASONS[reason]} {hours:.0f} h" for reason, hours in _by_size(total)[:3])
