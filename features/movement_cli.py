"""The commands that score a plain file of movement: activity, rhythm and wear."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.command import cannot_write, note, say

if TYPE_CHECKING:
    import pandas as pd

    from features.epochs.epochs import Epochs
    from features.epochs.wear import Wear

_File = Annotated[
    Path,
    typer.Argument(
        help="CSV or Parquet with time and counts, enmo_mg or steps; ActiGraph .csv or .agd; .AWD; .mtn; "
        "Respironics .csv; ActTrust or Tempatilumi .txt; also as .gz."
    ),
]
_Zone = Annotated[str, typer.Option(help="IANA zone of times without an offset, and of days: Europe/Berlin.")]
_Epoch = Annotated[
    float, typer.Option(help="Length of the epochs to score, s; shorter ones are joined, longer ones kept.")
]
_ColumnOf = Annotated[
    str, typer.Option("--column", help="Column to score, if not the usual one of the format.")
]
_Rule = Annotated[
    str,
    typer.Option(
        "--wear-rule",
        help="choi, accelerometer, heart_rate, zero_run or recorded; by default what the file allows.",
    ),
]
_Out = Annotated[Path | None, typer.Option(help="Write the rows: .csv, .csv.gz, .parquet or .json.")]
_Plot = Annotated[Path | None, typer.Option(help="Draw the double-plotted actogram into an .html file.")]


def activity(  # noqa: PLR0917 - options of a command
    file: _File,
    zone: _Zone = "UTC",
    epoch: _Epoch = 60.0,
    column: _ColumnOf = "",
    wear_rule: _Rule = "",
    active_threshold: Annotated[
        float | None, typer.Option(help="A minute of this or more is active; by default as published.")
    ] = None,
    mvpa_threshold: Annotated[
        float | None, typer.Option(help="A minute of this or more is moderate to vigorous; as published.")
    ] = None,
    min_wear: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a day that must be worn for it to count, 0-1.")
    ] = 0.9,
    record: Annotated[
        bool, typer.Option("--record", help="One row of all valid days instead of one per day.")
    ] = False,
    out: _Out = None,
    plot: _Plot = None,
) -> None:
    """Score activity: totals, active and sedentary minutes, bouts, of each day or of the recording.

    Days without enough wear are empty and `withheld` says why. Definitions and sources: docs/movement.md.
    """
    from features.activity import activity_table
    from features.movement_file import days_frame, record_frame

    epochs, worn = _read(file, zone, epoch, column, wear_rule)
    table = activity_table(
        epochs, worn, active=active_threshold, moderate=mvpa_threshold, min_wear_frac=min_wear
    )
    frame = record_frame(epochs, table) if record else days_frame(epochs, table)
    _draw(plot, epochs, worn, file.name)
    _tell(frame, out, f"{int(table.is_valid.sum())} of {len(table.days)} days valid")


def rhythm(  # noqa: PLR0917 - options of a command
    file: _File,
    zone: _Zone = "UTC",
    epoch: _Epoch = 60.0,
    column: _ColumnOf = "",
    wear_rule: _Rule = "",
    daily: Annotated[
        bool, typer.Option("--daily", help="One row per day: its cosinor and how far its phase moved.")
    ] = False,
    out: _Out = None,
    plot: _Plot = None,
) -> None:
    """Score the rest-activity rhythm: IS, IV, L5, M10, RA, cosinor; --column heart_rate_bpm: of the heart.

    Values with too few days behind them are empty and `withheld` says why. Definitions: docs/movement.md.
    """
    from features.movement_file import daily_rhythm_frame, rhythm_frame
    from features.rhythm import rhythm as score_rhythm

    epochs, worn = _read(file, zone, epoch, column, wear_rule)
    found = score_rhythm(epochs, worn)
    frame = daily_rhythm_frame(epochs, found) if daily else rhythm_frame(epochs, found)
    _draw(plot, epochs, worn, file.name)
    _tell(frame, out, f"{found.days:.1f} days worn")


def wear(  # noqa: PLR0917 - options of a command
    file: _File,
    zone: _Zone = "UTC",
    epoch: _Epoch = 60.0,
    column: _ColumnOf = "",
    wear_rule: _Rule = "",
    out: _Out = None,
    plot: _Plot = None,
) -> None:
    """Tell when the device was worn, not worn, charging, and when nothing tells."""
    from features.movement_file import wear_frame

    epochs, worn = _read(file, zone, epoch, column, wear_rule)
    frame = wear_frame(epochs, worn)
    minutes = frame.groupby("state")["minutes"].sum()
    _draw(plot, epochs, worn, file.name)
    _tell(frame, out, ", ".join(f"{state} {total:,.0f} min" for state, total in minutes.items()))


def _read(file: Path, zone: str, epoch: float, column: str, wear_rule: str) -> "tuple[Epochs, Wear]":
    from features.epochs.files import read_epochs
    from features.epochs.wear import wear as wear_of
    from features.movement_file import span_text

    epochs = read_epochs(file, zone, column=column or None)
    if epochs.epoch_s < epoch:
        epochs = epochs.lengthened(epoch)
    worn = wear_of(epochs, wear_rule)
    note(span_text(epochs))
    for sentence in epochs.notes:
        note(sentence)
    note(f"Wear by the rule {worn.rule}: {100 * worn.is_worn.mean():.1f} % of the epochs worn")
    return epochs, worn


def _draw(plot: Path | None, epochs: "Epochs", worn: "Wear", name: str) -> None:
    if plot is None:
        return
    from features.movement_plot import write_actogram
    from store.errors import ConfigError

    if plot.suffix != ".html":
        raise ConfigError(f"--plot {plot}: needed is a name that ends in .html")
    try:
        write_actogram(epochs, worn, name, plot)
    except OSError as error:
        cannot_write(plot, error)
    note(f"Drawn into {plot}")


def _tell(frame: "pd.DataFrame", out: Path | None, summary: str) -> None:
    if out is None:
        _show(frame)
        say(summary)
        return
    from features.hrv_file import write_frame

    try:
        write_frame(frame, out)
    except OSError as error:
        cannot_write(out, error)
    say(f"{len(frame):,} {'row' if len(frame) == 1 else 'rows'} written to {out}; {summary}")


def _show(frame: "pd.DataFrame") -> None:
    if len(frame) == 1:
        for name, value in frame.iloc[0].items():
            say(f"{name:24s}{value:.6g}" if isinstance(value, float) else f"{name:24s}{value}")
    else:
        say(frame.to_string(index=False, na_rep="-", max_colwidth=60, float_format=lambda x: f"{x:.4g}"))
