"""The command that scores sleep from a plain file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from store.command import cannot_write, note, say

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from features.epochs import Epochs
    from features.sleep_file import ScoredSleep

_SHOWN: tuple[str, ...] = ("tib_min", "tst_min", "sol_min", "waso_min", "se_pct", "awakenings")


def sleep(  # noqa: PLR0917 - options of a command
    file: Annotated[
        Path,
        typer.Argument(
            help="Epochs: CSV or Parquet with time and counts, an actigraph's file; or a Fitbit sleep.json."
        ),
    ],
    zone: Annotated[str, typer.Option(help="IANA zone of its local times, such as Europe/Berlin.")],
    epoch: Annotated[
        float, typer.Option(help="Length of the epochs to score, s; made of shorter ones.")
    ] = 60.0,
    scorer: Annotated[
        str,
        typer.Option(help="Who tells sleep from wake; van_hees for z_angle_deg; an unknown name lists all."),
    ] = "cole_kripke",
    column: Annotated[str | None, typer.Option(help="What is scored, if not the usual column.")] = None,
    count_scale: Annotated[
        float | None,
        typer.Option(help="What counts are multiplied by before scoring; known for some devices."),
    ] = None,
    heart_rate: Annotated[
        Path | None,
        typer.Option(
            help="CSV with time,heart_rate_bpm: REM and not REM by the shipped model; counts of 30 s or less."
        ),
    ] = None,
    sessions: Annotated[
        Path | None,
        typer.Option(help="CSV with in_bed,out_bed: a row for each of these, no search for sleep."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a row per night or session: .csv, .csv.gz, .parquet or .json.")
    ] = None,
    record: Annotated[
        bool, typer.Option("--record", help="One row for the whole: regularity, social jet lag.")
    ] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw two days a line, with sleep and periods, into an .html file.")
    ] = None,
) -> None:
    """Score sleep: a row per night, or per session, withheld where too little is there.

    Without sessions, periods of sleep are found by Roenneberg's method, of the angle of a wrist (--scorer
    van_hees) by HDCZA, and the longest that ends on a date is its night. A run of zeros of five hours or more
    is never sleep. Definitions and sources: docs/sleep.md.
    """
    from features.epochs import read_epochs
    from features.hrv_file import write_frame
    from features.sleep import scorer_named
    from features.sleep.angle import ANGLE_SCORER
    from features.sleep_by_angle import ANGLE_COLUMN, score_angle
    from features.sleep_file import read_sessions, score_fitbit, score_sleep
    from features.sleep_stages_file import EPOCH_S, read_heart_rate, with_stages

    chosen = None if scorer == ANGLE_SCORER else scorer_named(scorer)
    if file.name.endswith((".json", ".json.gz")):
        scored, epochs = score_fitbit(file, zone), None
    elif chosen is None:
        epochs = read_epochs(file, zone, column=ANGLE_COLUMN)
        held = None if sessions is None else read_sessions(sessions, zone)
        scored = score_angle(epochs, held)
    else:
        epochs = read_epochs(file, zone, epoch_s=epoch, column=column)
        held = None if sessions is None else read_sessions(sessions, zone)
        scored = score_sleep(epochs, chosen, held, count_scale)
        if heart_rate is not None:
            short = read_epochs(file, zone, epoch_s=EPOCH_S, column=column)
            scored = with_stages(scored, short, read_heart_rate(heart_rate, zone))
    for sentence in scored.notes:
        note(sentence)
    if plot is not None:
        _draw(plot, epochs, scored, file.name)
    frame = _record_frame(scored) if record else scored.frame
    if out is not None:
        _written(out, lambda path: write_frame(frame, path))
        shown = sum(not why for why in frame["withheld"])
        say(f"{len(frame):,} rows written to {out}; {shown:,} with every value")
    else:
        _show(frame)


def _record_frame(scored: "ScoredSleep") -> "pd.DataFrame":
    import pandas as pd

    return pd.DataFrame([scored.record])


def _draw(path: Path, epochs: "Epochs | None", scored: "ScoredSleep", name: str) -> None:
    from features.epochs.wear import wear
    from features.movement_plot import write_actogram
    from store.errors import ConfigError

    if epochs is None:
        raise ConfigError(f"{name} holds no movement to draw; --plot needs a file of epochs")
    of_epoch = (epochs.start_ns - scored.hypnogram.start_ns) // scored.hypnogram.epoch_ns
    asleep = scored.hypnogram.is_asleep[of_epoch] & scored.periods.hold(epochs.start_ns)
    worn = wear(epochs)
    _written(path, lambda where: write_actogram(epochs, worn, name, where, asleep))


def _written(path: Path, write: "Callable[[Path], None]") -> None:
    try:
        write(path)
    except OSError as error:
        cannot_write(path, error)


def _show(frame: "pd.DataFrame") -> None:
    if "night" not in frame:
        for name, value in frame.iloc[0].items():
            say(f"{name:18s} {value:.6g}" if isinstance(value, float) else f"{name:18s} {value}")
        return
    say("night       in bed            " + "  ".join(f"{name:>10s}" for name in _SHOWN))
    for _, row in frame.iterrows():
        cells = [f"{row[name]:10.5g}" if row[name] == row[name] else f"{'-':>10s}" for name in _SHOWN]
        say(f"{row['night']}  {row['in_bed'][:16]:16s}  " + "  ".join(cells))
    for _, row in frame[frame["withheld"] != ""].head(3).iterrows():
        say(f"withheld in {row['night']}: {row['withheld']}")
