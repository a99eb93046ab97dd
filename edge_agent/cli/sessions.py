"""`session`: inspections, from the first scan to the final result.

Rules of this file:
- A verdict is a person's: `verify` always logs somebody in. The rest may be done by the technician at the
  keyboard, or with `--as` in somebody's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import typer

from edge_agent.cli.connection import Connection, quoted
from edge_agent.cli.options import AsJson, AsUser, Cursor, Limit, agent
from edge_agent.cli.output import emit_facts, emit_json, emit_table
from edge_agent.errors import BadInput, NotFound

app = typer.Typer(help="Inspections: start, follow, judge, finish.", no_args_is_help=True)

SessionId = Annotated[str, typer.Argument(metavar="SESSION", help="The session's id.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept in the record.")]
Status = Literal["PENDING", "IN_PROGRESS", "AI_COMPLETED", "HUMAN_REVIEW", "COMPLETED", "FAILED", "CANCELLED"]


@app.command("list")
def list_sessions(
    context: typer.Context,
    product: Annotated[str | None, typer.Option(help="Only of this product code.")] = None,
    status: Annotated[Status | None, typer.Option(help="Only in this state.")] = None,
    since: Annotated[str | None, typer.Option(help="Started at or after (RFC 3339, UTC).")] = None,
    until: Annotated[str | None, typer.Option(help="Started before (RFC 3339, UTC).")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
    as_json: AsJson = False,
) -> None:
    """The history, newest first."""
    wanted = {"product_code": product, "status": status, "limit": limit, "cursor": cursor}
    with agent(context) as connection:
        page = connection.get("/sessions", since=instant(since), until=instant(until), **wanted)
    if as_json:
        emit_json(page)
        return
    columns = ("id", "started_at", "product_code", "batch_id", "serial_no", "status", "final_result")
    emit_table(columns, page["sessions"], empty="no sessions")


@app.command()
def start(
    context: typer.Context,
    text: Annotated[str, typer.Argument(metavar="CODE", help="The code as scanned.")],
    lot: Annotated[str | None, typer.Option(help="Lot, if the code does not carry it.")] = None,
    serial: Annotated[str | None, typer.Option(help="Serial number, if the code does not carry it.")] = None,
    accept_ai_ok: Annotated[bool, typer.Option("--accept-ai-ok", help="An AI OK needs no person.")] = False,
    user: AsUser = None,
    as_json: AsJson = False,
) -> None:
    """Starts a session for a code, or resumes the open one of the same target."""
    body = {"text": text, "lot": lot, "serial": serial, "accept_ai_ok": accept_ai_ok}
    with agent(context, user) as connection:
        emit_session(connection.post("/sessions", body), as_json=as_json)


@app.command()
def show(
    context: typer.Context,
    session: SessionId,
    trace: Annotated[bool, typer.Option("--trace", help="Everything recorded about it, as JSON.")] = False,
    as_json: AsJson = False,
) -> None:
    """One session: its items, their verdicts, what is missing."""
    with agent(context) as connection:
        if trace:
            emit_json(connection.get(f"/sessions/{quoted(session)}/trace"))
        else:
            emit_session(connection.get(f"/sessions/{quoted(session)}"), as_json=as_json)


@app.command()
def verify(
    context: typer.Context,
    session: SessionId,
    result: Annotated[Literal["OK", "NG", "HOLD"], typer.Option(help="The person's verdict.")],
    user: Annotated[str, typer.Option("--as", metavar="USER", help="Who judges; the password is asked for.")],
    item: Annotated[str | None, typer.Option(help="Item code; without it the whole session.")] = None,
    reason: Annotated[str | None, typer.Option(help="Reason code of an NG.")] = None,
    notes: Annotated[str | None, typer.Option(help="Free text.")] = None,
    check: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="One answer of a checklist; repeat it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Records a person's verdict."""
    body: dict[str, Any] = {"final_result": result, "reason_code": reason, "notes": notes}
    body["checks"] = dict(answer(one) for one in check) if check else None
    with agent(context, user) as connection:
        if item is not None:
            body["item_id"] = item_id(connection.get(f"/sessions/{quoted(session)}"), item)
        reply = connection.post(f"/sessions/{quoted(session)}/verifications", body)
        emit_session(reply["session"], as_json=as_json)


