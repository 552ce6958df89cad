"""The shipped model and every detector: causal, personal, the same in a batch and day by day."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.advance import HIGHEST_SCORE, STATES
from models.channels import CHANNELS, NAMES
from models.cohort import episodes, onsets
from models.daily import Days, days_of, known_mapping, read_days
from models.detectors import DETECTORS, judged
from models.evaluation import Outcome, interval, permuted_lift
from models.injector import CONTROLS, SCENARIOS, injected
from models.monitor import Monitor, followed
from models.policy import REFRACTORY_DAYS, alert_days, rate_curve, threshold_for
from models.reasons import reasons_for
from models.risk import load_model, logits, save_model
from models.scoring import score_people, score_person
from store.errors import ConfigError, RecordingError

MODEL = load_model()
USUAL = np.array([62.0, 45, 60, 420, 9000, 190, 15, 33.5, 92, 3.5])
SD = np.array([0.03, 0.15, 0.05, 50, 0.35, 0.3, 0.5, 0.4, 2, 0.6])
HAS_LOG = np.array([channel.scale != "linear" for channel in CHANNELS])


def person(n: int = 120, seed: int = 0, name: str = "S1", missing: float = 0.2) -> Days:
    random = np.random.default_rng(seed)
    noise = random.normal(0, 1, (n, len(CHANNELS))) * SD
    values = np.where(HAS_LOG, USUAL * np.exp(noise), USUAL + noise)
    values[random.random(n) < missing] = np.nan
    return Days(name, date(2026, 1, 1), values, np.full(n, -1, np.int64))


def same(one, other):
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_batch_and_days_one_by_one_are_the_same_to_the_bit():
    days = person(300)
    days.source[150:] = 3
    days.source[:150] = 2
    monitor = Monitor(MODEL.weights, capacity=16)
    told = [monitor.update(v, int(s)) for v, s in zip(days.values, days.source, strict=True)]
    track = followed(days, MODEL.weights)
    same(monitor.track, track)
    assert [d.is_monitored for d in told] == track.is_monitored.tolist()
    np.testing.assert_array_equal([d.score for d in told], track.score)


@settings(max_examples=15, deadline=None)
@given(cut=st.integers(20, 110), seed=st.integers(0, 99))
def test_the_future_changes_no_past_state_score_or_alert(cut, seed):
    days = person(120, seed)
    later = person(120, seed + 1000).values * 1.3
    other = Days("S1", days.first, np.concatenate([days.values[:cut], later[cut:]]), days.source)
    one, two = followed(days, MODEL.weights), followed(other, MODEL.weights)
    np.testing.assert_array_equal(one.state[:cut], two.state[:cut])
    np.testing.assert_array_equal(one.score[:cut], two.score[:cut])
    threshold = MODEL.policy(0.5).review
    np.testing.assert_array_equal(
        alert_days(one.score, one.is_monitored, threshold)[:cut],
        alert_days(two.score, two.is_monitored, threshold)[:cut],
    )


@pytest.mark.parametrize("name", sorted(DETECTORS))
class TestEveryDetector:
    def test_is_causal(self, name):
        days = person(120, 5)
        changed = Days("S1", days.first, days.values.copy(), days.source)
        changed.values[80:] *= 1.2
        one, two = (judged(DETECTORS[name], followed(d, MODEL.weights)) for d in (days, changed))
        np.testing.assert_array_equal(one[:80], two[:80])

    def test_says_nothing_of_days_without_data_or_baseline(self, name):
        days = person(120, 6)
        days.values[90:] = np.nan
        score = judged(DETECTORS[name], followed(days, MODEL.weights))
        assert len(score) == 120
        assert np.isnan(score[:20]).all()
        assert np.isnan(score[90:]).all()
        assert not np.isinf(score).any()

    def test_of_an_empty_record_is_empty_or_silent(self, name):
        days = Days("S1", date(2026, 1, 1), np.full((30, len(CHANNELS)), np.nan), np.full(30, -1, np.int64))
        assert np.isnan(judged(DETECTORS[name], followed(days, MODEL.weights))).all()


@pytest.mark.parametrize(
    ("name", "scenario"),
    [
        ("risk", "severe"),
        ("patterns_7d", "mania"),
        ("withdrawal_7d", "hypersomnia"),
        ("activation_7d", "mania"),
        ("arousal_7d", "severe"),
        ("composite", "severe"),
        ("mewma", "hypersomnia"),
        ("nightsignal", "severe"),
        ("cusum", "severe"),
        ("bocpd", "severe"),
        ("conformal", "severe"),
        ("isolation_forest", "mania"),
        ("variance", "variance-only"),
        ("phase", "phase-delay"),
    ],
)
def test_a_detector_rises_with_what_it_is_for(name, scenario):
    random = np.random.default_rng(1)
    gains = []
    for seed in range(3):
        days = person(120, seed, missing=0.05)
        with_change = injected(days, 90, scenario, random)
        detector = DETECTORS[name]
        clean, changed = (judged(detector, followed(d, MODEL.weights)) for d in (days, with_change))
        gains.append(np.nanmean(changed[98:112]) - np.nanmean(clean[98:112]))
    assert np.mean(gains) > np.nanstd(clean) / 2


def test_lost_days_are_a_matter_of_contact_and_raise_no_alert():
    days = person(200, 3, missing=0.0)
    days.values[120:] = np.nan
    table = score_person(days, MODEL, 1.0)
    assert not table["alert"][120:].any()
    assert not table["monitored"][120:].any()
    assert (table["state"][130:150] == "data lost").all()
    assert followed(days, MODEL.weights).state[140, STATES.index("wear_loss")] > 4


def test_a_changed_sensor_starts_the_baseline_again_and_says_so():
    days = person(160, 4, missing=0.0)
    days.source[:100], days.source[100:] = 0, 1
    days.values[100:, 0] += 15
    table = score_person(days, MODEL, 1.0)
    assert (table["state"][101:113] == "learning").all()
    assert table["monitored"][130]
    assert not table["alert"][100:120].any()


def test_contributions_are_the_model():
    """Intercept and what the states add are the score, to its limit."""
    track = followed(injected(person(120, 2), 90, "severe", np.random.default_rng(0)), MODEL.weights)
    total = logits(track, MODEL.weights).sum(axis=1) + MODEL.weights.intercept
    judged_days = track.is_monitored
    assert track.score[judged_days].max() == HIGHEST_SCORE < total[judged_days].max()
    total = np.minimum(total, HIGHEST_SCORE)
    np.testing.assert_allclose(total[judged_days], track.score[judged_days], rtol=1e-12, atol=1e-12)


def test_reasons_name_own_values():
    days = injected(person(120, 2, missing=0.0), 90, "severe", np.random.default_rng(0))
    track = followed(days, MODEL.weights)
    reasons = {NAMES[r.channel]: r for r in reasons_for(track, 110, MODEL.weights)}
    sleep = reasons["tst_min"]
    assert sleep.value < sleep.usual < 460
    assert sleep.z < -1
    assert any(
        channel.group == "heart" and reasons[channel.name].z > 0
        for channel in CHANNELS
        if channel.name in reasons
    )


def test_alerts_rest_and_come_again_only_when_it_gets_worse():
    score, all_days = np.array([0.0] * 5 + [2.0] * 30 + [4.0] * 10), np.ones(45, np.bool_)
    assert np.flatnonzero(alert_days(score, all_days, 1.0)).tolist() == [5, 35]
    worse_at_once = np.array([0.0, 2.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0])
    assert np.flatnonzero(alert_days(worse_at_once, np.ones(9, np.bool_), 1.0)).tolist() == [1, 8]
    flicker = np.array([2.0, 0.9, 2.0] * 10)
    assert alert_days(flicker, np.ones(30, np.bool_), 1.0).sum() == 1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), threshold=st.floats(-1, 3))
def test_two_alerts_are_a_week_apart(seed, threshold):
    random = np.random.default_rng(seed)
    score, monitored = random.normal(0, 2, 90), random.random(90) > 0.2
    at = np.flatnonzero(alert_days(score, monitored, threshold))
    assert (np.diff(at) >= REFRACTORY_DAYS).all()
    assert monitored[at].all()
    assert (score[at] >= threshold).all()


def test_a_threshold_keeps_to_its_budget():
    random = np.random.default_rng(3)
    scores = [random.normal(0, 1, 400) for _ in range(40)]
    monitored = [np.ones(400, np.bool_)] * 40
    thresholds, rates = rate_curve(scores, monitored)
    for budget in (0.25, 0.5, 1.0):
        threshold = threshold_for(budget, thresholds, rates)
        again = [np.random.default_rng(99 + k).normal(0, 1, 400) for k in range(40)]
        days = sum(alert_days(s, m, threshold).sum() for s, m in zip(again, monitored, strict=True))
        assert 30 * days / 16_000 == pytest.approx(budget, rel=0.2)


def table_of(people) -> pd.DataFrame:
    rows = [
        pd.DataFrame(d.values, columns=list(NAMES)).assign(
            subject=d.subject, date=d.dates.strftime("%Y-%m-%d")
        )
        for d in people
    ]
    return pd.concat(rows, ignore_index=True)


def test_order_duplicates_and_late_rows_change_nothing():
    people = [person(90, 1, "a"), person(80, 2, "b")]
    table, own = table_of(people), known_mapping(None)
    expected = score_people(days_of(table, own), MODEL, 0.5)
    early = table.assign(steps=np.nan)
    mixed = pd.concat([early.head(40), table, table.tail(30)]).sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(score_people(days_of(mixed, own), MODEL, 0.5), expected)


def test_missing_days_are_holes_in_the_calendar():
    table = table_of([person(60, 1, "a")]).drop(index=range(20, 25))
    (days,) = days_of(table, known_mapping(None))
    assert len(days) == 60
    assert np.isnan(days.values[20:25]).all()


def test_a_table_that_cannot_be_used_is_refused_by_name(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("who,when\n1,2\n")
    with pytest.raises(RecordingError, match="no column 'subject'"):
        read_days(path, known_mapping(None))
    path.write_text("subject,date,steps\na,yesterday,4000\n")
    with pytest.raises(RecordingError, match=r"line 2.*'yesterday'"):
        read_days(path, known_mapping(None))
    path.write_text("subject,date,mood\na,2026-01-01,4\n")
    with pytest.raises(RecordingError, match="none of the columns"):
        read_days(path, known_mapping(None))
    with pytest.raises(ConfigError, match="no mapping"):
        known_mapping("garmin")
    with pytest.raises(ConfigError, match="cannot be kept"):
        MODEL.policy(0.0)


def test_a_model_survives_being_written(tmp_path):
    save_model(MODEL, tmp_path / "m")
    again = load_model(tmp_path / "m")
    same(again.weights[:4], MODEL.weights[:4])
    assert again.card == MODEL.card
    assert again.digest == MODEL.digest
    card = (tmp_path / "m.json").read_text()
    (tmp_path / "m.json").write_text(card.replace("any_21d", "any_22d"))
    with pytest.raises(ConfigError, match="train it again"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize("name", [*SCENARIOS, *CONTROLS])
def test_the_injector_touches_nothing_before_the_onset_but_a_cycle(name):
    days = person(120, 1, missing=0.0)
    changed = injected(days, 60, name, np.random.default_rng(5))
    again = injected(days, 60, name, np.random.default_rng(5))
    np.testing.assert_array_equal(changed.values, again.values)
    if name != "menstrual":
        np.testing.assert_array_equal(changed.values[:60], days.values[:60])
    assert not np.array_equal(changed.values[60:], days.values[60:], equal_nan=True)


def test_nobodys_episodes_depend_on_who_else_is_there():
    one, two = person(150, 1, "a"), person(150, 2, "b")
    alone, together = (
        episodes([one], ["hetero-moderate"], 3, 9),
        episodes([two, one], ["hetero-moderate"], 3, 9),
    )
    mine = [e for e in together if e.subject == "a"]
    assert [e.onset for e in alone] == [e.onset for e in mine]
    np.testing.assert_array_equal(alone[2].days.values, mine[2].days.values)
    assert {e.onset for e in alone} <= set(onsets(one).tolist())


def test_permuted_labels_land_on_the_null_and_intervals_are_of_people():
    random = np.random.default_rng(0)
    delays = np.where(random.random(400) < 0.7, 5.0, np.inf)
    null = np.where(random.random(400) < 0.1, 5.0, np.inf)
    outcome = Outcome(np.repeat(np.arange(40), 10).astype(str), delays, null)
    assert outcome.found(14).mean() - outcome.null(14).mean() > 0.5
    assert abs(permuted_lift(outcome, 14, seed=1)) < 0.02
    one_person_each = interval(np.arange(400).astype(str), outcome.found(14))
    clumped = interval(outcome.person, np.repeat(random.random(40) < 0.7, 10).astype(float))
    assert clumped[1] - clumped[0] > 2 * (one_person_each[1] - one_person_each[0])
