"""The front door: one command line that mounts the commands of every room."""

import sys
import traceback
from pathlib import Path
from typing import Annotated

import typer

from configs.home import HOME_VARIABLE, home_directory
from dashboard.cli import dashboard
from features.cli import export, features_app
from features.explain_cli import explain
from features.hrv_cli import hrv
from features.movement_cli import activity, rhythm, wear
from features.sleep_cli import sleep
from ingest.cli import collect, demo, devices, doctor, replay, scan, virtual
from ingest.erasure_cli import subject_erase
from ingest.import_cli import import_export
from ingest.ledger_cli import ledger
from ingest.pause_cli import pause, resume
from models.cli import backtest, flags_app
from models.due_cli import run_due
from models.score_cli import evaluate, score
from store.cli import samples, sensor_app, subject_app, user_app
from store.command import EXIT_BUG, EXIT_REFUSED
from store.errors import EvenkeelError
from store.lake_cli import lake_app
from store.registry_cli import annotation_app, assessment_app, audit_app, registry_app, team_app
from store.store_cli import backup, restore, store_app

EXIT_INTERRUPTED = 130
_asked_home: Path | None = None

app = typer.Typer(
    name="evenkeel",
    help=(
        "Bluetooth wearables in, honest early warnings out.\n\n"
        "Collects heart rate and RR intervals, computes markers of every night, learns each person's own "
        "normal and shows who has drifted from it. Research software, not a medical device, not for "
        "emergencies.\n\n"
        "First steps: `evenkeel demo`, or: `subject add`, `scan`, `sensor pair`, `collect`, then nightly "
        "`features run` and `flags run`, and `dashboard`.\n\n"
        "Exit status: 0 all done, 2 refused, 3 some of it failed (each named), 1 a bug."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option(help=f"Directory that holds everything of an installation (or set {HOME_VARIABLE})."),
    ] = None,
) -> None:
    """Remember which installation the command is for."""
    global _asked_home  # noqa: PLW0603 - for the last boundary, which has no context any more
    context.obj = _asked_home = home


_PEOPLE, _DATA, _MARKERS, _LOOK = (
    "People and sensors",
    "Data in and out",
    "Markers and flags",
    "Look and check",
)
subject_app.command("erase")(subject_erase)
app.add_typer(subject_app, name="subject", rich_help_panel=_PEOPLE)
app.add_typer(sensor_app, name="sensor", rich_help_panel=_PEOPLE)
app.add_typer(user_app, name="user", rich_help_panel=_PEOPLE)
app.add_typer(team_app, name="team", rich_help_panel=_PEOPLE)
app.add_typer(assessment_app, name="assessment", rich_help_panel=_PEOPLE)
app.add_typer(annotation_app, name="annotation", rich_help_panel=_PEOPLE)
app.add_typer(registry_app, name="registry", rich_help_panel=_PEOPLE)
app.command(rich_help_panel=_PEOPLE)(scan)
app.command(rich_help_panel=_PEOPLE)(devices)
app.command(rich_help_panel=_DATA)(collect)
app.command(rich_help_panel=_DATA)(pause)
app.command(rich_help_panel=_DATA)(resume)
app.command(rich_help_panel=_DATA)(replay)
app.command("import", rich_help_panel=_DATA)(import_export)
app.command(rich_help_panel=_DATA)(samples)
app.command(rich_help_panel=_DATA)(export)
app.add_typer(store_app, name="store", rich_help_panel=_DATA)
app.add_typer(lake_app, name="lake", rich_help_panel=_DATA)
app.command(rich_help_panel=_DATA)(backup)
app.command(rich_help_panel=_DATA)(restore)
app.add_typer(features_app, name="features", rich_help_panel=_MARKERS)
app.command(rich_help_panel=_MARKERS)(hrv)
app.command(rich_help_panel=_MARKERS)(sleep)
app.command(rich_help_panel=_MARKERS)(activity)
app.command(rich_help_panel=_MARKERS)(rhythm)
app.command(rich_help_panel=_MARKERS)(wear)
app.add_typer(flags_app, name="flags", rich_help_panel=_MARKERS)
app.command(rich_help_panel=_MARKERS)(score)
app.command(rich_help_panel=_MARKERS)(backtest)
app.command(rich_help_panel=_MARKERS)(evaluate)
app.command("run-due", rich_help_panel=_MARKERS)(run_due)
app.command(rich_help_panel=_MARKERS)(explain)
app.command(rich_help_panel=_LOOK)(dashboard)
app.command(rich_help_panel=_LOOK)(demo)
app.command(rich_help_panel=_LOOK)(virtual)
app.command(rich_help_panel=_LOOK)(doctor)
app.command(rich_help_panel=_LOOK)(ledger)
app.add_typer(audit_app, name="audit", rich_help_panel=_LOOK)


def main() -> None:
    """Run one command; no traceback ever reaches the user."""
    status = None
    try:
        status = app(prog_name="evenkeel", standalone_mode=False)
    except EvenkeelError as error:
        _end(str(error), EXIT_REFUSED)
    except typer.TyperException as error:
        said = error.format_message().strip().rstrip(".")
        asked = getattr(error, "ctx", None)
        command = "evenkeel" if asked is None else asked.command_path
        _end(f"{said}. See: {command} --help" if said else "", EXIT_REFUSED)
    except (typer.Abort, KeyboardInterrupt):
        _end("Stopped", EXIT_INTERRUPTED)
    except Exception:  # noqa: BLE001 - the last boundary: a bug is kept for a report and named
        _end(f"This is a bug in evenkeel; please report it{_kept_traceback()}", EXIT_BUG)
    sys.exit(status if isinstance(status, int) else 0)


def _end(sentence: str, status: int) -> None:
    if sentence:
        typer.echo(sentence, err=True)
    sys.exit(status)


def _kept_traceback() -> str:
    """Keep the traceback beside the data it may quote, for its owner only; say where."""
    text = traceback.format_exc()
    path = home_directory(_asked_home) / "bug.txt"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(text)
    except OSError:
        return f":\n{text}"
    return f" with {path}"


if __name__ == "__main__":
    main()
