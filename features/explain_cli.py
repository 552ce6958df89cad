"""The command that says where a number came from."""

from typing import Annotated, Literal

import typer

from store.command import EXIT_PARTLY, open_installation, say


def explain(
    context: typer.Context,
    subject: Annotated[str, typer.Argument(help="Whose.")],
    night: Annotated[str, typer.Argument(help="Date of the morning of the night, such as 2026-03-28.")],
    feature: Annotated[str, typer.Argument(help="Name of the value, such as rmssd_ms.")],
    output: Annotated[Literal["text", "json"], typer.Option("--format", help="How to print it.")] = "text",
) -> None:
    """Say where a value of a night came from, down to beats and what was removed.

    It is computed again from the samples that are there now. Exit status 3 if
    that does not give the stored value.
    """
    import json
    from datetime import date

    from features.explain import explain as explained
    from features.explain import lines_of
    from features.job import sensor_models
    from store.errors import ConfigError

    try:
        day = date.fromisoformat(night)
    except ValueError:
        raise ConfigError(f"The night is {night!r}; needed is a date such as 2026-03-28") from None
    installation = open_installation(context)
    with installation.registry() as registry, installation.timeseries() as store:
        registry.people.subject(subject)
        zones = registry.people.zone_history(subject)
        models = sensor_models(registry)
        found = explained(store, zones, installation.settings.features, (subject, day, feature), models)
    if output == "json":
        say(json.dumps(found.as_json(), indent=1))
    else:
        for line in lines_of(found):
            say(line)
    if not found.is_same:
        raise typer.Exit(EXIT_PARTLY)
