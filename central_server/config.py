"""What the central server is started with: one settings file, environment variables over it.

Rules of this file:
- The only place of the server that reads the environment. `CENTRAL_SERVER_PORT=9000` overrides `port` of
  `<data_dir>/config.toml`.
- Everything has a default that is right for one machine to try it on: no `database_url` means the PostgreSQL and no
  `s3_endpoint` the object store that the server starts itself, below its data directory.
- Secrets are SecretStr: no log, no error and no `--json` shows them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

import platformdirs
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

PREFIX = "CENTRAL_SERVER_"
LOOPBACK = ("127.0.0.1", "::1", "localhost")


def default_data_dir() -> Path:
    """Where the server keeps its data unless told otherwise: the platform's place for it; root's home is closed to
    the account that the embedded servers run as."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        return Path("/var/lib/imageflow-central-server")
    return Path(platformdirs.user_data_dir("imageflow-central-server", appauthor=False))


class DataDirSetting(BaseSettings):
    """Found first, because the settings file lies in it."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore")
    data_dir: Path = Field(default_factory=default_data_dir)


class Config(BaseSettings):
    """All settings; see `docs/central.md` for the same list in prose."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    data_dir: Path = Field(description="Where everything the server keeps lies; set outside config.toml.")
    host: str = Field("127.0.0.1", description="Address to listen on; beyond loopback it needs TLS.")
    port: int = Field(8640, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    tls_certificate: Path | None = Field(
        None, description="PEM file: the server's certificate with its chain."
    )
    tls_key: Path | None = Field(None, description="PEM file: the certificate's private key.")
    is_behind_proxy: bool = Field(
        False, description="A proxy on this network ends TLS: listen beyond loopback without it."
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="DEBUG, INFO, WARNING or ERROR."
    )
    database_url: SecretStr | None = Field(
        None,
        description="PostgreSQL 14 or later (postgresql://...); none: one is started in the data directory.",
    )
    s3_endpoint: str | None = Field(
        None, description="URL of the object store; none: one is started in the data directory."
    )
    s3_public_endpoint: str | None = Field(
        None, description="URL under which devices reach the object store, if it is another one."
    )
    s3_region: str = Field("us-east-1", description="Region of the object store.")
    s3_bucket: str = Field(
        "imageflow", min_length=3, max_length=63, description="Bucket; made if it is missing."
    )
    s3_access_key: SecretStr | None = Field(None, description="Access key; none: the machine's own (AWS).")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key of the object store.")
    s3_ca_file: Path | None = Field(None, description="PEM file: who signed the object store's certificate.")
    workers: int = Field(
        8,
        ge=1,
        le=64,
        description="Requests worked on at the same time; each may hold one database connection.",
    )
    max_waiting: int = Field(
        256, ge=0, description="Requests that may wait for a worker; more are told to come again."
    )
    max_listeners: int = Field(2000, ge=0, description="Devices that may wait for changes at the same time.")
    code_hours: float = Field(24.0, gt=0, description="An enrolment code can be used for this many hours.")
    tombstone_days: int = Field(
        400,
        ge=1,
        description="Deletions are remembered for this many days; a device away longer pulls afresh.",
    )
    operation_days: int = Field(
        400,
        ge=30,
        description="Operations of devices are remembered for this many days: what came, and what was answered.",
    )

    @model_validator(mode="after")
    def _is_safe_to_listen(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key go together")
        if self.host not in LOOPBACK and self.tls_certificate is None and not self.is_behind_proxy:
            raise ValueError(
                f"listening on {self.host} needs tls_certificate and tls_key, or is_behind_proxy"
            )
        return self

    @model_validator(mode="after")
    def _has_both_keys(self) -> Self:
        if (self.s3_access_key is None) != (self.s3_secret_key is None):
            raise ValueError("s3_access_key and s3_secret_key go together")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        file = Path(init_settings()["data_dir"]) / "config.toml"
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls, file))


def load_config(data_dir: Path | None = None, **overrides: Any) -> Config:
    """The settings in force for `data_dir` (default: the environment's, else the platform's).

    Raises pydantic.ValidationError naming every bad key.
    """
    directory = (data_dir or DataDirSetting().data_dir).expanduser().absolute()
    return Config(data_dir=directory, **overrides)


def notify_socket() -> str | None:
    """Where systemd wants to hear that the server is ready; None when it did not start us."""
    return os.environ.get("NOTIFY_SOCKET")


def child_environment() -> dict[str, str]:
    """What an embedded server is given of our environment: nothing that could configure it."""
    kept = ("PATH", "SYSTEMROOT", "TEMP", "TMP")
    return {name: os.environ[name] for name in kept if name in os.environ} | {"LC_ALL": "C"}
