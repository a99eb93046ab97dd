"""Collects every error code the source can answer with.

Rules of this file:
- A code is a class attribute `code`, a `code="…"` in a call, or the constant given for a parameter named
  `code` of a function that returns one of our errors, or of an error class. A verdict's `Reason` is no error.
- Error classes take their code in different places; what is written like no code (a sentence) is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

WRITTEN = re.compile("[a-z0-9]+(-[a-z0-9]+)*").fullmatch
ERRORS = frozenset(
    {"AgentError", "BadInput", "BadImage", "NotFound", "Conflict", "Denied", "Unavailable", "Busy"}
    | {"InferenceFailed", "Damaged", "Refused"}
)


def codes_of(package: Path) -> dict[str, set[str]]:
    """Code → the files that use it, for every module below `package`."""
    found: dict[str, set[str]] = {}
    for path in sorted(package.rglob("*.py")):
        for code in codes_in(ast.parse(path.read_text("utf-8"))):
            found.setdefault(code, set()).add(path.relative_to(package).as_posix())
    return found


def codes_in(tree: ast.Module) -> Iterator[str]:
    makers: dict[str, tuple[int, ...]] = {name: (place,) for name, place in error_makers(tree)}
    makers |= {"Refused": (0, 1), "Unavailable": (0,)}
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(body=body):
                yield from class_codes(body)
            case ast.Call(func=func, args=args, keywords=keywords) if name_of(func) != "Reason":
                yield from (text for word in keywords if word.arg == "code" for text in constants(word.value))
                for place in makers.get(name_of(func), ()):
                    yield from (text for argument in args[place : place + 1] for text in constants(argument))


def class_codes(body: list[ast.stmt]) -> Iterator[str]:
    for statement in body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.expr() as value):
                yield from constants(value)
            case ast.Assign(targets=[ast.Name(id="code")], value=value):
                yield from constants(value)


def error_makers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Functions that return one of our errors and take its code, with the code's position."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and name_of(node.returns) in ERRORS:
            names = [argument.arg for argument in node.args.args if argument.arg != "self"]
            if "code" in names:
                yield node.name, names.index("code")


def name_of(node: ast.expr | None) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Constant(value=str(name)):
            return name
    return ""


def constants(node: ast.expr) -> Iterator[str]:
    """The texts a code can be: itself, or either branch of a choice."""
    match node:
        case ast.Constant(value=str(text)) if WRITTEN(text):
            yield text
        case ast.IfExp(body=body, orelse=orelse):
            yield from constants(body)
            yield from constants(orelse)
        case ast.BoolOp(values=values):
            for value in values:
                yield from constants(value)
