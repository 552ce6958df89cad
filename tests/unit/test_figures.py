"""Figures: exact values, gaps that stay gaps, bands that do not reach across them."""

import base64
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.figures import OUTSIDE, marks_of, runs, typed
from dashboard.markers import MARKERS, Series
from dashboard.night_figures import Hypnogram, live_figure, night_figure
from dashboard.rasters import NOT_RECORDED, activity_figure, heart_figure, sleep_figure, worn_figure
from dashboard.trend_figures import assessments_figure, band_outline, series_figure
from features.nights import nocturnal_bounds_ns
from features.windows import Windows
from models.baseline import Band
from store.nights import night_bounds_ns
from store.registry.annotations import Annotation
from store.registry.assessments import Assessment
from store.registry.flags import StoredFlag
from store.types import Flag
from store.units import NS_PER_S

FIRST = date(2026, 3, 1)
NOW_NS = 1_772_000_000 * NS_PER_S
ALL = slice(None)


def array_of(held: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(held["bdata"]), held["dtype"])


def days_of(n: int) -> list[date]:
    return [FIRST + timedelta(days=k) for k in range(n)]


def series_of(values: list[float], band: Band) -> Series:
    return Series(MARKERS[0], np.array(values), band, np.zeros(len(values), np.bool_))


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
    series = series_of([40, 25, float("nan"), 61], band_of([30] * 4, [60] * 4))
    line = series_figure(series, days_of(4), ALL, [])["data"][-1]
    assert line["marker"]["symbol"] == ["circle", "diamond", "circle", "diamond"]
    assert [color == OUTSIDE for color in line["marker"]["color"]] == [False, True, False, True]
    assert np.isnan(array_of(line["y"])).tolist() == [False, False, True, False]
    assert line["connectgaps"] is False
    assert line["hovertext"][1] == "Mon 2 Mar: 25 ms<br>own band 30 to 60, usual 45"


def test_while_learning_nothing_is_outside_and_no_band_is_drawn():
    nan = float("nan")
    figure = series_figure(series_of([5, 500], band_of([nan] * 2, [nan] * 2)), days_of(2), ALL, [])
    assert figure["data"][0]["x"] == []
    assert set(figure["data"][-1]["marker"]["symbol"]) == {"circle"}
    assert "learning" in figure["data"][-1]["hovertext"][0]


def test_a_night_by_another_sensor_is_hollow_and_compared_with_nothing():
    series = replace(series_of([40, 99], band_of([30] * 2, [60] * 2)), is_other=np.array([False, True]))
    night = series_figure(series, days_of(2), ALL, [])["data"][-1]
    assert night["marker"]["symbol"] == ["circle", "circle-open"]
    assert "by another sensor" in night["hovertext"][1]
    assert "own band 30 to 60" in night["hovertext"][0]


def test_flags_medication_sensors_and_life_events_in_sight_are_lines_with_shapes_of_their_own():
    flags = [flag_of(FIRST + timedelta(days=3)), flag_of(FIRST - timedelta(days=30))]
    notes = [
        Annotation("S1", "medication", FIRST, "lithium 450 mg"),
        Annotation("S1", "life_event", FIRST + timedelta(days=4), "moved house"),
    ]
    marks = marks_of(flags, notes, {FIRST + timedelta(days=2): "Other maker"})
    layout = series_figure(series_of([40] * 5, band_of([30] * 5, [60] * 5)), days_of(5), ALL, marks)["layout"]
    assert [line["x0"] for line in layout["shapes"]] == [
        "2026-03-01",
        "2026-03-03",
        "2026-03-04",
        "2026-03-05",
    ]
    assert [mark["text"] for mark in layout["annotations"]] == ["▼", "⇄", "◆", "★"]
    assert "lithium 450 mg" in layout["annotations"][0]["hovertext"]
    assert "Other maker" in layout["annotations"][1]["hovertext"]
    down = heart_figure(np.full((5, 96), 60.0), days_of(5), marks)["layout"]
    assert [mark["text"] for mark in down["annotations"]] == ["▼", "⇄", "◆", "★"]


