"""Each family of HRV against its definition written out slowly, and what must not matter."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.interpolate import CubicSpline

from features.hrv import (
    HRV_SPECS,
    UNDEFINED,
    beats,
    clock_windows,
    entropy,
    fragmentation,
    geometry,
    hrv_table,
    lomb,
    multiscale_entropy,
    record_values,
    scaling,
    segments_between,
    welch,
    welch_density,
    whole,
)
from features.hrv.entropy import _count
from features.hrv.spectrum import _spline_kernel
from features.nn import cleaning_rule, nn_from_rr
from store.types import NnSeries, RrSeries
from store.units import NS_PER_MS, NS_PER_S

WINDOW_NS = 300 * NS_PER_S
ALL = [spec.name for spec in HRV_SPECS]


def heart(n: int, seed: int = 1, grid_ms: float = 1000 / 1024) -> np.ndarray:
    """Intervals with breathing, a slow wave and noise, on the grid of a chest strap."""
    noise = np.random.default_rng(seed).normal(0, 15, n)
    beat = np.arange(n)
    return np.round((850 + 40 * np.sin(beat / 2.1) + 60 * np.sin(beat / 31) + noise) / grid_ms) * grid_ms


def series(rr_ms: np.ndarray, start_ns: int = 0) -> NnSeries:
    t_ns = start_ns + np.round(np.cumsum(rr_ms) * NS_PER_MS).astype(np.int64)
    follows = np.ones(len(rr_ms), bool)
    follows[:1] = False
    return NnSeries(t_ns, np.asarray(rr_ms, float), follows)


def without(nn: NnSeries, removed: list[int]) -> NnSeries:
    kept = np.setdiff1d(np.arange(len(nn)), removed)
    follows = nn.follows_previous[kept] & np.isin(kept - 1, kept)
    return NnSeries(nn.t_ns[kept], nn.nn_ms[kept], follows, len(removed))


def windows(nn: NnSeries, origin_ns: int = 0):
    starts, ends = clock_windows(nn.t_ns, WINDOW_NS, WINDOW_NS, origin_ns)
    return segments_between(nn, starts, ends)


# --- entropies ------------------------------------------------------------------------------------------


def template_matches(nn: NnSeries, length: int, r_ms: float, last_start: int) -> tuple[int, list[float]]:
    """Pairs that match, and for each template the share that does, itself included."""
    joined = nn.follows_previous
    starts = [i for i in range(last_start + 1) if joined[i + 1 : i + length].all()]
    near = [
        [max(abs(nn.nn_ms[i + k] - nn.nn_ms[j + k]) for k in range(length)) <= r_ms for j in starts]
        for i in starts
    ]
    pairs = (sum(map(sum, near)) - len(starts)) // 2
    return pairs, [np.mean(row) for row in near]


def slow_entropies(nn: NnSeries) -> tuple[float, float]:
    r_ms = 0.2 * np.sqrt(np.sum((nn.nn_ms - nn.nn_ms.mean()) ** 2) / (len(nn) - 1))
    n, joined = len(nn), nn.follows_previous
    continued = [i for i in range(n - 2) if joined[i + 1 : i + 3].all()]
    b = sum(
        max(abs(nn.nn_ms[i + k] - nn.nn_ms[j + k]) for k in range(2)) <= r_ms
        for i, j in itertools.combinations(continued, 2)
    )
    a, share_3 = template_matches(nn, 3, r_ms, n - 3)
    _, share_2 = template_matches(nn, 2, r_ms, n - 2)
    sampen = -np.log(a / b) if a else np.nan
    apen = np.mean(np.log(share_2)) - np.mean(np.log(share_3)) if share_3 and share_2 else np.nan
    return sampen, apen


@given(
    ticks=st.lists(st.integers(780, 800), min_size=5, max_size=40),
    removed=st.lists(st.integers(0, 39), max_size=3),
)
def test_entropies_equal_brute_force_with_ties_and_breaks(ticks, removed):
    nn = without(series(np.array(ticks) * 1000 / 1024), [k for k in removed if k < len(ticks) - 4])
    found = entropy(nn, whole(nn))
    if len(nn) < 4 or np.ptp(nn.nn_ms) == 0:
        assert np.isnan([found.sampen[0], found.apen[0]]).all()
        return
    expected = slow_entropies(nn)
    np.testing.assert_allclose([found.sampen[0], found.apen[0]], expected, rtol=1e-12, atol=1e-12)
    alone = entropy(nn, whole(nn), with_apen=False)
    np.testing.assert_array_equal(alone.sampen, found.sampen)
    assert np.isnan(alone.apen[0])


def test_wide_ranks_count_as_narrow_ones():
    """Beyond 65,535 intervals ranks need 32 bits; the same loops must count the same."""
    n = 300
    rank = np.random.default_rng(3).permutation(n)
    low, width = np.maximum(rank - 20, 0), np.full(n, 40)
    joined = np.random.default_rng(4).random(n) > 0.02
    counted = []
    for kind in (np.uint16, np.uint32):
        pairs, each = np.zeros(2, np.int64), np.zeros((2, n), np.int64)
        _count(rank.astype(kind), low.astype(kind), width.astype(kind), joined, pairs, each)
        counted.append((pairs.tolist(), each.tolist()))
        alone = np.zeros(2, np.int64)
        _count(
            rank.astype(kind), low.astype(kind), width.astype(kind), joined, alone, np.zeros((2, 0), np.int64)
        )
        assert alone.tolist() == pairs.tolist()
    assert counted[0] == counted[1]
    assert counted[0][0][1] > 0


def test_multiscale_entropy_by_hand():
    x = heart(400)
    scales = multiscale_entropy(series(x), 3)
    r_ms = 0.15 * np.std(x, ddof=1)
    for scale in (1, 2, 3):
        coarse = x[: len(x) // scale * scale].reshape(-1, scale).mean(axis=1)
        templates = np.lib.stride_tricks.sliding_window_view(coarse, 3)
        apart = np.abs(templates[:, None] - templates[None])
        b = (apart[:, :, :2].max(axis=2) <= r_ms).sum() - len(templates)
        a = (apart.max(axis=2) <= r_ms).sum() - len(templates)
        assert scales[scale - 1] == pytest.approx(-np.log(a / b), rel=1e-12)


# --- spectra --------------------------------------------------------------------------------------------


def test_the_spline_is_that_of_scipy():
    nn = series(heart(60))
    t_s = nn.t_ns / NS_PER_S
    sampled = np.empty((1, 190))
    _spline_kernel(nn.t_ns, nn.nn_ms, np.zeros(1, np.int64), np.full(1, 60), sampled)
    expected = CubicSpline(t_s, nn.nn_ms)(t_s[0] + np.arange(190) / 4)
    np.testing.assert_allclose(sampled[0], expected, rtol=1e-11)


def slow_lomb_ms2(nn: NnSeries, low_hz: float, high_hz: float) -> float:
    """Scargle's formula, one frequency at a time, as a one-sided density 2 P T / N on 1 / (4 T)."""
    t, x, n = (nn.t_ns - nn.t_ns[0]) / NS_PER_S, nn.nn_ms - nn.nn_ms.mean(), len(nn)
    span = t[-1] * n / (n - 1)
    frequency = np.arange(1, int(np.ceil(0.4 * 4 * span)) + 2) / (4 * span)
    density = []
    for w in 2 * np.pi * frequency:
        tau = np.arctan2(np.sin(2 * w * t).sum(), np.cos(2 * w * t).sum()) / (2 * w)
        c, s = np.cos(w * (t - tau)), np.sin(w * (t - tau))
        density.append(((c @ x) ** 2 / (c @ c) + (s @ x) ** 2 / (s @ s)) * span / n)
    inside = frequency[(frequency > low_hz) & (frequency < high_hz)]
    at = np.concatenate([[low_hz], inside, [high_hz]])
    return float(np.trapezoid(np.interp(at, frequency, density), at))


