"""Nights over every zone, both changes of clocks, and travel."""

import zoneinfo
from datetime import date, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from store.nights import local_ns, night_bounds_ns, night_of
from store.units import NS_PER_S

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
