"""Figures: exact values, gaps that stay gaps, bands that do not reach across them."""

import base64
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures import (
    NOT_COVERED,
    OUTSIDE,
    band_outline,
    coverage_figure,
    live_figure,
    night_figure,
    nightly_figure,
    runs,
    typed,
)
from features.nights import Nights, nocturnal_bounds_ns
from features.specs import spec_named
from features.windows import Windows
from models.baseline import Band
from store.nights import night_bounds_ns
from store.registry.flags import StoredFlag
from store.types import Flag
from store.units import NS_PER_S

FIRST = date(2026, 3, 1)
NOW_NS = 1_772_000_000 * NS_PER_S
ALL = slice(None)


def array_of(held: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(held["bdata"]), held["dtype"])


def nights_of(values: list[float], coverage: list[float] | None = None) -> Nights:
    n = len(values)
    days = tuple(FIRST + timedelta(days=k) for k in range(n))
    covered = np.array(coverage if coverage is not None else [0.9] * n)
    held = {"rmssd_ms": np.array(values), "mean_hr_bpm": np.array(values)}
    return Nights("S1", days, held, covered, ("",) * n, ("UTC",) * n)


def band_of(low: list[float], high: list[float]) -> Band:
    edges = np.array(low), np.array(high)
    return Band((edges[0] + edges[1]) / 2, *edges, np.zeros(len(low)), np.full(len(low), 20))


def flag_of(night: date) -> StoredFlag:
    return StoredFlag(1, "open", 0, Flag("S1", night, night, 5, 5, "below", (), 1.0, "rule/1", "abc"))


@given(st.lists(st.floats(allow_infinity=False, width=32)))
def test_typed_arrays_are_exact(values):
    held = np.array(values, np.float32)
    np.testing.assert_array_equal(array_of(typed(held)), held)


@given(st.lists(st.booleans()))
def test_runs_are_the_mask(mask):
    rebuilt = np.zeros(len(mask), bool)
    found = runs(np.array(mask, bool))
    for start, end in found:
        rebuilt[start:end] = True
    assert rebuilt.tolist() == mask
    assert all(first[1] < second[0] for first, second in pairwise(found))


@given(st.lists(st.one_of(st.just(float("nan")), st.floats(20, 40)), max_size=30))
def test_band_is_one_closed_polygon_per_run_and_never_reaches_a_gap(low):
    days = [FIRST + timedelta(days=k) for k in range(len(low))]
    edges = np.array(low, float)
    x, y = band_outline(days, edges, edges + 10)
    polygons = "|".join("none" if point is None else point for point in x).split("|none")
    drawn = [polygon.strip("|").split("|") for polygon in polygons if polygon.strip("|")]
    assert len(drawn) == len(runs(np.isfinite(edges)))
    assert all(polygon[0] == polygon[-1] for polygon in drawn)
    lost = {day.isoformat() for day, edge in zip(days, low, strict=True) if np.isnan(edge)}
    assert not lost & {point for polygon in drawn for point in polygon}
    assert [point is None for point in x] == [value is None for value in y]


def test_nights_outside_the_band_are_diamonds_of_another_colour_and_missing_ones_are_gaps():
    nights, band = nights_of([40, 25, float("nan"), 61]), band_of([30] * 4, [60] * 4)
    line = nightly_figure(spec_named("rmssd_ms"), nights, band, [], ALL)["data"][-1]
    assert line["marker"]["symbol"] == ["circle", "diamond", "circle", "diamond"]
    assert [color == OUTSIDE for color in line["marker"]["color"]] == [False, True, False, True]
    assert np.isnan(array_of(line["y"])).tolist() == [False, False, True, False]
    assert line["connectgaps"] is False
    assert line["hovertext"][1] == "Mon 2 Mar: 25 ms<br>own band 30 to 60, usual 45"


def test_while_learning_nothing_is_outside_and_no_band_is_drawn():
    nan = float("nan")
    figure = nightly_figure(
        spec_named("rmssd_ms"), nights_of([5, 500]), band_of([nan] * 2, [nan] * 2), [], ALL
    )
    assert figure["data"][0]["x"] == []
    assert set(figure["data"][-1]["marker"]["symbol"]) == {"circle"}
    assert "learning" in figure["data"][-1]["hovertext"][0]


