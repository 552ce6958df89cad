"""The command that scores a plain RR file: what a researcher tries first."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.command import cannot_write, note, say

if TYPE_CHECKING:
    from features.hrv_file import ScoredWindows

_SHOWN = {
    "mean_hr_bpm": ("HR", "bpm"),
    "sdnn_ms": ("SDNN", "ms"),
    "rmssd_ms": ("RMSSD", "ms"),
    "pnn50_pct": ("pNN50", "%"),
    "lf_ms2": ("LF", "ms2"),
    "hf_ms2": ("HF", "ms2"),
    "sampen": ("SampEn", "nats"),
    "dfa_a1": ("DFA a1", ""),
}
_REASONS_SHOWN = 3


def hrv(  # noqa: PLR0917 - each is an option of the command
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV (or .csv.gz) with t_s (end of interval, s) and rr_ms, or rr_ms alone; or ppi_ms."
        ),
    ],
    window: Annotated[float, typer.Option(help="Length of the windows, s.")] = 300.0,
    step: Annotated[float, typer.Option(help="From one window to the next, s.")] = 300.0,
    t0: Annotated[float, typer.Option(help="Where a window begins, in the file's time, s.")] = 0.0,
    clean: Annotated[
        str,
        typer.Option(
            help="How RR intervals become NN intervals: bracket (default), median20, "
            "lipponen_tarvainen, none."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write a row per window: .csv, .csv.gz, .parquet or .json.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Values of the whole record, as JSON, instead of windows.")
    ] = False,
    entropies: Annotated[
        bool,
        typer.Option(
            "--entropies", help="Entropies of long records and windows, too: ten seconds for a day."
        ),
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what was kept and what it says: an .html file, or a folder.")
    ] = None,
) -> None:
    """Score an RR recording: HRV of every window or of the whole, withheld where too little is there.

    Values with too little behind them are empty and `withheld` says why. Definitions: docs/hrv.md.
    """
    from features.hrv_file import score_record, score_windows, write_frame
    from features.nn import DEFAULT_RULE
    from store.recording import read_rr_file

    rule = clean or DEFAULT_RULE
    recording = read_rr_file(file, may_be_plain=True)
    if record:
        _tell_record(score_record(recording, rule, with_entropies=entropies), out)
    if record and plot is None:
        return
    scored = score_windows(recording, rule, window, step, t0, with_entropies=entropies)
    if plot is not None:
        _draw(scored, file.name, plot)
    if record:
        return
    if out is not None:
        _written(out, lambda path: write_frame(scored.frame, path))
        complete = sum(not why for why in scored.frame["withheld"])
        say(f"{len(scored.frame):,} windows written to {out}; nothing withheld in {complete:,}")
        _note_too_short(scored)
    elif plot is None:
        _show(scored, file.name)


def _written(path: Path, write: Callable[[Path], object]) -> None:
    try:
        write(path)
    except OSError as error:
        cannot_write(path, error)


def _tell_record(values: dict[str, Any], out: Path | None) -> None:
    import json

    text = json.dumps(values, indent=1)
    if out is None:
        say(text)
    else:
        _written(out, lambda path: path.write_text(text + "\n"))


def _draw(scored: "ScoredWindows", name: str, asked: Path) -> None:
    from features.hrv_plot import plot_path, write_plot

    path = plot_path(asked, name)
    _written(path, lambda path: write_plot(scored, name, path))
    note(f"drawn in {path}")


def _show(scored: "ScoredWindows", name: str) -> None:
    frame = scored.frame
    hours = (scored.rr.t_ns[-1] - scored.rr.t_ns[0]) / 3.6e12
    out_pct = 100 * scored.nn.removed_count / len(scored.rr)
    kind = "pulse" if scored.prefix else "RR"
    say(
        f"{name}: {len(scored.rr):,} {kind} intervals in {hours:.1f} h, "
        f"{out_pct:.2f} % left out by {scored.rule}; {len(frame):,} windows"
    )
    say(f"{'start':>9s}{'beats':>7s}{'covered':>9s}" + "".join(f"{head:>9s}" for head, _ in _SHOWN.values()))
    say(f"{'s':>9s}{'':>7s}{'%':>9s}" + "".join(f"{unit:>9s}" for _, unit in _SHOWN.values()))
    for _, row in frame.iterrows():
        cells = "".join(_cell(float(row.get(scored.prefix + name, float("nan")))) for name in _SHOWN)
        say(f"{row['start_s']:9.0f}{row['n_beats']:7d}{100 * row['coverage_frac']:9.0f}{cells}")
    withheld = [row for _, row in frame.iterrows() if row["withheld"]]
    for row in withheld[:_REASONS_SHOWN]:
        note(f"withheld at {row['start_s']:.0f} s: {row['withheld']}")
    if len(withheld) > _REASONS_SHOWN:
        note(
            f"... and in {len(withheld) - _REASONS_SHOWN:,} more windows; --out keeps every value and reason"
        )
    _note_too_short(scored)


def _note_too_short(scored: "ScoredWindows") -> None:
    for family, why in scored.too_short_for.items():
        if family != "record":
            note(f"no window has {family} values: {why}")


def _cell(value: float) -> str:
    if value != value:  # noqa: PLR0124 - NaN
        return f"{'-':>9s}"
    return f"{value:9.0f}" if value >= 1000 else f"{value:9.3g}" if value < 10 else f"{value:9.1f}"
