"""Night by night against a person's own normal: tiles, flags, charts."""

from collections.abc import Callable, Sequence

import numpy as np
from dash import html
from dash.development.base_component import Component

from configs.settings import FlagSettings
from dashboard.caseload import SHOWN_NIGHTS, Patient
from dashboard.charts import Chart, aria, table_of
from dashboard.figures import coverage_figure, nightly_figure
from dashboard.words import (
    MISSING,
    date_text,
    day_text,
    digits_apart,
    number_text,
    percent_text,
    sentence_case,
    span_text,
)
from features.specs import FeatureSpec, spec_named
from store.registry.flags import StoredFlag


def tiles(patient: Patient, settings: FlagSettings) -> list[Component]:
    """Return the newest night in numbers: value, against own normal, and whether the data suffice."""
    nights = patient.nights
    if not len(nights):
        return [_tile("Last night", [MISSING], "No night yet")]
    night = day_text(nights.nights[-1])
    rmssd = spec_named("rmssd_ms")
    recent = nights.coverage_frac[-settings.judged_nights :]
    enough = int((np.nan_to_num(recent, nan=0.0) >= rmssd.min_coverage_frac).sum())
    return [
        _feature_tile(patient, rmssd, night, settings),
        _feature_tile(patient, spec_named("mean_hr_bpm"), night, settings),
        _tile(
            f"Recorded, night to {night}",
            [percent_text(float(nights.coverage_frac[-1]))],
            nights.reasons[-1] or f"Enough to judge ({percent_text(rmssd.min_coverage_frac)} needed)",
        ),
        _tile(
            f"Nights with enough data, of the last {settings.judged_nights}",
            [str(enough)],
            f"{settings.nights_outside} needed to judge a change",
        ),
    ]


def _feature_tile(patient: Patient, spec: FeatureSpec, night: str, settings: FlagSettings) -> Component:
    value, band = float(patient.nights.values[spec.name][-1]), patient.bands[spec.name]
    low, high, usual = (float(edge[-1]) for edge in (band.low, band.high, band.usual))
    digits = digits_apart(value, low, high)
    own = f"own band {span_text(low, high, digits)} (usual {number_text(usual, digits)})"
    if np.isnan(usual):
        own = f"own band: learning, {band.valid_nights[-1]} of {settings.min_valid_nights} nights"
    is_outside = value < low or value > high
    if np.isnan(value):
        is_empty = np.isnan(patient.nights.coverage_frac[-1])
        said = f"{patient.nights.reasons[-1] if is_empty else 'Too little data'}; {own}"
    elif np.isnan(usual):
        said = sentence_case(own)
    else:
        said = f"{'▼ Below' if value < low else '▲ Above' if value > high else 'Within'} {own}"
    return _tile(
        f"{spec.label}, night to {night}",
        [number_text(value, digits), spec.unit],
        said,
        is_outside=is_outside,
    )


def _tile(label: str, value: Sequence[str], said: str, *, is_outside: bool = False) -> Component:
    unit = html.Span(f" {value[1]}", className="unit") if len(value) > 1 else None
    return html.Section(
        [
            html.H2(label),
            html.P([value[0], unit], className="big"),
            html.P(said, className="outside" if is_outside else "said"),
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
    return html.Section([html.H2("Flags, newest first"), listed], className="card")


def _flag(stored: StoredFlag) -> Component:
    flag = stored.flag
    how = (
        f"{number_text(flag.score)} nights outside, {number_text(flag.threshold)} needed · "
        f"{percent_text(flag.coverage_frac)} of the judged nights had enough data · "
        f"rule {flag.detector_id}, settings {flag.config_hash[:8]}"
    )
    return html.Li(
        [
            html.Span("◆", className="flag-shape", **aria(hidden="true")),
            html.B(date_text(flag.night)),
            html.Span(stored.state, className="state"),
            html.P(f"{sentence_case(flag.reason)}. Since {day_text(flag.since)}."),
            html.P(how, className="quiet"),
        ]
    )


def trend_charts(patient: Patient) -> list[Component]:
    """Return the nightly charts of the last months."""
    if not len(patient.nights):
        said = "No night yet. A night appears here after it is over and its beats have arrived."
        return [html.Section([html.H2("Nights"), html.P(said, className="quiet")], className="card")]
    charts = [
        _nightly_chart(patient, spec_named(name), f"{name.split('_')[0]}-chart", height)
        for name, height in (("rmssd_ms", 240), ("mean_hr_bpm", 200))
    ]
    return [*_older(patient), *charts, _coverage_chart(patient)]


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


def _nightly_chart(patient: Patient, spec: FeatureSpec, chart_id: str, height_px: int) -> Component:
    nights, band = patient.nights, patient.bands[spec.name]
    columns = (nights.values[spec.name], band.usual, band.low, band.high)
    rows = _night_rows(patient, lambda at: [number_text(float(column[at]), 1) for column in columns])
    return Chart(
        chart_id=chart_id,
        heading=f"{spec.label} by night, {spec.unit}",
        key="shaded: own band · dotted: usual · diamond: outside the band · dashed: flag",
        sentence=_nightly_sentence(patient, spec),
        figure=nightly_figure(spec, nights, band, patient.flags, patient.shown),
        height_px=height_px,
        table=table_of(["Night to", spec.label, "Usual", "Band from", "Band to"], rows),
    ).card()


def _nightly_sentence(patient: Patient, spec: FeatureSpec) -> str:
    nights, band = patient.nights, patient.bands[spec.name]
    shown = patient.shown
    values, low, high = nights.values[spec.name][shown], band.low[shown], band.high[shown]
    if not np.isfinite(values).any():
        return f"{spec.label} by night: no night with enough data yet."
    outside = int(((values < low) | (values > high)).sum())
    newest = int(np.flatnonzero(np.isfinite(values))[-1])
    return (
        f"{spec.label} of {int(np.isfinite(values).sum())} nights, {len(values)} shown; "
        f"{outside} outside the own band. Newest, {day_text(nights.nights[shown][newest])}: "
        f"{number_text(float(values[newest]))} {spec.unit}, "
        f"own band {span_text(float(low[newest]), float(high[newest]))}."
    )


def _coverage_chart(patient: Patient) -> Component:
    nights, needed, shown = patient.nights, spec_named("rmssd_ms").min_coverage_frac, patient.shown
    enough = int((np.nan_to_num(nights.coverage_frac[shown], nan=0.0) >= needed).sum())
    rows = _night_rows(
        patient, lambda at: [percent_text(float(nights.coverage_frac[at])), nights.reasons[at] or "enough"]
    )
    return Chart(
        chart_id="coverage-chart",
        heading="Recorded by night, %",
        key="gold: not recorded · dotted: needed to judge the night",
        sentence=f"{enough} of {len(nights.nights[shown])} nights shown had enough data to be judged.",
        figure=coverage_figure(nights, needed, shown),
        height_px=110,
        table=table_of(["Night to", "Recorded", "Why values are missing"], rows),
    ).card()


def _night_rows(patient: Patient, cells: Callable[[int], list[str]]) -> list[list[str]]:
    """Return one row for each night shown, newest first."""
    shown = range(len(patient.nights))[patient.shown]
    return [[date_text(patient.nights.nights[at]), *cells(at)] for at in reversed(shown)]
