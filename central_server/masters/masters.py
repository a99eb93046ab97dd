"""The masters of the centre, one at a time: listed, shown, put, switched off and on.

Rules of this file:
- A change is one transaction that locks the space, reads what is present, plans and verifies the change on it, and
  writes: what was accepted is true of what is stored.
- Who changes something names the version they saw (`row_version`); anybody's later change, also one made in psql, is
  a conflict that shows both documents.
- Nothing is deleted: history points at it. What is no longer wanted is switched off.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from central_server.masters.bodies import (
    ComponentBody,
    ItemBody,
    PipelineBody,
    ProductBody,
    UserBody,
    read_body,
)
from central_server.masters.packages import change_models
from central_server.masters.present import read_present
from central_server.masters.resources import KINDS, Kind, KindName, key_of, shown
from central_server.masters.single import Planned, plan_item, plan_pipeline, plan_product, plan_user
from central_server.store import masters as store
from central_server.store import operator_log, operators
from central_server.store.database import Connection, Database
from edge_agent.clock import Clock
from edge_agent.errors import BadDefinition, BadInput, Conflict, NotFound, Problem
from edge_agent.inference.documents import pointer_of
from edge_agent.masters.changes import ITEMS, PIPELINES, PRODUCTS, Present
from edge_agent.passwords import hash_password

NEVER_SAME = frozenset({"created_at", "updated_at", "row_version"})
Key = tuple[str, ...]
Document = dict[str, Any]
Version = int | Literal["any"] | None
"""The `row_version` a change was made on; "any" overwrites whatever is there."""


class Masters:
    """Products, items, pipelines, components, users and models as documents."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def list(self, kind: KindName, *, with_inactive: bool = False) -> list[Document]:
        """Every document of the kind, by key."""
        with self._database.snapshot() as tx:
            found = documents(tx, KINDS[kind])
        chosen = [document for document in found.values() if with_inactive or document["is_active"]]
        return sorted(chosen, key=lambda document: key_of(KINDS[kind], document))

    def get(self, kind: KindName, key: Key) -> Document:
        """Raises NotFound (`unknown-KIND`)."""
        with self._database.snapshot() as tx:
            return _known(KINDS[kind], key, documents(tx, KINDS[kind]))

    def put(
        self, kind: KindName, key: Key, document: Mapping[str, Any], actor: str, version: Version = None
    ) -> tuple[Document, tuple[str, ...]]:
        """Creates or changes one; the document as stored, and what the operator should know.

        `version` (or `row_version` in the document) is what the change was made on. Raises BadDefinition with every
        problem, Conflict (`version-differs`, with both documents; `taken`; `last-admin`), NotFound, BadInput.
        """
        sort = KINDS[kind]
        with self._database.write() as tx:
            store.lock(tx, sort.space)
            present = documents(tx, sort)
            old = present.get(key)
            stated = document.get("row_version")
            _require_version(old, document, version if version is not None else stated)
            if old is None:
                _require_key(sort, key, document)
            planned = self._plan(tx, sort, key, document, old)
            if planned.row is None:
                problems = list(planned.problems)
                raise BadDefinition(f"the {kind} has {len(problems)} problem(s)", problems)
            (store.update if old else store.insert)(tx, sort.table, planned.row)
            after = documents(tx, sort)
            if kind == "user":
                _after_user(tx, old, planned.row["server_id"], present, after)
            changed = next(
                d for d in after.values() if d["id"] == planned.row.get("id", planned.row.get("server_id"))
            )
            detail = {"changed": _differing(old, changed, document), "row_version": changed["row_version"]}
            operator_log.note(tx, actor, f"{kind}.put", "/".join(key), detail)
        return changed, planned.warnings

    def set_active(
        self, kind: KindName, key: Key, actor: str, version: Version, *, is_active: bool
    ) -> Document:
        """Switches one on, if it can be used as things are now, or off, if nothing active needs it.

        Raises as `put` does; BadDefinition (`in-use`) for a pipeline or model that is needed.
        """
        if kind == "model":
            return self._set_model_active(key, actor, version, is_active=is_active)
        old = self.get(kind, key)
        stated = {**old, "is_active": is_active}
        return self.put(kind, key, stated, actor, old["row_version"] if version is None else version)[0]

    def _set_model_active(self, key: Key, actor: str, version: Version, *, is_active: bool) -> Document:
        kind = KINDS["model"]
        with self._database.write() as tx:
            store.lock(tx, kind.space)
            old = _known(kind, key, documents(tx, kind))
            _require_version(old, old, old["row_version"] if version is None else version)
            change_models(tx, read_present(tx), [], {key[0]: key[1] if is_active else None})
            operator_log.note(tx, actor, "model.activate" if is_active else "model.deactivate", "/".join(key))
            return documents(tx, kind)[key]

    # ── planning ────────────────────────────────────────────────────────────────────────────────────────

    def _plan(
        self, tx: Connection, kind: Kind, key: Key, document: Mapping[str, Any], old: Document | None
    ) -> Planned:
        if kind.name == "component":
            return self._plan_component(document, old)
        if kind.name == "model":
            raise BadInput("A model package is uploaded as its files.", code="model-immutable")
        present, now = read_present(tx), self._clock.now()
        row = _row_of(kind, present, old)
        if kind.name == "product":
            return plan_product(read_body(ProductBody, document), row, present, now)
        if kind.name == "item":
            return self._plan_item(key, document, row, present, now)
        if kind.name == "pipeline":
            body = read_body(PipelineBody, document, frozenset({"id", "code", "version"}))
            planned = plan_pipeline(key[0], body, row, present, now)
            return planned if body.is_active else _refuse_used(planned, present)
        return self._plan_user(read_body(UserBody, document), row, present, now)

    def _plan_item(
        self, key: Key, document: Mapping[str, Any], row: Document | None, present: Present, now: str
    ) -> Planned:
        products = present.tables[PRODUCTS].values()
        product = next((one for one in products if one["product_code"] == key[0]), None)
        if product is None:
            raise _unknown(KINDS["product"], key[:1])
        return plan_item(read_body(ItemBody, document), row, product, present, now)

    def _plan_user(self, body: UserBody, row: Document | None, present: Present, now: str) -> Planned:
        password_hash = row["password_hash"] if row else ""
        if body.password is not None:
            password_hash = hash_password(body.password.get_secret_value())
        return plan_user(body, password_hash, row, present, now)

    def _plan_component(self, document: Mapping[str, Any], old: Document | None) -> Planned:
        body = read_body(ComponentBody, document)
        row = body.model_dump(exclude={"row_version"})
        row["id"] = old["id"] if old else body.id or self._clock.new_id()
        return Planned(row, (), ())


