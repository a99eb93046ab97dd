"""What the agent is started with: one settings file, environment variables over it.

Rules of this file:
- The only place that reads the environment. `EDGE_AGENT_PORT=9000` overrides `port` of
  `<data_dir>/config.toml`; what changes while the agent runs (folders, cameras) is in the database.
- Everything has a default that is right for a single factory PC: an empty directory is a valid installation.
- No secret is a setting: the install token and password hashes have files and rows of their own.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import platformdirs
from pydantic import Field
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)


def default_data_dir() -> Path:
    """Where the agent keeps its data unless told otherwise: the platform's place for it."""
    return Path(platformdirs.user_data_dir("imageflow-edge-agent", appauthor=False))


class DataDirSetting(BaseSettings):
    """Found first, because the settings file lies in it."""

    model_config = SettingsConfigDict(env_prefix="EDGE_AGENT_", extra="ignore")
    data_dir: Path = Field(default_factory=default_data_dir)


class Config(BaseSettings):
    """All settings; see `docs/configuration.md` for the same list in prose."""

    model_config = SettingsConfigDict(env_prefix="EDGE_AGENT_", extra="forbid", frozen=True)

    data_dir: Path = Field(description="Where everything the agent keeps lies; set outside config.toml.")
    host: str = Field("127.0.0.1", description="Address to listen on; loopback unless you know why not.")
    port: int = Field(8620, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    allowed_origins: tuple[str, ...] = Field(
        ("tauri://localhost", "http://tauri.localhost", "https://tauri.localhost"),
        description="Browser origins besides our own that may use the API.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        (), description="Host names besides localhost under which the API may be addressed."
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )
    device_type: str = Field(
        "desktop", pattern="^(desktop|tablet|mobile)$", description="desktop, tablet or mobile."
    )
    time_zone: str = Field("", description="IANA zone of the factory's calendar day; empty = the machine's.")
    max_image_bytes: int = Field(20_000_000, gt=0, description="Largest image accepted, bytes.")
    max_image_pixels: int = Field(100_000_000, gt=0, description="Largest image accepted, pixels.")
    workers: int = Field(
        0, ge=0, le=8, description="Inference processes at most; 0 = one per core, at most two."
    )
    inference_deadline_s: float = Field(30.0, gt=0, description="A run longer than this is stopped: ERROR.")
    inference_attempts: int = Field(
        2, ge=1, le=10, description="Runs of one image before it is given to a person."
    )
    review_share: float = Field(
        0.05, ge=0, le=1, description="Share of AI OK verdicts a person is asked to check all the same."
    )
    blind_mode: bool = Field(False, description="Hide the AI verdict until the person has decided.")
    login_hours: float = Field(12.0, gt=0, description="A login ends after this many hours.")
    min_free_bytes: int = Field(
        500 * 2**20, ge=0, description="Below this much free disk no new session starts."
    )
    retention_days: int = Field(
        30,
        ge=0,
        description="Image files stay here for this many days, longer until the centre has proof of them, "
        "shorter when the disk gets full. At least the days between two backups of the central server.",
    )
    backup_keep: int = Field(7, ge=0, description="Daily backups kept; 0 = none are made.")
    central_ca_file: Path | None = Field(
        None, description="PEM file of a private certificate authority that vouches for the central server."
    )
    queue_keep_days: float = Field(
        30.0,
        ge=1,
        description="Days for which what the server acknowledged can be sent again, should it lose it; longer than "
        "the age of its oldest backup.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        data_dir = Path(init_settings()["data_dir"])
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, data_dir / "config.toml"),
        )

    @property
    def zone(self) -> ZoneInfo | None:
        """The factory's time zone; None is the machine's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @property
    def database_path(self) -> Path:
        return self.data_dir / "edge.db"


def load_config(data_dir: Path | None = None, **overrides: Any) -> Config:
    """The settings in force for `data_dir` (default: the environment's, else the platform's).

    Raises pydantic.ValidationError naming every bad key.
    """
    directory = (data_dir or DataDirSetting().data_dir).expanduser().absolute()
    return Config(data_dir=directory, **overrides)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """What systemd wants to hear: the socket to tell, and seconds between signs of life (None: none)."""

    notify_socket: str | None
    watchdog_s: float | None


def read_supervisor() -> Supervisor:
    """The service manager that started us, from its environment variables."""
    microseconds = os.environ.get("WATCHDOG_USEC")
    return Supervisor(os.environ.get("NOTIFY_SOCKET"), int(microseconds) / 1e6 if microseconds else None)
