"""Which store and registry: URLs, tokens, and messages that give no secret away."""

from pathlib import Path

import pytest

from configs.settings import SettingsError, load_settings
from store.errors import ConfigError, EvenkeelError
from store.installation import Installation
from store.places import (
    FilePlace,
    InfluxPlace,
    environment_token,
    open_place,
    password_free,
    place_of,
    registry_place,
    token_in,
)
from store.streams import RR_INTERVAL

HOME = Path("/home/of/evenkeel")
SECRET = "s3cret-s3cret"


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///samples.sqlite", FilePlace(HOME / "samples.sqlite")),
        ("sqlite:////var/lib/other.sqlite", FilePlace(Path("/var/lib/other.sqlite"))),
        ("sqlite:///a b?c#d.sqlite", FilePlace(HOME / "a b?c#d.sqlite")),
        ("http://localhost:8086", InfluxPlace("http://localhost:8086", "evenkeel", "evenkeel")),
        (
            "https://db.example:443/?org=our%20clinic&bucket=ward_3",
            InfluxPlace("https://db.example:443", "our clinic", "ward_3"),
        ),
    ],
)
def test_a_url_names_a_place(url, place):
    assert place_of(url, HOME) == place


def test_a_place_as_text_names_the_same_place():
    for url in ("sqlite:////x/samples.sqlite", "http://h:1?org=our clinic&bucket=b"):
        place = place_of(url, HOME)
        assert place_of(str(place), HOME) == place


@pytest.mark.parametrize(
    "url",
    [
        "",
        "samples.sqlite",
        "sqlite://",
        "sqlite:///",
        "http://",
        "http://[::1",
        "http://host:port",
        f"mysql://somebody:{SECRET}@host/db",
        f"http://somebody:{SECRET}@host:8086",
        f"http://host:8086?org=o&token={SECRET}",
        f"http://host:8086/{SECRET}",
        f"http://host:8086#{SECRET}",
        "http://host:8086?bucket=a/b",
        "http://host:8086?bucket=",
        "http://host:8086?bucket=-b",
    ],
)
def test_no_place_is_refused_without_a_word_of_what_may_be_secret(url):
    if url.endswith("bucket="):  # an empty value is none, and the default holds
        assert place_of(url, HOME) == InfluxPlace("http://host:8086")
        return
    with pytest.raises(ConfigError) as refused:
        place_of(url, HOME)
    assert SECRET not in str(refused.value)


def test_only_a_network_in_clear_is_in_clear():
    assert InfluxPlace("http://influxdb:8086").is_in_clear
    assert not InfluxPlace("http://127.0.0.1:8086").is_in_clear
    assert not InfluxPlace("https://influxdb:8086").is_in_clear


def test_a_registry_is_a_file_or_a_postgresql():
    assert registry_place("sqlite:///registry.sqlite", HOME) == HOME / "registry.sqlite"
    url = f"postgresql+psycopg://somebody:{SECRET}@host/db"
    assert registry_place(url, HOME) == url
    for wrong in (f"mysql://somebody:{SECRET}@host/db", SECRET, "sqlite:///"):
        with pytest.raises(ConfigError) as refused:
            registry_place(wrong, HOME)
        assert SECRET not in str(refused.value)


def test_a_password_on_a_command_line_is_refused():
    assert password_free("postgresql+psycopg://somebody@host/db")
    with pytest.raises(ConfigError, match="PGPASSFILE") as refused:
        password_free(f"postgresql+psycopg://somebody:{SECRET}@host/db")
    assert SECRET not in str(refused.value)


def test_a_token_comes_from_the_environment_or_a_file(tmp_path):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"{SECRET}\n")
    assert token_in(path) == SECRET
    assert environment_token({"EVENKEEL_INFLUX_TOKEN_FILE": str(path)}) == SECRET
    other = {"EVENKEEL_INFLUX_TOKEN": " other ", "EVENKEEL_INFLUX_TOKEN_FILE": str(path)}
    assert environment_token(other) == "other"
    with pytest.raises(ConfigError, match="EVENKEEL_INFLUX_TOKEN_FILE"):
        environment_token({})
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        environment_token({"EVENKEEL_INFLUX_TOKEN_FILE": str(tmp_path / "nowhere")})


