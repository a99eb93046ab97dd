"""The house: who may import whom (docs/adr/0003-layers.md), held by reading every import.

Rules of this file:
- A failure says which import breaks which rule and why the rule is there.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Lowest first; a module belongs to the longest prefix that names it. Within one line only the same top-level
# name may be imported: what two of a line share belongs in a line below.
LAYERS = [
    ["sync_protocol", "edge_agent", "edge_agent.models", "edge_agent.errors", "edge_agent.clock"],
    ["edge_agent.config", "edge_agent.messages", "edge_agent.events", "edge_agent.demo"],
    [
        "edge_agent.images",
        "edge_agent.calibration",
        "edge_agent.backup.rotation",
        "edge_agent.disk",
        "edge_agent.file_names",
        "edge_agent.heap",
        "edge_agent.listening",
        "edge_agent.passwords",
    ],
    ["edge_agent.inference.values", "edge_agent.inference.documents", "edge_agent.archive"],
    ["edge_agent.inference"],
    ["edge_agent.inspection.rules", "edge_agent.inspection.scan", "edge_agent.inspection.statistics"],
    ["edge_agent.store", "edge_agent.blobs"],
    ["edge_agent.lock"],
    ["edge_agent.inference.worker"],
    ["edge_agent.inspection"],
    ["edge_agent.masters", "edge_agent.paper"],
    ["edge_agent.check"],
    ["edge_agent.backup"],
    ["edge_agent.sync"],
    ["edge_agent.health"],
    ["edge_agent.doctor"],
    ["edge_agent.capture"],
    ["edge_agent.api"],
    ["edge_agent.upkeep"],
    ["edge_agent.daemon"],
    ["edge_agent.serving"],
    ["edge_agent.cli"],
]
# The central server is a house of its own on the same ground (sync_protocol).
LAYERS[2] += ["central_server", "central_server.errors"]
LAYERS[3] += [
    "central_server.facts",
    "central_server.heads",
    "central_server.messages",
    "central_server.signatures",
]
LAYERS[4] += ["central_server.incoming"]
LAYERS[6] += ["central_server.store", "central_server.objects", "central_server.config"]
LAYERS[10] += ["central_server.blobs", "central_server.pages", "central_server.watch"]
LAYERS[11] += [
    "central_server.masters",
    "central_server.devices",
    "central_server.statistics",
]
LAYERS[12] += ["central_server.parcels"]
LAYERS[17] += ["central_server.api"]
LAYERS[18] += ["central_server.embedded"]
LAYERS[19] += ["central_server.daemon", "edge_agent.cli.language"]
LAYERS[20] += [
    f"edge_agent.cli.{name}" for name in ("bad_settings", "exits", "output", "process", "progress")
]
LAYERS.insert(21, ["edge_agent.cli.running"])
LAYERS[22] += ["central_server.cli"]
# What the centre may use of the edge (docs/adr/0009): what decides whether masters are acceptable must be one code.
SHARED = (
    "edge_agent.archive",
    "edge_agent.cli.bad_settings",
    "edge_agent.cli.exits",
    "edge_agent.cli.language",
    "edge_agent.cli.output",
    "edge_agent.cli.process",
    "edge_agent.cli.progress",
    "edge_agent.cli.running",
    "edge_agent.clock",
    "edge_agent.disk",
    "edge_agent.errors",
    "edge_agent.heap",
    "edge_agent.inference",
    "edge_agent.inspection.running",
    "edge_agent.inspection.statistics",
    "edge_agent.listening",
    "edge_agent.lock",
    "edge_agent.masters.bundle",
    "edge_agent.masters.changes",
    "edge_agent.masters.packages",
    "edge_agent.masters.report",
    "edge_agent.masters.verify",
    "edge_agent.masters.writing",
    "edge_agent.messages",
    "edge_agent.models",
    "edge_agent.passwords",
)
# What of the edge must not come in through those either.
EDGE_ONLY = (
    "edge_agent.api",
    "edge_agent.backup",
    "edge_agent.blobs",
    "edge_agent.capture",
    "edge_agent.cli",
    "edge_agent.config",
    "edge_agent.daemon",
    "edge_agent.health",
    "edge_agent.store",
    "edge_agent.sync",
)
FREE_WITHIN_A_LINE = {0, 1}  # words and settings: nothing there does anything
TYPES_OF_SQLITE3 = {f"sqlite3.{name}" for name in ("Connection", "Cursor", "Row", "IntegrityError")}
PURE = (
    "edge_agent.images",
    "edge_agent.inspection.rules",
    "edge_agent.inspection.scan",
    "edge_agent.inspection.statistics",
    "central_server.facts",
    "central_server.incoming",
    "central_server.signatures",
    "sync_protocol",
)
STORES = ("edge_agent.store", "central_server.store")


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str
    line: int
    at_start: bool
    """Whether it happens when the importer is imported (not inside a function)."""

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: imports {self.imported}"


@cache
def modules() -> dict[str, Path]:
    found = {}
    for top in ("edge_agent", "central_server", "sync_protocol"):
        for path in sorted((ROOT / top).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text("utf-8"))


@cache
def imports() -> tuple[Import, ...]:
    return tuple(one for module in modules() for one in _imports_of(module, tree(module), True))


def _imports_of(module: str, node: ast.AST, at_start: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue  # never executed
        if isinstance(child, ast.Import):
            yield from (Import(module, name.name, child.lineno, at_start) for name in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{module}, line {child.lineno}: relative imports hide the layer"
            for name in child.names:
                full = f"{child.module}.{name.name}"
                target = full if full in modules() else str(child.module)
                yield Import(module, target, child.lineno, at_start)
        else:
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _imports_of(module, child, at_start and not inside)


def layer_of(module: str) -> tuple[int, str] | None:
    """(line of LAYERS, the prefix that put it there)."""
    places = {
        prefix: number
        for number, line in enumerate(LAYERS)
        for prefix in line
        if module == prefix
        or (prefix not in ("edge_agent", "central_server") and module.startswith(f"{prefix}."))
    }
    if not places:
        return None
    longest = max(places, key=len)
    return places[longest], longest


def ours(one: Import) -> bool:
    return one.imported.split(".")[0] in ("edge_agent", "central_server", "sync_protocol")


def test_every_module_has_a_layer() -> None:
    homeless = [module for module in modules() if layer_of(module) is None]
    assert not homeless, f"say in LAYERS (and in the ADR) which layer {', '.join(homeless)} belongs to"


def test_imports_only_lead_down() -> None:
    broken = []
    for one in filter(ours, imports()):
        here, there = layer_of(one.importer), layer_of(one.imported)
        if here is None or there is None or is_its_own_package(one):
            continue
        level = here[0] == there[0] and (here[1] == there[1] or here[0] in FREE_WITHIN_A_LINE)
        if there[0] > here[0] or (there[0] == here[0] and not level):
            broken.append(f"{one}: {there[1]} lies above or beside {here[1]}")
    assert not broken, "a layer imports only lower ones (docs/adr/0003-layers.md):\n" + "\n".join(broken)


def is_its_own_package(one: Import) -> bool:
    """A package's `__init__` re-exports its parts; they lie in the package's own layer or below."""
    return one.imported.startswith(f"{one.importer}.")


def test_there_are_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in modules()}
    for one in imports():
        if one.imported in graph and one.imported != one.importer:
            graph[one.importer].add(one.imported)
    while leaves := [module for module, uses in graph.items() if not uses]:
        for leaf in leaves:
            del graph[leaf]
        for uses in graph.values():
            uses.difference_update(leaves)
    assert not graph, f"these import each other in a circle: {sorted(graph)}"


def test_only_the_store_opens_a_database() -> None:
    broken = [
        str(o) for o in imports() if o.imported == "sqlite_utils" and "edge_agent.store" not in o.importer
    ]
    for module in modules():
        if module.startswith("edge_agent.store"):
            continue
        for node in ast.walk(tree(module)):
            if not isinstance(node, ast.Attribute):
                continue
            name = ast.unparse(node)
            if name.startswith("sqlite3.") and name not in TYPES_OF_SQLITE3:
                broken.append(f"{module}, line {node.lineno}: uses {name}")
    assert not broken, (
        "one connection writes, and sqlite3's errors become ours in one place: only edge_agent.store may use "
        "sqlite3 beyond naming the type of a connection:\n" + "\n".join(broken)
    )


def test_the_edge_never_imports_the_centre() -> None:
    broken = [
        str(one)
        for one in imports()
        if top(one.importer) == "edge_agent" and top(one.imported) == "central_server"
    ]
    ends = ("edge_agent", "central_server")
    broken += [
        str(one) for one in imports() if top(one.importer) == "sync_protocol" and top(one.imported) in ends
    ]
    assert not broken, "the edge stands alone, and sync_protocol needs neither end:\n" + "\n".join(broken)


def test_the_centre_uses_only_what_it_shares_with_the_edge() -> None:
    used = [
        one
        for one in imports()
        if top(one.importer) == "central_server" and top(one.imported) == "edge_agent"
    ]
    broken = [str(one) for one in used if not is_below(one.imported, SHARED)]
    assert not broken, "add to SHARED only what must be one code at both ends (docs/adr/0009):\n" + "\n".join(
        broken
    )


def test_what_both_ends_share_reaches_nothing_of_the_edges_own() -> None:
    reached = {module for module in modules() if is_below(module, SHARED)}
    while more := {one.imported for one in imports() if one.importer in reached and ours(one)} - reached:
        reached |= more
    broken = sorted(m for m in reached if is_below(m, EDGE_ONLY) and not is_below(m, SHARED))
    assert not broken, f"the centre would load {broken} with what it shares with the edge (docs/adr/0009)"


def top(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


def is_below(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(f"{prefix}.") for prefix in prefixes)


def test_only_the_central_store_speaks_to_postgresql() -> None:
    drivers = ("psycopg", "psycopg_pool")
    broken = [
        str(o)
        for o in imports()
        if o.imported.split(".")[0] in drivers and not o.importer.startswith("central_server.store")
    ]
    assert not broken, "psycopg's errors become ours in one place:\n" + "\n".join(broken)


def test_sql_is_written_in_the_store_only() -> None:
    statement = re.compile(r"\s*(SELECT|INSERT (OR \w+ )?INTO|UPDATE \w+ SET|DELETE FROM|PRAGMA)\s")
    broken = []
    for module in modules():
        if module.startswith((*STORES, "central_server.facts")):
            continue
        for node in ast.walk(tree(module)):
            text = node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
            if statement.match(text):
                broken.append(f"{module}: {text.strip()[:40]}")
    assert not broken, "SQL outside the stores:\n" + "\n".join(broken)


def test_the_http_client_is_behind_one_adapter() -> None:
    users = ("edge_agent.sync.central", "edge_agent.sync.client", "edge_agent.cli")
    clients = ("httpx", "httpx2", "urllib.request", "requests")
    broken = [str(o) for o in imports() if o.imported in clients and not o.importer.startswith(users)]
    assert not broken, "only sync.central with its client and the CLI's client speak HTTP:\n" + "\n".join(
        broken
    )


def test_the_environment_is_read_by_config_only() -> None:
    broken = []
    for module in modules():
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "os.environ",
                "os.getenv",
                "os.environb",
            ):
                broken.append(f"{module}, line {node.lineno}")
            if isinstance(node, ast.ImportFrom) and node.module == "os":
                names = {name.name for name in node.names} & {"environ", "getenv"}
                broken += [f"{module}, line {node.lineno}"] if names else []
    allowed = (
        "edge_agent.config",
        "edge_agent.cli.language",
        "edge_agent.inference.process",
        "edge_agent.demo",
        "central_server.config",
    )
    broken = [place for place in broken if not place.startswith(allowed)]
    assert not broken, "settings come from config, nowhere else:\n" + "\n".join(broken)


def test_pure_modules_touch_no_clock_disk_or_socket() -> None:
    forbidden = {"time", "random", "secrets", "socket", "sqlite3", "threading", "subprocess", "logging"}
    broken = [
        str(o) for o in imports() if o.importer.startswith(PURE) and o.imported.split(".")[0] in forbidden
    ]
    assert not broken, "these modules are functions of their arguments:\n" + "\n".join(broken)


def test_only_the_clock_tells_the_time_and_rolls_the_dice() -> None:
    calls = {"time.time", "time.monotonic", "datetime.now", "datetime.utcnow", "os.urandom", "uuid.uuid4"}
    calls |= {"uuid.uuid1", "random.random", "secrets.token_bytes", "secrets.token_hex"}
    broken = []
    for module in modules():
        if module == "edge_agent.clock":
            continue
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in calls:
                broken.append(f"{module}, line {node.lineno}: {ast.unparse(node.func)}()")
    assert not broken, "time and randomness are arguments (edge_agent.clock.Clock):\n" + "\n".join(broken)


# ── what starting costs ─────────────────────────────────────────────────────────────────────────────────

HEAVY = ("cv2", "onnxruntime", "numpy", "sqlite_utils", "fastapi", "pydantic", "PIL", "zxingcpp", "rapidocr")
LIGHT = {
    "edge_agent.cli.main": HEAVY,
    "edge_agent.daemon": ("cv2", "onnxruntime", "rapidocr"),
    "edge_agent.api.app": ("cv2", "onnxruntime", "numpy", "rapidocr"),
    "edge_agent.inspection.sessions": ("cv2", "onnxruntime", "numpy", "rapidocr"),
    "edge_agent.inspection.intake": ("cv2", "onnxruntime", "numpy", "rapidocr"),
    "edge_agent.check": ("cv2", "onnxruntime", "numpy", "fastapi", "sqlite_utils"),
    "edge_agent.backup": ("cv2", "onnxruntime", "numpy", "fastapi", "sqlite_utils"),
    "edge_agent.doctor": ("cv2", "onnxruntime", "numpy", "fastapi", "sqlite_utils"),
    "edge_agent.store.schema": ("cv2", "onnxruntime", "numpy", "fastapi", "sqlite_utils"),
}


@pytest.mark.parametrize("module", [module for module in LIGHT if module in modules()])
def test_starting_does_not_load_what_it_does_not_need(module: str) -> None:
    missing = [one.imported for one in imports() if ours(one) and one.imported not in modules()]
    if missing:
        pytest.xfail(f"not all modules are there yet: {sorted(set(missing))}")
    code = (
        f"import {module}, sys, json; print(json.dumps([n for n in {LIGHT[module]!r} if n in sys.modules]))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = json.loads(child.stdout)
    assert loaded == [], f"importing {module} loads {loaded}: import them where they are used"
