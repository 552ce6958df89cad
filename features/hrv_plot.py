"""A recording and its HRV as one page that opens without a network: what was kept, and what it says."""

from html import escape
from pathlib import Path
from typing import Any, cast

import numpy as np
import plotly.subplots

from features.hrv import BANDS_HZ, FloatArray, beats, welch_density, whole
from features.hrv.gates import GATES
from features.hrv_file import ScoredWindows
from features.nn import Artefact, verdicts
from store.errors import ConfigError
from store.types import NnSeries
from store.units import NS_PER_S

INK, QUIET, GRID = "#20303c", "#5d6f7e", "#e6ebf0"
BLUE, PALE, OUT, SHADE = "#1f3a5f", "#9fb6cd", "#b3400e", "#f3e6cf"
BAND_COLOURS = {"vlf": "#dfe5ea", "lf": "#c7d8e8", "hf": "#cfe3d6"}
HIGHEST_HZ = 0.5
_SHORT_S = 5400
_GRID_HZ = np.arange(0, HIGHEST_HZ + 1e-9, 1 / 300)
_DASHES = {"rmssd_ms": BLUE, "sdnn_ms": "#2f8f7a"}


def plot_path(asked: Path, name: str) -> Path:
    """Return the file to draw into: the one asked for, or one named after the recording in a folder.

    Raises
    ------
    ConfigError
        If the name ends in something else than .html.
    """
    if asked.is_dir() or not asked.suffix:
        return asked / (name.removesuffix(".gz").removesuffix(".csv") + ".hrv.html")
    if asked.suffix != ".html":
        raise ConfigError(f"--plot {asked}: needed is a folder or a name that ends in .html")
    return asked


