"""What `deploy/` ships to run jobs by itself says what the command understands."""

import configparser
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import evenkeel

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False)
    parser.optionxform = str  # systemd tells capital letters apart
    parser.read(DEPLOY / name)
    return parser


def commands() -> list[list[str]]:
    service = unit("evenkeel-due.service")["Service"]["ExecStart"]
    cron = (DEPLOY / "evenkeel.cron").read_text().splitlines()[-1]
    return [shlex.split(service), shlex.split(cron.partition("nice ")[2])]


@pytest.mark.parametrize("words", commands(), ids=["systemd", "cron"])
def test_what_is_called_exists(words):
    assert words[0].endswith("/evenkeel")
    options = [word for word in words[2:] if word.startswith("--")]
    said = CliRunner().invoke(evenkeel.app, [words[1], "--help"], env={"COLUMNS": "200"}).output
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert options
    assert all(option in plain for option in options)


def test_the_service_may_write_its_home_and_nothing_else():
    service = unit("evenkeel-due.service")["Service"]
    assert service["ProtectSystem"] == "strict"
    assert service["ReadWritePaths"] == service["Environment"].partition("=")[2]
    assert service["User"] != "root"
    assert service["NoNewPrivileges"] == "yes"


def test_the_timer_catches_up_after_an_outage():
    timer = unit("evenkeel-due.timer")
    assert timer["Timer"]["Persistent"] == "yes"
    assert timer["Install"]["WantedBy"] == "timers.target"
