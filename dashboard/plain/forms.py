"""What the pages without scripts share: fields, messages, the way back."""

from collections.abc import Callable

from flask import flash, redirect, request
from flask.typing import ResponseReturnValue

from store.errors import ConfigError

LONGEST_TEXT = 500
"""A remark, not a record: those belong where the clinic keeps its records."""


def field(name: str) -> str:
    """Return what was posted under a name, as one line without blanks around it."""
    return " ".join(request.form.get(name, "")[:LONGEST_TEXT].split())


def fields(name: str) -> list[str]:
    """Return every value that was posted under a name."""
    return [text.strip() for text in request.form.getlist(name) if text.strip()]


def attempt(act: Callable[[], str], path: str) -> ResponseReturnValue:
    """Do what a form asked for, say what came of it, and go to a page.

    Parameters
    ----------
    act : callable
        Does it and returns a sentence about it; a ConfigError becomes the sentence, and nothing was done.
    """
    try:
        flash(act(), "done")
    except ConfigError as error:
        flash(str(error), "alert")
    return redirect(path, 303)
