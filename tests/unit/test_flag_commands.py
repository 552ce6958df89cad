"""Flags on the command line."""

from typer.testing import CliRunner

from evenkeel import app
from store.errors import ConfigError, UnknownError
from tests.clinic import build_clinic


def test_the_commands(tmp_path):
    build_clinic(tmp_path)
    runner = CliRunner()
    home = ["--home", str(tmp_path)]
    told = runner.invoke(app, [*home, "backtest", "--subject", "V02"])
    assert told.exit_code == 0, told.output
    assert "alerts at 0.25 per patient-month" in told.output
    listed = runner.invoke(app, [*home, "flags", "list"]).output
    number = listed.split()[0]
    told = runner.invoke(app, [*home, "flags", "explain", number]).output
    assert "own normal" in told
    assert "settings" in told
    assert isinstance(runner.invoke(app, [*home, "flags", "explain", "99"]).exception, UnknownError)
    refused = runner.invoke(app, [*home, "backtest", "--subject", "V02", "--budget", "9"])
    assert isinstance(refused.exception, ConfigError)
    ran = runner.invoke(app, [*home, "flags", "run"]).output
    assert "7 people judged" in ran
    assert "0 people judged, 0 new flags" in runner.invoke(app, [*home, "flags", "run"]).output
