"""Night by night against a person's own normal: tiles, flags, charts."""

from collections.abc import Callable, Sequence

import numpy as np
from dash import html
from dash.development.base_component import Component

from configs.settings import FlagSettings
from dashboard.caseload import Patient
from dashboard.charts import Chart, aria, table_of
from dashboard.figures import coverage_figure, nightly_figure
from dashboard.words import MISSING, date_text, day_text, number_text, percent_text, sentence_case, span_text
from features.specs import FeatureSpec, spec_named
from store.registry.flags import StoredFlag

SHOWN_NIGHTS = 90
SHOWN = slice(-SHOWN_NIGHTS, None)


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
    own = f"own band {span_text(low, high)} (usual {number_text(usual)})"
    is_outside = False
    if np.isnan(usual):
        said = f"Own band: learning, {band.valid_nights[-1]} of {settings.min_valid_nights} nights"
    elif np.isnan(value):
        reason = (
            patient.nights.reasons[-1] if np.isnan(patient.nights.coverage_frac[-1]) else "Too little data"
        )
        said = f"{reason}; {own}"
    else:
        is_outside = not low <= value <= high
        where = "▼ Below" if value < low else "▲ Above" if value > high else "Within"
        said = f"{where} {own}"
    return _tile(
        f"{spec.label}, night to {night}", [number_text(value), spec.unit], said, is_outside=is_outside
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
    return [*charts, _coverage_chart(patient)]


def _nightly_chart(patient: Patient, spec: FeatureSpec, chart_id: str, height_px: int) -> Component:
    nights, band = patient.nights, patient.bands[spec.name]
    columns = (nights.values[spec.name], band.usual, band.low, band.high)
    rows = _night_rows(patient, lambda at: [number_text(float(column[at]), 1) for column in columns])
    return Chart(
        chart_id=chart_id,
        heading=f"{spec.label} by night, {spec.unit}",
        key="shaded: own band · dotted: usual · diamond: outside the band · dashed: flag",
        sentence=_nightly_sentence(patient, spec),
        figure=nightly_figure(spec, nights, band, patient.flags, SHOWN),
        height_px=height_px,
        table=table_of(["Night to", spec.label, "Usual", "Band from", "Band to"], rows),
    ).card()


def _nightly_sentence(patient: Patient, spec: FeatureSpec) -> str:
    nights, band = patient.nights, patient.bands[spec.name]
    values = nights.values[spec.name][SHOWN]
    if not np.isfinite(values).any():
        return f"{spec.label} by night: no night with enough data yet."
    outside = int(((values < band.low[SHOWN]) | (values > band.high[SHOWN])).sum())
    newest = int(np.flatnonzero(np.isfinite(values))[-1])
    return (
        f"{spec.label} of {int(np.isfinite(values).sum())} nights, {len(values)} shown; "
        f"{outside} outside the own band. Newest, {day_text(nights.nights[SHOWN][newest])}: "
        f"{number_text(float(values[newest]))} {spec.unit}, "
        f"own band {span_text(float(band.low[SHOWN][newest]), float(band.high[SHOWN][newest]))}."
    )


def _coverage_chart(patient: Patient) -> Component:
    nights, needed = patient.nights, spec_named("rmssd_ms").min_coverage_frac
    enough = int((np.nan_to_num(nights.coverage_frac[SHOWN], nan=0.0) >= needed).sum())
    rows = _night_rows(
        patient, lambda at: [percent_text(float(nights.coverage_frac[at])), nights.reasons[at] or "enough"]
    )
    return Chart(
        chart_id="coverage-chart",
        heading="Recorded by night, %",
        key="gold: not recorded · dotted: needed to judge the night",
        sentence=f"{enough} of {len(nights.nights[SHOWN])} nights shown had enough data to be judged.",
        figure=coverage_figure(nights, needed, SHOWN),
        height_px=110,
        table=table_of(["Night to", "Recorded", "Why values are missing"], rows),
    ).card()


def _night_rows(patient: Patient, cells: Callable[[int], list[str]]) -> list[list[str]]:
    """Return one row for each night shown, newest first."""
    first = max(0, len(patient.nights) - SHOWN_NIGHTS)
    shown = range(len(patient.nights) - 1, first - 1, -1)
    return [[date_text(patient.nights.nights[at]), *cells(at)] for at in shown]