def write_plot(scored: ScoredWindows, name: str, path: Path) -> None:
    """Draw tachogram, windows, Poincaré plot and spectrum into one HTML file.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    drawn = _figure(scored).to_html(
        full_html=False, include_plotlyjs=True, config={"displaylogo": False, "responsive": True}
    )
    title = escape(name)
    path.write_text(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>HRV of {title}</title>'
        f"<style>body{{margin:24px auto;max-width:1240px;padding:0 16px;color:{INK};"
        "font:15px/1.5 system-ui,sans-serif}h1{font-size:22px;margin:0}"
        f"p{{margin:2px 0;color:{QUIET}}}</style></head><body><h1>HRV of {title}</h1>"
        f"<p>{escape(_summary(scored))}</p>{drawn}<p>{escape(_LEGEND)}</p></body></html>\n",
        encoding="utf-8",
    )


_LEGEND = (
    "Triangles: left out, beyond the axis. Shaded windows: RMSSD withheld, for too few differences between "
    "intervals that share a beat. Breaks in a line are gaps or intervals left out; time-domain values never "
    "bridge them. Spectrum: Welch's density of the windows that are complete enough, median and middle half."
)


def _summary(scored: ScoredWindows) -> str:
    rr, out = scored.rr, scored.nn.removed_count
    unit, unit_s = _unit(scored)
    lasts = (rr.t_ns[-1] - rr.t_ns[0]) / NS_PER_S / unit_s
    kind = "pulse" if scored.prefix else "RR"
    withheld = int((~_has_rmssd(scored)).sum())
    return (
        f"{len(rr):,} {kind} intervals in {lasts:.1f} {unit}; {out:,} ({100 * out / len(rr):.2f} %) left out "
        f"by {scored.rule}; RMSSD withheld in {withheld:,} of {len(scored.frame):,} windows"
    )


def _has_rmssd(scored: ScoredWindows) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return scored.table.complete.passes(GATES["differences"])


def _figure(scored: ScoredWindows) -> Any:  # noqa: ANN401 - plotly has no types
    kind = "Pulse" if scored.prefix else "NN"
    figure = cast("Any", plotly.subplots).make_subplots(
        rows=3,
        cols=2,
        specs=[[{"colspan": 2}, None], [{"colspan": 2}, None], [{}, {}]],
        row_heights=[0.30, 0.20, 0.50],
        vertical_spacing=0.085,
        horizontal_spacing=0.09,
        subplot_titles=(f"{kind} intervals", "Windows", "Poincaré plot", "Spectrum"),
    )
    _tachogram(figure, scored)
    _windows(figure, scored)
    _poincare(figure, scored.nn)
    _spectrum(figure, scored)
    figure.update_layout(
        height=1080,
        template="plotly_white",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 64, "r": 24, "t": 56, "b": 56},
        hovermode="closest",
        legend={"orientation": "h", "y": 1.06, "x": 0, "xanchor": "left"},
    )
    figure.update_xaxes(gridcolor=GRID, zeroline=False, title_standoff=8)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, title_standoff=8)
    return figure


def _unit(scored: ScoredWindows) -> tuple[str, int]:
    """Return the unit of the time axis and its seconds."""
    span_s = (int(scored.rr.t_ns[-1]) - int(scored.rr.t_ns[0])) / NS_PER_S
    return ("hours", 3600) if span_s > _SHORT_S else ("minutes", 60)


def _times(scored: ScoredWindows, t_ns: Any) -> FloatArray:  # noqa: ANN401 - integers or an array of them
    return np.asarray(t_ns, np.float64) / NS_PER_S / _unit(scored)[1]


def _tachogram(figure: Any, scored: ScoredWindows) -> None:  # noqa: ANN401 - plotly has no types
    nn = scored.nn
    starts = np.flatnonzero(~nn.follows_previous[1:]) + 1  # a NaN before each start breaks the line there
    figure.add_scattergl(
        x=np.insert(_times(scored, nn.t_ns), starts, np.nan),
        y=np.insert(nn.nn_ms, starts, np.nan),
        mode="lines+markers" if len(nn) < 1500 else "lines",
        line={"color": BLUE, "width": 1},
        marker={"size": 3},
        name="kept",
        row=1,
        col=1,
    )
    low, high = np.percentile(nn.nn_ms, (0.05, 99.95)) if len(nn) else (300.0, 2000.0)
    edge = 0.25 * (high - low) + 20
    low, high = max(low - edge, 0), high + edge
    _left_out(figure, scored, low, high)
    margin = 0.04 * (high - low)
    figure.update_yaxes(title_text="ms", range=[low - margin, high + margin], row=1, col=1)
    _shade(figure, scored)


def _left_out(figure: Any, scored: ScoredWindows, low: float, high: float) -> None:  # noqa: ANN401 - as above
    """Mark what the rule left out; what lies outside the axis on its edge, the value in the hover text."""
    rr = scored.rr
    found = verdicts(rr.rr_ms, scored.rule)
    is_out = np.flatnonzero(found != Artefact.NONE)
    # What lies inside comes first: the legend shows the mark of the first.
    is_out = is_out[np.argsort((rr.rr_ms[is_out] < low) | (rr.rr_ms[is_out] > high), kind="stable")]
    rr_ms = rr.rr_ms[is_out]
    figure.add_scattergl(
        x=_times(scored, rr.t_ns[is_out]),
        y=np.clip(rr_ms, low, high),
        mode="markers",
        marker={
            "symbol": np.select(
                [rr_ms > high, rr_ms < low], ["triangle-up-open", "triangle-down-open"], "x-thin-open"
            ),
            "size": 7,
            "color": OUT,
            "line": {"color": OUT, "width": 1.5},
        },
        customdata=rr_ms,
        text=[Artefact(verdict).name.lower().replace("_", " ") for verdict in found[is_out]],
        hovertemplate="%{customdata:.0f} ms, %{text}<extra>left out</extra>",
        name="left out",
        row=1,
        col=1,
    )


def _shade(figure: Any, scored: ScoredWindows) -> None:  # noqa: ANN401 - plotly has no types
    """Shade withheld windows in both upper plots, neighbours as one."""
    segments = scored.table.segments
    withheld = ~_has_rmssd(scored)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], withheld, [False]])))
    shapes = [
        {
            "type": "rect",
            "xref": f"x{row}".removesuffix("1"),
            "yref": f"y{row} domain".replace("y1", "y"),
            "x0": float(_times(scored, segments.start_ns[a])),
            "x1": float(_times(scored, segments.end_ns[b - 1])),
            "y0": 0,
            "y1": 1,
            "fillcolor": SHADE,
            "line": {"width": 0},
            "layer": "below",
        }
        for a, b in zip(edges[::2], edges[1::2], strict=True)
        for row in (1, 2)
    ]
    figure.update_layout(shapes=shapes)


def _windows(figure: Any, scored: ScoredWindows) -> None:  # noqa: ANN401 - plotly has no types
    middle = (
        _times(scored, scored.table.segments.start_ns) + _times(scored, scored.table.segments.end_ns)
    ) / 2
    for name, colour in _DASHES.items():
        figure.add_scatter(
            x=middle,
            y=scored.table.values[name],
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"size": 4},
            name=scored.prefix + name.removesuffix("_ms").upper(),
            row=2,
            col=1,
        )
    first, last = _times(scored, scored.rr.t_ns[0]), _times(scored, scored.rr.t_ns[-1])
    edge = 0.01 * (last - first)
    for row in (1, 2):
        figure.update_xaxes(range=[float(first - edge), float(last + edge)], row=row, col=1)
    figure.update_xaxes(matches="x", title_text=_unit(scored)[0], row=2, col=1)
    figure.update_yaxes(title_text="ms", rangemode="tozero", row=2, col=1)


def _poincare(figure: Any, nn: NnSeries) -> None:  # noqa: ANN401 - plotly has no types
    pair = np.flatnonzero(nn.follows_previous)
    x, y = nn.nn_ms[pair - 1], nn.nn_ms[pair]
    figure.add_scattergl(
        x=x,
        y=y,
        mode="markers",
        marker={"size": 3, "color": BLUE, "opacity": 0.12 if len(pair) > 5000 else 0.45},
        showlegend=False,
        name="pairs",
        row=3,
        col=1,
    )
    found = beats(nn, whole(nn))
    sd1, sd2, mean = float(found.sd1_ms[0]), float(found.sd2_ms[0]), float(found.mean_nn_ms[0])
    turn = np.linspace(0, 2 * np.pi, 181)
    along, across = sd2 * np.cos(turn) / np.sqrt(2), sd1 * np.sin(turn) / np.sqrt(2)
    figure.add_scattergl(  # as the points: what is drawn otherwise lies below them
        x=mean + along - across,
        y=mean + along + across,
        mode="lines",
        line={"color": OUT, "width": 2},
        showlegend=False,
        name="SD1, SD2",
        row=3,
        col=1,
    )
    note = "withheld: no differences" if np.isnan(sd1 + sd2) else f"SD1 {sd1:.1f} ms, SD2 {sd2:.1f} ms"
    _annotate(figure, note, 3)
    figure.update_xaxes(title_text="interval, ms", row=3, col=1)
    figure.update_yaxes(title_text="next interval, ms", scaleanchor="x3", row=3, col=1)


def _spectrum(figure: Any, scored: ScoredWindows) -> None:  # noqa: ANN401 - plotly has no types
    densities = _densities(scored)
    if not len(densities):
        _annotate(figure, "withheld: no window is 90 % covered without a gap of 5 s", 4)
    else:
        low, median, high = np.percentile(densities, (25, 50, 75), axis=0)
        for band, (start, end) in BANDS_HZ.items():
            inside = (start < _GRID_HZ) & (end > _GRID_HZ)
            at = np.concatenate([[start], _GRID_HZ[inside], [end]])
            power = float(np.nanmedian(scored.table.values[f"{band}_ms2"])) if _has(scored, band) else np.nan
            figure.add_scatter(
                x=at,
                y=np.interp(at, _GRID_HZ, median),
                fill="tozeroy",
                mode="none",
                fillcolor=BAND_COLOURS[band],
                name=band.upper() + ("" if np.isnan(power) else f" {power:,.0f} ms²"),
                legend="legend2",
                row=3,
                col=2,
            )
        if len(densities) > 1:
            _middle_half(figure, low, high)
        figure.add_scatter(
            x=_GRID_HZ,
            y=median,
            mode="lines",
            line={"color": BLUE, "width": 2},
            name=f"median of {len(densities):,} windows",
            legend="legend2",
            row=3,
            col=2,
        )
        shown = float(median[np.searchsorted(_GRID_HZ, BANDS_HZ["lf"][0]) :].max()) * 2
        figure.update_yaxes(range=[0, shown], row=3, col=2)
    figure.update_layout(legend2={"x": 0.985, "y": 0.405, "xanchor": "right", "yanchor": "top"})
    figure.update_xaxes(title_text="Hz", range=[0, HIGHEST_HZ], row=3, col=2)
    figure.update_yaxes(title_text="ms²/Hz", row=3, col=2)


def _middle_half(figure: Any, low: FloatArray, high: FloatArray) -> None:  # noqa: ANN401 - plotly has no types
    figure.add_scatter(
        x=np.concatenate([_GRID_HZ, _GRID_HZ[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        mode="none",
        fillcolor="rgba(31,58,95,0.15)",
        name="middle half",
        legend="legend2",
        row=3,
        col=2,
    )


def _has(scored: ScoredWindows, band: str) -> bool:
    return bool(np.isfinite(scored.table.values[f"{band}_ms2"]).any())


def _densities(scored: ScoredWindows) -> FloatArray:
    """Return the density of each window that may have one, on one grid of frequencies, (windows, grid)."""
    nn, segments = scored.nn, scored.table.segments
    found: list[FloatArray] = []
    for row in np.flatnonzero(scored.table.complete.passes(GATES["lf"])):
        span = slice(segments.first[row], segments.last[row])
        alone = NnSeries(nn.t_ns[span], nn.nn_ms[span], nn.follows_previous[span])
        frequency_hz, density = welch_density(alone)
        if len(density):
            found.append(np.interp(_GRID_HZ, frequency_hz, density))
    return np.array(found).reshape(-1, len(_GRID_HZ))


def _annotate(figure: Any, text: str, axis: int) -> None:  # noqa: ANN401 - plotly has no types
    place = {"xref": f"x{axis} domain", "yref": f"y{axis} domain", "x": 0.02, "y": 0.98}
    figure.add_annotation(
        text=text, showarrow=False, xanchor="left", yanchor="top", font={"color": INK, "size": 13}, **place
    )
