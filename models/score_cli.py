"""Commands over tables of daily values: score and evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from store.command import cannot_write, progress_bar, say

_Daily = Annotated[Path, typer.Argument(help="CSV, a row per subject and day.", dir_okay=False)]
_Mapping = Annotated[
    str | None,
    typer.Option(help="Which column holds what: lifesnaps, or a TOML file; without it our own column names."),
]


def score(
    daily: _Daily,
    out: Annotated[Path, typer.Option(help="CSV to write: a row per subject and day.", dir_okay=False)],
    mapping: _Mapping = None,
    budget: Annotated[
        float, typer.Option(help="Alert episodes per monitored patient-month when nothing changed, 0.1-2.")
    ] = 0.25,
) -> None:
    """Judge every day of a table by the shipped model, exactly as `flags run` does, fitted to nothing in it.

    A day is monitored when it has three values and the person a baseline of three; the others say why not
    in `state`. `alert` is true on the day an alert is raised, which uses that day and earlier ones only.
    """
    from models.daily import known_mapping, read_days
    from models.risk import load_model
    from models.scoring import score_people

    model = load_model()
    model.policy(budget)
    people = read_days(daily, known_mapping(mapping))
    with progress_bar("Score", "people") as update:
        table = score_people(people, model, budget, progress=update)
    try:
        table.to_csv(out, index=False)
    except OSError as error:
        cannot_write(out, error)
    monitored, alerts = int(table["monitored"].sum()), int(table["alert"].sum())
    rate = f", {30 * alerts / monitored:.2f} per 30 monitored days" if monitored else ""
    say(f"{len(people)} people, {monitored} of {len(table)} days monitored, {alerts} alerts{rate}: {out}")


def evaluate(
    daily: _Daily,
    out: Annotated[Path, typer.Option(help="Folder for report.md, report.json and plots.html.")],
    mapping: _Mapping = None,
    suite: Annotated[str, typer.Option(help="Which suite; there is one: standard.")] = "standard",
    seed: Annotated[int, typer.Option(help="Of what is injected; report a seed you never tuned on.")] = 1,
) -> None:
    """Measure what the method finds, and at which price, by changes injected into the days of a table.

    People are left out, thresholds come from inner folds, and every figure stands beside its chance level.
    """
    from models.daily import known_mapping, read_days
    from models.evaluation import evaluate as run
    from models.report import write_report
    from store.errors import ConfigError

    if suite != "standard":
        raise ConfigError(f"{suite!r} is no suite; needed is: standard")
    people = read_days(daily, known_mapping(mapping))
    with progress_bar("Evaluate", "folds") as update:
        found = run(people, seed=seed, progress=lambda _what, done, total: update(done, total))
    try:
        paths = write_report(found, out)
    except OSError as error:
        cannot_write(out, error)
    for path in paths:
        say(str(path))