@pytest.mark.parametrize(("seed", "n"), [(1, 350), (2, 60), (3, 1500)])
def test_the_fast_lomb_sums_equal_the_formula(seed, n):
    nn = without(series(heart(n, seed)), [10, 11, 30])
    found = lomb(nn, whole(nn))
    for ours, band in (
        (found.vlf_ms2, (0.0033, 0.04)),
        (found.lf_ms2, (0.04, 0.15)),
        (found.hf_ms2, (0.15, 0.4)),
    ):
        assert ours[0] == pytest.approx(slow_lomb_ms2(nn, *band), rel=1e-7)


@pytest.mark.parametrize("method", [welch, lomb])
def test_a_sine_of_amplitude_35_adds_its_half_square(method):
    """EC57: the power of a sine of amplitude A is A^2 / 2, here 612.5 ms^2 at 0.25 Hz."""
    t, intervals = 0.0, []
    while t < 300:
        intervals.append(800 + 35 * np.sin(2 * np.pi * 0.25 * t))
        t += intervals[-1] / 1000
    nn = series(np.array(intervals))
    assert method(nn, whole(nn)).hf_ms2[0] == pytest.approx(612.5, rel=0.02)


def test_the_drawn_density_holds_the_power():
    nn = series(heart(340))
    frequency_hz, density = welch_density(nn)
    at = np.concatenate([[0.15], frequency_hz[(frequency_hz > 0.15) & (frequency_hz < 0.4)], [0.4]])
    power = np.trapezoid(np.interp(at, frequency_hz, density), at)
    assert power == pytest.approx(welch(nn, whole(nn)).hf_ms2[0], rel=1e-12)
    assert len(welch_density(series(heart(3)))[0]) == 0


