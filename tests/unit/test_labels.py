"""Labels of real people: where an episode sets in, and a protocol that finds them only where they are."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.channels import CHANNELS
from models.daily import Days
from models.evaluation import Evaluation
from models.injector import injected
from models.label_evaluation import (
    ALL,
    LEARNED,
    check_lift,
    evaluate_by_lot,
    evaluate_labels,
    trained_on_labels,
)
from models.label_report import write_label_report
from models.labels import JudgedFlag, Labelled, check_enough, labelled, labels_of
from models.monitor import followed
from models.training import plain_weights
from store.errors import CoverageError
from store.registry.assessments import Assessment

FIRST = date(2026, 1, 1)
USUAL = np.array([62.0, 45, 60, 420, 9000, 190, 15, 33.5, 92, 3.5])
SD = np.array([0.03, 0.15, 0.05, 50, 0.35, 0.3, 0.5, 0.4, 2, 0.6])
HAS_LOG = np.array([channel.scale != "linear" for channel in CHANNELS])


def day(at: int) -> date:
    return FIRST + timedelta(days=at)


def phq(at: int, total: int, who: str = "S1") -> Assessment:
    return Assessment(who, "PHQ-9", day(at), (), total)


def episodes(*totals: tuple[int, int]) -> list[int]:
    return [(label.onset - FIRST).days for label in labels_of([phq(*each) for each in totals], [])]


def test_an_episode_sets_in_with_the_days_the_first_high_total_asks_about():
    assert episodes((0, 4), (28, 9), (56, 10), (84, 20)) == [43]
    assert episodes((0, 4), (7, 12)) == [1]  # not before the day after the last low total


@pytest.mark.parametrize(
    "totals",
    [
        ((0, 12), (28, 14)),  # high from the start: nobody knows since when
        ((0, 4), (90, 14)),  # low too long ago
        ((0, 4), (28, 9)),
        ((28, 14),),
    ],
)
def test_without_a_low_total_shortly_before_there_is_no_onset(totals):
    assert episodes(*totals) == []


def test_it_is_over_below_the_threshold_and_may_come_again():
    assert episodes((0, 4), (28, 14), (56, 5), (84, 14)) == [15, 71]


def test_scales_and_flags_of_one_episode_are_one_and_a_scale_tells_it():
    flags = [JudgedFlag("S1", day(20), "care_changed"), JudgedFlag("S1", day(150), "care_changed")]
    quiet = [JudgedFlag("S1", day(200), outcome) for outcome in ("explained", "no_action", "contacted")]
    gad = [Assessment("S1", "GAD-7", day(at), (), total) for at, total in ((0, 2), (30, 15))]
    found = labels_of([phq(0, 4), phq(28, 14), *gad], [*flags, *quiet])
    assert [(label.told_by, label.source) for label in found] == [
        ("PHQ-9", "scales"),
        ("flag", "flag outcomes"),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 27)), max_size=12, unique_by=lambda each: each[0])
)
def test_the_order_in_which_scales_arrive_changes_nothing(totals):
    assert episodes(*totals) == episodes(*reversed(totals))


def cohort(people: int, *, days: int = 150, size: str = "severe") -> list[Labelled]:
    """Return people with one real change each, told by PHQ-9 every three weeks."""
    made, told = [], []
    for k in range(people):
        random = np.random.default_rng([7, k])
        noise = random.normal(0, 1, (days, len(CHANNELS))) * SD
        values = np.where(HAS_LOG, USUAL * np.exp(noise), USUAL + noise)
        plain = Days(f"S{k:02}", FIRST, values, np.full(days, -1, np.int64))
        onset = int(random.integers(95, 130))
        made.append(injected(plain, onset, size, random))
        told += [
            phq(onset + at, total, plain.subject) for at, total in ((-30, 4), (-1, 5), (14, 15), (40, 6))
        ]
    return labelled(made, labels_of(told, []))


@pytest.fixture(scope="module")
def people() -> list[Labelled]:
    return cohort(20)


def measured(measure: Callable[..., Evaluation], people: list[Labelled], **named: bool) -> Evaluation:
    """Measure in fewer folds than in earnest: the same protocol in a third of the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, folds in (("FOLDS", 3), ("INNER_FOLDS", 2)):
            patch.setattr(f"models.label_evaluation.{name}", folds)
        return measure(people, seed=1, **named)


