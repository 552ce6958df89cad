"""Night by night against a person's own normal: tiles, flags, charts."""

from collections.abc import Callable, Sequence

import numpy as np
from dash import html
from dash.development.base_component import Component

from configs.settings import FlagSettings
from dashboard.caseload import SHOWN_NIGHTS, Patient
from dashboard.charts import Chart, aria, table_of
from dashboard.figures import Mark
from dashboard.gate import signed_in_user
from dashboard.markers import MARKERS, Marker, Series, outside_counts, recent_median
from dashboard.routes import ROLES, flag_path
from dashboard.trend_figures import assessments_figure, band_words, series_figure
from dashboard.words import MISSING, date_text, day_text, flag_shape, number_text, percent_text, sentence_case
from features.specs import spec_named
from models.clinic import chance_words
from models.verdict import LOOKED_DAYS
from store.instruments import INSTRUMENTS
from store.registry.assessments import Assessment
from store.registry.flags import StoredFlag

_KEYS = ("hrv", "heart", "sleep", "timing", "activity")
_CHART_IDS = {"hrv": "rmssd-chart", "heart": "mean-chart"}
_MANY_NIGHTS = 5
"""Of the last seven beyond the own band: drawn so that it is seen."""
_HEIGHTS_PX = {"hrv": 170}


def tiles(patient: Patient, settings: FlagSettings) -> list[Component]:
    """Return six numbers of the last nights: value, against the own band, and whether the data suffice."""
    judged = LOOKED_DAYS
    return [*(_marker_tile(patient, key, settings) for key in _KEYS), _recorded_tile(patient, judged)]


def _marker_tile(patient: Patient, key: str, settings: FlagSettings) -> Component:
    series, judged = patient.series.get(key), LOOKED_DAYS
    if series is None:
        marker = next(marker for marker in MARKERS if marker.key == key)
        return _tile(marker.label, MISSING, "", "not recorded so far", "quiet")
    marker, band = series.marker, series.band
    value, held = recent_median(series, judged)
    if not held:
        said = f"no value in {judged} nights" if len(patient.nights) else "no night yet"
        return _tile(marker.label, MISSING, "", said, "quiet", _learning(series, settings))
    usual, low, high = (float(edge[-1]) for edge in (band.usual, band.low, band.high))
    number, unit = _apart(marker, value)
    if np.isnan(usual):
        return _tile(marker.label, number, unit, _learning(series, settings), "quiet", _held(held, judged))
    below, above = outside_counts(series, judged)
    side = "above" if above > below else "below"
    shape = {"above": "▲", "below": "▼"}[side] if below + above else ""
    is_many = max(below, above) >= _MANY_NIGHTS
    counted = f"{max(below, above)} of {held} nights {side} own band" if below + above else "within own band"
    difference = marker.difference_said(value, usual)
    return _tile(
        marker.label,
        number,
        unit,
        f"{shape} {counted}".strip(),
        "outside" if is_many else "said",
        f"{difference + ', ' if difference else ''}{band_words(marker, low, high, usual)}",
    )


def _apart(marker: Marker, value: float) -> tuple[str, str]:
    """Return number and unit apart, so that the unit can be small."""
    said = marker.said(value)
    unit = f" {marker.unit}"
    if marker.unit and said.endswith(unit):
        return said.removesuffix(unit), marker.unit
    return said, ""


def _learning(series: Series, settings: FlagSettings) -> str:
    known = int(series.band.valid_nights[-1])
    return (
        ""
        if known >= settings.min_valid_nights
        else f"own band: learning, {known} of {settings.min_valid_nights} nights"
    )


def _held(held: int, judged: int) -> str:
    return f"median of {held} of the last {judged} nights"


def _recorded_tile(patient: Patient, judged: int) -> Component:
    nights = patient.nights
    needed = spec_named("rmssd_ms").min_coverage_frac
    recent = np.nan_to_num(nights.coverage_frac[-judged:])
    enough = int((recent >= needed).sum())
    mean = percent_text(float(recent.mean())) if len(recent) else MISSING
    return _tile(
        f"Recorded, last {judged} nights",
        mean,
        "",
        f"{enough} of {judged} nights enough to judge",
        "said" if enough * 2 > judged else "short",
        f"a night needs {percent_text(needed)}",
    )


def _tile(label: str, number: str, unit: str, said: str, look: str, quiet: str = "") -> Component:
    return html.Section(
        [
            html.H2(label),
            html.P([number, html.Span(f" {unit}", className="unit") if unit else None], className="big"),
            html.P(said, className=look),
            html.P(quiet, className="quiet") if quiet else None,
        ],
        className="card tile",
    )


def flags_panel(patient: Patient) -> Component:
    """Return the flags, newest first, each with its reason, rule and how complete the data were."""
    if patient.flags:
        listed: Component = html.Ol([_flag(stored) for stored in patient.flags], className="flags")
    else:
        listed = html.P(
            ["No flag so far. ", html.Span("A missing flag is no reassurance.", className="quiet")]
        )
    return html.Section([html.H2("Flags, newest first"), listed], className="card flags-card")