def test_beats_scattered_over_a_year_make_no_spectrum():
    nn = NnSeries(np.arange(10) * 10**15, np.full(10, 800.0), np.zeros(10, bool))
    assert np.isnan(welch(nn, whole(nn)).hf_ms2[0])
    assert np.isnan(lomb(nn, whole(nn)).hf_ms2[0])


# --- scaling, fragmentation, geometry -------------------------------------------------------------------


def test_scaling_equals_fits_of_each_box():
    x = heart(300, 5)
    profile = np.cumsum(x - x.mean())

    def slope(low: int, high: int) -> float:
        log_f = []
        for scale in range(low, high + 1):
            boxes = profile[: len(x) // scale * scale].reshape(-1, scale)
            fits = np.polyfit(np.arange(scale), boxes.T, 1)
            left = boxes - (fits[0][:, None] * np.arange(scale) + fits[1][:, None])
            log_f.append(0.5 * np.log10(np.mean(left**2)))
        return float(np.polyfit(np.log10(np.arange(low, high + 1)), log_f, 1)[0])

    found = scaling(series(x), whole(series(x)))
    assert found.dfa_a1[0] == pytest.approx(slope(4, 16), rel=1e-9)
    assert found.dfa_a2[0] == pytest.approx(slope(16, 64), rel=1e-9)


def test_fragmentation_by_hand():
    """d = +10 +10 +10 -5 +5 -5 +5 0 -7: seven inflections of ten NN, a run of 3 and one alternation of 5."""
    steps = [10, 10, 10, -5, 5, -5, 5, 0, -7]
    found = fragmentation(
        series(800.0 + np.cumsum([0, *steps])), whole(series(800.0 + np.cumsum([0, *steps])))
    )
    assert found.pip_pct[0] == pytest.approx(60.0)
    assert found.ials[0] == pytest.approx(6 / 8)
    assert found.pss_pct[0] == pytest.approx(70.0)
    assert found.pas_pct[0] == pytest.approx(50.0)


def test_triangle_and_stress_by_hand():
    """Counts 1 2 3 2 1 of bins of 1/128 s are a triangle of base 6 bins."""
    bins = np.repeat([100, 101, 102, 103, 104], [1, 2, 3, 2, 1]) + 0.5
    found = geometry(series(bins * 1000 / 128), whole(series(bins * 1000 / 128)))
    assert found.hti[0] == pytest.approx(3.0)
    assert found.tinn_ms[0] == pytest.approx(6 * 1000 / 128)


@given(
    st.lists(
        st.sampled_from([500.0, 507.8125, 600.0, 650.5, 799.99, 800.0, 812.5, 901.0]), min_size=2, max_size=30
    )
)
def test_triangle_and_stress_equal_the_search_of_all_triangles(nn_ms):
    at = np.floor(np.round(np.array(nn_ms) / 7.8125, 9)).astype(int)
    heights = np.bincount(at - at.min() + 1, minlength=at.max() - at.min() + 3)
    apex, places = int(np.argmax(heights)), np.arange(len(heights))
    errors = {}
    for n, m in itertools.product(range(apex), range(apex + 1, len(heights))):
        triangle = heights[apex] * np.minimum((places - n) / (apex - n), (m - places) / (m - apex))
        errors[n, m] = np.sum((heights - np.maximum(triangle, 0)) ** 2)
    found = geometry(series(np.array(nn_ms)), whole(series(np.array(nn_ms))))
    best = {(m - n) * 7.8125 for (n, m), error in errors.items() if error < min(errors.values()) + 1e-6}
    assert found.tinn_ms[0] in best
    mode = 100 * np.bincount(np.floor(np.array(nn_ms) / 50).astype(int)).max() / len(nn_ms)
    span_s = (max(nn_ms) - min(nn_ms)) / 1000
    expected = mode / (2 * np.median(nn_ms) / 1000 * span_s) if span_s else np.nan
    np.testing.assert_allclose(found.stress_index[0], expected)


def test_poincare_and_asymmetry_by_hand():
    nn = series(np.array([800.0, 830, 820, 850, 790]))
    found = beats(nn, whole(nn))
    d = np.array([30, -10, 30, -60])
    assert found.sd1_ms[0] == pytest.approx(np.std(d, ddof=1) / np.sqrt(2))
    assert found.guzik_pct[0] == pytest.approx(100 * 1800 / 5500)
    assert found.porta_pct[0] == pytest.approx(50.0)
    assert found.pnn50_pct[0] == pytest.approx(25.0)


# --- what must not matter -------------------------------------------------------------------------------


def table_of(nn: NnSeries, segments) -> np.ndarray:
    found = hrv_table(nn, segments)
    return np.array([found.values[name] for name in ALL])


LONG = series(heart(2200, 7))


@given(shift_windows=st.integers(0, 5_000_000))
def test_a_shift_by_whole_windows_changes_nothing(shift_windows):
    shifted = NnSeries(LONG.t_ns + shift_windows * WINDOW_NS, LONG.nn_ms, LONG.follows_previous)
    # Times since the first beat are the same integers, so that not even the last digit moves.
    np.testing.assert_array_equal(table_of(shifted, windows(shifted)), table_of(LONG, windows(LONG)))


@given(first=st.integers(0, 3), last=st.integers(4, 6), factor=st.sampled_from([1.0, 1.3]))
def test_a_window_does_not_depend_on_what_is_outside(first, last, factor):
    """Nor does it matter in how many chunks a recording is scored."""
    segments = windows(LONG)
    start_ns, end_ns = int(segments.start_ns[first]), int(segments.end_ns[last])
    inside = (LONG.t_ns >= start_ns) & (LONG.t_ns < end_ns)
    other = NnSeries(LONG.t_ns, np.where(inside, LONG.nn_ms, LONG.nn_ms * factor), LONG.follows_previous)
    alone = NnSeries(LONG.t_ns[inside], LONG.nn_ms[inside], LONG.follows_previous[inside])
    whole_table = table_of(LONG, segments)[:, first : last + 1]
    np.testing.assert_array_equal(table_of(other, segments)[:5, first : last + 1], whole_table[:5])
    kept = segments_between(alone, segments.start_ns[first : last + 1], segments.end_ns[first : last + 1])
    np.testing.assert_allclose(table_of(alone, kept), whole_table, rtol=1e-9)
    np.testing.assert_allclose(table_of(other, segments)[:, first : last + 1], whole_table, rtol=1e-9)


@given(factor=st.sampled_from([0.5, 2.0]))
def test_units_scale_and_shapes_do_not(factor):
    nn = series(heart(400, grid_ms=1.0))
    scaled = NnSeries(nn.t_ns, nn.nn_ms * factor, nn.follows_previous)
    here, there = beats(nn, whole(nn)), beats(scaled, whole(nn))
    for name in ("sdnn_ms", "rmssd_ms", "sdsd_ms", "sd1_ms", "sd2_ms", "mean_nn_ms"):
        assert getattr(there, name)[0] == pytest.approx(factor * getattr(here, name)[0], rel=1e-9)
    assert there.guzik_pct[0] == pytest.approx(here.guzik_pct[0], rel=1e-9)
    assert entropy(scaled, whole(nn)).sampen[0] == pytest.approx(entropy(nn, whole(nn)).sampen[0], rel=1e-12)
    assert scaling(scaled, whole(nn)).dfa_a1[0] == pytest.approx(scaling(nn, whole(nn)).dfa_a1[0], rel=1e-9)
    assert welch(scaled, whole(nn)).hf_ms2[0] == pytest.approx(
        factor**2 * welch(nn, whole(nn)).hf_ms2[0], rel=1e-9
    )


@given(removed=st.lists(st.integers(1, 398), min_size=1, max_size=30, unique=True))
def test_beats_on_both_sides_of_a_removed_one_are_never_joined(removed):
    nn = series(heart(400, grid_ms=1.0))
    left = without(nn, sorted(removed))
    d = np.diff(nn.nn_ms)
    valid = [k for k in range(399) if k not in removed and k + 1 not in removed]
    expected = np.sqrt(np.mean(d[valid] ** 2)) if valid else np.nan
    assert beats(left, whole(left)).rmssd_ms[0] == pytest.approx(expected, rel=1e-9)


# --- degenerate stretches -------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["none", "median20"])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 4])
def test_few_beats_give_reasons_not_numbers(rule, n):
    rr_ms = np.array([800.0, 810, 790, 805])[:n]
    nn = cleaning_rule(rule)(RrSeries(np.cumsum(rr_ms).astype(np.int64) * NS_PER_MS, rr_ms))
    found = hrv_table(nn, segments_between(nn, np.zeros(1, np.int64), np.full(1, WINDOW_NS)))
    assert np.isnan([found.values[name][0] for name in ALL]).all()
    assert set(found.withheld(0)) == set(ALL)
    assert all(found.withheld(0).values())
    table, of_record = record_values(nn, with_entropies=True)
    assert np.isnan(list(of_record.values())).all()
    assert not np.isinf([values[0] for values in table.values.values()]).any()


def test_a_constant_heart_has_no_entropy_and_says_so():
    nn = series(np.full(374, 800.0))
    found = hrv_table(nn, windows(nn))
    assert found.values["rmssd_ms"][0] == found.values["sdnn_ms"][0] == 0
    for name in ("sampen", "apen", "dfa_a1", "lf_hf", "ln_rmssd", "guzik_pct"):
        assert np.isnan(found.values[name][0])
        assert found.withheld(0)[name] == UNDEFINED


def test_a_stretch_of_artefacts_alone_is_empty():
    rr = RrSeries(np.arange(1, 300) * NS_PER_S, np.full(299, 250.0))
    nn = nn_from_rr(rr)
    found = hrv_table(nn, segments_between(nn, np.zeros(1, np.int64), np.full(1, WINDOW_NS)))
    assert len(nn) == 0
    assert np.isnan([found.values[name][0] for name in ALL]).all()
    assert "coverage 0.00" in found.withheld(0)["sdnn_ms"]


def test_intervals_of_any_size_never_give_infinity():
    nn = series(np.array([1e-3, 1e6, 5.0, 1e8, 800.0] * 50))
    found = hrv_table(nn, whole(nn))
    assert not np.isinf(np.array([values[0] for values in found.values.values()])).any()


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_million_beats_in_one_stretch():
    nn = series(heart(1_000_000))
    table, values = record_values(nn)
    assert table.values["rmssd_ms"][0] == pytest.approx(np.sqrt(np.mean(np.diff(nn.nn_ms) ** 2)), rel=1e-9)
    assert np.isfinite([table.values["hf_ms2"][0], table.values["lomb_hf_ms2"][0], values["sdann_ms"]]).all()
    assert table.values["tinn_ms"][0] > 0
