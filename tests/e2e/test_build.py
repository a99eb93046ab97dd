"""What the build gives, and what it is made from."""

from __future__ import annotations

import json
import re
from pathlib import Path

from edge_agent.api.console import built_dir
from tests.e2e.bundle import MOST_BYTES, first_load_bytes

CONSOLE = Path(__file__).parents[2] / "console"
EXACT = re.compile(r"\d+\.\d+\.\d+")


def test_the_inspector_s_flow_loads_little() -> None:
    assert first_load_bytes() <= MOST_BYTES


def test_other_pages_are_loaded_when_they_are_opened() -> None:
    page = (built_dir() / "index.html").read_text("utf-8")
    others = [path.name for path in (built_dir() / "assets").glob("*.js") if path.name not in page]
    assert any(name.startswith("History-") for name in others)


def test_every_package_is_pinned_and_comes_from_the_registry_the_machine_is_set_to() -> None:
    package = json.loads((CONSOLE / "package.json").read_text("utf-8"))
    wanted = {**package["dependencies"], **package["devDependencies"]}
    assert [f"{name} {version}" for name, version in wanted.items() if not EXACT.fullmatch(version)] == []
    lock = json.loads((CONSOLE / "package-lock.json").read_text("utf-8"))["packages"]
    assert [name for name, entry in lock.items() if "resolved" in entry] == []
    assert [name for name, entry in lock.items() if name and "integrity" not in entry] == []
    assert "registry=" not in (CONSOLE / ".npmrc").read_text("utf-8")
