"""What every command shares: the installation it works on, exit statuses, progress, output files."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from configs.home import home_directory

if TYPE_CHECKING:
    from store.installation import Installation

EXIT_BUG, EXIT_REFUSED, EXIT_PARTLY = 1, 2, 3
"""0 all done, 1 only for a bug, 2 refused, 3 some of it failed (each named)."""


def open_installation(context: typer.Context) -> "Installation":
    """Return the installation that `--home` or the environment names."""
    from store.installation import Installation

    return Installation(home_directory(context.find_root().obj))


def say(text: str) -> None:
    """Print a result."""
    typer.echo(text)


def note(text: str) -> None:
    """Print something about the work itself, apart from results."""
    typer.echo(text, err=True)


def finish(failed: tuple[str, ...]) -> None:
    """Name each failure and end with status 3, or return if there is none."""
    for sentence in failed:
        note(sentence)
    if failed:
        raise typer.Exit(EXIT_PARTLY)


@contextmanager
def progress_bar(what: str, unit: str) -> Generator[Callable[[float, float], None]]:
    """Show a bar with counts and time left on a terminal; nothing elsewhere. Yields `update(done, total)`."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn(f"{{task.completed:,.0f}} of {{task.total:,.0f}} {unit}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=0)  # the text column cannot show None
        yield lambda done, total: bar.update(task, completed=done, total=total)


def cannot_write(path: Path, error: OSError) -> NoReturn:
    """Refuse a path for output."""
    from store.errors import ConfigError

    reason = error.strerror or str(error)
    raise ConfigError(f"{path} cannot be written ({reason}); name another place that you may write") from None