def documents(tx: Connection, kind: Kind) -> dict[Key, Document]:
    """Every document of the kind by its key."""
    rows = store.components(tx) if kind.name == "component" else store.rows(tx, kind.table)
    codes: dict[str, str] = {}
    if kind.name == "item":
        codes = {row["id"]: row["product_code"] for row in store.rows(tx, PRODUCTS)}
        codes |= {row["id"]: row["code"] for row in store.rows(tx, PIPELINES)}
    found = [shown(kind, row, codes) for row in rows]
    return {key_of(kind, document): document for document in found}


def _known(kind: Kind, key: Key, present: Mapping[Key, Document]) -> Document:
    if key not in present:
        raise _unknown(kind, key)
    return present[key]


def _unknown(kind: Kind, key: Key) -> NotFound:
    return NotFound(f"There is no {kind.name} {'/'.join(key)}.", code=f"unknown-{kind.name}")


def _require_key(kind: Kind, key: Key, document: Mapping[str, Any]) -> None:
    """What is new is called as the document says (a pipeline's definition is held to its code anyway)."""
    differing = [
        Problem("", pointer_of([name]), "name-mismatch", f"it is put as {value}")
        for name, value in zip(kind.key, key, strict=True)
        if kind.name != "pipeline" and name in document and document[name] != value
    ]
    if differing:
        raise BadDefinition(f"the {kind.name} is called otherwise than {'/'.join(key)}", differing)


def _require_version(old: Document | None, sent: Mapping[str, Any], version: Any) -> None:
    there = None if old is None else old["row_version"]
    if version in (there, "any"):
        return
    raise Conflict(
        "Somebody changed it meanwhile."
        if old and version
        else "The version the change was made on is not this one.",
        code="version-differs",
        hint="Compare the two documents, then send yours again with the row_version that is there now.",
        present=old,
        sent={name: value for name, value in sent.items() if name != "password"},
        row_version=there,
    )


def _differing(old: Document | None, stored: Document, sent: Mapping[str, Any]) -> list[str]:
    """Names of the members that a change changed; of a new one, all that say something."""
    before = old or {}
    differing = {name for name, value in stored.items() if before.get(name) != value} - NEVER_SAME
    return sorted(differing | ({"password"} if sent.get("password") else set()))


def _row_of(kind: Kind, present: Present, old: Document | None) -> Document | None:
    if old is None:
        return None
    table = present.tables[kind.table]
    return dict(table[old["id"],])


def _refuse_used(planned: Planned, present: Present) -> Planned:
    """The plan to switch a pipeline off, or why active items need it."""
    if planned.row is None:
        return planned
    products = {row["id"]: row["product_code"] for row in present.tables[PRODUCTS].values()}
    users = [
        f"{products[row['target_id']]}/{row['item_code']}"
        for row in present.tables[ITEMS].values()
        if row["is_active"] and row["pipeline_id"] == planned.row["id"]
    ]
    message = f"active items use it: {', '.join(sorted(users))}"
    problems = (Problem("", pointer_of(["is_active"]), "in-use", message),) if users else ()
    return Planned(None if users else planned.row, problems, planned.warnings)


def _after_user(
    tx: Connection,
    old: Document | None,
    user_id: str,
    before: Mapping[Key, Document],
    after: Mapping[Key, Document],
) -> None:
    """Ends the logins of a person who was changed. Raises Conflict (`last-admin`)."""
    if _admins(before) and not _admins(after):
        raise Conflict(
            "This is the last admin who can log in.", code="last-admin", hint="Add another admin first."
        )
    if old is not None:
        operators.end_logins(tx, user_id)


def _admins(people: Mapping[Key, Document]) -> list[Document]:
    return [one for one in people.values() if one["role"] == "admin" and one["can_log_in"]]
