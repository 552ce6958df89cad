"""The progress bar on a terminal: it shows itself before it knows how much there is to do."""

import io
import sys

import pytest

from store.command import progress_bar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_sees_counts_from_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with progress_bar("Replay", "h") as update:
        update(3, 12)
    assert "3 of 12 h" in terminal.getvalue()


def test_elsewhere_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stderr", elsewhere)
    with progress_bar("Replay", "h") as update:
        update(3, 12)
    assert elsewhere.getvalue() == ""
