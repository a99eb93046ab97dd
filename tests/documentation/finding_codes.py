"""Collects the code of every finding the source can make.

Rules of this file:
- A finding is made by `Finding(…)`, by a function that returns one, or by a row of `check.findings.KINDS`.
- A function that is given its code passes it on: its callers name it. A hot folder that cannot store passes on
  the code of whatever error stopped it; those are errors, listed in `messages.json`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from edge_agent.check.findings import KINDS

PACKAGE = Path(__file__).parents[2] / "edge_agent"


def finding_codes() -> dict[str, set[str]]:
    """Code → files that make it."""
    found: dict[str, set[str]] = {code: {"check/findings.py"} for code in KINDS}
    trees = {path: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py"))}
    for path, tree in trees.items():
        for code in codes_in(tree):
            found.setdefault(code, set()).add(path.relative_to(PACKAGE).as_posix())
    return found


def codes_in(tree: ast.Module) -> Iterator[str]:
    makers = dict(makers_in(tree)) | {"Finding": 0}
    for scope in ast.walk(tree):
        if isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
            assigned = assignments(scope)
            for node in ast.walk(scope):
                if isinstance(node, ast.Call) and (position := makers.get(called(node))) is not None:
                    yield from texts(argument(node, position), assigned)


def makers_in(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions that take a `code` and make a finding of it, directly or through another such function."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    known = {"Finding"}
    while True:
        new = {f.name: position(f) for f in functions if f.name not in known and passes_on(f, known)}
        if not new:
            return
        yield from new.items()
        known |= new.keys()


def passes_on(function: ast.FunctionDef, makers: set[str]) -> bool:
    if "code" not in [one.arg for one in function.args.args]:
        return False
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call) and called(node) in makers]
    return any(isinstance(one, ast.Name) and one.id == "code" for call in calls for one in call.args)


def position(function: ast.FunctionDef) -> int:
    return [one.arg for one in function.args.args if one.arg != "self"].index("code")


def called(call: ast.Call) -> str:
    match call.func:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def argument(call: ast.Call, place: int) -> ast.expr | None:
    if len(call.args) > place:
        return call.args[place]
    return next((word.value for word in call.keywords if word.arg == "code"), None)


def assignments(scope: ast.AST) -> dict[str, list[ast.expr]]:
    """Local name → every value it is given, also in `a, b = x, y`."""
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(scope):
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                found.setdefault(name, []).append(value)
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                for target, value in zip(names, values, strict=False):
                    if isinstance(target, ast.Name):
                        found.setdefault(target.id, []).append(value)
    return found


def texts(node: ast.expr | None, assigned: dict[str, list[ast.expr]]) -> Iterator[str]:
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from texts(body, assigned)
            yield from texts(orelse, assigned)
        case ast.Name(id=name):
            for value in assigned.get(name, ()):
                yield from texts(value, {})
