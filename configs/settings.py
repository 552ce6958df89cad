"""Every setting, once: name with unit, default, range and meaning.

Read from, the later winning: the defaults here, `evenkeel.toml` in the installation's directory,
environment variables (`EVENKEEL_DASHBOARD__PORT=8060`). A name that does not exist is an error.
"""

import hashlib
import json
import os
import re
import tomllib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as SourceError

SETTINGS_FILE = "evenkeel.toml"
STORE_VARIABLE, REGISTRY_VARIABLE = "EVENKEEL_STORE_URL", "EVENKEEL_REGISTRY_URL"
SHORT_VARIABLES = {STORE_VARIABLE: ("store", "url"), REGISTRY_VARIABLE: ("registry", "url")}
"""Variables with a name of their own, beside the general one (EVENKEEL_STORE__URL)."""
_PREFIX, _DELIMITER = "EVENKEEL_", "__"
_SECRETIVE_SECTIONS = frozenset({"store", "registry"})
"""Their values are never repeated in a message."""
_QUARTER_HOUR_S = 900
"""Zones are whole quarters of an hour from UTC: windows that divide one meet noon and midnight everywhere."""


class SettingsError(Exception):
    """A setting has a name or value that cannot be; `str()` of it is a sentence for the user."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectorSettings(_Section):
    """How the collector treats wearables."""

    silent_after_s: float = Field(
        default=15.0,
        ge=5,
        le=600,
        description="A connected wearable whose heart rate stopped coming for so long is reconnected",
    )
    adapters: tuple[str, ...] = Field(
        default=(),
        description="Bluetooth addresses of the adapters to use, as evenkeel doctor shows them; none is all "
        "that are switched on",
    )
    connections_per_adapter: int = Field(
        default=5, ge=1, le=500, description="Connections an adapter can hold; cheap ones hold 5 to 7"
    )
    acceleration_hz: int = Field(
        default=50,
        ge=0,
        le=200,
        description="Acceleration to ask wearables for, as near as they can; 0 is none and spares batteries",
    )
    keep_waveforms: bool = Field(
        default=False, description="Keep raw ECG and acceleration too, not only what is computed from them"
    )
    log_download_min: int = Field(
        default=30, ge=5, le=1440, description="Minutes between downloads of what a ring has stored"
    )
    spool_limit_mb: int = Field(
        default=2000, ge=10, description="Disk the spool may use while the store is away"
    )

    @field_validator("adapters")
    @classmethod
    def _are_addresses(cls, adapters: tuple[str, ...]) -> tuple[str, ...]:
        for address in adapters:
            if not re.fullmatch(r"([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}", address):
                raise ValueError(f"{address!r} is no address; needed is one such as 00:1A:7D:DA:71:13")
        return tuple(address.upper() for address in adapters)


class FeatureSettings(_Section):
    """How markers are computed."""

    window_s: int = Field(
        default=300,
        ge=60,
        le=450,
        description="Length of the windows that HRV is computed in; must divide 900 s",
    )
    night_start_h: int = Field(
        default=0, ge=0, le=23, description="Nocturnal markers use windows from this local hour"
    )
    night_end_h: int = Field(default=6, ge=1, le=24, description="... to this one, exclusive")

    @field_validator("window_s")
    @classmethod
    def _divides_a_quarter(cls, window_s: int) -> int:
        if _QUARTER_HOUR_S % window_s:
            raise ValueError("Needed is a length that divides 900 s, such as 60, 150, 180, 300 or 450")
        return window_s

    @model_validator(mode="after")
    def _end_after_start(self) -> Self:
        # Counted from the noon at which a night begins; an end at 12 is the noon at which it ends.
        if (self.night_start_h - 12) % 24 >= ((self.night_end_h - 12) % 24 or 24):
            raise ValueError(
                f"The night from {self.night_start_h} to {self.night_end_h} o'clock has no length; needed is "
                "an end after the start, both within noon to noon"
            )
        return self


class FlagSettings(_Section):
    """When a change from a person's own normal is flagged, and the own band that is drawn beside it."""

    budget: float = Field(
        default=0.25,
        ge=0.1,
        le=2.0,
        description="False flags a patient and 30 judged days that the clinic accepts; the threshold follows",
    )
    changes_per_year: float = Field(
        default=1.0,
        gt=0,
        le=12,
        description="Real changes a patient and year that you expect; says how many flags are chance",
    )
    baseline_days: int = Field(default=42, ge=14, le=120, description="Length of the band that charts show")
    gap_days: int = Field(default=7, ge=0, le=28, description="Most recent days that the band leaves out")
    min_valid_nights: int = Field(
        default=14, ge=7, le=60, description="Valid nights a band needs; fewer is `learning`"
    )
    band_sd: float = Field(default=2.0, ge=1, le=5, description="Half-width of the band, in robust SD")

    @model_validator(mode="after")
    def _can_be_met(self) -> Self:
        if self.min_valid_nights > self.baseline_days:
            raise ValueError(
                f"min_valid_nights is {self.min_valid_nights} in {self.baseline_days} baseline_days, so that "
                "nobody would ever have a band; needed are at most as many"
            )
        return self


