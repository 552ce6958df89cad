"""The shipped model of stages: the same numbers as the library that fitted it, and what it may not know."""

import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from benchmarks.sleep_accuracy import DATA, fitted, run
from benchmarks.walch import UNLABELLED, agreement, kappa, read_walch
from features.sleep.stages import (
    CLASSES,
    StageModel,
    heart_rate_variation,
    mean_within,
    model_text,
    predict_stages,
    shipped_model,
    stage_features,
)
from store.errors import DataError, RecordingError


def night_of(n=600, seed=2):
    random = np.random.default_rng(seed)
    return random.gamma(0.3, 40, n), random.gamma(4, 0.1, n)


@pytest.fixture(scope="module")
def psg():
    if not DATA.is_dir():
        pytest.skip(f"no real recordings: {DATA} is not there")
    return read_walch(DATA)


def test_the_model_predicts_as_sklearn_does(psg):
    few = psg[:4]
    model = fitted(few, 0.01)
    x = np.vstack([night.features[night.label != UNLABELLED] for night in few])
    y = np.concatenate([night.label[night.label != UNLABELLED] for night in few])
    theirs = LogisticRegression(C=0.01, max_iter=1000, tol=1e-6)
    standard = np.nan_to_num((x - np.nanmean(x, axis=0)) / np.nanstd(x, axis=0))
    theirs.fit(standard, y)
    assert np.abs(model.probabilities(x) - theirs.predict_proba(standard)).max() < 1e-9


def test_a_model_written_and_read_is_the_same_to_the_bit():
    model = shipped_model()
    held = json.loads(model_text(model))
    held.pop("classes")
    again = StageModel(**held | {"names": tuple(held["names"])})
    _, features = stage_features(*night_of())
    assert (again.probabilities(features) == model.probabilities(features)).all()


def test_the_features_of_the_code_are_those_the_model_was_fitted_with():
    names, features = stage_features(*night_of())
    assert names == shipped_model().names
    assert features.shape == (600, len(names))


def test_what_time_it_is_changes_nothing():
    """The same movement and heart later in a longer night: the same features, hence no clock inside."""
    counts, variation = night_of(400)
    still, calm = np.zeros(400), np.full(400, np.median(variation))
    _, plain = stage_features(np.concatenate([still, counts, still]), np.concatenate([calm, variation, calm]))
    _, late = stage_features(
        np.concatenate([still, still, counts, still]), np.concatenate([calm, calm, variation, calm])
    )
    assert np.allclose(plain[400:800], late[800:1200], equal_nan=True)


def test_unknown_heart_rate_is_taken_as_usual():
    counts, variation = night_of()
    _, features = stage_features(counts, np.full(len(variation), np.nan))
    each = shipped_model().probabilities(features)
    assert np.isfinite(each).all()
    assert np.allclose(each.sum(axis=1), 1)


def test_much_movement_is_wake_and_none_is_sleep():
    counts = np.concatenate([np.zeros(300), np.full(300, 500.0)])
    _, features = stage_features(counts, np.full(600, 0.3))
    stage = predict_stages(shipped_model(), features, 0).stage
    assert (stage[350:] == CLASSES[0]).all()
    assert (stage[100:250] != CLASSES[0]).all()


def test_smoothing_leaves_probabilities_and_joins_what_flickers():
    model = shipped_model()
    flicker = np.tile([[0.1, 0.5, 0.4], [0.1, 0.4, 0.5]], (100, 1))
    smooth = model.smoothed(flicker)
    assert np.allclose(smooth.sum(axis=1), 1)
    assert (np.diff(smooth.argmax(axis=1)) != 0).sum() < 5


def test_means_skip_what_is_unknown():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert mean_within(values, -1, 2).tolist() == [1.0, 2.0, 4.0, 4.0]
    assert np.isnan(mean_within(np.array([np.nan]), 0, 1))[0]


def test_variation_of_heart_rate_is_withheld_without_heart_rate():
    t = np.arange(0, 7200, 5.0)
    beat = 60 + 5 * np.sin(t / 60)
    found = heart_rate_variation(t, beat, np.array([3600.0, 20_000.0]))
    assert found[0] > 0
    assert np.isnan(found[1])
    assert np.isnan(heart_rate_variation(t[:3], beat[:3], np.zeros(2))).all()


def test_weights_that_do_not_fit_are_refused():
    model = shipped_model()
    fields = {name: getattr(model, name) for name in StageModel.__dataclass_fields__}
    with pytest.raises(DataError, match=r"needed is \(36, 3\)"):
        StageModel(**fields | {"names": model.names[1:]})


def test_the_card_says_where_it_comes_from_and_where_not_to_go():
    card = shipped_model().card
    assert "20 nights" in card["data"]
    assert "sleep clinics" in card["limits"]
    assert card["measured"]["cross-validated model: 3-class kappa"] >= 0.44
    assert card["measured"]["cross-validated model: specificity at sensitivity 0.93"] >= 0.68


def test_kappa_by_hand():
    truth, said = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    assert kappa(truth, said) == pytest.approx(0.5)
    assert kappa(truth, truth) == 1
    found = agreement(truth > 0, said > 0, 30.0)
    assert (found.accuracy, found.sensitivity, found.specificity, found.tst_bias_min) == (0.75, 1, 0.5, 0.5)


def test_scoring_a_directory_fits_nothing(psg, tmp_path, monkeypatch):
    def never(*_):
        raise AssertionError("fitted")

    monkeypatch.setattr("benchmarks.sleep_accuracy.fitted", never)
    rows = {row.name: row.value for row in run(score=DATA)}
    assert rows["shipped model: 3-class kappa"] > 0.44
    assert rows["all sleep: kappa"] == 0
    with pytest.raises(RecordingError, match="form of walch2019"):
        run(score=tmp_path)
