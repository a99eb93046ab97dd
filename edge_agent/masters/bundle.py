"""A bundle's documents: what a line engineer writes, read strictly, every fault with its place.

Rules of this file:
- Reads only the private copy; decides nothing about the store (that is `verify.py`).
- A file counts only if bundle.json lists it with its size and sha256, and bundle.json lists nothing else.
- A row with a fault is reported and left out; its code still counts as known: one fault, one problem.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
)

from edge_agent.archive import Unpacked
from edge_agent.clock import from_rfc3339, to_rfc3339
from edge_agent.errors import BadDefinition, Problem
from edge_agent.inference.documents import canonical_bytes, pointer_of, problems_of, read_json
from edge_agent.inference.manifest import Name, Sha256, Version

HEAD_NAME = "bundle.json"
MAX_DOCUMENT_BYTES = 16 << 20
MAX_DEPTH = 64
MAX_ARGON2_KIB = 256 << 10
_ARGON2ID = re.compile(
    r"\$argon2id\$v=19\$m=(\d{1,7}),t=(\d{1,2}),p=(\d{1,2})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{22,172}"
)
_PLACES = re.compile(
    r"models/[^/]+/.+|assets/[^/]+|pipelines/[^/]+\.json|(README|LICEN[CS]E)[^/]*", re.DOTALL
)


def _plain(text: str) -> str:
    if text != text.strip() or any(not character.isprintable() for character in text):
        raise ValueError("must be printable and not begin or end with a space")
    return text


def _code(text: str) -> str:
    if "/" in text:
        raise ValueError("must not hold a slash: PRODUCT/ITEM names an item")
    return _plain(text)


def _uuid(text: str) -> str:
    if str(uuid.UUID(text)) != text:
        raise ValueError("must be a lower-case UUID with hyphens")
    return text


def _instant(text: str) -> str:
    return to_rfc3339(from_rfc3339(text))


def _hash(text: str) -> str:
    found = _ARGON2ID.fullmatch(text)
    if (
        not found
        or int(found[1]) > MAX_ARGON2_KIB
        or not (0 < int(found[2]) <= 16 and 0 < int(found[3]) <= 16)
    ):
        raise ValueError(
            "must be an argon2id hash of at most 256 MiB and 16 passes, as `edge-agent user hash` makes"
        )
    return text


Code = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_code)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_plain)]
Id = Annotated[str, AfterValidator(_uuid)]
Email = Annotated[str, StringConstraints(max_length=254, pattern=r"^[^@\s]+@[^@\s]+$")]


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class FileEntry(_Document):
    sha256: Sha256
    size_bytes: int = Field(ge=0)


class Head(_Document):
    """`active`: which version of a model a pipeline means that names none; the newest one when left out."""

    schema_: Literal["bundle/1"] = Field(alias="schema")
    name: Name
    version: Version
    files: dict[str, FileEntry]
    active: dict[Name, Version] = {}


class ProductRow(_Document):
    product_code: Code
    product_name: Text
    version: Text
    description: Annotated[str, StringConstraints(max_length=4000)] | None = None
    id: Id | None = None


class ItemRow(_Document):
    product_code: Code
    item_code: Code
    item_name: Text
    inspection_type: Literal["VISUAL", "DIMENSION", "FUNCTION", "TEXT"]
    ai_enabled: bool
    pipeline: Name | None = None
    criteria: dict[str, Any]
    order_sequence: int = Field(ge=0, le=100_000)
    required: bool
    id: Id | None = None


class UserRow(_Document):
    username: Code
    full_name: Text
    role: Literal["inspector", "supervisor", "technician", "admin"]
    password_hash: Annotated[str, AfterValidator(_hash)] = Field(repr=False)
    email: Email | None = None
    is_active: bool = True
    server_id: Id | None = None


class CalibrationRow(_Document):
    """`um_per_px` micrometres per pixel of the original image."""

    name: Text
    um_per_px: float = Field(gt=0, le=1e6)
    valid_until: Annotated[str, AfterValidator(_instant)]
    method: Text = "given"
    camera: Text | None = None


R = TypeVar("R", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Placed(Generic[R]):
    """A row and where it was written."""

    file: str
    pointer: str
    row: R

    def problem(self, field_name: str, code: str, message: str) -> Problem:
        return Problem(
            self.file, f"{self.pointer}/{field_name}" if field_name else self.pointer, code, message
        )


@dataclass(slots=True)
class Bundle:
    """What the bundle says, as far as it can be read. `stated` are product codes of unreadable rows too.

    `pipelines`: code → document; `models`: folder names below `models/`; `assets`: sha256 → file.
    """

    unpacked: Unpacked
    head: Head | None = None
    products: list[Placed[ProductRow]] = field(default_factory=list)
    items: list[Placed[ItemRow]] = field(default_factory=list)
    users: list[Placed[UserRow]] = field(default_factory=list)
    calibrations: list[Placed[CalibrationRow]] = field(default_factory=list)
    pipelines: dict[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    assets: dict[str, str] = field(default_factory=dict)
    stated: frozenset[str] = frozenset()
    problems: list[Problem] = field(default_factory=list)


def read_bundle(unpacked: Unpacked) -> Bundle:
    """Everything the private copy says; `problems` lists every fault of files, documents and rows."""
    bundle = Bundle(unpacked, problems=list(unpacked.problems))
    _read_head(bundle)
    raw_products = _read_list(bundle, "products.json", required=True)
    bundle.products = _rows(bundle, "products.json", raw_products, ProductRow)
    bundle.items = _rows(bundle, "items.json", _read_list(bundle, "items.json", required=True), ItemRow)
    bundle.users = _rows(bundle, "users.json", _read_list(bundle, "users.json"), UserRow)
    calibrations = _read_list(bundle, "calibrations.json")
    bundle.calibrations = _rows(bundle, "calibrations.json", calibrations, CalibrationRow)
    bundle.stated = frozenset(str(row.get("product_code")) for row in raw_products if isinstance(row, dict))
    for name in _below(unpacked.files, "pipelines/"):
        bundle.pipelines[name.removesuffix(".json")] = _read(bundle, f"pipelines/{name}")
    bundle.models = tuple(sorted({name.split("/")[0] for name in _below(unpacked.files, "models/")}))
    bundle.assets = {
        unpacked.files[f"assets/{name}"].sha256: f"assets/{name}"
        for name in _below(unpacked.files, "assets/")
    }
    bundle.problems += duplicates(bundle)
    return bundle


def _read_head(bundle: Bundle) -> None:
    files = bundle.unpacked.files
    if HEAD_NAME not in files:
        bundle.problems.append(Problem(HEAD_NAME, "", "missing-file", "a bundle has a file bundle.json"))
        return
    document = _read(bundle, HEAD_NAME)
    if document is None:
        return
    try:
        bundle.head = Head.model_validate(document)
    except ValidationError as error:
        bundle.problems += problems_of(error, HEAD_NAME, "")
        return
    bundle.problems += check_files(bundle.head.files, bundle)


def check_files(listed: Mapping[str, FileEntry], bundle: Bundle) -> Iterable[Problem]:
    """Every way in which the files there are differ from the files listed."""
    there = bundle.unpacked.files
    reported = {problem.file for problem in bundle.unpacked.problems}
    for name, entry in listed.items():
        pointer = pointer_of(["files", name])
        if name not in there:
            if name not in reported:
                yield Problem(HEAD_NAME, pointer, "missing-file", f"there is no file {name}")
        elif there[name].size_bytes != entry.size_bytes:
            message = f"{name} has {there[name].size_bytes} bytes, not {entry.size_bytes}"
            yield Problem(HEAD_NAME, f"{pointer}/size_bytes", "size-mismatch", message)
        elif there[name].sha256 != entry.sha256:
            message = f"{name} has the sha256 {there[name].sha256}"
            yield Problem(HEAD_NAME, f"{pointer}/sha256", "sha256-mismatch", message)
    for name in there.keys() - listed.keys() - {HEAD_NAME}:
        yield Problem(name, "", "unlisted-file", "bundle.json does not list this file")
    known = {HEAD_NAME, "products.json", "items.json", "users.json", "calibrations.json"}
    for name in there.keys() & listed.keys() - known:
        if not _PLACES.fullmatch(name):
            yield Problem(name, "", "unknown-file", "a bundle has no file of this name (docs/formats.md)")


def _read(bundle: Bundle, name: str) -> Any:
    """The document, or None after reporting why it cannot be used."""
    try:
        size = bundle.unpacked.files[name].size_bytes
        if size > MAX_DOCUMENT_BYTES:
            message = f"{size} bytes; at most {MAX_DOCUMENT_BYTES} are allowed"
            raise BadDefinition(message, [Problem(name, "", "too-large", message)])
        document = read_json((bundle.unpacked.folder / name).read_bytes(), MAX_DOCUMENT_BYTES, name)
        if depth_of(document) > MAX_DEPTH:
            message = f"nested deeper than {MAX_DEPTH} levels"
            raise BadDefinition(message, [Problem(name, "", "too-deep", message)])
        canonical_bytes(document, name)
    except BadDefinition as error:
        bundle.problems += error.problems
        return None
    return document


def depth_of(document: Any) -> int:
    """How many objects and lists lie around the innermost value, counted without recursion."""
    level, depth = [document], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        level = [inner for part in level for inner in (part.values() if isinstance(part, dict) else part)]
    return depth


def _read_list(bundle: Bundle, name: str, *, required: bool = False) -> list[Any]:
    if name not in bundle.unpacked.files:
        if required:
            bundle.problems.append(Problem(name, "", "missing-file", f"a bundle has a file {name}"))
        return []
    document = _read(bundle, name)
    if document is not None and not isinstance(document, list):
        bundle.problems.append(Problem(name, "", "bad-value", "must be a list of objects"))
    return document if isinstance(document, list) else []


def _rows(bundle: Bundle, file: str, documents: list[Any], kind: type[R]) -> list[Placed[R]]:
    adapter, rows = TypeAdapter(kind), []
    for index, document in enumerate(documents):
        try:
            rows.append(Placed(file, f"/{index}", adapter.validate_python(document)))
        except ValidationError as error:
            bundle.problems += map(_without_secret, problems_of(error, file, f"/{index}"))
    return rows


def _without_secret(problem: Problem) -> Problem:
    """A message that quotes a password hash says less."""
    if not problem.pointer.endswith("/password_hash"):
        return problem
    return replace(problem, message=problem.message.partition(" (found ")[0])


def duplicates(bundle: Bundle) -> list[Problem]:
    """Rows that claim what an earlier row has."""
    return [
        *_repeated(bundle.products, "product_code", lambda row: row.product_code),
        *_repeated(bundle.products, "id", lambda row: row.id),
        *_repeated(bundle.items, "item_code", lambda row: (row.product_code, row.item_code)),
        *_repeated(bundle.items, "order_sequence", lambda row: (row.product_code, row.order_sequence)),
        *_repeated(bundle.items, "id", lambda row: row.id),
        *_repeated(bundle.users, "username", lambda row: row.username),
        *_repeated(bundle.users, "email", lambda row: row.email),
        *_repeated(bundle.users, "server_id", lambda row: row.server_id),
        *_repeated(bundle.calibrations, "name", lambda row: row.name),
    ]


def _repeated(rows: Iterable[Placed[R]], field_name: str, key_of: Any) -> Iterable[Problem]:
    first: dict[Any, str] = {}
    for placed in rows:
        key = key_of(placed.row)
        if key is None:
            continue
        earlier = first.setdefault(key, placed.pointer)
        if earlier != placed.pointer:
            yield placed.problem(field_name, "duplicate", f"the same {field_name} as {earlier}")


def _below(files: Iterable[str], prefix: str) -> list[str]:
    return sorted(name.removeprefix(prefix) for name in files if name.startswith(prefix))