@app.command()
def complete(
    context: typer.Context, session: SessionId, user: AsUser = None, as_json: AsJson = False
) -> None:
    """Closes the session with its final result; refused while items are undecided."""
    _end(context, session, "complete", None, user, as_json=as_json)


@app.command()
def cancel(
    context: typer.Context, session: SessionId, reason: Reason, user: AsUser = None, as_json: AsJson = False
) -> None:
    """Ends the session without a result; everything recorded is kept."""
    _end(context, session, "cancel", {"reason": reason}, user, as_json=as_json)


@app.command()
def fail(
    context: typer.Context, session: SessionId, reason: Reason, user: AsUser = None, as_json: AsJson = False
) -> None:
    """Ends a session that cannot be inspected."""
    _end(context, session, "fail", {"reason": reason}, user, as_json=as_json)


def _end(
    context: typer.Context, session: str, how: str, body: Any, user: str | None, *, as_json: bool
) -> None:
    with agent(context, user) as connection:
        emit_session(connection.post(f"/sessions/{quoted(session)}/{how}", body), as_json=as_json)


def emit_session(body: Mapping[str, Any], *, as_json: bool) -> None:
    """A session for people or programs."""
    if as_json:
        emit_json(body)
        return
    session, target = body["session"], body["target"]
    emit_facts(
        {
            "session": session["id"],
            "product": target["product_code"],
            "lot": target["batch_id"],
            "serial": target["serial_no"],
            "status": session["status"],
            "result": session["final_result"],
            "missing": ", ".join(body["missing"]) or "nothing",
        }
    )
    rows = [
        {
            "item": one["item"]["item_code"],
            "name": one["item"]["item_name"],
            "images": len(one["images"]),
            "ai": "withheld" if one["is_withheld"] else (one["verdict"] or {}).get("ai_result"),
            "person": (one["verdict"] or {}).get("human_result"),
        }
        for one in body["items"]
    ]
    emit_table(("item", "name", "images", "ai", "person"), rows)


def item_id(body: Mapping[str, Any], code: str) -> str:
    """The id of the session's item with this code. Raises NotFound (`unknown-item`)."""
    known = {one["item"]["item_code"]: str(one["item"]["id"]) for one in body["items"]}
    if code not in known:
        raise NotFound(
            f"This session has no item {code!r}.", code="unknown-item", hint=f"It has: {', '.join(known)}."
        )
    return known[code]


def answer(text: str) -> tuple[str, bool | float | str]:
    """`led=true` → ("led", True). Raises BadInput (`bad-check`)."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise BadInput(f"{text!r} is not KEY=VALUE.", code="bad-check", hint="Write for example led=true.")
    if value.lower() in ("true", "false"):
        return key, value.lower() == "true"
    try:
        return key, float(value)
    except ValueError:
        return key, value


def instant(text: str | None) -> str | None:
    """An instant with any zone as the API wants it; a bare date or time is UTC. Raises BadInput."""
    if text is None:
        return None
    from datetime import UTC, datetime

    from edge_agent.clock import to_rfc3339

    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            f"{text!r} is no instant.", code="bad-instant", hint="Write for example 2026-11-23T08:00:00Z."
        ) from None
    return to_rfc3339((given if given.tzinfo else given.replace(tzinfo=UTC)).timestamp())


def find_item(connection: Connection, product: str, code: str) -> Mapping[str, Any]:
    """The master's item. Raises Refused (`unknown-product`), NotFound (`unknown-item`)."""
    items = connection.get(f"/masters/products/{quoted(product)}/items")["items"]
    found = next((item for item in items if item["item_code"] == code), None)
    if found is None:
        known = ", ".join(item["item_code"] for item in items)
        raise NotFound(f"{product} has no item {code!r}.", code="unknown-item", hint=f"It has: {known}.")
    return dict(found)
