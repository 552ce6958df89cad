"""The rules from RR to NN: laws, artefacts that must be found, and neurokit2's flags."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.nn import CLEANING_RULES, Artefact, cleaning_rule, is_normal, nn_from_rr, verdicts
from features.nn.bracket import REACH_BEATS
from features.nn.lipponen_tarvainen import beat_artefacts
from features.nn.rolling import rolling_quantiles
from store.errors import UnknownError
from store.types import RrSeries

series_ms = st.lists(st.floats(310, 1900), max_size=250).map(np.array)


def breathing(
    beats: int = 400, level_ms: float = 850, swing_ms: float = 45, grid_ms: float = 0.0
) -> np.ndarray:
    """Return intervals that breathe at a quarter hertz, with noise, on the grid of a sensor."""
    at = np.arange(beats)
    noise = np.random.default_rng(4).normal(0, swing_ms / 5, beats)
    rr_ms = level_ms + swing_ms * np.sin(2 * np.pi * 0.25 * at * level_ms / 1000) + noise
    return np.round(rr_ms / grid_ms) * grid_ms if grid_ms else rr_ms


@pytest.mark.parametrize("rule", CLEANING_RULES)
@pytest.mark.parametrize("beats", [0, 1, 2, 3, 4, 7, 8])
def test_a_few_equal_beats_are_kept_whole(rule, beats):
    assert is_normal(np.full(beats, 800.0), rule).all()


@pytest.mark.parametrize("rule", CLEANING_RULES)
def test_a_long_constant_series_is_kept_whole(rule):
    assert is_normal(np.full(500, 812.5), rule).all()


@pytest.mark.parametrize("grid_ms", [0.0, 1.0, 1000 / 128, 10.0])
@pytest.mark.parametrize("swing_ms", [5.0, 25.0, 50.0, 90.0])
def test_breathing_on_any_grid_raises_no_flag(grid_ms, swing_ms):
    assert is_normal(breathing(swing_ms=swing_ms, grid_ms=grid_ms)).all()


@pytest.mark.parametrize("at", [30, 150, 201, 370])
def test_one_artefact_is_found_and_at_most_its_neighbours(at):
    beat_ms = np.concatenate([[0.0], np.cumsum(breathing(swing_ms=25))])
    early, extra = beat_ms.copy(), np.insert(beat_ms, at + 1, beat_ms[at] + 380)
    early[at] -= 200
    cases = {
        "early": (early, {at - 1, at}),
        "missed": (np.delete(beat_ms, at), {at - 1}),
        "extra": (extra, {at, at + 1}),
    }
    for name, (times_ms, expected) in cases.items():
        found = set(np.flatnonzero(~is_normal(np.diff(times_ms))).tolist())
        neighbours = {interval + k for interval in expected for k in (-1, 0, 1)}
        assert expected <= found <= neighbours, name


def test_a_single_pause_is_the_hearts_own_unless_a_beat_was_missed_or_came_early():
    calm = breathing(swing_ms=15)
    pause, missed, after_early_beat = calm.copy(), calm.copy(), calm.copy()
    pause[200] *= 1.35
    missed[200] *= 2
    after_early_beat[198], after_early_beat[200] = 500, calm[200] * 1.35
    assert is_normal(pause).all()
    assert np.flatnonzero(~is_normal(missed)).tolist() == [200]
    assert {198, 200} <= set(np.flatnonzero(~is_normal(after_early_beat)).tolist())


@pytest.mark.parametrize("length", [2, 3])
def test_a_run_of_early_beats_is_left_out_whole(length):
    rr_ms = breathing(swing_ms=20)
    rr_ms[200 : 200 + length] *= 0.6
    rr_ms[200 + length] *= 1.3
    out = np.flatnonzero(~is_normal(rr_ms)).tolist()
    assert set(range(200, 201 + length)) <= set(out) <= set(range(199, 202 + length))


def test_a_beat_moved_among_slowly_changing_intervals_is_found():
    beat_ms = np.concatenate([[0.0], np.cumsum(np.linspace(1000, 600, 200))])
    beat_ms[100] += 60
    assert np.flatnonzero(~is_normal(np.diff(beat_ms))).tolist() == [99, 100]


def test_a_step_of_heart_rate_is_none_of_an_artefact():
    rr_ms = np.concatenate([np.full(100, 1000.0), np.linspace(1000, 700, 4), np.full(100, 700.0)])
    assert is_normal(rr_ms).all()


def test_bigeminy_is_left_out_whole_and_the_rest_kept():
    steady = np.full(200, 800.0)
    rr_ms = np.concatenate([steady, np.tile([520.0, 1080.0], 60), steady])
    found = verdicts(rr_ms)
    assert (found[200:320] > 0).all()
    assert (found[:170] == 0).all()
    assert (found[350:] == 0).all()
    assert Artefact.UNSTEADY in found


@given(rr_ms=series_ms)
def test_what_is_far_away_does_not_matter(rr_ms):
    joined = np.concatenate([breathing(REACH_BEATS + 10), rr_ms])
    alone = joined[5:]
    np.testing.assert_array_equal(verdicts(joined)[5 + REACH_BEATS :], verdicts(alone)[REACH_BEATS:])


@given(rr_ms=series_ms, factor=st.sampled_from([0.5, 2.0]))
def test_the_rule_knows_no_unit_but_in_its_range(rr_ms, factor):
    def but_range(values_ms: np.ndarray) -> np.ndarray:
        return np.where(np.isin(verdicts(values_ms), [Artefact.DEVIATING, Artefact.DISPLACED]), 1, 0)

    inside = np.clip(rr_ms, 650, 950)
    np.testing.assert_array_equal(but_range(inside), but_range(inside * factor))


@pytest.mark.parametrize("rule", CLEANING_RULES)
@given(rr_ms=series_ms)
def test_every_rule_judges_every_interval_and_repeats_itself(rule, rr_ms):
    first = verdicts(rr_ms, rule)
    assert first.shape == rr_ms.shape
    assert set(first.tolist()) <= set(Artefact)
    np.testing.assert_array_equal(first, verdicts(rr_ms, rule))


def test_an_unknown_rule_is_named_with_those_there_are():
    with pytest.raises(UnknownError, match=r"'best'.*bracket"):
        cleaning_rule("best")
    rr = RrSeries(np.arange(1, 4) * 800_000_000, np.full(3, 800.0))
    assert len(cleaning_rule("none")(rr)) == len(nn_from_rr(rr)) == 3


@given(
    values=st.lists(st.one_of(st.integers(0, 9).map(float), st.just(np.nan)), max_size=60).map(np.array),
    half=st.integers(1, 8),
)
def test_rolling_quantiles_equal_those_of_each_window(values, half):
    values = values.astype(float)
    fractions = np.array([0.25, 0.5, 0.75])
    found = rolling_quantiles(values, half, fractions)
    for at in range(len(values)):
        window = values[max(at - half, 0) : at + half + 1]
        window = window[~np.isnan(window)]
        expected = np.quantile(window, fractions) if len(window) else np.full(3, np.nan)
        np.testing.assert_allclose(found[:, at], expected)


NK_RR_MS = """
    842 887 888 827 798 865 882 855 793 832 881 903 841 816 826 914 851 837 810 619 1112 851 819 823
    891 865 844 799 847 859 874 832 794 865 892 877 829 808 859 886 979 701 823 873 873 828 808 845
    913 865 818 821 851 885 856 822 811 892 881 1663 849 898 878 826 817 844 904 853 801 846 869 874
    869 807 847 872 877 812 788 419 419 888 878 849 805 877 882 851 794 811 869 870 838 802 859 889
    875 838 821 709 889 1008 827 833 878 897 837 816 821 900 879 831 819 853 886 880 819 809 873 868
"""
NK_FLAGS = {"ECTOPIC": [21, 42], "MISSED": [60], "EXTRA": [80], "LONG_SHORT": [20, 81, 101]}
"""What neurokit2 0.2.13 says of these intervals (`signal_fixpeaks`, Kubios, one pass), beat by beat."""


def test_the_classes_are_those_of_neurokit2():
    found = beat_artefacts(np.array(NK_RR_MS.split(), float))
    ours = {name: np.flatnonzero(found == Artefact[name]).tolist() for name in NK_FLAGS}
    assert ours == NK_FLAGS
