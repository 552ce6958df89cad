"""HRV against hand-made numbers, reference values of real recordings, and laws it obeys."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import nn as cleaning
from features.hrv import Segments, beats, mean_nn_ms, pnn50_pct, rmssd_ms, sdnn_ms
from features.windows import windows_of
from store.errors import DataError
from store.types import NnSeries, RrSeries
from store.units import NS_PER_MS, NS_PER_S

# The golden records were made with this rule.
nn_from_rr = partial(cleaning.nn_from_rr, rule="median20")
is_normal = partial(cleaning.is_normal, rule="median20")


def chained(rr_ms: list[float] | np.ndarray, start_ns: int = 0) -> RrSeries:
    rr = np.asarray(rr_ms, float)
    return RrSeries(start_ns + np.round(np.cumsum(rr) * NS_PER_MS).astype(np.int64), rr)


def recorded(path: Path) -> RrSeries:
    frame = pd.read_csv(path)
    return RrSeries(np.round(frame["t_s"].to_numpy() * NS_PER_S).astype(np.int64), frame["rr_ms"].to_numpy())


def test_three_intervals_by_hand():
    nn = nn_from_rr(chained([800, 810, 790]))
    assert rmssd_ms(nn) == pytest.approx(np.sqrt((10**2 + 20**2) / 2))
    assert sdnn_ms(nn) == pytest.approx(10.0)
    assert mean_nn_ms(nn) == pytest.approx(800.0)
    assert pnn50_pct(nn) == 0.0


def test_exactly_fifty_is_not_more_than_fifty():
    """On a 10 ms grid ties are common, and binary fractions of 0.05 s must not decide them."""
    nn = nn_from_rr(chained([1000.1, 950.1, 1000.1, 949.1]))
    assert pnn50_pct(nn) == pytest.approx(100 / 3)


def test_no_difference_across_a_gap():
    early, late = chained([800, 805, 810]), chained([1000, 1005, 1010], start_ns=60 * NS_PER_S)
    joined = RrSeries(np.concatenate([early.t_ns, late.t_ns]), np.concatenate([early.rr_ms, late.rr_ms]))
    nn = nn_from_rr(joined)
    assert nn.follows_previous.tolist() == [False, True, True, False, True, True]
    assert rmssd_ms(nn) == pytest.approx(5.0)


def test_an_ectopic_pair_is_left_out_with_its_differences():
    rr = [800.0] * 10 + [560.0, 1040.0] + [800.0] * 10
    nn = nn_from_rr(chained(rr))
    assert nn.removed_count == 2
    assert rmssd_ms(nn) == 0.0
    assert nn.follows_previous.sum() == 9 + 9


def test_nothing_comes_of_nothing():
    empty = nn_from_rr(chained([]))
    assert len(empty) == 0
    assert np.isnan([mean_nn_ms(empty), sdnn_ms(empty), rmssd_ms(empty), pnn50_pct(empty)]).all()
    one = nn_from_rr(chained([800]))
    assert mean_nn_ms(one) == 800.0
    assert np.isnan([sdnn_ms(one), rmssd_ms(one)]).all()
    assert len(windows_of(empty, 300)) == 0


@pytest.mark.parametrize(
    "record",
    ["nsr001", "nsr020", "chf201", "chf220", "healthy000", "healthy003", "a01", "rest_rri", "mitdb101"],
)
def test_whole_recordings_equal_reference_values(recordings, record):
    golden = json.loads((recordings / "golden_records.json").read_text())[record]
    rr = recorded(recordings / f"{record}.csv.gz")
    nn = nn_from_rr(rr)
    assert len(rr) == golden["beats"]
    assert nn.removed_count / len(rr) == pytest.approx(golden["excluded"], rel=1e-12)
    ours = {"MeanNN": mean_nn_ms, "SDNN": sdnn_ms, "RMSSD": rmssd_ms, "pNN50": pnn50_pct}
    for name, function in ours.items():
        assert function(nn) == pytest.approx(golden[name], rel=1e-9), name


def test_windows_of_a_recording_equal_the_same_stretches_alone(recordings):
    nn = nn_from_rr(recorded(recordings / "nsr001.csv.gz"))
    windows = windows_of(nn, 300)
    for k in range(0, len(windows), 37):
        start_ns = int(windows.start_ns[k])
        rows = np.flatnonzero((nn.t_ns >= start_ns) & (nn.t_ns < start_ns + 300 * NS_PER_S))
        follows = nn.follows_previous[rows].copy()
        follows[0] = False
        alone = NnSeries(nn.t_ns[rows], nn.nn_ms[rows], follows)
        assert windows.n_beats[k] == len(rows)
        if np.isfinite(windows.values["rmssd_ms"][k]):
            assert windows.values["rmssd_ms"][k] == pytest.approx(rmssd_ms(alone), rel=1e-12)
        if np.isfinite(windows.values["sdnn_ms"][k]):
            assert windows.values["sdnn_ms"][k] == pytest.approx(sdnn_ms(alone), rel=1e-9)


def test_poor_windows_are_withheld_not_estimated():
    full = chained([1000.0, 1010.0] * 150)
    for kept, has_rmssd, has_sdnn in ((1.0, True, True), (0.6, True, False), (0.3, False, False)):
        n = int(len(full) * kept)
        windows = windows_of(nn_from_rr(RrSeries(full.t_ns[:n], full.rr_ms[:n])), 300)
        assert np.isfinite(windows.values["rmssd_ms"][0]) == has_rmssd
        assert np.isfinite(windows.values["sdnn_ms"][0]) == has_sdnn
        assert windows.coverage_frac[0] == pytest.approx(kept, abs=0.01)


intervals = st.lists(st.floats(300, 2000).map(lambda v: round(v * 1.024) / 1.024), min_size=2, max_size=60)


@given(rr_ms=intervals, shift_s=st.integers(0, 10**9))
def test_a_shift_in_time_changes_nothing(rr_ms, shift_s):
    here, there = nn_from_rr(chained(rr_ms)), nn_from_rr(chained(rr_ms, shift_s * NS_PER_S))
    for function in (mean_nn_ms, sdnn_ms, rmssd_ms, pnn50_pct):
        np.testing.assert_equal(function(here), function(there))


@given(rr_ms=intervals)
def test_kept_intervals_are_untouched_and_in_order(rr_ms):
    rr = chained(rr_ms)
    nn = nn_from_rr(rr)
    kept = is_normal(rr.rr_ms)
    np.testing.assert_array_equal(nn.nn_ms, rr.rr_ms[kept])
    np.testing.assert_array_equal(nn.t_ns, rr.t_ns[kept])
    assert nn.removed_count + len(nn) == len(rr)
    if len(nn):
        assert not nn.follows_previous[0]


@given(rr_ms=intervals, cuts=st.lists(st.integers(0, 59), max_size=4))
def test_windows_add_up(rr_ms, cuts):
    """However the beats are dealt out, every beat and no difference between windows is counted."""
    nn = nn_from_rr(chained(rr_ms))
    edges = np.concatenate([[0], np.sort(np.minimum(cuts, len(nn))), [len(nn)]]).astype(np.int64)
    first, last = edges[:-1], edges[1:]
    found = beats(nn, Segments(first, last, first, last))
    assert found.n_nn.sum() == len(nn)
    assert found.nn_total_ms.sum() == pytest.approx(nn.nn_ms.sum())
    within = np.isin(np.arange(len(nn)), first[first < last], invert=True)
    assert found.n_differences.sum() == (nn.follows_previous & within).sum()


def test_a_series_that_cannot_be_is_refused():
    with pytest.raises(DataError, match="strictly increasing"):
        RrSeries(np.array([2, 1]), np.array([800.0, 800.0]))
    with pytest.raises(DataError, match="positive"):
        RrSeries(np.array([1, 2]), np.array([800.0, np.nan]))
    with pytest.raises(ValueError, match="read-only"):
        chained([800, 810]).rr_ms[0] = 1
