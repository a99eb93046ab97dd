"""The pages of `docs/` that are generated from the code.

Rules of this file:
- A page is a function of the code alone: the same on every machine.
- `make docs` writes them; a test compares them with those checked in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from central_server.cli.main import app as central_app
from central_server.config import Config as CentralConfig
from edge_agent.api.openapi import document as openapi_document
from edge_agent.api.openapi import with_table
from edge_agent.cli.docs import commands, exit_codes
from edge_agent.cli.docs import document as cli_page
from edge_agent.config import Config
from edge_agent.inference.docs import page as steps_page

DOCS = Path(__file__).parents[2] / "docs"
UNITS = {"_bytes": "bytes", "_pixels": "pixels", "_s": "seconds", "_hours": "hours", "_share": "0–1"}

CONFIGURATION = """# Configuration

Generated from the code by `make docs`; do not edit.

The agent needs no settings: an empty directory is a valid installation. What you set comes from, strongest first:

1. options of `edge-agent run`,
2. environment variables: `EDGE_AGENT_` and the name in capitals,
3. `config.toml` in the data directory.

An unknown name or a value out of range stops the start with a message that names it. Lists are TOML arrays in the
file and JSON arrays in the environment. Changes count from the next start. Hot folders, cameras and how scanned
codes are read are not here: they change while the agent runs, through the CLI or the API, and lie in the database.
No secret is a setting.

```toml
port = 9000
time_zone = "Asia/Tokyo"
inference_deadline_s = 10
allowed_hosts = ["line3-pc.factory.local"]
```

| setting | default | unit | meaning | environment |
|---|---|---|---|---|
"""


CENTRAL = """# Central server: commands and settings

Generated from the code by `make docs`; do not edit. How it is used: [central.md](central.md).

`--json` prints one JSON document on standard output (`run`: one line when it answers); errors are one line on standard
error. `central-server --data-dir DIR COMMAND …` (or `CENTRAL_SERVER_DATA_DIR`) names the data directory.

## Settings

From strongest to weakest: options of `central-server run`, environment variables, `config.toml` in the data directory.
An unknown name or a value out of range stops the start with a message that names it.

| setting | default | unit | meaning | environment |
|---|---|---|---|---|
"""


def configuration_page() -> str:
    return CONFIGURATION + settings_table(Config, "EDGE_AGENT_")


def central_page() -> str:
    table = settings_table(CentralConfig, "CENTRAL_SERVER_")
    codes = f"## Exit codes\n\n| code | meaning |\n| --- | --- |\n{exit_codes()}"
    return f"{CENTRAL}{table}\n{codes}\n## Commands\n{commands('central-server', central_app)}"


def settings_table(settings: type[BaseSettings], prefix: str) -> str:
    """The rows."""
    return "".join(f"{_setting(name, field, prefix)}\n" for name, field in settings.model_fields.items())


def _setting(name: str, field: FieldInfo, prefix: str) -> str:
    unit = next((word for ending, word in UNITS.items() if f"_{name}".endswith(ending)), "")
    default = "the platform's" if field.is_required() else f"`{_toml(field.default)}`"
    default = "none" if field.default is None else default
    return f"| `{name}` | {default} | {unit} | {field.description} | `{prefix}{name.upper()}` |"


def _toml(value: object) -> str:
    """As it would be written in config.toml."""
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(one) for one in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)


def api_page() -> str:
    """The page is written by hand around one generated table."""
    return with_table((DOCS / "api.md").read_text("utf-8"))


PAGES: Mapping[str, Callable[[], str]] = {
    "steps.md": steps_page,
    "configuration.md": configuration_page,
    "api.md": api_page,
    "openapi.json": openapi_document,
    "cli.md": cli_page,
    "central-reference.md": central_page,
}