def test_what_was_not_recorded_is_a_gap_on_ground_of_its_own_colour_and_never_a_low_rate():
    bpm = np.full((2, 96), 60.0)
    bpm[1, 40:] = np.nan
    figure = heart_figure(bpm, days_of(2), [])
    drawn = array_of(figure["data"][0]["z"]).reshape(2, 96)
    assert np.isnan(drawn[1, 40:]).all()
    assert (drawn[0] == 60).all()
    assert figure["layout"]["plot_bgcolor"] == NOT_RECORDED


def test_rest_and_activity_are_plotted_twice_and_not_worn_is_apart_from_rest():
    activity = np.arange(3 * 288, dtype=float).reshape(3, 288)
    activity[0, :10] = 0
    activity[1, 5] = np.nan
    trace = activity_figure(activity, days_of(3), [])["data"][0]
    drawn = array_of(trace["z"]).reshape(3, 576)
    assert (drawn[0, 288:] == drawn[1, :288]).all()
    assert (drawn[0, :10] == 0).all()
    assert drawn[1, 5] == 255
    assert (drawn[2, 288:] == 255).all()
    assert trace["dx"] == 5 * 60_000


def test_sleep_stages_have_colours_in_the_order_of_the_legend():
    stages = np.array([[0, 1, 2, 3, 255] + [0] * 283], np.uint8)
    figure = sleep_figure(stages, days_of(1), [])
    trace = figure["data"][0]
    assert array_of(trace["z"])[:5].tolist() == [0, 1, 2, 3, 4]
    at = [color for edge, color in trace["colorscale"][::2]]
    assert at[-1] == NOT_RECORDED
    assert len(set(at)) == 5


def test_hours_without_data_are_named_with_their_reasons():
    share = np.full((24, 2), np.nan)
    share[:, 0] = 1
    said = [["% recorded", "% recorded; not worn 60 min"]] * 24
    trace = worn_figure(share, days_of(2), said, [])["data"][0]
    assert array_of(trace["z"]).reshape(24, 2)[:, 1].tolist() == [0] * 24
    assert trace["text"][3][1] == "% recorded; not worn 60 min"


def test_scales_share_the_axis_of_the_nights_and_are_labelled_with_their_totals():
    scales = [
        Assessment("S1", "GAD-7", FIRST, (), 7),
        Assessment("S1", "PHQ-9", FIRST, (), 9),
        Assessment("S1", "PHQ-9", FIRST + timedelta(days=2), (), 18),
    ]
    figure = assessments_figure(scales, days_of(5), [])
    phq, gad = figure["data"]
    assert phq["text"] == ["9", "18"]
    assert [round(y, 1) for y in phq["y"]] == [33.3, 66.7]
    assert gad["text"] == ["7"]
    nights = series_figure(series_of([40] * 5, band_of([30] * 5, [60] * 5)), days_of(5), ALL, [])
    assert figure["layout"]["xaxis"]["range"] == nights["layout"]["xaxis"]["range"]


def test_a_hypnogram_stands_above_the_night_and_unscored_minutes_are_gaps():
    stages = np.array([0, 0, 1, 1, -1, 3, 4], np.int8)
    none = np.empty(0)
    windows = Windows(
        np.empty(0, np.int64), dict.fromkeys(("mean_hr_bpm", "rmssd_ms"), none), none, none, none
    )
    span = (NOW_NS, NOW_NS + 86_400 * NS_PER_S)
    figure = night_figure(windows, span, span, "UTC", 300, Hypnogram(NOW_NS, stages))
    levels = figure["data"][0]["y"][::2]
    assert levels == [3.0, 1.0, None, 0.0, 2.0]
    assert len([name for name in figure["layout"] if name.startswith("yaxis")]) == 4


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


def test_one_night_stands_on_an_axis_of_two_weeks():
    figure = series_figure(series_of([40.0], band_of([30], [60])), days_of(1), ALL, [])
    assert figure["layout"]["xaxis"]["range"] == ["2026-02-15T12:00", "2026-03-01T12:00"]