@pytest.fixture(scope="module")
def found(people) -> Evaluation:
    return measured(evaluate_labels, people, learned_only=True)


@pytest.fixture(scope="module")
def by_lot(people) -> Evaluation:
    return measured(evaluate_by_lot, people)


def lift(held: Evaluation) -> float:
    outcome = held.outcomes[LEARNED, 1.0, ALL]
    return float((outcome.found(21) - outcome.null(21)).mean())


def test_labels_teach_what_people_left_out_show(found):
    assert len(found.outcomes[LEARNED, 1.0, "scales"].person) == 20
    assert lift(found) > 0.3
    assert found.burdens[LEARNED, 1.0].rate < 2.0
    check_lift(found)


def test_onsets_drawn_by_lot_teach_nothing(by_lot):
    assert abs(lift(by_lot)) < 0.2
    with pytest.raises(CoverageError, match="taught nothing"):
        check_lift(by_lot)


def test_nobody_is_followed_by_a_model_they_taught(people, monkeypatch):
    taught: list[set[str]] = []
    met: list[tuple[str, int]] = []
    tracks = {one.days.subject: followed(one.days, plain_weights()) for one in people}

    def learn(others, _plain):
        taught.append({one.days.subject for one in others})
        return plain_weights()._replace(intercept=float(len(taught) - 1))

    def follow(days, weights):
        met.append((days.subject, int(weights.intercept)))
        return tracks[days.subject]

    monkeypatch.setattr("models.label_evaluation.fit_labelled", learn)
    monkeypatch.setattr("models.label_evaluation.followed", follow)
    evaluate_labels(people, seed=1, learned_only=True)
    met = met[len(people) :]  # the first are by weights that nobody taught
    assert len(met) == 5 * len(people)  # once as the one left out, four times within the others
    assert [who for who, model in met if who in taught[model]] == []


def test_too_few_labels_are_counted_and_nothing_is_learned(people, monkeypatch):
    def never(*_args, **_named):
        raise AssertionError("trained")

    monkeypatch.setattr("models.label_evaluation.fit_labelled", never)
    few = [*people[:9], *(Labelled(one.days, ()) for one in people[9:])]
    for refuses in (
        lambda: evaluate_labels(few, seed=1),
        lambda: evaluate_by_lot(few, seed=1),
        lambda: trained_on_labels(few, population="nobody"),
        lambda: check_enough([]),
    ):
        with pytest.raises(CoverageError, match=r"\d episodes of \d people .* needed are 20 of 10"):
            refuses()


def test_episodes_that_only_flags_tell_of_are_not_enough(people):
    flagged = [
        Labelled(
            one.days,
            tuple((onset, replace(label, source="flag outcomes")) for onset, label in one.episodes),
        )
        for one in people
    ]
    with pytest.raises(CoverageError, match="0 episodes of 0 people"):
        check_enough(flagged)


def test_a_report_stands_beside_chance_and_a_model_says_what_it_learned_from(people, found, by_lot, tmp_path):
    paths = write_label_report(found, by_lot, tmp_path)
    held = json.loads(paths[1].read_text())
    assert {"found_14d", "null_14d", "lift_14d", "delay_median_iqr"} <= set(held["sensitivity"][0])
    assert "With onsets drawn by lot" in paths[0].read_text()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("models.label_evaluation.INNER_FOLDS", 2)
        model = trained_on_labels(people, population="made up")
    assert model.card["labels"] == "episodes told: 20 by PHQ-9"
    assert (np.diff(model.operating.false_rate) <= 0).all()
