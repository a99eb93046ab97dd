"""Which product and item a file in a hot folder belongs to: decided from its name, sidecar and the settings.

Rules of this file:
- Pure: names and bytes in, `Binding` or BadInput out; whether the product exists is asked elsewhere.
- The sidecar wins over the name's pattern, the pattern over the fixed values.
- A name that is not valid UTF-8 may be inspected, but no code is ever taken from it.
"""

from __future__ import annotations

import json
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from edge_agent.errors import BadInput
from edge_agent.inspection.scan import check_pattern, clean

Code = Annotated[str, Field(min_length=1, max_length=100)]
KEYS = ("product", "item", "serial", "lot")
SIDECAR_SUFFIX = ".json"
MAX_SIDECAR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Binding:
    """`serial` and `lot` are None when neither name, sidecar nor settings say them."""

    product_code: str
    item_code: str
    serial: str | None = None
    lot: str | None = None


class FolderConfig(BaseModel):
    """One hot folder.

    `product`, `item`: fixed codes. `pattern`: regular expression for the whole file name, with any of the
    groups product, item, serial, lot. `sidecar`: every picture comes with `<file name>.json`, an object
    with any of the same four keys. `session`: `current` adds to the open session of that serial, `auto`
    makes target and session itself (line cameras); `accept_ai_ok` then completes a session whose AI
    verdicts are all OK without a person. `settle_s`: a file counts as written after this long without
    change; `give_up_s`: what is still no picture after this long is put in quarantine; `rescan_s`: the
    folder is listed at least this often, events or not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    path: Path
    product: Code | None = None
    item: Code | None = None
    pattern: Annotated[str, Field(max_length=512)] | None = None
    sidecar: bool = False
    session: Literal["current", "auto"] = "current"
    accept_ai_ok: bool = False
    settle_s: Annotated[float, Field(ge=0, le=60)] = 1.0
    give_up_s: Annotated[float, Field(ge=0, le=3600)] = 15.0
    rescan_s: Annotated[float, Field(gt=0, le=3600)] = 2.0

    @field_validator("path")
    @classmethod
    def _path_is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("give the folder's absolute path")
        return path

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            check_pattern(pattern, required=set(), allowed=set(KEYS))
        return pattern

    @model_validator(mode="after")
    def _can_bind(self) -> Self:
        groups = set(re.compile(self.pattern).groupindex) if self.pattern else set()
        for key, fixed in (("product", self.product), ("item", self.item)):
            if fixed is None and key not in groups and not self.sidecar:
                raise ValueError(f"nothing says the {key}: set it, name it in the pattern, or use sidecars")
        if self.accept_ai_ok and self.session != "auto":
            raise ValueError(
                "accept_ai_ok needs session auto: an inspector's session is completed by a person"
            )
        return self


def bind(name: str, sidecar: bytes | None, config: FolderConfig) -> Binding:
    """What the file `name` shows; `sidecar` is the bytes of its sidecar, None if there is none.

    Raises BadInput: `sidecar-missing`, `sidecar-broken`, `name-unmatched`, `name-not-utf8`,
    `binding-incomplete`.
    """
    values: dict[str, str] = {}
    if config.product:
        values["product"] = config.product
    if config.item:
        values["item"] = config.item
    if config.pattern is not None:
        values |= _from_name(name, config.pattern)
    if config.sidecar:
        values |= _from_sidecar(sidecar)
    missing = [key for key in ("product", "item") if not values.get(key)]
    if missing:
        raise BadInput(
            f"Neither file name, sidecar nor settings say the {' and the '.join(missing)}.",
            code="binding-incomplete",
            hint="Rename the file or complete its sidecar, then retry it from the quarantine.",
        )
    return Binding(values["product"], values["item"], values.get("serial"), values.get("lot"))


def _from_name(name: str, pattern: str) -> dict[str, str]:
    found = re.fullmatch(pattern, unicodedata.normalize("NFC", name))
    if found is None:
        raise BadInput(
            "The file name does not match the folder's pattern.",
            code="name-unmatched",
            hint="Rename the file as the folder's pattern says, then retry it from the quarantine.",
        )
    groups = {key: value for key, value in found.groupdict().items() if value}
    if not _is_utf8("".join(groups.values())):
        raise BadInput(
            "The file name is not valid UTF-8 where a code should be.",
            code="name-not-utf8",
            hint="Set the camera software to UTF-8 or ASCII file names, rename the file and retry it.",
        )
    return _cleaned(groups)


def _from_sidecar(sidecar: bytes | None) -> dict[str, str]:
    if sidecar is None:
        raise BadInput(
            "The picture came without its sidecar file.",
            code="sidecar-missing",
            hint="Put `<file name>.json` beside the picture, then retry it from the quarantine.",
        )
    try:
        document: Any = json.loads(sidecar) if len(sidecar) <= MAX_SIDECAR_BYTES else None
    except (ValueError, RecursionError):
        document = None
    found = {key: document[key] for key in KEYS if key in document} if isinstance(document, dict) else None
    if found is None or any(
        isinstance(value, bool) or not isinstance(value, str | int) for value in found.values()
    ):
        raise BadInput(
            "The sidecar is no JSON object with texts as product, item, serial and lot.",
            code="sidecar-broken",
            hint='Write {"product": "…", "item": "…", "serial": "…", "lot": "…"}, then retry the picture.',
        )
    return _cleaned({key: str(value) for key, value in found.items()})


def _cleaned(values: dict[str, str]) -> dict[str, str]:
    tidy = {key: clean(value) for key, value in values.items()}
    return {key: value for key, value in tidy.items() if value}


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in text)
