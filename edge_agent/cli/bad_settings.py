"""Settings that cannot be used, as an error that names each of them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

from edge_agent.errors import BadDefinition, Problem


@contextmanager
def settings_errors(prefix: str) -> Iterator[None]:
    """What reading settings may raise becomes BadDefinition (`bad-settings`) with every key at fault."""
    from pydantic import ValidationError

    try:
        yield
        return
    except ValidationError as error:
        problems = [
            Problem("config.toml", f"/{'/'.join(map(str, fault['loc']))}", fault["type"], fault["msg"])
            for fault in error.errors(include_url=False, include_input=False)
        ]
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems = [Problem("config.toml", "", "bad-toml", str(error))]
    except OSError as error:
        problems = [Problem("config.toml", "", "unreadable", str(error.strerror))]
    raise BadDefinition(
        "The settings cannot be used.",
        problems,
        code="bad-settings",
        hint=f"Correct config.toml in the data directory or the {prefix}… variable of that name.",
    )
