"""`docs/steps.md`, printed from the catalogue: `python -m edge_agent.inference.docs [FILE]`.

Rules of this file:
- The page says nothing the code does not; a test compares it with the one checked in.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge_agent.inference.steps.catalogue import STEP_TYPES, Port, StepType
from edge_agent.inference.steps.parameters import Parameters

_INTRODUCTION = """# Step types of a pipeline

Generated from the code by `python -m edge_agent.inference.docs docs/steps.md`; do not edit.
How steps are put together is in [formats.md](formats.md#pipeline-pipeline1).

Coordinates are pixels of the picture the step is given; integers are pixel centres, x to the right, y down.
Lengths and areas are taken in the photograph, whatever was cropped or aligned before. Any step may have a
`timeout_ms`; a step that fails or takes longer makes the result ERROR, never OK.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRODUCTION, *(line for step in STEP_TYPES.values() for line in _section(step))])


def _section(step: StepType) -> Iterator[str]:
    yield from (f"## `{step.name}`", "", step.about, "")
    yield from _ports("input", step.inputs, step.one_of)
    yield from _ports("output", step.outputs, ())
    for variant in step.variants:
        if len(step.variants) > 1:
            needs = ", ".join(f"`{name}`" for name in variant.needs)
            yield from (
                f"### `method`: `{_method(variant)}`",
                "",
                f"{_about(variant)} Needs input {needs}.",
                "",
            )
        elif "__doc__" in vars(variant) and variant.__doc__:
            yield from (_about(variant), "")
        yield from _parameters(variant)


def _ports(word: str, ports: Mapping[str, Port], one_of: tuple[str, ...]) -> Iterator[str]:
    yield from (f"| {word} | kind | |", "|---|---|---|")
    for name, port in ports.items():
        optional = "" if port.required else " (one of these)" if name in one_of else " (optional)"
        yield f"| `{name}` | {port.kind} | {port.about}{optional} |"
    yield ""


def _parameters(variant: type[Parameters]) -> Iterator[str]:
    schema = variant.model_json_schema()
    rows = {name: field for name, field in schema.get("properties", {}).items() if name != "method"}
    if not rows:
        return
    yield from ("| parameter | value | default | |", "|---|---|---|---|")
    for name, field in rows.items():
        default = "required" if name in schema.get("required", ()) else f"`{_json(field.get('default'))}`"
        yield f"| `{name}` | {_type(field, schema)} | {default} | {field.get('description', '')} |"
    yield ""


def _method(variant: type[Parameters]) -> str:
    return str(variant.model_json_schema()["properties"]["method"]["const"])


def _about(variant: type[Parameters]) -> str:
    return " ".join((variant.__doc__ or "").split())


def _type(field: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The JSON type with its limits, in words."""
    if "$ref" in field:
        return _object(schema["$defs"][field["$ref"].rsplit("/", 1)[-1]], schema)
    if "anyOf" in field:
        return " or ".join(_type(option, schema) for option in field["anyOf"])
    if "enum" in field:
        return " · ".join(f"`{_json(value)}`" for value in field["enum"])
    if "prefixItems" in field:
        return f"[{', '.join(_type(item, schema) for item in field['prefixItems'])}]"
    if field.get("type") == "array":
        return f"list of {_type(field['items'], schema)}"
    if "pattern" in field and field["pattern"].startswith("^sha256:"):
        return "`sha256:…`"
    low, high = field.get("minimum", field.get("exclusiveMinimum")), field.get("maximum")
    limits = (
        ""
        if low is None and high is None
        else f" {'' if low is None else low}–{'' if high is None else high}"
    )
    return f"{field.get('type', 'value')}{limits}"


def _object(definition: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    parts = (
        f"`{name}`: {_type(field, schema)}, {field.get('description', '')}"
        for name, field in definition["properties"].items()
    )
    return f"{{{'; '.join(parts)}}}"


def _json(value: Any) -> str:
    words = {None: "null", True: "true", False: "false"}
    if isinstance(value, list | tuple):
        return f"[{', '.join(_json(item) for item in value)}]"
    return words.get(value, str(value)) if value is None or isinstance(value, bool) else str(value)


def main(arguments: list[str]) -> None:
    """Prints the page, or writes it to the file named."""
    if arguments:
        Path(arguments[0]).write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())


if __name__ == "__main__":
    main(sys.argv[1:])
