"""Settings: file and environment, refusals that name the setting, a default file true to the schema."""

import tomllib
from pathlib import Path

import pytest

import configs
from configs.home import home_directory
from configs.settings import FlagSettings, Settings, SettingsError, load_settings, settings_hash
from store.errors import ConfigError, HomeError
from store.installation import Installation


def test_environment_over_file_over_defaults(tmp_path, monkeypatch):
    (tmp_path / "evenkeel.toml").write_text("[dashboard]\nport = 8060\nhost = '127.0.0.2'\n")
    assert load_settings(tmp_path).dashboard.port == 8060
    monkeypatch.setenv("EVENKEEL_DASHBOARD__PORT", "8070")
    assert load_settings(tmp_path).dashboard.port == 8070


@pytest.mark.parametrize(
    ("text", "named"),
    [("[dashboard]\nprot = 1\n", "dashboard.prot"), ("[flags]\nband_sd = 99\n", "flags.band_sd")],
)
def test_a_wrong_setting_is_named(tmp_path, text, named):
    (tmp_path / "evenkeel.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        load_settings(tmp_path)
    with pytest.raises(ConfigError, match=named):
        Installation(tmp_path)


def test_the_commented_default_file_is_the_schema():
    """Every setting stands in the file, with its default."""
    path = Path(configs.__file__).parent / "evenkeel.toml"
    uncommented = [line.removeprefix("# ") if "=" in line else line for line in path.read_text().splitlines()]
    held = tomllib.loads("\n".join(line for line in uncommented if not line.startswith("# ")))
    assert held == Settings().model_dump()


def test_a_hash_tells_settings_apart():
    assert settings_hash(FlagSettings()) == settings_hash(FlagSettings())
    assert settings_hash(FlagSettings()) != settings_hash(FlagSettings(band_sd=3))


def test_the_home_is_asked_named_or_the_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path / "named"))
    assert home_directory(tmp_path / "asked") == tmp_path / "asked"
    assert home_directory() == tmp_path / "named"
    monkeypatch.delenv("EVENKEEL_HOME")
    assert home_directory().name == "evenkeel"


def test_a_home_that_cannot_be_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(HomeError, match="--home DIR"):
        Installation(tmp_path / "file" / "home")
    (tmp_path / "samples.sqlite").write_text(
        "this is no database, it is a long enough text to be looked at" * 20
    )
    with pytest.raises(HomeError, match=r"samples\.sqlite"):
        Installation(tmp_path).timeseries()


def test_secrets_are_made_once_and_for_their_owner_only(tmp_path):
    installation = Installation(tmp_path / "home")
    first = installation.secret("session")
    assert installation.secret("session") == first
    assert len(first) == 32
    path = tmp_path / "home" / "secrets" / "session"
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0
