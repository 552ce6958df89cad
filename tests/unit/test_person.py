"""Simulated people: the same stretch has the same beats, and hearts that look like people's."""

from datetime import date, timedelta

import numpy as np
import pytest

from features.hrv import rmssd_ms
from features.nn import nn_from_rr
from ingest.virtual.person import Episode, VirtualPerson
from store.nights import local_ns
from store.types import RrSeries
from store.units import NS_PER_S

ZONE = "Europe/Berlin"
TUESDAY = date(2026, 1, 6)
MINUTE_NS = 60 * NS_PER_S


def stretch(person: VirtualPerson, day: date, hour: int, minutes: int = 10) -> RrSeries:
    start_ns = local_ns(day, hour, person.zone)
    return person.beats(start_ns, start_ns + minutes * MINUTE_NS)


def mean_bpm(beats: RrSeries) -> float:
    return 60_000 / float(beats.rr_ms.mean())


@pytest.fixture(scope="module")
def people() -> list[VirtualPerson]:
    return [VirtualPerson(seed, ZONE, resting_hr_bpm=50 + seed, rmssd_ms=25 + 4 * seed) for seed in range(10)]


def test_the_same_stretch_has_the_same_beats_and_others_have_others(people: list[VirtualPerson]) -> None:
    one = stretch(people[0], TUESDAY, 3)
    again = stretch(VirtualPerson(0, ZONE, resting_hr_bpm=50, rmssd_ms=25), TUESDAY, 3)
    assert np.array_equal(one.t_ns, again.t_ns)
    assert np.array_equal(one.rr_ms, again.rr_ms)
    other = stretch(VirtualPerson(99, ZONE, resting_hr_bpm=50, rmssd_ms=25), TUESDAY, 3)
    assert not np.array_equal(one.t_ns[:100], other.t_ns[:100])


def test_beats_fill_their_stretch_on_the_grid_of_straps(people: list[VirtualPerson]) -> None:
    beats = stretch(people[1], TUESDAY, 14)
    start_ns = local_ns(TUESDAY, 14, ZONE)
    assert start_ns < beats.t_ns[0] < start_ns + 4 * NS_PER_S
    assert start_ns + 10 * MINUTE_NS - 3 * NS_PER_S < beats.t_ns[-1] < start_ns + 10 * MINUTE_NS
    assert np.all(beats.rr_ms * 1.024 == np.round(beats.rr_ms * 1.024))
    assert np.max(np.abs(np.diff(beats.t_ns) / 1e6 - beats.rr_ms[1:])) < 1e-5


def test_intervals_are_those_of_people(people: list[VirtualPerson]) -> None:
    for person in people:
        for hour in (3, 9, 13, 18, 20):
            beats = stretch(person, TUESDAY, hour)
            assert beats.rr_ms.min() > 280
            assert beats.rr_ms.max() < 2200


def test_hearts_slow_down_in_sleep(people: list[VirtualPerson]) -> None:
    for person in people:
        asleep = mean_bpm(stretch(person, TUESDAY, 3))
        assert abs(asleep - person.resting_hr_bpm) < 0.12 * person.resting_hr_bpm
        awake = np.mean([mean_bpm(stretch(person, TUESDAY, hour)) for hour in (10, 13, 16, 19)])
        assert awake > asleep + 8


def test_evenings_have_activity_too(people: list[VirtualPerson]) -> None:
    days = [TUESDAY + timedelta(days=k) for k in range(20)]
    evening = [mean_bpm(stretch(people[0], day, 19, 5)) - people[0].resting_hr_bpm for day in days]
    assert np.ptp(evening) > 10


def test_nightly_rmssd_is_near_its_setting(people: list[VirtualPerson]) -> None:
    for person in people:
        nights = [TUESDAY + timedelta(days=k) for k in range(12)]
        seen_ms = np.median([rmssd_ms(nn_from_rr(stretch(person, night, 3))) for night in nights])
        assert 0.8 < seen_ms / person.rmssd_ms < 1.35


def test_early_beats_are_rare_and_make_up_for_it(people: list[VirtualPerson]) -> None:
    beats = stretch(people[3], TUESDAY, 1, 240)
    shortened = beats.rr_ms[1:-1] < 0.8 * (beats.rr_ms[:-2] + beats.rr_ms[2:]) / 2
    assert 1 / 1500 < shortened.mean() < 1 / 350
    (early,) = np.nonzero(shortened)
    pairs_ms = beats.rr_ms[early + 1] + beats.rr_ms[early + 2]
    assert np.median(pairs_ms / (2 * np.median(beats.rr_ms))) == pytest.approx(1, abs=0.08)


def test_people_sleep_longer_into_weekend_mornings(people: list[VirtualPerson]) -> None:
    saturdays = [TUESDAY + timedelta(days=4 + 7 * k) for k in range(8)]
    wednesdays = [TUESDAY + timedelta(days=1 + 7 * k) for k in range(8)]
    onsets_h = {
        name: np.mean([person.sleep_s(day)[0] / 3600 % 24 for person in people for day in days])
        for name, days in (("weekend", saturdays), ("week", wednesdays))
    }
    assert onsets_h["weekend"] - onsets_h["week"] == pytest.approx(0.9, abs=0.25)


def test_the_strap_is_forgotten_as_often_as_said() -> None:
    person = VirtualPerson(5, ZONE, missing_frac=0.3)
    nights = [TUESDAY + timedelta(days=k) for k in range(400)]
    worn = [person.worn_ns(night) for night in nights]
    assert np.mean([span is None for span in worn]) == pytest.approx(0.3, abs=0.07)
    hours = [(span[1] - span[0]) / (60 * MINUTE_NS) for span in worn if span is not None]
    assert min(hours) > 2
    assert 4.5 < np.mean(hours) < 6.5


def test_an_episode_comes_gradually_and_stays() -> None:
    episode = Episode(TUESDAY, ramp_days=5, hr_frac=0.1, rmssd_frac=-0.4)
    days = [TUESDAY + timedelta(days=k) for k in (-1, 0, 2, 4, 30)]
    assert [episode.weight(day) for day in days] == pytest.approx([0, 0.2, 0.6, 1, 1])
    well = VirtualPerson(3, ZONE)
    ill = VirtualPerson(3, ZONE, episode=episode)
    before, after = TUESDAY - timedelta(days=3), TUESDAY + timedelta(days=9)
    assert np.array_equal(stretch(well, before, 3).rr_ms, stretch(ill, before, 3).rr_ms)
    assert mean_bpm(stretch(ill, after, 3)) > 1.05 * mean_bpm(stretch(well, after, 3))
    fallen = rmssd_ms(nn_from_rr(stretch(ill, after, 3))) / rmssd_ms(nn_from_rr(stretch(well, after, 3)))
    assert fallen == pytest.approx(0.6, abs=0.12)