class DashboardSettings(_Section):
    """Where the dashboard listens."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; put a TLS proxy in front of any other"
    )
    port: int = Field(default=8050, ge=1, le=65535, description="Port to listen on")
    is_behind_tls: bool = Field(default=False, description="Send cookies over TLS only (behind a TLS proxy)")
    public_url: str = Field(
        default="",
        pattern=r"^(https?://[^\s/?#]+)?$",
        description="Address that browsers use, such as https://evenkeel.clinic.example; identity providers "
        "send people back to it",
    )
    crisis_text: str = Field(
        default="In an emergency call your local emergency number. Nobody watches evenkeel around the clock.",
        min_length=20,
        max_length=400,
        description="Fixed local crisis information, shown on every page: name your clinic's own numbers",
    )
    workers: int = Field(
        default=0,
        ge=0,
        le=64,
        description="Processes of gunicorn that serve (extra `production`); 0 serves with waitress, in one",
    )
    escalate_after_h: int = Field(
        default=48,
        ge=1,
        le=336,
        description="A flag that nobody acknowledged for so long is shown to the leads first",
    )


class OidcSettings(_Section):
    """Sign-in through an identity provider (OpenID Connect; extra `oidc`); none while `issuer` is empty.

    The client's secret comes from EVENKEEL_OIDC_SECRET_FILE or EVENKEEL_OIDC_SECRET.
    """

    issuer: str = Field(
        default="",
        pattern=r"^(https://[^\s?#]+|http://(127\.0\.0\.1|localhost)(:\d+)?(/[^\s?#]*)?)?$",
        description="Issuer, https://..., as the provider's discovery document names it",
    )
    client_id: str = Field(default="", description="What the provider calls evenkeel")
    label: str = Field(default="your clinic's account", description="What the button says: Sign in with ...")
    scope: str = Field(default="openid profile", description="What is asked for")
    name_claim: str = Field(default="preferred_username", description="Claim with the user name here")
    role_claim: str = Field(default="groups", description="Claim with the groups somebody is in")
    roles: dict[str, Literal["clinician", "lead", "researcher", "admin"]] = Field(
        default={},
        description="Which group has which role; without any, an administrator adds each user first",
    )
    acr: tuple[str, ...] = Field(
        default=(), description="Ways of signing in that are strong enough (claim acr); none is any"
    )

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.issuer and not self.client_id:
            raise ValueError("An issuer without a client_id signs nobody in; needed are both")
        return self


class StoreSettings(_Section):
    """Where samples are kept."""

    url: str = Field(
        default="sqlite:///samples.sqlite",
        description="sqlite:///FILE in the installation's directory (four slashes: absolute), or "
        "http(s)://HOST:8086 of an InfluxDB 2 (docs/store.md); also EVENKEEL_STORE_URL",
    )
    raw_retention_days: int = Field(
        default=0,
        ge=0,
        description="InfluxDB forgets samples after so many days, 0 never; `evenkeel store init` applies it",
    )
    feature_retention_days: int = Field(default=0, ge=0, description="... windows and nightly markers")
    flag_retention_days: int = Field(default=0, ge=0, description="... what detectors write")


class RegistrySettings(_Section):
    """Where people, users, flags and the audit log are kept."""

    url: str = Field(
        default="sqlite:///registry.sqlite",
        description="People, users and flags: sqlite:///FILE as above, or "
        "postgresql+psycopg://USER@HOST/DATABASE; also EVENKEEL_REGISTRY_URL",
    )


class Settings(BaseSettings):
    """All settings of an installation."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter=_DELIMITER, extra="forbid", frozen=True
    )

    store: StoreSettings = StoreSettings()
    registry: RegistrySettings = RegistrySettings()
    collector: CollectorSettings = CollectorSettings()
    features: FeatureSettings = FeatureSettings()
    flags: FlagSettings = FlagSettings()
    dashboard: DashboardSettings = DashboardSettings()
    oidc: OidcSettings = OidcSettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the base class names it
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Environment over file over defaults."""
        short = InitSettingsSource(settings_cls, init_kwargs=_short_environment())
        return (init_settings, short, env_settings, TomlConfigSettingsSource(settings_cls))


def load_settings(home: Path) -> Settings:
    """Read the settings of the installation in `home`.

    Raises
    ------
    SettingsError
        If a name is unknown, a value out of range or the file no TOML; names the setting, the value seen
        and the one needed.
    """
    path = home / SETTINGS_FILE
    _check_environment()

    class _FromHome(Settings):
        model_config = SettingsConfigDict(toml_file=path)

    try:
        return _FromHome()
    except ValidationError as error:
        raise SettingsError(_sentence(error, path)) from None
    except SourceError as error:
        raise SettingsError(f"The environment cannot be read as settings: {error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise SettingsError(f"{path} cannot be read: {error}; needed is TOML in UTF-8") from None


def _short_environment() -> dict[str, dict[str, str]]:
    """Return the settings whose variables have a name of their own."""
    return {
        section: {name: os.environ[variable]}
        for variable, (section, name) in SHORT_VARIABLES.items()
        if variable in os.environ
    }


def _check_environment() -> None:
    """Refuse a variable of a section that does not exist; pydantic would ignore it."""
    for variable in sorted(os.environ):
        section = variable.upper().removeprefix(_PREFIX).split(_DELIMITER)[0].lower()
        is_setting = variable.upper().startswith(_PREFIX) and _DELIMITER in variable
        if is_setting and section not in Settings.model_fields:
            raise SettingsError(
                f"The environment variable {variable} names no setting; sections are "
                f"{', '.join(Settings.model_fields)}"
            )


def _sentence(error: ValidationError, path: Path) -> str:
    first = error.errors()[0]
    name = ".".join(str(part) for part in first["loc"])
    said = first["msg"].removeprefix("Value error, ")
    is_section = isinstance(first["input"], dict)
    # What somebody put there by mistake may be a password.
    is_secretive = first["loc"][0] in _SECRETIVE_SECTIONS
    seen = "" if is_section or is_secretive else f" is {first['input']!r}"
    variable = f"{_PREFIX}{name.upper().replace('.', _DELIMITER)}{_DELIMITER + '...' if is_section else ''}"
    return f"Setting {name}{seen}: {said}; change it in {path} or in the environment variable {variable}"


def settings_hash(section: BaseModel) -> str:
    """Return a short hash of settings, to tell which ones made a value."""
    held = json.dumps(section.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(held.encode()).hexdigest()[:16]
