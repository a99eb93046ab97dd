"""Turns what a scanner delivered into product code, lot and serial.

Rules of this file:
- Pure: text and mapping in, `Scan` out; whether the product exists is asked elsewhere.
- Whatever the text, the answer is a Scan or BadInput that shows what was read.
- Order: a JSON object, then the pattern, then delimited text, then a plain code.
- Text is compared as people read it: NFKC, no control or invisible characters, no space at the ends.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_agent.errors import BadInput

Name = Literal["product_code", "lot", "serial"]
NAMES: tuple[Name, ...] = ("product_code", "lot", "serial")
Keys = Annotated[tuple[str, ...], Field(min_length=1)]


@dataclass(frozen=True, slots=True)
class Scan:
    """`text` is the cleaned whole; a plain code is its own `product_code`, and may be a target's code."""

    text: str
    product_code: str
    lot: str | None = None
    serial: str | None = None


class ScanMapping(BaseModel):
    """Where product code, lot and serial stand in a scanned text.

    `json_keys` are the accepted keys of a JSON object, first one present wins; `delimiter` and
    `field_order` describe delimited text ("ignore" skips a field); `pattern` is a regular expression that
    must match the whole text, with the groups product_code (required), lot, serial.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    json_product_code: Keys = ("product_code", "product", "code")
    json_lot: Keys = ("lot", "lot_number", "batch", "batch_number")
    json_serial: Keys = ("serial", "serial_number", "sn")
    delimiter: Annotated[str, Field(min_length=1, max_length=8)] | None = None
    field_order: tuple[Name | Literal["ignore"], ...] = ("product_code", "lot", "serial")
    pattern: Annotated[str, Field(max_length=512)] | None = None
    max_chars: Annotated[int, Field(ge=1, le=8192)] = 1024

    @field_validator("pattern")
    @classmethod
    def _pattern_names_the_product(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            check_pattern(pattern, required={"product_code"}, allowed=set(NAMES))
        return pattern

    @model_validator(mode="after")
    def _fields_are_named_once(self) -> Self:
        named = [name for name in self.field_order if name != "ignore"]
        if len(set(named)) < len(named) or "product_code" not in named:
            raise ValueError("field_order must name product_code, and each field at most once")
        return self


def check_pattern(pattern: str, *, required: set[str], allowed: set[str]) -> None:
    """Raises ValueError, in words for the technician, when the expression or its groups are wrong."""
    try:
        groups = set(re.compile(pattern).groupindex)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"not a regular expression: {error}") from None
    if not required <= groups:
        raise ValueError(f"the pattern needs the groups {', '.join(sorted(required - groups))}")
    if not groups <= allowed:
        raise ValueError(f"unknown groups: {', '.join(sorted(groups - allowed))}")


def parse_scan(text: str, mapping: ScanMapping | None = None) -> Scan:
    """What `text` says under `mapping` (default: JSON keys or a plain code).

    Raises BadInput: `scan-too-long`, `scan-empty`, `scan-not-json`, `scan-incomplete`; `context["read"]`
    holds what was read.
    """
    mapping = mapping or ScanMapping()
    if len(text) > mapping.max_chars:
        raise _refused("scan-too-long", f"The code has more than {mapping.max_chars} characters.", text)
    whole = clean(text)
    if not whole:
        raise _refused("scan-empty", "The code is empty.", text)
    fields = _fields(text, whole, mapping)
    product_code = fields.get("product_code")
    if not product_code:
        raise _refused("scan-incomplete", "The code names no product.", whole)
    return Scan(whole, product_code, fields.get("lot"), fields.get("serial"))


def clean(text: str, keep: str = "") -> str:
    """NFKC without control, format and surrogate characters (but those in `keep`), trimmed."""
    kept = (
        letter for letter in text if letter in keep or unicodedata.category(letter) not in ("Cc", "Cf", "Cs")
    )
    return unicodedata.normalize("NFKC", "".join(kept)).strip()


def _fields(text: str, whole: str, mapping: ScanMapping) -> Mapping[Name, str]:
    if whole.startswith("{"):
        return _from_json(text, whole, mapping)
    if mapping.pattern is not None and (found := re.fullmatch(mapping.pattern, whole)):
        groups = found.groupdict()
        return {name: groups[name].strip() for name in NAMES if groups.get(name)}
    if mapping.delimiter is not None:
        parts = [clean(part) for part in clean(text, keep=mapping.delimiter).split(mapping.delimiter)]
        if len(parts) > 1:
            return _from_parts(parts, whole, mapping)
    return {"product_code": whole}


def _from_json(text: str, whole: str, mapping: ScanMapping) -> Mapping[Name, str]:
    document = _json(text.strip("\ufeff\x00\x02\x03 \t\r\n"))
    if document is None:
        document = _json(whole)  # an input method may have widened the quotes
    if not isinstance(document, dict):
        raise _refused("scan-not-json", "The code begins like a JSON object but is not one.", whole)
    keys: Mapping[Name, tuple[str, ...]] = {
        "product_code": mapping.json_product_code,
        "lot": mapping.json_lot,
        "serial": mapping.json_serial,
    }
    found = {name: _first(document, names) for name, names in keys.items()}
    return {name: value for name, value in found.items() if value}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _first(document: Mapping[str, Any], keys: tuple[str, ...]) -> str | None:
    value = next((document[key] for key in keys if key in document), None)
    if isinstance(value, str):
        return clean(value)
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _from_parts(parts: list[str], whole: str, mapping: ScanMapping) -> Mapping[Name, str]:
    if len(parts) > len(mapping.field_order):
        raise _refused(
            "scan-incomplete",
            f"The code has {len(parts)} fields; at most {len(mapping.field_order)} are configured.",
            whole,
        )
    pairs = zip(mapping.field_order, parts, strict=False)
    return {name: part for name, part in pairs if name != "ignore" and part}


def _refused(code: str, detail: str, read: str) -> BadInput:
    shown = clean(read[:200])
    return BadInput(
        f"{detail} Read: {shown!r}.",
        code=code,
        hint="Scan again; if it stays so, compare the label with the scan mapping in the settings.",
        read=shown,
    )
