"""The command that scores a plain RR file: what a researcher tries first."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from store.command import cannot_write, say

if TYPE_CHECKING:
    from features.hrv_file import ScoredWindows

_SHOWN = ("n_beats", "coverage_frac", "mean_hr_bpm", "sdnn_ms", "rmssd_ms", "pnn50_pct", "lf_ms2", "hf_ms2")


def hrv(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV (or .csv.gz) with t_s (end of interval, s) and rr_ms, or rr_ms alone; or pp_ms."
        ),
    ],
    window: Annotated[float, typer.Option(help="Length of the windows, s.")] = 300.0,
    step: Annotated[float, typer.Option(help="From one window to the next, s.")] = 300.0,
    t0: Annotated[float, typer.Option(help="Where a window begins, in the file's time, s.")] = 0.0,
    clean: Annotated[
        str, typer.Option(help="How RR intervals become NN intervals: the name of a rule, or none.")
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="Write a row per window: .csv, .csv.gz, .parquet or .json.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="Values of the whole record, as JSON, instead of windows.")
    ] = False,
    entropies: Annotated[
        bool, typer.Option("--entropies", help="With --record: entropies, too (half a minute for a day).")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw what was kept and what it says into an .html file.")
    ] = None,
) -> None:
    """Score an RR recording: HRV of every window or of the whole, withheld where too little is there.

    Values with too little behind them are empty and `withheld` says why. Definitions, sources and what each
    value needs: docs/hrv.md.
    """
    from features.hrv_file import score_record, score_windows, write_frame
    from features.nn import DEFAULT_RULE
    from store.recording import read_rr_file

    rule = clean or DEFAULT_RULE
    recording = read_rr_file(file, may_be_plain=True)
    if plot is not None:
        from features.hrv_plot import write_plot

        _written(plot, lambda path: write_plot(recording, rule, window, t0, file.name, path))
    if record:
        _tell_record(score_record(recording, rule, with_entropies=entropies), out)
        return
    scored = score_windows(recording, rule, window, step, t0)
    if out is None:
        _show(scored)
    else:
        _written(out, lambda path: write_frame(scored.frame, path))
        shown = sum(not why for why in scored.frame["withheld"])
        say(f"{len(scored.frame):,} windows written to {out}; {shown:,} with every value")


def _written(path: Path, write: Any) -> None:  # noqa: ANN401 - a function of the path
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


def _show(scored: "ScoredWindows") -> None:
    frame = scored.frame
    prefix = "" if "rmssd_ms" in frame else "prv_"
    names = [name if name in frame else prefix + name for name in _SHOWN]
    say("  start_s  " + "  ".join(f"{name:>13s}" for name in names))
    for _, row in frame.iterrows():
        cells = [f"{row[name]:13.6g}" if row[name] == row[name] else f"{'-':>13s}" for name in names]
        say(f"{row['start_s']:9.0f}  " + "  ".join(cells))
    withheld = [row for _, row in frame.iterrows() if row["withheld"]]
    for row in withheld[:3]:
        say(f"withheld at {row['start_s']:.0f} s: {row['withheld']}")
    if len(withheld) > 3:
        say(f"... and in {len(withheld) - 3:,} more windows; --out writes every value and every reason")
