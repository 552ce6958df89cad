"""Every setting, once: name with unit, default, range and meaning.

Read from, the later winning: the defaults here, `evenkeel.toml` in the installation's directory,
environment variables (`EVENKEEL_DASHBOARD__PORT=8060`). A name that does not exist is an error.
"""

import hashlib
import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

SETTINGS_FILE = "evenkeel.toml"


class SettingsError(Exception):
    """A setting has a name or value that cannot be; `str()` of it is a sentence for the user."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CollectorSettings(_Section):
    """How the collector treats wearables."""

    silent_after_s: float = Field(
        default=20.0,
        ge=5,
        le=600,
        description="A connected wearable that sends nothing for so long is reconnected",
    )
    spool_limit_mb: int = Field(
        default=2000, ge=10, description="Disk the spool may use while the store is away"
    )


class FeatureSettings(_Section):
    """How markers are computed."""

    window_s: int = Field(
        default=300, ge=60, le=600, description="Length of the windows that HRV is computed in"
    )
    night_start_h: int = Field(
        default=0, ge=0, le=23, description="Nocturnal markers use windows from this local hour"
    )
    night_end_h: int = Field(default=6, ge=1, le=24, description="... to this one, exclusive")


class FlagSettings(_Section):
    """When a change from a person's own normal is flagged."""

    baseline_days: int = Field(default=42, ge=14, le=120, description="Length of the personal baseline")
    gap_days: int = Field(default=7, ge=0, le=28, description="Most recent days that the baseline leaves out")
    min_valid_nights: int = Field(
        default=14, ge=7, le=60, description="Valid nights a baseline needs; fewer is `learning`"
    )
    band_sd: float = Field(
        default=2.0, ge=1, le=5, description="Half-width of the personal band, in robust SD"
    )
    judged_nights: int = Field(default=7, ge=3, le=14, description="Most recent nights the rule looks at")
    nights_outside: int = Field(
        default=5, ge=2, le=14, description="Nights beyond one side that raise a flag"
    )


class DashboardSettings(_Section):
    """Where the dashboard listens."""

    host: str = Field(
        default="127.0.0.1", description="Address to listen on; put a TLS proxy in front of any other"
    )
    port: int = Field(default=8050, ge=1, le=65535, description="Port to listen on")
    is_behind_tls: bool = Field(default=False, description="Send cookies over TLS only (behind a TLS proxy)")
    crisis_text: str = Field(
        default="In an emergency call your local emergency number. evenkeel is watched by nobody.",
        description="Fixed local crisis information, shown on every page",
    )


class Settings(BaseSettings):
    """All settings of an installation."""

    model_config = SettingsConfigDict(
        env_prefix="EVENKEEL_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    collector: CollectorSettings = CollectorSettings()
    features: FeatureSettings = FeatureSettings()
    flags: FlagSettings = FlagSettings()
    dashboard: DashboardSettings = DashboardSettings()

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
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def load_settings(home: Path) -> Settings:
    """Read the settings of the installation in `home`.

    Raises
    ------
    SettingsError
        If a name is unknown or a value out of range; names the setting, the value seen and the one needed.
    """

    class _FromHome(Settings):
        model_config = SettingsConfigDict(toml_file=home / SETTINGS_FILE)

    try:
        return _FromHome()
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"Setting {name} is {first['input']!r}: {first['msg']}; change it in {home / SETTINGS_FILE} "
            f"or in the environment variable EVENKEEL_{name.upper().replace('.', '__')}"
        ) from None


def settings_hash(section: BaseModel) -> str:
    """Return a short hash of settings, to tell which ones made a value."""
    held = json.dumps(section.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(held.encode()).hexdigest()[:16]
