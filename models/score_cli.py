"""Commands over tables of daily values: score and evaluate."""

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from store.command import cannot_write, finish, open_installation, progress_bar, say

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


class _RawRun(NamedTuple):
    """What --raw is asked for."""

    subjects: tuple[str, ...]
    scenarios: tuple[str, ...]
    onsets: int
    workers: int


def evaluate(
    context: typer.Context,
    *,
    out: Annotated[Path, typer.Option(help="Folder for the report: Markdown, JSON, plots.")],
    daily: Annotated[
        Path | None,
        typer.Argument(help="CSV, a row per subject and day; none with --labels or --raw.", dir_okay=False),
    ] = None,
    mapping: _Mapping = None,
    suite: Annotated[str, typer.Option(help="Which suite; there is one: standard.")] = "standard",
    seed: Annotated[int, typer.Option(help="Of what is injected; report a seed you never tuned on.")] = 1,
    labels: Annotated[
        bool, typer.Option("--labels", help="Measure on the people, scales and flags of this installation.")
    ] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Change the raw samples of this installation, before any marker.")
    ] = False,
    subject: Annotated[
        list[str] | None, typer.Option(help="With --raw: only this person (may be repeated).")
    ] = None,
    scenario: Annotated[
        list[str] | None, typer.Option(help="With --raw: only this change or control (may be repeated).")
    ] = None,
    onsets: Annotated[int, typer.Option(help="With --raw: onsets of each person.", min=1, max=50)] = 2,
    workers: Annotated[int, typer.Option(help="With --raw: processes that compute.", min=1, max=256)] = 1,
) -> None:
    """Measure what the method finds, and at which price, by changes injected into the days of a table.

    People are left out, thresholds come from inner folds, and every figure stands beside its chance level.

    With --labels, episodes are those that scales and resolved flags of this installation tell of; with too
    few of them nothing is measured.

    With --raw, the same changes are made in beats, movement and sleep as this installation recorded them:
    the nights they touch are computed again as `features run` does, and judged by the shipped model as
    `flags run` does. It says what of each change reached the markers, and what is found, beside the same
    changes made in daily values. Nothing is written but the report. Exit status 3: somebody was left out,
    and it is said why.
    """
    from store.errors import ConfigError

    if [daily is not None, labels, raw].count(True) != 1:
        raise ConfigError("evaluate takes either a table DAILY.csv, --labels or --raw; give one of them")
    if suite != "standard":
        raise ConfigError(f"{suite!r} is no suite; needed is: standard")
    if not raw and (subject or scenario):
        raise ConfigError("--subject and --scenario go with --raw alone")
    failed: tuple[str, ...] = ()
    try:
        if raw:
            asked = _RawRun(tuple(subject or ()), tuple(scenario or ()), onsets, workers)
            paths, failed = _on_raw(context, seed, out, asked)
        else:
            paths = _on_table(daily, mapping, seed, out) if daily else _on_labels(context, seed, out)
    except OSError as error:
        cannot_write(out, error)
    for path in paths:
        say(str(path))
    finish(failed)


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


def _on_raw(
    context: typer.Context, seed: int, out: Path, asked: _RawRun
) -> tuple[list[Path], tuple[str, ...]]:
    """Return what was written, and why people were left out."""
    from features.job import sensor_models
    from features.night_source import SourcePlace
    from features.nights import NIGHT_STREAM
    from models.nightly import sensor_names
    from models.raw_evaluation import RawEvaluation, Setup, chosen_scenarios, evaluate_raw
    from models.raw_nights import read_person
    from models.raw_report import write_raw_report
    from store.errors import DataError

    installation = open_installation(context)
    settings = installation.settings
    place = SourcePlace(str(installation.store_place()))
    scenarios = chosen_scenarios(asked.scenarios)
    with installation.registry() as registry, installation.timeseries() as source:
        known = {person.subject_id: person for person in registry.people.subjects()}
        for subject_id in asked.subjects:
            registry.people.subject(subject_id)
        chosen = [s for s in asked.subjects or source.subjects(NIGHT_STREAM) if s in known]
        setup = Setup(settings.features, sensor_models(registry), scenarios, settings.flags.budget, seed)
        empty = RawEvaluation(setup, len(chosen), sum(known[s].is_simulated for s in chosen))
        names = sensor_names(registry.people.sensors())
        people = (read_person(source, s, registry.people.zone_history(s), names) for s in chosen)
        with progress_bar("Evaluate", "onsets") as update:
            found = evaluate_raw(
                people,
                empty,
                place,
                per_person=asked.onsets,
                workers=asked.workers,
                progress=lambda done: update(done, max(done, asked.onsets * len(chosen))),
            )
    if not found.shown:
        why = "; ".join(found.left_out.values()) or "nobody has nine weeks of nights with three values each"
        raise DataError(f"Nothing could be evaluated: {why}")
    return write_raw_report(found, out), tuple(found.left_out.values())
