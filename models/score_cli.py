"""Commands over tables of daily values: score and evaluate."""

from pathlib import Path
from typing import Annotated

import typer

from store.command import cannot_write, open_installation, progress_bar, say

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
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the report: Markdown, JSON, plots.")],
    daily: Annotated[
        Path | None,
        typer.Argument(help="CSV, a row per subject and day; none with --labels.", dir_okay=False),
    ] = None,
    mapping: _Mapping = None,
    suite: Annotated[str, typer.Option(help="Which suite; there is one: standard.")] = "standard",
    seed: Annotated[int, typer.Option(help="Of what is injected; report a seed you never tuned on.")] = 1,
    labels: Annotated[
        bool, typer.Option("--labels", help="Measure on the people, scales and flags of this installation.")
    ] = False,
) -> None:
    """Measure what the method finds, and at which price, by changes injected into the days of a table.

    People are left out, thresholds come from inner folds, and every figure stands beside its chance level.
    With --labels, episodes are those that scales and resolved flags of this installation tell of; with too
    few of them nothing is measured.
    """
    from store.errors import ConfigError

    if labels == (daily is not None):
        raise ConfigError("evaluate takes either a table DAILY.csv or --labels; give one of them")
    if suite != "standard":
        raise ConfigError(f"{suite!r} is no suite; needed is: standard")
    try:
        paths = _on_table(daily, mapping, seed, out) if daily else _on_labels(context, seed, out)
    except OSError as error:
        cannot_write(out, error)
    for path in paths:
        say(str(path))


def _on_table(daily: Path, mapping: str | None, seed: int, out: Path) -> list[Path]:
    from models.daily import known_mapping, read_days
    from models.evaluation import evaluate as run
    from models.report import write_report

    people = read_days(daily, known_mapping(mapping))
    with progress_bar("Evaluate", "folds") as update:
        found = run(people, seed=seed, progress=lambda _what, done, total: update(done, total))
    return write_report(found, out)


def _on_labels(context: typer.Context, seed: int, out: Path) -> list[Path]:
    from models.label_evaluation import evaluate_by_lot, evaluate_labels
    from models.label_report import write_label_report
    from models.label_store import read_labelled

    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        people = read_labelled(store, registry)
    with progress_bar("Evaluate", "folds") as update:
        found = evaluate_labels(people, seed=seed, progress=lambda _what, done, total: update(done, total))
    return write_label_report(found, evaluate_by_lot(people, seed=seed), out)