def _flag(stored: StoredFlag) -> Component:
    flag = stored.flag
    how = (
        f"Score {number_text(flag.score, 2)}, raised at {number_text(flag.threshold, 2)} · "
        f"{percent_text(flag.coverage_frac)} of the judged nights had enough data · "
        f"{chance_words(flag.chance_frac)} · "
        f"{flag.detector_id} {flag.model_version[:8]}, settings {flag.config_hash[:8]}"
        if flag.kind == "change"
        else f"A matter of contact or the wearable, no change of the person · {flag.detector_id}"
    )
    worse = "" if stored.worse_night is None else f" · worse on {day_text(stored.worse_night)}"
    owner = f" · {stored.assigned_to}" if stored.assigned_to else ""
    return html.Li(
        [
            html.Span(flag_shape(flag.kind), className="flag-shape", **aria(hidden="true")),
            _flag_link(stored),
            html.Span(f"{stored.state}{owner}", className="state"),
            html.Span(f"since {day_text(flag.since)}{worse}", className="quiet since"),
            html.P(f"{sentence_case(flag.reason)}."),
            html.P(how, className="quiet"),
        ]
    )


def _flag_link(stored: StoredFlag) -> Component:
    """Return the day of a flag, a link to its review for those who review."""
    day = date_text(stored.flag.night)
    is_reviewer = signed_in_user().role in ROLES["flag"]
    return html.A(day, href=flag_path(stored.flag_id), className="strong") if is_reviewer else html.B(day)


def trend_charts(
    patient: Patient, marks: Sequence[Mark] = (), assessments: Sequence[Assessment] = ()
) -> list[Component]:
    """Return the nightly charts of the last months, one axis of nights below the other."""
    if not len(patient.nights):
        said = "No night yet. A night appears here after it is over and its beats have arrived."
        return [html.Section([html.H2("Nights"), html.P(said, className="quiet")], className="card")]
    charts = [_series_chart(patient, patient.series[key], marks) for key in _KEYS if key in patient.series]
    scales = [_assessments_chart(patient, assessments, marks)] if assessments else []
    return [*_older(patient), *charts, *scales]


def _older(patient: Patient) -> list[Component]:
    """Say so where the charts end with the newest recorded night because nothing came since."""
    end = patient.shown_end
    if end == len(patient.nights):
        return []
    said = (
        f"Nothing was recorded in the last {SHOWN_NIGHTS} nights. "
        f"The charts below end with the newest recorded night, {date_text(patient.nights.nights[end - 1])}."
    )
    return [html.P(said, className="card notice older")]


def _series_chart(patient: Patient, series: Series, marks: Sequence[Mark]) -> Component:
    marker, band = series.marker, series.band
    cells = np.stack([series.values, band.usual, band.low, band.high], 1).tolist()
    rows = _night_rows(patient, lambda at: [marker.said(value, 1) for value in cells[at]])
    return Chart(
        chart_id=_CHART_IDS.get(marker.key, f"{marker.key}-chart"),
        heading=marker.heading,
        key=_key(series, patient.shown) if marker.key == "hrv" else "",
        sentence=_series_sentence(patient, series),
        figure=series_figure(series, patient.nights.nights, patient.shown, marks),
        height_px=_HEIGHTS_PX.get(marker.key, 138),
        table=table_of(["Night to", marker.label, "Usual", "Band from", "Band to"], rows),
    ).card()


def _key(series: Series, shown: slice) -> str:
    hollow = " · hollow: another sensor" if series.is_other[shown].any() else ""
    return f"shaded: own band · diamond: outside it{hollow}"


def _series_sentence(patient: Patient, series: Series) -> str:
    marker, shown = series.marker, patient.shown
    values, days = series.values[shown], patient.nights.nights[shown]
    if not np.isfinite(values).any():
        return f"{marker.label} by night: no night with enough data yet."
    outside, newest = int(series.is_outside[shown].sum()), int(np.flatnonzero(np.isfinite(values))[-1])
    low, high, usual = (
        float(edge[shown][newest]) for edge in (series.band.low, series.band.high, series.band.usual)
    )
    own = "own band: learning" if np.isnan(usual) else band_words(marker, low, high, usual)
    return (
        f"{marker.label} of {int(np.isfinite(values).sum())} nights, {len(values)} shown; "
        f"{outside} outside the own band. Newest, {day_text(days[newest])}: "
        f"{marker.said(float(values[newest]))}, {own}."
    )


def _assessments_chart(
    patient: Patient, assessments: Sequence[Assessment], marks: Sequence[Mark]
) -> Component:
    days = patient.nights.nights[patient.shown]
    shown = [each for each in assessments if days[0] <= each.on <= days[-1]] or list(assessments[-1:])
    newest = max(assessments, key=lambda each: each.on)
    rows = [
        [
            date_text(each.on),
            each.instrument,
            str(each.total),
            str(INSTRUMENTS[each.instrument].highest_total),
        ]
        for each in sorted(assessments, key=lambda each: each.on, reverse=True)
    ]
    names = ", ".join(sorted({each.instrument for each in shown}))
    return Chart(
        chart_id="assessments-chart",
        heading="Assessments",
        key=f"{names}, labelled with the total",
        sentence=(
            f"{len(shown)} assessments ({names}) in the time shown. Newest: {newest.instrument} on "
            f"{date_text(newest.on)}, {newest.total} of {INSTRUMENTS[newest.instrument].highest_total}."
        ),
        figure=assessments_figure(shown, days, marks),
        height_px=140,
        table=table_of(["Day", "Scale", "Total", "Highest"], rows),
    ).card()


def _night_rows(patient: Patient, cells: Callable[[int], list[str]]) -> list[list[str]]:
    """Return one row for each night shown, newest first."""
    shown = range(len(patient.nights))[patient.shown]
    return [[date_text(patient.nights.nights[at]), *cells(at)] for at in reversed(shown)]