@pytest.mark.parametrize(("mode", "is_taken"), [(0o600, True), (0o640, True), (0o644, False), (0o602, False)])
def test_a_token_that_everybody_can_read_is_refused(tmp_path, mode, is_taken):
    path = tmp_path / "token"
    path.write_text(SECRET)
    path.chmod(mode)
    if is_taken:
        assert token_in(path) == SECRET
        return
    with pytest.raises(ConfigError, match=rf"mode {mode:o}\).*chmod 600") as refused:
        token_in(path)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"\n", b"two tokens", b"\xff\xfe\x00"])
def test_a_file_without_a_token_is_refused(tmp_path, content):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"holds no token|it is no text"):
        token_in(path)


def test_the_setting_has_a_short_variable_that_wins(tmp_path, monkeypatch):
    (tmp_path / "evenkeel.toml").write_text(
        "[store]\nurl = 'sqlite:///file.sqlite'\nraw_retention_days = 9\n"
    )
    assert load_settings(tmp_path).store.url == "sqlite:///file.sqlite"
    monkeypatch.setenv("EVENKEEL_STORE__URL", "sqlite:///general.sqlite")
    assert load_settings(tmp_path).store.url == "sqlite:///general.sqlite"
    monkeypatch.setenv("EVENKEEL_STORE_URL", "sqlite:///short.sqlite")
    monkeypatch.setenv("EVENKEEL_REGISTRY_URL", "sqlite:///people.sqlite")
    settings = load_settings(tmp_path)
    assert settings.store.url == "sqlite:///short.sqlite"
    assert settings.store.raw_retention_days == 9
    assert settings.registry.url == "sqlite:///people.sqlite"


def test_a_token_put_among_the_settings_is_not_repeated(tmp_path):
    (tmp_path / "evenkeel.toml").write_text(f"[store]\ntoken = '{SECRET}'\n")
    with pytest.raises(SettingsError, match=r"store\.token") as refused:
        load_settings(tmp_path)
    assert SECRET not in str(refused.value)


def test_an_installation_opens_what_its_settings_name(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENKEEL_STORE_URL", f"sqlite:///{tmp_path}/elsewhere.sqlite")
    monkeypatch.setenv("EVENKEEL_REGISTRY_URL", "sqlite:///people.sqlite")
    installation = Installation(tmp_path / "home")
    with installation.timeseries() as store, installation.registry():
        assert store.subjects(RR_INTERVAL) == []
    assert (tmp_path / "elsewhere.sqlite").exists()
    assert sorted(path.name for path in (tmp_path / "home").glob("*.sqlite")) == ["people.sqlite"]
    asked = Installation(tmp_path / "home", store_url="sqlite:///asked.sqlite")
    assert asked.store_place() == FilePlace(tmp_path / "home" / "asked.sqlite")


def test_a_registry_that_cannot_be_reached_is_an_error_without_its_password(tmp_path, monkeypatch):
    monkeypatch.setenv("EVENKEEL_REGISTRY_URL", f"postgresql+psycopg://somebody:{SECRET}@127.0.0.1:1/db")
    with pytest.raises(EvenkeelError) as refused:
        Installation(tmp_path).registry()
    assert SECRET not in str(refused.value)


def test_an_influxdb_without_a_token_is_refused_before_it_is_asked(monkeypatch):
    for name in ("EVENKEEL_INFLUX_TOKEN", "EVENKEEL_INFLUX_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="needs a token"):
        open_place(InfluxPlace("http://127.0.0.1:1"))
    assert SECRET not in repr(open_place(InfluxPlace("http://127.0.0.1:1"), SECRET))