def test_flags_in_sight_are_lines_with_a_shape():
    nights, band = nights_of([40] * 5), band_of([30] * 5, [60] * 5)
    flags = [flag_of(FIRST + timedelta(days=3)), flag_of(FIRST - timedelta(days=30))]
    layout = nightly_figure(spec_named("rmssd_ms"), nights, band, flags, ALL)["layout"]
    assert [line["x0"] for line in layout["shapes"]] == ["2026-03-04"]
    assert [mark["text"] for mark in layout["annotations"]] == ["◆"]


def test_a_night_without_data_is_drawn_as_missing_and_not_as_zero():
    figure = coverage_figure(nights_of([40, 40], [0.75, float("nan")]), 0.25, ALL)
    covered, missing = figure["data"]
    assert array_of(covered["y"]).tolist() == [75, 0]
    assert array_of(missing["y"]).tolist() == [25, 100]
    assert missing["marker"]["color"] == NOT_COVERED


def test_live_line_breaks_where_the_wearable_was_silent():
    t_ns = NOW_NS + np.array([0, 1, 2, 60, 61]) * NS_PER_S
    line = live_figure(t_ns, np.array([60.0, 61, 62, 70, 71]), NOW_NS + 61 * NS_PER_S, "UTC")["data"][0]
    y = array_of(line["y"])
    assert np.isnan(y).tolist() == [False, False, False, True, False, False]
    assert y[~np.isnan(y)].tolist() == [60, 61, 62, 70, 71]


def test_live_axis_ends_now_on_the_wall_clock_of_the_patient():
    none = np.empty(0, np.int64), np.empty(0)
    ends = {
        zone: live_figure(*none, NOW_NS, zone)["layout"]["xaxis"]["range"][1]
        for zone in ("UTC", "Asia/Kolkata")
    }
    assert ends["UTC"] == NOW_NS / 1e6
    assert ends["Asia/Kolkata"] - ends["UTC"] == 5.5 * 3600 * 1000


def test_live_figure_without_samples_says_so():
    layout = live_figure(np.empty(0, np.int64), np.empty(0), NOW_NS, "UTC")["layout"]
    assert layout["annotations"][0]["text"] == "No heart rate in the last five minutes"


@pytest.mark.parametrize(
    ("night", "said"),
    [
        (date(2026, 10, 25), ["Clocks changed by -1 h this night; the axis shows the later time"]),
        (date(2026, 3, 29), ["Clocks changed by +1 h this night; the axis shows the later time"]),
        (date(2026, 6, 1), []),
    ],
)
def test_time_never_runs_back_in_a_night_in_which_clocks_change(night, said, installation):
    zone, settings = "Europe/Berlin", installation.settings.features
    bounds_ns = night_bounds_ns(night, zone)
    t_ns = np.arange(*bounds_ns, 300 * NS_PER_S)
    values = dict.fromkeys(("mean_hr_bpm", "rmssd_ms"), np.full(len(t_ns), 50.0))
    counts = np.full(len(t_ns), 300)
    windows = Windows(t_ns, values, np.ones(len(t_ns)), counts, counts)
    figure = night_figure(windows, bounds_ns, nocturnal_bounds_ns(night, zone, settings), zone, 300)
    local_ms = array_of(figure["data"][0]["x"])
    assert (np.diff(local_ms) == 300_000).all()
    assert figure["layout"]["xaxis"]["range"][1] % 86_400_000 == 12 * 3_600_000
    assert [mark["text"] for mark in figure["layout"]["annotations"]] == said


def test_one_night_is_a_bar_of_a_day_on_an_axis_of_two_weeks():
    figure = coverage_figure(nights_of([40.0]), 0.25, ALL)
    assert figure["data"][0]["width"] > 43_200_000
    assert figure["layout"]["xaxis"]["range"] == ["2026-02-15T12:00", "2026-03-01T12:00"]
