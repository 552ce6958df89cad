"""Nights over every zone, both changes of clocks, and travel."""

import zoneinfo
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.sleep.night import clock_h
from store.nights import local_ns, night_bounds_ns, night_of
from store.units import NS_PER_S
from tests.movement import MINUTE_NS, minutes, night

ZONES = st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"}))
DAYS = st.dates(date(1975, 1, 1), date(2036, 12, 31))


@settings(max_examples=400)
@given(zone=ZONES, day=DAYS)
def test_nights_tile_time(zone, day):
    """Each night ends where the next begins and lasts a day give or take a change of clocks."""
    start_ns, end_ns = night_bounds_ns(day, zone)
    assert end_ns == night_bounds_ns(day + timedelta(days=1), zone)[0]
    assert 0 <= (end_ns - start_ns) / NS_PER_S / 3600 <= 48  # Samoa left out a day, Kwajalein too


@settings(max_examples=400)
@given(zone=ZONES, t_s=st.integers(160_000_000, 2_100_000_000))
def test_every_time_lies_in_its_night(zone, t_s):
    t_ns = t_s * NS_PER_S
    start_ns, end_ns = night_bounds_ns(night_of(t_ns, zone), zone)
    assert start_ns <= t_ns < end_ns


def test_a_night_is_named_by_its_morning():
    evening_ns = local_ns(date(2026, 3, 28), 22, "Europe/Berlin")
    morning_ns = local_ns(date(2026, 3, 29), 7, "Europe/Berlin")
    assert night_of(evening_ns, "Europe/Berlin") == night_of(morning_ns, "Europe/Berlin") == date(2026, 3, 29)


def test_the_night_of_the_spring_change_has_23_hours_and_that_of_autumn_25():
    hours = {
        day: (night_bounds_ns(day, "Europe/Berlin")[1] - night_bounds_ns(day, "Europe/Berlin")[0])
        / NS_PER_S
        / 3600
        for day in (date(2026, 3, 29), date(2026, 10, 25), date(2026, 6, 1))
    }
    assert list(hours.values()) == [23, 25, 24]


def _changed_nights(zone: str) -> list[date]:
    """Nights of 2026 that are not 24 hours long."""
    days = [date(2026, 1, 1) + timedelta(days=k) for k in range(366)]
    noons_ns = np.array([local_ns(day, 12, zone) for day in days])
    return [days[k + 1] for k in np.flatnonzero(np.diff(noons_ns) != 86_400 * NS_PER_S)]


def test_sleep_through_every_change_of_clocks_on_earth() -> None:
    """Who sleeps through a change has their minutes, whatever clocks showed; one zone of each kind."""
    seen: set[tuple[tuple[int, int], ...]] = set()
    tried = 0
    for zone in sorted(zoneinfo.available_timezones() - {"localtime"}):
        changed = _changed_nights(zone)
        spans = tuple(night_bounds_ns(night, zone) for night in changed)
        if not changed or spans in seen:
            continue
        seen.add(spans)
        for morning, (start_ns, end_ns) in zip(changed, spans, strict=True):
            count = (end_ns - start_ns) // MINUTE_NS
            recorded = np.full(count + 2 * 1440, 400.0)
            asleep = slice(1440 + 660, 1440 + count - 300)  # 11 h after noon, till 7 o'clock
            recorded[asleep] = np.where(np.arange(len(recorded[asleep])) % 20 == 10, 20.0, 0.0)
            held = minutes(start_ns - 1440 * MINUTE_NS, recorded)
            found = night({"activity_epoch": held}, morning, zone)
            assert len(found.minutes) == found.values["wear_min"] == count, zone
            assert found.values["tst_min"] == pytest.approx(count - 960, abs=10), zone
            bed_h = clock_h(start_ns + 660 * MINUTE_NS, zone)  # in Greenland clocks change before 23 o'clock
            assert found.values["onset_h"] == pytest.approx(bed_h, abs=0.2), zone
            assert found.values["offset_h"] == pytest.approx(7, abs=0.2), zone
            tried += 1
    assert tried > 30
