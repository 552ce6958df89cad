"""Settings: file and environment, refusals that name the setting, a default file true to the schema."""

import os
import threading
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import configs
from configs.home import home_directory
from configs.settings import (
    FeatureSettings,
    FlagSettings,
    Settings,
    SettingsError,
    load_settings,
    settings_hash,
)
from store.errors import ConfigError, HomeError
from store.installation import Installation


def test_environment_over_file_over_defaults(tmp_path, monkeypatch):
    (tmp_path / "evenkeel.toml").write_text("[dashboard]\nport = 8060\nhost = '127.0.0.2'\n")
    assert load_settings(tmp_path).dashboard.port == 8060
    monkeypatch.setenv("EVENKEEL_DASHBOARD__PORT", "8070")
    assert load_settings(tmp_path).dashboard.port == 8070


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[dashboard]\nprot = 1\n", "dashboard.prot"),
        ("[flags]\nband_sd = 99\n", "flags.band_sd"),
        ("[features]\nwindow_s = 420\n", r"features.window_s is 420: .*divides 900 s"),
        ("[features]\nnight_start_h = 6\n", "from 6 to 6 o'clock has no length"),
        ("[features]\nnight_start_h = 0\nnight_end_h = 24\n", "has no length"),
        ("[flags]\nbudget = 5\n", "flags.budget is 5"),
        ("[flags]\nbaseline_days = 14\nmin_valid_nights = 15\n", "nobody would ever have a band"),
        ("[flags", r"evenkeel\.toml cannot be read"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path, text, named):
    (tmp_path / "evenkeel.toml").write_text(text)
    with pytest.raises(SettingsError, match=named):
        load_settings(tmp_path)
    with pytest.raises(ConfigError, match=named):
        Installation(tmp_path)


def test_nights_that_cross_midnight_or_end_at_noon_are_nights():
    assert FeatureSettings(night_start_h=22, night_end_h=6)
    assert FeatureSettings(night_start_h=12, night_end_h=12)
    assert FeatureSettings(night_start_h=22, night_end_h=24)


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ("EVENKEEL_DASHBAORD__PORT", "names no setting"),
        ("EVENKEEL_DASHBOARD__PROT", "dashboard.prot"),
        ("EVENKEEL_DASHBOARD", "environment"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path, monkeypatch, variable, said):
    monkeypatch.setenv(variable, "nonsense")
    with pytest.raises(SettingsError, match=said):
        load_settings(tmp_path)


def test_a_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "evenkeel.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"evenkeel\.toml cannot be read"):
        load_settings(tmp_path)


def test_the_commented_default_file_is_the_schema():
    """Every setting stands in the file, with its default."""
    path = Path(configs.__file__).parent / "evenkeel.toml"
    uncommented = [line.removeprefix("# ") if "=" in line else line for line in path.read_text().splitlines()]
    held = tomllib.loads("\n".join(line for line in uncommented if not line.startswith("# ")))
    assert held == Settings().model_dump(mode="json")


def test_a_hash_tells_settings_apart():
    assert settings_hash(FlagSettings()) == settings_hash(FlagSettings())
    assert settings_hash(FlagSettings()) != settings_hash(FlagSettings(band_sd=3))


def test_the_home_is_asked_named_or_the_platforms(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENKEEL_HOME", str(tmp_path / "named"))
    assert home_directory(tmp_path / "asked") == tmp_path / "asked"
    assert home_directory() == tmp_path / "named"
    monkeypatch.delenv("EVENKEEL_HOME")
    assert home_directory().name == "evenkeel"
    assert home_directory(Path("~nobody-of-that-name/x")).name == "x"


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


def test_a_secret_made_twice_at_once_is_one(tmp_path, monkeypatch):
    """Of two processes that find no secret, the later one takes that of the earlier."""
    first = Installation(tmp_path).secret("session")
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert Installation(tmp_path).secret("session") == first
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["session"]


def test_a_secret_cut_short_is_no_secret(tmp_path):
    installation = Installation(tmp_path)
    installation.secret("session")
    (tmp_path / "secrets" / "session").write_bytes(b"")
    with pytest.raises(HomeError, match="delete it"):
        installation.secret("session")


def test_a_fresh_home_opened_by_many_at_once(tmp_path):
    """Collector, jobs and dashboard start together on the first day: all of them get in."""
    together = threading.Barrier(6)

    def begin(home: Path) -> bytes:
        together.wait()
        installation = Installation(home)
        with installation.registry() as registry, installation.timeseries():
            registry.audit.append("somebody", "start")
        return installation.secret("session")

    with ThreadPoolExecutor(6) as pool:
        for k in range(8):
            found = list(pool.map(begin, [tmp_path / f"home{k}"] * 6))
            assert len(set(found)) == 1
            with Installation(tmp_path / f"home{k}").registry() as registry:
                assert len(registry.audit.entries()) == 6
                assert registry.audit.first_broken_seq() is None


def test_everything_kept_is_for_its_owner_only(tmp_path):
    before = os.umask(0)
    try:
        installation = Installation(tmp_path)  # a directory that was there, open to all
        with installation.registry() as registry, installation.timeseries():
            registry.audit.append("somebody", "start")
            installation.secret("session")
            installation.spool_path()
            kept = list(tmp_path.rglob("*"))
            assert {"registry.sqlite", "registry.sqlite-wal", "samples.sqlite"} <= {p.name for p in kept}
            assert [path.name for path in kept if path.stat().st_mode & 0o077] == []
    finally:
        os.umask(before)
